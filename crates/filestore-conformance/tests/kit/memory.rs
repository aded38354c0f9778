//! The correct stores: a service in memory, in three shapes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use filestore_conformance::{Disturbance, Requests};
use filestore_core::{
    Addressing, ByteStream, Capabilities, Delete, Digest, DigestAlgorithm, DigestSupport, DigestWhen, Download,
    Downloaded, Effect, Error, ErrorKind, Expiry, Feature, FileRef, FileStore, FileUrl, IfExists, List, ListOrder,
    NameRules, Page, PageToken, Period, ProviderOptions, ReadEffect, Result, ScopeKind, Stat, StoredFile, Upload,
    UrlKind, UrlRequest,
};
use futures::stream;
use jiff::{SignedDuration, Timestamp};
use sha1::Digest as _;

/// The shape of a service: its scopes, its references and the effect of its reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Folders and paths; one file per path; every feature is supported.
    Paths,
    /// Channels; every upload is a new file with a new id.
    Channels,
    /// No scopes; the service chooses the keys; a read consumes the file.
    Keys,
}

/// The number of reads that a file allows: the only provider option of [`Shape::Keys`].
#[derive(Debug, Clone)]
pub(crate) struct Reads(pub(crate) u64);

impl ProviderOptions for Reads {
    fn name(&self) -> &'static str {
        "memory-reads"
    }

    fn with_defaults(self, _: &Self) -> Self {
        self
    }
}

/// The state that all handles of a store share.
#[derive(Debug, Default)]
pub(crate) struct Service {
    /// The files by the key that determines the order of a listing.
    files: Mutex<BTreeMap<String, Entry>>,
    uploads: AtomicU64,
    total: AtomicU64,
    reads: AtomicU64,
    clock: AtomicI64,
    disturbance: Mutex<Disturbance>,
    cursors: AtomicU64,
}

#[derive(Debug, Clone)]
struct Entry {
    file: StoredFile,
    scope: String,
    content: Bytes,
}

