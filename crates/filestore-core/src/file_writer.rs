//! [`FileWriter`]: an upload with the interface of a local file that is written sequentially.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use futures::future::FutureExt;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::task::JoinHandle;

use crate::{Body, BodySender, Effect, Error, ErrorKind, Result, Store, StoredFile, Upload, check_runtime};

/// The size of the chunks that the writer sends to the upload.
const CHUNK_SIZE: usize = crate::stream::CHUNK;

/// A writer of a file; see [`Store::writer`].
///
/// Nothing is visible under the name of the file before [`shutdown`](AsyncWriteExt::shutdown) or
/// [`finish`](Self::finish) succeeds. A writer that is dropped before that, because its task failed or panicked, fails
/// the upload, and an existing file stays unchanged. Errors are [`io::Error`]s around those of an upload, which
/// `Error::from` returns.
pub struct FileWriter {
    buffer: BytesMut,
    state: State,
}

enum State {
    /// The upload has not begun.
    Fresh(Box<dyn FnOnce(Body) -> BackgroundUpload + Send + Sync>),
    Writing(BodySender, BackgroundUpload),
    Ending(BackgroundUpload),
    Done(Box<StoredFile>),
    /// The error was returned.
    Failed,
}

/// The task of an upload, which is aborted when the writer is dropped.
struct BackgroundUpload(JoinHandle<Result<StoredFile>>);

impl Drop for BackgroundUpload {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Store {
    /// Creates a writer of a file, for code that writes to an [`AsyncWrite`]. `upload` gets the body and returns the
    /// upload with name, scope, metadata and options. No request is sent before the first bytes are written.
    ///
    /// The length of the file is unknown until its end. Where uploads of unknown length are unsupported, the first write
    /// fails. Memory is bounded as it is for a [`Body::channel`]; a write waits until the upload has taken the bytes
    /// before it.
    ///
    /// ```no_run
    /// # async fn example(store: filestore_core::Store) -> std::io::Result<()> {
    /// use filestore_core::Upload;
    /// use tokio::io::AsyncWriteExt;
    ///
    /// let mut log = store.writer(|body| Upload::new("today.log", body).scope("logs/2026"));
    /// log.write_all(b"first line\n").await?;
    /// log.write_all("second line, in UTF-8: \u{fc}\n".as_bytes()).await?;
    /// let file = log.finish().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn writer(&self, upload: impl FnOnce(Body) -> Upload + Send + Sync + 'static) -> FileWriter {
        let store = self.clone();
        let start = move |body| {
            let request = upload(body);
            BackgroundUpload(tokio::spawn(async move { store.upload(request).await }))
        };
        FileWriter { buffer: BytesMut::new(), state: State::Fresh(Box::new(start)) }
    }
}

impl FileWriter {
    /// Completes the file and returns its metadata. Errors are those of an upload.
    pub async fn finish(mut self) -> Result<StoredFile> {
        self.shutdown().await?;
        match self.state {
            State::Done(file) => Ok(*file),
            _ => Err(closed()),
        }
    }

    /// Begins the upload, unless it has begun.
    fn begin(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Failed) {
            State::Fresh(start) => {
                let (sender, body) = Body::channel(None);
                State::Writing(sender, start(body))
            }
            state => state,
        };
    }

    /// Sends the buffer, and then the end of the body if `is_last`. If the upload has failed, returns its error.
    fn poll_send(&mut self, cx: &mut Context<'_>, is_last: bool) -> Poll<Result<()>> {
        check_runtime()?;
        self.begin();
        while let State::Writing(sender, _) = &mut self.state {
            let sent = if !self.buffer.is_empty() {
                match ready!(sender.poll_ready(cx)) {
                    Ok(()) => sender.start_send(self.buffer.split().freeze()),
                    Err(error) => Err(error),
                }
            } else if is_last {
                match ready!(sender.poll_finish(cx)) {
                    Ok(()) => {
                        self.end();
                        return Poll::Ready(Ok(()));
                    }
                    Err(error) => Err(error),
                }
            } else {
                return Poll::Ready(Ok(()));
            };
            if sent.is_err() {
                self.end();
            }
        }
        ready!(self.poll_end(cx))?;
        Poll::Ready(Err(closed()))
    }

    /// Closes the channel to the upload.
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
                let result = ready!(upload.0.poll_unpin(cx)).unwrap_or_else(|error| {
                    let message = format!("the task of the upload failed: {error}");
                    Err(Error::new(ErrorKind::Other, Effect::Unknown, message))
                });
                self.state = State::Failed;
                self.state = State::Done(Box::new(result?));
                Poll::Ready(Ok(()))
            }
            State::Done(_) => Poll::Ready(Ok(())),
            _ => Poll::Ready(Err(closed())),
        }
    }
}

impl AsyncWrite for FileWriter {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.buffer.len() >= CHUNK_SIZE {
            ready!(self.poll_send(cx, false))?;
        }
        if !matches!(self.state, State::Fresh(_) | State::Writing(..)) {
            ready!(self.poll_end(cx))?;
            return Poll::Ready(Err(closed().into()));
        }
        let written = bytes.len().min(CHUNK_SIZE - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..written]);
        Poll::Ready(Ok(written))
    }

    /// Sends the buffer to the upload. The file is stored by the shutdown, not before.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.buffer.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.poll_send(cx, false).map_err(io::Error::from)
    }

    /// Completes the body and waits until the file is stored.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if matches!(self.state, State::Fresh(_) | State::Writing(..)) {
            ready!(self.poll_send(cx, true))?;
        }
        self.poll_end(cx).map_err(io::Error::from)
    }
}

fn closed() -> Error {
    Error::invalid("cannot write: the writer was shut down or has failed; create another one")
}

impl fmt::Debug for FileWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Fresh(_) => "fresh",
            State::Writing(..) => "writing",
            State::Ending(_) => "ending",
            State::Done(_) => "done",
            State::Failed => "failed",
        };
        f.debug_struct("FileWriter").field("state", &state).finish_non_exhaustive()
    }
}
