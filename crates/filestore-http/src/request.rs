//! [`Request`] and its [`RequestBody`]: what is sent, and what sending it twice would do.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use filestore_core::{Body, ByteStream, Error, Result};
use futures::stream;
use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue};
use url::Url;

use crate::Form;

/// What a request does when it is sent twice. It decides over retries and over the effect of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the columns of the retry table")]
pub enum Idempotency {
    /// It changes nothing: a listing, a read that is free.
    Safe,
    /// Twice is the same as once: a delete, a put to a fixed address.
    Idempotent,
    /// Twice is one too many: each makes another file, message, session.
    NonIdempotent,
    /// A read that may take the file away. Nothing is retried once it may have arrived, not even a 429.
    Consuming,
}

/// A request. `Debug` shows neither credentials nor a query nor a secret path.
///
/// Small to move: it passes through the futures of a whole flow.
pub struct Request(pub(crate) Box<Parts>);

pub(crate) struct Parts {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) idempotency: Idempotency,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) credentials: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: RequestBody,
    pub(crate) secret_path: bool,
    pub(crate) fresh_connection: bool,
    pub(crate) default_retry_after: Option<Duration>,
    pub(crate) buffered: bool,
}

impl Request {
    /// `method` to `url`, which does what `idempotency` says when it is sent twice. A user in the URL is not sent.
    pub fn new(method: Method, mut url: Url, idempotency: Idempotency) -> Self {
        // The connection's own traces would show the password.
        let _: (Result<(), ()>, Result<(), ()>) = (url.set_password(None), url.set_username(""));
        Self(Box::new(Parts {
            method,
            url,
            idempotency,
            headers: Vec::new(),
            credentials: Vec::new(),
            body: RequestBody::Empty,
            secret_path: false,
            fresh_connection: false,
            default_retry_after: None,
            buffered: false,
        }))
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.0.method
    }

    /// A `GET` that changes nothing.
    pub fn get(url: Url) -> Self {
        Self::new(Method::GET, url, Idempotency::Safe)
    }

    /// Adds a pair to the query.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.0.url.query_pairs_mut().append_pair(name, value);
        self
    }

    /// Sets a header.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// Sets a header that is a credential: it goes to the origin of the client's base URL only, and
    /// is never shown. See [`secret_header`].
    pub fn credential(mut self, name: HeaderName, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        self.0.credentials.push((name, value));
        self
    }

    /// Sends `body`. Its content type becomes the header, unless one is set.
    pub fn body(mut self, body: impl Into<RequestBody>) -> Self {
        self.0.body = body.into();
        self
    }

    /// Says that the path is a secret, such as a key that is the permission itself.
    pub fn secret_path(mut self) -> Self {
        self.0.secret_path = true;
        self
    }

    /// Sends it on a connection of its own. A kept connection may just have been closed by the other
    /// side: then the answer counts as lost although nobody saw the request.
    pub fn fresh_connection(mut self) -> Self {
        self.0.fresh_connection = true;
        self
    }

    /// The wait after a 429 that does not say how long. Longer than the policy's longest wait, it
    /// ends the retries and becomes the error's `retry_after`.
    pub fn default_retry_after(mut self, pause: Duration) -> Self {
        self.0.default_retry_after = Some(pause);
        self
    }

    /// Says that the answer is short, and of use only as a whole: a success whose body breaks off is as
    /// lost as one that never came, and repeated like it. The body is held in memory, up to
    /// [`JSON_LIMIT`](crate::JSON_LIMIT).
    pub fn buffered(mut self) -> Self {
        self.0.buffered = true;
        self
    }
}

impl Parts {
    pub(crate) fn redacted_url(&self) -> String {
        crate::redacted_url(&self.url, self.secret_path)
    }
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} ({:?})", self.0.method, self.0.redacted_url(), self.0.idempotency)
    }
}

/// What a request carries.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum RequestBody {
    /// Nothing.
    Empty,
    /// A few bytes, of this content type. Without one the request has none.
    Bytes(Option<&'static str>, Bytes),
    /// A file as it is. Without a content type the request has none.
    Body(Option<String>, Arc<Body>),
    /// A form.
    Form(Form),
}

impl From<Form> for RequestBody {
    fn from(form: Form) -> Self {
        Self::Form(form)
    }
}

impl RequestBody {
    /// *Invalid input* if it cannot be a header.
    pub(crate) fn content_type(&self) -> Result<Option<HeaderValue>> {
        let content_type = match self {
            Self::Empty => None,
            Self::Bytes(content_type, _) => return Ok(content_type.map(HeaderValue::from_static)),
            Self::Body(content_type, _) => content_type.clone(),
            Self::Form(form) => Some(form.content_type()),
        };
        let wrong = |_| Error::invalid("the content type cannot be a header; choose another");
        content_type.map(|text| HeaderValue::try_from(text).map_err(wrong)).transpose()
    }

    /// Whether it can be opened after some of it was read.
    pub(crate) fn can_replay(&self) -> bool {
        match self {
            Self::Empty | Self::Bytes(..) => true,
            Self::Body(_, body) => body.can_replay(),
            Self::Form(form) => form.can_replay(),
        }
    }

    /// Opens it for one attempt.
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

/// A header value that is never shown. *Config* if it holds characters that no header can.
pub fn secret_header(value: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(value).map_err(|_| {
        Error::config("a credential holds a character that no HTTP header can hold, such as a line break; check it")
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
        assert_eq!(format!("{:?}", request.0.credentials[0].1), "Sensitive");
    }

    #[test]
    fn a_credential_with_a_line_break_is_rejected_without_showing_it() {
        let error = secret_header("CANARY\nx").unwrap_err();
        assert!(!format!("{error:?}").contains("CANARY"));
    }
}
