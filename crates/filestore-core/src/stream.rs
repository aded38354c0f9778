//! [`ByteStream`]: a stream of bytes that checks its length.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream, Stream, StreamExt, TryStreamExt};
use tokio::io::AsyncRead;
use tokio::task::spawn_blocking;
use tokio_util::io::{ReaderStream, StreamReader};

use crate::exclusive::Exclusive;
use crate::file::{FileAt, FileChunks, Inspector, Version};
use crate::progress::ProgressTracker;
use crate::{Effect, Error, ErrorKind, Result, check_runtime};

/// The size of chunks in bytes. System calls stay rare and memory use stays small.
pub(crate) const CHUNK: usize = 256 * 1024;

/// The largest chunk in bytes that is inspected inline. Larger chunks are inspected on a blocking thread.
const MAX_INLINE: usize = 64 * 1024;

/// A stream of bytes that checks its length.
///
/// If the length is known, a stream of fewer or more bytes ends with an error. A reader that reads to the end cannot
/// mistake a truncated file for a whole one.
pub struct ByteStream {
    inner: Exclusive<Inner>,
    length: Option<u64>,
    passed: u64,
    direction: Direction,
    /// The tracker, and the total number of bytes that it reports. Boxed, because few streams have one.
    tracker: Option<Box<(ProgressTracker, Option<u64>)>>,
    /// `true` if the read consumes the file. Errors must then not claim that nothing happened.
    consumes: bool,
    /// Adds the context of the operation to an error.
    context: Option<ErrorContext>,
    ended: bool,
}

type ErrorContext = Box<dyn Fn(Error) -> Error + Send + Sync>;

enum Inner {
    Stream(BoxStream<'static, Result<Bytes>>),
    /// A file or another blocking reader that is uploaded.
    File(Box<FileChunks>),
}

/// The direction of the transfer, which determines the kind of error for a wrong length.
#[derive(Debug, Clone, Copy)]
enum Direction {
    Upload,
    Download,
}

impl ByteStream {
    /// Creates the stream of an upload. A wrong `length` is *invalid input*.
    pub fn upload(stream: impl Stream<Item = Result<Bytes>> + Send + 'static, length: Option<u64>) -> Self {
        Self::new(Inner::Stream(stream.boxed()), length, Direction::Upload)
    }

    /// Creates the stream of a download. A wrong `length` is an *integrity* error.
    pub fn download(stream: impl Stream<Item = Result<Bytes>> + Send + 'static, length: Option<u64>) -> Self {
        Self::new(Inner::Stream(stream.boxed()), length, Direction::Download)
    }

    fn new(inner: Inner, length: Option<u64>, direction: Direction) -> Self {
        let inner = Exclusive::new(inner);
        Self { inner, length, passed: 0, direction, tracker: None, consumes: false, context: None, ended: false }
    }

    pub(crate) fn from_reader(reader: impl AsyncRead + Send + 'static, length: Option<u64>) -> Self {
        Self::upload(ReaderStream::with_capacity(reader, CHUNK).map_err(unread), length)
    }

    /// Streams a reader whose calls block, in chunks that blocking threads read.
    pub(crate) fn from_blocking(reader: impl Read + Send + 'static, length: Option<u64>) -> Self {
        let chunks = FileChunks::new(reader, length.map_or(u64::MAX, |length| length.saturating_add(1)), CHUNK);
        Self::new(Inner::File(Box::new(chunks)), length, Direction::Upload)
    }

    /// Streams a whole file, which must keep the version `opened` while it is read.
    pub(crate) fn from_file(file: Arc<File>, opened: Version) -> Self {
        Self::new(Inner::File(Box::new(FileChunks::whole(file, opened, CHUNK))), Some(opened.length), Direction::Upload)
    }

    /// Streams the next `length` bytes of a file.
    pub(crate) fn from_part(file: FileAt, length: u64) -> Self {
        Self::new(Inner::File(Box::new(FileChunks::new(file, length, CHUNK))), Some(length), Direction::Upload)
    }

