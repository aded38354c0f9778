//! The records of the change log besides the tree: share links, migrations, sessions and uploads.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::blobs::BlobId;

/// A share link.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Bundle {
    pub(super) id: u64,
    pub(super) code: String,
    pub(super) paths: Vec<String>,
    pub(super) password: Option<String>,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) max_uses: Option<u64>,
    pub(super) uses: u64,
    pub(super) permissions: String,
    pub(super) description: String,
    pub(super) note: String,
    pub(super) require_registration: bool,
    pub(super) created_at: Timestamp,
    pub(super) user: u64,
    pub(super) username: String,
}

/// A copy, move or delete in the background.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Migration {
    pub(super) id: u64,
    pub(super) work: Work,
    pub(super) user: u64,
    pub(super) begun: Timestamp,
    pub(super) due: Due,
    pub(super) outcome: Option<Outcome>,
}

/// The work of a migration.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Work {
    pub(super) operation: Operation,
    pub(super) path: String,
    pub(super) destination: Option<String>,
    /// `true` to replace an existing destination, or to delete a folder with its entries.
    pub(super) forced: bool,
}

/// The operation of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Operation {
    Copy,
    Move,
    Delete,
}

/// The time at which a migration runs.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Due {
    /// After `left` more status requests. `answered` is the number of those before.
    Polls {
        left: u32,
        // The name in existing logs.
        #[serde(rename = "asked")]
        answered: u32,
    },
    At(Timestamp),
}

/// The result of a migration.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Outcome {
    /// The number of files that it affected.
    pub(super) files: u64,
    /// The error message if it failed.
    pub(super) failure: Option<String>,
}

/// A login session.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Session {
    /// 40 hex digits.
    pub(super) id: String,
    pub(super) user: String,
    pub(super) expires: Timestamp,
    /// `true` if the password was correct and the second factor is still missing.
    pub(super) partial: bool,
}

/// An unfinished upload.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Upload {
    /// The `ref`: `put-` and digits.
    pub(super) id: String,
    pub(super) path: String,
    pub(super) user: u64,
    /// `true` to choose another name instead of replacing an existing file.
    pub(super) with_rename: bool,
    pub(super) begun: Timestamp,
    #[serde(skip)]
    pub(super) parts: BTreeMap<u32, Part>,
}

/// An uploaded part. A later upload of the same part number replaces it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) blob: BlobId,
    pub(super) size: u64,
    pub(super) md5: String,
    pub(super) crc32: u32,
}

impl std::fmt::Debug for Bundle {
    /// Leaves out the code and the password, which are secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bundle").field("id", &self.id).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("user", &self.user).finish_non_exhaustive()
    }
}

/// The number of failed logins of each user, and the time of the last one.
pub(super) type FailedLogins = HashMap<String, (u32, Timestamp)>;
