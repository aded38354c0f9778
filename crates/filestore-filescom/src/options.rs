//! [`FilesComUpload`]: what only Files.com lets an upload say.

use filestore_core::{Key, KeyKind, ProviderOptions};
use jiff::Timestamp;
use serde::Deserialize;

use crate::ByteSize;

/// Options of an upload.
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
    /// The time to show as that of the last change, cut to the second. Wins over
    /// [`Upload::modified`](filestore_core::Upload::modified).
    pub provided_mtime: Option<Timestamp>,
    /// Whether missing folders are made. Not set: yes. Never where
    /// [`Upload::create_parents`](filestore_core::Upload::create_parents) is false.
    pub mkdir_parents: Option<bool>,
    /// Whether the service picks another name where this one is taken, such as `a_2.txt`.
    pub with_rename: Option<bool>,
    /// The size of the parts in bytes, where the service leaves it to us. At least 5 MiB.
    pub part_size: Option<ByteSize>,
}

/// The keys of [`FilesComUpload`], as a configuration and a command line take them.
pub(crate) static KEYS: [Key; 4] = [
    Key::new("provided_mtime", KeyKind::Text, "the time of the last change to show, such as 2026-03-01T10:00:00Z"),
    Key::new("mkdir_parents", KeyKind::Flag, "whether missing folders are made").default("true"),
    Key::new("with_rename", KeyKind::Flag, "whether the service picks another name where this one is taken")
        .default("false"),
    Key::new("part_size", KeyKind::Text, "the size of the parts, such as 64MiB; chosen by the size of the file"),
];

impl FilesComUpload {
    /// Nothing said.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says which time of the last change to show.
    pub fn provided_mtime(mut self, time: Timestamp) -> Self {
        self.provided_mtime = Some(time);
        self
    }

    /// Says whether missing folders are made.
    pub fn mkdir_parents(mut self, make: bool) -> Self {
        self.mkdir_parents = Some(make);
        self
    }

    /// Says whether the service picks another name where this one is taken.
    pub fn with_rename(mut self, rename: bool) -> Self {
        self.with_rename = Some(rename);
        self
    }

    /// Says how large the parts are.
    pub fn part_size(mut self, size: ByteSize) -> Self {
        self.part_size = Some(size);
        self
    }
}

impl ProviderOptions for FilesComUpload {
    fn name(&self) -> &'static str {
        "filescom"
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
