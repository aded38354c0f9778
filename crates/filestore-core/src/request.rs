//! The requests: one owned value for each operation, built with plain methods.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::progress::ProgressTracker;
use crate::{
    Body, ByteRange, Capabilities, Effect, Error, ErrorKind, Expiry, Feature, FileRef, IntoTimestamp, Observer,
    Options, Period, ProviderOptions, Result, validate_name, validate_scope,
};

/// A request to store a file.
///
/// ```
/// use filestore_core::{Body, IfExists, Period, Upload};
///
/// let upload = Upload::new("q3.pdf", "content")
///     .scope("invoices/2026")
///     .if_exists(IfExists::Fail)
///     .expires_in(Period::days(7));
/// assert_eq!(upload.name, "q3.pdf");
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Upload {
    /// The name of the file: one component, without `/`.
    pub name: String,
    /// The content.
    pub body: Body,
    /// The folder or channel. `None`: the store's default.
    pub scope: Option<String>,
    /// The expiry of the file.
    pub expiry: Expiry,
    /// The media type, if the service stores one. `None`: the service or the backend guesses it from the name.
    pub content_type: Option<String>,
    /// The time of the last modification, if the service stores one. `None`: that of the local file from which the body
    /// was [created](Body::from_path), and now for other bodies.
    pub modified: Option<Timestamp>,
    /// Custom metadata: pairs that the service stores with the file.
    pub metadata: BTreeMap<String, String>,
    /// The action if the name already exists.
    pub if_exists: IfExists,
    /// `true` if missing folders of the scope are created, which is the default.
    pub create_parents: bool,
    /// Provider options: options of one service.
    pub options: Options,
    pub(crate) on_assigned: AssignedCallback,
}

impl Upload {
    /// Creates an upload of `body` under `name`.
    pub fn new(name: impl Into<String>, body: impl Into<Body>) -> Self {
        Self {
            name: name.into(),
            body: body.into(),
            scope: None,
            expiry: Expiry::Default,
            content_type: None,
            modified: None,
            metadata: BTreeMap::new(),
            if_exists: IfExists::Replace,
            create_parents: true,
            options: Options::default(),
            on_assigned: AssignedCallback::default(),
        }
    }

