//! Reading folders for a page of a listing.

use std::io;

use cap_std::fs::{Dir, ReadDir};
use filestore_core::{PageBuilder, Result, components};

use super::root::{Below, OpenRoot, Place};
use crate::error::of_file_system;

/// Offers what is in `folder` (whose path in references is `prefix`, empty or ending with `/`) to
/// `page`: with all folders below, or with the folders themselves.
///
/// Left out: names that are not UTF-8 or that no reference can hold, links to folders, links that
/// leave the root, and everything that is neither file nor folder.
pub(crate) fn walk(
    root: &OpenRoot,
    folder: &Below,
    prefix: &str,
    recursive: bool,
    page: &mut PageBuilder<Below>,
) -> Result<()> {
    let read =
        |dir: &Dir, folder: &Below| dir.entries().map_err(|error| of_file_system(error, "list", &root.shown(folder)));
    let opened = root.open_folder(folder).map_err(|error| of_file_system(error, "list", &root.shown(folder)))?;
    let mut open: Vec<(ReadDir, Below, String)> = vec![(read(&opened, folder)?, folder.clone(), prefix.to_owned())];
    loop {
        let Some((entries, folder, prefix)) = open.last_mut() else { return Ok(()) };
        let Some(entry) = entries.next() else {
            open.pop();
            continue;
        };
        let entry = entry.map_err(|error| of_file_system(error, "list", &root.shown(folder)))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if !components::is_addressable(&name) {
            continue;
        }
        let Ok(kind) = entry.file_type() else { continue }; // deleted meanwhile
        let below = folder.join(&name);
        if kind.is_dir() {
            let path = format!("{prefix}{name}/");
            if !recursive {
                page.offer(path, || below);
            } else if page.reaches(&path) {
                match entry.open_dir() {
                    Ok(dir) => open.push((read(&dir, &below)?, below, path)),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {} // deleted meanwhile
                    Err(error) => return Err(of_file_system(error, "list", &root.shown(&below))),
                }
            }
        } else if kind.is_file() {
            page.offer(format!("{prefix}{name}"), || below);
        } else if kind.is_symlink()
            && let Ok(Place::File(target, _)) = root.look(below)
        {
            page.offer(format!("{prefix}{name}"), || target);
        }
    }
}
