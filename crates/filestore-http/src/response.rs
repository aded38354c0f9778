//! [`Response`]: what came back, read within bounds.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::pin::Pin;
use std::task::{self, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use filestore_core::{ByteStream, Effect, Error, ErrorKind, Result};
use futures::stream::Stream;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, LOCATION};
use serde::de::{DeserializeOwned, DeserializeSeed};
use serde_json::error::Category;
use url::Url;

use crate::exchange::response_body::{BodyError, ResponseBody};
use crate::failure::unsettled;
use crate::{ERROR_BODY_LIMIT, History, Idempotency, Outcome};

/// An answer: status and headers are here, the body comes as it is read. Small to move, like a request.
pub struct Response(Box<Parts>);

struct Parts {
    response_body: ResponseBody,
    context: Context,
}

/// What an answer remembers of its request.
pub(crate) struct Context {
    pub(crate) url: Url,
    pub(crate) secret_path: bool,
    pub(crate) idempotency: Idempotency,
    pub(crate) attempts: u32,
    pub(crate) history: History,
    pub(crate) retry_after: Option<Duration>,
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

impl Response {
    pub(crate) fn new(response_body: ResponseBody, context: Context) -> Self {
        Self(Box::new(Parts { response_body, context }))
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.0.response_body.response.status()
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        self.0.response_body.response.headers()
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

    /// *Protocol* if the body is encoded (`Content-Encoding: gzip`) although the request asked for the bytes as they are.
    pub fn check_identity(&self) -> Result<()> {
        let encoding = self.headers().get(CONTENT_ENCODING).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let encoding = encoding.filter(|encoding| !matches!(encoding.trim(), "" | "identity"));
        encoding.map_or(Ok(()), |encoding| {
            let encoding = crate::presentable(&encoding, &[]);
            let message = format!(
                "the response is encoded with {encoding} although the bytes of the file were asked for as they are; check \
                 the proxy"
            );
            Err(self.error(ErrorKind::Protocol, message))
        })
    }

    /// Whether it is a page for people with a status of 4xx other than 429: of a proxy, a firewall or a web site, and not
    /// of a service that speaks to programs.
    pub fn is_rejection_by_page(&self) -> bool {
        let is_page = self.content_type().is_some_and(|essence| essence == "text/html");
        is_page && self.status().is_client_error() && self.status().as_u16() != 429
    }

    /// Whether the content type is JSON.
    pub fn is_json(&self) -> bool {
        let value = self.headers().get(CONTENT_TYPE);
        let said = value.is_some_and(|value| value == "application/json");
        said || self.content_type().is_some_and(|essence| essence.ends_with("/json") || essence.ends_with("+json"))
    }

    /// The length of the body, where the service says it.
    pub fn content_length(&self) -> Option<u64> {
        self.0.response_body.length
    }

    /// The range that comes with status 206. Any other success is the whole, whatever the header says.
    pub fn content_range(&self) -> Option<ContentRange> {
        if self.status() != StatusCode::PARTIAL_CONTENT {
            return None;
        }
        parse_content_range(self.headers().get(CONTENT_RANGE)?.to_str().ok()?)
    }

    /// Where a redirect points to, made absolute.
    pub fn location(&self) -> Option<Url> {
        self.0.context.url.join(self.headers().get(LOCATION)?.to_str().ok()?).ok()
    }

    /// How often it was tried.
    pub fn attempts(&self) -> u32 {
        self.0.context.attempts
    }

    /// How long the service asks to wait, or the request's own pause after a 429.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.context.retry_after
    }

    /// The effect if this answer is an error: that of all attempts together.
    pub fn effect(&self) -> Effect {
        self.0.context.history.effect()
    }

    /// The effect if the body of this answer says that the request was rejected, whatever the status.
    pub fn effect_if_rejected(&self) -> Effect {
        self.0.context.history.effect_if_rejected()
    }

    /// An error of `kind` with what this answer says: status, effect, attempts, wait, request id.
    pub fn error(&self, kind: ErrorKind, message: impl Into<String>) -> Error {
        let error = Error::new(kind, self.effect(), message)
            .with_http_status(self.status().as_u16())
            .with_attempts(self.0.context.attempts);
        let error = match self.0.context.retry_after {
            Some(wait) => {
                let note = format!("the service asks to wait {} s", wait.as_secs_f64().ceil());
                error.with_retry_after(wait).with_note(&note)
            }
            None => error,
        };
        let ids = ["x-request-id", "x-amz-request-id"];
        match ids.iter().find_map(|name| self.header(name)) {
            Some(id) => error.with_request_id(crate::presentable(id, &[])),
            None => error,
        }
    }

    /// The error of an answer that is not the one that the protocol documents, which is `expected`. A captive portal,
    /// a proxy or a web site may have given it.
    pub fn unexpected(&self, expected: &str) -> Error {
        let what = self.content_type().map(|essence| format!(", {}", crate::presentable(&essence, &[])));
        let message = format!(
            "{} answers with status {}{} where {expected} is due: something other than the service answered; check \
             base_url, the proxy and the network",
            self.0.context.redacted_url(),
            self.status().as_u16(),
            what.unwrap_or_default()
        );
        self.error(ErrorKind::Protocol, message)
    }

