//! Listings that a service never ends, over HTTP.

use std::sync::atomic::{AtomicU32, Ordering};

use filestore_core::{Effect, ErrorKind, List, Store};
use futures::TryStreamExt;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

/// Starts a bucket whose listing has these entries on every page, always with a new token for the next page.
async fn bucket(entries: String) -> (MockServer, Store) {
    let server = MockServer::start().await;
    let number = AtomicU32::new(0);
    let response = move |_: &Request| {
        let token = number.fetch_add(1, Ordering::Relaxed);
        let head = format!("<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>");
        ResponseTemplate::new(200).set_body_string(format!("<ListBucketResult>{head}{entries}</ListBucketResult>"))
    };
    Mock::given(method("GET")).respond_with(response).mount(&server).await;
    let store = crate::open("s3", &server.uri(), &[]);
    (server, store)
}

async fn failed_listing(entries: String, list: List) -> usize {
    let (server, store) = bucket(entries).await;
    let error = store.list_all(list).try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Protocol, Effect::Rejected), "{error}");
    server.received_requests().await.unwrap().len()
}

#[tokio::test]
async fn a_listing_of_endless_empty_pages_is_a_protocol_error() {
    assert_eq!(failed_listing(String::new(), List::new()).await, 1000);
}

#[tokio::test]
async fn folders_that_are_on_every_page_are_a_protocol_error() {
    let folders: String =
        (0..10).map(|number| format!("<CommonPrefixes><Prefix>{number}/</Prefix></CommonPrefixes>")).collect();
    let requests = failed_listing(folders, List::new().limit(100)).await;
    assert!(requests < 300, "{requests}");
}

/// Starts a bucket in which no file is found by its name.
async fn bucket_without_files(entries: &str) -> (MockServer, Store) {
    let (server, store) = bucket(entries.to_owned()).await;
    // The request asks for a result that names only the files that were not deleted.
    let deleted = ResponseTemplate::new(200).set_body_string("<DeleteResult></DeleteResult>");
    Mock::given(method("POST")).respond_with(deleted).mount(&server).await;
    Mock::given(method("DELETE")).respond_with(ResponseTemplate::new(204)).mount(&server).await;
    (server, store)
}

#[tokio::test]
async fn the_check_for_a_missing_bucket_ends() {
    let (server, store) = bucket_without_files("").await;
    let error = store.stat(&crate::reference("s:s3:a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(server.received_requests().await.unwrap().len() < 1010);
}

#[tokio::test]
async fn a_recursive_delete_ends() {
    for entries in
        ["", "<Contents><Key>d/a</Key><Size>1</Size><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>"]
    {
        let (server, store) = bucket_without_files(entries).await;
        let folder = crate::reference("s:s3:d");
        let error = store.delete(filestore_core::Delete::from(&folder).recursive(true)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
        assert!(server.received_requests().await.unwrap().len() < 4000);
    }
}

/// A token that repeats is a loop, however the entries look.
#[tokio::test]
async fn a_repeated_token_is_a_protocol_error_within_a_few_requests() {
    let entry = "<Contents><Key>a</Key><Size>1</Size><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>";
    for token in ["<NextContinuationToken>T</NextContinuationToken>", ""] {
        let server = MockServer::start().await;
        let page = format!("<ListBucketResult><IsTruncated>true</IsTruncated>{token}{entry}</ListBucketResult>");
        Mock::given(method("GET")).respond_with(ResponseTemplate::new(200).set_body_string(page)).mount(&server).await;
        let error = crate::open("s3", &server.uri(), &[]).list(List::new()).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Protocol, Effect::Rejected), "{error}");
        assert!(server.received_requests().await.unwrap().len() < 10);
    }
}

#[tokio::test]
async fn a_request_of_a_listing_that_is_retried_is_no_loop() {
    let server = MockServer::start().await;
    let failing = ResponseTemplate::new(503);
    Mock::given(method("GET")).respond_with(failing).up_to_n_times(2).mount(&server).await;
    let page = ResponseTemplate::new(200).set_body_string("<ListBucketResult></ListBucketResult>");
    Mock::given(method("GET")).respond_with(page).mount(&server).await;
    assert!(crate::open("s3", &server.uri(), &[]).list(List::new()).await.unwrap().files.is_empty());
}

#[tokio::test]
async fn a_page_has_the_date_of_the_last_response() {
    let page = |key, more, date| {
        let time = "2026-01-01T00:00:00Z";
        let entry = format!("<Contents><Key>{key}</Key><Size>1</Size><LastModified>{time}</LastModified></Contents>");
        let body = format!("<ListBucketResult>{more}{entry}</ListBucketResult>");
        ResponseTemplate::new(200).set_body_string(body).insert_header("date", date)
    };
    let server = MockServer::start().await;
    let more = "<IsTruncated>true</IsTruncated><NextContinuationToken>T</NextContinuationToken>";
    let first = page("a", more, "Sun, 01 Mar 2026 10:00:00 GMT");
    Mock::given(method("GET")).respond_with(first).up_to_n_times(1).mount(&server).await;
    let last = page("b", "<IsTruncated>false</IsTruncated>", "Sun, 01 Mar 2026 10:00:07 GMT");
    Mock::given(method("GET")).respond_with(last).mount(&server).await;
    let listed = crate::open("s3", &server.uri(), &[]).list(List::new()).await.unwrap();
    assert_eq!((listed.files.len(), listed.date), (2, Some("2026-03-01T10:00:07Z".parse().unwrap())));
}

/// Each folder has a file, and a folder that is listed while the rest of the entries is in memory.
#[cfg(feature = "webdav")]
#[tokio::test]
async fn a_tree_whose_folders_never_end_is_a_protocol_error_before_it_fills_the_memory() {
    let server = MockServer::start().await;
    let entry = |path: &str, kind: &str| {
        format!(
            "<D:response><D:href>{path}</D:href><D:propstat><D:prop><D:resourcetype>{kind}</D:resourcetype>\
             <D:getcontentlength>1</D:getcontentlength>\
             <D:getlastmodified>Sun, 01 Mar 2026 10:00:00 GMT</D:getlastmodified><D:padding>{}</D:padding></D:prop>\
             <D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>",
            "x".repeat(15_000)
        )
    };
    let folder = "<D:collection/>";
    let tree = move |request: &Request| {
        let path = request.url.path();
        let files: String = (0..1000).map(|number| entry(&format!("{path}{number}"), "")).collect();
        let entries = entry(path, folder) + &entry(&format!("{path}0file"), "") + &entry(&format!("{path}a/"), folder);
        let document = format!("<D:multistatus xmlns:D=\"DAV:\">{entries}{files}</D:multistatus>");
        ResponseTemplate::new(207).set_body_string(document)
    };
    Mock::given(method("PROPFIND")).respond_with(tree).mount(&server).await;
    let store = crate::open("webdav", &server.uri(), &[]);
    let error = store.list(List::new().recursive(true)).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Protocol, Effect::Rejected), "{error}");
    assert!(error.message().contains("more than 64 MiB"), "{error}");
    assert_eq!(server.received_requests().await.unwrap().len(), 5);
}
