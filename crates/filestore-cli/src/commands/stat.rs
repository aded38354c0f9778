//! `filestore stat`: the facts of a file.

use std::fmt::Write as _;

use filestore::{Result, StoredFile};

use crate::args;
use crate::context::Context;
use crate::output;

pub(crate) async fn run(context: &Context, args: &args::Reference) -> Result<u8> {
    let (store, reference) = context.of(&args.reference)?;
    let file = store.stat(reference).await?;
    if context.json {
        output::line(&output::json(&output::json_of(&file)))?;
    } else {
        output::write_all(facts(&file).as_bytes())?;
    }
    Ok(0)
}

fn facts(file: &StoredFile) -> String {
    let mut text = String::new();
    let mut fact = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            let _ = writeln!(text, "{:<20} {}", output::visible(name), output::visible(&value));
        }
    };
    fact("reference", Some(file.reference.to_string()));
    fact("name", Some(file.name.clone()));
    fact("size", file.size.map(|size| size.to_string()));
    fact("stored size", file.stored_size.filter(|stored| Some(*stored) != file.size).map(|size| size.to_string()));
    fact("created", file.created.map(|time| time.to_string()));
    fact("modified", file.modified.map(|time| time.to_string()));
    fact("content type", file.content_type.clone());
    fact("expires", output::expiry_of(file));
    fact("remaining downloads", file.remaining_downloads.map(|count| count.to_string()));
    for digest in &file.digests {
        fact(digest.algorithm.as_str(), Some(digest.hex.clone()));
    }
    for (key, value) in &file.metadata {
        fact(&format!("metadata {key}"), Some(value.clone()));
    }
    text
}
