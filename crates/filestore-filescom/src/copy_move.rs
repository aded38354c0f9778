//! Copies and moves inside the service. The service executes a large one as a job.

use std::time::Duration;

use filestore_core::{Effect, Error, ErrorKind, FileRef, IfExists, Result, Upload};
use filestore_http::{Attempts, Idempotency, Method};

use crate::api;
use crate::compare::PathKey;
use crate::error;
use crate::path::SitePath;
use crate::store::FilesComStore;
use crate::wire::{self, Entry};

const PARENT_MISSING: &str = "processing-failure/destination-parent-does-not-exist";

/// The delay before the first request for the state of a job. It doubles with each request.
const FIRST_POLL_DELAY: Duration = Duration::from_millis(250);
/// The maximum delay between two requests for the state of a job.
const MAX_POLL_DELAY: Duration = Duration::from_secs(10);

/// The destination and the options of a copy or move.
///
/// ```
/// use filestore_filescom::Destination;
///
/// let to = Destination::to("archive/2026/q3.pdf").overwrite(true);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Destination {
    /// The complete new path below the root of the store, including the name.
    pub destination: String,
    /// `true` replaces an existing file, and merges into an existing folder. Default: `false`.
    pub overwrite: bool,
    /// `true` creates missing folders of the destination. Default: `true`.
    pub parents: bool,
    /// The maximum time to wait for the end of a job. Default: one hour.
    pub longest_wait: Duration,
}

impl Destination {
    /// Creates the destination at this path, which does not overwrite.
    pub fn to(destination: impl Into<String>) -> Self {
        Self {
            destination: destination.into(),
            overwrite: false,
            parents: true,
            longest_wait: Duration::from_secs(3600),
        }
    }

    /// Sets whether an existing file is replaced, and an existing folder merged into.
    pub fn overwrite(mut self, overwrite: bool) -> Self {
        self.overwrite = overwrite;
        self
    }

    /// Sets whether missing folders are created.
    pub fn parents(mut self, parents: bool) -> Self {
        self.parents = parents;
        self
    }

    /// Sets the maximum time to wait for the end of a job.
    pub fn longest_wait(mut self, longest: Duration) -> Self {
        self.longest_wait = longest;
        self
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Copy,
    Move,
}

impl Verb {
    fn endpoint(self) -> &'static str {
        match self {
            Self::Copy => "file_actions/copy",
            Self::Move => "file_actions/move",
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Move => "move",
        }
    }
}

/// A requested copy or move.
struct Step<'a> {
    verb: Verb,
    source: &'a SitePath,
    destination: &'a SitePath,
    overwrite: bool,
    /// The entry that shows whether a request with a lost response was applied: before a move, that at the source.
    /// Before a copy, that at the destination, which may have the same content already.
    before: Result<Option<Box<Entry>>>,
}

/// The response to a request for a copy or move.
enum Outcome {
    Completed,
    /// The service executes it as a job.
    Pending {
        /// The id of the job, if the response has it.
        job: Option<u64>,
        /// The effect of all attempts if the job changes nothing: *unknown* after a lost response.
        effect_if_unchanged: Effect,
    },
}

impl FilesComStore {
    /// Copies a file, or a folder with its content, and returns the reference of the copy, in the spelling of `to`; see
    /// [`stored_reference`](Self::stored_reference). Time and metadata are copied, too.
    ///
    /// If the service executes the copy as a job, this waits for the end of the job. A lost response is resolved by a
    /// request for the metadata of source and destination; the effect stays *unknown* if the destination had the same
    /// content before. Errors:
    ///
    /// - *already exists*;
    /// - *not found*: the source, or a folder of the destination if `parents` is `false`;
    /// - *invalid input*: the destination is the source or inside it;
    /// - *timeout*: the job takes longer than [`longest_wait`](Destination::longest_wait). The job continues, and the
    ///   effect is *unknown*;
    /// - *other*: the job failed, with the reason of the service. The effect is *rejected* if the metadata of source and
    ///   destination proves that the job changed nothing, or else *unknown*: its changes until then stay.
    pub async fn copy(&self, source: &FileRef, to: Destination) -> Result<FileRef> {
        self.copy_or_move(Verb::Copy, self.path_of(source)?, self.path_below(&to.destination)?, &to).await
    }

