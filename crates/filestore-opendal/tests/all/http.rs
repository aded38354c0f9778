//! S3 and WebDAV over HTTP, one rule per test.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use filestore_core::{Body, Delete, Effect, ErrorKind, Feature, IfExists, List, PageToken, Store, Upload};
use filestore_opendal::OpendalStore;
use futures::TryStreamExt;
use opendal::Operator;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::stub::s3::{self, S3};
use crate::stub::webdav::Webdav;
use crate::stub::{Action, Protocol, Received, Reply, Stub};
use crate::{open, reference, try_open};

/// A service whose response depends only on the request.
struct Always(Box<dyn Fn(&Received) -> Reply + Send>);

impl Protocol for Always {
    fn serve(&mut self, request: &Received) -> Reply {
        (self.0)(request)
    }

    fn error(&self, status: u16, _: &Received) -> Reply {
        Reply::new(status)
    }

    fn files(&self) -> std::collections::BTreeMap<String, Vec<u8>> {
        std::collections::BTreeMap::new()
    }
}

async fn always(reply: impl Fn(&Received) -> Reply + Send + 'static) -> Stub<Always> {
    Stub::start(Always(Box::new(reply))).await
}

#[tokio::test]
async fn without_credentials_nothing_is_sent_and_the_options_are_named() {
    let stub = Stub::start(S3::default()).await;
    let keys =
        [("options.access_key_id", ""), ("options.secret_access_key", ""), ("options.disable_ec2_metadata", "true")];
    let store = open("s3", &stub.url, &keys);
    let error = store.upload(Upload::new("a", "x")).await.unwrap_err();
    assert_eq!((error.kind(), error.effect(), error.attempts()), (ErrorKind::Config, Effect::NotSent, 1), "{error}");
    for option in ["access_key_id", "secret_access_key", "skip_signature"] {
        assert!(error.to_string().contains(option), "{error}");
    }
    assert!(stub.received().is_empty());
}

#[test]
fn half_a_pair_of_keys_is_a_configuration_error() {
    let error = try_open("s3", "http://127.0.0.1:9", &[("options.secret_access_key", "")]).unwrap_err();
    assert!(
        error.kind() == ErrorKind::Config && error.to_string().contains("\"secret_access_key\" is missing"),
        "{error}"
    );
    let error = try_open("webdav", "http://127.0.0.1:9", &[("options.username", "")]).unwrap_err();
    assert!(error.kind() == ErrorKind::Config && error.to_string().contains("\"username\" is missing"), "{error}");
}

#[tokio::test]
async fn a_wrong_region_is_one_attempt_and_the_error_names_the_right_one() {
    let stub = always(|request| {
        let text = "the region 'us-east-1' is wrong; expecting 'eu-west-1'";
        let Reply { body, .. } = s3::failure(400, "AuthorizationHeaderMalformed", text, request);
        let body = String::from_utf8(body).unwrap().replace("<RequestId>", "<Region>eu-west-1</Region><RequestId>");
        Reply::new(400).header("content-type", "application/xml").body(body)
    })
    .await;
    let store = open("s3", &stub.url, &[]);
    let error = store.upload(Upload::new("a", "x")).await.unwrap_err();
    assert_eq!((error.kind(), error.effect(), error.attempts()), (ErrorKind::Config, Effect::Rejected, 1), "{error}");
    assert_eq!((error.http_status(), error.provider_code()), (Some(400), Some("AuthorizationHeaderMalformed")));
    assert_eq!(error.request_id(), Some("R1"));
    assert!(error.to_string().contains("region \"eu-west-1\""), "{error}");
    assert_eq!(stub.received().len(), 1);
}

#[tokio::test]
async fn a_permanent_failure_is_one_attempt_and_the_error_has_the_code_of_the_service() {
    use ErrorKind::{Config, InvalidInput, Unauthenticated};
    for (status, kind, code) in [
        (301, Config, "PermanentRedirect"),
        (400, InvalidInput, "InvalidRequest"),
        (403, Unauthenticated, "SignatureDoesNotMatch"),
        (501, Config, "NotImplemented"),
    ] {
        let stub = Stub::scripted(S3::default(), |_| true, [], Action::Respond { status, applied: false }).await;
        let error = open("s3", &stub.url, &[]).upload(Upload::new("a", "x")).await.unwrap_err();
        assert_eq!((error.kind(), error.effect(), error.attempts()), (kind, Effect::Rejected, 1), "{error}");
        assert_eq!(error.provider_code(), Some(code));
        assert!(error.to_string().contains(code) && !error.to_string().contains("S3Error"), "{error}");
        assert_eq!(stub.received().len(), 1, "{code}");
    }
    let stub = Stub::scripted(Webdav::default(), |_| true, [], Action::Respond { status: 401, applied: false }).await;
    let error = open("webdav", &stub.url, &[]).upload(Upload::new("a", "x")).await.unwrap_err();
    assert_eq!((error.kind(), error.effect(), error.attempts()), (Unauthenticated, Effect::Rejected, 1), "{error}");
    assert_eq!((error.http_status(), stub.received().len()), (Some(401), 1));
}

#[tokio::test]
async fn every_operation_reports_a_missing_bucket() {
    let stub = Stub::start(S3::default()).await;
    let keys = [("options.bucket", "other")];
    let file = reference("s:s3:a");
    let store = || open("s3", &stub.url, &keys);
    let errors = [
        store().upload(Upload::new("a", "x")).await.unwrap_err(),
        store().delete(&file).await.unwrap_err(),
        store().list(List::new()).await.unwrap_err(),
        store().list(List::new().recursive(true)).await.unwrap_err(),
        store().stat(&file).await.unwrap_err(),
        store().read(&file, 9).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::NotFound, 1), "{error}");
        assert!(error.to_string().contains("no bucket"), "{error}");
    }
    let there = open("s3", &stub.url, &[]);
    there.delete(&file).await.unwrap();
    assert!(!there.stat(&file).await.unwrap_err().to_string().contains("bucket\""));
}

#[tokio::test]
async fn a_file_is_not_replaced_on_servers_that_ignore_the_condition() {
    let mut protocol = S3::with(&[("a", "old")]);
    protocol.ignores_conditions = true;
    let stub = Stub::start(protocol).await;
    let store = open("s3", &stub.url, &[]);
    let error = store.upload(Upload::new("a", "new").if_exists(IfExists::Fail)).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::AlreadyExists, Effect::Rejected), "{error}");
    assert_eq!(stub.files()["a"], b"old");
    store.upload(Upload::new("b", "new").if_exists(IfExists::Fail)).await.unwrap();
    let write = stub.received().into_iter().rfind(|request| request.method == "PUT").unwrap();
    assert_eq!(write.header("if-none-match"), Some("*"));
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_the_error_names_its_origin() {
    for service in ["s3", "webdav"] {
        let other = always(|_| Reply::new(200).header("etag", "\"1\"").body("other bytes")).await;
        let target = format!("{}/elsewhere?token=hunter2", other.url);
        let redirect = move |_: &Received| Reply::new(307).header("location", target.clone());
        let stub = always(redirect).await;
        let error = open(service, &stub.url, &[]).read(&reference(&format!("s:{service}:a")), 99).await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Config, 1), "{error}");
        assert!(error.to_string().contains(&other.url) && !error.to_string().contains("hunter2"), "{error}");
        assert!(other.received().is_empty());
    }
}

