//! The JSON bodies of the service's requests and responses.

mod operations;
mod time;

use std::collections::BTreeMap;
use std::fmt;

use filestore_http::lenient;
use jiff::Timestamp;
use serde::de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::compare::is_same;
use crate::path::SitePath;

pub(crate) use operations::*;

/// A file or folder. Older responses leave fields out.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Entry {
    /// The path from the root of the site, without slashes at its ends; empty for the root itself.
    #[serde(deserialize_with = "text")]
    pub(crate) path: Option<String>,
    #[serde(rename = "type", deserialize_with = "kind")]
    pub(crate) kind: Option<EntryKind>,
    /// `null` for a folder.
    #[serde(deserialize_with = "number")]
    pub(crate) size: Option<u64>,
    /// The time of the upload, also for one that replaced a file.
    #[serde(deserialize_with = "time")]
    pub(crate) created_at: Option<Timestamp>,
    /// The time of the last change, as the service recorded it; that of a folder changes with everything below it.
    #[serde(deserialize_with = "time")]
    pub(crate) mtime: Option<Timestamp>,
    /// The time of the last change that the uploader provided. Whole seconds.
    #[serde(deserialize_with = "time")]
    pub(crate) provided_mtime: Option<Timestamp>,
    /// Hexadecimal without leading zeros: `0` for an empty file. `null` until computed, like the other digests.
    #[serde(deserialize_with = "not_blank")]
    pub(crate) crc32: Option<String>,
    #[serde(deserialize_with = "not_blank")]
    pub(crate) md5: Option<String>,
    #[serde(deserialize_with = "not_blank")]
    pub(crate) sha1: Option<String>,
    #[serde(deserialize_with = "not_blank")]
    pub(crate) sha256: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) mime_type: Option<String>,
    #[serde(deserialize_with = "texts")]
    pub(crate) custom_metadata: BTreeMap<String, String>,
    /// Only in responses to requests that ask for the field.
    #[serde(deserialize_with = "text")]
    pub(crate) priority_color: Option<String>,
    /// Some of `lrwd`: list, read, write, delete.
    #[serde(deserialize_with = "text")]
    pub(crate) permissions: Option<String>,
    /// The presigned URL of the content, which is a secret. Only in responses to a request for a download.
    #[serde(deserialize_with = "text")]
    pub(crate) download_uri: Option<String>,
}

/// The maximum number of entries of a list; more are an error. The service sends at most 10,000 on a page, and an entry
/// takes much more memory than its text.
const MAX_ENTRIES: usize = 50_000;

/// Parses a list of entries and calls a closure with each, so that the entries of a large page are never all in memory.
pub(crate) struct EntryVisitor<F>(pub(crate) F);

impl<'de, F: FnMut(Entry)> DeserializeSeed<'de> for EntryVisitor<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, F: FnMut(Entry)> Visitor<'de> for EntryVisitor<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {MAX_ENTRIES} entries")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut entries: A) -> Result<(), A::Error> {
        let mut count = 0;
        while let Some(entry) = entries.next_element()? {
            count += 1;
            if count > MAX_ENTRIES {
                return Err(de::Error::invalid_length(count, &self));
            }
            (self.0)(entry);
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryKind {
    File,
    Directory,
    Other,
}

impl Entry {
    pub(crate) fn is_folder(&self) -> bool {
        self.kind == Some(EntryKind::Directory)
    }

    /// Returns `true` if the entry may be the one at `path`: it has no path, or one that is the same to the service.
    pub(crate) fn may_be_at(&self, path: &SitePath) -> bool {
        self.path.as_deref().is_none_or(|own_path| is_same(own_path, &path.to_string()))
    }

    /// Returns `path`, at which the entry is, in the spelling of the service.
    pub(crate) fn spelling_of(&self, path: &SitePath) -> SitePath {
        let stored = self.path.as_deref().and_then(|own_path| SitePath::parse(own_path).ok());
        stored.filter(|stored| stored.is_same(path)).unwrap_or_else(|| path.clone())
    }

    /// Returns the time of the last change to show.
    pub(crate) fn modified(&self) -> Option<Timestamp> {
        self.provided_mtime.or(self.mtime)
    }
}

/// The body of a rejection by the API. Proxied transfers spell `http_code` with an underscore.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ErrorBody {
    #[serde(deserialize_with = "lenient")]
    pub(crate) error: Option<String>,
    /// The status again. The catch-all 500 has it as a text.
    #[serde(rename = "http-code", alias = "http_code", deserialize_with = "number")]
    pub(crate) http_code: Option<u64>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) title: Option<String>,
    #[serde(rename = "type", deserialize_with = "lenient")]
    pub(crate) kind: Option<String>,
    /// The id of the request, without dashes.
    #[serde(deserialize_with = "lenient")]
    pub(crate) instance: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) detail: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) data: Option<Map<String, Value>>,
    /// Texts, or nested errors.
    #[serde(deserialize_with = "lenient")]
    pub(crate) errors: Option<Vec<Value>>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) model_errors: Option<BTreeMap<String, Vec<String>>>,
}

