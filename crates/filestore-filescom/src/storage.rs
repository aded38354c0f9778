//! The rejections of the storage, which holds the content of files beside the API, and the recovery from each.

use filestore_core::{Effect, Error, ErrorKind};
use filestore_http::{Response, S3Error};
use jiff::Timestamp;
use url::Url;

use crate::error::UPLOAD_NOT_FOUND;
use crate::wire;

/// A rejection less than this time before the expiry of a presigned URL counts as its expiry, since clocks differ.
const EXPIRY_MARGIN_SECONDS: i64 = 60;

/// The recovery from a rejection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recovery {
    /// A retry with a fresh presigned URL.
    RefreshUrl,
    /// A retry with the same presigned URL.
    Retry,
    /// No retry.
    None,
}

/// Codes of the storage for a temporary state.
const TRANSIENT_CODES: [&str; 7] = [
    "RequestTimeout",
    "InternalError",
    "TemporarilyUnavailable",
    "ServiceUnavailable",
    "SlowDown",
    "RequestLimitExceeded",
    "DatabaseTimeout",
];

/// Returns the recovery from the storage's rejection of a request to `url`, and its error.
pub(crate) async fn rejected(mut response: Response, url: &Url, now: Timestamp) -> (Recovery, Error) {
    let status = response.status().as_u16();
    if response.is_rejection_by_page() {
        return (Recovery::None, response.unexpected("XML or JSON of the storage").with_effect(Effect::Rejected));
    }
    let body = response.error_body().await;
    let text = String::from_utf8_lossy(&body);
    let json: Option<wire::ErrorBody> = serde_json::from_str(&text).ok();
    let (code, reason) = match &json {
        Some(rejected) => (rejected.kind.clone(), rejected.error.clone()),
        None => {
            let error = S3Error::parse(&body);
            (error.code, error.message)
        }
    };
    let code_is = |codes: &[&str]| code.as_deref().is_some_and(|code| codes.contains(&code));
    let expires_soon =
        filestore_http::expiry(url).is_some_and(|end| end.as_second() - now.as_second() < EXPIRY_MARGIN_SECONDS);
    let expired = matches!(status, 400 | 403)
        && (text.contains("Request has expired")
            || code_is(&["ExpiredToken"])
            || text.contains("Signature not valid in the specified time frame")
            || status == 403 && expires_soon)
        || code_is(&["upload_request_expired", "download_request_expired"]);
    let (recovery, kind, sentence) = if expired {
        (Recovery::RefreshUrl, ErrorKind::Unavailable, "the presigned URL of the content has expired")
    } else if matches!(status, 400 | 403 | 429 | 500..) && code_is(&TRANSIENT_CODES) {
        (Recovery::Retry, ErrorKind::Unavailable, "the storage is temporarily unavailable; retry later")
    } else if code_is(&["NoSuchUpload"]) {
        (
            Recovery::None,
            ErrorKind::Conflict,
            "the storage does not know this unfinished upload: it expired or was finished; upload the file again",
        )
    } else if code_is(&["download_source_changed"]) || status == 412 {
        (Recovery::None, ErrorKind::Integrity, "the file changed while it was read; read it again")
    } else {
        let kind = match status {
            401 | 403 => ErrorKind::Permission,
            404 => ErrorKind::NotFound,
            408 => ErrorKind::Timeout,
            413 => ErrorKind::TooLarge,
            429 => ErrorKind::RateLimited,
            501 => ErrorKind::Unsupported,
            505 => ErrorKind::Config,
            507 => ErrorKind::Quota,
            511 => ErrorKind::Permission,
            500.. => ErrorKind::Unavailable,
            _ if code_is(&["EntityTooLarge"]) => ErrorKind::TooLarge,
            _ => ErrorKind::Protocol,
        };
        (Recovery::None, kind, "the storage rejects the request")
    };
    let reason = reason.map(|reason| format!(": {}", response.presentable(&reason))).unwrap_or_default();
    let error = response.error(kind, format!("{sentence} (status {status}){reason}")).with_effect(Effect::Rejected);
    let error = match code {
        Some(code) if code == "NoSuchUpload" => error.with_provider_code(UPLOAD_NOT_FOUND),
        Some(code) => error.with_provider_code(response.presentable(&code)),
        None => error,
    };
    (recovery, error)
}
