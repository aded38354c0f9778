//! `filestore cp`: copies files to another store, and prints the new references.

use std::collections::HashSet;

use filestore::{Addressing, Error, Feature, FileRef, Result, Store, StoredFile, data_folder};
use filestore_transfer::{CopiedFile, FileCopy};
use futures::stream::{self, StreamExt};
use serde_json::json;

use super::moving::{ConsumingReads, Shortcomings};
use super::note_failure;
use crate::args;
use crate::batch::{Batch, Inputs, pool, report_rest};
use crate::context::{Context, of_store};
use crate::exit::Outcomes;
use crate::output;
use crate::tally::Action;

/// The number of files whose metadata is requested at once.
const REQUESTS: usize = 16;

pub(crate) async fn run(context: &Context, args: &args::Cp) -> Result<u8> {
    let Some((target, references)) = args.arguments.split_last() else { return Ok(2) };
    if args.name.is_some() && references.len() > 1 {
        return Err(Error::invalid("--name is valid for one file only, but several are given; copy them one by one"));
    }
    if target.contains(':') {
        return Err(Error::invalid(format!(
            "{target} is a reference or a scope; the last argument is the name of a store, and --to names the scope"
        )));
    }
    let config = context.config.store(target)?;
    let options = context.upload_options(config, &args.moving.options)?;
    let target = context.open_unannounced(config)?;
    let mut outcomes = Outcomes::default();
    let sources = sources(context, references, &mut outcomes).await;
    check_places(args, &target, &sources)?;
    let mut shortcomings = Shortcomings::default();
    let mut sources = sources.into_iter();
    for (source, files) in sources.by_ref() {
        let reads = ConsumingReads::new(&context.reads);
        let batch = Batch::new(context, &source);
        let copies: Vec<FileCopy> = files
            .iter()
            .map(|file| {
                let observed = reads.clone();
                let mut copy = file.copy().options(options.clone()).on_read(move |download| observed.observe(download));
                copy = copy.read_back(args.moving.verify.is_some());
                if let Some(scope) = &args.scope {
                    copy = copy.scope(scope);
                }
                if let Some(name) = &args.name {
                    copy = copy.name(name);
                }
                Ok(if args.consume { copy.spool(spool_folder()?) } else { copy })
            })
            .collect::<Result<_>>()?;
        let inputs = Inputs {
            action: Action::Copy,
            total: copies.len(),
            name: &|number| source.subject_of(&files[number].reference),
            summary: |copied: &CopiedFile| Some(copied_as(copied)),
        };
        let consumes = source.capabilities().reads_consume();
        let print = |number: usize, result: Result<CopiedFile>| {
            let from = &files[number].reference;
            reads.ended(from);
            let printed = match result {
                Ok(copied) => {
                    outcomes.added();
                    shortcomings.add(&copied, target.name());
                    print(context, from, &copied)
                }
                Err(error) => {
                    note_failure(&mut outcomes, &error);
                    if consumes && args.consume {
                        report_kept(from);
                    }
                    error.stored().map_or(Ok(()), |file| output::result(file.reference.to_string(), &stored_as(file)))
                }
            };
            printed.inspect_err(|error| note_failure(&mut outcomes, error))
        };
        let copied =
            pool(args.moving.jobs.jobs).copy_all(&source, &target, stream::iter(copies.into_iter().enumerate()));
        if !batch.run(inputs, copied, print).await {
            break;
        }
    }
    report_rest(Action::Copy, sources.map(|(_, files)| files.len()).sum());
    shortcomings.warn(context);
    Ok(outcomes.code())
}

/// A file to copy.
struct Source {
    reference: FileRef,
    /// `None`: only a read could tell it.
    file: Option<StoredFile>,
}

impl Source {
    fn copy(&self) -> FileCopy {
        match &self.file {
            Some(file) => FileCopy::of(file.clone()),
            None => FileCopy::new(self.reference.clone()),
        }
    }
}

/// Returns the files of each store, in the order of the stores' first references.
async fn sources(context: &Context, references: &[String], outcomes: &mut Outcomes) -> Vec<(Store, Vec<Source>)> {
    let requests = references.iter().map(|text| async move {
        let (store, reference) = context.open_reference(text)?;
        let reference = reference.stamped(&store.name().into());
        let consumes = store.capabilities().reads_consume();
        let file = match store.capabilities().supports(Feature::Stat) {
            // A file of another account is not listed.
            true if consumes => store.stat(&reference).await.ok(),
            true => Some(store.stat(&reference).await?),
            false => None,
        };
        Ok((store, Source { reference, file }))
    });
    let mut found = stream::iter(requests).buffered(REQUESTS);
    let mut sources: Vec<(Store, Vec<Source>)> = Vec::new();
    while let Some(source) = found.next().await {
        match source {
            Ok((store, source)) => of_store(&mut sources, &store).push(source),
            Err(error) => note_failure(outcomes, &error),
        }
    }
    sources
}

/// Rejects copies that would replace each other, or the file of which they are the copy.
fn check_places(args: &args::Cp, target: &Store, sources: &[(Store, Vec<Source>)]) -> Result<()> {
    if target.capabilities().addressing != Addressing::CallerPath {
        return Ok(());
    }
    let files: Vec<&Source> = sources.iter().flat_map(|(_, files)| files).collect();
    let known = files.iter().filter_map(|source| source.file.as_ref());
    let places: Vec<_> =
        known.map(|file| (file, args.scope.as_deref(), args.name.as_deref().unwrap_or(&file.name))).collect();
    let collisions = target.capabilities().collisions(places.iter().map(|(_, scope, name)| (*scope, *name)));
    if let Some(group) = collisions.first() {
        let names: Vec<_> = group.iter().map(|(_, name)| *name).collect();
        return Err(Error::invalid(format!(
            "{} would replace each other in the store {:?}; copy them one by one, with --name or --to",
            names.join(" and "),
            target.name()
        )));
    }
    let sources: HashSet<String> = places.iter().map(|(file, _, _)| file.reference.to_string()).collect();
    for (_, scope, name) in &places {
        let place = target.reference(*scope, name)?;
        if sources.contains(place.expose()) {
            return Err(Error::invalid(format!("{place} would be replaced by a copy; choose another --to or --name")));
        }
    }
    Ok(())
}

/// Returns the folder that keeps contents whose read has consumed the file.
fn spool_folder() -> Result<std::path::PathBuf> {
    Ok(data_folder()?.join("filestore").join("spool"))
}

/// Says where the content of a file is that was not copied.
fn report_kept(from: &FileRef) {
    let Ok(folder) = spool_folder() else { return };
    let path = filestore_transfer::spool_path(&folder, from);
    if path.exists() {
        output::report(&format!(
            "the content is kept in {}; the same command copies it from there, without another read",
            path.display()
        ));
    }
}

fn print(context: &Context, from: &FileRef, copied: &CopiedFile) -> Result<()> {
    context.warn_of_skipped(&copied.file.name, &copied.file.skipped);
    let printed = if context.json {
        let mut object = output::json_of(&copied.file);
        object["from"] = json!(from.expose());
        object["not_carried"] = copied.not_carried.iter().map(|feature| feature.as_str()).collect();
        object["proof"] = copied.proof.as_str().into();
        output::json(&object)
    } else {
        copied.file.reference.to_string()
    };
    output::result(printed, &copied_as(copied))
}

fn copied_as(copied: &CopiedFile) -> String {
    stored_as(&copied.file)
}

fn stored_as(file: &StoredFile) -> String {
    format!("copied as {}", file.reference)
}
