//! Downloads: the presigned URL and its expiry, concurrent ranges, broken connections, and unexpected content.

use std::time::Duration;

use filestore_core::{Download, Effect, Error, ErrorKind, FileStore, UrlKind, UrlRequest};
use filestore_http::testing::{Reply, ScriptedServer};
use futures::TryStreamExt;
use serde_json::json;
use wiremock::ResponseTemplate;

use super::site::{FaultAction, Site, expired, xml};
use super::{API_KEY, folder, kind_and_effect, not_found, open, reference, rejection};
use crate::{FilesComConfig, FilesComStore, Verify};

const CONTENT: &[u8] = b"The quick brown fox jumps over the lazy dog.";

async fn read(store: &FilesComStore, request: impl Into<Download>) -> Result<Vec<u8>, Error> {
    let bytes = store.download(request.into()).await?.bytes(1 << 30).await?;
    Ok(bytes.to_vec())
}

async fn site() -> Site {
    let site = Site::with_parts_of(100).await;
    site.put("in/a.txt", CONTENT);
    site.state().digests = true;
    site
}

/// Content that is large enough for concurrent ranges.
fn large() -> Vec<u8> {
    (0..10 << 20).map(|at: u32| (at / 251) as u8).collect()
}

#[tokio::test]
async fn a_download_is_two_requests_and_only_the_first_has_the_credential() {
    let site = site().await;
    let response = site.store().download(reference("in/a.txt").into()).await.unwrap();
    assert_eq!(
        (response.file.size, response.file.name.as_str(), response.stream.length()),
        (Some(44), "a.txt", Some(44))
    );
    assert_eq!(response.bytes(100).await.unwrap(), CONTENT);
    assert_eq!(site.log(), ["GET files/in/a.txt", "GET /storage/down/in/a.txt"]);
    let requests = site.requests().await;
    assert!(!requests[1].headers.contains_key("range"));
    assert_eq!(requests[1].headers["accept-encoding"], "identity");
}

#[tokio::test]
async fn a_range_has_exactly_the_requested_bytes() {
    let site = site().await;
    let response = site.store().download(Download::from(reference("in/a.txt")).range(4..9)).await.unwrap();
    assert_eq!(response.range, Some(4..9));
    assert_eq!(response.bytes(100).await.unwrap(), "quick");
    assert_eq!(read(&site.store(), Download::from(reference("in/a.txt")).range(40..)).await.unwrap(), b"dog.");
    let beyond = read(&site.store(), Download::from(reference("in/a.txt")).range(44..)).await.unwrap_err();
    assert_eq!(kind_and_effect(&beyond), (ErrorKind::RangeNotSatisfiable, Effect::Rejected));
}

/// Returns a store whose first response of the storage takes one second: a single connection is slow.
fn slow(site: &Site) -> FilesComStore {
    let (store, clock) = site.open(|config| config);
    site.fault("GET /storage", FaultAction::ChangeThenServe(Box::new(move |_| clock.advance(Duration::from_secs(1)))));
    store
}

