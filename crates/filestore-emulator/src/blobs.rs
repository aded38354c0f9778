//! Where file contents are: small ones in memory, the others in a folder, all of them in a
//! folder when there is a data directory.
//!
//! A blob is written once and never changes. A reader that was opened keeps its content even
//! when the blob is removed under it, which is what lets a service remove a single-use file
//! before its first byte goes out.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;
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

/// The largest content that is held in memory.
const SMALL: usize = 64 * 1024;
/// How much of a file is read at a time.
const READ: usize = 256 * 1024;

/// The name of a blob, good for as long as its service keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct BlobId(String);

#[derive(Debug)]
pub(crate) struct Blobs {
    folder: PathBuf,
    /// Contents must be on disk before anything refers to them.
    durable: bool,
    small: Mutex<HashMap<BlobId, Bytes>>,
}

impl Blobs {
    /// Blobs that end with the process.
    pub(crate) fn temporary(folder: PathBuf) -> io::Result<Arc<Self>> {
        Self::open(folder, false)
    }

    /// Blobs that survive it.
    pub(crate) fn durable(folder: PathBuf) -> io::Result<Arc<Self>> {
        Self::open(folder, true)
    }

    fn open(folder: PathBuf, durable: bool) -> io::Result<Arc<Self>> {
        durable::create_private_folder(&folder)?;
        Ok(Arc::new(Blobs { folder, durable, small: Mutex::default() }))
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

    /// The size of a blob in the folder.
    pub(crate) fn size(&self, id: &BlobId) -> Option<u64> {
        let metadata = fs::metadata(self.path(id)).ok()?;
        Some(metadata.len())
    }

    /// Forgets a blob. A failure leaves a file that nothing refers to, removed at the next start.
    pub(crate) fn remove(&self, id: &BlobId) {
        if self.small().remove(id).is_none()
            && let Err(error) = fs::remove_file(self.path(id))
        {
            tracing::warn!(%error, blob = id.0, "a stored body could not be removed");
        }
    }

    /// Removes everything that is none of `kept`: uploads that never became a record, and
    /// contents of records that are gone.
    pub(crate) fn remove_all_but(&self, kept: &HashSet<&BlobId>) -> io::Result<()> {
        self.small().retain(|id, _| kept.contains(id));
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

/// A blob on its way in. Dropped before [`BlobWriter::finish`], it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct BlobWriter {
    blobs: Arc<Blobs>,
    id: BlobId,
    size: u64,
    small: BytesMut,
    file: Option<File>,
    finished: bool,
}

/// A blob that is complete, and durable if blobs are. Dropped before [`Blob::keep`], it leaves
/// nothing behind.
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

    /// Hands the blob over to whoever stores its name.
    pub(crate) fn keep(mut self) -> BlobId {
        match self.id.take() {
            Some(id) => id,
            None => unreachable!("only keeping takes the id, and it takes the blob with it"),
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
            if self.small.len() + chunk.len() <= SMALL {
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

/// An opened blob: its content stays readable whatever happens to the blob.
#[derive(Debug)]
pub(crate) enum BlobReader {
    Memory(Bytes),
    File(fs::File),
}

impl BlobReader {
    pub(crate) fn stream(self) -> Content {
        match self {
            BlobReader::Memory(content) => stream::iter([Ok(content)]).boxed(),
            BlobReader::File(file) => ReaderStream::with_capacity(File::from_std(file), READ).boxed(),
        }
    }

    /// The bytes from `start` to before `end`, which are inside the content.
    pub(crate) async fn stream_range(self, Range { start, end }: Range<u64>) -> io::Result<Content> {
        match self {
            BlobReader::Memory(content) => {
                let inside = |at| usize::try_from(at).map_or(content.len(), |at| at.min(content.len()));
                Ok(stream::iter([Ok(content.slice(inside(start)..inside(end)))]).boxed())
            }
            BlobReader::File(file) => {
                let mut file = File::from_std(file);
                file.seek(SeekFrom::Start(start)).await?;
                Ok(ReaderStream::with_capacity(file.take(end - start), READ).boxed())
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
        for size in [SMALL, SMALL + 1] {
            let content: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            let mut writer = blobs.writer();
            writer.write(&content).await.unwrap();
            let blob = writer.finish().await.unwrap().keep();
            for range in [0..size, 1000..1003, size - 1..size, 7..7] {
                let wanted = range.start as u64..range.end as u64;
                let stream = blobs.reader(&blob).unwrap().stream_range(wanted).await.unwrap();
                let read: Vec<Bytes> = stream.try_collect().await.unwrap();
                assert!(read.concat() == content[range]);
            }
        }
    }
}
