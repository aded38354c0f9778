//! [`Root`]: the folder of a store, and the entries at paths below it.
//!
//! Every access goes through a `cap-std` directory handle: the operating system keeps a path below the open root, so a
//! link that is swapped in at any moment does not leave it.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, Metadata};
use filestore_core::{Effect, Error, ErrorKind, Result, sync_folder};

use crate::error::of_file_system;

/// The largest number of links in a path, as in Linux.
const MAX_LINKS: usize = 40;

/// The folder of a store. It need not exist yet.
#[derive(Debug, Clone)]
pub(crate) struct Root(PathBuf);

/// An open root.
#[derive(Debug)]
pub(crate) struct OpenRoot {
    dir: Dir,
    /// The path, without links.
    path: PathBuf,
}

/// A path relative to the root. No link in it leaves the root.
#[derive(Debug, Clone, Default)]
pub(crate) struct RelativePath(PathBuf);

/// The entry at a path.
#[derive(Debug)]
pub(crate) enum Entry {
    /// A regular file.
    File(RelativePath, Metadata),
    /// A folder.
    Folder(RelativePath),
    /// A socket, a pipe or a device, which is no file of the store.
    Special(RelativePath),
    /// No entry.
    Missing,
    /// No entry, and none can be created: this file is in place of a folder of the path.
    NotAFolder(RelativePath),
}

impl Root {
    /// Creates a root. A relative `path` starts at the current folder at the time of this call.
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        std::path::absolute(path).map(Self)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Opens the root. `None` if it does not exist.
    pub(crate) fn open(&self) -> Result<Option<OpenRoot>> {
        let opened = fs::canonicalize(&self.0)
            .and_then(|path| Dir::open_ambient_dir(&path, ambient_authority()).map(|dir| OpenRoot { dir, path }));
        match opened {
            Ok(root) => Ok(Some(root)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(of_file_system(error, "open the root", &self.0)),
        }
    }

    /// Creates the root and its missing parents, and opens it.
    pub(crate) fn create(&self) -> Result<OpenRoot> {
        // A dangling link, or a path in /proc: *not found* would speak of a file of the caller.
        let cannot = |reason: String| {
            Error::config(format!("cannot create the root {}{reason}; choose another root", self.0.display()))
        };
        create_folder_all(&self.0).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => cannot(format!(": {error}")),
            _ => of_file_system(error, "create the root", &self.0),
        })?;
        self.open()?.ok_or_else(|| cannot(": it does not exist afterwards".to_owned()))
    }
}

impl OpenRoot {
    /// Finds the entry at `components`. A link that leaves the root is *permission*, anywhere in the path.
    pub(crate) fn find(&self, components: &[String]) -> Result<Entry> {
        let mut path = RelativePath::default();
        for (number, component) in components.iter().enumerate() {
            path = RelativePath(path.0.join(component));
            match self.inspect(path)? {
                Entry::Folder(folder) => path = folder,
                found if number + 1 == components.len() => return Ok(found),
                Entry::File(file, _) | Entry::Special(file) => return Ok(Entry::NotAFolder(file)),
                missing => return Ok(missing),
            }
        }
        Ok(Entry::Folder(path))
    }

    /// Returns the entry at `path`. Follows links.
    pub(crate) fn inspect(&self, mut path: RelativePath) -> Result<Entry> {
        for _ in 0..MAX_LINKS {
            return match self.dir.metadata(path.path()) {
                Ok(metadata) if metadata.is_file() => Ok(Entry::File(path, metadata)),
                Ok(metadata) if metadata.is_dir() => Ok(Entry::Folder(path)),
                Ok(_) => Ok(Entry::Special(path)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Entry::Missing),
                Err(error) if is_escape(&error) => match self.absolute_link(&path) {
                    Some(target) => {
                        path = target;
                        continue;
                    }
                    None => Err(self.leaves_root(&path)),
                },
                Err(error) => Err(of_file_system(error, "read the metadata of", &self.absolute(&path))),
            };
        }
        Err(self.leaves_root(&path))
    }

