//! The storage beside the API: its rejections, and what to do about them.

use filestore_core::{Effect, Error, ErrorKind};
use filestore_http::{Response, S3Error};
use jiff::Timestamp;
use url::Url;

use crate::error::{UPLOAD_NOT_FOUND, presentable};
use crate::wire;

/// Within this time before the end of a signed address, a rejection is its end: clocks differ.
const NEARLY_OVER: i64 = 60;

/// What to do about a rejection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recovery {
    /// Ask for a fresh address, and send it again.
    RefreshUrl,
    /// Send it again.
    Retry,
    /// Nothing.
    None,
}

/// Codes of the storage that pass.
const PASSING: [&str; 7] = [
    "RequestTimeout",
    "InternalError",
    "TemporarilyUnavailable",
    "ServiceUnavailable",
    "SlowDown",
    "RequestLimitExceeded",
    "DatabaseTimeout",
];

/// What the storage's rejection of a request to `url` means.
pub(crate) async fn rejected(mut answer: Response, url: &Url, now: Timestamp) -> (Recovery, Error) {
    let status = answer.status().as_u16();
    if answer.is_rejection_by_page() {
        return (Recovery::None, answer.unexpected("XML or JSON of the storage").with_effect(Effect::Rejected));
    }
    let body = answer.error_body().await;
    let text = String::from_utf8_lossy(&body);
    let json: Option<wire::Rejected> = serde_json::from_str(&text).ok();
    let (code, said) = match &json {
        Some(rejected) => (rejected.kind.clone(), rejected.error.clone()),
        None => {
            let error = S3Error::parse(&body);
            (error.code, error.message)
        }
    };
    let code_is = |codes: &[&str]| code.as_deref().is_some_and(|code| codes.contains(&code));
    let nearly_over = filestore_http::expiry(url).is_some_and(|end| end.as_second() - now.as_second() < NEARLY_OVER);
    let expired = matches!(status, 400 | 403)
        && (text.contains("Request has expired")
            || code_is(&["ExpiredToken"])
            || text.contains("Signature not valid in the specified time frame")
            || status == 403 && nearly_over)
        || code_is(&["upload_request_expired", "download_request_expired"]);
    let (remedy, kind, sentence) = if expired {
        (Recovery::RefreshUrl, ErrorKind::Unavailable, "the address of the content has expired")
    } else if matches!(status, 400 | 403 | 429 | 500..) && code_is(&PASSING) {
        (Recovery::Retry, ErrorKind::Unavailable, "the storage cannot do it at the moment; try again later")
    } else if code_is(&["NoSuchUpload"]) {
        (Recovery::None, ErrorKind::Conflict, "the storage does not know this unfinished upload (any more)")
    } else if code_is(&["download_source_changed"]) || status == 412 {
        (Recovery::None, ErrorKind::Integrity, "the file changed meanwhile")
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
    let said = said.map(|said| format!(": {}", presentable(&said))).unwrap_or_default();
    let error = answer.error(kind, format!("{sentence} (status {status}){said}")).with_effect(Effect::Rejected);
    let error = match code {
        Some(code) if code == "NoSuchUpload" => error.with_provider_code(UPLOAD_NOT_FOUND),
        Some(code) => error.with_provider_code(presentable(&code)),
        None => error,
    };
    (remedy, error)
}
