//! [`FileStore`], what backends implement, and [`Store`], what applications hold.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, Stream, TryStreamExt};

use crate::reference::is_store_name;
use crate::{
    Capabilities, CursorLoopGuard, Delete, Download, Downloaded, Effect, Error, ErrorKind, Feature, FileRef, FileStore,
    FileUrl, Layer, List, Operation, Options, Page, Requirement, Result, Stat, StoredFile, Upload, UrlRequest,
    check_runtime, validate_scope,
};

/// The handle of a store: its logical name over any [`FileStore`]. Cheap to clone.
///
/// It checks every request before anything is sent, stamps its name into the references that leave
/// it, rejects references of other stores, and adds its name to errors.
#[derive(Debug, Clone)]
pub struct Store {
    name: Arc<str>,
    aliases: Vec<String>,
    options: Options,
    inner: Arc<dyn FileStore>,
}

impl Store {
    /// Creates a store called `name` over `inner`.
    ///
    /// Fails with *config* unless the name consists of letters, digits, `-` and `_`: it stands in
    /// references, and any other could not be parsed again.
    pub fn new(name: &str, inner: Arc<dyn FileStore>) -> Result<Self> {
        check_store_name(name)?;
        Ok(Self { name: name.into(), aliases: Vec::new(), options: Options::default(), inner })
    }

    /// Accepts references that carry one of `aliases`, too: names that the store had before.
    ///
    /// Fails with *config* for an alias that could not be the [name](Self::new) of a store.
    pub fn with_aliases(mut self, aliases: impl IntoIterator<Item = String>) -> Result<Self> {
        for alias in aliases {
            check_store_name(&alias)?;
            self.aliases.push(alias);
        }
        Ok(self)
    }

    /// Provider options that hold for every upload, each one unless the upload sets it.
    pub fn with_options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// The provider options that hold for every upload.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Puts `layer` around it.
    pub fn layer(mut self, layer: &(impl Layer + ?Sized)) -> Self {
        self.inner = layer.layer(self.inner);
        self
    }

    /// What the handle is around.
    pub fn inner(&self) -> &Arc<dyn FileStore> {
        &self.inner
    }

