//! The service's own words: JSON answers of both generations, and nothing else.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A file, as an upload, an update and a listing describe it. Every field but `key` may be missing.
///
/// Generation 1 (2016 to about 2021) has `key`, `link` and `expiry`, a prose that nobody can compute
/// with; generation 2 has the rest. `link` is not read: the address is made from base URL and key.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct File {
    pub(crate) key: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) title: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) size: Option<u64>,
    /// Outer `None`: not said. Inner `None`: `null`, which means never.
    #[serde(default, deserialize_with = "said")]
    pub(crate) expires: Option<Option<Timestamp>>,
    pub(crate) downloads: Option<u64>,
    /// Outer `None`: not said. Inner `None`: `null`, which means unlimited.
    #[serde(default, deserialize_with = "said")]
    pub(crate) max_downloads: Option<Option<u64>>,
    pub(crate) auto_delete: Option<bool>,
    /// `pending` at the upload, `passed` in a later listing.
    pub(crate) screening_status: Option<String>,
    pub(crate) mime_type: Option<String>,
    pub(crate) created: Option<Timestamp>,
    pub(crate) modified: Option<Timestamp>,
}

/// A listing. The service sent `nodes`; its own documentation says `files`.
#[derive(Deserialize)]
pub(crate) struct Listing {
    pub(crate) nodes: Option<Vec<File>>,
    pub(crate) files: Option<Vec<File>>,
    /// Of the page or of the account: nobody knows.
    pub(crate) count: Option<u64>,
}

/// `/me`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Me {
    pub(crate) plan_id: Option<u64>,
    pub(crate) max_upload_bytes: Option<u64>,
    pub(crate) max_storage_bytes: Option<u64>,
    pub(crate) used_storage_bytes: Option<u64>,
    pub(crate) rate_limit: Option<u64>,
    #[serde(flatten)]
    pub(crate) other: BTreeMap<String, Value>,
}

/// What every answer may have around it.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Envelope {
    /// Missing on some answers that are fine: only `false` means something.
    pub(crate) success: Option<bool>,
    /// Repeats the HTTP status; of generation 2.
    pub(crate) status: Option<u16>,
    /// The status in generation 1, and in a clone that sends it with HTTP 200. Sometimes a text.
    pub(crate) error: Value,
    pub(crate) code: Option<String>,
    pub(crate) message: Option<String>,
}

impl Envelope {
    /// The status that the body speaks of.
    pub(crate) fn status(&self) -> Option<u16> {
        let number = || self.error.as_u64().and_then(|number| u16::try_from(number).ok());
        let text = || self.error.as_str().and_then(|text| text.parse().ok());
        self.status.or_else(number).or_else(text)
    }
}

/// A field that is there, be it `null`.
fn said<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_and_absent_differ() {
        let never: File = serde_json::from_str(r#"{"expires":null}"#).unwrap();
        assert_eq!(never.expires, Some(None));
        let silent: File = serde_json::from_str("{}").unwrap();
        assert_eq!(silent.expires, None);
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
