//! What the storage does with a signed URL.

use std::ops::Range;
use std::sync::Arc;

use http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    IF_RANGE, LAST_MODIFIED, RANGE,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jiff::{SignedDuration, Timestamp};

use super::error::Rejection;
use super::objects::{ObjectKey, StoredObject};
use super::route::STORAGE;
use super::storage_error::{StorageError, host_id, request_id};
use super::storage_keys::{ALGORITHM, StorageKeys, parse_compact, seconds, text_of_url, whole_seconds};
use super::upload::{describe, http_date, wrong_etag};
use super::{Call, PubNub};
use crate::faults::Fault;
use crate::http::{Response, empty, streamed};

impl PubNub {
    pub(super) async fn content(&self, key: &str, call: &Call<'_>) -> Result<Response, Rejection> {
        let key = ObjectKey::given(key);
        self.check_url(&key, call)?;
        let (now, blobs) = (call.now, Arc::clone(self.store.blobs()));
        let find = self.store.run(move |state| {
            let object = state.objects.get(&key, now).cloned();
            let object = object.ok_or_else(|| StorageError::no_such_key(key.as_str()))?;
            // Opened before anybody can delete or replace it.
            let body = blobs.reader(&object.body)?;
            Ok((object, body))
        });
        let (object, body) = find.await?;

        let asked = &call.head.headers;
        let mut response = match part(&object, asked)? {
            Part::Unchanged => empty(StatusCode::NOT_MODIFIED),
            Part::Range(range) => {
                let content = body.stream_range(range.clone()).await?;
                let mut response = streamed(range.end - range.start, content);
                if range != (0..object.size) || ranged(&object, asked) {
                    let sent = format!("bytes {}-{}/{}", range.start, range.end - 1, object.size);
                    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                    let sent = HeaderValue::try_from(sent).map_err(std::io::Error::other)?;
                    response.headers_mut().insert(CONTENT_RANGE, sent);
                }
                response
            }
        };
        let headers = response.headers_mut();
        describe(&object, headers);
        if call.effects.any(|fault| matches!(fault, Fault::WrongEtag)) {
            headers.insert(ETAG, wrong_etag());
        }
        let media_type = HeaderValue::try_from(&object.content_type);
        for (name, value) in [
            (CONTENT_TYPE, media_type.unwrap_or(HeaderValue::from_static("binary/octet-stream"))),
            (LAST_MODIFIED, HeaderValue::try_from(http_date(object.created)).map_err(std::io::Error::other)?),
            (ACCEPT_RANGES, HeaderValue::from_static("bytes")),
            (HeaderName::from_static("x-amz-request-id"), text(request_id())),
            (HeaderName::from_static("x-amz-id-2"), text(host_id())),
            // Nothing that a stranger uploaded may run as a page of ours.
            (CONTENT_DISPOSITION, HeaderValue::from_static("attachment")),
            (HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff")),
            (
                HeaderName::from_static("content-security-policy"),
                HeaderValue::from_static("default-src 'none'; sandbox"),
            ),
        ] {
            headers.insert(name, value);
        }
        Ok(response)
    }

    /// Whether the URL is one of ours, for this method and this key, and still good.
    fn check_url(&self, key: &ObjectKey, call: &Call<'_>) -> Result<(), StorageError> {
        let query = &call.query;
        let given = |name| query.get(name).ok_or_else(|| StorageError::denied("Access Denied"));
        let (credential, signature) = (given("X-Amz-Credential")?, given("X-Amz-Signature")?);
        let (date, life) = (given("X-Amz-Date")?, given("X-Amz-Expires")?);
        if given("X-Amz-Algorithm")? != ALGORITHM {
            return Err(StorageError::algorithm());
        }
        let date = parse_compact(date).ok_or_else(StorageError::signature)?;
        let path = format!("{STORAGE}{key}");
        let text = text_of_url(call.head.method.as_str(), &self.host, &path, query, date);
        if credential != StorageKeys::credential(date) || !self.storage_keys.is_signed(date, &text, signature) {
            return Err(StorageError::signature());
        }
        // Signed by us, so it is a number.
        let life = life.parse().unwrap_or(0);
        let end = date + SignedDuration::from_secs(life);
        let expired = call.effects.any(|fault| matches!(fault, Fault::ExpiredUrl));
        if expired || call.now >= end {
            return Err(StorageError::expired(life.unsigned_abs(), seconds(end), seconds(call.now)));
        }
        if call.now < date {
            return Err(StorageError::denied("Request is not yet valid"));
        }
        Ok(())
    }
}

enum Part {
    Unchanged,
    Range(Range<u64>),
}

/// What the conditions and the range of a request leave to be sent.
fn part(object: &StoredObject, asked: &HeaderMap) -> Result<Part, StorageError> {
    let given = |name: HeaderName| asked.get(name).and_then(|value| value.to_str().ok());
    if given(IF_MATCH).is_some_and(|tags| !names(tags, object)) {
        return Err(StorageError::precondition("If-Match"));
    }
    let unchanged = match (given(IF_NONE_MATCH), given(IF_MODIFIED_SINCE)) {
        (Some(tags), _) => names(tags, object),
        (None, Some(since)) => httpdate::parse_http_date(since)
            .ok()
            .and_then(|since| Timestamp::try_from(since).ok())
            .is_some_and(|since| whole_seconds(object.created) <= since),
        (None, None) => false,
    };
    if unchanged {
        return Ok(Part::Unchanged);
    }
    match given(RANGE).filter(|_| ranged(object, asked)) {
        Some(range) => satisfied(range, object.size).map(Part::Range),
        None => Ok(Part::Range(0..object.size)),
    }
}

/// Whether a range is asked for that counts: one range, of the content that is still the same.
fn ranged(object: &StoredObject, asked: &HeaderMap) -> bool {
    let given = |name: HeaderName| asked.get(name).and_then(|value| value.to_str().ok());
    let same = match given(IF_RANGE) {
        None => true,
        Some(tag) if tag.starts_with('"') => names(tag, object),
        Some(date) => date == http_date(object.created),
    };
    same && given(RANGE).is_some_and(|range| bounds(range).is_some())
}

/// The first and the last byte of `bytes=FIRST-LAST`, one of which may be missing.
fn bounds(range: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) };
    let bounds = (number(first)?, number(last)?);
    match bounds {
        (None, None) => None,
        (Some(first), Some(last)) if last < first => None,
        bounds => Some(bounds),
    }
}

