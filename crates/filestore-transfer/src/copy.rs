//! [`FileCopy`]: a copy of one file from one store to another.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use filestore_core::{
    Body, ByteStream, Capabilities, Digest, DigestAlgorithm, Download, Downloaded, Effect, Error, ErrorKind, Expiry,
    Feature, FileRef, IfExists, Observer, Operation, Options, Progress, ReadEffect, Result, Store, StoredFile, Support,
    Upload,
};
use futures::future::BoxFuture;
use futures::{TryStreamExt, stream};

use crate::digester::{STRONGEST_FIRST, of};
use crate::digests::{Digests, content_digest, lock};
use crate::file_metadata::with_response;
use crate::spool::{Spool, Spooled};
use crate::transfer::Transfer;

/// A copy of one file to another store, or to another place of the same one.
///
/// The content is streamed. The name, the media type, the modification time, the expiry and custom metadata are carried
/// where both stores have them.
///
/// ```
/// use filestore_core::{FileRef, Result, Store};
/// use filestore_transfer::{FileCopy, TransferPool};
/// use futures::{StreamExt, stream};
///
/// async fn copy(pool: &TransferPool, from: &Store, to: &Store, files: Vec<FileRef>) -> Result<()> {
///     let copies = files.into_iter().map(|file| (file.clone(), FileCopy::new(file).scope("archive")));
///     let mut outcomes = pool.copy_all(from, to, stream::iter(copies));
///     while let Some(outcome) = outcomes.next().await {
///         match outcome.result {
///             Ok(copied) => println!("{:?} is now {:?}", outcome.key, copied.file.reference),
///             Err(error) => eprintln!("{error}"),
///         }
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone)]
pub struct FileCopy {
    pub(crate) reference: FileRef,
    pub(crate) file: Option<StoredFile>,
    name: Option<String>,
    scope: Option<String>,
    if_exists: IfExists,
    options: Options,
    read_back: bool,
    spool: Option<Spool>,
    on_read: OnRead,
}

/// A file that was copied.
#[derive(Debug)]
#[non_exhaustive]
pub struct CopiedFile {
    /// The metadata of the new file.
    pub file: StoredFile,
    /// The properties of the source that the destination does not store, such as `content-type`.
    pub not_carried: Vec<Feature>,
    /// The strongest comparison of the new content with that of the source. No difference was found.
    pub proof: Proof,
    /// The number of bytes of the content.
    pub bytes: u64,
    /// `true` if the destination had the file already, and nothing was sent. Only a [`Migration`](crate::Migration) looks
    /// for it.
    pub was_stored: bool,
}

/// A comparison of the content at the destination with the content that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Proof {
    /// Nothing was compared: the destination reports neither a size nor a digest.
    None,
    /// The sizes were compared.
    Size,
    /// A digest that the destination reports was compared.
    Digest,
    /// The new file was read again, and the SHA-256 of the two contents was compared.
    ReadBack,
}

impl Proof {
    /// Returns the name, such as `read-back`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Size => "size",
            Self::Digest => "digest",
            Self::ReadBack => "read-back",
        }
    }
}

impl FileCopy {
    /// Creates a copy of the file to the default scope of the destination, under its own name.
    pub fn new(reference: impl Into<FileRef>) -> Self {
        Self {
            reference: reference.into(),
            file: None,
            name: None,
            scope: None,
            if_exists: IfExists::Replace,
            options: Options::default(),
            read_back: false,
            spool: None,
            on_read: OnRead::default(),
        }
    }

    /// Creates a copy of a file whose metadata is known, for example from a listing. It is not requested again.
    pub fn of(file: StoredFile) -> Self {
        Self { file: Some(file.clone()), ..Self::new(file.reference) }
    }

    /// Sets the name of the new file.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the scope of the new file: a folder or a channel of the destination.
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// Sets the action if the name exists at the destination.
    pub fn if_exists(mut self, if_exists: IfExists) -> Self {
        self.if_exists = if_exists;
        self
    }

    /// Sets the provider options of the upload to the destination.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Sets whether the new file is read again, to compare its content with that of the source. If a read of the
    /// destination counts or consumes, the copy then fails with *unsupported* before anything is sent.
    pub fn read_back(mut self, read_back: bool) -> Self {
        self.read_back = read_back;
        self
    }

