//! [`BodyProgress`]: tracks how much of a request's body was sent, and when.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use filestore_core::{ByteStream, Error};
use futures::stream::StreamExt;
use http_body::{Body, Frame, SizeHint};

use crate::Clock;

/// The progress of a request's body: whether any of it was passed to the connection, when last, and the error of the
/// body.
///
/// *Sent* means passed to the HTTP library, which may not have written it to the network yet.
#[derive(Debug)]
pub(crate) struct BodyProgress {
    any_sent: AtomicBool,
    sent: AtomicU64,
    all_sent: AtomicBool,
    /// The time of the last progress, in milliseconds of the clock.
    last_progress: AtomicU64,
    /// `true` while the connection waits for the body.
    is_body_pending: AtomicBool,
    failure: Mutex<Option<Error>>,
    clock: Arc<dyn Clock>,
}

impl BodyProgress {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        let body_progress = Self {
            any_sent: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            all_sent: AtomicBool::new(false),
            last_progress: AtomicU64::new(0),
            is_body_pending: AtomicBool::new(false),
            failure: Mutex::default(),
            clock,
        };
        body_progress.record_progress();
        Arc::new(body_progress)
    }

    /// Returns `body` as a body for the HTTP library that records its progress here.
    ///
    /// [`take_failure`](Self::take_failure) returns an error of `body`; the HTTP library gets [`BodyFailed`] instead.
    pub(crate) fn track(self: &Arc<Self>, body: ByteStream) -> TrackedBody {
        self.record_progress();
        TrackedBody { left: body.length(), stream: Mutex::new(body), last_chunk: None, body_progress: Arc::clone(self) }
    }

    /// Returns `true` if any byte of the body was sent, or the end of an empty body.
    pub(crate) fn any_sent(&self) -> bool {
        self.any_sent.load(Ordering::Acquire)
    }

    /// Returns the number of bytes that were sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Acquire)
    }

    /// Returns `true` if the whole body was sent. Otherwise the service cannot have received it.
    pub(crate) fn all_sent(&self) -> bool {
        self.all_sent.load(Ordering::Acquire)
    }

    /// Takes the error of the body, unchanged.
    pub(crate) fn take_failure(&self) -> Option<Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Returns the time of the last progress: now, while the connection waits for the body.
    pub(crate) fn last_progress(&self) -> Duration {
        if self.is_body_pending.load(Ordering::Acquire) {
            return self.clock.elapsed();
        }
        Duration::from_millis(self.last_progress.load(Ordering::Acquire))
    }

    fn record_progress(&self) {
        let now = u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_progress.store(now, Ordering::Release);
    }
}

/// The error for the HTTP library in place of the one that [`BodyProgress::take_failure`] returns.
#[derive(Debug)]
pub(crate) struct BodyFailed;

impl std::fmt::Display for BodyFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the body failed")
    }
}

impl std::error::Error for BodyFailed {}

/// A body for the HTTP library that records its progress.
pub(crate) struct TrackedBody {
    /// In a `Mutex` that is never locked, because a body must be `Sync` and a stream is not.
    stream: Mutex<ByteStream>,
    /// The number of announced bytes that were not sent yet.
    left: Option<u64>,
    /// The chunk that completes the announced length. It is held back until the stream has ended, because the HTTP
    /// library does not poll after it: a service must not receive the whole of a body that is too long.
    last_chunk: Option<Bytes>,
    body_progress: Arc<BodyProgress>,
}

impl Body for TrackedBody {
    type Data = Bytes;
    type Error = BodyFailed;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFailed>>> {
        let Self { stream, left, last_chunk, body_progress } = &mut *self;
        let stream = stream.get_mut().unwrap_or_else(PoisonError::into_inner);
        let polled = loop {
            match stream.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(chunk))) if last_chunk.is_none() && *left == Some(chunk.len() as u64) => {
                    *last_chunk = Some(chunk);
                }
                Poll::Ready(None) => break Poll::Ready(last_chunk.take().map(Ok)),
                polled => break polled,
            }
        };
        // In this order, so that `last_progress` never returns an old time for a body that is no longer pending.
        body_progress.record_progress();
        body_progress.is_body_pending.store(polled.is_pending(), Ordering::Release);
        if matches!(polled, Poll::Ready(Some(Ok(_)) | None)) {
            body_progress.any_sent.store(true, Ordering::Release);
        }
        if matches!(polled, Poll::Ready(None)) {
            body_progress.all_sent.store(true, Ordering::Release);
        }
        polled.map(|item| match item? {
            Ok(chunk) => {
                body_progress.sent.fetch_add(chunk.len() as u64, Ordering::AcqRel);
                *left = left.map(|left| left.saturating_sub(chunk.len() as u64));
                if *left == Some(0) {
                    body_progress.all_sent.store(true, Ordering::Release);
                }
                Some(Ok(Frame::data(chunk)))
            }
            Err(error) => {
                *body_progress.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                Some(Err(BodyFailed))
            }
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
