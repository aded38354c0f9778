//! The account: its plan and limits, and its files with the fields that only file.io has.

use std::collections::BTreeMap;

use filestore_core::{Error, ErrorKind, Expiry, Result, StoredFile};
use jiff::Timestamp;
use serde_json::Value;

use crate::key::FileKey;
use crate::options::MaxDownloads;
use crate::wire;

/// The response to `GET /me`. Fields that the service leaves out are `None`.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Account {
    /// The plan; 0 is the free one.
    pub plan_id: Option<u64>,
    /// The largest file in bytes.
    pub max_upload_bytes: Option<u64>,
    /// The largest size of all files together, in bytes.
    pub max_storage_bytes: Option<u64>,
    /// The size of all files now, in bytes.
    pub used_storage_bytes: Option<u64>,
    /// The number of allowed requests, most likely per minute.
    pub rate_limit: Option<u64>,
    /// All other fields, unchanged, such as `directDownload` and `customDomain`.
    pub other: BTreeMap<String, Value>,
}

impl From<wire::Me> for Account {
    fn from(me: wire::Me) -> Self {
        let mut other = me.other;
        other.retain(|name, _| !matches!(name.as_str(), "success" | "status"));
        Self {
            plan_id: me.plan_id,
            max_upload_bytes: me.max_upload_bytes,
            max_storage_bytes: me.max_storage_bytes,
            used_storage_bytes: me.used_storage_bytes,
            rate_limit: me.rate_limit,
            other,
        }
    }
}

/// A file, with the fields that only file.io has.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FileIoFile {
    /// The fields that every store has.
    pub file: StoredFile,
    /// The title.
    pub title: Option<String>,
    /// The description.
    pub description: Option<String>,
    /// The number of downloads so far.
    pub downloads: Option<u64>,
    /// The number of downloads that are allowed in all.
    pub max_downloads: Option<MaxDownloads>,
    /// `true` if the service deletes the file after its last download or its expiry.
    pub auto_delete: Option<bool>,
    /// The state of the service's content screening: `pending`, `passed`.
    pub screening_status: Option<String>,
    /// The expiry in words, as generation 1 of the service gives it.
    pub(crate) expiry_in_words: Option<String>,
    /// `true` if the response has a field that only generation 2 of the service has. Such a response has them all, so
    /// that one that is missing or unreadable confirms nothing.
    pub(crate) is_generation_2: bool,
}

impl FileIoFile {
    /// `name` is the name of the file if the service gives none.
    pub(crate) fn new(key: &FileKey, wire: wire::File, name: &str) -> Self {
        let is_generation_2 = wire.is_generation_2();
        let mut file = StoredFile::new(key.reference(), wire.name.unwrap_or_else(|| name.to_owned()));
        file.size = wire.size;
        file.stored_size = wire.size;
        file.created = wire.created;
        file.modified = wire.modified;
        file.version = version(wire.modified, wire.size);
        file.content_type = wire.mime_type;
        file.expiry = match wire.expires {
            Some(Some(end)) => Expiry::At(end),
            Some(None) => Expiry::Never,
            None => Expiry::Default,
        };
        file.remaining_downloads = match (wire.max_downloads, wire.downloads) {
            (Some(Some(max)), Some(used)) => Some(max.saturating_sub(used)),
            _ => None,
        };
        Self {
            file,
            title: wire.title,
            description: wire.description,
            downloads: wire.downloads,
            max_downloads: wire.max_downloads.map(|max| match max {
                Some(times) => MaxDownloads::Times(u32::try_from(times).unwrap_or(u32::MAX)),
                None => MaxDownloads::Unlimited,
            }),
            auto_delete: wire.auto_delete,
            screening_status: wire.screening_status,
            expiry_in_words: wire.expiry,
            is_generation_2,
        }
    }
}