#[tokio::test]
async fn a_page_with_status_404_in_place_of_s3_is_no_missing_file() {
    // A response to HEAD has no body, and some servers of S3 give it the media type of a page.
    let proxy = always(|request| match request.method.as_str() {
        "HEAD" => Reply::new(404).header("content-type", "text/html"),
        _ => Reply::page(404),
    })
    .await;
    let store = open("s3", &proxy.url, &[]);
    let file = reference("s:s3:a");
    assert_eq!(store.stat(&file).await.unwrap_err().kind(), ErrorKind::NotFound);
    let errors = [
        store.upload(Upload::new("a", "x")).await.unwrap_err(),
        store.delete(&file).await.unwrap_err(),
        store.list(List::new()).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Protocol, Effect::Rejected), "{error}");
        assert!(error.to_string().contains("something other than the service responded"), "{error}");
    }
}

#[tokio::test]
async fn a_folder_that_redirects_to_its_url_with_a_slash_is_a_folder() {
    let mut protocol = Webdav::with(&[("d/a", "x")]);
    protocol.redirects_folders = true;
    let stub = Stub::start(protocol).await;
    let store = open("webdav", &stub.url, &[]);
    let error = store.upload(Upload::new("d", "x")).await.unwrap_err();
    assert!(error.to_string().contains("there is a folder of that name"), "{error}");
    store.delete(Delete::from(&reference("s:webdav:d")).recursive(true)).await.unwrap();
    assert!(stub.files().is_empty());
}

#[tokio::test]
async fn a_missing_folder_is_not_found_and_a_missing_root_is_empty() {
    let stub = Stub::start(Webdav::default()).await;
    let store = open("webdav", &stub.url, &[("root", "later")]);
    assert_eq!(store.list(List::new().scope("d")).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(store.list(List::new().scope("d").recursive(true)).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(store.list(List::new()).await.unwrap().files.len(), 0);
}

#[tokio::test]
async fn a_404_is_trusted_only_if_the_root_of_the_server_is_a_webdav_folder() {
    let site = always(|_| Reply { status: 404, ..Reply::page(404) }).await;
    let store = open("webdav", &site.url, &[]);
    let file = reference("s:webdav:a");
    let folder = || Delete::from(&file).recursive(true);
    let errors = [
        store.delete(&file).await.unwrap_err(),
        store.delete(folder()).await.unwrap_err(),
        store.list(List::new()).await.unwrap_err(),
        store.list(List::new().scope("d")).await.unwrap_err(),
        store.stat(&file).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!((error.kind(), error.effect(), error.attempts()), (ErrorKind::Protocol, Effect::Rejected, 1));
        assert!(error.to_string().contains("something other than the service responded"), "{error}");
    }

    // Web servers with WebDAV send a page with a 404, too. The root is checked once.
    let stub = Stub::start(Webdav::default()).await;
    let store = open("webdav", &stub.url, &[]);
    for _ in 0..2 {
        store.delete(&file).await.unwrap();
        assert_eq!(store.stat(&file).await.unwrap_err().kind(), ErrorKind::NotFound);
    }
    let probes = stub.received().iter().filter(|request| request.path == "/").count();
    assert_eq!(probes, 1);
}

#[tokio::test]
async fn the_checked_root_is_below_the_endpoint_and_the_check_has_the_credentials() {
    let stub = Stub::start(Webdav::with(&[("dav/%C3%BC%201/a", "x")])).await;
    let store = open("webdav", &format!("{}/dav", stub.url), &[("root", "ü 1")]);
    assert_eq!(store.stat(&reference("s:webdav:b")).await.unwrap_err().kind(), ErrorKind::NotFound);
    let question = stub.received().pop().unwrap();
    assert_eq!((question.method.as_str(), question.header("depth")), ("PROPFIND", Some("0")));
    assert_eq!(question.path, "/dav/%C3%BC%201/");
    assert!(question.header("authorization").is_some());
}

#[tokio::test]
async fn an_empty_multistatus_is_not_from_a_webdav_server() {
    let stub = always(|_| Reply::new(207).xml("<D:multistatus xmlns:D=\"DAV:\"/>")).await;
    let store = open("webdav", &stub.url, &[]);
    let file = reference("s:webdav:a");
    let errors = [
        store.stat(&file).await.unwrap_err(),
        store.list(List::new()).await.unwrap_err(),
        store.delete(&file).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Protocol, Effect::Rejected), "{error}");
    }
}

#[tokio::test]
async fn a_web_page_in_response_to_an_upload_is_a_protocol_error() {
    for service in ["s3", "webdav"] {
        let is_put = |request: &Received| request.method == "PUT";
        let error = match service {
            "s3" => {
                let stub = Stub::scripted(S3::default(), is_put, [Action::Page], Action::Serve).await;
                open(service, &stub.url, &[]).upload(Upload::new("a", "x")).await.unwrap_err()
            }
            _ => {
                let stub = Stub::scripted(Webdav::default(), is_put, [Action::Page], Action::Serve).await;
                open(service, &stub.url, &[]).upload(Upload::new("a", "x")).await.unwrap_err()
            }
        };
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
        assert!(error.to_string().contains("something other than the service responded"), "{error}");
    }
}

#[tokio::test]
async fn an_upload_that_arrives_truncated_stores_nothing() {
    let mut protocol = Webdav::with(&[("a", "old")]);
    protocol.truncates = true;
    let stub = Stub::start(protocol).await;
    let error = open("webdav", &stub.url, &[]).upload(Upload::new("a", "new content")).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Integrity, Effect::Rejected), "{error}");
    assert!(error.to_string().contains("11 bytes were sent, and the service holds 5"), "{error}");
    assert_eq!(stub.files(), [("a".to_owned(), b"old".to_vec())].into());
}

#[tokio::test]
async fn a_file_that_is_stored_during_the_upload_is_not_replaced_on_webdav() {
    let rival = || {
        let mut protocol = Webdav::default();
        protocol.rival = Some("a".to_owned());
        protocol
    };
    let stub = Stub::start(rival()).await;
    let store = open("webdav", &stub.url, &[]);
    let error = store.upload(Upload::new("a", "mine").if_exists(IfExists::Fail)).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::AlreadyExists, Effect::Rejected), "{error}");
    assert_eq!(stub.files(), [("a".to_owned(), b"other".to_vec())].into());

    let stub = Stub::start(rival()).await;
    open("webdav", &stub.url, &[]).upload(Upload::new("a", "mine")).await.unwrap();
    assert_eq!(stub.files()["a"], b"mine");
}

fn is_move(request: &Received) -> bool {
    request.method == "MOVE"
}

#[tokio::test]
async fn a_completed_move_whose_response_was_lost_is_a_success() {
    for first in [Action::Lose { applied: true }, Action::Respond { status: 503, applied: true }] {
        for before in [&[][..], &[("a", "old content")]] {
            let stub = Stub::scripted(Webdav::with(before), is_move, [first], Action::Serve).await;
            let store = open("webdav", &stub.url, &[]);
            store.upload(Upload::new("a", "new content")).await.unwrap();
            assert_eq!(stub.files(), [("a".to_owned(), b"new content".to_vec())].into());
        }
    }
}

#[tokio::test]
async fn a_move_that_cannot_be_proven_is_unknown() {
    // After the lost response, the server reports that the temporary file and the file do not exist.
    let script = [Action::Lose { applied: false }];
    let stub =
        Stub::scripted(Webdav::default(), is_move, script, Action::Respond { status: 404, applied: false }).await;
    let error = open("webdav", &stub.url, &[]).upload(Upload::new("a", "x")).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::Unknown), "{error}");
    assert!(error.to_string().contains("the file may be stored"), "{error}");
}

#[tokio::test]
async fn an_earlier_file_does_not_prove_a_move() {
    let mut protocol = Webdav::with(&[("a", "old content")]);
    protocol.loses_moved = true;
    let stub = Stub::scripted(protocol, is_move, [Action::Lose { applied: true }], Action::Serve).await;
    let error = open("webdav", &stub.url, &[]).upload(Upload::new("a", "new content")).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::Unknown), "{error}");
    assert_eq!(stub.files()["a"], b"old content");
}

