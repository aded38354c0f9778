//! [`Scratch`]: a place of its own in a store, from which everything is deleted at the end.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use filestore::fileio::{FileIoStore, FileIoUpload};
use filestore::{
    Capabilities, Delete, Download, Downloaded, Effect, Error, ErrorKind, Feature, FileRef, FileStore, FileUrl, Layer,
    List, Options, Page, Result, ScopeKind, Stat, Store, StoredFile, Upload, UrlRequest,
};
use filestore_conformance::Harness;
use futures::TryStreamExt;

use crate::commands::probing::{random_suffix, remove};
use crate::interrupt::Reads;

/// The harness of a configured store, whose scopes have random names.
pub(super) struct Scratch {
    /// The store, without the layer below.
    store: Store,
    recorded: Store,
    records: Arc<Records>,
    suffix: String,
}

/// The names and files of the kit.
#[derive(Debug, Default)]
struct Records {
    /// The labels of the kit's cases. Where there are no scopes, names begin with them.
    labels: Mutex<BTreeSet<String>>,
    /// The files that were stored and not deleted.
    files: Mutex<Vec<FileRef>>,
}

impl Scratch {
    pub(super) fn new(store: Store, reads: Reads) -> Self {
        let records = Arc::new(Records::default());
        let recording = Recording { store: store.name().into(), records: Arc::clone(&records), reads };
        let recorded = store.clone().layer(&recording);
        Self { store, recorded, records, suffix: random_suffix() }
    }

    /// Describes where the test files are.
    pub(super) fn place(&self) -> String {
        match self.kind() {
            ScopeKind::Folder => format!("the folder {}", self.folder()),
            ScopeKind::Channel => format!("the channels conformance-...-{}", self.suffix),
            _ => "the store itself, under the names conformance-...".to_owned(),
        }
    }

    fn kind(&self) -> ScopeKind {
        self.store.capabilities().scope
    }

    fn folder(&self) -> String {
        format!("filestore-conformance-{}", self.suffix)
    }

    fn scope_of(&self, label: &str) -> Option<String> {
        match self.kind() {
            ScopeKind::Folder => Some(format!("{}/{label}", self.folder())),
            ScopeKind::Channel => Some(format!("{label}-{}", self.suffix)),
            _ => None,
        }
    }

    /// Deletes everything that the kit has stored, and nothing else. Returns the errors, which name what is left.
    pub(super) async fn remove_all(&self) -> Vec<Error> {
        let mut left = Vec::new();
        let recorded = std::mem::take(&mut *lock(&self.records.files));
        for reference in recorded {
            left.extend(remove(&self.store, Delete::from(reference)).await.err());
        }
        // An upload that was dropped or whose response was lost is not recorded, and folders are no files.
        if let Err(error) = self.remove_unrecorded().await {
            left.push(error.with_note(&format!("look for test files in {}", self.place())));
        }
        left
    }

    async fn remove_unrecorded(&self) -> Result<()> {
        if self.kind() == ScopeKind::Folder {
            let folder = self.store.reference(None, &self.folder())?;
            return remove(&self.store, Delete::from(folder).recursive(true)).await;
        }
        if !self.store.capabilities().supports(Feature::List) {
            return Ok(());
        }
        let labels = lock(&self.records.labels).clone();
        let scopes: BTreeSet<Option<String>> = labels.iter().map(|label| self.scope_of(label)).collect();
        for scope in scopes {
            let mut list = List::new();
            list.scope = scope;
            let is_scratch = list.scope.is_some();
            let files: Vec<StoredFile> = self.store.list_all(list).try_collect().await?;
            let is_of_kit = |file: &StoredFile| is_scratch || labels.iter().any(|label| file.name.starts_with(label));
            for file in files.into_iter().filter(is_of_kit) {
                remove(&self.store, Delete::from(file.reference)).await?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Harness for Scratch {
    async fn open(&self) -> Result<Store> {
        Ok(self.recorded.clone())
    }

    fn scope(&self, label: &str, _: ScopeKind) -> Option<String> {
        lock(&self.records.labels).insert(label.to_owned());
        self.scope_of(label)
    }

    fn reads(&self, count: u64) -> Options {
        let mut options = Options::default();
        if let (Ok(_), Ok(count)) = (self.store.backend::<FileIoStore>(), u32::try_from(count)) {
            options.required(Arc::new(FileIoUpload::new().max_downloads(count)));
        }
        options
    }
}

/// Records the files of a store. After a signal, every operation but deletes fails, so that the kit ends soon.
#[derive(Clone)]
struct Recording {
    store: Arc<str>,
    records: Arc<Records>,
    reads: Reads,
}

struct Recorded {
    inner: Arc<dyn FileStore>,
    recording: Recording,
}

impl Layer for Recording {
    fn layer(&self, inner: Arc<dyn FileStore>) -> Arc<dyn FileStore> {
        Arc::new(Recorded { inner, recording: self.clone() })
    }
}

impl Recorded {
    fn check_signal(&self) -> Result<()> {
        if self.recording.reads.is_signaled() {
            return Err(Error::new(ErrorKind::Other, Effect::NotSent, "a signal came first"));
        }
        Ok(())
    }
}

impl std::fmt::Debug for Recorded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorded").field("inner", &self.inner).finish_non_exhaustive()
    }
}

#[async_trait]
impl FileStore for Recorded {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    async fn upload(&self, request: Upload) -> Result<StoredFile> {
        self.check_signal()?;
        let result = self.inner.upload(request).await;
        let (file, others) = match &result {
            Ok(file) => (Some(file), &[][..]),
            Err(error) => (error.stored(), error.possibly_stored()),
        };
        // Below the store's handle, references have no store name yet.
        let references = file.map(|file| &file.reference).into_iter().chain(others);
        let named = references.map(|reference| reference.clone().stamped(&self.recording.store));
        lock(&self.recording.records.files).extend(named);
        result
    }

    async fn list(&self, request: List) -> Result<Page> {
        self.check_signal()?;
        self.inner.list(request).await
    }

    async fn stat(&self, request: Stat) -> Result<StoredFile> {
        self.check_signal()?;
        self.inner.stat(request).await
    }

    async fn download(&self, request: Download) -> Result<Downloaded> {
        self.check_signal()?;
        self.inner.download(request).await
    }

    async fn delete(&self, request: Delete) -> Result<()> {
        let reference = request.reference.clone().stamped(&self.recording.store);
        self.inner.delete(request).await?;
        lock(&self.recording.records.files).retain(|file| *file != reference);
        Ok(())
    }

    async fn url(&self, request: UrlRequest) -> Result<FileUrl> {
        self.check_signal()?;
        self.inner.url(request).await
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
