//! How an upload becomes a file: written aside, synced, renamed.
//!
//! Whatever happens before the rename (an error, a dropped future, `kill -9`, a power cut) leaves the
//! file's name as it was. What a killed process leaves is in the temporary folder, which no listing
//! shows, and goes a day later.

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
use super::root::{Root, sync_folder};
use crate::error::of_file_system;

/// A temporary file that nobody wrote to for so long belongs to a process that is gone.
const LEFT_OVER: Duration = Duration::from_secs(24 * 60 * 60);

/// The end of the name of a temporary file.
const SUFFIX: &str = ".part";

/// How often a store looks for left-over files.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// An upload that is not a file yet. Dropping it removes what was written.
#[derive(Debug)]
pub(crate) struct Incoming {
    file: File,
    /// As messages show it.
    path: PathBuf,
    temporary: Temporary,
}

/// The name of a temporary file, removed when it is dropped.
#[derive(Debug)]
struct Temporary {
    folder: Dir,
    name: String,
}

/// The folder and the name that an upload gets.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) folder: Dir,
    pub(crate) name: String,
    /// As messages show it.
    pub(crate) path: PathBuf,
}

impl Incoming {
    /// Makes the root and the temporary folder where they are missing.
    pub(crate) fn create(root: &Root, sweeper: &Sweeper) -> Result<Self> {
        let root = root.make()?;
        let path = root.shown(&super::root::Below::new(TEMPORARY_FOLDER));
        let failed =
            |error, what: &str| of_file_system(error, &format!("write to the root of the store: {what}"), &path);
        match root.dir().create_dir(TEMPORARY_FOLDER) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error, "create")),
            Ok(()) | Err(_) => {}
        }
        let metadata = root.dir().symlink_metadata(TEMPORARY_FOLDER).map_err(|error| failed(error, "open"))?;
        if !metadata.is_dir() {
            let message = format!(
                "{} is not a folder; uploads are written there before they get their names, so remove it",
                path.display()
            );
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

    /// Writes the whole of `stream` and puts it on the disk. The error of the body comes back as it is.
    pub(crate) async fn write(&mut self, mut stream: ByteStream) -> Result<()> {
        let failed = |error: io::Error| of_file_system(error, "write", &self.path);
        let mut file = tokio::fs::File::from_std(self.file.try_clone().map_err(failed)?);
        while let Some(chunk) = stream.try_next().await? {
            file.write_all(&chunk).await.map_err(failed)?;
        }
        file.flush().await.map_err(failed)?;
        file.sync_all().await.map_err(failed)
    }

    /// Gives it the name of `target`, in one step, and puts the name on the disk.
    pub(crate) async fn commit(
        self,
        target: Target,
        if_exists: IfExists,
        modified: Option<Timestamp>,
    ) -> Result<Metadata> {
        blocking(move || {
            if let Some(modified) = modified {
                // Right before it gets its name: with an old time it looks like a file that a killed process left.
                let set = self.file.set_modified(modified.into()).and_then(|()| self.file.sync_all());
                set.map_err(|error| of_file_system(error, "write", &self.path))?;
            }
            let renamed = match if_exists {
                // The file system decides, so that of many writers exactly one wins.
                IfExists::Fail => self.temporary.rename_to_free(&target),
                _ => self.temporary.folder.rename(&self.temporary.name, &target.folder, &target.name),
            };
            renamed.map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => already_exists(&target.path),
                _ => of_file_system(error, "store", &target.path),
            })?;
            let durable = sync_folder(&target.folder).and_then(|()| Metadata::from_file(&self.file));
            durable
                .map_err(|error| of_file_system(error, "sync the folder of", &target.path).with_effect(Effect::Applied))
        })
        .await
    }
}

impl Temporary {
    /// Renames it where nothing has the name.
    fn rename_to_free(&self, target: &Target) -> io::Result<()> {
        #[cfg(any(target_os = "linux", target_vendor = "apple"))]
        {
            use rustix::fs::{RenameFlags, renameat_with};
            let renamed = renameat_with(&self.folder, &self.name, &target.folder, &target.name, RenameFlags::NOREPLACE);
            // Some file systems cannot do it.
            if !matches!(renamed, Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP))
            {
                return Ok(renamed?);
            }
        }
        // A second name of the same file; the first one is removed when this is dropped.
        self.folder.hard_link(&self.name, &target.folder, &target.name)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After a rename there is nothing to remove.
        let _ = self.folder.remove_file(&self.name);
    }
}

pub(crate) fn already_exists(path: &Path) -> Error {
    let message = format!("{} exists and is left as it is; choose another name or replace it", path.display());
    Error::new(ErrorKind::AlreadyExists, Effect::Rejected, message)
}

/// Removes what killed processes left, now and then.
#[derive(Debug, Default)]
pub(crate) struct Sweeper {
    last: Mutex<Option<Instant>>,
}

impl Sweeper {
    /// Best effort: an upload does not fail because an old one cannot be removed.
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
            let is_ours = entry.file_name().to_str().is_some_and(|name| name.ends_with(SUFFIX));
            let modified = entry.metadata().ok().filter(|_| is_ours).and_then(|metadata| metadata.modified().ok());
            let age = modified.and_then(|modified| SystemTime::now().duration_since(modified.into_std()).ok());
            if age.is_some_and(|age| age > LEFT_OVER) {
                let _ = entry.remove_file();
            }
        }
    }
}
