//! [`OpendalStore`]: the flow of each operation.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
#[cfg(feature = "sftp")]
use filestore_core::Settings;
use filestore_core::{
    ByteStream, Capabilities, Delete, Download, Downloaded, Effect, Error, ErrorKind, Feature, FileRef, FileStore,
    FileUrl, IfExists, List, Page, PageBuilder, Result, Stat, StoredFile, Upload, UrlKind, UrlRequest, components,
    guess_content_type,
};
use futures::future::join;
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
#[cfg(feature = "azblob")]
use jiff::{RoundMode, TimestampRound, Unit};
use opendal::options::{ListOptions, ReaderOptions};
use opendal::{Metadata, Operator};

use crate::attempts::Attempts;
#[cfg(feature = "azblob")]
use crate::azure_url::AzureSigner;
use crate::budget::Budget;
#[cfg(feature = "http")]
use crate::capabilities::PART_SIZE_KEY;
use crate::capabilities::{self, ServiceTraits};
#[cfg(feature = "http")]
use crate::digest::{self, ContentCheck};
use crate::error::Stage;
use crate::list_guard::ListGuard;
use crate::ranges;
use crate::send::{self, Content, UploadTask};
#[cfg(feature = "sftp")]
use crate::sftp_times::{SftpTimes, TimeToSet, time_of};
use crate::step::call;

/// The default lifetime of a URL.
const URL_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// The longest name of a file or folder on a service with folders, in bytes.
const MAX_COMPONENT: usize = 255;

/// The longest path, in bytes. Object stores accept 1,024 bytes or characters.
const MAX_PATH: usize = 4096;

/// The memory for parts of all uploads of a store, in bytes.
const UPLOAD_MEMORY: u64 = 48 * 1024 * 1024;

/// The memory for ranges that all downloads of a store read ahead, in bytes.
///
/// It is not that of uploads: a download may be the source of an upload, and would wait for it with the memory that the
/// upload needs.
const DOWNLOAD_MEMORY: u64 = 40 * 1024 * 1024;

/// Any OpenDAL operator as a store: scopes are folders (prefixes, where the service has no folders),
/// the scheme of references is that of the operator.
///
/// The operator is used with its layers and no others. Give an operator of a remote service a retry layer; the backend
/// [`Opendal`](crate::Opendal) does so itself.
#[derive(Debug, Clone)]
pub struct OpendalStore {
    operator: Operator,
    /// The operator of uploads in one request, if these need another one.
    whole_operator: Option<Operator>,
    /// The folder of the operator that is the root of the store; empty, or ending with `/`.
    root: String,
    traits: ServiceTraits,
    capabilities: Capabilities,
    /// The maximum number of parts or ranges of one file that are transferred at once.
    parallel: usize,
    /// `true` if content is compared with the digests of the service.
    #[cfg(feature = "http")]
    verify: bool,
    upload_memory: Budget,
    download_memory: Budget,
    /// `true` if the bucket or container is known to exist.
    container_seen: Arc<AtomicBool>,
    /// `true` if a file has the same version before and after it is renamed, on a service with folders.
    rename_keeps_version: Arc<OnceLock<bool>>,
    #[cfg(feature = "azblob")]
    azure_signer: Option<Arc<AzureSigner>>,
    #[cfg(feature = "sftp")]
    sftp_times: Option<Arc<SftpTimes>>,
}

impl OpendalStore {
    /// Creates a store of the files of `operator`.
    ///
    /// Fails with *config* for an operator of local files, whose store is `FsStore` of the crate `filestore-local`, and
    /// for one that cannot read, write, stat and delete.
    pub fn new(operator: Operator) -> Result<Self> {
        Self::with(operator, "", false)
    }

