//! `filestore download`: a file to a path, a folder or standard output.

use std::path::Path;

use filestore::{Download, Effect, FileRef, Overwrite, Result, Store};
use futures::TryStreamExt;
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::args;
use crate::context::Context;
use crate::output;
use crate::progress::Bar;

pub(crate) async fn run(context: &Context, args: &args::Download) -> Result<u8> {
    let (store, reference) = context.of(&args.of.reference)?;
    let bar = Bar::new("download", context.quiet);
    let request = Download::from(reference.clone()).observed(bar.clone());
    let overwrite = if args.force { Overwrite::Replace } else { Overwrite::Refuse };
    let saved = match args.output.as_deref() {
        Some(path) if path == Path::new("-") => {
            let written = to_standard_output(&store, request, &reference).await;
            bar.done();
            return written.map(|()| 0);
        }
        Some(path) if !path.is_dir() => store.download_to_path(request, path, overwrite).await,
        Some(folder) => store.download_to_folder(request, folder, overwrite).await,
        None => store.download_to_folder(request, ".", overwrite).await,
    };
    bar.done();
    let saved = saved?;
    let path = saved.path.strip_prefix(".").unwrap_or(&saved.path).display().to_string();
    if context.json {
        let mut object = output::json_of(&saved.file);
        object["size"] = saved.bytes.into();
        object["path"] = json!(path);
        output::line(&output::json(&object))?;
    } else {
        output::line(&path)?;
    }
    Ok(0)
}

async fn to_standard_output(store: &Store, request: Download, reference: &FileRef) -> Result<()> {
    let consumes = store.capabilities().reads_consume();
    let copy = async {
        let mut stream = store.download(request).await?.stream;
        let mut out = tokio::io::stdout();
        while let Some(chunk) = stream.try_next().await? {
            out.write_all(&chunk).await.map_err(output::failed)?;
        }
        out.flush().await.map_err(output::failed)
    };
    copy.await.map_err(|error| {
        let error = error.with_operation(filestore::Operation::Download).with_store(reference.store());
        // Once the service has answered, the read is counted.
        if consumes && error.http_status().is_none() && error.effect() != Effect::NotSent {
            return error.possibly_consumed();
        }
        error
    })
}
