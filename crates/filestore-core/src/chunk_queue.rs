//! [`ChunkQueue`]: chunks that wait in memory, of which small ones are merged.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Chunks of at least this many bytes are kept as they are. Smaller ones are copied together.
const SMALL: usize = 16 * 1024;

/// A queue of the chunks of a stream that wait in memory. It takes little more memory than its content, however small
/// the chunks are: each [`Bytes`] alone takes 32 bytes, and may hold a larger buffer.
#[derive(Debug, Default)]
pub struct ChunkQueue {
    chunks: VecDeque<Bytes>,
    /// The small chunks after the last one of `chunks`.
    tail: BytesMut,
}

impl ChunkQueue {
    /// Creates an empty queue.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `chunk`. A large chunk is not copied.
    pub fn push(&mut self, chunk: Bytes) {
        if chunk.len() < SMALL {
            self.tail.extend_from_slice(&chunk);
            if self.tail.len() >= crate::stream::CHUNK {
                self.end_tail();
            }
            return;
        }
        self.end_tail();
        self.chunks.push_back(chunk);
    }

    /// Removes the first `length` bytes, or all if there are fewer, and returns their chunks.
    pub fn take(&mut self, length: u64) -> Vec<Bytes> {
        self.end_tail();
        let (mut missing, mut taken) = (length, Vec::new());
        while missing > 0
            && let Some(mut chunk) = self.chunks.pop_front()
        {
            if chunk.len() as u64 > missing {
                let rest = chunk.split_off(usize::try_from(missing).unwrap_or(usize::MAX));
                self.chunks.push_front(rest);
            }
            missing -= chunk.len() as u64;
            taken.push(chunk);
        }
        taken
    }

    /// Returns all chunks.
    pub fn into_chunks(mut self) -> VecDeque<Bytes> {
        self.end_tail();
        self.chunks
    }

    fn end_tail(&mut self) {
        if !self.tail.is_empty() {
            self.chunks.push_back(self.tail.split().freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_bytes_stay_and_small_chunks_are_merged(
            sizes in prop::collection::vec(prop_oneof![0..3_usize, SMALL - 1..SMALL + 2], 0..200),
            length in 0..100_000_u64,
        ) {
            let total: usize = sizes.iter().sum();
            let content: Vec<u8> = (0..=255).cycle().take(total).collect();
            let (mut queue, mut at) = (ChunkQueue::new(), 0);
            for size in &sizes {
                queue.push(Bytes::copy_from_slice(&content[at..at + size]));
                at += size;
            }
            let first = queue.take(length);
            prop_assert_eq!(first.concat().len() as u64, length.min(total as u64));
            let chunks: Vec<Bytes> = first.into_iter().chain(queue.into_chunks()).collect();
            prop_assert_eq!(chunks.concat(), content);
            let large = sizes.iter().filter(|size| **size >= SMALL).count();
            prop_assert!(chunks.len() <= 2 * large + 2 + total / crate::stream::CHUNK, "{}", chunks.len());
        }
    }
}
