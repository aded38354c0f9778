//! Reproducible content, and its digests as the kit computes them.

use bytes::Bytes;
use filestore_core::{DigestAlgorithm, hex};
use sha1::Digest as _;

/// A length of several chunks: every known backend has smaller chunks. The length is odd, so it ends within a chunk.
pub(crate) const SEVERAL_CHUNKS: usize = 3 * 1024 * 1024 + 17;

/// Returns `length` pseudorandom bytes, the same for the same `seed`.
pub(crate) fn bytes(seed: u64, length: usize) -> Bytes {
    // SplitMix64: few operations per word, and no repetition within any test file.
    let mut state = seed;
    let mut all = Vec::with_capacity(length + 8);
    while all.len() < length {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        all.extend_from_slice(&(word ^ (word >> 31)).to_le_bytes());
    }
    all.truncate(length);
    all.into()
}

/// Returns small content whose CRC-32 begins with zeros, which some services drop.
pub(crate) fn with_leading_zero() -> Bytes {
    (0u32..)
        .map(|number| Bytes::from(format!("content {number}")))
        .find(|content| digest(DigestAlgorithm::Crc32, content).is_some_and(|hex| hex.starts_with("00")))
        .unwrap_or_default()
}

/// Returns the digest in lowercase hexadecimal digits; `None` for an algorithm that the kit does not have.
pub(crate) fn digest(algorithm: DigestAlgorithm, content: &[u8]) -> Option<String> {
    match algorithm {
        DigestAlgorithm::Crc32 => Some(hex(&crc32fast::hash(content).to_be_bytes())),
        DigestAlgorithm::Md5 => Some(hex(&md5::Md5::digest(content))),
        DigestAlgorithm::Sha1 => Some(hex(&sha1::Sha1::digest(content))),
        DigestAlgorithm::Sha256 => Some(hex(&sha2::Sha256::digest(content))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_the_same_for_the_same_seed() {
        assert_eq!(bytes(7, 33), bytes(7, 33));
        assert_ne!(bytes(7, 33), bytes(8, 33));
        assert_eq!(bytes(7, 100)[..33], bytes(7, 33));
    }

    #[test]
    fn digests_match_the_published_vectors() {
        // The published vectors for "abc".
        let of = |algorithm| digest(algorithm, b"abc").unwrap();
        assert_eq!(of(DigestAlgorithm::Crc32), "352441c2");
        assert_eq!(of(DigestAlgorithm::Md5), "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(of(DigestAlgorithm::Sha1), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(of(DigestAlgorithm::Sha256), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(digest(DigestAlgorithm::Crc32, b"").unwrap(), "00000000");
    }
}
