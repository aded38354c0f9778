//! The JSON of file.io, with the keys in the order of the service.

use jiff::Timestamp;
use serde::{Serialize, Serializer};

/// A successful response: these two keys, and then those of the content.
#[derive(Debug, Serialize)]
pub(super) struct Success<T> {
    pub(super) success: bool,
    pub(super) status: u16,
    #[serde(flatten)]
    pub(super) content: T,
}

impl<T> Success<T> {
    pub(super) fn new(content: T) -> Self {
        Success { success: true, status: 200, content }
    }
}

/// A file, in the responses to uploads, updates and lists.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FileDetails {
    pub(super) id: String,
    pub(super) key: String,
    pub(super) path: &'static str,
    pub(super) node_type: &'static str,
    pub(super) name: String,
    pub(super) title: Option<String>,
    pub(super) description: Option<String>,
    pub(super) size: u64,
    pub(super) link: String,
    pub(super) private: bool,
    /// Null: never.
    #[serde(serialize_with = "optional_time")]
    pub(super) expires: Option<Timestamp>,
    pub(super) downloads: u64,
    /// Null: unlimited.
    pub(super) max_downloads: Option<u64>,
    pub(super) auto_delete: bool,
    pub(super) plan_id: u32,
    /// `pending` at upload, `passed` in lists.
    pub(super) screening_status: &'static str,
    pub(super) mime_type: String,
    #[serde(serialize_with = "time")]
    pub(super) created: Timestamp,
    #[serde(serialize_with = "time")]
    pub(super) modified: Timestamp,
}

/// The files of an account. The list has two names: the service documented `files` and was seen to send `nodes`, and
/// clients read either.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct List<'a> {
    pub(super) nodes: &'a [FileDetails],
    pub(super) count: usize,
    pub(super) size: u64,
    pub(super) screening_status: &'static str,
    pub(super) files: &'a [FileDetails],
}

/// The plan of an account, in the response to `GET /me`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PlanInfo {
    pub(super) plan_id: u32,
    pub(super) max_upload_bytes: u64,
    pub(super) max_storage_bytes: u64,
    pub(super) used_storage_bytes: u64,
    /// Requests per minute.
    pub(super) rate_limit: u32,
    pub(super) direct_download: u32,
    pub(super) custom_domain: Option<String>,
    pub(super) payment_customer_id: Option<String>,
    pub(super) payment_subscription_id: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Deleted<'a> {
    pub(super) key: &'a str,
}

/// An error.
#[derive(Debug, Serialize)]
pub(super) struct Failure<'a> {
    pub(super) success: bool,
    pub(super) status: u16,
    pub(super) code: &'a str,
    pub(super) message: &'a str,
    pub(super) help: String,
    pub(super) key: Option<&'a str>,
}

/// The response to an upload in the first generation of the API.
#[derive(Debug, Serialize)]
pub(super) struct FirstUploaded<'a> {
    pub(super) success: bool,
    pub(super) key: &'a str,
    pub(super) link: &'a str,
    pub(super) expiry: String,
}

/// An error in the first generation of the API.
#[derive(Debug, Serialize)]
pub(super) struct FirstFailure<'a> {
    pub(super) success: bool,
    pub(super) error: u16,
    pub(super) message: &'a str,
}

fn time<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.3}"))
}

fn optional_time<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => time(at, serializer),
        None => serializer.serialize_none(),
    }
}