impl Service {
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::now() + SignedDuration::from_secs(self.clock.load(Ordering::Relaxed))
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.clock.fetch_add(by.as_secs().cast_signed(), Ordering::Relaxed);
    }

    pub(crate) fn disturb(&self, disturbance: Disturbance) {
        *self.disturbance.lock().unwrap_or_else(PoisonError::into_inner) = disturbance;
    }

    pub(crate) fn disturbance(&self) -> Disturbance {
        *self.disturbance.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the error of a change that was applied and whose response was lost.
    fn lost(&self) -> Result<()> {
        match self.disturbance() {
            Disturbance::LostThenRejected => Err(Error::new(
                ErrorKind::RateLimited,
                Effect::Unknown,
                "the response was lost; check before you retry",
            )),
            _ => Ok(()),
        }
    }

    /// Returns a page of an endless listing, if the disturbance is one.
    fn endless_page(&self) -> Option<Page> {
        let cursor = PageToken::new(format!("\n{}", self.cursors.fetch_add(1, Ordering::Relaxed)));
        match self.disturbance() {
            Disturbance::RepeatedCursor => Some(Page::new(Vec::new(), Some(PageToken::new("again")))),
            Disturbance::EmptyPages => Some(Page::new(Vec::new(), Some(cursor))),
            Disturbance::RepeatedPage => {
                let file = StoredFile::new(FileRef::new("memory", ["0"]), "0");
                Some(Page::new(vec![file], Some(cursor)))
            }
            _ => None,
        }
    }

    pub(crate) fn requests(&self) -> Requests {
        Requests::new(self.total.load(Ordering::Relaxed), self.reads.load(Ordering::Relaxed))
    }

    pub(crate) fn count_request(&self) {
        self.total.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_read(&self) {
        self.count_request();
        self.reads.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_files(&self) -> usize {
        self.files().len()
    }

    /// Returns the files that have not expired.
    fn files(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.now();
        files.retain(|_, entry| !matches!(entry.file.expiry, Expiry::At(end) if end <= now));
        files
    }

    /// Returns the content for a `GET` of a URL.
    pub(crate) fn fetch(&self, shape: Shape, url: &str) -> Result<Bytes> {
        let path = url.strip_prefix(HOST).unwrap_or_default();
        let locator = path.split(['?', '#']).next().unwrap_or_default();
        let reference: FileRef = format!("any:memory:{locator}").parse()?;
        self.count_read();
        self.take(shape, &reference).map(|entry| entry.content)
    }

    /// Returns a file for a read. On [`Shape::Keys`] this uses up one allowed read.
    fn take(&self, shape: Shape, reference: &FileRef) -> Result<Entry> {
        let mut files = self.files();
        let key = find(&files, reference)?;
        let Some(entry) = files.get_mut(&key) else { return Err(not_found()) };
        if shape == Shape::Keys {
            let left = entry.file.remaining_downloads.unwrap_or(1) - 1;
            entry.file.remaining_downloads = Some(left);
            let entry = entry.clone();
            if left == 0 {
                files.remove(&key);
            }
            return Ok(entry);
        }
        Ok(entry.clone())
    }
}

const HOST: &str = "https://memory.invalid/";

fn find(files: &BTreeMap<String, Entry>, reference: &FileRef) -> Result<String> {
    let components = reference.components();
    let found = files.iter().find(|(_, entry)| entry.file.reference.components() == components);
    found.map(|(key, _)| key.clone()).ok_or_else(not_found)
}

pub(crate) fn not_found() -> Error {
    Error::not_found("the file does not exist")
}

/// A handle of the store.
#[derive(Debug)]
pub(crate) struct Memory {
    shape: Shape,
    capabilities: Capabilities,
    service: Arc<Service>,
}

impl Memory {
    pub(crate) fn new(shape: Shape, service: Arc<Service>) -> Self {
        Self { shape, capabilities: capabilities(shape), service }
    }

    fn entry(&self, request: &Upload, content: Bytes) -> Result<(String, Entry)> {
        let now = self.service.now();
        let number = self.service.uploads.fetch_add(1, Ordering::Relaxed);
        // The factor is odd, so every id is unique; the order of the ids does not depend on time.
        let id = format!("{:016x}", number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let scope = request.scope.clone().unwrap_or_default();
        let name = request.name.as_str();
        let (key, reference) = match self.shape {
            Shape::Paths => {
                let path: Vec<&str> = scope.split('/').filter(|part| !part.is_empty()).chain([name]).collect();
                (path.join("/"), FileRef::new("memory", path))
            }
            Shape::Channels => (format!("{scope}\n{id}"), FileRef::new("memory", [&scope, &id, name])),
            Shape::Keys => (format!("{:020}", u64::MAX - number), FileRef::new("memory", [&id])),
        };
        let mut file = StoredFile::new(reference, name);
        file.size = Some(content.len() as u64);
        file.stored_size = file.size;
        file.created = Some(now);
        file.modified = Some(request.modified.unwrap_or(now));
        file.version = Some(number.to_string());
        file.content_type.clone_from(&request.content_type);
        file.metadata.clone_from(&request.metadata);
        file.digests = self.capabilities.digests.iter().map(|stated| digest(stated.algorithm, &content)).collect();
        file.expiry = match (request.expiry, self.shape) {
            (Expiry::Default, Shape::Keys) => Expiry::At(Period::weeks(2).after(now)?),
            (Expiry::Default | Expiry::Never, _) => Expiry::Never,
            (other, _) => other.instant(now)?.map_or(Expiry::Never, Expiry::At),
        };
        if self.shape == Shape::Keys {
            file.remaining_downloads = Some(request.options.get::<Reads>().map_or(1, |reads| reads.0));
        }
        Ok((key, Entry { file, scope, content }))
    }
}

#[async_trait]
impl FileStore for Memory {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn upload(&self, mut request: Upload) -> Result<StoredFile> {
        request.modified = request.modified_or_of_file().await?;
        let content = request.body.open().await?.collect(64 << 20).await?;
        let (key, entry) = self.entry(&request, content)?;
        self.service.count_request();
        let file = entry.file.clone();
        let mut files = self.service.files();
        if request.if_exists == IfExists::Fail && files.contains_key(&key) {
            return Err(Error::new(ErrorKind::AlreadyExists, Effect::Rejected, "the name is taken; choose another"));
        }
        files.insert(key, entry);
        self.service.lost()?;
        Ok(file)
    }

    async fn list(&self, request: List) -> Result<Page> {
        self.service.count_request();
        if let Some(page) = self.service.endless_page() {
            return Ok(page);
        }
        let scope = request.scope.unwrap_or_default();
        let below = format!("{scope}/");
        let files = self.service.files();
        let in_scope = |entry: &Entry| entry.scope == scope || (request.recursive && entry.scope.starts_with(&below));
        let after = request.page.as_ref().map_or("", PageToken::as_str);
        let mut rest = files.iter().filter(|(key, entry)| key.as_str() > after && in_scope(entry));
        let limit = request.limit.map_or(1000, |limit| limit as usize);
        let found: Vec<_> = rest.by_ref().take(limit).collect();
        let next = rest.next().and_then(|_| found.last()).map(|(key, _)| PageToken::new(key.as_str()));
        let mut page = Page::new(found.into_iter().map(|(_, entry)| entry.file.clone()).collect(), next);
        if self.shape == Shape::Paths && !request.recursive && after.is_empty() {
            let folders = files.values().filter_map(|entry| entry.scope.strip_prefix(&below)?.split('/').next());
            page.folders = folders.map(|folder| format!("{below}{folder}")).collect();
            page.folders.dedup();
        }
        Ok(page)
    }

    async fn stat(&self, request: Stat) -> Result<StoredFile> {
        self.service.count_request();
        let files = self.service.files();
        let key = find(&files, &request.reference)?;
        Ok(files[&key].file.clone())
    }

    async fn download(&self, request: Download) -> Result<Downloaded> {
        self.service.count_read();
        let Entry { file, content, .. } = self.service.take(self.shape, &request.reference)?;
        let range = match request.range {
            Some(range) => Some(range.of(content.len() as u64).map_err(|error| error.with_effect(Effect::Rejected))?),
            None => None,
        };
        let content = match &range {
            Some(range) => content.slice(range.start as usize..range.end as usize),
            None => content,
        };
        let mut downloaded = Downloaded::new(file, stream_of(content));
        downloaded.range = range;
        Ok(downloaded)
    }

    async fn delete(&self, request: Delete) -> Result<()> {
        self.service.count_request();
        if matches!(self.service.disturbance(), Disturbance::OkPage | Disturbance::OkEmpty) {
            let message = "the response did not come from the service; check the network, and check before you retry";
            return Err(Error::new(ErrorKind::Protocol, Effect::Unknown, message));
        }
        let mut files = self.service.files();
        if let Ok(key) = find(&files, &request.reference) {
            files.remove(&key);
        }
        self.service.lost()
    }

    async fn url(&self, request: UrlRequest) -> Result<FileUrl> {
        self.service.count_request();
        let text = request.reference.to_string();
        let locator = text.rsplit(':').next().unwrap_or_default();
        let now = self.service.now();
        let lifetime = request.lifetime.unwrap_or(Duration::from_secs(3600));
        let (kind, end) = match self.shape {
            Shape::Paths => (UrlKind::Signed, Some(now + SignedDuration::try_from(lifetime).unwrap_or_default())),
            Shape::Channels => (UrlKind::Direct, None),
            Shape::Keys => (UrlKind::SingleUse, None),
        };
        Ok(FileUrl::new(format!("{HOST}{locator}?signature=s"), kind, end))
    }
}

/// Returns a stream in chunks, as services send it.
pub(crate) fn stream_of(content: Bytes) -> ByteStream {
    let length = content.len() as u64;
    let chunks: Vec<_> = content.chunks(65_536).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    ByteStream::download(stream::iter(chunks), Some(length))
}

fn digest(algorithm: DigestAlgorithm, content: &[u8]) -> Digest {
    let bytes = match algorithm {
        DigestAlgorithm::Crc32 => crc32fast::hash(content).to_be_bytes().to_vec(),
        DigestAlgorithm::Md5 => md5::Md5::digest(content).to_vec(),
        DigestAlgorithm::Sha1 => sha1::Sha1::digest(content).to_vec(),
        _ => sha2::Sha256::digest(content).to_vec(),
    };
    Digest::new(algorithm, bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

fn capabilities(shape: Shape) -> Capabilities {
    let common =
        [Feature::List, Feature::Stat, Feature::Delete, Feature::Url, Feature::EmptyFile, Feature::ContentType];
    let mut stated = Capabilities::new("memory").native(common);
    match shape {
        Shape::Paths => {
            stated = stated.native([Feature::RecursiveList, Feature::Range, Feature::UnknownLength, Feature::Resume]);
            stated = stated.native([Feature::Replace, Feature::IfExistsFail, Feature::Expiry]);
            stated = stated.native([Feature::Modified, Feature::Metadata]);
            stated.max_size = Some(4 << 20);
            stated.names = NameRules { max_bytes: Some(255), ..NameRules::default() };
            stated.list_order = ListOrder::Path;
            stated.url_kind = Some(UrlKind::Signed);
            stated.url_lifetime = Some(Duration::from_secs(24 * 3600));
            let all = [DigestAlgorithm::Crc32, DigestAlgorithm::Md5, DigestAlgorithm::Sha1, DigestAlgorithm::Sha256];
            stated.digests = all.map(|algorithm| DigestSupport { algorithm, when: DigestWhen::Upload }).into();
        }
        Shape::Channels => {
            stated = stated.native([Feature::Range, Feature::Resume]);
            for feature in [Feature::Replace, Feature::IfExistsFail] {
                stated = stated.unsupported(feature, "every upload is a new file");
            }
            for feature in [Feature::UnknownLength, Feature::Expiry, Feature::Modified, Feature::Metadata] {
                stated = stated.unsupported(feature, "the service has no field for it");
            }
            stated = stated.unsupported(Feature::RecursiveList, "channels are flat");
            stated.addressing = Addressing::CallerNameServerId;
            stated.scope = ScopeKind::Channel;
            stated.max_size = Some(5 << 20);
            stated.names = NameRules { max_chars: Some(200), no_outer_space: true, ..NameRules::default() };
            stated.list_order = ListOrder::Id;
            stated.url_kind = Some(UrlKind::Direct);
        }
        Shape::Keys => {
            stated = stated.native([Feature::UnknownLength, Feature::Expiry]);
            for feature in [Feature::Range, Feature::Resume] {
                stated = stated.unsupported(feature, "a read consumes the file");
            }
            for feature in [Feature::Replace, Feature::IfExistsFail] {
                stated = stated.unsupported(feature, "every upload is a new file");
            }
            for feature in [Feature::RecursiveList, Feature::Modified, Feature::Metadata] {
                stated = stated.unsupported(feature, "the service has no field for it");
            }
            stated.addressing = Addressing::ServerKey;
            stated.scope = ScopeKind::None;
            stated.read_effect = ReadEffect::Consumes;
            stated.list_order = ListOrder::NewestFirst;
            stated.url_kind = Some(UrlKind::SingleUse);
            stated.bearer_references = true;
            stated.options = vec!["memory-reads"];
        }
    }
    stated
}
