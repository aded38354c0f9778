//! Cursors of lists: the start of a page, in a text that is opaque to clients.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::HeaderValue;
use serde::{Deserialize, Serialize};

use super::error::Rejection;
use super::tree::Position;
use crate::http::Response;

const NEXT: &str = "c2:next:";
const PREV: &str = "c2:prev:";

/// A cursor. It is valid only for the list that it was created for.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// The id of the list: folder, page size, order and filters.
    pub(super) list: String,
    pub(super) start: Start,
}

/// The start of a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Start {
    /// After this number of entries.
    Skip(usize),
    /// After the position of an entry, which may no longer exist.
    After(Position),
}

impl Cursor {
    /// Returns the start of the page that a cursor of the list `list` means.
    pub(super) fn parse(text: &str, list: &str) -> Result<Start, Rejection> {
        let encoded = text.strip_prefix(NEXT).or_else(|| text.strip_prefix(PREV)).ok_or(Rejection::InvalidCursor)?;
        let decoded = STANDARD_NO_PAD.decode(encoded).map_err(|_| Rejection::InvalidCursor)?;
        let cursor: Cursor = serde_json::from_slice(&decoded).map_err(|_| Rejection::InvalidCursor)?;
        if cursor.list == list { Ok(cursor.start) } else { Err(Rejection::InvalidCursor) }
    }

    fn header_value(list: &str, start: Start, prefix: &str) -> Option<HeaderValue> {
        let cursor = serde_json::to_vec(&Cursor { list: list.to_owned(), start }).ok()?;
        HeaderValue::try_from(format!("{prefix}{}", STANDARD_NO_PAD.encode(cursor))).ok()
    }
}

/// Sets the headers with the cursors of the pages around a page. Clients read the next page from one of two headers.
pub(super) fn set_cursor_headers(response: &mut Response, list: &str, next: Option<Start>, prev: Option<Start>) {
    let headers = response.headers_mut();
    if let Some(next) = next.and_then(|start| Cursor::header_value(list, start, NEXT)) {
        headers.insert("x-files-cursor", next.clone());
        headers.insert("x-files-cursor-next", next);
    }
    if let Some(prev) = prev.and_then(|start| Cursor::header_value(list, start, PREV)) {
        headers.insert("x-files-cursor-prev", prev);
    }
}

pub(super) const DEFAULT_PER_PAGE: usize = 1000;
const MAX_PER_PAGE: i64 = 10_000;

/// Returns the page size that the `per_page` parameter sets.
pub(super) fn per_page(params: &super::params::Params) -> Result<usize, Rejection> {
    match params.int("per_page")? {
        None => Ok(DEFAULT_PER_PAGE),
        Some(per_page @ 1..=MAX_PER_PAGE) => Ok(usize::try_from(per_page).unwrap_or(DEFAULT_PER_PAGE)),
        Some(_) => Err(Rejection::InvalidParams(format!("per_page must be from 1 to {MAX_PER_PAGE}"))),
    }
}
