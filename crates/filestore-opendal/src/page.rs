//! One page out of a listing that comes whole or unordered, in memory that does not grow with it.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use filestore_core::{Error, List, PageToken, Result};

/// A page when the caller names no limit, of a listing that begins where the page does.
pub(crate) const PAGE: usize = 1000;

/// No page is larger: its files are in memory together. It is the one of listings that are read from
/// their beginning for every page, when the caller names no limit.
pub(crate) const LARGEST_PAGE: usize = 10_000;

/// The smallest paths after the page token: as many as fit on the page, and one more that tells
/// whether there is a next page. Paths of folders end with `/`.
pub(crate) struct Window<T> {
    after: Option<String>,
    limit: usize,
    entries: BinaryHeap<Entry<T>>,
}

struct Entry<T> {
    path: String,
    facts: T,
}

impl<T> Window<T> {
    /// For `request`, whose scope is the folder `prefix` (empty, or ending with `/`).
    ///
    /// `default` is the size of the page when the caller names none.
    pub(crate) fn new(request: &List, prefix: &str, default: usize) -> Result<Self> {
        let after = match &request.page {
            Some(token) if !token.as_str().starts_with(prefix) => {
                return Err(Error::invalid("the page token belongs to the listing of another scope; use it there"));
            }
            Some(token) => Some(token.as_str().to_owned()),
            None => None,
        };
        let limit = request.limit.map_or(default, |limit| (limit as usize).clamp(1, LARGEST_PAGE));
        Ok(Self { after, limit, entries: BinaryHeap::new() })
    }

    /// How many entries the page has at most.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Where the page begins: after this path.
    pub(crate) fn after(&self) -> Option<&str> {
        self.after.as_deref()
    }

    /// Whether a path below the folder `path` (ending with `/`) can still be on the page.
    pub(crate) fn reaches(&self, path: &str) -> bool {
        let behind = self.after().is_some_and(|after| after >= path && !after.starts_with(path));
        !behind && !self.is_complete_at(path)
    }

    /// Whether nothing from `path` on can change the page.
    pub(crate) fn is_complete_at(&self, path: &str) -> bool {
        self.entries.len() > self.limit && self.entries.peek().is_some_and(|largest| *largest.path <= *path)
    }

    /// Takes `path` in if it is on the page.
    pub(crate) fn offer(&mut self, path: String, facts: impl FnOnce() -> T) {
        if self.after().is_some_and(|after| *path <= *after) || self.is_complete_at(&path) {
            return;
        }
        self.entries.push(Entry { path, facts: facts() });
        if self.entries.len() > self.limit + 1 {
            self.entries.pop();
        }
    }

    /// The page in order, and where the next one begins.
    pub(crate) fn finish(mut self) -> (Vec<(String, T)>, Option<PageToken>) {
        let more = self.entries.len() > self.limit;
        if more {
            self.entries.pop();
        }
        let entries: Vec<_> =
            self.entries.into_sorted_vec().into_iter().map(|entry| (entry.path, entry.facts)).collect();
        let next = entries.last().filter(|_| more).map(|(path, _)| PageToken::new(path));
        (entries, next)
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
        let mut window = Window::new(&request, "", PAGE).unwrap();
        for path in paths {
            window.offer((*path).to_owned(), || ());
        }
        let (entries, next) = window.finish();
        (entries.into_iter().map(|(path, ())| path).collect(), next.map(|token| token.as_str().to_owned()))
    }

    #[test]
    fn a_page_is_the_smallest_paths_after_the_token_whatever_order_they_come_in() {
        let paths = ["d", "a", "c", "e", "b"];
        assert_eq!(page(&paths, 2, None), (vec!["a".into(), "b".into()], Some("b".into())));
        assert_eq!(page(&paths, 2, Some("b")), (vec!["c".into(), "d".into()], Some("d".into())));
        assert_eq!(page(&paths, 2, Some("d")), (vec!["e".into()], None));
    }

    #[test]
    fn a_full_last_page_has_no_next() {
        assert_eq!(page(&["b", "a"], 2, None), (vec!["a".into(), "b".into()], None));
    }

    #[test]
    fn a_token_goes_on_although_its_file_is_gone() {
        assert_eq!(page(&["a", "c"], 2, Some("b")), (vec!["c".into()], None));
    }

    #[test]
    fn a_folder_is_entered_only_where_it_reaches_into_the_page() {
        let mut request = List::new().limit(1);
        request.page = Some(PageToken::new("m/x"));
        let mut window = Window::new(&request, "", PAGE).unwrap();
        assert!(!window.reaches("a/"));
        assert!(window.reaches("m/"));
        assert!(window.reaches("z/"));
        window.offer("n".into(), || ());
        window.offer("o".into(), || ());
        assert!(!window.reaches("z/"));
        assert!(window.reaches("m/"));
    }

    #[test]
    fn a_token_of_another_scope_is_refused() {
        let mut request = List::new();
        request.page = Some(PageToken::new("a/x"));
        assert!(Window::<()>::new(&request, "b/", PAGE).is_err());
    }
}
