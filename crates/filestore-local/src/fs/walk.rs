//! [`walk`]: reads folders for a page of a listing.

use std::ffi::OsString;
use std::io;

use cap_std::fs::Dir;
use filestore_core::components::{self, TEMPORARY_FOLDER};
use filestore_core::{PageBuilder, Result, hex};

use super::descent::{Descent, is_gone};
use super::root::{Entry, OpenRoot, RelativePath};
use crate::error::of_file_system;

/// Offers the files of `folder` to `page`: those of all folders below it if `recursive`, otherwise with the folders
/// themselves. `prefix` is the path of `folder` in references, empty or ending with `/`.
///
/// An entry that no reference can address is offered as `None`: a name that is not UTF-8 or that no reference can hold,
/// and everything that is neither file nor folder. Links to folders and links that leave the root are not listed. Nor
/// are the folders that another program deletes meanwhile.
///
/// The names of the folders that are still to be read are in memory: those of each folder on the way to the current one.
pub(crate) fn walk(
    root: &OpenRoot,
    folder: &RelativePath,
    prefix: &str,
    recursive: bool,
    page: &mut PageBuilder<Option<RelativePath>>,
) -> Result<()> {
    let failed = |error, folder: &RelativePath| of_file_system(error, "list", &root.absolute(folder));
    let opened = root.open_folder(folder).map_err(|error| failed(error, folder))?;
    let mut walk = Walk { root, folder: folder.clone(), prefix: prefix.to_owned(), recursive, page };
    let mut levels = vec![walk.read(&opened).map_err(|error| failed(error, folder))?];
    let mut descent = Descent::new(opened);
    while let Some(subfolders) = levels.last_mut() {
        let Some(name) = subfolders.pop() else {
            levels.pop();
            if let Some(name) = descent.leave() {
                walk.leave(&name);
            }
            continue;
        };
        // The page may be complete by now.
        if !walk.page.reaches(&format!("{}{name}/", walk.prefix)) {
            continue;
        }
        walk.enter(&name);
        match descent.enter(&name) {
            Ok(folder) => match walk.read(folder) {
                Err(error) if !is_gone(&error) => return Err(failed(error, &walk.folder)),
                subfolders => levels.push(subfolders.unwrap_or_default()),
            },
            Err(error) if is_gone(&error) => walk.leave(&name),
            Err(error) => return Err(failed(error, &walk.folder)),
        }
    }
    Ok(())
}

/// The listing of one page.
struct Walk<'a> {
    root: &'a OpenRoot,
    /// The current folder.
    folder: RelativePath,
    /// Its path in references, empty or ending with `/`.
    prefix: String,
    recursive: bool,
    page: &'a mut PageBuilder<Option<RelativePath>>,
}

impl Walk<'_> {
    fn enter(&mut self, name: &str) {
        self.folder.push(name);
        self.prefix.push_str(name);
        self.prefix.push('/');
    }

    fn leave(&mut self, name: &str) {
        self.folder.pop();
        self.prefix.truncate(self.prefix.len() - name.len() - 1);
    }

    /// Offers the entries of the current folder, which is open as `dir`. Returns the names of the folders in it that are
    /// to be read, too.
    fn read(&mut self, dir: &Dir) -> io::Result<Vec<String>> {
        let Self { root, folder, prefix, recursive, page } = self;
        let mut subfolders = Vec::new();
        for entry in dir.entries()? {
            let entry = entry?;
            let name = match addressable_name(entry.file_name()) {
                Ok(name) => name,
                Err(name) => {
                    if !(prefix.is_empty() && name == TEMPORARY_FOLDER) {
                        page.offer(format!("{prefix}{name}"), || None);
                    }
                    continue;
                }
            };
            let Ok(kind) = entry.file_type() else { continue }; // deleted meanwhile
            if kind.is_dir() {
                let below = format!("{prefix}{name}/");
                if !*recursive {
                    page.offer(below, || Some(folder.join(&name)));
                } else if page.reaches(&below) {
                    subfolders.push(name);
                }
            } else if kind.is_file() {
                page.offer(format!("{prefix}{name}"), || Some(folder.join(&name)));
            } else if !kind.is_symlink() {
                page.offer(format!("{prefix}{name}"), || None);
            } else if let Ok(Entry::File(target, _)) = root.inspect(folder.join(&name)) {
                page.offer(format!("{prefix}{name}"), || Some(target));
            }
        }
        Ok(subfolders)
    }
}

/// Returns `name` if a reference can hold it, otherwise a text as an error that no other name of the folder has.
pub(crate) fn addressable_name(name: OsString) -> Result<String, String> {
    // No name contains NUL.
    let name = name.into_string().map_err(|name| format!("{}\0{}", name.display(), hex(name.as_encoded_bytes())))?;
    if components::is_addressable(&name) { Ok(name) } else { Err(name) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use filestore_core::List;

    use super::super::root::Root;
    use super::*;

    #[test]
    fn a_folder_that_was_deleted_after_it_was_opened_is_gone_or_empty() {
        let path = tempfile::tempdir().unwrap();
        fs::create_dir(path.path().join("d")).unwrap();
        let root = Root::new(path.path()).unwrap().open().unwrap().unwrap();
        let opened = root.open_folder(&RelativePath::new("d")).unwrap();
        fs::remove_dir(path.path().join("d")).unwrap();
        let mut page = PageBuilder::new(&List::new(), "", 10).unwrap();
        let (folder, prefix) = (RelativePath::new("d"), "d/".to_owned());
        let mut walk = Walk { root: &root, folder, prefix, recursive: true, page: &mut page };
        assert!(walk.read(&opened).map_or_else(|error| is_gone(&error), |subfolders| subfolders.is_empty()));
    }
}
