//! Everything that file.io refuses, as one table.

use std::borrow::Cow;
use std::io;

use http::header::ALLOW;
use http::{HeaderValue, StatusCode};

use super::Generation;
use super::wire::{Failure, FirstFailure};
use crate::http::{self as wire, Response};
use crate::multipart::MultipartError;

/// Why a request was refused. The text is for the person who reads the answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("{0}")]
    BadRequest(Cow<'static, str>),
    #[error("A valid API key is required")]
    Unauthorized,
    #[error("{0}")]
    PaymentRequired(Cow<'static, str>),
    #[error("The file belongs to somebody else")]
    Forbidden,
    /// Never there, expired or consumed: nobody can tell which.
    #[error("The requested file was not found")]
    NotFound,
    #[error("The method is not allowed here")]
    MethodNotAllowed { allow: &'static str },
    #[error("The file is larger than {0} bytes")]
    TooLarge(u64),
    #[error("Internal error")]
    Internal(#[from] io::Error),
}

impl Refusal {
    pub(super) fn bad(message: impl Into<Cow<'static, str>>) -> Self {
        Refusal::BadRequest(message.into())
    }

    fn status(&self) -> StatusCode {
        match self {
            Refusal::BadRequest(_) => StatusCode::BAD_REQUEST,
            Refusal::Unauthorized => StatusCode::UNAUTHORIZED,
            Refusal::PaymentRequired(_) => StatusCode::PAYMENT_REQUIRED,
            Refusal::Forbidden => StatusCode::FORBIDDEN,
            Refusal::NotFound => StatusCode::NOT_FOUND,
            Refusal::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    pub(super) fn answer(&self, base: &str, key: Option<&str>, generation: Generation) -> Response {
        if let Refusal::Internal(error) = self {
            tracing::error!(%error, "the emulator failed");
        }
        let mut response = failure(self.status(), &self.to_string(), base, key, generation);
        if let Refusal::MethodNotAllowed { allow } = self {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}

impl From<MultipartError> for Refusal {
    fn from(error: MultipartError) -> Self {
        // An upload that was broken off cannot hear any answer; a malformed one can.
        Refusal::bad(error.to_string())
    }
}

/// The service's error of a status, as fault rules ask for it.
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

/// `FILE_NOT_FOUND` and `TOO_MANY_REQUESTS` are the service's names; the others were never
/// recorded and follow their pattern.
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
        _ => "INTERNAL_ERROR",
    }
}
