//! [`BrokenStore`]: a store that wraps a correct one and does one thing wrong.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use filestore_conformance::{Disturbance, Harness, Requests};
use filestore_core::{
    Capabilities, Delete, Download, Downloaded, FileStore, FileUrl, List, Options, Page, Result, Stat, Store,
    StoredFile, Upload, UrlRequest,
};
use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::memory::{Memory, Reads, Service, Shape};

/// The correct handle that a broken store wraps.
#[derive(Debug, Clone)]
pub(crate) struct Reference {
    pub(crate) store: Arc<Memory>,
    pub(crate) service: Arc<Service>,
    /// The number of the handle, from 0.
    pub(crate) handle: usize,
}

type Hook<R, A> = Arc<dyn Fn(Reference, R) -> BoxFuture<'static, Result<A>> + Send + Sync>;
type CapabilitiesHook = Arc<dyn Fn(&Service) + Send + Sync>;
type ChangeCapabilities = Arc<dyn Fn(&mut Capabilities) + Send + Sync>;

/// A mutation of a correct store, and the rule that it breaks.
#[derive(Clone)]
pub(crate) struct BrokenStore {
    pub(crate) rule: &'static str,
    pub(crate) mutation: &'static str,
    shape: Shape,
    capabilities: Option<ChangeCapabilities>,
    later: Option<ChangeCapabilities>,
    on_capabilities: Option<CapabilitiesHook>,
    alias: Option<&'static str>,
    upload: Option<Hook<Upload, StoredFile>>,
    list: Option<Hook<List, Page>>,
    stat: Option<Hook<Stat, StoredFile>>,
    download: Option<Hook<Download, Downloaded>>,
    delete: Option<Hook<Delete, ()>>,
    url: Option<Hook<UrlRequest, FileUrl>>,
}

macro_rules! hooks {
    ($($method:ident $Request:ident $Response:ty;)*) => {$(
        pub(crate) fn $method<F, Fut>(mut self, mutation: F) -> Self
        where
            F: Fn(Reference, $Request) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = Result<$Response>> + Send + 'static,
        {
            self.$method = Some(Arc::new(move |inner, request| Box::pin(mutation(inner, request))));
            self
        }
    )*};
}

impl BrokenStore {
    /// Creates a broken store of the shape [`Shape::Paths`] without any change.
    pub(crate) fn of(rule: &'static str, mutation: &'static str) -> Self {
        Self {
            rule,
            mutation,
            shape: Shape::Paths,
            capabilities: None,
            later: None,
            on_capabilities: None,
            alias: None,
            upload: None,
            list: None,
            stat: None,
            download: None,
            delete: None,
            url: None,
        }
    }

    /// Sets another shape.
    pub(crate) fn on(mut self, shape: Shape) -> Self {
        self.shape = shape;
        self
    }

    /// Changes the capabilities.
    pub(crate) fn states(mut self, change: impl Fn(&mut Capabilities) + Send + Sync + 'static) -> Self {
        self.capabilities = Some(Arc::new(change));
        self
    }

    /// Changes the capabilities after the first upload.
    pub(crate) fn later_states(mut self, change: impl Fn(&mut Capabilities) + Send + Sync + 'static) -> Self {
        self.later = Some(Arc::new(change));
        self
    }

    /// Calls `hook` when the capabilities are read.
    pub(crate) fn on_capabilities(mut self, hook: impl Fn(&Service) + Send + Sync + 'static) -> Self {
        self.on_capabilities = Some(Arc::new(hook));
        self
    }

    /// Adds an alias, the name of another store.
    pub(crate) fn alias(mut self, name: &'static str) -> Self {
        self.alias = Some(name);
        self
    }

    hooks! {
        upload Upload StoredFile;
        list List Page;
        stat Stat StoredFile;
        download Download Downloaded;
        delete Delete ();
        url UrlRequest FileUrl;
    }

    pub(crate) fn harness(&self) -> MemoryHarness {
        MemoryHarness { broken_store: Some(self.clone()), ..MemoryHarness::correct(self.shape) }
    }
}

