//! The keys by which the service signs for its storage, AWS Signature Version 4: forms and URLs.

use std::path::Path;
use std::{fmt, fs, io};

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rand::distr::{Alphanumeric, SampleString};
use sha2::{Digest, Sha256};

use super::query::Query;
use crate::durable;
use crate::hex::hex;

pub(super) const ALGORITHM: &str = "AWS4-HMAC-SHA256";
pub(super) const BUCKET: &str = "pubnub-emulator-files-us-east-1";
const ACCESS_KEY: &str = "AKIAFILESTOREEMULATO";
const REGION: &str = "us-east-1";

/// `A-Z a-z 0-9 - _ . ~` stand for themselves.
pub(super) const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
pub(super) const UNRESERVED_AND_SLASH: &AsciiSet = &UNRESERVED.remove(b'/');

/// A secret that nobody outside needs: an emulator signs for itself.
pub(super) struct StorageKeys {
    secret: String,
}

impl StorageKeys {
    pub(super) fn new() -> Self {
        StorageKeys { secret: Alphanumeric.sample_string(&mut rand::rng(), 40) }
    }

    /// The keys of a folder, so that what was signed before a restart is good after it.
    pub(super) fn kept_in(folder: &Path) -> io::Result<Self> {
        let file = folder.join("storage-key");
        match fs::read_to_string(&file) {
            Ok(text) => Ok(StorageKeys { secret: text.trim().to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let keys = Self::new();
                durable::write(&file, format!("{}\n", keys.secret).as_bytes())?;
                Ok(keys)
            }
            Err(error) => Err(error),
        }
    }

    /// Who signs, for what and on which day.
    pub(super) fn credential(time: Timestamp) -> String {
        format!("{ACCESS_KEY}/{}", scope(time))
    }

    /// The signature of a text that was signed at a time, in hexadecimal.
    pub(super) fn sign(&self, time: Timestamp, text: &str) -> String {
        hex(&self.mac(time, text).finalize().into_bytes())
    }

    pub(super) fn is_signed(&self, time: Timestamp, text: &str, signature: &str) -> bool {
        // Compared in constant time, as the bytes it stands for would be.
        let given = hex(&self.mac(time, signature).finalize().into_bytes());
        let right = hex(&self.mac(time, &self.sign(time, text)).finalize().into_bytes());
        given == right
    }

    fn mac(&self, time: Timestamp, text: &str) -> Hmac<Sha256> {
        let scope = scope(time);
        let first = format!("AWS4{}", self.secret).into_bytes();
        let key = scope.split('/').fold(first, |key, part| mac(&key, part).finalize().into_bytes().to_vec());
        mac(&key, text)
    }
}

/// What is signed of a URL: the method and everything but the signature.
pub(super) fn text_of_url(method: &str, host: &str, path: &str, query: &Query, time: Timestamp) -> String {
    let mut parameters: Vec<String> = query
        .iter()
        .filter(|(name, _)| *name != "X-Amz-Signature")
        .map(|(name, value)| {
            format!("{}={}", utf8_percent_encode(name, UNRESERVED), utf8_percent_encode(value, UNRESERVED))
        })
        .collect();
    parameters.sort_unstable();
    let path = utf8_percent_encode(path, UNRESERVED_AND_SLASH);
    let canonical = format!("{method}\n{path}\n{}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD", parameters.join("&"));
    let digest = hex(&Sha256::digest(canonical.as_bytes()));
    format!("{ALGORITHM}\n{}\n{}\n{digest}", compact(time), scope(time))
}

fn scope(time: Timestamp) -> String {
    format!("{}/{REGION}/s3/aws4_request", time.to_zoned(TimeZone::UTC).strftime("%Y%m%d"))
}

pub(super) fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// `20250102T030505Z`.
pub(super) fn compact(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// Reads what [`compact`] wrote.
pub(super) fn parse_compact(text: &str) -> Option<Timestamp> {
    let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// `2025-01-02T03:05:05Z`, as JSON and XML have times.
pub(super) fn seconds(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn mac(key: &[u8], text: &str) -> Hmac<Sha256> {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { unreachable!("HMAC takes keys of any length") };
    mac.update(text.as_bytes());
    mac
}

impl fmt::Debug for StorageKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StorageKeys").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Amazon's documentation for URLs.
    #[test]
    fn a_url_is_signed_as_amazon_documents_it() {
        let keys = StorageKeys { secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned() };
        let time = parse_compact("20130524T000000Z").unwrap();
        let query = Query::of(Some(
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3\
             %2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host",
        ));
        let text = text_of_url("GET", "examplebucket.s3.amazonaws.com", "/test.txt", &query, time);
        let signature = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
        assert_eq!(keys.sign(time, &text), signature);
        assert!(keys.is_signed(time, &text, signature));
        assert!(!keys.is_signed(time, &text, &signature.to_uppercase()));
    }

    #[test]
    fn compact_times_read_back() {
        let time = Timestamp::from_second(1_735_787_105).unwrap();
        assert_eq!(compact(time), "20250102T030505Z");
        assert_eq!(parse_compact("20250102T030505Z"), Some(time));
        assert_eq!(seconds(time), "2025-01-02T03:05:05Z");
        assert_eq!(parse_compact("20250102T030505"), None);
    }
}
