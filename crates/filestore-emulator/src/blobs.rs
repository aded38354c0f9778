//! Storage of file contents, called blobs.
//!
//! Without a data directory, blobs of at most 64 KiB are in memory and larger ones in a temporary folder. With a data
//! directory, all blobs are in a folder of it.
//!
//! A blob is written once and never changes. An open reader can still read the content after the blob is removed. So a
//! service can remove a single-use file before it sends the first byte.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use serde::{Deserialize, Serialize};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio_util::io::ReaderStream;
use uuid::Uuid;

use crate::durable;

/// The largest blob in memory, in bytes.
const MAX_IN_MEMORY: usize = 64 * 1024;
/// The size of the buffer for reading a file, in bytes.
const READ_BUFFER: usize = 256 * 1024;

/// The problem of a record whose content is not on disk.
pub(crate) const MISSING_CONTENT: &str = "the content of the file is missing or incomplete";

/// The name of a blob, valid until the blob is removed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct BlobId(String);

/// The blobs of one service.
#[derive(Debug)]
pub(crate) struct Blobs {
    folder: PathBuf,
    /// `true` if contents are synced to disk before a record refers to them.
    durable: bool,
    /// `true` if a damaged record may refer to any content.
    keeps_unknown: AtomicBool,
    small: Mutex<HashMap<BlobId, Bytes>>,
}

impl Blobs {
    /// Opens a store whose blobs end with the process.
    pub(crate) fn temporary(folder: PathBuf) -> io::Result<Arc<Self>> {
        Self::open(folder, false)
    }

    /// Opens a store whose blobs survive a restart.
    pub(crate) fn durable(folder: PathBuf) -> io::Result<Arc<Self>> {
        Self::open(folder, true)
    }

    fn open(folder: PathBuf, durable: bool) -> io::Result<Arc<Self>> {
        durable::create_private_folder(&folder)?;
        Ok(Arc::new(Blobs { folder, durable, keeps_unknown: AtomicBool::new(false), small: Mutex::default() }))
    }

    pub(crate) fn writer(self: &Arc<Self>) -> BlobWriter {
        BlobWriter {
            blobs: Arc::clone(self),
            id: BlobId(Uuid::new_v4().simple().to_string()),
            size: 0,
            small: BytesMut::new(),
            file: None,
            finished: false,
        }
    }

    pub(crate) fn reader(&self, id: &BlobId) -> io::Result<BlobReader> {
        if let Some(content) = self.small().get(id) {
            return Ok(BlobReader::Memory(content.clone()));
        }
        Ok(BlobReader::File(fs::File::open(self.path(id))?))
    }

    /// Returns the size of a blob in the folder, in bytes.
    pub(crate) fn size(&self, id: &BlobId) -> Option<u64> {
        let metadata = fs::metadata(self.path(id)).ok()?;
        Some(metadata.len())
    }

    /// Removes a blob. A failure leaves a file that no record refers to; the next start removes it.
    pub(crate) fn remove(&self, id: &BlobId) {
        if self.small().remove(id).is_none()
            && let Err(error) = fs::remove_file(self.path(id))
        {
            tracing::warn!(%error, blob = id.0, "cannot remove a stored content");
        }
    }

    /// Makes [`Blobs::remove_all_but`] keep the blobs in the folder, because a damaged record may refer to any of them.
    pub(crate) fn keep_unknown(&self) {
        self.keeps_unknown.store(true, Ordering::Release);
    }

