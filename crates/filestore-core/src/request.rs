//! The requests: one owned value an operation, made by plain methods.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Range, RangeFrom};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::progress::ProgressTracker;
use crate::{
    Body, Capabilities, Effect, Error, ErrorKind, Expiry, Feature, FileRef, Observer, Options, PageToken, Period,
    ProviderOptions, Result, validate_name, validate_scope,
};

/// Stores a file.
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
    /// What the file is called: one component, without `/`.
    pub name: String,
    /// The content.
    pub body: Body,
    /// Where it goes: a folder, a channel. `None`: the store's default.
    pub scope: Option<String>,
    /// When it goes away by itself.
    pub expiry: Expiry,
    /// The media type, where the service keeps one. `None`: the service decides.
    pub content_type: Option<String>,
    /// The time of the last change, where the service keeps one. `None`: now.
    pub modified: Option<Timestamp>,
    /// Pairs that the service keeps with the file.
    pub metadata: BTreeMap<String, String>,
    /// What to do when the name is taken.
    pub if_exists: IfExists,
    /// Whether missing folders of the scope are made; true unless said otherwise.
    pub create_parents: bool,
    /// Options of one service.
    pub options: Options,
}

impl Upload {
    /// An upload of `body` under `name`.
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
        }
    }

    /// An upload of the file at `path` under its own name; see [`Body::from_path`] for the errors.
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let body = Body::from_path(path)?;
        let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| {
            Error::invalid(format!("the name of {} is not UTF-8; give the file a name", path.display()))
        })?;
        Ok(Self::new(name, body))
    }

    /// Gives it another name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Puts it into `scope`.
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// Says when it goes away.
    pub fn expires(mut self, expiry: impl Into<Expiry>) -> Self {
        self.expiry = expiry.into();
        self
    }

    /// Says after which time it goes away: a [`Period`] or a [`Duration`].
    pub fn expires_in(self, period: impl Into<Period>) -> Self {
        self.expires(period.into())
    }

    /// Says its media type.
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = Some(content_type.into());
        self
    }

    /// Says when it was changed last.
    pub fn modified(mut self, modified: Timestamp) -> Self {
        self.modified = Some(modified);
        self
    }

    /// Adds a pair of metadata.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Says what to do when the name is taken.
    pub fn if_exists(mut self, if_exists: IfExists) -> Self {
        self.if_exists = if_exists;
        self
    }

    /// Says whether missing folders are made.
    pub fn create_parents(mut self, create: bool) -> Self {
        self.create_parents = create;
        self
    }

    /// Adds options of one service; a store that does not know them rejects the upload.
    pub fn with(mut self, options: impl ProviderOptions) -> Self {
        self.options.required(Arc::new(options));
        self
    }

    /// Adds options of one service; a store that does not know them skips them and says so in
    /// [`StoredFile::skipped`](crate::StoredFile::skipped).
    pub fn with_optional(mut self, options: impl ProviderOptions) -> Self {
        self.options.optional(Arc::new(options));
        self
    }

    /// Tells `observer` of every chunk.
    pub fn on_progress(mut self, observer: impl Observer + 'static) -> Self {
        self.body = self.body.on_progress(observer);
        self
    }

    /// The same upload again, exactly when its body can be replayed.
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
        })
    }

    /// What a [`Store`](crate::Store) checks before it calls a backend: *invalid input* (name, scope),
    /// *unsupported* (what these `capabilities` lack), *too large*. A backend's own uploads call it.
    pub fn check(&self, capabilities: &Capabilities) -> Result<()> {
        validate_name(&self.name, &capabilities.names)?;
        if let Some(scope) = &self.scope {
            validate_scope(scope, capabilities.scope, &capabilities.names)?;
        }
        self.options.check(&capabilities.options)?;
        let length = self.body.length();
        for (wanted, feature) in [
            (self.expiry != Expiry::Default, Feature::Expiry),
            (self.content_type.is_some(), Feature::ContentType),
            (self.modified.is_some(), Feature::Modified),
            (!self.metadata.is_empty(), Feature::Metadata),
            (self.if_exists == IfExists::Fail, Feature::IfExistsFail),
            (length.is_none(), Feature::UnknownLength),
            (length == Some(0), Feature::EmptyFile),
        ] {
            if wanted {
                capabilities.check(feature)?;
            }
        }
        match length.zip(capabilities.max_size) {
            Some((length, max)) if length > max => Err(Error::new(
                ErrorKind::TooLarge,
                Effect::NotSent,
                format!("{length} bytes exceed the {max} that this store accepts in one file"),
            )),
            _ => Ok(()),
        }
    }
}

