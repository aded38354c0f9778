//! [`Answer`]: what came back, read within bounds.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use filestore_core::{ByteStream, Effect, Error, ErrorKind, Result};
use futures::future::{self, Either};
use futures::stream::{self, StreamExt};
use reqwest::StatusCode;
use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderMap, LOCATION};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use url::Url;

use crate::client::{HttpClient, root};
use crate::{ERROR_BODY_LIMIT, Outcome, Repeat, effect_of};

/// An answer: status and headers are here, the body comes as it is read.
pub struct Answer {
    response: reqwest::Response,
    context: Context,
}

/// What an answer remembers of its request.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) client: HttpClient,
    pub(crate) shown: String,
    pub(crate) repeat: Repeat,
    pub(crate) attempts: u32,
    pub(crate) lost_before: bool,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) deadline: Option<Duration>,
}

/// The range that an answer says it has: `Content-Range: bytes 5-9/20`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the header has these two")]
pub struct ContentRange {
    /// The bytes that come.
    pub range: Range<u64>,
    /// The size of the whole, where the service knows it.
    pub size: Option<u64>,
}

impl Answer {
    pub(crate) fn new(response: reqwest::Response, context: Context) -> Self {
        Self { response, context }
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// A header, if it is plain text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().get(name)?.to_str().ok()
    }

    /// The content type in lower case, without parameters.
    pub fn content_type(&self) -> Option<String> {
        let value = self.headers().get(CONTENT_TYPE)?.to_str().ok()?;
        Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
    }

    /// Whether the content type is JSON.
    pub fn is_json(&self) -> bool {
        self.content_type().is_some_and(|essence| essence.ends_with("/json") || essence.ends_with("+json"))
    }

