//! [`Budget`]: the memory that the parts of all uploads, or the ranges of all downloads, of a store may take.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use opendal::Buffer;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The unit of a permit, in bytes.
const UNIT: u64 = 1024;

/// The size of a block of memory, in bytes.
const BLOCK: usize = 1024 * 1024;

/// An amount of memory that transfers share. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    free: Arc<Semaphore>,
    /// The whole amount, in units.
    total: u32,
    blocks: Arc<Mutex<Blocks>>,
}

/// The memory for parts while there are uploads: one allocation, in blocks. The allocator returns it to the system after
/// the last upload. Of many allocations in many threads it would keep up to 30 MiB.
#[derive(Debug, Default)]
struct Blocks {
    /// The number of reserves. Without any, there is no memory.
    reserves: usize,
    is_allocated: bool,
    /// The number of allocations so far. Blocks of an earlier one are not used again.
    allocations: u64,
    unused: Vec<BytesMut>,
}

/// The content of one part.
#[derive(Debug)]
pub(crate) struct PartBuffer {
    blocks: Vec<Block>,
    /// The number of full blocks.
    full: usize,
    missing: usize,
}

/// A block of memory, which is free again when this is dropped.
#[derive(Debug)]
struct Block {
    content: BytesMut,
    /// The number of the allocation that the block is part of, if any.
    allocation: Option<u64>,
    budget: Budget,
    _permit: Arc<Permit>,
}

impl PartBuffer {
    /// Copies the beginning of `chunk`, as far as there is room. Returns the number of bytes.
    pub(crate) fn fill(&mut self, chunk: &[u8]) -> usize {
        let mut copied = 0;
        while copied < chunk.len() && self.missing > 0 {
            let Some(block) = self.blocks.get_mut(self.full) else { break };
            let room = (block.content.capacity() - block.content.len()).min(self.missing);
            let length = room.min(chunk.len() - copied);
            block.content.extend_from_slice(&chunk[copied..copied + length]);
            copied += length;
            self.missing -= length;
            if length == room {
                self.full += 1;
            }
        }
        copied
    }

    /// Returns `true` if there is no more room.
    pub(crate) fn is_full(&self) -> bool {
        self.missing == 0
    }

    /// Returns the content. Its memory is free again when all clones are dropped.
    pub(crate) fn into_buffer(self) -> Buffer {
        let blocks = self.blocks.into_iter().filter(|block| !block.content.is_empty());
        Buffer::from(blocks.map(Bytes::from_owner).collect::<Vec<Bytes>>())
    }
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        &self.content
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let mut blocks = self.budget.blocks();
        if blocks.is_allocated && self.allocation == Some(blocks.allocations) {
            let mut content = std::mem::take(&mut self.content);
            content.clear();
            blocks.unused.push(content);
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
        Self { free: Arc::new(Semaphore::new(total as usize)), total, blocks: Arc::default() }
    }

    /// Waits for the memory of one or two parts of this size.
    pub(crate) async fn reserve(&self, part: u64, parts: u32) -> Reserve {
        let units = self.units(part) * parts;
        let held = Arc::clone(&self.free).acquire_many_owned(units).await.ok().map(Arc::new);
        self.blocks().reserves += 1;
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
        let permit = Arc::new(permit);
        let mut blocks = self.blocks();
        if size >= BLOCK && !blocks.is_allocated {
            let mut all = BytesMut::with_capacity(usize::try_from(u64::from(self.total) * UNIT).unwrap_or(BLOCK));
            while all.capacity() > BLOCK {
                blocks.unused.push(all.split_off(all.capacity() - BLOCK));
            }
            blocks.unused.push(all);
            blocks.is_allocated = true;
            blocks.allocations += 1;
        }
        let allocation = blocks.allocations;
        let block = |at: usize| {
            let length = BLOCK.min(size - at);
            let shared = if size >= BLOCK { blocks.unused.pop() } else { None };
            let allocation = shared.is_some().then_some(allocation);
            let content = shared.unwrap_or_else(|| BytesMut::with_capacity(length));
            Block { content, allocation, budget: self.clone(), _permit: Arc::clone(&permit) }
        };
        PartBuffer { blocks: (0..size).step_by(BLOCK).map(block).collect(), full: 0, missing: size }
    }