async fn ranges(site: &Site) -> Vec<String> {
    let requests = site.requests().await;
    let ranges = requests.iter().filter_map(|request| request.headers.get("range")?.to_str().ok());
    ranges.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_large_file_over_a_slow_connection_is_read_by_concurrent_ranges_in_order() {
    let site = site().await;
    site.put("big", large());
    assert!(read(&slow(&site), reference("big")).await.unwrap() == large());
    let mut requested = ranges(&site).await;
    requested.sort_unstable();
    assert_eq!(
        requested,
        ["bytes=0-4194303", "bytes=4194304-6291455", "bytes=6291456-8388607", "bytes=8388608-10485759"]
    );
    assert_eq!(site.count("GET files/"), 1);
    // A large range, too.
    let request = Download::from(reference("big")).range(5..10_000_000);
    assert!(read(&slow(&site), request).await.unwrap() == large()[5..10_000_000]);
}

#[tokio::test]
async fn a_large_file_over_a_fast_connection_is_read_by_one_request_after_the_first_range() {
    let site = site().await;
    site.put("big", large());
    assert!(read(&site.store(), reference("big")).await.unwrap() == large());
    assert_eq!(ranges(&site).await, ["bytes=0-4194303", "bytes=4194304-10485759"]);
}

#[tokio::test]
async fn without_ranges_or_etags_a_large_file_is_read_with_one_request() {
    let site = site().await;
    site.put("big", large());
    site.state().storage_etag = None;
    assert!(read(&site.store(), reference("big")).await.unwrap() == large());
    assert_eq!(site.count("GET /storage"), 2);

    site.fault("GET /storage", FaultAction::Respond(ResponseTemplate::new(200).set_body_bytes(large())));
    assert!(read(&site.store(), reference("big")).await.unwrap() == large());
    assert_eq!(site.count("GET /storage"), 3);
}

#[tokio::test]
async fn an_expired_presigned_url_is_refreshed() {
    let site = site().await;
    site.fault("GET /storage", FaultAction::Respond(expired()));
    assert_eq!(read(&site.store(), reference("in/a.txt")).await.unwrap(), CONTENT);
    assert_eq!(site.count("GET files/"), 2);
    // In the middle of a large file, once for all ranges.
    site.put("big", large());
    let store = slow(&site);
    site.faults(2, "GET /storage", FaultAction::Respond(expired()));
    assert!(read(&store, reference("big")).await.unwrap() == large());
    assert_eq!(site.count("GET files/"), 4);
}

#[tokio::test]
async fn a_presigned_url_that_is_about_to_expire_is_refreshed_before_it_is_used() {
    let site = site().await;
    let (store, clock) = site.open(|config| config);
    site.put("big", large());
    site.fault("GET /storage", FaultAction::ChangeThenServe(Box::new(move |_| clock.advance(Duration::from_secs(59)))));
    assert!(read(&store, reference("big")).await.unwrap() == large());
    // Once for all ranges.
    assert_eq!((site.count("GET files/"), site.count("GET /storage")), (2, 4));
}

#[tokio::test]
async fn a_file_that_is_replaced_during_a_download_is_an_error_and_never_a_mixture() {
    let site = site().await;
    site.put("big", large());
    let replaced = |content: Vec<u8>| {
        FaultAction::ChangeThenServe(Box::new(move |state: &mut super::site::State| {
            state.replace("big", content.clone());
        }))
    };
    // The storage serves the new file, which has another ETag.
    let store = slow(&site);
    site.fault("GET /storage", replaced(vec![0; 10 << 20]));
    let error = read(&store, reference("big")).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Integrity, Effect::Rejected));
    assert!(error.to_string().contains("changed while it was read"), "{error}");
    // The presigned URL has expired, and the fresh one is of the new file.
    site.put("big", large());
    site.fault("GET /storage", FaultAction::ChangeThenServe(Box::new(|_| ())));
    site.fault("GET files/", FaultAction::ChangeThenServe(Box::new(|_| ())));
    site.fault("GET files/", replaced(vec![0; 10 << 20]));
    site.fault("GET /storage", FaultAction::Respond(expired()));
    let error = read(&site.store(), reference("big")).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Integrity, Effect::Rejected));
    // A proxy reports the change itself.
    let body = json!({"type": "download_source_changed", "http_code": 409, "error": "changed"});
    site.fault("GET /storage", FaultAction::Respond(ResponseTemplate::new(409).set_body_json(body)));
    let error = read(&site.store(), reference("in/a.txt")).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Integrity, Effect::Rejected));
}