#[tokio::test]
async fn an_upload_to_a_server_without_space_is_not_retried() {
    for method in ["PUT", "MOVE"] {
        let full = Action::Respond { status: 507, applied: false };
        let arm = move |request: &Received| request.method == method;
        let stub = Stub::scripted(Webdav::default(), arm, [full], Action::Serve).await;
        let error = open("webdav", &stub.url, &[]).upload(Upload::new("a", "x")).await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Quota, 1), "{error}");
        assert_eq!(stub.methods().iter().filter(|sent| *sent == method).count(), 1);
        assert!(stub.files().is_empty());
    }
}

fn is_complete(request: &Received) -> bool {
    request.method == "POST" && request.parameter("uploadId").is_some()
}

#[tokio::test]
async fn a_completed_multipart_upload_whose_response_was_lost_is_a_success() {
    for first in [Action::Lose { applied: true }, Action::Respond { status: 503, applied: true }] {
        let stub = Stub::scripted(S3::default(), is_complete, [first], Action::Serve).await;
        let file = open("s3", &stub.url, &[]).upload(Upload::new("a", vec![7; 9 << 20])).await.unwrap();
        assert_eq!((file.size, stub.files()["a"].len()), (Some(9 << 20), 9 << 20));
    }
}

#[tokio::test]
async fn a_completion_that_cannot_be_proven_is_unknown() {
    // A file of another client with the same size, in one part or in as many parts.
    for in_parts in [false, true] {
        let mut protocol = S3::with(&[("a", &"x".repeat(9 << 20))]);
        if in_parts {
            protocol.store_in_parts("a", 2);
        }
        protocol.forgets_uploads = true;
        let stub = Stub::scripted(protocol, is_complete, [Action::Lose { applied: false }], Action::Serve).await;
        let error = open("s3", &stub.url, &[]).upload(Upload::new("a", vec![7; 9 << 20])).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Conflict, Effect::Unknown), "{error}");
        assert!(error.to_string().contains("an earlier attempt may have completed the upload"), "{error}");
        assert!(!error.to_string().contains("another client"), "{error}");
    }
}

const ENCRYPTED: [(&str, &str); 1] = [("options.server_side_encryption", "AES256")];

#[tokio::test]
async fn a_file_whose_encryption_is_not_confirmed_is_removed_again() {
    for size in [1, 9 << 20] {
        let stub = Stub::start(S3::default()).await;
        let upload = Upload::new("a", vec![7; size]).if_exists(IfExists::Fail);
        let error = open("s3", &stub.url, &ENCRYPTED).upload(upload).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Unsupported, Effect::Rejected), "{error}");
        assert!(error.to_string().contains("server_side_encryption"), "{error}");
        assert!(stub.files().is_empty());
        // Of a large file, no content was sent.
        assert!(!stub.received().iter().any(|request| request.parameter("partNumber").is_some()));
        assert_eq!(stub.methods().last().map(String::as_str), Some("DELETE"));

        let mut protocol = S3::default();
        protocol.encrypts = true;
        let stub = Stub::start(protocol).await;
        open("s3", &stub.url, &ENCRYPTED).upload(Upload::new("a", vec![7; size])).await.unwrap();
        assert_eq!(stub.files()["a"].len(), size);
    }
}

#[tokio::test]
async fn a_file_that_is_not_encrypted_is_removed_with_its_version() {
    let mut protocol = S3::default();
    protocol.versions = true;
    let stub = Stub::start(protocol).await;
    let error = open("s3", &stub.url, &ENCRYPTED).upload(Upload::new("a", "x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    let removal = stub.received().pop().unwrap();
    assert_eq!((removal.method.as_str(), removal.parameter("versionId").as_deref()), ("DELETE", Some("v1")));
}

#[tokio::test]
async fn a_file_that_is_not_encrypted_and_cannot_be_removed_is_incomplete() {
    let denied = Action::Respond { status: 403, applied: false };
    let stub = Stub::scripted(S3::default(), |request| request.method == "DELETE", [], denied).await;
    let error = open("s3", &stub.url, &ENCRYPTED).upload(Upload::new("a", "x")).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Incomplete, Effect::Applied), "{error}");
    assert_eq!(error.stored().unwrap().name, "a");
    assert_eq!(stub.files()["a"], b"x");
}

#[tokio::test]
async fn a_wait_beyond_the_policy_ends_the_retries_and_is_in_the_error() {
    for (value, seconds) in [("120", 120), ("18446744073709551615", u64::MAX)] {
        let stub = always(move |_| Reply::new(503).header("retry-after", value)).await;
        for service in ["s3", "webdav"] {
            let error = open(service, &stub.url, &[]).stat(&reference(&format!("s:{service}:a"))).await.unwrap_err();
            assert_eq!((error.kind(), error.attempts()), (ErrorKind::Unavailable, 1), "{error}");
            assert_eq!(error.retry_after(), Some(Duration::from_secs(seconds)));
        }
    }
}

#[tokio::test]
async fn a_wait_within_the_policy_delays_the_retry() {
    let stub = always(|_| Reply::new(429).header("retry-after", "1")).await;
    let begun = Instant::now();
    let error = open("s3", &stub.url, &[("max_retries", "1")]).stat(&reference("s:s3:a")).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::RateLimited, 2), "{error}");
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

/// Starts a server that responds with `head` and endless spaces. Returns its URL.
async fn endless(head: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                assert!(stream.read(&mut [0; 65536]).await.unwrap() > 0);
                stream.write_all(head.as_bytes()).await.unwrap();
                while stream.write_all(&[b' '; 65536]).await.is_ok() {}
            });
        }
    });
    url
}

#[tokio::test]
async fn a_response_that_is_parsed_is_bounded() {
    let s3 = endless("HTTP/1.1 200 OK\r\ncontent-type: application/xml\r\n\r\n<ListBucketResult>").await;
    let webdav = endless("HTTP/1.1 207 x\r\ncontent-type: application/xml\r\n\r\n<multistatus>").await;
    for (service, url) in [("s3", s3), ("webdav", webdav)] {
        let error = open(service, &url, &[]).list(List::new()).await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Protocol, 1), "{error}");
        assert!(error.to_string().contains("more than the 16777216 bytes"), "{error}");
    }
    let failing = endless("HTTP/1.1 403 x\r\n\r\n<Error><Code>AccessDenied</Code>").await;
    let error = open("s3", &failing, &[]).list(List::new()).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Permission, 1), "{error}");
}

#[tokio::test]
async fn a_request_without_a_response_ends_after_the_response_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    for service in ["s3", "webdav"] {
        let store = open(service, &url, &[("response_timeout", "200ms"), ("max_retries", "1")]);
        let error = store.upload(Upload::new("a", Body::from("x"))).await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Timeout, 2), "{error}");
        let expected = if service == "s3" { Effect::Unknown } else { Effect::Rejected };
        assert_eq!(error.effect(), expected, "{error}");
    }
}

#[tokio::test]
async fn a_connection_that_fails_permanently_is_one_attempt() {
    let stub = Stub::start(S3::default()).await;
    let secure = endless("HTTP/1.1 400 x\r\n\r\n").await.replace("http:", "https:");
    let dead = [("proxy", "http://127.0.0.1:9"), ("max_retries", "0")];
    for service in ["s3", "webdav"] {
        let upload = || Upload::new("a", "x");
        let error = open(service, &secure, &[]).upload(upload()).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.effect(), error.attempts()),
            (ErrorKind::Config, Effect::NotSent, 1),
            "{error}"
        );
        let error = open(service, &stub.url, &dead).upload(upload()).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::NotSent), "{error}");
        assert!(error.to_string().contains("127.0.0.1:9"), "{error}");
        let proxy = always(|_| Reply::new(407)).await;
        let error = open(service, &stub.url, &[("proxy", &proxy.url)]).upload(upload()).await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Permission, 1), "{error}");
        let error = try_open(service, &stub.url, &[("proxy", "socks5://127.0.0.1:9")]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    }
}

