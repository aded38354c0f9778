//! Crash-safe files: a kill at any moment leaves either the old state or the new one.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The prefix of files that are being written. At the start, such a file is left over from a crash.
const UNFINISHED: &str = ".unfinished-";

/// Replaces the file at `path` atomically: writes a temporary file, syncs it, renames it and syncs the folder.
pub(crate) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    sync_folder(folder)
}

/// Removes the file at `path` and syncs the folder. A missing file is not an error.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        // Also if the file is missing: an earlier attempt may have removed it and failed to sync.
        _ => sync_folder(folder_of(path)),
    }
}

/// Syncs a folder, so that created, renamed and removed entries survive a crash.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    // Only Unix can open a folder to sync it; elsewhere the rename alone must do.
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Creates a folder and its parents with access for the owner only (Unix mode 0700).
pub(crate) fn create_private_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A folder of records of one type, each in a JSON file.
#[derive(Debug)]
pub(crate) struct Records<T> {
    folder: PathBuf,
    record: PhantomData<fn(T) -> T>,
}

impl<T: Serialize + DeserializeOwned> Records<T> {
    pub(crate) fn open(folder: PathBuf) -> io::Result<Self> {
        create_private_folder(&folder)?;
        Ok(Records { folder, record: PhantomData })
    }

    /// Removes the files that a crash left unfinished, and returns all records.
    pub(crate) fn load(&self) -> io::Result<Vec<T>> {
        let mut records = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(UNFINISHED) {
                fs::remove_file(&path)?;
            } else if name.ends_with(".json") {
                let record = serde_json::from_slice(&fs::read(&path)?).map_err(|error| {
                    io::Error::other(format!(
                        "{} is damaged: {error}; restore it from a backup or use another data directory",
                        path.display()
                    ))
                })?;
                records.push(record);
            }
        }
        Ok(records)
    }

    pub(crate) fn save(&self, id: &str, record: &T) -> io::Result<()> {
        let content = serde_json::to_vec(record).map_err(io::Error::other)?;
        write(&self.path(id), &content)
    }

    pub(crate) fn remove(&self, id: &str) -> io::Result<()> {
        remove(&self.path(id))
    }

    fn path(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }
}

/// A log file, one line of JSON for each entry. After a crash an entry is complete or absent.
#[derive(Debug)]
pub(crate) struct Log<T> {
    path: PathBuf,
    file: File,
    /// In bytes.
    length: u64,
    /// The length in bytes above which the log should be rewritten.
    rewrite_above: u64,
    entry: PhantomData<fn(T) -> T>,
}

/// The bytes that a log may grow beyond twice its length when it was opened or last rewritten.
const SLACK: u64 = 16 * 1024 * 1024;

impl<T: Serialize + DeserializeOwned> Log<T> {
    /// Opens a log and returns its entries. A last line that a crash cut off is removed.
    pub(crate) fn open(path: PathBuf) -> io::Result<(Self, Vec<T>)> {
        let folder = folder_of(&path);
        create_private_folder(folder)?;
        let file = File::options().create(true).append(true).read(true).open(&path)?;
        sync_folder(folder)?;
        let mut entries = Vec::new();
        let mut length = 0;
        let mut lines = BufReader::new(&file);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line)? > 0 {
            match serde_json::from_slice(&line) {
                Ok(entry) if line.ends_with(b"\n") => entries.push(entry),
                // Only the last line can belong to a write that was never confirmed.
                _ if lines.fill_buf()?.is_empty() => break,
                Ok(_) => {}
                Err(error) => {
                    return Err(io::Error::other(format!(
                        "{} is damaged: {error}; restore it from a backup or use another data directory",
                        path.display()
                    )));
                }
            }
            length += line.len() as u64;
            line.clear();
        }
        file.set_len(length)?;
        Ok((Log { path, file, length, rewrite_above: length.saturating_mul(2) + SLACK, entry: PhantomData }, entries))
    }

    /// Appends an entry. It survives a crash once this returns `Ok`.
    pub(crate) fn append(&mut self, entry: &T) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry).map_err(io::Error::other)?;
        line.push(b'\n');
        let written = self.file.write_all(&line).and_then(|()| self.file.sync_data());
        if written.is_err() {
            // Otherwise half a line becomes the beginning of the next one.
            self.file.set_len(self.length)?;
            return written;
        }
        self.length += line.len() as u64;
        Ok(())
    }

    /// Returns `true` if the log should be rewritten, because most of its entries are probably outdated.
    pub(crate) fn is_long(&self) -> bool {
        self.length > self.rewrite_above
    }

    /// Replaces all entries by `entries`.
    pub(crate) fn rewrite(&mut self, entries: impl Iterator<Item = T>) -> io::Result<()> {
        let folder = folder_of(&self.path);
        let file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder)?;
        let mut lines = BufWriter::new(file);
        for entry in entries {
            serde_json::to_writer(&mut lines, &entry).map_err(io::Error::other)?;
            lines.write_all(b"\n")?;
        }
        let file = lines.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.as_file().sync_all()?;
        file.persist(&self.path)?;
        sync_folder(folder)?;
        self.file = File::options().append(true).open(&self.path)?;
        self.length = self.file.metadata()?.len();
        self.rewrite_above = self.length.saturating_mul(2) + SLACK;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_returns_its_entries_and_drops_a_line_that_was_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let (mut log, entries) = Log::<Vec<u32>>::open(path.clone()).unwrap();
        assert!(entries.is_empty());
        log.append(&vec![1, 2]).unwrap();
        log.append(&vec![3]).unwrap();
        let whole = fs::read(&path).unwrap();
        assert_eq!(whole, b"[1,2]\n[3]\n");
        for end in b"[1,2]\n".len()..whole.len() {
            fs::write(&path, &whole[..end]).unwrap();
            let (mut log, entries) = Log::<Vec<u32>>::open(path.clone()).unwrap();
            assert_eq!(entries, [[1, 2]], "cut at {end}");
            log.append(&vec![4]).unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"[1,2]\n[4]\n");
        }
    }

    #[test]
    fn a_log_that_is_damaged_in_the_middle_is_rejected() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, "[1]\n[2\n[3]\n").unwrap();
        let error = Log::<Vec<u32>>::open(path).unwrap_err();
        assert!(error.to_string().contains("is damaged"), "{error}");
    }

    #[test]
    fn a_rewritten_log_has_the_new_entries_and_accepts_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let (mut log, _) = Log::<u32>::open(path.clone()).unwrap();
        log.append(&1).unwrap();
        log.append(&2).unwrap();
        log.rewrite([3].into_iter()).unwrap();
        log.append(&4).unwrap();
        assert_eq!(Log::<u32>::open(path).unwrap().1, [3, 4]);
    }
}
