//! [`Attempts`]: the number of retries of an operation, and the effect that its HTTP exchanges prove.

#[cfg(feature = "http")]
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
#[cfg(feature = "http")]
use std::time::Duration;

use filestore_core::Effect;
#[cfg(feature = "http")]
use filestore_core::{Body, hex};
#[cfg(feature = "http")]
use filestore_http::{History, Idempotency, Outcome};
use jiff::Timestamp;
#[cfg(feature = "http")]
use md5::{Digest, Md5};
#[cfg(feature = "http")]
use opendal::Execute;
#[cfg(feature = "http")]
use opendal::raw::BoxedStaticFuture;
use tokio::sync::Notify;
#[cfg(feature = "http")]
use tokio::time::Instant;

#[cfg(feature = "http")]
use crate::digest::{self, Md5Digest};

tokio::task_local! {
    static CURRENT: Attempts;
}

/// The attempts of one operation. Clones share them, because an upload runs in its own task.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attempts(Arc<Mutex<Inner>>, Arc<Notify>);

#[derive(Debug, Default)]
struct Inner {
    /// `true` while requests fail at once, because the caller no longer waits.
    cuts_off: bool,
    retries: u32,
    #[cfg(feature = "http")]
    history: Option<History>,
    /// The time before which the service wants no further request.
    #[cfg(feature = "http")]
    not_before: Option<Instant>,
    /// The total time that the service has asked to wait.
    #[cfg(feature = "http")]
    waited: Duration,
    /// `true` if the operation must not replace a file.
    #[cfg(feature = "http")]
    never_replaces: bool,
    /// `true` if the service has not confirmed the requested encryption.
    #[cfg(feature = "http")]
    unencrypted: bool,
    /// The number of entries that listings do not show.
    #[cfg(feature = "http")]
    left_out: u64,
    /// The time of the last response to a listing by the service's clock.
    #[cfg(feature = "http")]
    date: Option<Timestamp>,
    /// The folders on the way to the one that was listed last, and the sizes of their listings.
    #[cfg(feature = "http")]
    listings: Vec<(String, usize)>,
    /// The body that every PUT of WebDAV sends in place of OpenDAL's buffer.
    #[cfg(feature = "http")]
    body: Option<Arc<Body>>,
    /// The number of bytes of that body which the last PUT has sent.
    #[cfg(feature = "http")]
    body_sent: Option<u64>,
    /// `true` if that body cannot be sent again.
    #[cfg(feature = "http")]
    body_is_consumed: bool,
    /// The ETags of the parts of a multipart upload.
    #[cfg(feature = "http")]
    part_tags: BTreeMap<u32, String>,
    /// The number of requests under way.
    #[cfg(feature = "http")]
    under_way: usize,
    /// The number of OpenDAL's tasks that have not ended.
    #[cfg(feature = "http")]
    tasks: usize,
    /// The error of the first part that could not be sent, and the number of its retries.
    #[cfg(feature = "http")]
    failed_part: Option<(opendal::Error, u32)>,
    /// `true` if the ETags of the file are no digests, according to a response.
    #[cfg(feature = "http")]
    etag_is_opaque: bool,
    /// `true` if the service has stored other content than was sent.
    #[cfg(feature = "http")]
    damaged: bool,
    /// The digest of the content of the file that is uploaded in one request.
    #[cfg(feature = "http")]
    content_digest: Option<Md5Digest>,
    /// The generation of the file of GCS that is read.
    #[cfg(feature = "http")]
    generation: Option<String>,
}

impl Attempts {
    /// Returns the attempts of the running operation, or new ones if none runs.
    pub(crate) fn current() -> Self {
        CURRENT.try_with(Clone::clone).unwrap_or_default()
    }

    /// Runs `operation`, or a part of it, with these attempts.
    pub(crate) async fn scope<F: Future>(self, operation: F) -> F::Output {
        CURRENT.scope(self, operation).await
    }

