//! The responses of a store's operations: pages, downloads, URLs.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{ByteStream, Result, StoredFile};

/// The opaque position at which a listing continues. It may be stored, and another process may use it for the same
/// scope.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PageToken(String);

impl PageToken {
    /// Creates a token from its text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PageToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One page of a listing. The listing is complete when `next` is `None`. A short or empty page does not end it.
///
/// It serializes as one object with the names of the fields.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct Page {
    /// The files, in the order that the capabilities state.
    pub files: Vec<StoredFile>,
    /// The scopes of the folders directly below, if the store has folders and the listing is not recursive. List each
    /// of them to see its files.
    pub folders: Vec<String>,
    /// The token of the next page; `None` on the last page.
    pub next: Option<PageToken>,
    /// The number of entries that the service listed and that are not on this page, because no reference can address
    /// them, such as the key `a//b` of S3, or because their size or time is invalid. A store whose pages read the whole
    /// listing counts them on every page.
    pub left_out: u64,
    /// The time at which the service sent the response, by its own clock and in whole seconds: the header `Date`. The last
    /// response, if the page is of several. `None` if the service does not tell it. It shows how far the local clock is
    /// from the service's, and which of the service's times are before the listing.
    pub date: Option<Timestamp>,
}

impl Page {
    /// Creates a page of `files`, without folders.
    pub fn new(files: Vec<StoredFile>, next: Option<PageToken>) -> Self {
        Self { files, folders: Vec::new(), next, left_out: 0, date: None }
    }
}

/// A download that has started: the metadata of the file, and its content as a stream.
#[derive(Debug)]
#[non_exhaustive]
pub struct Downloaded {
    /// The metadata of the file, as far as the service reports it.
    pub file: StoredFile,
    /// The range of bytes in the stream, if a range was requested.
    pub range: Option<Range<u64>>,
    /// The strong validator of the response (RFC 9110, section 8.8.1), if there is one that proves more than the
    /// [version](StoredFile::version) of the file: bytes of responses with equal validators are of one content. It is
    /// opaque, and unlike the version not comparable with other responses than downloads.
    pub validator: Option<String>,
    /// The content.
    pub stream: ByteStream,
}

impl Downloaded {
    /// Creates the download of a whole file.
    pub fn new(file: StoredFile, stream: ByteStream) -> Self {
        Self { file, range: None, validator: None, stream }
    }

    /// Returns the content if it has at most `limit` bytes. Fails with *too large* otherwise.
    pub async fn bytes(self, limit: usize) -> Result<Bytes> {
        self.stream.collect(limit).await
    }
}

/// A URL at which others can read a file. `Debug` hides it, because a presigned or single-use URL is a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct FileUrl {
    url: String,
    kind: UrlKind,
    expires: Option<Timestamp>,
}

/// The kind of a [`FileUrl`]: the response to those who open it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UrlKind {
    /// The content, as long as the file exists.
    Direct,
    /// The content, until a fixed time: a presigned URL.
    Signed,
    /// A web page about the file.
    Page,
    /// The content, once: the read consumes the file.
    SingleUse,
    /// The content of a file on this machine.
    Local,
}

impl UrlKind {
    /// Returns the name in lower case, such as `single use`.
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
    /// Creates a URL of `kind` that is valid until `expires`.
    pub fn new(url: impl Into<String>, kind: UrlKind, expires: Option<Timestamp>) -> Self {
        Self { url: url.into(), kind, expires }
    }

    /// Returns the URL as text.
    pub fn as_str(&self) -> &str {
        &self.url
    }

    /// Returns the kind of the URL.
    pub fn kind(&self) -> UrlKind {
        self.kind
    }

    /// Returns the time at which the URL expires; `None` if it is valid as long as the file exists.
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
