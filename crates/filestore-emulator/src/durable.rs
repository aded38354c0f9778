//! Writing to a directory so that a kill at any moment leaves the old state or the new one.

use std::fs::{self, File};
use std::io::{self, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Where unfinished writes are: anything with this prefix is left over from a crash.
const UNFINISHED: &str = ".unfinished-";

/// Replaces `path` by `content`: temporary file, sync, rename, sync of the folder.
pub(crate) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    sync_folder(folder)
}

/// Removes `path` for good; gone already is fine.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        // Also when it was gone: the sync of an earlier attempt may be what failed.
        _ => sync_folder(folder_of(path)),
    }
}

/// Makes created, renamed and removed entries of a folder survive a crash.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    // Only Unix can open a folder to sync it; elsewhere the rename itself is all there is.
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Creates a folder that only its owner can look into.
pub(crate) fn create_private_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A folder of records of one type, one JSON file each.
#[derive(Debug)]
pub(crate) struct Records<T> {
    folder: PathBuf,
    record: PhantomData<fn(T) -> T>,
}

impl<T: Serialize + DeserializeOwned> Records<T> {
    pub(crate) fn open(folder: PathBuf) -> io::Result<Self> {
        create_private_folder(&folder)?;
        Ok(Records { folder, record: PhantomData })
    }

    /// Every record there is, after removing what a crash left unfinished.
    pub(crate) fn load(&self) -> io::Result<Vec<T>> {
        let mut records = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(UNFINISHED) {
                fs::remove_file(&path)?;
            } else if name.ends_with(".json") {
                let record = serde_json::from_slice(&fs::read(&path)?)
                    .map_err(|error| io::Error::other(format!("{} is damaged: {error}", path.display())))?;
                records.push(record);
            }
        }
        Ok(records)
    }

    pub(crate) fn save(&self, id: &str, record: &T) -> io::Result<()> {
        let content = serde_json::to_vec(record).map_err(io::Error::other)?;
        write(&self.path(id), &content)
    }

    pub(crate) fn remove(&self, id: &str) -> io::Result<()> {
        remove(&self.path(id))
    }

    fn path(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }
}
