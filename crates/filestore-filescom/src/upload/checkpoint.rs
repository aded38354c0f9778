//! [`UploadCheckpoint`]: the state of an upload, with which another process can resume it.

use filestore_core::{Body, Error, Fingerprint, Result};
use futures::TryStreamExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::path::SitePath;
use crate::upload::parts::UploadedPart;

/// The state of an unfinished upload. It can be stored, for example as JSON, and passed to
/// [`FilesComStore::upload_resumable`](crate::FilesComStore::upload_resumable) by another process. It contains no
/// secret. The service keeps an unfinished upload for about three days.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadCheckpoint {
    path: String,
    #[serde(rename = "ref")]
    reference: String,
    size: u64,
    part_size: u64,
    /// The modification time of the source.
    modified: Option<Timestamp>,
    parts: Vec<CheckpointPart>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct CheckpointPart {
    part: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crc32: Option<u32>,
}

impl UploadCheckpoint {
    pub(crate) fn new(path: &SitePath, reference: &str, source: Fingerprint, part_size: u64) -> Self {
        Self {
            path: path.to_string(),
            reference: reference.to_owned(),
            size: source.length,
            part_size,
            modified: source.modified,
            parts: Vec::new(),
        }
    }

    /// Returns the path on the site that the file will have.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the size of the file in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the number of bytes in the parts that are stored.
    pub fn stored(&self) -> u64 {
        self.parts.iter().map(|part| self.length_of(part.part)).sum()
    }

    pub(crate) fn reference(&self) -> &str {
        &self.reference
    }

    pub(crate) fn part_size(&self) -> u64 {
        self.part_size
    }

    pub(crate) fn add(&mut self, part: &UploadedPart) {
        let crc32 = part.crc32.clone().map(crc32fast::Hasher::finalize);
        self.parts.push(CheckpointPart { part: part.number, etag: part.etag.clone(), crc32 });
    }

    /// Returns the parts that are stored, in order.
    pub(crate) fn parts(&self) -> Vec<UploadedPart> {
        let mut parts: Vec<_> = self
            .parts
            .iter()
            .map(|part| {
                let length = self.length_of(part.part);
                let hasher = |crc| crc32fast::Hasher::new_with_initial_len(crc, length);
                UploadedPart { number: part.part, length, etag: part.etag.clone(), crc32: part.crc32.map(hasher) }
            })
            .collect();
        parts.sort_by_key(|part| part.number);
        parts.dedup_by_key(|part| part.number);
        parts
    }

    /// *Invalid input* unless the checkpoint is of an upload to `path` and the source has the same size and time.
    pub(crate) fn check(&self, path: &SitePath, source: Fingerprint) -> Result<()> {
        let problem = if self.path != path.to_string() {
            "is of an upload to another path"
        } else if (self.size, self.modified) != (source.length, source.modified) {
            "is of other content: the file changed since"
        } else if self.part_size == 0 || self.parts.iter().any(|part| part.part == 0 || part.part > self.count()) {
            "is damaged"
        } else {
            return Ok(());
        };
        Err(rejected(problem))
    }

    /// *Invalid input* if a stored part is not of this source: another file may have the same size and modification
    /// time.
    pub(crate) async fn check_content(&self, source: &Body) -> Result<()> {
        for part in &self.parts {
            let Some(stored) = part.crc32 else { continue };
            let offset = u64::from(part.part - 1) * self.part_size;
            let mut content = source.open_range(offset, self.length_of(part.part)).await?;
            let mut crc32 = crc32fast::Hasher::new();
            while let Some(chunk) = content.try_next().await? {
                crc32.update(&chunk);
            }
            if crc32.finalize() != stored {
                return Err(rejected("is of other content of the same size"));
            }
        }
        Ok(())
    }

    fn count(&self) -> u32 {
        u32::try_from(self.size.div_ceil(self.part_size).max(1)).unwrap_or(u32::MAX)
    }

    fn length_of(&self, number: u32) -> u64 {
        let begin = u64::from(number.saturating_sub(1)).saturating_mul(self.part_size);
        self.size.saturating_sub(begin).min(self.part_size)
    }
}

fn rejected(problem: &str) -> Error {
    Error::invalid(format!("the checkpoint {problem}; upload the file without it"))
}
