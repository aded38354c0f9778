//! Runs the operations of a step by the library: those on single files here, those on many in [`many`].

use std::future::Future;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use filestore::fileio::FileIoUpload;
use filestore::filescom::{Destination, FilesComStore};
use filestore::{Body, Effect, Error, FileRef, IfExists, List, Period, Store, StoredFile, Upload, UrlRequest};
use futures::{StreamExt, TryStreamExt, stream};

use crate::environment::Environment;
use crate::history::{
    Content, Failure, FileState, Found, Interrupt, Operation, Outcome, Owner, ReportedEffect, Round, Snapshot, Step,
    StoreName, place,
};
use crate::plan::NAMES;
use crate::{content, many, processes, snapshot};

/// The most files of an owner in a store to which every upload adds one. Above it, an upload becomes a delete.
const MAX_FILES: usize = 6;

/// The message of a source that fails.
pub const SOURCE_FAILED: &str = "the source failed as planned";

/// The subject of a step.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) owner: Owner,
    /// The chosen file, if it exists.
    pub(crate) file: Option<FileState>,
    /// The reference of the chosen file, also if it does not exist.
    pub(crate) reference: Option<String>,
    /// The subjects of the parts of [`Operation::Many`].
    pub(crate) parts: Vec<Self>,
}

/// Returns the step with an operation that fits the state of the store, and its subject.
pub(crate) fn resolve(step: &Step, before: &Snapshot, round: u64) -> (Step, Subject) {
    let mut step = step.clone();
    let owner = step.operation.owner(step.client);
    let files = before.get(&place(step.store, owner)).map_or(&[][..], Vec::as_slice);
    if let Operation::Many { .. } = step.operation {
        return many::resolve(step, before, round);
    }
    if let Operation::Upload { pick, .. } = step.operation
        && step.store.adds()
        && files.len() >= MAX_FILES
    {
        step.operation = Operation::Delete { pick };
    }
    let chosen = match &step.operation {
        Operation::ReadContested => files.iter().find(|file| file.name == contested_name(StoreName::Fileio, round)),
        Operation::Download { pick, .. }
        | Operation::Stat { pick }
        | Operation::Delete { pick }
        | Operation::Url { pick }
        | Operation::Copy { pick, .. }
        | Operation::Move { pick, .. } => match step.store.adds() {
            true => files.get(pick % files.len().max(1)),
            false => files.iter().find(|file| file.name == NAMES[*pick]),
        },
        _ => return (step, Subject { owner, file: None, reference: None, parts: Vec::new() }),
    };
    let reference = chosen.map(|file| file.reference.clone());
    let reference = reference.or_else(|| match (&step.operation, step.store.adds()) {
        (Operation::ReadContested, _) | (_, true) => None,
        (operation, false) => Some(snapshot::reference(step.store, owner, NAMES[operation.pick()?])),
    });
    if reference.is_none() {
        step.operation = Operation::Nothing;
    }
    (step, Subject { owner, file: chosen.cloned(), reference, parts: Vec::new() })
}

impl Operation {
    fn pick(&self) -> Option<usize> {
        match self {
            Self::Upload { pick, .. }
            | Self::Download { pick, .. }
            | Self::Stat { pick }
            | Self::Delete { pick }
            | Self::Url { pick }
            | Self::Copy { pick, .. }
            | Self::Move { pick, .. } => Some(*pick),
            _ => None,
        }
    }
}

/// Returns the name of an upload in the store.
pub fn stored_name(store: StoreName, owner: Owner, name: &str) -> String {
    // The names of file.io have no scope.
    if store == StoreName::Fileio { format!("{owner}-{name}") } else { name.to_owned() }
}

/// Returns the name of the file for which the clients of a round compete.
pub fn contested_name(store: StoreName, round: u64) -> String {
    stored_name(store, Owner::Shared, &format!("contested {round}"))
}

