//! [`Harness`]: opens the store under test, and tells the kit what it cannot observe.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use filestore_core::{FileUrl, Options, Result, ScopeKind, Store};
use jiff::Timestamp;

/// Opens the store under test.
///
/// Only [`open`](Self::open) is required. Each other method enables rules that the kit cannot check
/// by itself.
#[async_trait]
pub trait Harness: Send + Sync {
    /// Opens a handle of the store under test. The kit calls it for every rule, and once more if a rule needs a
    /// second handle. All handles have the same name and see the same files.
    async fn open(&self) -> Result<Store>;

    /// Returns a scope that nothing else uses. `label` is a new text in every call and consists of `a-z`, `0-9` and
    /// `-`; by default it is the scope. `None` stands for the store's default scope.
    fn scope(&self, label: &str, kind: ScopeKind) -> Option<String> {
        match kind {
            ScopeKind::None => None,
            _ => Some(label.to_owned()),
        }
    }

    /// Returns the numbers of requests that the service has received so far; `None` if the harness does not count
    /// them.
    async fn requests(&self) -> Option<Requests> {
        None
    }

    /// Returns the current time of the service's clock.
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    /// Moves the service's clock forward. Returns `false` if the clock cannot be moved.
    async fn advance(&self, by: Duration) -> bool {
        let _ = by;
        false
    }

    /// Fetches the bytes behind `url`, as a client without the store does. Returns `None` if the harness cannot fetch
    /// URLs. The kit itself reads local URLs.
    async fn fetch(&self, url: &FileUrl) -> Option<Result<Bytes>> {
        let _ = url;
        None
    }

    /// Returns provider options that the store accepts for every upload.
    fn known_options(&self) -> Options {
        Options::default()
    }

    /// Returns provider options that allow `count` reads of a file; empty if the store has no such options.
    fn reads(&self, count: u64) -> Options {
        let _ = count;
        Options::default()
    }

    /// Returns the reason why the service itself cannot keep the rule `id`, for a deviation that no capability expresses;
    /// the kit skips the rule and reports the reason. Give evidence, such as the response to a request without the store.
    fn exception(&self, id: &str) -> Option<String> {
        let _ = id;
        None
    }

    /// Makes the service misbehave from now on, until another disturbance or [`Disturbance::None`] replaces this
    /// one. Returns `false` if the harness cannot; then the kit skips the rules about the disturbance.
    ///
    /// The kit requests one disturbance at a time, and ends it before it examines the stored files.
    async fn disturb(&self, disturbance: Disturbance) -> bool {
        let _ = disturbance;
        false
    }

    /// Removes everything that is left after all rules. By then the kit has deleted its files, if the store
    /// supports delete.
    async fn clean_up(&self) {}
}

/// A misbehavior of the service that a harness can cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Disturbance {
    /// The service works normally.
    #[default]
    None,
    /// The service applies the next request that stores or deletes a file, and the response is lost. The service
    /// rejects every later request of that kind, for example with 403, 409 or 429. A `Retry-After` should be
    /// short.
    LostThenRejected,
    /// Another server responds to delete requests with status 200 and a web page, as a captive portal does.
    /// Nothing is deleted.
    OkPage,
    /// The same as [`OkPage`](Self::OkPage), with an empty body.
    OkEmpty,
    /// Each page of a listing is empty, and the cursor of the next page is the same every time.
    RepeatedCursor,
    /// Each page of a listing is empty, and the cursor of the next page is new every time.
    EmptyPages,
    /// Each page of a listing has the same files, none of which the kit stored, and the cursor of the next
    /// page is new every time. In an ordered listing, these files come before all others.
    RepeatedPage,
}

/// The numbers of requests that a service has received since it began to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Requests {
    /// All requests.
    pub total: u64,
    /// The requests to read the content of a file, including those for files that do not exist.
    pub reads: u64,
}

impl Requests {
    /// Creates a count of `total` requests, `reads` of which read content.
    pub fn new(total: u64, reads: u64) -> Self {
        Self { total, reads }
    }
}
