//! The service's own words: JSON in both directions, and nothing else.

use filestore_http::{bounded_list, lenient};
use jiff::Timestamp;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// Body of generate-upload-url.
#[derive(Serialize)]
pub(crate) struct Named<'a> {
    pub(crate) name: &'a str,
}

/// Response of generate-upload-url.
#[derive(Deserialize)]
pub(crate) struct Generated {
    /// `name` is the one asked for as the service would have it.
    pub(crate) data: FileId,
    pub(crate) file_upload_request: UploadRequest,
}

/// A file as messages name it, too. Other fields there (`size`, `mime-type`, `url`) are ignored.
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

/// The documentation calls `key` `name`; the service does not.
#[derive(Deserialize)]
pub(crate) struct FormField {
    #[serde(alias = "name")]
    pub(crate) key: String,
    pub(crate) value: String,
}

/// What the field `Policy` holds, in base64.
#[derive(Deserialize)]
pub(crate) struct Policy {
    pub(crate) conditions: Vec<Value>,
}

impl Policy {
    /// `["content-length-range", 0, 5242880]`.
    pub(crate) fn largest(&self) -> Option<u64> {
        let range = self.conditions.iter().find(|condition| condition[0] == "content-length-range")?;
        range[2].as_u64()
    }
}

/// The service gives at most 100 entries a page.
const MOST_ENTRIES: usize = 10_000;

/// A page of a listing.
#[derive(Deserialize)]
pub(crate) struct Listing {
    /// Repeats the HTTP status.
    pub(crate) status: Option<u16>,
    #[serde(deserialize_with = "page")]
    pub(crate) data: Vec<Readable>,
    pub(crate) next: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Listed {
    pub(crate) id: String,
    pub(crate) name: String,
    /// As stored, encrypted or not.
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) size: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) created: Option<Timestamp>,
}

/// An entry of a listing. One that cannot be read does not hide the others.
#[derive(Deserialize)]
pub(crate) struct Readable(#[serde(deserialize_with = "lenient")] pub(crate) Option<Listed>);

fn page<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Readable>, D::Error> {
    bounded_list(deserializer, MOST_ENTRIES)?.ok_or_else(|| D::Error::custom("no list of files"))
}

/// The message of a file, as it is published. Encrypted, all of it is one base64 text instead.
#[derive(Serialize)]
pub(crate) struct Announcement<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<&'a Value>,
    pub(crate) file: FileId,
}

/// The same, as it is received. Clients differ in what they add and leave out.
#[derive(Deserialize)]
pub(crate) struct Received {
    #[serde(default)]
    pub(crate) message: Value,
    pub(crate) file: FileId,
}

/// What the Files service and the Access Manager say when they reject; the texts are at three places.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Rejection {
    /// `{"message", "source", "code"}` of the Files service; `true` elsewhere.
    pub(crate) error: Value,
    pub(crate) message: Value,
    pub(crate) error_message: Value,
    pub(crate) service: Value,
}
