//! [`BodyProgress`]: what is known of a body on its way out.

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

/// Whether any byte of a body was body_progress to the connection, when the last one was, and what the body
/// itself reported.
#[derive(Debug)]
pub(crate) struct BodyProgress {
    any: AtomicBool,
    /// All of the body was body_progress to the connection.
    all: AtomicBool,
    /// Milliseconds of the clock at the last progress.
    last: AtomicU64,
    /// The connection could take more, but the body has nothing yet.
    body_is_slow: AtomicBool,
    failure: Mutex<Option<Error>>,
    clock: Arc<dyn Clock>,
}

impl BodyProgress {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        let body_progress = Self {
            any: AtomicBool::new(false),
            all: AtomicBool::new(false),
            last: AtomicU64::new(0),
            body_is_slow: AtomicBool::new(false),
            failure: Mutex::default(),
            clock,
        };
        body_progress.progress();
        Arc::new(body_progress)
    }

    /// `opened` as the connection reads it, watched. An error that it yields stays here; the connection
    /// gets a stand-in.
    pub(crate) fn watch(self: &Arc<Self>, opened: ByteStream) -> TrackedBody {
        self.progress();
        TrackedBody { left: opened.length(), opened: Mutex::new(opened), last: None, body_progress: Arc::clone(self) }
    }

    /// Whether any byte, or the end of a body that turned out empty, was body_progress to the connection. It
    /// may have left or not.
    pub(crate) fn any_sent(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Whether all of the body was body_progress to the connection. A service cannot have taken one that was not.
    pub(crate) fn all(&self) -> bool {
        self.all.load(Ordering::Acquire)
    }

    /// The error of the body itself, as it came.
    pub(crate) fn take_failure(&self) -> Option<Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// When something moved last. A body that is slow itself counts as movement.
    pub(crate) fn last_progress(&self) -> Duration {
        if self.body_is_slow.load(Ordering::Acquire) {
            return self.clock.elapsed();
        }
        Duration::from_millis(self.last.load(Ordering::Acquire))
    }

    fn progress(&self) {
        let now = u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Release);
    }
}

/// Stands for an error that [`BodyProgress::take_failure`] gives.
#[derive(Debug)]
pub(crate) struct BodyFailed;

impl std::fmt::Display for BodyFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the body failed")
    }
}

impl std::error::Error for BodyFailed {}

/// A body whose way out is watched.
pub(crate) struct TrackedBody {
    /// Never locked: streams are not `Sync`, and bodies have to be.
    opened: Mutex<ByteStream>,
    left: Option<u64>,
    /// What completes the announced length. Nobody asks for more after it: it is body_progress on when nothing
    /// follows, so that no service has the whole of a body that is wrong.
    last: Option<Bytes>,
    body_progress: Arc<BodyProgress>,
}

impl Body for TrackedBody {
    type Data = Bytes;
    type Error = BodyFailed;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFailed>>> {
        let Self { opened, left, last, body_progress } = &mut *self;
        let stream = opened.get_mut().unwrap_or_else(PoisonError::into_inner);
        let polled = loop {
            match stream.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(chunk))) if last.is_none() && *left == Some(chunk.len() as u64) => {
                    *last = Some(chunk);
                }
                Poll::Ready(None) => break Poll::Ready(last.take().map(Ok)),
                polled => break polled,
            }
        };
        // In this order: nobody sees a body that is not slow any more and has not moved yet.
        body_progress.progress();
        body_progress.body_is_slow.store(polled.is_pending(), Ordering::Release);
        if matches!(polled, Poll::Ready(Some(Ok(_)) | None)) {
            body_progress.any.store(true, Ordering::Release);
        }
        if matches!(polled, Poll::Ready(None)) {
            body_progress.all.store(true, Ordering::Release);
        }
        polled.map(|item| match item? {
            Ok(chunk) => {
                *left = left.map(|left| left.saturating_sub(chunk.len() as u64));
                if *left == Some(0) {
                    body_progress.all.store(true, Ordering::Release);
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
