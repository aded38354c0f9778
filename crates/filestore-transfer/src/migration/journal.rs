//! [`Journal`]: the record of a migration on disk, from which a later run goes on, and the map of the references.

use std::collections::HashSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek, SeekFrom, Write};
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;

use filestore_core::{Effect, Error, ErrorKind, FileRef, Result};
use serde::Serialize;
use tokio::sync::oneshot;

use super::records::{Begin, Header, Line, Moved, open_regular, read_lines, read_open};

/// The open journal and the map of a running migration. A thread writes both; one sync covers all lines that wait for it.
#[derive(Clone)]
pub(super) struct Journal {
    lines: mpsc::Sender<Entry>,
    on_failure: Arc<OnceLock<Box<OnFailure>>>,
}

type OnFailure = dyn Fn() + Send + Sync;

/// A line to write.
struct Entry {
    /// `None`: the end.
    line: Option<Line>,
    is_durable: bool,
    written: oneshot::Sender<Result<()>>,
}

impl Journal {
    /// Opens the journal and the map, or creates them. `planned` is the length of the journal when it was read. No other
    /// process can open it until it is closed, or until this value and its clones are dropped.
    ///
    /// Fails with *invalid input* if the journal is that of another migration, if a line is damaged, or if another
    /// process uses it or has used it since then; with *permission*, *quota* or *io* if the files cannot be written.
    pub(super) fn open(path: &Path, map: &Path, header: &Header, planned: u64) -> Result<Self> {
        if path == map {
            return Err(Error::invalid("the journal and the map are one file; name two files"));
        }
        let journal = open_private(path)?;
        match journal.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::invalid(format!(
                    "another process moves files with the journal {}; wait for it, or give each shard a journal of its own",
                    path.display()
                )));
            }
            // A file system without locks.
            Err(TryLockError::Error(_)) => {}
        }
        let (records, length) = read_open(&journal, path, header)?;
        if length != planned {
            return Err(Error::invalid(format!(
                "another process has moved files with the journal {} since this migration was planned; plan it again",
                path.display()
            )));
        }
        let mut files = Files { journal, map: open_private(map)?, path: path.to_owned(), map_path: map.to_owned() };
        let mut mapped = HashSet::new();
        let map_length = read_lines(&files.map, map, "map of a migration", |moved: Moved| {
            mapped.insert(moved.from);
            Ok(())
        })?;
        files.end_at(length, map_length)?;
        let missing = records.files.iter().filter(|(from, _)| !mapped.contains(from));
        let missing = missing.filter_map(|(from, record)| Some(Moved { from: from.clone(), to: record.done.clone()? }));
        files.write(missing.map(Line::Done).map(|line| (line, false)), false)?;
        files.write([(Line::Migration(header.clone()), true)], true)?;
        let (lines, entries) = mpsc::channel();
        let on_failure = Arc::new(OnceLock::<Box<OnFailure>>::new());
        let failed = Arc::clone(&on_failure);
        thread::Builder::new()
            .name("filestore-journal".to_owned())
            .spawn(move || write_entries(files, &entries, &failed))
            .map_err(|error| Error::local(error, "start a thread for", path))?;
        Ok(Self { lines, on_failure })
    }

    /// Calls `call` once if a line cannot be written.
    pub(super) fn on_failure(&self, call: impl Fn() + Send + Sync + 'static) {
        let _ = self.on_failure.set(Box::new(call));
    }

    /// Records durably that a file is about to be sent.
    pub(super) async fn begin(&self, begin: Begin) -> Result<()> {
        self.record(Some(Line::Begin(begin)), true).await
    }

    /// Records durably the reference that the service has assigned to a new file.
    pub(super) async fn assigned(&self, from: FileRef, to: FileRef) -> Result<()> {
        self.record(Some(Line::Assigned(Moved { from, to })), true).await
    }

    /// Records that the destination has certainly not stored a file.
    pub(super) async fn rejected(&self, from: FileRef) -> Result<()> {
        self.record(Some(Line::Rejected { from }), false).await
    }

    /// Records that the destination has confirmed a file, durably if `is_durable`.
    pub(super) async fn done(&self, from: FileRef, to: FileRef, is_durable: bool) -> Result<()> {
        self.record(Some(Line::Done(Moved { from, to })), is_durable).await
    }

    /// Makes everything durable, and ends the lock of the journal. Later lines fail.
    pub(super) async fn close(&self) -> Result<()> {
        self.record(None, true).await
    }

    async fn record(&self, line: Option<Line>, is_durable: bool) -> Result<()> {
        let (written, result) = oneshot::channel();
        let ended = || Error::new(ErrorKind::Other, Effect::NotSent, "the thread of the journal has ended");
        self.lines.send(Entry { line, is_durable, written }).map_err(|_| ended())?;
        result.await.unwrap_or_else(|_| Err(ended()))
    }
}

