//! [`Attempts`]: the number of retries of an operation, and the effect that its HTTP exchanges prove.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
#[cfg(feature = "http")]
use std::time::Duration;

use filestore_core::Effect;
#[cfg(feature = "http")]
use filestore_http::{History, Idempotency, Outcome};
#[cfg(feature = "http")]
use tokio::time::Instant;

tokio::task_local! {
    static CURRENT: Attempts;
}

/// The attempts of one operation. Clones share them, because an upload runs in its own task.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attempts(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    retries: u32,
    #[cfg(feature = "http")]
    history: Option<History>,
    /// The time before which the service wants no further request.
    #[cfg(feature = "http")]
    not_before: Option<Instant>,
    /// The total time that the service has asked to wait.
    #[cfg(feature = "http")]
    waited: Duration,
    /// `true` if the operation must not replace a file.
    #[cfg(feature = "http")]
    never_replaces: bool,
    /// `true` if the service has not confirmed the requested encryption.
    #[cfg(feature = "http")]
    unencrypted: bool,
    /// The number of entries that listings do not show because they cannot be read.
    #[cfg(feature = "http")]
    left_out: usize,
}

impl Attempts {
    /// Returns the attempts of the running operation, or new ones if none runs.
    pub(crate) fn current() -> Self {
        CURRENT.try_with(Clone::clone).unwrap_or_default()
    }

    /// Runs `operation`, or a part of it, with these attempts.
    pub(crate) async fn scope<F: Future>(self, operation: F) -> F::Output {
        CURRENT.scope(self, operation).await
    }

    /// Runs a single poll with these attempts.
    pub(crate) fn sync_scope<T>(&self, poll: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self.clone(), poll)
    }

    /// Returns the number of retries so far.
    pub(crate) fn retries(&self) -> u32 {
        self.lock().retries
    }

    /// Returns the effect that all exchanges prove. `None` without exchanges over HTTP.
    pub(crate) fn effect(&self) -> Option<Effect> {
        #[cfg(feature = "http")]
        return self.lock().history.as_ref().map(History::effect);
        #[cfg(not(feature = "http"))]
        None
    }

    /// Returns the effect if the change of the last exchange is undone.
    pub(crate) fn effect_if_undone(&self) -> Effect {
        #[cfg(feature = "http")]
        return self.lock().history.as_ref().map_or(Effect::Rejected, History::effect_if_rejected);
        #[cfg(not(feature = "http"))]
        Effect::Rejected
    }

    /// Forbids the operation to replace a file that was created meanwhile, if the service supports it.
    pub(crate) fn never_replace(&self) {
        #[cfg(feature = "http")]
        {
            self.lock().never_replaces = true;
        }
    }

    /// Returns `true` if the service has not confirmed the requested encryption of the file.
    pub(crate) fn is_unencrypted(&self) -> bool {
        #[cfg(feature = "http")]
        return self.lock().unencrypted;
        #[cfg(not(feature = "http"))]
        false
    }

    /// Returns the number of entries that listings do not show because they cannot be read.
    pub(crate) fn left_out(&self) -> usize {
        #[cfg(feature = "http")]
        return self.lock().left_out;
        #[cfg(not(feature = "http"))]
        0
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a retry of the running operation.
#[cfg(feature = "remote")]
pub(crate) fn count_retry() {
    Attempts::current().lock().retries += 1;
}

#[cfg(feature = "http")]
impl Attempts {
    /// Records the outcome of an exchange whose request has this `idempotency`.
    pub(crate) fn record(&self, idempotency: Idempotency, outcome: Outcome) {
        self.lock().history.get_or_insert_default().record(idempotency, outcome);
    }

    /// Records that the body of the last response reports a rejection, whatever its status.
    pub(crate) fn record_rejection_by_body(&self) {
        if let Some(history) = &mut self.lock().history {
            history.record_rejection_by_body();
        }
    }

    /// Returns `true` if the operation must not replace a file.
    pub(crate) fn never_replaces(&self) -> bool {
        self.lock().never_replaces
    }

    /// Records whether the last response that could confirm the encryption has done so.
    pub(crate) fn record_encryption(&self, confirmed: bool) {
        self.lock().unencrypted = !confirmed;
    }

    /// Records entries that a listing does not show because they cannot be read.
    pub(crate) fn record_left_out(&self, entries: usize) {
        self.lock().left_out += entries;
    }

    /// Returns the total time that the service has asked to wait.
    pub(crate) fn waited(&self) -> Duration {
        self.lock().waited
    }

    /// Delays the next request by `wait`, from now on.
    pub(crate) fn postpone(&self, wait: Duration) {
        let mut inner = self.lock();
        inner.not_before = Instant::now().checked_add(wait);
        inner.waited = inner.waited.saturating_add(wait);
    }

    /// Waits for the delay that [`postpone`](Self::postpone) has set.
    pub(crate) async fn pause(&self) {
        let until = self.lock().not_before.take();
        if let Some(until) = until {
            tokio::time::sleep_until(until).await;
        }
    }
}
