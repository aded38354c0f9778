//! [`DownloadTree`]: the files of a scope as inputs of a download.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use filestore_core::{Download, IfExists, Result, Store, check_runtime, is_hidden, numbered_path, sanitize_file_name};
use futures::stream::{self, StreamExt};

use crate::listing::{list_tree, path_in_scope};
use crate::unchanged::{COMPARISONS, check_skip};
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
    skip_unchanged: bool,
    exact_names: bool,
}

/// The files of a scope, and where each is stored.
#[derive(Debug)]
#[non_exhaustive]
pub struct DownloadPlan {
    /// The inputs for [`download_all`](crate::TransferPool::download_all): the path of each file below the scope, as
    /// the store has it, and the download to its local path.
    pub files: Vec<(String, Save)>,
    /// The paths below the scope of the files whose local files are unchanged, if [they are
    /// skipped](DownloadTree::skip_unchanged).
    pub unchanged: Vec<String>,
    /// The smallest number of entries that the service listed and that no reference can address; see
    /// [`Page::left_out`](filestore_core::Page::left_out).
    pub left_out: u64,
}

impl DownloadTree {
    /// Creates a download of the store's default scope to `folder`. The folder is created if it is missing.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            scope: None,
            filter: Filter::new(),
            if_exists: IfExists::Fail,
            skip_unchanged: false,
            exact_names: false,
        }
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

    /// Sets whether local files get the names from the store as they are, as far as this system can have them. By
    /// default, names are [sanitized](sanitize_file_name): `.env` becomes `_env`, because a name from a service must not
    /// choose a file such as `.bashrc`, and `CON` becomes `_CON`, because it is a device on other systems.
    ///
    /// Names that lead out of the folder or that have hidden characters, such as line breaks, are sanitized in any case,
    /// and so are all names on Windows.
    pub fn exact_names(mut self, exact: bool) -> Self {
        self.exact_names = exact;
        self
    }

    /// Sets whether files are skipped whose local files are unchanged: they have the size of the stored file, and the
    /// same digest or, where the service reports none, the same modification time. Set [`IfExists::Replace`], too, so
    /// that changed ones are replaced.
    ///
    /// A local file whose name is not that of the stored file, because the name was sanitized or numbered, is not
    /// replaced: it may be another file. The plan fails with *unsupported* on a store that chooses the reference of each
    /// file, because there the name does not tell which file it is.
    pub fn skip_unchanged(mut self, skip: bool) -> Self {
        self.skip_unchanged = skip;
        self
    }

    /// Lists the scope, and chooses a local path for each file. Reads no content, and writes nothing.
    ///
    /// Each component of a local path is the name from the store, [sanitized](sanitize_file_name) unless [exact
    /// names](Self::exact_names) are wanted. No path leads out of the folder. If two files have one local path, or if it is that of a folder, the later one is called
    /// `NAME (1).EXT`. The local files get the [modification
    /// times](filestore_core::Download::restore_modified) of the stored ones. The plan takes some hundred bytes of memory for each file.
    ///
    /// Fails with *invalid input* if a glob is invalid, and as [`Store::list`].
    pub async fn plan(self, store: &Store) -> Result<DownloadPlan> {
        check_runtime()?;
        let matcher = self.filter.compile()?;
        if self.skip_unchanged {
            check_skip(store)?;
        }
        let mut listed = Vec::new();
        let left_out = list_tree(store, self.scope.clone(), |file| {
            let path = path_in_scope(store.capabilities(), self.scope.as_deref(), &file);
            if matcher.chooses_file(Path::new(&path.join("/"))) {
                listed.push((path, file));
            }
        });
        let left_out = left_out.await?;
        let mut paths = LocalPaths::new(self.exact_names, listed.iter().map(|(path, _)| path.as_slice()));
        let compared = listed.into_iter().map(|(path, file)| {
            let (local, path) = (paths.choose(&path), path.join("/"));
            let download = Download::from(file.reference.clone()).restore_modified(true);
            // Another stored file may have had the same local name before.
            let is_own_name = local == Path::new(&path);
            let if_exists = if self.skip_unchanged && !is_own_name { IfExists::Fail } else { self.if_exists };
            let save = Save::below(download, &self.folder, local).size(file.size).if_exists(if_exists);
            async move {
                // A file that cannot be compared counts as changed.
                let is_unchanged = self.skip_unchanged && save.is_unchanged(store, &file).await.unwrap_or(false);
                (path, save, is_unchanged)
            }
        });
        let mut compared = stream::iter(compared).buffered(COMPARISONS);
        let mut plan = DownloadPlan { files: Vec::new(), unchanged: Vec::new(), left_out };
        while let Some((path, save, is_unchanged)) = compared.next().await {
            match is_unchanged {
                true => plan.unchanged.push(path),
                false => plan.files.push((path, save)),
            }
        }
        Ok(plan)
    }
}

/// The local paths of a plan: each is that of one file, and of no folder.
struct LocalPaths {
    /// `true` if names are not sanitized.
    exact: bool,
    taken: HashSet<PathBuf>,
    /// The number in the name of the last file with this path.
    numbers: HashMap<PathBuf, u32>,
}

impl LocalPaths {
    fn new<'a>(exact: bool, paths: impl Iterator<Item = &'a [String]>) -> Self {
        let mut taken = HashSet::new();
        for path in paths {
            taken.extend(local_path(path, exact).ancestors().skip(1).map(folded));
        }
        Self { exact, taken, numbers: HashMap::new() }
    }

    /// Returns the local path of the next file.
    fn choose(&mut self, path: &[String]) -> PathBuf {
        let path = local_path(path, self.exact);
        let mut chosen = path.clone();
        while !self.taken.insert(folded(&chosen)) {
            let number = self.numbers.entry(folded(&path)).or_default();
            *number += 1;
            chosen = numbered_path(&path, *number);
        }
        chosen
    }
}

/// Returns the local path of the components.
fn local_path(path: &[String], exact: bool) -> PathBuf {
    let is_possible = |name: &str| {
        cfg!(unix) && !matches!(name, "" | "." | "..") && !name.contains(['/', '\0']) && !name.contains(is_hidden)
    };
    let name = |name: &String| match exact && is_possible(name) {
        true => name.clone(),
        false => sanitize_file_name(name),
    };
    path.iter().map(name).collect()
}

/// Returns the form of a path in which it equals all others that are one file on this system.
fn folded(path: impl AsRef<Path>) -> PathBuf {
    let path = path.as_ref();
    match cfg!(any(windows, target_os = "macos")) {
        true => path.to_string_lossy().to_lowercase().into(),
        false => path.to_owned(),
    }
}
