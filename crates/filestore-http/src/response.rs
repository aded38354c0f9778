//! [`Response`]: status and headers of a response, and its body within a size limit.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::pin::Pin;
use std::task::{self, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use filestore_core::{ByteStream, Effect, Error, ErrorKind, Result};
use futures::stream::Stream;
use jiff::Timestamp;
use reqwest::StatusCode;
use reqwest::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderName, LOCATION, TRANSFER_ENCODING,
};
use serde::de::{DeserializeOwned, DeserializeSeed};
use serde_json::error::Category;
use url::Url;

use crate::cause::is_timeout;
use crate::exchange::response_body::{BodyError, ResponseBody};
use crate::failure::error_of_unknown_effect;
use crate::secrets::RequestHead;
use crate::{ERROR_BODY_LIMIT, History, Idempotency, Outcome};

/// A response. Status and headers have arrived; the body is read on demand.
///
/// Cheap to move, like a [`Request`](crate::Request).
pub struct Response(Box<ResponseParts>);

struct ResponseParts {
    response_body: ResponseBody,
    context: Context,
}

/// The request of a response and its attempts.
pub(crate) struct Context {
    pub(crate) request: RequestHead,
    pub(crate) idempotency: Idempotency,
    pub(crate) attempts: u32,
    pub(crate) history: History,
    pub(crate) retry_after: Option<Duration>,
}

/// The range of a response, from its header `Content-Range: bytes 5-9/20`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the header has these two fields")]
pub struct ContentRange {
    /// The positions of the bytes in the file.
    pub range: Range<u64>,
    /// The size of the file in bytes, if the service knows it.
    pub size: Option<u64>,
}

