//! The storage of an emulator: a data directory, or a temporary folder that is removed when the emulator ends.

use std::fs::{self, File, Metadata, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::clock::Clock;
use crate::durable;
use crate::service::ServiceName;
use crate::start_error::StartError;

/// The prefix of the names of temporary folders.
const TEMPORARY: &str = "filestore-emulator-";
/// The name of the lock file in every data directory and temporary folder. It is locked while an emulator uses the
/// folder.
const LOCK: &str = "lock";
/// The age from which an unlocked folder is left over. A younger one may belong to an emulator that is about to lock
/// it.
const MIN_LEFTOVER_AGE: Duration = Duration::from_secs(60);

/// The surroundings of one service: its folder, the clock and the base URL.
#[derive(Clone, Debug)]
pub(crate) struct ServiceContext {
    /// The folder that only this service uses.
    pub(crate) folder: PathBuf,
    /// `true` if its files survive a restart and a kill.
    pub(crate) kept: bool,
    pub(crate) clock: Clock,
    /// The base URL of links, without a trailing slash.
    pub(crate) base: String,
}

/// The folder of a running emulator. Dropping it removes the temporary folder or unlocks the data directory.
#[derive(Debug)]
pub(crate) enum Storage {
    Temporary {
        /// Removed with its content before the lock is released, because fields are dropped in order.
        folder: TempDir,
        _lock: File,
    },
    DataDir {
        folder: PathBuf,
        _lock: File,
    },
}

impl Storage {
    /// Opens and locks `data_dir`, or creates a temporary folder.
    pub(crate) fn open(data_dir: Option<&Path>) -> Result<Self, StartError> {
        match data_dir {
            Some(folder) => Self::data_dir(folder),
            None => Self::temporary().map_err(StartError::TemporaryFolder),
        }
    }

    /// Returns the folder of a service.
    pub(crate) fn folder(&self, service: ServiceName) -> PathBuf {
        match self {
            Storage::Temporary { folder, .. } => folder.path().join(service.as_str()),
            Storage::DataDir { folder, .. } => folder.join(service.as_str()),
        }
    }

    fn data_dir(folder: &Path) -> Result<Self, StartError> {
        let unusable = |source| StartError::DataDir { path: folder.to_owned(), source };
        durable::create_private_folder(folder).map_err(unusable)?;
        let lock =
            File::options().create(true).truncate(false).write(true).open(folder.join(LOCK)).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StartError::InUse(folder.to_owned())),
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        // Absolute, so that a later change of the working directory has no effect.
        let folder = fs::canonicalize(folder).map_err(unusable)?;
        Ok(Storage::DataDir { folder, _lock: lock })
    }

    fn temporary() -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix(TEMPORARY).tempdir()?;
        let lock = File::create_new(folder.path().join(LOCK))?;
        lock.try_lock()?;
        let current = folder.path().to_owned();
        // In the background, because it takes a while to remove gigabytes.
        tokio::task::spawn_blocking(move || remove_leftovers(&current));
        Ok(Storage::Temporary { folder, _lock: lock })
    }
}

/// Removes the temporary folders of emulators that were killed. `current` is this emulator's folder.
///
/// Errors are ignored: the folder may belong to another user, or another emulator may be removing it.
fn remove_leftovers(current: &Path) {
    let (Some(parent), Ok(metadata)) = (current.parent(), fs::symlink_metadata(current)) else {
        return;
    };
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let is_emulators = entry.file_name().to_string_lossy().starts_with(TEMPORARY);
        if is_emulators && let Err(error) = remove_if_left_over(&entry.path(), &metadata) {
            tracing::debug!(%error, "cannot remove a temporary folder");
        }
    }
}

/// Removes a folder whose lock file is not locked. A folder without a lock file was not created by an emulator.
fn remove_if_left_over(folder: &Path, current: &Metadata) -> io::Result<()> {
    let metadata = fs::symlink_metadata(folder)?;
    let is_old = metadata.modified()?.elapsed().is_ok_and(|age| age >= MIN_LEFTOVER_AGE);
    if !metadata.is_dir() || !is_old || !have_one_owner(&metadata, current) {
        return Ok(());
    }
    let lock = folder.join(LOCK);
    if !fs::symlink_metadata(&lock)?.is_file() {
        return Ok(());
    }
    let lock = File::open(lock)?;
    if lock.try_lock().is_ok() {
        // The lock file last, so that the next start can resume an interrupted removal.
        for service in ServiceName::ALL {
            let _ = fs::remove_dir_all(folder.join(service.as_str()));
        }
        fs::remove_dir_all(folder)?;
    }
    Ok(())
}

/// Returns `true` if the owner is the same. Root could remove the folders of all users, and a folder of another user
/// may be a trap.
#[cfg(unix)]
fn have_one_owner(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;

    one.uid() == other.uid()
}

#[cfg(not(unix))]
fn have_one_owner(_: &Metadata, _: &Metadata) -> bool {
    true
}
