//! [`FileChunks`]: a stream of the chunks of a file or another blocking reader, which blocking threads read.

use std::collections::VecDeque;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use futures::future::FutureExt;
use futures::stream::Stream;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::{Effect, Error, check_runtime};

/// A function that inspects each chunk before the stream returns it.
pub(crate) type Inspector = Box<dyn FnMut(&[u8]) + Send>;

/// The largest number of returned chunks that are remembered to reuse their memory.
const MAX_REMEMBERED: usize = 4;

/// A stream of a file, of a part of it, or of another blocking reader.
pub(crate) struct FileChunks {
    state: State,
    /// The number of bytes that are still to be read.
    remaining: u64,
    chunk_size: usize,
    /// Chunks that the stream returned. The memory of a chunk that is no longer in use is reused: fresh memory costs
    /// as much as reading into it.
    returned: VecDeque<Bytes>,
}

enum State {
    Idle(Reader),
    /// A running read, and the number of bytes that it requests.
    Reading(JoinHandle<(Reader, io::Result<BytesMut>)>, usize),
    Ended,
}

struct Reader {
    source: Box<dyn Read + Send>,
    inspector: Option<Inspector>,
    /// The file and the version that it had when it was opened, if it is read to its end.
    opened: Option<(Arc<File>, Version)>,
}

/// A reader of a shared file from a position of its own.
pub(crate) struct FileAt {
    pub(crate) file: Arc<File>,
    pub(crate) position: u64,
}

impl Read for FileAt {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        #[cfg(unix)]
        let read = std::os::unix::fs::FileExt::read_at(&*self.file, buffer, self.position)?;
        #[cfg(windows)]
        let read = std::os::windows::fs::FileExt::seek_read(&*self.file, buffer, self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

/// The length and modification time of an open file, which a write to the file changes.
///
/// The time has the resolution of the file system's clock: a few milliseconds on many systems. Replacing the file by
/// another one is no write: the open file stays the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) length: u64,
    modified: Option<SystemTime>,
}

impl Version {
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self { length: metadata.len(), modified: metadata.modified().ok() })
    }
}

/// The identity of a file. It differs from that of another file with the same length and time, and changes when the
/// file is overwritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(unix), expect(dead_code, reason = "constructed only where the system reports it"))]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
    /// The time of the last change of content, attributes or name (`ctime`), in seconds and nanoseconds. No program can
    /// set it back.
    changed: (i64, i64),
}

impl Identity {
    /// Returns the identity, or `None` where the system does not report one.
    #[cfg(unix)]
    #[expect(clippy::unnecessary_wraps, reason = "not every system reports one")]
    pub(crate) fn of(metadata: &Metadata) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        Some(Self { device: metadata.dev(), inode: metadata.ino(), changed })
    }

    #[cfg(not(unix))]
    pub(crate) fn of(_: &Metadata) -> Option<Self> {
        None
    }
}

/// Creates the error for a file that changed while it was read, wrapped in an [`io::Error`]. It replaces the last
/// chunk, so that no service receives the whole file.
fn changed() -> io::Error {
    let message = "the file changed while it was read, and nothing is stored; upload it again";
    io::Error::other(Error::invalid(message).with_effect(Effect::Rejected))
}

impl FileChunks {
    /// Streams the next `length` bytes of `source`, or fewer if it ends before, in chunks of `chunk_size` bytes.
    pub(crate) fn new(source: impl Read + Send + 'static, length: u64, chunk_size: usize) -> Self {
        Self::of(Reader { source: Box::new(source), inspector: None, opened: None }, length, chunk_size)
    }

    /// Streams all of `file`, which had the version `opened`. If the file is written to meanwhile, an error replaces
    /// the last chunk.
    pub(crate) fn whole(file: Arc<File>, opened: Version, chunk_size: usize) -> Self {
        let source = Box::new(FileAt { file: Arc::clone(&file), position: 0 });
        Self::of(Reader { source, inspector: None, opened: Some((file, opened)) }, opened.length, chunk_size)
    }

