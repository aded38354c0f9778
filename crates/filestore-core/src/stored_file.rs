//! [`StoredFile`]: a file as a store describes it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{Expiry, FileRef};

/// What a store says of a stored file. Fields that the service does not know are `None`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoredFile {
    /// Its name for good.
    pub reference: FileRef,
    /// What it is called.
    pub name: String,
    /// Bytes of content. `None` where only the stored size is known (a list of encrypted files).
    pub size: Option<u64>,
    /// Bytes as the service stores and bills them; differs from `size` only where it is encrypted.
    pub stored_size: Option<u64>,
    /// When it was stored.
    pub created: Option<Timestamp>,
    /// When its content changed last.
    pub modified: Option<Timestamp>,
    /// Its media type.
    pub content_type: Option<String>,
    /// Pairs kept with the file.
    pub metadata: BTreeMap<String, String>,
    /// Digests of the content.
    pub digests: Vec<Digest>,
    /// When it goes away by itself: [`Expiry::At`] or [`Expiry::Never`]; [`Expiry::Default`] where the
    /// service does not say.
    pub expiry: Expiry,
    /// How many downloads are left, where they are counted.
    pub remaining_downloads: Option<u64>,
    /// Options that had no effect: provider options that the store does not know and was allowed to skip, and options
    /// that the service ignored. A protection is never among them: an upload without it fails.
    pub skipped: Vec<&'static str>,
}

impl StoredFile {
    /// For backends: a file of which only reference and name are known; set the fields that are.
    pub fn new(reference: FileRef, name: impl Into<String>) -> Self {
        Self {
            reference,
            name: name.into(),
            size: None,
            stored_size: None,
            created: None,
            modified: None,
            content_type: None,
            metadata: BTreeMap::new(),
            digests: Vec::new(),
            expiry: Expiry::Default,
            remaining_downloads: None,
            skipped: Vec::new(),
        }
    }

    /// Its name for good.
    pub fn reference(&self) -> &FileRef {
        &self.reference
    }
}

/// A digest of the content.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Digest {
    /// Which function.
    pub algorithm: DigestAlgorithm,
    /// Lower-case hexadecimal digits, leading zeros kept.
    pub hex: String,
}

impl Digest {
    /// A digest from its hexadecimal digits; short ones get their leading zeros back.
    pub fn new(algorithm: DigestAlgorithm, hex: impl Into<String>) -> Self {
        let mut hex = hex.into();
        hex.make_ascii_lowercase();
        let width = algorithm.hex_digits();
        if hex.len() < width {
            hex = format!("{hex:0>width$}");
        }
        Self { algorithm, hex }
    }
}

/// Which digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum DigestAlgorithm {
    /// CRC-32 (IEEE): finds accidents, not forgeries.
    Crc32,
    /// MD5: finds accidents, not forgeries.
    Md5,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
}

impl DigestAlgorithm {
    /// The name in lower case, such as `sha256`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Crc32 => "crc32",
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }

    fn hex_digits(self) -> usize {
        match self {
            Self::Crc32 => 8,
            Self::Md5 => 32,
            Self::Sha1 => 40,
            Self::Sha256 => 64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_gets_its_leading_zeros_back() {
        assert_eq!(Digest::new(DigestAlgorithm::Crc32, "1A2B3C").hex, "001a2b3c");
    }
}
