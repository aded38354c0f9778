//! Operations on many files: their parts, their local files, and their calls of the library.

use std::cmp::Reverse;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::{Duration, SystemTime};

use filestore::{Delete, Error, FileRef, IfExists, SavedFile, Upload};
use filestore_testbed::{self as testbed, failed};
use filestore_transfer::{DownloadTree, Filter, Outcomes, Save, Stopped, TransferPool, UploadTree, is_unchanged};
use futures::{StreamExt, stream};

use crate::content;
use crate::environment::Environment;
use crate::execute::{self, Subject, content_of, failure, found, stored_name, with_options};
use crate::history::{
    FAILED_RUN, FileState, Found, Interrupt, NOT_REPORTED, Operation, Outcome, Owner, ReportedEffect, Round, Snapshot,
    Step, StoreName, place,
};
use crate::plan::NAMES;

/// The seconds between the modification times of the sources of two rounds. It is more than the coarsest precision of a
/// store, so that two contents never have one time.
const SECONDS_OF_ROUND: u64 = 10;

/// Returns a step whose parts fit the state of the store, and its subjects.
pub(crate) fn resolve(mut step: Step, before: &Snapshot, round: u64) -> (Step, Subject) {
    let owner = step.operation.owner(step.client);
    let files = before.get(&place(step.store, owner)).map_or(&[][..], Vec::as_slice);
    let mut subjects: Vec<Subject> = Vec::new();
    if let Operation::Many { parts, tree, skip, .. } = &mut step.operation {
        let planned = std::mem::take(parts);
        let uploads = |parts: &[Operation]| matches!(parts.first(), Some(Operation::Upload { .. }));
        let chosen = match *tree && !uploads(&planned) {
            true => whole_tree(planned.first(), step.store, files),
            false => planned.clone(),
        };
        for operation in chosen {
            let (client, store, interrupt) = (step.client, step.store, None);
            let single = Step { client, store, operation, interrupt };
            let (mut single, subject) = execute::resolve(&single, before, round);
            let is_same = |other: &Subject| subject.reference.is_some() && other.reference == subject.reference;
            if single.operation != Operation::Nothing && !subjects.iter().any(is_same) {
                if *skip {
                    upload_again(&mut single.operation, files, owner, round);
                }
                parts.push(single.operation);
                subjects.push(subject);
            }
        }
        // If there are many files, uploads have become deletes of single files.
        *tree &= uploads(&planned) == uploads(parts);
    }
    if subjects.is_empty() {
        step.operation = Operation::Nothing;
    }
    (step, Subject { owner, file: None, reference: None, parts: subjects })
}

/// Returns the downloads, or the deletes, of all files that there are.
fn whole_tree(planned: Option<&Operation>, store: StoreName, files: &[FileState]) -> Vec<Operation> {
    let pick = |(index, file): (usize, &FileState)| match store.adds() {
        true => Some(index),
        false => NAMES.iter().position(|name| *name == file.name),
    };
    let part = |pick| match planned {
        Some(Operation::Delete { .. }) => Operation::Delete { pick },
        _ => Operation::Download { pick, to_file: true },
    };
    files.iter().enumerate().filter_map(pick).map(part).collect()
}

/// Gives every second upload the content of the stored file.
fn upload_again(part: &mut Operation, files: &[FileState], owner: Owner, round: u64) {
    let Operation::Upload { pick, size, content, .. } = part else { return };
    let file = files.iter().find(|file| file.name == NAMES[*pick]);
    let origin = file.and_then(|file| Some((file, file.origin?.0, u32::try_from(file.size).ok()?)));
    if let Some((file, origin, stored_size)) = origin.filter(|_| (*pick as u64 + round).is_multiple_of(2))
        && file.md5 == Some(content::digest(&content::of(origin, owner, stored_size)))
    {
        (*size, *content) = (stored_size, Some(origin));
    }
}

