//! What rejections mean: one table over the four ways in which the service and its storage say them.

use filestore_core::{Error, ErrorKind};
use filestore_http::{Response, S3Error, presentable};
use serde_json::Value;

use crate::wire::Rejection;

/// What is said decides before the status does: a code of the storage, or a part of a message.
const SAID: &[(&str, ErrorKind, &str)] = &[
    ("NoSuchKey", ErrorKind::NotFound, "there is no such file: it was deleted, its retention ended, or it never was"),
    ("EntityTooLarge", ErrorKind::TooLarge, "the file is larger than the keyset allows"),
    ("RequestTimeout", ErrorKind::Timeout, "the storage waited too long for the file"),
    (POLICY_EXPIRED, ErrorKind::Timeout, "the storage rejects the form, which is good for 60 s"),
    (REQUEST_EXPIRED, ErrorKind::Timeout, "the storage rejects the address of the file, which had ended"),
    ("Invalid Subscribe Key", ErrorKind::Unauthenticated, KEYS),
    ("Invalid Key", ErrorKind::Unauthenticated, KEYS),
    ("Invalid signature", ErrorKind::Unauthenticated, SIGNATURE),
    ("different signatures", ErrorKind::Unauthenticated, SIGNATURE),
    ("Invalid Timestamp", ErrorKind::Unauthenticated, SIGNATURE),
    ("Token is", ErrorKind::Unauthenticated, "the access token has ended or was revoked; set another token"),
    ("Message Too Large", ErrorKind::TooLarge, "the message is too long; shorten it"),
];

const POLICY_EXPIRED: &str = "Policy expired";
const REQUEST_EXPIRED: &str = "Request has expired";
const KEYS: &str = "the service does not know the keyset; check publish_key and subscribe_key";
const SIGNATURE: &str = "the service rejects the signature; check secret_key, and the clock of this machine";

/// Status, kind, and what to do.
const STATUS: &[(u16, ErrorKind, &str)] = &[
    (400, ErrorKind::InvalidInput, "the service rejects the request"),
    (401, ErrorKind::Unauthenticated, "the service wants other credentials; check the keys and the token"),
    (402, ErrorKind::Unsupported, "the keyset has no files; enable File Sharing for it in the admin portal"),
    (403, ErrorKind::Permission, "the keyset, the token or the auth key does not allow this on the channel"),
    (404, ErrorKind::NotFound, "there is no such file"),
    (408, ErrorKind::Timeout, "the service waited too long for the request"),
    (409, ErrorKind::Conflict, "the service says that something else came first"),
    (412, ErrorKind::Unsupported, "the keyset lacks a feature; enable it in the admin portal"),
    (413, ErrorKind::TooLarge, "the service says that it is too large"),
    (414, ErrorKind::TooLarge, "the message is too long for the URL that it is published with; shorten it"),
    (415, ErrorKind::InvalidInput, "the service rejects the type of the request"),
    (416, ErrorKind::InvalidInput, "the range begins beyond the end of the file"),
    (429, ErrorKind::RateLimited, "too many requests"),
    (501, ErrorKind::Unsupported, "the service does not know this request; check base_url"),
    (505, ErrorKind::Unsupported, "the service does not speak this version of HTTP; check base_url and the proxy"),
    (507, ErrorKind::Quota, "the service has no room left"),
    (511, ErrorKind::Protocol, "the network wants a login before it lets requests through"),
];

/// Status, kind, and what to do, where the storage answers: it knows neither the keyset nor its channels.
const STORAGE: &[(u16, ErrorKind, &str)] = &[
    (400, ErrorKind::InvalidInput, "the storage rejects the request"),
    (403, ErrorKind::Permission, "the storage rejects the form or the presigned URL that the service gave"),
    (404, ErrorKind::NotFound, "there is no such file"),
    (412, ErrorKind::Conflict, "a condition of the request does not hold at the storage"),
];

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Responder {
    Service,
    Storage,
}

fn meaning(responder: Responder, status: u16, said: &ErrorBody) -> (ErrorKind, &'static str) {
    let code = said.code.as_deref().unwrap_or_default();
    let by_text = SAID.iter().find(|(text, ..)| code == *text || said.message.contains(text));
    let tables = match responder {
        Responder::Service => [STATUS, &[]],
        Responder::Storage => [STORAGE, STATUS],
    };
    let by_status = || {
        let mut rows = tables.into_iter().flatten();
        rows.find(|(known, ..)| *known == status).map(|(_, kind, what)| (*kind, *what))
    };
    match by_text.map(|(_, kind, what)| (*kind, *what)).or_else(by_status) {
        Some(meaning) => meaning,
        None if status >= 500 => (ErrorKind::Unavailable, "the service is failing; try again later"),
        None => (ErrorKind::Protocol, "the service answers what its protocol does not have"),
    }
}

