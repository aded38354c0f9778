//! UploadTask the body of an upload.

use std::collections::BTreeMap;

use bytes::Bytes;
use filestore_core::components::TEMPORARY_FOLDER;
use filestore_core::{ByteStream, Effect, Error, ErrorKind, Result, check_runtime};
use futures::StreamExt;
use opendal::options::{DeleteOptions, WriteOptions};
use opendal::{Buffer, Metadata, Operator};
use tokio::sync::oneshot;

use crate::attempts::Attempts;
use crate::capabilities::ServiceTraits;
use crate::error::{Stage, UNENCRYPTED};
use crate::step::call;

/// The size of a part: one is in memory at a time.
const PART: u64 = 8 * 1024 * 1024;

/// No service has a multipart upload of more parts.
const PARTS: u64 = 10_000;

/// One upload.
pub(crate) struct UploadTask {
    pub(crate) operator: Operator,
    pub(crate) traits: ServiceTraits,
    pub(crate) path: String,
    pub(crate) stream: ByteStream,
    pub(crate) content_type: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    /// Whether a file that is there is to be left as it is.
    pub(crate) reject: bool,
    /// The file that is there, where it was looked for.
    pub(crate) before: Option<Metadata>,
}

/// Sends the whole of it, or leaves nothing. Gives what the service says of the file, and its size.
///
/// The work is done by a task of its own. When the caller's future is dropped, the task ends the upload: a request that
/// stores or renames the file is cut off and not repeated, any other one ends first, and what was sent is removed.
pub(crate) async fn send(sending: UploadTask) -> Result<(Metadata, u64)> {
    check_runtime()?;
    let (_waiting, dropped) = oneshot::channel();
    tokio::spawn(Attempts::current().scope(sending.run(dropped)))
        .await
        .unwrap_or_else(|panic| Err(Error::new(ErrorKind::Other, Effect::Unknown, panic.to_string())))
}

impl UploadTask {
    async fn run(mut self, mut dropped: oneshot::Receiver<()>) -> Result<(Metadata, u64)> {
        // A service with folders may show a file while it is written: it is written aside.
        let written = match self.traits.folders {
            true => format!("{TEMPORARY_FOLDER}/{}", uuid::Uuid::new_v4()),
            false => self.path.clone(),
        };
        if self.reject {
            Attempts::current().never_replace();
        }
        let part = self.part();
        let mut writer = call(Stage::Transfer, self.operator.writer_options(&written, self.options())).await?;
        let outcome = match self.transfer(&mut writer, &mut dropped).await {
            Ok(size) => tokio::select! {
                stored = self.store(&mut writer, &written, size, part) => stored,
                _ = dropped => Err(abandoned()),
            },
            Err(error) => Err(error),
        };
        let outcome = match outcome {
            Ok((metadata, _)) if Attempts::current().is_unencrypted() => Err(self.take_back(&metadata).await),
            other => other,
        };
        if outcome.is_err() {
            // Best effort: the error to report is the first one.
            let _ = writer.abort().await;
            if self.traits.folders {
                let _ = self.operator.delete(&written).await;
            }
        }
        outcome
    }

    /// Makes what was sent the file.
    async fn store(
        &mut self,
        writer: &mut opendal::Writer,
        written: &str,
        size: u64,
        part: u64,
    ) -> Result<(Metadata, u64)> {
        let stage = if self.traits.folders { Stage::Transfer } else { Stage::Commit };
        let metadata = match call(stage, writer.close()).await {
            Ok(metadata) => metadata,
            Err(error) => self.completed(error, size, part).await?,
        };
        if self.traits.folders {
            self.publish(written, size).await?;
        }
        Ok((metadata, size))
    }

    /// Removes the file that was stored without the encryption that was asked for. Gives the error to report.
    async fn take_back(&mut self, stored: &Metadata) -> Error {
        // A file that had the name before is gone, too. An earlier attempt may still be under way.
        let effect = if self.reject { Attempts::current().effect_if_undone() } else { Effect::Unknown };
        // Without its version, a bucket that keeps versions would keep this one, too.
        let by_version = self.operator.info().capability().delete_with_version;
        let version = stored.version().filter(|_| by_version).map(str::to_owned);
        let options = DeleteOptions { version, ..DeleteOptions::default() };
        match call(Stage::Commit, self.operator.delete_options(&self.path, options)).await {
            Ok(()) => {
                let before = if self.reject { "" } else { ", and a file that had the name before is replaced" };
                let message = format!("{UNENCRYPTED}. The file was removed again{before}");
                Error::unsupported(message).with_effect(effect)
            }
            Err(error) => {
                let why = error.message();
                let message = format!("{UNENCRYPTED}. The file is stored and could not be removed: {why}");
                Error::new(ErrorKind::Incomplete, Effect::Applied, message)
            }
        }
    }

