//! [`Budget`]: what all requests of one client may spend on retries together.

use std::sync::atomic::{AtomicU32, Ordering};

/// A bucket of tokens. When a service is down, every request fails; without this, each of them would
/// come back several times and keep it down.
#[derive(Debug)]
pub(crate) struct Budget {
    /// In tenths of a retry.
    tenths: AtomicU32,
}

/// Twenty retries in a row, then one for every ten requests that went well.
const FULL: u32 = 200;
const RETRY: u32 = 10;

impl Default for Budget {
    fn default() -> Self {
        Self { tenths: AtomicU32::new(FULL) }
    }
}

impl Budget {
    pub(crate) fn allows_a_retry(&self) -> bool {
        self.tenths.load(Ordering::Relaxed) >= RETRY
    }

    pub(crate) fn pay_for_a_retry(&self) {
        let _ = self.tenths.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(RETRY)));
    }

    pub(crate) fn refill_after_success(&self) {
        let _ = self.tenths.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(FULL.min(left + 1)));
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
            budget.refill_after_success();
        }
        assert!(!budget.allows_a_retry());
        budget.refill_after_success();
        assert!(budget.allows_a_retry());
    }
}
