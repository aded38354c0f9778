//! The errors of Files.com: message, type and status of each.

use std::borrow::Cow;
use std::io;

use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::wire::Failure;
use crate::durable::is_out_of_space;
use crate::http::{Response, json as json_response};

/// The reason why a request is rejected. The messages are the service's as far as they are recorded.
#[derive(Debug, thiserror::Error)]
pub(super) enum Rejection {
    #[error("{0} is invalid")]
    Invalid(Cow<'static, str>),
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("Required request parameter missing: {0}")]
    Required(&'static str),
    #[error("Invalid request parameters: {0}")]
    InvalidParams(String),
    #[error("Invalid body")]
    InvalidBody,
    #[error("Request body too large")]
    BodyTooLarge,
    #[error("Unsupported media type")]
    UnsupportedMediaType,
    #[error("Invalid input encoding")]
    InvalidEncoding,
    #[error("Invalid path: {0}")]
    InvalidPath(&'static str),
    #[error("Path cannot have trailing whitespace")]
    TrailingWhitespace,
    #[error("Invalid cursor")]
    InvalidCursor,
    #[error("Invalid sort field")]
    InvalidSortField,
    #[error("search_all cannot be used on a child path")]
    SearchAllOnChildPath,
    #[error("Invalid workspace ID header")]
    InvalidWorkspace,
    #[error("Part number too large")]
    PartNumber,
    #[error("Invalid etags")]
    InvalidEtags,
    #[error("Invalid upload part size")]
    PartSize,
    #[error("Invalid upload part gap")]
    PartGap,
    #[error("{0} must contain valid date and time")]
    DateTime(&'static str),
    #[error("Folder must not be a file")]
    ParentIsFile,
    #[error("Cannot download directory")]
    CannotDownloadDirectory,
    #[error("Destination is the same as the source")]
    DestinationSame,

    #[error("The API key or Session token provided could not be used to validate this request.")]
    InvalidCredentials,
    #[error("Authentication required")]
    AuthenticationRequired,
    #[error("Invalid username or password")]
    WrongLogin,
    #[error("One time password incorrect")]
    WrongOtp,
    #[error("Two factor authentication error")]
    TwoFactorError,
    #[error("This account is locked out after too many wrong logins")]
    LockedOut,
    #[error("API key sessions are not supported")]
    KeySession,

    #[error("Two factor authentication required")]
    TwoFactorRequired { partial_session_id: String },
    #[error("Cannot login while using key")]
    LoginWithKey,
    #[error("API key is path restricted")]
    PathRestricted,
    #[error("Read permission required")]
    ReadPermission,
    #[error("Write permission required")]
    WritePermission,
    #[error("Full permission required")]
    FullPermission,
    #[error("Not allowed to create bundle")]
    BundlePermission,

    #[error("Not Found.  This may be related to your permissions.")]
    NotFound,
    #[error("File Upload for id {0} not found.")]
    UploadNotFound(String),
    #[error("Bundle path not found")]
    BundlePathNotFound,

    #[error("The destination exists.")]
    DestinationExists,
    #[error("The destination parent does not exist.")]
    DestinationParentMissing,
    #[error("The destination is inside the source, or the source inside the destination.")]
    DestinationConflict,
    #[error("File not uploaded")]
    FileNotUploaded,
    #[error("The folder is not empty.")]
    FolderNotEmpty,
    #[error("Filename too long")]
    FilenameTooLong,
    #[error("Path too long")]
    PathTooLong,
    #[error("{text}")]
    ModelSave { field: &'static str, text: &'static str },

    #[error("Method not allowed")]
    MethodNotAllowed,
    /// The service may have the endpoint, so that *not found* would mislead.
    #[error("The emulator does not have this endpoint.")]
    NotEmulated,
    #[error("Internal server error, please contact support or the person who created your account.")]
    Internal(#[source] io::Error),
}

impl Rejection {
    pub(super) fn invalid(parameter: impl Into<Cow<'static, str>>) -> Self {
        Rejection::Invalid(parameter.into())
    }

    /// Returns the `type` of the error.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Rejection::Invalid(_) | Rejection::Missing(_) => "bad-request",
            Rejection::Required(_) => "bad-request/request-params-required",
            Rejection::InvalidParams(_) => "bad-request/request-params-invalid",
            Rejection::InvalidBody => "bad-request/invalid-body",
            Rejection::BodyTooLarge => "bad-request/request-body-too-large",
            Rejection::UnsupportedMediaType => "bad-request/unsupported-media-type",
            Rejection::InvalidEncoding => "bad-request/invalid-input-encoding",
            Rejection::InvalidPath(_) => "bad-request/invalid-path",
            Rejection::TrailingWhitespace => "bad-request/path-cannot-have-trailing-whitespace",
            Rejection::InvalidCursor => "bad-request/invalid-cursor",
            Rejection::InvalidSortField => "bad-request/invalid-sort-field",
            Rejection::SearchAllOnChildPath => "bad-request/search-all-on-child-path",
            Rejection::InvalidWorkspace => "bad-request/invalid-workspace-id-header",
            Rejection::PartNumber => "bad-request/part-number-too-large",
            Rejection::InvalidEtags => "bad-request/invalid-etags",
            Rejection::PartSize => "bad-request/invalid-upload-part-size",
            Rejection::PartGap => "bad-request/invalid-upload-part-gap",
            Rejection::DateTime(_) => "bad-request/datetime-parse",
            Rejection::ParentIsFile => "bad-request/folder-must-not-be-a-file",
            Rejection::CannotDownloadDirectory => "bad-request/cannot-download-directory",
            Rejection::DestinationSame => "bad-request/destination-same",
            Rejection::MethodNotAllowed => "bad-request/method-not-allowed",
            Rejection::InvalidCredentials => "not-authenticated/invalid-credentials",
            Rejection::AuthenticationRequired => "not-authenticated/authentication-required",
            Rejection::WrongLogin => "not-authenticated/invalid-username-or-password",
            Rejection::WrongOtp => "not-authenticated/one-time-password-incorrect",
            Rejection::TwoFactorError => "not-authenticated/two-factor-authentication-error",
            Rejection::LockedOut => "not-authenticated/locked-out",
            Rejection::KeySession => "not-authenticated/api-key-sessions-not-supported",
            Rejection::TwoFactorRequired { .. } => "not-authorized/two-factor-authentication-required",
            Rejection::LoginWithKey => "not-authorized/cannot-login-while-using-key",
            Rejection::PathRestricted => "not-authorized/api-key-is-path-restricted",
            Rejection::ReadPermission => "not-authorized/read-permission-required",
            Rejection::WritePermission => "not-authorized/write-permission-required",
            Rejection::FullPermission => "not-authorized/full-permission-required",
            Rejection::BundlePermission => "not-authorized/not-allowed-to-create-bundle",
            Rejection::NotFound => "not-found",
            Rejection::UploadNotFound(_) => "not-found/file-upload-not-found",
            Rejection::BundlePathNotFound => "not-found/bundle-path-not-found",
            Rejection::DestinationExists => "processing-failure/destination-exists",
            Rejection::DestinationParentMissing => "processing-failure/destination-parent-does-not-exist",
            Rejection::DestinationConflict => "processing-failure/destination-parent-conflict",
            Rejection::FileNotUploaded => "processing-failure/file-not-uploaded",
            Rejection::FolderNotEmpty => "processing-failure/folder-not-empty",
            Rejection::FilenameTooLong => "processing-failure/filename-too-long",
            Rejection::PathTooLong => "processing-failure/path-too-long",
            Rejection::ModelSave { .. } => "processing-failure/model-save-error",
            Rejection::NotEmulated | Rejection::Internal(_) => "",
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Rejection::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Rejection::NotEmulated => StatusCode::NOT_IMPLEMENTED,
            Rejection::DestinationParentMissing => StatusCode::CONFLICT,
            Rejection::Internal(error) if is_out_of_space(error.kind()) => StatusCode::INSUFFICIENT_STORAGE,
            other => status_of_kind(other.kind()),
        }
    }

    pub(super) fn to_response(&self, request_id: &str) -> Response {
        if let Rejection::Internal(error) = self {
            tracing::error!(%error, "the emulator failed");
        }
        let mut failure = Failure::new(self.to_string(), self.status(), self.kind(), request_id);
        match self {
            Rejection::TwoFactorRequired { partial_session_id } => {
                failure.data = Some(json!({
                    "partial_session_id": partial_session_id,
                    "two_factor_authentication_methods": ["totp"],
                    "u2f_sign_requests": [],
                }));
            }
            Rejection::ModelSave { field, text } => {
                failure.model_errors = Some(json!({ *field: [text] }));
                failure.errors = Some(json!([text]));
            }
            _ => {}
        }
        failure_response(self.status(), &failure)
    }
}

impl From<io::Error> for Rejection {
    fn from(error: io::Error) -> Self {
        Rejection::Internal(error)
    }
}

/// Returns the service's error response for the status, and optionally the type, that a fault rule sets.
pub(super) fn status_response(status: StatusCode, kind: Option<&str>, request_id: &str) -> Response {
    let kind = kind.unwrap_or(match status.as_u16() {
        400 | 422 => "bad-request",
        401 => "not-authenticated/invalid-credentials",
        403 => "not-authorized",
        404 => "not-found",
        405 => "bad-request/method-not-allowed",
        409 => "processing-failure/destination-parent-does-not-exist",
        423 => "processing-failure/resource-locked",
        429 => "rate-limited/too-many-requests",
        503 => "service-unavailable",
        _ => "",
    });
    let text = match kind {
        "" => Rejection::Internal(io::ErrorKind::Other.into()).to_string(),
        "not-found" => Rejection::NotFound.to_string(),
        "processing-failure/file-not-uploaded" => Rejection::FileNotUploaded.to_string(),
        kind => title(kind),
    };
    failure_response(status, &Failure::new(text, status, kind, request_id))
}

fn failure_response(status: StatusCode, failure: &Failure) -> Response {
    let mut response = json_response(status, failure);
    if let Some(kind) = failure.kind.as_deref().and_then(|kind| HeaderValue::from_str(kind).ok()) {
        response.headers_mut().insert("x-files-error-class", kind);
    }
    response
}

impl Failure {
    fn new(error: String, status: StatusCode, kind: &str, request_id: &str) -> Self {
        let known = !kind.is_empty();
        Failure {
            error,
            // The error without a type has its status as a string, and neither type nor title.
            http_code: if known { Value::from(status.as_u16()) } else { Value::from(status.as_str()) },
            instance: known.then(|| request_id.to_owned()),
            title: known.then(|| title(kind)),
            kind: known.then(|| kind.to_owned()),
            data: None,
            errors: None,
            model_errors: None,
        }
    }
}

/// Returns the status of an error type, which its first component determines.
fn status_of_kind(kind: &str) -> StatusCode {
    match kind.split('/').next().unwrap_or_default() {
        "bad-request" | "processing-failure" => StatusCode::UNPROCESSABLE_ENTITY,
        "not-authenticated" => StatusCode::UNAUTHORIZED,
        "not-authorized" => StatusCode::FORBIDDEN,
        "not-found" => StatusCode::NOT_FOUND,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Returns the title of an error type: `File Upload Not Found` for `not-found/file-upload-not-found`.
fn title(kind: &str) -> String {
    let last = kind.rsplit('/').next().unwrap_or_default();
    let capitalized = last.split('-').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_ascii_uppercase() + rest
    });
    capitalized.collect::<Vec<_>>().join(" ")
}
