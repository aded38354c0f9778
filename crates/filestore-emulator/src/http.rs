//! The few HTTP types that every service speaks in.

use std::fmt;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::BoxStream;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderValue};
use http::{HeaderMap, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, BodyStream, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use serde::Serialize;
use tokio::time::timeout;

pub(crate) type ResponseBody = UnsyncBoxBody<Bytes, io::Error>;
pub(crate) type Response = http::Response<ResponseBody>;

/// What early rejections still read of a body, so that a client in the middle of sending gets to
/// see the answer instead of a reset. One that waits for the answer first gets it after a moment.
const DISCARDED: u64 = 256 * 1024 * 1024;
const DISCARD_PAUSE: Duration = Duration::from_secs(1);

/// The answer `content` with its length.
pub(crate) fn response(status: StatusCode, content_type: &'static str, content: impl Into<Bytes>) -> Response {
    let content = content.into();
    let mut response = streamed(content.len() as u64, futures::stream::iter([Ok(content)]).boxed());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    // Our own wire types have string keys and no fallible serializer.
    let content = serde_json::to_vec(value).unwrap_or_default();
    response(status, "application/json; charset=utf-8", content)
}

/// A page of ours. Nothing in it may load or run anything.
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

pub(crate) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Full::default().map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response
}

/// An answer of known length whose content is produced while it is sent.
pub(crate) fn streamed(length: u64, content: BoxStream<'static, io::Result<Bytes>>) -> Response {
    let mut response = Response::new(body(content));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    response
}

pub(crate) fn body(content: BoxStream<'static, io::Result<Bytes>>) -> ResponseBody {
    StreamBody::new(content.map(|chunk| chunk.map(Frame::data))).boxed_unsync()
}

/// The content of a body, whose trailers nobody here sends.
pub(crate) fn stream(body: ResponseBody) -> BoxStream<'static, io::Result<Bytes>> {
    BodyStream::new(body).filter_map(async |frame| frame.map(|frame| frame.into_data().ok()).transpose()).boxed()
}

pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The body of a request, read at the pace of whoever serves it.
pub(crate) struct RequestBody {
    stream: BoxStream<'static, io::Result<Bytes>>,
    length: Option<u64>,
    /// The client waits for our word before it sends anything.
    awaits_continue: bool,
}

impl RequestBody {
    pub(crate) fn new(headers: &HeaderMap, incoming: Incoming) -> Self {
        let stream = BodyStream::new(incoming)
            .filter_map(async |frame| frame.map(|frame| frame.into_data().ok()).map_err(io::Error::other).transpose());
        RequestBody {
            stream: stream.boxed(),
            length: content_length(headers),
            awaits_continue: headers.contains_key(EXPECT),
        }
    }

    #[cfg(test)]
    pub(crate) fn of_pieces(pieces: Vec<&'static [u8]>) -> Self {
        let pieces = pieces.into_iter().map(|piece| Ok(Bytes::from_static(piece)));
        RequestBody { stream: futures::stream::iter(pieces).boxed(), length: None, awaits_continue: false }
    }

    /// The length that the client announced.
    pub(crate) fn length(&self) -> Option<u64> {
        self.length
    }

    /// The same body with its stream passed through `change`.
    pub(crate) fn map(
        self,
        change: impl FnOnce(BoxStream<'static, io::Result<Bytes>>) -> BoxStream<'static, io::Result<Bytes>>,
    ) -> Self {
        RequestBody { stream: change(self.stream), ..self }
    }

    pub(crate) async fn chunk(&mut self) -> io::Result<Option<Bytes>> {
        self.awaits_continue = false;
        self.stream.next().await.transpose()
    }

    /// The whole body, or `None` when it is longer than `limit`.
    pub(crate) async fn collect(&mut self, limit: usize) -> io::Result<Option<Bytes>> {
        let mut whole = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if whole.len() + chunk.len() > limit {
                return Ok(None);
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(Some(whole.freeze()))
    }

    /// Reads what is left, so that a client that is still sending can hear the answer. One that
    /// waits for `100 Continue` is spared the sending.
    pub(crate) async fn discard(&mut self) {
        if self.awaits_continue {
            return;
        }
        let mut discarded = 0;
        while discarded < DISCARDED {
            match timeout(DISCARD_PAUSE, self.chunk()).await {
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

/// Text as it may stand in a page.
pub(crate) fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

/// The error of the control API.
#[derive(Serialize)]
struct Problem {
    error: String,
}

pub(crate) fn problem(status: StatusCode, error: impl ToString) -> Response {
    let error = error.to_string();
    json(status, &Problem { error })
}