    /// Removes all blobs but those in `kept`: contents of unfinished uploads and of removed records.
    pub(crate) fn remove_all_but(&self, kept: &HashSet<&BlobId>) -> io::Result<()> {
        self.small().retain(|id, _| kept.contains(id));
        if self.keeps_unknown.load(Ordering::Acquire) {
            return Ok(());
        }
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let id = BlobId(entry.file_name().to_string_lossy().into_owned());
            if !kept.contains(&id) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn path(&self, id: &BlobId) -> PathBuf {
        self.folder.join(&id.0)
    }

    fn small(&self) -> MutexGuard<'_, HashMap<BlobId, Bytes>> {
        self.small.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A blob that is being written. Dropping it before [`BlobWriter::finish`] removes what was written.
#[derive(Debug)]
pub(crate) struct BlobWriter {
    blobs: Arc<Blobs>,
    id: BlobId,
    size: u64,
    small: BytesMut,
    file: Option<File>,
    finished: bool,
}

/// A complete blob, synced to disk if the store is durable. Dropping it before [`Blob::keep`] removes it.
#[derive(Debug)]
pub(crate) struct Blob {
    blobs: Arc<Blobs>,
    id: Option<BlobId>,
    size: u64,
}

impl Blob {
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Keeps the blob and returns its name. The caller is responsible for removing it.
    pub(crate) fn keep(mut self) -> BlobId {
        match self.id.take() {
            Some(id) => id,
            None => unreachable!("only `keep` takes the id, and it consumes the blob"),
        }
    }
}

impl Drop for Blob {
    fn drop(&mut self) {
        if let Some(id) = &self.id {
            self.blobs.remove(id);
        }
    }
}

impl BlobWriter {
    pub(crate) async fn write(&mut self, chunk: &[u8]) -> io::Result<()> {
        self.size += chunk.len() as u64;
        if self.file.is_none() {
            if self.small.len() + chunk.len() <= MAX_IN_MEMORY {
                self.small.extend_from_slice(chunk);
                return Ok(());
            }
            self.spill().await?;
        }
        if let Some(file) = &mut self.file {
            file.write_all(chunk).await?;
        }
        Ok(())
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) async fn finish(mut self) -> io::Result<Blob> {
        if self.blobs.durable && self.file.is_none() {
            self.spill().await?;
        }
        match &mut self.file {
            Some(file) => {
                file.flush().await?;
                if self.blobs.durable {
                    file.sync_all().await?;
                    let folder = self.blobs.folder.clone();
                    tokio::task::spawn_blocking(move || durable::sync_folder(&folder)).await??;
                }
            }
            None => {
                let content = self.small.split().freeze();
                self.blobs.small().insert(self.id.clone(), content);
            }
        }
        self.finished = true;
        Ok(Blob { blobs: Arc::clone(&self.blobs), id: Some(self.id.clone()), size: self.size })
    }

    /// Moves the content from memory to a file.
    async fn spill(&mut self) -> io::Result<()> {
        let mut file = File::create_new(self.blobs.path(&self.id)).await?;
        file.write_all(&self.small.split()).await?;
        self.file = Some(file);
        Ok(())
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        if !self.finished && self.file.is_some() {
            self.blobs.remove(&self.id);
        }
    }
}

type Content = BoxStream<'static, io::Result<Bytes>>;

/// An open blob. Its content stays readable after the blob is removed.
#[derive(Debug)]
pub(crate) enum BlobReader {
    Memory(Bytes),
    File(fs::File),
}

impl BlobReader {
    pub(crate) fn stream(self) -> Content {
        match self {
            BlobReader::Memory(content) => stream::iter([Ok(content)]).boxed(),
            BlobReader::File(file) => ReaderStream::with_capacity(File::from_std(file), READ_BUFFER).boxed(),
        }
    }

    /// Streams the bytes from `start` up to but not including `end`. Both must lie within the content.
    pub(crate) async fn stream_range(self, Range { start, end }: Range<u64>) -> io::Result<Content> {
        match self {
            BlobReader::Memory(content) => {
                let clamp = |at| usize::try_from(at).map_or(content.len(), |at| at.min(content.len()));
                Ok(stream::iter([Ok(content.slice(clamp(start)..clamp(end)))]).boxed())
            }
            BlobReader::File(file) => {
                let mut file = File::from_std(file);
                file.seek(SeekFrom::Start(start)).await?;
                Ok(ReaderStream::with_capacity(file.take(end - start), READ_BUFFER).boxed())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;

    #[tokio::test]
    async fn a_range_is_the_same_from_memory_and_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::temporary(folder.path().join("bodies")).unwrap();
        for size in [MAX_IN_MEMORY, MAX_IN_MEMORY + 1] {
            let content: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            let mut writer = blobs.writer();
            writer.write(&content).await.unwrap();
            let blob = writer.finish().await.unwrap().keep();
            for range in [0..size, 1000..1003, size - 1..size, 7..7] {
                let bytes = range.start as u64..range.end as u64;
                let stream = blobs.reader(&blob).unwrap().stream_range(bytes).await.unwrap();
                let read: Vec<Bytes> = stream.try_collect().await.unwrap();
                assert!(read.concat() == content[range]);
            }
        }
    }
}
