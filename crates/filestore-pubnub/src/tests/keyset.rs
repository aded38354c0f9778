//! Signatures and percent-encoding, compared with those of the official clients.

use super::*;
use crate::channel::check_channel;

const PUBLISH: &str = "pub-c-11112222-3333-4444-5555-666677778888";
const FILES: &str = "/v1/files/sub-c-aaaabbbb-cccc-dddd-eeee-ffff00001111/channels";
const SECRET: &str = "sec-c-TESTSECRETKEY0123456789";

/// The signature of a request whose query has the common parameters of the test vectors and `special` ones.
fn signed(method: &str, path: &str, special: &[(&'static str, &str)], body: &str) -> String {
    let common = [("pnsdk", "Acme-Rust/1.0"), ("timestamp", "1700000000"), ("uuid", "rust client~1")];
    let query: Vec<_> = common.iter().chain(special).map(|(name, value)| (*name, (*value).to_owned())).collect();
    signature(&SECRET.into(), &[method, PUBLISH, path, &sorted(&query), body])
}

#[test]
fn a_listing_is_signed_as_the_official_clients_sign_it() {
    let path = format!("{FILES}{}", path(["room 1/a", "files"].iter()));
    assert_eq!(path, format!("{FILES}/room%201%2Fa/files"));
    assert_eq!(signed("GET", &path, &[("limit", "25")], ""), "v2.iHkUYxH1J8GmXxPYl5vqk1r3sAVqAmA-LCj32XFFZJM");
    let more = [("limit", "25"), ("auth", "p0F2AkF0-_Token="), ("next", "1abc-_DEF")];
    assert_eq!(signed("GET", &path, &more, ""), "v2.1ZgPbNmkPkltCadorsd5MIFpcvYWO2Wu3nD8DQOJek0");
}

#[test]
fn the_body_is_signed_byte_for_byte() {
    let path = format!("{FILES}/room%201%2Fa/generate-upload-url");
    for (body, expected) in [
        ("{\"name\": \"h\\u00e9llo world.txt\"}", "v2.WeOQEB3S5hbkkIYpNR7vbrDnNoRe5x6KSH92O4tQsB0"),
        ("{\"name\":\"héllo world.txt\"}", "v2.dAa6H1aU2uJhSh43Ahgz0iSMY9DT6oKzqxjWDIVPFU0"),
    ] {
        assert_eq!(signed("POST", &path, &[], body), expected);
    }
}

#[test]
fn a_message_is_signed_as_a_segment_of_the_path() {
    let payload =
        r#"{"message": {"text": "hi"}, "file": {"id": "d9515cb7-48a7-41a4-9284-f4bf331bc770", "name": "cat.jpg"}}"#;
    let subscribe = "sub-c-aaaabbbb-cccc-dddd-eeee-ffff00001111";
    let path = path(["v1", "files", "publish-file", PUBLISH, subscribe, "0", "room-1", "0", payload].iter());
    let special = [("meta", "null"), ("store", "1"), ("ttl", "24")];
    assert_eq!(signed("GET", &path, &special, ""), "v2.BIyJqNyyza66T09VQnbE8ytVAQEMSuRVuE7F_WNZkQc");
}

#[test]
fn the_test_vector_of_the_official_rust_client_is_signed_the_same() {
    let query =
        [("pnsdk", "PubNub-Rust"), ("store", "1"), ("timestamp", "1679642098"), ("ttl", "10"), ("uuid", "userId")];
    let query: Vec<_> = query.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    let lines = ["GET", "pubKey", "/publish/pubKey/subKey/0/my_channel/0/%22hello%21%22", &sorted(&query), ""];
    assert_eq!(signature(&"secKey".into(), &lines), "v2.AHl5lMpzyT4qcvvlqaszCjTUqU6dPb10a4_XSaYCNIQ");
}

fn keyset(config: &PubNubConfig) -> Keyset {
    Keyset::new(config, "https://ps.example".parse().unwrap())
}

fn config() -> PubNubConfig {
    PubNubConfig::new("pub", "sub", "al ice~1")
}

fn sent(keyset: &Keyset, call: &Call) -> String {
    let url = keyset.url(call, "REQ", "2023-11-14T22:13:20Z".parse().unwrap());
    // If the parser changed the URL, the sent URL would not be the signed one.
    assert_eq!(Url::parse(&url).unwrap().as_str(), url);
    url
}

#[test]
fn every_byte_of_channel_and_name_is_escaped_except_unreserved_characters() {
    let call = keyset(&config()).files(Method::GET, Idempotency::Safe, "a b/c+~", &["files", "ID", "ü#?%&='().txt"]);
    let url = sent(&keyset(&config()), &call);
    assert!(
        url.starts_with(
            "https://ps.example/v1/files/sub/channels/a%20b%2Fc%2B~/files/ID/%C3%BC%23%3F%25%26%3D%27%28%29.txt?"
        ),
        "{url}"
    );
}

#[test]
fn the_query_has_user_client_and_credentials_and_escapes_spaces_as_percent_20() {
    let keyset = keyset(&config().token("tok=").secret_key("sec"));
    let call = keyset.files(Method::GET, Idempotency::Safe, "c", &["files"]).query("next", "1ab+/=");
    let url = sent(&keyset, &call);
    let version = env!("CARGO_PKG_VERSION");
    let (_, query) = url.split_once('?').unwrap();
    let (before, signature) = query.split_once("&signature=v2.").unwrap();
    assert_eq!(
        before,
        format!(
            "next=1ab%2B%2F%3D&uuid=al%20ice%7E1&requestid=REQ&pnsdk=filestore%2F{version}&auth=tok%3D&timestamp=1700000000"
        )
    );
    assert_eq!(signature.len(), 43);
}

#[test]
fn without_a_secret_key_nothing_is_signed() {
    let url = sent(&keyset(&config()), &keyset(&config()).files(Method::GET, Idempotency::Safe, "c", &["files"]));
    assert!(!url.contains("signature") && !url.contains("timestamp") && !url.contains("auth"), "{url}");
}

#[test]
fn a_token_takes_precedence_over_an_auth_key() {
    let mut config = config().token("token");
    config.auth_key = Some("legacy".into());
    let url = sent(&keyset(&config), &keyset(&config).files(Method::GET, Idempotency::Safe, "c", &["files"]));
    assert!(url.contains("auth=token") && !url.contains("legacy"), "{url}");
}

#[test]
fn invalid_channels_are_rejected() {
    let long = "x".repeat(93);
    for bad in ["", ".", "..", "a,b", "a:b", "a*", "a\nb", &long] {
        assert!(check_channel(bad).is_err(), "{bad:?}");
    }
    let longest = "ü".repeat(92);
    for good in ["room-1", "room 1/a", "a.b", "...", "#?%+~", "日本", &longest] {
        assert!(check_channel(good).is_ok(), "{good:?}");
    }
}

/// A gateway removes its path prefix before the service checks the signature.
#[test]
fn the_signature_does_not_cover_the_path_prefix_of_the_base_url() {
    let config = config().secret_key(SECRET);
    let at = |base: &str| {
        let keyset = Keyset::new(&config, filestore_http::base_url(base, "https://ps.example").unwrap());
        sent(&keyset, &keyset.files(Method::GET, Idempotency::Safe, "room", &["files"]))
    };
    let (plain, prefixed) = (at("https://ps.example"), at("https://gateway.example/pub%20nub"));
    assert_eq!(plain.strip_prefix("https://ps.example"), prefixed.strip_prefix("https://gateway.example/pub%20nub"));
    assert!(prefixed.contains("/pub%20nub/v1/files/sub/channels/room/files?"), "{prefixed}");
}