#[tokio::test]
async fn content_with_another_digest_than_the_services_is_an_error_at_its_end() {
    let site = site().await;
    let other = b"The quick brown fox jumps over the lazy cat.";
    for verify in [Verify::Etag, Verify::Crc32] {
        site.fault("GET /storage", FaultAction::Respond(ResponseTemplate::new(200).set_body_bytes(other)));
        let store = site.open(|config| config.verify(verify)).0;
        let mut stream = store.download(reference("in/a.txt").into()).await.unwrap().stream;
        assert_eq!(stream.try_next().await.unwrap().unwrap().as_ref(), other);
        assert_eq!(stream.try_next().await.unwrap_err().kind(), ErrorKind::Integrity);
    }
    site.fault("GET /storage", FaultAction::Respond(ResponseTemplate::new(200).set_body_bytes(other)));
    let store = site.open(|config| config.verify(Verify::None)).0;
    assert_eq!(read(&store, reference("in/a.txt")).await.unwrap(), other);
}

#[tokio::test]
async fn a_crc32_without_leading_zeros_and_an_md5_alone_are_compared() {
    let content = "file 67904";
    assert_eq!(crc32fast::hash(content.as_bytes()), 0x6959);
    for (crc32, md5, good) in [
        (json!("6959"), json!(null), true),
        (json!("6950"), json!(null), false),
        (json!(null), json!("de601033b28add424567828b34c4a756"), true),
        (json!(null), json!("77963b7a931377ad4ab5ad6a9cd718ab"), false),
    ] {
        let site = site().await;
        let uri = format!("{}/storage/down/in/a.txt", site.url());
        let entry =
            json!({"path": "in/a.txt", "type": "file", "size": 10, "crc32": crc32, "md5": md5, "download_uri": uri});
        site.fault("GET files/", FaultAction::Respond(ResponseTemplate::new(200).set_body_json(entry)));
        site.fault("GET /storage", FaultAction::Respond(ResponseTemplate::new(200).set_body_bytes(content)));
        assert_eq!(read(&site.store(), reference("in/a.txt")).await.is_ok(), good, "{crc32} {md5}");
    }
}

#[tokio::test]
async fn with_crc32_a_download_waits_for_a_missing_digest() {
    let site = site().await;
    site.state().digests = false;
    site.fault("GET file_actions/metadata", FaultAction::ChangeThenServe(Box::new(|_| ())));
    site.fault("GET file_actions/metadata", FaultAction::ChangeThenServe(Box::new(|state| state.digests = true)));
    let store = site.open(|config| config.verify(Verify::Crc32)).0;
    assert_eq!(read(&store, reference("in/a.txt")).await.unwrap(), CONTENT);
    assert_eq!(site.count("GET file_actions/metadata"), 2);
    // Without `Verify::Crc32`, a missing digest is not waited for.
    site.state().digests = false;
    assert_eq!(read(&site.store(), reference("in/a.txt")).await.unwrap(), CONTENT);
    let error = read(&store, reference("in/a.txt")).await.unwrap_err();
    assert!(error.to_string().contains("no CRC-32"), "{error}");
}

#[tokio::test]
async fn a_web_page_or_another_length_is_never_the_file() {
    let site = site().await;
    let page = "<html>0123456789012345678901234567890123456</html>";
    for wrong in [
        ResponseTemplate::new(200).set_body_raw(page, "text/html; charset=utf-8"),
        ResponseTemplate::new(200).insert_header("x-files-frontend-app", "1").set_body_bytes(CONTENT),
        ResponseTemplate::new(206).set_body_bytes(CONTENT),
        ResponseTemplate::new(204),
    ] {
        site.fault("GET /storage", FaultAction::Respond(wrong));
        let error = read(&site.store(), reference("in/a.txt")).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Rejected));
    }
    site.fault("GET /storage", FaultAction::Respond(ResponseTemplate::new(200).set_body_bytes(&CONTENT[1..])));
    assert_eq!(read(&site.store(), reference("in/a.txt")).await.unwrap_err().kind(), ErrorKind::Integrity);
    site.fault("GET /storage", FaultAction::Respond(xml(404, "NoSuchKey", "gone")));
    let error = read(&site.store(), reference("in/a.txt")).await.unwrap_err();
    assert_eq!((error.kind(), error.provider_code()), (ErrorKind::NotFound, Some("NoSuchKey")));
}

