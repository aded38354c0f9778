//! [`FilesComUpload`]: the options of an upload that only Files.com has.

use filestore_core::{IntoTimestamp, Key, KeyKind, ProviderOptions};
use jiff::Timestamp;
use serde::Deserialize;

use crate::ByteSize;

/// The options of an upload that only Files.com has.
///
/// ```
/// use filestore_core::Upload;
/// use filestore_filescom::FilesComUpload;
///
/// let upload = Upload::new("a.txt", "hello").with(FilesComUpload::new().with_rename(true));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct FilesComUpload {
    /// The time of the last change to show, truncated to the second. It has precedence over
    /// [`Upload::modified`](filestore_core::Upload::modified).
    pub provided_mtime: Option<Timestamp>,
    /// `true` creates missing folders. Default: `true`. Folders are never created if
    /// [`Upload::create_parents`](filestore_core::Upload::create_parents) is `false`.
    pub mkdir_parents: Option<bool>,
    /// `true` lets the service choose another name if the name is taken, such as `a_2.txt`. Default: `false`.
    pub with_rename: Option<bool>,
    /// The part size, 5 MiB to 5 GiB, for a storage that does not prescribe it. Parts are larger if the storage allows
    /// too few of them for the file.
    pub part_size: Option<ByteSize>,
}

/// The keys of [`FilesComUpload`] in a configuration and on a command line.
pub(crate) static KEYS: [Key; 4] = [
    Key::new("provided_mtime", KeyKind::Text, "the time of the last change to show, such as 2026-03-01T10:00:00Z"),
    Key::new("mkdir_parents", KeyKind::Flag, "create missing folders").default("true"),
    Key::new("with_rename", KeyKind::Flag, "let the service choose another name if the name is taken").default("false"),
    Key::new("part_size", KeyKind::Text, "the size of the parts, 5MiB to 5GiB; chosen by the size of the file"),
];

impl FilesComUpload {
    /// Creates options that are all unset.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the time of the last change to show.
    pub fn provided_mtime(mut self, time: impl IntoTimestamp) -> Self {
        self.provided_mtime = Some(time.into_timestamp());
        self
    }

    /// Sets whether missing folders are created.
    pub fn mkdir_parents(mut self, create: bool) -> Self {
        self.mkdir_parents = Some(create);
        self
    }

    /// Sets whether the service chooses another name if the name is taken.
    pub fn with_rename(mut self, rename: bool) -> Self {
        self.with_rename = Some(rename);
        self
    }

    /// Sets the part size.
    pub fn part_size(mut self, size: ByteSize) -> Self {
        self.part_size = Some(size);
        self
    }
}

impl ProviderOptions for FilesComUpload {
    fn name(&self) -> &'static str {
        "filescom"
    }

    fn finds_free_name(&self) -> Option<bool> {
        self.with_rename
    }

    fn with_defaults(self, defaults: &Self) -> Self {
        Self {
            provided_mtime: self.provided_mtime.or(defaults.provided_mtime),
            mkdir_parents: self.mkdir_parents.or(defaults.mkdir_parents),
            with_rename: self.with_rename.or(defaults.with_rename),
            part_size: self.part_size.or(defaults.part_size),
        }
    }
}
