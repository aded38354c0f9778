//! [`Descent`]: the way from a folder down into a tree, with few open handles.

use std::collections::VecDeque;
use std::io;

use cap_std::fs::{Dir, Metadata};

/// The largest number of folders on the way that are open at once.
const MAX_OPEN: usize = 32;

/// The folders on the way from an open folder down to the current one.
///
/// Only the innermost ones are open, so a tree may be deeper than the descriptors that the system grants. A folder that
/// was closed is opened again when it is needed: component by component, no link is followed, and each folder must be
/// the one that was open before. So the way never leaves the folder where it began.
#[derive(Debug)]
pub(crate) struct Descent {
    start: Dir,
    steps: Vec<Step>,
    /// The innermost folders. Empty if all of them must be opened again.
    open: VecDeque<Dir>,
}

/// A folder on the way.
#[derive(Debug)]
struct Step {
    name: String,
    identity: Identity,
}

impl Descent {
    pub(crate) fn new(start: Dir) -> Self {
        Self { start, steps: Vec::new(), open: VecDeque::new() }
    }

    /// Moves to the folder `name` in the current folder, and returns it. *Not found* if it was removed meanwhile, *not a
    /// directory* if it is a link or a file by now.
    pub(crate) fn enter(&mut self, name: &str) -> io::Result<&Dir> {
        let (folder, identity) = open_folder(self.current()?, name)?;
        self.steps.push(Step { name: name.to_owned(), identity });
        push(&mut self.open, folder);
        self.current()
    }

    /// Moves back to the parent of the current folder, and returns the name of the folder that it leaves. `None` at the
    /// start.
    pub(crate) fn leave(&mut self) -> Option<String> {
        self.open.pop_back();
        self.steps.pop().map(|step| step.name)
    }

    /// Returns the current folder. *Not found* if it had to be opened again and was removed meanwhile, *not a
    /// directory* if another one is in its place.
    pub(crate) fn current(&mut self) -> io::Result<&Dir> {
        if self.open.is_empty() {
            self.open = self.reopened()?;
        }
        Ok(self.open.back().unwrap_or(&self.start))
    }

    fn reopened(&self) -> io::Result<VecDeque<Dir>> {
        let mut open = VecDeque::new();
        for step in &self.steps {
            let (folder, identity) = open_folder(open.back().unwrap_or(&self.start), &step.name)?;
            if identity != step.identity {
                return Err(replaced());
            }
            push(&mut open, folder);
        }
        Ok(open)
    }
}

/// Returns `true` if `error` is that of a folder which another program has removed or replaced meanwhile.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Adds a folder, and closes the outermost one if too many are open.
fn push(open: &mut VecDeque<Dir>, folder: Dir) {
    open.push_back(folder);
    if open.len() > MAX_OPEN {
        open.pop_front();
    }
}

/// Opens the folder `name` of `parent`. Fails if it is a link.
fn open_folder(parent: &Dir, name: &str) -> io::Result<(Dir, Identity)> {
    let found = parent.symlink_metadata(name)?;
    if !found.is_dir() {
        return Err(replaced());
    }
    let folder = parent.open_dir(name)?;
    let opened = identity(&folder.dir_metadata()?);
    // A link that was set in its place meanwhile was followed.
    if opened != identity(&found) {
        return Err(replaced());
    }
    Ok((folder, opened))
}

fn replaced() -> io::Error {
    io::Error::new(io::ErrorKind::NotADirectory, "the folder was replaced meanwhile")
}

/// The device and the number of a folder.
#[cfg(unix)]
type Identity = (u64, u64);

#[cfg(unix)]
fn identity(metadata: &Metadata) -> Identity {
    use cap_std::fs::MetadataExt;

    (metadata.dev(), metadata.ino())
}

/// On this platform, metadata does not identify a folder.
#[cfg(not(unix))]
type Identity = ();

#[cfg(not(unix))]
fn identity(_: &Metadata) -> Identity {}

#[cfg(test)]
mod tests {
    use std::fs;

    use cap_std::ambient_authority;

    use super::*;

    /// Returns a folder with `depth` nested folders `d`, and the descent to the innermost one.
    fn nested(depth: usize) -> (tempfile::TempDir, Descent) {
        let folder = tempfile::tempdir().unwrap();
        let mut descent = Descent::new(Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap());
        for _ in 0..depth {
            descent.current().unwrap().create_dir("d").unwrap();
            descent.enter("d").unwrap();
        }
        (folder, descent)
    }

    #[test]
    fn few_folders_are_open_at_once_and_each_one_is_reached_again() {
        let (folder, mut descent) = nested(100);
        for depth in (1..=100).rev() {
            assert!(descent.open.len() <= MAX_OPEN, "{depth}");
            descent.current().unwrap().write("depth", depth.to_string()).unwrap();
            descent.leave();
        }
        let mut path = folder.path().to_owned();
        for depth in 1..=100 {
            path.push("d");
            assert_eq!(fs::read_to_string(path.join("depth")).unwrap(), depth.to_string());
        }
    }

    #[test]
    fn a_folder_that_was_removed_or_replaced_is_not_opened_again() {
        let (folder, mut descent) = nested(100);
        for _ in 0..50 {
            descent.leave();
        }
        fs::rename(folder.path().join("d"), folder.path().join("moved")).unwrap();
        assert_eq!(descent.current().unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::write(folder.path().join("d"), "x").unwrap();
        assert!(is_gone(&descent.current().unwrap_err()));
        #[cfg(unix)]
        {
            fs::remove_file(folder.path().join("d")).unwrap();
            std::os::unix::fs::symlink("moved", folder.path().join("d")).unwrap();
            assert!(is_gone(&descent.current().unwrap_err()), "a link was followed");
            fs::remove_file(folder.path().join("d")).unwrap();
            fs::create_dir_all(folder.path().join(["d"; 50].join("/"))).unwrap();
            assert!(is_gone(&descent.current().unwrap_err()), "it is another folder");
            fs::remove_dir_all(folder.path().join("d")).unwrap();
            fs::rename(folder.path().join("moved"), folder.path().join("d")).unwrap();
            descent.current().unwrap();
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_not_entered() {
        let (folder, mut descent) = nested(1);
        std::os::unix::fs::symlink("../..", folder.path().join("d/up")).unwrap();
        std::os::unix::fs::symlink("real", folder.path().join("d/alias")).unwrap();
        fs::create_dir(folder.path().join("d/real")).unwrap();
        assert!(is_gone(&descent.enter("up").unwrap_err()));
        assert!(is_gone(&descent.enter("alias").unwrap_err()));
        assert!(is_gone(&descent.enter("nothing").unwrap_err()));
        descent.enter("real").unwrap();
    }
}
