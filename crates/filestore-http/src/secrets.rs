//! [`RequestHead`]: URL and headers of a request, and the secrets among them, which its errors do not show.

use std::sync::Arc;

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use reqwest::header::{AUTHORIZATION, COOKIE, HeaderName, HeaderValue, PROXY_AUTHORIZATION};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// The minimum length of a secret that is hidden, in characters. Texts contain shorter ones by chance.
const MIN_LENGTH: usize = 4;

/// The ends of the names of parameters whose values are secrets: signatures of presigned URLs, and tokens.
const SECRET_PARAMETERS: [&str; 5] = ["signature", "sig", "auth", "security-token", "identitytoken"];

const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The part of a request that its response keeps.
pub(crate) struct RequestHead {
    pub(crate) url: Url,
    pub(crate) secret_path: bool,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) credentials: Vec<(HeaderName, HeaderValue)>,
    /// The secrets that are neither in the URL nor in a header.
    pub(crate) secrets: Option<Arc<[SecretString]>>,
}

impl RequestHead {
    /// Returns the URL as errors and traces show it.
    pub(crate) fn redacted_url(&self) -> String {
        crate::redacted_url(&self.url, self.secret_path)
    }

    /// Returns `text` with `...` in place of each secret, regardless of ASCII case.
    pub(crate) fn without_secrets(&self, text: &str) -> String {
        self.collect_secrets().iter().fold(text.to_owned(), |text, secret| hide(&text, secret))
    }

    /// Returns `true` if `text` contains a secret, regardless of ASCII case.
    pub(crate) fn has_secret(&self, text: &str) -> bool {
        self.collect_secrets().iter().any(|secret| find(text, secret).is_some())
    }

    /// Returns the secrets in all spellings in which a response may repeat them, the longest first: a secret may be a
    /// part of another.
    ///
    /// They are collected only for an error.
    fn collect_secrets(&self) -> Vec<String> {
        let mut secrets = Vec::new();
        for (name, value) in self.headers.iter().chain(&self.credentials) {
            let is_authorization = *name == AUTHORIZATION || *name == PROXY_AUTHORIZATION;
            if is_authorization || *name == COOKIE || value.is_sensitive() {
                let value = String::from_utf8_lossy(value.as_bytes()).trim().to_owned();
                if is_authorization {
                    secrets.extend(secrets_of_authorization(&value));
                }
                secrets.push(value);
            }
        }
        secrets
            .extend(self.secrets.iter().flat_map(|secrets| secrets.iter()).map(|text| text.expose_secret().to_owned()));
        for (name, value) in self.url.query_pairs() {
            let name = name.to_ascii_lowercase();
            if SECRET_PARAMETERS.iter().any(|end| name.ends_with(end)) {
                secrets.push(value.into_owned());
            }
        }
        if self.secret_path {
            let path = self.url.path().trim_matches('/');
            secrets.extend([path.to_owned(), percent_decode_str(path).decode_utf8_lossy().into_owned()]);
        }
        let encoded: Vec<_> = secrets.iter().map(|secret| utf8_percent_encode(secret, RESERVED).to_string()).collect();
        secrets.extend(encoded);
        secrets.retain(|secret| secret.chars().count() >= MIN_LENGTH);
        secrets.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets
    }
}

/// Returns the secrets in the value of the header `Authorization`: all that follows the scheme, the password of `Basic`,
/// and the values of parameters (`Signature=...`).
fn secrets_of_authorization(value: &str) -> Vec<String> {
    let Some((scheme, credentials)) = value.split_once(' ') else { return Vec::new() };
    let mut secrets = vec![credentials.to_owned()];
    if scheme.eq_ignore_ascii_case("basic") {
        let decoded = BASE64.decode(credentials.trim()).unwrap_or_default();
        let decoded = String::from_utf8_lossy(&decoded);
        secrets.extend(decoded.split_once(':').map(|(_, password)| password.to_owned()));
        secrets.push(decoded.into_owned());
        return secrets;
    }
    let parameters = credentials.split(',').filter_map(|parameter| parameter.split_once('='));
    secrets.extend(parameters.map(|(_, value)| value.trim().trim_matches('"').to_owned()));
    // `SharedKey ACCOUNT:SIGNATURE` of Azure.
    secrets.extend(credentials.rsplit_once(':').map(|(_, signature)| signature.to_owned()));
    secrets
}

