//! [`Records`]: the lines of a journal, and the state of each file that they tell.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::Path;

use filestore_core::{Error, FileRef, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::file_metadata::FileMetadata;

/// The version of the format. A program reads its own version only.
const VERSION: u32 = 1;

/// One line of a journal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    /// The first line of each run.
    Migration(Header),
    /// A file is about to be sent. Durable before its first byte is.
    Begin(Begin),
    /// The service has assigned a reference to the new file. Durable before its first byte is sent.
    Assigned(Moved),
    /// The destination has certainly not stored the file.
    Rejected { from: FileRef },
    /// The destination has confirmed the file.
    Done(Moved),
}

/// The migration to which a journal belongs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    version: u32,
    /// `STORE:SCOPE/`.
    from: String,
    to: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    shard: Option<String>,
}

impl Header {
    pub(super) fn new(from: String, to: String, shard: Option<String>) -> Self {
        Self { version: VERSION, from, to, shard }
    }

    /// Returns `true` if it is that of the same migration, of any shard.
    fn is_same_migration(&self, other: &Self) -> bool {
        (self.version, &self.from, &self.to) == (other.version, &other.from, &other.to)
    }
}

/// A file that is about to be sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Begin {
    #[serde(flatten)]
    pub(super) file: FileMetadata,
    /// The place at the destination.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) to_scope: Option<String>,
    pub(super) to_name: String,
    /// A time before the upload, by the clock of the destination: RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<String>,
}

/// A file and its new reference: also one line of the map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Moved {
    pub(super) from: FileRef,
    pub(super) to: FileRef,
}

/// The files of a journal.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) files: HashMap<FileRef, Record>,
    pub(super) shards: HashSet<String>,
}

/// The state of one file.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// The first begin, whose time is before every upload of the file, and the place of the last one.
    pub(super) begun: Option<Begin>,
    /// The references that the service assigned.
    pub(super) assigned: Vec<FileRef>,
    pub(super) done: Option<FileRef>,
}

impl Records {
    fn add(&mut self, line: Line) {
        match line {
            Line::Migration(header) => self.shards.extend(header.shard),
            Line::Begin(mut begin) => {
                let record = self.files.entry(begin.file.reference.clone()).or_default();
                if let Some(first) = record.begun.take() {
                    begin.after = first.after;
                }
                record.begun = Some(begin);
            }
            Line::Assigned(moved) => self.files.entry(moved.from).or_default().assigned.push(moved.to),
            Line::Rejected { from } => {
                self.files.remove(&from);
            }
            Line::Done(moved) => self.files.entry(moved.from).or_default().done = Some(moved.to),
        }
    }

    /// Returns the new references of all files that are done.
    pub(super) fn targets(&self) -> impl Iterator<Item = &FileRef> {
        self.files.values().filter_map(|record| record.done.as_ref())
    }

    /// Returns the files that were begun, and are not done.
    pub(super) fn interrupted(&self) -> impl Iterator<Item = (&FileRef, &Record)> {
        self.files.iter().filter(|(_, record)| record.done.is_none() && record.begun.is_some())
    }

    /// Adds the records of another part of the same migration.
    pub(super) fn merge(&mut self, other: Self) {
        self.files.extend(other.files);
        self.shards.extend(other.shards);
    }
}

/// Reads the journal at `path`, which must be that of `header`. Returns the records, and the length of the whole lines. A
/// missing file has none.
pub(super) fn read(path: &Path, header: &Header) -> Result<(Records, u64)> {
    if matches!(path.try_exists(), Ok(false)) {
        return Ok((Records::default(), 0));
    }
    read_open(&open_regular(path, OpenOptions::new().read(true))?, path, header)
}

/// Reads the journals of the other shards of the same migration, which are in the same folder. Other files there are
/// ignored.
pub(super) fn read_siblings(path: &Path, header: &Header) -> Result<Records> {
    let mut all = Records::default();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    for entry in fs::read_dir(folder).map_err(|error| Error::local(error, "read", folder))?.flatten() {
        if entry.file_name() != path.file_name().unwrap_or_default()
            && entry.file_type().is_ok_and(|kind| kind.is_file())
            && let Ok(file) = File::open(entry.path())
            && begins_as_journal(&file)
            && let Ok((records, _)) = read_open(&file, &entry.path(), header)
        {
            all.merge(records);
        }
    }
    Ok(all)
}

/// Returns `true` if the file begins with a [`Header`]. Its position stays at the start.
fn begins_as_journal(mut file: &File) -> bool {
    const START: &[u8] = br#"{"migration":"#;
    let mut start = [0; START.len()];
    file.read_exact(&mut start).is_ok() && start == START && file.rewind().is_ok()
}

/// Returns the records, and the length of the whole lines.
pub(super) fn read_open(file: &File, path: &Path, header: &Header) -> Result<(Records, u64)> {
    let mut records = Records::default();
    let mut begins_with_header = false;
    let length = read_lines(file, path, "journal of a migration", |line: Line| {
        match &line {
            Line::Migration(found) if !found.is_same_migration(header) => {
                return Err(Error::invalid(format!(
                    "{} is the journal of the migration from {} to {}, version {}, and not of that from {} to {}, \
                     version {}; name another file with --journal",
                    path.display(),
                    found.from,
                    found.to,
                    found.version,
                    header.from,
                    header.to,
                    header.version
                )));
            }
            Line::Migration(_) => begins_with_header = true,
            _ if !begins_with_header => {
                return Err(Error::invalid(format!(
                    "{} does not begin as the journal of a migration; restore it, or name another file with --journal",
                    path.display()
                )));
            }
            _ => {}
        }
        records.add(line);
        Ok(())
    })?;
    Ok((records, length))
}

/// Parses the lines of a file, and returns the length of the whole ones. A last line without an end was cut off by a
/// crash: nothing relied on it.
pub(super) fn read_lines<T: DeserializeOwned>(
    file: &File,
    path: &Path,
    kind: &str,
    mut each: impl FnMut(T) -> Result<()>,
) -> Result<u64> {
    let (mut reader, mut line, mut length) = (BufReader::new(file), Vec::new(), 0);
    for number in 1.. {
        line.clear();
        let read = reader.read_until(b'\n', &mut line).map_err(|error| Error::local(error, "read", path))?;
        if line.last() != Some(&b'\n') {
            break;
        }
        length += read as u64;
        each(serde_json::from_slice(&line).map_err(|error| {
            Error::invalid(format!(
                "line {number} of {} is damaged, or the file is no {kind} ({error}); restore it, or begin with new files: \
                 files that the destination has already are recognized",
                path.display()
            ))
        })?)?;
    }
    Ok(length)
}

/// Opens a file. A pipe would wait for its other end, and a device may have no end.
pub(super) fn open_regular(path: &Path, options: &OpenOptions) -> Result<File> {
    let failed = |error| Error::local(error, "open", path);
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => {
            return Err(Error::invalid(format!("{} is no regular file; name another one", path.display())));
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    options.open(path).map_err(failed)
}