    /// Creates a store of the files in the folder `root` of `operator`. `transport`: all of its requests go through this
    /// crate's transport.
    pub(crate) fn with(operator: Operator, root: &str, transport: bool) -> Result<Self> {
        let info = operator.info();
        let capability = info.capability();
        let scheme = info.scheme();
        if scheme == "fs" {
            return Err(Error::config(
                "OpenDAL's local files are neither synced nor safe from links; use FsStore of filestore-local",
            ));
        }
        if !(capability.read && capability.write && capability.stat && capability.delete) {
            return Err(Error::config(format!(
                "OpenDAL's {scheme:?} cannot read, write, stat and delete files; choose another service"
            )));
        }
        let traits = ServiceTraits::of(scheme, &capability, transport);
        let root = root.trim_end_matches('/');
        Ok(Self {
            traits,
            capabilities: capabilities::capabilities(scheme, &capability, traits),
            root: if root.is_empty() { String::new() } else { format!("{root}/") },
            whole_operator: None,
            parallel: 1,
            #[cfg(feature = "http")]
            verify: false,
            upload_memory: Budget::new(UPLOAD_MEMORY),
            download_memory: Budget::new(DOWNLOAD_MEMORY),
            container_seen: Arc::default(),
            rename_keeps_version: Arc::default(),
            #[cfg(feature = "azblob")]
            azure_signer: None,
            #[cfg(feature = "sftp")]
            sftp_times: None,
            operator,
        })
    }

    /// Transfers `parallel` parts or ranges of a file at once, and compares their digests if `verify` is set. `whole` is
    /// the operator of uploads in one request, if these need another one.
    #[cfg(feature = "http")]
    pub(crate) fn transfers(mut self, parallel: std::num::NonZeroU32, verify: bool, whole: Option<Operator>) -> Self {
        self.parallel = usize::try_from(parallel.get()).unwrap_or(usize::MAX);
        self.verify = verify;
        self.whole_operator = whole;
        if verify {
            let unproven = capabilities::unproven(&self.capabilities.scheme);
            self.capabilities = self.capabilities.emulated(Feature::Verify, unproven);
        }
        self
    }

    /// Signs URLs with the account key in the configuration of Azure, if there is one.
    #[cfg(feature = "azblob")]
    pub(crate) fn signed_by(mut self, config: &opendal::services::AzblobConfig) -> Self {
        self.azure_signer = AzureSigner::from_config(config, &self.operator.info().root()).map(Arc::new);
        if self.azure_signer.is_some() {
            self.capabilities = self.capabilities.native([Feature::Url]);
            self.capabilities.url_kind = Some(UrlKind::Signed);
        }
        self
    }

    /// Keeps modification times over SFTP, with the login of the `options`.
    #[cfg(feature = "sftp")]
    pub(crate) fn timed_by(mut self, options: &Settings) -> Self {
        self.sftp_times = SftpTimes::from_options(options, &self.operator.info().root()).map(Arc::new);
        if self.sftp_times.is_some() {
            self.capabilities = self.capabilities.native([Feature::Modified]);
        }
        self
    }

    /// Returns the operator.
    pub fn operator(&self) -> &Operator {
        &self.operator
    }