    fn of(reader: Reader, remaining: u64, chunk_size: usize) -> Self {
        Self { state: State::Idle(reader), remaining, chunk_size, returned: VecDeque::new() }
    }

    /// Installs `inspector` in the blocking thread that reads. Returns it as an error if one is installed already, if a
    /// read is running, or if the stream has ended.
    pub(crate) fn inspect(&mut self, inspector: Inspector) -> Result<(), Inspector> {
        match &mut self.state {
            State::Idle(reader) if reader.inspector.is_none() => {
                reader.inspector = Some(inspector);
                Ok(())
            }
            _ => Err(inspector),
        }
    }

    fn start_read(&mut self, mut reader: Reader) -> State {
        let wanted = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(self.chunk_size);
        // A whole file that is empty is read once, too, so that a change is noticed.
        if wanted == 0 && reader.opened.as_ref().is_none_or(|(_, opened)| opened.length > 0) {
            return State::Ended;
        }
        let buffer = self.buffer();
        let is_last = wanted as u64 == self.remaining;
        let work = spawn_blocking(move || {
            let read = reader.read(buffer, wanted, is_last);
            (reader, read)
        });
        State::Reading(work, wanted)
    }

    /// Returns the memory of a chunk that is no longer in use, or an empty buffer.
    fn buffer(&mut self) -> BytesMut {
        match self.returned.pop_front().map(Bytes::try_into_mut) {
            Some(Ok(free)) => free,
            Some(Err(in_use)) if self.returned.len() + 1 < MAX_REMEMBERED => {
                self.returned.push_front(in_use);
                BytesMut::new()
            }
            _ => BytesMut::new(),
        }
    }
}

