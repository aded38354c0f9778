//! Downloads to the local disk: never a partial file under the final name, never a silent overwrite.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind as Io, Seek};
use std::path::{Path, PathBuf};

use futures::TryStreamExt;
use tempfile::{NamedTempFile, TempPath};
use tokio::io::AsyncWriteExt;
use tokio::task::spawn_blocking;

use crate::progress::ProgressTracker;
use crate::request::Located;
use crate::{
    ByteStream, Download, Effect, Error, ErrorKind, Feature, IfExists, Operation, Result, Store, StoredFile,
    sanitize_file_name,
};

/// A finished download.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SavedFile {
    /// What the store said of it.
    pub file: StoredFile,
    /// Where it is.
    pub path: PathBuf,
    /// How many bytes were written.
    pub bytes: u64,
    /// The path where it was to be, and where something else is: a read that consumed its file is then
    /// stored beside it, as `NAME (1).EXT`.
    pub taken: Option<PathBuf>,
}

/// Where the bytes go in the end.
enum Target<'a> {
    File(&'a Path),
    Folder(&'a Path),
}

impl Target<'_> {
    fn folder(&self) -> &Path {
        match self {
            Self::Folder(folder) => folder,
            Self::File(path) => match path.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            },
        }
    }
}

impl Store {
    /// Downloads to the file `path`: written beside it under another name, synced, then renamed.
    ///
    /// The target is opened and the space checked before the request. On failure nothing is left behind.
    ///
    /// Where the read [consumes](crate::Capabilities::reads_consume) the file, its bytes are in the visible
    /// file `NAME.partial` beside the target until they are whole. Once the request may have reached the
    /// service, nothing removes that file: an error says [where](Error::partial) it is and that the file is
    /// possibly consumed, and [`on_location`](Download::on_location) tells it to those who drop the future or
    /// panic. If a file came into being at `path` meanwhile, this one is [stored beside it](SavedFile::taken).
    ///
    /// Errors: *already exists*, *invalid input* (`path` is a folder or in none), *quota* (the disk is full),
    /// *permission*, and those of [`download`](Store::download).
    pub async fn download_to_path(
        &self,
        request: impl Into<Download> + Send,
        path: impl AsRef<Path> + Send,
        if_exists: IfExists,
    ) -> Result<SavedFile> {
        self.save(request.into(), Target::File(path.as_ref()), if_exists).await
    }

    /// Downloads into `folder`, under the name that the store gives, [sanitized](sanitize_file_name).
    ///
    /// Like [`download_to_path`](Store::download_to_path), except where the read consumes the file and the
    /// name is taken: the file is then stored as `NAME (1).EXT`, and [`SavedFile::taken`] says so.
    pub async fn download_to_folder(
        &self,
        request: impl Into<Download> + Send,
        folder: impl AsRef<Path> + Send,
        if_exists: IfExists,
    ) -> Result<SavedFile> {
        self.save(request.into(), Target::Folder(folder.as_ref()), if_exists).await
    }

    async fn save(&self, request: Download, target: Target<'_>, if_exists: IfExists) -> Result<SavedFile> {
        let reference = request.reference.clone();
        self.save_steps(request, target, if_exists)
            .await
            .map_err(|error| self.context_of(error, Operation::Download, &reference))
    }

    async fn save_steps(&self, mut request: Download, target: Target<'_>, if_exists: IfExists) -> Result<SavedFile> {
        let consumes = self.capabilities().reads_consume();
        // 1. Whatever can be rejected is rejected before the request.
        if let Target::File(path) = target {
            check_target(path, if_exists)?;
        }
        // A listing tells name and size without a read, unless the file is somebody else's.
        let listed = match consumes && self.capabilities().supports(Feature::Stat) {
            true => self.stat(&request.reference).await.ok(),
            false => None,
        };
        let size = listed.as_ref().and_then(|file| file.size);
        // 2. Whatever this machine has to give is held before the request.
        let (watch, located) = (request.watch.take(), request.located.take());
        let mut partial = if consumes {
            let listed = listed.map(|file| sanitize_file_name(&file.name));
            let name = match target {
                Target::File(path) => path.file_name(),
                Target::Folder(_) => listed.as_deref().map(OsStr::new),
            };
            Partial::visible(target.folder(), name.unwrap_or(OsStr::new("download")))?
        } else {
            Partial::hidden(target.folder())?
        };
        partial.check_space(size.unwrap_or(1))?;
        if consumes {
            partial.hold_space(size.unwrap_or(0))?;
            partial.keep(&located);
        }
        // 3. From here on the service may have counted the read.
        let answer = match self.download(request).await {
            Ok(answer) => answer,
            Err(error) => return Err(partial.rejected(error).await),
        };
        let path = match target {
            Target::File(path) => path.to_owned(),
            Target::Folder(folder) => folder.join(sanitize_file_name(&answer.file.name)),
        };
        if !consumes {
            let fits =
                check_target(&path, if_exists).and_then(|()| partial.check_space(answer.stream.length().unwrap_or(1)));
            fits.map_err(|error| error.with_effect(Effect::Rejected))?;
        }
        // 4. All bytes, on the disk, then under their name.
        let mut written = 0;
        let stored = partial.write(answer.stream, watch.as_ref(), &mut written).await;
        if let Err(error) = stored.and_then(|()| check_size(written, size)) {
            return Err(partial.broken(error).await);
        }
        let (path, taken) = partial.rename(path, if_exists, &located).await?;
        Ok(SavedFile { file: answer.file, path, bytes: written, taken })
    }
}