    /// Runs a single poll with these attempts.
    pub(crate) fn sync_scope<T>(&self, poll: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self.clone(), poll)
    }

    /// Makes all requests fail at once, also one that is under way, or ends that.
    pub(crate) fn cut_off(&self, cuts_off: bool) {
        self.lock().cuts_off = cuts_off;
        self.1.notify_waiters();
    }

    /// Waits until requests fail at once.
    #[cfg(feature = "http")]
    pub(crate) async fn are_cut_off(&self) {
        self.wait_until(|inner| inner.cuts_off).await;
    }

    #[cfg(feature = "http")]
    async fn wait_until(&self, is_true: impl Fn(&Inner) -> bool) {
        loop {
            let mut changed = std::pin::pin!(self.1.notified());
            changed.as_mut().enable();
            if is_true(&self.lock()) {
                return;
            }
            changed.await;
        }
    }

    /// Returns the number of retries so far.
    pub(crate) fn retries(&self) -> u32 {
        self.lock().retries
    }

    /// Returns the effect that all exchanges prove. `None` without exchanges over HTTP.
    pub(crate) fn effect(&self) -> Option<Effect> {
        #[cfg(feature = "http")]
        return self.lock().history.as_ref().map(History::effect);
        #[cfg(not(feature = "http"))]
        None
    }

    /// Returns the effect if the change of the last exchange is undone.
    pub(crate) fn effect_if_undone(&self) -> Effect {
        #[cfg(feature = "http")]
        return self.lock().history.as_ref().map_or(Effect::Rejected, History::effect_if_rejected);
        #[cfg(not(feature = "http"))]
        Effect::Rejected
    }

    /// Forbids the operation to replace a file that was created meanwhile, if the service supports it.
    pub(crate) fn never_replace(&self) {
        #[cfg(feature = "http")]
        {
            self.lock().never_replaces = true;
        }
    }

    /// Returns `true` if the service has not confirmed the requested encryption of the file.
    pub(crate) fn is_unencrypted(&self) -> bool {
        #[cfg(feature = "http")]
        return self.lock().unencrypted;
        #[cfg(not(feature = "http"))]
        false
    }

    /// Returns the number of entries that listings do not show.
    pub(crate) fn left_out(&self) -> u64 {
        #[cfg(feature = "http")]
        return self.lock().left_out;
        #[cfg(not(feature = "http"))]
        0
    }

    /// Returns the time of the last response to a listing by the service's clock.
    pub(crate) fn date(&self) -> Option<Timestamp> {
        #[cfg(feature = "http")]
        return self.lock().date;
        #[cfg(not(feature = "http"))]
        None
    }

    /// Returns the number of bytes of the body that the last PUT has sent; `None` if no PUT has sent it.
    pub(crate) fn body_sent(&self) -> Option<u64> {
        #[cfg(feature = "http")]
        return self.lock().body_sent;
        #[cfg(not(feature = "http"))]
        None
    }

    /// Returns the ETag of a file of S3 that consists of exactly the sent parts: the MD5 of their MD5s, and their
    /// number. `None` if an ETag is no MD5, as with encryption by a key of KMS.
    pub(crate) fn etag_of_parts(&self) -> Option<String> {
        #[cfg(feature = "http")]
        return etag_of_parts(&self.lock().part_tags);
        #[cfg(not(feature = "http"))]
        None
    }

    /// Waits until a part could not be sent. Forever if no part fails.
    pub(crate) async fn part_failed(&self) {
        #[cfg(feature = "http")]
        return self.wait_until(|inner| inner.failed_part.is_some()).await;
        #[cfg(not(feature = "http"))]
        std::future::pending().await
    }

    /// Takes the error of the first part that could not be sent, and the number of its retries.
    pub(crate) fn take_failed_part(&self) -> Option<(opendal::Error, u32)> {
        #[cfg(feature = "http")]
        return self.lock().failed_part.take();
        #[cfg(not(feature = "http"))]
        None
    }

    /// Waits until all of OpenDAL's tasks have ended.
    pub(crate) async fn tasks_ended(&self) {
        #[cfg(feature = "http")]
        return self.wait_until(|inner| inner.tasks == 0).await;
        #[cfg(not(feature = "http"))]
        std::future::pending().await
    }

    /// Waits until no request is under way.
    pub(crate) async fn are_over(&self) {
        #[cfg(feature = "http")]
        self.wait_until(|inner| inner.under_way == 0).await;
    }

    /// Returns `true` if the service has stored other content than was sent.
    #[cfg(feature = "http")]
    pub(crate) fn is_damaged(&self) -> bool {
        self.lock().damaged
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a retry of the running operation.
#[cfg(feature = "remote")]
pub(crate) fn count_retry() {
    Attempts::current().lock().retries += 1;
}

#[cfg(feature = "http")]
fn etag_of_parts(part_tags: &BTreeMap<u32, String>) -> Option<String> {
    let mut digests = Md5::new();
    for etag in part_tags.values() {
        digests.update(digest::of_etag(etag)?);
    }
    (!part_tags.is_empty()).then(|| format!("\"{}-{}\"", hex(&digests.finalize()), part_tags.len()))
}

#[cfg(feature = "http")]
impl Attempts {
    /// Records the outcome of an exchange whose request has this `idempotency`.
    pub(crate) fn record(&self, idempotency: Idempotency, outcome: Outcome) {
        self.lock().history.get_or_insert_default().record(idempotency, outcome);
    }

    /// Records that the body of the last response reports a rejection, whatever its status.
    pub(crate) fn record_rejection_by_body(&self) {
        if let Some(history) = &mut self.lock().history {
            history.record_rejection_by_body();
        }
    }

    /// Returns `true` if the operation must not replace a file.
    pub(crate) fn never_replaces(&self) -> bool {
        self.lock().never_replaces
    }

    /// Records whether the last response that could confirm the encryption has done so.
    pub(crate) fn record_encryption(&self, confirmed: bool) {
        self.lock().unencrypted = !confirmed;
    }

    /// Records entries that a listing does not show.
    pub(crate) fn record_left_out(&self, entries: u64) {
        self.lock().left_out += entries;
    }

    /// Records the time of a response to a listing by the service's clock.
    pub(crate) fn record_date(&self, date: Option<Timestamp>) {
        self.lock().date = date;
    }

    /// Records the listing of the folder at the path of a URL. Returns the size of the listings of all folders on the
    /// way to it: OpenDAL holds their entries while it lists the folders below.
    pub(crate) fn record_listing(&self, path: &str, bytes: usize) -> usize {
        let folder = format!("{}/", path.trim_end_matches('/'));
        let listings = &mut self.lock().listings;
        listings.retain(|(above, _)| folder.starts_with(above) && folder != *above);
        listings.push((folder, bytes));
        listings.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Sets the body that every PUT of WebDAV sends.
    pub(crate) fn send_body(&self, body: Arc<Body>) {
        self.lock().body = Some(body);
    }

    /// Returns the body that a PUT of WebDAV sends.
    pub(crate) fn body(&self) -> Option<Arc<Body>> {
        self.lock().body.clone()
    }

    /// Records the number of bytes of the body that a PUT has sent, and whether the body can be sent again.
    pub(crate) fn record_body_sent(&self, bytes: u64, replayable: bool) {
        let mut inner = self.lock();
        inner.body_sent = Some(bytes);
        inner.body_is_consumed = !replayable;
    }

    /// Returns `true` unless the body was read and cannot be opened again.
    pub(crate) fn is_replayable(&self) -> bool {
        !self.lock().body_is_consumed
    }

    /// Records the ETag of a part.
    pub(crate) fn record_part(&self, number: u32, etag: &str) {
        self.lock().part_tags.insert(number, etag.to_owned());
    }

    /// Records that a part could not be sent. The upload ends with the first of these errors.
    pub(crate) fn fail_part(&self, error: opendal::Error, retries: u32) {
        self.lock().failed_part.get_or_insert((error, retries));
        self.1.notify_waiters();
    }

    /// Records a request that is under way until the result is dropped.
    pub(crate) fn begin_request(&self) -> UnderWay {
        self.lock().under_way += 1;
        UnderWay(self.clone())
    }

    /// Records that the ETags of the file are no digests.
    pub(crate) fn record_opaque_etag(&self) {
        self.lock().etag_is_opaque = true;
    }

    /// Returns `true` if the ETags of the file are no digests.
    pub(crate) fn is_etag_opaque(&self) -> bool {
        self.lock().etag_is_opaque
    }

    /// Records that the service has stored other content than was sent, or that it has stored the right content.
    pub(crate) fn record_damage(&self, damaged: bool) {
        self.lock().damaged = damaged;
    }

    /// Sets the digest of the content that one request sends.
    pub(crate) fn send_content(&self, digest: Md5Digest) {
        self.lock().content_digest = Some(digest);
    }

    /// Returns the digest of the content that one request sends.
    pub(crate) fn content_digest(&self) -> Option<Md5Digest> {
        self.lock().content_digest
    }

    /// Sets the generation of the file that is read.
    pub(crate) fn read_generation(&self, generation: Option<&str>) {
        self.lock().generation = generation.map(str::to_owned);
    }

    /// Returns `false` if `generation` is another one than that of the file that is read.
    pub(crate) fn is_generation(&self, generation: &str) -> bool {
        self.lock().generation.as_ref().is_none_or(|expected| expected == generation)
    }

    /// Returns the total time that the service has asked to wait.
    pub(crate) fn waited(&self) -> Duration {
        self.lock().waited
    }

    /// Delays the next request by `wait`, from now on.
    pub(crate) fn postpone(&self, wait: Duration) {
        let mut inner = self.lock();
        let now = Instant::now();
        let Some(until) = now.checked_add(wait) else { return };
        // Several requests at once may be told to wait at the same time.
        let before = inner.not_before.map_or(now, |before| before.max(now));
        if until > before {
            inner.not_before = Some(until);
            inner.waited = inner.waited.saturating_add(until - before);
        }
    }

    /// Waits for the delay that [`postpone`](Self::postpone) has set, or until requests fail at once.
    pub(crate) async fn pause(&self) {
        let until = self.lock().not_before;
        if let Some(until) = until {
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                () = self.are_cut_off() => {}
            }
        }
    }
}

/// A request that is under way.
#[cfg(feature = "http")]
#[derive(Debug)]
pub(crate) struct UnderWay(Attempts);

#[cfg(feature = "http")]
impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.lock().under_way -= 1;
        self.0.1.notify_waiters();
    }
}

/// Runs the tasks of OpenDAL, such as the requests for several parts at once, with the attempts of their operation.
#[cfg(feature = "http")]
#[derive(Debug)]
pub(crate) struct Tasks;

#[cfg(feature = "http")]
impl Execute for Tasks {
    fn execute(&self, task: BoxedStaticFuture<()>) {
        let attempts = Attempts::current();
        attempts.lock().tasks += 1;
        let running = RunningTask(attempts.clone());
        drop(tokio::spawn(attempts.scope(async move {
            task.await;
            drop(running);
        })));
    }
}

/// A task that has not ended.
#[cfg(feature = "http")]
struct RunningTask(Attempts);

#[cfg(feature = "http")]
impl Drop for RunningTask {
    fn drop(&mut self) {
        self.0.lock().tasks -= 1;
        self.0.1.notify_waiters();
    }
}
