//! [`ResponseBody`]: a response whose body is read chunk by chunk, within the timeouts.

use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::future::poll_fn;
use reqwest::Response as HttpResponse;

use super::timeout::{Phase, TimedOut, Timeouts};
use crate::cause::root;

/// A response whose body is read on demand or was buffered.
pub(crate) struct ResponseBody {
    pub(crate) response: HttpResponse,
    /// The length of the body in bytes, if the response announces it.
    pub(crate) length: Option<u64>,
    buffered: Option<Bytes>,
    timeouts: Timeouts,
    /// The time when the reader began to wait for the next chunk. `None` while the reader processes the last one.
    waiting_since: Option<Duration>,
}

/// The cause of a body that broke off.
pub(crate) enum BodyError {
    Lost(reqwest::Error),
    TimedOut(TimedOut),
}

impl ResponseBody {
    pub(crate) fn new(response: HttpResponse, timeouts: Timeouts) -> Self {
        Self { length: response.content_length(), response, buffered: None, waiting_since: None, timeouts }
    }

    /// Reads the body into memory. Stops after the chunk that exceeds `limit` bytes.
    ///
    /// If the body breaks off, returns the cause and the number of bytes before that.
    pub(crate) async fn buffer(&mut self, limit: usize) -> Result<(), (BodyError, u64)> {
        if self.buffered.is_some() {
            return Ok(());
        }
        let expected = self.length.and_then(|length| usize::try_from(length).ok()).filter(|length| *length <= limit);
        let mut bytes = BytesMut::new();
        let start = self.now();
        while bytes.len() <= limit {
            match self.chunk().await {
                // The whole body in one chunk.
                Ok(Some(chunk)) if expected == Some(chunk.len()) => {
                    self.buffered = Some(chunk);
                    return Ok(());
                }
                Ok(Some(chunk)) => {
                    bytes.reserve(expected.unwrap_or_default().saturating_sub(bytes.len()));
                    bytes.extend_from_slice(&chunk);
                    self.check_rate(start, bytes.len()).map_err(|cause| (cause, bytes.len() as u64))?;
                }
                Ok(None) => break,
                Err(cause) => return Err((cause, bytes.len() as u64)),
            }
        }
        self.buffered = Some(bytes.freeze());
        Ok(())
    }

    pub(crate) fn now(&self) -> Duration {
        self.timeouts.now()
    }

    /// Fails if `received` bytes since `start` are too few for a body that is held in memory.
    ///
    /// A few bytes now and then keep the idle timeout from elapsing, and would hold the caller for days.
    pub(crate) fn check_rate(&self, start: Duration, received: usize) -> Result<(), BodyError> {
        self.timeouts.check_rate(start, received as u64).map_err(BodyError::TimedOut)
    }

    /// Takes the bytes that [`buffer`](Self::buffer) has read.
    pub(crate) fn take_buffered(&mut self) -> Option<Bytes> {
        self.buffered.take()
    }

    /// Reads the next chunk of the body; `None` at its end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, BodyError> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    pub(crate) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        // More chunks follow only if the body exceeds the limit of `buffer`.
        if let Some(buffered) = self.buffered.take() {
            return Poll::Ready(Ok(Some(buffered)));
        }
        // The future of `chunk` keeps no state between polls, so it is created for each.
        if let Poll::Ready(chunk) = pin!(self.response.chunk()).poll(cx) {
            self.waiting_since = None;
            return Poll::Ready(chunk.map_err(BodyError::Lost));
        }
        let since = *self.waiting_since.get_or_insert_with(|| self.timeouts.now());
        Poll::Ready(Err(BodyError::TimedOut(ready!(self.timeouts.poll_elapsed(cx, || Phase::Transfer, || since)))))
    }
}

impl BodyError {
    /// Returns the beginning of an error message about the response from `url`.
    pub(crate) fn describe(&self, url: &str) -> String {
        match self {
            Self::Lost(error) => format!("the connection to {url} broke ({})", root(error)),
            Self::TimedOut(timed_out) => format!("reading from {url} timed out ({timed_out})"),
        }
    }
}
