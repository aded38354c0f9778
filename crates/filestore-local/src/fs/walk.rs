//! [`walk`]: reads folders for a page of a listing.

use std::ffi::OsString;
use std::io;

use cap_std::fs::ReadDir;
use filestore_core::components::{self, TEMPORARY_FOLDER};
use filestore_core::{PageBuilder, Result};

use super::root::{Entry, OpenRoot, RelativePath};
use crate::error::of_file_system;

/// Offers the files of `folder` to `page`: those of all folders below it if `recursive`, otherwise with the folders
/// themselves. `prefix` is the path of `folder` in references, empty or ending with `/`.
///
/// An entry that no reference can address is offered as `None`: a name that is not UTF-8 or that no reference can hold,
/// and everything that is neither file nor folder. Links to folders and links that leave the root are not listed.
pub(crate) fn walk(
    root: &OpenRoot,
    folder: &RelativePath,
    prefix: &str,
    recursive: bool,
    page: &mut PageBuilder<Option<RelativePath>>,
) -> Result<()> {
    let opened = root.open_folder(folder).and_then(|dir| dir.entries());
    let entries = opened.map_err(|error| of_file_system(error, "list", &root.absolute(folder)))?;
    let mut open: Vec<(ReadDir, RelativePath, String)> = vec![(entries, folder.clone(), prefix.to_owned())];
    loop {
        let Some((entries, folder, prefix)) = open.last_mut() else { return Ok(()) };
        let entry = match entries.next() {
            None => {
                open.pop();
                continue;
            }
            // The folder was deleted meanwhile.
            Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => continue,
            Some(entry) => entry.map_err(|error| of_file_system(error, "list", &root.absolute(folder)))?,
        };
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
        let path = folder.join(&name);
        if kind.is_dir() {
            let prefix = format!("{prefix}{name}/");
            if !recursive {
                page.offer(prefix, || Some(path));
            } else if page.reaches(&prefix) {
                match entry.open_dir().and_then(|dir| dir.entries()) {
                    Ok(entries) => open.push((entries, path, prefix)),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {} // deleted meanwhile
                    Err(error) => return Err(of_file_system(error, "list", &root.absolute(&path))),
                }
            }
        } else if kind.is_file() {
            page.offer(format!("{prefix}{name}"), || Some(path));
        } else if !kind.is_symlink() {
            page.offer(format!("{prefix}{name}"), || None);
        } else if let Ok(Entry::File(target, _)) = root.inspect(path) {
            page.offer(format!("{prefix}{name}"), || Some(target));
        }
    }
}

/// Returns `name` if a reference can hold it, otherwise a similar text as an error.
pub(crate) fn addressable_name(name: OsString) -> Result<String, String> {
    let name = name.into_string().map_err(|name| name.to_string_lossy().into_owned())?;
    if components::is_addressable(&name) { Ok(name) } else { Err(name) }
}
