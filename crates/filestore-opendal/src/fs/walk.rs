//! Reading folders for a page of a listing.

use std::fs::{self, ReadDir};
use std::io;
use std::path::{Path, PathBuf};

use filestore_core::Result;

use super::place::within;
use crate::error::of_file_system;
use crate::page::Window;
use crate::path::is_addressable;

/// Offers what is in `folder` (whose path below `root` is `prefix`, empty or ending with `/`) to
/// `window`: with all folders below, or with the folders themselves.
///
/// Left out: names that are not UTF-8 or that no reference can hold, links to folders, links that
/// leave the root, and everything that is neither file nor folder.
pub(crate) fn walk(
    root: &Path,
    folder: PathBuf,
    prefix: &str,
    recursive: bool,
    window: &mut Window<PathBuf>,
) -> Result<()> {
    let mut open: Vec<(ReadDir, PathBuf, String)> = Vec::new();
    let mut next = Some((folder, prefix.to_owned()));
    loop {
        if let Some((folder, prefix)) = next.take() {
            match fs::read_dir(&folder) {
                Ok(entries) => open.push((entries, folder, prefix)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {} // deleted meanwhile
                Err(error) => return Err(of_file_system(error, "list", &folder)),
            }
        }
        let Some((entries, folder, prefix)) = open.last_mut() else { return Ok(()) };
        let Some(entry) = entries.next() else {
            open.pop();
            continue;
        };
        let entry = entry.map_err(|error| of_file_system(error, "list", folder))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if !is_addressable(&name) {
            continue;
        }
        let Ok(kind) = entry.file_type() else { continue }; // deleted meanwhile
        if kind.is_dir() {
            let path = format!("{prefix}{name}/");
            if !recursive {
                window.offer(path, || entry.path());
            } else if window.reaches(&path) {
                next = Some((entry.path(), path));
            }
        } else if kind.is_file() {
            window.offer(format!("{prefix}{name}"), || entry.path());
        } else if kind.is_symlink()
            && let Ok(target) = within(root, entry.path())
            && target.is_file()
        {
            window.offer(format!("{prefix}{name}"), || target);
        }
    }
}