    /// Moves or renames a file, or a folder with its content, and returns its new reference. Errors are those of
    /// [`copy`](Self::copy).
    pub async fn move_to(&self, source: &FileRef, to: Destination) -> Result<FileRef> {
        self.copy_or_move(Verb::Move, self.path_of(source)?, self.path_below(&to.destination)?, &to).await
    }

    /// Copies the file of an upload whose content is stored in the same account, wherever that is.
    pub(crate) async fn copy_for_upload(&self, source: &FileRef, path: &SitePath, upload: &Upload) -> Result<()> {
        let overwrite = upload.if_exists == IfExists::Replace;
        let to = Destination::to("").overwrite(overwrite).parents(upload.create_parents);
        self.copy_or_move(Verb::Copy, SitePath::of(source)?, path.clone(), &to).await.map(drop)
    }

    async fn copy_or_move(
        &self,
        verb: Verb,
        source: SitePath,
        destination: SitePath,
        to: &Destination,
    ) -> Result<FileRef> {
        // 1. A request that the service is certain to reject is not sent.
        let destination = destination.checked_as_new()?;
        check(&source, &destination)?;
        // 2. The entry that distinguishes a copy or move whose response is lost from a destination that was like this
        // before, and from a source that never existed.
        let before = match verb {
            Verb::Copy => match self.find_entry(&destination).await {
                // A user may write to a folder without reading it. A 404 that may not be the service's proves nothing.
                Err(error) if matches!(error.kind(), ErrorKind::Permission | ErrorKind::NotFound) => Err(error),
                before => Ok(before?),
            },
            Verb::Move => Ok(Some(self.entry(&source).await?)),
        };
        // 3. The request. The folders of the destination are created only if the service responds that they are
        // missing.
        let step = Step { verb, source: &source, destination: &destination, overwrite: to.overwrite, before };
        let mut is_earlier_unknown = false;
        let outcome = match self.send_copy_or_move(&step).await {
            Err(missing) if to.parents && error::is(&missing, PARENT_MISSING) => {
                // A created folder is no effect of the copy or move itself. But with it, an earlier request of unknown
                // effect may still be applied.
                is_earlier_unknown = missing.effect() == Effect::Unknown;
                let with_earlier = |error: Error, effect: Effect| {
                    error.with_effect(if is_earlier_unknown { Effect::Unknown } else { effect })
                };
                let created = self.make_folder(&destination.parent(), true).await;
                created.map_err(|error| with_earlier(error, Effect::Rejected))?;
                self.send_copy_or_move(&step).await.map_err(|error| {
                    let effect = error.effect();
                    with_earlier(error, effect)
                })?
            }
            outcome => outcome?,
        };
        // 4. The job, if it is one.
        match outcome {
            Outcome::Completed => {}
            Outcome::Pending { job: Some(job), effect_if_unchanged } => {
                if let Some(failure) = self.await_job(verb, job, to.longest_wait).await? {
                    let effect = if is_earlier_unknown { Effect::Unknown } else { effect_if_unchanged };
                    return Err(self.failed_job(&step, failure, effect).await);
                }
            }
            Outcome::Pending { job: None, .. } => {
                let message = format!(
                    "the service executes the {} as a job, but the response has no id of the job; check the \
                     destination before you retry",
                    verb.noun()
                );
                return Err(Error::new(ErrorKind::Protocol, Effect::Unknown, message));
            }
        }
        Ok(destination.reference())
    }

