//! The HTTP bodies and responses that all services and the control API use.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderValue};
use http::{HeaderMap, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, BodyStream, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use serde::Serialize;
use tokio::time::timeout;

pub(crate) type ResponseBody = UnsyncBoxBody<Bytes, io::Error>;
pub(crate) type Response = http::Response<ResponseBody>;

/// The most bytes of a request body to read and discard after an early rejection. Without reading them, a client that
/// is still sending would see a connection reset instead of the response.
const MAX_DISCARDED: u64 = 256 * 1024 * 1024;
/// The time to wait for each chunk to discard. A client that waits for the response before it sends more gets the
/// response after this time.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(1);

/// Returns a response with `content` and its `Content-Length`.
pub(crate) fn response(status: StatusCode, content_type: &'static str, content: impl Into<Bytes>) -> Response {
    let content = content.into();
    let mut response = streamed(content.len() as u64, stream::iter([Ok(content)]).boxed());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Returns a JSON response.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    // Cannot fail: the wire types of this crate have string keys and no fallible serializer.
    let content = serde_json::to_vec(value).unwrap_or_default();
    response(status, "application/json; charset=utf-8", content)
}

/// Returns an HTML page, with a policy that forbids it to load or run anything.
pub(crate) fn html(status: StatusCode, content: String) -> Response {
    let mut response = response(status, "text/html; charset=utf-8", content);
    response.headers_mut().insert(
        "content-security-policy",
        HeaderValue::from_static(
            "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'",
        ),
    );
    response
}

/// Returns a response without a body.
pub(crate) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Full::default().map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response
}

/// Returns a response of known length whose content is streamed.
pub(crate) fn streamed(length: u64, content: BoxStream<'static, io::Result<Bytes>>) -> Response {
    let mut response = Response::new(body(content));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    response
}

/// Returns the response body that streams `content`.
pub(crate) fn body(content: BoxStream<'static, io::Result<Bytes>>) -> ResponseBody {
    StreamBody::new(content.map(|chunk| chunk.map(Frame::data))).boxed_unsync()
}

/// Returns the content of a response body. Trailers are dropped; the emulator sends none.
pub(crate) fn stream(body: ResponseBody) -> BoxStream<'static, io::Result<Bytes>> {
    BodyStream::new(body).filter_map(async |frame| frame.map(|frame| frame.into_data().ok()).transpose()).boxed()
}

/// Returns the value of `Content-Length`, if it is present and valid.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The body of a request, read from the connection on demand.
pub(crate) struct RequestBody {
    stream: BoxStream<'static, io::Result<Bytes>>,
    length: Option<u64>,
    /// `true` if the client waits for `100 Continue` and nothing was read yet.
    awaits_continue: bool,
    /// `true` once the client sent nothing for the idle timeout.
    timed_out: Arc<AtomicBool>,
}

impl RequestBody {
    /// Reading the body fails if the client sends nothing for `idle_timeout` while its next bytes are awaited.
    pub(crate) fn new(headers: &HeaderMap, incoming: Incoming, idle_timeout: Duration) -> Self {
        let timed_out = Arc::new(AtomicBool::new(false));
        let stream = BodyStream::new(incoming)
            .filter_map(async |frame| frame.map(|frame| frame.into_data().ok()).map_err(io::Error::other).transpose());
        let has_timed_out = Arc::clone(&timed_out);
        let stream = stream::unfold((stream.boxed(), has_timed_out), move |(mut stream, has_timed_out)| async move {
            let chunk = match timeout(idle_timeout, stream.next()).await {
                Ok(chunk) => chunk?,
                Err(_) => {
                    has_timed_out.store(true, Ordering::Release);
                    Err(io::ErrorKind::TimedOut.into())
                }
            };
            Some((chunk, (stream, has_timed_out)))
        });
        RequestBody {
            stream: stream.fuse().boxed(),
            length: content_length(headers),
            awaits_continue: headers.contains_key(EXPECT),
            timed_out,
        }
    }

    #[cfg(test)]
    pub(crate) fn of_pieces(pieces: Vec<&'static [u8]>) -> Self {
        let pieces = pieces.into_iter().map(|piece| Ok(Bytes::from_static(piece)));
        RequestBody {
            stream: stream::iter(pieces).boxed(),
            length: None,
            awaits_continue: false,
            timed_out: Arc::default(),
        }
    }

    /// Returns the length in the request's `Content-Length`, in bytes.
    pub(crate) fn length(&self) -> Option<u64> {
        self.length
    }

    /// Returns `true` if the body could not be read to its end because the client stopped sending.
    pub(crate) fn has_timed_out(&self) -> bool {
        self.timed_out.load(Ordering::Acquire)
    }

    /// Returns this body with its stream transformed by `change`.
    pub(crate) fn map(
        self,
        change: impl FnOnce(BoxStream<'static, io::Result<Bytes>>) -> BoxStream<'static, io::Result<Bytes>>,
    ) -> Self {
        RequestBody { stream: change(self.stream), ..self }
    }

    /// Returns the next chunk, or `None` at the end.
    pub(crate) async fn chunk(&mut self) -> io::Result<Option<Bytes>> {
        self.awaits_continue = false;
        self.stream.next().await.transpose()
    }

    /// Returns the whole body, or `None` if it is longer than `limit` bytes.
    pub(crate) async fn collect(&mut self, limit: usize) -> io::Result<Option<Bytes>> {
        let mut content = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if content.len() + chunk.len() > limit {
                return Ok(None);
            }
            content.extend_from_slice(&chunk);
        }
        Ok(Some(content.freeze()))
    }

    /// Reads and discards the rest, up to a limit, so that a client that is still sending can read the response.
    ///
    /// Does nothing if the client waits for `100 Continue`, because then it need not send the body, or if it has stopped
    /// sending.
    pub(crate) async fn discard(&mut self) {
        if self.awaits_continue || self.has_timed_out() {
            return;
        }
        let mut discarded = 0;
        while discarded < MAX_DISCARDED {
            match timeout(DISCARD_TIMEOUT, self.chunk()).await {
                Ok(Ok(Some(chunk))) => discarded += chunk.len() as u64,
                _ => return,
            }
        }
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody").field("length", &self.length).finish_non_exhaustive()
    }
}

/// Escapes text for use in HTML.
pub(crate) fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

/// The error body of the control API.
#[derive(Serialize)]
struct Problem {
    error: String,
}

/// Returns an error response of the control API.
pub(crate) fn problem(status: StatusCode, error: impl ToString) -> Response {
    let error = error.to_string();
    json(status, &Problem { error })
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn stopped() -> RequestBody {
        RequestBody { stream: stream::pending().boxed(), ..RequestBody::of_pieces(Vec::new()) }
    }

    #[tokio::test]
    async fn the_response_to_a_client_that_stopped_sending_is_not_delayed_further() {
        let mut body = stopped();
        assert!(body.discard().now_or_never().is_none(), "the client may still send");
        body.timed_out.store(true, Ordering::Release);
        assert!(body.discard().now_or_never().is_some());
    }
}
