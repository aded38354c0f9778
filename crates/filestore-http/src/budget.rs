//! [`Budget`]: what all requests of one client may spend on retries together.

use std::sync::atomic::{AtomicU32, Ordering};

/// A bucket of tokens. When a service is down, every request fails; without this, each of them would
/// come back several times and keep it down. A retry that succeeds gives back what it cost: connections
/// that break now and then are no outage, however many parts a file has.
#[derive(Debug)]
pub(crate) struct Budget {
    /// In tenths of a retry.
    tenths: AtomicU32,
}

/// Twenty retries without success, then one for every ten requests that went well.
const FULL: u32 = 200;
pub(crate) const RETRY: u32 = 10;

impl Default for Budget {
    fn default() -> Self {
        Self { tenths: AtomicU32::new(FULL) }
    }
}

impl Budget {
    pub(crate) fn allows_a_retry(&self) -> bool {
        self.tenths.load(Ordering::Relaxed) >= RETRY
    }

    /// Takes the price of a retry, and says it.
    pub(crate) fn pay_for_a_retry(&self) -> u32 {
        let _ = self.tenths.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(RETRY)));
        RETRY
    }

    /// Gives back what the retries before a success took, and a little more.
    pub(crate) fn refill_after_success(&self, paid: u32) {
        let more = 1 + paid;
        let _ = self.tenths.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(FULL.min(left + more)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_not_multiplied() {
        let budget = Budget::default();
        let mut retries = 0;
        while budget.allows_a_retry() {
            budget.pay_for_a_retry();
            retries += 1;
        }
        assert_eq!(retries, 20);
        for _ in 0..9 {
            budget.refill_after_success(0);
        }
        assert!(!budget.allows_a_retry());
        budget.refill_after_success(0);
        assert!(budget.allows_a_retry());
    }

    #[test]
    fn a_retry_that_succeeds_costs_nothing() {
        let budget = Budget::default();
        for _ in 0..100 {
            assert!(budget.allows_a_retry());
            let paid = budget.pay_for_a_retry();
            budget.refill_after_success(paid);
        }
        assert!(budget.allows_a_retry());
    }
}
