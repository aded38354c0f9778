//! [`Store`]: the handle of a store, which applications use.

use std::any::{Any, type_name};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, Stream, TryStreamExt};

use crate::reference::is_store_name;
use crate::{
    Addressing, ByteRange, Capabilities, CursorLoopGuard, Delete, Download, Downloaded, Effect, Error, ErrorKind,
    Feature, FileRef, FileStore, FileUrl, Layer, List, Operation, Options, Page, Requirement, Result, Stat, StoredFile,
    Upload, UrlRequest, check_runtime, validate_limit, validate_scope,
};

/// The handle of a store: a name and any [`FileStore`]. It is cheap to clone.
///
/// It checks every request before anything is sent, adds its name to the references that it returns, rejects references
/// of other stores, and adds its name to errors.
#[derive(Debug, Clone)]
pub struct Store {
    name: Arc<str>,
    aliases: Vec<String>,
    options: Options,
    inner: Arc<dyn FileStore>,
    /// The store without its layers.
    backend: Arc<dyn FileStore>,
    backend_name: Arc<str>,
}

impl Store {
    /// Creates a store called `name` over `inner`.
    ///
    /// Fails with *config* unless the name consists of letters, digits, `-` and `_`. The name is part of references,
    /// and a reference with any other name could not be parsed.
    pub fn new(name: &str, inner: Arc<dyn FileStore>) -> Result<Self> {
        check_store_name(name)?;
        let (backend, backend_name) = (Arc::clone(&inner), inner.capabilities().scheme.as_ref().into());
        Ok(Self { name: name.into(), aliases: Vec::new(), options: Options::default(), inner, backend, backend_name })
    }

    /// Sets the name of the backend for errors. Without it, the scheme of the references takes its place.
    pub(crate) fn with_backend_name(mut self, name: &str) -> Self {
        self.backend_name = name.into();
        self
    }

    /// Also accepts references with one of `aliases`: former names of the store.
    ///
    /// Fails with *config* for an alias that could not be the [name](Self::new) of a store.
    pub fn with_aliases(mut self, aliases: impl IntoIterator<Item = String>) -> Result<Self> {
        for alias in aliases {
            check_store_name(&alias)?;
            self.aliases.push(alias);
        }
        Ok(self)
    }

    /// Sets the default provider options of uploads. An option that an upload sets overrides its default.
    pub fn with_options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Returns the default provider options of uploads.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Wraps the store in `layer`.
    pub fn layer(mut self, layer: &(impl Layer + ?Sized)) -> Self {
        self.inner = layer.layer(self.inner);
        self
    }

    /// Returns the [`FileStore`] inside of the handle.
    pub fn inner(&self) -> &Arc<dyn FileStore> {
        &self.inner
    }

    /// Returns the backend of the store, whose type has methods that only this service supports. It is the same value
    /// that the store uses, with the same connections.
    ///
    /// The methods of the backend act on the service directly: the [layers](Self::layer) of the store do not apply to
    /// them. Neither do its default options and its checks: call [`check_reference`](Self::check_reference) before you
    /// pass a reference. References that they return have no store name; [`FileRef::stamped`] adds it.
    ///
    /// Fails with *config* if the backend has another type than `T`.
    pub fn backend<T: FileStore>(&self) -> Result<&T> {
        let backend: &dyn Any = self.backend.as_ref();
        backend.downcast_ref().ok_or_else(|| {
            let wanted = type_name::<T>();
            let wanted = wanted.rsplit("::").next().unwrap_or(wanted);
            Error::config(format!(
                "the backend of the store is {:?}, not a {wanted}; use a store that has a {wanted}",
                self.backend_name
            ))
            .with_store(self.name())
        })
    }