#[tokio::test]
async fn the_whole_file_in_response_to_a_range_is_a_protocol_error() {
    let site = site().await;
    site.put("big", large());
    let store = slow(&site);
    site.fault(
        "GET /storage",
        FaultAction::Respond(ResponseTemplate::new(200).insert_header("etag", "\"v2-1\"").set_body_bytes(large())),
    );
    let error = read(&store, reference("big")).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Rejected));
}

#[tokio::test]
async fn a_folder_is_invalid_input_and_a_missing_file_is_not_found() {
    let site = site().await;
    site.fault("GET files/", FaultAction::Respond(rejection(422, "bad-request/cannot-download-directory")));
    let error = read(&site.store(), reference("in")).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::InvalidInput, Effect::Rejected));
    site.fault("GET files/", FaultAction::Respond(ResponseTemplate::new(200).set_body_json(folder("in"))));
    let error = read(&site.store(), reference("in")).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::InvalidInput, Effect::Rejected));
    site.fault("GET files/", FaultAction::Respond(not_found()));
    let error = read(&site.store(), reference("none")).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::NotFound, Effect::Rejected));
}

/// Downloads from a server whose script begins with the metadata of a file of ten bytes; `None` sends them again.
async fn scripted(extra: &str, replies: Vec<Option<Reply>>) -> (Result<Vec<u8>, Error>, ScriptedServer) {
    let script = |url: &url::Url| {
        let entry = format!(
            r#"{{"path":"a","type":"file","size":10,"mtime":"2026-03-01T10:00:00Z"{extra},"download_uri":"{url}content"}}"#
        );
        let replies = std::iter::once(None).chain(replies);
        replies.map(|reply| reply.unwrap_or_else(|| Reply::json(200, &entry))).collect::<Vec<_>>()
    };
    let server = ScriptedServer::start_with(script).await;
    let (store, _) = open(FilesComConfig::new(server.url()).api_key(API_KEY));
    (read(&store, reference("a")).await, server)
}

#[tokio::test]
async fn a_broken_download_resumes_where_it_stopped() {
    let etag = "ETag: \"v1\"";
    let (bytes, server) = scripted(
        "",
        vec![
            Some(Reply::cut(200, &[etag], 10, "0123")),
            Some(Reply::cut(206, &[etag, "Content-Range: bytes 4-9/10"], 6, "45")),
            Some(Reply::with_status(206, &[etag, "Content-Range: bytes 6-9/10"], "6789")),
        ],
    )
    .await;
    assert_eq!(bytes.unwrap(), b"0123456789");
    let ranges: Vec<_> = server.requests().iter().map(|request| request.header("range").map(str::to_owned)).collect();
    assert_eq!(ranges, [None, None, Some("bytes=4-9".to_owned()), Some("bytes=6-9".to_owned())]);
}

