//! The errors of responses: one table of statuses, and the responses that are not from the service.

use std::time::Duration;

use filestore_core::{Error, ErrorKind};
use filestore_http::Response;
use url::Url;

use crate::wire::Envelope;

/// The wait after a 429 without `Retry-After`: the free plan allowed one request a minute.
pub(crate) const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(60);

/// Status, kind and message. The service is known to have sent only two codes: `FILE_NOT_FOUND` with 404, and
/// `TOO_MANY_REQUESTS` with 429.
const TABLE: &[(u16, ErrorKind, &str)] = &[
    (400, ErrorKind::InvalidInput, "the service rejects the request"),
    (401, ErrorKind::Unauthenticated, "the service requires an API key, or rejects this one; check api_key"),
    (402, ErrorKind::Quota, "the plan of the account does not allow this, or its storage is full"),
    (
        403,
        ErrorKind::Permission,
        "the service rejects the request: the file belongs to another account or is already gone",
    ),
    (404, ErrorKind::NotFound, "there is no such file: it never existed, it expired, or it was downloaded already"),
    (408, ErrorKind::Timeout, "the service waited too long for the request"),
    (409, ErrorKind::Conflict, "another client changed the file at the same time; try again"),
    (411, ErrorKind::InvalidInput, "the service requires the length in advance; upload a file or bytes"),
    (413, ErrorKind::TooLarge, "the file is larger than the plan of the account allows"),
    (422, ErrorKind::InvalidInput, "the service rejects the request"),
    (429, ErrorKind::RateLimited, "too many requests"),
    (501, ErrorKind::Unsupported, "the service does not implement this request; check base_url"),
    (505, ErrorKind::Unsupported, "the service does not speak this version of HTTP; check base_url and the proxy"),
    (507, ErrorKind::Quota, "the storage of the account or of the service is full"),
    (511, ErrorKind::Protocol, "the network requires a login; open a web page in a browser to log in"),
];

/// Returns the kind and the message of `status`.
fn meaning(status: u16) -> (ErrorKind, &'static str) {
    match TABLE.iter().find(|(known, ..)| *known == status) {
        Some((_, kind, message)) => (*kind, message),
        None if status >= 500 => (ErrorKind::Unavailable, "the service is failing; try again later"),
        None => (ErrorKind::Protocol, "the response is not part of the file.io protocol; check base_url"),
    }
}

/// Returns the error of a response that is no success, or whose body reports a failure. The error repeats the service's
/// message.
pub(crate) async fn rejected(mut response: Response, base: &Url) -> Error {
    if let Some(error) = not_the_service(&response, base) {
        return error;
    }
    let body = response.error_body().await;
    let envelope = serde_json::from_slice(&body).unwrap_or_default();
    rejected_by(&response, &envelope)
}

/// Returns the same error as [`rejected`], from the envelope of the body.
pub(crate) fn rejected_by(response: &Response, envelope: &Envelope) -> Error {
    let http = response.status().as_u16();
    // A clone of the service responds with status 200 and reports the real status in the body.
    let is_success = (200..300).contains(&http);
    let status = if is_success { envelope.status().filter(|status| *status >= 400).unwrap_or(400) } else { http };
    let (kind, meaning) = meaning(status);
    let mut message = format!("{meaning} (status {status})");
    if let Some(text) = &envelope.message {
        message.push_str(": ");
        message.push_str(&response.presentable(text));
    }
    let mut error = response.error(kind, message);
    if is_success {
        error = error.with_http_status(status);
        // A failure of the service (408 or 5xx) leaves the effect as unknown as with this HTTP status.
        if matches!(status, 400..=407 | 409..=499 | 501 | 505 | 507 | 511) {
            error = error.with_effect(response.effect_if_rejected());
        }
    }
    if kind == ErrorKind::RateLimited && response.retry_after().is_none() {
        error =
            error.with_retry_after(DEFAULT_RETRY_AFTER).with_note(&format!("wait {} s", DEFAULT_RETRY_AFTER.as_secs()));
    }
    match &envelope.code {
        Some(code) => error.with_provider_code(response.presentable(code)),
        None => error,
    }
}

/// Returns the error of a response that is not from the service: a redirect to a web site, or a web page instead of
/// JSON. `None` if the response may be from the service.
pub(crate) fn not_the_service(response: &Response, base: &Url) -> Option<Error> {
    let host = base.host_str().unwrap_or_default();
    let status = response.status();
    if status.is_redirection() {
        let target = response.location();
        let to = target.as_ref().and_then(Url::host_str).unwrap_or("an unknown host");
        return Some(gone(response, &format!("{host} redirects to {to}")));
    }
    let is_page = response.content_type().is_some_and(|essence| essence == "text/html");
    // A failing server may send a page, too, but it is not gone.
    if is_page && status.is_success() || response.is_rejection_by_page() || matches!(status.as_u16(), 405 | 410) {
        let what = if is_page { "a web page" } else { "no file.io response" };
        return Some(gone(response, &format!("{host} sent {what} (status {})", status.as_u16())));
    }
    None
}

fn gone(response: &Response, what: &str) -> Error {
    response.error(
        ErrorKind::Protocol,
        format!(
            "{what}: the service is gone or is not file.io; the public service at file.io no longer serves its API, so \
             set base_url to a server that does"
        ),
    )
}

/// Returns the error of a response that is not JSON.
pub(crate) fn not_json(response: &Response, base: &Url) -> Error {
    let host = base.host_str().unwrap_or_default();
    let what = match response.content_type() {
        Some(essence) => format!("{host} sent {} instead of JSON", response.presentable(&essence)),
        None => format!("{host} sent a response without a content type instead of JSON"),
    };
    gone(response, &what)
}

/// Returns the error of a redirect to a web page about the file.
pub(crate) fn landing_page(response: &Response, host: &str) -> Error {
    response.error(
        ErrorKind::Unsupported,
        format!(
            "the service offers only a web page for this file, at {}, and no direct download; the plan of the \
             uploader may not include it",
            response.presentable(host)
        ),
    )
}

/// Returns the error of a success other than 200: it has a part of the file, or nothing of it.
pub(crate) fn not_the_whole_file(response: &Response) -> Error {
    let status = response.status().as_u16();
    response.error(ErrorKind::Protocol, format!("the service sent status {status} instead of 200 for the whole file"))
}
