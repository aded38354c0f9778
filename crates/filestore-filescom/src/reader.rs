//! RangeReader a file bit by bit and anywhere, as one reads a local file.

use std::fmt;
use std::io::{self, SeekFrom};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use filestore_core::{Effect, Error, ErrorKind, FileRef, Result, StoredFile};
use filestore_http::Attempts;
use futures::future::{BoxFuture, FutureExt};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncSeek, ReadBuf};

use crate::ByteSize;
use crate::content::{RangeReader, RemoteContent};
use crate::metadata;
use crate::store::FilesComStore;

/// The first range that is asked for. As long as reading goes straight on, each range is twice as long as
/// the one before, up to sixteen times the first.
const READ_AHEAD: ByteSize = ByteSize::mib(4);
const LONGEST: u64 = 16;

/// A seek forward by no more than this reads on instead of asking for another range.
const SKIP: u64 = 256 * 1024;

/// A stored file that is read bit by bit, and anywhere. Memory holds one piece that came from the network,
/// however far is read ahead.
///
/// All bytes are of the file that was there when it was opened: if it is replaced, reading fails with
/// *integrity*. The digest of the whole is not compared, since nobody reads the whole in order;
/// [`download`](filestore_core::Store::download) does. Errors are [`io::Error`]s around the errors of a
/// download, which [`Error::from_reader`] gets back.
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
    /// Of the next byte that is given out: the first of `chunk`.
    at: u64,
    chunk: Bytes,
    /// Bytes to be thrown away before the next one.
    skip: u64,
    state: State,
    read_ahead: u64,
    window: u64,
}

enum State {
    /// Between two pieces, perhaps of a range that goes on.
    Idle(Option<RangeReader>),
    Busy(BoxFuture<'static, Result<Piece>>),
}

/// A piece, and what is left of its range; an empty one at its end.
type Piece = (Bytes, Option<RangeReader>);

impl FilesComStore {
    /// Opens a file for reading. One request; the content is asked for when it is read.
    ///
    /// *Not found*, *permission*, *invalid input* for a folder, *unsupported* where the service does not know
    /// the size.
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
    /// The facts of the file.
    pub fn file(&self) -> &StoredFile {
        &self.file
    }

    /// How much is asked for at first, and after each jump: 4 MiB unless said. Small where reads jump
    /// about, since what was asked for and is not read is wasted.
    pub fn read_ahead(mut self, bytes: ByteSize) -> Self {
        self.read_ahead = bytes.as_u64().max(1);
        self.window = self.read_ahead;
        self
    }

    /// The next piece, of this range or of a new one.
    fn next_piece(&mut self, reading: Option<RangeReader>) -> BoxFuture<'static, Result<Piece>> {
        let content = Arc::clone(&self.content);
        let range = self.at..self.size.min(self.at.saturating_add(self.window));
        if reading.is_none() {
            self.skip = 0;
            self.window = self.window.saturating_mul(2).min(self.read_ahead.saturating_mul(LONGEST));
        }
        async move {
            let mut reading = match reading {
                Some(reading) => reading,
                None => begin(&content, range).await?,
            };
            let piece = reading.next(&content).await?;
            Ok(piece.map_or_else(|| (Bytes::new(), None), |bytes| (bytes, Some(reading))))
        }
        .boxed()
    }

    /// Reads until there is a piece, or the file has ended.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        while self.chunk.is_empty() && self.at < self.size {
            let future = match &mut self.state {
                State::Busy(future) => future,
                State::Idle(reading) => {
                    let reading = reading.take();
                    self.state = State::Busy(self.next_piece(reading));
                    continue;
                }
            };
            let piece = ready!(future.poll_unpin(cx));
            self.state = State::Idle(None);
            let (mut chunk, reading) = piece?;
            let skipped = self.skip.min(chunk.len() as u64);
            chunk.advance(usize::try_from(skipped).unwrap_or(usize::MAX));
            self.skip -= skipped;
            (self.chunk, self.state) = (chunk, State::Idle(reading));
        }
        Poll::Ready(Ok(()))
    }

    /// Goes to `target` by what is there already, or by reading on; otherwise another range is asked for.
    fn jump(&mut self, target: u64) {
        let ahead = target.checked_sub(self.at);
        let buffered = self.chunk.len() as u64;
        let reading = match &self.state {
            State::Idle(Some(reading)) => Some(reading),
            _ => None,
        };
        match (ahead, reading) {
            (Some(ahead), _) if ahead <= buffered => {
                self.chunk.advance(usize::try_from(ahead).unwrap_or(usize::MAX));
            }
            (Some(ahead), Some(reading)) if ahead <= buffered + SKIP && target < reading.end() => {
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

/// Asks for a range. After the first one, only what is provably of the same file comes.
async fn begin(content: &RemoteContent, range: std::ops::Range<u64>) -> Result<RangeReader> {
    if content.was_asked() && !content.can_resume().await? {
        let message = "the storage cannot prove that ranges are of one file; download it as a whole";
        return Err(Error::unsupported(message).with_effect(Effect::Rejected));
    }
    let mut attempts = Attempts::new();
    let answer = content.get(Some(range.clone()), &mut attempts).await?;
    if answer.status().as_u16() != 206 && range != (0..content.entry().size.unwrap_or_default()) {
        let message = "the storage of this file gives no ranges; download it as a whole";
        return Err(Error::unsupported(message).with_effect(Effect::Rejected));
    }
    Ok(RangeReader::new(answer, range, attempts))
}

impl AsyncBufRead for FilesComReader {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        ready!(this.poll_piece(cx))?;
        Poll::Ready(Ok(&this.chunk))
    }

    fn consume(mut self: Pin<&mut Self>, count: usize) {
        self.chunk.advance(count);
        self.at += count as u64;
    }
}

impl AsyncRead for FilesComReader {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_piece(cx))?;
        let count = self.chunk.len().min(buffer.remaining());
        buffer.put_slice(&self.chunk[..count]);
        self.consume(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncSeek for FilesComReader {
    /// Beyond the end there is nothing to read; before the beginning is an error.
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
        self.jump(target);
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
