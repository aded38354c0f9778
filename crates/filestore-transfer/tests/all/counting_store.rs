//! [`CountingStore`]: a store without content that counts its requests and takes time for each.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use filestore_core::{
    ByteStream, Capabilities, Delete, Download, Downloaded, Effect, Error, ErrorKind, Feature, FileRef, FileStore,
    FileUrl, List, Page, ReadEffect, Result, Stat, Store, StoredFile, Upload, UrlRequest,
};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::sleep;

/// A store whose requests take `delay`. Clones share the counts.
#[derive(Clone)]
pub(crate) struct CountingStore {
    delay: Duration,
    accepts: usize,
    /// Returns the error of a request: from the name of the file, and the number of earlier requests for it.
    script: Arc<Script>,
    /// The references that a listing of the root returns.
    listed: Vec<FileRef>,
    stalls: bool,
    counts: Arc<Mutex<Counts>>,
    pub(crate) capabilities: Capabilities,
}

type Script = dyn Fn(&str, usize) -> Option<Error> + Send + Sync;

#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// The names of the files, in the order of the requests that were not rejected because of too many.
    pub(crate) order: Vec<String>,
    /// The number of requests for each file.
    pub(crate) requests: BTreeMap<String, usize>,
    pub(crate) in_flight: usize,
    pub(crate) most_in_flight: usize,
    /// The bytes that the transfers in flight may buffer, if each buffers 2 MiB and at most its file.
    pub(crate) buffered: u64,
    pub(crate) most_buffered: u64,
    pub(crate) rejected: usize,
}

impl Counts {
    /// Returns the number of requests that have started, and the number of those in flight.
    pub(crate) fn state(&self) -> (usize, usize) {
        (self.order.len(), self.in_flight)
    }
}

impl CountingStore {
    pub(crate) fn new(delay: Duration) -> Self {
        let features = [Feature::List, Feature::Delete, Feature::EmptyFile, Feature::UnknownLength];
        Self {
            delay,
            accepts: usize::MAX,
            script: Arc::new(|_, _| None),
            listed: Vec::new(),
            stalls: false,
            counts: Arc::default(),
            capabilities: Capabilities::new("counting").native(features),
        }
    }

    /// Rejects requests while it has so many others.
    pub(crate) fn accepting(mut self, accepts: usize) -> Self {
        self.accepts = accepts;
        self
    }

    /// Sets the errors.
    pub(crate) fn failing(mut self, script: impl Fn(&str, usize) -> Option<Error> + Send + Sync + 'static) -> Self {
        self.script = Arc::new(script);
        self
    }

    /// Makes the content of downloads end never.
    pub(crate) fn stalling(mut self) -> Self {
        self.stalls = true;
        self
    }

    /// Sets the files of the listing: the components of the reference of each.
    pub(crate) fn listing<const N: usize>(mut self, files: [&[&str]; N]) -> Self {
        self.listed = files.iter().map(|components| FileRef::new("counting", components.iter())).collect();
        self.capabilities = self.capabilities.native([Feature::RecursiveList]);
        self
    }

    pub(crate) fn consuming(mut self) -> Self {
        self.capabilities.read_effect = ReadEffect::Consumes;
        self
    }

    pub(crate) fn store(&self) -> Store {
        Store::new("counting", Arc::new(self.clone())).unwrap()
    }

    pub(crate) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap()
    }

    async fn request(&self, name: &str, size: u64, body: Option<ByteStream>) -> Result<()> {
        let is_accepted = self.counts().in_flight < self.accepts;
        let earlier = {
            let mut counts = self.counts();
            let requests = counts.requests.entry(name.to_owned()).or_default();
            *requests += 1;
            *requests - 1
        };
        if !is_accepted {
            self.counts().rejected += 1;
            sleep(self.delay).await;
            return Err(rate_limited());
        }
        let _in_flight = InFlight::new(self, name, size);
        sleep(self.delay).await;
        if let Some(body) = body {
            body.try_for_each(|_| async { Ok(()) }).await?;
        }
        (self.script)(name, earlier).map_or(Ok(()), Err)
    }
}

/// A request, until its future is done or dropped.
struct InFlight {
    store: CountingStore,
    buffered: u64,
}

impl InFlight {
    fn new(store: &CountingStore, name: &str, size: u64) -> Self {
        let buffered = size.min(2 << 20);
        let mut counts = store.counts();
        counts.order.push(name.to_owned());
        counts.in_flight += 1;
        counts.most_in_flight = counts.most_in_flight.max(counts.in_flight);
        counts.buffered += buffered;
        counts.most_buffered = counts.most_buffered.max(counts.buffered);
        Self { store: store.clone(), buffered }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut counts = self.store.counts();
        counts.in_flight -= 1;
        counts.buffered -= self.buffered;
    }
}

pub(crate) fn rate_limited() -> Error {
    Error::new(ErrorKind::RateLimited, Effect::Rejected, "too many requests").with_http_status(429)
}

/// Returns a reference of this store.
pub(crate) fn reference(name: &str) -> FileRef {
    FileRef::new("counting", [name])
}

#[async_trait]
impl FileStore for CountingStore {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn upload(&self, request: Upload) -> Result<StoredFile> {
        let body = request.body.open().await?;
        self.request(&request.name, body.length().unwrap_or(u64::MAX), Some(body)).await?;
        Ok(StoredFile::new(reference(&request.name), request.name))
    }

    async fn download(&self, request: Download) -> Result<Downloaded> {
        let name = request.reference.components().pop().unwrap();
        self.request(&name, 0, None).await?;
        let content = stream::iter([Ok(Bytes::from_static(b"content"))]);
        if self.stalls {
            let stream = ByteStream::download(content.chain(stream::pending()), Some(8));
            return Ok(Downloaded::new(StoredFile::new(request.reference, name), stream));
        }
        let file = StoredFile::new(request.reference, name);
        Ok(Downloaded::new(file, ByteStream::download(content, Some(7))))
    }

    async fn delete(&self, request: Delete) -> Result<()> {
        self.request(&request.reference.components().pop().unwrap(), 0, None).await
    }

    async fn list(&self, _: List) -> Result<Page> {
        let name = |reference: &FileRef| reference.components().pop().unwrap();
        let files = self.listed.iter().map(|reference| StoredFile::new(reference.clone(), name(reference)));
        Ok(Page::new(files.collect(), None))
    }

    async fn stat(&self, _: Stat) -> Result<StoredFile> {
        Err(self.capabilities.check(Feature::Stat).unwrap_err())
    }

    async fn url(&self, _: UrlRequest) -> Result<FileUrl> {
        Err(self.capabilities.check(Feature::Url).unwrap_err())
    }
}

impl fmt::Debug for CountingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CountingStore").field("counts", &self.counts()).finish_non_exhaustive()
    }
}
