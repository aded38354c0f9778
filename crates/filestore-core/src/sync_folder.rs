//! [`sync_folder`]: makes created, renamed and deleted names in a folder durable.

use std::fs::File;
use std::io::{self, ErrorKind};

/// Syncs the names in an open folder to the disk. Without this, a file that was created, renamed or deleted may be
/// lost, or come back, in a power failure although its content is on the disk.
///
/// Succeeds on a file system that cannot sync folders and orders names by itself, as some shared and network folders
/// do. Such a file system reports [`ErrorKind::InvalidInput`] or [`ErrorKind::Unsupported`]. Other errors of the system
/// are returned; the names may then be lost in a power failure.
pub fn sync_folder(folder: &File) -> io::Result<()> {
    tolerate(folder.sync_all())
}

fn tolerate(synced: io::Result<()>) -> io::Result<()> {
    match synced {
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        synced => synced,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_that_cannot_sync_folders_is_no_error_and_a_broken_disk_is_one() {
        let folder = tempfile::tempdir().unwrap();
        #[cfg(unix)]
        sync_folder(&File::open(folder.path()).unwrap()).unwrap();
        drop(folder);
        for kind in [ErrorKind::InvalidInput, ErrorKind::Unsupported] {
            tolerate(Err(kind.into())).unwrap();
        }
        // EIO has no kind of its own.
        assert!(tolerate(Err(io::Error::from_raw_os_error(5))).is_err());
    }
}
