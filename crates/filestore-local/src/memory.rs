//! [`MemoryStore`]: the memory of this process as a store.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use filestore_core::{
    ByteStream, Capabilities, Delete, Digest, DigestAlgorithm, DigestSupport, DigestWhen, Download, Downloaded, Effect,
    Error, ErrorKind, Feature, FileRef, FileStore, FileUrl, IfExists, List, ListOrder, NameRules, Page, PageBuilder,
    Result, Stat, StoredFile, Upload, UrlRequest, check_runtime, components, guess_content_type, hex,
};
use futures::{TryStreamExt, stream};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

/// The chunk size of downloads, in bytes.
const CHUNK: usize = 256 * 1024;

/// The memory of this process as a store: scopes are prefixes of paths, the scheme of references is `memory`.
///
/// Clones share the files, which exist until the last clone is dropped. A file is stored completely or not at all. A
/// download reads the content that the file has when the download begins.
#[derive(Clone)]
pub struct MemoryStore(Arc<Inner>);

struct Inner {
    /// The files by path.
    files: Mutex<BTreeMap<String, File>>,
    /// The number of uploads so far, of which each has another version, also of the same content.
    uploads: AtomicU64,
    capabilities: Capabilities,
}

#[derive(Clone)]
struct File {
    content: Bytes,
    version: u64,
    created: Timestamp,
    modified: Timestamp,
    sha256: String,
    content_type: Option<String>,
    metadata: BTreeMap<String, String>,
}