/// Writes lines until one is the end, or until all senders are dropped. After a failure, every line fails.
fn write_entries(files: Files, entries: &mpsc::Receiver<Entry>, on_failure: &OnceLock<Box<OnFailure>>) {
    let (mut files, mut failure) = (Some(files), None::<Error>);
    while let Some(open) = &mut files
        && let Ok(first) = entries.recv()
    {
        let waiting: Vec<Entry> = iter::once(first).chain(entries.try_iter()).collect();
        let is_durable = waiting.iter().any(|entry| entry.is_durable);
        let (lines, written): (Vec<_>, Vec<_>) = waiting.into_iter().map(|entry| (entry.line, entry.written)).unzip();
        let is_end = lines.iter().any(Option::is_none);
        if failure.is_none() {
            let lines = lines.into_iter().flatten().map(|line| (line, true));
            failure = open.write(lines, is_durable).and_then(|()| if is_end { open.sync_map() } else { Ok(()) }).err();
            if failure.is_some()
                && let Some(call) = on_failure.get()
            {
                call();
            }
        }
        if is_end {
            // The lock ends before the caller goes on.
            files = None;
        }
        for written in written {
            let _ = written.send(failure.as_ref().map_or(Ok(()), |error| Err(again(error))));
        }
    }
}

/// Returns a second error with the same meaning.
fn again(error: &Error) -> Error {
    Error::new(error.kind(), error.effect(), error.message())
}

struct Files {
    journal: File,
    map: File,
    path: PathBuf,
    map_path: PathBuf,
}

impl Files {
    /// Cuts off what follows the whole lines.
    fn end_at(&mut self, journal: u64, map: u64) -> Result<()> {
        for (file, length, path) in [(&mut self.journal, journal, &self.path), (&mut self.map, map, &self.map_path)] {
            let end = |file: &mut File| {
                file.set_len(length)?;
                file.seek(SeekFrom::End(0))
            };
            end(file).map_err(|error| Error::local(error, "write", path))?;
        }
        Ok(())
    }

    /// Writes lines to the journal, if the second value says so, and those of files that are done to the map.
    fn write(&mut self, lines: impl IntoIterator<Item = (Line, bool)>, is_durable: bool) -> Result<()> {
        let (mut journal, mut map) = (Vec::new(), Vec::new());
        for (line, is_new) in lines {
            if let Line::Done(moved) = &line {
                push(&mut map, moved)?;
            }
            if is_new {
                push(&mut journal, &line)?;
            }
        }
        self.journal.write_all(&journal).map_err(|error| Error::local(error, "write", &self.path))?;
        self.map.write_all(&map).map_err(|error| Error::local(error, "write", &self.map_path))?;
        if !is_durable {
            return Ok(());
        }
        self.journal.sync_data().map_err(|error| Error::local(error, "write", &self.path))
    }

    /// Makes the map durable. It needs no sync before the end: the journal restores it.
    fn sync_map(&self) -> Result<()> {
        self.map.sync_data().map_err(|error| Error::local(error, "write", &self.map_path))
    }
}

fn push(lines: &mut Vec<u8>, line: &impl Serialize) -> Result<()> {
    let json = serde_json::to_string(line)
        .map_err(|error| Error::invalid(format!("cannot write a line of the journal as JSON: {error}")))?;
    lines.extend_from_slice(json.as_bytes());
    lines.push(b'\n');
    Ok(())
}

/// Opens or creates a file that only the user can read, because references may be secrets.
fn open_private(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    open_regular(path, &options)
}