    /// The whole body, if it is at most `limit` bytes; else *protocol*.
    pub async fn bytes(&mut self, limit: usize) -> Result<Bytes> {
        let Parts { response_body, context } = &mut *self.0;
        let length = response_body.length;
        let mut whole = None;
        if length.is_none_or(|length| length <= limit as u64) {
            let read = response_body.read_whole(limit).await;
            read.map_err(|(broken, passed)| context.broken(&broken, passed, length))?;
            whole = response_body.take_whole().filter(|whole| whole.len() <= limit);
        }
        whole.ok_or_else(|| {
            let message =
                format!("{} answers with more than the {limit} bytes that are read", self.0.context.redacted_url());
            self.error(ErrorKind::Protocol, message)
        })
    }

    /// The body as JSON, if it is at most `limit` bytes. *Protocol* if it is not what is expected.
    pub async fn json<T: DeserializeOwned>(&mut self, limit: usize) -> Result<T> {
        let bytes = self.bytes(limit).await?;
        self.parse_json(&bytes)
    }

    /// Bytes of this answer as JSON, for protocols that look at them twice. *Protocol* as above.
    pub fn parse_json<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T> {
        self.parse_json_into(bytes, PhantomData::<T>)
    }

    /// Bytes of this answer as JSON, for what takes it in piece by piece. *Protocol* as above: then some
    /// pieces may have been taken in.
    pub fn parse_json_into<'de, S: DeserializeSeed<'de>>(&self, bytes: &'de [u8], seed: S) -> Result<S::Value> {
        // Looked at once as a whole, text is read faster than string by string.
        let parsed = match std::str::from_utf8(bytes) {
            Ok(text) => read_all(serde_json::Deserializer::from_str(text), seed),
            Err(_) => read_all(serde_json::Deserializer::from_slice(bytes), seed),
        };
        parsed.map_err(|error| {
            // serde's own text repeats values, which may be secrets.
            let what = match error.classify() {
                Category::Eof => "JSON that breaks off",
                Category::Data => "JSON of another shape than expected",
                Category::Syntax | Category::Io => "no JSON",
            };
            let (shown, line, column) = (self.0.context.redacted_url(), error.line(), error.column());
            self.error(ErrorKind::Protocol, format!("{shown} answers with {what} (line {line}, column {column})"))
        })
    }

    /// The beginning of an error's body. Never fails: what does not come is left out.
    pub async fn error_body(&mut self) -> Bytes {
        let mut all = BytesMut::new();
        let begun = self.0.response_body.now();
        while let Ok(Some(chunk)) = self.0.response_body.chunk().await {
            let room = ERROR_BODY_LIMIT - all.len();
            all.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if all.len() == ERROR_BODY_LIMIT || self.0.response_body.check_rate(begun, all.len()).is_err() {
                break;
            }
        }
        all.freeze()
    }

    /// The body as it comes, held to its length. A broken connection is *unavailable*, one on which
    /// nothing moves *timeout*, with the effect that a lost answer to this request has.
    pub fn stream(self) -> ByteStream {
        let length = self.0.response_body.length;
        ByteStream::download(Chunks { answer: self, passed: 0 }, length)
    }

    pub(crate) fn context(&self) -> &Context {
        &self.0.context
    }
}

impl Context {
    /// The address as errors show it.
    fn redacted_url(&self) -> String {
        crate::redacted_url(&self.url, self.secret_path)
    }

    /// The error of a body that broke off after `passed` bytes.
    pub(crate) fn broken(&self, broken: &BodyError, passed: u64, length: Option<u64>) -> Error {
        let effect = self.history.ended_by(self.idempotency, Outcome::Lost).effect();
        broken_off(&self.redacted_url(), broken, passed, length).with_effect(effect).with_attempts(self.attempts)
    }
}

/// The error of an answer whose body broke off.
pub(crate) fn broken_off(shown: &str, broken: &BodyError, passed: u64, length: Option<u64>) -> Error {
    let kind = match broken {
        BodyError::Lost(_) => ErrorKind::Unavailable,
        BodyError::TooSlow(_) => ErrorKind::Timeout,
    };
    let of = length.map(|length| format!(" of {length}")).unwrap_or_default();
    unsettled(kind, format!("{} after {passed}{of} bytes of the answer", broken.describe(shown)))
}

/// The body of an answer.
struct Chunks {
    answer: Response,
    passed: u64,
}

impl Stream for Chunks {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(match ready!(self.answer.0.response_body.poll_chunk(cx)) {
            Ok(Some(chunk)) => {
                self.passed += chunk.len() as u64;
                Some(Ok(chunk))
            }
            Ok(None) => None,
            Err(broken) => {
                let Parts { response_body, context } = &*self.answer.0;
                Some(Err(context.broken(&broken, self.passed, response_body.length)))
            }
        })
    }
}

/// Reads one value, and nothing after it.
fn read_all<'de, R: serde_json::de::Read<'de>, S: DeserializeSeed<'de>>(
    mut json: serde_json::Deserializer<R>,
    seed: S,
) -> serde_json::Result<S::Value> {
    let value = seed.deserialize(&mut json)?;
    json.end()?;
    Ok(value)
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

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {}", self.status(), self.0.context.redacted_url())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_is_read_or_rejected() {
        assert_eq!(parse_content_range("bytes 5-9/20"), Some(ContentRange { range: 5..10, size: Some(20) }));
        assert_eq!(parse_content_range("bytes 0-0/*"), Some(ContentRange { range: 0..1, size: None }));
        for bad in
            ["bytes */20", "bytes 9-5/20", "bytes 5-20/20", "5-9/20", "bytes a-b/c", "bytes 0-18446744073709551615/*"]
        {
            assert_eq!(parse_content_range(bad), None, "{bad}");
        }
    }
}
