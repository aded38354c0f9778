//! One part on its way to the storage: as often as it takes, and checked.

use filestore_core::{Effect, Error, ErrorKind, Result};
use filestore_http::header::{HeaderName, HeaderValue};
use filestore_http::{Attempts, Idempotency, Method, Request, RequestBody, Response, is_md5};

use crate::api::Api;
use crate::digest::{DigestCell, DigestSet, Digests};
use crate::storage::{self, Recovery};
use crate::upload::multipart::{MultipartUpload, Target};
use crate::upload::part::Stored;
use crate::upload::source::Part;

/// Stores a part. Expired addresses, passing rejections and broken content are made good out of the
/// attempts that one request has.
pub(crate) async fn put(api: &Api, session: &MultipartUpload<'_>, part: Part, digests: bool) -> Result<Stored> {
    let wanted = DigestSet { md5: digests, crc32: digests };
    let mut attempts = Attempts::new();
    loop {
        // 1. Where to. Asking is a request of its own, with attempts of its own.
        let target = session.target(part.number, part.offset).await?;
        // 2. The content, digested while it passes.
        let slot = DigestCell::default();
        let is_s3 = target.said.upload_target_class.as_deref() == Some("s3");
        let request = request(session, &target, part.payload(wanted, &slot).await?)?;
        let answer = api.http().send_within(request, &mut attempts).await?;
        // 3. Is it there, and is it what was sent?
        let (remedy, error) = if answer.status().is_success() {
            match checked(&answer, &part, slot.take(), is_s3) {
                Ok(stored) => return Ok(stored),
                Err(error) => (Recovery::Retry, error),
            }
        } else {
            storage::rejected(answer, &target.url, api.clock().now()).await
        };
        // 4. If not, once more with a fresh address.
        if remedy == Recovery::None || !session.retry_parts || !api.http().retry_step(&mut attempts).await {
            return Err(error.with_attempts(attempts.made()).with_note(&format!("this was part {}", part.number)));
        }
        tracing::debug!(part = part.number, ?remedy, %error, "a part is sent again");
    }
}

fn request(session: &MultipartUpload<'_>, target: &Target, content: RequestBody) -> Result<Request> {
    let method = match target.said.http_method.as_deref().map(str::to_ascii_uppercase).as_deref() {
        None | Some("PUT") => Method::PUT,
        Some("POST") => Method::POST,
        Some("PATCH") => Method::PATCH,
        Some(_) => return Err(unusable("a method that parts are not sent with")),
    };
    let idempotency = if session.retry_parts { Idempotency::Idempotent } else { Idempotency::NonIdempotent };
    // No credential: the address is one.
    let mut request = Request::new(method, target.url.clone(), idempotency).body(content).secret_path();
    for (name, value) in &target.said.headers {
        let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else {
            return Err(unusable("a header that cannot be sent"));
        };
        if is_reserved(&name) {
            return Err(unusable(&format!("the header {name} for a part, which is not the service's to choose")));
        }
        request = request.header(name, value);
    }
    Ok(request)
}

/// Whether a header says where a request goes, where it ends, or who asks: that is for the connection to say, or
/// for nobody.
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
    reserved.contains(&name) || ["proxy-", "x-filesapi-", "x-files-workspace-id"].iter().any(|of| name.starts_with(of))
}

fn unusable(what: &str) -> Error {
    Error::new(ErrorKind::Protocol, Effect::Rejected, format!("the service gives {what}"))
}

/// The part as the storage has it. *Protocol* if something else answered, *integrity* if its tag is an MD5 and not that
/// of what was sent, or if not all was sent.
fn checked(answer: &Response, part: &Part, sums: Option<Digests>, is_s3: bool) -> Result<Stored> {
    let etag = answer.opaque_tag().map(str::to_owned);
    let is_page = answer.content_type().is_some_and(|essence| essence == "text/html");
    if is_page || (is_s3 && etag.is_none()) {
        return Err(answer.unexpected("an ETag of the part").with_effect(Effect::Rejected));
    }
    // They are there when the last byte has gone out.
    let Some(sums) = sums else {
        let message = "the storage says that it has the part before all of it was sent";
        return Err(answer.error(ErrorKind::Integrity, message).with_effect(Effect::Rejected));
    };
    if let (Some(sent), Some(tag)) = (&sums.md5, etag.as_ref().filter(|tag| is_md5(tag)))
        && !tag.eq_ignore_ascii_case(sent)
    {
        let message = "the storage has other content than was sent: its MD5 differs";
        return Err(answer.error(ErrorKind::Integrity, message).with_effect(Effect::Rejected));
    }
    Ok(Stored { number: part.number, length: part.length, etag, crc32: sums.crc32 })
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
