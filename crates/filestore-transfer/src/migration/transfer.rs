//! [`MigrateFile`]: the transfer of one file of a migration.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use filestore_core::{
    Addressing, Digest, DigestAlgorithm, Effect, Error, ErrorKind, Feature, FileRef, IfExists, Observer, Operation,
    ReadEffect, Result, Store, StoredFile, Support, Upload,
};
use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::time::Instant;

use super::journal::Journal;
use super::records::Begin;
use super::{Migration, Step};
use crate::digester::{STRONGEST_FIRST, of, strongest};
use crate::digests::{content_digest, lock};
use crate::file_metadata::FileMetadata;
use crate::transfer::Transfer;
use crate::unchanged::digest_at;
use crate::{CopiedFile, FileCopy, Proof};

/// The state of one run.
pub(super) struct Shared {
    pub(super) migration: Migration,
    pub(super) journal: Journal,
    clock: Option<ServiceClock>,
    /// One lock for each name and size, if the service chooses a key. Uploads that are equal in both run one after the
    /// other, so that a file at the destination belongs to one interrupted upload.
    turns: Mutex<HashMap<(String, Option<u64>), Turn>>,
    /// The uploads of earlier runs that were sent again.
    superseded: Mutex<Vec<FileRef>>,
}

type Turn = Arc<tokio::sync::Mutex<()>>;

/// The time of the destination.
#[derive(Debug, Clone, Copy)]
pub(super) struct ServiceClock {
    pub(super) date: Timestamp,
    pub(super) read: Instant,
}

impl ServiceClock {
    /// Returns a time that is not later than that of the service, in whole seconds as the service tells it.
    fn now(self) -> Timestamp {
        self.date
            .checked_add(jiff::SignedDuration::from_secs(self.read.elapsed().as_secs().cast_signed()))
            .unwrap_or(self.date)
    }
}

impl Shared {
    /// `superseded`: the uploads that earlier runs have sent again.
    pub(super) fn new(
        migration: Migration,
        journal: Journal,
        clock: Option<ServiceClock>,
        superseded: Vec<FileRef>,
    ) -> Self {
        Self { migration, journal, clock, turns: Mutex::default(), superseded: Mutex::new(superseded) }
    }

    pub(super) fn take_superseded(&self) -> Vec<FileRef> {
        std::mem::take(&mut *lock(&self.superseded))
    }

    /// Waits until no other upload of this name and size is in flight, if the service chooses a key.
    async fn turn(&self, step: &Step) -> Option<tokio::sync::OwnedMutexGuard<()>> {
        if self.migration.to.capabilities().addressing != Addressing::ServerKey {
            return None;
        }
        let identity = (step.place.name.clone(), step.file.size);
        let turn = Arc::clone(lock(&self.turns).entry(identity).or_default());
        Some(turn.lock_owned().await)
    }
}

/// A file of a migration.
pub(super) struct MigrateFile {
    pub(super) step: Step,
    pub(super) shared: Arc<Shared>,
}

impl Transfer<CopiedFile> for MigrateFile {
    fn size(&self) -> Option<u64> {
        self.step.file.size
    }

    fn try_clone(&self, store: &Store) -> Option<Box<dyn Transfer<CopiedFile>>> {
        // The content of a file that is consumed is in the spool, from which it may be sent again.
        let is_repeatable = store.capabilities().read_effect != ReadEffect::Counts;
        is_repeatable.then(|| Box::new(Self { step: self.step.clone(), shared: Arc::clone(&self.shared) }) as _)
    }

    fn effect_if_dropped(&self, _: &Store) -> Effect {
        Effect::Unknown
    }

    fn run(self: Box<Self>, _: Store, observer: Box<dyn Observer>) -> BoxFuture<'static, Result<CopiedFile>> {
        Box::pin(async move {
            let (file, source) = (self.step.file.reference.clone(), self.shared.migration.from.clone());
            let moved = self.steps(observer.into()).await;
            moved.map_err(|error| {
                if error.store().is_none() { source.context_of(error, Operation::Download, &file) } else { error }
            })
        })
    }
}