#[tokio::test]
async fn without_a_validator_a_digest_of_the_service_proves_the_file_and_without_both_nothing_does() {
    let digest = format!(r#","crc32":"{:x}""#, crc32fast::hash(b"0123456789"));
    let rest = || Some(Reply::with_status(206, &["Content-Range: bytes 4-9/10"], "456789"));
    let (bytes, _) = scripted(&digest, vec![Some(Reply::cut(200, &[], 10, "0123")), None, rest()]).await;
    assert_eq!(bytes.unwrap(), b"0123456789");
    let (bytes, server) = scripted("", vec![Some(Reply::cut(200, &[], 10, "0123")), rest()]).await;
    assert_eq!(bytes.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn a_digest_that_is_missing_after_a_break_means_another_file() {
    // A file of the same size and second that was just stored, so it has no digest yet.
    let replaced = r#"{"path":"a","type":"file","size":10,"mtime":"2026-03-01T10:00:00Z","download_uri":"http://x/"}"#;
    let replies = vec![Some(Reply::cut(200, &[], 10, "0123")), Some(Reply::json(200, replaced))];
    let (bytes, server) = scripted(r#","crc32":"1a2b3c""#, replies).await;
    assert_eq!(kind_and_effect(&bytes.unwrap_err()), (ErrorKind::Integrity, Effect::Rejected));
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn with_crc32_a_blank_digest_is_missing() {
    let entry =
        |crc32: &str| json!({"path": "a", "type": "file", "size": 10, "crc32": crc32, "download_uri": "http://x/"});
    let (site, content) = (site().await, "0123456789");
    let store = site.open(|config| config.verify(Verify::Crc32)).0;
    for (later, good) in [(format!("{:x}", crc32fast::hash(content.as_bytes())), true), ("1".to_owned(), false)] {
        let mut first = entry("");
        first["download_uri"] = json!(format!("{}/storage/down/a", site.url()));
        site.fault("GET files/", FaultAction::Respond(ResponseTemplate::new(200).set_body_json(first)));
        site.fault("GET /storage", FaultAction::Respond(ResponseTemplate::new(200).set_body_bytes(content)));
        site.fault("GET file_actions", FaultAction::Respond(ResponseTemplate::new(200).set_body_json(entry(&later))));
        assert_eq!(read(&store, reference("a")).await.is_ok(), good, "{later}");
    }
}

#[tokio::test]
async fn a_url_may_have_the_longest_lifetime() {
    let site = site().await;
    let uri = format!("{}/s?X-Amz-Date=20260301T100000Z&X-Amz-Expires={}&X-Amz-Signature=x", site.url(), u64::MAX);
    let entry = json!({"path": "a", "type": "file", "size": 10, "download_uri": uri});
    site.fault("GET files/", FaultAction::Respond(ResponseTemplate::new(200).set_body_json(entry)));
    let request = UrlRequest::from(reference("a")).lifetime(Duration::from_secs(10));
    assert_eq!(site.store().url(request).await.unwrap().as_str(), uri);
}

#[tokio::test]
async fn a_presigned_url_is_valid_for_one_minute_and_has_its_expiry() {
    let site = site().await;
    let request = UrlRequest::from(reference("in/a.txt")).lifetime(Duration::from_secs(60));
    let url = site.store().url(request).await.unwrap();
    assert_eq!((url.kind(), url.expires()), (UrlKind::Signed, Some("2026-03-01T10:01:00Z".parse().unwrap())));
    assert!(url.as_str().contains("/storage/down/in/a.txt?X-Amz-Date="));
    let request = UrlRequest::from(reference("in/a.txt")).lifetime(Duration::from_secs(61));
    let error = site.store().url(request).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Unsupported, Effect::NotSent));
    assert!(error.to_string().contains("valid for 60 s; create a share link (a bundle)"), "{error}");
}

#[tokio::test]
async fn a_url_that_was_signed_earlier_is_valid_for_what_is_left() {
    let site = site().await;
    site.state().date = "Sun, 01 Mar 2026 10:00:30 GMT";
    let store = site.store();
    let url = |seconds| store.url(UrlRequest::from(reference("in/a.txt")).lifetime(Duration::from_secs(seconds)));
    let error = url(50).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Unsupported, Effect::Rejected));
    assert!(error.to_string().contains("valid for 30 s"), "{error}");
    url(30).await.unwrap();
    site.state().date = "Sun, 01 Mar 2026 11:00:00 GMT";
    assert_eq!(url(30).await.unwrap_err().kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn a_web_page_is_not_the_file_although_its_size_and_type_are_unknown() {
    let site = Site::with_parts_of(100).await;
    let page = ResponseTemplate::new(200).set_body_raw("<html>Sign in</html>", "text/html");
    site.put("a.txt", b"content");
    let entry = |path: &str| json!({"path": path, "type": "file", "download_uri": format!("{}/storage/x", site.url().trim_end_matches('/'))});
    site.fault("GET files/", FaultAction::Respond(ResponseTemplate::new(200).set_body_json(entry("a.txt"))));
    site.fault("GET /storage", FaultAction::Respond(page));
    let error = site.store().download(reference("a.txt").into()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Rejected), "{error}");
}
