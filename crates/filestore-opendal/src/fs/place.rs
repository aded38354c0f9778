//! Where a path leads on the disk: below the root, through links that stay there.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use filestore_core::{Effect, Error, ErrorKind, Result};

use crate::error::of_file_system;

/// The folder that a store is about. It need not exist yet.
#[derive(Debug, Clone)]
pub(crate) struct Root(PathBuf);

/// What a path leads to.
#[derive(Debug)]
pub(crate) enum Place {
    /// A regular file.
    File(PathBuf, Metadata),
    /// A folder.
    Folder(PathBuf),
    /// A socket, a device: nothing of this store's.
    Foreign(PathBuf),
    /// Nothing.
    Missing,
    /// Nothing, and nothing can be: this file is where the path needs a folder.
    Blocked(PathBuf),
}

impl Root {
    /// A relative `path` is taken from the current folder, once and for all.
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        std::path::absolute(path).map(Self)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// What `components` lead to.
    ///
    /// Every step is looked at by itself: a link that leaves the root is refused, wherever it is. This
    /// guards against links that lie there, not against somebody who swaps them while it looks.
    pub(crate) fn find(&self, components: &[String]) -> Result<Place> {
        let Some(root) = self.canonical()? else { return Ok(Place::Missing) };
        let mut place = place_of(root.clone())?;
        for component in components {
            let folder = match place {
                Place::Folder(folder) => folder,
                Place::File(path, _) | Place::Foreign(path) => return Ok(Place::Blocked(path)),
                Place::Missing | Place::Blocked(_) => return Ok(place),
            };
            place = place_of(within(&root, folder.join(component))?)?;
        }
        Ok(place)
    }

    /// The root without links, as it is now; `None` if there is none.
    pub(crate) fn canonical(&self) -> Result<Option<PathBuf>> {
        match fs::canonicalize(&self.0) {
            Ok(path) => Ok(Some(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(of_file_system(error, "open the root", &self.0)),
        }
    }

    /// Makes the root, wherever a part of it is missing, and gives it without links.
    pub(crate) fn make(&self) -> Result<PathBuf> {
        let made = make_folder(&self.0).and_then(|()| fs::canonicalize(&self.0));
        made.map_err(|error| match error.kind() {
            // A link to nothing, a place like /proc: no file of the caller's is missing.
            io::ErrorKind::NotFound => {
                Error::config(format!("the root {} cannot be made: {error}; choose another one", self.0.display()))
            }
            _ => of_file_system(error, "create the root", &self.0),
        })
    }

    /// Makes the folder that `components` lead to, wherever a part of it is missing.
    pub(crate) fn make_folder(&self, components: &[String]) -> Result<PathBuf> {
        let root = self.make()?;
        let mut folder = root.clone();
        for component in components {
            let next = folder.join(component);
            make_one(&next).map_err(|error| of_file_system(error, "create the folder", &next))?;
            folder = match place_of(within(&root, next)?)? {
                Place::Folder(folder) => folder,
                Place::File(path, _) | Place::Foreign(path) | Place::Blocked(path) => return Err(blocked(&path)),
                Place::Missing => return Err(vanished(&folder)),
            };
        }
        Ok(folder)
    }
}

/// Puts the names in `folder` on the disk. Without it a rename may be lost with the power, although
/// the file is there.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    // Elsewhere folders cannot be opened as files, and the file system orders names by itself.
    if cfg!(unix) { fs::File::open(folder)?.sync_all() } else { Ok(()) }
}

/// The file or folder at `path` follows links inside `root`; one that leaves it is refused.
pub(crate) fn within(root: &Path, path: PathBuf) -> Result<PathBuf> {
    let is_link = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_symlink());
    if !is_link {
        return Ok(path);
    }
    match fs::canonicalize(&path) {
        Ok(target) if target.starts_with(root) => Ok(target),
        // A link to nothing is nothing.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path),
        Ok(_) | Err(_) => Err(Error::new(
            ErrorKind::Permission,
            Effect::Rejected,
            format!("{} is a symbolic link that leaves the root of the store and is not followed", path.display()),
        )),
    }
}

pub(crate) fn blocked(path: &Path) -> Error {
    Error::new(ErrorKind::InvalidInput, Effect::Rejected, format!("{} is a file, not a folder", path.display()))
}

fn vanished(path: &Path) -> Error {
    Error::new(
        ErrorKind::Conflict,
        Effect::Rejected,
        format!("{} was removed while a file was stored in it", path.display()),
    )
}

fn place_of(path: PathBuf) -> Result<Place> {
    match fs::metadata(&path) {
        Ok(metadata) if metadata.is_file() => Ok(Place::File(path, metadata)),
        Ok(metadata) if metadata.is_dir() => Ok(Place::Folder(path)),
        Ok(_) => Ok(Place::Foreign(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Place::Missing),
        Err(error) => Err(of_file_system(error, "look at", &path)),
    }
}

fn make_folder(path: &Path) -> io::Result<()> {
    match make_one(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let Some(parent) = path.parent() else { return Err(error) };
            make_folder(parent)?;
            make_one(path)
        }
        other => other,
    }
}

/// One folder, and its name on the disk.
fn make_one(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Ok(()) => path.parent().map_or(Ok(()), sync_folder),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}