/// Returns the version of a content: the service states neither an ETag nor a digest. Every change of the file sets
/// `modified`, also one of the expiry or the title.
fn version(modified: Option<Timestamp>, size: Option<u64>) -> Option<String> {
    Some(format!("{}-{}", modified?.as_millisecond(), size?))
}

/// A query of the account's files.
///
/// ```
/// use filestore_fileio::Search;
///
/// let largest = Search::new().text("report").sort("size:desc").limit(10);
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Search {
    /// A text that the name of a file contains.
    pub text: Option<String>,
    /// The order: a field such as `name`, `size`, `created` or `expires`, with `:asc` or `:desc`. `None`: the newest
    /// file first.
    pub sort: Option<String>,
    /// The number of files to skip.
    pub offset: u64,
    /// The largest number of files, from 1. `None`: the service decides.
    pub limit: Option<u32>,
}

impl Search {
    /// Creates a query of all files, the newest first.
    pub fn new() -> Self {
        Self::default()
    }

    /// Finds only files whose name contains `text`.
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// Sets the order: a field with `:asc` or `:desc`.
    pub fn sort(mut self, sort: impl Into<String>) -> Self {
        self.sort = Some(sort.into());
        self
    }

    /// Skips the first `offset` files.
    pub fn offset(mut self, offset: u64) -> Self {
        self.offset = offset;
        self
    }

