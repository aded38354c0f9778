//! What the log of changes holds besides the tree: sessions, uploads, share links, jobs.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::blobs::BlobId;

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

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Migration {
    pub(super) id: u64,
    pub(super) work: Work,
    pub(super) user: u64,
    pub(super) begun: Timestamp,
    pub(super) due: Due,
    pub(super) outcome: Option<Outcome>,
}

/// What is to be done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Work {
    pub(super) operation: Operation,
    pub(super) path: String,
    pub(super) destination: Option<String>,
    /// Replace what is at the destination; or delete what is in the folder.
    pub(super) forced: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Operation {
    Copy,
    Move,
    Delete,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Due {
    Polls { left: u32, asked: u32 },
    At(Timestamp),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Outcome {
    pub(super) files: u64,
    pub(super) failure: Option<String>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Session {
    /// 40 hex digits.
    pub(super) id: String,
    pub(super) user: String,
    pub(super) expires: Timestamp,
    /// The password was right, the second factor is still to come.
    pub(super) partial: bool,
}

/// An upload that was begun and not finished yet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Upload {
    /// `put-` and digits: the `ref`.
    pub(super) id: String,
    pub(super) path: String,
    pub(super) user: u64,
    /// An existing file is not replaced: this one gets another name.
    pub(super) with_rename: bool,
    pub(super) begun: Timestamp,
    #[serde(skip)]
    pub(super) parts: BTreeMap<u32, Part>,
}

/// The last thing that was put as a part.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) blob: BlobId,
    pub(super) size: u64,
    pub(super) md5: String,
    pub(super) crc32: u32,
}

impl std::fmt::Debug for Bundle {
    /// The code is a permission.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bundle").field("id", &self.id).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Wrong logins of each user, and when the last of them was.
pub(super) type WrongLogins = HashMap<String, (u32, Timestamp)>;
