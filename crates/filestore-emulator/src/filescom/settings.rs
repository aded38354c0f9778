//! Settings of the emulated site and of details of the service that are unknown. The control API changes them.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// The settings of the site. An absent one has its default.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Settings {
    /// The time after an upload during which the digests of a file are null.
    pub(super) digest_delay: SignedDuration,
    /// `true` to create missing parent folders even without `mkdir_parents`.
    pub(super) always_create_parents: bool,
    /// The `partsize` in responses, in bytes. Every part but the last must have at least this size or 5 MiB, whichever
    /// is smaller.
    pub(super) part_size: u64,
    pub(super) migrations: Migrations,
    /// The lifetime of a login session.
    pub(super) session_timeout: SignedDuration,
    /// `true` to reject `POST /file_actions/metadata` and `DELETE /folders`, which one client sends and the API does
    /// not have.
    pub(super) strict_methods: bool,
}

/// The time at which copies, moves and background deletes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Migrations {
    /// Before the response.
    Sync,
    /// After this number of status requests.
    Polls(u32),
    /// This time after the request.
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
