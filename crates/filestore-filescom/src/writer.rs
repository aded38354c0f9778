//! Writing a file bit by bit, as one writes to a local file.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use filestore_core::{Body, Effect, Error, ErrorKind, FileStore, Result, StoredFile, Upload, check_runtime};
use futures::channel::mpsc::{self, Receiver, Sender};
use futures::future::FutureExt;
use futures::stream::{self, Stream, StreamExt};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::task::JoinHandle;

use crate::store::FilesComStore;

/// What is written is handed to the upload in pieces of this size.
const PIECE: usize = 256 * 1024;

/// A file that is being written. Nothing is visible under its name before
/// [`shutdown`](AsyncWriteExt::shutdown) or [`finish`](Self::finish) has succeeded; dropped before that, it
/// is given up, and a file that was there stays as it was.
///
/// Parts go out as they fill; writing waits while as many are on their way as
/// [`FilesComConfig::memory`](crate::FilesComConfig::memory) allows. Errors are
/// [`io::Error`]s around those of an upload, which [`Error::from_reader`] gets back.
///
/// ```no_run
/// # async fn example(store: filestore_filescom::FilesComStore) -> std::io::Result<()> {
/// use filestore_core::Upload;
/// use tokio::io::AsyncWriteExt;
///
/// let mut log = store.create(|body| Upload::new("today.log", body).scope("logs/2026"));
/// log.write_all(b"first line\n").await?;
/// log.write_all("second line, in UTF-8: \u{fc}\n".as_bytes()).await?;
/// log.shutdown().await
/// # }
/// ```
pub struct FilesComWriter {
    buffer: BytesMut,
    state: State,
}

enum State {
    /// Nothing was written yet.
    Fresh(Box<dyn FnOnce(Body) -> BackgroundUpload + Send>),
    Writing(Sender<Piece>, BackgroundUpload),
    Ending(BackgroundUpload),
    Done(Box<StoredFile>),
    /// The error was given out.
    Failed,
}

enum Piece {
    Chunk(Bytes),
    /// Pieces that end without it are those of a writer that was dropped.
    End,
}

/// An upload in a task of its own, which ends with whoever waits for it.
struct BackgroundUpload(JoinHandle<Result<StoredFile>>);

impl Drop for BackgroundUpload {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl FilesComStore {
    /// A file to be written bit by bit. `upload` gets the body, and says everything else: name, scope,
    /// metadata, options. Sends nothing before the first bytes are written.
    pub fn create(&self, upload: impl FnOnce(Body) -> Upload + Send + 'static) -> FilesComWriter {
        let store = self.clone();
        let start = move |body| {
            let request = upload(body);
            BackgroundUpload(tokio::spawn(async move {
                request.check(store.capabilities())?;
                store.upload(request).await
            }))
        };
        FilesComWriter { buffer: BytesMut::new(), state: State::Fresh(Box::new(start)) }
    }
}

impl FilesComWriter {
    /// Completes the file and says what is stored. The errors of an upload.
    pub async fn finish(mut self) -> Result<StoredFile> {
        self.shutdown().await.map_err(Error::from_reader)?;
        match self.state {
            State::Done(file) => Ok(*file),
            _ => Err(over()),
        }
    }

    /// Begins the upload, unless it has begun.
    fn begin(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Failed) {
            State::Fresh(start) => {
                let (pieces, received) = mpsc::channel(0);
                State::Writing(pieces, start(Body::stream(body(received), None)))
            }
            state => state,
        };
    }

    /// Hands a piece to the upload. If that has ended, its error is ours.
    fn poll_send(&mut self, cx: &mut Context<'_>, piece: impl FnOnce(&mut BytesMut) -> Piece) -> Poll<Result<()>> {
        check_runtime()?;
        self.begin();
        if let State::Writing(pieces, _) = &mut self.state {
            if ready!(pieces.poll_ready(cx)).is_ok() && pieces.start_send(piece(&mut self.buffer)).is_ok() {
                return Poll::Ready(Ok(()));
            }
            self.end();
        }
        ready!(self.poll_end(cx))?;
        Poll::Ready(Err(over()))
    }

    /// Nothing more is written.
    fn end(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Failed) {
            State::Writing(_, upload) => State::Ending(upload),
            state => state,
        };
    }

    /// Waits for the end of the upload.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match &mut self.state {
            State::Ending(upload) => {
                let ended = ready!(upload.0.poll_unpin(cx)).unwrap_or_else(|error| {
                    Err(Error::new(ErrorKind::Other, Effect::Unknown, format!("the upload did not end: {error}")))
                });
                self.state = State::Failed;
                self.state = State::Done(Box::new(ended?));
                Poll::Ready(Ok(()))
            }
            State::Done(_) => Poll::Ready(Ok(())),
            _ => Poll::Ready(Err(over())),
        }
    }

    fn poll_send_buffer(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match self.buffer.is_empty() {
            true => Poll::Ready(Ok(())),
            false => self.poll_send(cx, |buffer| Piece::Chunk(buffer.split().freeze())),
        }
    }
}

impl AsyncWrite for FilesComWriter {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.buffer.len() >= PIECE {
            ready!(self.poll_send_buffer(cx))?;
        }
        if !matches!(self.state, State::Fresh(_) | State::Writing(..)) {
            ready!(self.poll_end(cx))?;
            return Poll::Ready(Err(over().into()));
        }
        let taken = bytes.len().min(PIECE - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        Poll::Ready(Ok(taken))
    }

    /// Hands over what was written. It is stored with the shutdown and not before.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send_buffer(cx).map_err(io::Error::from)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if matches!(self.state, State::Fresh(_) | State::Writing(..)) {
            ready!(self.poll_send_buffer(cx))?;
            ready!(self.poll_send(cx, |_| Piece::End))?;
            self.end();
        }
        self.poll_end(cx).map_err(io::Error::from)
    }
}

/// The pieces as the body of an upload.
fn body(pieces: Receiver<Piece>) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
    stream::unfold(Some(pieces), |pieces| async {
        let mut pieces = pieces?;
        match pieces.next().await {
            Some(Piece::Chunk(chunk)) => Some((Ok(chunk), Some(pieces))),
            Some(Piece::End) => None,
            None => {
                let message = "the writer was dropped before its shutdown, so the file is not complete";
                Some((Err(Error::new(ErrorKind::InvalidInput, Effect::Rejected, message)), None))
            }
        }
    })
}

fn over() -> Error {
    Error::invalid("nothing can be written any more: the writer was shut down, or has failed")
}

impl fmt::Debug for FilesComWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Fresh(_) => "fresh",
            State::Writing(..) => "writing",
            State::Ending(_) => "ending",
            State::Done(_) => "done",
            State::Failed => "failed",
        };
        f.debug_struct("FilesComWriter").field("state", &state).finish_non_exhaustive()
    }
}
