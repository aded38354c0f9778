//! Copies and moves inside the service, and the jobs that it makes of large ones.

use std::time::Duration;

use filestore_core::{Effect, Error, ErrorKind, FileRef, Result};
use filestore_http::{Attempts, Idempotency, Method};

use crate::api;
use crate::compare::PathKey;
use crate::error;
use crate::path::SitePath;
use crate::store::FilesComStore;
use crate::wire::{self, Entry};

const PARENT_MISSING: &str = "processing-failure/destination-parent-does-not-exist";

/// Jobs are asked for after this time first, then after twice as long each time.
const FIRST_LOOK: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Where a copy or move goes.
///
/// ```
/// use filestore_filescom::Destination;
///
/// let to = Destination::to("archive/2026/q3.pdf").overwrite(true);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Destination {
    /// The whole new path below the root of the store, name included.
    pub destination: String,
    /// Whether a file that is there is replaced, and a folder merged into. Default: no.
    pub overwrite: bool,
    /// Whether missing folders of the destination are made. Default: yes.
    pub parents: bool,
    /// How long to wait for a job to end. Default: one hour.
    pub longest_wait: Duration,
}

impl Destination {
    /// To this path, unless something is there.
    pub fn to(destination: impl Into<String>) -> Self {
        Self {
            destination: destination.into(),
            overwrite: false,
            parents: true,
            longest_wait: Duration::from_secs(3600),
        }
    }

    /// Says whether what is there is replaced.
    pub fn overwrite(mut self, overwrite: bool) -> Self {
        self.overwrite = overwrite;
        self
    }

    /// Says whether missing folders are made.
    pub fn parents(mut self, parents: bool) -> Self {
        self.parents = parents;
        self
    }

    /// Says how long to wait for the end of a job.
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

/// A copy or move that is asked for.
struct Step<'a> {
    verb: Verb,
    source: &'a SitePath,
    destination: &'a SitePath,
    overwrite: bool,
    /// What a move is about, as it was before.
    before: Option<Box<Entry>>,
}

/// What became of one request.
enum Relocation {
    Completed,
    /// The job that does it, where the service says which.
    Pending(Option<u64>),
}

impl FilesComStore {
    /// Copies a file, or a folder with all that is in it; gives the reference of the copy. Time and
    /// metadata are copied, too.
    ///
    /// Waits for the end where the service makes a job of it. *Already exists*, *not found* (the source, or
    /// a folder of the destination when `parents` is off), *invalid input* (onto or into itself),
    /// *timeout* when the job takes longer than [`longest_wait`](Destination::longest_wait): it goes on, and the
    /// effect is *unknown*. A job that fails is *other*, with the service's reason; what it did until then
    /// stays. A lost answer is resolved by looking at source and destination.
    pub async fn copy(&self, source: &FileRef, to: Destination) -> Result<FileRef> {
        self.copy_or_move(Verb::Copy, source, to).await
    }

    /// Moves or renames a file, or a folder with all that is in it; gives its new reference. Errors are
    /// those of [`copy`](Self::copy).
    pub async fn move_to(&self, source: &FileRef, to: Destination) -> Result<FileRef> {
        self.copy_or_move(Verb::Move, source, to).await
    }