    /// Returns the target of an absolute link to a path below the root, which `cap-std` does not follow.
    fn absolute_link(&self, path: &RelativePath) -> Option<RelativePath> {
        let target = self.dir.read_link_contents(path.path()).ok().filter(|target| target.is_absolute())?;
        let rest = target.strip_prefix(&self.path).ok()?;
        rest.components()
            .all(|component| matches!(component, Component::Normal(_)))
            .then(|| RelativePath(rest.to_owned()))
    }

    fn leaves_root(&self, path: &RelativePath) -> Error {
        Error::new(
            ErrorKind::Permission,
            Effect::Rejected,
            format!(
                "{} is a symbolic link that leaves the root of the store and is not followed; choose another path",
                self.absolute(path).display()
            ),
        )
    }

    /// Returns the absolute path, for messages and URLs.
    pub(crate) fn absolute(&self, path: &RelativePath) -> PathBuf {
        self.path.join(&path.0)
    }

    /// Opens the folder at `path`.
    pub(crate) fn open_folder(&self, path: &RelativePath) -> io::Result<Dir> {
        self.dir.open_dir(path.path())
    }

    pub(crate) fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Creates the folder at `components` and its missing parents.
    pub(crate) fn create_folder(&self, components: &[String]) -> Result<RelativePath> {
        let mut folder = RelativePath::default();
        for component in components {
            let next = RelativePath(folder.0.join(component));
            let created = match self.dir.create_dir(next.path()) {
                Ok(()) => self.open_folder(&folder).and_then(|parent| sync(open_for_sync(&parent)?.as_ref())),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                Err(error) => Err(error),
            };
            created.map_err(|error| of_file_system(error, "create the folder", &self.absolute(&next)))?;
            folder = match self.inspect(next)? {
                Entry::Folder(folder) => folder,
                Entry::File(file, _) | Entry::Special(file) | Entry::NotAFolder(file) => {
                    return Err(not_a_folder(&self.absolute(&file)));
                }
                Entry::Missing => return Err(removed(&self.absolute(&folder))),
            };
        }
        Ok(folder)
    }
}

impl RelativePath {
    pub(crate) fn new(path: &str) -> Self {
        Self(path.into())
    }

    /// Returns the path for system calls: the root itself is `.`.
    pub(crate) fn path(&self) -> &Path {
        if self.0.as_os_str().is_empty() { Path::new(".") } else { &self.0 }
    }

    pub(crate) fn join(&self, name: &str) -> Self {
        Self(self.0.join(name))
    }

    pub(crate) fn push(&mut self, name: &str) {
        self.0.push(name);
    }

    pub(crate) fn pop(&mut self) {
        self.0.pop();
    }
}

/// Opens `folder` for [`sync`]: the handle itself cannot be synced. `None` on systems that cannot open folders as
/// files, whose file systems order names by themselves.
pub(crate) fn open_for_sync(folder: &Dir) -> io::Result<Option<fs::File>> {
    if cfg!(unix) { folder.open(".").map(|file| Some(file.into_std())) } else { Ok(None) }
}

/// Syncs the names in a folder.
pub(crate) fn sync(folder: Option<&fs::File>) -> io::Result<()> {
    folder.map_or(Ok(()), sync_folder)
}

/// Returns `true` if `cap-std` rejected a path that leaves the folder. Such an error has no code of the system.
fn is_escape(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none()
}

pub(crate) fn not_a_folder(path: &Path) -> Error {
    Error::new(
        ErrorKind::InvalidInput,
        Effect::Rejected,
        format!("{} is a file, not a folder; choose another path", path.display()),
    )
}

fn removed(path: &Path) -> Error {
    Error::new(
        ErrorKind::Conflict,
        Effect::Rejected,
        format!("{} was removed while a file was stored in it; try again", path.display()),
    )
}

/// Creates the folder `path` and its missing parents.
fn create_folder_all(path: &Path) -> io::Result<()> {
    match create_folder(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let Some(parent) = path.parent() else { return Err(error) };
            create_folder_all(parent)?;
            create_folder(path)
        }
        other => other,
    }
}

/// Creates one folder, and syncs its name to the disk.
fn create_folder(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Ok(()) => match path.parent() {
            Some(parent) if cfg!(unix) => sync_folder(&fs::File::open(parent)?),
            _ => Ok(()),
        },
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}
