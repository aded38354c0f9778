//! The conversion of error responses to errors, by one table of texts and two tables of statuses.
//!
//! An error body has one of four shapes: the Files service's JSON, the Access Manager's JSON, the JSON array of
//! publishing, and the storage's XML. Any other body is taken as the text of the message.

use filestore_core::{Error, ErrorKind};
use filestore_http::{Response, S3Error};
use serde_json::Value;

use crate::wire::ErrorResponse;

/// Code of the storage or part of a message, kind, and text. This table takes precedence over the status.
const BY_TEXT: &[(&str, ErrorKind, &str)] = &[
    (
        "NoSuchKey",
        ErrorKind::NotFound,
        "there is no such file: it was deleted, its retention period ended, or it never existed",
    ),
    ("EntityTooLarge", ErrorKind::TooLarge, "the file is larger than the keyset allows; send a smaller one"),
    ("RequestTimeout", ErrorKind::Timeout, "the storage timed out while it received the file; try again"),
    (POLICY_EXPIRED, ErrorKind::Timeout, "the upload form, which is valid for 60 s, has expired; try again"),
    (REQUEST_EXPIRED, ErrorKind::Timeout, "the presigned URL of the file has expired; try again"),
    ("Invalid Subscribe Key", ErrorKind::Unauthenticated, UNKNOWN_KEYSET),
    ("Invalid Key", ErrorKind::Unauthenticated, UNKNOWN_KEYSET),
    ("Invalid signature", ErrorKind::Unauthenticated, INVALID_SIGNATURE),
    ("different signatures", ErrorKind::Unauthenticated, INVALID_SIGNATURE),
    ("Invalid Timestamp", ErrorKind::Unauthenticated, INVALID_SIGNATURE),
    ("Token is", ErrorKind::Unauthenticated, "the access token has expired or was revoked; set another token"),
    ("Message Too Large", ErrorKind::TooLarge, "the message is too long; shorten it"),
];

const POLICY_EXPIRED: &str = "Policy expired";
const REQUEST_EXPIRED: &str = "Request has expired";
const UNKNOWN_KEYSET: &str = "the service does not know the keyset; check publish_key and subscribe_key";
const INVALID_SIGNATURE: &str = "the service rejects the signature; check secret_key and the clock of this machine";

/// Status, kind and text of a response from the service.
const BY_SERVICE_STATUS: &[(u16, ErrorKind, &str)] = &[
    (400, ErrorKind::InvalidInput, "the service rejects the request"),
    (401, ErrorKind::Unauthenticated, "the service rejects the credentials; check the keys and the token"),
    (402, ErrorKind::Unsupported, "File Sharing is disabled for the keyset; enable it in the admin portal"),
    (403, ErrorKind::Permission, "the keyset, the token or the auth key does not allow this on the channel"),
    (404, ErrorKind::NotFound, "there is no such file"),
    (408, ErrorKind::Timeout, "the service timed out while it received the request; try again"),
    (409, ErrorKind::Conflict, "the service reports a conflict with another request; try again"),
    (412, ErrorKind::Unsupported, "the keyset lacks a feature; enable it in the admin portal"),
    (413, ErrorKind::TooLarge, "the request is too large for the service; send less"),
    (414, ErrorKind::TooLarge, "the message makes the URL of the request too long; shorten it"),
    (415, ErrorKind::InvalidInput, "the service rejects the content type of the request"),
    (416, ErrorKind::RangeNotSatisfiable, "the range begins beyond the end of the file"),
    (429, ErrorKind::RateLimited, "too many requests; send fewer, or try again later"),
    (501, ErrorKind::Unsupported, "the service does not implement this request; check base_url"),
    (505, ErrorKind::Unsupported, "the service does not support this version of HTTP; check base_url and the proxy"),
    (507, ErrorKind::Quota, "the service has no storage left"),
    (511, ErrorKind::Protocol, "the network requires a login; open a web page in a browser to log in"),
];

/// Status, kind and text of a response from the storage, where they differ: it knows neither keyset nor channels.
const BY_STORAGE_STATUS: &[(u16, ErrorKind, &str)] = &[
    (400, ErrorKind::InvalidInput, "the storage rejects the request"),
    (403, ErrorKind::Permission, "the storage rejects the form or the presigned URL that the service created"),
    (404, ErrorKind::NotFound, "there is no such file"),
    (412, ErrorKind::Conflict, "a condition of the request does not hold at the storage"),
];