    /// Creates an upload of the file at `path` under its own name. A store that supports
    /// [modification times](Feature::Modified) keeps that of the file, and other stores do without. Fails as [`Body::from_path`] does, and with *invalid
    /// input* if the name is not UTF-8.
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let body = Body::from_path(path)?;
        let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| {
            Error::invalid(format!("the name of {} is not UTF-8; give the upload another name", path.display()))
        })?;
        Ok(Self::new(name, body))
    }

    /// Sets the name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the scope: a folder or a channel.
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// Sets the expiry: an [`Expiry`], a [`Period`], or a time ([`Timestamp`] or [`SystemTime`](std::time::SystemTime)).
    pub fn expires(mut self, expiry: impl Into<Expiry>) -> Self {
        self.expiry = expiry.into();
        self
    }

    /// Sets the time from the upload to the expiry: a [`Period`] or a [`Duration`].
    pub fn expires_in(self, period: impl Into<Period>) -> Self {
        self.expires(period.into())
    }

    /// Sets the media type.
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = Some(content_type.into());
        self
    }

    /// Sets the time of the last modification.
    pub fn modified(mut self, modified: impl IntoTimestamp) -> Self {
        self.modified = Some(modified.into_timestamp());
        self
    }

    /// Adds a pair of custom metadata.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Sets the action if the name already exists.
    pub fn if_exists(mut self, if_exists: IfExists) -> Self {
        self.if_exists = if_exists;
        self
    }

    /// Sets whether missing folders of the scope are created.
    pub fn create_parents(mut self, create: bool) -> Self {
        self.create_parents = create;
        self
    }

    /// Adds options of one service. A store that does not support them rejects the upload.
    pub fn with(mut self, options: impl ProviderOptions) -> Self {
        self.options.required(Arc::new(options));
        self
    }

    /// Adds options of one service. A store that does not support them skips them and names them in
    /// [`StoredFile::skipped`](crate::StoredFile::skipped).
    pub fn with_optional(mut self, options: impl ProviderOptions) -> Self {
        self.options.optional(Arc::new(options));
        self
    }

    /// Reports the progress to `observer` after every chunk, after the observers that were set before.
    pub fn on_progress(mut self, observer: impl Observer + 'static) -> Self {
        self.body = self.body.on_progress(observer);
        self
    }

    /// Calls `callback` with the reference that the service has assigned to the file, before the first byte of the
    /// content is sent. If the callback returns an error, the upload fails with it, and nothing is stored.
    ///
    /// A program that records the reference finds the file after a crash. Only stores call it whose service adds an id
    /// before the content is sent ([`Addressing::CallerNameServerId`](crate::Addressing::CallerNameServerId)). An upload
    /// that is repeated with another id calls it again; no file with the earlier one will be stored.
    pub fn on_assigned<F, Fut>(mut self, callback: F) -> Self
    where
        F: Fn(FileRef) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        self.on_assigned = AssignedCallback(Some(Arc::new(move |reference| Box::pin(callback(reference)))));
        self
    }

    /// Returns the callback of [`on_assigned`](Self::on_assigned). For backends.
    pub fn assigned_callback(&self) -> AssignedCallback {
        self.on_assigned.clone()
    }

    /// Returns a copy of the upload if its body [can be replayed](Body::can_replay), and `None` otherwise.
    pub fn try_clone(&self) -> Option<Self> {
        Some(Self {
            name: self.name.clone(),
            body: self.body.try_clone()?,
            scope: self.scope.clone(),
            expiry: self.expiry,
            content_type: self.content_type.clone(),
            modified: self.modified,
            metadata: self.metadata.clone(),
            if_exists: self.if_exists,
            create_parents: self.create_parents,
            options: self.options.clone(),
            on_assigned: self.on_assigned.clone(),
        })
    }

    /// Returns the time of the last modification that a backend stores: [`modified`](field@Self::modified), or else that
    /// of the local file from which the body was created, as it is now. Fails with *invalid input* if the file is gone.
    pub async fn modified_or_of_file(&self) -> Result<Option<Timestamp>> {
        match self.modified {
            Some(modified) => Ok(Some(modified)),
            None => Ok(self.body.fingerprint().await?.and_then(|file| file.modified)),
        }
    }

    /// Checks the upload as a [`Store`](crate::Store) does before it calls a backend. Fails with *invalid input* (name,
    /// scope), *unsupported* (a feature that `capabilities` lack) or *too large*. Backends call it in upload methods of
    /// their own.
    pub fn check(&self, capabilities: &Capabilities) -> Result<()> {
        validate_name(&self.name, &capabilities.names)?;
        if let Some(scope) = &self.scope {
            validate_scope(scope, capabilities.scope, &capabilities.names)?;
        }
        self.options.check(&capabilities.options)?;
        let length = self.body.length();
        for (is_used, feature) in [
            (self.expiry != Expiry::Default, Feature::Expiry),
            (self.content_type.is_some(), Feature::ContentType),
            (self.modified.is_some(), Feature::Modified),
            (!self.metadata.is_empty(), Feature::Metadata),
            (self.if_exists == IfExists::Fail, Feature::IfExistsFail),
            (length.is_none(), Feature::UnknownLength),
            (length == Some(0), Feature::EmptyFile),
        ] {
            if is_used {
                capabilities.check(feature)?;
            }
        }
        match length.zip(capabilities.max_size) {
            Some((length, max)) if length > max => Err(Error::new(
                ErrorKind::TooLarge,
                Effect::NotSent,
                format!("the file has {length} bytes, but this store accepts at most {max} bytes in one file"),
            )),
            _ => Ok(()),
        }
    }
}

/// The callback of [`Upload::on_assigned`], if one is set. For backends.
#[derive(Clone, Default)]
pub struct AssignedCallback(Option<Arc<OnAssigned>>);

type OnAssigned = dyn Fn(FileRef) -> BoxFuture<'static, Result<()>> + Send + Sync;

impl AssignedCallback {
    /// Calls the callback, and returns its result.
    pub async fn call(&self, reference: FileRef) -> Result<()> {
        match &self.0 {
            Some(callback) => callback(reference).await,
            None => Ok(()),
        }
    }

    /// Returns a callback that gives the references the name of a store before it calls this one.
    pub(crate) fn stamping(self, store: Arc<str>) -> Self {
        let Some(callback) = self.0 else { return self };
        Self(Some(Arc::new(move |reference: FileRef| callback(reference.stamped(&store)))))
    }
}

impl fmt::Debug for AssignedCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AssignedCallback").field(&self.0.is_some()).finish()
    }
}

