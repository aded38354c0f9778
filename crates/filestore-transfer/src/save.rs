//! [`Save`]: the request to download a file to the disk.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use filestore_core::{Download, Error, FileRef, IfExists, Result, Store, StoredFile, sanitize_file_name, sync_folder};

use crate::unchanged::is_downloaded;

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
    /// The request to the store.
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
    /// The file at this path; see [`Store::download_to_path`].
    Path(PathBuf),
    /// A file in this folder, under the sanitized name from the store; see
    /// [`Store::download_to_folder`].
    Folder(PathBuf),
    /// The file at `path` below `folder`. Missing folders are created. Fails with *invalid input* if the path leads out
    /// of the folder, by itself or through a symbolic link.
    Below {
        /// The folder.
        folder: PathBuf,
        /// The relative path.
        path: PathBuf,
    },
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

    /// Creates a request to download to the file `path` below `folder`. Missing folders are created.
    ///
    /// The transfer fails with *invalid input* if `path` leads out of `folder`, by itself or through a symbolic link.
    pub fn below(download: impl Into<Download>, folder: impl Into<PathBuf>, path: impl Into<PathBuf>) -> Self {
        Self::new(download.into(), SaveTarget::Below { folder: folder.into(), path: path.into() })
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

    /// Returns `true` if the local file is that of an earlier download of `stored`, and nothing has changed: it has the
    /// same size, and the same digest or, if the service reports none, the same modification time.
    ///
    /// A local file that cannot be proven equal counts as changed, and so does one that does not exist. Errors: those of
    /// [`Store::stat`], except *not found*, and those of reading the local file.
    pub async fn is_unchanged(&self, store: &Store, stored: &StoredFile) -> Result<bool> {
        let path = self.local_path(&stored.name);
        is_downloaded(store, path, stored).await
    }

    /// Returns the local path of a file called `name` in the store, unless another file is there already.
    pub fn local_path(&self, name: &str) -> PathBuf {
        match &self.target {
            SaveTarget::Path(path) => path.clone(),
            SaveTarget::Folder(folder) => folder.join(sanitize_file_name(name)),
            SaveTarget::Below { folder, path } => folder.join(path),
        }
    }

    /// Returns the reference of the file.
    pub fn reference(&self) -> &FileRef {
        &self.download.reference
    }
}

/// Creates the folders of `path` below `folder`, and returns the whole path. Every folder below `folder` is a folder
/// and not a link to one.
pub(crate) fn create_folders(folder: &Path, path: &Path) -> Result<PathBuf> {
    let names = path.components().map(|component| match component {
        Component::Normal(name) => Ok(name),
        _ => Err(Error::invalid(format!("{} leads out of {}; choose another path", path.display(), folder.display()))),
    });
    let names: Vec<_> = names.collect::<Result<_>>()?;
    let Some((name, folders)) = names.split_last() else {
        return Err(Error::invalid(format!("the path below {} is empty; name a file", folder.display())));
    };
    fs::create_dir_all(folder).map_err(|error| Error::local(error, "create", folder))?;
    let mut full = folder.to_owned();
    for name in folders {
        let parent = full.clone();
        full.push(name);
        match fs::create_dir(&full) {
            Ok(()) => sync(&parent).map_err(|error| Error::local(error, "write to", &parent))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if !fs::symlink_metadata(&full).is_ok_and(|metadata| metadata.is_dir()) {
                    let problem = "is a link or a file where a folder is needed; remove it, or choose another folder";
                    return Err(Error::invalid(format!("{} {problem}", full.display())));
                }
            }
            Err(error) => return Err(Error::local(error, "create", &full)),
        }
    }
    Ok(full.join(name))
}

/// Makes a created folder durable.
fn sync(parent: &Path) -> io::Result<()> {
    // Windows cannot sync a folder.
    if cfg!(unix) { sync_folder(&fs::File::open(parent)?) } else { Ok(()) }
}