    async fn copy_or_move(&self, verb: Verb, source: &FileRef, to: Destination) -> Result<FileRef> {
        // 1. What is certain to be rejected is not sent.
        let source = self.path_of(source)?;
        let destination = self.path_below(&to.destination)?;
        check(&source, &destination)?;
        // 2. What is to be moved: without it nobody could tell a move whose response is lost from a file that never was.
        let before = match verb {
            Verb::Copy => None,
            Verb::Move => Some(self.entry(&source).await?),
        };
        // 3. The request; the destination's folders are made when the service misses them, and not before.
        let step = Step { verb, source: &source, destination: &destination, overwrite: to.overwrite, before };
        let asked = match self.ask_to_relocate(&step).await {
            Err(missing) if to.parents && error::is(&missing, PARENT_MISSING) => {
                // A folder that may have been made is no copy and no move. With it, an earlier request that is still
                // under way may be applied.
                let earlier = missing.effect();
                let settled = |error: Error, own: Effect| {
                    error.with_effect(if earlier == Effect::Unknown { earlier } else { own })
                };
                let made = self.make_folder(&destination.parent(), true).await;
                made.map_err(|error| settled(error, Effect::Rejected))?;
                self.ask_to_relocate(&step).await.map_err(|error| {
                    let own = error.effect();
                    settled(error, own)
                })?
            }
            asked => asked?,
        };
        // 4. The job, if it is one.
        match asked {
            Relocation::Completed => {}
            Relocation::Pending(Some(job)) => self.await_job(verb, job, to.longest_wait).await?,
            Relocation::Pending(None) => {
                let message = format!("the service makes a job of the {} and does not say which", verb.noun());
                return Err(Error::new(ErrorKind::Protocol, Effect::Unknown, message));
            }
        }
        Ok(destination.reference())
    }

    /// Asks for a copy or move, and again where it certainly has not happened yet. After a response that is lost, what is
    /// there tells.
    async fn ask_to_relocate(&self, step: &Step<'_>) -> Result<Relocation> {
        let Step { verb, source, destination, overwrite, before } = step;
        let body = wire::Relocation { destination: &destination.to_string(), overwrite: *overwrite };
        let payload = api::json(&body)?;
        let mut attempts = Attempts::new();
        loop {
            let request = self.api().request(Method::POST, verb.endpoint(), source, Idempotency::NonIdempotent)?;
            let asked = self.api().ask_within::<wire::Relocated>(request.body(payload.clone()), &mut attempts);
            let error = match asked.await {
                Ok(answer) if answer.status == "completed" => return Ok(Relocation::Completed),
                Ok(answer) => return Ok(Relocation::Pending(answer.file_migration_id)),
                Err(error) if error.effect() == Effect::Unknown => error,
                Err(error) => return Err(error),
            };
            let unsettled = |error: Error| error.with_note("look at source and destination before you repeat it");
            let (Ok(source), Ok(there)) = (self.find_entry(source).await, self.find_entry(destination).await) else {
                return Err(unsettled(error));
            };
            // Names of another case are the same to the service: it finds the source under both of them.
            let respelled = (*verb == Verb::Move).then(|| respelled(step, there.as_deref())).flatten();
            let happened = match (verb, &source, &there) {
                _ if respelled == Some(true) => true,
                (Verb::Move, None, Some(there)) => before.as_ref().is_some_and(|before| is_moved(before, there)),
                (Verb::Copy, Some(source), Some(there)) => is_copy(source, there),
                _ => false,
            };
            if happened {
                return Ok(Relocation::Completed);
            }
            let nothing = match (verb, &source, &there) {
                // A folder may be a job that has not begun.
                (_, None, _) => false,
                (_, Some(source), _) if source.is_folder() => false,
                (Verb::Move, Some(_), _) => !is_same(step.source, step.destination) || respelled == Some(false),
                (Verb::Copy, Some(source), Some(there)) => differs(source, there),
                (Verb::Copy, Some(_), None) => self.sees(&destination.parent()).await,
            };
            if !nothing {
                return Err(unsettled(error));
            }
            let effect = attempts.record_nothing_found();
            let passes = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout);
            if !(passes && there.is_none() && self.api().http().retry_step(&mut attempts).await) {
                let error = error.with_effect(effect);
                return Err(if effect == Effect::Unknown { unsettled(error) } else { error });
            }
        }
    }

    /// Waits until the job has ended.
    async fn await_job(&self, verb: Verb, job: u64, longest: Duration) -> Result<()> {
        let unknown = |kind, message| Error::new(kind, Effect::Unknown, message);
        let endpoint = format!("file_migrations/{job}");
        let (mut pause, mut waited) = (FIRST_LOOK, Duration::ZERO);
        while waited < longest {
            self.api().clock().sleep(pause).await;
            waited += pause;
            pause = (pause * 2).min(LONGEST_PAUSE);
            let request = self.api().request(Method::GET, &endpoint, &SitePath::default(), Idempotency::Safe)?;
            let found: wire::Migration = self.api().ask(request).await.map_err(|error| {
                let note = format!("the {} is job {job} of the service and may go on", verb.noun());
                error.with_effect(Effect::Unknown).with_note(&note)
            })?;
            if let Some(other) = found.id.filter(|id| *id != job) {
                let message =
                    format!("asked for job {job}, the service tells of job {other}; the {} may go on", verb.noun());
                return Err(unknown(ErrorKind::Protocol, message));
            }
            match found.status.as_str() {
                "completed" => return Ok(()),
                "failed" | "cancelled" => {
                    let reason = found.failure_message.as_deref().unwrap_or("no reason given");
                    let moved = found.files_moved.map(|files| format!(", {files} files done")).unwrap_or_default();
                    let message = format!(
                        "the service could not finish the {} (job {job}, {}{moved}): {}",
                        verb.noun(),
                        found.status,
                        error::presentable(reason)
                    );
                    return Err(unknown(ErrorKind::Other, message));
                }
                _ => {}
            }
        }
        let message = format!(
            "the {} still goes on after {} s, as job {job} of the service; look again later",
            verb.noun(),
            waited.as_secs()
        );
        Err(unknown(ErrorKind::Timeout, message))
    }
}

