//! [`FileReader`]: a stored file with the interface of a local one, for sequential reads and seeks.

use std::fmt;
use std::io::{self, SeekFrom};
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures::future::BoxFuture;
use futures::stream::TryStreamExt;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncSeek, ReadBuf};

use crate::exclusive::Exclusive;
use crate::{
    ByteStream, Download, Effect, Error, ErrorKind, Feature, FileRef, Operation, Result, Stat, Store, StoredFile,
};

/// The default length of the first requested range in bytes. While reads are sequential, each range is twice as long as
/// the one before, up to [`MAX_GROWTH`] times the first.
const READ_AHEAD: u64 = 4 << 20;
const MAX_GROWTH: u64 = 16;

/// A seek forward by at most this many bytes beyond the buffer reads and skips them instead of requesting another
/// range.
const SKIP: u64 = 256 * 1024;

/// A reader of a stored file, which can seek; see [`Store::reader`]. It buffers one chunk from the network, however long
/// the requested range is.
///
/// All bytes are of one version of the file: if the file is replaced, a read fails with *integrity*. A store that can
/// prove neither by a [validator](crate::Downloaded::validator) nor by a [version](StoredFile::version) that two ranges
/// are of one version gives the first range only, and a read beyond it fails with *unsupported*. The digest of the file
/// is not checked, since reads may be partial and out of order; [`Store::download`] checks it. Errors are [`io::Error`]s
/// around the errors of a download, which `Error::from` returns.
pub struct FileReader {
    store: Store,
    file: StoredFile,
    size: u64,
    /// The proof of the first range that its bytes are of the version that was opened.
    proof: Option<Proof>,
    /// The offset of the next byte, which is the first of `chunk`.
    at: u64,
    chunk: Bytes,
    /// The number of bytes to discard before the next one.
    skip: u64,
    state: Exclusive<State>,
    /// The length of the first range after opening or a seek.
    read_ahead: u64,
    /// The length of the next range.
    window: u64,
}

enum State {
    /// No request is in flight; the rest of the current range, unless that has ended.
    Idle(Option<Box<OpenRange>>),
    Busy(BoxFuture<'static, Result<NextChunk>>),
}

/// The rest of a range.
struct OpenRange {
    stream: ByteStream,
    /// The offset of its end in the file.
    end: u64,
    proof: Proof,
}

/// The validator and the version of a response, which show whether two responses are of one version of the file.
#[derive(Clone)]
struct Proof {
    validator: Option<String>,
    version: Option<String>,
}

impl Proof {
    /// Returns `true` if both are of one version, `false` if they are not, and `None` if neither is proven.
    fn is_same(&self, other: &Self) -> Option<bool> {
        let equal = |a: &Option<String>, b: &Option<String>| Some(a.as_ref()? == b.as_ref()?);
        equal(&self.validator, &other.validator).or_else(|| equal(&self.version, &other.version))
    }
}

/// A chunk, and the rest of its range; an empty chunk and `None` at the end of the range.
type NextChunk = (Bytes, Option<Box<OpenRange>>);

impl Store {
    /// Opens a file for reading at any position, with one request for its metadata. Content is requested when it is
    /// read.
    ///
    /// Errors: *unsupported* where ranges cannot be read or a read consumes the file, and those of [`stat`](Self::stat).
    ///
    /// ```no_run
    /// # async fn example(store: filestore_core::Store) -> Result<(), Box<dyn std::error::Error>> {
    /// use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncSeekExt};
    ///
    /// let mut file = store.reader(store.reference(Some("logs/2026"), "today.log")?).await?;
    /// file.seek(std::io::SeekFrom::End(-1000)).await?;
    /// let mut end = String::new();
    /// file.read_to_string(&mut end).await?;
    /// file.rewind().await?;
    /// let first = file.lines().next_line().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn reader(&self, request: impl Into<Stat> + Send) -> Result<FileReader> {
        let reference = request.into().reference;
        let context = |error| self.context_of(error, Operation::Download, &reference);
        self.capabilities().check(Feature::Range).map_err(context)?;
        let file = self.stat(&reference).await?;
        let (file, size) = match file.size {
            Some(size) => (file, size),
            None => self.size_by_read(&reference, file).await?,
        };
        Ok(FileReader {
            store: self.clone(),
            file,
            size,
            proof: None,
            at: 0,
            chunk: Bytes::new(),
            skip: 0,
            state: Exclusive::new(State::Idle(None)),
            read_ahead: READ_AHEAD,
            window: READ_AHEAD,
        })
    }

    /// Reads the first byte of a file whose metadata lacks the size, such as an encrypted one.
    async fn size_by_read(&self, reference: &FileRef, file: StoredFile) -> Result<(StoredFile, u64)> {
        let file = match self.download(Download::from(reference).range(..1)).await {
            Err(error) if error.kind() == ErrorKind::RangeNotSatisfiable => return Ok((file, 0)),
            response => response?.file,
        };
        let Some(size) = file.size else {
            let message = "the service does not state the size of this file; download it";
            let error = Error::unsupported(message).with_effect(Effect::Rejected);
            return Err(self.context_of(error, Operation::Download, reference));
        };
        Ok((file, size))
    }
}

impl FileReader {
    /// Returns the metadata of the file, as it was when the reader was opened.
    pub fn file(&self) -> &StoredFile {
        &self.file
    }

