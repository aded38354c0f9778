//! [`StoredFile`]: the metadata of a stored file.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::{Expiry, FileRef};

/// The metadata of a stored file. Fields that the service does not report are `None`.
///
/// It serializes as one object with the names of the fields. Fields without a value are left out; the names never
/// change. Times are texts of RFC 3339, such as `2026-03-01T10:00:00Z`. The reference may be a secret; see [`FileRef`].
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct StoredFile {
    /// The permanent reference of the file.
    pub reference: FileRef,
    /// The name of the file.
    pub name: String,
    /// The size of the content in bytes. `None` if only the stored size is known (a list of encrypted files).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The size in bytes that the service stores and bills. It differs from `size` only for encrypted files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stored_size: Option<u64>,
    /// The time at which the file was stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// The time at which the content was last modified.
    #[serde(skip_serializing_if = "Option::is_none")]
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The media type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Custom metadata: pairs that the service stores with the file.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Digests of the content.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub digests: Vec<Digest>,
    /// The expiry: [`Expiry::At`] or [`Expiry::Never`]; [`Expiry::Default`] if the service does not report it.
    #[serde(skip_serializing_if = "is_default")]
    pub expiry: Expiry,
    /// The number of downloads that are left, if the service counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining_downloads: Option<u64>,
    /// The names of options that had no effect: provider options that the store does not support and was allowed to
    /// skip, and options that the service ignored. An option that protects the file is never among them: if it has no
    /// effect, the upload fails.
    #[serde(skip_serializing_if = "Vec::is_empty")]
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

fn is_default(expiry: &Expiry) -> bool {
    *expiry == Expiry::Default
}

/// A digest of the content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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

impl Serialize for DigestAlgorithm {
    /// Serializes [`as_str`](Self::as_str).
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_serialized_with_the_fields_that_are_known() {
        let mut file = StoredFile::new("drop:x:Ab12".parse().unwrap(), "a.txt");
        let json = |file: &StoredFile| serde_json::to_value(file).unwrap();
        assert_eq!(json(&file), serde_json::json!({ "reference": "drop:x:Ab12", "name": "a.txt" }));
        file.size = Some(3);
        file.created = Some(Timestamp::UNIX_EPOCH);
        file.expiry = Expiry::At(Timestamp::UNIX_EPOCH);
        file.digests.push(Digest::new(DigestAlgorithm::Crc32, "1"));
        file.metadata.insert("k".into(), "v".into());
        assert_eq!(
            json(&file),
            serde_json::json!({
                "reference": "drop:x:Ab12", "name": "a.txt", "size": 3, "created": "1970-01-01T00:00:00Z",
                "expiry": "1970-01-01T00:00:00Z", "digests": [{ "algorithm": "crc32", "hex": "00000001" }],
                "metadata": { "k": "v" },
            })
        );
    }

    #[test]
    fn a_digest_gets_its_leading_zeros_back() {
        assert_eq!(Digest::new(DigestAlgorithm::Crc32, "1A2B3C").hex, "001a2b3c");
    }
}
