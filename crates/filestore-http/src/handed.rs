//! [`Handed`]: what is known of a body on its way out.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use filestore_core::{Error, Result};
use futures::stream::{BoxStream, Stream, StreamExt};

use crate::Clock;

/// Whether any byte of a body was handed to the connection, when the last one was, and what the body
/// itself reported.
#[derive(Debug)]
pub(crate) struct Handed {
    any: AtomicBool,
    /// Milliseconds of the clock at the last progress.
    last: AtomicU64,
    /// The connection could take more, but the body has nothing yet.
    body_is_slow: AtomicBool,
    failure: Mutex<Option<Error>>,
    clock: Arc<dyn Clock>,
}

impl Handed {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        let handed = Self {
            any: AtomicBool::new(false),
            last: AtomicU64::new(0),
            body_is_slow: AtomicBool::new(false),
            failure: Mutex::default(),
            clock,
        };
        handed.progress();
        Arc::new(handed)
    }

    /// `stream`, watched. The error that it yields stays here; the connection gets a stand-in.
    pub(crate) fn watch(
        self: &Arc<Self>,
        stream: BoxStream<'static, Result<Bytes>>,
    ) -> impl Stream<Item = Result<Bytes, BodyFailed>> + Send + 'static {
        Watched { stream, handed: Arc::clone(self) }
    }

    /// Whether any byte, or the end of a body that turned out empty, was handed to the connection. It
    /// may have left or not.
    pub(crate) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// The error of the body itself, as it came.
    pub(crate) fn take_failure(&self) -> Option<Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// How long nothing has moved. A body that is slow itself counts as movement.
    pub(crate) fn idle(&self) -> Duration {
        if self.body_is_slow.load(Ordering::Acquire) {
            return Duration::ZERO;
        }
        self.clock.elapsed().saturating_sub(Duration::from_millis(self.last.load(Ordering::Acquire)))
    }

    fn progress(&self) {
        let now = u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Release);
    }
}

/// Stands for an error that [`Handed::take_failure`] gives.
#[derive(Debug)]
pub(crate) struct BodyFailed;

impl std::fmt::Display for BodyFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the body failed")
    }
}

impl std::error::Error for BodyFailed {}

struct Watched {
    stream: BoxStream<'static, Result<Bytes>>,
    handed: Arc<Handed>,
}

impl Stream for Watched {
    type Item = Result<Bytes, BodyFailed>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.stream.poll_next_unpin(cx);
        let handed = &self.handed;
        handed.body_is_slow.store(polled.is_pending(), Ordering::Release);
        handed.progress();
        if matches!(polled, Poll::Ready(Some(Ok(_)) | None)) {
            handed.any.store(true, Ordering::Release);
        }
        polled.map(|item| {
            item.map(|chunk| {
                chunk.map_err(|error| {
                    *handed.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    BodyFailed
                })
            })
        })
    }
}
