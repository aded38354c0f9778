//! A local directory as a store.
//!
//! It does not go through OpenDAL, whose service for local files trims names, shows names that are
//! not UTF-8 under other ones, follows links out of the root, and does not sync folders.

mod commit;
mod place;
mod walk;

use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use filestore_core::{
    ByteStream, Capabilities, Delete, Download, Downloaded, Effect, Error, ErrorKind, Feature, FileRef, FileStore,
    FileUrl, IfExists, List, ListOrder, NameRules, Page, Result, Stat, StoredFile, Upload, UrlKind, UrlRequest,
    check_runtime, windows_name_problem,
};
use futures::TryStreamExt;
use jiff::Timestamp;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;
use tokio_util::task::AbortOnDropHandle;

use self::commit::{Incoming, Sweeper, already_exists};
use self::place::{Place, Root, blocked, sync_folder};
use crate::error::of_file_system;
use crate::page::{LARGEST_PAGE, Window};
use crate::path;

/// Chunks of this size keep system calls rare and memory small.
const CHUNK: usize = 256 * 1024;

/// A local directory as a store: scopes are folders, the scheme of references is `fs`.
///
/// An upload is written aside (into `.filestore-tmp` below the root), synced and renamed, and the
/// folder is synced: it is there wholly and for good, or not at all. Symbolic links are followed as
/// long as they stay below the root.
#[derive(Debug, Clone)]
pub struct FsStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: Root,
    sweeper: Sweeper,
    capabilities: Capabilities,
}

impl FsStore {
    /// The directory `root`, which is made by the first upload if it does not exist.
    ///
    /// A relative path is taken from the current folder of now. Fails with *config* if `root` is
    /// empty or a file, or there is no current folder.
    pub fn new(root: impl AsRef<Path>) -> Result<Self> {
        if std::fs::metadata(root.as_ref()).is_ok_and(|metadata| !metadata.is_dir()) {
            return Err(Error::config(format!("{:?} cannot be the root: it is not a folder", root.as_ref())));
        }
        let root = Root::new(root.as_ref())
            .map_err(|error| Error::config(format!("{:?} cannot be the root: {error}", root.as_ref())))?;
        Ok(Self(Arc::new(Inner { root, sweeper: Sweeper::default(), capabilities: capabilities() })))
    }

    /// The root, absolute.
    pub fn root(&self) -> &Path {
        self.0.root.path()
    }

    /// What `components` lead to.
    async fn find(&self, components: Vec<String>) -> Result<Place> {
        let store = self.clone();
        blocking(move || store.0.root.find(&components)).await
    }

    /// The file that `reference` names.
    async fn file(&self, reference: &FileRef) -> Result<(Vec<String>, PathBuf, Metadata)> {
        let components = allowed(path::of_reference(reference)?)?;
        match self.find(components.clone()).await? {
            Place::File(path, metadata) => Ok((components, path, metadata)),
            Place::Folder(path) => {
                Err(Error::not_found(format!("{} is a folder, not a file; list it", path.display())))
            }
            Place::Foreign(path) => Err(Error::not_found(format!("{} is not a regular file", path.display()))),
            Place::Missing | Place::Blocked(_) => Err(Error::not_found("there is no such file")),
        }
    }

    /// Finds out before the body is read what the commit would fail with.
    async fn check_target(&self, components: &[String], if_exists: IfExists, create_parents: bool) -> Result<()> {
        let (_, folders) = components.split_last().unwrap_or((&String::new(), &[]));
        if let Place::Missing = self.find(folders.to_vec()).await?
            && !create_parents
            && !folders.is_empty()
        {
            return Err(Error::not_found(format!(
                "there is no folder {:?}; make it, or let the upload make it",
                folders.join("/")
            )));
        }
        match self.find(components.to_vec()).await? {
            Place::Folder(path) => Err(Error::new(
                ErrorKind::InvalidInput,
                Effect::Rejected,
                format!("{} is a folder; choose another name", path.display()),
            )),
            Place::Blocked(path) => Err(blocked(&path)),
            Place::File(path, _) | Place::Foreign(path) if if_exists == IfExists::Refuse => Err(already_exists(&path)),
            Place::Foreign(path) => Err(foreign(&path)),
            Place::File(..) | Place::Missing => Ok(()),
        }
    }
}

