//! The hidden file of a download that consumes nothing.
//!
//! A running download holds the lock of its file. The system releases it when the process ends, so a file whose lock is
//! free is the leftover of a killed process. The name follows from the target: the next download to it finds the
//! leftover without a search of the folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind as Io};
use std::path::{Path, PathBuf};

use super::{MAX_NUMBERED, first_free, is_same_file, numbered_path};

/// Returns `true` if `path` has the name of a hidden file.
pub(super) fn is_reserved(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with(".filestore-") && name.ends_with(".part")
}

/// Creates a file at `path`, or beside it while another download uses that name, and takes its lock. Removes the
/// leftovers of killed downloads to the same target.
pub(super) fn create(path: &Path) -> io::Result<(File, PathBuf)> {
    let created = first_free(path, |path| {
        remove_leftover(path);
        create_locked(path)
    })?;
    // Of downloads that ran at the same time. They took these names one after the other.
    (1..MAX_NUMBERED).take_while(|number| remove_leftover(&numbered_path(path, *number))).for_each(drop);
    Ok(created)
}

/// Creates a file and takes its lock. Fails with *already exists* if the name is taken, or if another download has taken
/// the new file for a leftover. Where the file system has no locks, no download can, and leftovers stay.
fn create_locked(path: &Path) -> io::Result<File> {
    let file = super::create(path)?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(Io::AlreadyExists.into()),
        Ok(()) if !is_at(&file, path) => Err(Io::AlreadyExists.into()),
        Ok(()) | Err(TryLockError::Error(_)) => Ok(file),
    }
}

/// Removes the file at `path` if its lock is free. Returns `true` if it was removed.
fn remove_leftover(path: &Path) -> bool {
    if !path.symlink_metadata().is_ok_and(|metadata| metadata.is_file()) {
        return false;
    }
    // An exclusive lock needs a file that is open for writing, on some file systems.
    let Ok(file) = OpenOptions::new().read(true).write(true).open(path) else { return false };
    // The name may belong to another file by now: whoever held the lock before has removed this one.
    file.try_lock().is_ok() && is_at(&file, path) && std::fs::remove_file(path).is_ok()
}

fn is_at(file: &File, path: &Path) -> bool {
    is_same_file(file, path) || cfg!(not(unix))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_names_of_hidden_files_are_reserved() {
        for reserved in ["x/.filestore-a.part", ".filestore-a (1).part", ".filestore-.part"] {
            assert!(is_reserved(Path::new(reserved)), "{reserved}");
        }
        assert!(!is_reserved(Path::new("a.part")) && !is_reserved(Path::new(".filestore-a")));
    }

    #[test]
    fn a_leftover_is_removed_and_a_file_in_use_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".filestore-a.part");
        let second = folder.path().join(".filestore-a (1).part");
        fs::write(&path, "left").unwrap();
        let (used, used_path) = create(&path).unwrap();
        assert_eq!((used_path.as_path(), fs::read(&path).unwrap().len()), (path.as_path(), 0));
        for _ in 0..2 {
            // The first of these is a leftover for the second.
            let (file, beside) = create(&path).unwrap();
            assert_eq!((beside.as_path(), fs::read_dir(folder.path()).unwrap().count()), (second.as_path(), 2));
            drop(file);
        }
        drop(used);
        let (_file, created) = create(&path).unwrap();
        assert_eq!((created, second.exists()), (path, false));
    }

    #[test]
    fn downloads_at_the_same_time_each_have_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".filestore-a.part");
        std::thread::scope(|scope| {
            let creators: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..20).map(|_| create(&path).unwrap()).collect::<Vec<_>>())).collect();
            let created: Vec<_> = creators.into_iter().flat_map(|creator| creator.join().unwrap()).collect();
            assert!(created.iter().all(|(file, path)| is_at(file, path)));
            let mut paths: Vec<_> = created.iter().map(|(_, path)| path).collect();
            paths.sort_unstable();
            paths.dedup();
            assert_eq!(paths.len(), created.len());
        });
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_place_of_the_file_is_neither_followed_nor_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".filestore-a.part");
        fs::write(folder.path().join("target"), "content").unwrap();
        std::os::unix::fs::symlink("target", &path).unwrap();
        let (_file, created) = create(&path).unwrap();
        assert_eq!(created, folder.path().join(".filestore-a (1).part"));
        assert_eq!(fs::read(&path).unwrap(), b"content");
        assert!(path.is_symlink());
    }
}
