//! [`remove_folder`]: deletes a folder with everything in it that a reference can address.

use std::io;

use cap_std::fs::Dir;

use super::descent::Descent;
use super::walk::addressable_name;

/// A folder that is being deleted, after its files.
#[derive(Default)]
struct Level {
    /// The folders in it that are not deleted yet.
    subfolders: Vec<String>,
    /// The number of entries that stay, here and in the folders below.
    left: u64,
}

/// Deletes the folder `name` of `parent` with everything in it, except for the entries that no reference can address
/// and their folders. Returns the number of these entries. Links are deleted and not followed. What another program
/// deletes meanwhile is skipped: *not found* means that there is no such folder. Sets `removed` once an entry is deleted.
///
/// The depth of the tree is limited neither by the open handles nor by the length of a path.
pub(crate) fn remove_folder(parent: Dir, name: &str, removed: &mut bool) -> io::Result<u64> {
    let mut descent = Descent::new(parent);
    let mut levels = vec![Level::enter(&mut descent, name, removed)?];
    while let Some(level) = levels.last_mut() {
        if let Some(name) = level.subfolders.pop() {
            match Level::enter(&mut descent, &name, removed) {
                Ok(below) => levels.push(below),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            continue;
        }
        let left = level.left;
        levels.pop();
        let Some(name) = descent.leave() else { break };
        if left == 0 {
            *removed |= is_removed(descent.current().and_then(|above| above.remove_dir(name)))?;
        } else if let Some(above) = levels.last_mut() {
            above.left += left;
        } else {
            return Ok(left);
        }
    }
    Ok(0)
}

impl Level {
    /// Enters the folder `name` and deletes its files.
    fn enter(descent: &mut Descent, name: &str, removed: &mut bool) -> io::Result<Self> {
        let folder = descent.enter(name)?;
        let mut level = Self::default();
        match level.remove_files(folder, removed) {
            // The folder itself was deleted meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => done?,
        }
        Ok(level)
    }

    /// Deletes the files of `folder`. Adds the names of its subfolders, and counts the entries that stay.
    fn remove_files(&mut self, folder: &Dir, removed: &mut bool) -> io::Result<()> {
        for entry in folder.entries()? {
            let entry = entry?;
            let Ok(name) = addressable_name(entry.file_name()) else {
                self.left += 1;
                continue;
            };
            let kind = match entry.file_type() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                kind => kind?,
            };
            if kind.is_dir() {
                self.subfolders.push(name);
            } else if kind.is_file() || kind.is_symlink() {
                *removed |= is_removed(entry.remove_file())?;
            } else {
                self.left += 1;
            }
        }
        Ok(())
    }
}

/// Returns `false` if another program has deleted the entry.
fn is_removed(removed: io::Result<()>) -> io::Result<bool> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        removed => removed.map(|()| true),
    }
}