    /// Sends a copy or move, with a retry only if it is proven that nothing happened. After a lost response, the
    /// metadata of source and destination shows what happened.
    async fn send_copy_or_move(&self, step: &Step<'_>) -> Result<Outcome> {
        let Step { verb, source, destination, overwrite, before } = step;
        let body = wire::CopyOrMove { destination: &destination.to_string(), overwrite: *overwrite };
        let payload = api::json(&body)?;
        let mut attempts = Attempts::new();
        loop {
            let request = self.api().request(Method::POST, verb.endpoint(), source, Idempotency::NonIdempotent)?;
            let response =
                self.api().send_for_json_within::<wire::FileAction>(request.body(payload.clone()), &mut attempts);
            let error = match response.await {
                Ok(response) if response.status == "completed" => return Ok(Outcome::Completed),
                Ok(response) => {
                    let effect_if_unchanged = attempts.history().effect_if_rejected();
                    return Ok(Outcome::Pending { job: response.file_migration_id, effect_if_unchanged });
                }
                Err(error) if error.effect() == Effect::Unknown => error,
                Err(error) => return Err(error),
            };
            let (Ok(source), Ok(found)) = (self.find_entry(source).await, self.find_entry(destination).await) else {
                return Err(unresolved(error));
            };
            // Names that differ only in case are the same to the service, which finds the source under both.
            let respelled = (*verb == Verb::Move).then(|| respelled(step, found.as_deref())).flatten();
            let happened = match (verb, &source, &found) {
                _ if respelled == Some(true) => true,
                (Verb::Move, None, Some(found)) => {
                    matches!(before, Ok(Some(before)) if may_be_moved(before, found))
                }
                (Verb::Copy, Some(source), Some(found)) => {
                    is_copy(source, found)
                        && before
                            .as_ref()
                            .is_ok_and(|before| before.as_ref().is_none_or(|before| differs(source, before)))
                }
                _ => false,
            };
            if happened {
                return Ok(Outcome::Completed);
            }
            // The copy or move of a folder may be a job that has not begun.
            let may_begin = source.as_ref().is_none_or(|source| source.is_folder());
            if may_begin || !self.is_unchanged(step, source.as_deref(), found.as_deref()).await {
                return Err(unresolved(error));
            }
            let effect = attempts.record_nothing_found();
            let is_transient = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout);
            if !(is_transient && found.is_none() && self.api().http().retry_step(&mut attempts).await) {
                let error = error.with_effect(effect);
                return Err(if effect == Effect::Unknown { unresolved(error) } else { error });
            }
        }
    }

    /// Returns `true` if the entries at source and destination prove that a copy or move that has ended, or will not
    /// begin, changed nothing.
    async fn is_unchanged(&self, step: &Step<'_>, source: Option<&Entry>, found: Option<&Entry>) -> bool {
        let Some(source) = source else { return false };
        match (step.verb, found) {
            // The same entry under another spelling of its name.
            (Verb::Move, found) if is_same(step.source, step.destination) => respelled(step, found) == Some(false),
            // A copy that has ended early is not like the source either: the destination must be as it was before.
            (Verb::Copy, Some(found)) => {
                matches!(&step.before, Ok(Some(before)) if is_unmodified(before, found)) && differs(source, found)
            }
            // A move may have ended between the copy and the removal of the source.
            (Verb::Move, Some(found)) => !source.is_folder() && differs(source, found),
            (Verb::Move, None) if !source.is_folder() => true,
            (_, None) => self.is_visible(&step.destination.parent()).await,
        }
    }

    /// Returns the error of a job that has failed. The entries at source and destination show whether it changed
    /// something.
    async fn failed_job(&self, step: &Step<'_>, failure: String, effect_if_unchanged: Effect) -> Error {
        let unknown = |failure| unresolved(Error::new(ErrorKind::Other, Effect::Unknown, failure));
        if effect_if_unchanged == Effect::Unknown {
            return unknown(failure);
        }
        let (Ok(source), Ok(found)) = (self.find_entry(step.source).await, self.find_entry(step.destination).await)
        else {
            return unknown(failure);
        };
        if !self.is_unchanged(step, source.as_deref(), found.as_deref()).await {
            return unknown(failure);
        }
        let is_taken = found.is_some() && !step.overwrite && !is_same(step.source, step.destination);
        let kind = if is_taken { ErrorKind::AlreadyExists } else { ErrorKind::Other };
        Error::new(kind, effect_if_unchanged, failure)
    }

    /// Waits until the job has ended. Returns a description of its failure if the service reports one.
    async fn await_job(&self, verb: Verb, job: u64, longest: Duration) -> Result<Option<String>> {
        let unknown = |kind, message| Error::new(kind, Effect::Unknown, message);
        let endpoint = format!("file_migrations/{job}");
        let (mut pause, mut waited) = (FIRST_POLL_DELAY, Duration::ZERO);
        while waited < longest {
            self.api().clock().sleep(pause).await;
            waited += pause;
            pause = (pause * 2).min(MAX_POLL_DELAY);
            let request = self.api().request(Method::GET, &endpoint, &SitePath::default(), Idempotency::Safe)?;
            let polled = async {
                let mut response = self.api().send(request).await?;
                let found: wire::FileMigration = api::read(&mut response).await?;
                Ok((response, found))
            };
            let (response, found) = polled.await.map_err(|error: Error| {
                let note = format!("the {} is job {job} of the service and may continue", verb.noun());
                error.with_effect(Effect::Unknown).with_note(&note)
            })?;
            if let Some(other) = found.id.filter(|id| *id != job) {
                let message = format!(
                    "the service responded with the state of job {other} instead of job {job}; the {} may continue",
                    verb.noun()
                );
                return Err(unknown(ErrorKind::Protocol, message));
            }
            match found.status.as_str() {
                "completed" => return Ok(None),
                "failed" | "cancelled" => {
                    let reason = found.failure_message.as_deref().unwrap_or("no reason given");
                    let moved = found.files_moved.map(|files| format!(", {files} files done")).unwrap_or_default();
                    return Ok(Some(format!(
                        "the service could not finish the {} (job {job}, {}{moved}): {}",
                        verb.noun(),
                        found.status,
                        response.presentable(reason)
                    )));
                }
                _ => {}
            }
        }
        let message = format!(
            "the {} is not finished after {} s and continues as job {job} of the service; check the destination later",
            verb.noun(),
            waited.as_secs()
        );
        Err(unknown(ErrorKind::Timeout, message))
    }
}