impl MigrateFile {
    async fn steps(self, observer: Arc<dyn Observer>) -> Result<CopiedFile> {
        let Self { step, shared } = self;
        let (migration, journal) = (&shared.migration, &shared.journal);
        let from = step.file.reference.clone();
        let consumes = migration.from.capabilities().reads_consume();
        // The turn ends when the confirmation is recorded.
        let _turn = shared.turn(&step).await;
        // 1. A file that is at the destination already is not sent.
        let moved = match &step.existing {
            Some(existing) => already_stored(migration, &step, existing).await?,
            None => {
                // 2. Record the begin durably, before the content is read.
                journal.begin(begin(&step, shared.clock)).await?;
                // 3. Read and send the content.
                let (recorded, of) = (journal.clone(), from.clone());
                let record = move |to| {
                    let (recorded, of) = (recorded.clone(), of.clone());
                    async move { recorded.assigned(of, to).await }
                };
                let copy = file_copy(migration, &step);
                let prepare = |upload: Upload| upload.on_assigned(record);
                let copied = copy.copy(&migration.from, &migration.to, observer, prepare).await;
                if let Err(error) = &copied
                    && matches!(error.effect(), Effect::NotSent | Effect::Rejected)
                    && !consumes
                    && !step.was_begun
                {
                    // Without this, a file that is deleted at the source now would count as lost.
                    journal.rejected(from.clone()).await?;
                }
                copied?
            }
        };
        // 4. Record the confirmation: durably, if the content is removed next.
        let recorded = journal.done(from.clone(), moved.file.reference.clone(), consumes).await;
        recorded.map_err(|error| error.with_effect(Effect::Applied).with_stored(moved.file.clone()))?;
        lock(&shared.superseded).extend(step.earlier.into_iter().filter(|earlier| *earlier != moved.file.reference));
        if consumes {
            let removed = migration.spool().remove(&from).await;
            removed.map_err(|error| error.with_effect(Effect::Applied).with_stored(moved.file.clone()))?;
        }
        Ok(moved)
    }
}

fn begin(step: &Step, clock: Option<ServiceClock>) -> Begin {
    Begin {
        file: FileMetadata::from(&step.file),
        to_scope: step.place.scope.clone(),
        to_name: step.place.name.clone(),
        after: clock.map(|clock| clock.now().to_string()),
    }
}

/// Returns the copy of the file to its place.
pub(super) fn file_copy(migration: &Migration, step: &Step) -> FileCopy {
    let mut copy = FileCopy::of(step.file.clone()).name(&step.place.name).options(migration.options.clone());
    copy = copy.read_back(migration.read_back).spooled(migration.spool()).with_on_read(migration.on_read.clone());
    if let Some(scope) = &step.place.scope {
        copy = copy.scope(scope);
    }
    // Another program may store a file in the place after it was listed. Elsewhere, this costs further requests.
    if migration.to.capabilities().support(Feature::IfExistsFail) == &Support::Native {
        copy = copy.if_exists(IfExists::Fail);
    }
    copy
}

/// Returns the file that the destination has already, if its content is that of the source. *Already exists* otherwise.
async fn already_stored(migration: &Migration, step: &Step, existing: &StoredFile) -> Result<CopiedFile> {
    let bytes = existing.size.or(step.file.size).unwrap_or_default();
    let stored = |proof| CopiedFile { file: existing.clone(), not_carried: Vec::new(), proof, bytes, was_stored: true };
    if step.is_found {
        return Ok(stored(Proof::Size));
    }
    let differs = |problem: &str| {
        let message = format!("the destination has another file in its place: {problem}; move or delete one of them");
        let error = Error::new(ErrorKind::AlreadyExists, Effect::Rejected, message);
        migration.to.context_of(error, Operation::Upload, &existing.reference)
    };
    if let Some((size, other)) = step.file.size.zip(existing.size).filter(|(size, other)| size != other) {
        return Err(differs(&format!("it has {other} bytes instead of {size}")));
    }
    let of_both = |algorithm| of(&step.file.digests, algorithm).zip(of(&existing.digests, algorithm));
    let (sent, found) = match STRONGEST_FIRST.into_iter().find_map(of_both) {
        Some((sent, found)) => (sent.clone(), found.clone()),
        None => {
            let known = strongest(&existing.digests).or(strongest(&step.file.digests));
            let algorithm = known.map_or(DigestAlgorithm::Sha256, |digest| digest.algorithm);
            let found = digest(&migration.to, existing, algorithm).await?;
            (source_digest(migration, step, algorithm).await?, found)
        }
    };
    if sent != found {
        return Err(differs("its content differs"));
    }
    Ok(stored(Proof::Digest))
}

/// Returns a digest of the content at the source. A content whose read consumes it is read in the spool, or not at all.
async fn source_digest(migration: &Migration, step: &Step, algorithm: DigestAlgorithm) -> Result<Digest> {
    if !migration.from.capabilities().reads_consume() {
        return digest(&migration.from, &step.file, algorithm).await;
    }
    match migration.spool().find(&step.file.reference).await? {
        Some(spooled) => digest_at(spooled.path, algorithm).await,
        None => Err(Error::new(
            ErrorKind::AlreadyExists,
            Effect::Rejected,
            "the destination has a file in its place, which cannot be compared, because a read may consume the file; \
             move or delete one of them",
        )),
    }
}

/// Returns a digest of a stored file: that of the store, or else of its content.
async fn digest(store: &Store, file: &StoredFile, algorithm: DigestAlgorithm) -> Result<Digest> {
    match of(&file.digests, algorithm) {
        Some(digest) => Ok(digest.clone()),
        None => content_digest(store, file, algorithm).await,
    }
}
