//! What is known of the attempts of the running operation: how often a step was retried, and what the
//! exchanges with an HTTP service prove about the effect.

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

/// The attempts of one operation. Clones share them: an upload goes on in a task of its own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attempts(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    retries: u32,
    #[cfg(feature = "http")]
    history: Option<History>,
    /// When the service wants the next request, and how long it has asked to wait in all.
    #[cfg(feature = "http")]
    not_before: Option<Instant>,
    #[cfg(feature = "http")]
    waited: Duration,
    #[cfg(feature = "http")]
    never_replaces: bool,
    #[cfg(feature = "http")]
    unencrypted: bool,
}

impl Attempts {
    /// Those of the running operation, or new ones if none runs.
    pub(crate) fn current() -> Self {
        CURRENT.try_with(Clone::clone).unwrap_or_default()
    }

    /// Runs `operation`, or a part of it, with these attempts.
    pub(crate) async fn scope<F: Future>(self, operation: F) -> F::Output {
        CURRENT.scope(self, operation).await
    }

    /// The same for a single poll.
    pub(crate) fn sync_scope<T>(&self, poll: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self.clone(), poll)
    }

    /// The number of retries so far.
    pub(crate) fn retries(&self) -> u32 {
        self.lock().retries
    }

    /// What all exchanges prove about the effect. `None` if there were none, or not over HTTP.
    pub(crate) fn effect(&self) -> Option<Effect> {
        #[cfg(feature = "http")]
        return self.lock().history.as_ref().map(History::effect);
        #[cfg(not(feature = "http"))]
        None
    }

    /// The effect if what the last exchange did is undone.
    pub(crate) fn effect_if_undone(&self) -> Effect {
        #[cfg(feature = "http")]
        return self.lock().history.as_ref().map_or(Effect::Rejected, History::effect_if_rejected);
        #[cfg(not(feature = "http"))]
        Effect::Rejected
    }

    /// Lets the operation leave a file as it is that has the name meanwhile, where the service can do it.
    pub(crate) fn never_replace(&self) {
        #[cfg(feature = "http")]
        {
            self.lock().never_replaces = true;
        }
    }

    /// Whether the service has not confirmed that it encrypts the file as it was asked to.
    pub(crate) fn is_unencrypted(&self) -> bool {
        #[cfg(feature = "http")]
        return self.lock().unencrypted;
        #[cfg(not(feature = "http"))]
        false
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
    /// Adds an exchange of a request that does what `repeat` says when it is sent twice.
    pub(crate) fn record(&self, idempotency: Idempotency, outcome: Outcome) {
        self.lock().history.get_or_insert_default().record(idempotency, outcome);
    }

    /// Notes that the body of the last response says that it was rejected, whatever its status.
    pub(crate) fn record_rejection_by_body(&self) {
        if let Some(history) = &mut self.lock().history {
            history.record_rejection_by_body();
        }
    }

    /// Whether the operation leaves a file that has the name as it is.
    pub(crate) fn never_replaces(&self) -> bool {
        self.lock().never_replaces
    }

    /// Notes whether the last response that could do it has confirmed the encryption.
    pub(crate) fn note_encryption(&self, confirmed: bool) {
        self.lock().unencrypted = !confirmed;
    }

    /// How long the operation has waited because the service asked for it.
    pub(crate) fn waited(&self) -> Duration {
        self.lock().waited
    }

    /// Lets the next request wait for `wait` from now on.
    pub(crate) fn postpone(&self, wait: Duration) {
        let mut inner = self.lock();
        inner.not_before = Instant::now().checked_add(wait);
        inner.waited = inner.waited.saturating_add(wait);
    }

    /// Waits until the service wants the next request.
    pub(crate) async fn pause(&self) {
        let until = self.lock().not_before.take();
        if let Some(until) = until {
            tokio::time::sleep_until(until).await;
        }
    }
}
