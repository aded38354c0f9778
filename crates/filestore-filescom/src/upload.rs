//! An upload, step by step: begin, parts side by side, finish, and certainty about the end.

mod checkpoint;
mod create_new;
mod finish;
mod multipart;
pub(crate) mod options;
mod part;
mod plan;
mod put;
mod scheduler;
mod source;

use std::sync::Arc;

use filestore_core::{Body, Effect, Error, ErrorKind, FileStore, Result, StoredFile, Upload};
use filestore_http::Attempts;
use futures::lock::MutexGuard;

pub use checkpoint::UploadCheckpoint;

use crate::error::{self, COULD_NOT_CREATE_PARENT, DESTINATION_EXISTS, UPLOAD_NOT_FOUND};
use crate::path::SitePath;
use crate::store::FilesComStore;
use crate::wire::Entry;
use multipart::MultipartUpload;
use options::UploadOptions;
use part::Stored;
use plan::BUFFERED_PART_SIZE;
use source::Source;

/// Told of every part that is stored.
type Report<'a> = &'a (dyn Fn(&UploadCheckpoint) + Send + Sync);

impl FilesComStore {
    /// Stores a file like [`Store::upload`](filestore_core::Store::upload), and tells `report` how far it is,
    /// after the beginning and after each part. Given the last of these values, another process goes on
    /// where this one stopped; `None` begins.
    ///
    /// The reference in the answer is not stamped with the name of a store. Errors beyond those of an
    /// upload: *unsupported* if the body is a stream or the name must be free
    /// ([`IfExists::Fail`](filestore_core::IfExists)), *invalid input* if the checkpoint is of another path or
    /// the source changed since. An upload that the service has forgotten begins anew.
    pub async fn upload_resumable(
        &self,
        request: Upload,
        checkpoint: Option<UploadCheckpoint>,
        report: impl Fn(&UploadCheckpoint) + Send + Sync,
    ) -> Result<StoredFile> {
        if !request.body.can_seek() {
            return Err(Error::unsupported("a stream cannot be uploaded in several runs; upload a file or bytes"));
        }
        if request.if_exists != filestore_core::IfExists::Replace {
            return Err(Error::unsupported(
                "an upload in several runs replaces what is there; leave out the rejection",
            ));
        }
        request.check(self.capabilities())?;
        let path = self.upload_path(&request)?;
        let options = UploadOptions::of(&request)?;
        self.send_file(&path, request.body.into(), &options, checkpoint, Some(&report)).await
    }

    /// Where an upload goes.
    pub(crate) fn upload_path(&self, request: &Upload) -> Result<SitePath> {
        self.root().join(request.scope.as_deref().unwrap_or_default())?.child(&request.name)
    }

