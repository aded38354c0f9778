//! [`Harness`]: how the kit gets at a store, and what only its author can tell.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use filestore_core::{FileUrl, Options, Result, ScopeKind, Store};
use jiff::Timestamp;

/// Opens the store under test.
///
/// Only [`open`](Self::open) is required. Each of the others unlocks rules that the kit cannot check
/// by itself.
#[async_trait]
pub trait Harness: Send + Sync {
    /// A handle of the store under test. Called for every rule, and again when a rule needs a second
    /// handle: all handles have the same name and see the same files.
    async fn open(&self) -> Result<Store>;

    /// A scope that nobody else uses. `label` is new in every call and made of `a-z`, `0-9` and `-`;
    /// the default uses it as it is. `None`: the store's default scope.
    fn scope(&self, label: &str, kind: ScopeKind) -> Option<String> {
        match kind {
            ScopeKind::None => None,
            _ => Some(label.to_owned()),
        }
    }

    /// How many requests the service has received so far. `None`: nobody counts.
    async fn requests(&self) -> Option<Requests> {
        None
    }

    /// What time it is for the store.
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    /// Moves the service's clock forward. False: it cannot be moved.
    async fn advance(&self, by: Duration) -> bool {
        let _ = by;
        false
    }

    /// The bytes behind `url`, as somebody without the store gets them. `None`: the kit cannot have
    /// them; local URLs it reads by itself.
    async fn fetch(&self, url: &FileUrl) -> Option<Result<Bytes>> {
        let _ = url;
        None
    }

    /// Provider options that the store accepts for any upload.
    fn known_options(&self) -> Options {
        Options::default()
    }

    /// Provider options that let a file be read `count` times. Empty: the store has no such options.
    fn reads(&self, count: u64) -> Options {
        let _ = count;
        Options::default()
    }

    /// Removes what is left when all rules are done. The kit has deleted its own files by then, where
    /// the store can.
    async fn clean_up(&self) {}
}

/// How many requests a service has received since it began to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Requests {
    /// All of them.
    pub total: u64,
    /// Those that read the content of a file, whether or not it was there.
    pub reads: u64,
}

impl Requests {
    /// `total` requests, `reads` of which read content.
    pub fn new(total: u64, reads: u64) -> Self {
        Self { total, reads }
    }
}
