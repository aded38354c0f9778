//! Sessions, copies and moves, folders, changes, share links.

use std::collections::BTreeMap;

use filestore_http::{bounded_list, lenient};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use url::Url;

use super::{MOST_ENTRIES, is_false, number};

/// Logs somebody in.
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

/// What goes with the rejection that asks for a second factor.
#[derive(Deserialize)]
pub(crate) struct SecondFactor {
    pub(crate) partial_session_id: SecretString,
    #[serde(default)]
    pub(crate) two_factor_authentication_methods: Vec<String>,
}

/// Makes a folder.
#[derive(Serialize)]
pub(crate) struct NewFolder {
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) mkdir_parents: bool,
}

/// Copies or moves. The destination is the whole path, not the folder.
#[derive(Serialize)]
pub(crate) struct Relocation<'a> {
    pub(crate) destination: &'a str,
    pub(crate) overwrite: bool,
}

/// What became of it: done, or a job to ask for.
#[derive(Deserialize)]
pub(crate) struct Relocated {
    pub(crate) status: String,
    #[serde(default, deserialize_with = "number")]
    pub(crate) file_migration_id: Option<u64>,
}

/// A job. Old answers have little more than the status.
#[derive(Deserialize)]
pub(crate) struct Migration {
    #[serde(default, deserialize_with = "number")]
    pub(crate) id: Option<u64>,
    /// `pending`, `processing` (once `in_progress`), then `completed` or `failed`.
    pub(crate) status: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) failure_message: Option<String>,
    #[serde(default, deserialize_with = "number")]
    pub(crate) files_moved: Option<u64>,
}

/// Changes a file or folder. What is not said is kept; the map is replaced as a whole.
#[derive(Serialize)]
pub(crate) struct Change<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) provided_mtime: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) custom_metadata: Option<&'a BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) priority_color: Option<&'a str>,
}

/// Makes a share link.
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

/// A share link. A listing may leave `paths` out.
#[derive(Deserialize)]
pub(crate) struct Bundle {
    pub(crate) id: u64,
    /// A web page, not the bytes. Whoever has it may read.
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

/// A list of share links. One that cannot be read is left out: it must not hide the others.
#[derive(Deserialize)]
pub(crate) struct Bundles(#[serde(deserialize_with = "bundles")] pub(crate) Vec<Readable<Bundle>>);

#[derive(Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
pub(crate) struct Readable<T>(#[serde(deserialize_with = "lenient")] pub(crate) Option<T>);

fn bundles<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Readable<Bundle>>, D::Error> {
    bounded_list(deserializer, MOST_ENTRIES)?.ok_or_else(|| D::Error::custom("no list of share links"))
}

/// The address of a web page, as a browser understands it: what a terminal would obey is escaped.
fn page<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let url = Url::parse(&String::deserialize(deserializer)?).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https"));
    url.map(String::from).ok_or_else(|| D::Error::custom("the address of the share link is no http or https URL"))
}

/// A session id, which is printed, copied and sent in a header.
fn session_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
    let id = SecretString::deserialize(deserializer)?;
    let text = id.expose_secret();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(D::Error::custom("the session id holds other characters than printable ASCII"));
    }
    Ok(id)
}
