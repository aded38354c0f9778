//! Downloads to the local disk: never a partial file under the final name, never a silent overwrite.

use std::fs;
use std::io::{self, ErrorKind as Io};
use std::path::{Path, PathBuf};

use futures::TryStreamExt;
use tempfile::{NamedTempFile, TempPath};
use tokio::io::AsyncWriteExt;

use crate::{
    ByteStream, Download, Effect, Error, ErrorKind, Feature, Operation, Result, Store, StoredFile, sanitize_file_name,
};

/// What a download does when its target exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Overwrite {
    /// It fails with *already exists*, before anything is sent.
    #[default]
    Refuse,
    /// The new file takes the place of the old, in one step.
    Replace,
}

/// A finished download.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Saved {
    /// What the store said of it.
    pub file: StoredFile,
    /// Where it is.
    pub path: PathBuf,
    /// How many bytes were written.
    pub bytes: u64,
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
    /// The target is opened and the space checked before the request. On failure nothing is left
    /// behind, except where the read consumes the file: then what arrived is kept, and the error says
    /// [where](Error::partial) and that the file is possibly consumed. Errors: *already exists*,
    /// *invalid input* (`path` is a folder or in none), *quota* (the disk is full), *permission*, and
    /// those of [`download`](Store::download).
    pub async fn download_to_path(
        &self,
        request: impl Into<Download> + Send,
        path: impl AsRef<Path> + Send,
        overwrite: Overwrite,
    ) -> Result<Saved> {
        self.save(request.into(), Target::File(path.as_ref()), overwrite).await
    }

    /// Downloads into `folder`, under the name that the store gives, [sanitized](sanitize_file_name). Else like
    /// [`download_to_path`](Store::download_to_path).
    pub async fn download_to_folder(
        &self,
        request: impl Into<Download> + Send,
        folder: impl AsRef<Path> + Send,
        overwrite: Overwrite,
    ) -> Result<Saved> {
        self.save(request.into(), Target::Folder(folder.as_ref()), overwrite).await
    }

    async fn save(&self, request: Download, target: Target<'_>, overwrite: Overwrite) -> Result<Saved> {
        let reference = request.reference.clone();
        self.save_steps(request, target, overwrite)
            .await
            .map_err(|error| self.context_of(error, Operation::Download, &reference))
    }

    async fn save_steps(&self, request: Download, target: Target<'_>, overwrite: Overwrite) -> Result<Saved> {
        let consumes = self.capabilities().reads_consume();
        // 1. Whatever can be refused is refused before the request.
        if let Target::File(path) = target {
            check_target(path, overwrite)?;
        }
        // A listing tells name and size without a read, unless the file is somebody else's.
        let listed = match consumes && self.capabilities().supports(Feature::Stat) {
            true => self.stat(&request.reference).await.ok(),
            false => None,
        };
        if let (Target::Folder(folder), Some(file)) = (&target, &listed) {
            check_target(&folder.join(sanitize_file_name(&file.name)), overwrite)?;
        }
        let partial = Partial::create(target.folder(), consumes)?;
        let size = listed.and_then(|file| file.size);
        partial.check_space(size.unwrap_or(1))?;
        // 2. From here on the service may have counted the read.
        let answer = match self.download(request).await {
            Ok(answer) => answer,
            Err(error) => return Err(partial.abandon(error, 0)),
        };
        let path = match target {
            Target::File(path) => path.to_owned(),
            Target::Folder(folder) => folder.join(sanitize_file_name(&answer.file.name)),
        };
        if !consumes {
            let fits =
                check_target(&path, overwrite).and_then(|()| partial.check_space(answer.stream.length().unwrap_or(1)));
            fits.map_err(|error| error.with_effect(Effect::Rejected))?;
        }
        // 3. All bytes, on the disk, then under their name.
        let mut written = 0;
        let stored = partial.write(answer.stream, &mut written).await;
        match stored.and_then(|()| check_size(written, size)) {
            Ok(()) => {
                partial.rename(&path, overwrite).await?;
                Ok(Saved { file: answer.file, path, bytes: written })
            }
            Err(error) => Err(partial.abandon(error, written)),
        }
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

fn check_target(path: &Path, overwrite: Overwrite) -> Result<()> {
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
    if overwrite == Overwrite::Refuse {
        return Err(already_exists(path));
    }
    if !metadata.is_file() && !metadata.is_symlink() {
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
    file: fs::File,
    path: Kept,
}

/// What becomes of the file when it is abandoned.
enum Kept {
    /// It goes, also when the future is dropped.
    No(TempPath),
    /// It stays: these bytes may be the only copy there is.
    Yes(PathBuf),
}

impl Kept {
    fn path(&self) -> &Path {
        match self {
            Self::No(path) => path,
            Self::Yes(path) => path,
        }
    }
}

impl Partial {
    fn create(folder: &Path, keep: bool) -> Result<Self> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(".filestore-").suffix(".part");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // As for any new file: the umask decides.
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        // Without the `.` of "here": the path may be shown to a person.
        let full = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let created = builder.tempfile_in(full).map_err(|error| Error::local(error, "write to", folder))?;
        let (file, path) = NamedTempFile::into_parts(created);
        let path = if keep {
            Kept::Yes(path.keep().map_err(|error| Error::local(error.error, "write to", folder))?)
        } else {
            Kept::No(path)
        };
        Ok(Self { file, path })
    }

    /// *Quota* if the file system has less than `bytes` left.
    fn check_space(&self, bytes: u64) -> Result<()> {
        let Some(free) = free_space(&self.file) else { return Ok(()) };
        if free >= bytes {
            return Ok(());
        }
        let path = self.path.path();
        if let Kept::Yes(path) = &self.path {
            let _ = fs::remove_file(path); // empty: nothing was sent yet
        }
        Err(Error::new(
            ErrorKind::Quota,
            Effect::NotSent,
            format!("the disk of {} has {free} bytes left, {bytes} are needed; free some space", path.display()),
        ))
    }

    async fn write(&self, mut stream: ByteStream, written: &mut u64) -> Result<()> {
        let path = self.path.path();
        let failed = |error: io::Error| Error::local(error, "write", path).with_effect(Effect::Rejected);
        let mut file = tokio::fs::File::from_std(self.file.try_clone().map_err(failed)?);
        let ended = loop {
            match stream.try_next().await {
                Ok(Some(chunk)) => {
                    file.write_all(&chunk).await.map_err(failed)?;
                    *written += chunk.len() as u64;
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

    /// Gives it its name, and puts the name on the disk.
    async fn rename(self, path: &Path, overwrite: Overwrite) -> Result<()> {
        let (temporary, kept) = match self.path {
            Kept::No(path) => (path, None),
            Kept::Yes(path) => match TempPath::try_from_path(&path) {
                Ok(temporary) => (temporary, Some(path)),
                Err(error) => return Err(Error::local(error, "rename", &path)),
            },
        };
        let effect = if kept.is_some() { Effect::Applied } else { Effect::Rejected };
        // One system call, which waits for no data: those are synced.
        let renamed = match overwrite {
            Overwrite::Refuse => temporary.persist_noclobber(path),
            Overwrite::Replace => temporary.persist(path),
        };
        if let Err(failed) = renamed {
            let error = match failed.error.kind() {
                Io::AlreadyExists => already_exists(path),
                _ => Error::local(failed.error, "rename the download to", path),
            };
            let Some(kept) = kept else { return Err(error.with_effect(effect)) };
            let note = format!("the whole file is kept in {}", kept.display());
            let _ = failed.path.keep();
            return Err(error.with_effect(effect).with_note(&note).with_partial(kept));
        }
        let synced = sync_folder_of(path).await;
        synced.map_err(|error| Error::local(error, "sync the folder of", path).with_effect(effect))
    }

    /// Removes it, or says where it stays.
    fn abandon(self, error: Error, written: u64) -> Error {
        let Kept::Yes(path) = self.path else { return error };
        let untouched = matches!(error.effect(), Effect::NotSent | Effect::Rejected) && written == 0;
        if untouched {
            let _ = fs::remove_file(&path);
            return error;
        }
        // On a full disk not all that arrived was written.
        let kept = fs::metadata(&path).map_or(written, |metadata| metadata.len());
        let note = format!("{kept} bytes of it are kept in {}", path.display());
        error.possibly_consumed().with_note(&note).with_partial(path)
    }
}

#[cfg(unix)]
fn free_space(file: &fs::File) -> Option<u64> {
    let stat = rustix::fs::fstatvfs(file).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(not(unix))]
fn free_space(_: &fs::File) -> Option<u64> {
    None
}

/// Without this, a name may be lost with the power although its file is on the disk.
async fn sync_folder_of(path: &Path) -> io::Result<()> {
    if cfg!(unix) { tokio::fs::File::open(Target::File(path).folder()).await?.sync_all().await } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(path: &Path) -> Error {
        check_target(path, Overwrite::Replace).unwrap_err()
    }

    #[test]
    fn a_target_that_cannot_be_is_refused_before_anything_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        assert!(check_target(&folder.path().join("new"), Overwrite::Refuse).is_ok());
        for path in [folder.path().join("new/"), file.join("in"), folder.path().join("x".repeat(300))] {
            let error = refused(&path);
            assert_eq!((error.kind(), error.effect()), (ErrorKind::InvalidInput, Effect::NotSent), "{error}");
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = refused(&folder.path().join("new/"));
        assert!(error.to_string().contains("there is no folder"), "{error}");
    }
}
