//! The content of a file, as a [`single`] range or as ranges that are requested at the same time ([`parallel`]).

use std::collections::VecDeque;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use filestore_core::{Error, Result};
use futures::stream::{self, BoxStream, Stream, StreamExt, TryStreamExt};
use opendal::{BytesRange, Reader};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinHandle;

use crate::attempts::Attempts;
use crate::budget::{Budget, Permit};
use crate::error::{Stage, TOO_LONG, of_service};

/// The size of a range in bytes.
const RANGE: u64 = 5 * 1024 * 1024;

/// Reads `range` of the file of `reader` with one request.
pub(crate) fn single(
    reader: Reader,
    range: impl Into<BytesRange>,
    attempts: Attempts,
) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
    let mut chunks = chunks(reader, range.into());
    stream::poll_fn(move |cx| {
        let polled = attempts.sync_scope(|| chunks.poll_next_unpin(cx));
        polled.map_err(|error| of_service(error, Stage::Read, &attempts, attempts.retries()))
    })
}

/// Reads `range` of the file of `reader`, in order, with at most `parallel` requests at a time.
///
/// A range that is read ahead is held in memory of the `budget`. Without free memory, only one range is read, as fast as
/// the stream is polled: a download never waits for another one. The first range that fails ends the others.
pub(crate) fn parallel(
    reader: Reader,
    range: Range<u64>,
    parallel: usize,
    budget: Budget,
    attempts: Attempts,
) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
    let failures = mpsc::unbounded_channel();
    Ranges { reader, rest: range, parallel, budget, attempts, started: VecDeque::new(), failures }
}

struct Ranges {
    reader: Reader,
    /// The bytes of the ranges that are not requested yet.
    rest: Range<u64>,
    parallel: usize,
    budget: Budget,
    attempts: Attempts,
    /// The chunks of the requested ranges, in the order of the file.
    started: VecDeque<BoxStream<'static, opendal::Result<Bytes>>>,
    /// The errors of ranges that are read ahead.
    failures: (UnboundedSender<opendal::Error>, UnboundedReceiver<opendal::Error>),
}

impl Ranges {
    fn start(&mut self, permit: Option<Permit>) {
        let end = self.rest.end.min(self.rest.start + RANGE);
        let chunks = chunks(self.reader.clone(), (self.rest.start..end).into());
        self.rest.start = end;
        self.started.push_back(match permit {
            Some(permit) => ahead(chunks, permit, &self.attempts, self.failures.0.clone()),
            None => chunks,
        });
    }

    fn fail(&mut self, error: opendal::Error) -> Error {
        self.started.clear();
        self.rest.start = self.rest.end;
        of_service(error, Stage::Read, &self.attempts, self.attempts.retries())
    }
}

impl Stream for Ranges {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Poll::Ready(Some(error)) = this.failures.1.poll_recv(cx) {
            return Poll::Ready(Some(Err(this.fail(error))));
        }
        loop {
            while !this.rest.is_empty() && this.started.len() < this.parallel {
                let is_last = this.rest.end - this.rest.start <= RANGE;
                let is_alone = this.started.is_empty();
                let permit = if is_last && is_alone { None } else { this.budget.try_take(RANGE) };
                if permit.is_none() && !is_alone {
                    break;
                }
                this.start(permit);
            }
            let Some(first) = this.started.front_mut() else { return Poll::Ready(None) };
            match this.attempts.sync_scope(|| first.poll_next_unpin(cx)) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(chunk))) => return Poll::Ready(Some(Ok(chunk))),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(this.fail(error)))),
                Poll::Ready(None) => {
                    this.started.pop_front();
                    // The first range may have ended because it has failed.
                    if let Ok(error) = this.failures.1.try_recv() {
                        return Poll::Ready(Some(Err(this.fail(error))));
                    }
                }
            }
        }
    }
}

/// Returns the chunks of a range. The first chunk beyond its end is an error: OpenDAL compares the length only at the end
/// of the response, which may be endless.
fn chunks(reader: Reader, range: BytesRange) -> BoxStream<'static, opendal::Result<Bytes>> {
    let mut missing = range.size().unwrap_or(u64::MAX);
    stream::once(reader.into_stream(range))
        .try_flatten()
        .map(move |buffer| {
            let buffer = buffer?;
            let Some(rest) = missing.checked_sub(buffer.len() as u64) else {
                return Err(opendal::Error::new(opendal::ErrorKind::Unexpected, TOO_LONG));
            };
            missing = rest;
            Ok(stream::iter(Iterator::map(buffer, Ok)))
        })
        .try_flatten()
        .boxed()
}

/// Reads `chunks` in a task of its own. They wait in memory until they are polled. The task ends when the returned stream
/// is dropped.
fn ahead(
    mut chunks: BoxStream<'static, opendal::Result<Bytes>>,
    permit: Permit,
    attempts: &Attempts,
    failures: UnboundedSender<opendal::Error>,
) -> BoxStream<'static, opendal::Result<Bytes>> {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let reading = async move {
        while let Some(chunk) = chunks.next().await {
            match chunk {
                Ok(chunk) => drop(sender.send(chunk)),
                Err(error) => {
                    let _ = failures.send(error);
                    return;
                }
            }
        }
    };
    let task = Task(tokio::spawn(attempts.clone().scope(reading)));
    stream::poll_fn(move |cx| {
        let _held = (&task, &permit);
        receiver.poll_recv(cx).map(|chunk| chunk.map(Ok))
    })
    .boxed()
}

/// A task that is aborted when this is dropped.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
