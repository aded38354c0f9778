//! A local directory as a store.

mod commit;
mod root;
mod walk;

use std::io;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use cap_std::fs::Metadata;
use filestore_core::{
    ByteStream, Capabilities, Delete, Download, Downloaded, Effect, Error, ErrorKind, Feature, FileRef, FileStore,
    FileUrl, IfExists, List, ListOrder, NameRules, Page, PageBuilder, Result, Stat, StoredFile, Upload, UrlKind,
    UrlRequest, check_runtime, components, windows_name_problem,
};
use futures::TryStreamExt;
use jiff::Timestamp;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;
use tokio_util::task::AbortOnDropHandle;

use self::commit::{Incoming, Sweeper, Target, already_exists};
use self::root::{Below, OpenRoot, Place, Root, blocked, sync_folder};
use crate::error::of_file_system;

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

    /// Works with the root as it is now, away from the threads that drive other futures.
    async fn with_root<T: Send + 'static>(
        &self,
        work: impl FnOnce(Option<OpenRoot>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let store = self.clone();
        blocking(move || work(store.0.root.open()?)).await
    }

    /// The file that `reference` names.
    async fn file(&self, reference: &FileRef) -> Result<(Vec<String>, OpenRoot, Below, Metadata)> {
        let components = allowed(components::of_reference(reference)?)?;
        self.with_root(move |root| {
            let missing = || Error::not_found("there is no such file");
            let root = root.ok_or_else(missing)?;
            match root.find(&components)? {
                Place::File(file, metadata) => Ok((components, root, file, metadata)),
                Place::Folder(folder) => {
                    let path = root.shown(&folder);
                    Err(Error::not_found(format!("{} is a folder, not a file; list it", path.display())))
                }
                Place::Foreign(other) => {
                    Err(Error::not_found(format!("{} is not a regular file", root.shown(&other).display())))
                }
                Place::Missing | Place::Blocked(_) => Err(missing()),
            }
        })
        .await
    }

    /// Finds out before the body is read what the commit would fail with.
    async fn check_target(&self, components: &[String], if_exists: IfExists, create_parents: bool) -> Result<()> {
        let components = components.to_vec();
        self.with_root(move |root| {
            let (_, folders) = components.split_last().unwrap_or((&String::new(), &[]));
            let find = |components| root.as_ref().map_or(Ok(Place::Missing), |root| root.find(components));
            if let Place::Missing = find(folders)?
                && !create_parents
                && !folders.is_empty()
            {
                return Err(no_folder(folders));
            }
            let shown = |below| root.as_ref().map(|root| root.shown(&below)).unwrap_or_default();
            match find(&components)? {
                Place::Folder(folder) => Err(Error::new(
                    ErrorKind::InvalidInput,
                    Effect::Rejected,
                    format!("{} is a folder; choose another name", shown(folder).display()),
                )),
                Place::Blocked(file) => Err(blocked(&shown(file))),
                Place::File(file, _) | Place::Foreign(file) if if_exists == IfExists::Fail => {
                    Err(already_exists(&shown(file)))
                }
                Place::Foreign(other) => Err(foreign(&shown(other))),
                Place::File(..) | Place::Missing => Ok(()),
            }
        })
        .await
    }
}

#[async_trait]
impl FileStore for FsStore {
    fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    async fn upload(&self, request: Upload) -> Result<StoredFile> {
        let components = allowed(components::of_upload(request.scope.as_deref(), &request.name)?)?;
        // 1. Reject what can be rejected before the body is read.
        self.check_target(&components, request.if_exists, request.create_parents).await?;
        // 2. All of the body, on the disk, under no name.
        let store = self.clone();
        let mut incoming = blocking(move || Incoming::create(&store.0.root, &store.0.sweeper)).await?;
        incoming.write(request.body.open().await?).await?;
        // 3. Its folder, then its name.
        let (store, folders) = (self.clone(), components[..components.len() - 1].to_vec());
        let name = request.name.clone();
        let target = blocking(move || store.0.root.make()?.target(&folders, name, request.create_parents)).await?;
        let metadata = incoming.commit(target, request.if_exists, request.modified).await?;
        Ok(stored_file(components, &metadata))
    }

    async fn list(&self, request: List) -> Result<Page> {
        let scope = allowed(components::of_scope(request.scope.as_deref())?)?;
        self.with_root(move |root| list(root.as_ref(), &scope, &request)).await
    }

    async fn stat(&self, request: Stat) -> Result<StoredFile> {
        let (components, _, _, metadata) = self.file(&request.reference).await?;
        Ok(stored_file(components, &metadata))
    }