    /// Allows to copy a file whose read [consumes](Capabilities::reads_consume) it. The content is read once and stored
    /// durably in `folder`; from there it is uploaded, and removed when the destination has confirmed it. If the upload
    /// fails, or the process is killed, the content stays there, and the next copy of the same reference uploads it
    /// without a read.
    ///
    /// `folder` is created, and only the user can read it. It has no effect on other stores.
    pub fn spool(self, folder: impl Into<PathBuf>) -> Self {
        self.spooled(Spool::new(folder))
    }

    pub(crate) fn spooled(mut self, spool: Spool) -> Self {
        self.spool = Some(spool);
        self
    }

    /// Passes the download of a file whose read consumes it through `hook`, which may add
    /// [`on_location`](Download::on_location) and observers to it. It has no effect on other stores.
    pub fn on_read(mut self, hook: impl Fn(Download) -> Download + Send + Sync + 'static) -> Self {
        self.on_read = OnRead::new(hook);
        self
    }

    pub(crate) fn with_on_read(mut self, on_read: OnRead) -> Self {
        self.on_read = on_read;
        self
    }

    /// Copies the file, and removes its content from the spool.
    pub(crate) async fn run(self, source: &Store, target: &Store, observer: Arc<dyn Observer>) -> Result<CopiedFile> {
        let (spool, reference) = (self.spool.clone(), self.reference.clone());
        let copied = self.copy(source, target, observer, |upload| upload).await?;
        if let Some(spool) = spool.filter(|_| source.capabilities().reads_consume()) {
            let removed = spool.remove(&reference).await;
            removed.map_err(|error| error.with_effect(Effect::Applied).with_stored(copied.file.clone()))?;
        }
        Ok(copied)
    }

    /// Copies the file. Its content stays in the spool. `prepare` receives the upload before it is sent.
    pub(crate) async fn copy(
        self,
        source: &Store,
        target: &Store,
        observer: Arc<dyn Observer>,
        prepare: impl FnOnce(Upload) -> Upload + Send,
    ) -> Result<CopiedFile> {
        let capabilities = target.capabilities();
        // 1. Reject what cannot be done before anything is read.
        self.check(source, capabilities)?;
        // 2. Get the metadata and the content.
        let content = self.content(source, target, observer).await?;
        // 3. Upload it, and compute the digests that the destination is compared by.
        let (upload, not_carried) = self.upload(&content.file, capabilities);
        let digests = Digests::new(self.algorithms(capabilities));
        let mut file = target.upload(prepare(upload(digests.over(content.body)))).await?;
        // 4. Compare what the destination stores.
        let sent = digests.finish();
        let Some(bytes) = *lock(&content.sent) else {
            // The service has copied it.
            let bytes = content.file.size.or(file.size).unwrap_or_default();
            let proof = compare(&file, bytes, &content.file.digests)?;
            return Ok(CopiedFile { file, not_carried, proof, bytes, was_stored: false });
        };
        if capabilities.support(Feature::Stat) == &Support::Native && !capabilities.supports(Feature::Verify) {
            let listed = target.stat(&file.reference).await.map_err(|error| not_proven(error, &file))?;
            file.size = listed.size.or(file.size);
            file.digests = listed.digests;
        }
        let mut proof = compare(&file, bytes, &sent)?;
        if capabilities.supports(Feature::Verify) {
            proof = Proof::Digest;
        }
        if self.read_back {
            let read = content_digest(target, &file, DigestAlgorithm::Sha256).await;
            let stored = read.map_err(|error| not_proven(error, &file))?;
            if !sent.contains(&stored) {
                return Err(differs(&file, "its SHA-256 is that of another content"));
            }
            proof = Proof::ReadBack;
        }
        Ok(CopiedFile { file, not_carried, proof, bytes, was_stored: false })
    }

    fn check(&self, source: &Store, target: &Capabilities) -> Result<()> {
        let context = |error: Error| source.context_of(error, Operation::Download, &self.reference);
        if source.capabilities().reads_consume() && self.spool.is_none() {
            let message = "a read of this store may consume the file; allow it (--consume) to copy it nevertheless";
            return Err(context(Error::unsupported(message)));
        }
        if self.read_back { check_read_back(target).map_err(context) } else { Ok(()) }
    }

