//! The parts of an upload: several are sent at once, each with retries, and each is checked.

use std::collections::BTreeSet;
use std::future::pending;
use std::pin::pin;

use crc32fast::Hasher as Crc32;
use filestore_core::{Effect, Error, ErrorKind, Result};
use filestore_http::header::{HeaderName, HeaderValue};
use filestore_http::{Attempts, Idempotency, Method, Request, RequestBody, Response, is_md5};
use futures::StreamExt;
use futures::future::{self, Either};
use futures::stream::FuturesUnordered;
use tokio::sync::watch;

use super::multipart::{MultipartUpload, Target};
use super::source::{Part, Source};
use crate::api::Api;
use crate::config::Verify;
use crate::digest::{DigestSet, Digests, crc32_hex};
use crate::storage::{self, Recovery};
use crate::store::FilesComStore;
use crate::wire::Entry;

/// A part that is stored.
#[derive(Debug, Clone)]
pub(crate) struct UploadedPart {
    pub(crate) number: u32,
    pub(crate) length: u64,
    /// The ETag without quotes. Mounted servers send none.
    pub(crate) etag: Option<String>,
    pub(crate) crc32: Option<Crc32>,
}

/// All parts of a file, before the upload is finished.
pub(super) struct UploadedParts {
    pub(super) parts: Vec<UploadedPart>,
    pub(super) size: u64,
    /// Eight hexadecimal digits; `None` if digests are not computed.
    pub(super) crc32: Option<String>,
}

impl UploadedParts {
    fn of(mut parts: Vec<UploadedPart>) -> Self {
        parts.sort_by_key(|part| part.number);
        let crc32 = parts.iter().try_fold(Crc32::new(), |mut all, part| {
            all.combine(part.crc32.as_ref()?);
            Some(all)
        });
        Self { size: parts.iter().map(|part| part.length).sum(), crc32: crc32.map(crc32_hex), parts }
    }

    /// Returns `true` if the entry has the digest of these parts; `None` if either digest is unknown.
    pub(super) fn is_content_of(&self, entry: &Entry) -> Option<bool> {
        let stored = entry.crc32.as_deref()?;
        Some(format!("{:0>8}", stored.to_ascii_lowercase()) == *self.crc32.as_deref()?)
    }
}

impl FilesComStore {
    /// Sends all parts but those in `done`, as many at once as the storage and the memory allow. All requests end
    /// when this is dropped.
    pub(super) async fn send_parts(
        &self,
        upload: &MultipartUpload<'_>,
        source: &mut Source,
        mut done: Vec<UploadedPart>,
        size_of: impl Fn(u32) -> Result<u64>,
        mut on_part: impl FnMut(&UploadedPart),
    ) -> Result<UploadedParts> {
        let resumed: BTreeSet<u32> = done.iter().map(|part| part.number).collect();
        let width = if upload.limits.parallel { self.config().parallel.get() as usize } else { 1 };
        let memory = self.config().memory.as_u64();
        let digests = self.config().verify != Verify::None;
        let send = |part: Part| async move {
            let buffered = part.buffered();
            // A small file is one request, as any other.
            let _permit = if upload.is_single() { None } else { self.part_permit().await };
            put(self.api(), upload, part, digests).await.map(|uploaded| (buffered, uploaded))
        };
        let mut running = FuturesUnordered::new();
        let (mut more, mut in_memory) = (true, 0);
        while more || !running.is_empty() {
            while resumed.contains(&source.next_number()) {
                source.skip(size_of(source.next_number())?);
            }
            let length = if more { size_of(source.next_number())? } else { 0 };
            let fits = !source.is_buffered() || running.is_empty() || in_memory + length <= memory;
            let room = more && running.len() < width && fits;
            let step = {
                let next = async { if room { source.next(length).await } else { pending().await } };
                let uploaded = async {
                    match running.next().await {
                        Some(uploaded) => uploaded,
                        None => pending().await,
                    }
                };
                match future::select(pin!(next), pin!(uploaded)).await {
                    Either::Left((part, _)) => Either::Left(part?),
                    Either::Right((uploaded, _)) => Either::Right(uploaded?),
                }
            };
            match step {
                Either::Left(Some(part)) => {
                    in_memory += part.buffered();
                    running.push(send(part));
                }
                Either::Left(None) => more = false,
                Either::Right((buffered, uploaded)) => {
                    in_memory -= buffered;
                    on_part(&uploaded);
                    done.push(uploaded);
                }
            }
        }
        Ok(UploadedParts::of(done))
    }
}

