//! The request on the wire, and the parts of a response.

use std::sync::Arc;

use bytes::Bytes;
use filestore_core::{Body, ErrorKind};
use futures::{StreamExt, stream};
use wiremock::matchers::{any, body_string, header, header_regex, method};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{client, one_shot, post, text};
use crate::header::{AUTHORIZATION, CONTENT_TYPE};
use crate::testing::{Reply, ScriptedServer};
use crate::{Form, HeaderValue, Idempotency, Method, Request, RequestBody, Url, secret_header};

fn url(server: &MockServer) -> Url {
    server.uri().parse().unwrap()
}

fn without_header(name: &'static str) -> impl wiremock::Match {
    move |request: &wiremock::Request| !request.headers.contains_key(name)
}

#[tokio::test]
async fn a_form_of_known_length_is_announced_exactly() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(header_regex("content-type", "^multipart/form-data; boundary=[^ ]+$"))
        .and(without_header("transfer-encoding"))
        .and(|request: &wiremock::Request| {
            request.headers.get("content-length").is_some_and(|length| *length == request.body.len().to_string())
        })
        .respond_with(ResponseTemplate::new(200).set_body_string("ok"))
        .expect(1)
        .mount(&server)
        .await;
    let form = Form::new().field("a", "1").file("file", "x.txt", Some("text/plain"), one_shot("hello"));
    let request = Request::new(Method::POST, url(&server), Idempotency::NonIdempotent).body(form);
    assert_eq!(text(client(&url(&server)).0.send(request).await.unwrap()).await, "ok");
}

#[tokio::test]
async fn a_body_of_unknown_length_is_sent_in_chunks() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(header("transfer-encoding", "chunked"))
        .and(without_header("content-length"))
        .and(body_string("abcd"))
        .respond_with(ResponseTemplate::new(200))
        .expect(1)
        .mount(&server)
        .await;
    let body = Body::from_stream(stream::iter(["ab", "cd"]).map(Ok::<_, filestore_core::Error>), None);
    client(&url(&server)).0.send(post(url(&server), Idempotency::NonIdempotent, body)).await.unwrap();
}

#[tokio::test]
async fn an_empty_body_has_a_content_length_of_zero() {
    let server = MockServer::start().await;
    Mock::given(method("PUT"))
        .and(header("content-length", "0"))
        .respond_with(ResponseTemplate::new(200))
        .expect(1)
        .mount(&server)
        .await;
    let empty = RequestBody::Body(None, Arc::new("".into()));
    let request = Request::new(Method::PUT, url(&server), Idempotency::Idempotent).body(empty);
    client(&url(&server)).0.send(request).await.unwrap();
}

#[tokio::test]
async fn credentials_are_sent_only_to_the_origin_of_the_base_url() {
    let (base, other) = (MockServer::start().await, MockServer::start().await);
    let ok = || ResponseTemplate::new(200);
    Mock::given(header("authorization", "Bearer x")).respond_with(ok()).expect(1).mount(&base).await;
    Mock::given(without_header("authorization")).respond_with(ok()).expect(1).mount(&other).await;
    let (client, _) = client(&url(&base));
    for url in [url(&base), url(&other)] {
        client.send(Request::get(url).credential(AUTHORIZATION, secret_header("Bearer x").unwrap())).await.unwrap();
    }
}

#[test]
fn an_origin_is_scheme_host_and_port_in_any_spelling() {
    let base: Url = "https://Files.Example.com:443/api/v1".parse().unwrap();
    let (client, _) = client(&base);
    for (url, is_same_origin) in [
        ("https://files.example.com/elsewhere?x=1", true),
        ("HTTPS://FILES.EXAMPLE.COM:443", true),
        ("https://me:pw@files.example.com/", true),
        ("http://files.example.com/api/v1", false),
        ("http://files.example.com:443/api/v1", false),
        ("https://files.example.com:4433/api/v1", false),
        ("https://files.example.com.evil.test/", false),
        ("https://files.example.com@evil.test/", false),
        ("https://evil.test/https://files.example.com/", false),
        ("https://files.example.com./", false),
    ] {
        let request = Request::get(url.parse().unwrap()).credential(AUTHORIZATION, secret_header("x").unwrap());
        let head = client.headers(&request.0, Some(0)).unwrap();
        assert_eq!(head.contains_key(AUTHORIZATION), is_same_origin, "{url}");
        assert!(head.values().all(HeaderValue::is_sensitive), "{url}");
    }
}

