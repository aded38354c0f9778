//! [`Budget`]: the memory that the parts of all uploads, or the ranges of all downloads, of a store may take.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The unit of a permit, in bytes.
const UNIT: u64 = 1024;

/// An amount of memory that transfers share. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    free: Arc<Semaphore>,
    /// The whole amount, in units.
    total: u32,
}

/// The memory of one part or range. It is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    _own: Option<OwnedSemaphorePermit>,
    /// The reserve that the permit is taken from, if any.
    _reserve: Option<Arc<OwnedSemaphorePermit>>,
}

/// The memory that one upload always has, and its access to the rest of the budget.
///
/// OpenDAL keeps a part until the next one is there. An upload that has memory for two parts therefore never waits for
/// another upload, and many uploads at once cannot block each other.
#[derive(Debug)]
pub(crate) struct Reserve {
    budget: Budget,
    part: u64,
    /// One permit for each part of the reserve.
    own: Arc<Semaphore>,
    held: Option<Arc<OwnedSemaphorePermit>>,
}

impl Budget {
    pub(crate) fn new(bytes: u64) -> Self {
        let total = u32::try_from(bytes / UNIT).unwrap_or(u32::MAX).max(2);
        Self { free: Arc::new(Semaphore::new(total as usize)), total }
    }

    /// Waits for the memory of one or two parts of this size.
    pub(crate) async fn reserve(&self, part: u64, parts: u32) -> Reserve {
        let units = self.units(part) * parts;
        let held = Arc::clone(&self.free).acquire_many_owned(units).await.ok().map(Arc::new);
        Reserve { budget: self.clone(), part, own: Arc::new(Semaphore::new(parts as usize)), held }
    }

    /// Takes memory if it is free now.
    pub(crate) fn try_take(&self, bytes: u64) -> Option<Permit> {
        let own = Arc::clone(&self.free).try_acquire_many_owned(self.units(bytes)).ok()?;
        Some(Permit { _own: Some(own), _reserve: None })
    }

    /// Returns the units of a part. A part counts as half of the budget if it is larger than that, so that two always
    /// fit.
    fn units(&self, bytes: u64) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).clamp(1, self.total / 2)
    }
}

impl Reserve {
    /// Waits for memory for one part: from the reserve, whose parts are free again without another upload, or from the
    /// rest of the budget.
    pub(crate) async fn take(&self) -> Permit {
        let own = Arc::clone(&self.own).acquire_owned();
        let more = Arc::clone(&self.budget.free).acquire_many_owned(self.budget.units(self.part));
        tokio::select! {
            biased;
            own = own => self.permit(own.ok()),
            more = more => Permit { _own: more.ok(), _reserve: None },
        }
    }

    fn permit(&self, own: Option<OwnedSemaphorePermit>) -> Permit {
        Permit { _own: own, _reserve: self.held.clone() }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const MIB: u64 = 1 << 20;

    #[tokio::test]
    async fn an_upload_uses_the_whole_budget_and_then_waits_for_any_of_its_parts() {
        let budget = Budget::new(48 * MIB);
        let reserve = budget.reserve(5 * MIB, 2).await;
        let mut parts = Vec::new();
        while let Some(permit) = reserve.take().now_or_never() {
            parts.push(permit);
        }
        assert_eq!(parts.len(), 9);
        // Any of its parts makes room for the next.
        for _ in 0..9 {
            assert!(reserve.take().now_or_never().is_none());
            let mut next = Box::pin(reserve.take());
            assert!((&mut next).now_or_never().is_none());
            drop(parts.remove(0));
            parts.push(next.now_or_never().unwrap());
        }
    }

    #[tokio::test]
    async fn an_upload_with_its_reserve_needs_nothing_of_another() {
        let budget = Budget::new(40 * MIB);
        let mut uploads = Vec::new();
        while let Some(reserve) = budget.reserve(5 * MIB, 2).now_or_never() {
            uploads.push(reserve);
        }
        assert_eq!(uploads.len(), 4);
        for upload in &uploads {
            let (first, second) = (upload.take().now_or_never().unwrap(), upload.take().now_or_never().unwrap());
            assert!(upload.take().now_or_never().is_none());
            drop(first);
            assert!(upload.take().now_or_never().is_some());
            drop(second);
        }
    }

    #[tokio::test]
    async fn a_part_in_memory_keeps_the_reserve_of_an_upload_that_has_ended() {
        let budget = Budget::new(4 * MIB);
        let reserve = budget.reserve(2 * MIB, 2).await;
        let part = reserve.take().await;
        drop(reserve);
        assert!(budget.try_take(1).is_none());
        drop(part);
        assert!(budget.try_take(4 * MIB).is_some());
    }

    #[tokio::test]
    async fn two_parts_fit_however_large_they_are() {
        let budget = Budget::new(48 * MIB);
        let reserve = budget.reserve(5 << 40, 2).now_or_never().unwrap();
        let (_first, _second) = (reserve.take().now_or_never().unwrap(), reserve.take().now_or_never().unwrap());
    }
}
