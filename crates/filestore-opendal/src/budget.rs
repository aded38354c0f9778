//! [`Budget`]: the memory that the parts of all uploads, or the ranges of all downloads, of a store may take.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The unit of a permit, in bytes.
const UNIT: u64 = 1024;

/// The smallest part whose memory is used again, in bytes.
const MIN_REUSED: usize = 1024 * 1024;

/// An amount of memory that transfers share. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    free: Arc<Semaphore>,
    /// The whole amount, in units.
    total: u32,
    unused: Arc<Mutex<Unused>>,
}

/// The memory of parts that were sent, which the next ones use: the allocator would return only a part of it to the
/// system, and take more for the next ones.
#[derive(Debug, Default)]
struct Unused {
    /// The number of reserves. Without any, there is no unused memory.
    reserves: usize,
    buffers: Vec<Vec<u8>>,
}

/// The content of one part. Its memory is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct PartBuffer {
    pub(crate) content: Vec<u8>,
    budget: Budget,
    _permit: Permit,
}

impl AsRef<[u8]> for PartBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.content
    }
}

impl Drop for PartBuffer {
    fn drop(&mut self) {
        let mut content = std::mem::take(&mut self.content);
        let mut unused = self.budget.unused();
        if content.capacity() >= MIN_REUSED && unused.reserves > 0 {
            content.clear();
            unused.buffers.push(content);
        }
    }
}

/// The permit for the memory of one part or range. The memory is free again when this is dropped.
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
        Self { free: Arc::new(Semaphore::new(total as usize)), total, unused: Arc::default() }
    }

    /// Waits for the memory of one or two parts of this size.
    pub(crate) async fn reserve(&self, part: u64, parts: u32) -> Reserve {
        let units = self.units(part) * parts;
        let held = Arc::clone(&self.free).acquire_many_owned(units).await.ok().map(Arc::new);
        self.unused().reserves += 1;
        Reserve { budget: self.clone(), part, own: Arc::new(Semaphore::new(parts as usize)), held }
    }

    /// Takes memory if it is free now.
    pub(crate) fn try_take(&self, bytes: u64) -> Option<Permit> {
        let own = Arc::clone(&self.free).try_acquire_many_owned(self.units(bytes)).ok()?;
        Some(Permit { _own: Some(own), _reserve: None })
    }

    /// Returns memory for a part of so many bytes.
    fn buffer(&self, permit: Permit, bytes: u64) -> PartBuffer {
        let size = usize::try_from(bytes).unwrap_or(usize::MAX);
        let mut unused = self.unused();
        let mut reused = unused.buffers.pop_if(|buffer| buffer.capacity() == size);
        if reused.is_none() && size >= MIN_REUSED {
            // Memory of another size would come on top of this.
            unused.buffers.clear();
        }
        drop(unused);
        let content = reused.take().unwrap_or_else(|| Vec::with_capacity(size));
        PartBuffer { content, budget: self.clone(), _permit: permit }
    }

    fn unused(&self) -> MutexGuard<'_, Unused> {
        self.unused.lock().unwrap_or_else(PoisonError::into_inner)
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
    pub(crate) async fn take(&self) -> PartBuffer {
        let own = Arc::clone(&self.own).acquire_owned();
        let more = Arc::clone(&self.budget.free).acquire_many_owned(self.budget.units(self.part));
        let permit = tokio::select! {
            biased;
            own = own => Permit { _own: own.ok(), _reserve: self.held.clone() },
            more = more => Permit { _own: more.ok(), _reserve: None },
        };
        self.budget.buffer(permit, self.part)
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        let mut unused = self.budget.unused();
        unused.reserves -= 1;
        if unused.reserves == 0 {
            unused.buffers = Vec::new();
        }
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
        let reserve = budget.reserve(60 * MIB, 2).now_or_never().unwrap();
        let (_first, _second) = (reserve.take().now_or_never().unwrap(), reserve.take().now_or_never().unwrap());
    }

    #[tokio::test]
    async fn the_memory_of_a_part_is_used_again_until_the_last_upload_ends() {
        let budget = Budget::new(48 * MIB);
        let reserve = budget.reserve(5 * MIB, 2).await;
        let part = reserve.take().await;
        let address = part.content.as_ptr();
        drop(part);
        let again = reserve.take().await;
        assert_eq!((again.content.as_ptr(), again.content.len()), (address, 0));
        drop(again);
        // A buffer of another size does not come on top of it.
        let larger = budget.reserve(8 * MIB, 2).await;
        let part = larger.take().await;
        assert!(part.content.capacity() == 8 << 20 && budget.unused().buffers.is_empty());
        drop(part);
        drop(reserve);
        assert_eq!(budget.unused().buffers.len(), 1);
        drop(larger);
        assert!(budget.unused().buffers.is_empty());
    }
}
