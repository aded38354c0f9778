//! Where an emulator keeps its files: a data directory, or a temporary folder that ends with it.

use std::fs::{self, File, Metadata, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::clock::Clock;
use crate::durable;
use crate::service::ServiceName;
use crate::start_error::StartError;

/// What names of temporary folders begin with.
const TEMPORARY: &str = "filestore-emulator-";
/// The file in every folder that is locked while an emulator uses it.
const LOCK: &str = "lock";
/// A folder younger than this may be of an emulator that is about to take its lock.
const SETTLED: Duration = Duration::from_secs(60);

/// What a service stands on.
#[derive(Clone, Debug)]
pub(crate) struct ServiceContext {
    /// Where its files are, and nobody else's.
    pub(crate) folder: PathBuf,
    /// Whether they survive a restart and a kill.
    pub(crate) kept: bool,
    pub(crate) clock: Clock,
    /// What links begin with, without a slash at the end.
    pub(crate) base: String,
}

/// Held for as long as the emulator runs: dropping it removes the temporary folder or unlocks the
/// data directory.
#[derive(Debug)]
pub(crate) enum Storage {
    Temporary {
        /// Removed with everything in it, and before the lock is let go.
        folder: TempDir,
        _lock: File,
    },
    Kept {
        folder: PathBuf,
        _lock: File,
    },
}

impl Storage {
    pub(crate) fn open(data_dir: Option<&Path>) -> Result<Self, StartError> {
        match data_dir {
            Some(folder) => Self::kept(folder),
            None => Self::temporary().map_err(StartError::TemporaryFolder),
        }
    }

    /// Where a service's files are.
    pub(crate) fn folder(&self, service: ServiceName) -> PathBuf {
        match self {
            Storage::Temporary { folder, .. } => folder.path().join(service.as_str()),
            Storage::Kept { folder, .. } => folder.join(service.as_str()),
        }
    }

    fn kept(folder: &Path) -> Result<Self, StartError> {
        let unusable = |source| StartError::DataDir { path: folder.to_owned(), source };
        durable::create_private_folder(folder).map_err(unusable)?;
        let lock =
            File::options().create(true).truncate(false).write(true).open(folder.join(LOCK)).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StartError::InUse(folder.to_owned())),
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        // Absolute, so that a later change of the working directory moves nothing.
        let folder = fs::canonicalize(folder).map_err(unusable)?;
        Ok(Storage::Kept { folder, _lock: lock })
    }

    fn temporary() -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix(TEMPORARY).tempdir()?;
        let lock = File::create_new(folder.path().join(LOCK))?;
        lock.try_lock()?;
        let own = folder.path().to_owned();
        // Gigabytes take a while to remove, and nobody waits for it.
        tokio::task::spawn_blocking(move || remove_leftovers(&own));
        Ok(Storage::Temporary { folder, _lock: lock })
    }
}

/// Removes the temporary folders of emulators that were killed. What cannot be removed is not
/// ours, or another start's to remove.
fn remove_leftovers(own: &Path) {
    let (Some(parent), Ok(metadata)) = (own.parent(), fs::symlink_metadata(own)) else {
        return;
    };
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(TEMPORARY);
        if ours && let Err(error) = remove_if_left_over(&entry.path(), &metadata) {
            tracing::debug!(%error, "a temporary folder was left alone");
        }
    }
}

/// Removes a folder whose lock nobody holds. One without a lock was never an emulator's.
fn remove_if_left_over(folder: &Path, own: &Metadata) -> io::Result<()> {
    let metadata = fs::symlink_metadata(folder)?;
    let settled = metadata.modified()?.elapsed().is_ok_and(|age| age >= SETTLED);
    if !metadata.is_dir() || !settled || !have_one_owner(&metadata, own) {
        return Ok(());
    }
    let lock = folder.join(LOCK);
    if !fs::symlink_metadata(&lock)?.is_file() {
        return Ok(());
    }
    let lock = File::open(lock)?;
    if lock.try_lock().is_ok() {
        // The lock goes last: a removal that is cut short is taken up by the next start.
        for service in ServiceName::ALL {
            let _ = fs::remove_dir_all(folder.join(service.as_str()));
        }
        fs::remove_dir_all(folder)?;
    }
    Ok(())
}

/// Root could remove everybody's; a folder of somebody else may be a trap.
#[cfg(unix)]
fn have_one_owner(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;

    one.uid() == other.uid()
}

#[cfg(not(unix))]
fn have_one_owner(_: &Metadata, _: &Metadata) -> bool {
    true
}
