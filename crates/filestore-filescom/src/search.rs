//! Listings that search, sort and filter.

use filestore_core::{Error, PageToken, Result, StoredFile};
use jiff::Timestamp;

use crate::metadata;
use crate::path::{LeftOut, SitePath};
use crate::store::FilesComStore;
use crate::update::seconds;
use crate::walk::PAGE;
use crate::wire::Entry;

/// Which entries of a folder, or of the whole site, and in which order.
///
/// ```
/// use filestore_filescom::{EntryType, Search, SortBy};
///
/// let newest = Search::folder("invoices").only(EntryType::File).descending(SortBy::Modified).limit(10);
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Search {
    /// The folder below the root of the store; empty: the root itself.
    pub folder: String,
    /// Entries whose name has this text. The service looks it up in an index: best effort, at most about a
    /// thousand hits, deeper folders included.
    pub text: Option<String>,
    /// Searches the whole site, whatever the folder. Only for stores without a root.
    pub everywhere: bool,
    /// Searches this key of the metadata, not the name.
    pub metadata_key: Option<String>,
    /// Files or folders alone.
    pub only: Option<EntryType>,
    /// Entries that were changed after this time. Needs `only`.
    pub modified_after: Option<Timestamp>,
    /// The order, and whether it is reversed. Not set: folders first, by path.
    pub sort: Option<(SortBy, bool)>,
    /// At most so many entries a page; 1,000 unless set, and no more.
    pub limit: Option<u32>,
    /// Where an earlier page ended.
    pub page: Option<PageToken>,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryType {
    /// A file.
    File,
    /// A folder.
    Folder,
}

/// What to sort by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SortBy {
    /// The path, as the service compares paths.
    Path,
    /// The size.
    Size,
    /// The service's own time of the last change.
    Modified,
    /// The time that the uploader gave.
    ProvidedModified,
}

/// A file or a folder.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FilesComEntry {
    /// What it is.
    pub entry_type: EntryType,
    /// What every store says; a folder has no size.
    pub file: StoredFile,
    /// Its path below the root of the store.
    pub path: String,
    /// What the asker may do: some of `l`ist, `r`ead, `w`rite, `d`elete.
    pub permissions: String,
}

/// A part of a listing.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct FilesComPage {
    /// Files and folders.
    pub entries: Vec<FilesComEntry>,
    /// What to give to [`Search::page`] next; `None`: this was the last.
    pub next: Option<PageToken>,
}

impl Search {
    /// All entries of a folder below the root.
    pub fn folder(folder: impl Into<String>) -> Self {
        Self { folder: folder.into(), ..Self::default() }
    }

    /// Only what has this text in its name.
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// In the whole site.
    pub fn everywhere(mut self) -> Self {
        self.everywhere = true;
        self
    }

    /// Looks for the text in this key of the metadata.
    pub fn metadata_key(mut self, key: impl Into<String>) -> Self {
        self.metadata_key = Some(key.into());
        self
    }

    /// Only files, or only folders.
    pub fn only(mut self, entry_type: EntryType) -> Self {
        self.only = Some(entry_type);
        self
    }

    /// Only what was changed after this time.
    pub fn modified_after(mut self, time: Timestamp) -> Self {
        self.modified_after = Some(time);
        self
    }

    /// Smallest, oldest, first in the alphabet first.
    pub fn ascending(mut self, by: SortBy) -> Self {
        self.sort = Some((by, false));
        self
    }

    /// Largest, newest, last in the alphabet first.
    pub fn descending(mut self, by: SortBy) -> Self {
        self.sort = Some((by, true));
        self
    }

    /// At most so many entries a page.
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Goes on where a page ended. Everything else must be as it was.
    pub fn page(mut self, token: PageToken) -> Self {
        self.page = Some(token);
        self
    }

    /// The query, without what is not said.
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
    /// One page of the entries that `search` describes, folders included.
    ///
    /// *Not found* if there is no such folder, *invalid input* for a token of another search or a
    /// combination that the service does not have.
    pub async fn search(&self, search: &Search) -> Result<FilesComPage> {
        // 1. What is certain to be rejected is not sent.
        if search.modified_after.is_some() && search.only.is_none() {
            return Err(Error::invalid("modified_after needs `only`: files or folders"));
        }
        let is_above = search.everywhere && !self.root().is_root();
        if is_above || search.everywhere && !search.folder.is_empty() {
            return Err(Error::invalid("a search everywhere is for the whole site: give no folder, and no root"));
        }
        // 2. One request.
        let folder = self.root().join(&search.folder)?;
        let per_page = search.limit.unwrap_or(PAGE).clamp(1, PAGE);
        let cursor = search.page.as_ref().map(PageToken::as_str);
        let query = search.query();
        let mut entries = Vec::new();
        let mut left_out = LeftOut::default();
        // 3. What this store can name.
        let each = |entry: Entry| {
            let Some(path) = entry.path.as_deref().and_then(|path| SitePath::listed(path, &mut left_out)) else {
                return;
            };
            let Some(below) = path.strip_prefix(self.root()) else { return };
            entries.push(FilesComEntry {
                entry_type: if entry.is_folder() { EntryType::Folder } else { EntryType::File },
                path: below,
                permissions: entry.permissions.clone().unwrap_or_default(),
                file: metadata::stored(&path, entry),
            });
        };
        let next = self.folder_page(&folder, per_page, cursor, &query, each).await?.map(PageToken::new);
        Ok(FilesComPage { entries, next })
    }
}
