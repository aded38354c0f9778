//! The errors of the storage, in the XML of S3.

use std::borrow::Cow;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, StatusCode};

use crate::http::escape_html;

#[derive(Debug, thiserror::Error)]
#[error("{code}: {message}")]
pub(super) struct StorageError {
    pub(super) status: StatusCode,
    code: &'static str,
    message: Cow<'static, str>,
    /// The elements between the message and the request id.
    extra: Vec<(&'static str, String)>,
}

impl StorageError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        StorageError { status, code, message: message.into(), extra: Vec::new() }
    }

    fn with(mut self, element: &'static str, text: impl ToString) -> Self {
        self.extra.push((element, text.to_string()));
        self
    }

    pub(super) fn denied(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "AccessDenied", message)
    }

    pub(super) fn signature() -> Self {
        let message = "The request signature we calculated does not match the signature you provided. \
                       Check your key and signing method.";
        Self::new(StatusCode::FORBIDDEN, "SignatureDoesNotMatch", message)
    }

    pub(super) fn expired(lifetime: u64, expires: String, now: String) -> Self {
        Self::denied("Request has expired")
            .with("X-Amz-Expires", lifetime)
            .with("Expires", expires)
            .with("ServerTime", now)
    }

    pub(super) fn no_such_key(key: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NoSuchKey", "The specified key does not exist.").with("Key", key)
    }

    pub(super) fn range(requested: &str, size: u64) -> Self {
        let message = "The requested range is not satisfiable";
        Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange", message)
            .with("RangeRequested", requested)
            .with("ActualObjectSize", size)
    }

    pub(super) fn precondition(condition: &str) -> Self {
        let message = "At least one of the pre-conditions you specified did not hold";
        Self::new(StatusCode::PRECONDITION_FAILED, "PreconditionFailed", message).with("Condition", condition)
    }

    pub(super) fn too_large(proposed: u64, allowed: u64) -> Self {
        let message = "Your proposed upload exceeds the maximum allowed size";
        Self::new(StatusCode::BAD_REQUEST, "EntityTooLarge", message)
            .with("ProposedSize", proposed)
            .with("MaxSizeAllowed", allowed)
    }

    pub(super) fn too_small(proposed: u64, minimum: u64) -> Self {
        let message = "Your proposed upload is smaller than the minimum allowed size";
        Self::new(StatusCode::BAD_REQUEST, "EntityTooSmall", message)
            .with("ProposedSize", proposed)
            .with("MinSizeAllowed", minimum)
    }

    pub(super) fn argument(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidArgument", message)
    }

    pub(super) fn algorithm() -> Self {
        let message = "X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256 and AWS4-ECDSA-P256-SHA256\"";
        Self::new(StatusCode::BAD_REQUEST, "AuthorizationQueryParametersError", message)
    }

    pub(super) fn malformed() -> Self {
        let message = "The body of your POST request is not well-formed multipart/form-data.";
        Self::new(StatusCode::BAD_REQUEST, "MalformedPOSTRequest", message)
    }

    pub(super) fn fields_too_large() -> Self {
        let message = "Your POST request fields preceding the upload file were too large.";
        Self::new(StatusCode::BAD_REQUEST, "MaxPostPreDataLengthExceededError", message)
    }

    pub(super) fn number_of_files() -> Self {
        let message = "POST requires exactly one file upload per request.";
        Self::new(StatusCode::BAD_REQUEST, "IncorrectNumberOfFilesInPostRequest", message)
    }

    pub(super) fn no_length() -> Self {
        let message = "You must provide the Content-Length HTTP header.";
        Self::new(StatusCode::LENGTH_REQUIRED, "MissingContentLength", message)
    }

    /// Returns an error with the status that a fault rule sets.
    pub(super) fn of_status(status: StatusCode) -> Self {
        let (code, message) = match status.as_u16() {
            403 => ("AccessDenied", "Access Denied"),
            404 => ("NoSuchKey", "The specified key does not exist."),
            429 | 503 => ("SlowDown", "Please reduce your request rate."),
            500..=599 => ("InternalError", "We encountered an internal error. Please try again."),
            _ => ("InvalidRequest", status.canonical_reason().unwrap_or("Error")),
        };
        Self::new(status, code, message)
    }

    pub(super) fn content_range(&self) -> Option<HeaderValue> {
        let (_, size) = self.extra.iter().find(|(element, _)| *element == "ActualObjectSize")?;
        HeaderValue::try_from(format!("bytes */{size}")).ok()
    }

    pub(super) fn xml(&self) -> String {
        let mut xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{}</Code><Message>{}</Message>",
            self.code,
            escape_html(&self.message)
        );
        for (element, text) in &self.extra {
            let _ = write!(xml, "<{element}>{}</{element}>", escape_html(text));
        }
        let _ = write!(xml, "<RequestId>{}</RequestId><HostId>{}</HostId></Error>", request_id(), host_id());
        xml
    }
}

/// Returns a new request id: 16 hexadecimal digits. Every response of the storage has one.
pub(super) fn request_id() -> String {
    format!("{:016X}", rand::random::<u64>())
}

/// Returns a new extended request id, `x-amz-id-2`.
pub(super) fn host_id() -> String {
    STANDARD.encode(rand::random::<[u8; 32]>())
}
