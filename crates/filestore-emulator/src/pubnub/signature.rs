//! PubNub's request signature, version 2, which is made with the secret key of a keyset.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::Sha256;

use super::query::Query;

/// The characters that are percent-encoded in the signed query. `~` is one of them.
const QUERY_ENCODE_SET: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// The parts of a request that its signature covers.
#[derive(Debug)]
pub(super) struct SignatureInput<'a> {
    pub(super) method: &'a Method,
    pub(super) publish_key: &'a str,
    /// The path as sent, percent-encoded.
    pub(super) path: &'a str,
    pub(super) query: &'a Query,
    pub(super) body: &'a [u8],
}

impl SignatureInput<'_> {
    /// Returns `true` if `signature` was made with `secret_key`.
    ///
    /// Unless `strict`, the signature may also cover the path with the file's id and name unescaped, as the JavaScript
    /// SDK signs it.
    pub(super) fn verify(&self, secret_key: &str, signature: &str, strict: bool) -> bool {
        let Some(signature) = signature.strip_prefix("v2.").and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()) else {
            return false;
        };
        let covers = |path: &str| self.mac(secret_key, path).verify_slice(&signature).is_ok();
        covers(self.path) || !strict && with_decoded_file(self.path).is_some_and(|path| covers(&path))
    }

    fn mac(&self, secret_key: &str, path: &str) -> Hmac<Sha256> {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret_key.as_bytes()) else {
            unreachable!("HMAC takes keys of any length")
        };
        let (method, publish_key, query) = (self.method, self.publish_key, self.query_to_sign());
        mac.update(format!("{method}\n{publish_key}\n{path}\n{query}\n").as_bytes());
        mac.update(self.body);
        mac
    }

    fn query_to_sign(&self) -> String {
        let mut parameters: Vec<_> = self.query.iter().filter(|(name, _)| *name != "signature").collect();
        parameters.sort_unstable();
        let encoded =
            parameters.iter().map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, QUERY_ENCODE_SET)));
        encoded.collect::<Vec<_>>().join("&")
    }
}

/// Returns `/v1/files/KEY/channels/CHANNEL/files/ID/NAME` with the id and the name decoded.
fn with_decoded_file(path: &str) -> Option<String> {
    let (channel, file) = path.strip_prefix("/v1/files/")?.split_once("/files/")?;
    let file = percent_decode_str(file).decode_utf8().ok()?;
    Some(format!("/v1/files/{channel}/files/{file}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLISH_KEY: &str = "pub-c-11112222-3333-4444-5555-666677778888";
    const SECRET_KEY: &str = "sec-c-TESTSECRETKEY0123456789";
    const CHANNELS: &str = "/v1/files/sub-c-aaaabbbb-cccc-dddd-eeee-ffff00001111/channels";
    const CALLER: &str = "pnsdk=Acme-Rust%2F1.0&timestamp=1700000000&uuid=rust%20client~1";

    fn verify(method: Method, path: &str, query: &str, body: &str, signature: &str, strict: bool) -> bool {
        let query = Query::parse(Some(query));
        let body = body.as_bytes();
        SignatureInput { method: &method, publish_key: PUBLISH_KEY, path, query: &query, body }
            .verify(SECRET_KEY, signature, strict)
    }

    #[test]
    fn the_query_is_sorted_and_encoded_before_it_is_signed() {
        let path = format!("{CHANNELS}/room%201%2Fa/files");
        let by = "v2.iHkUYxH1J8GmXxPYl5vqk1r3sAVqAmA-LCj32XFFZJM";
        for query in [format!("limit=25&{CALLER}&signature={by}"), format!("{CALLER}&limit=25")] {
            assert!(verify(Method::GET, &path, &query, "", by, true), "{query}");
        }
        let token = format!("limit=25&next=1abc-_DEF&{CALLER}&auth=p0F2AkF0-_Token=");
        assert!(verify(Method::GET, &path, &token, "", "v2.1ZgPbNmkPkltCadorsd5MIFpcvYWO2Wu3nD8DQOJek0", true));
    }

    #[test]
    fn the_body_is_signed_byte_for_byte() {
        let path = format!("{CHANNELS}/room%201%2Fa/generate-upload-url");
        let escaped = r#"{"name": "h\u00e9llo world.txt"}"#;
        let raw = r#"{"name":"héllo world.txt"}"#;
        let by_escaped = "v2.WeOQEB3S5hbkkIYpNR7vbrDnNoRe5x6KSH92O4tQsB0";
        let by_raw = "v2.dAa6H1aU2uJhSh43Ahgz0iSMY9DT6oKzqxjWDIVPFU0";
        assert!(verify(Method::POST, &path, CALLER, escaped, by_escaped, true));
        assert!(verify(Method::POST, &path, CALLER, raw, by_raw, true));
        assert!(!verify(Method::POST, &path, CALLER, raw, by_escaped, true));
    }

    #[test]
    fn a_published_message_is_signed_in_the_path() {
        let path = "/v1/files/publish-file/pub-c-11112222-3333-4444-5555-666677778888/\
             sub-c-aaaabbbb-cccc-dddd-eeee-ffff00001111/0/room-1/0/%7B%22message%22%3A%20%7B%22text%22%3A%20%22hi%22%7D\
             %2C%20%22file%22%3A%20%7B%22id%22%3A%20%22d9515cb7-48a7-41a4-9284-f4bf331bc770%22%2C%20%22name%22%3A%20\
             %22cat.jpg%22%7D%7D";
        let query = format!("meta=null&ttl=24&store=1&{CALLER}");
        let by = "v2.BIyJqNyyza66T09VQnbE8ytVAQEMSuRVuE7F_WNZkQc";
        assert!(verify(Method::GET, path, &query, "", by, true));
        assert!(!verify(Method::GET, &path.replace("cat.jpg", "dog.jpg"), &query, "", by, true));
    }

    #[test]
    fn the_test_vector_of_the_rust_sdk_is_accepted() {
        let query = Query::parse(Some("pnsdk=PubNub-Rust&store=1&timestamp=1679642098&ttl=10&uuid=userId"));
        let path = "/publish/pubKey/subKey/0/my_channel/0/%22hello%21%22";
        let input = SignatureInput { method: &Method::GET, publish_key: "pubKey", path, query: &query, body: b"" };
        let by = "v2.AHl5lMpzyT4qcvvlqaszCjTUqU6dPb10a4_XSaYCNIQ";
        assert!(input.verify("secKey", by, true));
        assert!(!input.verify("secKez", by, true));
        for wrong in ["", "v2.", "AHl5lMpzyT4qcvvlqaszCjTUqU6dPb10a4_XSaYCNIQ", "v2.AHl5", "v2.%%"] {
            assert!(!input.verify("secKey", wrong, false), "{wrong}");
        }
    }

    #[test]
    fn a_signature_of_the_decoded_id_and_name_is_accepted_unless_strict() {
        let sent = "/v1/files/sub/channels/room%201/files/id-1/my%20file%25.txt";
        let decoded = "/v1/files/sub/channels/room%201/files/id-1/my file%.txt";
        let query = Query::parse(Some("uuid=a"));
        let input = |path| SignatureInput { method: &Method::GET, publish_key: "pub", path, query: &query, body: b"" };
        let by = input(decoded).mac("sec", decoded).finalize().into_bytes();
        let by = format!("v2.{}", URL_SAFE_NO_PAD.encode(by));
        assert!(input(sent).verify("sec", &by, false));
        assert!(!input(sent).verify("sec", &by, true));
    }
}
