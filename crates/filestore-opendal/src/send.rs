//! [`send`]: sends the body of an upload, and stores the file.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use filestore_core::components::TEMPORARY_FOLDER;
use filestore_core::{Body, ByteStream, ChunkQueue, Cleanup, Effect, Error, ErrorKind, Result, check_runtime};
use futures::StreamExt;
#[cfg(feature = "sftp")]
use jiff::Timestamp;
use opendal::options::{DeleteOptions, WriteOptions};
use opendal::{Buffer, Metadata, Operator};
use tokio::sync::oneshot;

use crate::attempts::Attempts;
use crate::budget::Budget;
#[cfg(feature = "http")]
use crate::capabilities::PART_SIZE_KEY;
use crate::capabilities::ServiceTraits;
#[cfg(feature = "http")]
use crate::digest;
use crate::error::{Stage, UNENCRYPTED, of_service};
use crate::parts::Parts;
#[cfg(feature = "sftp")]
use crate::sftp_times::TimeToSet;
use crate::step::call;

/// The size of a part of a file of unknown length, in bytes. So the file may have 80 GiB.
const PART_SIZE: u64 = 8 * 1024 * 1024;

/// The size of a part of a file of known length, in bytes, unless it would need too many parts. S3 accepts no smaller
/// ones.
const SMALL_PART_SIZE: u64 = 5 * 1024 * 1024;

/// The largest number of parts of a multipart upload, on any service.
const MAX_PARTS: u64 = 10_000;

const MIB: u64 = 1024 * 1024;

/// One upload.
pub(crate) struct UploadTask {
    pub(crate) operator: Operator,
    /// The operator of uploads in one request, if these need another one.
    pub(crate) whole_operator: Option<Operator>,
    /// The maximum number of parts that are sent at once.
    pub(crate) parallel: usize,
    /// The memory for the parts of all uploads of the store.
    pub(crate) memory: Budget,
    /// `true` if the content is compared with the digests of the service.
    #[cfg(feature = "http")]
    pub(crate) verify: bool,
    pub(crate) traits: ServiceTraits,
    pub(crate) path: String,
    /// The path of the store's root.
    pub(crate) root: String,
    pub(crate) content: Content,
    pub(crate) content_type: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    /// `true` if an existing file must not be replaced.
    pub(crate) create_new: bool,
    /// The existing file, if it was looked up.
    pub(crate) existing: Option<Metadata>,
    /// The modification time of the file, if it is set over SFTP.
    #[cfg(feature = "sftp")]
    pub(crate) time: Option<TimeToSet>,
}

/// A stored file.
pub(crate) struct Stored {
    /// The metadata in the response of the service.
    pub(crate) metadata: Metadata,
    /// The metadata of the temporary file before it got its name. `None` if there was none.
    pub(crate) temporary: Option<Metadata>,
    /// The size in bytes.
    pub(crate) size: u64,
    /// The modification time that was set, or `Err` if the server does not keep it.
    #[cfg(feature = "sftp")]
    pub(crate) time: Option<Result<Timestamp, ()>>,
}

/// The content of a file, and how it is sent.
pub(crate) enum Content {
    /// In chunks to OpenDAL's writer.
    Chunks(ByteStream),
    /// As the body of one request of this crate's transport, in place of OpenDAL's buffer.
    Request(Arc<Body>),
}

impl Content {
    fn length(&self) -> Option<u64> {
        match self {
            Self::Chunks(stream) => stream.length(),
            Self::Request(body) => body.length(),
        }
    }
}

/// Uploads the whole file, or nothing.
///
/// The upload runs in its own task. When the caller's future is dropped, the task ends the upload: the request under
/// way is cut off and not retried, and the sent content is removed.
pub(crate) async fn send(upload: UploadTask) -> Result<Stored> {
    check_runtime()?;
    let (_waiting, dropped) = oneshot::channel();
    let cleanup = Cleanup::begin();
    let running = async move {
        let outcome = upload.run(dropped).await;
        drop(cleanup);
        outcome
    };
    tokio::spawn(Attempts::current().scope(running))
        .await
        .unwrap_or_else(|panic| Err(Error::new(ErrorKind::Other, Effect::Unknown, panic.to_string())))
}

