//! [`FilesComReader`]: a stored file with the interface of a local one, for sequential reads and seeks.

use std::fmt;
use std::io::{self, SeekFrom};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use filestore_core::{Effect, Error, ErrorKind, FileRef, Result, StoredFile};
use filestore_http::{Attempts, RangeReader, RangeSource};
use futures::future::{BoxFuture, FutureExt};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncSeek, ReadBuf};

use crate::ByteSize;
use crate::content::RemoteContent;
use crate::metadata;
use crate::store::FilesComStore;

/// The default length of the first requested range. While reads are sequential, each range is twice as long as the one
/// before, up to [`MAX_GROWTH`] times the first.
const READ_AHEAD: ByteSize = ByteSize::mib(4);
const MAX_GROWTH: u64 = 16;

/// A seek forward by at most this many bytes beyond the buffer reads and skips them instead of requesting another
/// range.
const SKIP: u64 = 256 * 1024;

/// A reader of a stored file, which can seek. It buffers one chunk from the network, however long the requested range
/// is.
///
/// All bytes are of the file that existed when the reader was opened: if the file is replaced, a read fails with
/// *integrity*. The digest of the file is not checked, since reads may be partial and out of order;
/// [`download`](filestore_core::Store::download) checks it. Errors are [`io::Error`]s around the errors of a download,
/// which [`Error::from_reader`] returns.
///
/// ```no_run
/// # async fn example(store: filestore_filescom::FilesComStore) -> Result<(), Box<dyn std::error::Error>> {
/// use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncSeekExt};
///
/// let mut file = store.open(&store.reference("logs/2026/today.log")?).await?;
/// file.seek(std::io::SeekFrom::End(-1000)).await?;
/// let mut end = String::new();
/// file.read_to_string(&mut end).await?;
/// file.rewind().await?;
/// let first = file.lines().next_line().await?;
/// # Ok(())
/// # }
/// ```
pub struct FilesComReader {
    content: Arc<RemoteContent>,
    file: StoredFile,
    size: u64,
    /// The offset of the next byte, which is the first of `chunk`.
    at: u64,
    chunk: Bytes,
    /// The number of bytes to discard before the next one.
    skip: u64,
    state: State,
    /// The length of the first range after opening or a seek.
    read_ahead: u64,
    /// The length of the next range.
    window: u64,
}

enum State {
    /// No request is in flight; the reader of the current range, unless that has ended.
    Idle(Option<Box<RangeReader>>),
    Busy(BoxFuture<'static, Result<NextChunk>>),
}

/// A chunk, and the reader of the rest of its range; an empty chunk and `None` at the end of the range.
type NextChunk = (Bytes, Option<Box<RangeReader>>);

impl FilesComStore {
    /// Opens a file for reading, with one request. Content is requested when it is read.
    ///
    /// *Not found*, *permission*, *invalid input* for a folder, *unsupported* if the service does not know the size.
    pub async fn open(&self, reference: &FileRef) -> Result<FilesComReader> {
        let content = self.content(self.path_of(reference)?).await?;
        let Some(size) = content.entry().size else {
            let message = "the service does not know the size of this file; download it";
            return Err(Error::unsupported(message).with_effect(Effect::Rejected));
        };
        Ok(FilesComReader {
            file: metadata::stored(content.path(), content.entry().clone()),
            content: Arc::new(content),
            size,
            at: 0,
            chunk: Bytes::new(),
            skip: 0,
            state: State::Idle(None),
            read_ahead: READ_AHEAD.as_u64(),
            window: READ_AHEAD.as_u64(),
        })
    }
}

impl FilesComReader {
    /// Returns the metadata of the file.
    pub fn file(&self) -> &StoredFile {
        &self.file
    }

    /// Sets the length of the range that is requested first, and after each seek that leaves the current range.
    /// Default: 4 MiB; at least one byte. A smaller length suits reads at scattered offsets, since the unread rest of a range is wasted.
    pub fn read_ahead(mut self, bytes: ByteSize) -> Self {
        self.read_ahead = bytes.as_u64().max(1);
        self.window = self.read_ahead;
        self
    }

