//! The folder that a store is about, and what paths below it lead to.
//!
//! Every access goes through a capability of `cap-std`: the system itself keeps a path below the open root, so a link that
//! is swapped in at any moment leads nowhere else.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, Metadata};
use filestore_core::{Effect, Error, ErrorKind, Result};

use crate::error::of_file_system;

/// Links that a path may lead over, as in Linux.
const MAX_LINKS: usize = 40;

/// The folder that a store is about. It need not exist yet.
#[derive(Debug, Clone)]
pub(crate) struct Root(PathBuf);

/// The root as it was when it was opened.
#[derive(Debug)]
pub(crate) struct OpenRoot {
    dir: Dir,
    /// Without links.
    path: PathBuf,
}

/// A path below the root, on the way to which no link leaves it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Below(PathBuf);

/// What a path leads to.
#[derive(Debug)]
pub(crate) enum Place {
    /// A regular file.
    File(Below, Metadata),
    /// A folder.
    Folder(Below),
    /// A socket, a device: nothing of this store's.
    Foreign(Below),
    /// Nothing.
    Missing,
    /// Nothing, and nothing can be: this file is where the path needs a folder.
    Blocked(Below),
}

impl Root {
    /// A relative `path` is taken from the current folder, once and for all.
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        std::path::absolute(path).map(Self)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The root as it is now; `None` if there is none.
    pub(crate) fn open(&self) -> Result<Option<OpenRoot>> {
        let opened = fs::canonicalize(&self.0)
            .and_then(|path| Dir::open_ambient_dir(&path, ambient_authority()).map(|dir| OpenRoot { dir, path }));
        match opened {
            Ok(root) => Ok(Some(root)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(of_file_system(error, "open the root", &self.0)),
        }
    }

    /// Makes the root, wherever a part of it is missing, and opens it.
    pub(crate) fn make(&self) -> Result<OpenRoot> {
        // A link to nothing, a place like /proc: no file of the caller's is missing.
        let cannot = |why: String| {
            Error::config(format!("the root {} cannot be made{why}; choose another one", self.0.display()))
        };
        make_folder(&self.0).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => cannot(format!(": {error}")),
            _ => of_file_system(error, "create the root", &self.0),
        })?;
        self.open()?.ok_or_else(|| cannot(": it leads nowhere".to_owned()))
    }
}

impl OpenRoot {
    /// What `components` lead to. A link that leaves the root is *permission*, wherever it is.
    pub(crate) fn find(&self, components: &[String]) -> Result<Place> {
        let mut below = Below::default();
        for (number, component) in components.iter().enumerate() {
            below = Below(below.0.join(component));
            match self.look(below)? {
                Place::Folder(folder) => below = folder,
                found if number + 1 == components.len() => return Ok(found),
                Place::File(file, _) | Place::Foreign(file) => return Ok(Place::Blocked(file)),
                nothing => return Ok(nothing),
            }
        }
        Ok(Place::Folder(below))
    }

    /// What is at `below`, behind the links that it may lead over.
    pub(crate) fn look(&self, mut below: Below) -> Result<Place> {
        for _ in 0..MAX_LINKS {
            return match self.dir.metadata(below.path()) {
                Ok(metadata) if metadata.is_file() => Ok(Place::File(below, metadata)),
                Ok(metadata) if metadata.is_dir() => Ok(Place::Folder(below)),
                Ok(_) => Ok(Place::Foreign(below)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Place::Missing),
                Err(error) if is_escape(&error) => match self.absolute_link(&below) {
                    Some(target) => {
                        below = target;
                        continue;
                    }
                    None => Err(self.leaves(&below)),
                },
                Err(error) => Err(of_file_system(error, "look at", &self.shown(&below))),
            };
        }
        Err(self.leaves(&below))
    }

    /// The target of an absolute link to a place below the root, which the capability does not follow.
    fn absolute_link(&self, below: &Below) -> Option<Below> {
        let target = self.dir.read_link_contents(below.path()).ok().filter(|target| target.is_absolute())?;
        let rest = target.strip_prefix(&self.path).ok()?;
        rest.components().all(|component| matches!(component, Component::Normal(_))).then(|| Below(rest.to_owned()))
    }

    fn leaves(&self, below: &Below) -> Error {
        Error::new(
            ErrorKind::Permission,
            Effect::Rejected,
            format!(
                "{} is a symbolic link that leaves the root of the store and is not followed",
                self.shown(below).display()
            ),
        )
    }

    /// The path that a person can look at.
    pub(crate) fn shown(&self, below: &Below) -> PathBuf {
        self.path.join(&below.0)
    }

    /// Opens the folder at `below`.
    pub(crate) fn open_folder(&self, below: &Below) -> io::Result<Dir> {
        self.dir.open_dir(below.path())
    }

    pub(crate) fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Makes the folder that `components` lead to, wherever a part of it is missing.
    pub(crate) fn make_folder(&self, components: &[String]) -> Result<Below> {
        let mut folder = Below::default();
        for component in components {
            let next = Below(folder.0.join(component));
            let made = match self.dir.create_dir(next.path()) {
                Ok(()) => self.open_folder(&folder).and_then(|parent| sync_folder(&parent)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                Err(error) => Err(error),
            };
            made.map_err(|error| of_file_system(error, "create the folder", &self.shown(&next)))?;
            folder = match self.look(next)? {
                Place::Folder(folder) => folder,
                Place::File(file, _) | Place::Foreign(file) | Place::Blocked(file) => {
                    return Err(blocked(&self.shown(&file)));
                }
                Place::Missing => return Err(vanished(&self.shown(&folder))),
            };
        }
        Ok(folder)
    }
}

impl Below {
    pub(crate) fn new(path: &str) -> Self {
        Self(path.into())
    }

    /// As the system takes it: the root itself is `.`.
    pub(crate) fn path(&self) -> &Path {
        if self.0.as_os_str().is_empty() { Path::new(".") } else { &self.0 }
    }

    pub(crate) fn join(&self, name: &str) -> Self {
        Self(self.0.join(name))
    }
}

/// Puts the names in `folder` on the disk. Without it a rename may be lost with the power, although
/// the file is there.
pub(crate) fn sync_folder(folder: &Dir) -> io::Result<()> {
    // The capability itself is no open file that could be synced. Elsewhere folders cannot be opened as files, and the
    // file system orders names by itself.
    if cfg!(unix) { folder.open(".")?.sync_all() } else { Ok(()) }
}

/// Whether `cap-std` rejected a path that leads out of the folder: it has no error of the system.
fn is_escape(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none()
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

/// Makes `path`, and the folders that lead to it.
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
        Ok(()) => match path.parent() {
            Some(parent) if cfg!(unix) => fs::File::open(parent)?.sync_all(),
            _ => Ok(()),
        },
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}