/// A request that begins an upload, or that asks for presigned URLs of further parts.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Begin<'a> {
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub(crate) reference: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) part: Option<u32>,
    /// The number of consecutive parts. The service may respond with fewer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<u64>,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) mkdir_parents: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) with_rename: bool,
}

/// The destination of a part, and the limits of all parts.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct PartTarget {
    #[serde(rename = "ref")]
    pub(crate) reference: String,
    pub(crate) part_number: u32,
    /// The presigned URL, which is a secret. Valid for about 15 minutes.
    pub(crate) upload_uri: String,
    #[serde(default)]
    pub(crate) http_method: Option<String>,
    /// The headers to send with the part. Always empty so far.
    #[serde(default, deserialize_with = "texts")]
    pub(crate) headers: BTreeMap<String, String>,
    /// The part size: a suggestion for native storage, mandatory for any other.
    #[serde(default, deserialize_with = "number")]
    pub(crate) partsize: Option<u64>,
    #[serde(default, deserialize_with = "number")]
    pub(crate) available_parts: Option<u64>,
    #[serde(default)]
    pub(crate) parallel_parts: Option<bool>,
    /// `true` or absent: a part may be sent again.
    #[serde(default)]
    pub(crate) retry_parts: Option<bool>,
    /// `true`: every URL needs the query parameter `part_offset=BYTE`.
    #[serde(default)]
    pub(crate) part_offset_query: Option<bool>,
    /// `s3` for native storage, else the class of the proxy in front of a slower one.
    #[serde(default)]
    pub(crate) upload_target_class: Option<String>,
    #[serde(default)]
    pub(crate) variable_part_limits: Option<VariablePartLimits>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct VariablePartLimits {
    pub(crate) min_nonfinal_bytes: u64,
    pub(crate) max_part_bytes: u64,
    pub(crate) max_parts: u32,
    pub(crate) max_file_bytes: u64,
}

/// A request that makes the parts a file.
#[derive(Debug, Serialize)]
pub(crate) struct Finish<'a> {
    pub(crate) action: &'static str,
    #[serde(rename = "ref")]
    pub(crate) reference: &'a str,
    /// Optional on native storage, where the service finds the parts itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) etags: Option<Vec<PartTag<'a>>>,
    pub(crate) size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) provided_mtime: Option<String>,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) mkdir_parents: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) with_rename: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) custom_metadata: &'a BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct PartTag<'a> {
    pub(crate) etag: &'a str,
    pub(crate) part: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// Parses a text. A value of another type is `None`: an unexpected value must not make the whole listing fail.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    deserializer.deserialize_any(Lenient {
        expected: "a text or null",
        of_number: |_| None,
        of_text: |text| Some(text.to_owned()),
    })
}

/// Parses a text that is not empty. An empty one is `None`, so that it does not count as a known digest.
fn not_blank<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(text(deserializer)?.filter(|text| !text.is_empty()))
}

fn kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<EntryKind>, D::Error> {
    let of_text = |text: &str| {
        Some(match text {
            "file" => EntryKind::File,
            "directory" => EntryKind::Directory,
            _ => EntryKind::Other,
        })
    };
    deserializer.deserialize_any(Lenient { expected: "a text or null", of_number: |_| None, of_text })
}

/// Parses a whole number, which may be a text. Any other value is `None`.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    deserializer.deserialize_any(Lenient {
        expected: "a whole number or null",
        of_number: Some,
        of_text: |text| text.parse().ok(),
    })
}

