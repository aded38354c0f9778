//! [`FilesComWriter`]: an upload with the interface of a local file that is written sequentially.

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

/// The size of the chunks that the writer sends to the upload.
const CHUNK_SIZE: usize = 256 * 1024;

/// A writer of a file. Nothing is visible under the name of the file before [`shutdown`](AsyncWriteExt::shutdown) or
/// [`finish`](Self::finish) succeeds. A writer that is dropped before that aborts the upload, and an existing file
/// stays unchanged.
///
/// A part is sent as soon as it is full. A write waits while the parts in flight fill
/// [`FilesComConfig::memory`](crate::FilesComConfig::memory). Errors are [`io::Error`]s around those of an upload,
/// which [`Error::from_reader`] returns.
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
    /// The upload has not begun.
    Fresh(Box<dyn FnOnce(Body) -> BackgroundUpload + Send>),
    Writing(Sender<Message>, BackgroundUpload),
    Ending(BackgroundUpload),
    Done(Box<StoredFile>),
    /// The error was returned.
    Failed,
}

/// A message of the writer to the body of the upload.
enum Message {
    Chunk(Bytes),
    /// The end of the file. A channel that closes without it belongs to a writer that was dropped.
    End,
}

/// An upload in its own task, which is aborted on drop.
struct BackgroundUpload(JoinHandle<Result<StoredFile>>);

impl Drop for BackgroundUpload {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl FilesComStore {
    /// Creates a writer of a file. `upload` gets the body and returns the upload with name, scope, metadata and
    /// options. No request is sent before the first bytes are written.
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
    /// Completes the file and returns its metadata. Errors are those of an upload.
    pub async fn finish(mut self) -> Result<StoredFile> {
        self.shutdown().await.map_err(Error::from_reader)?;
        match self.state {
            State::Done(file) => Ok(*file),
            _ => Err(closed()),
        }
    }

    /// Begins the upload, unless it has begun.
    fn begin(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Failed) {
            State::Fresh(start) => {
                let (sender, receiver) = mpsc::channel(0);
                State::Writing(sender, start(Body::stream(body(receiver), None)))
            }
            state => state,
        };
    }

    /// Sends a message to the upload. If the upload has failed, returns its error.
    fn poll_send(&mut self, cx: &mut Context<'_>, message: impl FnOnce(&mut BytesMut) -> Message) -> Poll<Result<()>> {
        check_runtime()?;
        self.begin();
        if let State::Writing(sender, _) = &mut self.state {
            if ready!(sender.poll_ready(cx)).is_ok() && sender.start_send(message(&mut self.buffer)).is_ok() {
                return Poll::Ready(Ok(()));
            }
            self.end();
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
                    Err(Error::new(
                        ErrorKind::Other,
                        Effect::Unknown,
                        format!("the task of the upload failed: {error}"),
                    ))
                });
                self.state = State::Failed;
                self.state = State::Done(Box::new(result?));
                Poll::Ready(Ok(()))
            }
            State::Done(_) => Poll::Ready(Ok(())),
            _ => Poll::Ready(Err(closed())),
        }
    }

    fn poll_send_buffer(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match self.buffer.is_empty() {
            true => Poll::Ready(Ok(())),
            false => self.poll_send(cx, |buffer| Message::Chunk(buffer.split().freeze())),
        }
    }
}

impl AsyncWrite for FilesComWriter {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.buffer.len() >= CHUNK_SIZE {
            ready!(self.poll_send_buffer(cx))?;
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
        self.poll_send_buffer(cx).map_err(io::Error::from)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if matches!(self.state, State::Fresh(_) | State::Writing(..)) {
            ready!(self.poll_send_buffer(cx))?;
            ready!(self.poll_send(cx, |_| Message::End))?;
            self.end();
        }
        self.poll_end(cx).map_err(io::Error::from)
    }
}

/// Returns the received chunks as the body of an upload.
fn body(receiver: Receiver<Message>) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
    stream::unfold(Some(receiver), |receiver| async {
        let mut receiver = receiver?;
        match receiver.next().await {
            Some(Message::Chunk(chunk)) => Some((Ok(chunk), Some(receiver))),
            Some(Message::End) => None,
            None => {
                let message = "the writer was dropped before its shutdown, so the file is not complete";
                Some((Err(Error::new(ErrorKind::InvalidInput, Effect::Rejected, message)), None))
            }
        }
    })
}

fn closed() -> Error {
    Error::invalid("cannot write: the writer was shut down or has failed; create another one")
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
