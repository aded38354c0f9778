//! A stored file: its metadata, its owner and its state.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use rand::distr::{Alphanumeric, SampleString};
use serde::{Deserialize, Serialize};

use super::limits::Terms;
use crate::blobs::{Blob, BlobId};

/// The lifetime of the token of an anonymous upload.
const TOKEN_LIFE: SignedDuration = SignedDuration::from_hours(24);

/// The metadata of a stored file.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct StoredFile {
    pub(super) id: String,
    pub(super) key: String,
    /// A number that increases with each file, which orders files of the same millisecond.
    pub(super) sequence: u64,
    pub(super) owner: Owner,
    pub(super) name: String,
    pub(super) title: Option<String>,
    pub(super) description: Option<String>,
    pub(super) size: u64,
    pub(super) mime_type: String,
    pub(super) terms: Terms,
    pub(super) downloads: u64,
    pub(super) plan_id: u32,
    pub(super) created: Timestamp,
    pub(super) modified: Timestamp,
    pub(super) body: BlobId,
}

/// The owner of a file, who may change and delete it.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Owner {
    /// The account of this name.
    Account(String),
    /// Any client that has the token, which the response to the upload contained.
    Anonymous { token: String, until: Timestamp },
}

/// The state of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It can be downloaded.
    Live,
    /// It has expired or has no downloads left, and is kept because `autoDelete` is false. An update can make it live
    /// again.
    Kept,
    /// It has expired or has no downloads left, and is to be removed.
    Gone,
}

impl StoredFile {
    pub(super) fn state(&self, now: Timestamp) -> State {
        let exhausted = self.terms.max_downloads.is_some_and(|max| self.downloads >= max);
        let expired = self.terms.expires.is_some_and(|end| now >= end);
        match (exhausted || expired, self.terms.auto_delete) {
            (false, _) => State::Live,
            (true, false) => State::Kept,
            (true, true) => State::Gone,
        }
    }
}

impl Owner {
    pub(super) fn anonymous(now: Timestamp) -> Self {
        Owner::Anonymous {
            token: Alphanumeric.sample_string(&mut rand::rng(), 48),
            until: now.checked_add(TOKEN_LIFE).unwrap_or(Timestamp::MAX),
        }
    }

    pub(super) fn has_token(&self, other: &str, now: Timestamp) -> bool {
        matches!(self, Owner::Anonymous { token, until } if token == other && now < *until)
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::Account(name) => f.debug_tuple("Account").field(name).finish(),
            Owner::Anonymous { .. } => f.write_str("Anonymous"),
        }
    }
}

impl fmt::Debug for StoredFile {
    /// Hides the key, which is a permission.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredFile").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A file before it has a key.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) owner: Owner,
    pub(super) name: Name,
    pub(super) title: Option<String>,
    pub(super) description: Option<String>,
    pub(super) mime_type: String,
    pub(super) terms: Terms,
    pub(super) plan_id: u32,
    pub(super) created: Timestamp,
    pub(super) body: Blob,
}

/// The name of an uploaded file.
#[derive(Clone, Debug)]
pub(super) enum Name {
    /// A name from the request.
    Given(String),
    /// The key with this extension, for content without a name.
    FromKey(&'static str),
}

impl Name {
    pub(super) fn resolve(self, key: &str) -> String {
        match self {
            Name::Given(name) => name,
            Name::FromKey(extension) => format!("{key}.{extension}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(downloads: u64, seconds: i64, auto_delete: bool) -> State {
        let file = StoredFile {
            id: String::new(),
            key: String::new(),
            sequence: 1,
            owner: Owner::Account("team".into()),
            name: "a.txt".into(),
            title: None,
            description: None,
            size: 0,
            mime_type: "text/plain".into(),
            terms: Terms { expires: Timestamp::from_second(100).ok(), max_downloads: Some(2), auto_delete },
            downloads,
            plan_id: 0,
            created: Timestamp::UNIX_EPOCH,
            modified: Timestamp::UNIX_EPOCH,
            body: serde_json::from_str("\"body\"").unwrap(),
        };
        file.state(Timestamp::from_second(seconds).unwrap())
    }

    #[test]
    fn a_file_is_live_until_its_last_download_or_its_expiry() {
        assert_eq!(state(1, 99, true), State::Live);
        assert_eq!(state(2, 99, true), State::Gone);
        assert_eq!(state(0, 100, true), State::Gone);
        assert_eq!(state(2, 99, false), State::Kept);
        assert_eq!(state(0, 100, false), State::Kept);
    }
}