impl UploadTask {
    async fn run(mut self, mut dropped: oneshot::Receiver<()>) -> Result<Stored> {
        // A service with folders may show a file while it is written, so a temporary file is written.
        let written_path = match self.traits.folders {
            true => format!("{}{TEMPORARY_FOLDER}/{}", self.root, uuid::Uuid::new_v4()),
            false => self.path.clone(),
        };
        if self.create_new {
            Attempts::current().never_replace();
        }
        let mut writer = None;
        let outcome = match self.send(&written_path, &mut writer, &mut dropped).await {
            Ok(stored) if Attempts::current().is_unencrypted() => Err(self.remove_unencrypted(&stored.metadata).await),
            other => other,
        };
        if outcome.is_err() {
            // Best effort: the error to report is the first one.
            if let Some(writer) = &mut writer {
                end_requests().await;
                let _ = writer.abort().await;
            }
            if self.traits.folders {
                let _ = self.operator.delete(&written_path).await;
            }
        }
        #[cfg(feature = "http")]
        let outcome = outcome.and_then(|stored| self.undamaged(stored));
        outcome
    }

    /// Sends the body to `path`, and stores the file. If requests were sent, their writer is in `writer`.
    async fn send(
        &mut self,
        path: &str,
        writer: &mut Option<opendal::Writer>,
        dropped: &mut oneshot::Receiver<()>,
    ) -> Result<Stored> {
        let length = self.content.length();
        let part_size = self.part_size(length);
        // Held until the upload ends.
        let mut reserve = None;
        if self.traits.parallel {
            let (size, parts) = match length {
                Some(length) if length <= part_size => (length, 1),
                _ => (part_size, 2),
            };
            reserve = Some(until_dropped(self.memory.reserve(size, parts), dropped).await?);
        }
        let is_parallel = self.traits.parallel && !(self.create_new && self.traits.sequential_if_new);
        let stream = match &mut self.content {
            Content::Chunks(stream) if is_parallel => {
                Some(std::mem::replace(stream, ByteStream::upload(futures::stream::empty(), None)))
            }
            _ => None,
        };
        let size = match (stream, reserve.take_if(|_| is_parallel)) {
            (Some(stream), Some(reserve)) => {
                let parts = Parts::new(stream, reserve);
                Some(self.transfer_parts(path, parts, part_size, writer, dropped).await?)
            }
            _ => {
                let chunk = self.traits.parts.then(|| usize::try_from(part_size).unwrap_or(usize::MAX));
                let options = WriteOptions { chunk, ..self.options() };
                let opened = call(Stage::Transfer, self.operator.writer_options(path, options)).await?;
                self.transfer(writer.insert(opened), dropped).await?
            }
        };
        let Some(writer) = writer else {
            return Err(Error::new(ErrorKind::Other, Effect::Rejected, "no request has sent the content"));
        };
        end_or_cut_off(self.traits, self.store(writer, path, size), dropped).await
    }

