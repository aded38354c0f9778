//! `filestore download`: writes files to paths and into folders, and one file to standard output.

use std::collections::HashSet;
use std::io::{self, Write};
use std::path::Path;

use filestore::{
    Addressing, BlockingThread, Download, Effect, Error, Feature, FileRef, IfExists, Observer, Operation, Progress,
    Result, SavedFile, Store, check_listed_size,
};
use filestore_transfer::{DownloadTree, Save, SaveTarget, check_skip};
use futures::{TryStreamExt, stream};
use serde_json::json;

use super::note_failure;
use crate::args::{self, Existing};
use crate::batch::{Batch, Inputs, pool, report_rest};
use crate::context::{Context, Target, of_store};
use crate::exit::Outcomes;
use crate::interrupt::Read;
use crate::output;
use crate::progress::Bar;
use crate::standard_streams;
use crate::tally::Action;

pub(crate) async fn run(context: &Context, args: &args::Download) -> Result<u8> {
    let output = args.output.as_deref();
    if let Some(path) = output.filter(|path| standard_streams::is_output(path)) {
        check_standard_output(args, path)?;
        return stream_file(context, &args.references[0]).await.map(|()| 0);
    }
    let mut outcomes = Outcomes::default();
    let mut plans = plans(context, args, &mut outcomes).await?.into_iter();
    for (store, plan) in plans.by_ref() {
        if !run_plan(context, args, &store, plan, &mut outcomes).await {
            break;
        }
    }
    report_rest(Action::Download, plans.map(|(_, plan)| plan.files.len()).sum());
    Ok(outcomes.code())
}

/// Rejects what has no meaning for standard output.
fn check_standard_output(args: &args::Download, path: &Path) -> Result<()> {
    let problem = if args.times {
        "keeps no modification time; give a path with -o, or omit --times"
    } else if args.if_exists.is_some() {
        "is no file that exists; give a path with -o, or omit --if-exists"
    } else if args.recursive || args.references.len() > 1 {
        "is one file; give a folder with -o"
    } else {
        return Ok(());
    };
    Err(Error::invalid(format!("{} is standard output, which {problem}", path.display())))
}

/// The files to download from one store.
#[derive(Default)]
struct Plan {
    files: Vec<Save>,
    unchanged: usize,
}

/// Returns the plan for each store, in the order of the stores' first references.
async fn plans(context: &Context, args: &args::Download, outcomes: &mut Outcomes) -> Result<Vec<(Store, Plan)>> {
    let mut plans: Vec<(Store, Plan)> = Vec::new();
    for text in &args.references {
        let planned = async {
            let (store, target) = context.open_target(text, args.recursive)?;
            let plan = of_store(&mut plans, &store);
            match target {
                Target::File(reference) => plan.add_file(args, &store, reference).await,
                Target::Scope(scope) => {
                    let found = plan.add_scope(args, &store, scope, outcomes).await?;
                    if found == 0 {
                        context.warn(&format!("{text} has no files that are chosen"));
                    }
                    Ok(())
                }
            }
        };
        let planned: Result<()> = planned.await;
        if let Err(error) = planned {
            note_failure(outcomes, &error);
        }
    }
    check_targets(&plans)?;
    Ok(plans)
}

impl Plan {
    async fn add_file(&mut self, args: &args::Download, store: &Store, reference: FileRef) -> Result<()> {
        let folder = match args.output.as_deref() {
            None => Some(Path::new(".")),
            Some(path) if args.recursive || path.is_dir() => Some(path),
            Some(path) if args.references.len() > 1 => {
                let problem = "is no folder; create it, because several files are downloaded";
                return Err(Error::invalid(format!("{} {problem}", path.display())));
            }
            Some(_) => None,
        };
        let skip = args.if_exists == Some(Existing::Skip);
        let download = Download::from(reference).restore_modified(args.times || args.recursive || skip);
        let save = match folder {
            Some(folder) if args.recursive => {
                std::fs::create_dir_all(folder).map_err(|error| Error::local(error, "create", folder))?;
                Save::to_folder(download, folder)
            }
            Some(folder) => Save::to_folder(download, folder),
            None => Save::to_path(download, args.output.as_deref().unwrap_or(Path::new("."))),
        };
        if skip {
            check_skip(store)?;
            let stored = store.stat(save.reference()).await?;
            if save.is_unchanged(store, &stored).await? {
                self.unchanged += 1;
                return Ok(());
            }
        }
        self.files.push(save.if_exists(if_exists(args)));
        Ok(())
    }

    /// Adds the files of a scope. Returns their number.
    async fn add_scope(
        &mut self,
        args: &args::Download,
        store: &Store,
        scope: Option<String>,
        outcomes: &mut Outcomes,
    ) -> Result<usize> {
        let mut tree = DownloadTree::new(args.output.as_deref().unwrap_or(Path::new(".")));
        if let Some(scope) = scope {
            tree = tree.scope(scope);
        }
        tree = tree.filter(args.filter.0.clone()).exact_names(args.exact_names).if_exists(if_exists(args));
        let plan = tree.skip_unchanged(args.if_exists == Some(Existing::Skip)).plan(store).await?;
        if plan.left_out > 0 {
            let message =
                format!("{} entries of the listing are left out, because no reference can name them", plan.left_out);
            note_failure(outcomes, &Error::unsupported(message).with_store(store.name()));
        }
        self.unchanged += plan.unchanged.len();
        let found = plan.unchanged.len() + plan.files.len();
        self.files.extend(plan.files.into_iter().map(|(_, save)| save));
        Ok(found)
    }
}

