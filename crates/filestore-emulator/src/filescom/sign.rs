//! Presigned URLs of the storage. Each is valid for one method, path and query, and for a limited time.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use http::request::Parts;
use jiff::{SignedDuration, Timestamp};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::Sha256;
use url::form_urlencoded;

use super::storage_error::StorageRejection;
use crate::hex::hex;

/// The lifetime of the URL of a part.
pub(super) const PART_URL_LIFETIME: SignedDuration = SignedDuration::from_mins(15);
/// The lifetime of a download URL.
pub(super) const DOWNLOAD_URL_LIFETIME: SignedDuration = SignedDuration::from_mins(1);

/// The characters to percent-encode in paths. Clients encode the same ones, so the signed path is the path of the
/// request.
const PATH_ENCODE_SET: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

const SIGNATURE: &str = "&X-Amz-Signature=";
const DATE: &str = "%Y%m%dT%H%M%SZ";

/// Signs URLs with a secret that the API and the storage share.
pub(super) struct Signer {
    secret: Vec<u8>,
    /// The base URL of the storage, without a trailing slash.
    base: String,
}

impl Signer {
    pub(super) fn new(secret: Vec<u8>, base: String) -> Self {
        Signer { secret, base }
    }

    /// Returns the URL for uploading a part.
    pub(super) fn part_url(&self, upload: &str, path: &str, part: u32, now: Timestamp) -> String {
        let encoded = utf8_percent_encode(path, PATH_ENCODE_SET);
        let target = format!("/_storage/filescom/uploads/{upload}/{encoded}");
        self.url("PUT", &target, &format!("partNumber={part}&uploadId={upload}"), PART_URL_LIFETIME, now)
    }

    /// Returns the URL for downloading a content. It stays valid if the file at `path` is replaced or deleted.
    pub(super) fn content_url(&self, content: &str, path: &str, lifetime: SignedDuration, now: Timestamp) -> String {
        let encoded = utf8_percent_encode(path, PATH_ENCODE_SET);
        let target = format!("/_storage/filescom/files/{content}/{encoded}");
        self.url("GET", &target, "x-id=GetObject", lifetime, now)
    }

    fn url(&self, method: &str, path: &str, query: &str, lifetime: SignedDuration, now: Timestamp) -> String {
        let (date, seconds) = (now.strftime(DATE), lifetime.as_secs());
        let target = format!(
            "{path}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=emulator&X-Amz-Date={date}&X-Amz-Expires={seconds}\
             &X-Amz-SignedHeaders=host&{query}"
        );
        let signature = hex(&self.mac(method, &target).finalize().into_bytes());
        format!("{}{target}{SIGNATURE}{signature}", self.base)
    }

    /// Checks that the URL of a request was signed by this emulator and has not expired.
    pub(super) fn check(&self, head: &Parts, now: Timestamp) -> Result<(), StorageRejection> {
        let url = head.uri.path_and_query().map_or("", |url| url.as_str());
        let (target, signature) = url.rsplit_once(SIGNATURE).ok_or(StorageRejection::AccessDenied)?;
        let signature = parse_hex(signature).ok_or(StorageRejection::Signature)?;
        let mac = self.mac(head.method.as_str(), target);
        mac.verify_slice(&signature).map_err(|_| StorageRejection::Signature)?;
        match expiry(head) {
            Some(end) if now < end => Ok(()),
            _ => Err(StorageRejection::Expired),
        }
    }

    fn mac(&self, method: &str, target: &str) -> Hmac<Sha256> {
        let mut mac = match Hmac::<Sha256>::new_from_slice(&self.secret) {
            Ok(mac) => mac,
            Err(_) => unreachable!("HMAC takes keys of any length"),
        };
        mac.update(format!("{method}\n{target}").as_bytes());
        mac
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("base", &self.base).finish_non_exhaustive()
    }
}

/// Percent-decodes the path in a storage URL.
pub(super) fn decode_path(path: &str) -> String {
    percent_decode_str(path).decode_utf8_lossy().into_owned()
}

/// Returns the value of a query parameter.
pub(super) fn query_value(head: &Parts, name: &str) -> Option<String> {
    let query = head.uri.query()?;
    form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn expiry(head: &Parts) -> Option<Timestamp> {
    let begin = jiff::civil::DateTime::strptime(DATE, query_value(head, "X-Amz-Date")?).ok()?;
    let begin = jiff::tz::Offset::UTC.to_timestamp(begin).ok()?;
    begin.checked_add(SignedDuration::from_secs(query_value(head, "X-Amz-Expires")?.parse().ok()?)).ok()
}

fn parse_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.len().is_multiple_of(2) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).ok();
    digits.then(|| (0..text.len()).step_by(2).map(byte).collect())?
}