    async fn stat_path(&self, path: &str) -> Result<Metadata> {
        let metadata = match call(Stage::Read, self.operator.stat(path)).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(self.missing(error).await),
            found => found?,
        };
        self.container_seen.store(true, Ordering::Relaxed);
        if metadata.is_dir() {
            return Err(Error::not_found("the path is a folder, not a file; list it"));
        }
        Ok(metadata)
    }

    /// Returns the error of a missing file, or of its bucket or container if that is missing: the response to a request
    /// for metadata has no content that would tell.
    async fn missing(&self, error: Error) -> Error {
        if !self.traits.container || self.container_seen.load(Ordering::Relaxed) {
            return error;
        }
        let guard = ListGuard::of("");
        let first = async {
            let options = ListOptions { limit: Some(1), ..ListOptions::default() };
            guard.watch(&self.operator).lister_options("/", options).await?.next().await.transpose()
        };
        match call(Stage::Read, first).await {
            Err(other) if other.kind() == ErrorKind::NotFound => other,
            Err(_) => error,
            Ok(_) => {
                self.container_seen.store(true, Ordering::Relaxed);
                error
            }
        }
    }

    /// Checks, before the body is read, what the service itself would not reject. Returns the existing file, if it was
    /// looked up.
    async fn check_target(&self, components: &[String], request: &Upload) -> Result<Option<Metadata>> {
        // Also if the service checks this itself: some servers of its protocol ignore the condition.
        let create_new = request.if_exists == IfExists::Fail;
        if self.traits.folders && !request.create_parents && components.len() > 1 {
            let parent = format!("{}/", components[..components.len() - 1].join("/"));
            let found = call(Stage::Read, self.operator.stat(&format!("{}{parent}", self.root))).await;
            found.map_err(|error| match error.kind() {
                ErrorKind::NotFound => {
                    Error::not_found(format!("there is no folder {parent:?}; create it, or upload with create_parents"))
                }
                _ => error,
            })?;
        }
        if !(create_new || self.traits.folders) {
            return Ok(None);
        }
        match call(Stage::Read, self.operator.stat(&self.path(components))).await {
            Ok(found) if found.is_dir() => Err(Error::new(
                ErrorKind::InvalidInput,
                Effect::Rejected,
                "there is a folder of that name; choose another name",
            )),
            Ok(_) if create_new => Err(Error::new(
                ErrorKind::AlreadyExists,
                Effect::Rejected,
                "a file of this name already exists and was not changed; choose another name or replace it",
            )),
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the path of the operator.
    fn path(&self, components: &[String]) -> String {
        format!("{}{}", self.root, components.join("/"))
    }

    fn reference(&self, components: &[String]) -> FileRef {
        FileRef::new(&self.capabilities.scheme, components)
    }
}

#[async_trait]
impl FileStore for OpendalStore {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn upload(&self, request: Upload) -> Result<StoredFile> {
        Attempts::default().scope(Box::pin(self.store(request))).await
    }

    async fn list(&self, request: List) -> Result<Page> {
        let attempts = Attempts::default();
        let mut page = attempts.clone().scope(Box::pin(self.page(request))).await?;
        page.left_out += attempts.left_out();
        page.date = attempts.date();
        Ok(page)
    }

    async fn stat(&self, request: Stat) -> Result<StoredFile> {
        let components = self.checked(components::of_reference(&request.reference)?)?;
        let metadata = self.stat_path(&self.path(&components)).await?;
        Ok(capabilities::stored_file(self.reference(&components), &components, &metadata, self.traits))
    }

    async fn download(&self, request: Download) -> Result<Downloaded> {
        let attempts = Attempts::default();
        attempts.clone().scope(Box::pin(self.open(request, attempts))).await
    }

    async fn delete(&self, request: Delete) -> Result<()> {
        Attempts::default().scope(Box::pin(self.remove(request))).await
    }
    async fn url(&self, request: UrlRequest) -> Result<FileUrl> {
        self.capabilities.check(Feature::Url)?;
        let components = self.checked(components::of_reference(&request.reference)?)?;
        let lifetime = request.lifetime.unwrap_or(URL_LIFETIME);
        // Taken before the signature, so that the URL never expires earlier than reported.
        let signed_at = Timestamp::now();
        let too_late = |_| Error::unsupported("the URL would expire after the year 9999; choose a shorter lifetime");
        let requested = signed_at.checked_add(lifetime).map_err(too_late)?;
        #[cfg(feature = "azblob")]
        if let Some(signer) = &self.azure_signer {
            // Rounded up to a whole second, so that the URL is valid for the requested lifetime.
            let expires = requested
                .round(TimestampRound::new().smallest(Unit::Second).mode(RoundMode::Ceil))
                .map_err(too_late)?;
            return Ok(FileUrl::new(signer.sign(&self.path(&components), expires)?, UrlKind::Signed, Some(expires)));
        }
        let signed = call(Stage::Read, self.operator.presign_read(&self.path(&components), lifetime)).await?;
        if signed.header().keys().any(|name| name != "host") {
            return Err(Error::unsupported(
                "a URL alone does not give the file, because the service requires headers; download the file instead",
            ));
        }
        let text = signed.uri().to_string();
        let (is_signed, expires) = signature(&text);
        if self.traits.container && !is_signed {
            return Err(Error::unsupported(
                "the store has no credentials to sign a URL; set them, or give the URL of the file itself if it is public",
            ));
        }
        let expires = expires.unwrap_or(requested);
        // The expiry in a URL has whole seconds.
        if request.lifetime.is_some() && expires.as_second() < requested.as_second() {
            return Err(Error::unsupported(format!(
                "the URL would expire earlier, at {expires}; choose a shorter lifetime, or other credentials"
            )));
        }
        Ok(FileUrl::new(text, UrlKind::Signed, Some(expires)))
    }
}

impl OpendalStore {
    async fn page(&self, request: List) -> Result<Page> {
        self.capabilities.check(Feature::List)?;
        let scope = self.checked(components::of_scope(request.scope.as_deref())?)?;
        let prefix = if scope.is_empty() { String::new() } else { format!("{}/", scope.join("/")) };
        let root = self.root.as_str();
        let folder = format!("{root}{prefix}");
        let default = if self.traits.ordered { PageBuilder::<()>::DEFAULT } else { PageBuilder::<()>::LARGEST };
        let mut builder = PageBuilder::new(&request, &prefix, default)?;
        if builder.after().is_some_and(|after| after.len() > MAX_PATH) {
            return Err(Error::invalid(
                "the page token is not one of a listing of this store; list from the beginning",
            ));
        }
        let options = ListOptions {
            recursive: request.recursive,
            limit: self.traits.ordered.then(|| builder.limit() + 1),
            start_after: builder.after().filter(|_| self.traits.ordered).map(|after| format!("{root}{after}")),
            ..ListOptions::default()
        };
        let from = if folder.is_empty() { "/" } else { &folder };
        let guard = ListGuard::of(&folder);
        let listing = async {
            let mut lister = guard.watch(&self.operator).lister_options(from, options).await?;
            let mut empty = true;
            while let Some(entry) = lister.next().await {
                if entry.is_err() && guard.is_stopped() {
                    break;
                }
                let (path, metadata) = entry?.into_parts();
                empty = false;
                guard.entry(&path)?;
                let path = path[root.len().min(path.len())..].to_owned();
                // Object stores list the files of a response in order, with its folders before them: a file beyond the
                // page ends the listing, a folder does not.
                if self.traits.ordered && !metadata.is_dir() && builder.is_complete_at(&path) {
                    break;
                }
                let is_folder = path.ends_with('/');
                // In a recursive listing, a folder is only a marker. OpenDAL lists the scope itself, too.
                if (is_folder && request.recursive) || path == prefix || path == "/" || path.is_empty() {
                    continue;
                }
                builder.offer(path, || metadata);
                // The next response has no smaller paths than this one.
                if self.traits.ordered && builder.is_full() {
                    guard.stop();
                }
            }
            Ok(empty)
        };
        // On a service with folders, a listing begins with the folder itself, unless it does not exist. The first
        // upload creates the root.
        let empty = call(Stage::Read, listing).await.map_err(|error| guard.failure().unwrap_or(error))?;
        if empty && self.traits.folders && !scope.is_empty() {
            call(Stage::Read, self.operator.stat(&folder)).await?;
        }

        let (mut entries, next) = builder.finish();
        // Some servers repeat the last folder of a response in the next one.
        entries.dedup_by(|(path, _), (before, _)| path == before);
        let mut page = Page::new(Vec::new(), next);
        for (path, metadata) in entries {
            let Some(components) =
                components::of_listed(path.trim_end_matches('/')).and_then(|path| self.checked(path).ok())
            else {
                page.left_out += u64::from(!path.starts_with(components::TEMPORARY_FOLDER));
                continue;
            };
            if path.ends_with('/') {
                page.folders.push(components.join("/"));
            } else {
                let reference = self.reference(&components);
                page.files.push(capabilities::listed_file(reference, &components, &metadata, self.traits));
            }
        }
        Ok(page)
    }

    /// Opens a file. Its content is read with the same `attempts`.
    async fn open(&self, request: Download, attempts: Attempts) -> Result<Downloaded> {
        let components = self.checked(components::of_reference(&request.reference)?)?;
        let path = self.path(&components);
        let metadata = self.stat_path(&path).await?;
        let range = request.range.map(|range| range.of(metadata.content_length())).transpose()?;
        let content_range = range.clone().unwrap_or(0..metadata.content_length());
        // A resumed read must not continue in another file of the same name.
        // A weak ETag never matches (RFC 9110, 13.1.1).
        let is_strong = |etag: &&str| etag.starts_with('"');
        let if_match = metadata.etag().filter(|_| self.traits.reads_if_match).filter(is_strong).map(str::to_owned);
        let options = ReaderOptions { if_match, ..ReaderOptions::default() };
        let length = content_range.end - content_range.start;
        #[cfg(feature = "http")]
        let check = self.content_check(&metadata, &attempts).filter(|_| length == metadata.content_length());
        let is_one_version = options.if_match.is_some() || self.reads_generation(&metadata, &attempts);
        // A file that is reported as empty is requested, too: some gateways lose the length of a file.
        let is_whole_and_empty = range.is_none() && length == 0 && self.traits.container;
        let reader = call(Stage::Read, self.operator.reader_options(&path, options)).await?;
        let stream = if is_whole_and_empty {
            ranges::single(reader, .., attempts).boxed()
        } else if self.traits.parallel && is_one_version {
            ranges::parallel(reader, content_range, self.parallel, self.download_memory.clone(), attempts).boxed()
        } else {
            ranges::single(reader, content_range, attempts).boxed()
        };
        #[cfg(feature = "http")]
        let stream = match check {
            Some(check) => check.stream(stream, length).boxed(),
            None => stream,
        };
        let file = capabilities::stored_file(self.reference(&components), &components, &metadata, self.traits);
        let mut downloaded = Downloaded::new(file, ByteStream::download(stream, Some(length)));
        downloaded.range = range;
        Ok(downloaded)
    }

    /// Returns the check of the content of a file with this `metadata`. `None` if the service has no digest of it.
    #[cfg(feature = "http")]
    fn content_check(&self, metadata: &Metadata, attempts: &Attempts) -> Option<ContentCheck> {
        // Some services decompress content while they send it.
        if !self.verify || metadata.content_encoding().is_some() {
            return None;
        }
        if !self.traits.digest_etags {
            return metadata.content_md5().and_then(digest::of_base64).map(ContentCheck::whole);
        }
        let etag = metadata.etag().filter(|_| !attempts.is_etag_opaque())?;
        let metadata_of_part = |metadata: &Metadata| metadata.user_metadata()?.get(PART_SIZE_KEY)?.parse().ok();
        ContentCheck::of_etag(etag, metadata.content_length(), metadata_of_part(metadata))
    }

    /// Returns `true` if all reads of a file are of the generation in its `metadata`. Google has another ETag in each of
    /// its two APIs, which is no precondition of a read.
    #[cfg(feature = "http")]
    fn reads_generation(&self, metadata: &Metadata, attempts: &Attempts) -> bool {
        let generation = metadata.version().filter(|_| self.capabilities.scheme == "gcs");
        attempts.read_generation(generation);
        generation.is_some()
    }

    #[cfg(not(feature = "http"))]
    fn reads_generation(&self, _: &Metadata, _: &Attempts) -> bool {
        false
    }

    async fn store(&self, request: Upload) -> Result<StoredFile> {
        let components = self.checked(components::of_upload(request.scope.as_deref(), &request.name)?)?;
        self.check_metadata(&request)?;
        let guessed = || guess_content_type(&request.name).map(str::to_owned);
        let content_type = request.content_type.clone().or_else(guessed).filter(|_| self.traits.content_type);
        let existing = self.check_target(&components, &request).await?;
        let modified = match self.traits.metadata_times {
            true => request.modified_or_of_file().await?,
            false => None,
        };
        let mut metadata = request.metadata.clone();
        metadata
            .extend(modified.map(|time| (capabilities::MODIFIED_KEY.to_owned(), capabilities::metadata_of_time(time))));
        #[cfg(feature = "sftp")]
        let times = match &self.sftp_times {
            Some(times) => self.time_to_set(times, &request).await?,
            None => None,
        };
        let content = match self.traits.streams_body {
            true => Content::Request(Arc::new(request.body)),
            false => Content::Chunks(request.body.open().await?),
        };
        let stored = send::send(UploadTask {
            operator: self.operator.clone(),
            whole_operator: self.whole_operator.clone(),
            traits: self.traits,
            parallel: self.parallel,
            memory: self.upload_memory.clone(),
            #[cfg(feature = "http")]
            verify: self.verify,
            path: self.path(&components),
            root: self.root.clone(),
            content,
            content_type: content_type.clone(),
            metadata,
            create_new: request.if_exists == IfExists::Fail,
            existing,
            #[cfg(feature = "sftp")]
            time: times,
        })
        .await
        .map_err(|error| match error.kind() {
            // The file is stored, but not as it should be.
            ErrorKind::Incomplete | ErrorKind::Integrity if error.effect() == Effect::Applied => {
                let name = components.last().cloned().unwrap_or_default();
                error.with_stored(StoredFile::new(self.reference(&components), name))
            }
            _ => error,
        })?;
        let mut file =
            capabilities::stored_file(self.reference(&components), &components, &stored.metadata, self.traits);
        file.version = match &stored.temporary {
            Some(temporary) => self.version_of_renamed(&file.reference, &components, temporary).await,
            None => capabilities::version_of_write(&file.reference, &stored.metadata),
        };
        file.size = Some(stored.size);
        file.stored_size = file.size;
        file.content_type = file.content_type.or(content_type);
        file.metadata = request.metadata;
        file.modified = modified.or(file.modified);
        #[cfg(feature = "sftp")]
        match stored.time {
            Some(Ok(modified)) => file.modified = Timestamp::from_second(modified.as_second()).ok(),
            Some(Err(())) => file.skipped.push("modified"),
            None => {}
        }
        Ok(file)
    }

    async fn remove(&self, request: Delete) -> Result<()> {
        let attempts = Attempts::current();
        let components = self.checked(components::of_reference(&request.reference)?)?;
        let path = self.path(&components);
        let folder = format!("{path}/");
        if self.traits.folders {
            // A service with folders may delete a folder with its content, even if the delete is not recursive.
            match call(Stage::Read, self.operator.stat(&path)).await {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error),
                Ok(found) if found.is_dir() && !request.recursive => {
                    let mut entries = call(Stage::Read, self.operator.list(&folder)).await?;
                    entries.retain(|entry| entry.path() != folder);
                    // The delete would also remove the entries that the listing leaves out.
                    if !entries.is_empty() || attempts.left_out() > 0 {
                        return Err(Error::new(
                            ErrorKind::InvalidInput,
                            Effect::Rejected,
                            "the path is a folder with files in it; delete it recursively",
                        ));
                    }
                    return call(Stage::Commit, self.operator.delete(&folder)).await;
                }
                Ok(found) if !found.is_dir() => return call(Stage::Commit, self.operator.delete(&path)).await,
                Ok(_) => {}
            }
        } else if !request.recursive {
            return call(Stage::Commit, self.operator.delete(&path)).await;
        }
        // Without HTTP, the effect is only that of the request that failed, and entries may have been deleted before it.
        let partly = |error: Error| match (attempts.effect(), error.effect()) {
            (None, Effect::Rejected) => error.with_effect(Effect::Unknown),
            _ => error,
        };
        if self.traits.folders {
            let deleting = async { self.operator.delete_with(&folder).recursive(true).await };
            return call(Stage::Commit, deleting).await.map_err(partly);
        }
        let guard = ListGuard::of(&folder);
        let deleting = async {
            let options = ListOptions { recursive: true, ..ListOptions::default() };
            let mut lister = guard.watch(&self.operator).lister_options(&folder, options).await?;
            // The file at the path itself is deleted while the first page is on its way, and before the files below it.
            let (deleted, mut next) = join(self.operator.delete(&path), lister.try_next()).await;
            deleted?;
            let mut deleter = self.operator.deleter().await?;
            while let Some(entry) = next? {
                guard.entry(entry.path())?;
                // Without the version: a delete of a version is permanent, and GCS does not support it.
                deleter.delete(entry.path()).await?;
                next = lister.try_next().await;
            }
            deleter.close().await
        };
        call(Stage::Commit, deleting).await.map_err(|error| match guard.failure() {
            Some(failure) => failure.with_effect(partly(error).effect()),
            None => partly(error),
        })?;
        match attempts.left_out() {
            0 => Ok(()),
            entries => Err(Error::new(
                ErrorKind::Incomplete,
                Effect::Applied,
                format!(
                    "the folder was deleted except for {entries} entries that no reference can address; delete them \
                     with a tool of the service"
                ),
            )),
        }
    }

    /// Returns the version of the file that was renamed, which had the metadata `temporary` before. `None` if it is
    /// unknown.
    ///
    /// Most servers keep the ETag and the time of a file that is renamed. The first upload asks whether this one does: if
    /// it does not, each upload asks for the new version.
    async fn version_of_renamed(
        &self,
        reference: &FileRef,
        components: &[String],
        temporary: &Metadata,
    ) -> Option<String> {
        let before = capabilities::version(reference, temporary)?;
        if self.rename_keeps_version.get() == Some(&true) {
            return Some(before);
        }
        // The file is stored, whatever the response is.
        let found = call(Stage::Read, self.operator.stat(&self.path(components))).await.ok()?;
        let is_same_size = found.is_file() && found.content_length() == temporary.content_length();
        let after = capabilities::version(reference, &found).filter(|_| is_same_size)?;
        let _ = self.rename_keeps_version.set(after == before);
        Some(after)
    }

    /// Returns the modification time that an upload sets. That of the local file is a wish: if the server cannot keep it,
    /// the upload succeeds without it.
    #[cfg(feature = "sftp")]
    async fn time_to_set(&self, times: &Arc<SftpTimes>, request: &Upload) -> Result<Option<TimeToSet>> {
        let is_required = request.modified.is_some();
        let modified = request.modified_or_of_file().await?;
        if let Some(modified) = modified.filter(|_| is_required) {
            time_of(modified)?;
        }
        Ok(modified.map(|modified| TimeToSet { times: Arc::clone(times), modified, is_required }))
    }

    /// Rejects metadata that the service would reject after it has received the content.
    fn check_metadata(&self, request: &Upload) -> Result<()> {
        let is_time = |key: &String| key.eq_ignore_ascii_case(capabilities::MODIFIED_KEY);
        if self.traits.metadata_times && request.metadata.keys().any(is_time) {
            return Err(Error::invalid("the metadata `mtime` is the modification time; give it as `modified`"));
        }
        let is_identifier = |key: &str| {
            let starts_well = key.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
            starts_well && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        let wrong = request.metadata.keys().find(|key| self.traits.identifier_metadata && !is_identifier(key));
        wrong.map_or(Ok(()), |key| {
            Err(Error::invalid(format!(
                "the service does not accept {key:?} as a name of metadata; use letters, digits and _, and no digit first"
            )))
        })
    }

    /// Rejects a path that OpenDAL would change, because it trims white space, and one that is longer than any service
    /// accepts.
    fn checked(&self, components: Vec<String>) -> Result<Vec<String>> {
        if let Some(component) = components.iter().find(|component| component.trim() != component.as_str()) {
            return Err(Error::invalid(format!(
                "{component:?} begins or ends with white space, which OpenDAL would remove; choose another name"
            )));
        }
        let longest = if self.traits.folders { MAX_COMPONENT } else { MAX_PATH };
        let is_long = components.iter().any(|component| component.len() > longest);
        if is_long || components.iter().map(|component| component.len() + 1).sum::<usize>() > MAX_PATH {
            return Err(Error::invalid(format!(
                "the path is longer than the service accepts: {MAX_PATH} bytes in all, {longest} in a name; choose a \
                 shorter one"
            )));
        }
        Ok(components)
    }
}

/// Returns whether a URL is signed, and its expiry if it shows one.
#[cfg(feature = "http")]
fn signature(url: &str) -> (bool, Option<Timestamp>) {
    let Ok(url) = filestore_http::Url::parse(url) else { return (false, None) };
    let is_signature = |name: &str| matches!(name, "X-Amz-Signature" | "X-Goog-Signature" | "sig");
    let is_signed = url.query_pairs().any(|(name, _)| is_signature(&name));
    (is_signed, filestore_http::expiry(&url))
}

/// Without a service over HTTP, all URLs are signed by the caller's operator.
#[cfg(not(feature = "http"))]
fn signature(_: &str) -> (bool, Option<Timestamp>) {
    (true, None)
}
