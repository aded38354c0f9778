//! `filestore stat`: prints the metadata of a file.

use std::fmt::Write as _;

use filestore::{Result, StoredFile};

use crate::args;
use crate::context::Context;
use crate::output;

pub(crate) async fn run(context: &Context, args: &args::Reference) -> Result<u8> {
    let (store, reference) = context.open_reference(&args.reference)?;
    let file = store.stat(reference).await?;
    if context.json {
        output::line(output::json(&output::json_of(&file)))?;
    } else {
        output::write_all(text_of(&file).as_bytes())?;
    }
    Ok(0)
}

fn text_of(file: &StoredFile) -> String {
    let mut text = String::new();
    let mut property = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            let _ = writeln!(text, "{:<20} {}", output::visible(name), output::visible(&value));
        }
    };
    property("reference", Some(file.reference.to_string()));
    property("name", Some(file.name.clone()));
    property("size", file.size.map(|size| size.to_string()));
    property("stored size", file.stored_size.filter(|stored| Some(*stored) != file.size).map(|size| size.to_string()));
    property("created", file.created.map(|time| time.to_string()));
    property("modified", file.modified.map(|time| time.to_string()));
    property("content type", file.content_type.clone());
    property("expires", output::expiry_of(file));
    property("remaining downloads", file.remaining_downloads.map(|count| count.to_string()));
    for digest in &file.digests {
        property(digest.algorithm.as_str(), Some(digest.hex.clone()));
    }
    for (key, value) in &file.metadata {
        property(&format!("metadata {key}"), Some(value.clone()));
    }
    text
}
