//! [`BodySender`]: the sender of the chunks of a body, whose end is explicit.

use std::fmt;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::stream::{self, Stream};
use tokio::sync::mpsc::{self, Receiver};
use tokio_util::sync::PollSender;

use crate::error::BoxError;
use crate::{Effect, Error, ErrorKind, Result};

/// The sender of the chunks of a [`Body::channel`](crate::Body::channel).
///
/// The body ends only when [`finish`](Self::finish) is called. A sender that is dropped before fails the upload, and
/// nothing is stored.
pub struct BodySender {
    sender: PollSender<Message>,
}

/// A message of the sender to the body.
enum Message {
    Chunk(Bytes),
    Failed(Error),
    /// The end of the body. A channel that closes without it belongs to a sender that was dropped.
    End,
}

impl BodySender {
    /// Creates a sender, and the stream of its chunks.
    pub(crate) fn new() -> (Self, impl Stream<Item = Result<Bytes>> + Send + 'static) {
        let (sender, receiver) = mpsc::channel(1);
        (Self { sender: PollSender::new(sender) }, received(receiver))
    }

    /// Sends the next chunk, and waits until the upload has taken the one before.
    ///
    /// Fails with *io* if the upload has ended; the upload's own error says why.
    pub async fn send(&mut self, chunk: impl Into<Bytes>) -> Result<()> {
        std::future::poll_fn(|cx| self.poll_ready(cx)).await?;
        self.start_send(chunk.into())
    }

    /// Completes the body. The file is stored when the upload succeeds, not before.
    ///
    /// Fails with *io* if the upload has ended; the upload's own error says why.
    pub async fn finish(mut self) -> Result<()> {
        std::future::poll_fn(|cx| self.poll_finish(cx)).await
    }

    /// Fails the body with `error`: the upload ends with that [`Error`], or with an *io* error whose cause is `error`,
    /// and nothing is stored.
    pub async fn fail(mut self, error: impl Into<BoxError> + Send) {
        let error = Error::unread(error.into(), Effect::Rejected);
        if std::future::poll_fn(|cx| self.poll_ready(cx)).await.is_ok() {
            let _ = self.sender.send_item(Message::Failed(error));
        }
    }

    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.sender.poll_reserve(cx).map_err(|_| ended())
    }

    /// Sends a chunk after [`poll_ready`](Self::poll_ready).
    pub(crate) fn start_send(&mut self, chunk: Bytes) -> Result<()> {
        self.sender.send_item(Message::Chunk(chunk)).map_err(|_| ended())
    }

    pub(crate) fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.poll_ready(cx))?;
        Poll::Ready(self.sender.send_item(Message::End).map_err(|_| ended()))
    }
}

fn ended() -> Error {
    let message = "the upload of this body has ended; its error says why";
    Error::new(ErrorKind::Io, Effect::Rejected, message)
}

/// Returns the received chunks. The stream ends without an error only after [`Message::End`].
fn received(receiver: Receiver<Message>) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
    stream::unfold(Some(receiver), |receiver| async {
        let mut receiver = receiver?;
        match receiver.recv().await {
            Some(Message::Chunk(chunk)) => Some((Ok(chunk), Some(receiver))),
            Some(Message::Failed(error)) => Some((Err(error), None)),
            Some(Message::End) => None,
            None => {
                let message = "the sender of the body was dropped before it finished, so the file is not complete; \
                               finish the body after its last chunk";
                Some((Err(Error::new(ErrorKind::InvalidInput, Effect::Rejected, message)), None))
            }
        }
    })
}

impl fmt::Debug for BodySender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodySender").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Body;

    async fn read(body: Body) -> Result<Bytes> {
        body.open().await?.collect(100).await
    }

    #[tokio::test]
    async fn a_body_is_complete_only_after_an_explicit_finish() {
        let (mut sender, body) = Body::channel(None);
        let reading = tokio::spawn(read(body));
        sender.send("ab").await.unwrap();
        sender.send(vec![b'c']).await.unwrap();
        sender.finish().await.unwrap();
        assert_eq!(reading.await.unwrap().unwrap(), "abc");
    }

    #[tokio::test]
    async fn a_sender_whose_task_panics_or_returns_early_fails_the_body() {
        for panics in [false, true] {
            let (mut sender, body) = Body::channel(None);
            let reading = tokio::spawn(read(body));
            let task = tokio::spawn(async move {
                sender.send("ab").await.unwrap();
                assert!(!panics, "on purpose");
            });
            assert_eq!(task.await.is_err(), panics);
            let error = reading.await.unwrap().unwrap_err();
            assert_eq!((error.kind(), error.effect()), (ErrorKind::InvalidInput, Effect::Rejected), "{error}");
        }
    }

    #[tokio::test]
    async fn an_error_of_the_sender_is_that_of_the_body() {
        let (sender, body) = Body::channel(None);
        let reading = tokio::spawn(read(body));
        sender.fail(Error::new(ErrorKind::Quota, Effect::Rejected, "no more rows")).await;
        assert_eq!(reading.await.unwrap().unwrap_err().kind(), ErrorKind::Quota);
        let (sender, body) = Body::channel(None);
        let reading = tokio::spawn(read(body));
        sender.fail("no more rows").await;
        let error = reading.await.unwrap().unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Io, "cannot read: no more rows"));
    }

    #[tokio::test]
    async fn a_sender_is_told_that_the_upload_has_ended() {
        let (mut sender, body) = Body::channel(None);
        drop(body);
        assert_eq!(sender.send("ab").await.unwrap_err().kind(), ErrorKind::Io);
        assert_eq!(sender.finish().await.unwrap_err().kind(), ErrorKind::Io);
    }

    #[tokio::test]
    async fn a_body_of_another_length_than_announced_fails() {
        for (length, sent) in [(3, "ab"), (1, "ab")] {
            let (mut sender, body) = Body::channel(Some(length));
            let reading = tokio::spawn(read(body));
            let _ = sender.send(sent).await;
            let _ = sender.finish().await;
            assert_eq!(reading.await.unwrap().unwrap_err().kind(), ErrorKind::InvalidInput, "{length}");
        }
    }
}