    /// Checks whether the destination can store a file with the metadata `known`.
    pub(crate) fn check_upload(&self, known: &StoredFile, target: &Capabilities) -> Result<()> {
        let (upload, _) = self.upload(known, target);
        upload(Body::from_stream(stream::empty::<Result<Vec<u8>>>(), known.size)).check(target)
    }

    /// Returns the metadata and the content of the file. A read that consumes the file is done here.
    async fn content(&self, source: &Store, target: &Store, observer: Arc<dyn Observer>) -> Result<Content> {
        let consumes = source.capabilities().reads_consume();
        let spooled = match &self.spool {
            Some(spool) if consumes => spool.find(&self.reference).await?,
            _ => None,
        };
        if let Some(spooled) = spooled {
            return Content::spooled(spooled);
        }
        // 1. What the destination rejects for sure must not cost a read, which may cost the file.
        let known = match &self.file {
            Some(file) => Some(file.clone()),
            // A file of another account is not listed.
            None if consumes || !source.capabilities().supports(Feature::Stat) => {
                source.stat(&self.reference).await.ok()
            }
            None => Some(source.stat(&self.reference).await?),
        };
        if let Some(known) = &known {
            self.check_upload(known, target.capabilities())?;
        }
        // 2. The content comes from the service itself, from a spool, or from the source.
        let account = source.capabilities().account.clone();
        if let (Some(account), Some(file)) = (account, &known)
            && target.capabilities().account.as_ref() == Some(&account)
        {
            let body = SourceBody::new(source, &self.reference, None, observer);
            return Ok(body.content(file.clone(), |body| body.of_stored(account, self.reference.clone())));
        }
        if let Some((size, file)) = self.file_in_ranges(source, known.as_ref()).await? {
            let body = ranged_body(source, &file, size).on_progress(move |progress| observer.progress(progress));
            return Ok(Content { body, file, sent: Arc::new(Mutex::new(Some(size))) });
        }
        if let Some(spool) = self.spool.as_ref().filter(|_| consumes) {
            let download = Download::from(&self.reference).on_progress(move |progress| observer.progress(progress));
            return Content::spooled(spool.fetch(source, known, self.on_read.apply(download)).await?);
        }
        let Downloaded { file, stream, .. } = source.download(&self.reference).await?;
        let file = known.map_or(file.clone(), |known| with_response(known, file));
        Ok(SourceBody::new(source, &self.reference, Some(stream), observer).content(file, |body| body))
    }

    /// Returns the size and the metadata of a file that is so large that its parts are read at the same time, if that is
    /// possible: reads are free, and each response proves of which version it is.
    async fn file_in_ranges(&self, source: &Store, known: Option<&StoredFile>) -> Result<Option<(u64, StoredFile)>> {
        let capabilities = source.capabilities();
        let is_large = known.and_then(|file| file.size).is_some_and(|size| size >= READ_IN_RANGES);
        let is_possible = capabilities.read_effect == ReadEffect::None
            && capabilities.supports(Feature::Range)
            && capabilities.supports(Feature::Stat);
        if !is_large || !is_possible {
            return Ok(None);
        }
        // A listing may have less than this.
        let file = source.stat(&self.reference).await?;
        let is_proven = file.version.is_some();
        Ok(file.size.filter(|_| is_proven).map(|size| (size, file)))
    }