/// Runs a step.
pub(crate) async fn run(environment: &Environment, round: &Round, step: &Step, subject: &Subject) -> Outcome {
    let begin = Instant::now();
    let folder = environment.path().join(format!("downloads/{}", step.client));
    let mut outcome = match std::fs::create_dir_all(&folder) {
        Err(error) => Outcome::of_failed_run(&error.to_string()),
        Ok(()) if environment.program.is_some() => processes::run(environment, round, step, subject, &folder).await,
        Ok(()) => {
            let operation = operate(environment, round, step, subject, &folder);
            match step.interrupt {
                Some(Interrupt::Drop { polls }) => match (Dropped { inner: Box::pin(operation), polls }).await {
                    Some(outcome) => outcome,
                    None => many::for_parts(step, Outcome::of_interrupted()),
                },
                _ => operation.await,
            }
        }
    };
    outcome.subject = subject.reference.clone();
    for (part, subject) in outcome.parts.iter_mut().zip(&subject.parts) {
        part.subject = subject.reference.clone();
    }
    outcome.seconds = begin.elapsed().as_secs_f64();
    outcome
}

/// Adds the files that the step left in the client's folder for downloads, and empties the folder. To be called when no
/// operation is under way, with the files of the client after the step.
pub(crate) fn collect(
    environment: &Environment,
    step: &Step,
    subject: &Subject,
    outcome: &mut Outcome,
    after: &[FileState],
) {
    let folder = environment.path().join(format!("downloads/{}", step.client));
    let mut saved = Vec::new();
    for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
        saved.push((entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path()).unwrap_or_default()));
        let _ = std::fs::remove_file(entry.path());
    }
    if !outcome.parts.is_empty() {
        saved = many::assign(saved, subject, outcome, after);
    }
    outcome.saved.extend(saved.into_iter().map(|(name, bytes)| (name, content_of(&bytes, subject))));
}

pub(crate) fn content_of(bytes: &[u8], subject: &Subject) -> Content {
    let origin = subject.file.as_ref().and_then(|file| Some((file.origin?, u32::try_from(file.size).ok()?)));
    let is_prefix = origin.is_some_and(|((round, owner), size)| content::of(round, owner, size).starts_with(bytes));
    Content { size: bytes.len() as u64, md5: content::digest(bytes), is_prefix }
}

async fn operate(environment: &Environment, round: &Round, step: &Step, subject: &Subject, folder: &Path) -> Outcome {
    if let Operation::Many { .. } = step.operation {
        return many::operate(environment, round, step, subject, folder).await;
    }
    let result = match environment.stores.get(step.store.as_str()) {
        Ok(store) => operate_on(store, &environment.filescom, round, step, subject, folder).await,
        Err(error) => Err(error),
    };
    result.unwrap_or_else(|error| Outcome { error: Some(failure(&error)), ..Outcome::default() })
}

pub(crate) fn failure(error: &Error) -> Failure {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        message += &format!("; because: {source}");
        cause = source.source();
    }
    for reference in error.possibly_stored().iter().chain(error.stored().map(StoredFile::reference)) {
        message += &format!("; stored: {reference}");
    }
    if let Some(partial) = error.partial() {
        message += &format!("; partial: {}", partial.display());
    }
    let effect = match error.effect() {
        Effect::NotSent | Effect::Rejected => ReportedEffect::Unchanged,
        Effect::Applied => ReportedEffect::Changed,
        _ => ReportedEffect::Unknown,
    };
    Failure { kind: Some(error.kind().as_str().to_owned()), effect, message }
}

pub(crate) fn found(file: &StoredFile) -> Found {
    Found { reference: file.reference().to_string(), name: file.name.clone(), size: file.size }
}