/// The answer may state a length of its own that is wrong; the listing knows better.
fn check_size(written: u64, listed: Option<u64>) -> Result<()> {
    match listed {
        Some(size) if size != written => Err(Error::new(
            ErrorKind::Integrity,
            Effect::Unknown,
            format!("{written} bytes came, but the file was listed with {size}"),
        )),
        _ => Ok(()),
    }
}

fn check_target(path: &Path, if_exists: IfExists) -> Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == Io::NotFound && names_a_folder(path) => {
            return Err(Error::invalid(format!("there is no folder {}; make it, or name a file", path.display())));
        }
        Err(error) if error.kind() == Io::NotFound => return Ok(()),
        // Too long a name, a file where a folder is needed: the rename would find out, after the read.
        Err(error) => return Err(Error::local(error, "write to", path)),
    };
    if metadata.is_dir() {
        return Err(Error::invalid(format!("{} is a folder; name a file in it", path.display())));
    }
    if if_exists == IfExists::Fail {
        return Err(already_exists(path));
    }
    // A link is replaced as a file is, unless it is a name for something else, such as a device.
    let regular = match metadata.is_symlink() {
        true => fs::metadata(path).map_or(true, |metadata| metadata.is_file()),
        false => metadata.is_file(),
    };
    // `/dev/stdout` leads to a descriptor of this process, which may be a regular file.
    let is_descriptor =
        fs::read_link(path).is_ok_and(|target| target.starts_with("/proc") || target.starts_with("/dev/fd"));
    if !regular || is_descriptor {
        return Err(Error::invalid(format!("{} is not a regular file and cannot be replaced", path.display())));
    }
    Ok(())
}

/// Whether it ends with a separator, which [`Path`] forgets.
fn names_a_folder(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().last().is_some_and(|last| std::path::is_separator(char::from(*last)))
}

fn already_exists(path: &Path) -> Error {
    let message = format!("{} exists and is left as it is; choose another path or allow the overwrite", path.display());
    Error::new(ErrorKind::AlreadyExists, Effect::NotSent, message)
}

/// The file while it is not whole yet, in the folder of the target.
struct Partial {
    file: tokio::fs::File,
    /// Removed when it is dropped, unless it is kept.
    path: TempPath,
    /// The folder, for the sync after the rename. Not on Windows, which has no such thing.
    folder: Option<tokio::fs::File>,
    held: Option<Held>,
    /// The service may have consumed the file: these bytes may be the only copy.
    kept: bool,
}