    /// Returns the size of the file in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Sets the length in bytes of the range that is requested first, and after each seek that leaves the current range.
    /// Default: 4 MiB; at least one byte. A smaller length suits reads at scattered offsets, since the unread rest of a
    /// range is wasted.
    pub fn read_ahead(mut self, bytes: u64) -> Self {
        self.read_ahead = bytes.max(1);
        self.window = self.read_ahead;
        self
    }

    /// Returns the next chunk, of the rest of a range or of a new range.
    fn next_chunk(&mut self, rest: Option<Box<OpenRange>>) -> BoxFuture<'static, Result<NextChunk>> {
        let range = self.at..self.size.min(self.at.saturating_add(self.window));
        if rest.is_none() {
            self.skip = 0;
            self.window = self.window.saturating_mul(2).min(self.read_ahead.saturating_mul(MAX_GROWTH));
        }
        let (store, file, proof) = (self.store.clone(), self.file.clone(), self.proof.clone());
        let size = self.size;
        Box::pin(async move {
            let mut open = match rest {
                Some(open) => open,
                None => Box::new(begin(&store, &file, size, proof, range).await?),
            };
            let chunk = open.stream.try_next().await?;
            Ok(chunk.map_or_else(|| (Bytes::new(), None), |chunk| (chunk, Some(open))))
        })
    }

    /// Reads until the buffer has a chunk, or the file has ended.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        while self.chunk.is_empty() && self.at < self.size {
            let next = match self.state.get_mut() {
                State::Busy(future) => ready!(future.as_mut().poll(cx)),
                State::Idle(rest) => {
                    let rest = rest.take();
                    let next = self.next_chunk(rest);
                    *self.state.get_mut() = State::Busy(next);
                    continue;
                }
            };
            *self.state.get_mut() = State::Idle(None);
            let (mut chunk, rest) = next?;
            if let Some(rest) = &rest {
                self.proof.get_or_insert_with(|| rest.proof.clone());
            }
            let skipped = self.skip.min(chunk.len() as u64);
            chunk.advance(usize::try_from(skipped).unwrap_or(usize::MAX));
            self.skip -= skipped;
            self.chunk = chunk;
            *self.state.get_mut() = State::Idle(rest);
        }
        Poll::Ready(Ok(()))
    }

    /// Seeks to `target`, if possible within the buffer or the current range; otherwise the next read requests another
    /// range.
    fn seek_to(&mut self, target: u64) {
        let ahead = target.checked_sub(self.at);
        let buffered = self.chunk.len() as u64;
        let end = match self.state.get_mut() {
            State::Idle(Some(rest)) => Some(rest.end),
            _ => None,
        };
        match (ahead, end) {
            (Some(ahead), _) if ahead <= buffered => {
                self.chunk.advance(usize::try_from(ahead).unwrap_or(usize::MAX));
            }
            (Some(ahead), Some(end)) if ahead <= buffered + SKIP && target < end => {
                self.skip += ahead - buffered;
                self.chunk.clear();
            }
            _ => {
                (self.skip, self.window) = (0, self.read_ahead);
                *self.state.get_mut() = State::Idle(None);
                self.chunk.clear();
            }
        }
        self.at = target;
    }
}

/// Requests a range of the version that was opened: that of `file`, and of the ranges before, which have `proof`.
async fn begin(
    store: &Store,
    file: &StoredFile,
    size: u64,
    proof: Option<Proof>,
    range: Range<u64>,
) -> Result<OpenRange> {
    let rejected = |kind, message| {
        let error = Error::new(kind, Effect::Rejected, message);
        store.context_of(error, Operation::Download, &file.reference)
    };
    let replaced =
        || rejected(ErrorKind::Integrity, "the file was replaced since the reader was opened; open it again");
    let response = match store.download(Download::from(&file.reference).range(range.clone())).await {
        Err(error) if error.kind() == ErrorKind::RangeNotSatisfiable => return Err(replaced()),
        response => response?,
    };
    let now = Proof { validator: response.validator, version: response.file.version };
    let is_first = proof.is_none();
    let opened = proof.unwrap_or_else(|| Proof { validator: None, version: file.version.clone() });
    let is_same = opened.is_same(&now);
    if is_same == Some(false) || response.file.size.is_some_and(|now| now != size) {
        return Err(replaced());
    }
    if is_same.is_none() && !is_first {
        let message = "the service cannot prove that ranges are of one version of the file; download the whole file";
        return Err(rejected(ErrorKind::Unsupported, message));
    }
    if response.range != Some(range.clone()) {
        let message = "the service sent another range than was requested; download the whole file";
        return Err(rejected(ErrorKind::Protocol, message));
    }
    Ok(OpenRange { stream: response.stream, end: range.end, proof: now })
}

impl AsyncBufRead for FileReader {
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

impl AsyncRead for FileReader {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_chunk(cx))?;
        let count = self.chunk.len().min(buffer.remaining());
        buffer.put_slice(&self.chunk[..count]);
        self.consume(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncSeek for FileReader {
    /// A seek beyond the end succeeds, and reads return no bytes there; one before the beginning is an error.
    fn start_seek(mut self: Pin<&mut Self>, position: SeekFrom) -> io::Result<()> {
        let target = match position {
            SeekFrom::Start(target) => Some(target),
            SeekFrom::End(offset) => self.size.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.at.checked_add_signed(offset),
        };
        let target = target.ok_or_else(|| Error::invalid("the position is before the beginning of the file"))?;
        self.seek_to(target);
        Ok(())
    }

    fn poll_complete(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Poll::Ready(Ok(self.at))
    }
}

impl fmt::Debug for FileReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileReader").field("size", &self.size).field("at", &self.at).finish_non_exhaustive()
    }
}
