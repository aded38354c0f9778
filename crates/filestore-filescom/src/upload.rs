//! An upload, step by step: begin, parts, finish, and the confirmation of the stored file.

mod checkpoint;
mod create_new;
mod finish;
mod multipart;
pub(crate) mod options;
mod parts;
mod source;

use std::sync::Arc;

use filestore_core::{Body, Effect, Error, ErrorKind, FileRef, FileStore, Result, StoredFile, Upload};
use filestore_http::Attempts;
use futures::lock::MutexGuard;

pub use checkpoint::UploadCheckpoint;

use crate::error::{self, COULD_NOT_CREATE_PARENT, DESTINATION_EXISTS, UPLOAD_NOT_FOUND};
use crate::metadata;
use crate::path::SitePath;
use crate::store::FilesComStore;
use crate::wire::Entry;
use multipart::{BUFFERED_PART_SIZE, MultipartUpload};
use options::UploadOptions;
use parts::UploadedPart;
use source::Source;

/// Called after each part that is stored.
type Report<'a> = &'a (dyn Fn(&UploadCheckpoint) + Send + Sync);

impl FilesComStore {
    /// Uploads a file like [`Store::upload`](filestore_core::Store::upload), in a way that another process can resume.
    ///
    /// The method calls `report` with a checkpoint when the upload has begun and after each part. A later call with the
    /// last checkpoint resumes the upload; `None` begins one. If the service does not know the upload any more, it
    /// begins from the first part.
    ///
    /// The reference in the result has no name of a store. Errors beyond those of an upload:
    /// *unsupported* if the body is a stream or the upload has [`IfExists::Fail`](filestore_core::IfExists::Fail),
    /// *invalid input* if the checkpoint is of another path or the source has changed.
    pub async fn upload_resumable(
        &self,
        request: Upload,
        checkpoint: Option<UploadCheckpoint>,
        report: impl Fn(&UploadCheckpoint) + Send + Sync,
    ) -> Result<StoredFile> {
        if !request.body.can_seek() {
            return Err(Error::unsupported("a stream cannot be uploaded with checkpoints; upload a file or bytes"));
        }
        if request.if_exists != filestore_core::IfExists::Replace {
            return Err(Error::unsupported(
                "an upload with checkpoints replaces an existing file; use it without IfExists::Fail",
            ));
        }
        request.check(self.capabilities())?;
        let path = self.upload_path(&request)?;
        let options = UploadOptions::of(&request).await?;
        self.send_file(&path, request.body.into(), &options, checkpoint, Some(&report)).await
    }

    /// Stores a file whose content is stored in the same account: the service copies it.
    pub(crate) async fn upload_stored(
        &self,
        source: &FileRef,
        path: &SitePath,
        request: &Upload,
        options: &UploadOptions,
    ) -> Result<StoredFile> {
        self.copy_for_upload(source, path, request).await?;
        // The file is stored, whatever comes next.
        let entry = self.entry(path).await.map_err(|error| error.with_effect(Effect::Applied))?;
        self.set_ignored_metadata(path, entry, options).await
    }

    /// Returns the path of the file that an upload stores.
    pub(crate) fn upload_path(&self, request: &Upload) -> Result<SitePath> {
        self.root().join(request.scope.as_deref().unwrap_or_default())?.child(&request.name)?.checked_as_new()
    }