#[tokio::test]
async fn content_of_another_range_is_a_protocol_error() {
    // The whole file, although its end was requested.
    let stub = always(|request| {
        let reply = Reply::new(200).header("etag", "\"1\"").header("content-length", "11");
        if request.method == "HEAD" { reply } else { reply.body("old content") }
    })
    .await;
    let store = open("s3", &stub.url, &[]);
    let file = reference("s:s3:a");
    let error = store.read(filestore_core::Download::from(&file).range(4..11), 99).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    assert_eq!(store.read(&file, 99).await.unwrap(), "old content");
}

#[tokio::test]
async fn content_that_is_encoded_for_the_transfer_is_a_protocol_error() {
    for (service, path) in [("s3", "s:s3:a"), ("webdav", "s:webdav:a")] {
        let stub = always(|request| match request.method.as_str() {
            "PROPFIND" => Webdav::with(&[("a", "hi")]).serve(request),
            "HEAD" => S3::with(&[("a", "hi")]).serve(request),
            _ => Reply::new(200)
                .header("etag", "\"00000000000000000000000000000001\"")
                .header("transfer-encoding", "gzip, chunked")
                .body("2\r\nhi\r\n0\r\n\r\n"),
        })
        .await;
        let error = open(service, &stub.url, &[]).read(&reference(path), 9).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Protocol, Effect::Rejected), "{error}");
        assert!(error.to_string().contains("is encoded with gzip"), "{error}");
    }
}

#[tokio::test]
async fn requests_have_the_user_agent() {
    let stub = Stub::start(S3::default()).await;
    open("s3", &stub.url, &[("user_agent", "mine/1")]).upload(Upload::new("a", "x")).await.unwrap();
    assert_eq!(stub.received()[0].header("user-agent"), Some("mine/1"));
}

#[tokio::test]
async fn content_of_another_file_is_an_integrity_error() {
    for status in [200, 206] {
        let stub = always(move |request| {
            if request.method == "HEAD" {
                return Reply::new(200).header("etag", "\"1\"").header("content-length", "11");
            }
            let reply = Reply::new(status).header("etag", "\"2\"").body("new content");
            if status == 206 { reply.header("content-range", "bytes 0-10/99") } else { reply }
        })
        .await;
        let error = open("s3", &stub.url, &[]).read(&reference("s:s3:a"), 99).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Integrity, "{status}: {error}");
    }
}

#[tokio::test]
async fn a_file_that_is_replaced_before_it_is_read_is_an_integrity_error() {
    let stub = always(|request| match request.method.as_str() {
        "HEAD" => Reply::new(200).header("etag", "\"1\"").header("content-length", "11"),
        _ => s3::failure(412, "PreconditionFailed", "other", request),
    })
    .await;
    let error = open("s3", &stub.url, &[]).read(&reference("s:s3:a"), 99).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Integrity, "{error}");
}

#[tokio::test]
async fn an_encryption_key_that_is_not_confirmed_is_an_error() {
    let keys =
        [("options.server_side_encryption", "aws:kms"), ("options.server_side_encryption_aws_kms_key_id", "KEY-A")];
    for (confirmed, is_confirmed) in [
        (Some("KEY-A"), true),
        (Some("arn:aws:kms:us-east-1:1:key/KEY-A"), true),
        (Some("arn:aws:kms:KEY-A"), true),
        (Some("arn:aws:kms:us-east-1:1:key/OTHER-KEY-A"), false),
        (None, false),
    ] {
        let stub = always(move |request| match request.method.as_str() {
            "PUT" => {
                let reply = Reply::new(200).header("etag", "\"1\"").header("x-amz-server-side-encryption", "aws:kms");
                confirmed
                    .into_iter()
                    .fold(reply, |reply, key| reply.header("x-amz-server-side-encryption-aws-kms-key-id", key))
            }
            _ => Reply::new(204),
        })
        .await;
        let uploaded = open("s3", &stub.url, &keys).upload(Upload::new("a", "x")).await;
        assert_eq!(uploaded.is_ok(), is_confirmed, "{confirmed:?}: {uploaded:?}");
        assert_eq!(stub.methods().contains(&"DELETE".to_owned()), !is_confirmed, "{confirmed:?}");
    }
}

#[tokio::test]
async fn the_removal_of_an_unencrypted_file_after_a_lost_response_is_unknown() {
    let lost = [Action::Lose { applied: false }];
    let stub = Stub::scripted(S3::default(), |request| request.method == "PUT", lost, Action::Serve).await;
    let upload = Upload::new("a", "x").if_exists(IfExists::Fail);
    let error = open("s3", &stub.url, &ENCRYPTED).upload(upload).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unsupported, Effect::Unknown), "{error}");
}

#[tokio::test]
async fn a_rejection_in_the_body_of_a_success_is_a_rejection() {
    for (code, effect) in [("InvalidPart", Effect::Rejected), ("InternalError", Effect::Unknown)] {
        let stub = always(move |request| {
            let xml = |body: String| Reply::new(200).header("content-type", "application/xml").body(body);
            let initiated = "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>";
            match (request.method.as_str(), request.parameter("uploads")) {
                ("POST", Some(_)) => xml(initiated.to_owned()),
                ("POST", None) => xml(format!("<Error><Code>{code}</Code><Message>m</Message></Error>")),
                ("PUT", _) => Reply::new(200).header("etag", "\"1\""),
                _ => Reply::new(204),
            }
        })
        .await;
        let store = open("s3", &stub.url, &[("max_retries", "0")]);
        let error = store.upload(Upload::new("a", vec![7; 9 << 20])).await.unwrap_err();
        assert_eq!((error.effect(), error.provider_code()), (effect, Some(code)), "{error}");
    }
}

#[tokio::test]
async fn an_upload_that_is_dropped_while_it_is_stored_is_cut_off() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let store = open("s3", &url, &[]);
    let upload = tokio::spawn(async move { store.upload(Upload::new("a", "content")).await });
    // The request has arrived, and there is no response.
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"content") {
        assert!(stream.read_buf(&mut request).await.unwrap() > 0);
    }
    upload.abort();
    assert_eq!(stream.read_buf(&mut request).await.unwrap_or(0), 0, "the connection is closed");
}

#[tokio::test]
async fn a_file_that_is_reported_as_empty_is_requested() {
    let stub = always(|request| {
        let reply = Reply::new(200).header("etag", "\"1\"");
        if request.method == "HEAD" { reply.header("content-length", "0") } else { reply.body("content") }
    })
    .await;
    let error = open("s3", &stub.url, &[]).read(&reference("s:s3:a"), 99).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Integrity, "{error}");

    let stub = Stub::start(S3::default()).await;
    let store = open("s3", &stub.url, &[]);
    let file = store.upload(Upload::new("a", "")).await.unwrap();
    assert_eq!(store.read(file.reference(), 99).await.unwrap(), "");
}

#[tokio::test]
async fn a_stat_of_webdav_that_is_about_another_path_is_a_protocol_error() {
    let mut protocol = Webdav::with(&[("d/a", "x"), ("e/a", "y")]);
    protocol.confuses_with = Some("e/a".to_owned());
    let stub = Stub::start(protocol).await;
    let store = open("webdav", &stub.url, &[]);
    let errors = [
        // The folder would be deleted as a file.
        store.delete(&reference("s:webdav:d")).await.unwrap_err(),
        store.stat(&reference("s:webdav:missing")).await.unwrap_err(),
        store.read(&reference("s:webdav:d/a"), 9).await.unwrap_err(),
        store.upload(Upload::new("b", "x")).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!((error.kind(), error.effect(), error.attempts()), (ErrorKind::Protocol, Effect::Rejected, 1));
        assert!(error.to_string().contains("about other paths"), "{error}");
    }
    assert_eq!(stub.files().len(), 2);
    assert!(stub.methods().iter().all(|method| method == "PROPFIND"), "{:?}", stub.methods());
}

