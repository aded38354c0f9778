//! [`UploadTree`]: the files of a local folder as inputs of an upload.

use std::collections::HashMap;
use std::fs::{self, FileType};
use std::path::{Path, PathBuf};

use filestore_core::{Capabilities, Error, ErrorKind, Result, ScopeKind, Store, Upload, check_runtime};
use futures::stream::{self, StreamExt};
use ignore::{DirEntry, WalkBuilder};

use crate::blocking::blocking;
use crate::filter::Matcher;
use crate::listing::{list_tree, path_in_scope};
use crate::unchanged::{COMPARISONS, check_skip};
use crate::{Filter, LeftOut, is_unchanged};

/// A local folder that is uploaded with everything in it.
///
/// ```
/// use std::path::PathBuf;
///
/// use filestore_core::{Result, Store};
/// use filestore_transfer::{Filter, TransferPool, UploadTree};
/// use futures::{StreamExt, stream};
///
/// async fn upload(pool: &TransferPool, store: &Store) -> Result<()> {
///     let tree = UploadTree::new("reports").scope("2026").filter(Filter::new().include("*.pdf"));
///     let plan = tree.plan(store).await?; // nothing is sent yet
///     for left_out in &plan.left_out {
///         eprintln!("{}: {}", left_out.path.display(), left_out.error);
///     }
///     let mut outcomes = pool.upload_all(store, stream::iter(plan.files));
///     while let Some(outcome) = outcomes.next().await {
///         let path: PathBuf = outcome.key;
///         let _ = outcome.result;
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone)]
pub struct UploadTree {
    folder: PathBuf,
    scope: Option<String>,
    filter: Filter,
    follow_links: bool,
    skip_unchanged: bool,
}

/// The files of a folder that can be uploaded, and those that cannot.
#[derive(Debug)]
#[non_exhaustive]
pub struct UploadPlan {
    /// The inputs for [`upload_all`](crate::TransferPool::upload_all): the path and the upload of each file, in the
    /// order of the paths.
    pub files: Vec<(PathBuf, Upload)>,
    /// The files and folders that the filter chooses and that cannot be uploaded, each with the reason.
    pub left_out: Vec<LeftOut>,
    /// The files that the store holds already, if [they are skipped](UploadTree::skip_unchanged).
    pub unchanged: Vec<PathBuf>,
}

impl UploadTree {
    /// Creates an upload of the files in `folder` to the store's default scope.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), scope: None, filter: Filter::new(), follow_links: false, skip_unchanged: false }
    }

    /// Sets the scope of the files that are directly in the folder. The folders in it become scopes below it.
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// Sets the filter, whose globs match paths below the folder.
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Sets whether symbolic links in the folder are followed. By default, they are left out.
    pub fn follow_links(mut self, follow: bool) -> Self {
        self.follow_links = follow;
        self
    }

    /// Sets whether files that the store holds already are skipped: those that are [unchanged](crate::is_unchanged). For
    /// this, the plan lists the scope, and reads the local files whose digest the service reports.
    ///
    /// The plan then fails with *unsupported* on a store that chooses the reference of each file.
    pub fn skip_unchanged(mut self, skip: bool) -> Self {
        self.skip_unchanged = skip;
        self
    }

    /// Walks the folder, and checks every file against the capabilities of `store`. Sends nothing.
    ///
    /// Every file that the filter chooses is in the plan: among its files, or among those left out with the reason.
    /// Files whose names are one file in the store are all left out. An empty folder is not uploaded. The plan takes
    /// some hundred bytes of memory for each file.
    ///
    /// Fails with *invalid input* if there is no such folder or if a glob is invalid, and with *permission* if the
    /// folder cannot be read. To skip unchanged files, it lists the scope; other errors are those of
    /// [`Store::list`].
    pub async fn plan(self, store: &Store) -> Result<UploadPlan> {
        check_runtime()?;
        let (scope, skip_unchanged) = (self.scope.clone(), self.skip_unchanged);
        let capabilities = store.capabilities().clone();
        let mut plan = blocking(move || self.walk(&capabilities)).await?;
        if skip_unchanged {
            plan.skip_unchanged(store, scope).await?;
        }
        Ok(plan)
    }

    fn walk(&self, capabilities: &Capabilities) -> Result<UploadPlan> {
        let matcher = self.filter.compile()?;
        let metadata = fs::metadata(&self.folder).map_err(|error| Error::local(error, "read", &self.folder))?;
        if !metadata.is_dir() {
            return Err(Error::invalid(format!("{} is not a folder; upload it as a file", self.folder.display())));
        }
        fs::read_dir(&self.folder).map_err(|error| Error::local(error, "read", &self.folder))?;
        let mut plan = UploadPlan { files: Vec::new(), left_out: Vec::new(), unchanged: Vec::new() };
        for entry in self.entries(&matcher) {
            let (path, checked) = match entry {
                Ok(entry) => match entry.file_type() {
                    Some(kind) if !kind.is_dir() => {
                        let checked = self.upload(entry.path(), kind, capabilities);
                        (entry.into_path(), checked)
                    }
                    _ => continue,
                },
                Err(error) => {
                    let (path, error) = walk_error(error, &self.folder);
                    let is_folder = fs::metadata(&path).is_ok_and(|metadata| metadata.is_dir());
                    if !matcher.chooses(below(&self.folder, &path), is_folder) {
                        continue;
                    }
                    (path, Err(error))
                }
            };
            match checked {
                Ok(upload) => plan.files.push((path, upload)),
                Err(error) => plan.left_out.push(LeftOut { path, error }),
            }
        }
        plan.leave_out_collisions(capabilities);
        Ok(plan)
    }

    /// Returns what is in the folder and chosen, in the order of the paths.
    fn entries(&self, matcher: &Matcher) -> ignore::Walk {
        let (folder, matcher) = (self.folder.clone(), matcher.clone());
        let is_chosen = move |entry: &DirEntry| {
            let is_folder = entry.file_type().is_some_and(|kind| kind.is_dir());
            entry.depth() == 0 || matcher.chooses(below(&folder, entry.path()), is_folder)
        };
        let mut walk = WalkBuilder::new(&self.folder);
        // No file is left out that no glob names.
        walk.standard_filters(false).follow_links(self.follow_links);
        walk.sort_by_file_name(|one, other| one.cmp(other)).filter_entry(is_chosen).build()
    }

    /// Creates the upload of the file at `path`, and checks it.
    fn upload(&self, path: &Path, kind: FileType, capabilities: &Capabilities) -> Result<Upload> {
        if kind.is_symlink() {
            return Err(Error::unsupported("a symbolic link is left out unless links are followed"));
        }
        if !kind.is_file() {
            return Err(Error::unsupported("a pipe, a socket or a device has no content that ends"));
        }
        let components: Option<Vec<&str>> = below(&self.folder, path).iter().map(|name| name.to_str()).collect();
        let components =
            components.ok_or_else(|| Error::invalid("the path is not UTF-8; rename the file or folder"))?;
        let folders = &components[..components.len().saturating_sub(1)];
        if !folders.is_empty() && capabilities.scope != ScopeKind::Folder {
            return Err(Error::unsupported("the store has no folders; upload the files in each folder by itself"));
        }
        let scope: Vec<&str> = self.scope.as_deref().into_iter().chain(folders.iter().copied()).collect();
        let mut upload = Upload::from_path(path)?;
        upload.scope = (!scope.is_empty()).then(|| scope.join("/"));
        upload.check(capabilities)?;
        Ok(upload)
    }
}

