//! Connections that break before, during and after a request: the retries and the effect.

use bytes::Bytes;
use filestore_core::{Body, Effect, Error, ErrorKind};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{SECOND, client, one_shot, post};
use crate::testing::{Reply, ScriptedServer};
use crate::{HttpConfig, Idempotency, Method, Request, Url};

#[tokio::test]
async fn a_safe_request_is_retried_until_it_succeeds() {
    let busy = Reply::with_status(503, &[], "");
    let server = ScriptedServer::start([busy, Reply::lost(), Reply::with_status(200, &[], "ok")]).await;
    let (client, clock) = client(&server.url());
    let response = client.send(Request::get(server.url())).await.unwrap();
    assert_eq!((response.attempts(), response.status().as_u16()), (3, 200));
    assert_eq!(clock.slept(), [SECOND / 2, SECOND]);
}

#[tokio::test]
async fn a_lost_response_to_a_non_idempotent_request_is_unknown_and_final() {
    let server = ScriptedServer::start([Reply::lost()]).await;
    let error =
        client(&server.url()).0.send(post(server.url(), Idempotency::NonIdempotent, "x".into())).await.unwrap_err();
    assert_eq!((error.kind(), error.effect(), error.attempts()), (ErrorKind::Unavailable, Effect::Unknown, 1));
    assert!(server.request().whole);
}

#[tokio::test]
async fn a_lost_response_to_a_consuming_read_is_final() {
    let server = ScriptedServer::start([Reply::lost()]).await;
    let request = Request::new(Method::GET, server.url(), Idempotency::Consuming).fresh_connection();
    let error = client(&server.url()).0.send(request).await.unwrap_err();
    assert_eq!((error.effect(), error.attempts()), (Effect::Unknown, 1));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_rejection_after_a_lost_response_is_of_unknown_effect() {
    let server = ScriptedServer::start([Reply::lost(), Reply::with_status(404, &[], "")]).await;
    let request = Request::new(Method::DELETE, server.url(), Idempotency::Idempotent);
    let response = client(&server.url()).0.send(request).await.unwrap();
    assert_eq!(response.effect_if_rejected(), Effect::Unknown);
    assert_eq!(response.status().as_u16(), 404);
}

#[tokio::test]
async fn a_one_shot_body_is_retried_after_a_connection_that_failed() {
    let (server, open) = ScriptedServer::start_later([Reply::with_status(200, &[], "ok")]);
    let (client, clock) = client(&server.url());
    let mut open = Some(open);
    clock.before_sleep(move || open.take().into_iter().for_each(|open| open()));
    let response = client.send(post(server.url(), Idempotency::NonIdempotent, one_shot("hello"))).await.unwrap();
    assert_eq!((response.attempts(), response.effect_if_rejected()), (2, Effect::Rejected));
    assert_eq!(server.request().text(), "hello");
}

#[tokio::test]
async fn without_a_connection_the_effect_is_not_sent() {
    let (server, _never) = ScriptedServer::start_later([]);
    let error =
        client(&server.url()).0.send(post(server.url(), Idempotency::NonIdempotent, "x".into())).await.unwrap_err();
    assert_eq!((error.kind(), error.effect(), error.attempts()), (ErrorKind::Unavailable, Effect::NotSent, 4));
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_one_shot_body_that_was_read_is_not_retried() {
    let server = ScriptedServer::start([Reply::lost()]).await;
    let error =
        client(&server.url()).0.send(post(server.url(), Idempotency::Idempotent, one_shot("x"))).await.unwrap_err();
    assert_eq!((error.effect(), error.attempts()), (Effect::Unknown, 1));
}

#[tokio::test]
async fn an_error_of_the_request_body_is_returned_unchanged() {
    let server = ScriptedServer::start([Reply::with_status(200, &[], "")]).await;
    let (client, _) = client(&server.url());
    let chunks = [Ok(Bytes::from("ab")), Err(Error::new(ErrorKind::Quota, Effect::NotSent, "the disk is gone"))];
    let error =
        client.send(post(server.url(), Idempotency::Safe, Body::from_stream(stream::iter(chunks), Some(4)))).await;
    let error = error.unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Quota, "the disk is gone"));

    let short = Body::from_stream(stream::iter([Ok::<_, Error>("ab")]), Some(4));
    let error = client.send(post(server.url(), Idempotency::Safe, short)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("2 of the 4 bytes"), "{error}");
    assert!(server.requests().iter().all(|request| !request.whole));
}

#[tokio::test]
async fn a_consuming_download_that_breaks_is_of_unknown_effect() {
    let server = ScriptedServer::start([Reply::cut(200, &[], 10, "hell")]).await;
    let request = Request::new(Method::GET, server.url(), Idempotency::Consuming);
    let stream = client(&server.url()).0.send(request).await.unwrap().stream();
    assert_eq!(stream.length(), Some(10));
    let error = stream.try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::Unknown));
}

