//! How an upload becomes a file: written aside, synced, renamed.
//!
//! Whatever happens before the rename (an error, a dropped future, `kill -9`, a power cut) leaves the
//! file's name as it was. What a killed process leaves is in the temporary folder, which no listing
//! shows, and goes a day later.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use filestore_core::{ByteStream, Effect, Error, ErrorKind, IfExists, Result};
use futures::TryStreamExt;
use jiff::Timestamp;
use tempfile::{NamedTempFile, TempPath};
use tokio::io::AsyncWriteExt;

use super::blocking;
use super::place::{Root, sync_folder};
use crate::error::of_file_system;
use crate::path::TEMPORARY;

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
    path: TempPath,
}

impl Incoming {
    /// Makes the root and the temporary folder where they are missing.
    pub(crate) fn create(root: &Root, sweeper: &Sweeper) -> Result<Self> {
        let folder = root.make()?.join(TEMPORARY);
        match fs::create_dir(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(of_file_system(error, "write to the root of the store: create", &folder));
            }
            Ok(()) | Err(_) => {}
        }
        // A link would lead the upload, and what is swept, out of the root.
        match fs::symlink_metadata(&folder) {
            Ok(metadata) if metadata.is_dir() => sweeper.sweep(&folder),
            Ok(_) => {
                let message = format!(
                    "{} is not a folder; uploads are written there before they get their names, so remove it",
                    folder.display()
                );
                return Err(Error::new(ErrorKind::Permission, Effect::Rejected, message));
            }
            Err(error) => return Err(of_file_system(error, "write to the root of the store: open", &folder)),
        }
        let mut builder = tempfile::Builder::new();
        builder.prefix("").suffix(SUFFIX);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // As for any new file: the umask decides.
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        let created = builder
            .tempfile_in(&folder)
            .map_err(|error| of_file_system(error, "write to the root of the store: create a file in", &folder))?;
        let (file, path) = NamedTempFile::into_parts(created);
        Ok(Self { file, path })
    }

    /// Writes the whole of `stream` and puts it on the disk. The error of the body comes back as it is.
    pub(crate) async fn write(&mut self, mut stream: ByteStream) -> Result<()> {
        let path: &Path = &self.path;
        let failed = |error: io::Error| of_file_system(error, "write", path);
        let mut file = tokio::fs::File::from_std(self.file.try_clone().map_err(failed)?);
        while let Some(chunk) = stream.try_next().await? {
            file.write_all(&chunk).await.map_err(failed)?;
        }
        file.flush().await.map_err(failed)?;
        file.sync_all().await.map_err(failed)
    }

    /// Gives it the name `target` in `folder`, in one step, and puts the name on the disk.
    pub(crate) async fn commit(
        self,
        folder: PathBuf,
        target: PathBuf,
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
                IfExists::Refuse => self.path.persist_noclobber(&target),
                _ => self.path.persist(&target),
            };
            renamed.map_err(|failed| match failed.error.kind() {
                io::ErrorKind::AlreadyExists => already_exists(&target),
                _ => of_file_system(failed.error, "store", &target),
            })?;
            let durable = sync_folder(&folder).and_then(|()| self.file.metadata());
            durable.map_err(|error| of_file_system(error, "sync the folder of", &target).with_effect(Effect::Applied))
        })
        .await
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
    fn sweep(&self, folder: &Path) {
        {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            if last.is_some_and(|last| last.elapsed() < SWEEP_INTERVAL) {
                return;
            }
            *last = Some(Instant::now());
        }
        let Ok(entries) = fs::read_dir(folder) else { return };
        for entry in entries.flatten() {
            let is_ours = entry.file_name().to_str().is_some_and(|name| name.ends_with(SUFFIX));
            let modified = entry.metadata().ok().filter(|_| is_ours).and_then(|metadata| metadata.modified().ok());
            let age = modified.and_then(|modified| SystemTime::now().duration_since(modified).ok());
            if age.is_some_and(|age| age > LEFT_OVER) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}
