//! [`ResponseBody`]: an answer as it comes in.

use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::future::poll_fn;
use reqwest::Response as HttpResponse;

use super::timeout::{TimedOut, Timeouts};
use crate::cause::root;

/// The head of an answer, and its body as it comes or as it was read already.
pub(crate) struct ResponseBody {
    pub(crate) response: HttpResponse,
    /// Of the whole body, where the service says it.
    pub(crate) length: Option<u64>,
    whole: Option<Bytes>,
    timeouts: Timeouts,
    /// Since when somebody waits for what comes next. Who is busy with what came does not wait.
    waiting: Option<Duration>,
}

/// Why a body broke off.
pub(crate) enum BodyError {
    Lost(reqwest::Error),
    TooSlow(TimedOut),
}

impl ResponseBody {
    pub(crate) fn new(response: HttpResponse, timeouts: Timeouts) -> Self {
        Self { length: response.content_length(), response, whole: None, waiting: None, timeouts }
    }

    /// Reads the body into memory, or what of it is more than `limit`: nobody reads that. Where it breaks off,
    /// says after how many bytes.
    pub(crate) async fn read_whole(&mut self, limit: usize) -> Result<(), (BodyError, u64)> {
        if self.whole.is_some() {
            return Ok(());
        }
        let room = self.length.and_then(|length| usize::try_from(length).ok()).filter(|length| *length <= limit);
        let mut read = BytesMut::new();
        let begun = self.now();
        while read.len() <= limit {
            match self.chunk().await {
                // All of it in one piece.
                Ok(Some(chunk)) if room == Some(chunk.len()) => {
                    self.whole = Some(chunk);
                    return Ok(());
                }
                Ok(Some(chunk)) => {
                    read.reserve(room.unwrap_or_default().saturating_sub(read.len()));
                    read.extend_from_slice(&chunk);
                    self.check_rate(begun, read.len()).map_err(|broken| (broken, read.len() as u64))?;
                }
                Ok(None) => break,
                Err(broken) => return Err((broken, read.len() as u64)),
            }
        }
        self.whole = Some(read.freeze());
        Ok(())
    }

    pub(crate) fn now(&self) -> Duration {
        self.timeouts.now()
    }

    /// *Too slow* if of a body that is held in memory only `read` bytes came since `begun`: a few bytes now and then
    /// are progress, but no response is worth waiting for days.
    pub(crate) fn check_rate(&self, begun: Duration, read: usize) -> Result<(), BodyError> {
        self.timeouts.check_rate(begun, read as u64).map_err(BodyError::TooSlow)
    }

    /// What [`read_whole`](Self::read_whole) has read.
    pub(crate) fn take_whole(&mut self) -> Option<Bytes> {
        self.whole.take()
    }

    /// The next bytes of the body; `None` at its end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, BodyError> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    pub(crate) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        // There is more after it only where it is more than anybody reads at once.
        if let Some(whole) = self.whole.take() {
            return Poll::Ready(Ok(Some(whole)));
        }
        // It keeps nothing of its own from one poll to the next.
        if let Poll::Ready(chunk) = pin!(self.response.chunk()).poll(cx) {
            self.waiting = None;
            return Poll::Ready(chunk.map_err(BodyError::Lost));
        }
        let since = *self.waiting.get_or_insert_with(|| self.timeouts.now());
        Poll::Ready(Err(BodyError::TooSlow(ready!(self.timeouts.poll_elapsed(cx, since)))))
    }
}

impl BodyError {
    /// What happened to the body of `shown`.
    pub(crate) fn describe(&self, shown: &str) -> String {
        match self {
            Self::Lost(error) => format!("the connection to {shown} broke ({})", root(error)),
            Self::TooSlow(over) => format!("{shown} took too long: {over}"),
        }
    }
}