    /// Calls `inspector` with each chunk before the stream returns it, for example to compute digests.
    ///
    /// The inspector may be slow. Chunks of a file are inspected on the blocking thread that reads them, other chunks
    /// of more than 64 KiB on a blocking thread. If the stream fails or is dropped, the inspector may receive a chunk
    /// that the stream does not return, even after the drop.
    pub fn inspect(mut self, inspector: impl FnMut(&[u8]) + Send + 'static) -> Self {
        let mut inspector: Inspector = Box::new(inspector);
        if let Inner::File(file) = self.inner.get_mut() {
            inspector = match FileChunks::inspect(file, inspector) {
                Ok(()) => return self,
                Err(inspector) => inspector,
            };
        }
        let Self { length, passed, direction, consumes, .. } = self;
        let context = self.context.take();
        let chunks = stream::try_unfold((self, inspector), async |(mut stream, mut inspector)| {
            let Some(chunk) = stream.try_next().await? else { return Ok(None) };
            if chunk.len() <= MAX_INLINE {
                inspector(&chunk);
                return Ok(Some((chunk, (stream, inspector))));
            }
            check_runtime()?;
            let work = spawn_blocking(move || {
                inspector(&chunk);
                (chunk, inspector)
            });
            let (chunk, inspector) = work.await.map_err(|error| unread(io::Error::other(error)))?;
            Ok(Some((chunk, (stream, inspector))))
        });
        Self { passed, consumes, context, ..Self::new(Inner::Stream(chunks.boxed()), length, direction) }
    }

    /// Reports each chunk to `tracker`, with `total` as the total number of bytes.
    pub(crate) fn with_progress(mut self, tracker: ProgressTracker, total: Option<u64>) -> Self {
        self.tracker = Some(Box::new((tracker, total)));
        self
    }

    /// Sets the expected length, unless one is set.
    pub(crate) fn expecting(mut self, length: u64) -> Self {
        self.length.get_or_insert(length);
        self
    }

    /// Marks a read that consumes its file. All errors then say that the file is possibly consumed.
    pub(crate) fn consuming(mut self) -> Self {
        self.consumes = true;
        self
    }

    /// Adds a context to every error, such as the store and the operation.
    pub(crate) fn with_context(mut self, context: impl Fn(Error) -> Error + Send + Sync + 'static) -> Self {
        self.context = Some(Box::new(context));
        self
    }

    /// Adds what is known about the read to `error`.
    fn in_context(&self, error: Error) -> Error {
        let error = if self.consumes { error.possibly_consumed() } else { error };
        match &self.context {
            Some(context) => context(error),
            None => error,
        }
    }

    /// Returns the length that the stream checks, or `None` if it is unknown.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// Converts the stream into an `AsyncRead`. `Error::from` returns the errors inside of its
    /// [`std::io::Error`]s.
    pub fn into_reader(self) -> impl AsyncRead + Send + Unpin + 'static {
        StreamReader::new(self.map_err(io::Error::from))
    }

    /// Returns all bytes if there are at most `limit`. Fails with *too large* otherwise.
    pub async fn collect(mut self, limit: usize) -> Result<Bytes> {
        let too_large = |stream: &Self| {
            let message = format!("the file is larger than the limit of {limit} bytes");
            Err(stream.in_context(Error::new(ErrorKind::TooLarge, Effect::Rejected, message)))
        };
        if self.length.is_some_and(|length| length > limit as u64) {
            return too_large(&self);
        }
        // A file in a single chunk is not copied.
        let mut first = Bytes::new();
        let mut all = BytesMut::new();
        while let Some(chunk) = self.try_next().await? {
            if first.len().max(all.len()) + chunk.len() > limit {
                return too_large(&self);
            }
            if first.is_empty() {
                first = chunk;
                continue;
            }
            if all.is_empty() {
                all.extend_from_slice(&first);
            }
            all.extend_from_slice(&chunk);
        }
        Ok(if all.is_empty() { first } else { all.freeze() })
    }

    /// Creates the error for a wrong length; `problem` is the beginning of its message.
    fn wrong_length(&self, problem: &str) -> Error {
        let length = self.length.unwrap_or_default();
        match self.direction {
            Direction::Upload => Error::new(
                ErrorKind::InvalidInput,
                Effect::Rejected,
                format!(
                    "the body {problem} {length} bytes that were announced; it changed during the upload, or the \
                     announced length is wrong"
                ),
            ),
            Direction::Download => Error::new(
                ErrorKind::Integrity,
                Effect::Rejected,
                format!("the download {problem} {length} bytes that were expected"),
            ),
        }
    }
}

/// Creates the error of a body that cannot be read. The request ends before the body does, so no service has the whole
/// body.
fn unread(error: io::Error) -> Error {
    Error::unread(error.into(), Effect::Rejected)
}

