//! Listing: pages by the service's cursor, and a walk of all folders that fits into a page token.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use filestore_core::{Effect, Error, ErrorKind, FileRef, List, Page, PageToken, Result};
use filestore_http::{Answer, Method, Repeat};
use serde::{Deserialize, Serialize};

use crate::path::{self, SitePath};
use crate::store::FilesComStore;
use crate::wire::{Each, Entry};
use crate::{api, facts};

/// Entries of a page at most: the service gives up to 10,000, but recommends no more than this.
pub(crate) const PAGE: u32 = 1000;

/// Where a listing goes on: what is left of each folder that it is in, the innermost last. A folder's
/// subfolders are walked before its next page is read, so this never holds more than a page's names
/// for each level of the tree.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Walk {
    /// A cursor is valid with the page size that it was made for, and no other.
    #[serde(rename = "n")]
    per_page: u32,
    #[serde(rename = "l")]
    levels: Vec<Level>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Level {
    /// Below the folder of the level above; the first is below the scope.
    #[serde(rename = "f")]
    folder: String,
    /// Subfolders of the last page that are still to be walked, in reverse.
    #[serde(rename = "s", default, skip_serializing_if = "Vec::is_empty")]
    subfolders: Vec<String>,
    #[serde(rename = "c")]
    next: Next,
    /// How many of its pages were read, and the cursor that followed one of them: were it to come again, the
    /// pages would go round.
    #[serde(rename = "p", default)]
    pages: u32,
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    mark: Option<String>,
}

/// What of a folder is to be read next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Next {
    #[serde(rename = "b")]
    Beginning,
    #[serde(rename = "c")]
    Cursor(String),
    #[serde(rename = "e")]
    Nothing,
}

impl Walk {
    fn new(per_page: u32) -> Self {
        Self { per_page, levels: vec![Level::of(String::new())] }
    }

    fn of(token: &PageToken) -> Result<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(token.as_str()).ok();
        let walk = bytes.and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        let fits = |walk: &Self| !walk.levels.is_empty() && (1..=PAGE).contains(&walk.per_page);
        walk.filter(fits).ok_or_else(|| Error::invalid("the page token is not one of this store"))
    }

    fn token(&self) -> Result<PageToken> {
        let json = serde_json::to_vec(self).map_err(|error| Error::invalid(format!("no page token: {error}")))?;
        Ok(PageToken::new(URL_SAFE_NO_PAD.encode(json)))
    }

    /// Goes to the next folder that has something left; `false` where there is none.
    fn advance(&mut self) -> bool {
        while let Some(level) = self.levels.last_mut() {
            if let Some(folder) = level.subfolders.pop() {
                self.levels.push(Level::of(folder));
                return true;
            }
            if level.next != Next::Nothing {
                return true;
            }
            self.levels.pop();
        }
        false
    }

    /// The folder to be read, below the scope.
    fn folder(&self) -> String {
        let names: Vec<_> = self.levels.iter().map(|level| level.folder.as_str()).collect();
        names.join("/")
    }
}

impl Level {
    fn of(folder: String) -> Self {
        Self { folder, subfolders: Vec::new(), next: Next::Beginning, pages: 0, mark: None }
    }

    /// Goes on to the page at `cursor`. *Protocol* if the service leads round in a circle, however long: the
    /// mark is set anew after 1, 2, 4, 8... pages, so at last it lies in the circle and is met again.
    fn go_on(&mut self, cursor: Option<String>) -> Result<()> {
        if cursor.is_some() && cursor == self.mark {
            return Err(does_not_go_on("a cursor that it gave before"));
        }
        self.pages = self.pages.saturating_add(1);
        if self.pages.is_power_of_two() {
            self.mark.clone_from(&cursor);
        }
        self.next = cursor.map_or(Next::Nothing, Next::Cursor);
        Ok(())
    }
}