/// Returns an outcome of the step with this outcome for each part.
pub(crate) fn for_parts(step: &Step, outcome: Outcome) -> Outcome {
    let parts = match &step.operation {
        Operation::Many { parts, .. } => vec![outcome.clone(); parts.len()],
        _ => Vec::new(),
    };
    Outcome { parts, ..outcome }
}

/// Returns the reference of the owner's folder.
pub(crate) fn folder_reference(store: StoreName, owner: Owner) -> String {
    format!("{}{}", store.as_str(), FileRef::new(store.as_str(), [owner.to_string().as_str()]))
}

/// Returns the glob of the owner's files in a store without scopes.
pub(crate) fn glob(owner: Owner) -> String {
    format!("{owner}-*")
}

/// Writes the sources of uploads, with the modification time of their round. Returns their folder and their paths, in
/// the order of the parts.
pub(crate) fn write_sources(
    environment: &Environment,
    round: &Round,
    step: &Step,
    owner: Owner,
) -> testbed::Result<(PathBuf, Vec<PathBuf>)> {
    let folder = environment.path().join(format!("sources-{}", step.client));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).map_err(failed("create a folder"))?;
    let mut paths = Vec::new();
    for part in step.operation.parts() {
        let Operation::Upload { pick, size, content, .. } = part else { continue };
        let number = content.unwrap_or(round.number);
        let path = folder.join(stored_name(step.store, owner, NAMES[*pick]));
        std::fs::write(&path, content::of(number, owner, *size)).map_err(failed("write a source"))?;
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000 + SECONDS_OF_ROUND * number);
        let file = std::fs::File::options().write(true).open(&path).map_err(failed("open a source"))?;
        file.set_modified(modified).map_err(failed("set the time of a source"))?;
        paths.push(path);
    }
    Ok((folder, paths))
}

/// Gives the local files that a step left to the parts that they belong to: the target of a download as `file`, and others
/// under their names. Returns those that belong to no part.
pub(crate) fn assign(
    mut saved: Vec<(String, Vec<u8>)>,
    subject: &Subject,
    outcome: &mut Outcome,
    after: &[FileState],
) -> Vec<(String, Vec<u8>)> {
    let is_final = |name: &str| !name.starts_with(".filestore-") && !name.ends_with(".partial");
    // A whole file tells more than a beginning, and a long beginning more than one without a byte, which is that of every
    // file.
    saved.sort_by_key(|(name, bytes)| (!is_final(name), Reverse(bytes.len())));
    let mut rest = Vec::new();
    for (name, bytes) in saved {
        let is_target = |part: &Outcome| part.is_success() && part.files.iter().any(|found| found.name == name);
        let names = |part: &Outcome| {
            !part.interrupted && part.error.as_ref().is_some_and(|failure| failure.message.contains(&name))
        };
        let mut parts = outcome.parts.iter();
        let is_final = is_final(&name);
        let (index, key) = if let Some(index) = parts.position(is_target) {
            (Some(index), "file")
        } else if let Some(index) = outcome.parts.iter().position(names) {
            (Some(index), name.as_str())
        } else {
            // No result names it: the most likely of the reads that ended without a result.
            let likely = |index: &usize| {
                let file = subject.parts[*index].file.as_ref();
                let content = content_of(&bytes, &subject.parts[*index]);
                let is_whole = file.is_some_and(|file| file.md5.as_ref() == Some(&content.md5));
                let stem = |file: &FileState| {
                    Path::new(&file.name).file_stem().map(|stem| stem.to_string_lossy().into_owned())
                };
                let is_named = file.and_then(stem).is_some_and(|stem| name.contains(&stem));
                let is_consumed = file.is_some_and(|file| {
                    let now = after.iter().find(|other| other.reference == file.reference);
                    now.map(|now| now.downloads) != Some(file.downloads)
                });
                // Every partial file without a byte would be the whole of an empty file.
                (is_whole && (is_final || content.size > 0), is_named, content.is_prefix, is_consumed)
            };
            let without = |index: &usize| !outcome.parts[*index].is_success() && outcome.parts[*index].saved.is_empty();
            let index = (0..outcome.parts.len().min(subject.parts.len())).filter(without).max_by_key(likely);
            (index, if is_final { "file" } else { name.as_str() })
        };
        match index {
            Some(index) => {
                let content = content_of(&bytes, &subject.parts[index]);
                outcome.parts[index].saved.insert(key.to_owned(), content);
            }
            None => rest.push((name, bytes)),
        }
    }
    rest
}

