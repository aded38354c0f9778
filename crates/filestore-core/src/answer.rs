//! The answers: what a store says of a file, a page, a download, a URL.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use jiff::Timestamp;

use crate::{ByteStream, Expiry, FileRef, Result};

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

/// Where a listing goes on. Opaque; may be stored and used by another process, against the same
/// scope.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PageToken(String);

impl PageToken {
    /// A token from its text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PageToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One page of a listing. The listing is complete when `next` is `None`, not when a page is short:
/// an empty page in the middle is allowed.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Page {
    /// The files, in the order that the capabilities state.
    pub files: Vec<StoredFile>,
    /// Scopes of the folders directly below, where the store has folders and the listing is not
    /// recursive. List each to see its files.
    pub folders: Vec<String>,
    /// Where to go on.
    pub next: Option<PageToken>,
}

impl Page {
    /// A page of `files`.
    pub fn new(files: Vec<StoredFile>, next: Option<PageToken>) -> Self {
        Self { files, folders: Vec::new(), next }
    }
}

/// A download that has begun: facts, and the bytes as they come.
#[derive(Debug)]
#[non_exhaustive]
pub struct Downloaded {
    /// What is known of the file.
    pub file: StoredFile,
    /// Which bytes come, when a range was asked for.
    pub range: Option<Range<u64>>,
    /// The bytes.
    pub stream: ByteStream,
}

impl Downloaded {
    /// The whole of `file`.
    pub fn new(file: StoredFile, stream: ByteStream) -> Self {
        Self { file, range: None, stream }
    }

    /// All bytes, if they are at most `limit`; else *too large*.
    pub async fn bytes(self, limit: usize) -> Result<Bytes> {
        self.stream.collect(limit).await
    }
}

/// An address of a file for others. `Debug` hides it: a signed or single-use URL is a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct FileUrl {
    url: String,
    kind: UrlKind,
    expires: Option<Timestamp>,
}

/// What a [`FileUrl`] gives to whoever opens it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UrlKind {
    /// The bytes, for as long as the file is there.
    Direct,
    /// The bytes, until a fixed time.
    Signed,
    /// A web page about the file.
    Page,
    /// The bytes, once: reading consumes the file.
    SingleUse,
    /// A file on this machine.
    Local,
}

impl UrlKind {
    /// The name in lower case, such as `single use`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Signed => "signed",
            Self::Page => "page",
            Self::SingleUse => "single use",
            Self::Local => "local",
        }
    }
}

impl FileUrl {
    /// An address of `kind` that works until `expires`.
    pub fn new(url: impl Into<String>, kind: UrlKind, expires: Option<Timestamp>) -> Self {
        Self { url: url.into(), kind, expires }
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.url
    }

    /// What it gives.
    pub fn kind(&self) -> UrlKind {
        self.kind
    }

    /// When it ends; `None`: with the file.
    pub fn expires(&self) -> Option<Timestamp> {
        self.expires
    }
}

impl fmt::Debug for FileUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileUrl").field("kind", &self.kind).field("expires", &self.expires).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_gets_its_leading_zeros_back() {
        assert_eq!(Digest::new(DigestAlgorithm::Crc32, "1A2B3C").hex, "001a2b3c");
    }

    #[test]
    fn debug_of_a_url_hides_it() {
        let url = FileUrl::new("https://x/?signature=abc", UrlKind::Signed, None);
        assert!(!format!("{url:?}").contains("abc"));
    }
}
