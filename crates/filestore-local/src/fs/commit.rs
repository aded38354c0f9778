//! The commit of an upload: a temporary file is written, synced and renamed.
//!
//! A failure before the rename (an error, a dropped future, `kill -9`, a power cut) does not change the file of that
//! name. A killed process leaves its temporary file in the temporary folder, which no listing shows; the next upload
//! removes it. A running upload holds the lock of its temporary file, which the system releases when the process ends.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use cap_std::fs::{Dir, DirEntry, Metadata, OpenOptions};
use filestore_core::components::TEMPORARY_FOLDER;
use filestore_core::{ByteStream, Effect, Error, ErrorKind, IfExists, Result};
use futures::TryStreamExt;
use jiff::Timestamp;
use tokio::io::AsyncWriteExt;

use super::blocking;
use super::root::{Root, sync};
use crate::error::of_file_system;

/// The suffix of the name of a temporary file.
const SUFFIX: &str = ".part";

/// An upload before its commit. Dropping it removes the temporary file.
#[derive(Debug)]
pub(crate) struct TemporaryUpload {
    file: File,
    /// The absolute path, for messages.
    path: PathBuf,
    temporary: Temporary,
}

/// The name of a temporary file. Dropping it removes the file.
#[derive(Debug)]
struct Temporary {
    folder: Dir,
    name: String,
}

/// The folder and the name of the file that an upload creates.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) folder: Dir,
    pub(crate) name: String,
    /// The folder again, opened for the sync after the rename.
    pub(crate) names: Option<File>,
    /// The absolute path, for messages.
    pub(crate) path: PathBuf,
}

impl TemporaryUpload {
    /// Creates a temporary file, and the root and the temporary folder if they are missing.
    pub(crate) fn create(root: &Root) -> Result<Self> {
        let root = root.create()?;
        let path = root.absolute(&super::root::RelativePath::new(TEMPORARY_FOLDER));
        let failed =
            |error, action: &str| of_file_system(error, &format!("write to the root of the store: {action}"), &path);
        match root.dir().create_dir(TEMPORARY_FOLDER) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error, "create")),
            Ok(()) | Err(_) => {}
        }
        let metadata = root.dir().symlink_metadata(TEMPORARY_FOLDER).map_err(|error| failed(error, "open"))?;
        if !metadata.is_dir() {
            let message =
                format!("{} is not a folder; uploads need it for their temporary files, so remove it", path.display());
            return Err(Error::new(ErrorKind::Permission, Effect::Rejected, message));
        }
        let folder = root.dir().open_dir(TEMPORARY_FOLDER).map_err(|error| failed(error, "open"))?;
        sweep(&folder);
        let (file, name) = create_locked(&folder).map_err(|error| failed(error, "create a file in"))?;
        Ok(Self { file, path: path.join(&name), temporary: Temporary { folder, name } })
    }

    /// Writes all of `stream` and syncs it. An error of the body is returned unchanged.
    pub(crate) async fn write(&mut self, mut stream: ByteStream) -> Result<()> {
        let failed = |error: io::Error| of_file_system(error, "write", &self.path);
        let mut file = tokio::fs::File::from_std(self.file.try_clone().map_err(failed)?);
        while let Some(chunk) = stream.try_next().await? {
            file.write_all(&chunk).await.map_err(failed)?;
        }
        file.flush().await.map_err(failed)?;
        file.sync_all().await.map_err(failed)
    }

    /// Renames the temporary file to `target` atomically, and syncs the name.
    pub(crate) async fn commit(
        self,
        target: Target,
        if_exists: IfExists,
        modified: Option<Timestamp>,
    ) -> Result<Metadata> {
        blocking(move || {
            if let Some(modified) = modified {
                let set = self.file.set_modified(modified.into()).and_then(|()| self.file.sync_all());
                set.map_err(|error| of_file_system(error, "write", &self.path))?;
            }
            let renamed = match if_exists {
                // The file system decides, so that exactly one of many writers wins.
                IfExists::Fail => self.temporary.rename_noreplace(&target),
                _ => self.temporary.folder.rename(&self.temporary.name, &target.folder, &target.name),
            };
            renamed.map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => already_exists(&target.path),
                _ => of_file_system(error, "store", &target.path),
            })?;
            // The metadata is that of the file under its only name: a name that is removed changes `ctime`.
            drop(self.temporary);
            let durable = sync(target.names.as_ref()).and_then(|()| Metadata::from_file(&self.file));
            durable
                .map_err(|error| of_file_system(error, "sync the folder of", &target.path).with_effect(Effect::Applied))
        })
        .await
    }
}