impl MemoryStore {
    /// Creates an empty store.
    pub fn new() -> Self {
        Self(Arc::new(Inner { files: Mutex::default(), uploads: AtomicU64::new(0), capabilities: capabilities() }))
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<String, File>> {
        self.0.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, reference: &FileRef) -> Result<(Vec<String>, File)> {
        let components = components::of_reference(reference)?;
        let found = self.files().get(&components.join("/")).cloned();
        found.map(|file| (components, file)).ok_or_else(|| Error::not_found("there is no such file"))
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl FileStore for MemoryStore {
    fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    async fn upload(&self, request: Upload) -> Result<StoredFile> {
        check_runtime()?;
        let components = components::of_upload(request.scope.as_deref(), &request.name)?;
        let path = components.join("/");
        let must_not_exist = request.if_exists == IfExists::Fail;
        // Checked before the body is read, and again afterwards.
        if must_not_exist && self.files().contains_key(&path) {
            return Err(already_exists());
        }
        let modified = request.modified_or_of_file().await?;
        let (content, sha256) = read(request.body.open().await?).await?;
        let created = Timestamp::now();
        let file = File {
            content,
            version: self.0.uploads.fetch_add(1, Ordering::Relaxed) + 1,
            created,
            modified: modified.unwrap_or(created),
            sha256,
            content_type: request.content_type.or_else(|| guess_content_type(&request.name).map(str::to_owned)),
            metadata: request.metadata,
        };
        let mut files = self.files();
        if must_not_exist && files.contains_key(&path) {
            return Err(already_exists());
        }
        let stored = stored_file(components, &file);
        files.insert(path, file);
        Ok(stored)
    }

    async fn list(&self, request: List) -> Result<Page> {
        check_runtime()?;
        let scope = components::of_scope(request.scope.as_deref())?;
        let prefix = if scope.is_empty() { String::new() } else { format!("{}/", scope.join("/")) };
        let mut builder = PageBuilder::new(&request, &prefix, PageBuilder::<()>::DEFAULT)?;
        let files = self.files();
        let candidates = files.range::<str, _>((Bound::Included(prefix.as_str()), Bound::Unbounded));
        let mut last_folder = None;
        for (path, file) in candidates.take_while(|(path, _)| path.starts_with(&prefix)) {
            if builder.is_complete_at(path) {
                break;
            }
            match path[prefix.len()..].split_once('/') {
                Some((folder, _)) if !request.recursive => {
                    // The files of a folder are adjacent.
                    if last_folder.replace(folder) != Some(folder) {
                        builder.offer(format!("{prefix}{folder}/"), || None);
                    }
                }
                _ => builder.offer(path.clone(), || Some(file)),
            }
        }
        let (entries, next) = builder.finish();
        let mut page = Page::new(Vec::new(), next);
        for (path, file) in entries {
            match file {
                Some(file) => page.files.push(stored_file(path.split('/').map(str::to_owned).collect(), file)),
                None => page.folders.push(path.trim_end_matches('/').to_owned()),
            }
        }
        Ok(page)
    }

    async fn stat(&self, request: Stat) -> Result<StoredFile> {
        check_runtime()?;
        let (components, file) = self.find(&request.reference)?;
        Ok(stored_file(components, &file))
    }

    async fn download(&self, request: Download) -> Result<Downloaded> {
        check_runtime()?;
        let (components, file) = self.find(&request.reference)?;
        let length = file.content.len();
        let range = request.range.map(|range| range.of(length as u64)).transpose()?;
        let mut remaining = match &range {
            // The range is within the content, whose length is a `usize`.
            Some(range) => file.content.slice(range.start as usize..range.end as usize),
            None => file.content.clone(),
        };
        let length = remaining.len() as u64;
        let chunks =
            std::iter::from_fn(move || (!remaining.is_empty()).then(|| remaining.split_to(remaining.len().min(CHUNK))));
        let stream = ByteStream::download(stream::iter(chunks.map(Ok)), Some(length));
        let mut downloaded = Downloaded::new(stored_file(components, &file), stream);
        downloaded.range = range;
        Ok(downloaded)
    }

    async fn delete(&self, request: Delete) -> Result<()> {
        check_runtime()?;
        let path = components::of_reference(&request.reference)?.join("/");
        let mut files = self.files();
        files.remove(&path);
        if request.recursive {
            let folder = format!("{path}/");
            files.retain(|path, _| !path.starts_with(&folder));
        }
        Ok(())
    }

    async fn url(&self, _: UrlRequest) -> Result<FileUrl> {
        self.0.capabilities.check(Feature::Url)?;
        Err(Error::unsupported("the files are in the memory of this process"))
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("files", &self.files().len()).finish()
    }
}

/// Reads the whole body, and computes its SHA-256.
async fn read(mut body: ByteStream) -> Result<(Bytes, String)> {
    let mut digest = Sha256::new();
    let mut content = BytesMut::new();
    while let Some(chunk) = body.try_next().await? {
        digest.update(&chunk);
        content.extend_from_slice(&chunk);
    }
    Ok((content.freeze(), hex(&digest.finalize())))
}

fn already_exists() -> Error {
    let message = "a file of this name already exists and was not changed; choose another name or replace it";
    Error::new(ErrorKind::AlreadyExists, Effect::Rejected, message)
}

fn stored_file(components: Vec<String>, file: &File) -> StoredFile {
    let name = components.last().cloned().unwrap_or_default();
    let mut stored = StoredFile::new(FileRef::new("memory", components), name);
    stored.size = Some(file.content.len() as u64);
    stored.stored_size = stored.size;
    stored.created = Some(file.created);
    stored.modified = Some(file.modified);
    // The number of the upload alone would come back, with other content, in the next process.
    stored.version = Some(format!("{}-{}", file.version, &file.sha256[..32]));
    stored.content_type.clone_from(&file.content_type);
    stored.metadata.clone_from(&file.metadata);
    stored.digests = vec![Digest::new(DigestAlgorithm::Sha256, &file.sha256)];
    stored
}

fn capabilities() -> Capabilities {
    let mut capabilities = Capabilities::new("memory")
        .native([
            Feature::List,
            Feature::RecursiveList,
            Feature::Stat,
            Feature::Delete,
            Feature::Range,
            Feature::UnknownLength,
            Feature::EmptyFile,
            Feature::Replace,
            Feature::IfExistsFail,
            Feature::Modified,
            Feature::ContentType,
            Feature::Metadata,
        ])
        .unsupported(Feature::Url, "the files are in the memory of this process")
        .unsupported(Feature::Resume, "reads of memory are not interrupted")
        .unsupported(Feature::Verify, "the content does not leave this process")
        .unsupported(Feature::Expiry, "files exist until they are deleted or the store is dropped");
    capabilities.names = NameRules { max_bytes: Some(255), ..NameRules::default() };
    capabilities.list_order = ListOrder::Path;
    capabilities.digests = vec![DigestSupport { algorithm: DigestAlgorithm::Sha256, when: DigestWhen::Upload }];
    capabilities
}
