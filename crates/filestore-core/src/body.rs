//! [`Body`]: the content of an upload.

use std::fmt;
use std::fs::{File, Metadata};
use std::future::Future;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use jiff::Timestamp;
use tokio::io::AsyncRead;
use tokio::task::spawn_blocking;

use crate::error::BoxError;
use crate::file::{FileAt, Identity, Version};
use crate::progress::{Observer, ProgressTracker};
use crate::{Account, BodySender, ByteStream, Effect, Error, FileRef, Result, check_runtime};

/// The content of an upload. It is opened when it is sent, and streamed: memory use does not grow with its length.
///
/// If a file is written to while it is sent, the upload fails and nothing is stored.
///
/// | created by | length | can be sent again in a retry | can be read at an offset |
/// |---|---|---|---|
/// | [`from`](From) bytes, a `Vec`, a string | known | yes | yes |
/// | [`Body::from_path`], [`Body::from_file`] of a regular file | known | yes | yes |
/// | [`Body::from_ranges`] | known | yes | yes |
/// | [`Body::reopenable`] | stated at each opening | yes | no |
/// | [`Body::from_stream`], [`Body::from_reader`], [`Body::from_blocking`], [`Body::channel`] | as given, or unknown | no | no |
/// | [`Body::from_path`], [`Body::from_file`] of a pipe or device | unknown | no | no |
#[derive(Debug)]
pub struct Body {
    source: Source,
    tracker: Option<ProgressTracker>,
    /// The stored file that has this content.
    stored: Option<Box<(Account, FileRef)>>,
}

enum Source {
    Bytes(Bytes),
    File { file: LocalFile, length: u64 },
    Ranges { open: OpenRange, length: u64 },
    Reopenable { open: Open, length: Option<u64> },
    Once { stream: Mutex<Option<ByteStream>>, length: Option<u64> },
}

/// The version of a body's source. Two fingerprints differ if the source changed; see [`Body::fingerprint`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fingerprint {
    /// The current length in bytes.
    pub length: u64,
    /// The time of a file's last modification, as the file system reports it.
    pub modified: Option<Timestamp>,
    identity: Option<Identity>,
}

/// The name of a file without a path in messages.
const OPEN_FILE: &str = "the open file";

/// A regular file of this machine: one that each opening finds at a path, or one that is open.
#[derive(Clone)]
enum LocalFile {
    Path(Arc<Path>),
    Open(Arc<File>),
}

impl LocalFile {
    /// Opens the file, unless it is open, and returns its current version.
    async fn open(&self) -> Result<(Arc<File>, Version)> {
        let file = self.clone();
        let open = move || {
            let file = match file {
                Self::Path(path) => Arc::new(File::open(path)?),
                Self::Open(file) => file,
            };
            let opened = Version::of(&file)?;
            Ok((file, opened))
        };
        self.blocking(open).await
    }

    async fn metadata(&self) -> Result<Metadata> {
        let file = self.clone();
        self.blocking(move || match file {
            Self::Path(path) => std::fs::metadata(path),
            Self::Open(file) => file.metadata(),
        })
        .await
    }

    /// Calls `call` on a blocking thread.
    async fn blocking<T: Send + 'static>(&self, call: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T> {
        check_runtime()?;
        let done = spawn_blocking(call).await.unwrap_or_else(|error| Err(io::Error::other(error)));
        done.map_err(|error| Error::local(error, "read", self.path()))
    }

    /// Returns the path for messages.
    fn path(&self) -> &Path {
        match self {
            Self::Path(path) => path,
            Self::Open(_) => Path::new(OPEN_FILE),
        }
    }
}

type Open = Arc<dyn Fn() -> BoxFuture<'static, Result<ByteStream>> + Send + Sync>;
type OpenRange = Arc<dyn Fn(Range<u64>) -> BoxFuture<'static, Result<ByteStream>> + Send + Sync>;

