//! [`StoredFile`]: the metadata of a stored file.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{Expiry, FileRef};

/// The metadata of a stored file. Fields that the service does not report are `None`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoredFile {
    /// The permanent reference of the file.
    pub reference: FileRef,
    /// The name of the file.
    pub name: String,
    /// The size of the content in bytes. `None` if only the stored size is known (a list of encrypted files).
    pub size: Option<u64>,
    /// The size in bytes that the service stores and bills. It differs from `size` only for encrypted files.
    pub stored_size: Option<u64>,
    /// The time at which the file was stored.
    pub created: Option<Timestamp>,
    /// The time at which the content was last modified.
    pub modified: Option<Timestamp>,
    /// The opaque version of the content. `None` if the response of the service does not show one.
    ///
    /// The results of upload, list, stat and download have the same version of the same content, and a replaced file has
    /// another version. A version is compared with others of the same reference only. It has 1 to 1,024 visible ASCII
    /// characters and no quotes, so a web service can send it in quotes as its `ETag`, and compare it with
    /// `If-None-Match`.
    ///
    /// Each backend takes it from what its service reports: an ETag, a digest, an id, or a time and the size. A time has
    /// a resolution: two contents of one size that were stored within it have one version. `docs/capabilities.md` of the
    /// project lists the sources, and the results without a version.
    pub version: Option<String>,
    /// The media type.
    pub content_type: Option<String>,
    /// Custom metadata: pairs that the service stores with the file.
    pub metadata: BTreeMap<String, String>,
    /// Digests of the content.
    pub digests: Vec<Digest>,
    /// The expiry: [`Expiry::At`] or [`Expiry::Never`]; [`Expiry::Default`] if the service does not report it.
    pub expiry: Expiry,
    /// The number of downloads that are left, if the service counts them.
    pub remaining_downloads: Option<u64>,
    /// The names of options that had no effect: provider options that the store does not support and was allowed to
    /// skip, and options that the service ignored. An option that protects the file is never among them: if it has no
    /// effect, the upload fails.
    pub skipped: Vec<&'static str>,
}

impl StoredFile {
    /// Creates the metadata of a file whose reference and name are known. For backends, which set the other fields that
    /// they know.
    pub fn new(reference: FileRef, name: impl Into<String>) -> Self {
        Self {
            reference,
            name: name.into(),
            size: None,
            stored_size: None,
            created: None,
            modified: None,
            version: None,
            content_type: None,
            metadata: BTreeMap::new(),
            digests: Vec::new(),
            expiry: Expiry::Default,
            remaining_downloads: None,
            skipped: Vec::new(),
        }
    }

    /// Returns the permanent reference of the file.
    pub fn reference(&self) -> &FileRef {
        &self.reference
    }
}

/// A digest of the content.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Digest {
    /// The digest algorithm.
    pub algorithm: DigestAlgorithm,
    /// The digest in lower-case hexadecimal digits, with leading zeros.
    pub hex: String,
}

impl Digest {
    /// Creates a digest from its hexadecimal digits. Missing leading zeros are added.
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

/// A digest algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum DigestAlgorithm {
    /// CRC-32 (IEEE): detects accidental changes, not forgeries.
    Crc32,
    /// MD5: detects accidental changes, not forgeries.
    Md5,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
}

impl DigestAlgorithm {
    /// Returns the name in lower case, such as `sha256`.
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
