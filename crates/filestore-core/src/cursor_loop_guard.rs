//! [`CursorLoopGuard`]: detects listings that never end.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Effect, Error, ErrorKind, Result};

/// Detects a listing that never ends. Every loop over the pages of a service needs a guard.
///
/// A listing fails with *protocol* (effect *rejected*, because a listing changes nothing) when
///
/// - **a cursor repeats.** The cursors form a loop. Loops of any length are found, after at most about three
///   times the number of pages up to the end of the first round;
/// - **more than [`MAX_EMPTY_PAGES`](Self::MAX_EMPTY_PAGES) pages in a row are empty**, although each has
///   a new cursor. Some empty pages are normal, for example where entries were deleted or filtered out;
/// - **repeated pages together hold more than
///   [`MAX_REPEATED_ENTRIES`](Self::MAX_REPEATED_ENTRIES) entries**, although their cursors are new. An
///   offset is always a new cursor, even at a service that ignores it. One repeated page is no error: where
///   the cursor is an offset and the newest entry is first, each new file moves the others back. A page of
///   one entry repeats after one new file, a page of a hundred entries only after exactly a hundred new files
///   between two requests. This is why the guard counts entries and not pages, and why it compares a page
///   with one earlier page and not with all of them.
///
/// A listing whose pages hold new entries never fails, however long it is.
///
/// The guard stores a few numbers, regardless of the length of the listing. It is serializable, so that a page
/// token can carry it to another process, which continues the listing.
///
/// ```
/// use filestore_core::{CursorLoopGuard, Result};
///
/// # struct Service;
/// # impl Service {
/// #     async fn page(&self, _: Option<&str>) -> Result<(Vec<String>, Option<String>)> { Ok((Vec::new(), None)) }
/// # }
/// async fn find(service: &Service, wanted: &str) -> Result<bool> {
///     let mut guard = CursorLoopGuard::new();
///     let mut cursor = None;
///     loop {
///         let (names, next) = service.page(cursor.as_deref()).await?;
///         if names.iter().any(|name| name == wanted) {
///             return Ok(true);
///         }
///         let Some(next) = next else { return Ok(false) };
///         names.iter().for_each(|name| guard.entry(name));
///         guard.next_page(&next)?;
///         cursor = Some(next);
///     }
/// }
/// ```
#[derive(Debug, Clone, Default)]
pub struct CursorLoopGuard {
    cursors: CycleDetector,
    /// The cursor of the current page.
    cursor: Option<u64>,
    pages: CycleDetector,
    empty_pages: u32,
    repeated_entries: u32,
    /// The hash of the entries of the current page, and their number.
    hasher: DefaultHasher,
    entries: u32,
}

impl CursorLoopGuard {
    /// The largest number of empty pages in a row.
    pub const MAX_EMPTY_PAGES: u32 = 1_000;

    /// The largest number of entries that repeated pages may hold together.
    pub const MAX_REPEATED_ENTRIES: u32 = 1_000;

    /// Creates a guard for a listing that begins without a cursor.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a guard for a listing that continues at `cursor`.
    pub fn starting_at(cursor: &(impl Hash + ?Sized)) -> Self {
        Self { cursor: Some(hash(cursor)), ..Self::default() }
    }

    /// Records an entry of the current page by its identity: a reference, a path, a key. Every entry counts,
    /// including those that the caller leaves out.
    pub fn entry(&mut self, entry: &(impl Hash + ?Sized)) {
        entry.hash(&mut self.hasher);
        self.entries = self.entries.saturating_add(1);
    }

    /// Ends the current page, which is not the last; `cursor` is the cursor of the next page.
    ///
    /// Fails with *protocol* if the listing does not end.
    pub fn next_page(&mut self, cursor: &(impl Hash + ?Sized)) -> Result<()> {
        let entries = std::mem::take(&mut self.entries);
        let page = std::mem::take(&mut self.hasher).finish();
        let previous = self.cursor.replace(hash(cursor));
        if self.cursors.is_repeat(hash(cursor)) || previous == self.cursor {
            return Err(endless("the service returned the same page cursor twice"));
        }
        if entries == 0 {
            self.empty_pages = self.empty_pages.saturating_add(1);
            if self.empty_pages > Self::MAX_EMPTY_PAGES {
                return Err(endless(&format!("more than {} pages in a row are empty", Self::MAX_EMPTY_PAGES)));
            }
            return Ok(());
        }
        self.empty_pages = 0;
        let mark = self.pages.mark;
        let is_repeat = self.pages.is_repeat(page);
        // A new mark restarts the count: in a long listing, a few files that moved to a later page are no loop.
        if self.pages.mark != mark {
            self.repeated_entries = 0;
        }
        if is_repeat {
            self.repeated_entries = self.repeated_entries.saturating_add(entries);
            if self.repeated_entries > Self::MAX_REPEATED_ENTRIES {
                return Err(endless("the service returns the same pages repeatedly"));
            }
        }
        Ok(())
    }
}

