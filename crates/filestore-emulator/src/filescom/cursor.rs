//! Where a page of a list begins, in a text that clients hand back.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::HeaderValue;
use serde::{Deserialize, Serialize};

use super::error::Rejection;
use super::tree::Place;
use crate::http::Response;

const NEXT: &str = "c2:next:";
const PREV: &str = "c2:prev:";

/// Good for the list that it was made for, and for no other.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// What is listed: folder, page size, order, filters.
    pub(super) list: String,
    pub(super) at: At,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum At {
    /// After so many entries.
    Skip(usize),
    /// After the place of an entry, which may be gone by now.
    Behind(Place),
}

impl Cursor {
    pub(super) fn read(text: &str, list: &str) -> Result<At, Rejection> {
        let encoded = text.strip_prefix(NEXT).or_else(|| text.strip_prefix(PREV)).ok_or(Rejection::InvalidCursor)?;
        let decoded = STANDARD_NO_PAD.decode(encoded).map_err(|_| Rejection::InvalidCursor)?;
        let cursor: Cursor = serde_json::from_slice(&decoded).map_err(|_| Rejection::InvalidCursor)?;
        if cursor.list == list { Ok(cursor.at) } else { Err(Rejection::InvalidCursor) }
    }

    fn written(list: &str, at: At, prefix: &str) -> Option<HeaderValue> {
        let cursor = serde_json::to_vec(&Cursor { list: list.to_owned(), at }).ok()?;
        HeaderValue::try_from(format!("{prefix}{}", STANDARD_NO_PAD.encode(cursor))).ok()
    }
}

/// The next page under both names that clients look for, the page before under one.
pub(super) fn set_cursor_headers(response: &mut Response, list: &str, next: Option<At>, prev: Option<At>) {
    let headers = response.headers_mut();
    if let Some(next) = next.and_then(|at| Cursor::written(list, at, NEXT)) {
        headers.insert("x-files-cursor", next.clone());
        headers.insert("x-files-cursor-next", next);
    }
    if let Some(prev) = prev.and_then(|at| Cursor::written(list, at, PREV)) {
        headers.insert("x-files-cursor-prev", prev);
    }
}

pub(super) const DEFAULT_PER_PAGE: usize = 1000;
const MOST_PER_PAGE: i64 = 10_000;

pub(super) fn per_page(params: &super::params::Params) -> Result<usize, Rejection> {
    match params.int("per_page")? {
        None => Ok(DEFAULT_PER_PAGE),
        Some(wanted @ 1..=MOST_PER_PAGE) => Ok(usize::try_from(wanted).unwrap_or(DEFAULT_PER_PAGE)),
        Some(_) => Err(Rejection::InvalidParams(format!("per_page must be from 1 to {MOST_PER_PAGE}"))),
    }
}
