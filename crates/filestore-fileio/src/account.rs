//! The account: its kind_and_effect, and its files with all that the service says of them.

use std::collections::BTreeMap;

use filestore_core::{Error, ErrorKind, Expiry, Result, StoredFile};
use serde_json::Value;

use crate::key::FileKey;
use crate::options::MaxDownloads;
use crate::wire;

/// What `/me` says. Fields that the service leaves out are `None`.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Account {
    /// The plan; 0 is the free one.
    pub plan_id: Option<u64>,
    /// The largest file in bytes.
    pub max_upload_bytes: Option<u64>,
    /// All files together, in bytes.
    pub max_storage_bytes: Option<u64>,
    /// What is used of it.
    pub used_storage_bytes: Option<u64>,
    /// Requests allowed, by all likelihood each minute.
    pub rate_limit: Option<u64>,
    /// All other fields as they came, such as `directDownload` and `customDomain`.
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

/// A file with what only file.io says of it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FileIoFile {
    /// What every store says.
    pub file: StoredFile,
    /// Its title.
    pub title: Option<String>,
    /// Its description.
    pub description: Option<String>,
    /// How often it was downloaded.
    pub downloads: Option<u64>,
    /// How often it may be.
    pub max_downloads: Option<MaxDownloads>,
    /// Whether it is deleted when it is used up or expired.
    pub auto_delete: Option<bool>,
    /// What the service's screening of contents says: `pending`, `passed`.
    pub screening_status: Option<String>,
    /// The expiry in words, as generation 1 of the service gives it.
    pub(crate) expiry_in_words: Option<String>,
}

impl FileIoFile {
    /// `name` is what the file is called if the service does not say.
    pub(crate) fn new(key: &FileKey, wire: wire::File, name: &str) -> Self {
        let mut file = StoredFile::new(key.reference(), wire.name.unwrap_or_else(|| name.to_owned()));
        file.size = wire.size;
        file.stored_size = wire.size;
        file.created = wire.created;
        file.modified = wire.modified;
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
        }
    }
}

/// What to list of the account's files.
///
/// ```
/// use filestore_fileio::Search;
///
/// let largest = Search::new().text("report").sort("size:desc").limit(10);
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Search {
    /// Files whose name has this text.
    pub text: Option<String>,
    /// A field such as `name`, `size`, `created` or `expires`, with `:asc` or `:desc`. Not set: the
    /// newest first.
    pub sort: Option<String>,
    /// How many files to skip.
    pub offset: u64,
    /// At most so many files. Not set: as many as the service likes.
    pub limit: Option<u32>,
}

impl Search {
    /// All files, the newest first.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only files whose name has `text`.
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// In the order of a field.
    pub fn sort(mut self, sort: impl Into<String>) -> Self {
        self.sort = Some(sort.into());
        self
    }

    /// Without the first `offset`.
    pub fn offset(mut self, offset: u64) -> Self {
        self.offset = offset;
        self
    }

    /// At most `limit`; at least one.
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = Some(limit.max(1));
        self
    }

    /// The query, without what is not said.
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

/// A part of a listing.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FileIoPage {
    /// The files.
    pub files: Vec<FileIoFile>,
    /// The offset of the next part; `None`: this was the last.
    pub next: Option<u64>,
}

impl FileIoPage {
    /// The page that answers `search`. *Protocol* without a list. A file without a usable key has no reference: it is
    /// left out, and logged.
    pub(crate) fn new(listing: wire::Listing, search: &Search) -> Result<Self> {
        let nodes = listing.nodes.or(listing.files).ok_or_else(|| {
            let message = "the answer to a listing holds no list of files; check base_url";
            Error::new(ErrorKind::Protocol, filestore_core::Effect::Rejected, message)
        })?;
        // A service that ignores the limit must not make a page longer than was asked for.
        let taken = nodes.len().min(search.limit.map_or(usize::MAX, |limit| limit as usize));
        let mut files = Vec::with_capacity(taken);
        for node in nodes.into_iter().take(taken) {
            match node.key.as_deref().and_then(FileKey::new) {
                Some(key) => files.push(FileIoFile::new(&key, node, "unnamed")),
                None => tracing::warn!(name = node.name, "a file without a usable key is left out of the listing"),
            }
        }
        let end = search.offset.saturating_add(taken as u64);
        let is_full = search.limit.is_some_and(|limit| taken as u64 >= u64::from(limit));
        // A service that gives fewer than were asked for, and does not count them, may have more.
        let is_more = listing.count.map_or(search.limit.is_some(), |count| count > end);
        let next = (taken > 0 && (is_full || is_more)).then_some(end);
        Ok(Self { files, next })
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
    fn a_page_is_never_longer_than_was_asked_for() {
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
    fn a_file_without_a_usable_key_does_not_hide_the_others() {
        let page = page(
            r#"{"nodes":[{"name":"a"},{"key":5},{"key":"../x"},{"key":"B","name":"b"}],"count":9}"#,
            Search::new(),
        );
        let page = page.unwrap();
        assert_eq!((names(&page), page.next), (vec!["b"], Some(4)));
    }

    #[test]
    fn what_is_no_list_is_not_an_empty_one() {
        for json in [r#"{"nodes":"none"}"#, r#"{"nodes":[1]}"#, r#"{"files":{}}"#] {
            assert!(serde_json::from_str::<wire::Listing>(json).is_err(), "{json}");
        }
        assert!(page("[]", Search::new()).is_err());
    }

    #[test]
    fn a_service_that_gives_fewer_than_were_asked_for_and_does_not_count_them_may_have_more() {
        let two = r#"{"nodes":[{"key":"A"},{"key":"B"}]}"#;
        assert_eq!(page(two, Search::new().limit(1000)).unwrap().next, Some(2));
        assert_eq!(page(r#"{"nodes":[]}"#, Search::new().limit(1000)).unwrap().next, None);
        assert_eq!(page(two, Search::new().limit(2).offset(u64::MAX)).unwrap().next, Some(u64::MAX));
    }

    #[test]
    fn a_page_of_more_entries_than_memory_is_for_is_no_page() {
        let many = format!(r#"{{"nodes":[{}{{"key":"A"}}]}}"#, r#"{"key":"A"},"#.repeat(50_000));
        assert!(serde_json::from_str::<wire::Listing>(&many).is_err());
    }

    #[test]
    fn a_listing_without_a_list_is_a_protocol_error() {
        assert_eq!(page("{}", Search::new()).unwrap_err().kind(), ErrorKind::Protocol);
        assert_eq!(page(r#"{"success":true,"count":0}"#, Search::new()).unwrap_err().kind(), ErrorKind::Protocol);
    }
}
