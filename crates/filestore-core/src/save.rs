//! Downloads to the local disk. A partial file never has the final name, and no file is overwritten silently.

mod hidden;
mod write_through;

use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind as Io, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::TryStreamExt;
use jiff::Timestamp;
use tempfile::TempPath;

use crate::progress::ProgressTracker;
use crate::request::LocationCallback;
use crate::{
    BlockingThread, ByteStream, Download, Effect, Error, ErrorKind, Feature, IfExists, Operation, Result, Store,
    StoredFile, sanitize_file_name, sync_folder,
};

/// A finished download.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SavedFile {
    /// The metadata of the file from the store.
    pub file: StoredFile,
    /// The path of the download.
    pub path: PathBuf,
    /// The number of bytes written.
    pub bytes: u64,
    /// The requested path, if it was taken. A read that consumed its file is then stored beside it, as `NAME (1).EXT`.
    pub taken: Option<PathBuf>,
}

/// The destination of a download.
enum Target<'a> {
    File(&'a Path),
    Folder(&'a Path),
}

impl Target<'_> {
    fn folder(&self) -> &Path {
        match self {
            Self::Folder(folder) => folder,
            Self::File(path) => parent(path),
        }
    }
}

/// Returns the folder of the file at `path`.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

impl Store {
    /// Downloads to the file `path`. The content is written to a temporary file in the same folder, which is synced and
    /// then renamed.
    ///
    /// The temporary file is created and the free space is checked before the request is sent. On failure, no file is
    /// left behind. A killed process leaves the hidden file `.filestore-NAME.part`, which the next download to the same
    /// path removes. A running download holds its lock; on a file system without locks, the leftover stays.
    ///
    /// If the read [consumes](crate::Capabilities::reads_consume) the file, the temporary file is the visible file
    /// `NAME.partial` beside the target. Once the request may have reached the service, that file is never removed. An
    /// error states its [path](Error::partial) and that the file is possibly consumed. If the future is dropped or
    /// panics, [`on_location`](Download::on_location) has reported the path. If another file was created at `path`
    /// meanwhile, the download is [stored beside it](SavedFile::taken).
    ///
    /// A FIFO and a character device, such as `/dev/null`, are written to and never replaced, with either `if_exists`.
    /// The FIFO waits for its reader before the request is sent. A read that consumes its file is *invalid input*
    /// there.
    ///
    /// Errors: *already exists*, *invalid input* (`path` is a folder, or its folder is missing), *quota* (the disk is
    /// full), *permission*, and those of [`download`](Store::download).
    pub async fn download_to_path(
        &self,
        request: impl Into<Download> + Send,
        path: impl AsRef<Path> + Send,
        if_exists: IfExists,
    ) -> Result<SavedFile> {
        self.save(request.into(), Target::File(path.as_ref()), if_exists).await
    }

    /// Downloads into `folder`, under the [sanitized](sanitize_file_name) name from the store.
    ///
    /// Works like [`download_to_path`](Store::download_to_path), except if the read consumes the file and the name is
    /// taken: the file is then stored as `NAME (1).EXT`, and [`SavedFile::taken`] holds the taken path. Errors and effect
    /// are the same.
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
        if let Target::File(path) = target
            && write_through::is_pipe_or_device(path)
        {
            return self.write_through(request, path).await;
        }
        let consumes = self.capabilities().reads_consume();
        // 1. Reject an invalid target before the request.
        if let Target::File(path) = target {
            check_target(path, if_exists)?;
        }
        // A stat returns name and size without a read, unless the file belongs to another account.
        let listed = match consumes && self.capabilities().supports(Feature::Stat) {
            true => self.stat(&request.reference).await.ok(),
            false => None,
        };
        let size = listed.as_ref().and_then(|file| file.size);
        // 2. Create the partial file and reserve the space before the request.
        let (tracker, on_location) = (request.tracker.take(), request.on_location.take());
        let restore_modified = request.restore_modified;
        let mut partial = if consumes {
            let listed = listed.as_ref().map(|file| sanitize_file_name(&file.name));
            let name = match target {
                Target::File(path) => path.file_name(),
                Target::Folder(_) => listed.as_deref().map(OsStr::new),
            };
            Partial::visible(target.folder(), name.unwrap_or(OsStr::new("download")))?
        } else {
            let name = match target {
                Target::File(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                // The components of such a reference are a secret.
                Target::Folder(_) if self.capabilities().bearer_references => String::new(),
                Target::Folder(_) => request.reference.components().pop().unwrap_or_default(),
            };
            Partial::hidden(target.folder(), &name)?
        };
        partial.check_space(size.unwrap_or(1))?;
        if consumes {
            partial.reserve_space(size.unwrap_or(0))?;
            partial.keep(&on_location)?;
        }
        // 3. From here on the service may have counted the read.
        let mut response = match self.download(request).await {
            Ok(response) => response,
            Err(error) => return Err(partial.rejected(error).await),
        };
        let path = match target {
            Target::File(path) => path.to_owned(),
            Target::Folder(folder) => folder.join(sanitize_file_name(&response.file.name)),
        };
        if !consumes {
            let fits = check_target(&path, if_exists)
                .and_then(|()| partial.check_space(response.stream.length().unwrap_or(1)));
            fits.map_err(|error| error.with_effect(Effect::Rejected))?;
        } else if let Some(announced) = response.stream.length().filter(|length| *length > size.unwrap_or(0))
            && partial.check_space(announced).is_ok()
        {
            // As far as possible: the file is possibly consumed by now, so a full disk must not end the read early.
            let _ = partial.reserve_space(announced);
        }
        // 4. Write all bytes, sync them, and rename the file.
        let mut written = 0;
        let mut stored = partial.write(response.stream, tracker.as_ref(), size, &mut written).await;
        stored = stored.and_then(|()| check_listed_size(written, size));
        response.file.modified = response.file.modified.or(listed.and_then(|file| file.modified));
        if let (Ok(()), true, Some(modified)) = (&stored, restore_modified, response.file.modified) {
            stored = partial.set_modified(modified).await;
        }
        if let Err(error) = stored {
            return Err(partial.interrupted(error).await);
        }
        let (path, taken) = partial.rename(path, if_exists, &on_location).await?;
        Ok(SavedFile { file: response.file, path, bytes: written, taken })
    }
}