#[async_trait]
impl FileStore for FsStore {
    fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    async fn upload(&self, request: Upload) -> Result<StoredFile> {
        let components = allowed(path::of_upload(request.scope.as_deref(), &request.name)?)?;
        // 1. Refuse what can be refused before the body is read.
        self.check_target(&components, request.if_exists, request.create_parents).await?;
        // 2. All of the body, on the disk, under no name.
        let store = self.clone();
        let mut incoming = blocking(move || Incoming::create(&store.0.root, &store.0.sweeper)).await?;
        incoming.write(request.body.open().await?).await?;
        // 3. Its folder, then its name.
        let store = self.clone();
        let folders = components[..components.len() - 1].to_vec();
        let folder = blocking(move || store.0.root.make_folder(&folders)).await?;
        let target = folder.join(&request.name);
        let metadata = incoming.commit(folder, target, request.if_exists, request.modified).await?;
        Ok(stored_file(components, &metadata))
    }

    async fn list(&self, request: List) -> Result<Page> {
        let scope = allowed(path::of_scope(request.scope.as_deref())?)?;
        let store = self.clone();
        blocking(move || store.0.root.list(&scope, &request)).await
    }

    async fn stat(&self, request: Stat) -> Result<StoredFile> {
        let (components, _, metadata) = self.file(&request.reference).await?;
        Ok(stored_file(components, &metadata))
    }

    async fn download(&self, request: Download) -> Result<Downloaded> {
        let (components, path, _) = self.file(&request.reference).await?;
        let failed = |error: io::Error| of_file_system(error, "read", &path);
        let mut file = tokio::fs::File::open(&path).await.map_err(failed)?;
        // Of the open file: a replacement gets another one and leaves this as it is.
        let metadata = file.metadata().await.map_err(failed)?;
        let range = request.range.map(|range| range.of(metadata.len())).transpose()?;
        let length = match &range {
            Some(range) => {
                file.seek(io::SeekFrom::Start(range.start)).await.map_err(failed)?;
                range.end - range.start
            }
            None => metadata.len(),
        };
        let chunks = match &range {
            Some(_) => ReaderStream::with_capacity(file.take(length), CHUNK),
            // One byte more than the file has shows a file that grows while it is read.
            None => ReaderStream::with_capacity(file.take(length.saturating_add(1)), CHUNK),
        };
        let stream = chunks.map_err(move |error| of_file_system(error, "read", &path));
        let mut answer =
            Downloaded::new(stored_file(components, &metadata), ByteStream::download(stream, Some(length)));
        answer.range = range;
        Ok(answer)
    }

    async fn delete(&self, request: Delete) -> Result<()> {
        let components = allowed(path::of_reference(&request.reference)?)?;
        let store = self.clone();
        blocking(move || store.0.root.delete(&components, request.recursive)).await
    }

    async fn url(&self, request: UrlRequest) -> Result<FileUrl> {
        let (_, path, _) = self.file(&request.reference).await?;
        let url = url::Url::from_file_path(&path).map_err(|()| {
            Error::new(ErrorKind::Other, Effect::Rejected, format!("{} has no file URL", path.display()))
        })?;
        Ok(FileUrl::new(url, UrlKind::Local, None))
    }
}

impl Root {
    fn list(&self, scope: &[String], request: &List) -> Result<Page> {
        let prefix = if scope.is_empty() { String::new() } else { format!("{}/", scope.join("/")) };
        let mut window = Window::new(request, &prefix, LARGEST_PAGE)?;
        let folder = match self.find(scope)? {
            Place::Folder(folder) => folder,
            // The first upload makes the root: before it, the store is empty.
            Place::Missing if scope.is_empty() => return Ok(Page::default()),
            Place::Missing => return Err(Error::not_found("there is no such folder")),
            Place::File(path, _) | Place::Foreign(path) | Place::Blocked(path) => {
                return Err(Error::not_found(format!("{} is a file, not a folder", path.display())));
            }
        };
        let root = self.canonical()?.unwrap_or_else(|| self.path().to_owned());
        walk::walk(&root, folder, &prefix, request.recursive, &mut window)?;

        let (entries, next) = window.finish();
        let mut page = Page::new(Vec::new(), next);
        for (path, on_disk) in entries {
            match path.strip_suffix('/') {
                Some(folder) => page.folders.push(folder.to_owned()),
                // One that was deleted since is left out.
                None => {
                    if let Ok(metadata) = std::fs::metadata(on_disk) {
                        page.files.push(stored_file(path.split('/').map(str::to_owned).collect(), &metadata));
                    }
                }
            }
        }
        Ok(page)
    }