/// What the body of a rejection says.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct ErrorBody {
    pub(crate) message: String,
    pub(crate) code: Option<String>,
    service: Option<String>,
    request_id: Option<String>,
}

impl ErrorBody {
    /// Whether a form or an address has ended, so that a fresh one may do better.
    pub(crate) fn is_expired(&self) -> bool {
        self.message.contains(POLICY_EXPIRED) || self.message.contains(REQUEST_EXPIRED)
    }

    fn read(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        match serde_json::from_slice(body) {
            Ok(Value::Array(array)) => Self { message: text_of(array.get(1)), ..Self::default() },
            Ok(object @ Value::Object(_)) => Self::of(serde_json::from_value(object).unwrap_or_default()),
            _ if text.trim_start().starts_with('<') => Self::of_storage(S3Error::parse(body)),
            _ => Self { message: text.into_owned(), ..Self::default() },
        }
    }

    fn of(rejection: Rejection) -> Self {
        let Rejection { error, message, error_message, service } = rejection;
        let details = error["details"].as_array().and_then(|details| details.first());
        let texts = [error.get("message"), details.and_then(|detail| detail.get("message"))];
        let texts: Vec<_> =
            texts.into_iter().flatten().chain([&message, &error_message]).map(|text| text_of(Some(text))).collect();
        let nonempty: Vec<_> = texts.into_iter().filter(|text| !text.is_empty()).collect();
        Self {
            message: nonempty.join(" "),
            code: error.get("code").map(|code| text_of(Some(code))),
            service: service.as_str().or_else(|| error["source"].as_str()).map(str::to_owned),
            request_id: None,
        }
    }

    fn of_storage(error: S3Error) -> Self {
        let sizes = error.sizes.map(|(size, max)| format!(" ({size} bytes, {max} are allowed)")).unwrap_or_default();
        Self {
            message: error.message.unwrap_or_default() + &sizes,
            code: error.code,
            service: None,
            request_id: error.request_id,
        }
    }
}

fn text_of(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null | Value::Bool(_)) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// The error of an answer that is no success, and what its body says, without the `secrets` that it may
/// have repeated.
pub(crate) async fn rejected(mut answer: Response, responder: Responder, secrets: &[&str]) -> (Error, ErrorBody) {
    if answer.is_rejection_by_page() {
        return (answer.unexpected("JSON or XML"), ErrorBody::default());
    }
    let body = answer.error_body().await;
    rejected_by(&answer, responder, &body, secrets)
}

