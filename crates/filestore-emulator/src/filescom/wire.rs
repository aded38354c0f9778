//! The JSON of Files.com. Keys are in the order in which the service writes them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::Value;

/// A file or folder.
#[derive(Debug, Serialize)]
pub(super) struct Entity<'a> {
    pub(super) path: String,
    pub(super) created_by_id: Option<u64>,
    pub(super) created_by_api_key_id: Option<u64>,
    pub(super) created_by_as2_incoming_message_id: Option<u64>,
    pub(super) created_by_automation_id: Option<u64>,
    pub(super) created_by_bundle_registration_id: Option<u64>,
    pub(super) created_by_inbox_id: Option<u64>,
    pub(super) created_by_remote_server_id: Option<u64>,
    pub(super) created_by_sync_id: Option<u64>,
    pub(super) custom_metadata: &'a BTreeMap<String, String>,
    pub(super) display_name: &'a str,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    /// Null for folders.
    pub(super) size: Option<u64>,
    #[serde(serialize_with = "time")]
    pub(super) created_at: Timestamp,
    pub(super) last_modified_by_id: Option<u64>,
    pub(super) last_modified_by_api_key_id: Option<u64>,
    pub(super) last_modified_by_automation_id: Option<u64>,
    pub(super) last_modified_by_bundle_registration_id: Option<u64>,
    pub(super) last_modified_by_remote_server_id: Option<u64>,
    pub(super) last_modified_by_sync_id: Option<u64>,
    #[serde(serialize_with = "time")]
    pub(super) mtime: Timestamp,
    #[serde(serialize_with = "optional_time")]
    pub(super) provided_mtime: Option<Timestamp>,
    /// Hex without leading zeros: `0` for an empty file.
    pub(super) crc32: Option<String>,
    pub(super) md5: Option<String>,
    pub(super) sha1: Option<String>,
    pub(super) sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mime_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) region: Option<&'static str>,
    pub(super) permissions: &'a str,
    /// The service's key has a question mark.
    #[serde(rename = "subfolders_locked?", skip_serializing_if = "Option::is_none")]
    pub(super) subfolders_locked: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) is_locked: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) priority_color: Option<&'a Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) download_uri: Option<String>,
}

/// The URL for a part of an upload, and how to use it.
#[derive(Debug, Serialize)]
pub(super) struct UploadPart {
    pub(super) send: BTreeMap<&'static str, &'static str>,
    pub(super) action: &'static str,
    pub(super) ask_about_overwrites: bool,
    pub(super) available_parts: u32,
    #[serde(serialize_with = "time")]
    pub(super) expires: Timestamp,
    pub(super) headers: BTreeMap<&'static str, &'static str>,
    pub(super) http_method: &'static str,
    pub(super) next_partsize: u64,
    /// Always present, because one client fails without it.
    pub(super) parallel_parts: bool,
    pub(super) retry_parts: bool,
    pub(super) parameters: BTreeMap<&'static str, &'static str>,
    pub(super) part_number: u32,
    pub(super) partsize: u64,
    pub(super) path: String,
    #[serde(rename = "ref")]
    pub(super) reference: String,
    pub(super) upload_uri: String,
}

#[derive(Debug, Serialize)]
pub(super) struct SessionCreated {
    pub(super) id: String,
    pub(super) language: &'static str,
    pub(super) read_only: bool,
    pub(super) sftp_insecure_ciphers: bool,
}

/// The state of a copy, move or delete that was just requested.
#[derive(Debug, Serialize)]
pub(super) struct Started {
    pub(super) status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file_migration_id: Option<u64>,
}

#[derive(Debug, Serialize)]
pub(super) struct FileMigration<'a> {
    pub(super) id: u64,
    pub(super) path: &'a str,
    pub(super) dest_path: Option<&'a str>,
    pub(super) operation: &'static str,
    pub(super) status: &'static str,
    pub(super) region: &'static str,
    pub(super) files_moved: u64,
    pub(super) files_total: u64,
    pub(super) log_url: Option<&'a str>,
    pub(super) failure_message: Option<&'a str>,
}

/// A share link.
#[derive(Debug, Serialize)]
pub(super) struct BundleEntity<'a> {
    pub(super) id: u64,
    pub(super) code: &'a str,
    pub(super) url: String,
    #[serde(serialize_with = "optional_time")]
    pub(super) expires_at: Option<Timestamp>,
    pub(super) password_protected: bool,
    pub(super) permissions: &'a str,
    pub(super) preview_only: bool,
    pub(super) require_registration: bool,
    pub(super) max_uses: Option<u64>,
    pub(super) paths: &'a [String],
    pub(super) bundlepaths: Vec<BundlePath<'a>>,
    #[serde(serialize_with = "time")]
    pub(super) created_at: Timestamp,
    pub(super) description: &'a str,
    pub(super) note: &'a str,
    pub(super) user_id: u64,
    pub(super) username: &'a str,
    pub(super) has_inbox: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct BundlePath<'a> {
    pub(super) recursive: bool,
    pub(super) path: &'a str,
}

#[derive(Debug, Serialize)]
pub(super) struct Failure {
    pub(super) error: String,
    #[serde(rename = "http-code")]
    pub(super) http_code: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) instance: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) title: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) errors: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) model_errors: Option<Value>,
}

/// Serializes a time in whole seconds, as everywhere in this API.
fn time<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Timestamp::from_second(time.as_second()).unwrap_or(*time))
}

fn optional_time<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => time(at, serializer),
        None => serializer.serialize_none(),
    }
}
