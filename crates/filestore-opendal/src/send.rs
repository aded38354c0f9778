//! Sending the body of an upload.

use std::collections::BTreeMap;

use bytes::Bytes;
use filestore_core::{ByteStream, Effect, Error, ErrorKind, Result, check_runtime};
use futures::StreamExt;
use opendal::options::WriteOptions;
use opendal::{Buffer, Metadata, Operator};
use tokio::sync::oneshot;

use crate::attempts::Attempts;
use crate::error::Stage;
use crate::facts::Traits;
use crate::path::TEMPORARY;
use crate::store::call;

/// The size of a part: one is in memory at a time.
const PART: u64 = 8 * 1024 * 1024;

/// No service has a multipart upload of more parts.
const PARTS: u64 = 10_000;

/// One upload.
pub(crate) struct Sending {
    pub(crate) operator: Operator,
    pub(crate) traits: Traits,
    pub(crate) path: String,
    pub(crate) stream: ByteStream,
    pub(crate) content_type: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    /// Whether the service is to refuse if there is a file.
    pub(crate) refuse: bool,
}

/// Sends the whole of it, or leaves nothing. Gives what the service says of the file, and its size.
///
/// The work is done by a task of its own: when the caller's future is dropped, the task ends the
/// upload in order instead of being cut off in the middle of a request, and what was sent is removed.
pub(crate) async fn send(sending: Sending) -> Result<(Metadata, u64)> {
    check_runtime()?;
    let (_waiting, dropped) = oneshot::channel();
    tokio::spawn(Attempts::current().scope(sending.run(dropped)))
        .await
        .unwrap_or_else(|panic| Err(Error::new(ErrorKind::Other, Effect::Unknown, panic.to_string())))
}

impl Sending {
    async fn run(mut self, dropped: oneshot::Receiver<()>) -> Result<(Metadata, u64)> {
        // A service with folders may show a file while it is written: it is written aside.
        let written = match self.traits.folders {
            true => format!("{TEMPORARY}/{}", uuid::Uuid::new_v4()),
            false => self.path.clone(),
        };
        let mut writer = call(Stage::Transfer, self.operator.writer_options(&written, self.options())).await?;
        let outcome = match self.transfer(&mut writer, dropped).await {
            Ok(size) => {
                let stage = if self.traits.folders { Stage::Transfer } else { Stage::Commit };
                call(stage, writer.close()).await.map(|metadata| (metadata, size))
            }
            Err(error) => Err(error),
        };
        let outcome = match outcome {
            Ok(stored) if self.traits.folders => {
                call(Stage::Commit, self.operator.rename(&written, &self.path)).await.map(|()| stored)
            }
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

    /// Gives the number of bytes. The error of the body comes back as it is.
    async fn transfer(&mut self, writer: &mut opendal::Writer, mut dropped: oneshot::Receiver<()>) -> Result<u64> {
        let mut size = 0;
        let mut whole: Vec<Bytes> = Vec::new();
        loop {
            let chunk = tokio::select! {
                chunk = self.stream.next() => chunk.transpose()?,
                _ = &mut dropped => {
                    return Err(Error::new(ErrorKind::Other, Effect::Rejected, "the upload was dropped"));
                }
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

    fn options(&self) -> WriteOptions {
        // Larger parts for what would not fit into the number of parts that there may be.
        let part = PART.max(self.stream.length().unwrap_or(0).div_ceil(PARTS));
        WriteOptions {
            content_type: self.content_type.clone(),
            user_metadata: (!self.metadata.is_empty()).then(|| self.metadata.clone().into_iter().collect()),
            if_not_exists: self.refuse,
            chunk: self.traits.parts.then(|| usize::try_from(part).unwrap_or(usize::MAX)),
            ..WriteOptions::default()
        }
    }
}