async fn operate_on(
    store: &Store,
    filescom: &FilesComStore,
    round: &Round,
    step: &Step,
    subject: &Subject,
    folder: &Path,
) -> Result<Outcome, Error> {
    let mut outcome = Outcome::default();
    let reference = || subject.reference.as_deref().unwrap_or_default().parse::<FileRef>();
    match &step.operation {
        Operation::Nothing | Operation::Many { .. } => {}
        Operation::Upload { pick, size, source_fails, .. } => {
            let content = content::of(round.number, subject.owner, *size);
            let body = if *source_fails { failing(content) } else { Body::from(content) };
            let upload = Upload::new(stored_name(step.store, subject.owner, NAMES[*pick]), body);
            let upload = with_options(upload, &step.operation, step.store, subject.owner);
            outcome.files.push(found(&store.upload(upload).await?));
        }
        Operation::CreateContested { size } => {
            let content = content::of(round.number, Owner::Client(step.client), *size);
            let upload = Upload::new(contested_name(step.store, round.number), content).if_exists(IfExists::Fail);
            outcome.files.push(found(&store.upload(upload.scope(subject.owner.to_string())).await?));
        }
        Operation::Download { to_file: true, .. } => {
            let saved = store.download_to_path(reference()?, folder.join("file"), IfExists::Fail).await?;
            outcome.files.push(found(&saved.file));
        }
        Operation::Download { .. } | Operation::ReadContested => {
            let downloaded = store.download(reference()?).await?;
            outcome.files.push(found(&downloaded.file));
            let content = downloaded.stream.try_collect::<Vec<Bytes>>().await?.concat();
            outcome.content = Some(content_of(&content, subject));
        }
        Operation::Stat { .. } => outcome.files.push(found(&store.stat(reference()?).await?)),
        Operation::Delete { .. } => store.delete(reference()?).await?,
        Operation::List { limit } => {
            let mut list = List::new();
            if step.store != StoreName::Fileio {
                list = list.scope(subject.owner.to_string());
            }
            if let Some(limit) = limit {
                list = list.limit(*limit);
            }
            outcome.files = store.list_all(list).map_ok(|file| found(&file)).try_collect().await?;
        }
        Operation::Url { .. } => {
            let url = store.url(UrlRequest::from(reference()?)).await?;
            let found = Found { reference: url.as_str().to_owned(), name: String::new(), size: None };
            outcome.files.push(found);
        }
        Operation::Copy { to, overwrite, .. } | Operation::Move { to, overwrite, .. } => {
            let destination = Destination::to(format!("{}/{}", subject.owner, NAMES[*to])).overwrite(*overwrite);
            let reference = reference()?;
            let result = match step.operation {
                Operation::Copy { .. } => filescom.copy(&reference, destination).await?,
                _ => filescom.move_to(&reference, destination).await?,
            };
            outcome.files.push(Found {
                reference: result.stamped(&Arc::from(store.name())).to_string(),
                name: NAMES[*to].to_owned(),
                size: None,
            });
        }
    }
    Ok(outcome)
}

/// Returns an upload with the scope of the owner and the options of the operation.
pub(crate) fn with_options(mut upload: Upload, operation: &Operation, store: StoreName, owner: Owner) -> Upload {
    let Operation::Upload { create_new, downloads, days, .. } = operation else { return upload };
    if *create_new {
        upload = upload.if_exists(IfExists::Fail);
    }
    if let Some(days) = days {
        upload = upload.expires_in(Period::days(*days));
    }
    match store {
        StoreName::Fileio => upload.with(FileIoUpload::new().max_downloads(*downloads)),
        _ => upload.scope(owner.to_string()),
    }
}

/// Returns a body that ends with an error in place of its second half.
fn failing(content: Vec<u8>) -> Body {
    let length = content.len() as u64;
    let half = Bytes::from(content).split_to(usize::try_from(length / 2).unwrap_or_default());
    let chunks = [Ok(half), Err(Error::new(filestore::ErrorKind::Io, Effect::NotSent, SOURCE_FAILED))];
    Body::from_stream(stream::iter(chunks).boxed(), Some(length))
}

/// Drops a future after it was polled a number of times.
struct Dropped<F> {
    inner: Pin<Box<F>>,
    polls: u32,
}

impl<F: Future> Future for Dropped<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls == 0 {
            return Poll::Ready(None);
        }
        self.polls -= 1;
        let polled = pin!(&mut self.inner).poll(context).map(Some);
        // The last poll may never be followed by another.
        if self.polls == 0 && polled.is_pending() { Poll::Ready(None) } else { polled }
    }
}
