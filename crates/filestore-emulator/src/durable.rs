//! Writing to a directory so that a kill at any moment leaves the old state or the new one.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Where unfinished writes are: anything with this prefix is left over from a crash.
const UNFINISHED: &str = ".unfinished-";

/// Replaces `path` by `content`: temporary file, sync, rename, sync of the folder.
pub(crate) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    sync_folder(folder)
}

/// Removes `path` for good; gone already is fine.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        // Also when it was gone: the sync of an earlier attempt may be what failed.
        _ => sync_folder(folder_of(path)),
    }
}

/// Makes created, renamed and removed entries of a folder survive a crash.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    // Only Unix can open a folder to sync it; elsewhere the rename itself is all there is.
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Creates a folder that only its owner can look into.
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

/// A folder of records of one type, one JSON file each.
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

    /// Every record there is, after removing what a crash left unfinished.
    pub(crate) fn load(&self) -> io::Result<Vec<T>> {
        let mut records = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(UNFINISHED) {
                fs::remove_file(&path)?;
            } else if name.ends_with(".json") {
                let record = serde_json::from_slice(&fs::read(&path)?)
                    .map_err(|error| io::Error::other(format!("{} is damaged: {error}", path.display())))?;
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

/// A file of entries, one JSON line each: an entry is there as a whole or not at all.
#[derive(Debug)]
pub(crate) struct Log<T> {
    path: PathBuf,
    file: File,
    length: u64,
    /// The length at which it is worth writing anew.
    too_long: u64,
    entry: PhantomData<fn(T) -> T>,
}

/// How much a log may grow beyond twice what it was when it was last written anew.
const SLACK: u64 = 16 * 1024 * 1024;

impl<T: Serialize + DeserializeOwned> Log<T> {
    /// The log and its entries. What a crash cut off is none.
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
                // Only the last can be of a write that nobody was told about.
                _ if lines.fill_buf()?.is_empty() => break,
                Ok(_) => {}
                Err(error) => return Err(io::Error::other(format!("{} is damaged: {error}", path.display()))),
            }
            length += line.len() as u64;
            line.clear();
        }
        file.set_len(length)?;
        Ok((Log { path, file, length, too_long: length.saturating_mul(2) + SLACK, entry: PhantomData }, entries))
    }

    /// Adds an entry, which survives a crash when this returns.
    pub(crate) fn append(&mut self, entry: &T) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry).map_err(io::Error::other)?;
        line.push(b'\n');
        let written = self.file.write_all(&line).and_then(|()| self.file.sync_data());
        if written.is_err() {
            // Half a line must not become the beginning of the next one.
            self.file.set_len(self.length)?;
            return written;
        }
        self.length += line.len() as u64;
        Ok(())
    }

    /// Whether most of it is history.
    pub(crate) fn is_long(&self) -> bool {
        self.length > self.too_long
    }

    /// Writes it anew with these entries alone.
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
        self.too_long = self.length.saturating_mul(2) + SLACK;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_gives_back_what_was_added_and_drops_a_line_that_was_cut_off() {
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
    fn a_log_written_anew_has_the_new_entries_and_goes_on() {
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
