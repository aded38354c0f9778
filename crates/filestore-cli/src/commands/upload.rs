//! `filestore upload`: stores files and folders, and prints their references.

use std::path::{Path, PathBuf};

use filestore::{Addressing, Body, Error, ErrorKind, Feature, IfExists, Result, ScopeKind, Store, StoredFile, Upload};
use filestore_transfer::{UploadTree, check_skip, is_unchanged};
use futures::stream;
use jiff::Timestamp;
use serde_json::json;

use super::note_failure;
use crate::args::{self, Existing};
use crate::batch::{Batch, Inputs, pool};
use crate::context::Context;
use crate::exit::Outcomes;
use crate::output;
use crate::standard_streams;
use crate::tally::Action;

pub(crate) async fn run(context: &Context, args: &args::Upload) -> Result<u8> {
    check(args)?;
    let config = context.selected_store()?;
    let options = context.upload_options(config, &args.options)?;
    let store = context.open(config)?;
    let finds_free_name = options.finds_free_name().or(store.options().finds_free_name()).unwrap_or_default();
    let if_exists = if args.no_clobber { Existing::Fail } else { args.if_exists.unwrap_or(Existing::Replace) };
    let has_paths = store.capabilities().addressing == Addressing::CallerPath;
    if if_exists == Existing::Skip {
        check_skip(&store)
            .map_err(|error| error.with_note("`filestore migrate` keeps a journal of the files that it has stored"))?;
    }
    let mut outcomes = Outcomes::default();
    let mut plan = Plan::default();
    for path in &args.paths {
        if let Err(error) = plan.add(&store, args, if_exists, path, &mut outcomes).await {
            note_failure(&mut outcomes, &error);
        }
    }
    if !finds_free_name {
        plan.check_collisions(&store, if_exists)?;
    }
    let mut batch = Batch::new(context, &store);
    batch.in_order = !args.recursive;
    batch.is_resumable = has_paths;
    let uploads = plan.files.into_iter().map(|(path, mut upload)| {
        if if_exists == Existing::Fail {
            upload = upload.if_exists(IfExists::Fail);
        }
        if args.no_times && store.capabilities().supports(Feature::Modified) {
            upload = upload.modified(Timestamp::now());
        }
        upload.content_type.clone_from(&args.content_type);
        upload.options = options.clone();
        let line = batch.lines.file(&upload.name);
        (path, upload.expires(args.expires).on_progress(line))
    });
    let (paths, uploads): (Vec<PathBuf>, Vec<Upload>) = uploads.unzip();
    let is_repeatable = has_paths && if_exists != Existing::Fail && !finds_free_name;
    let inputs = Inputs {
        action: Action::Upload,
        total: uploads.len(),
        name: &|number| paths[number].display().to_string(),
        summary: |file: &StoredFile| Some(stored_as(file)),
    };
    let print = |number: usize, result: Result<StoredFile>| {
        if let Err(error) = &result {
            note_failure(&mut outcomes, error);
        }
        // A failed upload may have stored the file: its reference must not be lost.
        let Some(file) = result.as_ref().map_or_else(Error::stored, Some) else { return Ok(()) };
        if !is_repeatable {
            outcomes.added();
        }
        let path = args.recursive.then_some(paths[number].as_path());
        print(context, file, path).inspect_err(|error| note_failure(&mut outcomes, error))
    };
    let uploaded = pool(args.jobs.jobs).upload_all(&store, stream::iter(uploads.into_iter().enumerate()));
    batch.run(inputs, uploaded, print).await;
    if plan.unchanged > 0 && !context.quiet {
        output::report(&format!("{} files are unchanged and were not sent", plan.unchanged));
    }
    Ok(outcomes.code())
}

/// Checks the arguments that exclude each other.
fn check(args: &args::Upload) -> Result<()> {
    if args.name.is_some() && args.paths.len() > 1 {
        return Err(Error::invalid(
            "--name is valid for one file only, but several files are given; upload them one by one",
        ));
    }
    if args.recursive && args.paths.iter().any(|path| path == Path::new("-")) {
        return Err(Error::invalid("standard input has no name in a folder; upload it without -r, and with --name"));
    }
    Ok(())
}

/// The files to upload.
#[derive(Default)]
struct Plan {
    files: Vec<(PathBuf, Upload)>,
    unchanged: usize,
}