/// Fails with *integrity* if a download has received another number of bytes than the store listed. The length in the
/// response to the download may be wrong.
pub fn check_listed_size(written: u64, listed: Option<u64>) -> Result<()> {
    match listed {
        Some(size) if size != written => Err(Error::new(
            ErrorKind::Integrity,
            Effect::Unknown,
            format!("{written} bytes were received, but the file was listed with {size} bytes"),
        )),
        _ => Ok(()),
    }
}

/// Fails if a download cannot be stored at `path`.
fn check_target(path: &Path, if_exists: IfExists) -> Result<()> {
    if hidden::is_reserved(path) {
        return Err(Error::invalid(format!(
            "{} is a name of unfinished downloads, which a later download removes; choose another name",
            path.display()
        )));
    }
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == Io::NotFound && names_a_folder(path) => {
            return Err(Error::invalid(format!("there is no folder {}; create it, or name a file", path.display())));
        }
        Err(error) if error.kind() == Io::NotFound => return Ok(()),
        // A name that is too long, or a file in place of a folder: the rename would fail after the read.
        Err(error) => return Err(Error::local(error, "write to", path)),
    };
    if metadata.is_dir() {
        return Err(Error::invalid(format!("{} is a folder; name a file in it", path.display())));
    }
    if if_exists == IfExists::Fail {
        return Err(already_exists(path));
    }
    // A link to a regular file is replaced as a file is; a link to something else, such as a device, is not.
    let regular = match metadata.is_symlink() {
        true => fs::metadata(path).map_or(true, |metadata| metadata.is_file()),
        false => metadata.is_file(),
    };
    // `/dev/stdout` is a link to a descriptor of this process, which may be a regular file.
    let is_descriptor =
        fs::read_link(path).is_ok_and(|target| target.starts_with("/proc") || target.starts_with("/dev/fd"));
    if !regular || is_descriptor {
        return Err(Error::invalid(format!("{} is not a regular file and cannot be replaced", path.display())));
    }
    Ok(())
}

/// Returns `true` if `path` ends with a separator, which the components of a [`Path`] do not show.
fn names_a_folder(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().last().is_some_and(|last| std::path::is_separator(char::from(*last)))
}

fn already_exists(path: &Path) -> Error {
    let message =
        format!("{} already exists and was not changed; choose another path or allow overwriting", path.display());
    Error::new(ErrorKind::AlreadyExists, Effect::NotSent, message)
}

/// Creates the error for a file that cannot be created in `folder`.
fn cannot_write_to(error: io::Error, folder: &Path) -> Error {
    match error.kind() {
        Io::NotFound => {
            Error::invalid(format!("there is no folder {}; create it, or choose another path", folder.display()))
        }
        _ => Error::local(error, "write to", folder),
    }
}

/// The temporary file of a download that is not complete, in the folder of the target.
struct Partial {
    file: Arc<fs::File>,
    /// The thread that writes the file.
    thread: BlockingThread,
    /// The path, whose file is removed on drop unless it is kept.
    path: TempPath,
    /// The folder, for the sync after the rename. `None` on Windows, which cannot sync a folder.
    folder: Option<fs::File>,
    reservation: Option<Reservation>,
    /// `true` if the service may have consumed the file. These bytes may then be the only copy.
    kept: bool,
}

