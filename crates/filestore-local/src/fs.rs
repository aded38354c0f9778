//! [`FsStore`]: a local directory as a store.

mod commit;
mod descent;
mod remove;
mod root;
mod walk;

use std::io;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use cap_std::fs::Metadata;
use filestore_core::{
    ByteStream, Capabilities, Delete, Download, Downloaded, Effect, Error, ErrorKind, Feature, FileRef, FileStore,
    FileUrl, IfExists, List, ListOrder, NameEquality, NameRules, Page, PageBuilder, Result, Stat, StoredFile, Upload,
    UrlKind, UrlRequest, check_runtime, components, windows_name_problem,
};
use futures::TryStreamExt;
use jiff::Timestamp;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;
use tokio_util::task::AbortOnDropHandle;

use self::commit::{Target, TemporaryUpload, already_exists};
use self::root::{Entry, OpenRoot, RelativePath, Root, not_a_folder, open_for_sync, sync};
use crate::error::of_file_system;

/// The chunk size of downloads, in bytes: few system calls, little memory.
const CHUNK: usize = 256 * 1024;

/// A local directory as a store: scopes are folders, the scheme of references is `fs`.
///
/// An upload is written to a temporary file (in `.filestore-tmp` below the root), synced and renamed, and its folder is
/// synced: the file is stored completely and durably, or not at all. Symbolic links are followed if they stay below the
/// root.
#[derive(Debug, Clone)]
pub struct FsStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: Root,
    capabilities: Capabilities,
}

impl FsStore {
    /// Creates a store of the directory `root`. The first upload creates the directory if it does not exist.
    ///
    /// A relative path starts at the current folder at the time of this call. Fails with *config* if `root` is empty or
    /// a file, or if there is no current folder.
    pub fn new(root: impl AsRef<Path>) -> Result<Self> {
        if std::fs::metadata(root.as_ref()).is_ok_and(|metadata| !metadata.is_dir()) {
            return Err(Error::config(format!(
                "{:?} cannot be the root: it is not a folder; choose a folder",
                root.as_ref()
            )));
        }
        let root = Root::new(root.as_ref())
            .map_err(|error| Error::config(format!("{:?} cannot be the root: {error}", root.as_ref())))?;
        Ok(Self(Arc::new(Inner { root, capabilities: capabilities() })))
    }

    /// Returns the absolute path of the root.
    pub fn root(&self) -> &Path {
        self.0.root.path()
    }

    /// Opens the root, if it exists, and runs `work` with it on a blocking thread.
    async fn with_root<T: Send + 'static>(
        &self,
        work: impl FnOnce(Option<OpenRoot>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let store = self.clone();
        blocking(move || work(store.0.root.open()?)).await
    }

    /// Finds the file that `reference` names.
    async fn file(&self, reference: &FileRef) -> Result<(Vec<String>, OpenRoot, RelativePath, Metadata)> {
        let components = check_windows_names(components::of_reference(reference)?)?;
        self.with_root(move |root| {
            let missing = || Error::not_found("there is no such file");
            let root = root.ok_or_else(missing)?;
            match root.find(&components)? {
                Entry::File(file, metadata) => Ok((components, root, file, metadata)),
                Entry::Folder(folder) => {
                    let path = root.absolute(&folder);
                    Err(Error::not_found(format!("{} is a folder, not a file; list it", path.display())))
                }
                Entry::Special(other) => {
                    Err(Error::not_found(format!("{} is not a regular file", root.absolute(&other).display())))
                }
                Entry::Missing | Entry::NotAFolder(_) => Err(missing()),
            }
        })
        .await
    }