impl Plan {
    /// Adds the file or folder at `path`, and reports the files in it that cannot be uploaded.
    async fn add(
        &mut self,
        store: &Store,
        args: &args::Upload,
        if_exists: Existing,
        path: &Path,
        outcomes: &mut Outcomes,
    ) -> Result<()> {
        let skip = if_exists == Existing::Skip;
        if !path.is_dir() {
            let upload = file(args, path)?;
            if skip && is_stored(store, path, &upload).await? {
                self.unchanged += 1;
            } else {
                self.files.push((path.to_owned(), upload));
            }
            return Ok(());
        }
        if !args.recursive {
            return Err(Error::invalid(format!("{} is a folder; upload it with -r", path.display())));
        }
        let mut tree = UploadTree::new(path).filter(args.filter.0.clone());
        tree = tree.follow_links(args.follow_links).skip_unchanged(skip);
        if let Some(scope) = scope(store, args, path)? {
            tree = tree.scope(scope);
        }
        let plan = tree.plan(store).await?;
        for left_out in plan.left_out {
            let message = format!("{}: {}", left_out.path.display(), left_out.error.message());
            note_failure(outcomes, &Error::new(left_out.error.kind(), left_out.error.effect(), message));
        }
        self.unchanged += plan.unchanged.len();
        self.files.extend(plan.files);
        Ok(())
    }

    /// Rejects files that are one file in this store: the second would replace the first, or be rejected.
    fn check_collisions(&self, store: &Store, if_exists: Existing) -> Result<()> {
        let names = self.files.iter().map(|(_, upload)| (upload.scope.as_deref(), upload.name.as_str()));
        let collisions = store.capabilities().collisions(names);
        let Some(group) = collisions.first() else { return Ok(()) };
        let names: Vec<_> = group.iter().map(|(_, name)| *name).collect();
        Err(Error::invalid(format!(
            "{} {} in this store; upload them one by one, with --name or --to",
            names.join(" and "),
            if if_exists == Existing::Fail { "are one file" } else { "would replace each other" },
        )))
    }
}

/// Returns the scope of the files that are directly in the folder at `path`.
fn scope(store: &Store, args: &args::Upload, path: &Path) -> Result<Option<String>> {
    let is_content = path.as_os_str().as_encoded_bytes().ends_with(b"/");
    // `.` and `..` have no name.
    let Some(name) = path.file_name().filter(|_| !is_content) else { return Ok(args.scope.clone()) };
    let name = name.to_str().ok_or_else(|| {
        Error::invalid(format!("the name of {} is not UTF-8; end the path with / to leave it out", path.display()))
    })?;
    if store.capabilities().scope != ScopeKind::Folder {
        return Err(Error::unsupported(format!(
            "the store has no folders; to upload the files in {0} without their folder, write {0}/",
            path.display()
        ))
        .with_store(store.name()));
    }
    let scope = args.scope.as_deref().map(|scope| scope.trim_end_matches('/')).filter(|scope| !scope.is_empty());
    Ok(Some(scope.into_iter().chain([name]).collect::<Vec<_>>().join("/")))
}

/// Returns the upload of a single file.
fn file(args: &args::Upload, path: &Path) -> Result<Upload> {
    let mut upload = if path == Path::new("-") {
        let name = args
            .name
            .as_deref()
            .ok_or_else(|| Error::invalid("standard input has no file name; give one with --name"))?;
        standard_streams::check_input()?;
        Upload::new(name, Body::from_reader(tokio::io::stdin(), None))
    } else {
        standard_streams::check_input_at(path)?;
        match &args.name {
            Some(name) => Upload::new(name, Body::from_path(path)?),
            None => Upload::from_path(path)?,
        }
    };
    upload.scope.clone_from(&args.scope);
    Ok(upload)
}

/// Returns `true` if the store holds the file already.
async fn is_stored(store: &Store, path: &Path, upload: &Upload) -> Result<bool> {
    let reference = store.reference(upload.scope.as_deref(), &upload.name)?;
    match store.stat(&reference).await {
        Ok(stored) => is_unchanged(store, path, &stored).await,
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Prints a stored file. `path`: that of the local file, if names alone do not tell it.
fn print(context: &Context, file: &StoredFile, path: Option<&Path>) -> Result<()> {
    context.warn_of_skipped(&file.name, &file.skipped);
    let reference = file.reference.to_string();
    let printed = if context.json {
        let mut object = output::json_of(file);
        if let Some(path) = path {
            object["path"] = json!(path.display().to_string());
        }
        output::json(&object)
    } else {
        reference.clone()
    };
    output::result(printed, &stored_as(file))
}

/// Returns the text that names a stored file if its reference cannot be printed.
fn stored_as(file: &StoredFile) -> String {
    format!("stored as {}", file.reference)
}
