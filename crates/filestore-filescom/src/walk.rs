//! [`Walk`]: the position of a recursive listing, in a form that fits into a page token.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use filestore_core::{CursorLoopGuard, Effect, Error, ErrorKind, PageToken, Result};
use serde::{Deserialize, Serialize};

/// The maximum number of entries of a page: the service allows 10,000, but recommends no more than this.
pub(crate) const PAGE: u32 = 1000;

/// The largest size of a position, in bytes. A site has far less: a thousand folders in each folder on the way, with
/// names of 100 characters, reach it at a depth of 130.
const MAX_SIZE: usize = 16 * 1024 * 1024;

/// The position of a listing: the rest of each folder on the path to the current one, the innermost last. The
/// subfolders of a page are listed before the next page is read, so each level of the tree holds at most the names of
/// one page.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Walk {
    /// The page size. A cursor is valid only with the page size that it was created with.
    #[serde(rename = "n")]
    pub(crate) per_page: u32,
    #[serde(rename = "l")]
    pub(crate) levels: Vec<Level>,
}

/// A folder on the path to the current one.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Level {
    /// The path below the folder of the level above; for the first level, below the scope.
    #[serde(rename = "f")]
    pub(crate) folder: String,
    /// The subfolders of the last page that are not listed yet, in reverse.
    #[serde(rename = "s", default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) subfolders: Vec<String>,
    #[serde(rename = "c")]
    pub(crate) next: Next,
    /// The number of entries of the next page that are listed already, because a page of the listing ended there.
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    pub(crate) listed: Option<usize>,
    /// The loop guard of the pages of this folder before the next one, once it has more than one.
    #[serde(rename = "g", default, skip_serializing_if = "Option::is_none")]
    pub(crate) guard: Option<CursorLoopGuard>,
}

/// The next page of a folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Next {
    #[serde(rename = "b")]
    Beginning,
    #[serde(rename = "c")]
    Cursor(String),
    #[serde(rename = "e")]
    Nothing,
}

impl Walk {
    /// Creates the walk of a listing that begins. `limit` is the size of its first page.
    pub(crate) fn new(limit: Option<usize>) -> Self {
        // Pages of equal size that fill the limit, so that the last one is not read twice.
        let per_page = limit.map(|limit| limit / limit.div_ceil(PAGE as usize).max(1));
        let per_page = per_page.and_then(|size| u32::try_from(size).ok()).unwrap_or(PAGE).max(1);
        Self { per_page, levels: vec![Level::of(String::new())] }
    }

    pub(crate) fn of(token: &PageToken) -> Result<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(token.as_str()).ok();
        let walk = bytes.and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        let fits = |walk: &Self| !walk.levels.is_empty() && (1..=PAGE).contains(&walk.per_page);
        walk.filter(fits).ok_or_else(|| {
            Error::invalid("the page token is not from a listing of this store; list from the beginning")
        })
    }

    pub(crate) fn token(&self) -> Result<PageToken> {
        let json =
            serde_json::to_vec(self).map_err(|error| Error::invalid(format!("cannot create a page token: {error}")))?;
        Ok(PageToken::new(URL_SAFE_NO_PAD.encode(json)))
    }

    /// Moves to the next folder with unread pages; returns `false` if there is none.
    pub(crate) fn advance(&mut self) -> bool {
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

    /// Fails with *protocol* if the names of the folders that are still to be listed take too much memory. Each level has
    /// few, but the service determines the depth.
    pub(crate) fn check_size(&self) -> Result<()> {
        if self.levels.iter().map(Level::size).sum::<usize>() <= MAX_SIZE {
            return Ok(());
        }
        let message = format!(
            "the names of the folders that are still to be listed have more than {} MiB; list the subfolders one by one",
            MAX_SIZE >> 20
        );
        Err(Error::new(ErrorKind::Protocol, Effect::Rejected, message))
    }

    /// Returns the path of the current folder below the scope.
    pub(crate) fn folder(&self) -> String {
        let names: Vec<_> = self.levels.iter().map(|level| level.folder.as_str()).collect();
        names.join("/")
    }
}

impl Level {
    pub(crate) fn of(folder: String) -> Self {
        Self { folder, subfolders: Vec::new(), next: Next::Beginning, listed: None, guard: None }
    }

    /// Returns the memory of the names and of the cursor, in bytes.
    fn size(&self) -> usize {
        let cursor = match &self.next {
            Next::Cursor(cursor) => cursor.len(),
            Next::Beginning | Next::Nothing => 0,
        };
        cursor + self.subfolders.iter().map(|name| name.len() + size_of::<String>()).sum::<usize>()
    }

    /// Moves to the page at `cursor`; `None` ends the folder. `guard` has the entries of the page before. *Protocol* if
    /// the cursors or pages repeat.
    pub(crate) fn resume(&mut self, cursor: Option<String>, mut guard: CursorLoopGuard) -> Result<()> {
        self.next = match cursor {
            Some(cursor) => {
                guard.next_page(&cursor)?;
                self.guard = Some(guard);
                Next::Cursor(cursor)
            }
            None => Next::Nothing,
        };
        Ok(())
    }
}
