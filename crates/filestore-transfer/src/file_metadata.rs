//! [`FileMetadata`]: the metadata of a file that a copy carries, as a journal and a spool keep it.

use std::collections::BTreeMap;

use filestore_core::{Expiry, FileRef, StoredFile};
use serde::{Deserialize, Serialize};

/// The metadata of a file that a copy carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileMetadata {
    pub(crate) reference: FileRef,
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    modified: Option<String>,
    /// The text form of [`Expiry`](filestore_core::Expiry).
    #[serde(skip_serializing_if = "Option::is_none")]
    expiry: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
}

impl From<&StoredFile> for FileMetadata {
    fn from(file: &StoredFile) -> Self {
        Self {
            reference: file.reference.clone(),
            name: file.name.clone(),
            size: file.size,
            content_type: file.content_type.clone(),
            modified: file.modified.map(|time| time.to_string()),
            expiry: (file.expiry != Expiry::Default).then(|| file.expiry.to_string()),
            metadata: file.metadata.clone(),
        }
    }
}

impl From<FileMetadata> for StoredFile {
    /// Texts that are no time or expiry any more are left out.
    fn from(known: FileMetadata) -> Self {
        let mut file = Self::new(known.reference, known.name);
        file.size = known.size;
        file.content_type = known.content_type;
        file.modified = known.modified.and_then(|text| text.parse().ok());
        file.expiry = known.expiry.and_then(|text| text.parse().ok()).unwrap_or_default();
        file.metadata = known.metadata;
        file
    }
}

/// Returns the metadata of a file as far as it is `known`, with what only the `response` to a download tells: a listing may
/// have less.
pub(crate) fn with_response(mut known: StoredFile, response: StoredFile) -> StoredFile {
    known.size = response.size.or(known.size);
    known.content_type = known.content_type.or(response.content_type);
    known.modified = known.modified.or(response.modified);
    if known.metadata.is_empty() {
        known.metadata = response.metadata;
    }
    if known.expiry == Expiry::Default {
        known.expiry = response.expiry;
    }
    known
}
