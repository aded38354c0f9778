//! Downloads to a FIFO or a character device, such as `/dev/null`: the content is written to it, and it is never
//! replaced.

use std::fs::{self, FileType};
use std::io;
use std::path::Path;

use futures::TryStreamExt;
use tokio::fs::OpenOptions;
use tokio::io::AsyncWriteExt;

use super::SavedFile;
use crate::{Download, Effect, Error, Result, Store};

/// Returns `true` if `path` is, itself or through links, a FIFO or a character device.
pub(super) fn is_pipe_or_device(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| is_stream(metadata.file_type()))
}

#[cfg(unix)]
fn is_stream(kind: FileType) -> bool {
    use std::os::unix::fs::FileTypeExt;
    kind.is_fifo() || kind.is_char_device()
}

#[cfg(not(unix))]
fn is_stream(_: FileType) -> bool {
    false
}

impl Store {
    /// Writes the content to the FIFO or device at `path`. Opening a FIFO waits for its reader, before the request is
    /// sent. If the reader goes away, the write fails.
    pub(super) async fn write_through(&self, request: Download, path: &Path) -> Result<SavedFile> {
        if self.capabilities().reads_consume() {
            return Err(Error::invalid(format!(
                "{} is not a regular file, and what this read consumes could be lost in it; name a file",
                path.display()
            )));
        }
        if request.restore_modified {
            let message =
                format!("{} is not a regular file and keeps no modification time; name a file", path.display());
            return Err(Error::invalid(message));
        }
        let failed = |error: io::Error| Error::local(error, "write to", path);
        // Without `create` and `truncate`: a file that took its place meanwhile stays as it is.
        let mut output = OpenOptions::new().write(true).open(path).await.map_err(failed)?;
        if !is_stream(output.metadata().await.map_err(failed)?.file_type()) {
            return Err(Error::invalid(format!("{} was replaced and was not changed; try again", path.display())));
        }
        let response = self.download(request).await?;
        let failed = |error: io::Error| failed(error).with_effect(Effect::Rejected);
        let (mut stream, mut bytes) = (response.stream, 0);
        while let Some(chunk) = stream.try_next().await? {
            output.write_all(&chunk).await.map_err(failed)?;
            bytes += chunk.len() as u64;
        }
        output.flush().await.map_err(failed)?;
        Ok(SavedFile { file: response.file, path: path.to_owned(), bytes, taken: None })
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use bytes::Bytes;
    use futures::stream;

    use crate::save::tests::{broken, file, store};
    use crate::{ByteStream, ErrorKind, IfExists, ReadEffect};

    use super::*;

    fn content() -> ByteStream {
        ByteStream::download(stream::iter([Ok(Bytes::from_static(b"ab")), Ok(Bytes::from_static(b"cd"))]), Some(4))
    }

    fn fifo(folder: &Path) -> std::path::PathBuf {
        let path = folder.join("fifo");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        path
    }

    #[tokio::test]
    async fn a_device_is_written_to_and_stays_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        symlink("/dev/null", &link).unwrap();
        for (path, if_exists) in [(Path::new("/dev/null"), IfExists::Fail), (&link, IfExists::Replace)] {
            let saved =
                store(ReadEffect::None, "a", Ok(content())).download_to_path(file(), path, if_exists).await.unwrap();
            assert_eq!((saved.path.as_path(), saved.bytes, saved.taken), (path, 4, None));
            assert!(is_pipe_or_device(path));
        }
        assert!(link.is_symlink());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn the_reader_of_a_fifo_gets_the_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = fifo(folder.path());
        let reader = tokio::spawn(tokio::fs::read(path.clone()));
        let saved =
            store(ReadEffect::None, "a", Ok(content())).download_to_path(file(), &path, IfExists::Fail).await.unwrap();
        assert_eq!(saved.bytes, 4);
        assert_eq!(reader.await.unwrap().unwrap(), b"abcd");
        assert!(is_pipe_or_device(&path));
    }

    #[tokio::test]
    async fn a_reader_that_goes_away_is_an_error_of_the_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = fifo(folder.path());
        // Closes the FIFO as soon as it is open.
        let opened = path.clone();
        tokio::spawn(async move { drop(tokio::fs::File::open(opened).await) });
        let endless = stream::repeat_with(|| Ok(Bytes::from_static(b"ab")));
        let store = store(ReadEffect::None, "a", Ok(ByteStream::download(endless, None)));
        let save = store.download_to_path(file(), &path, IfExists::Fail);
        let error = save.await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Io, Effect::Rejected), "{error}");
    }

    #[tokio::test]
    async fn a_read_that_consumes_is_not_sent_for_a_device_or_a_fifo() {
        let folder = tempfile::tempdir().unwrap();
        for path in [Path::new("/dev/null"), &fifo(folder.path())] {
            let store = store(ReadEffect::Consumes, "a", Err(broken()));
            let error = store.download_to_path(file(), path, IfExists::Replace).await.unwrap_err();
            assert_eq!((error.kind(), error.effect()), (ErrorKind::InvalidInput, Effect::NotSent), "{error}");
        }
    }

    #[tokio::test]
    async fn a_modification_time_cannot_be_restored_on_a_device() {
        let request = Download::from(file()).restore_modified(true);
        let store = store(ReadEffect::None, "a", Err(broken()));
        let error = store.download_to_path(request, "/dev/null", IfExists::Fail).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::InvalidInput, Effect::NotSent), "{error}");
    }
}
