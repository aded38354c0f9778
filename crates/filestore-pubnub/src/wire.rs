//! The JSON of PubNub's Files API: request bodies, responses and file messages.

use filestore_http::{bounded_list, lenient};
use jiff::Timestamp;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// The request body of `generate-upload-url`.
#[derive(Serialize)]
pub(crate) struct GenerateUploadUrlRequest<'a> {
    pub(crate) name: &'a str,
}

/// The response of `generate-upload-url`: the id of the file, and the form that is posted to the storage with the file.
#[derive(Deserialize)]
pub(crate) struct GenerateUploadUrlResponse {
    /// `name` is the requested name, possibly changed by the service.
    pub(crate) data: FileId,
    pub(crate) file_upload_request: UploadRequest,
}

/// The id and name of a file. Messages have other fields beside them (`size`, `mime-type`, `url`), which are ignored.
#[derive(Serialize, Deserialize)]
pub(crate) struct FileId {
    pub(crate) id: String,
    pub(crate) name: String,
}

#[derive(Deserialize)]
pub(crate) struct UploadRequest {
    pub(crate) url: String,
    pub(crate) form_fields: Vec<FormField>,
}

/// A field of the upload form. PubNub's documentation calls `key` `name`; the service sends `key`.
#[derive(Deserialize)]
pub(crate) struct FormField {
    #[serde(alias = "name")]
    pub(crate) key: String,
    pub(crate) value: String,
}

/// The S3 POST policy in the form field `Policy`, after base64 decoding.
#[derive(Deserialize)]
pub(crate) struct Policy {
    pub(crate) conditions: Vec<Value>,
}

impl Policy {
    /// Returns the upper limit of `["content-length-range", 0, 5242880]`, in bytes.
    pub(crate) fn max_size(&self) -> Option<u64> {
        let range = self.conditions.iter().find(|condition| condition[0] == "content-length-range")?;
        range[2].as_u64()
    }
}

/// The limit on the entries of a page. The service returns at most 100.
const MAX_ENTRIES: usize = 10_000;

/// A page of a listing.
#[derive(Deserialize)]
pub(crate) struct Listing {
    /// Repeats the HTTP status.
    pub(crate) status: Option<u16>,
    #[serde(deserialize_with = "entries")]
    pub(crate) data: Vec<Entry>,
    pub(crate) next: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct ListedFile {
    pub(crate) id: String,
    pub(crate) name: String,
    /// Stored bytes, after encryption.
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) size: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) created: Option<Timestamp>,
}

/// An entry of a listing; `None` if its JSON is invalid, so that it does not hide the other entries.
#[derive(Deserialize)]
pub(crate) struct Entry(#[serde(deserialize_with = "lenient")] pub(crate) Option<ListedFile>);

fn entries<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Entry>, D::Error> {
    bounded_list(deserializer, MAX_ENTRIES)?.ok_or_else(|| D::Error::custom("expected a list of files"))
}

/// The payload of a published file message. An encrypted payload is one base64 string instead.
#[derive(Serialize)]
pub(crate) struct PublishedMessage<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<&'a RawValue>,
    pub(crate) file: FileId,
}

/// The payload of a received file message. Clients differ in the fields that they send.
#[derive(Deserialize)]
pub(crate) struct ReceivedMessage {
    #[serde(default)]
    pub(crate) message: Value,
    pub(crate) file: FileId,
}

/// An error response of the Files service or the Access Manager. The text is in `error`, `message` or `error_message`.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct ErrorResponse {
    /// `{"message", "source", "code"}` from the Files service; `true` from other services.
    pub(crate) error: Value,
    pub(crate) message: Value,
    pub(crate) error_message: Value,
    pub(crate) service: Value,
}