fn if_exists(args: &args::Download) -> IfExists {
    match args.if_exists {
        Some(Existing::Replace | Existing::Skip) => IfExists::Replace,
        Some(Existing::Fail) => IfExists::Fail,
        None if args.force => IfExists::Replace,
        None => IfExists::Fail,
    }
}

/// Rejects files that would replace each other on the disk.
fn check_targets(plans: &[(Store, Plan)]) -> Result<()> {
    let files = || plans.iter().flat_map(|(store, plan)| plan.files.iter().map(move |save| (store, save)));
    if files().nth(1).is_none() {
        return Ok(());
    }
    let mut targets = HashSet::new();
    for (store, save) in files().filter(|(_, save)| save.if_exists == IfExists::Replace) {
        let is_named_by_service = store.capabilities().addressing == Addressing::ServerKey;
        if is_named_by_service && matches!(save.target, SaveTarget::Folder(_)) {
            return Err(Error::invalid(
                "the names of these files are not known before they are downloaded, so one could replace another; \
                 download them one by one, or without replacing files",
            )
            .with_store(store.name()));
        }
        let path = save.local_path(&save.reference().components().pop().unwrap_or_default());
        if !targets.insert(path.clone()) {
            return Err(Error::invalid(format!(
                "several files would be stored as {}, each in place of the one before; download them one by one",
                path.display()
            )));
        }
    }
    Ok(())
}

/// Downloads the files of one store. Returns `false` if the command must end.
async fn run_plan(
    context: &Context,
    args: &args::Download,
    store: &Store,
    plan: Plan,
    outcomes: &mut Outcomes,
) -> bool {
    let mut batch = Batch::new(context, store);
    batch.in_order = !args.recursive;
    batch.is_resumable = check_skip(store).is_ok();
    let consumes = store.capabilities().reads_consume();
    let mut reads = Vec::new();
    let files: Vec<Save> = plan
        .files
        .into_iter()
        .map(|mut save| {
            let name = save.reference().components().pop().unwrap_or_default();
            let read = consumes.then(|| context.reads.begin(save.reference().stamped(&store.name().into()).redacted()));
            let line = batch.lines.file(if consumes { "download" } else { &name });
            save.download = on_progress(save.download, line, read.as_ref());
            reads.push(read);
            save
        })
        .collect();
    let names: Vec<String> = files.iter().map(|save| store.subject_of(save.reference())).collect();
    let inputs = Inputs {
        action: Action::Download,
        total: files.len(),
        name: &|number| names[number].clone(),
        summary: |saved: &SavedFile| Some(saved_as(saved)),
    };
    let saved = pool(args.jobs.jobs).download_all(store, stream::iter(files.into_iter().enumerate()));
    let print = |number: usize, result: Result<SavedFile>| {
        let printed = match result {
            Ok(saved) => {
                if consumes {
                    outcomes.added();
                }
                print(context, args, &saved).inspect_err(|error| note_failure(outcomes, error))
            }
            Err(error) => {
                note_failure(outcomes, &error);
                Ok(())
            }
        };
        reads[number].iter().for_each(Read::ended);
        printed
    };
    let goes_on = batch.run(inputs, saved, print).await;
    if plan.unchanged > 0 && !context.quiet {
        output::report(&format!("{} files are unchanged and were not downloaded", plan.unchanged));
    }
    goes_on
}

fn print(context: &Context, args: &args::Download, saved: &SavedFile) -> Result<()> {
    let local = saved.path.strip_prefix(".").unwrap_or(&saved.path);
    let path = local.display().to_string();
    if let Some(taken) = &saved.taken {
        let taken = taken.strip_prefix(".").unwrap_or(taken);
        context.warn(&format!("{} exists and is not replaced; the file is stored as {path}", taken.display()));
    }
    if args.times && saved.file.modified.is_none() {
        context.warn(&format!("the store reports no modification time; that of {path} is the time of the download"));
    }
    let printed = if context.json {
        let mut object = output::json_of(&saved.file);
        object["size"] = saved.bytes.into();
        object["path"] = json!(path);
        output::json(&object).into_bytes()
    } else {
        // A path need not be text.
        local.as_os_str().as_encoded_bytes().to_vec()
    };
    output::result(printed, &saved_as(saved))
}

/// Returns the text that names a local file if its path cannot be printed.
fn saved_as(saved: &SavedFile) -> String {
    format!("the file is stored as {}", saved.path.strip_prefix(".").unwrap_or(&saved.path).display())
}

/// Writes a file to standard output.
async fn stream_file(context: &Context, text: &str) -> Result<()> {
    let (store, reference) = context.open_reference(text)?;
    let bar = Bar::new("download", context.quiet);
    let read = store.capabilities().reads_consume().then(|| context.reads.begin(reference.redacted()));
    let request = on_progress(Download::from(reference.clone()), bar.clone(), read.as_ref());
    let written = to_standard_output(&store, request, &reference, read.as_ref()).await;
    bar.done();
    written
}

/// Adds the observers of a download: the progress bar, and the state that is reported after a signal.
fn on_progress(request: Download, bar: impl Observer + 'static, read: Option<&Read>) -> Download {
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
