//! Parts that the storage has.

use crc32fast::Hasher as Crc32;

use crate::digest::crc32_hex;
use crate::wire::Entry;

/// A part that is stored.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) number: u32,
    pub(crate) length: u64,
    /// Without quotes. Mounted servers give none.
    pub(crate) etag: Option<String>,
    pub(crate) crc32: Option<Crc32>,
}

/// All parts of a file, stored and not yet finished.
pub(super) struct UploadedParts {
    pub(super) parts: Vec<Stored>,
    pub(super) size: u64,
    /// Eight hex digits, where they are computed.
    pub(super) crc32: Option<String>,
}

impl UploadedParts {
    pub(super) fn of(mut parts: Vec<Stored>) -> Self {
        parts.sort_by_key(|part| part.number);
        let crc32 = parts.iter().try_fold(Crc32::new(), |mut all, part| {
            all.combine(part.crc32.as_ref()?);
            Some(all)
        });
        Self { size: parts.iter().map(|part| part.length).sum(), crc32: crc32.map(crc32_hex), parts }
    }

    /// Whether the entry's digest is that of what was sent; `None` where one of them is not known.
    pub(super) fn is_the_content_of(&self, entry: &Entry) -> Option<bool> {
        let theirs = entry.crc32.as_deref()?;
        Some(format!("{:0>8}", theirs.to_ascii_lowercase()) == *self.crc32.as_deref()?)
    }
}
