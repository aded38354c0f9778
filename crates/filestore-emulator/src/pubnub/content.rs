//! Downloads from the storage with presigned URLs: URL validation, preconditions and ranges.

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
use super::storage_keys::{ALGORITHM, StorageKeys, iso_8601, parse_amz_date, string_to_sign, whole_seconds};
use super::upload::{http_date, set_object_headers, wrong_etag};
use super::{Call, PubNub};
use crate::faults::Fault;
use crate::http::{Response, empty, streamed};

impl PubNub {
    pub(super) async fn content(&self, key: &str, call: &Call<'_>) -> Result<Response, Rejection> {
        let key = ObjectKey::from_text(key);
        self.check_url(&key, call)?;
        let (now, blobs) = (call.now, Arc::clone(self.store.blobs()));
        let find = self.store.run(move |state| {
            let object = state.objects.get(&key, now).cloned();
            let object = object.ok_or_else(|| StorageError::no_such_key(key.as_str()))?;
            // Opened under the lock, before another request can delete or replace the object.
            let body = blobs.reader(&object.body)?;
            Ok((object, body))
        });
        let (object, body) = find.await?;

        let request_headers = &call.head.headers;
        let mut response = match evaluate(&object, request_headers)? {
            Selection::NotModified => empty(StatusCode::NOT_MODIFIED),
            Selection::Range(range) => {
                let content = body.stream_range(range.clone()).await?;
                let mut response = streamed(range.end - range.start, content);
                if range != (0..object.size) || is_range_request(&object, request_headers) {
                    let content_range = format!("bytes {}-{}/{}", range.start, range.end - 1, object.size);
                    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                    let content_range = HeaderValue::try_from(content_range).map_err(std::io::Error::other)?;
                    response.headers_mut().insert(CONTENT_RANGE, content_range);
                }
                response
            }
        };
        let headers = response.headers_mut();
        set_object_headers(&object, headers);
        if call.effects.any(|fault| matches!(fault, Fault::WrongEtag)) {
            headers.insert(ETAG, wrong_etag());
        }
        let media_type = HeaderValue::try_from(&object.content_type);
        for (name, value) in [
            (CONTENT_TYPE, media_type.unwrap_or(HeaderValue::from_static("binary/octet-stream"))),
            (LAST_MODIFIED, HeaderValue::try_from(http_date(object.created)).map_err(std::io::Error::other)?),
            (ACCEPT_RANGES, HeaderValue::from_static("bytes")),
            (HeaderName::from_static("x-amz-request-id"), header_value(request_id())),
            (HeaderName::from_static("x-amz-id-2"), header_value(host_id())),
            // Uploaded content must not run as a page of the emulator's origin.
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

    /// Checks that the URL was signed by this emulator for this method and key, and has not expired.
    fn check_url(&self, key: &ObjectKey, call: &Call<'_>) -> Result<(), StorageError> {
        let query = &call.query;
        let parameter = |name| query.get(name).ok_or_else(|| StorageError::denied("Access Denied"));
        let (credential, signature) = (parameter("X-Amz-Credential")?, parameter("X-Amz-Signature")?);
        let (date, lifetime) = (parameter("X-Amz-Date")?, parameter("X-Amz-Expires")?);
        if parameter("X-Amz-Algorithm")? != ALGORITHM {
            return Err(StorageError::algorithm());
        }
        let date = parse_amz_date(date).ok_or_else(StorageError::signature)?;
        let path = format!("{STORAGE}{key}");
        let text = string_to_sign(call.head.method.as_str(), &self.host, &path, query, date);
        if credential != StorageKeys::credential(date) || !self.storage_keys.verify(date, &text, signature) {
            return Err(StorageError::signature());
        }
        // The signature covers it, so it is a number.
        let lifetime = lifetime.parse().unwrap_or(0);
        let end = date + SignedDuration::from_secs(lifetime);
        let expired = call.effects.any(|fault| matches!(fault, Fault::ExpiredUrl));
        if expired || call.now >= end {
            return Err(StorageError::expired(lifetime.unsigned_abs(), iso_8601(end), iso_8601(call.now)));
        }
        if call.now < date {
            return Err(StorageError::denied("Request is not yet valid"));
        }
        Ok(())
    }
}

/// The result of a request's preconditions and range.
enum Selection {
    NotModified,
    Range(Range<u64>),
}

/// Evaluates the preconditions of a request, then its range.
fn evaluate(object: &StoredObject, request_headers: &HeaderMap) -> Result<Selection, StorageError> {
    let header = |name: HeaderName| request_headers.get(name).and_then(|value| value.to_str().ok());
    if header(IF_MATCH).is_some_and(|tags| !has_etag(tags, object)) {
        return Err(StorageError::precondition("If-Match"));
    }
    let not_modified = match (header(IF_NONE_MATCH), header(IF_MODIFIED_SINCE)) {
        (Some(tags), _) => has_etag(tags, object),
        (None, Some(since)) => httpdate::parse_http_date(since)
            .ok()
            .and_then(|since| Timestamp::try_from(since).ok())
            .is_some_and(|since| whole_seconds(object.created) <= since),
        (None, None) => false,
    };
    if not_modified {
        return Ok(Selection::NotModified);
    }
    match header(RANGE).filter(|_| is_range_request(object, request_headers)) {
        Some(range) => resolve_range(range, object.size).map(Selection::Range),
        None => Ok(Selection::Range(0..object.size)),
    }
}

/// Returns `true` if the request has a single well-formed range, and its `If-Range` matches the object.
fn is_range_request(object: &StoredObject, request_headers: &HeaderMap) -> bool {
    let header = |name: HeaderName| request_headers.get(name).and_then(|value| value.to_str().ok());
    let is_same = match header(IF_RANGE) {
        None => true,
        Some(tag) if tag.starts_with('"') => has_etag(tag, object),
        Some(date) => date == http_date(object.created),
    };
    is_same && header(RANGE).is_some_and(|range| parse_range(range).is_some())
}

/// Returns the first and the last byte of `bytes=FIRST-LAST`. One of them may be absent.
fn parse_range(range: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) };
    let bounds = (number(first)?, number(last)?);
    match bounds {
        (None, None) => None,
        (Some(first), Some(last)) if last < first => None,
        bounds => Some(bounds),
    }
}

/// Returns the bytes of an object of `size` bytes that `range` selects.
fn resolve_range(range: &str, size: u64) -> Result<Range<u64>, StorageError> {
    let bytes = match parse_range(range) {
        Some((Some(first), last)) => first..last.map_or(size, |last| size.min(last.saturating_add(1))),
        Some((None, Some(count))) => size.saturating_sub(count)..size,
        _ => 0..size,
    };
    if bytes.is_empty() { Err(StorageError::range(range, size)) } else { Ok(bytes) }
}

/// Returns `true` if the object's ETag is in `tags`, the value of a precondition.
fn has_etag(tags: &str, object: &StoredObject) -> bool {
    let etag = format!("\"{}\"", object.md5);
    tags.split(',').map(str::trim).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

fn header_value(value: String) -> HeaderValue {
    HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_at_the_end_of_the_object_and_rejected_after_it() {
        for (range, size, expected) in [
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
            assert_eq!(resolve_range(range, size).ok(), expected, "{range} of {size}");
        }
    }

    #[test]
    fn a_range_header_without_a_single_valid_range_is_ignored() {
        for range in ["bytes=5-3", "bytes=-", "bytes=a-b", "bytes=0-1,3-4", "lines=0-1", "bytes=1"] {
            assert!(parse_range(range).is_none(), "{range}");
        }
    }
}
