//! [`AlteredStore`]: a memory store that stores other bytes than it receives, or whose reads consume their files.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use filestore_core::{
    Body, Capabilities, Delete, Download, Downloaded, FileStore, FileUrl, List, Page, ReadEffect, Result, Stat, Store,
    StoredFile, Upload, UrlRequest,
};
use filestore_local::MemoryStore;

/// A store over a memory store, with a capability or a content changed.
#[derive(Debug)]
pub(crate) struct AlteredStore {
    inner: MemoryStore,
    capabilities: Capabilities,
    alter: fn(Bytes) -> Bytes,
    consumes: bool,
}

impl AlteredStore {
    /// Returns a store that stores `alter` of each content.
    pub(crate) fn storing(alter: fn(Bytes) -> Bytes) -> Self {
        let inner = MemoryStore::new();
        Self { capabilities: inner.capabilities().clone(), inner, alter, consumes: false }
    }

    /// Returns a store whose files can be read once.
    pub(crate) fn single_use() -> Self {
        let mut store = Self::storing(|content| content);
        store.capabilities.read_effect = ReadEffect::Consumes;
        store.consumes = true;
        store
    }

    /// Removes the digests that the service reports.
    pub(crate) fn without_digests(mut self) -> Self {
        self.capabilities.digests.clear();
        self
    }

    pub(crate) fn named(self, name: &str) -> Store {
        Store::new(name, Arc::new(self)).unwrap()
    }

    fn shown(&self, mut file: StoredFile) -> StoredFile {
        if self.capabilities.digests.is_empty() {
            file.digests.clear();
        }
        file
    }
}

#[async_trait]
impl FileStore for AlteredStore {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn upload(&self, mut request: Upload) -> Result<StoredFile> {
        let content = request.body.open().await?.collect(1 << 20).await?;
        request.body = Body::from((self.alter)(content));
        self.inner.upload(request).await.map(|file| self.shown(file))
    }

    async fn list(&self, request: List) -> Result<Page> {
        let mut page = self.inner.list(request).await?;
        page.files = page.files.into_iter().map(|file| self.shown(file)).collect();
        // A listing of S3 has no media type.
        page.files.iter_mut().for_each(|file| file.content_type = None);
        Ok(page)
    }

    async fn stat(&self, request: Stat) -> Result<StoredFile> {
        self.inner.stat(request).await.map(|file| self.shown(file))
    }

    async fn download(&self, request: Download) -> Result<Downloaded> {
        let reference = request.reference.clone();
        let mut downloaded = self.inner.download(request).await?;
        downloaded.file = self.shown(downloaded.file);
        if self.consumes {
            self.inner.delete(Delete::from(reference)).await?;
        }
        Ok(downloaded)
    }

    async fn delete(&self, request: Delete) -> Result<()> {
        self.inner.delete(request).await
    }

    async fn url(&self, request: UrlRequest) -> Result<FileUrl> {
        self.inner.url(request).await
    }
}