    fn delete(&self, components: &[String], recursive: bool) -> Result<()> {
        let Some((name, folders)) = components.split_last() else { return Ok(()) };
        // The last component is not followed: of a link, the link goes.
        let Place::Folder(folder) = self.find(folders)? else { return Ok(()) };
        let path = folder.join(name);
        let removed = match std::fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() && recursive => std::fs::remove_dir_all(&path),
            Ok(metadata) if metadata.is_dir() => std::fs::remove_dir(&path),
            Ok(metadata) if metadata.is_file() || metadata.is_symlink() => std::fs::remove_file(&path),
            Ok(_) => return Err(foreign(&path)),
            Err(error) => Err(error),
        };
        match removed {
            Ok(()) => sync_folder(&folder).map_err(|error| {
                of_file_system(error, "sync the folder of the deleted", &path).with_effect(Effect::Applied)
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty && !recursive => Err(Error::new(
                ErrorKind::InvalidInput,
                Effect::Rejected,
                format!("{} is a folder with files in it; delete it recursively", path.display()),
            )),
            // Part of a folder may be gone by now.
            Err(error) if recursive => Err(of_file_system(error, "delete all of", &path).with_effect(Effect::Unknown)),
            Err(error) => Err(of_file_system(error, "delete", &path)),
        }
    }
}

fn capabilities() -> Capabilities {
    let mut capabilities = Capabilities::new("fs")
        .native([
            Feature::Stat,
            Feature::Delete,
            Feature::Url,
            Feature::Range,
            Feature::UnknownLength,
            Feature::EmptyFile,
            Feature::Replace,
            Feature::Refuse,
            Feature::Modified,
        ])
        .emulated(Feature::List, "a page reads the names of the whole folder")
        .emulated(Feature::RecursiveList, "a page reads the names of all folders that reach into it")
        .unsupported(Feature::Resume, "reading a local file does not break")
        .unsupported(Feature::Expiry, "a file system keeps files until they are deleted")
        .unsupported(Feature::ContentType, "a file system does not keep media types")
        .unsupported(Feature::Metadata, "a file system does not keep metadata with a file everywhere");
    capabilities.url_kind = Some(UrlKind::Local);
    capabilities.names = NameRules { max_bytes: Some(255), ..NameRules::default() };
    capabilities.list_order = ListOrder::Path;
    capabilities
}

fn stored_file(components: Vec<String>, metadata: &Metadata) -> StoredFile {
    let name = components.last().cloned().unwrap_or_default();
    let mut file = StoredFile::new(FileRef::new("fs", components), name);
    file.size = Some(metadata.len());
    file.stored_size = Some(metadata.len());
    file.created = metadata.created().ok().and_then(|time| Timestamp::try_from(time).ok());
    file.modified = metadata.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
    file
}

/// A socket, a pipe, a device: not a file of the store, and not to be replaced by one.
fn foreign(path: &Path) -> Error {
    let message = format!("{} is not a regular file and is left as it is; choose another name", path.display());
    Error::new(ErrorKind::InvalidInput, Effect::Rejected, message)
}

/// On Windows, a component may leave the root (`C:x`) or open something else (`a:b`, `NUL`) when it is joined.
fn allowed(components: Vec<String>) -> Result<Vec<String>> {
    let problem = components.iter().find_map(|component| Some((component, windows_name_problem(component)?)));
    match problem {
        Some((component, problem)) if cfg!(windows) => {
            Err(Error::invalid(format!("the name {component:?} {problem}; choose another name")))
        }
        _ => Ok(components),
    }
}

/// File system calls wait for disks: not on the threads that drive other futures.
async fn blocking<T: Send + 'static>(call: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    check_runtime()?;
    // Dropped, it does not begin any more: an upload that nobody waits for must not replace a later one.
    AbortOnDropHandle::new(tokio::task::spawn_blocking(call)).await.unwrap_or_else(|panic| {
        Err(Error::new(ErrorKind::Other, Effect::Unknown, format!("a file system call did not end: {panic}")))
    })
}