    /// Finds out whether an earlier attempt has completed the multipart upload of which `error` says that it is no more.
    async fn completed(&mut self, error: Error, size: u64, part: u64) -> Result<Metadata> {
        if error.provider_code() != Some("NoSuchUpload") || error.effect() != Effect::Unknown {
            return Err(error);
        }
        // The ETag of a file that was uploaded in parts ends with their number.
        let parts = format!("-{}", size.div_ceil(part));
        match call(Stage::Read, self.operator.stat(&self.path)).await {
            Ok(found)
                if found.content_length() == size
                    && found.etag().is_some_and(|etag| etag.trim_matches('"').ends_with(&parts)) =>
            {
                Ok(found)
            }
            _ => Err(error),
        }
    }

    /// Gives the whole file of this size, which was written aside, its name.
    async fn publish(&mut self, written: &str, size: u64) -> Result<()> {
        let lost = "the service has lost the temporary file of this upload, which it had accepted";
        let held = match call(Stage::Transfer, self.operator.stat(written)).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(Error::new(ErrorKind::Integrity, error.effect(), lost));
            }
            held => held?.content_length(),
        };
        if held != size {
            let message = format!("{size} bytes were sent, and the service holds {held} of them; nothing was stored");
            return Err(Error::new(ErrorKind::Integrity, Effect::Rejected, message));
        }
        let Err(error) = call(Stage::Commit, self.operator.rename(written, &self.path)).await else { return Ok(()) };
        if error.effect() != Effect::Unknown {
            return Err(match error.kind() {
                ErrorKind::NotFound => Error::new(ErrorKind::Conflict, error.effect(), lost),
                _ => error,
            });
        }
        // It may be done: then it is the temporary file that is not there.
        match call(Stage::Read, self.operator.stat(written)).await {
            Err(gone) if gone.kind() == ErrorKind::NotFound => {}
            _ => return Err(error),
        }
        match call(Stage::Read, self.operator.stat(&self.path)).await {
            Ok(found) if found.is_file() && found.content_length() == size && self.is_new(&found) => Ok(()),
            _ => {
                let message = "the temporary file of this upload is gone, and the file may be stored; look at what is \
                               there before you send it again";
                Err(Error::new(ErrorKind::Unavailable, Effect::Unknown, message).with_attempts(error.attempts()))
            }
        }
    }

    /// Whether `found` is another file than the one that was there before the upload, as far as the service tells.
    fn is_new(&self, found: &Metadata) -> bool {
        let Some(before) = &self.before else { return true };
        match (before.etag(), found.etag(), before.last_modified(), found.last_modified()) {
            (Some(old), Some(new), ..) => old != new,
            (.., Some(old), Some(new)) => new > old,
            _ => before.content_length() != found.content_length(),
        }
    }

    /// Gives the number of bytes. The error of the body comes back as it is.
    async fn transfer(&mut self, writer: &mut opendal::Writer, dropped: &mut oneshot::Receiver<()>) -> Result<u64> {
        let mut size = 0;
        let mut whole: Vec<Bytes> = Vec::new();
        loop {
            let chunk = tokio::select! {
                chunk = self.stream.next() => chunk.transpose()?,
                _ = &mut *dropped => return Err(abandoned()),
            };
            let Some(chunk) = chunk else { break };
            size += chunk.len() as u64;
            if self.traits.pieces {
                call(Stage::Transfer, writer.write(chunk)).await?;
            } else {
                whole.push(chunk);
            }
        }
        if !whole.is_empty() {
            call(Stage::Transfer, writer.write(Buffer::from(whole))).await?;
        }
        Ok(size)
    }

    /// The size of a part: larger for what would not fit into the number of parts that there may be.
    fn part(&self) -> u64 {
        PART.max(self.stream.length().unwrap_or(0).div_ceil(PARTS))
    }

    fn options(&self) -> WriteOptions {
        let part = self.part();
        WriteOptions {
            content_type: self.content_type.clone(),
            user_metadata: (!self.metadata.is_empty()).then(|| self.metadata.clone().into_iter().collect()),
            if_not_exists: self.reject && self.traits.rejects,
            chunk: self.traits.parts.then(|| usize::try_from(part).unwrap_or(usize::MAX)),
            ..WriteOptions::default()
        }
    }
}

/// The error of an upload that nobody waits for any more.
fn abandoned() -> Error {
    Error::new(ErrorKind::Other, Effect::Unknown, "the upload was dropped")
}