impl Body {
    /// Creates a body from the file at `path`, which is opened each time it is sent.
    ///
    /// A pipe, a device and a system file of unknown size become a body of unknown length that can be sent once. Fails
    /// with *invalid input* if the file does not exist or is a folder, and with *permission* if it cannot be read.
    pub fn from_path(path: impl Into<PathBuf>) -> Result<Self> {
        let path: PathBuf = path.into();
        let metadata = std::fs::metadata(&path).map_err(|error| Error::local(error, "read", &path))?;
        if metadata.is_dir() {
            return Err(Error::invalid(format!("{} is a folder; upload the files in it one by one", path.display())));
        }
        if !metadata.is_file() {
            return Ok(Self::pipe(path));
        }
        // Opening the file now finds missing permission before anything is sent.
        let file = File::open(&path).map_err(|error| Error::local(error, "read", &path))?;
        if is_of_unknown_size(&Arc::new(file), &metadata).map_err(|error| Error::local(error, "read", &path))? {
            return Ok(Self::pipe(path));
        }
        Ok(Self::of(Source::File { file: LocalFile::Path(path.into()), length: metadata.len() }))
    }

    /// Creates a body from an open file, such as a temporary file without a name. The whole file is sent, whatever its
    /// position is.
    ///
    /// A pipe, a device and a system file of unknown size become a body of unknown length that can be sent once. Fails
    /// with *invalid input* if the file is a folder, and with *io* if it cannot be read.
    pub fn from_file(file: File) -> Result<Self> {
        let unreadable = |error| Error::local(error, "read", Path::new(OPEN_FILE));
        let metadata = file.metadata().map_err(unreadable)?;
        if metadata.is_dir() {
            return Err(Error::invalid("the open file is a folder; upload the files in it one by one"));
        }
        if !metadata.is_file() {
            return Ok(Self::from_reader(tokio::fs::File::from_std(file), None));
        }
        let file = Arc::new(file);
        if is_of_unknown_size(&file, &metadata).map_err(unreadable)? {
            return Ok(Self::from_blocking(FileAt { file, position: 0 }, None));
        }
        Ok(Self::of(Source::File { file: LocalFile::Open(file), length: metadata.len() }))
    }

    /// Creates a body from `open`, which is called each time the body is sent. `length` is the length as far as it is
    /// known; the length of each opened stream overrides it.
    pub fn reopenable<F, Fut>(open: F, length: Option<u64>) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<ByteStream>> + Send + 'static,
    {
        Self::of(Source::Reopenable { open: Arc::new(move || Box::pin(open())), length })
    }

