//! [`Walk`]: how far a recursive listing is, in a form that fits into a page token.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use filestore_core::{CursorLoopGuard, Error, PageToken, Result};
use serde::{Deserialize, Serialize};

/// Entries of a page at most: the service gives up to 10,000, but recommends no more than this.
pub(crate) const PAGE: u32 = 1000;

/// Where a listing goes on: what is left of each folder that it is in, the innermost last. A folder's
/// subfolders are walked before its next page is read, so this never holds more than a page's names
/// for each level of the tree.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Walk {
    /// A cursor is valid with the page size that it was made for, and no other.
    #[serde(rename = "n")]
    pub(crate) per_page: u32,
    #[serde(rename = "l")]
    pub(crate) levels: Vec<Level>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Level {
    /// Below the folder of the level above; the first is below the scope.
    #[serde(rename = "f")]
    pub(crate) folder: String,
    /// Subfolders of the last page that are still to be walked, in reverse.
    #[serde(rename = "s", default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) subfolders: Vec<String>,
    #[serde(rename = "c")]
    pub(crate) next: Next,
    /// The guard of its pages, as soon as there are several.
    #[serde(rename = "g", default, skip_serializing_if = "Option::is_none")]
    pub(crate) guard: Option<CursorLoopGuard>,
}

/// What of a folder is to be read next.
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
    pub(crate) fn new(per_page: u32) -> Self {
        Self { per_page, levels: vec![Level::of(String::new())] }
    }

    pub(crate) fn of(token: &PageToken) -> Result<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(token.as_str()).ok();
        let walk = bytes.and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        let fits = |walk: &Self| !walk.levels.is_empty() && (1..=PAGE).contains(&walk.per_page);
        walk.filter(fits).ok_or_else(|| Error::invalid("the page token is not one of this store"))
    }

    pub(crate) fn token(&self) -> Result<PageToken> {
        let json = serde_json::to_vec(self).map_err(|error| Error::invalid(format!("no page token: {error}")))?;
        Ok(PageToken::new(URL_SAFE_NO_PAD.encode(json)))
    }

    /// Goes to the next folder that has something left; `false` where there is none.
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

    /// The folder to be read, below the scope.
    pub(crate) fn folder(&self) -> String {
        let names: Vec<_> = self.levels.iter().map(|level| level.folder.as_str()).collect();
        names.join("/")
    }
}

impl Level {
    pub(crate) fn of(folder: String) -> Self {
        Self { folder, subfolders: Vec::new(), next: Next::Beginning, guard: None }
    }

    /// Goes on to the page at `cursor`, after a page whose entries `guard` knows. *Protocol* if the folder's
    /// listing does not end.
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
