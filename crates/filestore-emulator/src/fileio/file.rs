//! A stored file: what is known about it, whose it is, and whether it can still be read.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use rand::distr::{Alphanumeric, SampleString};
use serde::{Deserialize, Serialize};

use super::limits::Terms;
use crate::blobs::{Blob, BlobId};

/// How long an anonymous uploader can manage its file.
const TOKEN_LIFE: SignedDuration = SignedDuration::from_hours(24);

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct StoredFile {
    pub(super) id: String,
    pub(super) key: String,
    /// Orders files that were created in the same millisecond.
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

#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Owner {
    Account(String),
    /// Whoever has the token that the upload was answered with.
    Anonymous {
        token: String,
        until: Timestamp,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Live,
    /// Expired or read as often as allowed, but not to be deleted: an update can revive it.
    Kept,
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

    pub(super) fn has_token(&self, offered: &str, now: Timestamp) -> bool {
        matches!(self, Owner::Anonymous { token, until } if token == offered && now < *until)
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
    /// The key is a permission.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredFile").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A file that has everything but a key.
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

#[derive(Clone, Debug)]
pub(super) enum Name {
    Given(String),
    /// The key with an extension, for content that came without a name.
    OfKey(&'static str),
}

impl Name {
    pub(super) fn resolve(self, key: &str) -> String {
        match self {
            Name::Given(name) => name,
            Name::OfKey(extension) => format!("{key}.{extension}"),
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
    fn a_file_lives_until_its_last_download_or_its_end() {
        assert_eq!(state(1, 99, true), State::Live);
        assert_eq!(state(2, 99, true), State::Gone);
        assert_eq!(state(0, 100, true), State::Gone);
        assert_eq!(state(2, 99, false), State::Kept);
        assert_eq!(state(0, 100, false), State::Kept);
    }
}
