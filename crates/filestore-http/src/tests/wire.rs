//! What one request looks like when it arrives, and what one answer is.

use std::sync::Arc;

use bytes::Bytes;
use filestore_core::Body;
use futures::{StreamExt, stream};
use wiremock::matchers::{any, body_string, header, header_regex, method};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{client, one_shot, post, text};
use crate::header::AUTHORIZATION;
use crate::{Form, Method, Payload, Repeat, Request, Url, secret_header};

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
    let request = Request::new(Method::POST, url(&server), Repeat::Once).payload(form);
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
    let body = Body::stream(stream::iter(["ab", "cd"]).map(|part| Ok(Bytes::from(part))), None);
    client(&url(&server)).0.send(post(url(&server), Repeat::Once, body)).await.unwrap();
}

#[tokio::test]
async fn an_empty_body_announces_its_zero() {
    let server = MockServer::start().await;
    Mock::given(method("PUT"))
        .and(header("content-length", "0"))
        .respond_with(ResponseTemplate::new(200))
        .expect(1)
        .mount(&server)
        .await;
    let empty = Payload::Body(None, Arc::new("".into()));
    let request = Request::new(Method::PUT, url(&server), Repeat::Idempotent).payload(empty);
    client(&url(&server)).0.send(request).await.unwrap();
}

#[tokio::test]
async fn credentials_stay_at_home() {
    let (home, other) = (MockServer::start().await, MockServer::start().await);
    let ok = || ResponseTemplate::new(200);
    Mock::given(header("authorization", "Bearer x")).respond_with(ok()).expect(1).mount(&home).await;
    Mock::given(without_header("authorization")).respond_with(ok()).expect(1).mount(&other).await;
    let (client, _) = client(&url(&home));
    for url in [url(&home), url(&other)] {
        client.send(Request::get(url).credential(AUTHORIZATION, secret_header("Bearer x").unwrap())).await.unwrap();
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let server = MockServer::start().await;
    let redirect = ResponseTemplate::new(301).insert_header("location", "/elsewhere");
    Mock::given(any()).respond_with(redirect).expect(1).mount(&server).await;
    let answer = client(&url(&server)).0.send(Request::get(url(&server))).await.unwrap();
    assert_eq!(answer.location().unwrap().path(), "/elsewhere");
}

#[tokio::test]
async fn json_that_cannot_be_read_does_not_repeat_its_values() {
    for (body, expected) in [(r#"{"key":"CANARY"}"#, "another shape"), (r#"["CANA"#, "breaks off")] {
        let server = MockServer::start().await;
        let answer = ResponseTemplate::new(200).set_body_raw(body, "application/json");
        Mock::given(any()).respond_with(answer).expect(1).mount(&server).await;
        let mut answer = client(&url(&server)).0.send(Request::get(url(&server))).await.unwrap();
        let error = answer.json::<Vec<u8>>(1000).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!format!("{error:?}").contains("CANA"));
    }
}
