//! [`FileStore`]: what a backend implements.

use std::fmt;

use async_trait::async_trait;

use crate::{
    Capabilities, Delete, Download, Downloaded, FileUrl, List, Page, Result, Stat, StoredFile, Upload, UrlRequest,
};

/// What a backend or a layer implements: one method an operation, none with a default.
///
/// Callers go through [`Store`](crate::Store), which has checked names, scopes, sizes and capabilities before a
/// method here is called: a backend need not check them again. References arrive with any store name
/// and leave unstamped ([`FileRef::new`](crate::FileRef::new)).
///
/// A method that the service cannot serve returns the error of
/// [`Capabilities::check`]. Every future may be dropped at any time. An upload that is dropped before its last request
/// leaves no file under its name; afterwards the file may be stored, but nothing is sent any more.
#[async_trait]
pub trait FileStore: fmt::Debug + Send + Sync + 'static {
    /// What this store can do. The same value for as long as the store lives.
    fn capabilities(&self) -> &Capabilities;

    /// Stores a file. When this returns, it is stored durably and listed.
    async fn upload(&self, request: Upload) -> Result<StoredFile>;

    /// One page of a listing. A scope that does not exist is *not found* where the service can tell,
    /// else an empty page.
    async fn list(&self, request: List) -> Result<Page>;

    /// The facts of a file, without reading its content.
    async fn stat(&self, request: Stat) -> Result<StoredFile>;

    /// Begins to read a file. Errors after that come out of the stream.
    async fn download(&self, request: Download) -> Result<Downloaded>;

    /// Deletes a file; one that is not there is deleted already.
    async fn delete(&self, request: Delete) -> Result<()>;

    /// An address of the file for others.
    async fn url(&self, request: UrlRequest) -> Result<FileUrl>;
}