    /// Returns at most `limit` files. A limit of 0 fails with *invalid input* when the query is sent.
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Returns the query parameters that are set.
    pub(crate) fn query(&self) -> Vec<(&'static str, String)> {
        let pairs = [
            ("search", self.text.clone()),
            ("sort", self.sort.clone()),
            ("offset", (self.offset > 0).then(|| self.offset.to_string())),
            ("limit", self.limit.map(|limit| limit.to_string())),
        ];
        pairs.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// A page of a listing.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FileIoPage {
    /// The files.
    pub files: Vec<FileIoFile>,
    /// The offset of the next page; `None` on the last page.
    pub next: Option<u64>,
    /// The number of entries that the service listed and that are not in `files`, because they have no valid key.
    pub left_out: u64,
    /// The time at which the service sent the response, by its own clock and in whole seconds: the header `Date`.
    pub date: Option<Timestamp>,
}

impl FileIoPage {
    /// Creates the page of `listing`, the response to `search`. *Protocol* if it holds no list.
    pub(crate) fn new(listing: wire::Listing, search: &Search) -> Result<Self> {
        let nodes = listing.nodes.or(listing.files).ok_or_else(|| {
            let message = "the response to a listing holds no list of files; check base_url";
            Error::new(ErrorKind::Protocol, filestore_core::Effect::Rejected, message)
        })?;
        // Even if the service ignores the limit, the page keeps it.
        let taken = nodes.len().min(search.limit.map_or(usize::MAX, |limit| limit as usize));
        let file = |node: wire::File| {
            let key = node.key.as_deref().and_then(FileKey::new)?;
            Some(FileIoFile::new(&key, node, "unnamed"))
        };
        let files: Vec<_> = nodes.into_iter().take(taken).filter_map(file).collect();
        let end = search.offset.saturating_add(taken as u64);
        let is_full = search.limit.is_some_and(|limit| taken as u64 >= u64::from(limit));
        // A service that returns fewer files than the limit, and no count, may have more files.
        let has_more = listing.count.map_or(search.limit.is_some(), |count| count > end);
        let next = (taken > 0 && (is_full || has_more)).then_some(end);
        Ok(Self { left_out: (taken - files.len()) as u64, files, next, date: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(json: &str, search: Search) -> Result<FileIoPage> {
        FileIoPage::new(serde_json::from_str(json).unwrap(), &search)
    }

    fn names(page: &FileIoPage) -> Vec<&str> {
        page.files.iter().map(|file| file.file.name.as_str()).collect()
    }

    #[test]
    fn either_name_of_the_list_is_read() {
        let both = [r#"{"nodes":[{"key":"A1","name":"a"}]}"#, r#"{"files":[{"key":"A1","name":"a"}],"count":1}"#];
        for json in both {
            let page = page(json, Search::new()).unwrap();
            assert_eq!((names(&page), page.next), (vec!["a"], None), "{json}");
        }
        assert!(page(r#"{"nodes":[]}"#, Search::new()).unwrap().files.is_empty());
    }

    #[test]
    fn a_full_page_or_a_larger_count_means_that_there_is_more() {
        let two = r#"{"nodes":[{"key":"A"},{"key":"B"}],"count":2}"#;
        assert_eq!(page(two, Search::new().limit(2)).unwrap().next, Some(2));
        assert_eq!(page(two, Search::new().limit(3)).unwrap().next, None);
        assert_eq!(page(two, Search::new().limit(2).offset(4)).unwrap().next, Some(6));
        let of_ten = r#"{"nodes":[{"key":"A"},{"key":"B"}],"count":10}"#;
        assert_eq!(page(of_ten, Search::new()).unwrap().next, Some(2));
        assert_eq!(page(of_ten, Search::new().offset(8)).unwrap().next, None);
        assert_eq!(page(r#"{"nodes":[],"count":10}"#, Search::new().limit(2)).unwrap().next, None);
    }

    #[test]
    fn a_page_is_never_longer_than_its_limit() {
        let page = page(r#"{"nodes":[{"key":"A"},{"key":"B"}],"count":2}"#, Search::new().limit(1)).unwrap();
        assert_eq!((page.files.len(), page.next), (1, Some(1)));
    }

    #[test]
    fn one_wrongly_typed_field_does_not_lose_the_listing() {
        let page =
            page(r#"{"nodes":[{"key":"A","name":"a"},{"key":"B","name":"b","size":[]}],"count":"x"}"#, Search::new());
        assert_eq!(names(&page.unwrap()), ["a", "b"]);
    }

    #[test]
    fn a_file_without_a_valid_key_is_counted_and_does_not_hide_the_others() {
        let page = page(
            r#"{"nodes":[{"name":"a"},{"key":5},{"key":"../x"},{"key":"B","name":"b"}],"count":9}"#,
            Search::new(),
        );
        let page = page.unwrap();
        assert_eq!((names(&page), page.next, page.left_out), (vec!["b"], Some(4), 3));
    }

    #[test]
    fn a_value_that_is_no_list_is_not_an_empty_list() {
        for json in [r#"{"nodes":"none"}"#, r#"{"nodes":[1]}"#, r#"{"files":{}}"#] {
            assert!(serde_json::from_str::<wire::Listing>(json).is_err(), "{json}");
        }
        assert!(page("[]", Search::new()).is_err());
    }

    #[test]
    fn a_page_below_its_limit_without_a_count_may_not_be_the_last() {
        let two = r#"{"nodes":[{"key":"A"},{"key":"B"}]}"#;
        assert_eq!(page(two, Search::new().limit(1000)).unwrap().next, Some(2));
        assert_eq!(page(r#"{"nodes":[]}"#, Search::new().limit(1000)).unwrap().next, None);
        assert_eq!(page(two, Search::new().limit(2).offset(u64::MAX)).unwrap().next, Some(u64::MAX));
    }

    #[test]
    fn a_page_of_more_than_50_000_entries_is_rejected() {
        let many = format!(r#"{{"nodes":[{}{{"key":"A"}}]}}"#, r#"{"key":"A"},"#.repeat(50_000));
        assert!(serde_json::from_str::<wire::Listing>(&many).is_err());
    }

    #[test]
    fn a_listing_without_a_list_is_a_protocol_error() {
        assert_eq!(page("{}", Search::new()).unwrap_err().kind(), ErrorKind::Protocol);
        assert_eq!(page(r#"{"success":true,"count":0}"#, Search::new()).unwrap_err().kind(), ErrorKind::Protocol);
    }
}