#[tokio::test]
async fn a_header_that_is_set_twice_is_sent_once_with_the_last_value() {
    let server = MockServer::start().await;
    Mock::given(header("content-type", "text/b"))
        .respond_with(ResponseTemplate::new(200))
        .expect(1)
        .mount(&server)
        .await;
    let request = Request::new(Method::POST, url(&server), Idempotency::NonIdempotent)
        .body(RequestBody::Bytes(Some("text/own"), "x".into()))
        .header(CONTENT_TYPE, HeaderValue::from_static("text/a"))
        .header(CONTENT_TYPE, HeaderValue::from_static("text/b"));
    client(&url(&server)).0.send(request).await.unwrap();
    let received = server.received_requests().await.unwrap();
    assert_eq!(received[0].headers.get_all(CONTENT_TYPE).iter().count(), 1);
}

#[tokio::test]
async fn a_length_is_announced_once_for_every_kind_of_body() {
    let bytes = || RequestBody::Bytes(None, "abc".into());
    let known = || RequestBody::Body(None, Arc::new(one_shot("abc")));
    let unknown = || RequestBody::Body(None, Arc::new(Body::from_reader(&b"abc"[..], None)));
    for (method, body, length, content) in [
        (Method::POST, RequestBody::Empty, None, ""),
        (Method::GET, RequestBody::Empty, None, ""),
        (Method::POST, RequestBody::Bytes(None, Bytes::new()), Some("0"), ""),
        (Method::GET, bytes(), Some("3"), "abc"),
        (Method::POST, bytes(), Some("3"), "abc"),
        (Method::PUT, known(), Some("3"), "abc"),
        (Method::PUT, unknown(), None, "abc"),
    ] {
        let server = MockServer::start().await;
        Mock::given(any()).respond_with(ResponseTemplate::new(200)).mount(&server).await;
        let request = Request::new(method.clone(), url(&server), Idempotency::NonIdempotent).body(body);
        client(&url(&server)).0.send(request).await.unwrap();
        let received = server.received_requests().await.unwrap().remove(0);
        let lengths: Vec<_> =
            received.headers.get_all("content-length").iter().map(|length| length.to_str().unwrap()).collect();
        assert_eq!((lengths, received.body.as_slice()), (Vec::from_iter(length), content.as_bytes()), "{method}");
    }
}

#[tokio::test]
async fn a_redirect_is_returned_and_not_followed() {
    let server = MockServer::start().await;
    let redirect = ResponseTemplate::new(301).insert_header("location", "/elsewhere");
    Mock::given(any()).respond_with(redirect).expect(1).mount(&server).await;
    let response = client(&url(&server)).0.send(Request::get(url(&server))).await.unwrap();
    assert_eq!(response.location().unwrap().path(), "/elsewhere");
}

#[tokio::test]
async fn an_error_about_json_does_not_repeat_its_values() {
    for (body, expected) in [(r#"{"key":"CANARY"}"#, "another shape"), (r#"["CANA"#, "breaks off")] {
        let server = MockServer::start().await;
        let template = ResponseTemplate::new(200).set_body_raw(body, "application/json");
        Mock::given(any()).respond_with(template).expect(1).mount(&server).await;
        let mut response = client(&url(&server)).0.send(Request::get(url(&server))).await.unwrap();
        let error = response.json::<Vec<u8>>(1000).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!format!("{error:?}").contains("CANA"));
    }
}

#[tokio::test]
async fn a_response_with_any_coding_but_chunked_is_encoded() {
    async fn codings(headers: &'static str) -> (bool, bool) {
        let text = format!("HTTP/1.1 200 OK\r\n{headers}\r\nConnection: close\r\n\r\n2\r\nhi\r\n0\r\n\r\n");
        let server = ScriptedServer::start([Reply::Response(text.into_bytes())]).await;
        let response = client(&server.url()).0.send(Request::get(server.url())).await.unwrap();
        let check = |checked: filestore_core::Result<()>| match checked {
            Ok(()) => false,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
                assert!(error.message().contains("is encoded with"), "{error}");
                true
            }
        };
        (check(response.check_identity()), check(response.check_transfer_coding()))
    }
    for plain in ["Transfer-Encoding: chunked", "Transfer-Encoding: Chunked\r\nContent-Encoding: Identity", "A: b"] {
        assert_eq!(codings(plain).await, (false, false), "{plain}");
    }
    for encoded in [
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: deflate",
    ] {
        assert_eq!(codings(encoded).await, (true, true), "{encoded}");
    }
    for encoded in ["Content-Encoding: br", "Content-Encoding: identity\r\nContent-Encoding: gzip"] {
        assert_eq!(codings(encoded).await, (true, false), "{encoded}");
    }
}
