//! The errors of the storage, in the XML of S3.

use std::io;

use http::{HeaderValue, StatusCode};

use crate::durable::is_out_of_space;
use crate::http::{Response, escape_html, response};

/// The reason why the storage rejects a request. The messages are those of S3.
#[derive(Debug, thiserror::Error)]
pub(super) enum StorageRejection {
    #[error("Access Denied")]
    AccessDenied,
    #[error("Request has expired")]
    Expired,
    #[error("The request signature we calculated does not match the signature you provided.")]
    Signature,
    #[error(
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."
    )]
    NoSuchUpload,
    #[error("The specified key does not exist.")]
    NoSuchKey,
    #[error("You must provide the Content-Length HTTP header.")]
    MissingLength,
    #[error("Your proposed upload exceeds the maximum allowed size")]
    TooLarge,
    #[error("You did not provide the number of bytes specified by the Content-Length HTTP header")]
    IncompleteBody,
    #[error("The requested range is not satisfiable")]
    Range { size: u64 },
    #[error("At least one of the preconditions you specified did not hold.")]
    Precondition,
    #[error("We encountered an internal error. Please try again.")]
    Internal(#[source] io::Error),
}

impl StorageRejection {
    fn code(&self) -> (u16, &'static str) {
        match self {
            StorageRejection::AccessDenied | StorageRejection::Expired => (403, "AccessDenied"),
            StorageRejection::Signature => (403, "SignatureDoesNotMatch"),
            StorageRejection::NoSuchUpload => (404, "NoSuchUpload"),
            StorageRejection::NoSuchKey => (404, "NoSuchKey"),
            StorageRejection::MissingLength => (411, "MissingContentLength"),
            StorageRejection::TooLarge => (400, "EntityTooLarge"),
            StorageRejection::IncompleteBody => (400, "IncompleteBody"),
            StorageRejection::Precondition => (412, "PreconditionFailed"),
            StorageRejection::Range { .. } => (416, "InvalidRange"),
            StorageRejection::Internal(error) if is_out_of_space(error.kind()) => (507, "InternalError"),
            StorageRejection::Internal(_) => (500, "InternalError"),
        }
    }

    pub(super) fn to_response(&self, request_id: &str) -> Response {
        if let StorageRejection::Internal(error) = self {
            tracing::error!(%error, "the emulator's storage failed");
        }
        let (status, code) = self.code();
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = xml(status, code, &self.to_string(), request_id);
        if let StorageRejection::Range { size } = self
            && let Ok(range) = HeaderValue::try_from(format!("bytes */{size}"))
        {
            response.headers_mut().insert(http::header::CONTENT_RANGE, range);
        }
        response
    }
}

impl From<io::Error> for StorageRejection {
    fn from(error: io::Error) -> Self {
        StorageRejection::Internal(error)
    }
}

/// Returns the storage's error response for the status, and optionally the code, that a fault rule sets.
pub(super) fn status_response(status: StatusCode, code: Option<&str>, request_id: &str) -> Response {
    let code = code.unwrap_or(match status.as_u16() {
        400 => "InvalidRequest",
        403 => "AccessDenied",
        404 => "NoSuchKey",
        412 => "PreconditionFailed",
        429 => "TooManyRequests",
        503 => "SlowDown",
        _ => "InternalError",
    });
    let message = if code == "SlowDown" { "Please reduce your request rate." } else { code };
    xml(status, code, message, request_id)
}

fn xml(status: StatusCode, code: &str, message: &str, request_id: &str) -> Response {
    let (code, message) = (escape_html(code), escape_html(message));
    let content = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>\
         <RequestId>{request_id}</RequestId><HostId>emulator</HostId></Error>"
    );
    response(status, "application/xml", content)
}