    async fn download(&self, request: Download) -> Result<Downloaded> {
        let (components, root, below, _) = self.file(&request.reference).await?;
        let path = root.shown(&below);
        let failed = |error: io::Error| of_file_system(error, "read", &path);
        let (opened, metadata) = blocking(move || Ok(root.open_file(&below))).await?.map_err(failed)?;
        let mut file = tokio::fs::File::from_std(opened);
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
        let components = allowed(components::of_reference(&request.reference)?)?;
        self.with_root(move |root| root.map_or(Ok(()), |root| root.delete(&components, request.recursive))).await
    }

    async fn url(&self, request: UrlRequest) -> Result<FileUrl> {
        let (_, root, below, _) = self.file(&request.reference).await?;
        let path = root.shown(&below);
        let url = url::Url::from_file_path(&path).map_err(|()| {
            Error::new(ErrorKind::Other, Effect::Rejected, format!("{} has no file URL", path.display()))
        })?;
        Ok(FileUrl::new(url, UrlKind::Local, None))
    }
}

fn list(root: Option<&OpenRoot>, scope: &[String], request: &List) -> Result<Page> {
    let prefix = if scope.is_empty() { String::new() } else { format!("{}/", scope.join("/")) };
    let mut builder = PageBuilder::new(request, &prefix, PageBuilder::<()>::LARGEST)?;
    // The first upload makes the root: before it, the store is empty.
    let found = root.map(|root| Ok::<_, Error>((root, root.find(scope)?))).transpose()?;
    let (root, folder) = match found {
        Some((root, Place::Folder(folder))) => (root, folder),
        None if scope.is_empty() => return Ok(Page::default()),
        None | Some((_, Place::Missing)) => return Err(Error::not_found("there is no such folder")),
        Some((root, Place::File(file, _) | Place::Foreign(file) | Place::Blocked(file))) => {
            return Err(Error::not_found(format!("{} is a file, not a folder", root.shown(&file).display())));
        }
    };
    walk::walk(root, &folder, &prefix, request.recursive, &mut builder)?;

    let (entries, next) = builder.finish();
    let mut page = Page::new(Vec::new(), next);
    for (path, below) in entries {
        match path.strip_suffix('/') {
            Some(folder) => page.folders.push(folder.to_owned()),
            // One that was deleted since is left out.
            None => {
                if let Ok(Place::File(_, metadata)) = root.look(below) {
                    page.files.push(stored_file(path.split('/').map(str::to_owned).collect(), &metadata));
                }
            }
        }
    }
    Ok(page)
}

impl OpenRoot {
    /// The place of a new file, whose folders are made where they are missing if `create_parents`.
    fn target(&self, folders: &[String], name: String, create_parents: bool) -> Result<Target> {
        let folder = match create_parents {
            true => self.make_folder(folders)?,
            false => match self.find(folders)? {
                Place::Folder(folder) => folder,
                _ => return Err(no_folder(folders)),
            },
        };
        let path = self.shown(&folder.join(&name));
        let folder = self.open_folder(&folder).map_err(|error| of_file_system(error, "store", &path))?;
        Ok(Target { folder, name, path })
    }

    /// The file, and what the system says of it: a replacement gets another file and leaves this one as it is.
    fn open_file(&self, below: &Below) -> io::Result<(std::fs::File, Metadata)> {
        let file = self.dir().open(below.path())?;
        let metadata = file.metadata()?;
        Ok((file.into_std(), metadata))
    }

    fn delete(&self, components: &[String], recursive: bool) -> Result<()> {
        let Some((name, folders)) = components.split_last() else { return Ok(()) };
        // The last component is not followed: of a link, the link goes.
        let Place::Folder(folder) = self.find(folders)? else { return Ok(()) };
        let path = self.shown(&folder.join(name));
        let folder = self.open_folder(&folder).map_err(|error| of_file_system(error, "delete", &path))?;
        let removed = match folder.symlink_metadata(name) {
            Ok(metadata) if metadata.is_dir() && recursive => folder.remove_dir_all(name),
            Ok(metadata) if metadata.is_dir() => folder.remove_dir(name),
            Ok(metadata) if metadata.is_file() || metadata.is_symlink() => folder.remove_file(name),
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
            Feature::IfExistsFail,
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
    let timestamp = |time: io::Result<cap_std::time::SystemTime>| Timestamp::try_from(time.ok()?.into_std()).ok();
    file.created = timestamp(metadata.created());
    file.modified = timestamp(metadata.modified());
    file
}

fn no_folder(folders: &[String]) -> Error {
    Error::not_found(format!("there is no folder {:?}; make it, or let the upload make it", folders.join("/")))
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