    /// The store's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.name()).chain(self.aliases.iter().map(String::as_str))
    }

    /// What this store can do.
    pub fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    /// All `requirements` at once; see [`Capabilities::require`].
    pub fn require(&self, requirements: &[Requirement]) -> Result<()> {
        self.capabilities().require(requirements).map_err(|error| error.with_store(self.name()))
    }

    /// Stores a file.
    ///
    /// Nothing is stored under the name unless all of the body arrived. Errors: *invalid input* (name,
    /// scope, a body of another length than announced), *unsupported* (an option that this store does
    /// not have), *too large*, *already exists* (with [`IfExists::Fail`](crate::IfExists::Fail)), and what the service says.
    /// With effect *unknown* the file may be stored.
    pub async fn upload(&self, request: Upload) -> Result<StoredFile> {
        let name = request.name.clone();
        self.upload_checked(request).await.map_err(|error| self.context(error, Operation::Upload, Some(&name)))
    }

    async fn upload_checked(&self, mut request: Upload) -> Result<StoredFile> {
        check_runtime()?;
        let capabilities = self.capabilities();
        request.options.with_defaults(&self.options);
        request.check(capabilities)?;
        let fixed = request.body.fixed_length();
        let skipped = request.options.resolve(&capabilities.options);
        let mut file = self.inner.upload(request).await?;
        file.skipped.extend(skipped);
        self.stamp(&mut file);
        match (fixed, file.size) {
            (Some(sent), Some(stored)) if sent != stored => Err(Error::new(
                ErrorKind::Integrity,
                Effect::Applied,
                format!("{sent} bytes were sent but {stored} are stored; delete the file and send it again"),
            )
            .with_stored(file)),
            _ => Ok(file),
        }
    }

    /// One page of a listing; see [`list_all`](Self::list_all) for all of it.
    pub async fn list(&self, request: List) -> Result<Page> {
        let subject = request.scope.clone();
        self.list_checked(request).await.map_err(|error| self.context(error, Operation::List, subject.as_deref()))
    }

    async fn list_checked(&self, request: List) -> Result<Page> {
        check_runtime()?;
        self.capabilities().check(Feature::List)?;
        if request.recursive {
            self.capabilities().check(Feature::RecursiveList)?;
        }
        self.validate_scope(request.scope.as_deref())?;
        let mut page = self.inner.list(request).await?;
        for file in &mut page.files {
            self.stamp(file);
        }
        Ok(page)
    }

    /// All files of a listing, page after page as they are needed; see [`list_pages`](Self::list_pages).
    pub fn list_all(&self, request: List) -> impl Stream<Item = Result<StoredFile>> + Send + '_ {
        self.list_pages(request).map_ok(|page| stream::iter(page.files.into_iter().map(Ok))).try_flatten()
    }

    /// Returns all pages of a listing, as they are needed.
    ///
    /// A listing that does not end (a page token that comes twice, endless empty pages, the same pages again
    /// and again) is a *protocol* error; see [`CursorLoopGuard`].
    pub fn list_pages(&self, request: List) -> impl Stream<Item = Result<Page>> + Send + '_ {
        let guard = request.page.as_ref().map_or_else(CursorLoopGuard::new, CursorLoopGuard::starting_at);
        stream::try_unfold(Some((request, guard)), move |state| async move {
            let Some((request, mut guard)) = state else { return Ok(None) };
            let page = self.list(request.clone()).await?;
            let Some(token) = page.next.clone() else { return Ok(Some((page, None))) };
            page.files.iter().for_each(|file| guard.entry(&file.reference));
            page.folders.iter().for_each(|folder| guard.entry(folder));
            guard.next_page(&token).map_err(|error| self.context(error, Operation::List, request.scope.as_deref()))?;
            Ok(Some((page, Some((request.page(token), guard)))))
        })
    }

    /// The files called `name` in `scope`. Several where names are not unique; none is no error.
    ///
    /// This reads the whole listing of the scope.
    pub async fn find(&self, scope: Option<&str>, name: &str) -> Result<Vec<StoredFile>> {
        let mut list = List::new();
        list.scope = scope.map(str::to_owned);
        self.list_all(list).try_filter(|file| std::future::ready(file.name == name)).try_collect().await
    }

    /// The facts of a file. Errors: *not found*, *unsupported* where only a read would tell.
    pub async fn stat(&self, request: impl Into<Stat> + Send) -> Result<StoredFile> {
        let request = request.into();
        let reference = request.reference.clone();
        let answer = async {
            check_runtime()?;
            self.check_reference(&reference)?;
            self.capabilities().check(Feature::Stat)?;
            let mut file = self.inner.stat(request).await?;
            self.stamp(&mut file);
            Ok(file)
        };
        answer.await.map_err(|error| self.context_of(error, Operation::Stat, &reference))
    }

    /// Begins to read a file. Where a read consumes it, nothing retries this: with effect *unknown*
    /// the file is possibly consumed.
    ///
    /// The stream ends with an error if the file turns out shorter or longer than the service said.
    pub async fn download(&self, request: impl Into<Download> + Send) -> Result<Downloaded> {
        let request = request.into();
        let reference = request.reference.clone();
        self.download_checked(request).await.map_err(|error| self.context_of(error, Operation::Download, &reference))
    }

    async fn download_checked(&self, mut request: Download) -> Result<Downloaded> {
        check_runtime()?;
        self.check_reference(&request.reference)?;
        if request.range.is_some() {
            self.capabilities().check(Feature::Range)?;
        }
        let watch = request.watch.take();
        let mut answer = self.inner.download(request).await?;
        self.stamp(&mut answer.file);
        let expected = answer.range.as_ref().map(|range| range.end - range.start).or(answer.file.size);
        if let Some(expected) = expected {
            answer.stream = answer.stream.expecting(expected);
        }
        if self.capabilities().reads_consume() {
            answer.stream = answer.stream.consuming();
        }
        if let Some(watch) = watch {
            let total = answer.stream.length();
            answer.stream = answer.stream.watched(watch, total);
        }
        Ok(answer)
    }

    /// The content of a file in memory, if it is at most `limit` bytes; else *too large*, found out
    /// before the content is read where the service says the size.
    pub async fn read(&self, request: impl Into<Download> + Send, limit: usize) -> Result<Bytes> {
        let request = request.into();
        let reference = request.reference.clone();
        if request.range.is_none() {
            self.check_limit(&reference, limit).await?;
        }
        let download = self.download(request).await?;
        download.bytes(limit).await.map_err(|error| self.context_of(error, Operation::Download, &reference))
    }

    /// *Too large* where a read would consume a file that is listed with more than `limit` bytes.
    async fn check_limit(&self, reference: &FileRef, limit: usize) -> Result<()> {
        if !self.capabilities().reads_consume() || !self.capabilities().supports(Feature::Stat) {
            return Ok(());
        }
        // A file of somebody else is in no listing.
        match self.stat(reference).await.ok().and_then(|file| file.size) {
            Some(size) if size > limit as u64 => {
                let message = format!("the file has {size} bytes, more than the limit of {limit}; it was not read");
                let error = Error::new(ErrorKind::TooLarge, Effect::NotSent, message);
                Err(self.context_of(error, Operation::Download, reference))
            }
            _ => Ok(()),
        }
    }

    /// Deletes a file; one that is not there is deleted already.
    pub async fn delete(&self, request: impl Into<Delete> + Send) -> Result<()> {
        let request = request.into();
        let reference = request.reference.clone();
        let answer = async {
            check_runtime()?;
            self.check_reference(&reference)?;
            self.capabilities().check(Feature::Delete)?;
            self.inner.delete(request).await
        };
        answer.await.map_err(|error| self.context_of(error, Operation::Delete, &reference))
    }

    /// An address of the file for others. *Unsupported*, naming the longest lifetime, where the wanted
    /// one is not to be had.
    pub async fn url(&self, request: impl Into<UrlRequest> + Send) -> Result<FileUrl> {
        let request = request.into();
        let reference = request.reference.clone();
        self.url_checked(request).await.map_err(|error| self.context_of(error, Operation::Url, &reference))
    }

    async fn url_checked(&self, request: UrlRequest) -> Result<FileUrl> {
        check_runtime()?;
        let capabilities = self.capabilities();
        self.check_reference(&request.reference)?;
        capabilities.check(Feature::Url)?;
        if let (Some(wanted), Some(longest)) = (request.lifetime, capabilities.url_lifetime)
            && wanted > longest
        {
            return Err(Error::unsupported(format!(
                "a URL for {} s is not to be had; the longest lifetime is {} s",
                wanted.as_secs(),
                longest.as_secs()
            )));
        }
        self.inner.url(request).await
    }

    fn validate_scope(&self, scope: Option<&str>) -> Result<()> {
        let capabilities = self.capabilities();
        scope.map_or(Ok(()), |scope| validate_scope(scope, capabilities.scope, &capabilities.names))
    }

    /// *Invalid input* unless `reference` belongs to this store and is of its scheme. Every method that
    /// takes a reference checks it; ask yourself before you hand one to a backend's own methods.
    pub fn check_reference(&self, reference: &FileRef) -> Result<()> {
        if !self.names().any(|name| name == reference.store()) {
            return Err(Error::invalid(format!(
                "the reference belongs to the store {:?}; use that store, or declare the name as an alias of {:?}",
                reference.store(),
                self.name()
            )));
        }
        let scheme = self.capabilities().scheme.as_ref();
        if reference.scheme() != scheme {
            return Err(Error::invalid(format!(
                "the reference is of the scheme {:?}, this store's files are {scheme:?}; it was made when the store had another backend",
                reference.scheme()
            )));
        }
        Ok(())
    }

    fn stamp(&self, file: &mut StoredFile) {
        file.reference = file.reference.stamped(&self.name);
    }

    fn context(&self, mut error: Error, operation: Operation, subject: Option<&str>) -> Error {
        if let Some(file) = error.stored_mut() {
            self.stamp(file);
        }
        let error = error.with_operation(operation).with_store(self.name());
        match subject {
            Some(subject) => error.with_subject(subject),
            None => error,
        }
    }

    pub(crate) fn context_of(&self, error: Error, operation: Operation, reference: &FileRef) -> Error {
        // A reference of another store may be a bearer key there.
        let open = !self.capabilities().bearer_references && reference.scheme() == self.capabilities().scheme;
        let subject = if open { reference.to_string() } else { reference.redacted() };
        self.context(error, operation, Some(&subject))
    }
}

fn check_store_name(name: &str) -> Result<()> {
    if is_store_name(name) {
        return Ok(());
    }
    Err(Error::config(format!("{name:?} is not a store name; use letters, digits, - and _")))
}

#[async_trait]
impl FileStore for Store {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    async fn upload(&self, request: Upload) -> Result<StoredFile> {
        Self::upload(self, request).await
    }

    async fn list(&self, request: List) -> Result<Page> {
        Self::list(self, request).await
    }

    async fn stat(&self, request: Stat) -> Result<StoredFile> {
        Self::stat(self, request).await
    }

    async fn download(&self, request: Download) -> Result<Downloaded> {
        Self::download(self, request).await
    }

    async fn delete(&self, request: Delete) -> Result<()> {
        Self::delete(self, request).await
    }

    async fn url(&self, request: UrlRequest) -> Result<FileUrl> {
        Self::url(self, request).await
    }
}