fn satisfied(range: &str, size: u64) -> Result<Range<u64>, StorageError> {
    let satisfied = match bounds(range) {
        Some((Some(first), last)) => first..last.map_or(size, |last| size.min(last.saturating_add(1))),
        Some((None, Some(count))) => size.saturating_sub(count)..size,
        _ => 0..size,
    };
    if satisfied.is_empty() { Err(StorageError::range(range, size)) } else { Ok(satisfied) }
}

fn names(tags: &str, object: &StoredObject) -> bool {
    let own = format!("\"{}\"", object.md5);
    tags.split(',').map(str::trim).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == own)
}

fn text(value: String) -> HeaderValue {
    HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_at_the_end_and_rejected_behind_it() {
        for (range, size, satisfied_by) in [
            ("bytes=0-0", 10, Some(0..1)),
            ("bytes=3-5", 10, Some(3..6)),
            ("bytes=3-", 10, Some(3..10)),
            ("bytes=3-99", 10, Some(3..10)),
            ("bytes=-4", 10, Some(6..10)),
            ("bytes=-99", 10, Some(0..10)),
            ("bytes=10-", 10, None),
            ("bytes=-0", 10, None),
            ("bytes=0-0", 0, None),
            ("bytes=-1", 0, None),
        ] {
            assert_eq!(satisfied(range, size).ok(), satisfied_by, "{range} of {size}");
        }
    }

    #[test]
    fn what_is_no_single_range_is_ignored() {
        for range in ["bytes=5-3", "bytes=-", "bytes=a-b", "bytes=0-1,3-4", "lines=0-1", "bytes=1"] {
            assert!(bounds(range).is_none(), "{range}");
        }
    }
}