    /// Returns a function that creates the upload of a body, and the properties that are not carried.
    fn upload(&self, file: &StoredFile, target: &Capabilities) -> (impl FnOnce(Body) -> Upload + use<>, Vec<Feature>) {
        let name = self.name.clone().unwrap_or_else(|| file.name.clone());
        let (this, mut file, mut not_carried) = (self.clone(), file.clone(), Vec::new());
        let mut carry = |is_set: bool, feature: Feature| {
            let is_carried = is_set && target.supports(feature);
            if is_set && !is_carried {
                not_carried.push(feature);
            }
            is_carried
        };
        if !carry(file.content_type.is_some(), Feature::ContentType) {
            file.content_type = None;
        }
        if !carry(file.modified.is_some(), Feature::Modified) {
            file.modified = None;
        }
        if !carry(!file.metadata.is_empty(), Feature::Metadata) {
            file.metadata.clear();
        }
        if !carry(matches!(file.expiry, Expiry::At(_)), Feature::Expiry) {
            file.expiry = Expiry::Default;
        }
        let upload = move |body| {
            let mut upload = Upload::new(name, body).if_exists(this.if_exists).expires(file.expiry);
            upload.scope = this.scope;
            upload.content_type = file.content_type;
            upload.modified = file.modified;
            upload.metadata = file.metadata;
            upload.options = this.options;
            upload
        };
        (upload, not_carried)
    }

    /// Returns the algorithms of which a digest is needed: those that the destination reports and does not compare
    /// itself, and SHA-256 to read the file back.
    fn algorithms(&self, target: &Capabilities) -> Vec<DigestAlgorithm> {
        let reported = target.digests.iter().map(|digest| digest.algorithm);
        let mut algorithms: Vec<_> = reported.filter(|_| !target.supports(Feature::Verify)).collect();
        if self.read_back && !algorithms.contains(&DigestAlgorithm::Sha256) {
            algorithms.push(DigestAlgorithm::Sha256);
        }
        algorithms
    }
}

/// Fails with *unsupported* if a read of a new file would count or consume it.
pub(crate) fn check_read_back(target: &Capabilities) -> Result<()> {
    match target.read_effect {
        ReadEffect::None => Ok(()),
        effect => Err(Error::unsupported(format!(
            "new files cannot be read back, because a read of the destination {effect}; copy without it"
        ))),
    }
}

/// A copy to a store.
pub(crate) struct CopyTo {
    pub(crate) copy: FileCopy,
    pub(crate) target: Store,
}

impl Transfer<CopiedFile> for CopyTo {
    fn size(&self) -> Option<u64> {
        self.copy.file.as_ref().and_then(|file| file.size)
    }

    fn try_clone(&self, store: &Store) -> Option<Box<dyn Transfer<CopiedFile>>> {
        let is_free = store.capabilities().read_effect == ReadEffect::None;
        is_free.then(|| Box::new(Self { copy: self.copy.clone(), target: self.target.clone() }) as _)
    }

    fn effect_if_dropped(&self, _: &Store) -> Effect {
        Effect::Unknown
    }

    fn run(self: Box<Self>, store: Store, observer: Box<dyn Observer>) -> BoxFuture<'static, Result<CopiedFile>> {
        Box::pin(async move { self.copy.run(&store, &self.target, observer.into()).await })
    }
}

/// The size in bytes from which a content is read in ranges.
const READ_IN_RANGES: u64 = 16 << 20;

/// Returns a body whose ranges are those of one version of a stored file.
fn ranged_body(source: &Store, file: &StoredFile, size: u64) -> Body {
    let (store, reference, version) = (source.clone(), file.reference.clone(), file.version.clone());
    Body::from_ranges(size, move |range| {
        let (store, download, version) = (store.clone(), Download::from(&reference).range(range), version.clone());
        async move {
            let response = store.download(download).await?;
            if response.file.version == version {
                return Ok(response.stream);
            }
            let message =
                "the file has changed while it was copied, so its parts are of different contents; copy it again";
            Err(Error::new(ErrorKind::InvalidInput, Effect::Rejected, message))
        }
    })
}

/// The content of a file, and its metadata.
struct Content {
    body: Body,
    file: StoredFile,
    /// The number of bytes that were sent. `None`: the body was not opened.
    sent: SentBytes,
}

type SentBytes = Arc<Mutex<Option<u64>>>;

impl Content {
    fn spooled(Spooled { path, file }: Spooled) -> Result<Self> {
        let sent = Arc::new(Mutex::new(file.size));
        Ok(Self { body: Body::from_path(path)?, file, sent })
    }
}

/// The content of a stored file, which is read each time it is sent, or once if a read counts.
struct SourceBody {
    store: Store,
    reference: FileRef,
    /// The response to the first read, if it was sent already.
    first: Mutex<Option<ByteStream>>,
    sent: SentBytes,
    observer: Arc<dyn Observer>,
}