fn does_not_go_on(gives: &str) -> Error {
    let message = format!("the listing does not go on: the service gives {gives}");
    Error::new(ErrorKind::Protocol, Effect::Rejected, message)
}

impl FilesComStore {
    /// One request for a page of `folder`, of which `each` takes the entries; the answer is the cursor of the
    /// next page. *Not found* if there is no such folder.
    pub(crate) async fn folder_page(
        &self,
        folder: &SitePath,
        per_page: u32,
        cursor: Option<&str>,
        query: &[(&str, String)],
        each: impl FnMut(Entry) + Send,
    ) -> Result<Option<String>> {
        let mut request =
            self.api().request(Method::GET, "folders", folder, Repeat::Safe)?.query("per_page", &per_page.to_string());
        if let Some(cursor) = cursor {
            request = request.query("cursor", cursor);
        }
        for (name, value) in query {
            request = request.query(name, value);
        }
        let mut answer = self.api().send(request).await?;
        let next = next_cursor(&answer);
        api::read_into(&mut answer, Each(each)).await?;
        if next.is_some() && next.as_deref() == cursor {
            return Err(does_not_go_on("the cursor that it was asked with"));
        }
        Ok(next)
    }

    pub(crate) async fn list_page(&self, request: List) -> Result<Page> {
        let scope = self.root().join(request.scope.as_deref().unwrap_or_default())?;
        let mut walk = match &request.page {
            Some(token) => Walk::of(token)?,
            None => Walk::new(request.limit.unwrap_or(PAGE).clamp(1, PAGE)),
        };
        let mut page = Page::default();
        while walk.advance() {
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
        let Level { subfolders, next, .. } = level;
        let cursor = match next {
            Next::Cursor(cursor) => Some(cursor.as_str()),
            Next::Beginning | Next::Nothing => None,
        };
        let children = Children::of(&folder);
        let each = |mut entry: Entry| {
            let path = entry.path.take().unwrap_or_default();
            if !entry.is_folder()
                && let Some(name) = children.name(&path)
            {
                page.files.push(facts::file(children.reference.child(name), name, entry));
                return;
            }
            // The service is said to have given others than direct children.
            let Some(path) = folder.entry(&path) else { return };
            match (entry.is_folder(), recursive) {
                (false, _) => page.files.push(facts::stored(&path, entry)),
                (true, true) => subfolders.push(path.name().to_owned()),
                (true, false) => page.folders.extend(path.below(self.root())),
            }
        };
        let following = match self.folder_page(&folder, per_page, cursor, &[], each).await {
            Ok(following) => following,
            // Deleted since its name was read.
            Err(error) if nested && error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        subfolders.reverse();
        level.go_on(following)
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

/// The documented name was never seen, the other one always; a blank one is none.
pub(crate) fn next_cursor(answer: &Answer) -> Option<String> {
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
                    let general = folder.entry(&said).map(|path| (path.name().to_owned(), path.reference()));
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
    fn a_circle_of_cursors_is_found_whatever_its_length_and_whatever_comes_before_it() {
        for (before, length) in [(0, 1), (0, 2), (0, 3), (1, 2), (5, 4), (100, 7), (3, 1000)] {
            let mut walk = Walk::new(10);
            let circle = (0..).map(|page| if page < before { page } else { before + (page - before) % length });
            let met = circle.enumerate().position(|(at, cursor)| {
                // Also where each page is read by another process.
                walk = Walk::of(&walk.token().unwrap()).unwrap();
                assert!(at < 4 * (before + length) + 4, "{before} and a circle of {length}");
                walk.levels[0].go_on(Some(cursor.to_string())).is_err()
            });
            assert!(met >= Some(before + length), "{before} and a circle of {length}: {met:?}");
        }
        let mut straight = Level::of(String::new());
        assert!((0..5000).all(|page| straight.go_on(Some(page.to_string())).is_ok()));
        straight.go_on(None).unwrap();
    }
}
