//! HTTP: the forms of requests that clients and proxies send, and connections that end early.

use std::time::Duration;

use filestore_emulator::Options;
use reqwest::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{RequestExt, service, service_with};

const FORM: &str = "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\nhello\r\n--B--\r\n";

/// Reads up to and including `end`.
async fn read_until(stream: &mut tokio::net::TcpStream, end: &str) -> String {
    let mut text = String::new();
    while !text.contains(end) {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(read > 0, "the connection ended after {text}");
        text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
    text
}

#[tokio::test]
async fn a_client_behind_a_proxy_setting_uploads_in_absolute_form_and_chunks() {
    let service = service().await;
    let (one, two) = FORM.split_at(20);
    let response = service
        .raw(&format!(
            "POST http://file.io/ HTTP/1.1\r\nHost: file.io\r\nConnection: close\r\n\
             Content-Type: multipart/form-data; boundary=B\r\nTransfer-Encoding: chunked\r\n\r\n\
             {:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n",
            one.len(),
            two.len()
        ))
        .await;
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    assert!(response.contains(&format!("\"link\":\"{}/", service.emulator.url())), "{response}");
}

#[tokio::test]
async fn one_connection_serves_several_requests() {
    let service = service().await;
    let mut stream = service.connect().await;
    for _ in 0..3 {
        let head = format!(
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=B\r\nContent-Length: {}\r\n\r\n",
            FORM.len() + "epilogue".len()
        );
        stream.write_all(format!("{head}{FORM}epilogue").as_bytes()).await.unwrap();
        let response = read_until(&mut stream, "}").await;
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    }
    stream.write_all(b"GET /000000000000 HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(read_until(&mut stream, "}").await.starts_with("HTTP/1.1 404 "));
}

#[tokio::test]
async fn a_client_that_expects_100_continue_gets_it() {
    let service = service().await;
    let mut stream = service.connect().await;
    let head = format!(
        "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\
         Content-Type: multipart/form-data; boundary=B\r\nContent-Length: {}\r\n\r\n",
        FORM.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(read_until(&mut stream, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(FORM.as_bytes()).await.unwrap();
    assert!(read_until(&mut stream, "}").await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn a_client_that_expects_100_continue_is_rejected_before_it_sends() {
    let service = service().await;
    let mut stream = service.connect().await;
    let head = "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nAuthorization: Bearer WRONG\r\n\
                Content-Type: multipart/form-data; boundary=B\r\nContent-Length: 1000000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let response = read_until(&mut stream, "}").await;
    assert!(response.starts_with("HTTP/1.1 401 "), "{response}");
}

#[tokio::test]
async fn a_client_that_waits_for_the_response_before_it_sends_gets_one() {
    let service = service().await;
    let mut stream = service.connect().await;
    let head = "POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer WRONG\r\nContent-Length: 1000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    assert!(read_until(&mut stream, "}").await.starts_with("HTTP/1.1 401 "));
}

#[tokio::test]
async fn a_form_of_endless_fields_is_rejected() {
    let service = service().await;
    let field = format!("--B\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n{}\r\n", "y".repeat(100_000));
    let form = format!("{}{FORM}", field.repeat(11));
    let response = service.post("/").form_body(form.as_bytes()).json_with(StatusCode::BAD_REQUEST).await;
    assert_eq!(response["message"], "the fields of the form are together longer than 1 MiB");
}

#[tokio::test]
async fn a_client_that_is_still_sending_gets_the_rejection() {
    let service = service().await;
    let request = service.post("/").bearer_auth("WRONG").body(vec![0; 20_000_000]);
    request.json_with(StatusCode::UNAUTHORIZED).await;
}

#[tokio::test]
async fn an_incomplete_upload_does_not_succeed() {
    let service = service().await;
    let mut stream = service.connect().await;
    let head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=B\r\nContent-Length: 1000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&FORM.as_bytes()[..80]).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(!String::from_utf8_lossy(&rest).contains("\"success\":true"));
}

#[tokio::test]
async fn an_incomplete_body_is_a_bad_request() {
    let service = service().await;
    let types = ["application/octet-stream", "application/json", "application/x-www-form-urlencoded"];
    for content_type in types {
        let mut stream = service.connect().await;
        let head =
            format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type}\r\nContent-Length: 9\r\n\r\ntext");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let response = read_until(&mut stream, "}").await;
        assert!(
            response.starts_with("HTTP/1.1 400 ") && response.contains("is incomplete"),
            "{content_type}: {response}"
        );
    }
}

#[tokio::test]
async fn a_request_has_exactly_one_valid_host() {
    let service = service().await;
    for path in ["/KEY", "/time/0", "/api/rest/v1/files/a", "/_emulator/clock", "/_emulator/gone", "/_storage/x"] {
        for hosts in [
            "",
            "Host: a\r\nHost: a\r\n",
            "Host: a\r\nHost: b\r\n",
            "Host:\r\n",
            "Host: a b\r\n",
            "Host: a/b\r\n",
            "Host: user@a\r\n",
            "Host: a:port\r\n",
            "Host: a:70000\r\n",
            "Host: \u{e9}\r\n",
        ] {
            let request = format!("GET {path} HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n");
            let response = service.raw(&request).await;
            assert!(response.starts_with("HTTP/1.1 400 "), "{request}{response}");
        }
    }
    for request in [
        "GET /time/0 HTTP/1.0\r\n\r\n",
        "GET /time/0 HTTP/1.1\r\nHost: a.example:80\r\nConnection: close\r\n\r\n",
        "GET /time/0 HTTP/1.1\r\nHost: a.example:\r\nConnection: close\r\n\r\n",
        "GET /time/0 HTTP/1.1\r\nHost: [::1]:80\r\nConnection: close\r\n\r\n",
    ] {
        let response = service.raw(request).await;
        assert!(response.split(' ').nth(1) == Some("200"), "{request}{response}");
    }
}

#[tokio::test]
async fn a_form_of_long_empty_fields_is_rejected() {
    let service = service().await;
    let fields = (0..110).map(|number| {
        let name = format!("{number}{}", "x".repeat(10_000));
        format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n\r\n")
    });
    let form = format!("{}{FORM}", fields.collect::<String>());
    let response = service.post("/").form_body(form.as_bytes()).json_with(StatusCode::BAD_REQUEST).await;
    assert_eq!(response["message"], "the fields of the form are together longer than 1 MiB");
}

#[tokio::test]
async fn a_body_that_stops_is_a_timeout_and_ends_the_connection() {
    let options = Options { body_timeout: Duration::from_millis(20), ..Options::default() };
    let service = service_with(options).await;
    for (target, content_type) in [
        ("POST /", "multipart/form-data; boundary=B"),
        ("POST /", "application/octet-stream"),
        ("POST /_storage/pubnub/", "multipart/form-data; boundary=B"),
        ("POST /v1/files/sub-c-emulator/channels/room/generate-upload-url?uuid=alice", "application/json"),
        ("POST /api/rest/v1/sessions", "application/json"),
        ("PUT /_emulator/faults", "text/plain"),
    ] {
        let head = format!(
            "{target} HTTP/1.1\r\nHost: {}\r\nContent-Type: {content_type}\r\nContent-Length: 1000\r\n\r\n--B\r\n",
            service.emulator.addr()
        );
        // `raw` returns when the connection ends, although the client never closes it.
        let response = service.raw(&head).await;
        assert!(response.starts_with("HTTP/1.1 408 "), "{target}: {response}");
    }
    let list = service.get("/").paid().json_with(StatusCode::OK).await;
    assert_eq!(list["count"], 0);
}

#[tokio::test]
async fn faults_that_slow_an_upload_down_are_no_pause_of_the_client() {
    let options = Options { body_timeout: Duration::from_millis(20), ..Options::default() };
    let service = service_with(options).await;
    service.set_faults("[[fault]]\ndo = { slow = { bytes_per_second = 500, of = 'request' } }");
    let file = service.post("/").form_file("a.txt", b"hello", &[]).json_with(StatusCode::OK).await;
    assert_eq!(file["size"], 5);
}

#[tokio::test]
async fn a_client_beyond_the_largest_number_of_connections_waits_for_one_to_end() {
    let service = service_with(Options { max_connections: 1, ..Options::default() }).await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut first = service.connect().await;
    first.write_all(get("/first").as_bytes()).await.unwrap();
    read_until(&mut first, "}").await;
    let mut second = service.connect().await;
    second.write_all(get("/second").as_bytes()).await.unwrap();
    for _ in 0..50 {
        first.write_all(get("/first").as_bytes()).await.unwrap();
        read_until(&mut first, "}").await;
    }
    drop(first);
    read_until(&mut second, "}").await;
    let paths: Vec<_> = service.emulator.journal().into_iter().map(|entry| entry.path).collect();
    assert_eq!(paths.len(), 52);
    assert_eq!(paths[51], "/second");
}

#[tokio::test]
async fn a_client_that_does_not_read_loses_its_connection() {
    let options = Options { response_timeout: Duration::from_millis(20), ..Options::default() };
    let service = service_with(options).await;
    let size = 64 * 1024 * 1024;
    let path = service.share(&vec![0; size]).await;
    let mut stream = service.connect().await;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
    while !service.journaled("download").first().is_some_and(|entry| entry.finished) {
        tokio::task::yield_now().await;
    }
    let mut received = Vec::new();
    let _ = stream.read_to_end(&mut received).await;
    assert!(received.len() < size, "{}", received.len());
}