    /// The length of the body, where the service says it.
    pub fn content_length(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// The range that comes.
    pub fn content_range(&self) -> Option<ContentRange> {
        parse_content_range(self.headers().get(CONTENT_RANGE)?.to_str().ok()?)
    }

    /// Where a redirect points to, made absolute.
    pub fn location(&self) -> Option<Url> {
        self.response.url().join(self.headers().get(LOCATION)?.to_str().ok()?).ok()
    }

    /// How often it was tried.
    pub fn attempts(&self) -> u32 {
        self.context.attempts
    }

    /// Whether an earlier attempt may have had its effect although its answer was lost. Then "it is
    /// gone already" may be our own doing.
    pub fn may_be_an_echo(&self) -> bool {
        self.context.lost_before
    }

    /// How long the service asks to wait, or the request's own pause after a 429.
    pub fn retry_after(&self) -> Option<Duration> {
        self.context.retry_after
    }

    /// What is true of the effect if this answer is an error.
    pub fn effect(&self) -> Effect {
        effect_of(self.context.repeat, Outcome::Status(self.status().as_u16()))
    }

    /// An error of `kind` with what this answer says: status, effect, attempts, wait, request id.
    pub fn error(&self, kind: ErrorKind, message: impl Into<String>) -> Error {
        let error = Error::new(kind, self.effect(), message)
            .with_http_status(self.status().as_u16())
            .with_attempts(self.context.attempts);
        let error = match self.context.retry_after {
            Some(wait) => error.with_retry_after(wait),
            None => error,
        };
        let ids = ["x-request-id", "x-amz-request-id"];
        match ids.iter().find_map(|name| self.header(name)) {
            Some(id) => error.with_request_id(id),
            None => error,
        }
    }

    /// The whole body, if it is at most `limit` bytes; else *protocol*.
    pub async fn bytes(&mut self, limit: usize) -> Result<Bytes> {
        let length = self.response.content_length();
        let mut all = BytesMut::with_capacity(expected(length, limit));
        while length.is_none_or(|length| length <= limit as u64) {
            match next_chunk(&mut self.response, &self.context).await {
                // All of it in one piece, as where it was read already.
                Ok(Some(chunk)) if all.is_empty() && length == Some(chunk.len() as u64) => return Ok(chunk),
                Ok(Some(chunk)) if all.len() + chunk.len() <= limit => all.extend_from_slice(&chunk),
                Ok(Some(_)) => break,
                Ok(None) => return Ok(all.freeze()),
                Err(broken) => return Err(broken.after(all.len() as u64, length)),
            }
        }
        let message = format!("{} answers with more than the {limit} bytes that are read", self.context.shown);
        Err(self.error(ErrorKind::Protocol, message))
    }

    /// The body as JSON, if it is at most `limit` bytes. *Protocol* if it is not what is expected.
    pub async fn json<T: DeserializeOwned>(&mut self, limit: usize) -> Result<T> {
        let bytes = self.bytes(limit).await?;
        self.parse_json(&bytes)
    }

    /// Bytes of this answer as JSON, for protocols that look at them twice. *Protocol* as above.
    pub fn parse_json<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T> {
        // Looked at once as a whole, text is read faster than string by string.
        let parsed = match std::str::from_utf8(bytes) {
            Ok(text) => serde_json::from_str(text),
            Err(_) => serde_json::from_slice(bytes),
        };
        parsed.map_err(|error| {
            // serde's own text repeats values, which may be secrets.
            let what = match error.classify() {
                Category::Eof => "JSON that breaks off",
                Category::Data => "JSON of another shape than expected",
                Category::Syntax | Category::Io => "no JSON",
            };
            let (shown, line, column) = (&self.context.shown, error.line(), error.column());
            self.error(ErrorKind::Protocol, format!("{shown} answers with {what} (line {line}, column {column})"))
        })
    }

    /// The beginning of an error's body. Never fails: what does not come is left out.
    pub async fn error_body(&mut self) -> Bytes {
        let mut all = BytesMut::new();
        while let Ok(Some(chunk)) = next_chunk(&mut self.response, &self.context).await {
            let room = ERROR_BODY_LIMIT - all.len();
            all.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if all.len() == ERROR_BODY_LIMIT {
                break;
            }
        }
        all.freeze()
    }

    /// The body as it comes, held to its length. A broken connection is *unavailable*, one on which
    /// nothing moves *timeout*, with the effect that a lost answer to this request has.
    pub fn stream(self) -> ByteStream {
        let length = self.response.content_length();
        let (context, mut passed) = (self.context, 0_u64);
        let chunks = stream::unfold(Some(self.response), move |state| {
            let context = context.clone();
            async move {
                let mut response = state?;
                match next_chunk(&mut response, &context).await {
                    Ok(Some(chunk)) => Some((Ok(chunk), Some(response))),
                    Ok(None) => None,
                    Err(error) => Some((Err(error), None)),
                }
            }
        })
        .map(move |item| {
            item.inspect(|chunk| passed += chunk.len() as u64).map_err(|broken| broken.after(passed, length))
        });
        ByteStream::download(chunks, length)
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }
}

/// How much room a body of this length takes, if it is at most `limit`.
pub(crate) fn expected(length: Option<u64>, limit: usize) -> usize {
    length.and_then(|length| usize::try_from(length).ok()).filter(|length| *length <= limit).unwrap_or_default()
}

/// A body that broke off.
pub(crate) struct Broken {
    kind: ErrorKind,
    effect: Effect,
    what: String,
    attempts: u32,
}

impl Broken {
    pub(crate) fn after(self, passed: u64, length: Option<u64>) -> Error {
        let of = length.map(|length| format!(" of {length}")).unwrap_or_default();
        let message = format!("{} after {passed}{of} bytes of the answer", self.what);
        Error::new(self.kind, self.effect, message).with_attempts(self.attempts)
    }
}

pub(crate) async fn next_chunk(response: &mut reqwest::Response, context: &Context) -> Result<Option<Bytes>, Broken> {
    let client = context.client.shared();
    let left = context.client.left(context.deadline);
    let limit = client.clock.limit(left.map_or(client.idle, |left| left.min(client.idle)));
    let chunk = std::pin::pin!(response.chunk());
    let broken = |kind, what| Broken {
        kind,
        effect: effect_of(context.repeat, Outcome::Lost),
        what,
        attempts: context.attempts,
    };
    match future::select(chunk, limit).await {
        Either::Left((Ok(chunk), _)) => Ok(chunk),
        Either::Left((Err(error), _)) => {
            Err(broken(ErrorKind::Unavailable, format!("the connection to {} broke ({})", context.shown, root(&error))))
        }
        Either::Right(_) => Err(broken(ErrorKind::Timeout, format!("{} took too long", context.shown))),
    }
}

fn parse_content_range(text: &str) -> Option<ContentRange> {
    let (range, size) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let size = match size.trim() {
        "*" => None,
        size => Some(size.parse().ok()?),
    };
    let end = last.checked_add(1)?;
    (first < end && size.is_none_or(|size| end <= size)).then_some(ContentRange { range: first..end, size })
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {}", self.status(), self.context.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_is_read_or_refused() {
        assert_eq!(parse_content_range("bytes 5-9/20"), Some(ContentRange { range: 5..10, size: Some(20) }));
        assert_eq!(parse_content_range("bytes 0-0/*"), Some(ContentRange { range: 0..1, size: None }));
        for bad in
            ["bytes */20", "bytes 9-5/20", "bytes 5-20/20", "5-9/20", "bytes a-b/c", "bytes 0-18446744073709551615/*"]
        {
            assert_eq!(parse_content_range(bad), None, "{bad}");
        }
    }
}