    /// Fails before the body is read if the commit would fail.
    async fn check_target(&self, components: &[String], if_exists: IfExists, create_parents: bool) -> Result<()> {
        let components = components.to_vec();
        self.with_root(move |root| {
            let (_, folders) = components.split_last().unwrap_or((&String::new(), &[]));
            let find = |components| root.as_ref().map_or(Ok(Entry::Missing), |root| root.find(components));
            match (find(folders)?, &root) {
                (Entry::Missing, _) if !create_parents && !folders.is_empty() => return Err(no_folder(folders)),
                // A folder that may be written to and not read, such as a drop box, cannot be synced.
                (Entry::Folder(folder), Some(root)) => {
                    let opened = root.open_folder(&folder).and_then(|folder| open_for_sync(&folder));
                    opened.map_err(|error| cannot_sync(error, &root.absolute(&folder)))?;
                }
                _ => {}
            }
            let absolute = |path| root.as_ref().map(|root| root.absolute(&path)).unwrap_or_default();
            match find(&components)? {
                Entry::Folder(folder) => Err(Error::new(
                    ErrorKind::InvalidInput,
                    Effect::Rejected,
                    format!("{} is a folder; choose another name", absolute(folder).display()),
                )),
                Entry::NotAFolder(file) => Err(not_a_folder(&absolute(file))),
                Entry::File(file, _) | Entry::Special(file) if if_exists == IfExists::Fail => {
                    Err(already_exists(&absolute(file)))
                }
                Entry::Special(other) => Err(special(&absolute(other))),
                Entry::File(..) | Entry::Missing => Ok(()),
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
        let components = check_windows_names(components::of_upload(request.scope.as_deref(), &request.name)?)?;
        // 1. Reject an invalid target before the body is read.
        self.check_target(&components, request.if_exists, request.create_parents).await?;
        // 2. Write the whole body to a temporary file, and sync it.
        let store = self.clone();
        let mut temporary = blocking(move || TemporaryUpload::create(&store.0.root)).await?;
        let modified = request.modified_or_of_file().await?;
        temporary.write(request.body.open().await?).await?;
        // 3. Create its folder, then rename the temporary file.
        let (store, folders) = (self.clone(), components[..components.len() - 1].to_vec());
        let name = request.name.clone();
        let target = blocking(move || store.0.root.create()?.target(&folders, name, request.create_parents)).await?;
        let committed = temporary.commit(target, request.if_exists, modified).await;
        let metadata = committed.map_err(|error| match error.effect() {
            Effect::Applied => {
                let name = components.last().cloned().unwrap_or_default();
                error.with_stored(StoredFile::new(FileRef::new("fs", components.clone()), name))
            }
            _ => error,
        })?;
        Ok(stored_file(components, &metadata))
    }

    async fn list(&self, request: List) -> Result<Page> {
        let scope = check_windows_names(components::of_scope(request.scope.as_deref())?)?;
        self.with_root(move |root| list(root.as_ref(), &scope, &request)).await
    }

    async fn stat(&self, request: Stat) -> Result<StoredFile> {
        let (components, _, _, metadata) = self.file(&request.reference).await?;
        Ok(stored_file(components, &metadata))
    }

    async fn download(&self, request: Download) -> Result<Downloaded> {
        let (components, root, relative, _) = self.file(&request.reference).await?;
        let path = root.absolute(&relative);
        let failed = |error: io::Error| of_file_system(error, "read", &path);
        let (opened, metadata) = blocking(move || Ok(root.open_file(&relative))).await?.map_err(failed)?;
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
            // One byte more than the length, to notice a file that grows while it is read.
            None => ReaderStream::with_capacity(file.take(length.saturating_add(1)), CHUNK),
        };
        let stream = chunks.map_err(move |error| of_file_system(error, "read", &path));
        let mut downloaded =
            Downloaded::new(stored_file(components, &metadata), ByteStream::download(stream, Some(length)));
        downloaded.range = range;
        Ok(downloaded)
    }

    async fn delete(&self, request: Delete) -> Result<()> {
        let components = check_windows_names(components::of_reference(&request.reference)?)?;
        self.with_root(move |root| root.map_or(Ok(()), |root| root.delete(&components, request.recursive))).await
    }

    async fn url(&self, request: UrlRequest) -> Result<FileUrl> {
        let (_, root, relative, _) = self.file(&request.reference).await?;
        let path = root.absolute(&relative);
        let url = url::Url::from_file_path(&path).map_err(|()| {
            Error::new(ErrorKind::Other, Effect::Rejected, format!("{} has no file URL", path.display()))
        })?;
        Ok(FileUrl::new(url, UrlKind::Local, None))
    }
}

fn list(root: Option<&OpenRoot>, scope: &[String], request: &List) -> Result<Page> {
    let prefix = if scope.is_empty() { String::new() } else { format!("{}/", scope.join("/")) };
    let mut builder = PageBuilder::new(request, &prefix, PageBuilder::<()>::LARGEST)?;
    // The first upload creates the root. Without it, the store is empty.
    let found = root.map(|root| Ok::<_, Error>((root, root.find(scope)?))).transpose()?;
    let (root, folder) = match found {
        Some((root, Entry::Folder(folder))) => (root, folder),
        None if scope.is_empty() => return Ok(Page::default()),
        None | Some((_, Entry::Missing)) => return Err(Error::not_found("there is no such folder")),
        Some((root, Entry::File(file, _) | Entry::Special(file) | Entry::NotAFolder(file))) => {
            return Err(Error::not_found(format!("{} is a file, not a folder", root.absolute(&file).display())));
        }
    };
    walk::walk(root, &folder, &prefix, request.recursive, &mut builder)?;

    let (entries, next) = builder.finish();
    let mut page = Page::new(Vec::new(), next);
    for (path, target) in entries {
        match (path.strip_suffix('/'), target) {
            (_, None) => page.left_out += 1,
            (Some(folder), _) => page.folders.push(folder.to_owned()),
            (None, Some(target)) => match root.inspect(target) {
                Ok(Entry::File(_, metadata)) => {
                    page.files.push(stored_file(path.split('/').map(str::to_owned).collect(), &metadata));
                }
                // The system accepts no path of this length.
                Err(error) if error.kind() == ErrorKind::InvalidInput => page.left_out += 1,
                // The file was deleted meanwhile.
                _ => {}
            },
        }
    }
    Ok(page)
}

impl OpenRoot {
    /// Opens the folder of a new file. Creates missing folders if `create_parents`.
    fn target(&self, folders: &[String], name: String, create_parents: bool) -> Result<Target> {
        let folder = match create_parents {
            true => self.create_folder(folders)?,
            false => match self.find(folders)? {
                Entry::Folder(folder) => folder,
                _ => return Err(no_folder(folders)),
            },
        };
        let path = self.absolute(&folder.join(&name));
        let folder = self.open_folder(&folder).map_err(|error| of_file_system(error, "store", &path))?;
        let names = open_for_sync(&folder).map_err(|error| cannot_sync(error, &path))?;
        Ok(Target { folder, name, names, path })
    }

    /// Opens a file and reads its metadata. A later replacement is another file and does not change this one.
    fn open_file(&self, path: &RelativePath) -> io::Result<(std::fs::File, Metadata)> {
        let file = self.dir().open(path.path())?;
        let metadata = file.metadata()?;
        Ok((file.into_std(), metadata))
    }

    fn delete(&self, components: &[String], recursive: bool) -> Result<()> {
        let Some((name, folders)) = components.split_last() else { return Ok(()) };
        // The last component is not followed: of a link, the link itself is deleted.
        let Entry::Folder(folder) = self.find(folders)? else { return Ok(()) };
        let path = self.absolute(&folder.join(name));
        let folder = self.open_folder(&folder).map_err(|error| of_file_system(error, "delete", &path))?;
        let names = open_for_sync(&folder).map_err(|error| cannot_sync(error, &path))?;
        let mut is_partly_removed = false;
        let removed = match folder.symlink_metadata(name) {
            Ok(metadata) if metadata.is_dir() && recursive => {
                remove::remove_folder(folder, name, &mut is_partly_removed)
            }
            Ok(metadata) if metadata.is_dir() => folder.remove_dir(name).map(|()| 0),
            Ok(metadata) if metadata.is_file() || metadata.is_symlink() => folder.remove_file(name).map(|()| 0),
            Ok(_) => return Err(special(&path)),
            Err(error) => Err(error),
        };
        match removed {
            Ok(0) => sync(names.as_ref()).map_err(|error| {
                of_file_system(error, "sync the folder of the deleted file", &path).with_effect(Effect::Applied)
            }),
            Ok(left) => Err(Error::new(
                ErrorKind::Incomplete,
                Effect::Applied,
                format!(
                    "the folder was deleted except for {left} entries that no reference can name; delete them with \
                     another program in {}",
                    path.display()
                ),
            )),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty && !recursive => Err(Error::new(
                ErrorKind::InvalidInput,
                Effect::Rejected,
                format!("{} is a folder with files in it; delete it recursively", path.display()),
            )),
            Err(error) if is_partly_removed => {
                Err(of_file_system(error, "delete all of", &path).with_effect(Effect::Unknown))
            }
            Err(error) => Err(of_file_system(error, "delete", &path)),
        }
    }
}

/// Returns the error for a folder that cannot be opened to sync its names.
fn cannot_sync(error: io::Error, path: &Path) -> Error {
    of_file_system(error, "read the folder, which the store syncs after a change, of", path)
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
        .emulated(Feature::List, "every page reads the whole folder")
        .emulated(Feature::RecursiveList, "every page reads all folders whose paths may be on it")
        .unsupported(Feature::Resume, "reads of a local file are not interrupted")
        .unsupported(Feature::Expiry, "a file system stores files until they are deleted")
        .unsupported(Feature::ContentType, "a file system does not store media types")
        .unsupported(Feature::Metadata, "not every file system stores metadata with a file")
        .unsupported(Feature::Verify, "a file system reports no digests");
    capabilities.url_kind = Some(UrlKind::Local);
    let equality = name_equality(std::env::consts::OS);
    capabilities.names = NameRules { max_bytes: Some(255), equality, ..NameRules::default() };
    capabilities.list_order = ListOrder::Path;
    capabilities
}

/// Returns the comparison of names that the file systems of an operating system usually have. It is an approximation: a
/// volume may be formatted for another comparison, and each file system has a table of its own for the case of letters.
fn name_equality(os: &str) -> NameEquality {
    match os {
        "macos" | "ios" | "windows" => NameEquality::Folded { ignores: "case", fold: str::to_lowercase },
        _ => NameEquality::Exact,
    }
}

fn stored_file(components: Vec<String>, metadata: &Metadata) -> StoredFile {
    let name = components.last().cloned().unwrap_or_default();
    let mut file = StoredFile::new(FileRef::new("fs", components), name);
    file.size = Some(metadata.len());
    file.stored_size = Some(metadata.len());
    let timestamp = |time: io::Result<cap_std::time::SystemTime>| Timestamp::try_from(time.ok()?.into_std()).ok();
    file.created = timestamp(metadata.created());
    file.modified = timestamp(metadata.modified());
    file.version = version(metadata);
    file
}

/// Returns the version of a file: its size, its inode, and the time of the last change of content, attributes or name
/// (`ctime`). Unlike the modification time, no program can set it back.
#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "not every system reports a time")]
fn version(metadata: &Metadata) -> Option<String> {
    use cap_std::fs::MetadataExt;
    let (seconds, nanoseconds) = (metadata.ctime(), metadata.ctime_nsec());
    Some(format!("{seconds}.{nanoseconds:09}-{}-{}", metadata.ino(), metadata.len()))
}

/// Returns the version of a file: its modification time and its size.
#[cfg(not(unix))]
fn version(metadata: &Metadata) -> Option<String> {
    let modified = Timestamp::try_from(metadata.modified().ok()?.into_std()).ok()?;
    Some(format!("{}-{}", modified.as_nanosecond(), metadata.len()))
}

fn no_folder(folders: &[String]) -> Error {
    Error::not_found(format!("there is no folder {:?}; create it, or upload with create_parents", folders.join("/")))
}

/// Returns the error for a socket, a pipe or a device, which is no file of the store and is not replaced.
fn special(path: &Path) -> Error {
    let message = format!("{} is not a regular file and was not changed; choose another name", path.display());
    Error::new(ErrorKind::InvalidInput, Effect::Rejected, message)
}

/// Rejects, on Windows, a component that leaves the root (`C:x`) or opens something else (`a:b`, `NUL`) when it is
/// joined.
fn check_windows_names(components: Vec<String>) -> Result<Vec<String>> {
    let problem = components.iter().find_map(|component| Some((component, windows_name_problem(component)?)));
    match problem {
        Some((component, problem)) if cfg!(windows) => {
            Err(Error::invalid(format!("the name {component:?} {problem}; choose another name")))
        }
        _ => Ok(components),
    }
}

/// Runs a file system call on a blocking thread, because it waits for disks.
async fn blocking<T: Send + 'static>(call: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    check_runtime()?;
    // A dropped call does not begin: an upload that was dropped must not replace a later one.
    AbortOnDropHandle::new(tokio::task::spawn_blocking(call)).await.unwrap_or_else(|panic| {
        Err(Error::new(
            ErrorKind::Other,
            Effect::Unknown,
            format!("a file system call ended without a result: {panic}"),
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_does_not_count_on_macos_and_windows() {
        let equal = |os, one, other| name_equality(os).folded(one) == name_equality(os).folded(other);
        for os in ["macos", "windows"] {
            assert!(equal(os, "Grüße.TXT", "GRÜßE.txt"), "{os}");
            assert!(!equal(os, "a", "á"), "{os}");
        }
        assert!(!equal("linux", "a", "A"));
        assert!(equal("linux", "a", "a"));
    }
}
