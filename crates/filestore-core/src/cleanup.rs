//! [`Cleanup`]: work that continues after the future of its operation was dropped.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

static RUNNING: AtomicUsize = AtomicUsize::new(0);
static ENDED: Notify = Notify::const_new();

/// A task that removes what an operation has left when its future is dropped, such as an incomplete upload. A backend
/// holds one while the task runs.
#[derive(Debug)]
pub struct Cleanup(());

impl Cleanup {
    /// Begins a cleanup, which ends when the value is dropped.
    pub fn begin() -> Self {
        RUNNING.fetch_add(1, Ordering::AcqRel);
        Self(())
    }

    /// Returns `true` if a cleanup of this process runs, or an operation that may need one.
    pub fn is_running() -> bool {
        RUNNING.load(Ordering::Acquire) > 0
    }

    /// Waits until no cleanup of this process runs. A program that ends early, such as after a signal, awaits it before
    /// it ends its runtime.
    pub async fn all_ended() {
        loop {
            let ended = ENDED.notified();
            if !Self::is_running() {
                return;
            }
            ended.await;
        }
    }
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::AcqRel);
        ENDED.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn all_have_ended_when_the_last_is_dropped() {
        let (first, second) = (Cleanup::begin(), Cleanup::begin());
        let mut all = Box::pin(Cleanup::all_ended());
        assert!(Cleanup::is_running() && (&mut all).now_or_never().is_none());
        drop(first);
        assert!((&mut all).now_or_never().is_none());
        drop(second);
        all.await;
    }
}