    /// Sends the body in parts, several at once, or in one request if it is small. Returns its size in bytes.
    async fn transfer_parts(
        &mut self,
        path: &str,
        mut parts: Parts,
        part_size: u64,
        writer: &mut Option<opendal::Writer>,
        dropped: &mut oneshot::Receiver<()>,
    ) -> Result<u64> {
        let first = until_dropped(parts.next(), dropped).await??.unwrap_or_default();
        let second = until_dropped(parts.next(), dropped).await??;
        let options = WriteOptions { concurrent: self.parallel, ..self.options() };
        #[cfg(feature = "http")]
        let mut options = options;
        #[cfg(not(feature = "http"))]
        let _ = part_size;
        let operator = match (&second, &self.whole_operator) {
            (None, Some(operator)) => operator,
            _ => &self.operator,
        };
        #[cfg(feature = "http")]
        if self.verify && second.is_none() {
            Attempts::current().send_content(digest::of_content(first.clone()).await);
        } else if self.verify && self.traits.digest_etags && operator.info().capability().write_with_user_metadata {
            let metadata = options.user_metadata.get_or_insert_default();
            metadata.entry(PART_SIZE_KEY.to_owned()).or_insert_with(|| part_size.to_string());
        }
        let writer = writer.insert(call(Stage::Transfer, operator.writer_options(path, options)).await?);
        let mut size = 0;
        let mut waiting = VecDeque::from_iter([Some(first), second].into_iter().flatten());
        loop {
            let part = match waiting.pop_front() {
                Some(part) => part,
                None => {
                    let next = tokio::select! {
                        next = until_dropped(parts.next(), dropped) => next??,
                        () = part_failed() => None,
                    };
                    let Some(next) = next else { break };
                    next
                }
            };
            size += part.len() as u64;
            end_or_cut_off(self.traits, call(Stage::Transfer, writer.write(part)), dropped).await?;
        }
        failed_part().map_or(Ok(size), Err)
    }

    /// Returns the stored file, or an *integrity* error if the service has stored other content than was sent.
    #[cfg(feature = "http")]
    fn undamaged(&self, stored: Stored) -> Result<Stored> {
        let attempts = Attempts::current();
        let is_compared = self.verify && self.traits.digest_etags && !attempts.is_etag_opaque();
        let composite = |etag: Option<&str>| etag.filter(|_| is_compared).and_then(digest::of_composite_etag);
        let sent = composite(attempts.etag_of_parts().as_deref());
        // Another number of parts is other content, too.
        let is_other = composite(stored.metadata.etag()).is_some_and(|stored| sent.is_some_and(|sent| sent != stored));
        if !is_other && !attempts.is_damaged() {
            return Ok(stored);
        }
        let message = "the file is stored with other content than was sent, according to the digest in the response; \
                       upload it again, or delete it";
        Err(Error::new(ErrorKind::Integrity, Effect::Applied, message))
    }

    /// Completes the upload, so that the sent content becomes the file.
    async fn store(&mut self, writer: &mut opendal::Writer, written_path: &str, sent: Option<u64>) -> Result<Stored> {
        let stage = if self.traits.folders { Stage::Transfer } else { Stage::Commit };
        let metadata = match call(stage, writer.close()).await {
            Ok(metadata) => metadata,
            Err(error) => self.completed(error, sent).await?,
        };
        let Some(size) = sent.or_else(|| Attempts::current().body_sent()) else {
            return Err(Error::new(ErrorKind::Other, Effect::Rejected, "no request has sent the content"));
        };
        #[cfg(feature = "sftp")]
        let time = match &self.time {
            Some(time) => Some(time.set(written_path).await?),
            None => None,
        };
        let temporary = match self.traits.folders {
            true => Some(self.publish(written_path, size).await?),
            false => None,
        };
        Ok(Stored {
            metadata,
            temporary,
            size,
            #[cfg(feature = "sftp")]
            time,
        })
    }

