//! Crash-safe files: a kill at any moment leaves either the old state or the new one.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The prefix of files that are being written. At the start, such a file is left over from a crash.
const UNFINISHED: &str = ".unfinished-";

/// A file of a data directory that cannot be used. The emulator starts without it and keeps it, so that its owner can
/// repair it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct DamagedFile {
    pub(crate) path: PathBuf,
    /// The problem with it.
    pub(crate) problem: String,
}

/// The files of a data directory that cannot be used.
#[derive(Debug, Default)]
pub(crate) struct Damage(pub(crate) Vec<DamagedFile>);

impl Damage {
    pub(crate) fn add(&mut self, path: impl Into<PathBuf>, problem: impl ToString) {
        let damaged = DamagedFile { path: path.into(), problem: problem.to_string() };
        tracing::warn!("{damaged}");
        self.0.push(damaged);
    }
}

impl fmt::Display for DamagedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DamagedFile { path, problem } = self;
        write!(f, "{} is damaged and ignored: {problem}; restore it from a backup or remove it", path.display())
    }
}

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

    /// Removes the files that a crash left unfinished, and returns all records that are not damaged.
    pub(crate) fn load(&self, damage: &mut Damage) -> io::Result<Vec<T>> {
        let mut records = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(UNFINISHED) {
                fs::remove_file(&path)?;
            } else if name.ends_with(".json") {
                match fs::read(&path).and_then(|text| Ok(serde_json::from_slice(&text)?)) {
                    Ok(record) => records.push(record),
                    Err(error) => damage.add(path, error),
                }
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

    /// Returns the path of a record's file.
    pub(crate) fn path(&self, id: &str) -> PathBuf {
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
    /// Opens a log and returns its entries. A last line without its line break is removed: its write was never confirmed.
    ///
    /// Any other line that cannot be read is damage. It is skipped, and a copy of the whole log is kept. Copies of earlier
    /// starts are reported, too, as long as they exist.
    pub(crate) fn open(path: PathBuf, damage: &mut Damage) -> io::Result<(Self, Vec<T>)> {
        let folder = folder_of(&path);
        create_private_folder(folder)?;
        let file = File::options().create(true).append(true).read(true).open(&path)?;
        sync_folder(folder)?;
        for copy in damaged_copies(&path)? {
            damage.add(copy, "it is the copy of an earlier log, of which not all could be read");
        }
        let mut entries = Vec::new();
        let mut length = 0;
        let mut problem = None;
        let mut lines = BufReader::new(&file);
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            lines.read_until(b'\n', &mut line)?;
            if !line.ends_with(b"\n") {
                break;
            }
            match serde_json::from_slice(&line) {
                Ok(entry) => entries.push(entry),
                Err(error) => problem = problem.or_else(|| Some(format!("line {number} cannot be read: {error}"))),
            }
            length += line.len() as u64;
        }
        file.set_len(length)?;
        if let Some(problem) = problem {
            damage.add(keep_copy(&path)?, problem);
        }
        Ok((Log { path, file, length, rewrite_above: length.saturating_mul(2) + SLACK, entry: PhantomData }, entries))
    }

    /// Keeps a copy of the log, and returns its path.
    pub(crate) fn keep_copy(&self) -> io::Result<PathBuf> {
        keep_copy(&self.path)
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

/// The text between the name of a log and the number of its copy.
const DAMAGED: &str = ".damaged-";

/// Copies a log to the first free name of `NAME.damaged-1`, `NAME.damaged-2`, ...
fn keep_copy(log: &Path) -> io::Result<PathBuf> {
    let folder = folder_of(log);
    let mut copy = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder)?;
    io::copy(&mut File::open(log)?, &mut copy)?;
    copy.as_file().sync_all()?;
    let mut number = 1;
    loop {
        let mut path = log.as_os_str().to_owned();
        path.push(format!("{DAMAGED}{number}"));
        copy = match copy.persist_noclobber(&path) {
            Ok(_) => break sync_folder(folder).map(|()| path.into()),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => error.file,
            Err(error) => return Err(error.error),
        };
        number += 1;
    }
}

/// Returns the copies that [`keep_copy`] made.
fn damaged_copies(log: &Path) -> io::Result<Vec<PathBuf>> {
    let prefix = format!("{}{DAMAGED}", log.file_name().unwrap_or_default().to_string_lossy());
    let mut copies = Vec::new();
    for entry in fs::read_dir(folder_of(log))? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            copies.push(entry.path());
        }
    }
    copies.sort();
    Ok(copies)
}

/// Returns `true` for the failures of a write for which there is no space: the disk, the quota of the user, and the
/// limit of the process for the size of a file.
pub(crate) fn is_out_of_space(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_returns_its_entries_and_drops_a_line_that_was_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let (mut log, entries) = Log::<Vec<u32>>::open(path.clone(), &mut Damage::default()).unwrap();
        assert!(entries.is_empty());
        log.append(&vec![1, 2]).unwrap();
        log.append(&vec![3]).unwrap();
        let whole = fs::read(&path).unwrap();
        assert_eq!(whole, b"[1,2]\n[3]\n");
        for end in b"[1,2]\n".len()..whole.len() {
            fs::write(&path, &whole[..end]).unwrap();
            let (mut log, entries) = Log::<Vec<u32>>::open(path.clone(), &mut Damage::default()).unwrap();
            assert_eq!(entries, [[1, 2]], "cut at {end}");
            log.append(&vec![4]).unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"[1,2]\n[4]\n");
        }
    }

    #[test]
    fn a_damaged_line_of_a_log_is_skipped_and_a_copy_is_kept() {
        for (text, entries) in [("[1]\n[2\n[3]\n", vec![1, 3]), ("[1]\n[2]\n\0\0\n", vec![1, 2]), ("\n[1]\n", vec![1])]
        {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("log");
            fs::write(&path, text).unwrap();
            let mut damage = Damage::default();
            let (mut log, read) = Log::<[u32; 1]>::open(path.clone(), &mut damage).unwrap();
            assert_eq!(read.concat(), entries);
            let copy = folder.path().join("log.damaged-1");
            assert_eq!(damage.0[0].path, copy);
            assert!(damage.0[0].problem.starts_with("line "), "{damage:?}");

            log.rewrite(read.into_iter()).unwrap();
            let mut damage = Damage::default();
            assert_eq!(Log::<[u32; 1]>::open(path.clone(), &mut damage).unwrap().1.concat(), entries);
            assert_eq!(damage.0.len(), 1, "the copy is still reported");
            assert_eq!(fs::read_to_string(&copy).unwrap(), text);
            fs::write(&path, "x\n").unwrap();
            Log::<[u32; 1]>::open(path, &mut Damage::default()).unwrap();
            assert_eq!(fs::read_to_string(copy).unwrap(), text, "a second copy has another name");
            assert_eq!(fs::read_to_string(folder.path().join("log.damaged-2")).unwrap(), "x\n");
        }
    }

    #[test]
    fn a_rewritten_log_has_the_new_entries_and_accepts_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let (mut log, _) = Log::<u32>::open(path.clone(), &mut Damage::default()).unwrap();
        log.append(&1).unwrap();
        log.append(&2).unwrap();
        log.rewrite([3].into_iter()).unwrap();
        log.append(&4).unwrap();
        assert_eq!(Log::<u32>::open(path, &mut Damage::default()).unwrap().1, [3, 4]);
    }
}