/// A handle of a broken store.
struct BrokenHandle {
    inner: Reference,
    broken_store: BrokenStore,
    capabilities: Capabilities,
    later: Capabilities,
    uploaded: AtomicBool,
}

impl fmt::Debug for BrokenHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokenHandle").field("mutation", &self.broken_store.mutation).finish_non_exhaustive()
    }
}

impl BrokenHandle {
    fn new(inner: Reference, broken_store: BrokenStore) -> Self {
        let mut capabilities = inner.store.capabilities().clone();
        if let Some(change) = &broken_store.capabilities {
            change(&mut capabilities);
        }
        let mut later = capabilities.clone();
        if let Some(change) = &broken_store.later {
            change(&mut later);
        }
        Self { inner, broken_store, capabilities, later, uploaded: AtomicBool::new(false) }
    }
}

macro_rules! forward {
    ($self:ident $method:ident $request:ident) => {
        match &$self.broken_store.$method {
            Some(mutation) => mutation($self.inner.clone(), $request).await,
            None => $self.inner.store.$method($request).await,
        }
    };
}

#[async_trait]
impl FileStore for BrokenHandle {
    fn capabilities(&self) -> &Capabilities {
        if let Some(hook) = &self.broken_store.on_capabilities {
            hook(&self.inner.service);
        }
        if self.uploaded.load(Ordering::Relaxed) { &self.later } else { &self.capabilities }
    }

    async fn upload(&self, request: Upload) -> Result<StoredFile> {
        let result = forward!(self upload request);
        self.uploaded.store(true, Ordering::Relaxed);
        result
    }

    async fn list(&self, request: List) -> Result<Page> {
        forward!(self list request)
    }

    async fn stat(&self, request: Stat) -> Result<StoredFile> {
        forward!(self stat request)
    }

    async fn download(&self, request: Download) -> Result<Downloaded> {
        forward!(self download request)
    }

    async fn delete(&self, request: Delete) -> Result<()> {
        forward!(self delete request)
    }

    async fn url(&self, request: UrlRequest) -> Result<FileUrl> {
        forward!(self url request)
    }
}

/// A harness with every optional method, which opens a correct or a broken memory store.
pub(crate) struct MemoryHarness {
    shape: Shape,
    service: Arc<Service>,
    handles: AtomicUsize,
    broken_store: Option<BrokenStore>,
}

impl MemoryHarness {
    pub(crate) fn correct(shape: Shape) -> Self {
        Self { shape, service: Arc::default(), handles: AtomicUsize::new(0), broken_store: None }
    }

    pub(crate) fn files_left(&self) -> usize {
        self.service.count_files()
    }
}

#[async_trait]
impl Harness for MemoryHarness {
    async fn open(&self) -> Result<Store> {
        let store = Arc::new(Memory::new(self.shape, Arc::clone(&self.service)));
        let Some(broken_store) = &self.broken_store else { return Store::new("tested", store) };
        let handle = self.handles.fetch_add(1, Ordering::Relaxed);
        let inner = Reference { store, service: Arc::clone(&self.service), handle };
        let store = Store::new("tested", Arc::new(BrokenHandle::new(inner, broken_store.clone())))?;
        store.with_aliases(broken_store.alias.map(str::to_owned))
    }

    async fn requests(&self) -> Option<Requests> {
        Some(self.service.requests())
    }

    fn now(&self) -> Timestamp {
        self.service.now()
    }

    async fn advance(&self, by: Duration) -> bool {
        self.service.advance(by);
        true
    }

    async fn disturb(&self, disturbance: Disturbance) -> bool {
        self.service.disturb(disturbance);
        true
    }

    async fn fetch(&self, url: &FileUrl) -> Option<Result<Bytes>> {
        Some(self.service.fetch(self.shape, url.as_str()))
    }

    fn known_options(&self) -> Options {
        if self.shape == Shape::Keys { self.reads(2) } else { Options::default() }
    }

    fn reads(&self, count: u64) -> Options {
        let mut options = Options::default();
        if self.shape == Shape::Keys {
            options.required(Arc::new(Reads(count)));
        }
        options
    }
}