    /// Returns the next chunk, of the range of `reader` or of a new one.
    fn next_chunk(&mut self, reader: Option<Box<RangeReader>>) -> BoxFuture<'static, Result<NextChunk>> {
        let content = Arc::clone(&self.content);
        let range = self.at..self.size.min(self.at.saturating_add(self.window));
        if reader.is_none() {
            self.skip = 0;
            self.window = self.window.saturating_mul(2).min(self.read_ahead.saturating_mul(MAX_GROWTH));
        }
        async move {
            let mut reader = match reader {
                Some(reader) => reader,
                None => Box::new(begin(&content, range).await?),
            };
            let chunk = reader.next(&content).await?;
            Ok(chunk.map_or_else(|| (Bytes::new(), None), |chunk| (chunk, Some(reader))))
        }
        .boxed()
    }

    /// Reads until the buffer has a chunk, or the file has ended.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        while self.chunk.is_empty() && self.at < self.size {
            let future = match &mut self.state {
                State::Busy(future) => future,
                State::Idle(reader) => {
                    let reader = reader.take();
                    self.state = State::Busy(self.next_chunk(reader));
                    continue;
                }
            };
            let next = ready!(future.poll_unpin(cx));
            self.state = State::Idle(None);
            let (mut chunk, reader) = next?;
            let skipped = self.skip.min(chunk.len() as u64);
            chunk.advance(usize::try_from(skipped).unwrap_or(usize::MAX));
            self.skip -= skipped;
            (self.chunk, self.state) = (chunk, State::Idle(reader));
        }
        Poll::Ready(Ok(()))
    }

    /// Seeks to `target`, if possible within the buffer or the current range; otherwise the next read requests another
    /// range.
    fn seek_to(&mut self, target: u64) {
        let ahead = target.checked_sub(self.at);
        let buffered = self.chunk.len() as u64;
        let reader = match &self.state {
            State::Idle(Some(reader)) => Some(reader),
            _ => None,
        };
        match (ahead, reader) {
            (Some(ahead), _) if ahead <= buffered => {
                self.chunk.advance(usize::try_from(ahead).unwrap_or(usize::MAX));
            }
            (Some(ahead), Some(reader)) if ahead <= buffered + SKIP && target < reader.end() => {
                self.skip += ahead - buffered;
                self.chunk.clear();
            }
            _ => {
                (self.skip, self.state, self.window) = (0, State::Idle(None), self.read_ahead);
                self.chunk.clear();
            }
        }
        self.at = target;
    }
}

/// Requests a range. After the first one, the storage must be able to prove that the range is of the same file.
async fn begin(content: &RemoteContent, range: std::ops::Range<u64>) -> Result<RangeReader> {
    if content.was_read() && !content.can_resume().await? {
        let message = "the storage cannot prove that ranges are of one file; download the whole file";
        return Err(Error::unsupported(message).with_effect(Effect::Rejected));
    }
    let mut attempts = Attempts::new();
    let response = content.get(Some(range.clone()), &mut attempts).await?;
    if response.status().as_u16() != 206 && range != (0..content.entry().size.unwrap_or_default()) {
        let message = "the storage of this file does not support ranges; download the whole file";
        return Err(Error::unsupported(message).with_effect(Effect::Rejected));
    }
    Ok(content.reader(response, range, attempts))
}

impl AsyncBufRead for FilesComReader {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        ready!(this.poll_chunk(cx))?;
        Poll::Ready(Ok(&this.chunk))
    }

    fn consume(mut self: Pin<&mut Self>, count: usize) {
        self.chunk.advance(count);
        self.at += count as u64;
    }
}

impl AsyncRead for FilesComReader {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_chunk(cx))?;
        let count = self.chunk.len().min(buffer.remaining());
        buffer.put_slice(&self.chunk[..count]);
        self.consume(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncSeek for FilesComReader {
    /// A seek beyond the end succeeds, and reads return no bytes there; one before the beginning is an error.
    fn start_seek(mut self: Pin<&mut Self>, position: SeekFrom) -> io::Result<()> {
        let target = match position {
            SeekFrom::Start(target) => Some(target),
            SeekFrom::End(offset) => self.size.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.at.checked_add_signed(offset),
        };
        let target = target.ok_or_else(|| {
            let message = "the position is before the beginning of the file";
            io::Error::new(io::ErrorKind::InvalidInput, Error::new(ErrorKind::InvalidInput, Effect::NotSent, message))
        })?;
        self.seek_to(target);
        Ok(())
    }

    fn poll_complete(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Poll::Ready(Ok(self.at))
    }
}

impl fmt::Debug for FilesComReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilesComReader").field("size", &self.size).field("at", &self.at).finish_non_exhaustive()
    }
}