impl Response {
    pub(crate) fn new(response_body: ResponseBody, context: Context) -> Self {
        Self(Box::new(ResponseParts { response_body, context }))
    }

    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        self.0.response_body.response.status()
    }

    /// Returns the headers.
    pub fn headers(&self) -> &HeaderMap {
        self.0.response_body.response.headers()
    }

    /// Returns the value of a header. `None` if it is absent or not visible ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().get(name)?.to_str().ok()
    }

    /// Returns the time of the response by the service's clock: the header `Date`.
    pub fn date(&self) -> Option<Timestamp> {
        Timestamp::try_from(httpdate::parse_http_date(self.header("date")?).ok()?).ok()
    }

    /// Returns the content type in lower case, without parameters.
    pub fn content_type(&self) -> Option<String> {
        content_type(self.headers())
    }

    /// Checks that the body is not encoded (`Content-Encoding: gzip`, `Transfer-Encoding: gzip, chunked`).
    ///
    /// Fails with *protocol* otherwise, because requests ask for unencoded bytes.
    pub fn check_identity(&self) -> Result<()> {
        self.check_coding(CONTENT_ENCODING, &["", "identity"])?;
        self.check_transfer_coding()
    }

    /// Checks that the body is not encoded for the transfer (`Transfer-Encoding: gzip, chunked`), for services that store
    /// the `Content-Encoding` of a file and its encoded bytes.
    ///
    /// Fails with *protocol* otherwise: no request allows it, and the HTTP library decodes only `chunked`.
    pub fn check_transfer_coding(&self) -> Result<()> {
        self.check_coding(TRANSFER_ENCODING, &["", "identity", "chunked"])
    }

    fn check_coding(&self, header: HeaderName, allowed: &[&str]) -> Result<()> {
        let values = self.headers().get_all(header).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        let codings = values.collect::<Vec<_>>().join(",");
        let is_allowed = |coding: &str| allowed.iter().any(|allowed| coding.trim().eq_ignore_ascii_case(allowed));
        match codings.split(',').find(|coding| !is_allowed(coding)) {
            None => Ok(()),
            Some(coding) => {
                let coding = self.presentable(coding.trim());
                let message = format!(
                    "the response is encoded with {coding} although the request asked for the unencoded file; \
                     check the proxy"
                );
                Err(self.error(ErrorKind::Protocol, message))
            }
        }
    }

    /// Returns `true` for an HTML page with a status of 4xx other than 429.
    ///
    /// It comes from a proxy, a firewall or a website, not from the API of a service.
    pub fn is_rejection_by_page(&self) -> bool {
        let is_page = self.content_type().is_some_and(|essence| essence == "text/html");
        is_page && self.status().is_client_error() && self.status().as_u16() != 429
    }

    /// Returns `true` if the content type is JSON.
    pub fn is_json(&self) -> bool {
        let value = self.headers().get(CONTENT_TYPE);
        let is_exact = value.is_some_and(|value| value == "application/json");
        is_exact || self.content_type().is_some_and(|essence| essence.ends_with("/json") || essence.ends_with("+json"))
    }

    /// Returns the length of the body in bytes, if the response announces it. For a HEAD request, it is the length that
    /// the body would have.
    pub fn content_length(&self) -> Option<u64> {
        let announced = self.header(CONTENT_LENGTH.as_str()).and_then(|length| length.parse().ok());
        announced.or(self.0.response_body.length)
    }

    /// Returns the range of a response with status 206.
    ///
    /// With any other status it is `None`, even if the header is present: the body is then the whole file.
    pub fn content_range(&self) -> Option<ContentRange> {
        if self.status() != StatusCode::PARTIAL_CONTENT {
            return None;
        }
        parse_content_range(self.headers().get(CONTENT_RANGE)?.to_str().ok()?)
    }

    /// Returns the target of a redirect as an absolute URL.
    pub fn location(&self) -> Option<Url> {
        self.0.context.request.url.join(self.headers().get(LOCATION)?.to_str().ok()?).ok()
    }

    /// Returns the number of attempts.
    pub fn attempts(&self) -> u32 {
        self.0.context.attempts
    }

    /// Returns the wait that the service asks for, or else, after a 429, the request's
    /// [default](crate::Request::default_retry_after).
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.context.retry_after
    }

    /// Returns the effect of all attempts together, if this response is an error.
    pub fn effect(&self) -> Effect {
        self.0.context.history.effect()
    }

    /// Returns the effect of all attempts together, if the body of this response says that the request was rejected,
    /// whatever the status.
    pub fn effect_if_rejected(&self) -> Effect {
        self.0.context.history.effect_if_rejected()
    }

    /// Returns `text` without the secrets of the request. Use it for a text of the service that is not shown, but kept
    /// with an error.
    ///
    /// Each secret is replaced by `...`, regardless of ASCII case. Secrets of fewer than 4 characters are not, because
    /// every text contains some of them by chance.
    pub fn without_secrets(&self, text: &str) -> String {
        self.0.context.request.without_secrets(text)
    }

    /// Returns a text of the service as one line of at most 300 characters, without the queries of URLs and
    /// [without the secrets](Self::without_secrets) of the request.
    pub fn presentable(&self, text: &str) -> String {
        crate::presentable(&self.without_secrets(text))
    }

    /// Returns an error of `kind` with the status, effect, attempts, wait and request ID of this response.
    ///
    /// The message and the request ID do not contain the secrets of the request. A text of the service in the message
    /// must be [presentable](Self::presentable), and so must a provider code.
    pub fn error(&self, kind: ErrorKind, message: impl Into<String>) -> Error {
        let error = Error::new(kind, self.effect(), self.without_secrets(&message.into()))
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
            Some(id) => error.with_request_id(self.presentable(id)),
            None => error,
        }
    }

    /// Returns the *protocol* error of a response that the protocol does not document. `expected` names the documented
    /// one.
    ///
    /// Such a response may come from a captive portal, a proxy or a website.
    pub fn unexpected(&self, expected: &str) -> Error {
        let content_type = self.content_type().map(|essence| format!(", {}", self.presentable(&essence)));
        let message = format!(
            "{} responded with status {}{} instead of {expected}: something other than the service answered; check \
             base_url, the proxy and the network",
            self.0.context.redacted_url(),
            self.status().as_u16(),
            content_type.unwrap_or_default()
        );
        self.error(ErrorKind::Protocol, message)
    }

    /// Returns the whole body. Fails with *protocol* if it has more than `limit` bytes.
    pub async fn bytes(&mut self, limit: usize) -> Result<Bytes> {
        let ResponseParts { response_body, context } = &mut *self.0;
        let length = response_body.length;
        let mut whole = None;
        if length.is_none_or(|length| length <= limit as u64) {
            let buffered = response_body.buffer(limit).await;
            buffered.map_err(|(cause, received)| context.incomplete_response(&cause, received, length))?;
            whole = response_body.take_buffered().filter(|whole| whole.len() <= limit);
        }
        whole.ok_or_else(|| {
            let url = self.0.context.redacted_url();
            let message = format!("the response from {url} has more than the {limit} bytes that are accepted");
            self.error(ErrorKind::Protocol, message)
        })
    }

    /// Reads the body as JSON.
    ///
    /// Fails with *protocol* if it has more than `limit` bytes or is not JSON of the expected shape.
    pub async fn json<T: DeserializeOwned>(&mut self, limit: usize) -> Result<T> {
        let bytes = self.bytes(limit).await?;
        self.parse_json(&bytes)
    }

    /// Parses `bytes` of this response as JSON. For protocols that parse the same body twice.
    ///
    /// Fails with *protocol* if they are not JSON of the expected shape.
    pub fn parse_json<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T> {
        self.parse_json_into(bytes, PhantomData::<T>)
    }

    /// Parses `bytes` of this response as JSON into `seed`, which receives the values one by one.
    ///
    /// Fails with *protocol* if they are not JSON of the expected shape. `seed` may have received some values by then.
    pub fn parse_json_into<'de, S: DeserializeSeed<'de>>(&self, bytes: &'de [u8], seed: S) -> Result<S::Value> {
        // Checking UTF-8 once for the whole text is faster than for each string.
        let parsed = match std::str::from_utf8(bytes) {
            Ok(text) => deserialize(serde_json::Deserializer::from_str(text), seed),
            Err(_) => deserialize(serde_json::Deserializer::from_slice(bytes), seed),
        };
        parsed.map_err(|error| {
            // The text of serde's error repeats values, which may be secrets.
            let problem = match error.classify() {
                Category::Eof => "JSON that breaks off",
                Category::Data => "JSON of another shape than expected",
                Category::Syntax | Category::Io => "not JSON",
            };
            let (url, line, column) = (self.0.context.redacted_url(), error.line(), error.column());
            self.error(
                ErrorKind::Protocol,
                format!("the response from {url} is {problem} (line {line}, column {column})"),
            )
        })
    }

    /// Returns the first [`ERROR_BODY_LIMIT`] bytes of the body of an error response.
    ///
    /// Never fails. If the body breaks off, returns the bytes before that.
    pub async fn error_body(&mut self) -> Bytes {
        let mut bytes = BytesMut::new();
        let start = self.0.response_body.now();
        while let Ok(Some(chunk)) = self.0.response_body.chunk().await {
            let room = ERROR_BODY_LIMIT - bytes.len();
            bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if bytes.len() == ERROR_BODY_LIMIT || self.0.response_body.check_rate(start, bytes.len()).is_err() {
                break;
            }
        }
        bytes.freeze()
    }

    /// Returns the body as a stream, which fails if the body does not have the announced length.
    ///
    /// Fails with *unavailable* if the connection breaks and with *timeout* if a timeout elapses. The effect is that of
    /// a lost response.
    pub fn stream(self) -> ByteStream {
        let length = self.0.response_body.length;
        ByteStream::download(Chunks { response: self, received: 0 }, length)
    }

    pub(crate) fn context(&self) -> &Context {
        &self.0.context
    }
}

