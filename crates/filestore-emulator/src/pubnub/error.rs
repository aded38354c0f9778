//! The errors of PubNub, in the four formats of its services: Files, Access Manager, Publish and the storage.

use std::borrow::Cow;
use std::io;

use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_RANGE, SERVER};
use http::{HeaderValue, StatusCode};
use hyper::ext::ReasonPhrase;

use super::route::Route;
use super::storage_error::StorageError;
use super::wire::{AccessFailure, FilesError, FilesFailure, SignatureDetail, SignatureError, SignatureFailure, json};
use crate::durable::is_out_of_space;
use crate::http::{Response, response};

/// The reason why a request is rejected.
#[derive(Debug, thiserror::Error)]
pub(super) enum Rejection {
    #[error("the Files service rejected the request: {message}")]
    Files { status: StatusCode, code: u32, message: Cow<'static, str> },
    #[error("the request was rejected: {message}")]
    Access { status: StatusCode, service: Option<&'static str>, message: &'static str },
    #[error("no permission for the channels {0:?}")]
    Forbidden(Vec<String>),
    #[error("the token is revoked")]
    Revoked,
    #[error("the signature is wrong: {0}")]
    Signature(&'static str),
    #[error("the message was not published: {message}")]
    Unpublished { status: StatusCode, message: &'static str },
    #[error("the storage rejected the request: {0}")]
    Storage(#[from] StorageError),
    #[error("no operation has this path and method")]
    NoSuchPath,
    #[error("no space is left in the storage folder")]
    NoSpace(#[source] io::Error),
    #[error("internal error")]
    Internal(#[source] io::Error),
}

impl Rejection {
    pub(super) fn files(message: impl Into<Cow<'static, str>>) -> Self {
        Rejection::Files { status: StatusCode::BAD_REQUEST, code: 3001, message: message.into() }
    }

    pub(super) fn channel() -> Self {
        Self::files("[channel] contains invalid characters")
    }

    pub(super) fn files_disabled() -> Self {
        let message = "Files service not enabled for subkey".into();
        Rejection::Files { status: StatusCode::PAYMENT_REQUIRED, code: 3005, message }
    }

    pub(super) fn access(status: StatusCode, message: &'static str) -> Self {
        Rejection::Access { status, service: Some("Access Manager"), message }
    }

    pub(super) fn unpublished(message: &'static str) -> Self {
        Rejection::Unpublished { status: StatusCode::BAD_REQUEST, message }
    }

    pub(super) fn to_response(&self, route: &Route, timetoken: u64) -> Response {
        match self {
            Rejection::Files { status, code, message } => files(*status, *code, message),
            Rejection::Access { status, service, message } => access(*status, *service, message, None),
            Rejection::Forbidden(channels) => {
                let service = Some("Access Manager");
                with_cause(access(StatusCode::FORBIDDEN, service, "Forbidden", Some(channels)), "9999")
            }
            Rejection::Revoked => {
                let service = Some("Access Manager");
                with_cause(access(StatusCode::FORBIDDEN, service, "Token is revoked", None), "4001")
            }
            Rejection::Signature(detail) => signature(detail),
            Rejection::Unpublished { status, message } => unpublished(*status, message, timetoken),
            Rejection::Storage(error) => storage(error, route),
            Rejection::NoSuchPath => access(StatusCode::NOT_FOUND, None, "Not Found", None),
            Rejection::NoSpace(error) => {
                tracing::warn!(%error, "no space is left in the storage folder");
                status_response(route, StatusCode::INSUFFICIENT_STORAGE, timetoken)
            }
            Rejection::Internal(error) => {
                tracing::error!(%error, "the emulator failed");
                status_response(route, StatusCode::INTERNAL_SERVER_ERROR, timetoken)
            }
        }
    }
}

impl From<io::Error> for Rejection {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            kind if is_out_of_space(kind) => Rejection::NoSpace(error),
            _ => Rejection::Internal(error),
        }
    }
}

/// Returns the error response for `status` in the format of the service that the route belongs to.
pub(super) fn status_response(route: &Route, status: StatusCode, timetoken: u64) -> Response {
    let reason = status.canonical_reason().unwrap_or("Error");
    let files = matches!(
        route,
        Route::GenerateUploadUrl { .. } | Route::List { .. } | Route::Url { .. } | Route::Delete { .. }
    );
    match (route, status.as_u16()) {
        (Route::Form | Route::Content { .. }, _) => storage(&StorageError::of_status(status), route),
        (Route::Publish { .. }, 400) => unpublished(status, "Invalid JSON", timetoken),
        (Route::Publish { .. }, 413) => unpublished(status, "Message Too Large", timetoken),
        (_, 403) => Rejection::Forbidden(route.channels()).to_response(route, timetoken),
        (_, 413) => access(status, Some("Balancer"), "Request Entity Too Large.", None),
        (_, 414) => access(status, Some("Balancer"), "Request URI Too Long", None),
        (_, 429) => access(status, None, "Too many requests.", None),
        (_, 402) if files => Rejection::files_disabled().to_response(route, timetoken),
        (_, 503 | 504) => access(status, Some("Access Manager"), "Service Unavailable", None),
        _ if files => self::files(status, 3000, reason),
        _ => access(status, None, reason, None),
    }
}

fn files(status: StatusCode, code: u32, message: &str) -> Response {
    json(status, &FilesFailure { status: status.as_u16(), error: FilesError { message, source: "Files", code } })
}

fn access(status: StatusCode, service: Option<&str>, message: &str, channels: Option<&[String]>) -> Response {
    let failure =
        AccessFailure { message, payload: channels.map(Into::into), error: true, service, status: status.as_u16() };
    access_manager(status, serde_json::to_string(&failure).unwrap_or_default())
}

fn signature(detail: &str) -> Response {
    let details = [SignatureDetail { message: detail, location: "signature", location_type: "query" }];
    let error = SignatureError { message: "Invalid signature", source: "grant", details };
    let status = StatusCode::FORBIDDEN;
    let failure = SignatureFailure { error, service: "Access Manager", status: status.as_u16() };
    access_manager(status, serde_json::to_string(&failure).unwrap_or_default())
}

fn access_manager(status: StatusCode, text: String) -> Response {
    let mut response = response(status, "text/javascript; charset=UTF-8", text + "\n");
    let no_store = HeaderValue::from_static("no-cache, no-store, must-revalidate");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    response
}

fn with_cause(mut response: Response, cause: &'static str) -> Response {
    response.headers_mut().insert("x-pn-cause", HeaderValue::from_static(cause));
    response
}

fn unpublished(status: StatusCode, message: &str, timetoken: u64) -> Response {
    let text = serde_json::to_string(&(0, message, timetoken.to_string())).unwrap_or_default();
    let mut response = response(status, "text/javascript; charset=\"UTF-8\"", text);
    response.extensions_mut().insert(ReasonPhrase::from_static(b"INVALID"));
    response
}

fn storage(error: &StorageError, route: &Route) -> Response {
    let mut response = response(error.status, "application/xml", error.xml());
    let headers = response.headers_mut();
    headers.insert(SERVER, HeaderValue::from_static("AmazonS3"));
    if *route == Route::Form {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(range) = error.content_range() {
        headers.insert(CONTENT_RANGE, range);
    }
    response
}