    /// Returns the name of the store.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.name()).chain(self.aliases.iter().map(String::as_str))
    }

    /// Returns the features and limits of the store.
    pub fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    /// Checks all `requirements` together. Fails with *unsupported* and names every one that is not met; see
    /// [`Capabilities::require`].
    pub fn require(&self, requirements: &[Requirement]) -> Result<()> {
        self.capabilities().require(requirements).map_err(|error| error.with_store(self.name()))
    }

    /// Stores a file.
    ///
    /// Nothing is stored under the name unless the whole body arrived. With effect *unknown*, the file may be stored.
    ///
    /// Errors: *invalid input* (name, scope, a body of another length than announced), *unsupported* (an option or
    /// feature that this store lacks), *too large*, *already exists* (with
    /// [`IfExists::Fail`](crate::IfExists::Fail)), and errors of the service.
    pub async fn upload(&self, request: Upload) -> Result<StoredFile> {
        let name = request.name.clone();
        self.upload_checked(request).await.map_err(|error| self.context(error, Operation::Upload, Some(&name)))
    }

    async fn upload_checked(&self, mut request: Upload) -> Result<StoredFile> {
        check_runtime()?;
        let capabilities = self.capabilities();
        request.options.with_defaults(&self.options);
        request.check(capabilities)?;
        let fixed_length = request.body.fixed_length();
        request.on_assigned = std::mem::take(&mut request.on_assigned).stamping(Arc::clone(&self.name));
        let skipped = request.options.resolve(&capabilities.options);
        let mut file = self.inner.upload(request).await?;
        file.skipped.extend(skipped);
        self.stamp(&mut file);
        match (fixed_length, file.size) {
            (Some(sent), Some(stored)) if sent != stored => Err(Error::new(
                ErrorKind::Integrity,
                Effect::Applied,
                format!("{sent} bytes were sent, but {stored} bytes are stored; delete the file and upload it again"),
            )
            .with_stored(file)),
            _ => Ok(file),
        }
    }

    /// Returns one page of a listing; see [`list_all`](Self::list_all) for all pages.
    ///
    /// Errors: *invalid input* (scope, page token, a limit of 0), *unsupported* (listings or scopes that this store
    /// lacks), and errors of the service.
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
        validate_limit(request.limit)?;
        #[cfg(planted_bugs)]
        if let Some(page) = crate::planted_bug::stale_page(self.name(), &request) {
            return Ok(page);
        }
        #[cfg(planted_bugs)]
        let repeated = request.clone();
        let mut page = self.inner.list(request).await?;
        for file in &mut page.files {
            self.stamp(file);
        }
        #[cfg(planted_bugs)]
        crate::planted_bug::keep_page(self.name(), &repeated, &page);
        Ok(page)
    }

    /// Returns all files of a listing. Pages are requested as they are needed; see [`list_pages`](Self::list_pages),
    /// which also returns the folders and the number of entries that are left out. The stream does not borrow the store.
    pub fn list_all(&self, request: List) -> impl Stream<Item = Result<StoredFile>> + Send + use<> {
        self.list_pages(request).map_ok(|page| stream::iter(page.files.into_iter().map(Ok))).try_flatten()
    }

    /// Returns all pages of a listing, which are requested as they are needed.
    ///
    /// A listing that does not end (a repeated page token, endless empty pages, repeated pages) fails with *protocol*;
    /// see [`CursorLoopGuard`]. The stream does not borrow the store.
    pub fn list_pages(&self, request: List) -> impl Stream<Item = Result<Page>> + Send + use<> {
        let guard = request.page.as_ref().map_or_else(CursorLoopGuard::new, CursorLoopGuard::starting_at);
        stream::try_unfold((self.clone(), Some((request, guard))), async |(store, state)| {
            let Some((request, mut guard)) = state else { return Ok(None) };
            let page = store.list(request.clone()).await?;
            #[cfg(planted_bugs)]
            let page = crate::planted_bug::without_third_page(page, &request);
            let Some(token) = page.next.clone() else { return Ok(Some((page, (store, None)))) };
            page.files.iter().for_each(|file| guard.entry(&file.reference));
            page.folders.iter().for_each(|folder| guard.entry(folder));
            // A page of entries that are left out is not empty.
            if page.left_out > 0 {
                guard.entry(&token);
            }
            guard.next_page(&token).map_err(|error| store.context(error, Operation::List, request.scope.as_deref()))?;
            Ok(Some((page, (store, Some((request.page(token), guard))))))
        })
    }

    /// Returns the files called `name` in `scope`: several if names are not unique, none if there is no such file.
    ///
    /// This reads the whole listing of the scope. Errors are those of [`list`](Self::list).
    pub async fn find(&self, scope: Option<&str>, name: &str) -> Result<Vec<StoredFile>> {
        let mut list = List::new();
        list.scope = scope.map(str::to_owned);
        self.list_all(list).try_filter(|file| std::future::ready(file.name == name)).try_collect().await
    }

    /// Returns the metadata of a file. Errors: *not found*, *unsupported* where only a read could return it.
    pub async fn stat(&self, request: impl Into<Stat> + Send) -> Result<StoredFile> {
        let request = request.into();
        let reference = request.reference.clone();
        let response = async {
            check_runtime()?;
            self.check_reference(&reference)?;
            self.capabilities().check(Feature::Stat)?;
            let mut file = self.inner.stat(request).await?;
            self.stamp(&mut file);
            Ok(file)
        };
        response.await.map_err(|error| self.context_of(error, Operation::Stat, &reference))
    }

    /// Returns `true` if a file exists.
    ///
    /// Errors: *unsupported* where only a read could tell, and errors of the service. A failed request is never `false`.
    pub async fn exists(&self, request: impl Into<Stat> + Send) -> Result<bool> {
        match self.stat(request).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Returns the reference of the file `name` in `scope` (`None`: the root of the store). Sends nothing, so the file
    /// may not exist.
    ///
    /// Fails with *unsupported* if the service chooses an id or a key for each file, and with *invalid input* if `scope`
    /// or `name` is no path below the root of the store.
    ///
    /// ```
    /// # async fn example(store: filestore_core::Store) -> filestore_core::Result<()> {
    /// let reference = store.reference(Some("invoices/2026"), "q3.pdf")?;
    /// let content = store.read(reference, 1 << 20).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn reference(&self, scope: Option<&str>, name: &str) -> Result<FileRef> {
        let capabilities = self.capabilities();
        if capabilities.addressing != Addressing::CallerPath {
            let message = "the service chooses the reference of each file; keep the one that the upload returns";
            return Err(Error::unsupported(message).with_store(self.name()).with_subject(name));
        }
        let below = || scope.into_iter().flat_map(|scope| scope.split('/')).chain([name]);
        let path = below().fold(capabilities.root.clone(), |folder, component| folder.child(component));
        if below().any(str::is_empty) || path.path().is_err() {
            let message =
                "the scope or the name is no path below the root of the store: it has an empty component, . or ..";
            return Err(Error::invalid(message).with_store(self.name()).with_subject(name));
        }
        Ok(path.stamped(&self.name))
    }

    /// Starts to read a file. A read that consumes the file is never retried: with effect *unknown*, the file is
    /// possibly consumed.
    ///
    /// The stream ends with an error if the content is shorter or longer than the service stated. Its errors name the
    /// operation, the store and the file, as those of this method do.
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
        let is_full = request.range.is_some_and(ByteRange::is_full);
        let tracker = request.tracker.take();
        let reference = request.reference.clone();
        let mut response = match self.inner.download(request).await {
            // Services reject every range of an empty file.
            Err(error) if is_full && error.kind() == ErrorKind::RangeNotSatisfiable => {
                let mut response = self.inner.download(Download::from(&reference)).await?;
                response.range = Some(0..0);
                response
            }
            response => response?,
        };
        self.stamp(&mut response.file);
        let expected = response.range.as_ref().map(|range| range.end - range.start).or(response.file.size);
        if let Some(expected) = expected {
            response.stream = response.stream.expecting(expected);
        }
        if self.capabilities().reads_consume() {
            response.stream = response.stream.consuming();
        }
        let store = self.clone();
        response.stream =
            response.stream.with_context(move |error| store.context_of(error, Operation::Download, &reference));
        if let Some(tracker) = tracker {
            let total = response.stream.length();
            response.stream = response.stream.with_progress(tracker, total);
        }
        Ok(response)
    }

    /// Returns the content of a file if it has at most `limit` bytes. Fails with *too large* otherwise, before the
    /// content is read if the service states the size.
    pub async fn read(&self, request: impl Into<Download> + Send, limit: usize) -> Result<Bytes> {
        let request = request.into();
        let reference = request.reference.clone();
        if request.range.is_none() {
            self.check_limit(&reference, limit).await?;
        }
        self.download(request).await?.bytes(limit).await
    }

    /// Fails with *too large* if a read would consume the file and its listed size is more than `limit` bytes.
    async fn check_limit(&self, reference: &FileRef, limit: usize) -> Result<()> {
        if !self.capabilities().reads_consume() || !self.capabilities().supports(Feature::Stat) {
            return Ok(());
        }
        // A file of another account is not listed, so an error of `stat` does not prevent the read.
        match self.stat(reference).await.ok().and_then(|file| file.size) {
            Some(size) if size > limit as u64 => {
                let message = format!("the file has {size} bytes, but the limit is {limit} bytes; it was not read");
                let error = Error::new(ErrorKind::TooLarge, Effect::NotSent, message);
                Err(self.context_of(error, Operation::Download, reference))
            }
            _ => Ok(()),
        }
    }

    /// Deletes a file. Deleting a missing file is a success. With effect *unknown*, the file may be deleted.
    ///
    /// Errors: *invalid input* (a reference of another store, a folder without
    /// [`recursive`](Delete::recursive)), *unsupported* where files cannot be deleted, *incomplete* if a recursive delete
    /// left something, and errors of the service.
    pub async fn delete(&self, request: impl Into<Delete> + Send) -> Result<()> {
        let request = request.into();
        let reference = request.reference.clone();
        let response = async {
            check_runtime()?;
            self.check_reference(&reference)?;
            self.capabilities().check(Feature::Delete)?;
            let deleted = self.inner.delete(request).await;
            #[cfg(planted_bugs)]
            let deleted = if crate::planted_bug("lost-delete") { Ok(()) } else { deleted };
            deleted
        };
        response.await.map_err(|error| self.context_of(error, Operation::Delete, &reference))
    }

    /// Returns a URL at which others can read the file. Fails with *unsupported* if the requested lifetime is longer
    /// than that of the store's URLs; the error states the longest one.
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
        if let (Some(lifetime), Some(longest)) = (request.lifetime, capabilities.url_lifetime)
            && lifetime > longest
        {
            return Err(Error::unsupported(format!(
                "cannot create a URL that is valid for {} s: this store's URLs are valid for at most {} s; request a \
                 shorter lifetime",
                lifetime.as_secs(),
                longest.as_secs()
            )));
        }
        self.inner.url(request).await
    }

    fn validate_scope(&self, scope: Option<&str>) -> Result<()> {
        let capabilities = self.capabilities();
        scope.map_or(Ok(()), |scope| validate_scope(scope, capabilities.scope, &capabilities.names))
    }

    /// Fails with *invalid input* unless `reference` belongs to this store, or to no store, and has its scheme. Every
    /// method that takes a reference checks it. Call this before you pass a reference to methods that only the backend has.
    pub fn check_reference(&self, reference: &FileRef) -> Result<()> {
        if !reference.store().is_empty() && !self.names().any(|name| name == reference.store()) {
            return Err(Error::invalid(format!(
                "the reference belongs to the store {:?}; use that store, or declare the name as an alias of {:?}",
                reference.store(),
                self.name()
            )));
        }
        let scheme = self.capabilities().scheme.as_ref();
        if reference.scheme() != scheme {
            return Err(Error::invalid(format!(
                "the reference has the scheme {:?}, but those of this store have {scheme:?}; it was created when the \
                 store had another backend",
                reference.scheme()
            )));
        }
        Ok(())
    }

    fn stamp(&self, file: &mut StoredFile) {
        file.reference = file.reference.stamped(&self.name);
    }

    fn context(&self, error: Error, operation: Operation, subject: Option<&str>) -> Error {
        let error = error.with_operation(operation).with_store(self.name());
        match subject {
            Some(subject) => error.with_subject(subject),
            None => error,
        }
    }

    /// Returns `error` with the operation, the reference and the name of the store, as the methods of this type do. Call
    /// this for errors of methods that only the backend has.
    pub fn context_of(&self, error: Error, operation: Operation, reference: &FileRef) -> Error {
        self.context(error, operation, Some(&self.subject_of(reference)))
    }

    /// Returns `reference` as messages may show it: shortened if its text gives access to the file.
    pub fn subject_of(&self, reference: &FileRef) -> String {
        // A reference of another store may be a bearer key there.
        let show_whole = !self.capabilities().bearer_references && reference.scheme() == self.capabilities().scheme;
        if show_whole { reference.to_string() } else { reference.redacted() }
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

#[cfg(test)]
mod tests;