/// The same, with the body read already.
pub(crate) fn rejected_by(
    answer: &Response,
    responder: Responder,
    body: &[u8],
    secrets: &[&str],
) -> (Error, ErrorBody) {
    let status = answer.status().as_u16();
    let said = ErrorBody::read(body);
    let (kind, what) = meaning(responder, status, &said);
    let mut message = format!("{what} (status {status})");
    for part in [said.service.as_deref(), Some(&*said.message)].into_iter().flatten().filter(|part| !part.is_empty()) {
        message.push_str(": ");
        message.push_str(&presentable(part, secrets));
    }
    let mut error = answer.error(kind, message);
    // The Access Manager's cause is a header.
    if let Some(code) = said.code.as_deref().or_else(|| answer.header("x-pn-cause")) {
        error = error.with_provider_code(presentable(code, secrets));
    }
    if let Some(id) = &said.request_id {
        error = error.with_request_id(presentable(id, secrets));
    }
    (error, said)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(status: u16, body: &str) -> ErrorKind {
        meaning(Responder::Service, status, &ErrorBody::read(body.as_bytes())).0
    }

    #[test]
    fn the_four_families_of_rejections() {
        use ErrorKind::*;

        let table = [
            (
                400,
                r#"{"status":400,"error":{"message":"[channel] contains invalid characters","source":"Files","code":3001}}"#,
                InvalidInput,
            ),
            (
                402,
                r#"{"status":402,"error":{"message":"Files service not enabled for subkey","source":"Files","code":3005}}"#,
                Unsupported,
            ),
            (500, r#"{"status":500,"error":{"message":"x","source":"Files","code":1}}"#, Unavailable),
            (
                403,
                r#"{"message":"Forbidden","payload":{"channels":["room-1"]},"error":true,"service":"Access Manager","status":403}"#,
                Permission,
            ),
            (
                403,
                r#"{"error":true,"status":403,"service":"Access Manager","message":"Token is revoked"}"#,
                Unauthenticated,
            ),
            (
                403,
                r#"{"error":true,"status":403,"service":"Access Manager","message":"Token is expired."}"#,
                Unauthenticated,
            ),
            (
                400,
                r#"{"message":"Invalid Subscribe Key","error":true,"service":"Access Manager","status":400}"#,
                Unauthenticated,
            ),
            (
                403,
                r#"{"error":{"message":"Invalid signature","source":"grant","details":[{"message":"Client and server produced different signatures for the same inputs.","location":"signature","locationType":"query"}]},"service":"Access Manager","status":403}"#,
                Unauthenticated,
            ),
            (
                400,
                r#"{"message":"Invalid Timestamp","error":true,"service":"Access Manager","status":400}"#,
                Unauthenticated,
            ),
            (414, r#"{"message":"Request URI Too Long","error":true,"service":"Balancer","status":414}"#, TooLarge),
            (
                413,
                r#"{"status":413,"error":true,"service":"Balancer","message":"Request Entity Too Large."}"#,
                TooLarge,
            ),
            (429, r#"{"status":429,"error":true,"message":"Too many requests."}"#, RateLimited),
            (
                504,
                r#"{"service":"Access Manager","status":504,"error":true,"message":"Service Unavailable"}"#,
                Unavailable,
            ),
            (400, r#"{"message":"Could Not Parse Request", "error":true, "status":400}"#, InvalidInput),
            (400, r#"[0,"Invalid Key","14820999375199241"]"#, Unauthenticated),
            (400, r#"[0,"Invalid JSON","14820999375199241"]"#, InvalidInput),
            (400, r#"[0,"Message Too Large"]"#, TooLarge),
            (400, "<Error><Code>EntityTooLarge</Code><Message>m</Message></Error>", TooLarge),
            (
                403,
                "<Error><Code>AccessDenied</Code><Message>Invalid according to Policy: Policy expired.</Message></Error>",
                Timeout,
            ),
            (
                403,
                "<Error><Code>AccessDenied</Code><Message>Invalid according to Policy: Extra input fields: x</Message></Error>",
                Permission,
            ),
            (
                404,
                "<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>",
                NotFound,
            ),
            (503, "<Error><Code>SlowDown</Code><Message>m</Message></Error>", Unavailable),
            (302, "", Protocol),
        ];
        for (status, body, expected) in table {
            assert_eq!(kind(status, body), expected, "{status} {body}");
        }
    }

    #[test]
    fn the_storage_does_not_speak_for_the_keyset() {
        let body = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
        let (kind, what) = meaning(Responder::Storage, 403, &ErrorBody::read(body.as_bytes()));
        assert_eq!(kind, ErrorKind::Permission);
        assert!(what.contains("the storage rejects the form or the presigned URL"), "{what}");
        assert_eq!(meaning(Responder::Storage, 429, &ErrorBody::default()).0, ErrorKind::RateLimited);
    }

    #[test]
    fn the_text_is_found_wherever_it_is() {
        let read = |body: &str| ErrorBody::read(body.as_bytes()).message;
        assert_eq!(read(r#"{"error":{"message":"a","details":[{"message":"b"}]}}"#), "a b");
        assert_eq!(read(r#"{"error":true,"message":"a"}"#), "a");
        assert_eq!(read(r#"{"error":true,"error_message":"a"}"#), "a");
        assert_eq!(read(r#"[0,"a"]"#), "a");
        assert_eq!(
            read(
                "<Error><Message>a &quot;b&amp;lt;&quot;</Message><ProposedSize>6</ProposedSize><MaxSizeAllowed>5</MaxSizeAllowed></Error>"
            ),
            "a \"b&lt;\" (6 bytes, 5 are allowed)"
        );
        assert_eq!(read("upstream failed"), "upstream failed");
        for odd in ["", "{}", "[]", "[0]", "null", "{\"error\":[]}", "<", "<Error>", "\u{1}"] {
            ErrorBody::read(odd.as_bytes());
        }
    }

    #[test]
    fn what_a_form_or_an_address_says_when_it_ends() {
        for text in ["Invalid according to Policy: Policy expired.", "Request has expired"] {
            assert!(ErrorBody::read(format!("<Error><Message>{text}</Message></Error>").as_bytes()).is_expired());
        }
        assert!(!ErrorBody::read(b"<Error><Message>Access denied</Message></Error>").is_expired());
    }
}
