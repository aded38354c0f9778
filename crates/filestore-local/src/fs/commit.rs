//! The commit of an upload: a temporary file is written, synced and renamed.
//!
//! A failure before the rename (an error, a dropped future, `kill -9`, a power cut) does not change the file of that
//! name. A killed process leaves its temporary file in the temporary folder, which no listing shows; a later upload
//! removes it after a day.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use cap_std::fs::{Dir, Metadata, OpenOptions};
use filestore_core::components::TEMPORARY_FOLDER;
use filestore_core::{ByteStream, Effect, Error, ErrorKind, IfExists, Result};
use futures::TryStreamExt;
use jiff::Timestamp;
use tokio::io::AsyncWriteExt;

use super::blocking;
use super::root::{Root, sync};
use crate::error::of_file_system;

/// The age from which a temporary file is a leftover of a killed process.
const MAX_TEMPORARY_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// The suffix of the name of a temporary file.
const SUFFIX: &str = ".part";

/// The shortest time between two searches for leftovers.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60 * 60);

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
    pub(crate) fn create(root: &Root, sweeper: &Sweeper) -> Result<Self> {
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
        sweeper.sweep(&folder);
        let name = format!("{}{SUFFIX}", uuid::Uuid::new_v4());
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        let file = folder.open_with(&name, &options).map_err(|error| failed(error, "create a file in"))?;
        Ok(Self { file: file.into_std(), path: path.join(&name), temporary: Temporary { folder, name } })
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
                // Directly before the rename: a temporary file with an old time looks like a leftover.
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

/// Removes leftovers of killed processes, at most once in [`SWEEP_INTERVAL`].
#[derive(Debug, Default)]
pub(crate) struct Sweeper {
    last: Mutex<Option<Instant>>,
}

impl Sweeper {
    /// Removes the leftovers in `folder`. Ignores errors: an upload does not fail because a leftover cannot be removed.
    fn sweep(&self, folder: &Dir) {
        {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            if last.is_some_and(|last| last.elapsed() < SWEEP_INTERVAL) {
                return;
            }
            *last = Some(Instant::now());
        }
        let Ok(entries) = folder.entries() else { return };
        for entry in entries.flatten() {
            let is_temporary = entry.file_name().to_str().is_some_and(|name| name.ends_with(SUFFIX));
            let modified = entry.metadata().ok().filter(|_| is_temporary).and_then(|metadata| metadata.modified().ok());
            let age = modified.and_then(|modified| SystemTime::now().duration_since(modified.into_std()).ok());
            if age.is_some_and(|age| age > MAX_TEMPORARY_AGE) {
                let _ = entry.remove_file();
            }
        }
    }
}
