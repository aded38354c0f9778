//! What the service's rejections mean: one table, and the answers that are not the service's at all.

use std::time::Duration;

use filestore_core::{Error, ErrorKind};
use filestore_http::{Response, presentable};
use url::Url;

use crate::wire::Envelope;

/// Unless the service says otherwise: the free plan allowed one request a minute.
pub(crate) const PAUSE: Duration = Duration::from_secs(60);

/// Status, kind, and what to do. Only `FILE_NOT_FOUND` and `TOO_MANY_REQUESTS` are codes that the
/// service is known to have sent; they come with the status of their line.
const TABLE: &[(u16, ErrorKind, &str)] = &[
    (400, ErrorKind::InvalidInput, "the service rejects the request"),
    (401, ErrorKind::Unauthenticated, "the service wants an API key, or does not know this one; check api_key"),
    (402, ErrorKind::Quota, "the plan of the account does not allow this, or its storage is full"),
    (403, ErrorKind::Permission, "the service rejects: the file belongs to another account or is gone already"),
    (404, ErrorKind::NotFound, "there is no such file: it never was there, it expired, or it was downloaded already"),
    (408, ErrorKind::Timeout, "the service waited too long for the request"),
    (409, ErrorKind::Conflict, "somebody else changed the file at the same time"),
    (411, ErrorKind::InvalidInput, "the service wants to know the length beforehand; upload a file or bytes"),
    (413, ErrorKind::TooLarge, "the file is larger than the plan of the account allows"),
    (422, ErrorKind::InvalidInput, "the service rejects the request"),
    (429, ErrorKind::RateLimited, "too many requests"),
    (501, ErrorKind::Unsupported, "the service does not know this request; check base_url"),
    (505, ErrorKind::Unsupported, "the service does not speak this version of HTTP; check base_url and the proxy"),
    (507, ErrorKind::Quota, "the storage of the account or of the service is full"),
    (511, ErrorKind::Protocol, "the network wants a login before it lets requests through"),
];

/// The kind and the sentence of a status.
fn meaning(status: u16) -> (ErrorKind, &'static str) {
    match TABLE.iter().find(|(known, ..)| *known == status) {
        Some((_, kind, sentence)) => (*kind, sentence),
        None if status >= 500 => (ErrorKind::Unavailable, "the service is failing; try again later"),
        None => (ErrorKind::Protocol, "the service answers what its protocol does not have"),
    }
}

/// The error of an answer that is no success, or whose body says that it is none. What the service
/// says is repeated without the `secrets` that it may have echoed.
pub(crate) async fn rejected(mut answer: Response, base: &Url, secrets: &[&str]) -> Error {
    if let Some(elsewhere) = not_the_service(&answer, base) {
        return elsewhere;
    }
    let body = answer.error_body().await;
    let envelope = serde_json::from_slice(&body).unwrap_or_default();
    rejected_by(&answer, &envelope, secrets)
}

/// The same, with the body read already.
pub(crate) fn rejected_by(answer: &Response, envelope: &Envelope, secrets: &[&str]) -> Error {
    let http = answer.status().as_u16();
    // A clone of the service says 200 in the head and the truth in the body.
    let says_success = (200..300).contains(&http);
    let status = if says_success { envelope.status().filter(|said| *said >= 400).unwrap_or(400) } else { http };
    let (kind, sentence) = meaning(status);
    let mut message = format!("{sentence} (status {status})");
    if let Some(said) = &envelope.message {
        message.push_str(": ");
        message.push_str(&presentable(said, secrets));
    }
    let mut error = answer.error(kind, message);
    if says_success {
        error = error.with_http_status(status);
        // A body that speaks of a failure of the service leaves as much open as such a status.
        if matches!(status, 400..=407 | 409..=499 | 501) {
            error = error.with_effect(answer.effect_if_rejected());
        }
    }
    if kind == ErrorKind::RateLimited && answer.retry_after().is_none() {
        error = error.with_retry_after(PAUSE).with_note(&format!("wait {} s", PAUSE.as_secs()));
    }
    match &envelope.code {
        Some(code) => error.with_provider_code(presentable(code, secrets)),
        None => error,
    }
}

/// The error of an answer that did not come from the service: a redirect to a web site, or a web page
/// where JSON is due. `None` if it may well be the service that speaks.
pub(crate) fn not_the_service(answer: &Response, base: &Url) -> Option<Error> {
    let host = base.host_str().unwrap_or_default();
    let status = answer.status();
    if status.is_redirection() {
        let target = answer.location();
        let to = target.as_ref().and_then(Url::host_str).unwrap_or("nowhere");
        return Some(gone(answer, &format!("{host} redirects to {to}")));
    }
    let is_page = answer.content_type().is_some_and(|essence| essence == "text/html");
    // Failing servers send pages as well; they are failing, not gone.
    if is_page && status.is_success() || answer.is_rejection_by_page() || matches!(status.as_u16(), 405 | 410) {
        let what = if is_page { "a web page" } else { "no file.io answer" };
        return Some(gone(answer, &format!("{host} answers with {what} (status {})", status.as_u16())));
    }
    None
}

fn gone(answer: &Response, what: &str) -> Error {
    answer.error(
        ErrorKind::Protocol,
        format!(
            "{what}: the service is gone or is not file.io; the public one at file.io stopped answering its API, \
             so set base_url to a server that speaks it"
        ),
    )
}

/// An answer that should be JSON and is something else.
pub(crate) fn not_json(answer: &Response, base: &Url) -> Error {
    let host = base.host_str().unwrap_or_default();
    let what = match answer.content_type() {
        Some(essence) => format!("{host} answers with {} where JSON is due", presentable(&essence, &[])),
        None => format!("{host} answers without a content type where JSON is due"),
    };
    gone(answer, &what)
}

/// Only a web page about the file is offered.
pub(crate) fn landing_page(answer: &Response, host: &str) -> Error {
    answer.error(
        ErrorKind::Unsupported,
        format!(
            "the service offers only a web page for this file, at {}, and no direct download; the plan of the \
             uploader may not include it",
            presentable(host, &[])
        ),
    )
}

/// A success other than 200: a part of the file, or nothing of it.
pub(crate) fn not_the_whole(answer: &Response) -> Error {
    let status = answer.status().as_u16();
    answer.error(ErrorKind::Protocol, format!("the service answers {status} to a request for the whole file"))
}