impl Partial {
    /// For a read that is free: hidden, and gone with the future.
    fn hidden(folder: &Path) -> Result<Self> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(".filestore-").suffix(".part");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // As for any new file: the umask decides.
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        let created = builder.tempfile_in(absolute(folder)).map_err(|error| Error::local(error, "write to", folder))?;
        let (file, path) = NamedTempFile::into_parts(created);
        Self::of(file, path, folder)
    }

    /// For a read that consumes: `NAME.partial`, for people to find.
    fn visible(folder: &Path, name: &OsStr) -> Result<Self> {
        let failed = |error| Error::local(error, "write to", folder);
        let full = absolute(folder);
        let mut partial = name.to_owned();
        partial.push(".partial");
        let created = match first_free(&full.join(partial), create) {
            // Almost too long a name, now too long.
            Err(error) if error.kind() == Io::InvalidFilename => first_free(&full.join("download.partial"), create),
            created => created,
        };
        let (file, path) = created.map_err(failed)?;
        Self::of(file, TempPath::try_from_path(path).map_err(failed)?, folder)
    }

    fn of(file: fs::File, path: TempPath, folder: &Path) -> Result<Self> {
        let file = tokio::fs::File::from_std(file);
        let folder = match cfg!(unix) {
            true => Some(fs::File::open(folder).map_err(|error| Error::local(error, "open the folder", folder))?),
            false => None,
        };
        Ok(Self { file, path, folder: folder.map(tokio::fs::File::from_std), held: None, kept: false })
    }

    /// *Quota* if the file system has less than `bytes` left, or this process may not write so many.
    fn check_space(&self, bytes: u64) -> Result<()> {
        match free_space(&self.file) {
            Some(free) if free < bytes => Err(self.full(&format!("has {free} bytes left, {bytes} are needed"))),
            _ => Ok(()),
        }
    }

    /// Takes the space now, where the file system can: nothing else fills the disk during the read.
    fn hold_space(&mut self, bytes: u64) -> Result<()> {
        match allocate(&self.file, bytes) {
            Ok(held) => self.held = held,
            Err(error) if matches!(error.kind(), Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge) => {
                return Err(self.full(&format!("cannot hold {bytes} bytes")));
            }
            Err(_) => {}
        }
        Ok(())
    }

    fn full(&self, problem: &str) -> Error {
        let message = format!("the disk of {} {problem}; free some space", self.path.display());
        Error::new(ErrorKind::Quota, Effect::NotSent, message)
    }

    /// From now on it stays, whatever ends the download.
    fn keep(&mut self, located: &Located) {
        located.tell(&self.path);
        self.path.disable_cleanup(true);
        self.kept = true;
    }

    async fn write(
        &mut self,
        mut stream: ByteStream,
        watch: Option<&ProgressTracker>,
        written: &mut u64,
    ) -> Result<()> {
        let Self { file, path, held, kept, .. } = self;
        let mut writing = |now| held.iter_mut().for_each(|held| held.writing = now);
        let failed = |error: io::Error| Error::local(error, "write", path).with_effect(Effect::Rejected);
        let total = stream.length();
        let ended = loop {
            match stream.try_next().await {
                Ok(Some(chunk)) => {
                    writing(true);
                    file.write_all(&chunk).await.map_err(failed)?;
                    // A chunk that waits for the one before would be lost with the future.
                    if *kept {
                        file.flush().await.map_err(failed)?;
                        writing(false);
                    }
                    *written += chunk.len() as u64;
                    if let Some(watch) = watch {
                        watch.advance(chunk.len(), total);
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        // Before any error: the last write may still be under way, and it may be the only copy.
        file.flush().await.map_err(failed)?;
        ended?;
        file.sync_all().await.map_err(failed)
    }

    /// Whether the file at `path` is this one.
    fn is_at(&self, path: &Path) -> bool {
        is_same_file(&self.file, path) || (cfg!(not(unix)) && absolute(path) == absolute(&self.path))
    }

    /// Makes its path the true one: during a read of hours its file may be moved, removed or replaced by another.
    /// Bytes that may be the only copy and have no name any more are written anew.
    async fn find(&mut self) -> Result<()> {
        if self.is_at(&self.path) {
            return Ok(());
        }
        let lost = self.path.to_path_buf();
        // What is there now is not ours to remove.
        self.path.disable_cleanup(true);
        if !self.kept {
            let message =
                format!("{} was moved, removed or replaced during the download; repeat the download", lost.display());
            return Err(Error::new(ErrorKind::Io, Effect::Rejected, message));
        }
        let found = async {
            let file = self.file.try_clone().await?.into_std().await;
            let from = lost.clone();
            let (place, anew) = spawn_blocking(move || locate(&file, &from)).await.map_err(io::Error::other)??;
            if let Some(anew) = anew {
                self.file = tokio::fs::File::from_std(anew);
            }
            self.path = TempPath::try_from_path(place)?;
            self.path.disable_cleanup(true);
            Ok(())
        };
        let found: io::Result<()> = found.await;
        found.map_err(|error| Error::local(error, "write anew what was moved, removed or replaced as", &lost))
    }

    /// Gives it its name, and puts the name on the disk. Where the bytes may be the only copy and the name is
    /// taken, they get the next free one; then says which was taken.
    async fn rename(
        mut self,
        path: PathBuf,
        if_exists: IfExists,
        located: &Located,
    ) -> Result<(PathBuf, Option<PathBuf>)> {
        if let Err(error) = self.find().await {
            return Err(self.broken(error).await);
        }
        // While nobody else writes to it.
        self.held = None;
        let in_place = self.is_at(&path);
        let Self { path: temporary, folder, kept, .. } = self;
        let place = temporary.to_path_buf();
        // One system call, which waits for no data: those are synced.
        let renamed = match if_exists {
            // A service may well call it `download.partial`.
            _ if in_place => temporary.keep().map(drop),
            IfExists::Replace if check_target(&path, if_exists).is_ok() => temporary.persist(&path),
            // What cannot be replaced is left as it is, too.
            _ => temporary.persist_noclobber(&path),
        };
        let (path, taken) = match renamed {
            Ok(()) => (path, None),
            Err(failed) if !kept => {
                let error = match failed.error.kind() {
                    Io::AlreadyExists => already_exists(&path),
                    _ => Error::local(failed.error, "rename the download to", &path),
                };
                return Err(error.with_effect(Effect::Rejected));
            }
            Err(failed) => {
                let mut temporary = Some(failed.path);
                let beside = first_free(&path, |free| match temporary.take() {
                    Some(held) => held.persist_noclobber(free).map_err(|failed| {
                        temporary = Some(failed.path);
                        failed.error
                    }),
                    None => Ok(()),
                });
                match beside {
                    Ok(((), beside)) if beside == path => (path, None),
                    Ok(((), beside)) => (beside, Some(path)),
                    Err(_) => {
                        let note = format!("the whole file is kept in {}", place.display());
                        let error = Error::local(failed.error, "rename the download to", &path);
                        return Err(error.with_effect(Effect::Applied).with_note(&note).with_partial(place));
                    }
                }
            }
        };
        if kept {
            located.tell(&absolute(&path));
        }
        // Without this, the name may be lost with the power although its file is on the disk.
        let synced = match folder {
            Some(folder) => folder.sync_all().await,
            None => Ok(()),
        };
        match synced {
            Ok(()) => Ok((path, taken)),
            Err(error) => {
                let error = Error::local(error, "sync the folder of", &path);
                Err(match kept {
                    true => error.with_effect(Effect::Applied).with_partial(path),
                    false => error.with_effect(Effect::Rejected),
                })
            }
        }
    }

    /// Of a request that failed: removes it if the service has certainly not counted the read.
    async fn rejected(mut self, error: Error) -> Error {
        if self.kept && !matches!(error.effect(), Effect::NotSent | Effect::Rejected) {
            return self.possibly_consumed(error).await;
        }
        let other = !self.is_at(&self.path);
        self.path.disable_cleanup(other);
        error
    }

    /// Of a response that broke off.
    async fn broken(mut self, error: Error) -> Error {
        if !self.kept {
            return error;
        }
        // A write that failed has ended, too.
        self.held.iter_mut().for_each(|held| held.writing = false);
        self.possibly_consumed(error).await
    }

    async fn possibly_consumed(mut self, error: Error) -> Error {
        let found = self.find().await;
        if !self.is_at(&self.path) {
            let why = found.map_or_else(|error| error.to_string(), |()| "its file is gone".to_owned());
            return error.possibly_consumed().with_note(&format!("nothing of it is kept: {why}"));
        }
        // On a full disk not all that arrived was written.
        let kept = fs::metadata(&self.path).map_or(0, |metadata| metadata.len());
        let note = format!("{kept} bytes of it are kept in {}", self.path.display());
        error.possibly_consumed().with_note(&note).with_partial(self.path.to_path_buf())
    }
}

/// Space that was taken before the read. What is not used goes back when this is dropped, as by a signal.
struct Held {
    file: fs::File,
    /// A write is under way, which may outlast the future: a length set now could cut it.
    writing: bool,
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.writing
            && let Ok(metadata) = self.file.metadata()
        {
            let _ = self.file.set_len(metadata.len());
        }
    }
}

/// Without the `.` of "here": the path may be shown to a person.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// A new file. What is written can be read again, for the case that its name is lost.
fn create(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new().read(true).write(true).create_new(true).open(path)
}

/// Returns where the bytes of an open partial file are that was at `path`: for a program that ends during a
/// [`Download`](crate::Download) which consumes its file, and has opened what
/// [`on_location`](crate::Download::on_location) named.
///
/// The file may have been moved since (found on Linux). One that has no name any more, or whose name is that of another
/// file, is written anew beside `path`. Fails where that fails; the new file then has what could be written.
pub fn locate_partial(file: &fs::File, path: &Path) -> io::Result<PathBuf> {
    locate(file, path).map(|(place, _)| place)
}

/// The same, with the file that was written anew.
fn locate(file: &fs::File, path: &Path) -> io::Result<(PathBuf, Option<fs::File>)> {
    if is_same_file(file, path) || cfg!(not(unix)) {
        return Ok((path.to_owned(), None));
    }
    if let Some(place) = moved_to(file).filter(|place| is_same_file(file, place)) {
        return Ok((place, None));
    }
    let (mut anew, place) = first_free(path, create)?;
    let mut old = file.try_clone()?;
    old.rewind()?;
    io::copy(&mut old, &mut anew)?;
    anew.sync_all()?;
    Ok((place, Some(anew)))
}

/// Whether the file at `path` is the open one.
#[cfg(unix)]
fn is_same_file(file: impl std::os::fd::AsFd, path: &Path) -> bool {
    let identity = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino);
    let own = rustix::fs::fstat(file).map(identity);
    own.is_ok() && own == rustix::fs::lstat(path).map(identity)
}

/// Without stable identities of files, nothing is known.
#[cfg(not(unix))]
fn is_same_file<F>(_: F, _: &Path) -> bool {
    false
}

/// The path that the system knows for an open file, which may have been moved.
#[cfg(target_os = "linux")]
fn moved_to(file: &fs::File) -> Option<PathBuf> {
    use std::os::fd::AsRawFd;
    fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()
}

#[cfg(not(target_os = "linux"))]
fn moved_to(_: &fs::File) -> Option<PathBuf> {
    None
}

/// No folder has so many files of one name in good faith.
const MOST_NUMBERED: u32 = 10_000;

/// Takes `path`, or the first of `NAME (1).EXT`, `NAME (2).EXT`, ... that nothing has. `take` decides in one
/// step, with *already exists*.
fn first_free<T>(path: &Path, mut take: impl FnMut(&Path) -> io::Result<T>) -> io::Result<(T, PathBuf)> {
    let mut candidate = path.to_owned();
    for number in 1..=MOST_NUMBERED {
        match take(&candidate) {
            Err(error) if error.kind() == Io::AlreadyExists => candidate = numbered(path, number),
            taken => return taken.map(|taken| (taken, candidate)),
        }
    }
    Err(Io::AlreadyExists.into())
}

/// `NAME (1).EXT` of `NAME.EXT`.
fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!(" ({number})"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// What is left of the disk, and of the largest file that this process may write.
#[cfg(unix)]
fn free_space(file: &tokio::fs::File) -> Option<u64> {
    let largest = rustix::process::getrlimit(rustix::process::Resource::Fsize).current.unwrap_or(u64::MAX);
    let stat = rustix::fs::fstatvfs(file).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize).min(largest))
}

