//! What faults do to bodies on their way.

use std::future::{pending, ready};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream, StreamExt};
use http::HeaderValue;
use http::header::CONTENT_LENGTH;

use super::Effects;
use super::rule::{Direction, Fault, ResetAt};
use crate::http::{self as wire, RequestBody, Response};
use crate::link::Link;

type Content = BoxStream<'static, io::Result<Bytes>>;

/// What the service gets to read of a request.
pub(crate) fn tamper_with_request(effects: &Effects, link: &Arc<Link>, body: RequestBody) -> RequestBody {
    let length = body.length();
    effects.iter().fold(body, |body, fault| match fault {
        Fault::StallUpload { after } => body.map(|content| stall(content, after.of(length))),
        Fault::CutUpload { after } => body.map(|content| reset(content, after.of(length), link)),
        Fault::Slow { bytes_per_second, of: Direction::Request } => {
            body.map(|content| slow(content, bytes_per_second.get()))
        }
        _ => body,
    })
}

/// What the client gets to read of an answer.
pub(crate) fn tamper_with_response(effects: &Effects, link: &Arc<Link>, response: Response) -> Response {
    effects.iter().fold(response, |response, fault| {
        let length = wire::content_length(response.headers());
        match fault {
            Fault::EmptyBody => shortened(response, 0),
            Fault::Truncate { keep, of: Direction::Response } => shortened(response, keep.of(length)),
            Fault::Corrupt { at, of: Direction::Response } => changed(response, |content| corrupt(content, *at)),
            Fault::Slow { bytes_per_second, of: Direction::Response } => {
                changed(response, |content| slow(content, bytes_per_second.get()))
            }
            Fault::StallDownload { after } => changed(response, |content| stall(content, after.of(length))),
            Fault::CutDownload { after } => changed(response, |content| close(content, after.of(length), link)),
            Fault::Reset { at: ResetAt::Headers, .. } => changed(response, |content| reset(content, 0, link)),
            Fault::Reset { at: ResetAt::Body, after } => {
                changed(response, |content| reset(content, after.of(length), link))
            }
            _ => response,
        }
    })
}

/// What the service stores of an uploaded file. Unlike the request's body, its content can be
/// shortened and changed without breaking the form around it.
pub(crate) struct ContentTamper {
    keep: u64,
    corrupt: Vec<u64>,
    passed: u64,
}

impl ContentTamper {
    /// Percentages are of the request's length, which is a little more than the content's.
    pub(crate) fn new(effects: &Effects, length: Option<u64>) -> Self {
        let keep = effects.find(|fault| match fault {
            Fault::Truncate { keep, of: Direction::Request } => Some(keep.of(length)),
            _ => None,
        });
        let corrupt = effects.iter().filter_map(|fault| match fault {
            Fault::Corrupt { at, of: Direction::Request } => Some(*at),
            _ => None,
        });
        ContentTamper { keep: keep.unwrap_or(u64::MAX), corrupt: corrupt.collect(), passed: 0 }
    }

    pub(crate) fn pass(&mut self, chunk: Bytes) -> Bytes {
        let start = self.passed;
        self.passed += chunk.len() as u64;
        let changed = self.corrupt.iter().fold(chunk, |chunk, at| flipped(chunk, start, *at));
        cut(changed, self.keep.saturating_sub(start))
    }
}

fn changed(response: Response, change: impl FnOnce(Content) -> Content) -> Response {
    let (head, body) = response.into_parts();
    Response::from_parts(head, wire::body(change(wire::stream(body))))
}

/// The beginning of an answer, with the length of a whole one.
fn shortened(response: Response, keep: u64) -> Response {
    let keep = match wire::content_length(response.headers()) {
        Some(length) => keep.min(length),
        None => keep,
    };
    let mut response = changed(response, |content| first(content, keep));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(keep));
    response
}

/// No more than so many bytes of a content.
fn first(content: Content, bytes: u64) -> Content {
    content
        .scan(bytes, |left, chunk| {
            ready(match chunk {
                Ok(_) if *left == 0 => None,
                Ok(chunk) => {
                    let chunk = cut(chunk, *left);
                    *left -= chunk.len() as u64;
                    Some(Ok(chunk))
                }
                Err(error) => Some(Err(error)),
            })
        })
        .boxed()
}

fn stall(content: Content, after: u64) -> Content {
    first(content, after).chain(stream::once(pending())).boxed()
}

fn close(content: Content, after: u64, link: &Arc<Link>) -> Content {
    let link = Arc::clone(link);
    let end = async move {
        link.flushed().await;
        Err(io::Error::other("closed by a fault"))
    };
    first(content, after).chain(stream::once(end)).boxed()
}

fn reset(content: Content, after: u64, link: &Arc<Link>) -> Content {
    let link = Arc::clone(link);
    let end = async move {
        link.flushed().await;
        link.end_with_reset();
        Err(io::Error::other("reset by a fault"))
    };
    first(content, after).chain(stream::once(end)).boxed()
}

fn slow(content: Content, bytes_per_second: u32) -> Content {
    // Twenty pieces a second look like a slow line, not like a stalled one.
    let piece = (bytes_per_second as usize / 20).max(1);
    content
        .flat_map(move |chunk| stream::iter(pieces(chunk, piece)))
        .then(move |chunk| async move {
            if let Ok(chunk) = &chunk {
                let bytes = u32::try_from(chunk.len()).unwrap_or(u32::MAX);
                tokio::time::sleep(Duration::from_secs(1) * bytes / bytes_per_second).await;
            }
            chunk
        })
        .boxed()
}

fn pieces(chunk: io::Result<Bytes>, size: usize) -> Vec<io::Result<Bytes>> {
    match chunk {
        Ok(mut chunk) => {
            let mut pieces = Vec::new();
            while !chunk.is_empty() {
                pieces.push(Ok(chunk.split_to(size.min(chunk.len()))));
            }
            pieces
        }
        Err(error) => vec![Err(error)],
    }
}

fn corrupt(content: Content, at: u64) -> Content {
    content
        .scan(0, move |passed, chunk| {
            ready(Some(chunk.map(|chunk| {
                let start = *passed;
                *passed += chunk.len() as u64;
                flipped(chunk, start, at)
            })))
        })
        .boxed()
}

/// A chunk that begins at `start`, with the byte at `at` changed if it has that byte.
fn flipped(chunk: Bytes, start: u64, at: u64) -> Bytes {
    let inside = at.checked_sub(start).and_then(|at| usize::try_from(at).ok());
    match inside.filter(|at| *at < chunk.len()) {
        Some(at) => {
            let mut changed = BytesMut::from(&chunk[..]);
            changed[at] ^= 0xff;
            changed.freeze()
        }
        None => chunk,
    }
}

fn cut(mut chunk: Bytes, left: u64) -> Bytes {
    chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
    chunk
}