    /// Removes the file that was stored without the requested encryption. Returns the error to report.
    async fn remove_unencrypted(&mut self, stored: &Metadata) -> Error {
        // An earlier file of this name is gone, too. An earlier attempt may still be under way.
        let effect = if self.create_new { Attempts::current().effect_if_undone() } else { Effect::Unknown };
        // Without its version, a versioned bucket would keep the unencrypted content.
        let by_version = self.operator.info().capability().delete_with_version;
        let version = stored.version().filter(|_| by_version).map(str::to_owned);
        let options = DeleteOptions { version, ..DeleteOptions::default() };
        match call(Stage::Commit, self.operator.delete_options(&self.path, options)).await {
            Ok(()) => {
                let replaced = if self.create_new { "" } else { ", and an earlier file of this name may be lost" };
                let message = format!("{UNENCRYPTED}. The file was removed again{replaced}");
                Error::unsupported(message).with_effect(effect)
            }
            Err(error) => {
                let reason = error.message();
                let message =
                    format!("{UNENCRYPTED}. The file is stored and could not be removed, so remove it: {reason}");
                Error::new(ErrorKind::Incomplete, Effect::Applied, message)
            }
        }
    }

    /// Checks whether an earlier attempt has completed the multipart upload, which does not exist according to `error`.
    /// Returns the metadata of the file if so, otherwise `error`.
    async fn completed(&mut self, error: Error, size: Option<u64>) -> Result<Metadata> {
        if error.provider_code() != Some("NoSuchUpload") || error.effect() != Effect::Unknown {
            return Err(error);
        }
        let Some(etag) = Attempts::current().etag_of_parts() else { return Err(error) };
        match call(Stage::Read, self.operator.stat(&self.path)).await {
            Ok(found) if Some(found.content_length()) == size && found.etag() == Some(&etag) => Ok(found),
            _ => Err(error),
        }
    }

    /// Checks the size of the temporary file, and renames it to the file. Returns the metadata of the temporary file.
    async fn publish(&mut self, written_path: &str, size: u64) -> Result<Metadata> {
        let lost = "the service has lost the temporary file of this upload, which it had accepted";
        let metadata = match call(Stage::Transfer, self.operator.stat(written_path)).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(Error::new(ErrorKind::Integrity, error.effect(), lost));
            }
            metadata => metadata?,
        };
        let stored_size = metadata.content_length();
        if stored_size != size {
            let message =
                format!("{size} bytes were sent, and the service holds {stored_size} of them; nothing was stored");
            return Err(Error::new(ErrorKind::Integrity, Effect::Rejected, message));
        }
        let Err(error) = call(Stage::Commit, self.operator.rename(written_path, &self.path)).await else {
            return Ok(metadata);
        };
        if error.effect() != Effect::Unknown {
            return Err(match error.kind() {
                ErrorKind::NotFound => Error::new(ErrorKind::Conflict, error.effect(), lost),
                _ => error,
            });
        }
        // The rename may be done: then the temporary file does not exist.
        match call(Stage::Read, self.operator.stat(written_path)).await {
            Err(gone) if gone.kind() == ErrorKind::NotFound => {}
            _ => return Err(error),
        }
        match call(Stage::Read, self.operator.stat(&self.path)).await {
            Ok(found) if found.is_file() && found.content_length() == size && self.is_new(&found) => Ok(metadata),
            _ => {
                let message = "the temporary file of this upload is gone, and the file may be stored; check whether \
                               the file is stored before you upload it again";
                Err(Error::new(ErrorKind::Unavailable, Effect::Unknown, message).with_attempts(error.attempts()))
            }
        }
    }

    /// Returns `true` if `found` is not the file that existed before the upload, as far as its metadata shows.
    fn is_new(&self, found: &Metadata) -> bool {
        let Some(existing) = &self.existing else { return true };
        match (existing.etag(), found.etag(), existing.last_modified(), found.last_modified()) {
            (Some(old), Some(new), ..) => old != new,
            (.., Some(old), Some(new)) => new > old,
            _ => existing.content_length() != found.content_length(),
        }
    }

    /// Sends the body. Returns its size in bytes, unless the request that stores the file sends it. An error of the body
    /// is returned unchanged.
    async fn transfer(
        &mut self,
        writer: &mut opendal::Writer,
        dropped: &mut oneshot::Receiver<()>,
    ) -> Result<Option<u64>> {
        let stream = match &mut self.content {
            Content::Chunks(stream) => stream,
            #[cfg(feature = "http")]
            Content::Request(body) => {
                Attempts::current().send_body(Arc::clone(body));
                return Ok(None);
            }
            #[cfg(not(feature = "http"))]
            Content::Request(_) => return Ok(None),
        };
        let mut size = 0;
        let mut whole = ChunkQueue::new();
        loop {
            let chunk = tokio::select! {
                chunk = stream.next() => chunk.transpose()?,
                _ = &mut *dropped => return Err(upload_dropped()),
            };
            let Some(chunk) = chunk else { break };
            size += chunk.len() as u64;
            if self.traits.chunks {
                end_or_cut_off(self.traits, call(Stage::Transfer, writer.write(chunk)), dropped).await?;
            } else {
                whole.push(chunk);
            }
        }
        let whole = Vec::from(whole.into_chunks());
        if !whole.is_empty() {
            call(Stage::Transfer, writer.write(Buffer::from(whole))).await?;
        }
        Ok(Some(size))
    }

    /// Returns the size of the parts of a file of this length. It is a whole number of MiB.
    fn part_size(&self, length: Option<u64>) -> u64 {
        let Some(length) = length.filter(|_| self.traits.parallel) else {
            return PART_SIZE.max(length.unwrap_or(0).div_ceil(MAX_PARTS));
        };
        SMALL_PART_SIZE.max(length.div_ceil(MAX_PARTS).div_ceil(MIB) * MIB)
    }

    fn options(&self) -> WriteOptions {
        WriteOptions {
            content_type: self.content_type.clone(),
            user_metadata: (!self.metadata.is_empty()).then(|| self.metadata.clone().into_iter().collect()),
            if_not_exists: self.create_new && self.traits.conditional_write,
            ..WriteOptions::default()
        }
    }
}