/// What an upload does when its name is taken, and a download when its target exists.
///
/// Where every upload makes a new file, neither applies to uploads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum IfExists {
    /// The new content takes the place of the old, which is gone. The default of an upload.
    #[default]
    Replace,
    /// It fails with *already exists*, and the old content stays.
    Fail,
}

/// Asks for one page of a listing.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct List {
    /// Which folder or channel. `None`: the store's default.
    pub scope: Option<String>,
    /// At most so many files on the page. `None`: as many as the service likes.
    pub limit: Option<u32>,
    /// Where to go on; `None` begins.
    pub page: Option<PageToken>,
    /// Whether files in folders below count too.
    pub recursive: bool,
}

impl List {
    /// The first page of the store's default scope.
    pub fn new() -> Self {
        Self::default()
    }

    /// Of this folder or channel.
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// At most `limit` files; at least one.
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = Some(limit.max(1));
        self
    }

    /// Goes on after the page that gave `token`.
    pub fn page(mut self, token: PageToken) -> Self {
        self.page = Some(token);
        self
    }

    /// With all folders below.
    pub fn recursive(mut self, recursive: bool) -> Self {
        self.recursive = recursive;
        self
    }
}

/// Asks for the facts of a file, without reading its content.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Stat {
    /// Which file.
    pub reference: FileRef,
}

/// Asks for the content of a file.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Download {
    /// Which file.
    pub reference: FileRef,
    /// Which bytes; `None`: all.
    pub range: Option<ByteRange>,
    pub(crate) watch: Option<ProgressTracker>,
    pub(crate) located: Located,
}

impl Download {
    /// Only these bytes. Where reads count or consume, this is *unsupported*.
    pub fn range(mut self, range: impl Into<ByteRange>) -> Self {
        self.range = Some(range.into());
        self
    }

    /// Tells `observer` of every chunk.
    pub fn on_progress(mut self, observer: impl Observer + 'static) -> Self {
        self.watch = Some(ProgressTracker::new(Arc::new(observer)));
        self
    }

    /// Calls `callback` with the path that holds the bytes of a download to the disk whose read
    /// [consumes](Capabilities::reads_consume) the file: before the request is sent, and again when they get
    /// their final name. Whatever ends the download from then on (a dropped future and a panic included),
    /// the file at that path stays.
    pub fn on_location(mut self, callback: impl Fn(&Path) + Send + Sync + 'static) -> Self {
        self.located = Located(Some(Arc::new(callback)));
        self
    }
}

/// Who wants to know where the bytes are.
#[derive(Clone, Default)]
pub(crate) struct Located(Option<Arc<Callback>>);

type Callback = dyn Fn(&Path) + Send + Sync;

impl Located {
    pub(crate) fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    pub(crate) fn tell(&self, path: &Path) {
        if let Some(callback) = &self.0 {
            callback(path);
        }
    }
}

impl fmt::Debug for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Located").field(&self.0.is_some()).finish()
    }
}

/// Some bytes of a file: from `start`, up to but without `end`. An end beyond the file is cut; a
/// start at or beyond it is *invalid input*.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ByteRange {
    /// The first byte.
    pub start: u64,
    /// The byte after the last; `None`: to the end of the file.
    pub end: Option<u64>,
}

impl ByteRange {
    /// The bytes that this range has of a file of `size` bytes.
    pub fn of(self, size: u64) -> Result<Range<u64>> {
        if self.start >= size {
            return Err(Error::invalid(format!("the range begins at byte {}, but the file has {size}", self.start)));
        }
        Ok(self.start..self.end.map_or(size, |end| end.min(size)))
    }
}

impl From<Range<u64>> for ByteRange {
    fn from(range: Range<u64>) -> Self {
        Self { start: range.start, end: Some(range.end) }
    }
}

impl From<RangeFrom<u64>> for ByteRange {
    fn from(range: RangeFrom<u64>) -> Self {
        Self { start: range.start, end: None }
    }
}

/// Deletes a file. What is not there is deleted already: that is a success.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Delete {
    /// Which file, or which folder together with `recursive`.
    pub reference: FileRef,
    /// Whether a folder goes with everything in it.
    pub recursive: bool,
}

impl Delete {
    /// A folder with everything in it.
    pub fn recursive(mut self, recursive: bool) -> Self {
        self.recursive = recursive;
        self
    }
}

/// Asks for an address that others can read the file at.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct UrlRequest {
    /// Which file.
    pub reference: FileRef,
    /// How long the address must work at least. `None`: as long as the service likes.
    pub lifetime: Option<Duration>,
}

impl UrlRequest {
    /// For at least `lifetime`; *unsupported*, naming the longest available, where that is too long.
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
        Self { reference, range: None, watch: None, located: Located::default() }
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