    /// Stores a file at `path`, and replaces an existing one.
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
            let result = Box::pin(self.send_once(path, &body, options, checkpoint.take(), report)).await;
            match result {
                Ok((entry, version)) => {
                    let mut file = self.set_ignored_metadata(path, entry, options).await?;
                    // The response to an upload has no digest yet.
                    file.version = file.version.or(version);
                    return Ok(file);
                }
                // The whole upload begins from the first part: the parts are gone with the upload.
                Err(error) if error::is(&error, UPLOAD_NOT_FOUND) && error.effect() != Effect::Unknown => {
                    if !body.can_replay() {
                        return Err(error
                            .with_note("the body is a stream and cannot be sent again; upload it with a new stream"));
                    }
                    if !self.api().http().retry_step(&mut restarts).await {
                        return Err(error);
                    }
                    tracing::warn!(%error, "the upload begins from the first part");
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns the entry of the stored file, and the version of the content that was sent, if its digest was computed.
    async fn send_once(
        &self,
        path: &SitePath,
        body: &Arc<Body>,
        options: &UploadOptions,
        checkpoint: Option<UploadCheckpoint>,
        report: Option<Report<'_>>,
    ) -> Result<(Box<Entry>, Option<String>)> {
        // 1. The source, with its fingerprint.
        let before = body.fingerprint().await?;
        let mut source = Source::open(body, before.map(|source| source.length)).await?;
        let max_buffered = source.is_buffered().then(|| self.config().memory.as_u64() / 2);
        let preferred_size = options.part_size.or(self.config().part_size.map(crate::ByteSize::as_u64));
        let first = preferred_size.unwrap_or(BUFFERED_PART_SIZE).min(max_buffered.unwrap_or(u64::MAX));
        let size = source.size(first).await?;
        // 2. The multipart upload: a new one, or the one to resume.
        let batch = self.config().parallel.get().saturating_mul(2);
        let resumed = match (&checkpoint, before) {
            (Some(checkpoint), Some(before)) => {
                checkpoint.check(path, before)?;
                // Another file may have the same length and modification time.
                checkpoint.check_content(body).await?;
                checkpoint.parts()
            }
            _ => Vec::new(),
        };
        let mut upload = match &checkpoint {
            Some(checkpoint) => {
                let missing = (1..).find(|number| resumed.iter().all(|part| part.number != *number)).unwrap_or(1);
                Box::pin(MultipartUpload::resume(self.api(), path, options, checkpoint.reference(), missing, batch))
                    .await?
            }
            None => {
                let parts =
                    size.map_or(batch, |size| self.estimated_parts(size, preferred_size, max_buffered).min(batch));
                self.begin(path, options, size, parts, batch).await?
            }
        };
        // 3. Its parts.
        let part_size = match (&checkpoint, size) {
            (Some(checkpoint), _) => Some(checkpoint.part_size()),
            (None, Some(size)) => Some(upload.limits.size_for(size, preferred_size, max_buffered)?),
            (None, None) => None,
        };
        if let (Some(size), Some(part_size)) = (size, part_size) {
            upload.ends_with(u32::try_from(size.div_ceil(part_size).max(1)).unwrap_or(u32::MAX));
        }
        let sizes = |number| match part_size {
            Some(size) => Ok(size),
            None => upload.limits.growing_size(number, preferred_size, max_buffered.unwrap_or(u64::MAX)),
        };
        let mut progress = match (report, before, part_size) {
            (Some(report), Some(before), Some(size)) => {
                let new = || UploadCheckpoint::new(path, &upload.reference, before, size);
                let checkpoint = checkpoint.unwrap_or_else(new);
                report(&checkpoint);
                Some((report, checkpoint))
            }
            _ => None,
        };
        let on_part = |part: &UploadedPart| {
            if let Some((report, checkpoint)) = &mut progress {
                checkpoint.add(part);
                report(checkpoint);
            }
        };
        let sent = self.send_parts(&upload, &mut source, resumed, sizes, on_part).await.map_err(not_finished)?;
        // 4. The source, unchanged: otherwise the parts would be of two versions.
        if before.is_some() && body.fingerprint().await? != before {
            return Err(changed());
        }
        // 5. The finish, and the confirmation of the stored file.
        let entry = self.finish(&upload, path, options, &sent).await?;
        let entry = self.confirm(path, entry, &sent).await?;
        Ok((entry, sent.crc32.as_deref().and_then(|crc32| metadata::version(sent.size, crc32))))
    }

    /// Estimates the number of parts of `size` bytes, before the limits of the storage are known.
    fn estimated_parts(&self, size: u64, preferred: Option<u64>, max_buffered: Option<u64>) -> u32 {
        let part =
            preferred.unwrap_or(if max_buffered.is_some() { BUFFERED_PART_SIZE } else { 2 * BUFFERED_PART_SIZE });
        u32::try_from(size.div_ceil(part.max(1))).unwrap_or(u32::MAX).max(1)
    }

    /// Begins a multipart upload.
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
            Box::pin(self.retry_begin_or_finish(error, path, options, &mut folder_lock, &mut attempts)).await?;
        }
    }

    /// Returns `Ok` when a begin or finish that failed with `error` may be retried, and otherwise the error. Uploads
    /// that create the same folder at the same time make each other fail; those that failed retry one at a time.
    async fn retry_begin_or_finish<'a>(
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
        } else if !error::is_transient(&error) {
            return Err(error);
        }
        if self.api().http().retry_step(attempts).await { Ok(()) } else { Err(error) }
    }

    /// Returns `true` if another upload created the parent folder at the same time; `false` if a folder has the path of
    /// the file.
    async fn lost_creation_race(&self, error: &Error, path: &SitePath, options: &UploadOptions) -> bool {
        let exists = error::is(error, DESTINATION_EXISTS);
        let race = exists || error::is(error, COULD_NOT_CREATE_PARENT);
        race && options.mkdir_parents && !(exists && self.entry(path).await.is_ok_and(|entry| entry.is_folder()))
    }
}

/// Sets the effect of an error before the finish: requests were sent, and no file was changed.
fn not_finished(error: Error) -> Error {
    error.with_effect(Effect::Rejected)
}

fn changed() -> Error {
    let message = "the file changed while it was uploaded, so nothing is stored; upload it again";
    Error::new(ErrorKind::InvalidInput, Effect::Rejected, message)
}