    /// Stores a file at `path`, in the place of what is there.
    pub(crate) async fn send_file(
        &self,
        path: &SitePath,
        body: Arc<Body>,
        options: &UploadOptions,
        mut checkpoint: Option<UploadCheckpoint>,
        report: Option<Report<'_>>,
    ) -> Result<StoredFile> {
        let mut restarts = Attempts::new();
        loop {
            restarts.begin();
            let sent = Box::pin(self.send_once(path, &body, options, checkpoint.take(), report)).await;
            match sent {
                Ok(entry) => return self.settle(path, entry, options).await,
                // The whole upload anew: part of it in another session would be a file with holes.
                Err(error) if error::is(&error, UPLOAD_NOT_FOUND) && error.effect() != Effect::Unknown => {
                    if !body.can_replay() {
                        return Err(error.with_note("the body is a stream and cannot be sent again; upload it anew"));
                    }
                    if !self.api().http().retry_step(&mut restarts).await {
                        return Err(error);
                    }
                    tracing::warn!(%error, "the upload begins anew");
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn send_once(
        &self,
        path: &SitePath,
        body: &Arc<Body>,
        options: &UploadOptions,
        checkpoint: Option<UploadCheckpoint>,
        report: Option<Report<'_>>,
    ) -> Result<Box<Entry>> {
        // 1. The source, as it is now.
        let before = body.fingerprint().await?;
        let mut source = Source::open(body, before.map(|source| source.length)).await?;
        let held = source.is_held().then(|| self.config().memory.as_u64() / 2);
        let wanted_size = options.part_size.or(self.config().part_size.map(crate::ByteSize::as_u64));
        let first = wanted_size.unwrap_or(BUFFERED_PART_SIZE).min(held.unwrap_or(u64::MAX));
        let size = source.size(first).await?;
        // 2. The session: a new one, or the one that was left.
        let batch = self.config().parallel.get().saturating_mul(2);
        let resumed = match (&checkpoint, before) {
            (Some(checkpoint), Some(before)) => {
                checkpoint.check(path, before)?;
                // Another file may have the same length and time.
                checkpoint.check_content(body).await?;
                checkpoint.parts()
            }
            _ => Vec::new(),
        };
        let mut session = match &checkpoint {
            Some(checkpoint) => {
                let missing = (1..).find(|number| resumed.iter().all(|part| part.number != *number)).unwrap_or(1);
                Box::pin(MultipartUpload::resume(self.api(), path, options, checkpoint.reference(), missing, batch))
                    .await?
            }
            None => {
                let parts = size.map_or(batch, |size| self.estimated_parts(size, wanted_size, held).min(batch));
                self.begin(path, options, size, parts, batch).await?
            }
        };
        // 3. Its parts.
        let part_size = match (&checkpoint, size) {
            (Some(checkpoint), _) => Some(checkpoint.part_size()),
            (None, Some(size)) => Some(session.limits.size_for(size, wanted_size, held)?),
            (None, None) => None,
        };
        if let (Some(size), Some(part_size)) = (size, part_size) {
            session.ends_with(u32::try_from(size.div_ceil(part_size).max(1)).unwrap_or(u32::MAX));
        }
        let sizes = |number| match part_size {
            Some(size) => Ok(size),
            None => session.limits.growing_size(number, wanted_size, held.unwrap_or(u64::MAX)),
        };
        let mut progress = match (report, before, part_size) {
            (Some(report), Some(before), Some(size)) => {
                let new = || UploadCheckpoint::new(path, &session.reference, before, size);
                let checkpoint = checkpoint.unwrap_or_else(new);
                report(&checkpoint);
                Some((report, checkpoint))
            }
            _ => None,
        };
        let on_part = |part: &Stored| {
            if let Some((report, checkpoint)) = &mut progress {
                checkpoint.add(part);
                report(checkpoint);
            }
        };
        let sent = self.send_parts(&session, &mut source, resumed, sizes, on_part).await.map_err(not_finished)?;
        // 4. A source that changed while it was read would be half of each.
        if before.is_some() && body.fingerprint().await? != before {
            return Err(changed());
        }
        // 5. The end, and certainty about it.
        let entry = self.finish(&session, path, options, &sent).await?;
        self.confirm(path, entry, &sent).await
    }

    /// How many parts `size` bytes probably are, before the target's limits are known.
    fn estimated_parts(&self, size: u64, wanted: Option<u64>, held: Option<u64>) -> u32 {
        let part = wanted.unwrap_or(if held.is_some() { BUFFERED_PART_SIZE } else { 2 * BUFFERED_PART_SIZE });
        u32::try_from(size.div_ceil(part.max(1))).unwrap_or(u32::MAX).max(1)
    }

    /// Begins a session.
    async fn begin<'a>(
        &'a self,
        path: &'a SitePath,
        options: &'a UploadOptions,
        size: Option<u64>,
        first: u32,
        batch: u32,
    ) -> Result<MultipartUpload<'a>> {
        let mut attempts = Attempts::new();
        let mut folder_lock = None;
        loop {
            let error = match MultipartUpload::begin(self.api(), path, options, size, first, batch, &mut attempts).await
            {
                Err(error) => error,
                begun => return begun,
            };
            Box::pin(self.try_again(error, path, options, &mut folder_lock, &mut attempts)).await?;
        }
    }

    /// Returns when a step that failed with `error` may be tried again, or else the error. Folders that
    /// several uploads make at once are in each other's way: those that were, wait for their folder_lock.
    async fn try_again<'a>(
        &'a self,
        error: Error,
        path: &SitePath,
        options: &UploadOptions,
        folder_lock: &mut Option<MutexGuard<'a, ()>>,
        attempts: &mut Attempts,
    ) -> Result<()> {
        if self.lost_creation_race(&error, path, options).await {
            if folder_lock.is_none() {
                *folder_lock = Some(self.folder_lock().await);
                return Ok(());
            }
        } else if !error::passes(&error) {
            return Err(error);
        }
        if self.api().http().retry_step(attempts).await { Ok(()) } else { Err(error) }
    }

    /// Whether this is the rejection of somebody who made the same folder at the same time, and not that of
    /// a folder where the file is to be.
    async fn lost_creation_race(&self, error: &Error, path: &SitePath, options: &UploadOptions) -> bool {
        let exists = error::is(error, DESTINATION_EXISTS);
        let race = exists || error::is(error, COULD_NOT_CREATE_PARENT);
        race && options.mkdir_parents && !(exists && self.entry(path).await.is_ok_and(|entry| entry.is_folder()))
    }
}

/// Before the finish, whatever becomes of a part changes nothing that anybody can see. The service was asked to begin,
/// so it is not true that nothing was sent.
fn not_finished(error: Error) -> Error {
    error.with_effect(Effect::Rejected)
}

fn changed() -> Error {
    let message = "the file changed while it was uploaded, and nothing is stored; upload it again";
    Error::new(ErrorKind::InvalidInput, Effect::Rejected, message)
}
