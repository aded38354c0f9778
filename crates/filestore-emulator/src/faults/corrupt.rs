//! Faults in bodies: cut off, stalled, slowed down or changed.

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

/// Applies faults to the request body that the service reads.
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

/// Applies faults to the response that the client reads.
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

/// Applies faults to the content of an uploaded file before the service stores it.
///
/// Content can be shortened and changed without breaking the form around it, unlike the request body.
pub(crate) struct ContentTamper {
    /// The length of the content to keep, in bytes.
    keep: u64,
    /// The offsets of the bytes to change.
    corrupt: Vec<u64>,
    /// The number of bytes processed so far.
    offset: u64,
}

impl ContentTamper {
    /// `length` is the length of the request body in bytes. Percentages refer to it, although in a form the content is
    /// a little shorter.
    pub(crate) fn new(effects: &Effects, length: Option<u64>) -> Self {
        let keep = effects.find(|fault| match fault {
            Fault::Truncate { keep, of: Direction::Request } => Some(keep.of(length)),
            _ => None,
        });
        let corrupt = effects.iter().filter_map(|fault| match fault {
            Fault::Corrupt { at, of: Direction::Request } => Some(*at),
            _ => None,
        });
        ContentTamper { keep: keep.unwrap_or(u64::MAX), corrupt: corrupt.collect(), offset: 0 }
    }

    /// Returns the next chunk of the content with the faults applied.
    pub(crate) fn pass(&mut self, chunk: Bytes) -> Bytes {
        let start = self.offset;
        self.offset += chunk.len() as u64;
        let changed = self.corrupt.iter().fold(chunk, |chunk, at| flipped(chunk, start, *at));
        cut(changed, self.keep.saturating_sub(start))
    }
}

fn changed(response: Response, change: impl FnOnce(Content) -> Content) -> Response {
    let (head, body) = response.into_parts();
    Response::from_parts(head, wire::body(change(wire::stream(body))))
}

/// Returns the response with the first `keep` bytes of its body and a `Content-Length` that fits them.
fn shortened(response: Response, keep: u64) -> Response {
    let keep = match wire::content_length(response.headers()) {
        Some(length) => keep.min(length),
        None => keep,
    };
    let mut response = changed(response, |content| first(content, keep));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(keep));
    response
}

/// Returns the first `bytes` bytes of `content`.
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

/// Stops after `after` bytes and never ends.
fn stall(content: Content, after: u64) -> Content {
    first(content, after).chain(stream::once(pending())).boxed()
}

/// Closes the connection once `after` bytes are sent.
fn close(content: Content, after: u64, link: &Arc<Link>) -> Content {
    let link = Arc::clone(link);
    let end = async move {
        link.flushed().await;
        Err(io::Error::other("a fault closed the connection"))
    };
    first(content, after).chain(stream::once(end)).boxed()
}

/// Resets the connection once `after` bytes are sent.
fn reset(content: Content, after: u64, link: &Arc<Link>) -> Content {
    let link = Arc::clone(link);
    let end = async move {
        link.flushed().await;
        link.end_with_reset();
        Err(io::Error::other("a fault reset the connection"))
    };
    first(content, after).chain(stream::once(end)).boxed()
}

fn slow(content: Content, bytes_per_second: u32) -> Content {
    // Twenty pieces a second, so that the connection looks slow and not stalled.
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
        .scan(0, move |offset, chunk| {
            ready(Some(chunk.map(|chunk| {
                let start = *offset;
                *offset += chunk.len() as u64;
                flipped(chunk, start, at)
            })))
        })
        .boxed()
}

/// Returns a chunk that begins at the offset `start`, with the byte at the offset `at` inverted if it is in the chunk.
fn flipped(chunk: Bytes, start: u64, at: u64) -> Bytes {
    let index = at.checked_sub(start).and_then(|at| usize::try_from(at).ok());
    match index.filter(|index| *index < chunk.len()) {
        Some(index) => {
            let mut changed = BytesMut::from(&chunk[..]);
            changed[index] ^= 0xff;
            changed.freeze()
        }
        None => chunk,
    }
}

fn cut(mut chunk: Bytes, left: u64) -> Bytes {
    chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
    chunk
}