/// Waits for a step of an upload that sends nothing, until the caller's future is dropped.
async fn until_dropped<T>(step: impl Future<Output = T>, dropped: &mut oneshot::Receiver<()>) -> Result<T> {
    tokio::select! {
        done = step => Ok(done),
        _ = dropped => Err(upload_dropped()),
    }
}

/// Runs a step of an upload until the caller's future is dropped or a part cannot be sent.
///
/// A step that is dropped itself leaves OpenDAL's writer unusable, so a multipart upload could not be aborted. Therefore
/// its request is cut off by the transport, and the step fails. A temporary file needs no writer to be removed.
async fn end_or_cut_off<T>(
    traits: ServiceTraits,
    step: impl Future<Output = Result<T>>,
    dropped: &mut oneshot::Receiver<()>,
) -> Result<T> {
    let mut step = pin!(step);
    let error = tokio::select! {
        done = &mut step => return done.map_err(|error| failed_part().unwrap_or(error)),
        _ = dropped => upload_dropped(),
        () = part_failed() => failed_part().unwrap_or_else(upload_dropped),
    };
    if !traits.folders {
        let attempts = Attempts::current();
        attempts.cut_off(true);
        let _ = step.await;
        attempts.cut_off(false);
    }
    Err(error)
}

/// Waits until a part of the running upload cannot be sent.
async fn part_failed() {
    Attempts::current().part_failed().await;
}

/// Returns the error of the first part that could not be sent, if there is one.
fn failed_part() -> Option<Error> {
    let attempts = Attempts::current();
    let (error, retries) = attempts.take_failed_part()?;
    Some(of_service(error, Stage::Transfer, &attempts, retries))
}

/// Ends the requests of other parts, so that none of them arrives after the upload is aborted.
async fn end_requests() {
    let attempts = Attempts::current();
    attempts.cut_off(true);
    attempts.are_over().await;
    attempts.cut_off(false);
}

/// Returns the error of an upload whose future was dropped. No caller receives it.
fn upload_dropped() -> Error {
    Error::new(ErrorKind::Other, Effect::Unknown, "the upload was dropped")
}
