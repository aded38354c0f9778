//! [`FlatListings`]: a layer for stores without recursive listings.

use std::sync::Arc;

use async_trait::async_trait;
use filestore_core::{
    Capabilities, Delete, Download, Downloaded, Feature, FileStore, FileUrl, Layer, List, Page, Result, Stat,
    StoredFile, Upload, UrlRequest,
};

/// Takes the recursive listings away.
pub(crate) struct FlatListings;

#[derive(Debug)]
struct Flat {
    inner: Arc<dyn FileStore>,
    capabilities: Capabilities,
}

impl Layer for FlatListings {
    fn layer(&self, inner: Arc<dyn FileStore>) -> Arc<dyn FileStore> {
        let capabilities = inner.capabilities().clone().unsupported(Feature::RecursiveList, "a test");
        Arc::new(Flat { inner, capabilities })
    }
}

#[async_trait]
impl FileStore for Flat {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn upload(&self, request: Upload) -> Result<StoredFile> {
        self.inner.upload(request).await
    }

    async fn list(&self, request: List) -> Result<Page> {
        self.inner.list(request).await
    }

    async fn stat(&self, request: Stat) -> Result<StoredFile> {
        self.inner.stat(request).await
    }

    async fn download(&self, request: Download) -> Result<Downloaded> {
        self.inner.download(request).await
    }

    async fn delete(&self, request: Delete) -> Result<()> {
        self.inner.delete(request).await
    }

    async fn url(&self, request: UrlRequest) -> Result<FileUrl> {
        self.inner.url(request).await
    }
}
