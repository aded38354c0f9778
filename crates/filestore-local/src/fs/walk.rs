//! [`walk`]: reads folders for a page of a listing.

use std::io;

use cap_std::fs::{Dir, ReadDir};
use filestore_core::{PageBuilder, Result, components};

use super::root::{Entry, OpenRoot, RelativePath};
use crate::error::of_file_system;

/// Offers the files of `folder` to `page`: those of all folders below it if `recursive`, otherwise with the folders
/// themselves. `prefix` is the path of `folder` in references, empty or ending with `/`.
///
/// Leaves out names that are not UTF-8 or that no reference can hold, links to folders, links that leave the root, and
/// everything that is neither file nor folder.
pub(crate) fn walk(
    root: &OpenRoot,
    folder: &RelativePath,
    prefix: &str,
    recursive: bool,
    page: &mut PageBuilder<RelativePath>,
) -> Result<()> {
    let read = |dir: &Dir, folder: &RelativePath| {
        dir.entries().map_err(|error| of_file_system(error, "list", &root.absolute(folder)))
    };
    let opened = root.open_folder(folder).map_err(|error| of_file_system(error, "list", &root.absolute(folder)))?;
    let mut open: Vec<(ReadDir, RelativePath, String)> =
        vec![(read(&opened, folder)?, folder.clone(), prefix.to_owned())];
    loop {
        let Some((entries, folder, prefix)) = open.last_mut() else { return Ok(()) };
        let Some(entry) = entries.next() else {
            open.pop();
            continue;
        };
        let entry = entry.map_err(|error| of_file_system(error, "list", &root.absolute(folder)))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if !components::is_addressable(&name) {
            continue;
        }
        let Ok(kind) = entry.file_type() else { continue }; // deleted meanwhile
        let path = folder.join(&name);
        if kind.is_dir() {
            let prefix = format!("{prefix}{name}/");
            if !recursive {
                page.offer(prefix, || path);
            } else if page.reaches(&prefix) {
                match entry.open_dir() {
                    Ok(dir) => open.push((read(&dir, &path)?, path, prefix)),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {} // deleted meanwhile
                    Err(error) => return Err(of_file_system(error, "list", &root.absolute(&path))),
                }
            }
        } else if kind.is_file() {
            page.offer(format!("{prefix}{name}"), || path);
        } else if kind.is_symlink()
            && let Ok(Entry::File(target, _)) = root.inspect(path)
        {
            page.offer(format!("{prefix}{name}"), || target);
        }
    }
}