/// Rejects what cannot be: onto itself, or a folder into itself.
fn check(source: &SitePath, destination: &SitePath) -> Result<()> {
    if source == destination {
        return Err(Error::invalid("source and destination are the same"));
    }
    let (from, to) = (PathKey::new(&source.to_string()), PathKey::new(&destination.to_string()));
    if to.as_str().strip_prefix(from.as_str()).is_some_and(|rest| rest.starts_with('/')) {
        return Err(Error::invalid("the destination is inside of the source"));
    }
    Ok(())
}

/// Whether a move that changes nothing but the spelling of a name has happened. `None` if it is another move, or the
/// service does not say how the name is spelled.
fn respelled(step: &Step<'_>, there: Option<&Entry>) -> Option<bool> {
    let said = there?.path.as_deref().filter(|_| is_same(step.source, step.destination))?;
    let spellings = [(step.destination, true), (step.source, false)];
    spellings.into_iter().find_map(|(path, happened)| (said == path.to_string()).then_some(happened))
}

fn is_same(one: &SitePath, other: &SitePath) -> bool {
    PathKey::new(&one.to_string()) == PathKey::new(&other.to_string())
}

/// Whether two files have the same content, by a digest that the service has computed of both.
fn is_copy(a: &Entry, b: &Entry) -> bool {
    !a.is_folder() && !b.is_folder() && a.size == b.size && equal_digests(a, b) == Some(true)
}

/// Whether what is at the destination of a move may be what was at its source before: a folder for a folder, a file of
/// its size and with no other digest for a file.
fn is_moved(before: &Entry, there: &Entry) -> bool {
    match (before.is_folder(), there.is_folder()) {
        (true, true) => true,
        (false, false) => before.size == there.size && equal_digests(before, there) != Some(false),
        _ => false,
    }
}

/// Whether what is at the destination is certainly not a copy of the source.
fn differs(source: &Entry, there: &Entry) -> bool {
    let sizes = source.size.zip(there.size).is_some_and(|(a, b)| a != b);
    source.is_folder() != there.is_folder() || sizes || equal_digests(source, there) == Some(false)
}

/// Whether the digests are equal; `None` where none is known of both files.
fn equal_digests(a: &Entry, b: &Entry) -> Option<bool> {
    let digests = [(&a.md5, &b.md5), (&a.crc32, &b.crc32)];
    let known = |(a, b): (&Option<String>, &Option<String>)| Some(a.as_ref()? == b.as_ref()?);
    digests.into_iter().filter_map(known).reduce(|all, equal| all && equal)
}