/// Deletes two files of S3 together, with this response to a request for the files that were not deleted.
async fn delete_two(result: &'static str) -> filestore_core::Result<()> {
    let stub = always(move |request| match request.method.as_str() {
        "POST" if String::from_utf8_lossy(&request.body).contains("<Quiet>true</Quiet>") => Reply::new(200).xml(result),
        "POST" => Reply::new(501),
        "DELETE" => Reply::new(204),
        _ => {
            let file = |key| {
                format!(
                    "<Contents><Key>d/{key}</Key><Size>1</Size><LastModified>2026-01-01T00:00:00Z</LastModified>\
                     </Contents>"
                )
            };
            let files = file("a") + &file("b");
            Reply::new(200).xml(format!("<ListBucketResult><IsTruncated>false</IsTruncated>{files}</ListBucketResult>"))
        }
    })
    .await;
    let folder = Delete::from(reference("s:s3:d")).recursive(true);
    open("s3", &stub.url, &[("max_retries", "0")]).delete(folder).await
}

#[tokio::test]
async fn an_error_among_the_deleted_files_of_s3_is_found_however_it_is_written() {
    for result in [
        "<DeleteResult><Error><Key>d/b</Key><Code>AccessDenied</Code></Error></DeleteResult>",
        "<DeleteResult><Error xmlns=\"urn:x\"><Key>d/b</Key><Code>AccessDenied</Code></Error></DeleteResult>",
        "<s3:DeleteResult xmlns:s3=\"urn:x\"><s3:Error><s3:Key>other</s3:Key><s3:Code>AccessDenied</s3:Code></s3:Error>\
         </s3:DeleteResult>",
    ] {
        let error = delete_two(result).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Permission, Effect::Unknown), "{result} {error}");
        assert_eq!(error.provider_code(), Some("AccessDenied"));
    }
    for result in ["<DeleteResult><Error/></DeleteResult>", "<DeleteResult>", "<DeleteResult><Deleted>"] {
        let error = delete_two(result).await.unwrap_err();
        assert_eq!(error.effect(), Effect::Unknown, "{result} {error}");
    }
}

/// Otherwise each deleted file would have to be in the result.
#[tokio::test]
async fn a_delete_of_many_files_of_s3_asks_for_those_that_were_not_deleted() {
    delete_two("<DeleteResult></DeleteResult>").await.unwrap();
}

/// The deletes of a folder with three files and a subfolder, of which the first `allowed` succeed.
fn rejecting(allowed: usize) -> (Webdav, Vec<Action>, Action) {
    let webdav = Webdav::with(&[("d/a", "x"), ("d/b", "x"), ("d/e/c", "x")]);
    (webdav, vec![Action::Serve; allowed], Action::Respond { status: 403, applied: false })
}

#[tokio::test]
async fn a_recursive_delete_is_rejected_with_the_kind_of_the_failure_only_if_nothing_was_deleted() {
    for (allowed, effect) in [(0, Effect::Rejected), (1, Effect::Unknown)] {
        let (webdav, script, then) = rejecting(allowed);
        let stub = Stub::scripted(webdav, |request| request.method == "DELETE", script, then).await;
        let folder = Delete::from(reference("s:webdav:d")).recursive(true);
        let error = open("webdav", &stub.url, &[]).delete(folder).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Permission, effect), "{error}");
    }
}

/// A transport that a program has given to its operator. It records no attempts, like SFTP.
struct OwnTransport {
    server: Mutex<Webdav>,
    deletes: Mutex<Vec<Action>>,
}

impl opendal::HttpTransport for OwnTransport {
    async fn fetch(
        &self,
        request: http::Request<opendal::Buffer>,
    ) -> opendal::Result<http::Response<opendal::HttpBody>> {
        let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
        let headers = request.headers().iter();
        let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        let received = Received { method, path, headers, ..Received::default() };
        let is_rejected = received.method == "DELETE" && self.deletes.lock().unwrap().pop().is_none();
        let reply = if is_rejected { Reply::new(403) } else { self.server.lock().unwrap().serve(&received) };
        let body = futures::stream::iter([Ok(opendal::Buffer::from(reply.body))]);
        let mut response = http::Response::new(opendal::HttpBody::new(body, None));
        *response.status_mut() = http::StatusCode::from_u16(reply.status).unwrap();
        Ok(response)
    }
}

#[tokio::test]
async fn a_recursive_delete_that_deleted_a_part_is_not_rejected_without_a_record_of_the_attempts() {
    let (webdav, script, _) = rejecting(1);
    let transport = OwnTransport { server: Mutex::new(webdav), deletes: Mutex::new(script) };
    let operator = Operator::new(opendal::services::Webdav::default().endpoint("http://localhost")).unwrap();
    let context = operator.base_context().with_http_transport(opendal::HttpTransporter::new(transport));
    let store = crate::store(OpendalStore::new(operator.with_context(context)).unwrap());
    let error = store.delete(Delete::from(reference("s:webdav:d")).recursive(true)).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Permission, Effect::Unknown), "{error}");
}

#[tokio::test]
async fn a_listing_with_files_of_other_folders_deletes_nothing() {
    for root in ["", "d"] {
        let files = [("d/in/1", "1"), ("d/in/2", "2"), ("d/other", "3"), ("keep/1", "4"), ("zz", "5")];
        let mut s3 = S3::with(&files);
        s3.ignores_prefix = true;
        let stub = Stub::start(s3).await;
        let store = open("s3", &stub.url, if root.is_empty() { &[] } else { &[("root", "d")] });
        let folder = if root.is_empty() { "s:s3:d/in" } else { "s:s3:in" };
        let error = store.delete(Delete::from(&reference(folder)).recursive(true)).await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Protocol, 1), "{error}");
        assert!(error.to_string().contains("which is not in it"), "{error}");
        assert_eq!(stub.files().len(), 5);
        let error = store.list(List::new().scope(if root.is_empty() { "d/in" } else { "in" })).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Protocol, Effect::Rejected), "{error}");
        let missing = store.stat(reference("s:s3:none")).await.unwrap_err();
        assert!(matches!(missing.kind(), ErrorKind::NotFound | ErrorKind::Protocol), "{missing}");
    }
}

#[tokio::test]
async fn an_unreadable_entry_hides_no_other_and_makes_a_recursive_delete_incomplete() {
    let files = [("d/1", "1"), ("d/2", "2"), ("d/3", "3")];
    let mut s3 = S3::with(&files);
    s3.untimed = Some("d/2".to_owned());
    let stub = Stub::start(s3).await;
    let store = open("s3", &stub.url, &[]);
    let page = store.list(List::new().scope("d")).await.unwrap();
    assert_eq!(crate::names(&page), ["1", "3"]);
    let error = store.delete(Delete::from(&reference("s:s3:d")).recursive(true)).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Incomplete, Effect::Applied), "{error}");
    assert_eq!(stub.files().keys().collect::<Vec<_>>(), ["d/2"]);
}

#[tokio::test]
async fn content_of_another_length_than_the_file_is_an_integrity_error() {
    for content in ["con", "content and more"] {
        let stub = always(move |request| {
            let reply = Reply::new(200).header("etag", "\"1\"");
            if request.method == "HEAD" { reply.header("content-length", "7") } else { reply.body(content) }
        })
        .await;
        let error = open("s3", &stub.url, &[]).read(&reference("s:s3:a"), 99).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Integrity, "{content}: {error}");
    }
}

