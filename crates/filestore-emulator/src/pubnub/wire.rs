//! The JSON of PubNub. Keys are in the order in which the service writes them.

use std::collections::BTreeMap;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::http::{Response, response};

/// Returns a response of the Files service, which escapes `<`, `>` and `&` in strings.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let text = serde_json::to_string(value).unwrap_or_default();
    // These characters occur only inside strings in JSON.
    let text = text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    response(status, "application/json", text)
}

/// Returns a response of the other services: publish, subscribe, presence, history and time.
pub(super) fn javascript(value: &impl Serialize) -> Response {
    let text = serde_json::to_string(value).unwrap_or_default();
    response(StatusCode::OK, "text/javascript; charset=\"UTF-8\"", text)
}

/// The body of a request for an upload URL.
#[derive(Debug, Deserialize)]
pub(super) struct UploadUrlRequest {
    pub(super) name: String,
}

#[derive(Debug, Serialize)]
pub(super) struct UploadUrl<'a> {
    pub(super) status: u16,
    pub(super) data: FileInfo<'a>,
    pub(super) file_upload_request: UploadRequest<'a>,
}

#[derive(Debug, Serialize)]
pub(super) struct FileInfo<'a> {
    pub(super) id: &'a str,
    pub(super) name: &'a str,
}

#[derive(Debug, Serialize)]
pub(super) struct UploadRequest<'a> {
    pub(super) url: &'a str,
    pub(super) method: &'static str,
    pub(super) expiration_date: &'a str,
    pub(super) form_fields: &'a [FormField],
}

/// A field of the form. The documentation calls it `name` and `value`; the service sends `key` and `value`.
#[derive(Debug, Serialize)]
pub(super) struct FormField {
    pub(super) key: &'static str,
    pub(super) value: String,
}

#[derive(Debug, Serialize)]
pub(super) struct FileList<'a> {
    pub(super) status: u16,
    pub(super) data: &'a [ListedFile],
    pub(super) next: Option<String>,
    /// The number of files in this page.
    pub(super) count: usize,
}

#[derive(Debug, Serialize)]
pub(super) struct ListedFile {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) size: u64,
    pub(super) created: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Deleted {
    pub(super) status: u16,
}

#[derive(Debug, Serialize)]
pub(super) struct Presence {
    pub(super) status: u16,
    pub(super) message: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) action: Option<&'static str>,
    pub(super) service: &'static str,
}

/// A position in a channel's messages: timetoken and region.
#[derive(Debug, Serialize)]
pub(super) struct Cursor {
    pub(super) t: String,
    pub(super) r: u32,
}

/// The response to a subscribe request: the next cursor and the messages.
#[derive(Debug, Serialize)]
pub(super) struct Events<'a> {
    pub(super) t: Cursor,
    pub(super) m: Vec<Event<'a>>,
}

#[derive(Debug, Serialize)]
pub(super) struct Event<'a> {
    /// The shard.
    pub(super) a: &'static str,
    /// Flags.
    pub(super) f: u32,
    /// The message type; absent for a plain message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) e: Option<u8>,
    /// The publishing user.
    pub(super) i: &'a str,
    /// The timetoken of the publication.
    pub(super) p: Cursor,
    /// The subscribe key.
    pub(super) k: &'a str,
    /// The channel.
    pub(super) c: &'a str,
    /// The message.
    pub(super) d: &'a RawValue,
    /// The metadata of the publisher.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) u: Option<&'a RawValue>,
    /// The custom message type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cmt: Option<&'a str>,
}

#[derive(Debug, Serialize)]
pub(super) struct History<'a> {
    pub(super) status: u16,
    pub(super) channels: BTreeMap<&'a str, Vec<HistoryMessage<'a>>>,
    pub(super) error_message: &'static str,
    pub(super) error: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct HistoryMessage<'a> {
    pub(super) message: &'a RawValue,
    pub(super) timetoken: String,
    /// The outer `None` leaves the key out; the inner `None` is null, for a plain message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message_type: Option<Option<u8>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) uuid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) meta: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) custom_message_type: Option<&'a str>,
}

#[derive(Debug, Serialize)]
pub(super) struct FilesFailure<'a> {
    pub(super) status: u16,
    pub(super) error: FilesError<'a>,
}

#[derive(Debug, Serialize)]
pub(super) struct FilesError<'a> {
    pub(super) message: &'a str,
    pub(super) source: &'static str,
    pub(super) code: u32,
}

#[derive(Debug, Serialize)]
pub(super) struct AccessFailure<'a> {
    pub(super) message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) payload: Option<Payload<'a>>,
    pub(super) error: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) service: Option<&'a str>,
    pub(super) status: u16,
}

#[derive(Debug, Serialize)]
pub(super) struct Payload<'a> {
    channels: &'a [String],
}

impl<'a> From<&'a [String]> for Payload<'a> {
    fn from(channels: &'a [String]) -> Self {
        Payload { channels }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct SignatureFailure<'a> {
    pub(super) error: SignatureError<'a>,
    pub(super) service: &'static str,
    pub(super) status: u16,
}

#[derive(Debug, Serialize)]
pub(super) struct SignatureError<'a> {
    pub(super) message: &'static str,
    pub(super) source: &'static str,
    pub(super) details: [SignatureDetail<'a>; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SignatureDetail<'a> {
    pub(super) message: &'a str,
    pub(super) location: &'static str,
    pub(super) location_type: &'static str,
}
