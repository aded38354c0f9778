//! [`FilesComStore`]: the store, and its operations that need one request.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use filestore_core::{
    Capabilities, Delete, Download, Downloaded, Effect, Error, ErrorKind, FileRef, FileStore, FileUrl, IfExists, List,
    Page, Result, Stat, StoredFile, Upload, UrlRequest,
};
use filestore_http::{Clock, Idempotency, Method, SystemClock};
use futures::lock::{Mutex, MutexGuard};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::api::{Api, Credential};
use crate::config::FilesComConfig;
use crate::metadata;
use crate::path::SitePath;
use crate::upload::options::UploadOptions;
use crate::wire::Entry;

/// The maximum number of parts in flight, of all large files together.
const MAX_PARTS: usize = 64;

/// A store for a site of Files.com, or for a folder of one. Cheap to clone; clones share connections, rate limit and
/// retry budget.
#[derive(Clone)]
pub struct FilesComStore(Arc<Shared>);

struct Shared {
    api: Api,
    config: FilesComConfig,
    root: SitePath,
    capabilities: Capabilities,
    /// One permit for each part of large files that may be in flight.
    parts: Arc<Semaphore>,
    /// Held by an upload that lost a race to create a folder, while it retries.
    folder_lock: Arc<Mutex<()>>,
}

impl FilesComStore {
    /// Creates a store for the site at the configuration's base URL. It sends no request.
    ///
    /// *Config* if the base URL has more than scheme, host, port and path, if both an API key and a session id are set, if one
    /// cannot be a header, or if the part size is out of its range. Without either, only [`login`](Self::login) works.
    pub fn new(config: FilesComConfig) -> Result<Self> {
        Self::with_clock(config, Arc::new(SystemClock::default()))
    }

    pub(crate) fn with_clock(config: FilesComConfig, clock: Arc<dyn Clock>) -> Result<Self> {
        let api = Api::new(&config, clock)?;
        let root =
            SitePath::parse(&config.root).map_err(|error| Error::config(format!("root: {}", error.message())))?;
        let mut capabilities = metadata::capabilities(&root, config.verify);
        capabilities.account = api.account();
        Ok(Self(Arc::new(Shared {
            api,
            capabilities,
            config,
            root,
            parts: Arc::new(Semaphore::new(MAX_PARTS)),
            folder_lock: Arc::default(),
        })))
    }

    /// Returns the same store for another user, over the same connections. *Invalid input* if the credential is empty,
    /// *config* if it cannot be a header.
    pub fn with_credential(&self, credential: Credential) -> Result<Self> {
        Ok(self.with_api(self.api().with_credential(Some(credential))?))
    }

    /// Returns the same store for another workspace; `None`: the service's default.
    pub fn with_workspace(&self, workspace_id: Option<u64>) -> Self {
        self.with_api(self.api().with_workspace(workspace_id))
    }

    fn with_api(&self, api: Api) -> Self {
        let Shared { config, root, capabilities, parts, folder_lock, .. } = self.0.as_ref();
        let mut capabilities = capabilities.clone();
        capabilities.account = api.account();
        Self(Arc::new(Shared {
            api,
            config: config.clone(),
            root: root.clone(),
            capabilities,
            parts: Arc::clone(parts),
            folder_lock: Arc::clone(folder_lock),
        }))
    }

    pub(crate) fn api(&self) -> &Api {
        &self.0.api
    }

    pub(crate) fn config(&self) -> &FilesComConfig {
        &self.0.config
    }

    /// Returns the folder that is the root of this store.
    pub(crate) fn root(&self) -> &SitePath {
        &self.0.root
    }

    /// Waits until a part of a large file may be sent.
    pub(crate) async fn part_permit(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        self.0.parts.acquire().await.ok()
    }

    /// Waits for the lock under which uploads that lost a race to create a folder retry one at a time.
    pub(crate) async fn folder_lock(&self) -> MutexGuard<'_, ()> {
        self.0.folder_lock.lock().await
    }

    /// Returns the path of a reference. *Invalid input* if it is not below the root of the store.
    pub(crate) fn path_of(&self, reference: &FileRef) -> Result<SitePath> {
        let path = SitePath::of(reference)?;
        match path.strip_prefix(self.root()) {
            Some(below) if !below.is_empty() => Ok(path),
            _ => Err(Error::invalid(format!(
                "the reference is outside the root of this store, {:?}; use a store with another root",
                self.root().to_string()
            ))),
        }
    }

    /// Deletes the file or folder at `path`. A folder must be empty, unless `recursive` deletes its content, too. A
    /// path that does not exist is no error.
    pub(crate) async fn remove(&self, path: &SitePath, recursive: bool) -> Result<()> {
        let mut delete = self.api().request(Method::DELETE, "files", path, Idempotency::Idempotent)?;
        if recursive {
            delete = delete.query("recursive", "true");
        }
        self.api().remove(delete).await
    }

    /// Requests the metadata of the file or folder at `path`. *Not found* if it does not exist.
    pub(crate) async fn entry(&self, path: &SitePath) -> Result<Box<Entry>> {
        let request = self.api().request(Method::GET, "file_actions/metadata", path, Idempotency::Safe)?;
        self.api().send_for_entry(request, path).await
    }
}

#[async_trait]
impl FileStore for FilesComStore {
    fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    async fn upload(&self, request: Upload) -> Result<StoredFile> {
        let path = self.upload_path(&request)?;
        let options = UploadOptions::of(&request).await?;
        if let Some(account) = &self.capabilities().account
            && let Some(source) = request.body.stored_in(account)
            && request.options.is_empty()
        {
            return self.upload_stored(source, &path, &request, &options).await;
        }
        match request.if_exists {
            IfExists::Fail => self.send_new(&path, request.body.into(), &options).await,
            _ => self.send_file(&path, request.body.into(), &options, None, None).await,
        }
    }

    async fn list(&self, request: List) -> Result<Page> {
        self.list_page(request).await
    }

    async fn stat(&self, request: Stat) -> Result<StoredFile> {
        let path = self.path_of(&request.reference)?;
        let entry = self.entry(&path).await?;
        if entry.is_folder() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                Effect::Rejected,
                format!("{path} is a folder; list it, or name a file in it"),
            ));
        }
        Ok(metadata::stored(&path, *entry))
    }

    async fn download(&self, request: Download) -> Result<Downloaded> {
        self.begin_download(request).await
    }

    async fn delete(&self, request: Delete) -> Result<()> {
        self.remove(&self.path_of(&request.reference)?, request.recursive).await
    }

    async fn url(&self, request: UrlRequest) -> Result<FileUrl> {
        self.file_url(request).await
    }
}

impl fmt::Debug for FilesComStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let credential = match self.0.api.credential() {
            Some(Credential::ApiKey(_)) => "with an API key",
            Some(Credential::Session(_)) => "with a session",
            None => "without a credential",
        };
        f.debug_tuple("FilesComStore").field(&self.0.api.base().as_str()).field(&credential).finish()
    }
}
