//! [`FilesComStore`]: the store, and the operations that are one request.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use filestore_core::{
    Capabilities, Delete, Download, Downloaded, Effect, Error, ErrorKind, FileRef, FileStore, FileUrl, IfExists, List,
    Page, Result, Stat, StoredFile, Upload, UrlRequest,
};
use filestore_http::{Clock, Idempotency, Method, SystemClock};
use futures::lock::{Mutex, MutexGuard};

use crate::api::{Api, Credential};
use crate::config::FilesComConfig;
use crate::metadata;
use crate::path::SitePath;
use crate::upload::options::UploadOptions;
use crate::wire::Entry;

/// A site of Files.com, or a folder of it, as a store. Cheap to clone; clones share connections, pace
/// and retry budget.
#[derive(Clone)]
pub struct FilesComStore(Arc<Shared>);

struct Shared {
    api: Api,
    config: FilesComConfig,
    root: SitePath,
    capabilities: Capabilities,
    /// Buffered by one who makes folders after being in somebody's way.
    making_folders: Arc<Mutex<()>>,
}

impl FilesComStore {
    /// A store over the site at the configuration's base URL. Sends nothing.
    ///
    /// *Config* if the base URL is not scheme, host and port, if both an API key and a session are given,
    /// or if one cannot be a header. Without either, only logging in works.
    pub fn new(config: FilesComConfig) -> Result<Self> {
        Self::with_clock(config, Arc::new(SystemClock::default()))
    }

    pub(crate) fn with_clock(config: FilesComConfig, clock: Arc<dyn Clock>) -> Result<Self> {
        let api = Api::new(&config, clock)?;
        let root =
            SitePath::parse(&config.root).map_err(|error| Error::config(format!("root: {}", error.message())))?;
        Ok(Self(Arc::new(Shared {
            api,
            config,
            root,
            capabilities: metadata::capabilities(),
            making_folders: Arc::default(),
        })))
    }

    /// The same store for another user, over the same connections. *Config* if the credential cannot be
    /// a header.
    pub fn with_credential(&self, credential: Credential) -> Result<Self> {
        Ok(self.with_api(self.api().with_credential(Some(credential))?))
    }

    /// The same store with requests for another workspace; `None`: the service's default.
    pub fn with_workspace(&self, workspace_id: Option<u64>) -> Self {
        self.with_api(self.api().with_workspace(workspace_id))
    }

    fn with_api(&self, api: Api) -> Self {
        let Shared { config, root, capabilities, making_folders, .. } = self.0.as_ref();
        Self(Arc::new(Shared {
            api,
            config: config.clone(),
            root: root.clone(),
            capabilities: capabilities.clone(),
            making_folders: Arc::clone(making_folders),
        }))
    }

    pub(crate) fn api(&self) -> &Api {
        &self.0.api
    }

    pub(crate) fn config(&self) -> &FilesComConfig {
        &self.0.config
    }

    /// The folder that this store is.
    pub(crate) fn root(&self) -> &SitePath {
        &self.0.root
    }

    /// A folder_lock to make folders.
    pub(crate) async fn folder_lock(&self) -> MutexGuard<'_, ()> {
        self.0.making_folders.lock().await
    }

    /// The path of a reference. *Invalid input* if it is not below the root of the store.
    pub(crate) fn path_of(&self, reference: &FileRef) -> Result<SitePath> {
        let path = SitePath::of(reference)?;
        match path.strip_prefix(self.root()) {
            Some(below) if !below.is_empty() => Ok(path),
            _ => Err(Error::invalid(format!("the reference is outside of the root of this store, {}", self.root()))),
        }
    }

    /// Deletes what is at `path`, a folder only if it is empty or goes with all that is in it. What is not
    /// there is deleted already.
    pub(crate) async fn remove(&self, path: &SitePath, recursive: bool) -> Result<()> {
        let mut delete = self.api().request(Method::DELETE, "files", path, Idempotency::Idempotent)?;
        if recursive {
            delete = delete.query("recursive", "true");
        }
        self.api().remove(delete).await
    }

    /// What is at `path`: a file or a folder. *Not found* if there is nothing.
    pub(crate) async fn entry(&self, path: &SitePath) -> Result<Box<Entry>> {
        let request = self.api().request(Method::GET, "file_actions/metadata", path, Idempotency::Safe)?;
        self.api().ask_for_entry(request, path).await
    }
}

#[async_trait]
impl FileStore for FilesComStore {
    fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    async fn upload(&self, request: Upload) -> Result<StoredFile> {
        let path = self.upload_path(&request)?;
        let options = UploadOptions::of(&request)?;
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
        self.signed_url(request).await
    }
}

impl fmt::Debug for FilesComStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = match self.0.api.credential() {
            Some(Credential::ApiKey(_)) => "with an API key",
            Some(Credential::Session(_)) => "in a session",
            None => "nobody",
        };
        f.debug_tuple("FilesComStore").field(&self.0.api.base().as_str()).field(&who).finish()
    }
}
