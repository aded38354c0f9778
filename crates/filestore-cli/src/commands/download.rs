//! `filestore download`: writes a file to a path, into a folder or to standard output.

use std::io::{self, Write};

use filestore::{
    BlockingThread, Download, Effect, Error, Feature, FileRef, IfExists, Observer, Operation, Progress, Result, Store,
    check_listed_size,
};
use futures::TryStreamExt;
use serde_json::json;

use crate::args;
use crate::context::Context;
use crate::interrupt::Read;
use crate::output;
use crate::progress::Bar;
use crate::standard_streams;

pub(crate) async fn run(context: &Context, args: &args::Download) -> Result<u8> {
    if args.times && args.output.as_deref().is_some_and(standard_streams::is_output) {
        return Err(Error::invalid("standard output keeps no modification time; give a path with -o, or omit --times"));
    }
    let (store, reference) = context.open_reference(&args.target.reference)?;
    let bar = Bar::new("download", context.quiet);
    let read = store.capabilities().reads_consume().then(|| context.reads.begin(reference.redacted()));
    let request = Download::from(reference.clone()).restore_modified(args.times);
    let request = on_progress(request, bar.clone(), read.as_ref());
    let if_exists = if args.force { IfExists::Replace } else { IfExists::Fail };
    let saved = match args.output.as_deref() {
        Some(path) if standard_streams::is_output(path) => {
            let written = to_standard_output(&store, request, &reference, read.as_ref()).await;
            bar.done();
            return written.map(|()| 0);
        }
        Some(path) if !path.is_dir() => store.download_to_path(request, path, if_exists).await,
        Some(folder) => store.download_to_folder(request, folder, if_exists).await,
        None => store.download_to_folder(request, ".", if_exists).await,
    };
    bar.done();
    let saved = saved.inspect_err(|_| read.iter().for_each(Read::ended))?;
    let local = saved.path.strip_prefix(".").unwrap_or(&saved.path);
    let path = local.display().to_string();
    if let Some(taken) = &saved.taken {
        let taken = taken.strip_prefix(".").unwrap_or(taken);
        context.warn(&format!("{} exists and is not replaced; the file is stored as {path}", taken.display()));
    }
    if args.times && saved.file.modified.is_none() {
        context.warn(&format!("the store reports no modification time; that of {path} is the time of the download"));
    }
    let summary = format!("the file is stored as {path}");
    let printed = if context.json {
        let mut object = output::json_of(&saved.file);
        object["size"] = saved.bytes.into();
        object["path"] = json!(path);
        output::json(&object).into_bytes()
    } else {
        // A path need not be text.
        local.as_os_str().as_encoded_bytes().to_vec()
    };
    let printed = output::result(printed, &summary);
    read.iter().for_each(Read::ended);
    printed.map(|()| 0)
}

/// Adds the observers of a download: the progress bar, and the state that is reported after a signal.
fn on_progress(request: Download, bar: Bar, read: Option<&Read>) -> Download {
    let Some(read) = read else { return request.on_progress(bar) };
    let (arriving, located) = (read.clone(), read.clone());
    request.on_location(move |path| located.located(path)).on_progress(move |progress: Progress| {
        arriving.arrived();
        bar.progress(progress);
    })
}

async fn to_standard_output(store: &Store, request: Download, reference: &FileRef, read: Option<&Read>) -> Result<()> {
    let mut listed = None;
    match read {
        Some(read) => {
            standard_streams::check_output_keeps("the file, which this read consumes,")?;
            if store.capabilities().supports(Feature::Stat) {
                listed = store.stat(reference).await.ok().and_then(|file| file.size);
            }
            standard_streams::check_output_holds(listed.unwrap_or(1))?;
            if standard_streams::is_closed_by_reader() {
                return Err(output::write_error(io::ErrorKind::BrokenPipe.into()).with_effect(Effect::NotSent));
            }
            read.goes_to_standard_output();
        }
        None => standard_streams::check_output()?,
    }
    // The bytes that arrived may be the only copy.
    let with_output = |error: Error| match read.and_then(Read::output) {
        Some(output) => error.possibly_consumed().with_note(&output),
        None => error,
    };
    let write_error = |error| match read {
        Some(_) => with_output(output::lost_bytes(error)),
        None => output::write_error(error),
    };
    let copy = async {
        let thread = BlockingThread::start()?;
        let mut stream = store.download(request).await?.stream;
        // A response of known length is read to its end: the rest may exist nowhere else. Another one may be endless.
        let limit = listed.filter(|_| stream.length().is_none());
        let mut written = 0;
        while let Some(chunk) = stream.try_next().await.map_err(with_output)? {
            let length = chunk.len() as u64;
            written += length;
            read.iter().for_each(|read| read.received(length));
            let write = move || {
                let mut out = io::stdout().lock();
                out.write_all(&chunk)?;
                out.flush()
            };
            thread.call(write).await.map_err(write_error)?;
            read.iter().for_each(|read| read.passed_on(length));
            if limit.is_some_and(|size| written > size) {
                break;
            }
        }
        let checked = check_listed_size(written, listed);
        checked.map_err(|error| error.possibly_consumed().with_note("the bytes went to standard output"))
    };
    let copied: Result<()> = copy.await;
    if let Some(read) = read {
        read.ended();
    }
    let subject = store.subject_of(reference);
    copied.map_err(|error| error.with_operation(Operation::Download).with_store(store.name()).with_subject(subject))
}
