//! Listings: pages by the service's cursor, and recursive listings, which read one folder after another.

use filestore_core::{CursorLoopGuard, ErrorKind, FileRef, List, Page, PageBuilder, Result};
use filestore_http::{Idempotency, Method, Response};
use jiff::Timestamp;

use crate::error;
use crate::path::{self, SitePath};
use crate::store::FilesComStore;
use crate::walk::{Level, Next, PAGE, Walk};
use crate::wire::{Entry, EntryVisitor};
use crate::{api, metadata};

/// The maximum number of pages of folders that one page of a recursive listing reads. After that
/// many, the page ends, even without a file, and has a token for the next one.
const MAX_FOLDER_PAGES: u32 = 1000;

/// The headers of a page of one folder.
pub(crate) struct FolderPage {
    /// The cursor of the next page.
    pub(crate) next: Option<String>,
    /// The time of the response by the service's clock.
    pub(crate) date: Option<Timestamp>,
}

impl FilesComStore {
    /// Requests a page of `folder`, calls `each` with its entries, and returns its headers. *Not found* if the folder
    /// does not exist, *protocol* if an entry has no path or the page has more than `per_page` entries.
    pub(crate) async fn folder_page(
        &self,
        folder: &SitePath,
        per_page: u32,
        cursor: Option<&str>,
        query: &[(&str, String)],
        mut each: impl FnMut(Entry) + Send,
    ) -> Result<FolderPage> {
        let mut request = self
            .api()
            .request(Method::GET, "folders", folder, Idempotency::Safe)?
            .query("per_page", &per_page.to_string());
        if let Some(cursor) = cursor {
            request = request.query("cursor", cursor);
        }
        for (name, value) in query {
            request = request.query(name, value);
        }
        let mut response = self.api().send(request).await?;
        let (next, date) = (next_cursor(&response), response.date());
        let (mut count, mut nameless) = (0, false);
        let counted = |entry: Entry| {
            count += 1;
            nameless |= entry.path.is_none();
            if count <= per_page {
                each(entry);
            }
        };
        api::read_into(&mut response, EntryVisitor(counted)).await?;
        if count > per_page {
            let message = format!(
                "the page of the listing has {count} entries, but the request allows {per_page}; check base_url and \
                 the proxy"
            );
            return Err(response.error(ErrorKind::Protocol, message));
        }
        if nameless {
            return Err(response.unexpected("a list of entries with their paths"));
        }
        check_cursor(next.as_deref(), cursor)?;
        Ok(FolderPage { next, date })
    }

    pub(crate) async fn list_page(&self, request: List) -> Result<Page> {
        let scope = self.root().join(request.scope.as_deref().unwrap_or_default())?;
        let limit = request.limit.map(|limit| (limit as usize).clamp(1, PageBuilder::<()>::LARGEST));
        let mut walk = match &request.page {
            Some(token) => Walk::of(token)?,
            None => Walk::new(limit),
        };
        let mut page = Page::default();
        for _ in 0..MAX_FOLDER_PAGES {
            if !walk.advance() {
                break;
            }
            self.read_folder_page(&mut walk, &scope, request.recursive, limit, &mut page).await?;
            walk.check_size()?;
            let is_filled = length(&page) >= limit.unwrap_or(PAGE as usize);
            if is_filled || limit.is_none() && !request.recursive {
                break;
            }
        }
        page.next = walk.advance().then(|| walk.token()).transpose()?;
        Ok(page)
    }

    /// Reads the next page of the current folder of `walk`, up to the `limit` of `page`.
    async fn read_folder_page(
        &self,
        walk: &mut Walk,
        scope: &SitePath,
        recursive: bool,
        limit: Option<usize>,
        page: &mut Page,
    ) -> Result<()> {
        let folder = scope.join(&walk.folder())?;
        let per_page = walk.per_page;
        let nested = walk.levels.len() > 1;
        let Some(level) = walk.levels.last_mut() else { return Ok(()) };
        let Level { subfolders, next, listed, guard, .. } = level;
        let before = guard.take().unwrap_or_default();
        let mut guard = before.clone();
        let listed = listed.take().unwrap_or_default();
        let cursor = match next {
            Next::Cursor(cursor) => Some(cursor.as_str()),
            Next::Beginning | Next::Nothing => None,
        };
        let children = Children::of(&folder);
        let (mut count, mut end) = (0, None);
        let each = |mut entry: Entry| {
            let path = entry.path.take().unwrap_or_default();
            guard.entry(&path);
            count += 1;
            if end.is_none() && limit.is_some_and(|limit| length(page) >= limit) {
                end = Some(count - 1);
            }
            if count <= listed || end.is_some() {
                return;
            }
            if !entry.is_folder()
                && let Some(name) = children.name(&path)
            {
                page.files.push(metadata::file(children.reference.child(name), name, entry));
                return;
            }
            // The service is reported to have listed entries that are not direct children.
            let Some(path) = folder.entry(&path, &mut page.left_out) else { return };
            match (entry.is_folder(), recursive) {
                (false, _) => page.files.push(metadata::stored(&path, entry)),
                (true, true) => subfolders.push(path.name().to_owned()),
                (true, false) => page.folders.extend(path.strip_prefix(self.root())),
            }
        };
        let next_cursor = match self.folder_page(&folder, per_page, cursor, &[], each).await {
            Ok(FolderPage { next, date }) => {
                page.date = date;
                next
            }
            // The folder was deleted after its name was read.
            Err(error) if nested && error::is(&error, error::NOT_FOUND) => None,
            // The service lists names that it rejects in requests for the content of a folder.
            Err(error) if nested && error::is_invalid_path(&error) => {
                page.left_out += 1;
                None
            }
            Err(error) => return Err(error),
        };
        subfolders.reverse();
        // A cursor is valid for pages of one size, so a page whose rest exceeds the limit is requested again.
        if end.is_some() {
            (level.listed, level.guard) = (end, Some(before));
            return Ok(());
        }
        level.resume(next_cursor, guard)
    }
}