impl SourceBody {
    fn new(store: &Store, reference: &FileRef, first: Option<ByteStream>, observer: Arc<dyn Observer>) -> Arc<Self> {
        let (store, reference, first) = (store.clone(), reference.clone(), Mutex::new(first));
        Arc::new(Self { store, reference, first, sent: Arc::default(), observer })
    }

    async fn open(self: Arc<Self>) -> Result<ByteStream> {
        let first = lock(&self.first).take();
        let stream = match first {
            Some(stream) => stream,
            None => self.store.download(&self.reference).await?.stream,
        };
        *lock(&self.sent) = Some(0);
        Ok(stream)
    }

    fn content(self: Arc<Self>, file: StoredFile, finish: impl FnOnce(Body) -> Body) -> Content {
        let (sent, observed, read_effect) =
            (Arc::clone(&self.sent), Arc::clone(&self), self.store.capabilities().read_effect);
        let body = match read_effect {
            ReadEffect::None => Body::reopenable(move || Arc::clone(&self).open(), file.size),
            _ => Body::from_stream(stream::once(self.open()).try_flatten(), file.size),
        };
        let body = body.on_progress(move |progress: Progress| {
            *lock(&observed.sent) = Some(progress.transferred);
            observed.observer.progress(progress);
        });
        Content { body: finish(body), file, sent }
    }
}

/// Compares the size and the digests of `file` with those of the content that was sent.
fn compare(file: &StoredFile, bytes: u64, sent: &[Digest]) -> Result<Proof> {
    if let Some(size) = file.size.filter(|size| *size != bytes) {
        return Err(differs(file, &format!("it has {size} bytes, and {bytes} bytes were sent")));
    }
    let mut proof = if file.size.is_some() { Proof::Size } else { Proof::None };
    for algorithm in STRONGEST_FIRST {
        let (Some(stored), Some(sent)) = (of(&file.digests, algorithm), of(sent, algorithm)) else { continue };
        if stored != sent {
            let algorithm = algorithm.as_str();
            return Err(differs(
                file,
                &format!("its {algorithm} is {}, and that of the content {}", stored.hex, sent.hex),
            ));
        }
        proof = Proof::Digest;
    }
    Ok(proof)
}

/// Returns the error for a stored file that is not what was sent.
fn differs(file: &StoredFile, problem: &str) -> Error {
    let message = format!("the copy is stored, but {problem}; delete it and copy the file again");
    Error::new(ErrorKind::Integrity, Effect::Applied, message).with_stored(file.clone())
}

/// Returns the error for a file that is stored and could not be compared.
fn not_proven(error: Error, file: &StoredFile) -> Error {
    let message = format!("the copy is stored, but it could not be compared: {}", error.message());
    Error::new(error.kind(), Effect::Applied, message).with_stored(file.clone()).with_source(error)
}

/// A function that changes the download of a file whose read consumes it; see [`FileCopy::on_read`].
#[derive(Clone, Default)]
pub(crate) struct OnRead(Option<Arc<ReadHook>>);

type ReadHook = dyn Fn(Download) -> Download + Send + Sync;

impl OnRead {
    pub(crate) fn new(hook: impl Fn(Download) -> Download + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hook)))
    }

    fn apply(&self, download: Download) -> Download {
        match &self.0 {
            Some(hook) => hook(download),
            None => download,
        }
    }
}

impl fmt::Debug for OnRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnRead").field(&self.0.is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use filestore_local::FsStore;

    use super::*;

    #[tokio::test]
    async fn the_ranges_of_a_body_are_of_one_version() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new("disk", Arc::new(FsStore::new(folder.path()).unwrap())).unwrap();
        let file = store.upload(Upload::new("a", "0123456789")).await.unwrap();
        let body = ranged_body(&store, &store.stat(&file.reference).await.unwrap(), 10);
        assert_eq!(body.open_range(2, 3).await.unwrap().collect(9).await.unwrap(), "234");
        fs::write(folder.path().join("a"), "9876543210").unwrap();
        let error = body.open_range(5, 3).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::InvalidInput, Effect::Rejected), "{error}");
    }
}