    fn blocks(&self) -> MutexGuard<'_, Blocks> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the units of a part. A part counts as half of the budget if it is larger than that, so that two always
    /// fit.
    fn units(&self, bytes: u64) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).clamp(1, self.total / 2)
    }
}

impl Reserve {
    /// Waits for memory for one part: from the reserve, whose parts are free again without another upload, or from the
    /// rest of the budget. Takes more than the budget when `none_ends`: no part is under way whose memory would be free.
    pub(crate) async fn take(&self, none_ends: impl Future<Output = ()>) -> PartBuffer {
        let own = Arc::clone(&self.own).acquire_owned();
        let more = Arc::clone(&self.budget.free).acquire_many_owned(self.budget.units(self.part));
        let permit = tokio::select! {
            biased;
            own = own => Permit { _own: own.ok(), _reserve: self.held.clone() },
            more = more => Permit { _own: more.ok(), _reserve: None },
            () = none_ends => Permit { _own: None, _reserve: None },
        };
        self.budget.buffer(permit, self.part)
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        let mut blocks = self.budget.blocks();
        blocks.reserves -= 1;
        if blocks.reserves == 0 {
            blocks.unused = Vec::new();
            blocks.is_allocated = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use futures::FutureExt;

    use super::*;

    const MIB: u64 = 1 << 20;

    #[tokio::test]
    async fn an_upload_uses_the_whole_budget_and_then_waits_for_any_of_its_parts() {
        let budget = Budget::new(48 * MIB);
        let reserve = budget.reserve(5 * MIB, 2).await;
        let mut parts = Vec::new();
        while let Some(permit) = reserve.take(pending()).now_or_never() {
            parts.push(permit);
        }
        assert_eq!(parts.len(), 9);
        // Any of its parts makes room for the next.
        for _ in 0..9 {
            assert!(reserve.take(pending()).now_or_never().is_none());
            let mut next = Box::pin(reserve.take(pending()));
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
            let (first, second) =
                (upload.take(pending()).now_or_never().unwrap(), upload.take(pending()).now_or_never().unwrap());
            assert!(upload.take(pending()).now_or_never().is_none());
            drop(first);
            assert!(upload.take(pending()).now_or_never().is_some());
            drop(second);
        }
    }

    #[tokio::test]
    async fn a_part_in_memory_keeps_the_reserve_of_an_upload_that_has_ended() {
        let budget = Budget::new(4 * MIB);
        let reserve = budget.reserve(2 * MIB, 2).await;
        let part = reserve.take(pending()).await;
        drop(reserve);
        assert!(budget.try_take(1).is_none());
        drop(part);
        assert!(budget.try_take(4 * MIB).is_some());
    }

    #[tokio::test]
    async fn two_parts_fit_however_large_they_are() {
        let budget = Budget::new(48 * MIB);
        let reserve = budget.reserve(60 * MIB, 2).now_or_never().unwrap();
        let (_first, _second) =
            (reserve.take(pending()).now_or_never().unwrap(), reserve.take(pending()).now_or_never().unwrap());
    }

    #[tokio::test]
    async fn the_memory_of_a_part_is_used_again_until_the_last_upload_ends() {
        let budget = Budget::new(48 * MIB);
        let unused = || budget.blocks().unused.len();
        let reserve = budget.reserve(5 * MIB, 2).await;
        let mut part = reserve.take(pending()).await;
        let free = unused();
        assert_eq!(part.fill(&vec![7; 6 << 20]), 5 << 20);
        assert!(part.is_full());
        let content = part.into_buffer();
        assert_eq!(content.to_bytes(), vec![7; 5 << 20]);
        assert_eq!(unused(), free);
        drop(content);
        assert_eq!(unused(), free + 5);
        // A part that is in memory after the last upload does not keep the rest.
        let late = reserve.take(pending()).await;
        drop(reserve);
        assert_eq!(unused(), 0);
        drop(late);
        assert_eq!(unused(), 0);
    }

    #[tokio::test]
    async fn a_small_part_has_memory_of_its_size() {
        let budget = Budget::new(48 * MIB);
        let reserve = budget.reserve(3, 1).await;
        let mut part = reserve.take(pending()).await;
        assert_eq!((part.fill(b"ab"), part.fill(b"cde"), part.fill(b"f")), (2, 1, 0));
        assert_eq!(part.into_buffer().to_bytes(), "abc");
        assert!(!budget.blocks().is_allocated);
    }
}