#[cfg(not(unix))]
fn free_space(_: &tokio::fs::File) -> Option<u64> {
    None
}

/// Its length stays what it is.
#[cfg(target_os = "linux")]
fn allocate(file: &tokio::fs::File, bytes: u64) -> io::Result<Option<Held>> {
    use std::os::fd::AsFd;
    if bytes == 0 {
        return Ok(None);
    }
    let held = Held { file: file.as_fd().try_clone_to_owned()?.into(), writing: false };
    rustix::fs::fallocate(file, rustix::fs::FallocateFlags::KEEP_SIZE, 0, bytes)?;
    Ok(Some(held))
}

#[cfg(not(target_os = "linux"))]
fn allocate(_: &tokio::fs::File, _: u64) -> io::Result<Option<Held>> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use async_trait::async_trait;
    use bytes::Bytes;
    use futures::stream::{self, Stream, StreamExt};

    use super::*;
    use crate::{
        Capabilities, Delete, Downloaded, FileRef, FileStore, FileUrl, List, Page, ReadEffect, Stat, Upload, UrlRequest,
    };

    fn rejected(path: &Path) -> Error {
        check_target(path, IfExists::Replace).unwrap_err()
    }

    #[test]
    fn a_target_that_cannot_be_is_rejected_before_anything_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        assert!(check_target(&folder.path().join("new"), IfExists::Fail).is_ok());
        for path in [folder.path().join("new/"), file.join("in"), folder.path().join("x".repeat(300))] {
            let error = rejected(&path);
            assert_eq!((error.kind(), error.effect()), (ErrorKind::InvalidInput, Effect::NotSent), "{error}");
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = rejected(&folder.path().join("new/"));
        assert!(error.to_string().contains("there is no folder"), "{error}");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn what_is_no_regular_file_is_not_replaced_through_a_link_either() {
        let folder = tempfile::tempdir().unwrap();
        let link = |name: &str, to: &Path| {
            let link = folder.path().join(name);
            std::os::unix::fs::symlink(to, &link).unwrap();
            link
        };
        let regular = link("file", Path::new("regular"));
        fs::write(&regular, "x").unwrap();
        let device = link("a.txt", Path::new("/dev/null"));
        for path in [&device, &link("indirect", &device), &link("folder", folder.path())] {
            let error = rejected(path);
            assert_eq!((error.kind(), error.effect()), (ErrorKind::InvalidInput, Effect::NotSent), "{error}");
        }
        for path in [regular, link("to nothing", Path::new("nothing"))] {
            assert!(check_target(&path, IfExists::Replace).is_ok(), "{}", path.display());
        }
        // The name of a consumed file is known after the read only.
        let store = consuming(stream::empty());
        let saved = store.download_to_folder(file(), folder.path(), IfExists::Replace).await.unwrap();
        assert_eq!((saved.path, saved.taken), (folder.path().join("a (1).txt"), Some(device.clone())));
        assert!(device.is_symlink());
    }

    /// A store of one file, which answers a read once.
    #[derive(Debug)]
    struct Once {
        capabilities: Capabilities,
        name: &'static str,
        answer: Mutex<Option<Result<ByteStream>>>,
    }

    #[async_trait]
    impl FileStore for Once {
        fn capabilities(&self) -> &Capabilities {
            &self.capabilities
        }

        async fn download(&self, request: Download) -> Result<Downloaded> {
            let answer = self.answer.lock().unwrap().take().expect("one read");
            Ok(Downloaded::new(StoredFile::new(request.reference, self.name), answer?))
        }

        async fn upload(&self, _: Upload) -> Result<StoredFile> {
            unimplemented!()
        }

        async fn list(&self, _: List) -> Result<Page> {
            unimplemented!()
        }

        /// The listing has a file of four bytes.
        async fn stat(&self, request: Stat) -> Result<StoredFile> {
            let mut file = StoredFile::new(request.reference, self.name);
            file.size = Some(4);
            Ok(file)
        }

        async fn delete(&self, _: Delete) -> Result<()> {
            unimplemented!()
        }

        async fn url(&self, _: UrlRequest) -> Result<FileUrl> {
            unimplemented!()
        }
    }

    fn store(read_effect: ReadEffect, name: &'static str, answer: Result<ByteStream>) -> Store {
        of(Capabilities::new("once"), read_effect, name, answer)
    }

    fn listed(name: &'static str, content: &'static str) -> Store {
        let stream = ByteStream::download(stream::iter([Ok(Bytes::from_static(content.as_bytes()))]), None);
        of(Capabilities::new("once").native([Feature::Stat]), ReadEffect::Consumes, name, Ok(stream))
    }

    fn of(
        mut capabilities: Capabilities,
        read_effect: ReadEffect,
        name: &'static str,
        answer: Result<ByteStream>,
    ) -> Store {
        capabilities.read_effect = read_effect;
        Store::new("s", Arc::new(Once { capabilities, name, answer: Mutex::new(Some(answer)) }))
            .expect("a name that references can carry")
    }

    fn consuming(rest: impl Stream<Item = Result<Bytes>> + Send + 'static) -> Store {
        let first = stream::iter([Ok(Bytes::from_static(b"ab"))]);
        store(ReadEffect::Consumes, "a.txt", Ok(ByteStream::download(first.chain(rest), None)))
    }

    fn file() -> FileRef {
        "s:once:key".parse().unwrap()
    }

    fn broken() -> Error {
        Error::new(ErrorKind::Unavailable, Effect::Rejected, "it broke")
    }

    /// The names in `folder` and their contents, in order.
    fn entries(folder: &Path) -> Vec<(String, String)> {
        let content =
            |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap());
        let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| content(entry.unwrap())).collect();
        entries.sort();
        entries
    }

    fn entry(name: &str, content: &str) -> (String, String) {
        (name.to_owned(), content.to_owned())
    }

    #[tokio::test]
    async fn what_came_of_a_read_that_consumes_is_kept_where_the_error_says() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("copy.txt.partial"), "another").unwrap();
        let target = folder.path().join("copy.txt");
        let store = consuming(stream::iter([Err(broken())]));
        let error = store.download_to_path(file(), target, IfExists::Fail).await.unwrap_err();
        assert_eq!(error.effect(), Effect::Unknown);
        assert!(error.to_string().contains("possibly consumed"), "{error}");
        assert_eq!(error.partial().unwrap(), folder.path().join("copy.txt (1).partial"));
        let kept = [entry("copy.txt (1).partial", "ab"), entry("copy.txt.partial", "another")];
        assert_eq!(entries(folder.path()), kept);
    }

    #[tokio::test]
    async fn a_dropped_read_that_consumes_leaves_its_bytes_at_the_place_that_was_told() {
        let folder = tempfile::tempdir().unwrap();
        let place = Arc::new(Mutex::new(PathBuf::new()));
        let told = Arc::clone(&place);
        let request = Download::from(file()).on_location(move |path| path.clone_into(&mut told.lock().unwrap()));
        let (store, target) = (consuming(stream::pending()), folder.path().to_owned());
        let read = tokio::spawn(async move { store.download_to_folder(request, target, IfExists::Fail).await });
        while fs::metadata(&*place.lock().unwrap()).map_or(0, |metadata| metadata.len()) < 2 {
            tokio::task::yield_now().await;
        }
        read.abort();
        assert!(read.await.unwrap_err().is_cancelled());
        assert_eq!(entries(folder.path()), [entry("download.partial", "ab")]);
        assert_eq!(*place.lock().unwrap(), folder.path().join("download.partial"));
    }

    #[tokio::test]
    async fn a_panic_in_a_read_that_consumes_leaves_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let request = Download::from(file()).on_progress(|_| panic!("on purpose"));
        let (store, target) = (consuming(stream::pending()), folder.path().join("copy"));
        let read = tokio::spawn(async move { store.download_to_path(request, target, IfExists::Fail).await });
        assert!(read.await.unwrap_err().is_panic());
        // The write that was begun ends by itself.
        while entries(folder.path()) != [entry("copy.partial", "ab")] {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_read_that_was_rejected_leaves_nothing() {
        for (read_effect, effect) in [
            (ReadEffect::Consumes, Effect::NotSent),
            (ReadEffect::Consumes, Effect::Rejected),
            (ReadEffect::None, Effect::Unknown),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let store = store(read_effect, "a", Err(broken().with_effect(effect)));
            let error = store.download_to_folder(file(), folder.path(), IfExists::Fail).await.unwrap_err();
            assert_eq!((error.effect(), error.partial()), (effect, None));
            assert_eq!(entries(folder.path()), []);
        }
    }

    #[tokio::test]
    async fn a_request_whose_response_was_lost_leaves_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(ReadEffect::Consumes, "a", Err(broken().with_effect(Effect::Unknown)));
        let error = store.download_to_folder(file(), folder.path(), IfExists::Fail).await.unwrap_err();
        assert_eq!(error.partial().unwrap(), folder.path().join("download.partial"));
        assert_eq!(entries(folder.path()), [entry("download.partial", "")]);
    }

    #[tokio::test]
    async fn a_broken_read_that_is_free_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let broken = stream::iter([Ok(Bytes::from_static(b"ab")), Err(broken())]);
        let store = store(ReadEffect::None, "a", Ok(ByteStream::download(broken, None)));
        store.download_to_folder(file(), folder.path(), IfExists::Fail).await.unwrap_err();
        assert_eq!(entries(folder.path()), []);
    }

    #[tokio::test]
    async fn a_consumed_file_whose_name_is_taken_is_stored_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.txt"), "old").unwrap();
        for number in 1..3 {
            let store = consuming(stream::empty());
            let saved = store.download_to_folder(file(), folder.path(), IfExists::Fail).await.unwrap();
            assert_eq!(saved.path, folder.path().join(format!("a ({number}).txt")));
            assert_eq!(saved.taken, Some(folder.path().join("a.txt")));
        }
        let stored = [entry("a (1).txt", "ab"), entry("a (2).txt", "ab"), entry("a.txt", "old")];
        assert_eq!(entries(folder.path()), stored);
    }

    #[tokio::test]
    async fn a_consumed_file_whose_name_is_that_of_its_partial_file_has_it_already() {
        for if_exists in [IfExists::Fail, IfExists::Replace] {
            let folder = tempfile::tempdir().unwrap();
            let content = ByteStream::download(stream::iter([Ok(Bytes::from_static(b"ab"))]), None);
            let store = store(ReadEffect::Consumes, "download.partial", Ok(content));
            let saved = store.download_to_folder(file(), folder.path(), if_exists).await.unwrap();
            assert_eq!((saved.path, saved.taken), (folder.path().join("download.partial"), None));
            assert_eq!(entries(folder.path()), [entry("download.partial", "ab")]);
        }
    }

    #[tokio::test]
    async fn a_consumed_file_never_meets_what_came_into_being_meanwhile() {
        // A file that is to stay, and a folder that no file can replace.
        for if_exists in [IfExists::Fail, IfExists::Replace] {
            let folder = tempfile::tempdir().unwrap();
            let target = folder.path().join("copy.txt");
            let path = target.clone();
            let request = Download::from(file()).on_progress(move |_| match if_exists {
                IfExists::Fail => fs::write(&path, "new").unwrap(),
                IfExists::Replace => fs::create_dir(&path).unwrap(),
            });
            let saved = consuming(stream::empty()).download_to_path(request, &target, if_exists).await.unwrap();
            assert_eq!(fs::read(&saved.path).unwrap(), b"ab");
            assert_eq!((saved.path, saved.taken), (folder.path().join("copy (1).txt"), Some(target)));
        }
    }

    #[tokio::test]
    async fn the_place_is_told_before_the_request_and_when_the_file_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let places = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&places);
        let request = Download::from(file()).on_location(move |path| told.lock().unwrap().push(path.to_owned()));
        let target = folder.path().join("copy");
        consuming(stream::empty()).download_to_path(request, &target, IfExists::Fail).await.unwrap();
        assert_eq!(*places.lock().unwrap(), [folder.path().join("copy.partial"), target]);
    }

    #[tokio::test]
    async fn the_partial_file_of_a_listed_file_has_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let store = listed(".q3.pdf", "abc");
        let error = store.download_to_folder(file(), folder.path(), IfExists::Fail).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Integrity, Effect::Unknown), "{error}");
        assert_eq!(error.partial().unwrap(), folder.path().join("_q3.pdf.partial"));
        assert_eq!(entries(folder.path()), [entry("_q3.pdf.partial", "abc")]);
    }

    #[tokio::test]
    async fn a_file_above_the_limit_of_a_read_is_not_consumed() {
        let store = listed("a", "abcd");
        let error = store.read(file(), 3).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::TooLarge, Effect::NotSent), "{error}");
        assert_eq!(store.read(file(), 4).await.unwrap(), "abcd");
    }

    #[tokio::test]
    async fn the_longest_name_of_a_target_has_a_partial_file() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("x".repeat(255));
        let saved = consuming(stream::empty()).download_to_path(file(), &target, IfExists::Fail).await.unwrap();
        assert_eq!(saved.path, target);
        assert_eq!(entries(folder.path()).len(), 1);
    }

    /// What may happen to the file of a read that consumes while it goes on, and its name.
    #[cfg(unix)]
    fn disturbances() -> [fn(&Path); 3] {
        [
            |partial| fs::remove_file(partial).unwrap(),
            |partial| fs::rename(partial, partial.with_file_name("moved")).unwrap(),
            |partial| {
                fs::write(partial.with_file_name("new"), "another").unwrap();
                fs::rename(partial.with_file_name("new"), partial).unwrap();
            },
        ]
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_consumed_file_that_lost_its_name_gets_that_of_the_target() {
        for disturb in disturbances() {
            let folder = tempfile::tempdir().unwrap();
            let (partial, target) = (folder.path().join("copy.partial"), folder.path().join("copy"));
            let disturbed = partial.clone();
            let request = Download::from(file()).on_progress(move |_| disturb(&disturbed));
            let store = consuming(stream::empty());
            let saved = store.download_to_path(request, &target, IfExists::Fail).await.unwrap();
            assert_eq!((saved.path, saved.taken), (target.clone(), None));
            assert_eq!(fs::read(&target).unwrap(), b"ab");
            // The file of somebody else is where it was, and not under the name of the target.
            assert!(fs::read(&partial).map_or(true, |content| content == b"another"));
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn an_error_names_the_place_where_the_bytes_are_and_not_where_they_were() {
        for disturb in disturbances() {
            let folder = tempfile::tempdir().unwrap();
            let (partial, target) = (folder.path().join("copy.partial"), folder.path().join("copy"));
            let request = Download::from(file()).on_progress(move |_| disturb(&partial));
            let store = consuming(stream::iter([Err(broken())]));
            let error = store.download_to_path(request, &target, IfExists::Fail).await.unwrap_err();
            let kept = error.partial().unwrap();
            assert_eq!(fs::read(kept).unwrap(), b"ab");
            let place = format!("2 bytes of it are kept in {}", kept.display());
            assert!(error.to_string().contains(&place), "{error}");
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn bytes_that_cannot_be_kept_are_not_said_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let removed = inner.clone();
        let request = Download::from(file()).on_progress(move |_| fs::remove_dir_all(&removed).unwrap());
        let store = consuming(stream::empty());
        let error = store.download_to_path(request, inner.join("copy"), IfExists::Fail).await.unwrap_err();
        assert_eq!((error.effect(), error.partial()), (Effect::Unknown, None));
        assert!(error.to_string().contains("nothing of it is kept"), "{error}");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_file_that_took_the_place_of_a_free_read_is_neither_renamed_nor_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        let request = Download::from(file()).on_progress(move |_| {
            let hidden = fs::read_dir(&path).unwrap().next().unwrap().unwrap().path();
            fs::remove_file(&hidden).unwrap();
            fs::write(hidden, "another").unwrap();
        });
        let content = ByteStream::download(stream::iter([Ok(Bytes::from_static(b"ab"))]), None);
        let read = store(ReadEffect::None, "a", Ok(content));
        let error = read.download_to_folder(request, folder.path(), IfExists::Fail).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Io, Effect::Rejected), "{error}");
        let left: Vec<_> = entries(folder.path()).into_iter().map(|(_, content)| content).collect();
        assert_eq!(left, ["another"]);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn space_is_held_without_changing_the_length() {
        let folder = tempfile::tempdir().unwrap();
        let mut partial = Partial::visible(folder.path(), OsStr::new("a")).unwrap();
        partial.hold_space(1 << 20).unwrap();
        assert_eq!(partial.file.metadata().await.unwrap().len(), 0);
        assert_eq!(partial.hold_space(1 << 60).map_err(|error| error.effect()), Err(Effect::NotSent));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn space_that_a_dropped_read_held_and_did_not_use_goes_back() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.partial");
        let on_disk = || fs::metadata(&path).unwrap().blocks() * 512;
        let mut partial = Partial::visible(folder.path(), OsStr::new("a")).unwrap();
        partial.hold_space(1 << 20).unwrap();
        partial.keep(&Located::default());
        assert!(on_disk() >= 1 << 20, "{} bytes held", on_disk());
        let written = Arc::new(tokio::sync::Notify::new());
        let told = Arc::clone(&written);
        let watch = ProgressTracker::new(Arc::new(move |_: crate::Progress| told.notify_one()));
        let mut count = 0;
        let endless = stream::iter([Ok(Bytes::from_static(b"ab"))]).chain(stream::pending());
        tokio::select! {
            _ = partial.write(ByteStream::download(endless, None), Some(&watch), &mut count) => unreachable!(),
            () = written.notified() => {}
        }
        drop(partial);
        assert!(on_disk() < 1 << 20, "{} bytes held", on_disk());
        assert_eq!(fs::read(&path).unwrap(), b"ab");
    }
}