/// Sends one part. An expired URL, a temporary rejection and damaged content are retried within the attempts that one
/// request has.
async fn put(api: &Api, upload: &MultipartUpload<'_>, part: Part, digests: bool) -> Result<UploadedPart> {
    let set = DigestSet { md5: digests, crc32: digests };
    let mut attempts = Attempts::new();
    loop {
        // 1. The destination. A request for it has its own attempts.
        let target = upload.target(part.number, part.offset).await?;
        // 2. The content, digested while it is sent.
        let (sender, digests) = watch::channel(None);
        let request = request(upload, &target, part.request_body(set, &sender).await?)?;
        let response = api.http().send_within(request, &mut attempts).await?;
        // 3. The confirmation that the storage has the content.
        let (recovery, error) = if response.status().is_success() {
            match confirmed(&response, &target, &part, digests.borrow().clone()) {
                Ok(uploaded) => return Ok(uploaded),
                Err(error) => (Recovery::Retry, error),
            }
        } else {
            storage::rejected(response, &target.url, api.clock().now()).await
        };
        // 4. Or a retry with a fresh URL.
        if recovery == Recovery::None || !upload.retry_parts || !api.http().retry_step(&mut attempts).await {
            return Err(error.with_attempts(attempts.made()).with_note(&format!("this was part {}", part.number)));
        }
        tracing::debug!(part = part.number, ?recovery, %error, "a part is retried");
    }
}

fn request(upload: &MultipartUpload<'_>, target: &Target, content: RequestBody) -> Result<Request> {
    let method = match target.part.http_method.as_deref().map(str::to_ascii_uppercase).as_deref() {
        None | Some("PUT") => Method::PUT,
        Some("POST") => Method::POST,
        Some("PATCH") => Method::PATCH,
        Some(_) => return Err(unusable("an unsupported method for a part")),
    };
    let idempotency = if upload.retry_parts { Idempotency::Idempotent } else { Idempotency::NonIdempotent };
    // The presigned URL is the credential; no other one is sent.
    let mut request = Request::new(method, target.url.clone(), idempotency).body(content).secret_path();
    for (name, value) in &target.part.headers {
        let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else {
            return Err(unusable("an invalid header for a part"));
        };
        if is_reserved(&name) {
            return Err(unusable(&format!("the header {name} for a part, which a service may not set")));
        }
        request = request.header(name, value);
    }
    Ok(request)
}

/// Returns `true` for a header that routes, frames or authorizes a request: the connection sets it, or it is not sent.
fn is_reserved(name: &HeaderName) -> bool {
    let reserved = [
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "upgrade",
        "expect",
        "te",
        "trailer",
        "authorization",
        "cookie",
    ];
    let name = name.as_str();
    reserved.contains(&name)
        || ["proxy-", "x-filesapi-", "x-files-workspace-id"].iter().any(|prefix| name.starts_with(prefix))
}

fn unusable(what: &str) -> Error {
    Error::new(ErrorKind::Protocol, Effect::Rejected, format!("the service requires {what}"))
}

/// Returns the part as the storage has it. *Protocol* if the response is not the storage's; *integrity* if not all was
/// sent, or if the ETag is an MD5 and not that of the content.
fn confirmed(response: &Response, target: &Target, part: &Part, digests: Option<Digests>) -> Result<UploadedPart> {
    let etag = response.opaque_tag().map(str::to_owned);
    let is_page = response.content_type().is_some_and(|essence| essence == "text/html");
    let is_s3 = target.part.upload_target_class.as_deref() == Some("s3");
    if is_page || (is_s3 && etag.is_none()) {
        return Err(response.unexpected("an ETag of the part").with_effect(Effect::Rejected));
    }
    // Digests are complete when the last byte has been sent.
    let Some(digests) = digests else {
        let message = "the storage confirmed the part before all of it was sent";
        return Err(response.error(ErrorKind::Integrity, message).with_effect(Effect::Rejected));
    };
    if let (Some(sent), Some(tag)) = (&digests.md5, etag.as_ref().filter(|tag| is_md5(tag)))
        && !tag.eq_ignore_ascii_case(sent)
    {
        let message = "the storage has different content from that of the part: its MD5 differs";
        return Err(response.error(ErrorKind::Integrity, message).with_effect(Effect::Rejected));
    }
    Ok(UploadedPart { number: part.number, length: part.length, etag, crc32: digests.crc32 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_frames_routes_or_authorizes_is_reserved_however_it_is_spelled() {
        let reserved = |name: &str| is_reserved(&HeaderName::try_from(name).unwrap());
        for name in [
            "Host",
            "CONTENT-LENGTH",
            "Transfer-Encoding",
            "connection",
            "Upgrade",
            "Expect",
            "TE",
            "Trailer",
            "Proxy-Authorization",
            "Proxy-Connection",
            "Authorization",
            "X-FilesAPI-Key",
            "X-FilesAPI-Auth",
        ] {
            assert!(reserved(name), "{name}");
        }
        for name in ["Content-Type", "Content-MD5", "x-amz-acl", "x-ms-blob-type", "If-None-Match", "Tea", "x-mine"] {
            assert!(!reserved(name), "{name}");
        }
    }
}