impl Reader {
    fn read(&mut self, mut buffer: BytesMut, wanted: usize, is_last: bool) -> io::Result<BytesMut> {
        if buffer.is_empty() {
            buffer = BytesMut::zeroed(wanted);
        }
        buffer.resize(wanted, 0);
        let mut read = 0;
        while read < wanted {
            match self.source.read(&mut buffer[read..]) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        buffer.truncate(read);
        if let Some((file, opened)) = self.opened.as_ref().filter(|_| is_last || read < wanted)
            && Version::of(file)? != *opened
        {
            return Err(changed());
        }
        if let Some(inspector) = &mut self.inspector {
            inspector(&buffer);
        }
        Ok(buffer)
    }
}

impl Stream for FileChunks {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Ended => return Poll::Ready(None),
                State::Idle(reader) => {
                    check_runtime()?;
                    self.state = self.start_read(reader);
                }
                State::Reading(mut work, wanted) => {
                    let Poll::Ready(done) = work.poll_unpin(cx) else {
                        self.state = State::Reading(work, wanted);
                        return Poll::Pending;
                    };
                    let (reader, read) = done.map_err(io::Error::other)?;
                    let chunk = read?.freeze();
                    if chunk.is_empty() {
                        return Poll::Ready(None);
                    }
                    self.remaining -= chunk.len() as u64;
                    self.returned.push_back(chunk.clone());
                    // A short read is the end of the file.
                    if chunk.len() == wanted {
                        self.state = State::Idle(reader);
                    }
                    return Poll::Ready(Some(Ok(chunk)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Mutex;

    use futures::stream::TryStreamExt;

    use super::*;
    use crate::ErrorKind;

    fn file(content: &[u8]) -> File {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        file.reopen().unwrap()
    }

    #[tokio::test]
    async fn a_file_is_read_in_chunks_up_to_its_end_or_the_length() {
        let read = async |length| {
            let chunks: Vec<_> = FileChunks::new(file(b"abcdefgh"), length, 3).try_collect().await.unwrap();
            chunks
        };
        assert_eq!(read(8).await, ["abc", "def", "gh"]);
        assert_eq!(read(6).await, ["abc", "def"]);
        assert_eq!(read(100).await, ["abc", "def", "gh"]);
        assert!(read(0).await.is_empty());
    }

    #[tokio::test]
    async fn a_chunk_in_use_is_never_overwritten() {
        let content: Vec<u8> = (0..=255).collect();
        // Some chunks are kept, the others are dropped at once.
        let mut chunks = FileChunks::new(file(&content), 256, 7);
        let mut kept = Vec::new();
        let mut at = 0;
        while let Some(chunk) = chunks.try_next().await.unwrap() {
            assert_eq!(chunk, content[at..at + chunk.len()]);
            if at % 3 == 0 {
                kept.push((at, chunk.slice(1..)));
            }
            at += chunk.len();
        }
        assert_eq!(at, 256);
        for (at, chunk) in kept {
            assert_eq!(chunk, content[at + 1..at + 1 + chunk.len()]);
        }
    }

    #[tokio::test]
    async fn an_inspector_sees_every_byte_before_the_stream_returns_it() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        let mut chunks = FileChunks::new(file(b"abcdefgh"), 8, 3);
        let Ok(()) = chunks.inspect(Box::new(move |chunk| sink.lock().unwrap().extend_from_slice(chunk))) else {
            panic!()
        };
        let mut passed = Vec::new();
        while let Some(chunk) = chunks.try_next().await.unwrap() {
            passed.extend_from_slice(&chunk);
            assert_eq!(*seen.lock().unwrap(), passed);
        }
        assert_eq!(passed, b"abcdefgh");
    }

    #[tokio::test]
    async fn files_of_any_length_are_read_exactly_in_chunks_of_any_size() {
        let content: Vec<u8> = (0..=255).collect();
        for chunk in [1, 2, 64, 128, 255, 256, 257, 1 << 20] {
            for length in [0, 1, 63, 64, 65, 256, 257, u64::MAX] {
                let read: Vec<Bytes> = FileChunks::new(file(&content), length, chunk).try_collect().await.unwrap();
                let available = content.len().min(usize::try_from(length).unwrap());
                assert_eq!(read.concat(), content[..available], "{length} in chunks of {chunk}");
                assert!(read.iter().rev().skip(1).all(|read| read.len() == chunk), "{length} in chunks of {chunk}");
            }
        }
    }

    #[tokio::test]
    async fn the_memory_of_dropped_chunks_is_reused_and_the_number_of_remembered_chunks_is_limited() {
        let content = vec![7; 100];
        let mut chunks = FileChunks::new(file(&content), 100, 10);
        let mut addresses = std::collections::HashSet::new();
        while let Some(chunk) = chunks.try_next().await.unwrap() {
            addresses.insert(chunk.as_ptr());
        }
        assert_eq!(addresses.len(), 1, "each chunk is dropped at once");

        let mut chunks = FileChunks::new(file(&content), 100, 10);
        let mut kept = Vec::new();
        while let Some(chunk) = chunks.try_next().await.unwrap() {
            assert!(chunks.returned.len() <= MAX_REMEMBERED);
            kept.push(chunk);
        }
        assert_eq!(kept.len(), 10);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_chunk_in_use_by_other_threads_is_never_overwritten() {
        let content: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut chunks = FileChunks::new(file(&content), u64::MAX, 1000);
        let mut work = Vec::new();
        let mut at = 0;
        while let Some(chunk) = chunks.try_next().await.unwrap() {
            let expected = content[at..at + chunk.len()].to_vec();
            at += chunk.len();
            work.push(tokio::spawn(async move {
                let half = chunk.slice(500..);
                for _ in 0..at % 7 {
                    tokio::task::yield_now().await;
                    assert_eq!(chunk, expected);
                }
                drop(chunk);
                tokio::task::yield_now().await;
                assert_eq!(half, expected[500..]);
            }));
        }
        assert_eq!(at, content.len());
        for work in work {
            work.await.unwrap();
        }
    }

    #[tokio::test]
    async fn after_its_end_or_an_error_the_stream_stays_ended() {
        let mut ended = FileChunks::new(file(b"abc"), 3, 3);
        assert_eq!(ended.try_next().await.unwrap().unwrap(), "abc");
        let folder = tempfile::tempdir().unwrap();
        let mut broken = FileChunks::new(File::open(folder.path()).unwrap(), 3, 3);
        broken.try_next().await.unwrap_err();
        for chunks in [&mut ended, &mut broken] {
            for _ in 0..3 {
                assert!(chunks.try_next().await.unwrap().is_none());
            }
        }
    }

    #[tokio::test]
    async fn an_inspector_that_panics_is_an_error() {
        let mut chunks = FileChunks::new(file(b"abcdef"), 6, 3);
        let Ok(()) = chunks.inspect(Box::new(|chunk| assert_eq!(chunk, b"abc"))) else { panic!() };
        assert_eq!(chunks.try_next().await.unwrap().unwrap(), "abc");
        chunks.try_next().await.unwrap_err();
        assert!(chunks.try_next().await.unwrap().is_none());
    }

    /// Reads a file of 100 bytes in chunks of 40 bytes, and calls `change` after the first chunk.
    async fn read_and(change: impl FnOnce(&std::path::Path, &File)) -> (usize, Option<Error>) {
        let mut temporary = tempfile::NamedTempFile::new().unwrap();
        temporary.write_all(&[7; 100]).unwrap();
        temporary.as_file().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let file = temporary.reopen().unwrap();
        let opened = Version::of(&file).unwrap();
        let mut chunks = FileChunks::whole(Arc::new(file), opened, 40);
        let mut read = chunks.try_next().await.unwrap().unwrap().len();
        change(temporary.path(), temporary.as_file());
        loop {
            match chunks.try_next().await {
                Ok(Some(chunk)) => read += chunk.len(),
                Ok(None) => return (read, None),
                Err(error) => return (read, Some(Error::from(error))),
            }
        }
    }

    #[tokio::test]
    async fn a_file_that_is_written_to_while_it_is_read_is_never_returned_whole() {
        let changes: [fn(&File); 4] = [
            |file| (&*file).write_all(b"more").unwrap(),
            |file| file.set_len(50).unwrap(),
            |file| {
                file.set_len(0).unwrap();
                file.set_len(100).unwrap();
            },
            // The length stays the same, the time changes.
            |file| file.set_modified(SystemTime::now()).unwrap(),
        ];
        for change in changes {
            let (read, error) = read_and(|_, file| change(file)).await;
            let error = error.expect("an error instead of the last chunk");
            assert_eq!((error.kind(), error.effect()), (ErrorKind::InvalidInput, Effect::Rejected), "{error}");
            assert!(read < 100, "{read}");
        }
    }

    #[tokio::test]
    async fn a_file_that_is_replaced_while_it_is_read_stays_what_it_was() {
        let (read, error) = read_and(|path, _| {
            let other = path.with_extension("other");
            std::fs::write(&other, "another file").unwrap();
            std::fs::rename(other, path).unwrap();
        })
        .await;
        assert_eq!((read, error.is_none()), (100, true));
    }

    #[tokio::test]
    async fn an_empty_file_that_is_written_to_before_it_is_read_is_an_error() {
        let mut temporary = tempfile::NamedTempFile::new().unwrap();
        let file = temporary.reopen().unwrap();
        let opened = Version::of(&file).unwrap();
        temporary.write_all(b"x").unwrap();
        let mut chunks = FileChunks::whole(Arc::new(file), opened, 40);
        let error = Error::from(chunks.try_next().await.unwrap_err());
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(chunks.try_next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_file_that_shrinks_while_it_is_read_ends() {
        let mut temporary = tempfile::NamedTempFile::new().unwrap();
        temporary.write_all(&[7; 100]).unwrap();
        let mut chunks = FileChunks::new(temporary.reopen().unwrap(), 100, 40);
        assert_eq!(chunks.try_next().await.unwrap().unwrap().len(), 40);
        temporary.as_file().set_len(50).unwrap();
        assert_eq!(chunks.try_next().await.unwrap().unwrap().len(), 10);
        assert!(chunks.try_next().await.unwrap().is_none());
    }
}