impl Stream for ByteStream {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let next = std::task::ready!(match self.inner.get_mut() {
            Inner::Stream(stream) => stream.poll_next_unpin(cx),
            Inner::File(file) => file.poll_next_unpin(cx).map_err(unread),
        });
        let item = match next {
            Some(Ok(chunk)) => {
                self.passed += chunk.len() as u64;
                if self.length.is_some_and(|length| self.passed > length) {
                    Some(Err(self.wrong_length("continues after the")))
                } else {
                    if let Some(tracked) = &self.tracker {
                        let (tracker, total) = tracked.as_ref();
                        tracker.advance(chunk.len(), *total);
                    }
                    Some(Ok(chunk))
                }
            }
            Some(Err(error)) => Some(Err(error)),
            None if self.length.is_some_and(|length| self.passed < length) => {
                let problem = format!("ended after {} of the", self.passed);
                Some(Err(self.wrong_length(&problem)))
            }
            None => None,
        };
        self.ended = !matches!(item, Some(Ok(_)));
        Poll::Ready(item.map(|item| item.map_err(|error| self.in_context(error))))
    }
}

impl fmt::Debug for ByteStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteStream").field("length", &self.length).field("passed", &self.passed).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn at_start(file: File) -> FileAt {
        FileAt { file: Arc::new(file), position: 0 }
    }

    fn chunks(parts: &[&'static str]) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
        stream::iter(parts.iter().map(|part| Ok(Bytes::from_static(part.as_bytes()))).collect::<Vec<_>>())
    }

    #[tokio::test]
    async fn a_short_body_is_the_callers_error_and_a_short_file_the_services() {
        let up = ByteStream::upload(chunks(&["ab", "c"]), Some(4)).collect(10).await.unwrap_err();
        assert_eq!(up.kind(), ErrorKind::InvalidInput);
        assert!(up.to_string().contains("3 of the 4 bytes"), "{up}");
        let down = ByteStream::download(chunks(&["ab", "c"]), Some(4)).collect(10).await.unwrap_err();
        assert_eq!(down.kind(), ErrorKind::Integrity);
    }

    #[tokio::test]
    async fn a_long_body_is_an_error_before_its_extra_bytes_are_seen() {
        let mut stream = ByteStream::upload(chunks(&["ab", "cd"]), Some(3));
        assert_eq!(stream.try_next().await.unwrap().unwrap(), "ab");
        assert!(stream.try_next().await.is_err());
        assert!(stream.try_next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_body_that_fails_while_it_is_read_stores_nothing() {
        let broken = StreamReader::new(stream::iter([
            Ok(Bytes::from_static(b"ab")),
            Err(io::Error::other("the disk is broken")),
        ]));
        let error = ByteStream::from_reader(broken, None).collect(10).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Io, Effect::Rejected));
    }

    #[test]
    fn streams_and_requests_are_send_and_sync() {
        fn check<T: Send + Sync>() {}
        check::<ByteStream>();
        check::<crate::Downloaded>();
        check::<crate::Upload>();
    }

    #[tokio::test]
    async fn collecting_stops_at_the_limit() {
        let error = ByteStream::download(chunks(&["ab", "cd"]), None).collect(3).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
    }

    #[tokio::test]
    async fn every_chunk_of_any_size_is_inspected_before_it_is_returned() {
        for size in [1, MAX_INLINE, MAX_INLINE + 1, 3 * MAX_INLINE] {
            let seen = Arc::new(Mutex::new(Vec::new()));
            let sink = Arc::clone(&seen);
            let chunks = stream::iter((0..3_u8).map(move |byte| Ok(Bytes::from(vec![byte; size]))));
            let mut stream = ByteStream::upload(chunks, Some(3 * size as u64))
                .inspect(move |chunk| sink.lock().unwrap().extend_from_slice(chunk));
            let mut passed = Vec::new();
            while let Some(chunk) = stream.try_next().await.unwrap() {
                passed.extend_from_slice(&chunk);
                assert_eq!(*seen.lock().unwrap(), passed);
            }
            assert_eq!((passed.len(), stream.length()), (3 * size, Some(3 * size as u64)));
        }
    }

    #[tokio::test]
    async fn every_error_of_a_read_that_consumes_says_that_the_file_is_possibly_consumed() {
        let stream = |length| ByteStream::download(chunks(&["ab", "c"]), length).consuming();
        let limited = [stream(None).collect(2).await, stream(Some(3)).collect(2).await];
        let of_another_length = [stream(Some(2)).collect(9).await, stream(Some(4)).inspect(|_| {}).collect(9).await];
        for result in limited.into_iter().chain(of_another_length) {
            let error = result.unwrap_err();
            assert_eq!(error.effect(), Effect::Unknown, "{error}");
            assert_eq!(error.to_string().matches("possibly consumed").count(), 1, "{error}");
        }
    }

    #[tokio::test]
    async fn a_short_body_is_an_error_when_it_is_inspected_too() {
        let stream = ByteStream::upload(chunks(&["ab"]), Some(3)).inspect(|_| {});
        assert_eq!(stream.collect(10).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[tokio::test]
    async fn a_part_of_a_file_ends_before_the_file_does() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        io::Write::write_all(&mut file, b"abc").unwrap();
        let part = ByteStream::from_part(at_start(file.reopen().unwrap()), 2).collect(10).await.unwrap();
        assert_eq!(part, "ab");
    }

    #[tokio::test]
    async fn a_file_in_one_chunk_or_in_several_is_collected_whole() {
        for pieces in [&["abc"][..], &["a", "b", "c"], &["", "abc"], &["ab", "", "c"]] {
            assert_eq!(ByteStream::download(chunks(pieces), Some(3)).collect(3).await.unwrap(), "abc", "{pieces:?}");
        }
    }

    #[tokio::test]
    async fn a_started_stream_is_inspected_from_its_current_position() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        io::Write::write_all(&mut file, &vec![7; CHUNK + 3]).unwrap();
        let started = |stream: ByteStream, rest| async move {
            let mut stream = stream;
            stream.try_next().await.unwrap();
            let seen = Arc::new(Mutex::new(0));
            let sink = Arc::clone(&seen);
            let left = stream.inspect(move |chunk| *sink.lock().unwrap() += chunk.len());
            assert_eq!((left.collect(2 * CHUNK).await.unwrap().len(), *seen.lock().unwrap()), (rest, rest));
        };
        started(ByteStream::upload(chunks(&["ab", "c"]), Some(3)), 1).await;
        started(ByteStream::from_part(at_start(file.reopen().unwrap()), CHUNK as u64 + 3), 3).await;
    }

    #[tokio::test]
    async fn what_is_collected_is_at_most_the_limit() {
        for (pieces, limit, fits) in [
            (&["abc"][..], 3, true),
            (&["abc"], 2, false),
            (&["ab", "c"], 3, true),
            (&["ab", "cd"], 3, false),
            (&["a", "b", "c"], 2, false),
            (&["", ""], 0, true),
            (&["", "a"], 0, false),
        ] {
            for length in [None, Some(pieces.concat().len() as u64)] {
                let all = ByteStream::download(chunks(pieces), length).collect(limit).await;
                assert_eq!(
                    all.map_err(|error| error.kind()),
                    fits.then(|| pieces.concat().into()).ok_or(ErrorKind::TooLarge)
                );
            }
        }
    }

    #[tokio::test]
    async fn a_file_of_whole_chunks_that_shrinks_or_grows_is_an_error() {
        for (size, length) in
            [(CHUNK, CHUNK), (2 * CHUNK, CHUNK), (CHUNK + 1, CHUNK), (CHUNK, CHUNK + 1), (0, 1), (1, 0)]
        {
            let file = tempfile::NamedTempFile::new().unwrap();
            file.as_file().set_len(length as u64).unwrap();
            let opened = Version::of(file.as_file()).unwrap();
            if size != length {
                file.as_file().set_len(size as u64).unwrap();
            }
            let all = ByteStream::from_file(Arc::new(file.reopen().unwrap()), opened).collect(3 * CHUNK).await;
            let kind = (size != length).then_some(ErrorKind::InvalidInput);
            assert_eq!(all.err().map(|error| error.kind()), kind, "{size} for {length}");
        }
    }

    #[tokio::test]
    async fn an_inspector_that_panics_fails_the_body_and_stores_nothing() {
        for piece in [CHUNK, MAX_INLINE + 1] {
            let pieces = vec![Ok(Bytes::from(vec![7; piece]))];
            let stream = ByteStream::upload(stream::iter(pieces), Some(piece as u64)).inspect(|_| panic!("on purpose"));
            let error = stream.collect(CHUNK).await.unwrap_err();
            assert_eq!((error.kind(), error.effect()), (ErrorKind::Io, Effect::Rejected));
        }
    }
}