/// Parses a time. An invalid one is `None`, so that the folder can be listed.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    deserializer.deserialize_any(Lenient { expected: "a time or null", of_number: |_| None, of_text: time::parse })
}

/// Parses a number, a text or `null` directly, without an intermediate JSON value. Any other value is `None`.
struct Lenient<T> {
    expected: &'static str,
    of_number: fn(u64) -> Option<T>,
    of_text: fn(&str) -> Option<T>,
}

impl<'de, T> Visitor<'de> for Lenient<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok((self.of_text)(text))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok((self.of_number)(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        IgnoredAny.visit_seq(list).map(|_| None)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Self::Value, A::Error> {
        IgnoredAny.visit_map(object).map(|_| None)
    }
}

/// Parses an object of texts. `null` or a value of another type is an empty map. A field that is not a text is kept as
/// JSON.
fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let pairs: Option<BTreeMap<String, Box<RawValue>>> = lenient(deserializer)?;
    let text = |value: &RawValue| serde_json::from_str(value.get()).unwrap_or_else(|_| value.get().to_owned());
    Ok(pairs.unwrap_or_default().into_iter().map(|(name, value)| (name, text(&value))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_no_size_and_an_unknown_kind_is_no_error() {
        let folder: Entry = serde_json::from_str(r#"{"path":"a","type":"directory","size":null}"#).unwrap();
        assert!(folder.is_folder() && folder.size.is_none());
        let other: Entry = serde_json::from_str(r#"{"path":"a","type":"symlink","custom_metadata":null}"#).unwrap();
        assert_eq!(other.kind, Some(EntryKind::Other));
    }

    #[test]
    fn an_invalid_time_is_none_and_the_entry_is_read() {
        let entry = r#"{"path":"a","mtime":"30828-09-14T02:48:05Z","created_at":null,"provided_mtime":"2026-03-01T10:00:00-08:00"}"#;
        let entry: Entry = serde_json::from_str(entry).unwrap();
        assert_eq!((entry.mtime, entry.created_at), (None, None));
        assert_eq!(entry.provided_mtime.unwrap().to_string(), "2026-03-01T18:00:00Z");
    }

    #[test]
    fn a_number_or_a_time_of_another_type_is_none_and_the_entry_is_read() {
        for value in ["-1", "1.5", "18446744073709551616", "true", "{\"a\":[1]}", "[[],{}]", "\"\"", "\"x\""] {
            let entry = format!(r#"{{"size":{value},"mtime":{value},"path":"a"}}"#);
            let entry: Entry = serde_json::from_str(&entry).unwrap();
            assert_eq!((entry.size, entry.mtime, entry.path.as_deref()), (None, None, Some("a")), "{value}");
        }
        for (text, size) in [("0", 0), ("18446744073709551615", u64::MAX), ("\"7\"", 7)] {
            let entry: Entry = serde_json::from_str(&format!(r#"{{"size":{text},"mtime":7}}"#)).unwrap();
            assert_eq!((entry.size, entry.mtime), (Some(size), None), "{text}");
        }
    }

    #[test]
    fn a_blank_digest_is_none() {
        let entry: Entry = serde_json::from_str(r#"{"crc32":"","md5":null,"sha1":"0"}"#).unwrap();
        assert_eq!((entry.crc32, entry.md5, entry.sha1.as_deref()), (None, None, Some("0")));
    }

    #[test]
    fn the_status_in_an_error_may_be_a_text_and_may_be_spelled_with_an_underscore() {
        let catch_all: ErrorBody = serde_json::from_str(r#"{"error":"Internal","http-code":"500"}"#).unwrap();
        assert_eq!((catch_all.http_code, catch_all.kind), (Some(500), None));
        let proxied: ErrorBody = serde_json::from_str(r#"{"type":"download_source_changed","http_code":409}"#).unwrap();
        assert_eq!(proxied.http_code, Some(409));
    }

    #[test]
    fn fields_that_are_not_set_are_not_sent() {
        let begin = Begin { size: Some(4), mkdir_parents: true, ..Begin::default() };
        assert_eq!(serde_json::to_string(&begin).unwrap(), r#"{"size":4,"mkdir_parents":true}"#);
    }
}
