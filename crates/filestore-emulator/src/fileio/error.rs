//! The errors of file.io and their responses.

use std::borrow::Cow;
use std::io;

use http::header::ALLOW;
use http::{HeaderValue, StatusCode};

use super::Generation;
use super::wire::{Failure, FirstFailure};
use crate::durable::is_out_of_space;
use crate::http::{self as wire, Response};
use crate::multipart::MultipartError;

/// The reason for rejecting a request. The text is the message in the response.
#[derive(Debug, thiserror::Error)]
pub(super) enum Rejection {
    #[error("{0}")]
    BadRequest(Cow<'static, str>),
    #[error("A valid API key is required")]
    Unauthorized,
    #[error("{0}")]
    PaymentRequired(Cow<'static, str>),
    #[error("The file does not belong to this account")]
    Forbidden,
    /// The file never existed, has expired or is used up. Clients cannot tell which.
    #[error("The requested file was not found")]
    NotFound,
    #[error("The method is not allowed here")]
    MethodNotAllowed { allow: &'static str },
    #[error("The file is larger than {0} bytes")]
    TooLarge(u64),
    /// The disk of the machine is full; not a limit of the account's plan.
    #[error("There is no space left to store this")]
    NoSpace(#[source] io::Error),
    #[error("Internal error")]
    Internal(#[source] io::Error),
}

impl Rejection {
    pub(super) fn bad(message: impl Into<Cow<'static, str>>) -> Self {
        Rejection::BadRequest(message.into())
    }

    fn status(&self) -> StatusCode {
        match self {
            Rejection::BadRequest(_) => StatusCode::BAD_REQUEST,
            Rejection::Unauthorized => StatusCode::UNAUTHORIZED,
            Rejection::PaymentRequired(_) => StatusCode::PAYMENT_REQUIRED,
            Rejection::Forbidden => StatusCode::FORBIDDEN,
            Rejection::NotFound => StatusCode::NOT_FOUND,
            Rejection::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Rejection::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Rejection::NoSpace(_) => StatusCode::INSUFFICIENT_STORAGE,
            Rejection::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Returns the response for this error.
    pub(super) fn response(&self, base: &str, key: Option<&str>, generation: Generation) -> Response {
        match self {
            Rejection::NoSpace(error) => tracing::warn!(%error, "no space left to store a file"),
            Rejection::Internal(error) => tracing::error!(%error, "the emulator failed"),
            _ => {}
        }
        let mut response = failure(self.status(), &self.to_string(), base, key, generation);
        if let Rejection::MethodNotAllowed { allow } = self {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
        }
        response
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

impl From<MultipartError> for Rejection {
    fn from(error: MultipartError) -> Self {
        // A client that ended the upload early gets no response; one that sent a malformed form does.
        Rejection::bad(error.to_string())
    }
}

/// Returns the service's error response for a status, as fault rules need it.
pub(super) fn failure_of(status: StatusCode, base: &str, key: Option<&str>, generation: Generation) -> Response {
    let message = match status {
        StatusCode::TOO_MANY_REQUESTS => "Too many requests",
        other => other.canonical_reason().unwrap_or("Error"),
    };
    failure(status, message, base, key, generation)
}

fn failure(status: StatusCode, message: &str, base: &str, key: Option<&str>, generation: Generation) -> Response {
    match generation {
        Generation::First => wire::json(
            status,
            &FirstFailure {
                success: false,
                error: status.as_u16(),
                message: status.canonical_reason().unwrap_or(message),
            },
        ),
        Generation::Second => {
            let code = code_of(status);
            wire::json(
                status,
                &Failure {
                    success: false,
                    status: status.as_u16(),
                    help: format!("{base}/help/api/errors/{code}"),
                    code,
                    message,
                    key,
                },
            )
        }
    }
}

/// Returns the error code for a status. `FILE_NOT_FOUND` and `TOO_MANY_REQUESTS` are the service's; the others were
/// never recorded and follow the same pattern.
fn code_of(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "BAD_REQUEST",
        401 => "UNAUTHORIZED",
        402 => "PAYMENT_REQUIRED",
        403 => "FORBIDDEN",
        404 => "FILE_NOT_FOUND",
        405 => "METHOD_NOT_ALLOWED",
        413 => "PAYLOAD_TOO_LARGE",
        429 => "TOO_MANY_REQUESTS",
        503 => "SERVICE_UNAVAILABLE",
        507 => "INSUFFICIENT_STORAGE",
        _ => "INTERNAL_ERROR",
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tokio::io::AsyncWriteExt;

    use super::*;

    async fn response_to(error: io::Error) -> (StatusCode, serde_json::Value) {
        let response = Rejection::from(error).response("http://x", Some("KEY"), Generation::Second);
        let status = response.status();
        let content = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&content).unwrap())
    }

    #[tokio::test]
    async fn a_full_disk_is_insufficient_storage_and_other_failures_are_internal() {
        for (kind, status, code) in [
            (io::ErrorKind::StorageFull, 507, "INSUFFICIENT_STORAGE"),
            (io::ErrorKind::QuotaExceeded, 507, "INSUFFICIENT_STORAGE"),
            (io::ErrorKind::FileTooLarge, 507, "INSUFFICIENT_STORAGE"),
            (io::ErrorKind::PermissionDenied, 500, "INTERNAL_ERROR"),
        ] {
            let (got, body) = response_to(kind.into()).await;
            assert_eq!((got.as_u16(), body["code"].as_str()), (status, Some(code)), "{kind}");
            assert_eq!(body["status"], status);
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_disk_that_is_full_while_a_body_is_written_is_recognized() {
        let mut full = tokio::fs::File::options().write(true).open("/dev/full").await.unwrap();
        full.write_all(&[0; 1000]).await.unwrap();
        let (status, _) = response_to(full.flush().await.unwrap_err()).await;
        assert_eq!(status, StatusCode::INSUFFICIENT_STORAGE);
    }
}
