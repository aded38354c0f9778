//! What the operations of a store return besides files: pages, downloads, URLs.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use jiff::Timestamp;

use crate::{ByteStream, Result, StoredFile};

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
    fn debug_of_a_url_hides_it() {
        let url = FileUrl::new("https://x/?signature=abc", UrlKind::Signed, None);
        assert!(!format!("{url:?}").contains("abc"));
    }
}
