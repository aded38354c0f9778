//! Downloads: the API creates a presigned URL, which is valid for a minute, and the storage serves the content.

use std::sync::Arc;

use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MATCH, IF_RANGE,
    LAST_MODIFIED, LOCATION, RANGE,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::access::{Caller, Right};
use super::content::Content;
use super::entity::{View, disposition, mime_type};
use super::error::Rejection;
use super::path::{RemotePath, Trailing};
use super::sign::DOWNLOAD_URL_LIFETIME;
use super::storage_error::StorageRejection;
use super::upload::wrong_digest;
use super::{Call, FilesCom, StorageCall};
use crate::faults::Fault;
use crate::http::{Response, empty, json, streamed};

impl FilesCom {
    /// `GET /files/PATH`: the entity with a download URL, or a redirect to the URL.
    pub(super) async fn get_file(&self, raw: &str, call: Call<'_>, caller: Caller) -> Result<Response, Rejection> {
        let action = call.params.text("action")?;
        let redirect = match action.as_deref() {
            None => false,
            Some("redirect") => true,
            Some("stat") => return self.stat(raw, call, caller).await,
            Some(_) => return Err(Rejection::invalid("action")),
        };
        let path = RemotePath::from_url(raw, Trailing::AllowedInLast)?;
        caller.check(Right::Read, &path)?;
        if call.effects.any(|fault| matches!(fault, Fault::ReplacedFile)) {
            self.replace_content(path.clone(), call.now).await?;
        }
        let now = call.now;
        let expired = call.effects.any(|fault| matches!(fault, Fault::ExpiredUrl));
        let signed_at = if expired { now.saturating_sub(DOWNLOAD_URL_LIFETIME).unwrap_or(now) } else { now };
        let view = View::new(&caller, call.params.flag("with_priority_color")?, now);
        let signer = Arc::clone(&self.signer);
        self.store
            .run(move |state| {
                let node = state.node_at(&path)?;
                let content = node.content.as_ref().ok_or(Rejection::CannotDownloadDirectory)?;
                let path = state.tree.path(node.id);
                let uri = signer.content_url(content, &path, DOWNLOAD_URL_LIFETIME, signed_at);
                if redirect {
                    let mut response = empty(StatusCode::FOUND);
                    let location = HeaderValue::try_from(uri).map_err(|_| Rejection::NotFound)?;
                    response.headers_mut().insert(LOCATION, location);
                    return Ok(response);
                }
                let mut entity = state.entity(node, path, &view);
                entity.download_uri = Some(uri);
                Ok(json(StatusCode::OK, &entity))
            })
            .await
    }

    /// `GET` from the storage: the content that the file had when the URL was created.
    pub(super) async fn get_content(
        &self,
        id: &str,
        path: &str,
        call: StorageCall<'_>,
    ) -> Result<Response, StorageRejection> {
        if call.effects.any(|fault| matches!(fault, Fault::ExpiredUrl)) {
            return Err(StorageRejection::Expired);
        }
        self.signer.check(call.head, call.now)?;
        let content = self.content(id).await?.ok_or(StorageRejection::NoSuchKey)?;
        let name = path.rsplit('/').next().unwrap_or_default();
        let etag = match call.effects.any(|fault| matches!(fault, Fault::WrongEtag)) {
            true => wrong_digest(&content.etag),
            false => content.etag.clone(),
        };
        self.content_response(content, name, &format!("\"{etag}\""), &call.head.headers)
    }

    pub(super) async fn content(&self, id: &str) -> std::io::Result<Option<Content>> {
        let id = id.to_owned();
        self.store.run(move |state| Ok(state.contents.get(&id).cloned())).await
    }

    /// Returns a response with the content as an attachment, or with the requested range of it.
    pub(super) fn content_response(
        &self,
        content: Content,
        name: &str,
        etag: &str,
        request_headers: &HeaderMap,
    ) -> Result<Response, StorageRejection> {
        let header = |name: HeaderName| request_headers.get(name).and_then(|value| value.to_str().ok());
        if header(IF_MATCH).is_some_and(|expected| expected != "*" && expected != etag) {
            return Err(StorageRejection::Precondition);
        }
        let size = content.size;
        let range = header(RANGE).filter(|_| header(IF_RANGE).is_none_or(|expected| expected == etag));
        let range = match range.and_then(|range| Range::parse(range, size)) {
            Some(Range::Unsatisfiable) => return Err(StorageRejection::Range { size }),
            Some(Range::Bytes { first, last }) => Some((first, last)),
            None => None,
        };
        let (first, length) = range.map_or((0, size), |(first, last)| (first, last - first + 1));
        let stored = content.stored;
        let mut response = streamed(length, content.stream(Arc::clone(self.store.blobs()), first, length));
        let headers = response.headers_mut();
        let mut set = |name: HeaderName, value: String| {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        };
        if let Some((first, last)) = range {
            set(CONTENT_RANGE, format!("bytes {first}-{last}/{size}"));
        }
        set(CONTENT_TYPE, mime_type(name));
        set(ETAG, etag.to_owned());
        set(LAST_MODIFIED, httpdate::fmt_http_date(stored.into()));
        headers.insert(CONTENT_DISPOSITION, disposition(name));
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store"));
        headers.insert("x-amz-server-side-encryption", HeaderValue::from_static("AES256"));
        // Uploaded content must not run as a page of the emulator's origin.
        headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
        headers.insert("content-security-policy", HeaderValue::from_static("default-src 'none'; sandbox"));
        if range.is_some() {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        Ok(response)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Range {
    Bytes { first: u64, last: u64 },
    Unsatisfiable,
}

impl Range {
    /// Parses a single range. Returns `None` for several ranges, a malformed range, and any range of an empty file.
    fn parse(text: &str, size: u64) -> Option<Self> {
        let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
        };
        if size == 0 {
            return None;
        }
        let (first, last) = match (first, last) {
            ("", suffix) => match number(suffix)? {
                0 => return Some(Range::Unsatisfiable),
                suffix => (size.saturating_sub(suffix), size - 1),
            },
            (first, "") => (number(first)?, size - 1),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                if last < first {
                    return None;
                }
                (first, last.min(size - 1))
            }
        };
        Some(if first >= size { Range::Unsatisfiable } else { Range::Bytes { first, last } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_parsed_as_the_storage_parses_them() {
        for (text, expected) in [
            ("bytes=0-3", Some((0, 3))),
            ("bytes=4-", Some((4, 9))),
            ("bytes=-3", Some((7, 9))),
            ("bytes=-30", Some((0, 9))),
            ("bytes=8-99", Some((8, 9))),
            ("bytes=0--1", None),
            ("bytes=5-3", None),
            ("bytes=0-1,3-4", None),
            ("bytes=a-", None),
            ("octets=0-3", None),
            ("bytes=-", None),
        ] {
            let expected = expected.map(|(first, last)| Range::Bytes { first, last });
            assert_eq!(Range::parse(text, 10), expected, "{text}");
        }
        assert_eq!(Range::parse("bytes=10-", 10), Some(Range::Unsatisfiable));
        assert_eq!(Range::parse("bytes=10-12", 10), Some(Range::Unsatisfiable));
        assert_eq!(Range::parse("bytes=-0", 10), Some(Range::Unsatisfiable));
        assert_eq!(Range::parse("bytes=0-", 0), None);
    }
}
