//! [`Search`]: listings with search, order and filters.

use filestore_core::{Error, IntoTimestamp, PageToken, Result, StoredFile, validate_limit};
use jiff::Timestamp;

use crate::metadata;
use crate::path::SitePath;
use crate::store::FilesComStore;
use crate::update::seconds;
use crate::walk::PAGE;
use crate::wire::Entry;

/// A request for entries of a folder or of the whole site, with filters and an order.
///
/// ```
/// use filestore_filescom::{EntryType, Search, SortBy};
///
/// let newest = Search::folder("invoices").only(EntryType::File).descending(SortBy::Modified).limit(10);
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Search {
    /// The path of the folder below the root of the store; empty: the root itself.
    pub folder: String,
    /// The text that the name of an entry must contain. The search includes subfolders. The service uses an index:
    /// results are best effort, at most about a thousand.
    pub text: Option<String>,
    /// `true` searches the whole site. Only for a store without a root, and without a folder.
    pub everywhere: bool,
    /// The key of the metadata to search instead of the name.
    pub metadata_key: Option<String>,
    /// The type of the entries; `None`: files and folders.
    pub only: Option<EntryType>,
    /// The time after which an entry must have changed. It requires `only`.
    pub modified_after: Option<Timestamp>,
    /// The order, and `true` for descending. Default: folders first, by path.
    pub sort: Option<(SortBy, bool)>,
    /// The maximum number of entries of a page, at least 1. Default, and most that a page has: 1,000.
    pub limit: Option<u32>,
    /// The token of the page, from the page before; `None`: the first page.
    pub page: Option<PageToken>,
}

/// The type of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryType {
    /// A file.
    File,
    /// A folder.
    Folder,
}

/// The field that a search sorts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SortBy {
    /// The path, in the order of the service.
    Path,
    /// The size.
    Size,
    /// The time of the last change, as the service recorded it.
    Modified,
    /// The time of the last change, as the uploader provided it.
    ProvidedModified,
}

/// A file or folder, as a search returns it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FilesComEntry {
    /// The type.
    pub entry_type: EntryType,
    /// The metadata that every store has; a folder has no size.
    pub file: StoredFile,
    /// The path below the root of the store.
    pub path: String,
    /// The permissions of the user: some of `l` (list), `r` (read), `w` (write), `d` (delete).
    pub permissions: String,
}

/// A page of the result of a search.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct FilesComPage {
    /// Files and folders.
    pub entries: Vec<FilesComEntry>,
    /// The token of the next page, for [`Search::page`]; `None`: this is the last page.
    pub next: Option<PageToken>,
    /// The number of entries that the service listed and that are not in `entries`, because no reference can address
    /// them.
    pub left_out: u64,
}

impl Search {
    /// Creates a search for all entries of a folder below the root.
    pub fn folder(folder: impl Into<String>) -> Self {
        Self { folder: folder.into(), ..Self::default() }
    }

    /// Sets the text that the name of an entry must contain.
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// Searches the whole site.
    pub fn everywhere(mut self) -> Self {
        self.everywhere = true;
        self
    }

    /// Sets the key of the metadata to search instead of the name.
    pub fn metadata_key(mut self, key: impl Into<String>) -> Self {
        self.metadata_key = Some(key.into());
        self
    }

    /// Restricts the entries to files or to folders.
    pub fn only(mut self, entry_type: EntryType) -> Self {
        self.only = Some(entry_type);
        self
    }

    /// Restricts the entries to those that changed after this time.
    pub fn modified_after(mut self, time: impl IntoTimestamp) -> Self {
        self.modified_after = Some(time.into_timestamp());
        self
    }

    /// Sorts in ascending order: smallest, oldest or alphabetically first entries first.
    pub fn ascending(mut self, by: SortBy) -> Self {
        self.sort = Some((by, false));
        self
    }

    /// Sorts in descending order: largest, newest or alphabetically last entries first.
    pub fn descending(mut self, by: SortBy) -> Self {
        self.sort = Some((by, true));
        self
    }

    /// Sets the maximum number of entries of a page. A limit of 0 fails with *invalid input* when the search is sent.
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Sets the token of the page. All other fields must be those of the search that returned it.
    pub fn page(mut self, token: PageToken) -> Self {
        self.page = Some(token);
        self
    }

    /// Returns the query parameters of the fields that are set.
    fn query(&self) -> Vec<(&'static str, String)> {
        let only = self.only.map(|only| match only {
            EntryType::File => "file".to_owned(),
            EntryType::Folder => "folder".to_owned(),
        });
        let pairs = [
            ("search", self.text.clone()),
            ("search_custom_metadata_key", self.metadata_key.clone()),
            ("search_all", self.everywhere.then(|| "true".to_owned())),
            ("type", only),
            ("modified_at_datetime", self.modified_after.map(seconds)),
        ];
        let sort = self.sort.map(|(by, reverse)| (by.field(), if reverse { "desc" } else { "asc" }.to_owned()));
        pairs.into_iter().filter_map(|(name, value)| Some((name, value?))).chain(sort).collect()
    }
}

impl SortBy {
    fn field(self) -> &'static str {
        match self {
            Self::Path => "sort_by[path]",
            Self::Size => "sort_by[size]",
            Self::Modified => "sort_by[modified_at_datetime]",
            Self::ProvidedModified => "sort_by[provided_modified_at]",
        }
    }
}

impl FilesComStore {
    /// Returns one page of the entries that match `search`.
    ///
    /// *Not found* if the folder does not exist, *invalid input* for a limit of 0, a token of another search or a
    /// combination of fields that the service does not support.
    pub async fn search(&self, search: &Search) -> Result<FilesComPage> {
        // 1. A request that the service is certain to reject is not sent.
        validate_limit(search.limit)?;
        if search.modified_after.is_some() && search.only.is_none() {
            return Err(Error::invalid("`modified_after` requires `only`: files or folders"));
        }
        let is_outside_root = search.everywhere && !self.root().is_root();
        if is_outside_root || search.everywhere && !search.folder.is_empty() {
            return Err(Error::invalid(
                "`everywhere` searches the whole site; use it without a folder, on a store without a root",
            ));
        }
        // 2. The request.
        let folder = self.root().join(&search.folder)?;
        let per_page = search.limit.unwrap_or(PAGE).min(PAGE);
        let cursor = search.page.as_ref().map(PageToken::as_str);
        let query = search.query();
        let mut entries = Vec::new();
        let mut left_out = 0;
        // 3. The entries below the root of this store.
        let each = |entry: Entry| {
            let Some(path) = entry.path.as_deref().and_then(|path| SitePath::listed(path, &mut left_out)) else {
                return;
            };
            let Some(path_below) = path.strip_prefix(self.root()) else { return };
            entries.push(FilesComEntry {
                entry_type: if entry.is_folder() { EntryType::Folder } else { EntryType::File },
                path: path_below,
                permissions: entry.permissions.clone().unwrap_or_default(),
                file: metadata::stored(&path, entry),
            });
        };
        let next = self.folder_page(&folder, per_page, cursor, &query, each).await?.next.map(PageToken::new);
        Ok(FilesComPage { entries, next, left_out })
    }
}