/// Returns the position of the first `secret` in `text`, regardless of ASCII case.
fn find(text: &str, secret: &str) -> Option<usize> {
    let mut windows = text.as_bytes().windows(secret.len());
    windows.position(|window| window.eq_ignore_ascii_case(secret.as_bytes()))
}

/// Replaces each `secret` in `text` by `...`.
fn hide(text: &str, secret: &str) -> String {
    let mut redacted = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = find(rest, secret) {
        redacted.push_str(&rest[..at]);
        redacted.push_str("...");
        rest = &rest[at + secret.len()..];
    }
    redacted.push_str(rest);
    redacted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Request, secret_header};

    fn request(url: &str) -> Request {
        Request::get(url.parse().unwrap())
    }

    fn redacted(request: &Request, text: &str) -> String {
        request.0.head.without_secrets(text)
    }

    #[test]
    fn a_sensitive_header_is_hidden_regardless_of_case_and_another_one_is_not() {
        let request = request("http://a/")
            .header(HeaderName::from_static("x-token"), secret_header("Tok+en/1=").unwrap())
            .header(HeaderName::from_static("x-id"), HeaderValue::from_static("PUBLIC"));
        assert_eq!(redacted(&request, "tok+EN/1= TOK%2ben%2F1%3d public, tok+en/1"), "... ... public, tok+en/1");
        assert!(request.0.head.has_secret("(TOK+EN/1=)") && !request.0.head.has_secret("public"));
    }

    #[test]
    fn of_an_authorization_all_that_follows_the_scheme_is_hidden() {
        let authorized =
            |value: &'static str| request("http://a/").header(AUTHORIZATION, HeaderValue::from_static(value));
        assert_eq!(redacted(&authorized("Bearer KEY.1"), "the Bearer key.1 of bearer"), "the ... of bearer");
        assert_eq!(redacted(&authorized("Bearer KEY.1"), "no key KEY.1"), "no key ...");
        let basic = authorized("Basic bWU6cGE6c3M=");
        assert_eq!(redacted(&basic, "me: PA:SS, me:pa:ss, bWU6cGE6c3M="), "me: ..., ..., ...");
        let signed = authorized("AWS4-HMAC-SHA256 Credential=AKID/2026/s3, SignedHeaders=host, Signature=0a1b2c");
        assert_eq!(
            redacted(&signed, "no key AKID; the signature 0A1B2C is wrong"),
            "no key AKID; the signature ... is wrong"
        );
        assert_eq!(redacted(&authorized("SharedKey me:c2ln="), "the MAC 'C2LN=' of me"), "the MAC '...' of me");
    }

    #[test]
    fn a_secret_path_and_a_signature_are_hidden_and_the_rest_of_the_url_is_not() {
        let url = "http://a/d%C3%BC/KEY?X-Amz-Signature=5ig%2BA&X-Amz-Expires=3600&prefix=photos";
        let text = "DÜ/key dü/key d%c3%bc/Key 5IG+a 5ig%2ba 3600 photos";
        assert_eq!(redacted(&request(url).secret_path(), text), "DÜ/key ... ... ... ... 3600 photos");
        assert_eq!(redacted(&request(url), "dü/KEY 5ig+A"), "dü/KEY ...");
    }

    #[test]
    fn a_secret_that_is_a_part_of_another_does_not_uncover_it() {
        let request = request("http://a/").secrets(Arc::from(["abcd".into(), "abcd-efgh".into()]));
        assert_eq!(redacted(&request, "ABCD-EFGH abcd-e"), "... ...-e");
    }

    #[test]
    fn a_secret_of_fewer_than_4_characters_is_not_hidden() {
        let request = request("http://a/?sig=").secrets(Arc::from(["a".into(), String::new().into(), "key".into()]));
        assert_eq!(redacted(&request, "a key"), "a key");
        assert_eq!(redacted(&request.secrets(Arc::from(["schö".into()])), "SCHö, schÖ"), "..., schÖ");
    }
}
