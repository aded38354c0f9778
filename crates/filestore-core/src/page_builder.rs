//! [`PageBuilder`]: builds one page of a listing whose entries arrive unordered or all at once.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::fmt;

use crate::{Error, List, PageToken, Result, validate_limit};

/// One page of a listing, built from entries in any order. Its memory does not grow with the listing.
///
/// It stores the smallest paths after the page token: as many as fit on the page, and one more, which shows that there
/// is a next page. Paths are those of references, in the order of their bytes. Paths of folders end with `/`.
///
/// ```
/// use filestore_core::{List, PageBuilder};
///
/// let mut page = PageBuilder::new(&List::new().limit(2), "", 1000)?;
/// for path in ["b", "c/", "a"] {
///     page.offer(path.to_owned(), || ());
/// }
/// let (entries, next) = page.finish();
/// assert_eq!(entries.iter().map(|(path, ())| path.as_str()).collect::<Vec<_>>(), ["a", "b"]);
/// assert_eq!(next.unwrap().as_str(), "b");
/// # Ok::<(), filestore_core::Error>(())
/// ```
pub struct PageBuilder<T> {
    after: Option<String>,
    limit: usize,
    entries: BinaryHeap<Entry<T>>,
}

struct Entry<T> {
    path: String,
    value: T,
}

impl<T> PageBuilder<T> {
    /// The default page size of a listing that can begin at the page token.
    pub const DEFAULT: usize = 1000;

    /// The largest page size, because all files of a page are in memory together. It is also the default page size of a
    /// listing that is read from its beginning for every page.
    pub const LARGEST: usize = 10_000;

    /// Creates the page for `request`, whose scope is the folder `prefix` (empty, or ending with `/`). `default` is the
    /// page size if the request has no limit.
    ///
    /// Fails with *invalid input* if the limit is 0 or the page token belongs to another scope.
    pub fn new(request: &List, prefix: &str, default: usize) -> Result<Self> {
        validate_limit(request.limit)?;
        let after = match &request.page {
            Some(token) if !token.as_str().starts_with(prefix) => {
                return Err(Error::invalid("the page token belongs to the listing of another scope; use it there"));
            }
            Some(token) => Some(token.as_str().to_owned()),
            None => None,
        };
        let limit = request.limit.map_or(default, |limit| (limit as usize).min(Self::LARGEST));
        Ok(Self { after, limit, entries: BinaryHeap::new() })
    }

    /// Returns the largest number of entries on the page.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Returns the path after which the page begins.
    pub fn after(&self) -> Option<&str> {
        self.after.as_deref()
    }

    /// Returns `true` if a path below the folder `path` (ending with `/`) can still be on the page.
    pub fn reaches(&self, path: &str) -> bool {
        let is_before = self.after().is_some_and(|after| after >= path && !after.starts_with(path));
        !is_before && !self.is_complete_at(path)
    }

    /// Returns `true` if only smaller paths than those that were offered can change the page.
    pub fn is_full(&self) -> bool {
        self.entries.len() > self.limit
    }

    /// Returns `true` if neither `path` nor any path after it can change the page.
    pub fn is_complete_at(&self, path: &str) -> bool {
        self.is_full() && self.entries.peek().is_some_and(|largest| *largest.path <= *path)
    }

    /// Adds `path` if it belongs to the page. Only then `value` is called.
    pub fn offer(&mut self, path: String, value: impl FnOnce() -> T) {
        if self.after().is_some_and(|after| *path <= *after) || self.is_complete_at(&path) {
            return;
        }
        self.entries.push(Entry { path, value: value() });
        if self.entries.len() > self.limit + 1 {
            self.entries.pop();
        }
    }

    /// Returns the entries in order, and the token of the next page.
    pub fn finish(mut self) -> (Vec<(String, T)>, Option<PageToken>) {
        let more = self.is_full();
        if more {
            self.entries.pop();
        }
        let entries: Vec<_> =
            self.entries.into_sorted_vec().into_iter().map(|entry| (entry.path, entry.value)).collect();
        let next = entries.last().filter(|_| more).map(|(path, _)| PageToken::new(path));
        (entries, next)
    }
}

impl<T> fmt::Debug for PageBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageBuilder")
            .field("after", &self.after)
            .field("limit", &self.limit)
            .field("entries", &self.entries.len())
            .finish()
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.path.cmp(&other.path)
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl<T> Eq for Entry<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(paths: &[&str], limit: u32, after: Option<&str>) -> (Vec<String>, Option<String>) {
        let mut request = List::new().limit(limit);
        request.page = after.map(PageToken::new);
        let mut page = PageBuilder::new(&request, "", PageBuilder::<()>::DEFAULT).unwrap();
        for path in paths {
            page.offer((*path).to_owned(), || ());
        }
        let (entries, next) = page.finish();
        (entries.into_iter().map(|(path, ())| path).collect(), next.map(|token| token.as_str().to_owned()))
    }

    #[test]
    fn a_page_is_the_smallest_paths_after_the_token_in_any_order_of_arrival() {
        let paths = ["d", "a", "c", "e", "b"];
        assert_eq!(page(&paths, 2, None), (vec!["a".into(), "b".into()], Some("b".into())));
        assert_eq!(page(&paths, 2, Some("b")), (vec!["c".into(), "d".into()], Some("d".into())));
        assert_eq!(page(&paths, 2, Some("d")), (vec!["e".into()], None));
    }

    #[test]
    fn a_full_last_page_has_no_next_page() {
        assert_eq!(page(&["b", "a"], 2, None), (vec!["a".into(), "b".into()], None));
    }

    #[test]
    fn a_token_of_a_deleted_file_continues_the_listing() {
        assert_eq!(page(&["a", "c"], 2, Some("b")), (vec!["c".into()], None));
    }

    #[test]
    fn a_folder_is_read_only_if_its_files_can_be_on_the_page() {
        let mut request = List::new().limit(1);
        request.page = Some(PageToken::new("m/x"));
        let mut page = PageBuilder::new(&request, "", PageBuilder::<()>::DEFAULT).unwrap();
        assert!(!page.reaches("a/"));
        assert!(page.reaches("m/"));
        assert!(page.reaches("z/"));
        page.offer("n".into(), || ());
        page.offer("o".into(), || ());
        assert!(!page.reaches("z/"));
        assert!(page.reaches("m/"));
    }

    #[test]
    fn a_limit_of_0_is_rejected() {
        assert!(PageBuilder::<()>::new(&List::new().limit(0), "", PageBuilder::<()>::DEFAULT).is_err());
    }

    #[test]
    fn a_token_of_another_scope_is_rejected() {
        let mut request = List::new();
        request.page = Some(PageToken::new("a/x"));
        assert!(PageBuilder::<()>::new(&request, "b/", PageBuilder::<()>::DEFAULT).is_err());
    }
}
