//! Digests computed while bytes pass, beside the runtime and not in it.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use crc32fast::Hasher as Crc32;
use filestore_core::{ByteStream, Error, Result, check_runtime, hex};
use md5::{Digest as _, Md5};

/// Chunks up to this size are digested where they are, larger ones on a thread for blocking work: MD5 takes half
/// a millisecond for 256 KiB, in which nothing else of its thread would move.
pub(crate) const SMALL: usize = 64 * 1024;

/// Which digests are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DigestSet {
    pub(crate) md5: bool,
    pub(crate) crc32: bool,
}

/// Digests of what has passed so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hasher {
    md5: Option<Md5>,
    crc32: Option<Crc32>,
    length: u64,
}

/// Digests of all that passed.
#[derive(Debug, Clone)]
pub(crate) struct Digests {
    /// In lower-case hex.
    pub(crate) md5: Option<String>,
    /// Can be combined with that of what follows.
    pub(crate) crc32: Option<Crc32>,
}

impl Hasher {
    pub(crate) fn new(wanted: DigestSet) -> Self {
        Self { md5: wanted.md5.then(Md5::new), crc32: wanted.crc32.then(Crc32::new), length: 0 }
    }

    fn update(&mut self, chunk: &[u8]) {
        self.length += chunk.len() as u64;
        if let Some(md5) = &mut self.md5 {
            md5.update(chunk);
        }
        if let Some(crc32) = &mut self.crc32 {
            crc32.update(chunk);
        }
    }

    /// Takes a chunk in and gives it back. CRC-32 is as fast as a copy; MD5 is not.
    pub(crate) async fn pass(&mut self, chunk: Bytes) -> Result<Bytes> {
        if self.md5.is_none() || chunk.len() <= SMALL {
            self.update(&chunk);
            return Ok(chunk);
        }
        check_runtime()?;
        let mut running = std::mem::take(self);
        let work = tokio::task::spawn_blocking(move || {
            running.update(&chunk);
            (running, chunk)
        });
        let (running, chunk) = work.await.map_err(|error| Error::from_reader(std::io::Error::other(error)))?;
        *self = running;
        Ok(chunk)
    }

    /// The digests of what has passed, and `rest`.
    pub(crate) fn sums_of(mut self, rest: &[u8]) -> Digests {
        self.update(rest);
        self.sums()
    }

    pub(crate) fn sums(self) -> Digests {
        Digests { md5: self.md5.map(|md5| hex(&md5.finalize())), crc32: self.crc32 }
    }
}

/// A place for the digests of a stream of which only the end is known to somebody else.
#[derive(Debug, Clone, Default)]
pub(crate) struct DigestCell(Arc<Mutex<Option<Digests>>>);

impl DigestCell {
    pub(crate) fn set(&self, sums: Option<Digests>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = sums;
    }

    pub(crate) fn take(&self) -> Option<Digests> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// `stream`, of `length` bytes. Their digests are in `slot` as soon as the last byte has passed: nobody
/// need ask for what comes after it.
pub(crate) fn digested(stream: ByteStream, length: u64, wanted: DigestSet, slot: DigestCell) -> ByteStream {
    let mut running = Hasher::new(wanted);
    slot.set((length == 0).then(|| running.clone().sums()));
    stream.inspect(move |chunk| {
        running.update(chunk);
        if running.length == length {
            slot.set(Some(running.clone().sums()));
        }
    })
}

/// CRC-32 as the service and this crate compare it: eight lower-case digits.
pub(crate) fn crc32_hex(crc32: Crc32) -> String {
    format!("{:08x}", crc32.finalize())
}

#[cfg(test)]
mod tests {
    use futures::{TryStreamExt, stream};

    use super::*;

    async fn sums_of(content: &[u8], chunk: usize) -> Option<Digests> {
        let chunks: Vec<_> = content.chunks(chunk).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        let slot = DigestCell::default();
        let wanted = DigestSet { md5: true, crc32: true };
        let stream = ByteStream::upload(stream::iter(chunks), None);
        let stream = digested(stream, content.len() as u64, wanted, slot.clone());
        let passed: Vec<Bytes> = stream.try_collect().await.unwrap();
        assert_eq!(passed.concat(), content);
        slot.take()
    }

    #[tokio::test]
    async fn digests_are_known_when_the_last_byte_has_passed() {
        let empty = sums_of(b"", 1).await.unwrap();
        assert_eq!(empty.md5.as_deref(), Some("d41d8cd98f00b204e9800998ecf8427e"));
        let check = sums_of(b"123456789", 4).await.unwrap();
        assert_eq!(check.md5.as_deref(), Some("25f9e794323b453885f5181f1b624d0b"));
        assert_eq!(check.crc32.map(crc32_hex).as_deref(), Some("cbf43926"));
    }

    #[tokio::test]
    async fn large_chunks_are_digested_elsewhere_to_the_same_end() {
        let content = vec![7; 6 * SMALL];
        let (large, small) = (sums_of(&content, 2 * SMALL).await.unwrap(), sums_of(&content, 100).await.unwrap());
        assert_eq!(large.md5, small.md5);
        assert_eq!(large.crc32.map(crc32_hex), small.crc32.map(crc32_hex));
    }
}