#[tokio::test]
async fn a_page_of_folders_needs_few_requests_however_many_follow() {
    let stub = Stub::start(S3::with_keys((0..5000).map(|number| format!("{number:04}/a")))).await;
    let store = open("s3", &stub.url, &[]);
    let page = store.list(List::new().limit(10)).await.unwrap();
    assert_eq!((page.folders.len(), page.folders[9].as_str()), (10, "0009"));
    assert_eq!(stub.received().len(), 1);
    let second = store.list(List::new().limit(10).page(page.next.unwrap())).await.unwrap();
    assert_eq!((second.folders.len(), second.folders[0].as_str()), (10, "0010"));
    let before = stub.received().len();
    let pages: Vec<_> = store.list_pages(List::new()).try_collect().await.unwrap();
    assert_eq!((pages.len(), pages.iter().map(|page| page.folders.len()).sum::<usize>()), (5, 5000));
    assert!(stub.received().len() - before <= 2 * pages.len(), "{} requests", stub.received().len() - before);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Folders come before files in each response, whatever their order, and a page ends within a response.
    #[test]
    fn pages_lose_and_repeat_nothing_wherever_responses_end(
        keys in prop::collection::btree_set("(a|b|c|a-|b[.]c)(/(a|b|c|a-)){0,2}", 0..30),
        limit in 1_u32..12,
        largest_listing in 1_usize..12,
        repeats_folders: bool,
        recursive: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut expected: Vec<String> = keys
            .iter()
            .map(|key| match key.split_once('/') {
                Some((folder, _)) if !recursive => format!("{folder}/"),
                _ => key.clone(),
            })
            .collect();
        expected.sort();
        expected.dedup();
        let (listed, requests) = runtime.block_on(async {
            let mut s3 = S3::with_keys(keys);
            (s3.largest_listing, s3.repeats_folders) = (Some(largest_listing), repeats_folders);
            let stub = Stub::start(s3).await;
            let store = open("s3", &stub.url, &[]);
            let pages = store.list_pages(List::new().recursive(recursive).limit(limit));
            let pages: Vec<_> = pages.try_collect().await.unwrap();
            let mut listed = Vec::new();
            for page in &pages {
                assert!(page.files.len() + page.folders.len() <= limit as usize, "{page:?}");
                let mut entries: Vec<_> = page.folders.iter().map(|folder| format!("{folder}/")).collect();
                entries.extend(page.files.iter().map(|file| file.reference().components().join("/")));
                entries.sort();
                listed.extend(entries);
            }
            (listed, stub.received().len())
        });
        prop_assert_eq!(&listed, &expected);
        // A page reads one entry more than it has, and the folder with which the page before ended.
        let (pages, limit) = (expected.len() / limit as usize + 1, limit as usize);
        if !repeats_folders {
            let responses = (limit + 2).div_ceil(largest_listing.min(limit + 1));
            prop_assert!(requests <= pages * responses, "{} requests for {} pages", requests, pages);
        }
    }
}

#[tokio::test]
async fn keys_that_no_reference_can_address_are_counted_and_never_deleted() {
    let keys = ["a//b", "a/./c", "a/../d", "a/ok", "/lead", "lead"];
    let stub = Stub::start(S3::with(&keys.map(|key| (key, "x")))).await;
    let store = open("s3", &stub.url, &[]);
    let page = store.list(List::new().recursive(true)).await.unwrap();
    let listed: Vec<_> = page.files.iter().map(|file| file.reference().to_string()).collect();
    assert_eq!((listed, page.left_out), (vec!["s:s3:a/ok".to_owned(), "s:s3:lead".to_owned()], 4));
    let folder = store.list(List::new().scope("a")).await.unwrap();
    assert!(folder.folders.is_empty(), "{folder:?}");

    let error = store.delete(Delete::from(reference("s:s3:a")).recursive(true)).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Incomplete, Effect::Applied), "{error}");
    let left: Vec<_> = stub.files().into_keys().collect();
    assert_eq!(left, ["/lead", "a/../d", "a/./c", "a//b", "lead"]);
}

#[tokio::test]
async fn a_folder_of_webdav_with_entries_that_no_reference_can_address_is_not_deleted_as_empty() {
    let stub = Stub::start(Webdav::with(&[("d/ draft", "x"), ("d/a\\b", "x")])).await;
    let store = open("webdav", &stub.url, &[]);
    let error = store.delete(&reference("s:webdav:d")).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::InvalidInput, Effect::Rejected), "{error}");
    assert_eq!(stub.files().len(), 2);
}

#[tokio::test]
async fn a_header_that_opendal_cannot_hold_is_a_protocol_error() {
    for name in ["etag", "content-type", "x-amz-version-id", "x-amz-meta-a", "content-disposition"] {
        let always = Always(Box::new(move |request| {
            let reply = Reply::new(200)
                .header("last-modified", "Sun, 01 Mar 2026 10:00:00 GMT")
                .header(name, "h".repeat(70_000));
            if request.method == "PUT" { reply } else { reply.header("etag", "\"e\"") }
        }));
        let stub = Stub::start(always).await;
        let error = open("s3", &stub.url, &[]).stat(reference("s:s3:a")).await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Protocol, 1), "{name}: {error}");
    }
}