/// Adds that the effect of a copy or move is to be checked.
fn unresolved(error: Error) -> Error {
    error.with_note("check the source and the destination before you retry")
}

/// Rejects a copy or move onto itself, and one of a folder into itself.
fn check(source: &SitePath, destination: &SitePath) -> Result<()> {
    if source == destination {
        return Err(Error::invalid("source and destination are the same; choose another destination"));
    }
    let (from, to) = (PathKey::new(&source.to_string()), PathKey::new(&destination.to_string()));
    if to.as_str().strip_prefix(from.as_str()).is_some_and(|rest| rest.starts_with('/')) {
        return Err(Error::invalid("the destination is inside the source; choose another destination"));
    }
    Ok(())
}

/// Returns `true` if a move that changes only the spelling of a name has happened. `None` for any other move, or if the
/// service does not tell the spelling.
fn respelled(step: &Step<'_>, found: Option<&Entry>) -> Option<bool> {
    let spelling = found?.path.as_deref().filter(|_| is_same(step.source, step.destination))?;
    let spellings = [(step.destination, true), (step.source, false)];
    spellings.into_iter().find_map(|(path, happened)| (spelling == path.to_string()).then_some(happened))
}

fn is_same(one: &SitePath, other: &SitePath) -> bool {
    PathKey::new(&one.to_string()) == PathKey::new(&other.to_string())
}

/// Returns `true` if two files have the same content, by a digest that the service has computed of both.
fn is_copy(a: &Entry, b: &Entry) -> bool {
    !a.is_folder() && !b.is_folder() && a.size == b.size && equal_digests(a, b) == Some(true)
}

/// Returns `true` if the entry `found` at the destination of a move may be the entry that was at its source: both are
/// folders, or both are files of the same size without different digests.
fn may_be_moved(before: &Entry, found: &Entry) -> bool {
    match (before.is_folder(), found.is_folder()) {
        (true, true) => true,
        (false, false) => before.size == found.size && equal_digests(before, found) != Some(false),
        _ => false,
    }
}

/// Returns `true` if an entry is what it was before, as far as the service tells.
fn is_unmodified(before: &Entry, found: &Entry) -> bool {
    before.is_folder() == found.is_folder()
        && (before.size, before.created_at, before.mtime, &before.md5, &before.crc32)
            == (found.size, found.created_at, found.mtime, &found.md5, &found.crc32)
}

/// Returns `true` if the entry `found` at the destination is certainly not a copy of the source.
fn differs(source: &Entry, found: &Entry) -> bool {
    let sizes = source.size.zip(found.size).is_some_and(|(a, b)| a != b);
    source.is_folder() != found.is_folder() || sizes || equal_digests(source, found) == Some(false)
}

/// Returns `true` if the known digests are equal; `None` if no digest is known of both files.
fn equal_digests(a: &Entry, b: &Entry) -> Option<bool> {
    let digests = [(&a.md5, &b.md5), (&a.crc32, &b.crc32)];
    let known = |(a, b): (&Option<String>, &Option<String>)| Some(a.as_ref()? == b.as_ref()?);
    digests.into_iter().filter_map(known).reduce(|all, equal| all && equal)
}