impl UploadPlan {
    async fn skip_unchanged(&mut self, store: &Store, scope: Option<String>) -> Result<()> {
        let capabilities = store.capabilities();
        check_skip(store)?;
        let folded = |path: Vec<String>| capabilities.names.equality.folded(&path.join("/")).into_owned();
        let mut stored = HashMap::new();
        let listed = list_tree(store, scope, |file| {
            stored.insert(folded(path_in_scope(capabilities, None, &file)), file);
        });
        match listed.await {
            // The first upload creates the scope.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        let compared = std::mem::take(&mut self.files).into_iter().map(|(path, upload)| {
            let components = upload.scope.iter().flat_map(|scope| scope.split('/')).chain([upload.name.as_str()]);
            let stored = stored.get(&folded(components.filter(|name| !name.is_empty()).map(str::to_owned).collect()));
            async move {
                let is_unchanged = match stored {
                    // A file that cannot be compared counts as changed; the upload has the same error.
                    Some(stored) => is_unchanged(store, &path, stored).await.unwrap_or(false),
                    None => false,
                };
                (path, upload, is_unchanged)
            }
        });
        let mut compared = stream::iter(compared).buffered(COMPARISONS);
        while let Some((path, upload, is_unchanged)) = compared.next().await {
            match is_unchanged {
                true => self.unchanged.push(path),
                false => self.files.push((path, upload)),
            }
        }
        Ok(())
    }

    fn leave_out_collisions(&mut self, capabilities: &Capabilities) {
        let names = self.files.iter().map(|(_, upload)| (upload.scope.as_deref(), upload.name.as_str()));
        let mut problems = HashMap::new();
        for group in capabilities.collisions(names) {
            let paths = group.iter().map(|(scope, name)| format!("{:?}", [scope.unwrap_or_default(), name].join("/")));
            let problem = format!("in the store, these are one file: {}", paths.collect::<Vec<_>>().join(", "));
            for (scope, name) in group {
                problems.insert((scope.map(str::to_owned), name.to_owned()), problem.clone());
            }
        }
        for (path, upload) in std::mem::take(&mut self.files) {
            match problems.get(&(upload.scope.clone(), upload.name.clone())) {
                Some(problem) => {
                    let error = Error::invalid(format!("{problem}; rename all but one"));
                    self.left_out.push(LeftOut { path, error });
                }
                None => self.files.push((path, upload)),
            }
        }
    }
}

/// Returns the part of `path` below `folder`.
fn below<'a>(folder: &Path, path: &'a Path) -> &'a Path {
    path.strip_prefix(folder).unwrap_or(path)
}

/// Returns the path and the reason of an entry that cannot be read.
fn walk_error(error: ignore::Error, folder: &Path) -> (PathBuf, Error) {
    match error {
        ignore::Error::WithPath { path, err } => (path.clone(), walk_error(*err, &path).1),
        ignore::Error::WithDepth { err, .. } => walk_error(*err, folder),
        ignore::Error::Loop { ancestor, child } => {
            let problem = format!("the link leads back to {}, which it is in", ancestor.display());
            (child, Error::invalid(problem))
        }
        ignore::Error::Io(error) => (folder.to_owned(), Error::local(error, "read", folder)),
        other => (folder.to_owned(), Error::invalid(other.to_string())),
    }
}
