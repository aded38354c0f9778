//! [`Digester`]: computes one digest of a content.

use filestore_core::{Digest, DigestAlgorithm, hex};
use sha2::Digest as _;

/// The state of one digest.
#[derive(Debug, Clone)]
pub(crate) enum Digester {
    Sha256(sha2::Sha256),
    Sha1(sha1::Sha1),
    Md5(md5::Md5),
    Crc32(crc32fast::Hasher),
}

impl Digester {
    pub(crate) fn new(algorithm: DigestAlgorithm) -> Self {
        match algorithm {
            DigestAlgorithm::Sha1 => Self::Sha1(sha1::Sha1::new()),
            DigestAlgorithm::Md5 => Self::Md5(md5::Md5::new()),
            DigestAlgorithm::Crc32 => Self::Crc32(crc32fast::Hasher::new()),
            _ => Self::Sha256(sha2::Sha256::new()),
        }
    }

    pub(crate) fn update(&mut self, chunk: &[u8]) {
        match self {
            Self::Sha256(digest) => digest.update(chunk),
            Self::Sha1(digest) => digest.update(chunk),
            Self::Md5(digest) => digest.update(chunk),
            Self::Crc32(digest) => digest.update(chunk),
        }
    }

    pub(crate) fn finish(self) -> Digest {
        match self {
            Self::Sha256(digest) => Digest::new(DigestAlgorithm::Sha256, hex(&digest.finalize())),
            Self::Sha1(digest) => Digest::new(DigestAlgorithm::Sha1, hex(&digest.finalize())),
            Self::Md5(digest) => Digest::new(DigestAlgorithm::Md5, hex(&digest.finalize())),
            Self::Crc32(digest) => Digest::new(DigestAlgorithm::Crc32, format!("{:x}", digest.finalize())),
        }
    }
}

/// Returns the digest of this algorithm.
pub(crate) fn of(digests: &[Digest], algorithm: DigestAlgorithm) -> Option<&Digest> {
    digests.iter().find(|digest| digest.algorithm == algorithm)
}

/// Returns the strongest digest.
pub(crate) fn strongest(digests: &[Digest]) -> Option<&Digest> {
    STRONGEST_FIRST.into_iter().find_map(|algorithm| of(digests, algorithm))
}

/// The algorithms of which a digest is compared, the strongest first.
pub(crate) const STRONGEST_FIRST: [DigestAlgorithm; 4] =
    [DigestAlgorithm::Sha256, DigestAlgorithm::Sha1, DigestAlgorithm::Md5, DigestAlgorithm::Crc32];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_has_the_digest_of_its_standard() {
        for (algorithm, hex) in [
            (DigestAlgorithm::Crc32, "cbf43926"),
            (DigestAlgorithm::Md5, "25f9e794323b453885f5181f1b624d0b"),
            (DigestAlgorithm::Sha1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
            (DigestAlgorithm::Sha256, "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
        ] {
            let mut digester = Digester::new(algorithm);
            digester.update(b"1234");
            digester.update(b"56789");
            assert_eq!(digester.finish(), Digest::new(algorithm, hex));
        }
    }
}
