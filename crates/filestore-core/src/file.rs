//! [`FileChunks`]: a file on its way, read by threads for blocking work.

use std::collections::VecDeque;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use futures::future::FutureExt;
use futures::stream::Stream;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::{Effect, Error, check_runtime};

/// What sees each chunk before it is handed on.
pub(crate) type Inspector = Box<dyn FnMut(&[u8]) + Send>;

/// Chunks that are remembered in order to be filled again.
const REMEMBERED: usize = 4;

/// The rest of a file, or a part of it.
pub(crate) struct FileChunks {
    state: State,
    /// Bytes that are still to be read.
    left: u64,
    chunk: usize,
    /// Chunks that were handed on. One that nobody has any more is filled again: fresh memory costs as much as
    /// reading into it.
    out: VecDeque<Bytes>,
}

enum State {
    Resting(Reader),
    /// With the number of bytes that are wanted.
    Reading(JoinHandle<(Reader, io::Result<BytesMut>)>, usize),
    Ended,
}

struct Reader {
    file: File,
    inspector: Option<Inspector>,
    /// The length and time of the file when it was opened, where it is read to its end.
    opened: Option<Version>,
}

/// What tells whether an open file was written to: its length and its time of change.
///
/// The time is as fine as the file system's clock, which is a few milliseconds on many. A file that is
/// replaced by another is not written to: the open one stays what it was.
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

/// What tells a file from another of the same length and time, and from itself before it was overwritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(unix), expect(dead_code, reason = "made where the system says it"))]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
    /// Of content, attributes and name, which nobody can set back: seconds and nanoseconds.
    changed: (i64, i64),
}

impl Identity {
    /// `None` where the system does not say.
    #[cfg(unix)]
    #[expect(clippy::unnecessary_wraps, reason = "not every system says")]
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

/// Travels through an [`io::Error`]; the last chunk is not handed on, so that nobody has the whole.
fn changed() -> io::Error {
    let message = "the file changed while it was read, and nothing is stored; upload it again";
    io::Error::other(Error::invalid(message).with_effect(Effect::Rejected))
}

impl FileChunks {
    /// The next `length` bytes of `file`, or what there is of them, in chunks of `chunk` bytes.
    pub(crate) fn new(file: File, length: u64, chunk: usize) -> Self {
        Self::of(Reader { file, inspector: None, opened: None }, length, chunk)
    }

    /// The whole of `file`, which is at its beginning and was `opened` as such. A file that is written to
    /// meanwhile is an error in place of the last chunk.
    pub(crate) fn whole(file: File, opened: Version, chunk: usize) -> Self {
        Self::of(Reader { file, inspector: None, opened: Some(opened) }, opened.length, chunk)
    }

    fn of(reader: Reader, left: u64, chunk: usize) -> Self {
        Self { state: State::Resting(reader), left, chunk, out: VecDeque::new() }
    }

    /// Lets the thread that reads inspector, too. Given back where somebody looks already.
    pub(crate) fn inspect(&mut self, inspector: Inspector) -> Result<(), Inspector> {
        match &mut self.state {
            State::Resting(reader) if reader.inspector.is_none() => {
                reader.inspector = Some(inspector);
                Ok(())
            }
            _ => Err(inspector),
        }
    }

    fn begin(&mut self, mut reader: Reader) -> State {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.chunk);
        // An empty file is looked at, too.
        if wanted == 0 && reader.opened.is_none_or(|opened| opened.length > 0) {
            return State::Ended;
        }
        let room = self.room();
        let last = wanted as u64 == self.left;
        let work = spawn_blocking(move || {
            let read = reader.read(room, wanted, last);
            (reader, read)
        });
        State::Reading(work, wanted)
    }

    /// A chunk that is free, or nothing.
    fn room(&mut self) -> BytesMut {
        match self.out.pop_front().map(Bytes::try_into_mut) {
            Some(Ok(free)) => free,
            Some(Err(in_use)) if self.out.len() + 1 < REMEMBERED => {
                self.out.push_front(in_use);
                BytesMut::new()
            }
            _ => BytesMut::new(),
        }
    }
}