impl Partial {
    /// Creates `.filestore-NAME.part` for a read that consumes nothing. It is removed when the future is dropped.
    fn hidden(folder: &Path, name: &str) -> Result<Self> {
        let hidden = format!(".filestore-{}.part", sanitize_file_name(name));
        let created = hidden::create(&absolute(folder).join(hidden));
        let (file, path) = created.map_err(|error| cannot_write_to(error, folder))?;
        Self::of(file, path, folder)
    }

    /// Creates `NAME.partial` for a read that consumes its file, so that people find it.
    fn visible(folder: &Path, name: &OsStr) -> Result<Self> {
        let full = absolute(folder);
        let mut partial = name.to_owned();
        partial.push(".partial");
        let created = match first_free(&full.join(partial), create) {
            // The suffix makes the name too long.
            Err(error) if error.kind() == Io::InvalidFilename => first_free(&full.join("download.partial"), create),
            created => created,
        };
        let (file, path) = created.map_err(|error| cannot_write_to(error, folder))?;
        Self::of(file, path, folder)
    }

    fn of(file: fs::File, path: PathBuf, folder: &Path) -> Result<Self> {
        let path = TempPath::try_from_path(path).map_err(|error| cannot_write_to(error, folder))?;
        let folder = match cfg!(unix) {
            true => Some(fs::File::open(folder).map_err(|error| Error::local(error, "open the folder", folder))?),
            false => None,
        };
        let thread = BlockingThread::start()?;
        Ok(Self { file: Arc::new(file), thread, path, folder, reservation: None, kept: false })
    }

    /// Fails with *quota* if the file system has less than `bytes` free, or if this process may not write a file of
    /// that size.
    fn check_space(&self, bytes: u64) -> Result<()> {
        match free_space(&self.file) {
            Some(free) if free < bytes => Err(self.full(&format!("has {free} bytes left, but {bytes} are needed"))),
            _ => Ok(()),
        }
    }

