//! The files that are transferred, and the check of what arrived.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// The size of a small file.
const SMALL: usize = 4096;

/// The name of the large file.
pub(crate) const LARGE: &str = "large.bin";

/// A set of files, in memory and in a folder.
pub(crate) struct Content {
    pub(crate) files: Vec<(String, Bytes)>,
    pub(crate) folder: PathBuf,
}

/// A file at its destination.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stored {
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) crc32: u32,
}

impl Stored {
    pub(crate) fn of(name: String, content: &[Bytes]) -> Self {
        let mut hasher = crc32fast::Hasher::new();
        content.iter().for_each(|chunk| hasher.update(chunk));
        Self { name, size: content.iter().map(|chunk| chunk.len() as u64).sum(), crc32: hasher.finalize() }
    }
}

impl Content {
    /// Creates one large file of random bytes.
    pub(crate) fn large(folder: PathBuf, size: usize) -> Self {
        Self::create(folder, [(LARGE.to_owned(), random(1, size))])
    }

    /// Creates small files of random bytes, all different.
    pub(crate) fn small(folder: PathBuf, count: usize) -> Self {
        Self::create(folder, (0..count).map(|number| (format!("small-{number:05}.bin"), random(number as u64, SMALL))))
    }

    /// Creates files with the same random bytes, which the file system and this process hold once.
    pub(crate) fn equal(folder: PathBuf, count: usize, size: usize) -> Self {
        let content = random(2, size);
        let files: Vec<_> = (0..count).map(|number| (format!("equal-{number:03}.bin"), content.clone())).collect();
        fs::create_dir_all(&folder).unwrap();
        let first = folder.join(&files[0].0);
        fs::write(&first, &content).unwrap();
        files[1..].iter().for_each(|(name, _)| fs::hard_link(&first, folder.join(name)).unwrap());
        Self { files, folder }
    }

    fn create(folder: PathBuf, files: impl IntoIterator<Item = (String, Bytes)>) -> Self {
        fs::create_dir_all(&folder).unwrap();
        let files: Vec<_> = files.into_iter().collect();
        files.iter().for_each(|(name, content)| fs::write(folder.join(name), content).unwrap());
        Self { files, folder }
    }

    /// Returns the path of each file.
    pub(crate) fn paths(&self) -> impl Iterator<Item = PathBuf> {
        self.files.iter().map(|(name, _)| self.folder.join(name))
    }

    /// Checks the files of a server.
    pub(crate) fn check_stored(&self, stored: &[Stored]) -> Result<(), String> {
        let expected = self.files.iter().map(|(name, content)| Stored::of(name.clone(), std::slice::from_ref(content)));
        check_each(expected.collect(), stored)
    }

    /// Checks the files of a folder.
    pub(crate) fn check_folder(&self, folder: &Path) -> Result<(), String> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).map_err(|error| error.to_string())? {
            let entry = entry.map_err(|error| error.to_string())?;
            // A local store has a folder for its temporary files.
            if entry.path().is_dir() {
                continue;
            }
            let content = fs::read(entry.path()).map_err(|error| error.to_string())?;
            found.push(Stored::of(entry.file_name().to_string_lossy().into_owned(), &[content.into()]));
        }
        found.sort();
        self.check_stored(&found)
    }
}

fn check_each(expected: Vec<Stored>, found: &[Stored]) -> Result<(), String> {
    if expected.len() != found.len() {
        return Err(format!("{} files are there, not {}", found.len(), expected.len()));
    }
    match expected.iter().zip(found).find(|(expected, found)| expected != found) {
        Some((expected, found)) => Err(format!("{found:?} is there, not {expected:?}")),
        None => Ok(()),
    }
}

fn random(seed: u64, size: usize) -> Bytes {
    let mut content = vec![0; size];
    SmallRng::seed_from_u64(seed).fill_bytes(&mut content);
    content.into()
}
