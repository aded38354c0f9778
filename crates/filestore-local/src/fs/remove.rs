//! [`remove_folder`]: deletes a folder with everything in it that a reference can address.

use std::io;

use cap_std::fs::{Dir, ReadDir};

use super::walk::addressable_name;

/// An open folder that is being deleted.
struct Level {
    name: String,
    folder: Dir,
    entries: ReadDir,
    /// The number of entries that stay, here and in the folders below.
    left: u64,
}

/// Deletes the folder `name` of `parent` with everything in it, except for the entries that no reference can address
/// and their folders. Returns the number of these entries. Links are deleted and not followed. What another program
/// deletes meanwhile is skipped: *not found* means that there is no such folder. Sets `removed` once an entry is deleted.
pub(crate) fn remove_folder(parent: &Dir, name: &str, removed: &mut bool) -> io::Result<u64> {
    let mut open = vec![Level::open(parent, name)?];
    while let Some(level) = open.last_mut() {
        let Some(entry) = level.entries.next() else {
            let Some(Level { name, left, .. }) = open.pop() else { break };
            let above = open.last_mut();
            if left == 0 {
                *removed |= is_removed(above.map_or(parent, |above| &above.folder).remove_dir(name))?;
            } else if let Some(above) = above {
                above.left += left;
            } else {
                return Ok(left);
            }
            continue;
        };
        let entry = match entry {
            // The folder itself was deleted meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entry => entry?,
        };
        let Ok(name) = addressable_name(entry.file_name()) else {
            level.left += 1;
            continue;
        };
        let kind = match entry.file_type() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            kind => kind?,
        };
        if kind.is_dir() {
            match Level::open(&level.folder, &name) {
                Ok(below) => open.push(below),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        } else if kind.is_file() || kind.is_symlink() {
            *removed |= is_removed(entry.remove_file())?;
        } else {
            level.left += 1;
        }
    }
    Ok(0)
}

impl Level {
    /// Opens the folder `name` of `parent`. Fails if it is a link by now.
    fn open(parent: &Dir, name: &str) -> io::Result<Self> {
        let folder = parent.open_dir(name)?;
        let found = parent.symlink_metadata(name)?;
        if !found.is_dir() || !is_same(&found, &folder.dir_metadata()?) {
            return Err(io::Error::new(io::ErrorKind::NotADirectory, "the folder was replaced meanwhile"));
        }
        let entries = folder.entries()?;
        Ok(Self { name: name.to_owned(), folder, entries, left: 0 })
    }
}

#[cfg(unix)]
fn is_same(one: &cap_std::fs::Metadata, other: &cap_std::fs::Metadata) -> bool {
    use cap_std::fs::MetadataExt;

    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// On this platform, metadata does not identify a folder.
#[cfg(not(unix))]
fn is_same(_: &cap_std::fs::Metadata, _: &cap_std::fs::Metadata) -> bool {
    true
}

/// Returns `false` if another program has deleted the entry.
fn is_removed(removed: io::Result<()>) -> io::Result<bool> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        removed => removed.map(|()| true),
    }
}