fn endless(reason: &str) -> Error {
    let message = format!("the listing does not end: {reason}; report this to the operator of the service");
    Error::new(ErrorKind::Protocol, Effect::Rejected, message)
}

/// Hashes `value`. All processes of one build compute the same hash. Where builds differ, a loop is found later.
fn hash(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Brent's cycle detection: the mark is set to the current value after 1, 2, 4, 8... steps. At last it is a value of
/// the cycle, which then repeats, whatever the length of the cycle and whatever comes before it.
#[derive(Debug, Clone, Copy)]
struct CycleDetector {
    mark: Option<u64>,
    steps: u64,
    until: u64,
}

impl Default for CycleDetector {
    fn default() -> Self {
        Self { mark: None, steps: 0, until: 1 }
    }
}

impl CycleDetector {
    fn is_repeat(&mut self, value: u64) -> bool {
        let is_repeat = self.mark == Some(value);
        self.steps = self.steps.saturating_add(1);
        if self.steps >= self.until {
            *self = Self { mark: Some(value), steps: 0, until: self.until.saturating_mul(2) };
        }
        is_repeat
    }
}

type DetectorState = (Option<u64>, u64, u64);

impl CycleDetector {
    fn state(&self) -> DetectorState {
        (self.mark, self.steps, self.until)
    }

    fn of((mark, steps, until): DetectorState) -> Self {
        Self { mark, steps, until }
    }
}

/// Writes numbers whose meaning may change. The entries of the current page are left out.
impl Serialize for CursorLoopGuard {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let Self { cursors, cursor, pages, empty_pages, repeated_entries, .. } = self;
        (cursors.state(), cursor, pages.state(), empty_pages, repeated_entries).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for CursorLoopGuard {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let (cursors, cursor, pages, empty_pages, repeated_entries) = Deserialize::deserialize(deserializer)?;
        let (cursors, pages) = (CycleDetector::of(cursors), CycleDetector::of(pages));
        Ok(Self { cursors, cursor, pages, empty_pages, repeated_entries, ..Self::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the index of the page at which a listing fails. A page is its entries and the cursor after it.
    fn fails_at<'a>(pages: impl IntoIterator<Item = (&'a [u32], String)>) -> Option<usize> {
        let mut guard = CursorLoopGuard::new();
        pages.into_iter().position(|(entries, cursor)| {
            entries.iter().for_each(|entry| guard.entry(entry));
            guard.next_page(&cursor).is_err()
        })
    }

    /// Cursors that never repeat.
    fn new_cursors() -> impl Iterator<Item = String> {
        (0..).map(|number: u64| number.to_string())
    }

    #[test]
    fn a_page_that_returns_its_own_cursor_is_found_at_once() {
        assert_eq!(fails_at((0..600).chain([600, 600]).map(|cursor: u32| (&[][..], cursor.to_string()))), Some(601));
        let mut guard = CursorLoopGuard::starting_at("a");
        assert_eq!(guard.next_page("a").unwrap_err().kind(), ErrorKind::Protocol);
    }

    #[test]
    fn an_endless_listing_is_a_protocol_error_that_says_why() {
        let mut guard = CursorLoopGuard::new();
        guard.next_page("a").unwrap();
        let error = guard.next_page("a").unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Protocol, Effect::Rejected));
        assert_eq!(
            error.message(),
            "the listing does not end: the service returned the same page cursor twice; report this to the operator of \
             the service"
        );
    }

    #[test]
    fn a_loop_of_cursors_of_any_length_is_found_after_any_other_cursors() {
        for (before, length) in [(0, 1), (0, 2), (0, 3), (1, 2), (5, 4), (100, 7), (3, 1000)] {
            let cycle = (0_usize..).map(|page| if page < before { page } else { before + (page - before) % length });
            let files: Vec<_> = (0..10_000).map(|page| [page]).collect();
            let pages = cycle.zip(&files).map(|(cursor, files)| (&files[..], cursor.to_string()));
            let at = fails_at(pages).unwrap();
            assert!(at >= before + length, "{before} and a loop of {length}: {at}");
            assert!(at <= 3 * (before + length), "{before} and a loop of {length}: {at}");
        }
    }

    #[test]
    fn a_thousand_empty_pages_in_a_row_are_allowed_and_no_more() {
        assert_eq!(fails_at(new_cursors().take(1000).map(|cursor| (&[][..], cursor))), None);
        assert_eq!(fails_at(new_cursors().map(|cursor| (&[][..], cursor))), Some(1000));
    }

    #[test]
    fn empty_pages_between_pages_with_new_files_are_allowed() {
        let files: Vec<_> = (0..10_000).map(|number| [number]).collect();
        let page = |number: usize| if number.is_multiple_of(1000) { &files[number / 1000][..] } else { &[][..] };
        assert_eq!(fails_at((0..100_000).zip(new_cursors()).map(|(number, cursor)| (page(number), cursor))), None);
    }

    #[test]
    fn a_page_that_repeats_with_new_cursors_ends_the_listing_after_a_thousand_entries() {
        let hundred: Vec<u32> = (0..100).collect();
        assert_eq!(fails_at(new_cursors().map(|cursor| (&hundred[..], cursor))), Some(11));
        let thousand: Vec<u32> = (0..1000).collect();
        assert_eq!(fails_at(new_cursors().map(|cursor| (&thousand[..], cursor))), Some(2));
        assert_eq!(fails_at(new_cursors().map(|cursor| (&[7][..], cursor))), Some(1001));
        // Also when other pages come first.
        let others: Vec<_> = (1000..1600).map(|number| [number]).collect();
        let pages = others.iter().map(|page| &page[..]).chain(std::iter::repeat(&hundred[..]));
        assert!(fails_at(pages.zip(new_cursors())) < Some(1100));
    }

    #[test]
    fn several_pages_that_repeat_between_empty_ones_end_the_listing() {
        let pages = [&[1, 2, 3][..], &[], &[4], &[5, 6], &[]];
        assert!(fails_at(pages.into_iter().cycle().zip(new_cursors())) < Some(40_000));
    }

    #[test]
    fn a_file_that_repeatedly_moves_to_the_next_page_is_allowed() {
        // Pages of one file by offset, the newest first: a file is added before each of the first 500 requests
        // and before every second one of the others.
        let twice = (2..100_000).flat_map(|file| [[file]; 2]);
        let moved: Vec<_> = std::iter::repeat_n([1], 500).chain(twice).collect();
        assert_eq!(fails_at(moved.iter().map(|page| &page[..]).zip(new_cursors())), None);
    }

    #[test]
    fn the_same_files_in_another_order_are_another_page() {
        let pages = [[1, 2], [2, 1]];
        let mut guard = CursorLoopGuard::new();
        let hashes = pages.map(|page| {
            page.iter().for_each(|entry| guard.entry(entry));
            std::mem::take(&mut guard.hasher).finish()
        });
        assert_ne!(hashes[0], hashes[1]);
    }

    proptest::proptest! {
        // Some listings have hundreds of thousands of pages.
        #![proptest_config(proptest::test_runner::Config::with_cases(64))]

        #[test]
        fn a_listing_whose_cursors_form_a_loop_ends(
            prefix in proptest::collection::vec("[a-z]{0,3}", 0..=64),
            cycle in proptest::collection::vec("[a-z]{0,3}", 1..=64),
        ) {
            // Each page has new files, so that only the cursors repeat.
            let files: Vec<_> = (0..1000).map(|file| [file]).collect();
            let cursors = prefix.iter().chain(cycle.iter().cycle()).cloned();
            let pages = files.iter().map(|page| &page[..]).zip(cursors);
            let at = fails_at(pages);
            proptest::prop_assert!(at <= Some(3 * (prefix.len() + cycle.len())) && at.is_some(), "{:?}", at);
        }

        #[test]
        fn a_listing_whose_pages_form_a_loop_ends_although_its_cursors_are_new(
            prefix in proptest::collection::vec(proptest::collection::vec(0_u32..5, 0..4), 0..=64),
            cycle in proptest::collection::vec(proptest::collection::vec(0_u32..5, 0..4), 1..=64),
        ) {
            let pages = prefix.iter().chain(cycle.iter().cycle()).map(|page| &page[..]);
            let at = fails_at(pages.zip(new_cursors()).take(1_000_000));
            proptest::prop_assert!(at.is_some());
        }

        #[test]
        fn a_listing_of_new_files_never_fails(
            lengths in proptest::collection::vec(1_usize..5, 1..3000),
            start in proptest::option::of("[a-z]{3}"),
        ) {
            let mut guard = start.as_ref().map_or_else(CursorLoopGuard::new, CursorLoopGuard::starting_at);
            let mut files = 0..;
            for (length, cursor) in lengths.into_iter().zip(new_cursors()) {
                files.by_ref().take(length).for_each(|file: u64| guard.entry(&file));
                guard.next_page(&cursor).unwrap();
            }
        }
    }
}