/// The action of an upload whose name already exists, and of a download whose target already exists.
///
/// In a store where every upload creates a new file, neither value applies to uploads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum IfExists {
    /// The new content replaces the old content, which is lost. The default of an upload.
    #[default]
    Replace,
    /// The request fails with *already exists*, and the old content stays.
    Fail,
}

/// A request for the metadata of a file, without its content.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Stat {
    /// The reference of the file.
    pub reference: FileRef,
}

/// A request for the content of a file.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Download {
    /// The reference of the file.
    pub reference: FileRef,
    /// The range of bytes. `None`: the whole file.
    pub range: Option<ByteRange>,
    pub(crate) tracker: Option<ProgressTracker>,
    pub(crate) on_location: LocationCallback,
    pub(crate) restore_modified: bool,
}

impl Download {
    /// Sets the range of bytes: any range of `std`, or a [`ByteRange`]. Where reads count or consume, the download then
    /// fails with *unsupported*.
    pub fn range(mut self, range: impl Into<ByteRange>) -> Self {
        self.range = Some(range.into());
        self
    }

    /// Reports the progress to `observer` after every chunk, after the observers that were set before.
    pub fn on_progress(mut self, observer: impl Observer + 'static) -> Self {
        self.tracker = Some(ProgressTracker::added(observer, self.tracker));
        self
    }

    /// Sets whether a download to the disk gives the local file the modification time of the stored file. It stays the
    /// time of the download if [`StoredFile::modified`](crate::StoredFile::modified) of the
    /// [result](crate::SavedFile::file) is `None`.
    pub fn restore_modified(mut self, restore: bool) -> Self {
        self.restore_modified = restore;
        self
    }

    /// Calls `callback` with the local path of the content, if the file is downloaded to the disk and its read
    /// [consumes](Capabilities::reads_consume) it: before the request is sent, and again when the content gets its
    /// final name. After the first call, the file at that path stays even if the future is dropped or panics. It is
    /// removed only if the request fails and the service has certainly not counted the read.
    ///
    /// If the first call returns an error, the request is not sent, and the download fails with this error.
    pub fn on_location(mut self, callback: impl Fn(&Path) -> Result<()> + Send + Sync + 'static) -> Self {
        self.on_location = LocationCallback(Some(Arc::new(callback)));
        self
    }
}

/// The callback of [`Download::on_location`], if one is set.
#[derive(Clone, Default)]
pub(crate) struct LocationCallback(Option<Arc<Callback>>);

type Callback = dyn Fn(&Path) -> Result<()> + Send + Sync;

impl LocationCallback {
    pub(crate) fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    pub(crate) fn call(&self, path: &Path) -> Result<()> {
        self.0.as_ref().map_or(Ok(()), |callback| callback(path))
    }
}

impl fmt::Debug for LocationCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LocationCallback").field(&self.0.is_some()).finish()
    }
}

/// A request to delete a file. Deleting a missing file is a success.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Delete {
    /// The reference of the file, or of a folder together with `recursive`.
    pub reference: FileRef,
    /// `true` if a folder is deleted with everything in it.
    pub recursive: bool,
}

impl Delete {
    /// Sets whether a folder is deleted with everything in it.
    pub fn recursive(mut self, recursive: bool) -> Self {
        self.recursive = recursive;
        self
    }
}

/// A request for a URL at which others can read the file.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct UrlRequest {
    /// The reference of the file.
    pub reference: FileRef,
    /// The minimum lifetime of the URL. `None`: the service decides.
    pub lifetime: Option<Duration>,
}

impl UrlRequest {
    /// Sets the minimum lifetime of the URL. If the store's URLs expire earlier, the request fails with *unsupported*,
    /// and the error states their longest lifetime.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }
}

impl From<FileRef> for Stat {
    fn from(reference: FileRef) -> Self {
        Self { reference }
    }
}

impl From<FileRef> for Download {
    fn from(reference: FileRef) -> Self {
        Self {
            reference,
            range: None,
            tracker: None,
            on_location: LocationCallback::default(),
            restore_modified: false,
        }
    }
}

impl From<FileRef> for Delete {
    fn from(reference: FileRef) -> Self {
        Self { reference, recursive: false }
    }
}

impl From<FileRef> for UrlRequest {
    fn from(reference: FileRef) -> Self {
        Self { reference, lifetime: None }
    }
}

macro_rules! from_borrowed {
    ($($request:ident)*) => {$(
        impl From<&FileRef> for $request {
            fn from(reference: &FileRef) -> Self {
                reference.clone().into()
            }
        }
    )*};
}

from_borrowed!(Stat Download Delete UrlRequest);
