//! Downloads that break and are resumed.

use filestore_core::{Error, ErrorKind};
use futures::FutureExt;

use super::client;
use crate::Request;
use crate::testing::{Reply, ScriptedServer};

async fn resumed(replies: Vec<Reply>) -> (Result<String, Error>, ScriptedServer) {
    let server = ScriptedServer::start(replies).await;
    let url = server.url();
    let client = client(&url).0;
    let response = client.send(Request::get(url.clone())).await.unwrap();
    let stream = client.resumable_stream(response, move || {
        let url = url.clone();
        async move { Ok(Request::get(url)) }.boxed()
    });
    let bytes = stream.collect(1000).await;
    (bytes.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()), server)
}

#[tokio::test]
async fn a_broken_download_resumes_after_its_last_byte() {
    let (text, server) = resumed(vec![
        Reply::Response(b"HTTP/1.1 200 X\r\nETag: \"v1\"\r\nContent-Length: 10\r\n\r\n0123".to_vec()),
        Reply::Response(
            b"HTTP/1.1 206 X\r\nETag: \"v1\"\r\nContent-Range: bytes 4-9/10\r\nContent-Length: 6\r\n\r\n45".to_vec(),
        ),
        Reply::with_status(206, &["ETag: \"v1\"", "Content-Range: bytes 6-9/10"], "6789"),
    ])
    .await;
    assert_eq!(text.unwrap(), "0123456789");
    let requests = server.requests();
    assert_eq!(requests[0].header("range"), None);
    assert_eq!(requests[1].header("range"), Some("bytes=4-9"));
    assert_eq!(requests[1].header("if-range"), Some("\"v1\""));
    assert_eq!(requests[2].header("range"), Some("bytes=6-9"));
}

#[tokio::test]
async fn a_download_of_a_file_that_changed_is_not_resumed() {
    let first = Reply::Response(b"HTTP/1.1 200 X\r\nETag: \"v1\"\r\nContent-Length: 10\r\n\r\n0123".to_vec());
    for second in [
        Reply::with_status(200, &["ETag: \"v2\""], "abcdefghij"),
        Reply::with_status(206, &["ETag: \"v2\"", "Content-Range: bytes 4-9/10"], "efghij"),
        Reply::with_status(206, &["ETag: \"v1\"", "Content-Range: bytes 5-9/10"], "fghij"),
    ] {
        let (text, _) = resumed(vec![first.clone(), second]).await;
        assert_eq!(text.unwrap_err().kind(), ErrorKind::Integrity);
    }
}

#[tokio::test]
async fn without_a_strong_etag_nothing_is_resumed() {
    let weak = Reply::Response(b"HTTP/1.1 200 X\r\nETag: W/\"v1\"\r\nContent-Length: 10\r\n\r\n0123".to_vec());
    let (text, server) = resumed(vec![weak]).await;
    assert_eq!(text.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_range_that_exceeds_the_largest_offset_is_ignored() {
    let odd = "Content-Range: bytes 18446744073709551610-18446744073709551612/*";
    for status in [200, 206] {
        let (text, _) = resumed(vec![Reply::with_status(status, &["ETag: \"v1\"", odd], "0123456789")]).await;
        assert_eq!(text.unwrap(), "0123456789", "{status}");
    }
}

#[tokio::test]
async fn the_status_of_a_resumed_request_decides_the_error() {
    use ErrorKind::{NotFound, Permission, Protocol, RateLimited, Unauthenticated, Unavailable};
    let first = Reply::Response(b"HTTP/1.1 200 X\r\nETag: \"v1\"\r\nContent-Length: 10\r\n\r\n0123".to_vec());
    for (status, kind) in [
        (401, Unauthenticated),
        (403, Permission),
        (404, NotFound),
        (410, NotFound),
        (429, RateLimited),
        (501, Unavailable),
        (307, Protocol),
    ] {
        let failures = std::iter::repeat_n(Reply::with_status(status, &[], ""), 5);
        let (text, _) = resumed([first.clone()].into_iter().chain(failures).collect()).await;
        assert_eq!(text.unwrap_err().kind(), kind, "{status}");
    }
}

#[tokio::test]
async fn the_error_of_a_resumed_download_counts_all_attempts_and_bytes() {
    let cut = |text: &str| Reply::cut(206, &["ETag: \"v1\"", "Content-Range: bytes 4-9/10"], 6, text);
    let first = Reply::Response(b"HTTP/1.1 200 X\r\nETag: \"v1\"\r\nContent-Length: 10\r\n\r\n0123".to_vec());
    // The bytes of the third attempt reset the retries, and the last four attempts bring no byte.
    let empty = Reply::cut(206, &["ETag: \"v1\"", "Content-Range: bytes 6-9/10"], 4, "");
    for last in [empty, Reply::with_status(503, &[], "")] {
        let replies = [first.clone(), Reply::with_status(503, &[], ""), cut("45")];
        let (text, server) = resumed(replies.into_iter().chain(std::iter::repeat_n(last, 5)).collect()).await;
        let error = text.unwrap_err();
        assert_eq!((server.requests().len(), error.attempts()), (6, 6), "{error}");
        assert!(error.to_string().contains("the download broke off at byte 6"), "{error}");
    }
}

#[tokio::test]
async fn the_attempts_before_the_first_response_count_in_the_error_of_its_body() {
    let busy = Reply::with_status(503, &[], "");
    let first = Reply::cut(200, &[], 10, "0123");
    let with_etag = Reply::cut(200, &["ETag: \"v1\""], 10, "0123");
    for (first, attempts) in [(first, 2), (with_etag, 5)] {
        let replies = [busy.clone(), first].into_iter().chain(std::iter::repeat_n(Reply::lost(), 5)).collect();
        let (text, server) = resumed(replies).await;
        assert_eq!((text.unwrap_err().attempts(), server.requests().len()), (attempts, attempts as usize));
    }
}
