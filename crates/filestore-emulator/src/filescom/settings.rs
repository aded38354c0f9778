//! What a site can be set to, and what is unknown about the service: set through the control API.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// What is not given is the default.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Settings {
    /// How long after an upload the digests of a file are null.
    pub(super) digest_delay: SignedDuration,
    /// Missing parents are created without being asked for.
    pub(super) always_create_parents: bool,
    /// What `partsize` recommends. No part but the last may be smaller, nor need one be larger than 5 MiB.
    pub(super) part_size: u64,
    pub(super) migrations: Migrations,
    pub(super) session_timeout: SignedDuration,
    /// Reject `POST /file_actions/metadata` and `DELETE /folders`, which one client sends and the API does not have.
    pub(super) strict_methods: bool,
}

/// When copies, moves and background deletes are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Migrations {
    /// With their answer.
    Sync,
    /// When somebody has asked so many times whether they are.
    Polls(u32),
    /// So long after they were asked for.
    Delay(SignedDuration),
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            digest_delay: SignedDuration::ZERO,
            always_create_parents: false,
            part_size: 5 * 1024 * 1024,
            migrations: Migrations::Sync,
            session_timeout: SignedDuration::from_hours(6),
            strict_methods: false,
        }
    }
}