    /// Reserves the space if the file system supports it, so that no other program fills the disk during the read.
    fn reserve_space(&mut self, bytes: u64) -> Result<()> {
        match allocate(&self.file, bytes, &mut self.reservation) {
            Err(error) if matches!(error.kind(), Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge) => {
                Err(self.full(&format!("cannot hold {bytes} bytes")))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn full(&self, problem: &str) -> Error {
        let message = format!("the disk of {} {problem}; free some space", parent(&self.path).display());
        Error::new(ErrorKind::Quota, Effect::NotSent, message)
    }

    /// Reports the path, and keeps the file from now on, however the download ends.
    fn keep(&mut self, on_location: &LocationCallback) -> Result<()> {
        on_location.call(&self.path)?;
        self.path.disable_cleanup(true);
        self.kept = true;
        Ok(())
    }

    /// Writes the stream to the file and syncs it. Adds the number of bytes to `written`. A stream of unknown length is
    /// *integrity* as soon as it has more bytes than the `listed` size, and its rest is not read: it may be endless. One
    /// of known length is read to its end, because the rest may exist nowhere else.
    async fn write(
        &mut self,
        mut stream: ByteStream,
        tracker: Option<&ProgressTracker>,
        listed: Option<u64>,
        written: &mut u64,
    ) -> Result<()> {
        let Self { file, thread, path, reservation, kept, .. } = self;
        let mut set_writing = |writing| reservation.iter_mut().for_each(|reservation| reservation.writing = writing);
        let failed = |error: io::Error| Error::local(error, "write to", parent(path)).with_effect(Effect::Rejected);
        let total = stream.length();
        let mut pending = None;
        let ended = loop {
            match stream.try_next().await {
                Ok(Some(chunk)) => {
                    set_writing(true);
                    let (file, length) = (Arc::clone(file), chunk.len());
                    let write = thread.call(move || (&*file).write_all(&chunk));
                    // One chunk is written while the next one arrives. A chunk that is the only copy must not wait for
                    // the write of another one.
                    let earlier = pending.replace(write);
                    if let Some(write) = if *kept { pending.take() } else { earlier } {
                        write.await.map_err(failed)?;
                        set_writing(!*kept);
                    }
                    *written += length as u64;
                    if let Some(tracker) = tracker {
                        tracker.advance(length, total);
                    }
                    if total.is_none() && listed.is_some_and(|size| *written > size) {
                        break check_listed_size(*written, listed);
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        if let Some(write) = pending {
            write.await.map_err(failed)?;
        }
        ended?;
        let file = Arc::clone(file);
        thread.call(move || file.sync_all()).await.map_err(failed)
    }

    /// Sets the time of the last modification, and syncs it.
    async fn set_modified(&self, modified: Timestamp) -> Result<()> {
        let file = Arc::clone(&self.file);
        let set = self.thread.call(move || {
            file.set_modified(modified.into())?;
            file.sync_all()
        });
        let failed = |error| Error::local(error, "set the modification time of a file in", parent(&self.path));
        set.await.map_err(|error| failed(error).with_effect(Effect::Rejected))
    }

    /// Returns `true` if the file at `path` is this file.
    fn is_at(&self, path: &Path) -> bool {
        is_same_file(&self.file, path) || (cfg!(not(unix)) && absolute(path) == absolute(&self.path))
    }

    /// Updates the path: during a read of hours, the file may be moved, removed or replaced by another one. If the file
    /// has no name any more and may be the only copy, it is copied to a new file.
    async fn update_path(&mut self) -> Result<()> {
        if self.is_at(&self.path) {
            return Ok(());
        }
        let old_path = self.path.to_path_buf();
        // The file that is there now belongs to another program.
        self.path.disable_cleanup(true);
        if !self.kept {
            let message = format!(
                "{} was moved, removed or replaced during the download; repeat the download",
                old_path.display()
            );
            return Err(Error::new(ErrorKind::Io, Effect::Rejected, message));
        }
        let updated = async {
            let (file, created_at) = (Arc::clone(&self.file), old_path.clone());
            let (path, copy) = self.thread.call(move || locate(&file, &created_at)).await?;
            if let Some(copy) = copy {
                self.file = Arc::new(copy);
            }
            self.path = TempPath::try_from_path(path)?;
            self.path.disable_cleanup(true);
            Ok(())
        };
        let updated: io::Result<()> = updated.await;
        updated.map_err(|error| Error::local(error, "copy the moved, removed or replaced file", &old_path))
    }

    /// Renames the file to `path` and syncs the folder. If the file may be the only copy and the name is taken, it gets
    /// the next free name. Returns the final path, and `path` if it was taken.
    async fn rename(
        mut self,
        path: PathBuf,
        if_exists: IfExists,
        on_location: &LocationCallback,
    ) -> Result<(PathBuf, Option<PathBuf>)> {
        if let Err(error) = self.update_path().await {
            return Err(self.interrupted(error).await);
        }
        // Releases the unused space while no other program writes to the file.
        self.reservation = None;
        let in_place = self.is_at(&path);
        let Self { thread, path: temporary, folder, kept, .. } = self;
        let partial_path = temporary.to_path_buf();
        // One system call. It does not wait for the content, which is synced.
        let renamed = match if_exists {
            // The name of the file at the service may be `download.partial`.
            _ if in_place => temporary.keep().map(drop),
            IfExists::Replace if check_target(&path, if_exists).is_ok() => temporary.persist(&path),
            // A target that cannot be replaced is not changed, either.
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
                    Some(partial) => partial.persist_noclobber(free).map_err(|failed| {
                        temporary = Some(failed.path);
                        failed.error
                    }),
                    None => Ok(()),
                });
                match beside {
                    Ok(((), beside)) if beside == path => (path, None),
                    Ok(((), beside)) => (beside, Some(path)),
                    Err(_) => {
                        let note = format!("the whole file is kept in {}", partial_path.display());
                        let error = Error::local(failed.error, "rename the download to", &path);
                        return Err(error.with_effect(Effect::Applied).with_note(&note).with_partial(partial_path));
                    }
                }
            }
        };
        if kept {
            // The content is here already: there is nothing to stop.
            let _ = on_location.call(&absolute(&path));
        }
        // Without this, a power failure may lose the name although the content is on the disk.
        let synced = match folder {
            Some(folder) => thread.call(move || sync_folder(&folder)).await,
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

    /// Handles the error of a request. Removes the file if the service has certainly not counted the read.
    async fn rejected(mut self, error: Error) -> Error {
        if self.kept && !matches!(error.effect(), Effect::NotSent | Effect::Rejected) {
            return self.possibly_consumed(error).await;
        }
        let is_replaced = !self.is_at(&self.path);
        self.path.disable_cleanup(is_replaced);
        error
    }

    /// Handles the error of a response that was interrupted.
    async fn interrupted(mut self, error: Error) -> Error {
        if !self.kept {
            return error;
        }
        #[cfg(planted_bugs)]
        if crate::planted_bug("partial-removed") {
            self.path.disable_cleanup(false);
            return error.possibly_consumed();
        }
        // A failed write is no longer running.
        self.reservation.iter_mut().for_each(|reservation| reservation.writing = false);
        self.possibly_consumed(error).await
    }

    /// Adds to `error` that the file is possibly consumed, and the path of its bytes.
    async fn possibly_consumed(mut self, error: Error) -> Error {
        let updated = self.update_path().await;
        if !self.is_at(&self.path) {
            let reason = updated.map_or_else(|error| error.to_string(), |()| "its partial file is missing".to_owned());
            return error.possibly_consumed().with_note(&format!("nothing of it is kept: {reason}"));
        }
        // On a full disk, fewer bytes were written than received.
        let kept = fs::metadata(&self.path).map_or(0, |metadata| metadata.len());
        let note = format!("{kept} bytes of it are kept in {}", self.path.display());
        error.possibly_consumed().with_note(&note).with_partial(self.path.to_path_buf())
    }
}

/// Disk space that was reserved before the read. Unused space is released on drop, for example after a signal.
struct Reservation {
    file: fs::File,
    /// `true` while a write is running. It may outlast the future, and setting the length could then cut off its bytes.
    writing: bool,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.writing
            && let Ok(metadata) = self.file.metadata()
        {
            let _ = self.file.set_len(metadata.len());
        }
    }
}

/// Makes a path absolute, because messages may show it to a person.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Creates a new file. It can also be read, because it is copied if its name is lost.
fn create(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new().read(true).write(true).create_new(true).open(path)
}

/// Returns the current path of `file`, an open partial file that was created at `path`.
///
/// It is for a program that ends during a [`Download`](crate::Download) that consumes its file. The program has opened
/// the path that [`on_location`](crate::Download::on_location) reported.
///
/// On Linux, a moved file is found. A file that has no name any more, or whose name now belongs to another file, is
/// copied to a new file beside `path`. Fails if that copy fails; the new file then contains the bytes that could be
/// written.
pub fn locate_partial(file: &fs::File, path: &Path) -> io::Result<PathBuf> {
    locate(file, path).map(|(path, _)| path)
}

/// Works like [`locate_partial`], and also returns the new file if the content was copied.
fn locate(file: &fs::File, path: &Path) -> io::Result<(PathBuf, Option<fs::File>)> {
    if is_same_file(file, path) || cfg!(not(unix)) {
        return Ok((path.to_owned(), None));
    }
    if let Some(moved) = moved_to(file).filter(|moved| is_same_file(file, moved)) {
        return Ok((moved, None));
    }
    let (mut copy, copy_path) = first_free(path, create)?;
    let mut old = file.try_clone()?;
    old.rewind()?;
    io::copy(&mut old, &mut copy)?;
    copy.sync_all()?;
    Ok((copy_path, Some(copy)))
}

/// Returns `true` if the file at `path` is the open `file`.
#[cfg(unix)]
fn is_same_file(file: impl std::os::fd::AsFd, path: &Path) -> bool {
    let identity = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino);
    let open = rustix::fs::fstat(file).map(identity);
    open.is_ok() && open == rustix::fs::lstat(path).map(identity)
}

/// Returns `false`, because this system has no stable identities of files.
#[cfg(not(unix))]
fn is_same_file<F>(_: F, _: &Path) -> bool {
    false
}

/// Returns the path that the system reports for an open file, which may have been moved.
#[cfg(target_os = "linux")]
fn moved_to(file: &fs::File) -> Option<PathBuf> {
    use std::os::fd::AsRawFd;
    fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()
}

#[cfg(not(target_os = "linux"))]
fn moved_to(_: &fs::File) -> Option<PathBuf> {
    None
}

/// The largest number in a file name. A folder rarely has as many files of one name.
const MAX_NUMBERED: u32 = 10_000;

/// Takes `path`, or the first free one of `NAME (1).EXT`, `NAME (2).EXT`, ... In one step, `take` takes a path or fails
/// with *already exists*.
fn first_free<T>(path: &Path, mut take: impl FnMut(&Path) -> io::Result<T>) -> io::Result<(T, PathBuf)> {
    let mut candidate = path.to_owned();
    for number in 1..=MAX_NUMBERED {
        match take(&candidate) {
            Err(error) if error.kind() == Io::AlreadyExists => candidate = numbered_path(path, number),
            taken => return taken.map(|taken| (taken, candidate)),
        }
    }
    Err(Io::AlreadyExists.into())
}

/// Returns the path `NAME (1).EXT` for `NAME.EXT` and the number 1: the name of a file whose own name is taken.
pub fn numbered_path(path: &Path, number: u32) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!(" ({number})"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// Returns the number of bytes that this process can add to an open file: the free space of its disk, or the size of
/// the largest file that this process may write, if that is less. `None` if the system does not tell.
#[cfg(unix)]
pub fn free_space(file: impl std::os::fd::AsFd) -> Option<u64> {
    let largest = rustix::process::getrlimit(rustix::process::Resource::Fsize).current.unwrap_or(u64::MAX);
    let length = u64::try_from(rustix::fs::fstat(&file).ok()?.st_size).unwrap_or_default();
    let stat = rustix::fs::fstatvfs(file).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize).min(largest.saturating_sub(length)))
}

/// Returns `None`, because this system does not tell the free space.
#[cfg(not(unix))]
pub fn free_space<F>(_: F) -> Option<u64> {
    None
}

/// Reserves disk space for a file, whose length does not change. `reservation` releases it.
#[cfg(target_os = "linux")]
fn allocate(file: &fs::File, bytes: u64, reservation: &mut Option<Reservation>) -> io::Result<()> {
    use std::os::fd::AsFd;
    if bytes == 0 {
        return Ok(());
    }
    if reservation.is_none() {
        *reservation = Some(Reservation { file: file.as_fd().try_clone_to_owned()?.into(), writing: false });
    }
    Ok(rustix::fs::fallocate(file, rustix::fs::FallocateFlags::KEEP_SIZE, 0, bytes)?)
}

#[cfg(not(target_os = "linux"))]
fn allocate(_: &fs::File, _: u64, _: &mut Option<Reservation>) -> io::Result<()> {
    Ok(())
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
    fn an_invalid_target_is_rejected_before_anything_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        assert!(check_target(&folder.path().join("new"), IfExists::Fail).is_ok());
        for path in [folder.path().join("new/"), file.join("in"), folder.path().join("x".repeat(300))] {
            let error = rejected(&path);
            assert_eq!((error.kind(), error.effect()), (ErrorKind::InvalidInput, Effect::NotSent), "{error}");
        }
    }

    #[tokio::test]
    async fn an_error_names_the_missing_folder_and_never_a_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let error = rejected(&folder.path().join("new/"));
        assert!(error.to_string().contains("there is no folder"), "{error}");
        let new = folder.path().join("new");
        for read_effect in [ReadEffect::None, ReadEffect::Consumes] {
            let store = store(read_effect, "a", Err(broken()));
            for saved in [
                store.download_to_path(file(), new.join("x.txt"), IfExists::Fail).await,
                store.download_to_folder(file(), &new, IfExists::Fail).await,
            ] {
                let error = saved.unwrap_err();
                assert_eq!((error.kind(), error.effect()), (ErrorKind::InvalidInput, Effect::NotSent), "{error}");
                assert!(error.message().starts_with(&format!("there is no folder {};", new.display())), "{error}");
                assert!(std::error::Error::source(&error).is_none(), "{error:?}");
            }
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_target_that_is_not_a_regular_file_is_not_replaced_through_a_link_either() {
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
        // The name of a consumed file is known only after the read.
        let store = consuming(stream::empty());
        let saved = store.download_to_folder(file(), folder.path(), IfExists::Replace).await.unwrap();
        assert_eq!((saved.path, saved.taken), (folder.path().join("a (1).txt"), Some(device.clone())));
        assert!(device.is_symlink());
    }

    /// A store of one file, which can be read once.
    #[derive(Debug)]
    struct Once {
        capabilities: Capabilities,
        name: &'static str,
        modified: Option<Timestamp>,
        response: Mutex<Option<Result<ByteStream>>>,
    }

    #[async_trait]
    impl FileStore for Once {
        fn capabilities(&self) -> &Capabilities {
            &self.capabilities
        }

        async fn download(&self, request: Download) -> Result<Downloaded> {
            let response = self.response.lock().unwrap().take().expect("one read");
            let mut file = StoredFile::new(request.reference, self.name);
            file.modified = self.modified;
            Ok(Downloaded::new(file, response?))
        }

        async fn upload(&self, _: Upload) -> Result<StoredFile> {
            unimplemented!()
        }

        async fn list(&self, _: List) -> Result<Page> {
            unimplemented!()
        }

        /// Reports a file of four bytes.
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

    pub(super) fn store(read_effect: ReadEffect, name: &'static str, response: Result<ByteStream>) -> Store {
        of(Capabilities::new("once"), read_effect, name, response)
    }

    fn listed(name: &'static str, content: &'static str) -> Store {
        let stream = ByteStream::download(stream::iter([Ok(Bytes::from_static(content.as_bytes()))]), None);
        of(Capabilities::new("once").native([Feature::Stat]), ReadEffect::Consumes, name, Ok(stream))
    }

    fn of(
        capabilities: Capabilities,
        read_effect: ReadEffect,
        name: &'static str,
        response: Result<ByteStream>,
    ) -> Store {
        Store::new("s", Arc::new(once(capabilities, read_effect, name, response)))
            .expect("a name that references can carry")
    }

    fn once(
        mut capabilities: Capabilities,
        read_effect: ReadEffect,
        name: &'static str,
        response: Result<ByteStream>,
    ) -> Once {
        capabilities.read_effect = read_effect;
        Once { capabilities, name, modified: None, response: Mutex::new(Some(response)) }
    }

    fn consuming(rest: impl Stream<Item = Result<Bytes>> + Send + 'static) -> Store {
        let first = stream::iter([Ok(Bytes::from_static(b"ab"))]);
        store(ReadEffect::Consumes, "a.txt", Ok(ByteStream::download(first.chain(rest), None)))
    }

    pub(super) fn file() -> FileRef {
        "s:once:key".parse().unwrap()
    }

    pub(super) fn broken() -> Error {
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
    async fn the_bytes_of_a_failed_read_that_consumes_are_kept_where_the_error_says() {
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
    async fn a_response_that_is_longer_than_the_listed_size_is_not_read_to_its_end() {
        let endless = stream::repeat_with(|| Ok(Bytes::from_static(b"more")));
        let capabilities = Capabilities::new("once").native([Feature::Stat]);
        let store = of(capabilities, ReadEffect::Consumes, "a.txt", Ok(ByteStream::download(endless, None)));
        let folder = tempfile::tempdir().unwrap();
        let error = store.download_to_folder(file(), folder.path(), IfExists::Fail).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Integrity, "{error}");
        assert_eq!(fs::read(error.partial().unwrap()).unwrap().len() % 4, 0);
    }

    #[tokio::test]
    async fn a_consumed_file_that_is_longer_than_listed_is_kept_to_its_announced_length() {
        let chunks = stream::iter(["abc", "def", "ghi"].map(|chunk| Ok(Bytes::from(chunk))));
        let capabilities = Capabilities::new("once").native([Feature::Stat]);
        let store = of(capabilities, ReadEffect::Consumes, "a.txt", Ok(ByteStream::download(chunks, Some(9))));
        let folder = tempfile::tempdir().unwrap();
        let error = store.download_to_folder(file(), folder.path(), IfExists::Fail).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Integrity, Effect::Unknown), "{error}");
        assert_eq!(entries(folder.path()), [entry("a.txt.partial", "abcdefghi")]);
        let partial = folder.path().join("a.txt.partial");
        let kept = format!("9 bytes of it are kept in {}", partial.display());
        for text in ["9 bytes were received, but the file was listed with 4 bytes", &kept] {
            assert!(error.to_string().contains(text), "{error}");
        }
        assert_eq!(error.partial(), Some(partial.as_path()));
    }

    #[tokio::test]
    async fn an_announced_length_that_the_disk_cannot_hold_does_not_end_a_read_that_consumes() {
        let chunks = stream::iter([Ok(Bytes::from_static(b"abcdef"))]);
        let store = store(ReadEffect::Consumes, "a.txt", Ok(ByteStream::download(chunks, Some(1 << 60))));
        let folder = tempfile::tempdir().unwrap();
        let error = store.download_to_folder(file(), folder.path(), IfExists::Fail).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Integrity, Effect::Unknown), "{error}");
        assert_eq!(entries(folder.path()), [entry("download.partial", "abcdef")]);
    }

    #[tokio::test]
    async fn a_dropped_read_that_consumes_leaves_its_bytes_at_the_reported_path() {
        let folder = tempfile::tempdir().unwrap();
        let reported = Arc::new(Mutex::new(PathBuf::new()));
        let sink = Arc::clone(&reported);
        let request = Download::from(file()).on_location(move |path| {
            path.clone_into(&mut sink.lock().unwrap());
            Ok(())
        });
        let (store, target) = (consuming(stream::pending()), folder.path().to_owned());
        let read = tokio::spawn(async move { store.download_to_folder(request, target, IfExists::Fail).await });
        while fs::metadata(&*reported.lock().unwrap()).map_or(0, |metadata| metadata.len()) < 2 {
            tokio::task::yield_now().await;
        }
        read.abort();
        assert!(read.await.unwrap_err().is_cancelled());
        assert_eq!(entries(folder.path()), [entry("download.partial", "ab")]);
        assert_eq!(*reported.lock().unwrap(), folder.path().join("download.partial"));
    }

    #[tokio::test]
    async fn a_panic_in_a_read_that_consumes_leaves_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let request = Download::from(file()).on_progress(|_| panic!("on purpose"));
        let (store, target) = (consuming(stream::pending()), folder.path().join("copy"));
        let read = tokio::spawn(async move { store.download_to_path(request, target, IfExists::Fail).await });
        assert!(read.await.unwrap_err().is_panic());
        // The write that has started completes by itself.
        while entries(folder.path()) != [entry("copy.partial", "ab")] {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn the_modification_time_is_restored_on_request() {
        let time: Timestamp = "2001-02-03T04:05:06.789Z".parse().unwrap();
        for read_effect in [ReadEffect::None, ReadEffect::Consumes] {
            for restore in [true, false] {
                let folder = tempfile::tempdir().unwrap();
                let content = ByteStream::download(stream::iter([Ok(Bytes::from_static(b"ab"))]), None);
                let mut once = once(Capabilities::new("once"), read_effect, "a", Ok(content));
                once.modified = Some(time);
                let store = Store::new("s", Arc::new(once)).unwrap();
                let request = Download::from(file()).restore_modified(restore);
                let saved = store.download_to_folder(request, folder.path(), IfExists::Fail).await.unwrap();
                let seen = fs::metadata(saved.path).unwrap().modified().unwrap();
                assert_eq!((seen == time.into(), saved.file.modified), (restore, Some(time)));
            }
        }
    }

    #[tokio::test]
    async fn a_file_without_a_modification_time_has_that_of_the_download() {
        let folder = tempfile::tempdir().unwrap();
        let before = fs::metadata(folder.path()).unwrap().modified().unwrap();
        let request = Download::from(file()).restore_modified(true);
        let content = ByteStream::download(stream::empty(), None);
        let store = store(ReadEffect::None, "a", Ok(content));
        let saved = store.download_to_folder(request, folder.path(), IfExists::Fail).await.unwrap();
        assert_eq!(saved.file.modified, None);
        assert!(fs::metadata(saved.path).unwrap().modified().unwrap() >= before);
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
    async fn an_interrupted_read_that_consumes_nothing_leaves_nothing() {
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
    async fn a_consumed_file_may_have_the_name_of_its_partial_file() {
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
    async fn a_consumed_file_never_replaces_what_was_created_meanwhile() {
        // A file that must stay, and a folder that no file can replace.
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
    async fn the_path_is_reported_before_the_request_and_when_the_file_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let reported = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&reported);
        let request = Download::from(file()).on_location(move |path| {
            sink.lock().unwrap().push(path.to_owned());
            Ok(())
        });
        let target = folder.path().join("copy");
        consuming(stream::empty()).download_to_path(request, &target, IfExists::Fail).await.unwrap();
        assert_eq!(*reported.lock().unwrap(), [folder.path().join("copy.partial"), target]);
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

    /// Changes that other programs make to the partial file during a read that consumes.
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
            // The file of the other program is where it was, and not under the name of the target.
            assert!(fs::read(&partial).map_or(true, |content| content == b"another"));
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn an_error_states_the_current_path_of_the_bytes() {
        for disturb in disturbances() {
            let folder = tempfile::tempdir().unwrap();
            let (partial, target) = (folder.path().join("copy.partial"), folder.path().join("copy"));
            let request = Download::from(file()).on_progress(move |_| disturb(&partial));
            let store = consuming(stream::iter([Err(broken())]));
            let error = store.download_to_path(request, &target, IfExists::Fail).await.unwrap_err();
            let kept = error.partial().unwrap();
            assert_eq!(fs::read(kept).unwrap(), b"ab");
            let note = format!("2 bytes of it are kept in {}", kept.display());
            assert!(error.to_string().contains(&note), "{error}");
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn an_error_does_not_claim_that_lost_bytes_are_kept() {
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
    async fn a_file_that_replaced_the_hidden_file_of_a_read_is_neither_renamed_nor_removed() {
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
    async fn space_is_reserved_without_changing_the_length() {
        let folder = tempfile::tempdir().unwrap();
        let mut partial = Partial::visible(folder.path(), OsStr::new("a")).unwrap();
        partial.reserve_space(1 << 20).unwrap();
        assert_eq!(partial.file.metadata().unwrap().len(), 0);
        assert_eq!(partial.reserve_space(1 << 60).map_err(|error| error.effect()), Err(Effect::NotSent));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn more_space_can_be_reserved_later() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let mut partial = Partial::visible(folder.path(), OsStr::new("a")).unwrap();
        for bytes in [1 << 20, 2 << 20] {
            partial.reserve_space(bytes).unwrap();
            assert!(partial.file.metadata().unwrap().blocks() * 512 >= bytes);
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn unused_space_is_released_when_a_read_is_dropped() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.partial");
        let on_disk = || fs::metadata(&path).unwrap().blocks() * 512;
        let mut partial = Partial::visible(folder.path(), OsStr::new("a")).unwrap();
        partial.reserve_space(1 << 20).unwrap();
        partial.keep(&LocationCallback::default()).unwrap();
        assert!(on_disk() >= 1 << 20, "{} bytes reserved", on_disk());
        let written = Arc::new(tokio::sync::Notify::new());
        let notify = Arc::clone(&written);
        let tracker = ProgressTracker::new(Arc::new(move |_: crate::Progress| notify.notify_one()));
        let mut count = 0;
        let endless = stream::iter([Ok(Bytes::from_static(b"ab"))]).chain(stream::pending());
        tokio::select! {
            _ = partial.write(ByteStream::download(endless, None), Some(&tracker), None, &mut count) => unreachable!(),
            () = written.notified() => {}
        }
        drop(partial);
        assert!(on_disk() < 1 << 20, "{} bytes reserved", on_disk());
        assert_eq!(fs::read(&path).unwrap(), b"ab");
    }
}
