//! [`Observer`]: receives the [`Progress`] of a transfer.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The progress of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The number of bytes so far. It returns to zero when the body is opened again for a retry.
    pub transferred: u64,
    /// The total number of bytes, if it is known.
    pub total: Option<u64>,
}

/// Receives the progress of an upload or download after each chunk. The transfer waits for it: return quickly.
///
/// Every `Fn(Progress)` is an observer.
pub trait Observer: Send + Sync {
    /// Receives the progress after a chunk.
    fn progress(&self, progress: Progress);
}

impl<F: Fn(Progress) + Send + Sync> Observer for F {
    fn progress(&self, progress: Progress) {
        self(progress);
    }
}

/// An observer of one transfer, and the count of bytes that all parts of the transfer share.
#[derive(Clone)]
pub(crate) struct ProgressTracker {
    observer: Arc<dyn Observer>,
    transferred: Arc<AtomicU64>,
}

impl ProgressTracker {
    pub(crate) fn new(observer: Arc<dyn Observer>) -> Self {
        Self { observer, transferred: Arc::default() }
    }

    /// Returns a tracker for `observer`, and for the observer of `earlier`.
    pub(crate) fn added(observer: impl Observer + 'static, earlier: Option<Self>) -> Self {
        Self::new(match earlier {
            Some(earlier) => Arc::new(Both(earlier.observer, observer)),
            None => Arc::new(observer),
        })
    }

    pub(crate) fn restart(&self) {
        self.transferred.store(0, Ordering::Relaxed);
    }

    pub(crate) fn advance(&self, bytes: usize, total: Option<u64>) {
        let bytes = bytes as u64;
        let transferred = self.transferred.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.observer.progress(Progress { transferred, total });
    }
}

/// Two observers of one transfer.
struct Both<O>(Arc<dyn Observer>, O);

impl<O: Observer> Observer for Both<O> {
    fn progress(&self, progress: Progress) {
        self.0.progress(progress);
        self.1.progress(progress);
    }
}

impl fmt::Debug for ProgressTracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProgressTracker").field("transferred", &self.transferred).finish_non_exhaustive()
    }
}
