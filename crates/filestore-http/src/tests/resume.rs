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