#[tokio::test]
async fn a_buffered_response_that_breaks_off_is_retried() {
    let server =
        ScriptedServer::start([Reply::cut(200, &[], 10, "hal"), Reply::with_status(200, &["X-A: b"], "whole")]).await;
    let (client, clock) = client(&server.url());
    let mut response = client.send(Request::get(server.url()).buffered()).await.unwrap();
    assert_eq!((response.attempts(), response.header("x-a"), clock.slept().len()), (2, Some("b"), 1));
    assert_eq!(response.bytes(5).await.unwrap(), "whole");
}

#[tokio::test]
async fn an_incomplete_response_to_a_non_idempotent_request_is_unknown_and_final() {
    let server = ScriptedServer::start([Reply::cut(200, &[], 10, "hal")]).await;
    let request = post(server.url(), Idempotency::NonIdempotent, "x".into()).buffered();
    let error = client(&server.url()).0.send(request).await.unwrap_err();
    assert_eq!((error.kind(), error.effect(), error.attempts()), (ErrorKind::Unavailable, Effect::Unknown, 1));
}

#[tokio::test]
async fn an_error_response_that_breaks_off_is_returned() {
    let server = ScriptedServer::start([Reply::cut(404, &[], 10, "not")]).await;
    let mut response = client(&server.url()).0.send(Request::get(server.url()).buffered()).await.unwrap();
    assert_eq!((response.status().as_u16(), response.attempts()), (404, 1));
    assert_eq!(response.error_body().await, "not");
}

#[tokio::test]
async fn a_body_of_another_length_than_announced_fails_the_upload() {
    for (chunks, length) in [(&["ab", "cd"][..], 2), (&["ab", "cd"], 3), (&["ab", "", "cd"], 5), (&["ab", ""], 3)] {
        let server = ScriptedServer::start([Reply::with_status(200, &[], "")]).await;
        let chunks: Vec<_> = chunks.iter().copied().map(Ok::<_, Error>).collect();
        let body = Body::from_stream(stream::iter(chunks), Some(length));
        let result = client(&server.url()).0.send(post(server.url(), Idempotency::NonIdempotent, body)).await;
        assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidInput, "{length}");
        assert!(server.requests().iter().all(|request| !request.whole), "{length}");
    }
}

#[tokio::test]
async fn a_body_is_complete_whatever_its_chunks() {
    for chunks in [&["ab", "", "cd", ""][..], &["", "abcd"], &["abc", "d"]] {
        let server = ScriptedServer::start([Reply::with_status(200, &[], "")]).await;
        let chunks: Vec<_> = chunks.iter().copied().map(Ok::<_, Error>).collect();
        let body = Body::from_stream(stream::iter(chunks), Some(4));
        client(&server.url()).0.send(post(server.url(), Idempotency::NonIdempotent, body)).await.unwrap();
        assert_eq!(server.request().text(), "abcd");
    }
}

#[tokio::test]
async fn an_error_response_before_the_end_of_the_request_body_is_returned() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let service = tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        connection.read_u8().await.unwrap();
        connection.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno").await.unwrap();
        connection
    });
    let never_ends = stream::iter([Ok::<_, Error>("ab")]).chain(stream::pending());
    let request = post(url.clone(), Idempotency::NonIdempotent, Body::from_stream(never_ends, Some(4)));
    let mut response = client(&url).0.send(request).await.unwrap();
    assert_eq!((response.status().as_u16(), response.bytes(2).await.unwrap()), (413, Bytes::from("no")));
    drop(service.await.unwrap());
}

#[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
#[tokio::test]
async fn a_server_without_tls_is_a_configuration_error_after_one_attempt() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Url = format!("https://{}/", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        }
    });
    let error = client(&url).0.send(Request::get(url.clone())).await.unwrap_err();
    assert_eq!((error.kind(), error.effect(), error.attempts()), (ErrorKind::Config, Effect::NotSent, 1), "{error}");
}

#[tokio::test]
async fn a_success_before_all_of_the_body_was_sent_is_a_protocol_error() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let service = tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        connection.read_u8().await.unwrap();
        connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
        connection
    });
    let endless = stream::iter([Ok::<_, Error>("some")]).chain(stream::pending());
    let body = Body::from_stream(endless, Some(100));
    let error = client(&url).0.send(post(url.clone(), Idempotency::NonIdempotent, body)).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Protocol, Effect::Unknown), "{error}");
    drop(service.await.unwrap());
}

#[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
#[tokio::test]
async fn the_error_of_a_proxy_that_refuses_a_tunnel_names_the_proxy_and_its_refusal() {
    let refusal = Reply::with_status(403, &[], "");
    let server = ScriptedServer::start(vec![refusal; 4]).await;
    let url: Url = "https://files.invalid/".parse().unwrap();
    let proxied = HttpConfig { proxy: Some(server.url().to_string().into()), ..Default::default() };
    let error = super::client_with(&proxied, &url).0.send(Request::get(url)).await.unwrap_err();
    // The HTTP library does not pass on the status, which may be temporary.
    assert_eq!((error.kind(), error.effect(), error.attempts()), (ErrorKind::Unavailable, Effect::NotSent, 4));
    let port = server.url().port().unwrap();
    let refused = error.message().contains("the proxy refused the request CONNECT");
    assert!(refused && error.message().contains(&format!("127.0.0.1:{port}")), "{error}");
}
