//! Signing of forms and presigned URLs for the storage, with AWS Signature Version 4.

use std::path::Path;
use std::{fmt, fs, io};

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rand::distr::{Alphanumeric, SampleString};
use sha2::{Digest, Sha256};

use super::query::Query;
use crate::durable::{self, Damage};
use crate::hex::hex;

pub(super) const ALGORITHM: &str = "AWS4-HMAC-SHA256";
pub(super) const BUCKET: &str = "pubnub-emulator-files-us-east-1";
const ACCESS_KEY: &str = "AKIAFILESTOREEMULATO";
/// The length of the secret access key, in characters.
const SECRET_LENGTH: usize = 40;
const REGION: &str = "us-east-1";

/// The characters to percent-encode: all but `A-Z a-z 0-9 - _ . ~`.
pub(super) const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
pub(super) const UNRESERVED_AND_SLASH: &AsciiSet = &UNRESERVED.remove(b'/');

/// The secret access key. It never leaves the emulator, which makes and verifies all signatures itself.
pub(super) struct StorageKeys {
    secret: String,
}

impl StorageKeys {
    pub(super) fn new() -> Self {
        StorageKeys { secret: Alphanumeric.sample_string(&mut rand::rng(), SECRET_LENGTH) }
    }

    /// Loads the keys of a data directory, or creates them. Forms and URLs stay valid after a restart, unless the file is
    /// damaged.
    pub(super) fn load_or_create(folder: &Path, damage: &mut Damage) -> io::Result<Self> {
        let file = folder.join("storage-key");
        match fs::read_to_string(&file) {
            Ok(text) if text.trim().len() == SECRET_LENGTH => Ok(StorageKeys { secret: text.trim().to_owned() }),
            Ok(_) => {
                damage.add(file, format!("a key has {SECRET_LENGTH} characters"));
                Ok(Self::new())
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                damage.add(file, error);
                Ok(Self::new())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let keys = Self::new();
                durable::write(&file, format!("{}\n", keys.secret).as_bytes())?;
                Ok(keys)
            }
            Err(error) => Err(error),
        }
    }

    /// Returns the value of `X-Amz-Credential`: the access key, the day and the scope.
    pub(super) fn credential(time: Timestamp) -> String {
        format!("{ACCESS_KEY}/{}", scope(time))
    }

    /// Returns the signature of `text` at `time`, in hexadecimal.
    pub(super) fn sign(&self, time: Timestamp, text: &str) -> String {
        hex(&self.mac(time, text).finalize().into_bytes())
    }

    /// Returns `true` if `signature` is the signature of `text` at `time`.
    pub(super) fn verify(&self, time: Timestamp, text: &str, signature: &str) -> bool {
        // The MACs of both are compared, so that the duration tells nothing about the expected signature.
        let actual = hex(&self.mac(time, signature).finalize().into_bytes());
        let expected = hex(&self.mac(time, &self.sign(time, text)).finalize().into_bytes());
        actual == expected
    }

    fn mac(&self, time: Timestamp, text: &str) -> Hmac<Sha256> {
        let scope = scope(time);
        let first = format!("AWS4{}", self.secret).into_bytes();
        let key = scope.split('/').fold(first, |key, part| mac(&key, part).finalize().into_bytes().to_vec());
        mac(&key, text)
    }
}

/// Returns the string to sign for a presigned URL. It covers the method, the host, the path and the query without the
/// signature.
pub(super) fn string_to_sign(method: &str, host: &str, path: &str, query: &Query, time: Timestamp) -> String {
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
    format!("{ALGORITHM}\n{}\n{}\n{digest}", amz_date(time), scope(time))
}

fn scope(time: Timestamp) -> String {
    format!("{}/{REGION}/s3/aws4_request", time.to_zoned(TimeZone::UTC).strftime("%Y%m%d"))
}

/// Returns `time` without fractions of a second.
pub(super) fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// Formats a time as in `X-Amz-Date`: `20250102T030505Z`.
pub(super) fn amz_date(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// Parses the format of [`amz_date`].
pub(super) fn parse_amz_date(text: &str) -> Option<Timestamp> {
    let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// Formats a time as in JSON and XML: `2025-01-02T03:05:05Z`.
pub(super) fn iso_8601(time: Timestamp) -> String {
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

    /// The example of a presigned URL in Amazon's documentation.
    #[test]
    fn a_url_is_signed_as_amazon_documents_it() {
        let keys = StorageKeys { secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned() };
        let time = parse_amz_date("20130524T000000Z").unwrap();
        let query = Query::parse(Some(
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3\
             %2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host",
        ));
        let text = string_to_sign("GET", "examplebucket.s3.amazonaws.com", "/test.txt", &query, time);
        let signature = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
        assert_eq!(keys.sign(time, &text), signature);
        assert!(keys.verify(time, &text, signature));
        assert!(!keys.verify(time, &text, &signature.to_uppercase()));
    }

    #[test]
    fn formatted_times_parse_to_the_same_time() {
        let time = Timestamp::from_second(1_735_787_105).unwrap();
        assert_eq!(amz_date(time), "20250102T030505Z");
        assert_eq!(parse_amz_date("20250102T030505Z"), Some(time));
        assert_eq!(iso_8601(time), "2025-01-02T03:05:05Z");
        assert_eq!(parse_amz_date("20250102T030505"), None);
    }
}