/// The outcomes of the parts of a call. `None`: there is none yet.
type Parts = Vec<Option<Outcome>>;

/// Runs a step by the library.
pub(crate) async fn operate(
    environment: &Environment,
    round: &Round,
    step: &Step,
    subject: &Subject,
    folder: &Path,
) -> Outcome {
    let mut parts: Parts = vec![None; step.operation.parts().len()];
    match transfer(environment, round, step, subject, folder, &mut parts).await {
        // What is planned before the first transfer has failed.
        Err(error) => for_parts(step, Outcome { error: Some(failure(&error)), ..Outcome::default() }),
        Ok(is_stopped) => {
            let message = if is_stopped { "it was not sent before the stop" } else { NOT_REPORTED };
            let parts = parts.into_iter().map(|part| part.unwrap_or_else(|| Outcome::of_unsent(message)));
            let parts: Vec<Outcome> = parts.collect();
            let error = parts.iter().find_map(|part| part.error.clone());
            Outcome { error, interrupted: is_stopped, parts, ..Outcome::default() }
        }
    }
}

/// Transfers the files of a step. Returns `true` if it was stopped.
async fn transfer(
    environment: &Environment,
    round: &Round,
    step: &Step,
    subject: &Subject,
    folder: &Path,
    parts: &mut Parts,
) -> Result<bool, Error> {
    let Operation::Many { parts: operations, tree, skip, jobs } = &step.operation else { return Ok(false) };
    let (store, owner) = (environment.stores.get(step.store.as_str())?, subject.owner);
    let pool = jobs.map_or_else(TransferPool::new, |jobs| TransferPool::new().jobs(jobs.into()));
    let run_failed = |message: &str| Error::invalid(format!("{FAILED_RUN}: {message}"));
    let part_of = |reference: &FileRef| {
        let reference = Some(reference.to_string());
        let part = subject.parts.iter().position(|part| part.reference == reference);
        part.ok_or_else(|| run_failed("a file that does not exist is listed"))
    };
    let references = || {
        let references = subject.parts.iter().map(|part| part.reference.as_deref().unwrap_or_default().parse());
        references.collect::<Result<Vec<FileRef>, Error>>()
    };
    match operations.first() {
        Some(Operation::Upload { .. }) => {
            let sources = write_sources(environment, round, step, owner);
            let (sources, paths) = sources.map_err(|message| run_failed(&message))?;
            let part_of = |path: &Path| {
                let part = paths.iter().position(|other| other == path);
                part.ok_or_else(|| run_failed("a file that does not exist is planned"))
            };
            let mut files = Vec::new();
            if *tree {
                let mut tree = UploadTree::new(sources).skip_unchanged(*skip);
                if step.store != StoreName::Fileio {
                    tree = tree.scope(owner.to_string());
                }
                let plan = tree.plan(store).await?;
                for left_out in &plan.left_out {
                    parts[part_of(&left_out.path)?] =
                        Some(Outcome { error: Some(failure(&left_out.error)), ..Outcome::default() });
                }
                for path in &plan.unchanged {
                    parts[part_of(path)?] = Some(Outcome::default());
                }
                for (path, upload) in plan.files {
                    files.push((part_of(&path)?, upload));
                }
            } else {
                for (part, path) in paths.iter().enumerate() {
                    let stored = match *skip {
                        true => store.stat(&store.reference(Some(&owner.to_string()), &name_of(path))?).await.ok(),
                        false => None,
                    };
                    match stored {
                        Some(stored) if is_unchanged(store, path, &stored).await? => {
                            parts[part] = Some(Outcome::default());
                        }
                        _ => files.push((part, Upload::from_path(path)?)),
                    }
                }
            }
            let files = files
                .into_iter()
                .map(|(part, upload)| (part, with_options(upload, &operations[part], step.store, owner)));
            let outcomes = pool.upload_all(store, stream::iter(files.collect::<Vec<_>>()));
            Ok(receive(environment, step, outcomes, parts, |file| Some(found(&file))).await)
        }
        Some(Operation::Download { .. }) => {
            let mut files = Vec::new();
            if *tree {
                let tree = DownloadTree::new(folder);
                let tree = match step.store {
                    StoreName::Fileio => tree.filter(Filter::new().include(glob(owner))),
                    _ => tree.scope(owner.to_string()),
                };
                for (_, save) in tree.plan(store).await?.files {
                    files.push((part_of(save.reference())?, save));
                }
            } else {
                let saves = references()?.into_iter().map(|reference| Save::to_folder(reference, folder));
                files.extend(saves.map(|save| save.if_exists(IfExists::Fail)).enumerate());
            }
            let outcomes = pool.download_all(store, stream::iter(files));
            let local = |saved: SavedFile| Some(Found { name: name_of(&saved.path), ..found(&saved.file) });
            Ok(receive(environment, step, outcomes, parts, local).await)
        }
        _ if *tree => {
            let folder: FileRef = folder_reference(step.store, owner).parse()?;
            let deletes = stream::iter([(0, Delete::from(folder).recursive(true))]);
            let is_stopped = receive(environment, step, pool.delete_all(store, deletes), parts, |()| None).await;
            // The one outcome is that of each file; some of them may remain if it is an error.
            if let Some(failure) = parts[0].iter_mut().find_map(|outcome| outcome.error.as_mut())
                && failure.effect == ReportedEffect::Changed
            {
                failure.effect = ReportedEffect::Unknown;
            }
            let outcome = parts[0].clone();
            parts.iter_mut().for_each(|part| part.clone_from(&outcome));
            Ok(is_stopped)
        }
        _ => {
            let deletes = references()?.into_iter().map(Delete::from).enumerate();
            let outcomes = pool.delete_all(store, stream::iter(deletes.collect::<Vec<_>>()));
            Ok(receive(environment, step, outcomes, parts, |()| None).await)
        }
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Receives the outcomes of a call, and stops it if the step is interrupted. Returns `true` if it was stopped.
async fn receive<T: Send + 'static>(
    environment: &Environment,
    step: &Step,
    mut outcomes: Outcomes<usize, T>,
    parts: &mut Parts,
    found: impl Fn(T) -> Option<Found>,
) -> bool {
    let stop = async {
        match step.interrupt {
            Some(Interrupt::Stop { requests }) => environment.received(requests).await,
            _ => pending().await,
        }
    };
    let (mut stop, mut is_stopped) = (pin!(stop), false);
    loop {
        let outcome = tokio::select! {
            biased;
            () = &mut stop, if !is_stopped => {
                outcomes.stop();
                is_stopped = true;
                continue;
            }
            outcome = outcomes.next() => outcome,
        };
        let Some(outcome) = outcome else { return is_stopped };
        parts[outcome.key] = Some(match outcome.result {
            Ok(value) => Outcome { files: found(value).into_iter().collect(), ..Outcome::default() },
            Err(error) => {
                let interrupted = std::error::Error::source(&error).is_some_and(|source| source.is::<Stopped>());
                // The error of a transfer that was stopped names no partial file: the application has observed it.
                let failure = Some(failure(&error));
                let error = failure.filter(|failure| !interrupted || failure.effect == ReportedEffect::Unchanged);
                Outcome { error, interrupted, ..Outcome::default() }
            }
        });
    }
}