/// Returns the number of entries of a page.
fn length(page: &Page) -> usize {
    page.files.len() + page.folders.len()
}

/// The folder of a listing, with its path and reference computed once: nearly all entries have it in the same spelling.
struct Children {
    folder: String,
    reference: FileRef,
}

impl Children {
    fn of(folder: &SitePath) -> Self {
        Self { folder: folder.to_string(), reference: folder.reference() }
    }

    /// Returns the name of the entry at `path`, if it is directly in the folder in the same spelling.
    fn name<'a>(&self, path: &'a str) -> Option<&'a str> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        (folder == self.folder && path::is_name_in(folder, name)).then_some(name)
    }
}

/// *Protocol* if the cursor `next` is the one that the page was requested with.
pub(crate) fn check_cursor(next: Option<&str>, requested: Option<&str>) -> Result<()> {
    match (next, requested) {
        (Some(next), Some(requested)) => CursorLoopGuard::starting_at(requested).next_page(next),
        _ => Ok(()),
    }
}

/// Returns the cursor of the next page. The service sends `x-files-cursor`, but documents `x-files-cursor-next`. A
/// blank value is ignored.
pub(crate) fn next_cursor(response: &Response) -> Option<String> {
    let header = |name| response.header(name).filter(|cursor| !cursor.trim().is_empty());
    header("x-files-cursor").or_else(|| header("x-files-cursor-next")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_in_the_requested_spelling_has_the_name_and_reference_that_it_has_by_the_general_rules() {
        let long = "x".repeat(512);
        let deep = vec!["x".repeat(499); 9].join("/");
        let wide = vec!["ü".repeat(499); 9].join("/");
        let names = [
            "a.txt",
            "100%",
            "%2F",
            "a:b",
            "a b+c",
            "ü",
            "u\u{308}",
            "..a",
            "~",
            ".",
            "..",
            "",
            "a ",
            " a",
            "a\\b",
            "a\u{200B}",
        ];
        for folder in ["", "in", "in:1", "50%/ü", "in/a.txt", deep.as_str(), wide.as_str()] {
            let folder = SitePath::parse(folder).unwrap();
            let children = Children::of(&folder);
            let (x, xx, xxx) = ("x".repeat(499), "x".repeat(500), "x".repeat(513));
            for name in names.iter().copied().chain([long.as_str(), &x, &xx, &xxx, "deeper/a", "a/", "/a"]) {
                for path in [format!("{folder}/{name}"), format!("IN/{name}"), format!("/{folder}/{name}"), name.into()]
                {
                    let general = folder.entry(&path, &mut 0).map(|path| (path.name().to_owned(), path.reference()));
                    let short = children.name(&path).map(|name| (name.to_owned(), children.reference.child(name)));
                    assert!(short.is_none() || short == general, "{path} in {folder}: {short:?}, not {general:?}");
                }
            }
            // Only a path that may be too long is parsed by the general rules.
            let plain = format!("{folder}/a.txt");
            assert_eq!(children.name(plain.trim_start_matches('/')).is_some(), plain.len() <= 5000);
        }
    }

    #[test]
    fn a_loop_of_cursors_is_found_although_each_page_is_read_by_another_process() {
        let mut walk = Walk::new(Some(10));
        let found_at = (0..100).position(|page| {
            walk = Walk::of(&walk.token().unwrap()).unwrap();
            let guard = walk.levels[0].guard.take().unwrap_or_default();
            walk.levels[0].resume(Some((page % 7).to_string()), guard).is_err()
        });
        assert!(found_at >= Some(7) && found_at < Some(21), "{found_at:?}");
    }
}
