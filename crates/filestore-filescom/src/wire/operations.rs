//! The JSON bodies for sessions, copies and moves, folders, changes and share links.

use std::collections::BTreeMap;

use filestore_http::{bounded_list, lenient};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use url::Url;

use super::{MAX_ENTRIES, is_false, number};

/// A request for a login.
#[derive(Serialize)]
pub(crate) struct NewSession<'a> {
    pub(crate) username: &'a str,
    pub(crate) password: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) otp: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) partial_session_id: Option<&'a str>,
}

#[derive(Deserialize)]
pub(crate) struct CreatedSession {
    /// The credential itself.
    #[serde(deserialize_with = "session_id")]
    pub(crate) id: SecretString,
    #[serde(default)]
    pub(crate) read_only: bool,
}

/// The data of the rejection that requires a second factor.
#[derive(Deserialize)]
pub(crate) struct SecondFactor {
    pub(crate) partial_session_id: SecretString,
    #[serde(default)]
    pub(crate) two_factor_authentication_methods: Vec<String>,
}

/// The names of its fields.
pub(crate) const PARTIAL_SESSION_ID: &str = "partial_session_id";
pub(crate) const SECOND_FACTOR_METHODS: &str = "two_factor_authentication_methods";

/// A request that creates a folder.
#[derive(Serialize)]
pub(crate) struct NewFolder {
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) mkdir_parents: bool,
}

/// A request for a copy or move. The destination is the complete path, not the folder.
#[derive(Serialize)]
pub(crate) struct CopyOrMove<'a> {
    pub(crate) destination: &'a str,
    pub(crate) overwrite: bool,
}

/// The response to a copy or move: completed, or the id of a job.
#[derive(Deserialize)]
pub(crate) struct FileAction {
    pub(crate) status: String,
    #[serde(default, deserialize_with = "number")]
    pub(crate) file_migration_id: Option<u64>,
}

/// The state of a job. Older responses have little more than the status.
#[derive(Deserialize)]
pub(crate) struct FileMigration {
    #[serde(default, deserialize_with = "number")]
    pub(crate) id: Option<u64>,
    /// `pending`, `processing` (once `in_progress`), then `completed` or `failed`.
    pub(crate) status: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) failure_message: Option<String>,
    #[serde(default, deserialize_with = "number")]
    pub(crate) files_moved: Option<u64>,
}

/// A request that changes a file or folder. Fields that are left out stay unchanged; the metadata is replaced as a
/// whole.
#[derive(Serialize)]
pub(crate) struct Change<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) provided_mtime: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) custom_metadata: Option<&'a BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) priority_color: Option<&'a str>,
}

/// A request that creates a share link.
#[derive(Serialize)]
pub(crate) struct NewBundle<'a> {
    pub(crate) paths: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) password: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_uses: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) permissions: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<&'a str>,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) require_registration: bool,
}

/// A share link. A list may leave `paths` out.
#[derive(Deserialize)]
pub(crate) struct Bundle {
    pub(crate) id: u64,
    /// The URL of a web page, not of the content. It grants access.
    #[serde(deserialize_with = "page")]
    pub(crate) url: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) expires_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) password_protected: Option<bool>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) permissions: Option<String>,
    #[serde(default, deserialize_with = "number")]
    pub(crate) max_uses: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) paths: Option<Vec<String>>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) created_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) description: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) note: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) code: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) require_registration: Option<bool>,
}

/// A list of share links. One that cannot be parsed is `None`, so that the others can be listed.
#[derive(Deserialize)]
pub(crate) struct Bundles(#[serde(deserialize_with = "bundles")] pub(crate) Vec<Readable<Bundle>>);

#[derive(Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
pub(crate) struct Readable<T>(#[serde(deserialize_with = "lenient")] pub(crate) Option<T>);

fn bundles<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Readable<Bundle>>, D::Error> {
    bounded_list(deserializer, MAX_ENTRIES)?.ok_or_else(|| D::Error::custom("no list of share links"))
}

/// Parses the URL of a web page. The parsed URL has no control characters for a terminal.
fn page<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let url = Url::parse(&String::deserialize(deserializer)?).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https"));
    url.map(String::from).ok_or_else(|| D::Error::custom("the URL of the share link is not an http or https URL"))
}

/// Parses a session id. It is printed, copied and sent in a header.
fn session_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
    let id = SecretString::deserialize(deserializer)?;
    let text = id.expose_secret();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(D::Error::custom("the session id has characters that are not printable ASCII"));
    }
    Ok(id)
}
