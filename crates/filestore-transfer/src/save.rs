//! [`Save`]: the request to download a file to the disk.

use std::path::PathBuf;

use filestore_core::{Download, FileRef, IfExists};

/// A request to download a file to the disk, for [`download_all`](crate::TransferPool::download_all).
///
/// ```
/// use filestore_core::{FileRef, IfExists};
/// use filestore_transfer::Save;
///
/// let reference: FileRef = "team:fs:2026/q3.pdf".parse()?;
/// let save = Save::to_folder(reference, "reports").size(Some(48_213)).if_exists(IfExists::Replace);
/// # Ok::<(), filestore_core::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Save {
    /// The request to the store. The progress of all transfers replaces its observer.
    pub download: Download,
    /// The local destination.
    pub target: SaveTarget,
    /// The size in bytes, such as that of a listing. `None`: unknown; the file then counts as large.
    pub size: Option<u64>,
    /// The action if the target exists. The default is [`IfExists::Fail`].
    pub if_exists: IfExists,
}

/// The destination of a [`Save`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SaveTarget {
    /// The file at this path; see [`Store::download_to_path`](filestore_core::Store::download_to_path).
    Path(PathBuf),
    /// A file in this folder, under the sanitized name from the store; see [`Store::download_to_folder`](filestore_core::Store::download_to_folder).
    Folder(PathBuf),
}

impl Save {
    /// Creates a request to download to the file `path`.
    pub fn to_path(download: impl Into<Download>, path: impl Into<PathBuf>) -> Self {
        Self::new(download.into(), SaveTarget::Path(path.into()))
    }

    /// Creates a request to download into `folder`, under the sanitized name from the store.
    pub fn to_folder(download: impl Into<Download>, folder: impl Into<PathBuf>) -> Self {
        Self::new(download.into(), SaveTarget::Folder(folder.into()))
    }

    fn new(download: Download, target: SaveTarget) -> Self {
        Self { download, target, size: None, if_exists: IfExists::Fail }
    }

    /// Sets the size in bytes.
    pub fn size(mut self, size: Option<u64>) -> Self {
        self.size = size;
        self
    }

    /// Sets the action if the target exists.
    pub fn if_exists(mut self, if_exists: IfExists) -> Self {
        self.if_exists = if_exists;
        self
    }

    /// Returns the reference of the file.
    pub fn reference(&self) -> &FileRef {
        &self.download.reference
    }
}
