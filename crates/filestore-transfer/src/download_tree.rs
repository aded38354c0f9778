//! [`DownloadTree`]: the files of a scope as inputs of a download.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use filestore_core::{
    Addressing, Feature, IfExists, List, Result, ScopeKind, Store, StoredFile, check_runtime, numbered_path,
    sanitize_file_name,
};
use futures::TryStreamExt;

use crate::{Filter, Save};

/// A scope that is downloaded to a local folder, with all folders below it.
///
/// ```
/// use filestore_core::{Result, Store};
/// use filestore_transfer::{Filter, TransferPool, DownloadTree};
/// use futures::{StreamExt, stream};
///
/// async fn download(pool: &TransferPool, store: &Store) -> Result<()> {
///     let tree = DownloadTree::new("reports").scope("2026").filter(Filter::new().exclude("draft-*"));
///     let plan = tree.plan(store).await?; // nothing is downloaded yet
///     let mut outcomes = pool.download_all(store, stream::iter(plan.files));
///     while let Some(outcome) = outcomes.next().await {
///         let path_in_scope: String = outcome.key;
///         let _ = outcome.result;
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone)]
pub struct DownloadTree {
    folder: PathBuf,
    scope: Option<String>,
    filter: Filter,
    if_exists: IfExists,
}

/// The files of a scope, and where each is stored.
#[derive(Debug)]
#[non_exhaustive]
pub struct DownloadPlan {
    /// The inputs for [`download_all`](crate::TransferPool::download_all): the path of each file below the scope, as
    /// the store has it, and the download to its local path.
    pub files: Vec<(String, Save)>,
    /// The smallest number of entries that the service listed and that no reference can address; see
    /// [`Page::left_out`](filestore_core::Page::left_out).
    pub left_out: u64,
}

impl DownloadTree {
    /// Creates a download of the store's default scope to `folder`. The folder is created if it is missing.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), scope: None, filter: Filter::new(), if_exists: IfExists::Fail }
    }

    /// Sets the scope.
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// Sets the filter, whose globs match paths below the scope, as the store has them.
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Sets the action if a local file exists. The default is [`IfExists::Fail`].
    pub fn if_exists(mut self, if_exists: IfExists) -> Self {
        self.if_exists = if_exists;
        self
    }

    /// Lists the scope, and chooses a local path for each file. Reads no content, and writes nothing.
    ///
    /// Each component of a local path is the [sanitized](sanitize_file_name) name from the store, so that no path leads
    /// out of the folder. If two files have one local path, or if it is that of a folder, the later one is called
    /// `NAME (1).EXT`. The plan takes some hundred bytes of memory for each file.
    ///
    /// Fails with *invalid input* if a glob is invalid, and as [`Store::list`].
    pub async fn plan(self, store: &Store) -> Result<DownloadPlan> {
        check_runtime()?;
        let matcher = self.filter.compile()?;
        let (mut files, mut left_out) = (Vec::new(), 0);
        let recursive = store.capabilities().supports(Feature::RecursiveList);
        let mut scopes = vec![self.scope.clone()];
        let mut known_folders = HashSet::new();
        while let Some(scope) = scopes.pop() {
            let mut list = List::new().recursive(recursive);
            list.scope = scope;
            let mut pages = std::pin::pin!(store.list_pages(list));
            while let Some(page) = pages.try_next().await? {
                left_out = page.left_out.max(left_out);
                let folders = page.folders.into_iter().filter(|folder| known_folders.insert(folder.clone()));
                scopes.extend(folders.map(Some));
                for file in page.files {
                    let path = self.path_in_scope(store, &file);
                    if matcher.chooses_file(Path::new(&path.join("/"))) {
                        files.push((path, file));
                    }
                }
            }
        }
        let mut paths = LocalPaths::new(files.iter().map(|(path, _)| path.as_slice()));
        let files = files.into_iter().map(|(path, file)| {
            let save = Save::below(file.reference, &self.folder, paths.choose(&path));
            (path.join("/"), save.size(file.size).if_exists(self.if_exists))
        });
        Ok(DownloadPlan { files: files.collect(), left_out })
    }

    /// Returns the components of a file's path below the scope.
    fn path_in_scope(&self, store: &Store, file: &StoredFile) -> Vec<String> {
        let capabilities = store.capabilities();
        let is_path = capabilities.addressing == Addressing::CallerPath && capabilities.scope == ScopeKind::Folder;
        let mut path = if is_path { file.reference.components() } else { Vec::new() };
        let root = capabilities.root.components();
        let above = root.iter().map(String::as_str).chain(self.scope.iter().flat_map(|scope| scope.split('/')));
        let above = above.filter(|component| !component.is_empty()).count();
        if path.len() > above { path.split_off(above) } else { vec![file.name.clone()] }
    }
}

/// The local paths of a plan: each is that of one file, and of no folder.
struct LocalPaths {
    taken: HashSet<PathBuf>,
    /// The number in the name of the last file with this path.
    numbers: HashMap<PathBuf, u32>,
}

impl LocalPaths {
    fn new<'a>(paths: impl Iterator<Item = &'a [String]>) -> Self {
        let mut taken = HashSet::new();
        for path in paths {
            taken.extend(sanitized(path).ancestors().skip(1).map(folded));
        }
        Self { taken, numbers: HashMap::new() }
    }

    /// Returns the local path of the next file.
    fn choose(&mut self, path: &[String]) -> PathBuf {
        let path = sanitized(path);
        let mut chosen = path.clone();
        while !self.taken.insert(folded(&chosen)) {
            let number = self.numbers.entry(folded(&path)).or_default();
            *number += 1;
            chosen = numbered_path(&path, *number);
        }
        chosen
    }
}

fn sanitized(path: &[String]) -> PathBuf {
    path.iter().map(|name| sanitize_file_name(name)).collect()
}

/// Returns the form of a path in which it equals all others that are one file on this system.
fn folded(path: impl AsRef<Path>) -> PathBuf {
    let path = path.as_ref();
    match cfg!(any(windows, target_os = "macos")) {
        true => path.to_string_lossy().to_lowercase().into(),
        false => path.to_owned(),
    }
}