impl Reader {
    fn read(&mut self, mut room: BytesMut, wanted: usize, last: bool) -> io::Result<BytesMut> {
        if room.is_empty() {
            room = BytesMut::zeroed(wanted);
        }
        room.resize(wanted, 0);
        let mut read = 0;
        while read < wanted {
            match self.file.read(&mut room[read..]) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        room.truncate(read);
        if let Some(opened) = self.opened.filter(|_| last || read < wanted)
            && Version::of(&self.file)? != opened
        {
            return Err(changed());
        }
        if let Some(inspector) = &mut self.inspector {
            inspector(&room);
        }
        Ok(room)
    }
}

impl Stream for FileChunks {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Ended => return Poll::Ready(None),
                State::Resting(reader) => {
                    check_runtime()?;
                    self.state = self.begin(reader);
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
                    self.left -= chunk.len() as u64;
                    self.out.push_back(chunk.clone());
                    // Less than was wanted is the end.
                    if chunk.len() == wanted {
                        self.state = State::Resting(reader);
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
    use std::sync::{Arc, Mutex};

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
    async fn a_chunk_that_somebody_has_is_never_written_to() {
        let content: Vec<u8> = (0..=255).collect();
        // Some are kept, some are given back at once.
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
    async fn who_looks_sees_every_byte_before_it_is_handed_on() {
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
    async fn a_whole_number_of_chunks_and_any_length_are_read_as_they_are() {
        let content: Vec<u8> = (0..=255).collect();
        for chunk in [1, 2, 64, 128, 255, 256, 257, 1 << 20] {
            for length in [0, 1, 63, 64, 65, 256, 257, u64::MAX] {
                let read: Vec<Bytes> = FileChunks::new(file(&content), length, chunk).try_collect().await.unwrap();
                let there = content.len().min(usize::try_from(length).unwrap());
                assert_eq!(read.concat(), content[..there], "{length} in chunks of {chunk}");
                assert!(read.iter().rev().skip(1).all(|read| read.len() == chunk), "{length} in chunks of {chunk}");
            }
        }
    }

    #[tokio::test]
    async fn memory_is_filled_again_and_no_more_of_it_is_held_than_is_remembered() {
        let content = vec![7; 100];
        let mut chunks = FileChunks::new(file(&content), 100, 10);
        let mut places = std::collections::HashSet::new();
        while let Some(chunk) = chunks.try_next().await.unwrap() {
            places.insert(chunk.as_ptr());
        }
        assert_eq!(places.len(), 1, "given back at once");

        let mut chunks = FileChunks::new(file(&content), 100, 10);
        let mut kept = Vec::new();
        while let Some(chunk) = chunks.try_next().await.unwrap() {
            assert!(chunks.out.len() <= REMEMBERED);
            kept.push(chunk);
        }
        assert_eq!(kept.len(), 10);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_chunk_that_other_threads_have_is_never_written_to() {
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
    async fn after_its_end_or_an_error_nothing_comes() {
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
    async fn who_looks_and_panics_is_an_error() {
        let mut chunks = FileChunks::new(file(b"abcdef"), 6, 3);
        let Ok(()) = chunks.inspect(Box::new(|chunk| assert_eq!(chunk, b"abc"))) else { panic!() };
        assert_eq!(chunks.try_next().await.unwrap().unwrap(), "abc");
        chunks.try_next().await.unwrap_err();
        assert!(chunks.try_next().await.unwrap().is_none());
    }

    /// Reads the whole of a file of 100 bytes in chunks of 40, and does `change` after the first.
    async fn read_and(change: impl FnOnce(&std::path::Path, &File)) -> (usize, Option<Error>) {
        let mut place = tempfile::NamedTempFile::new().unwrap();
        place.write_all(&[7; 100]).unwrap();
        place.as_file().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let file = place.reopen().unwrap();
        let opened = Version::of(&file).unwrap();
        let mut chunks = FileChunks::whole(file, opened, 40);
        let mut read = chunks.try_next().await.unwrap().unwrap().len();
        change(place.path(), place.as_file());
        loop {
            match chunks.try_next().await {
                Ok(Some(chunk)) => read += chunk.len(),
                Ok(None) => return (read, None),
                Err(error) => return (read, Some(Error::from_reader(error))),
            }
        }
    }

    #[tokio::test]
    async fn a_file_that_is_written_to_while_it_is_read_is_never_handed_on_whole() {
        let changes: [fn(&File); 4] = [
            |file| (&*file).write_all(b"more").unwrap(),
            |file| file.set_len(50).unwrap(),
            |file| {
                file.set_len(0).unwrap();
                file.set_len(100).unwrap();
            },
            // Of the same length, at another time.
            |file| file.set_modified(SystemTime::now()).unwrap(),
        ];
        for change in changes {
            let (read, error) = read_and(|_, file| change(file)).await;
            let error = error.expect("an error in place of the last chunk");
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
        let mut place = tempfile::NamedTempFile::new().unwrap();
        let file = place.reopen().unwrap();
        let opened = Version::of(&file).unwrap();
        place.write_all(b"x").unwrap();
        let mut chunks = FileChunks::whole(file, opened, 40);
        let error = Error::from_reader(chunks.try_next().await.unwrap_err());
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(chunks.try_next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_file_that_shrinks_while_it_is_read_ends() {
        let mut place = tempfile::NamedTempFile::new().unwrap();
        place.write_all(&[7; 100]).unwrap();
        let mut chunks = FileChunks::new(place.reopen().unwrap(), 100, 40);
        assert_eq!(chunks.try_next().await.unwrap().unwrap().len(), 40);
        place.as_file().set_len(50).unwrap();
        assert_eq!(chunks.try_next().await.unwrap().unwrap().len(), 10);
        assert!(chunks.try_next().await.unwrap().is_none());
    }
}
