//! The signed URLs of the storage: good for one method, one path and query, and a while.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use http::request::Parts;
use jiff::{SignedDuration, Timestamp};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::Sha256;
use url::form_urlencoded;

use super::storage_error::StorageRejection;

use crate::hex::hex;

/// How long a part can be put, and a download begun.
pub(super) const PART_LIFE: SignedDuration = SignedDuration::from_mins(15);
pub(super) const DOWNLOAD_LIFE: SignedDuration = SignedDuration::from_mins(1);

/// What a path may show as it is. No client writes the rest in another way.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

const SIGNATURE: &str = "&X-Amz-Signature=";
const DATE: &str = "%Y%m%dT%H%M%SZ";

/// What only the storage and the API know.
pub(super) struct Signer {
    secret: Vec<u8>,
    /// What URLs begin with.
    base: String,
}

impl Signer {
    pub(super) fn new(secret: Vec<u8>, base: String) -> Self {
        Signer { secret, base }
    }

    /// Where a part of an upload is put.
    pub(super) fn part(&self, upload: &str, path: &str, part: u32, now: Timestamp) -> String {
        let encoded = utf8_percent_encode(path, PATH);
        let target = format!("/_storage/filescom/uploads/{upload}/{encoded}");
        self.url("PUT", &target, &format!("partNumber={part}&uploadId={upload}"), PART_LIFE, now)
    }

    /// Where a content is read, whatever becomes of its path meanwhile.
    pub(super) fn content(&self, content: &str, path: &str, life: SignedDuration, now: Timestamp) -> String {
        let encoded = utf8_percent_encode(path, PATH);
        let target = format!("/_storage/filescom/files/{content}/{encoded}");
        self.url("GET", &target, "x-id=GetObject", life, now)
    }

    fn url(&self, method: &str, path: &str, query: &str, life: SignedDuration, now: Timestamp) -> String {
        let (date, seconds) = (now.strftime(DATE), life.as_secs());
        let target = format!(
            "{path}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=emulator&X-Amz-Date={date}&X-Amz-Expires={seconds}\
             &X-Amz-SignedHeaders=host&{query}"
        );
        let signature = hex(&self.mac(method, &target).finalize().into_bytes());
        format!("{}{target}{SIGNATURE}{signature}", self.base)
    }

    /// Rejects a request that no URL of ours was for, or no longer is.
    pub(super) fn check(&self, head: &Parts, now: Timestamp) -> Result<(), StorageRejection> {
        let asked = head.uri.path_and_query().map_or("", |asked| asked.as_str());
        let (target, signature) = asked.rsplit_once(SIGNATURE).ok_or(StorageRejection::AccessDenied)?;
        let signature = unhex(signature).ok_or(StorageRejection::Signature)?;
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
            Err(_) => unreachable!("a MAC takes a key of any length"),
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

/// The path in a storage URL, as it was signed.
pub(super) fn decoded(path: &str) -> String {
    percent_decode_str(path).decode_utf8_lossy().into_owned()
}

pub(super) fn query(head: &Parts, name: &str) -> Option<String> {
    let query = head.uri.query()?;
    form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn expiry(head: &Parts) -> Option<Timestamp> {
    let begin = jiff::civil::DateTime::strptime(DATE, query(head, "X-Amz-Date")?).ok()?;
    let begin = jiff::tz::Offset::UTC.to_timestamp(begin).ok()?;
    begin.checked_add(SignedDuration::from_secs(query(head, "X-Amz-Expires")?.parse().ok()?)).ok()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.len().is_multiple_of(2) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).ok();
    digits.then(|| (0..text.len()).step_by(2).map(byte).collect())?
}
