//! [`Spool`]: the folder that keeps the content of files whose read consumes them, until a copy has confirmed it.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use filestore_core::{
    Download, Effect, Error, FileRef, IfExists, Operation, Result, Store, StoredFile, hex, sync_folder,
};
use sha2::Digest as _;

use crate::blocking::blocking;
use crate::file_metadata::{FileMetadata, with_response};

/// The folder of the contents. Each file of it is named by the hash of its reference, because the reference may be a
/// secret; beside it, `HASH.json` has its metadata, with the reference. Only the user can read the folder.
#[derive(Debug, Clone)]
pub(crate) struct Spool {
    folder: PathBuf,
}

/// A content in the spool.
#[derive(Debug)]
pub(crate) struct Spooled {
    pub(crate) path: PathBuf,
    pub(crate) file: StoredFile,
}

impl Spool {
    pub(crate) fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Returns the path of the whole content of `reference`.
    pub(crate) fn path(&self, reference: &FileRef) -> PathBuf {
        self.folder.join(hash(reference))
    }

    /// Returns the content if all of it has arrived.
    pub(crate) async fn find(&self, reference: &FileRef) -> Result<Option<Spooled>> {
        let (path, whole, reference) = (self.path(reference), self.whole(reference), reference.clone());
        let folder = self.folder.clone();
        blocking(move || {
            let Some(whole) = whole else { return Ok(None) };
            if whole != path {
                complete(&whole, &path, &folder).map_err(|error| Error::local(error, "rename", &whole))?;
            }
            let size = fs::metadata(&path).map_err(|error| Error::local(error, "read", &path))?.len();
            let mut file = read_metadata(&path)?;
            (file.reference, file.size) = (reference, Some(size));
            Ok(Some(Spooled { path, file }))
        })
        .await
    }

    /// Returns the path of the content if all of it has arrived. A process may have been killed after the last byte and
    /// before the rename: the partial file then has the size that the listing has told.
    pub(crate) fn whole(&self, reference: &FileRef) -> Option<PathBuf> {
        let path = self.path(reference);
        if path.exists() {
            return Some(path);
        }
        let partial = self.partial(reference)?;
        let listed = read_metadata(&path).ok()?.size?;
        (fs::metadata(&partial).ok()?.len() == listed).then_some(partial)
    }

    /// Returns the path of the bytes that arrived of a content that is not whole, if there are any.
    pub(crate) fn partial(&self, reference: &FileRef) -> Option<PathBuf> {
        Some(self.path(reference).with_extension("partial")).filter(|path| path.exists())
    }

    /// Reads the file once with `download`, and stores its content durably. `known` is its metadata, if a listing or the
    /// caller has it.
    ///
    /// Errors and effect are those of [`Store::download_to_path`]: after an error, the part that arrived stays beside the
    /// path of the content.
    pub(crate) async fn fetch(&self, source: &Store, known: Option<StoredFile>, download: Download) -> Result<Spooled> {
        let reference = download.reference.clone();
        let context = |error| source.context_of(error, Operation::Download, &reference);
        let path = self.path(&reference);
        self.write_metadata(&path, known.as_ref(), &reference).await.map_err(context)?;
        let saved = source.download_to_path(download, &path, IfExists::Fail).await?;
        let mut file = known.map_or(saved.file.clone(), |known| with_response(known, saved.file));
        file.size = Some(saved.bytes);
        self.write_metadata(&path, Some(&file), &reference).await.map_err(|error| {
            let error = error.with_effect(Effect::Applied);
            context(error.with_note(&format!("the content is in {}", path.display())))
        })?;
        Ok(Spooled { path: saved.path, file })
    }

    /// Removes the content, which is stored elsewhere.
    pub(crate) async fn remove(&self, reference: &FileRef) -> Result<()> {
        let path = self.path(reference);
        blocking(move || {
            // The metadata last: with it, the content is found.
            for path in [path.clone(), path.with_extension("partial"), path.with_extension("json")] {
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(Error::local(error, "remove", &path));
                    }
                    _ => {}
                }
            }
            Ok(())
        })
        .await
    }

    /// Returns `true` if something of the file is in the spool.
    pub(crate) fn has(&self, reference: &FileRef) -> bool {
        let path = self.path(reference);
        path.exists() || path.with_extension("json").exists()
    }

    /// Removes the folder, if it is empty.
    pub(crate) fn remove_if_empty(&self) {
        let _ = fs::remove_dir(&self.folder);
    }

    /// Writes what is known of the file, durably.
    async fn write_metadata(&self, path: &Path, known: Option<&StoredFile>, reference: &FileRef) -> Result<()> {
        let known = known.cloned().unwrap_or_else(|| StoredFile::new(reference.clone(), ""));
        let (folder, path) = (self.folder.clone(), path.with_extension("json"));
        blocking(move || {
            create_private(&folder).map_err(|error| Error::local(error, "create", &folder))?;
            let json = serde_json::to_vec(&FileMetadata::from(&known))
                .map_err(|error| Error::invalid(format!("cannot write the metadata of the file as JSON: {error}")))?;
            let temporary = path.with_extension("json.new");
            let write = || {
                let mut file = fs::File::create(&temporary)?;
                file.write_all(&json)?;
                file.sync_all()?;
                fs::rename(&temporary, &path)?;
                sync_folder(&fs::File::open(&folder)?)
            };
            write().map_err(|error| Error::local(error, "write", &path))
        })
        .await
    }
}

/// Returns the path of the content of `reference` in the `folder` of [`FileCopy::spool`](crate::FileCopy::spool), if it is
/// there.
pub fn spool_path(folder: impl Into<PathBuf>, reference: &FileRef) -> PathBuf {
    Spool::new(folder).path(reference)
}

/// Returns a name for the file of `reference` that does not show the reference: 32 hexadecimal digits of its SHA-256.
pub(crate) fn hash(reference: &FileRef) -> String {
    hex(&sha2::Sha256::digest(reference.expose())[..16])
}

/// Reads the metadata of the content at `path`.
fn read_metadata(path: &Path) -> Result<StoredFile> {
    let path = path.with_extension("json");
    let json = fs::read(&path).map_err(|error| Error::local(error, "read", &path))?;
    let known: FileMetadata = serde_json::from_slice(&json)
        .map_err(|error| Error::invalid(format!("{} does not have the metadata of a file: {error}", path.display())))?;
    Ok(known.into())
}

/// Gives a whole content its name, durably.
fn complete(partial: &Path, path: &Path, folder: &Path) -> io::Result<()> {
    fs::File::open(partial)?.sync_all()?;
    fs::rename(partial, path)?;
    sync_folder(&fs::File::open(folder)?)
}

/// Creates a folder that only the user can read.
fn create_private(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}
