//! Everything that Files.com refuses, as one table.

use std::borrow::Cow;
use std::io;

use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::wire::Failure;
use crate::http::{Response, json as json_response};

/// Why a request was refused. The text is the service's where it was seen.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
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
    #[error("Internal server error, please contact support or the person who created your account.")]
    Internal(#[source] io::Error),
}

impl Refusal {
    pub(super) fn invalid(parameter: impl Into<Cow<'static, str>>) -> Self {
        Refusal::Invalid(parameter.into())
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Refusal::Invalid(_) | Refusal::Missing(_) => "bad-request",
            Refusal::Required(_) => "bad-request/request-params-required",
            Refusal::InvalidParams(_) => "bad-request/request-params-invalid",
            Refusal::InvalidBody => "bad-request/invalid-body",
            Refusal::BodyTooLarge => "bad-request/request-body-too-large",
            Refusal::UnsupportedMediaType => "bad-request/unsupported-media-type",
            Refusal::InvalidEncoding => "bad-request/invalid-input-encoding",
            Refusal::InvalidPath(_) => "bad-request/invalid-path",
            Refusal::TrailingWhitespace => "bad-request/path-cannot-have-trailing-whitespace",
            Refusal::InvalidCursor => "bad-request/invalid-cursor",
            Refusal::InvalidSortField => "bad-request/invalid-sort-field",
            Refusal::SearchAllOnChildPath => "bad-request/search-all-on-child-path",
            Refusal::InvalidWorkspace => "bad-request/invalid-workspace-id-header",
            Refusal::PartNumber => "bad-request/part-number-too-large",
            Refusal::InvalidEtags => "bad-request/invalid-etags",
            Refusal::PartSize => "bad-request/invalid-upload-part-size",
            Refusal::PartGap => "bad-request/invalid-upload-part-gap",
            Refusal::DateTime(_) => "bad-request/datetime-parse",
            Refusal::ParentIsFile => "bad-request/folder-must-not-be-a-file",
            Refusal::CannotDownloadDirectory => "bad-request/cannot-download-directory",
            Refusal::DestinationSame => "bad-request/destination-same",
            Refusal::MethodNotAllowed => "bad-request/method-not-allowed",
            Refusal::InvalidCredentials => "not-authenticated/invalid-credentials",
            Refusal::AuthenticationRequired => "not-authenticated/authentication-required",
            Refusal::WrongLogin => "not-authenticated/invalid-username-or-password",
            Refusal::WrongOtp => "not-authenticated/one-time-password-incorrect",
            Refusal::TwoFactorError => "not-authenticated/two-factor-authentication-error",
            Refusal::LockedOut => "not-authenticated/locked-out",
            Refusal::KeySession => "not-authenticated/api-key-sessions-not-supported",
            Refusal::TwoFactorRequired { .. } => "not-authorized/two-factor-authentication-required",
            Refusal::LoginWithKey => "not-authorized/cannot-login-while-using-key",
            Refusal::PathRestricted => "not-authorized/api-key-is-path-restricted",
            Refusal::ReadPermission => "not-authorized/read-permission-required",
            Refusal::WritePermission => "not-authorized/write-permission-required",
            Refusal::FullPermission => "not-authorized/full-permission-required",
            Refusal::BundlePermission => "not-authorized/not-allowed-to-create-bundle",
            Refusal::NotFound => "not-found",
            Refusal::UploadNotFound(_) => "not-found/file-upload-not-found",
            Refusal::BundlePathNotFound => "not-found/bundle-path-not-found",
            Refusal::DestinationExists => "processing-failure/destination-exists",
            Refusal::DestinationParentMissing => "processing-failure/destination-parent-does-not-exist",
            Refusal::DestinationConflict => "processing-failure/destination-parent-conflict",
            Refusal::FileNotUploaded => "processing-failure/file-not-uploaded",
            Refusal::FolderNotEmpty => "processing-failure/folder-not-empty",
            Refusal::FilenameTooLong => "processing-failure/filename-too-long",
            Refusal::PathTooLong => "processing-failure/path-too-long",
            Refusal::ModelSave { .. } => "processing-failure/model-save-error",
            Refusal::Internal(_) => "",
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Refusal::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::DestinationParentMissing => StatusCode::CONFLICT,
            Refusal::Internal(error) if matches!(error.kind(), io::ErrorKind::StorageFull) => {
                StatusCode::INSUFFICIENT_STORAGE
            }
            other => status_of_group(other.kind()),
        }
    }

    pub(super) fn answer(&self, request_id: &str) -> Response {
        if let Refusal::Internal(error) = self {
            tracing::error!(%error, "the emulator failed");
        }
        let mut failure = Failure::new(self.to_string(), self.status(), self.kind(), request_id);
        match self {
            Refusal::TwoFactorRequired { partial_session_id } => {
                failure.data = Some(json!({
                    "partial_session_id": partial_session_id,
                    "two_factor_authentication_methods": ["totp"],
                    "u2f_sign_requests": [],
                }));
            }
            Refusal::ModelSave { field, text } => {
                failure.model_errors = Some(json!({ *field: [text] }));
                failure.errors = Some(json!([text]));
            }
            _ => {}
        }
        rendered(self.status(), &failure)
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Refusal::Internal(error)
    }
}

/// The service's error of a status, as fault rules ask for it, of a type that they may choose.
pub(super) fn failure_of(status: StatusCode, kind: Option<&str>, request_id: &str) -> Response {
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
        "" => Refusal::Internal(io::ErrorKind::Other.into()).to_string(),
        "not-found" => Refusal::NotFound.to_string(),
        "processing-failure/file-not-uploaded" => Refusal::FileNotUploaded.to_string(),
        kind => title(kind),
    };
    rendered(status, &Failure::new(text, status, kind, request_id))
}

fn rendered(status: StatusCode, failure: &Failure) -> Response {
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
            // The catch-all error has its status as text, and neither type nor title.
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

fn status_of_group(kind: &str) -> StatusCode {
    match kind.split('/').next().unwrap_or_default() {
        "bad-request" | "processing-failure" => StatusCode::UNPROCESSABLE_ENTITY,
        "not-authenticated" => StatusCode::UNAUTHORIZED,
        "not-authorized" => StatusCode::FORBIDDEN,
        "not-found" => StatusCode::NOT_FOUND,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The last word of a type: `not-found/file-upload-not-found` is `File Upload Not Found`.
fn title(kind: &str) -> String {
    let last = kind.rsplit('/').next().unwrap_or_default();
    let capitalised = last.split('-').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_ascii_uppercase() + rest
    });
    capitalised.collect::<Vec<_>>().join(" ")
}