    /// Creates a body of `length` bytes from `open`, which returns any range of them: for example those of a file at another
    /// service. Parts of the body may be read at the same time.
    ///
    /// All ranges must be of one content. If it has changed, `open` returns an error, and nothing is stored.
    pub fn from_ranges<F, Fut>(length: u64, open: F) -> Self
    where
        F: Fn(Range<u64>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<ByteStream>> + Send + 'static,
    {
        Self::of(Source::Ranges { open: Arc::new(move |range| Box::pin(open(range))), length })
    }

    /// Creates a body from a stream of chunks, which can be sent once. A wrong `length` fails the upload.
    ///
    /// The chunks and errors may be of any type that converts: `Bytes`, `Vec<u8>`, a text; [`Error`], [`io::Error`], the
    /// error of an HTTP framework. If the stream returns an error, the upload fails and nothing is stored. The error of
    /// the upload is the same [`Error`], or an *io* error with the other one as its cause.
    ///
    /// ```
    /// use filestore_core::Body;
    /// use futures::stream;
    ///
    /// let chunks = stream::iter([Ok(vec![1, 2]), Err(std::io::Error::other("the sender has left"))]);
    /// let body = Body::from_stream(chunks, None);
    /// ```
    pub fn from_stream<S, C, E>(stream: S, length: Option<u64>) -> Self
    where
        S: Stream<Item = Result<C, E>> + Send + 'static,
        C: Into<Bytes>,
        E: Into<BoxError>,
    {
        let chunks = stream.map(|chunk| match chunk {
            Ok(chunk) => Ok(chunk.into()),
            Err(error) => Err(Error::unread(error.into(), Effect::Rejected)),
        });
        Self::once(ByteStream::upload(chunks, length))
    }

    /// Creates a body from a reader, which can be sent once. A wrong `length` fails the upload.
    pub fn from_reader(reader: impl AsyncRead + Send + 'static, length: Option<u64>) -> Self {
        Self::once(ByteStream::from_reader(reader, length))
    }

    /// Creates a body from a reader whose calls block, which can be sent once. Blocking threads of tokio read it in
    /// chunks of 256 KiB. A wrong `length` fails the upload.
    pub fn from_blocking(reader: impl Read + Send + 'static, length: Option<u64>) -> Self {
        Self::once(ByteStream::from_blocking(reader, length))
    }

    /// Creates a body of the chunks that the caller sends, and the sender. A wrong `length` fails the upload.
    ///
    /// The body is complete only after [`BodySender::finish`]. If the sender is dropped before, because its task failed,
    /// panicked or was cancelled, the upload fails with *invalid input* and nothing is stored.
    ///
    /// ```
    /// # use filestore_core::{Body, Result, Store, StoredFile, Upload};
    /// async fn report(store: &Store) -> Result<StoredFile> {
    ///     let (mut sender, body) = Body::channel(None);
    ///     let rows = tokio::spawn(async move {
    ///         for row in 0..1000 {
    ///             sender.send(format!("{row}\n")).await?;
    ///         }
    ///         sender.finish().await
    ///     });
    ///     store.upload(Upload::new("rows.csv", body)).await
    /// }
    /// ```
    pub fn channel(length: Option<u64>) -> (BodySender, Self) {
        let (sender, stream) = BodySender::new();
        (sender, Self::from_stream(stream, length))
    }

    fn pipe(path: PathBuf) -> Self {
        // Opening a pipe waits for its writer, so it is opened when the body is sent.
        let open = async move {
            let file = tokio::fs::File::open(&path).await.map_err(|error| Error::local(error, "read", &path))?;
            Ok::<_, Error>(ByteStream::from_reader(file, None))
        };
        Self::from_stream(stream::once(open).try_flatten(), None)
    }

    fn once(stream: ByteStream) -> Self {
        let length = stream.length();
        Self::of(Source::Once { stream: Mutex::new(Some(stream)), length })
    }

    fn of(source: Source) -> Self {
        Self { source, tracker: None, stored: None }
    }

    /// Reports the progress to `observer` after every chunk, after the observers that were set before.
    pub fn on_progress(mut self, observer: impl Observer + 'static) -> Self {
        self.tracker = Some(ProgressTracker::added(observer, self.tracker));
        self
    }

    /// States that the content is that of a stored file. A store of the same account may let the service copy it, and never
    /// opens the body.
    pub fn of_stored(mut self, account: Account, reference: FileRef) -> Self {
        self.stored = Some(Box::new((account, reference)));
        self
    }

    /// Returns the stored file that has this content, if it belongs to `account`. For backends.
    pub fn stored_in(&self, account: &Account) -> Option<&FileRef> {
        self.stored.as_ref().filter(|stored| stored.0 == *account).map(|stored| &stored.1)
    }

    /// Returns the length in bytes, if it is known before the body is opened.
    pub fn length(&self) -> Option<u64> {
        match &self.source {
            Source::Bytes(bytes) => Some(bytes.len() as u64),
            Source::File { length, .. } | Source::Ranges { length, .. } => Some(*length),
            Source::Reopenable { length, .. } | Source::Once { length, .. } => *length,
        }
    }

    /// Returns the length if no later opening can state another one.
    pub(crate) fn fixed_length(&self) -> Option<u64> {
        match &self.source {
            Source::Bytes(bytes) => Some(bytes.len() as u64),
            Source::Ranges { length, .. } => Some(*length),
            Source::Once { length, .. } => *length,
            Source::File { .. } | Source::Reopenable { .. } => None,
        }
    }

    /// Returns `true` if the body can be opened more than once.
    pub fn can_replay(&self) -> bool {
        !matches!(self.source, Source::Once { .. })
    }

    /// Returns `true` if [`open_range`](Self::open_range) is supported.
    pub fn can_seek(&self) -> bool {
        matches!(self.source, Source::Bytes(_) | Source::File { .. } | Source::Ranges { .. })
    }

    /// Returns the version of the source, or `None` if the body [cannot seek](Self::can_seek). An upload in parts opens
    /// the source several times, and compares the fingerprints before and after it.
    ///
    /// Fails with *invalid input* if the file is gone.
    pub async fn fingerprint(&self) -> Result<Option<Fingerprint>> {
        match &self.source {
            Source::Bytes(bytes) => {
                Ok(Some(Fingerprint { length: bytes.len() as u64, modified: None, identity: None }))
            }
            Source::Ranges { length, .. } => Ok(Some(Fingerprint { length: *length, modified: None, identity: None })),
            Source::File { file, .. } => {
                let metadata = file.metadata().await?;
                let modified = metadata.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
                let identity = Identity::of(&metadata);
                Ok(Some(Fingerprint { length: metadata.len(), modified, identity }))
            }
            Source::Reopenable { .. } | Source::Once { .. } => Ok(None),
        }
    }

    /// Returns a second body with the same content if this one [can be replayed](Self::can_replay), otherwise `None`.
    pub fn try_clone(&self) -> Option<Self> {
        let source = match &self.source {
            Source::Bytes(bytes) => Source::Bytes(bytes.clone()),
            Source::File { file, length } => Source::File { file: file.clone(), length: *length },
            Source::Ranges { open, length } => Source::Ranges { open: Arc::clone(open), length: *length },
            Source::Reopenable { open, length } => Source::Reopenable { open: Arc::clone(open), length: *length },
            Source::Once { .. } => return None,
        };
        Some(Self { source, tracker: self.tracker.clone(), stored: self.stored.clone() })
    }

    /// Opens the body from the beginning. The stream states its own length.
    ///
    /// If a file is written to while it is read, *invalid input* replaces the last chunk of the stream, so that no
    /// service receives the whole of a mixed file. Fails with *invalid input* if the file does not exist, or if
    /// the body can be sent once and was opened before.
    pub async fn open(&self) -> Result<ByteStream> {
        let stream = match &self.source {
            Source::Bytes(bytes) => ByteStream::upload(chunks(bytes.clone()), Some(bytes.len() as u64)),
            Source::File { file, .. } => {
                let (file, opened) = file.open().await?;
                ByteStream::from_file(file, opened)
            }
            Source::Ranges { open, length } => ByteStream::upload(open(0..*length).await?, Some(*length)),
            Source::Reopenable { open, .. } => open().await?,
            Source::Once { stream, .. } => {
                let taken = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
                taken.ok_or_else(|| Error::invalid("the body is a stream and was already sent; create a new body"))?
            }
        };
        Ok(match &self.tracker {
            Some(tracker) => {
                tracker.restart();
                let total = stream.length();
                stream.with_progress(tracker.clone(), total)
            }
            None => stream,
        })
    }

    /// Opens the body as late as its kind allows: at once if it [can be replayed](Self::can_replay), otherwise when the
    /// first byte is read. If the connection fails before that, a body that can be sent once is still unused.
    pub async fn open_lazily(self: &Arc<Self>) -> Result<ByteStream> {
        if self.can_replay() {
            return self.open().await;
        }
        let (length, body) = (self.length(), Arc::clone(self));
        Ok(ByteStream::upload(stream::once(async move { body.open().await }).try_flatten(), length))
    }

    /// Opens `length` bytes from `offset`, for uploads in parts.
    ///
    /// Fails with *unsupported* if the body [cannot seek](Self::can_seek). The stream of a range beyond the end of the
    /// body ends early with an error.
    pub async fn open_range(&self, offset: u64, length: u64) -> Result<ByteStream> {
        let stream = match &self.source {
            Source::Bytes(bytes) => {
                let end = bytes.len().min(usize::try_from(offset.saturating_add(length)).unwrap_or(usize::MAX));
                let start = end.min(usize::try_from(offset).unwrap_or(usize::MAX));
                ByteStream::upload(chunks(bytes.slice(start..end)), Some(length))
            }
            Source::File { file, .. } => {
                let (file, _) = file.open().await?;
                ByteStream::from_part(FileAt { file, position: offset }, length)
            }
            Source::Ranges { open, length: total } => {
                let end = offset.saturating_add(length).min(*total);
                let part = match offset < end {
                    true => open(offset..end).await?,
                    false => ByteStream::upload(stream::empty(), None),
                };
                ByteStream::upload(part, Some(length))
            }
            Source::Reopenable { .. } | Source::Once { .. } => {
                return Err(Error::unsupported("this body can only be read from its beginning"));
            }
        };
        let total = self.length();
        Ok(match &self.tracker {
            Some(tracker) => stream.with_progress(tracker.clone(), total),
            None => stream,
        })
    }
}

/// Returns `true` if the file has content although its reported size is zero, as some system files have, such as those in
/// /proc.
fn is_of_unknown_size(file: &Arc<File>, metadata: &Metadata) -> io::Result<bool> {
    let mut start = FileAt { file: Arc::clone(file), position: 0 };
    Ok(metadata.len() == 0 && start.read(&mut [0])? > 0)
}

/// Splits one buffer into chunks, so that progress and backpressure work as for a file. Nothing is copied.
fn chunks(mut bytes: Bytes) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
    stream::iter(std::iter::from_fn(move || {
        let next = bytes.split_to(bytes.len().min(crate::stream::CHUNK));
        (!next.is_empty()).then_some(Ok(next))
    }))
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        Self::of(Source::Bytes(bytes.into()))
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::File { file, length } => write!(f, "{} bytes of {}", length, file.path().display()),
            Self::Ranges { length, .. } => write!(f, "{length} bytes in ranges"),
            Self::Reopenable { .. } => f.write_str("reopenable"),
            Self::Once { .. } => f.write_str("stream"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::{ErrorKind, Progress};

    async fn read(body: &Body) -> Result<Bytes> {
        body.open().await?.collect(1 << 20).await
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_file_whose_reported_size_is_zero_and_that_has_content_is_read_whole() {
        let body = Body::from_path("/proc/self/status").unwrap();
        assert_eq!((body.length(), body.can_replay()), (None, false));
        assert!(read(&body).await.unwrap().starts_with(b"Name:"));
        let open = Body::from_file(File::open("/proc/self/status").unwrap()).unwrap();
        assert!(read(&open).await.unwrap().starts_with(b"Name:"));
        let empty = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(Body::from_path(empty.path()).unwrap().length(), Some(0));
        // Its reported size is zero, and reading it fails.
        assert_eq!(Body::from_path("/proc/self/mem").unwrap_err().kind(), ErrorKind::Io);
    }

    #[tokio::test]
    async fn an_open_file_is_sent_whole_and_again_whatever_its_position_is() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"one two").unwrap();
        let body = Body::from_file(file.try_clone().unwrap()).unwrap();
        assert_eq!((body.length(), body.can_replay(), body.can_seek()), (Some(7), true, true));
        for _ in 0..2 {
            assert_eq!(read(&body).await.unwrap(), "one two");
        }
        assert_eq!(body.open_range(4, 3).await.unwrap().collect(9).await.unwrap(), "two");
        let before = body.fingerprint().await.unwrap();
        file.write_all(b"!").unwrap();
        assert_ne!(body.fingerprint().await.unwrap(), before);
        let folder = tempfile::tempdir().unwrap();
        let error = Body::from_file(File::open(folder.path()).unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn an_open_pipe_is_sent_once() {
        let (reader, mut writer) = io::pipe().unwrap();
        let body = Body::from_file(File::from(std::os::fd::OwnedFd::from(reader))).unwrap();
        assert_eq!((body.length(), body.can_replay()), (None, false));
        writer.write_all(b"abc").unwrap();
        drop(writer);
        assert_eq!(read(&body).await.unwrap(), "abc");
    }

    #[tokio::test]
    async fn a_blocking_reader_is_read_to_its_end_and_has_its_length() {
        let content = vec![7; 600_000];
        for length in [None, Some(600_000)] {
            let body = Body::from_blocking(io::Cursor::new(content.clone()), length);
            assert_eq!((body.length(), body.can_replay()), (length, false));
            assert_eq!(read(&body).await.unwrap(), content);
        }
        for wrong in [0, 1, 599_999, 600_001] {
            let body = Body::from_blocking(io::Cursor::new(content.clone()), Some(wrong));
            assert_eq!(read(&body).await.unwrap_err().kind(), ErrorKind::InvalidInput, "{wrong}");
        }
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::NotFound.into())
            }
        }
        let error = read(&Body::from_blocking(Broken, None)).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Io, Effect::Rejected));
    }

    #[tokio::test]
    async fn a_stream_has_chunks_and_errors_of_any_type() {
        let texts = Body::from_stream(stream::iter(["a", "b"].map(Ok::<_, Error>)), None);
        assert_eq!(read(&texts).await.unwrap(), "ab");
        let vectors = Body::from_stream(stream::iter([Ok(vec![b'a']), Err("the sender has left")]), None);
        let error = read(&vectors).await.unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Io, "cannot read: the sender has left"));
        // An error of this crate stays what it is, also inside of an `io::Error`.
        for wrapped in [false, true] {
            let own = Error::new(ErrorKind::Quota, Effect::Rejected, "full");
            let error: BoxError = if wrapped { io::Error::from(own).into() } else { own.into() };
            let body = Body::from_stream(stream::iter([Ok("a"), Err(error)]), None);
            assert_eq!(read(&body).await.unwrap_err().kind(), ErrorKind::Quota);
        }
    }

    #[tokio::test]
    async fn a_file_that_grew_states_its_new_length() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"one").unwrap();
        let body = Body::from_path(file.path()).unwrap();
        file.write_all(b"two").unwrap();
        assert_eq!(read(&body).await.unwrap(), "onetwo");
    }

    #[tokio::test]
    async fn a_file_that_changed_has_another_fingerprint() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"one").unwrap();
        let body = Body::from_path(file.path()).unwrap();
        let before = body.fingerprint().await.unwrap().unwrap();
        assert_eq!(before.length, 3);
        assert!(before.modified.is_some());
        file.write_all(b"two").unwrap();
        assert_ne!(body.fingerprint().await.unwrap(), Some(before));
        assert_eq!(Body::from_reader(&b"abc"[..], Some(3)).fingerprint().await.unwrap(), None);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_file_of_the_same_length_and_time_that_is_another_has_another_fingerprint() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            let file = File::options().write(true).open(&path).unwrap();
            file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
            path
        };
        let path = write("a", "one");
        let body = Body::from_path(&path).unwrap();
        let first = body.fingerprint().await.unwrap();
        assert_eq!(body.fingerprint().await.unwrap(), first);
        // Replaced by another.
        std::fs::rename(write("b", "two"), &path).unwrap();
        let second = body.fingerprint().await.unwrap();
        assert_ne!(second, first);
        // Overwritten, and the time set back. The clock of the file system advances meanwhile.
        while body.fingerprint().await.unwrap() == second {
            write("a", "six");
        }
        let parts = |print: Option<Fingerprint>| print.map(|print| (print.length, print.modified));
        assert_eq!(parts(body.fingerprint().await.unwrap()), parts(first));
    }

    #[tokio::test]
    async fn a_stream_is_sent_once() {
        let body = Body::from_reader(&b"abc"[..], Some(3));
        assert!(body.try_clone().is_none());
        assert_eq!(read(&body).await.unwrap(), "abc");
        assert_eq!(read(&body).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[tokio::test]
    async fn a_range_of_a_file_of_bytes_and_of_another_service_is_the_same() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"0123456789").unwrap();
        let elsewhere = Body::from_ranges(10, |range| async move {
            let part = "0123456789"[range.start as usize..range.end as usize].to_owned();
            Ok(ByteStream::download(stream::iter([Ok(part.into())]), Some(range.end - range.start)))
        });
        for body in [Body::from_path(file.path()).unwrap(), Body::from("0123456789"), elsewhere] {
            assert_eq!(read(&body).await.unwrap(), "0123456789");
            assert_eq!((body.length(), body.can_replay(), body.can_seek()), (Some(10), true, true));
            let part = body.open_range(3, 4).await.unwrap().collect(10).await.unwrap();
            assert_eq!(part, "3456");
            assert!(body.open_range(8, 4).await.unwrap().collect(10).await.is_err());
            assert!(body.open_range(8, u64::MAX).await.unwrap().collect(10).await.is_err());
        }
    }

    #[tokio::test]
    async fn a_folder_is_not_a_body() {
        let folder = tempfile::tempdir().unwrap();
        let error = Body::from_path(folder.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("is a folder"));
    }

    #[tokio::test]
    async fn an_observer_receives_the_last_byte() {
        let seen = Arc::new(AtomicU64::new(0));
        let observer = {
            let seen = Arc::clone(&seen);
            move |progress: Progress| seen.store(progress.transferred, Ordering::Relaxed)
        };
        let body = Body::from(vec![0; 700_000]).on_progress(observer);
        read(&body).await.unwrap();
        assert_eq!(seen.load(Ordering::Relaxed), 700_000);
    }

    #[tokio::test]
    async fn every_observer_receives_the_progress() {
        let seen = Arc::new(AtomicU64::new(0));
        let observer = |weight: u64| {
            let seen = Arc::clone(&seen);
            move |progress: Progress| {
                seen.store(seen.load(Ordering::Relaxed) + weight * progress.transferred, Ordering::Relaxed)
            }
        };
        let body = Body::from("12345").on_progress(observer(1)).on_progress(observer(100));
        read(&body).await.unwrap();
        assert_eq!(seen.load(Ordering::Relaxed), 505);
    }
}