impl Context {
    /// Returns the URL as errors show it.
    fn redacted_url(&self) -> String {
        self.request.redacted_url()
    }

    /// Returns the error of a body that broke off after `received` bytes.
    pub(crate) fn incomplete_response(&self, cause: &BodyError, received: u64, length: Option<u64>) -> Error {
        let effect = self.history.ended_by(self.idempotency, Outcome::Lost).effect();
        incomplete_response(&self.request, cause, received, length).with_effect(effect).with_attempts(self.attempts)
    }
}

fn content_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// Returns `true` if the content type is one that services have for their errors. Web pages and texts without markup
/// come from gateways, too.
pub(crate) fn is_json_or_xml(headers: &HeaderMap) -> bool {
    let ends = ["/json", "+json", "/xml", "+xml"];
    content_type(headers).is_some_and(|essence| ends.iter().any(|end| essence.ends_with(end)))
}

/// Returns the error of a response whose body broke off after `received` of `length` bytes.
pub(crate) fn incomplete_response(
    request: &RequestHead,
    cause: &BodyError,
    received: u64,
    length: Option<u64>,
) -> Error {
    let kind = match cause {
        BodyError::Lost(error) if !is_timeout(error) => ErrorKind::Unavailable,
        _ => ErrorKind::Timeout,
    };
    let of = length.map(|length| format!(" of {length}")).unwrap_or_default();
    let cause = request.without_secrets(&cause.describe(&request.redacted_url()));
    error_of_unknown_effect(kind, format!("{cause} after {received}{of} bytes of the response"))
}

/// The body of a response as a stream.
struct Chunks {
    response: Response,
    received: u64,
}

impl Stream for Chunks {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(match ready!(self.response.0.response_body.poll_chunk(cx)) {
            Ok(Some(chunk)) => {
                self.received += chunk.len() as u64;
                Some(Ok(chunk))
            }
            Ok(None) => None,
            Err(cause) => {
                let ResponseParts { response_body, context } = &*self.response.0;
                Some(Err(context.incomplete_response(&cause, self.received, response_body.length)))
            }
        })
    }
}

/// Deserializes one value and checks that only white space follows.
fn deserialize<'de, R: serde_json::de::Read<'de>, S: DeserializeSeed<'de>>(
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
    fn a_content_range_is_parsed_or_rejected() {
        assert_eq!(parse_content_range("bytes 5-9/20"), Some(ContentRange { range: 5..10, size: Some(20) }));
        assert_eq!(parse_content_range("bytes 0-0/*"), Some(ContentRange { range: 0..1, size: None }));
        for bad in
            ["bytes */20", "bytes 9-5/20", "bytes 5-20/20", "5-9/20", "bytes a-b/c", "bytes 0-18446744073709551615/*"]
        {
            assert_eq!(parse_content_range(bad), None, "{bad}");
        }
    }
}
