//! [`FileStore`]: the trait that backends implement.

use std::any::Any;
use std::fmt;

use async_trait::async_trait;

use crate::{
    Capabilities, Delete, Download, Downloaded, FileUrl, List, Page, Result, Stat, StoredFile, Upload, UrlRequest,
};

/// The interface of a backend or a layer: one method for each operation, none with a default.
///
/// Applications call [`Store`](crate::Store), which checks names, scopes, sizes and capabilities before it calls a
/// method here. A backend need not check them again. References arrive with any store name; a backend returns them
/// without one ([`FileRef::new`](crate::FileRef::new)).
///
/// A method that the service does not support returns the error of [`Capabilities::check`].
///
/// Every future may be dropped at any time. An upload that is dropped before its last request leaves no file under its
/// name. If it is dropped later, the file may be stored, but nothing more is sent.
///
/// [`Any`] lets an application reach what only one backend has: see [`Store::backend`](crate::Store::backend).
#[async_trait]
pub trait FileStore: Any + fmt::Debug + Send + Sync {
    /// Returns the capabilities of this store. They do not change while the store exists.
    fn capabilities(&self) -> &Capabilities;

    /// Stores a file. When this returns, the file is stored durably and listed.
    async fn upload(&self, request: Upload) -> Result<StoredFile>;

    /// Returns one page of a listing. A scope that does not exist is *not found* if the service reports it, and
    /// otherwise an empty page.
    async fn list(&self, request: List) -> Result<Page>;

    /// Returns the metadata of a file, without reading its content.
    async fn stat(&self, request: Stat) -> Result<StoredFile>;

    /// Starts to read a file. The stream reports all later errors.
    async fn download(&self, request: Download) -> Result<Downloaded>;

    /// Deletes a file. Deleting a missing file is a success.
    async fn delete(&self, request: Delete) -> Result<()>;

    /// Returns a URL at which others can read the file.
    async fn url(&self, request: UrlRequest) -> Result<FileUrl>;
}
