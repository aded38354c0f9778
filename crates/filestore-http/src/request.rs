//! [`Request`], its [`RequestBody`] and its [`Idempotency`].

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use filestore_core::{Body, ByteStream, Error, Result};
use futures::stream;
use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue};
use secrecy::SecretString;
use url::Url;

use crate::Form;
use crate::secrets::RequestHead;

/// The effect of sending a request twice. Retries and the effect of errors depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the columns of the retry table")]
pub enum Idempotency {
    /// The request changes nothing: a listing, or a read that does not count as a download.
    Safe,
    /// Sending it twice is the same as once: a delete, a `PUT` to a fixed URL.
    Idempotent,
    /// Each request creates another file, message or session.
    NonIdempotent,
    /// A read that may delete the file. It is not retried once it may have reached the service, not even after a 429.
    Consuming,
}

/// An HTTP request. `Debug` shows no credentials, no query and no secret path.
///
/// Cheap to move, because it passes through many futures.
pub struct Request(pub(crate) Box<RequestParts>);

pub(crate) struct RequestParts {
    pub(crate) method: Method,
    pub(crate) head: RequestHead,
    pub(crate) idempotency: Idempotency,
    pub(crate) body: RequestBody,
    pub(crate) fresh_connection: bool,
    pub(crate) default_retry_after: Option<Duration>,
    pub(crate) buffered: bool,
}

impl Request {
    /// Returns a request with an empty body. Removes user and password from `url`.
    pub fn new(method: Method, mut url: Url, idempotency: Idempotency) -> Self {
        // The traces of the HTTP library would show the password.
        let _: (Result<(), ()>, Result<(), ()>) = (url.set_password(None), url.set_username(""));
        Self(Box::new(RequestParts {
            method,
            head: RequestHead { url, secret_path: false, headers: Vec::new(), credentials: Vec::new(), secrets: None },
            idempotency,
            body: RequestBody::Empty,
            fresh_connection: false,
            default_retry_after: None,
            buffered: false,
        }))
    }

    /// Returns the method.
    pub fn method(&self) -> &Method {
        &self.0.method
    }

    /// Returns a safe `GET` request.
    pub fn get(url: Url) -> Self {
        Self::new(Method::GET, url, Idempotency::Safe)
    }

    /// Adds a parameter to the query.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.0.head.url.query_pairs_mut().append_pair(name, value);
        self
    }

    /// Sets a header.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.head.headers.push((name, value));
        self
    }

    /// Sets a header that is a credential. It is sent only to the origin of the client's base URL, and never shown.
    /// See [`secret_header`].
    pub fn credential(mut self, name: HeaderName, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        self.0.head.credentials.push((name, value));
        self
    }

    /// Sets the body. Its content type becomes the header, unless one is set.
    pub fn body(mut self, body: impl Into<RequestBody>) -> Self {
        self.0.body = body.into();
        self
    }

    /// Marks the path as a secret, such as a key that grants access by itself.
    ///
    /// The whole path counts as one secret. If a response may repeat a part of it, such as a key that follows a path prefix
    /// of the base URL, add the part with [`secrets`](Self::secrets).
    pub fn secret_path(mut self) -> Self {
        self.0.head.secret_path = true;
        self
    }

    /// Sets further secrets of the request, such as a password in its body.
    ///
    /// A response may repeat a secret. The errors of the request do not show these, nor its credentials, the signature
    /// in its query and a secret path.
    pub fn secrets(mut self, secrets: Arc<[SecretString]>) -> Self {
        self.0.head.secrets = Some(secrets);
        self
    }

    /// Opens a new connection for the request.
    ///
    /// The service may close a pooled connection at any moment. Then the response counts as lost, although the service
    /// did not receive the request.
    pub fn fresh_connection(mut self) -> Self {
        self.0.fresh_connection = true;
        self
    }

    /// Sets the wait after a 429 without `Retry-After`.
    ///
    /// If it is longer than the waits that the policy allows, the retries end and it becomes the error's `retry_after`.
    pub fn default_retry_after(mut self, wait: Duration) -> Self {
        self.0.default_retry_after = Some(wait);
        self
    }

    /// Reads the body of a success into memory as part of the attempt, up to [`JSON_LIMIT`](crate::JSON_LIMIT).
    ///
    /// For short responses that are useful only as a whole: if the body breaks off, the response counts as lost and
    /// the request is retried accordingly.
    pub fn buffered(mut self) -> Self {
        self.0.buffered = true;
        self
    }
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} ({:?})", self.0.method, self.0.head.redacted_url(), self.0.idempotency)
    }
}

/// The body of a request.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum RequestBody {
    /// No body.
    Empty,
    /// A content type and a few bytes. `None` sends no `Content-Type`.
    Bytes(Option<&'static str>, Bytes),
    /// A content type and a file, sent unchanged. `None` sends no `Content-Type`.
    Body(Option<String>, Arc<Body>),
    /// A multipart form.
    Form(Form),
}

impl From<Form> for RequestBody {
    fn from(form: Form) -> Self {
        Self::Form(form)
    }
}

impl RequestBody {
    /// Returns the value of `Content-Type`. Fails with *invalid input* if it is not a valid header value.
    pub(crate) fn content_type(&self) -> Result<Option<HeaderValue>> {
        let content_type = match self {
            Self::Empty => None,
            Self::Bytes(content_type, _) => return Ok(content_type.map(HeaderValue::from_static)),
            Self::Body(content_type, _) => content_type.clone(),
            Self::Form(form) => Some(form.content_type()),
        };
        let invalid = |_| Error::invalid("the content type is not a valid header value; choose another");
        content_type.map(|text| HeaderValue::try_from(text).map_err(invalid)).transpose()
    }

    /// Returns `true` if the body can be opened again after some of it was read.
    pub(crate) fn can_replay(&self) -> bool {
        match self {
            Self::Empty | Self::Bytes(..) => true,
            Self::Body(_, body) => body.can_replay(),
            Self::Form(form) => form.can_replay(),
        }
    }

    /// Opens the body for one attempt.
    pub(crate) async fn open(&self) -> Result<ByteStream> {
        match self {
            Self::Empty => Ok(once(Bytes::new())),
            Self::Bytes(_, bytes) => Ok(once(bytes.clone())),
            Self::Body(_, body) => Box::pin(body.open_lazily()).await,
            Self::Form(form) => Box::pin(form.open()).await,
        }
    }
}

fn once(bytes: Bytes) -> ByteStream {
    let length = bytes.len() as u64;
    ByteStream::upload(stream::iter((length > 0).then_some(Ok(bytes))), Some(length))
}

/// Returns a header value that is never shown. Fails with *config* if `value` is not a valid header value.
pub fn secret_header(value: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(value).map_err(|_| {
        Error::config(
            "a credential contains a character that is invalid in HTTP headers, such as a line break; correct it",
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::AUTHORIZATION;

    #[test]
    fn debug_shows_no_secret() {
        let request = Request::get("http://a/KEY-CANARY?sig=QUERY-CANARY".parse().unwrap())
            .credential(AUTHORIZATION, secret_header("HEADER-CANARY").unwrap())
            .secret_path();
        assert_eq!(format!("{request:?}"), "GET http://a/... (Safe)");
        assert_eq!(format!("{:?}", request.0.head.credentials[0].1), "Sensitive");
    }

    #[test]
    fn the_error_about_a_credential_with_a_line_break_does_not_show_it() {
        let error = secret_header("CANARY\nx").unwrap_err();
        assert!(!format!("{error:?}").contains("CANARY"));
    }
}
