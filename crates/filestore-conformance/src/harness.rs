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

    /// Makes the service misbehave from now on, until another disturbance or [`Disturbance::None`] takes its
    /// place. Returns false if the harness cannot: rules about the disturbance are skipped then.
    ///
    /// The kit asks for one disturbance at a time, and lifts it before it examines what is stored.
    async fn disturb(&self, disturbance: Disturbance) -> bool {
        let _ = disturbance;
        false
    }

    /// Removes what is left when all rules are done. The kit has deleted its own files by then, where
    /// the store can.
    async fn clean_up(&self) {}
}

/// A misbehavior of the service that a harness can cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Disturbance {
    /// The service works.
    #[default]
    None,
    /// The service applies the next request that stores or deletes a file, and its response is lost. Every
    /// later request of that kind is rejected, for example with 403, 409 or 429. A rejection with a wait
    /// should ask for a short one.
    LostThenRejected,
    /// Something other than the service answers requests to delete with status 200 and a web page, as the
    /// login page of a network does. Nothing is deleted.
    OkPage,
    /// As [`OkPage`](Self::OkPage), with an empty body.
    OkEmpty,
    /// Each page of a listing is empty, and the cursor of the next page is the same every time.
    RepeatedCursor,
    /// Each page of a listing is empty, and the cursor of the next page is a new one every time.
    EmptyPages,
    /// Each page of a listing has the same files, none of which the kit stored, and the cursor of the next
    /// page is a new one every time. Where a listing is in order, the files belong before all others.
    RepeatedPage,
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
