//! The JSON responses of the service, in both generations.

use std::collections::BTreeMap;

use filestore_http::{bounded_list, lenient};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// A file in the response to an upload, an update or a listing. Every field but `key` may be missing.
///
/// Generation 1 (2016 to about 2021) has `key`, `link` and `expiry`; generation 2 has the rest. `link` is not read: the
/// URL is made from the base URL and the key.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct File {
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) key: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) name: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) title: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) description: Option<String>,
    #[serde(default, deserialize_with = "integer")]
    pub(crate) size: Option<u64>,
    /// Outer `None`: missing. Inner `None`: `null`, which means never.
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) expires: Option<Option<Timestamp>>,
    /// The expiry of generation 1, in words: `14 days`, `1 month`.
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) expiry: Option<String>,
    #[serde(default, deserialize_with = "integer")]
    pub(crate) downloads: Option<u64>,
    /// Outer `None`: missing. Inner `None`: `null`, which means unlimited.
    #[serde(default, deserialize_with = "integer_or_null")]
    pub(crate) max_downloads: Option<Option<u64>>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) auto_delete: Option<bool>,
    /// `pending` at the upload, `passed` in a later listing.
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) screening_status: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) mime_type: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) created: Option<Timestamp>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) modified: Option<Timestamp>,
}

impl File {
    /// Returns `true` if a field is there that only generation 2 has.
    pub(crate) fn is_generation_2(&self) -> bool {
        self.size.is_some()
            || self.expires.is_some()
            || self.downloads.is_some()
            || self.max_downloads.is_some()
            || self.auto_delete.is_some()
            || self.screening_status.is_some()
            || self.mime_type.is_some()
            || self.created.is_some()
            || self.modified.is_some()
    }
}

/// A listing. The service sent `nodes`; its documentation says `files`. A value that is no list of files is an error:
/// read as missing, it would look like an account without files.
#[derive(Deserialize)]
pub(crate) struct Listing {
    #[serde(default, deserialize_with = "entries")]
    pub(crate) nodes: Option<Vec<File>>,
    #[serde(default, deserialize_with = "entries")]
    pub(crate) files: Option<Vec<File>>,
    /// The number of files of the page or of the account: it is unknown which.
    #[serde(default, deserialize_with = "integer")]
    pub(crate) count: Option<u64>,
}

/// The response to `GET /me`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Me {
    #[serde(default, deserialize_with = "integer")]
    pub(crate) plan_id: Option<u64>,
    #[serde(default, deserialize_with = "integer")]
    pub(crate) max_upload_bytes: Option<u64>,
    #[serde(default, deserialize_with = "integer")]
    pub(crate) max_storage_bytes: Option<u64>,
    #[serde(default, deserialize_with = "integer")]
    pub(crate) used_storage_bytes: Option<u64>,
    #[serde(default, deserialize_with = "integer")]
    pub(crate) rate_limit: Option<u64>,
    #[serde(flatten)]
    pub(crate) other: BTreeMap<String, Value>,
}

/// The fields that every response may have.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Envelope {
    /// Missing in some successful responses. `FileIoStore::confirmed` requires `true`.
    pub(crate) success: Option<bool>,
    /// The HTTP status, in generation 2.
    #[serde(deserialize_with = "integer")]
    pub(crate) status: Option<u64>,
    /// The status in generation 1, and in a clone that sends it with HTTP status 200. Sometimes a text.
    #[serde(deserialize_with = "integer")]
    pub(crate) error: Option<u64>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) code: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) message: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) key: Option<String>,
}

impl Envelope {
    /// Returns the status that the body reports.
    pub(crate) fn status(&self) -> Option<u16> {
        self.status.or(self.error).and_then(|status| status.try_into().ok())
    }
}

/// The largest number of entries of a page.
const MAX_ENTRIES: usize = 50_000;

fn entries<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<File>>, D::Error> {
    bounded_list(deserializer, MAX_ENTRIES)
}

/// Reads an integer, which may be written as a decimal text.
fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Integer {
        Number(u64),
        Text(String),
    }
    Ok(lenient(deserializer)?.and_then(|integer| match integer {
        Integer::Number(number) => Some(number),
        Integer::Text(text) => text.parse().ok(),
    }))
}

/// Reads an integer like [`integer`], but tells `null` from a missing field.
fn integer_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u64>>, D::Error> {
    let text = Box::<RawValue>::deserialize(deserializer)?;
    if text.get() == "null" {
        return Ok(Some(None));
    }
    Ok(integer(&*text).ok().flatten().map(Some))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_and_absent_differ() {
        let never: File = serde_json::from_str(r#"{"expires":null}"#).unwrap();
        assert_eq!(never.expires, Some(None));
        let absent: File = serde_json::from_str("{}").unwrap();
        assert_eq!(absent.expires, None);
    }

    #[test]
    fn integers_may_be_decimal_texts() {
        let file: File =
            serde_json::from_str(r#"{"size":"6","maxDownloads":"3","name":"7","autoDelete":"1"}"#).unwrap();
        assert_eq!((file.size, file.max_downloads), (Some(6), Some(Some(3))));
        assert_eq!((file.name.as_deref(), file.auto_delete), (Some("7"), None));
        for odd in ["\"six\"", "-6", "6.5", "[6]", "{}", "true", "null"] {
            let file: File = serde_json::from_str(&format!("{{\"size\":{odd}}}")).unwrap();
            assert_eq!(file.size, None, "{odd}");
        }
    }

    #[test]
    fn the_status_of_an_error_has_three_forms() {
        let status = |json| serde_json::from_str::<Envelope>(json).unwrap().status();
        assert_eq!(status(r#"{"success":false,"status":404}"#), Some(404));
        assert_eq!(status(r#"{"success":false,"error":404}"#), Some(404));
        assert_eq!(status(r#"{"success":false,"error":"402"}"#), Some(402));
        assert_eq!(status(r#"{"success":false,"error":"nope"}"#), None);
    }
}