impl Temporary {
    /// Renames the file. Fails if the target exists.
    fn rename_noreplace(&self, target: &Target) -> io::Result<()> {
        #[cfg(any(target_os = "linux", target_vendor = "apple"))]
        {
            use rustix::fs::{RenameFlags, renameat_with};
            let renamed = renameat_with(&self.folder, &self.name, &target.folder, &target.name, RenameFlags::NOREPLACE);
            // Some file systems do not support it.
            if !matches!(renamed, Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP))
            {
                return Ok(renamed?);
            }
        }
        // Adds a second name to the file. Dropping `self` removes the first one.
        self.folder.hard_link(&self.name, &target.folder, &target.name)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After a rename, there is no file of this name.
        let _ = self.folder.remove_file(&self.name);
    }
}

pub(crate) fn already_exists(path: &Path) -> Error {
    let message = format!("{} already exists and was not changed; choose another name or replace it", path.display());
    Error::new(ErrorKind::AlreadyExists, Effect::Rejected, message)
}

/// Creates a temporary file and takes its lock. Where the file system has no locks, no sweep can take one either, and
/// leftovers stay.
fn create_locked(folder: &Dir) -> io::Result<(File, String)> {
    loop {
        let name = format!("{}{SUFFIX}", uuid::Uuid::new_v4());
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        let file = folder.open_with(&name, &options)?.into_std();
        // A sweep that came between takes the lock and removes the file.
        let is_swept = match file.try_lock() {
            Ok(()) => folder.symlink_metadata(&name).is_err_and(|error| error.kind() == io::ErrorKind::NotFound),
            Err(TryLockError::WouldBlock) => true,
            Err(TryLockError::Error(_)) => false,
        };
        if !is_swept {
            return Ok((file, name));
        }
    }
}

/// Removes the temporary files in `folder` whose lock is free: the leftovers of killed processes. Ignores errors: an
/// upload does not fail because a leftover cannot be removed.
fn sweep(folder: &Dir) {
    let Ok(entries) = folder.entries() else { return };
    for entry in entries.flatten() {
        let is_temporary = entry.file_name().to_str().is_some_and(|name| name.ends_with(SUFFIX))
            && entry.file_type().is_ok_and(|kind| kind.is_file());
        if is_temporary {
            remove_unlocked(&entry);
        }
    }
}

/// Removes a temporary file while it holds its lock, so that no upload can take the lock and lose the file.
fn remove_unlocked(entry: &DirEntry) {
    // An exclusive lock needs a file that is open for writing, on some file systems.
    let Ok(file) = entry.open_with(OpenOptions::new().read(true).write(true)) else { return };
    let file = file.into_std();
    if file.try_lock().is_ok() {
        let _ = entry.remove_file();
    }
}

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;

    use super::*;

    fn names(folder: &Dir) -> Vec<String> {
        folder.entries().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_temporary_file_is_swept_only_while_nobody_holds_its_lock() {
        let path = tempfile::tempdir().unwrap();
        let folder = Dir::open_ambient_dir(path.path(), ambient_authority()).unwrap();
        let (file, name) = create_locked(&folder).unwrap();
        sweep(&folder);
        assert_eq!(names(&folder), [name]);
        drop(file);
        sweep(&folder);
        assert!(names(&folder).is_empty());
    }

    #[test]
    fn a_file_is_created_again_if_a_sweep_comes_before_its_lock() {
        let path = tempfile::tempdir().unwrap();
        let folder = Dir::open_ambient_dir(path.path(), ambient_authority()).unwrap();
        std::thread::scope(|scope| {
            let creators: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..50).map(|_| create_locked(&folder).unwrap()).collect::<Vec<_>>()))
                .collect();
            while !creators.iter().all(|creator| creator.is_finished()) {
                sweep(&folder);
            }
            let created = creators.into_iter().flat_map(|creator| creator.join().unwrap());
            let mut created: Vec<_> = created.collect();
            sweep(&folder);
            let mut names = names(&folder);
            names.sort_unstable();
            created.sort_unstable_by(|(_, one), (_, other)| one.cmp(other));
            assert_eq!(names, created.iter().map(|(_, name)| name.clone()).collect::<Vec<_>>());
        });
    }
}
