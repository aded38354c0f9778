//! MD5 and CRC-32 of content, computed while it is sent or read, without blocking the runtime.

use bytes::Bytes;
use crc32fast::Hasher as Crc32;
use filestore_core::{ByteStream, Error, Result, check_runtime, hex};
use md5::{Digest as _, Md5};
use tokio::sync::watch::Sender;

/// Chunks up to this size are digested inline, larger ones on a blocking thread: MD5 takes half a millisecond for
/// 256 KiB, which would delay all other tasks of the thread.
pub(crate) const SMALL: usize = 64 * 1024;

/// The digests to compute.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DigestSet {
    pub(crate) md5: bool,
    pub(crate) crc32: bool,
}

/// Digests of the content so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hasher {
    md5: Option<Md5>,
    crc32: Option<Crc32>,
    length: u64,
}

/// Digests of the whole content.
#[derive(Debug, Clone)]
pub(crate) struct Digests {
    /// In lower-case hexadecimal digits.
    pub(crate) md5: Option<String>,
    /// Not finished, so that it can be combined with that of the next part.
    pub(crate) crc32: Option<Crc32>,
}

impl Hasher {
    pub(crate) fn new(set: DigestSet) -> Self {
        Self { md5: set.md5.then(Md5::new), crc32: set.crc32.then(Crc32::new), length: 0 }
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

    /// Adds a chunk and returns it. CRC-32 is as fast as a copy; MD5 is not.
    pub(crate) async fn pass(&mut self, chunk: Bytes) -> Result<Bytes> {
        if self.md5.is_none() || chunk.len() <= SMALL {
            self.update(&chunk);
            return Ok(chunk);
        }
        check_runtime()?;
        let mut hasher = std::mem::take(self);
        let work = tokio::task::spawn_blocking(move || {
            hasher.update(&chunk);
            (hasher, chunk)
        });
        let (hasher, chunk) = work.await.map_err(|error| Error::from(std::io::Error::other(error)))?;
        *self = hasher;
        Ok(chunk)
    }

    /// Returns the digests of the content so far and of `rest`.
    pub(crate) fn digests_with(mut self, rest: &[u8]) -> Digests {
        self.update(rest);
        self.digests()
    }

    pub(crate) fn digests(self) -> Digests {
        Digests { md5: self.md5.map(|md5| hex(&md5.finalize())), crc32: self.crc32 }
    }
}

/// Returns `stream`, of `length` bytes. It sends their digests to `digests` as soon as the last byte has been read; the
/// end of the stream need not be.
pub(crate) fn digested(
    stream: ByteStream,
    length: u64,
    set: DigestSet,
    digests: Sender<Option<Digests>>,
) -> ByteStream {
    let mut hasher = Hasher::new(set);
    digests.send_replace((length == 0).then(|| hasher.clone().digests()));
    stream.inspect(move |chunk| {
        hasher.update(chunk);
        if hasher.length == length {
            digests.send_replace(Some(hasher.clone().digests()));
        }
    })
}

/// Returns a CRC-32 as it is compared: eight lower-case hexadecimal digits.
pub(crate) fn crc32_hex(crc32: Crc32) -> String {
    format!("{:08x}", crc32.finalize())
}

#[cfg(test)]
mod tests {
    use futures::{TryStreamExt, stream};
    use tokio::sync::watch;

    use super::*;

    async fn digests_of(content: &[u8], chunk: usize) -> Option<Digests> {
        let chunks: Vec<_> = content.chunks(chunk).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        let (sender, digests) = watch::channel(None);
        let set = DigestSet { md5: true, crc32: true };
        let stream = ByteStream::upload(stream::iter(chunks), None);
        let stream = digested(stream, content.len() as u64, set, sender);
        let passed: Vec<Bytes> = stream.try_collect().await.unwrap();
        assert_eq!(passed.concat(), content);
        digests.borrow().clone()
    }

    #[tokio::test]
    async fn digests_are_known_when_the_last_byte_has_passed() {
        let empty = digests_of(b"", 1).await.unwrap();
        assert_eq!(empty.md5.as_deref(), Some("d41d8cd98f00b204e9800998ecf8427e"));
        let check = digests_of(b"123456789", 4).await.unwrap();
        assert_eq!(check.md5.as_deref(), Some("25f9e794323b453885f5181f1b624d0b"));
        assert_eq!(check.crc32.map(crc32_hex).as_deref(), Some("cbf43926"));
    }

    #[tokio::test]
    async fn large_chunks_are_digested_elsewhere_to_the_same_end() {
        let content = vec![7; 6 * SMALL];
        let (large, small) = (digests_of(&content, 2 * SMALL).await.unwrap(), digests_of(&content, 100).await.unwrap());
        assert_eq!(large.md5, small.md5);
        assert_eq!(large.crc32.map(crc32_hex), small.crc32.map(crc32_hex));
    }
}