/// The sender of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Responder {
    Service,
    Storage,
}

/// Returns the kind of the error, and a text that states the cause and what to do.
fn classify(responder: Responder, status: u16, body: &ErrorBody) -> (ErrorKind, &'static str) {
    let code = body.code.as_deref().unwrap_or_default();
    let by_text = BY_TEXT.iter().find(|(text, ..)| code == *text || body.message.contains(text));
    let tables = match responder {
        Responder::Service => [BY_SERVICE_STATUS, &[]],
        Responder::Storage => [BY_STORAGE_STATUS, BY_SERVICE_STATUS],
    };
    let by_status = || {
        let mut rows = tables.into_iter().flatten();
        rows.find(|(known, ..)| *known == status).map(|(_, kind, text)| (*kind, *text))
    };
    match by_text.map(|(_, kind, text)| (*kind, *text)).or_else(by_status) {
        Some(classified) => classified,
        None if status >= 500 => (ErrorKind::Unavailable, "the service fails; try again later"),
        None => {
            (ErrorKind::Protocol, "the service returned a status that its protocol does not define; check base_url")
        }
    }
}

/// The content of an error body.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct ErrorBody {
    pub(crate) message: String,
    pub(crate) code: Option<String>,
    service: Option<String>,
    request_id: Option<String>,
}

impl ErrorBody {
    /// Returns `true` if a form or a presigned URL has expired, so that a retry with a new one may succeed.
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

    fn of(response: ErrorResponse) -> Self {
        let ErrorResponse { error, message, error_message, service } = response;
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

/// Converts an error response to an error, and returns the content of its body.
pub(crate) async fn rejected(mut response: Response, responder: Responder) -> (Error, ErrorBody) {
    if response.is_rejection_by_page() {
        return (response.unexpected("JSON or XML"), ErrorBody::default());
    }
    let body = response.error_body().await;
    rejected_with_body(&response, responder, &body)
}

/// Does the same as [`rejected`], with a body that has been read already.
pub(crate) fn rejected_with_body(response: &Response, responder: Responder, body: &[u8]) -> (Error, ErrorBody) {
    let status = response.status().as_u16();
    let body = ErrorBody::read(body);
    let (kind, text) = classify(responder, status, &body);
    let mut message = format!("{text} (status {status})");
    for part in [body.service.as_deref(), Some(&*body.message)].into_iter().flatten().filter(|part| !part.is_empty()) {
        message.push_str(": ");
        message.push_str(&response.presentable(part));
    }
    let mut error = response.error(kind, message);
    // The Access Manager states its code in a header.
    if let Some(code) = body.code.as_deref().or_else(|| response.header("x-pn-cause")) {
        error = error.with_provider_code(response.presentable(code));
    }
    if let Some(id) = &body.request_id {
        error = error.with_request_id(response.presentable(id));
    }
    (error, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(status: u16, body: &str) -> ErrorKind {
        classify(Responder::Service, status, &ErrorBody::read(body.as_bytes())).0
    }

    #[test]
    fn error_bodies_of_all_four_shapes_are_classified() {
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
    fn a_403_from_the_storage_does_not_blame_the_keyset() {
        let body = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
        let (kind, text) = classify(Responder::Storage, 403, &ErrorBody::read(body.as_bytes()));
        assert_eq!(kind, ErrorKind::Permission);
        assert!(text.contains("the storage rejects the form or the presigned URL"), "{text}");
        assert_eq!(classify(Responder::Storage, 429, &ErrorBody::default()).0, ErrorKind::RateLimited);
    }

    #[test]
    fn the_message_is_read_from_every_shape_of_body() {
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
    fn an_expired_form_or_presigned_url_is_recognized() {
        for text in ["Invalid according to Policy: Policy expired.", "Request has expired"] {
            assert!(ErrorBody::read(format!("<Error><Message>{text}</Message></Error>").as_bytes()).is_expired());
        }
        assert!(!ErrorBody::read(b"<Error><Message>Access denied</Message></Error>").is_expired());
    }
}