#[tokio::test]
async fn a_page_token_and_a_path_longer_than_any_service_accepts_are_not_sent() {
    let stub = Stub::start(S3::default()).await;
    let store = open("s3", &stub.url, &[]);
    let long = "k".repeat(60_000);
    let page = List::new().page(PageToken::new(&long));
    assert_eq!(store.list(page).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(store.stat(reference(&format!("s:s3:{long}"))).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert!(stub.received().is_empty());
}

#[tokio::test]
async fn a_url_of_a_store_without_credentials_is_unsupported() {
    let options =
        [("options.access_key_id", ""), ("options.secret_access_key", ""), ("options.skip_signature", "true")];
    let error = open("s3", "http://127.0.0.1:9", &options).url(reference("s:s3:a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("no credentials"), "{error}");
}

#[test]
fn the_options_of_a_customer_key_must_be_set_together() {
    let key = "server_side_encryption_customer_key";
    let error = try_open("s3", "http://127.0.0.1:9", &[(&format!("options.{key}"), "a2V5")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(error.to_string().contains("\"server_side_encryption_customer_algorithm\" is missing"), "{error}");
}

#[tokio::test]
async fn the_media_type_is_guessed_from_the_name_unless_it_is_given() {
    let stub = Stub::start(S3::default()).await;
    let store = open("s3", &stub.url, &[]);
    store.upload(Upload::new("index.html", "x")).await.unwrap();
    store.upload(Upload::new("index.html", "x").content_type("text/plain")).await.unwrap();
    store.upload(Upload::new("index", "x")).await.unwrap();
    let types: Vec<_> =
        stub.received().iter().map(|request| request.header("content-type").map(str::to_owned)).collect();
    assert_eq!(types, [Some("text/html".to_owned()), Some("text/plain".to_owned()), None]);
}

#[tokio::test]
async fn webdav_receives_the_body_as_it_is_read() {
    let stub = Stub::start(Webdav::default()).await;
    let store = open("webdav", &stub.url, &[]);
    let content = vec![7; 300_000];
    let stream = || Body::from_reader(std::io::Cursor::new(vec![7; 300_000]), None);
    store.upload(Upload::new("known", content.clone())).await.unwrap();
    store.upload(Upload::new("unknown", stream())).await.unwrap();
    store.upload(Upload::new("empty", "")).await.unwrap();
    assert_eq!(["known", "unknown"].map(|name| stub.files()[name].clone()), [content.clone(), content]);
    let puts = stub.received().into_iter().filter(|request| request.method == "PUT");
    let framing: Vec<_> = puts
        .map(|put| {
            (put.header("content-length").map(str::to_owned), put.header("transfer-encoding").map(str::to_owned))
        })
        .collect();
    let chunked = (None, Some("chunked".to_owned()));
    assert_eq!(framing, [(Some("300000".to_owned()), None), chunked, (Some("0".to_owned()), None)]);
}

#[tokio::test]
async fn a_put_of_webdav_is_retried_only_if_its_source_can_be_read_again() {
    let is_put = |request: &Received| request.method == "PUT";
    let fails = [Action::Respond { status: 503, applied: false }];
    let stub = Stub::scripted(Webdav::default(), is_put, fails, Action::Serve).await;
    open("webdav", &stub.url, &[]).upload(Upload::new("a", "again")).await.unwrap();
    assert_eq!(stub.files()["a"], b"again");

    let stub = Stub::scripted(Webdav::default(), is_put, fails, Action::Serve).await;
    let once = Body::from_reader(std::io::Cursor::new(b"once".to_vec()), None);
    let error = open("webdav", &stub.url, &[]).upload(Upload::new("a", once)).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::Rejected), "{error}");
    assert!(stub.files().is_empty());

    // The requests after the PUT do not need the source.
    let stub = Stub::scripted(Webdav::default(), |request| request.method == "MOVE", fails, Action::Serve).await;
    let once = Body::from_reader(std::io::Cursor::new(b"once".to_vec()), None);
    open("webdav", &stub.url, &[]).upload(Upload::new("a", once)).await.unwrap();
    assert_eq!(stub.files()["a"], b"once");
}

#[tokio::test]
async fn the_error_of_a_source_that_breaks_is_that_of_the_upload_to_webdav() {
    let stub = Stub::start(Webdav::default()).await;
    let broken = futures::stream::iter([Ok("part"), Err(filestore_core::Error::invalid("the source broke"))]);
    let upload = Upload::new("a", Body::from_stream(broken, Some(9)));
    let error = open("webdav", &stub.url, &[]).upload(upload).await.unwrap_err();
    assert!(error.to_string().contains("the source broke"), "{error}");
    assert_eq!(error.effect(), Effect::Rejected);
    assert!(stub.files().is_empty());
}

async fn check_versions(store: &Store, content: &'static str, other: &'static str) {
    let upload = |content: &'static str| store.upload(Upload::new("a.txt", content).scope("sub"));
    let stored = upload(content).await.unwrap();
    let found = store.stat(stored.reference()).await.unwrap();
    let listed = store.list(List::new().scope("sub")).await.unwrap().files.remove(0);
    let read = store.download(stored.reference()).await.unwrap().file;
    let version = stored.version.unwrap();
    assert_eq!([found.version, listed.version, read.version], [(); 3].map(|()| Some(version.clone())));
    assert!(!version.contains(['"', '/']), "{version}");
    let replaced = upload(other).await.unwrap();
    assert!(replaced.version.is_some() && replaced.version != Some(version), "{:?}", replaced.version);
    assert_eq!(store.stat(replaced.reference()).await.unwrap().version, replaced.version);
}

#[tokio::test]
async fn every_response_has_the_version_of_the_content_and_a_replaced_file_has_another() {
    let stub = Stub::start(S3::default()).await;
    check_versions(&open("s3", &stub.url, &[]), "first", "other").await;
    for (weak, keeps_etags) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut protocol = Webdav::with(&[]);
        (protocol.weak, protocol.keeps_etags) = (weak, keeps_etags);
        let stub = Stub::start(protocol).await;
        check_versions(&open("webdav", &stub.url, &[]), "first", "other").await;
    }
}

#[tokio::test]
async fn only_the_first_upload_asks_for_the_version_of_a_moved_file_if_the_server_keeps_it() {
    for (keeps_etags, more) in [(true, [1, 0, 0]), (false, [1, 1, 1])] {
        let mut protocol = Webdav::with(&[]);
        protocol.keeps_etags = keeps_etags;
        let stub = Stub::start(protocol).await;
        let store = open("webdav", &stub.url, &[]);
        for more in more {
            let before = stub.received().len();
            store.upload(Upload::new("a.txt", "content")).await.unwrap();
            let requests = stub.received().split_off(before);
            let moved = requests.iter().position(is_move).unwrap();
            assert_eq!(requests.len() - moved - 1, more, "{keeps_etags}");
        }
    }
}

#[tokio::test]
async fn a_version_that_the_server_does_not_tell_fails_no_upload() {
    let then = Action::Respond { status: 403, applied: false };
    let stub = Stub::scripted(Webdav::default(), is_move, [Action::Serve], then).await;
    let file = open("webdav", &stub.url, &[]).upload(Upload::new("a.txt", "content")).await.unwrap();
    assert_eq!((file.size, file.version), (Some(7), None));
}

#[tokio::test]
async fn a_weak_etag_is_no_precondition_of_a_read() {
    let mut protocol = Webdav::with(&[("a", "content")]);
    protocol.weak = true;
    let stub = Stub::start(protocol).await;
    assert_eq!(open("webdav", &stub.url, &[]).read(reference("s:webdav:a"), 9).await.unwrap(), "content");
}

#[test]
fn metadata_of_webdav_can_be_turned_off() {
    let url = "http://127.0.0.1:9";
    let has = |options: &[(&str, &str)]| open("webdav", url, options).capabilities().supports(Feature::Metadata);
    assert!(has(&[]));
    assert!(!has(&[("options.enable_user_metadata", "false")]));
}

#[cfg(feature = "gcs")]
#[tokio::test]
async fn a_missing_bucket_of_google_is_not_a_deleted_file() {
    for (message, is_deleted) in [("No such object: b/a", true), ("The specified bucket does not exist.", false)] {
        let body = format!(r#"{{"error":{{"code":404,"message":"{message}","errors":[{{"reason":"notFound"}}]}}}}"#);
        let always =
            Always(Box::new(move |_| Reply::new(404).header("content-type", "application/json").body(body.clone())));
        let stub = Stub::start(always).await;
        let options = [
            ("options.bucket", "b"),
            ("options.skip_signature", "true"),
            ("options.username", ""),
            ("options.password", ""),
        ];
        match open("gcs", &stub.url, &options).delete(reference("s:gcs:a")).await {
            Ok(()) => assert!(is_deleted, "{message}"),
            Err(error) => {
                assert!(!is_deleted && error.kind() == ErrorKind::NotFound, "{error}");
                assert!(error.to_string().contains("there is no bucket"), "{error}");
            }
        }
    }
}

#[cfg(feature = "gcs")]
#[tokio::test]
async fn a_delete_of_many_files_is_a_success_only_if_each_has_a_response() {
    let part = |response: &str| format!("--b\r\nContent-Type: application/http\r\n\r\n{response}\r\n\r\n");
    let (deleted, silent) = (part("HTTP/1.1 204 No Content"), part(""));
    for (parts, is_success) in [
        (vec![&deleted, &deleted], true),
        (vec![&deleted, &silent], false),
        (vec![&silent, &silent], false),
        (vec![&deleted], false),
        (vec![], false),
        (vec![&deleted, &deleted, &deleted], false),
    ] {
        let batch: String = parts.iter().map(|part| part.as_str()).chain(["--b--\r\n"]).collect();
        let stub = always(move |request| match request.method.as_str() {
            "POST" => Reply::new(200).header("content-type", "multipart/mixed; boundary=b").body(batch.clone()),
            "DELETE" => Reply::new(204),
            _ => {
                let file = |name| format!(r#"{{"name":"{name}","size":"1","updated":"2026-01-01T00:00:00Z","etag":"e","contentType":"a/b","generation":"1","metageneration":"1"}}"#);
                let body = format!(r#"{{"items":[{},{}]}}"#, file("d/a"), file("d/b"));
                Reply::new(200).header("content-type", "application/json").body(body)
            }
        })
        .await;
        let options = [
            ("options.bucket", "b"),
            ("options.skip_signature", "true"),
            ("options.username", ""),
            ("options.password", ""),
        ];
        let folder = Delete::from(reference("s:gcs:d")).recursive(true);
        match open("gcs", &stub.url, &options).delete(folder).await {
            Ok(()) => assert!(is_success, "{parts:?}"),
            Err(error) => {
                assert!(!is_success, "{error}");
                assert_eq!((error.kind(), error.effect()), (ErrorKind::Protocol, Effect::Unknown), "{error}");
            }
        }
    }
}

#[cfg(feature = "azblob")]
mod azure {
    use filestore_core::{Store, UrlRequest};

    use super::*;

    fn azure(url: &str) -> Store {
        let key = "a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5aw==";
        let options = [
            ("options.azure_container_name", "c"),
            ("options.account_name", "account"),
            ("options.account_key", key),
            ("options.username", ""),
            ("options.password", ""),
            ("root", "/in"),
        ];
        open("azblob", url, &options)
    }

    #[tokio::test]
    async fn a_name_of_metadata_that_is_no_identifier_is_not_sent() {
        let stub = Stub::start(S3::default()).await;
        for name in ["two-words", "1st", "ü", ""] {
            let error = azure(&stub.url).upload(Upload::new("a", "x").metadata(name, "x")).await.unwrap_err();
            assert_eq!((error.kind(), error.effect()), (ErrorKind::InvalidInput, Effect::NotSent), "{error}");
        }
        assert!(stub.received().is_empty());
    }

    /// The endpoint has a path, as that of an emulator, and the container has its alias.
    #[tokio::test]
    async fn a_url_is_signed_with_the_key_for_any_lifetime() {
        let store = azure("http://127.0.0.1:9/account");
        let week = Duration::from_secs(7 * 24 * 60 * 60);
        let url = store.url(UrlRequest::from(reference("s:azblob:b%23%20%C3%BC.txt")).lifetime(week)).await.unwrap();
        let text: filestore_http::Url = url.as_str().parse().unwrap();
        assert_eq!(text.path(), "/account/c/in/b%23%20%C3%BC.txt");
        let value = |name: &str| text.query_pairs().find(|(known, _)| known == name).unwrap().1.into_owned();
        assert_eq!((value("sp"), value("sr")), ("r".to_owned(), "b".to_owned()));
        assert_eq!(filestore_http::expiry(&text), url.expires());
        assert!(!value("sig").is_empty());
        let left = url.expires().unwrap().duration_since(jiff::Timestamp::now());
        assert!(left.as_secs() > 7 * 24 * 60 * 60 - 60, "{left:?}");
    }
}

#[test]
fn an_endpoint_of_which_a_part_would_be_ignored_is_rejected() {
    for (endpoint, word) in [
        ("http://user:hunter2@127.0.0.1:9", "password"),
        ("user:hunter2@127.0.0.1:9", "password"),
        ("http://127.0.0.1:9/?sig=hunter2", "query"),
        ("http://example.org/p#hunter2", "fragment"),
        ("HTTP://example.org", "https://"),
        ("ftp://example.org", "https://"),
    ] {
        for service in ["s3", "webdav"] {
            let error = try_open(service, endpoint, &[]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{endpoint}");
            assert!(error.message().contains(word) && !error.to_string().contains("hunter2"), "{error}");
        }
    }
    for endpoint in ["https://example.org:8443/base", "example.org", "127.0.0.1:9"] {
        assert!(try_open("s3", endpoint, &[]).is_ok(), "{endpoint}");
    }
}

const TOKEN: [(&str, &str); 1] = [("options.session_token", "Tok+en/CANARY=")];

#[tokio::test]
async fn a_session_token_that_the_service_repeats_is_not_shown() {
    for (status, code) in [(403, "AccessDenied"), (400, "tok+EN/canary="), (301, "PermanentRedirect")] {
        let fields =
            ["Message", "Region", "BucketName", "RequestId"].map(|name| format!("<{name}>TOK+EN/canary=</{name}>"));
        let document = format!("<Error><Code>{code}</Code>{}</Error>", fields.concat());
        let stub = always(move |_| Reply::new(status).xml(document.clone())).await;
        let error = open("s3", &stub.url, &TOKEN).upload(Upload::new("a", "x")).await.unwrap_err();
        assert!(stub.received()[0].header("x-amz-security-token").is_some());
        assert_eq!(error.request_id(), Some("..."));
        assert!(error.message().contains("..."), "{error}");
        assert!(!format!("{error} {error:?}").to_lowercase().contains("canary"), "{error:?}");
    }
}

#[tokio::test]
async fn a_session_token_in_a_header_of_the_response_is_not_shown() {
    for name in ["x-amz-request-id", "x-request-id", "x-amz-bucket-region", "content-type"] {
        let stub = always(move |_| Reply::new(301).header(name, "tok+EN/canary=")).await;
        let error = open("s3", &stub.url, &TOKEN).upload(Upload::new("a", "x")).await.unwrap_err();
        assert!(!format!("{error} {error:?}").to_lowercase().contains("canary"), "{error:?}");
    }
}

#[tokio::test]
async fn the_endpoint_of_a_redirect_is_one_short_line_without_secrets() {
    let endpoint = format!("h.example\nerror: forged tok+en/canary= {}", "x".repeat(1000));
    let document = format!("<Error><Code>PermanentRedirect</Code><Endpoint>{endpoint}</Endpoint></Error>");
    let stub = always(move |_| Reply::new(301).xml(document.clone())).await;
    let error = open("s3", &stub.url, &TOKEN).upload(Upload::new("a", "x")).await.unwrap_err();
    assert!(error.message().contains("redirects to h.example error: forged ... xx"), "{error}");
    assert!(!error.message().contains('\n') && error.message().len() < 500, "{error}");
}

#[tokio::test]
async fn an_encryption_key_that_the_service_repeats_is_not_shown() {
    let denied = "<Error><Code>InvalidArgument</Code><Message>the AES256 key Q0FOQVJZ is too short</Message></Error>";
    let stub = always(move |_| Reply::new(400).xml(denied)).await;
    let options = [
        ("options.server_side_encryption_customer_algorithm", "AES256"),
        ("options.server_side_encryption_customer_key", "Q0FOQVJZ"),
        ("options.server_side_encryption_customer_key_md5", "bWQ1"),
    ];
    let error = open("s3", &stub.url, &options).upload(Upload::new("a", "x")).await.unwrap_err();
    assert!(error.message().contains("the AES256 key ... is too short"), "{error}");
}

#[tokio::test]
async fn a_password_of_webdav_that_the_server_repeats_is_not_shown() {
    for repeated in ["CANARY-pw", "dTpjYW5hcnktUFc="] {
        let rejection = move |_: &Received| {
            let location = format!("http://{repeated}.example/");
            Reply::new(401).header("x-request-id", repeated).header("location", location)
        };
        let stub = always(rejection).await;
        let store = open("webdav", &stub.url, &[("options.password", "canary-PW")]);
        let error = store.upload(Upload::new("a", "x")).await.unwrap_err();
        assert_eq!(error.request_id(), Some("..."));
        let stub = always(move |_| Reply::new(307).header("location", "http://Canary-pw.example/")).await;
        let store = open("webdav", &stub.url, &[("options.password", "canary-PW")]);
        let error = store.read(&reference("s:webdav:a"), 99).await.unwrap_err();
        assert!(error.message().contains("redirects to http://....example"), "{error}");
    }
}
