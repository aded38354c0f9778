//! Listing: pages by the service's cursor, and all folders one after another.

use filestore_core::{CursorLoopGuard, FileRef, List, Page, Result};
use filestore_http::{Idempotency, Method, Response};

use crate::error;
use crate::path::{self, LeftOut, SitePath};
use crate::store::FilesComStore;
use crate::walk::{Level, Next, PAGE, Walk};
use crate::wire::{Entry, EntryVisitor};
use crate::{api, metadata};

/// Pages of folders that one page of a recursive listing reads at most. A tree of folders without files
/// gives an empty page after that, and the listing goes on with the next one.
const LONGEST_WALK: u32 = 1000;

impl FilesComStore {
    /// One request for a page of `folder`, of which `each` takes the entries; the answer is the cursor of the
    /// next page. *Not found* if there is no such folder, *protocol* if an entry has no path.
    pub(crate) async fn folder_page(
        &self,
        folder: &SitePath,
        per_page: u32,
        cursor: Option<&str>,
        query: &[(&str, String)],
        mut each: impl FnMut(Entry) + Send,
    ) -> Result<Option<String>> {
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
        let mut answer = self.api().send(request).await?;
        let next = next_cursor(&answer);
        let mut nameless = false;
        let named = |entry: Entry| {
            nameless |= entry.path.is_none();
            each(entry);
        };
        api::read_into(&mut answer, EntryVisitor(named)).await?;
        if nameless {
            return Err(answer.unexpected("a list of entries with their paths"));
        }
        check_cursor(next.as_deref(), cursor)?;
        Ok(next)
    }

    pub(crate) async fn list_page(&self, request: List) -> Result<Page> {
        let scope = self.root().join(request.scope.as_deref().unwrap_or_default())?;
        let mut walk = match &request.page {
            Some(token) => Walk::of(token)?,
            None => Walk::new(request.limit.unwrap_or(PAGE).clamp(1, PAGE)),
        };
        let mut page = Page::default();
        for _ in 0..LONGEST_WALK {
            if !walk.advance() {
                break;
            }
            self.walk_on(&mut walk, &scope, request.recursive, &mut page).await?;
            // A walk goes on until a page is worth looking at; a limit that was asked for is not exceeded.
            let enough = if request.limit.is_some() { 1 } else { PAGE as usize };
            if !request.recursive || page.files.len() >= enough {
                break;
            }
        }
        page.next = walk.advance().then(|| walk.token()).transpose()?;
        Ok(page)
    }

    /// Reads one page of the folder that `walk` is at.
    async fn walk_on(&self, walk: &mut Walk, scope: &SitePath, recursive: bool, page: &mut Page) -> Result<()> {
        let folder = scope.join(&walk.folder())?;
        let per_page = walk.per_page;
        let nested = walk.levels.len() > 1;
        let Some(level) = walk.levels.last_mut() else { return Ok(()) };
        let Level { subfolders, next, guard, .. } = level;
        let mut guard = guard.take().unwrap_or_default();
        let cursor = match next {
            Next::Cursor(cursor) => Some(cursor.as_str()),
            Next::Beginning | Next::Nothing => None,
        };
        let children = Children::of(&folder);
        let mut left_out = LeftOut::default();
        let each = |mut entry: Entry| {
            let path = entry.path.take().unwrap_or_default();
            guard.entry(&path);
            if !entry.is_folder()
                && let Some(name) = children.name(&path)
            {
                page.files.push(metadata::file(children.reference.child(name), name, entry));
                return;
            }
            // The service is said to have given others than direct children.
            let Some(path) = folder.entry(&path, &mut left_out) else { return };
            match (entry.is_folder(), recursive) {
                (false, _) => page.files.push(metadata::stored(&path, entry)),
                (true, true) => subfolders.push(path.name().to_owned()),
                (true, false) => page.folders.extend(path.strip_prefix(self.root())),
            }
        };
        let following = match self.folder_page(&folder, per_page, cursor, &[], each).await {
            Ok(following) => following,
            // Deleted since its name was read.
            Err(error) if nested && error::is(&error, error::NOT_FOUND) => None,
            Err(error) => return Err(error),
        };
        subfolders.reverse();
        level.resume(following, guard)
    }
}

/// What nearly all entries of a folder have in common: the folder, spelled as it was asked for.
struct Children {
    folder: String,
    reference: FileRef,
}

impl Children {
    fn of(folder: &SitePath) -> Self {
        Self { folder: folder.to_string(), reference: folder.reference() }
    }

    /// The name of the entry at `path`, if it is such a one.
    fn name<'a>(&self, path: &'a str) -> Option<&'a str> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        (folder == self.folder && path::is_name_in(folder, name)).then_some(name)
    }
}

/// *Protocol* if the cursor `next` is the one that the page was asked with.
pub(crate) fn check_cursor(next: Option<&str>, asked: Option<&str>) -> Result<()> {
    match (next, asked) {
        (Some(next), Some(asked)) => CursorLoopGuard::starting_at(asked).next_page(next),
        _ => Ok(()),
    }
}

/// The documented name was never seen, the other one always; a blank one is none.
pub(crate) fn next_cursor(answer: &Response) -> Option<String> {
    let header = |name| answer.header(name).filter(|cursor| !cursor.trim().is_empty());
    header("x-files-cursor").or_else(|| header("x-files-cursor-next")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_spelled_as_asked_has_the_name_and_reference_that_it_has_by_the_general_rules() {
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
                for said in [format!("{folder}/{name}"), format!("IN/{name}"), format!("/{folder}/{name}"), name.into()]
                {
                    let general = folder
                        .entry(&said, &mut LeftOut::default())
                        .map(|path| (path.name().to_owned(), path.reference()));
                    let short = children.name(&said).map(|name| (name.to_owned(), children.reference.child(name)));
                    assert!(short.is_none() || short == general, "{said} in {folder}: {short:?}, not {general:?}");
                }
            }
            // Only a path that may be too long goes the long way.
            let plain = format!("{folder}/a.txt");
            assert_eq!(children.name(plain.trim_start_matches('/')).is_some(), plain.len() <= 5000);
        }
    }

    #[test]
    fn a_circle_of_cursors_is_found_also_where_each_page_is_read_by_another_process() {
        let mut walk = Walk::new(10);
        let met = (0..100).position(|page| {
            walk = Walk::of(&walk.token().unwrap()).unwrap();
            let guard = walk.levels[0].guard.take().unwrap_or_default();
            walk.levels[0].resume(Some((page % 7).to_string()), guard).is_err()
        });
        assert!(met >= Some(7) && met < Some(21), "{met:?}");
    }
}
