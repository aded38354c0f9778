//! Waits, rate limits, timeouts and size limits.

use bytes::Bytes;
use filestore_core::{Body, ByteStream, Effect, Error, ErrorKind};
use futures::channel::oneshot;
use futures::{StreamExt, TryStreamExt, stream};

use super::{SECOND, client, client_with, post};
use crate::testing::{Reply, ScriptedServer};
use crate::{HttpConfig, Idempotency, Request};

#[tokio::test]
async fn retry_after_is_honored_in_both_forms() {
    let in_seconds = Reply::with_status(429, &["Retry-After: 7"], "");
    let as_date = Reply::with_status(429, &["Retry-After: Sun, 01 Mar 2026 10:00:16 GMT"], "");
    let server = ScriptedServer::start([in_seconds, as_date, Reply::with_status(200, &[], "")]).await;
    let (client, clock) = client(&server.url());
    // A 429 changed nothing, so even a non-idempotent request may be retried.
    let response = client.send(post(server.url(), Idempotency::NonIdempotent, "x".into())).await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    assert_eq!(clock.slept(), [7 * SECOND, 9 * SECOND]);
}

#[tokio::test]
async fn a_configured_rate_spaces_requests() {
    let server = ScriptedServer::start(vec![Reply::with_status(200, &[], ""); 3]).await;
    let config = HttpConfig { rate: std::num::NonZeroU32::new(30), ..HttpConfig::default() };
    let (client, clock) = client_with(&config, &server.url());
    for _ in 0..3 {
        client.send(Request::get(server.url())).await.unwrap();
    }
    assert_eq!(clock.slept(), [2 * SECOND, 2 * SECOND]);
}

#[tokio::test]
async fn a_missing_response_is_a_timeout_of_unknown_effect() {
    let server = ScriptedServer::start([Reply::hang()]).await;
    let (client, clock) = client(&server.url());
    let work = {
        let request = post(server.url(), Idempotency::NonIdempotent, "x".into());
        tokio::spawn(async move { client.send(request).await.map(|_| ()) })
    };
    server.received(1).await;
    let error = clock.run_until(work, 60 * SECOND).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::Unknown));
    assert!(error.to_string().contains("no response for 300 s, the response_timeout"), "{error}");
}

#[tokio::test]
async fn a_response_body_that_stalls_is_a_timeout() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhell".to_vec();
    let server = ScriptedServer::start([Reply::ResponseThenHang(head)]).await;
    let (client, clock) = client(&server.url());
    let mut stream = client.send(Request::get(server.url())).await.unwrap().stream();
    assert_eq!(stream.try_next().await.unwrap().unwrap(), "hell");
    let work = tokio::spawn(async move { stream.try_next().await });
    let error = clock.run_until(work, 60 * SECOND).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("after 4 of 10 bytes"), "{error}");
}

#[tokio::test]
async fn the_idle_timeout_starts_anew_after_a_pause_of_the_reader() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhell".to_vec();
    let server = ScriptedServer::start([Reply::ResponseThenHang(head)]).await;
    let (client, clock) = client(&server.url());
    let mut stream = client.send(Request::get(server.url())).await.unwrap().stream();
    clock.advance(600 * SECOND);
    assert_eq!(stream.try_next().await.unwrap().unwrap(), "hell");
    for pause in [600 * SECOND, 119 * SECOND] {
        clock.advance(pause);
        assert!(futures::poll!(stream.try_next()).is_pending(), "after {pause:?}");
    }
    clock.advance(SECOND);
    assert_eq!(stream.try_next().await.unwrap_err().kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn the_idle_timeout_does_not_run_while_the_body_is_opened() {
    let server = ScriptedServer::start([Reply::with_status(200, &[], "")]).await;
    let (client, clock) = client(&server.url());
    let open = move || {
        clock.advance(600 * SECOND);
        async { Ok(ByteStream::upload(stream::iter([Ok(Bytes::from("ab"))]), Some(2))) }
    };
    client.send(post(server.url(), Idempotency::NonIdempotent, Body::reopenable(open, Some(2)))).await.unwrap();
    assert_eq!(server.request().text(), "ab");
}

#[tokio::test]
async fn a_buffered_response_beyond_the_limit_is_streamed_to_its_end() {
    let length = crate::JSON_LIMIT + 1_000_000;
    let mut response = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    response.resize(response.len() + length, b'x');
    let server = ScriptedServer::start([Reply::Response(response)]).await;
    let (client, _) = client(&server.url());
    let stream = client.send(Request::get(server.url()).buffered()).await.unwrap().stream();
    assert_eq!(stream.collect(length).await.unwrap().len(), length);
}

#[tokio::test]
async fn the_idle_timeout_does_not_run_while_the_request_body_has_nothing_to_send() {
    let server = ScriptedServer::start([Reply::with_status(200, &[], "ok")]).await;
    let (client, clock) = client(&server.url());
    let (polled, was_polled) = oneshot::channel();
    let (release, released) = oneshot::channel();
    let slow = stream::once(async move {
        polled.send(()).unwrap();
        released.await.unwrap();
        Ok(Bytes::from("cd"))
    });
    let body = Body::from_stream(stream::iter([Ok::<_, Error>(Bytes::from("ab"))]).chain(slow), Some(4));
    let request = post(server.url(), Idempotency::NonIdempotent, body);
    let work = tokio::spawn(async move { client.send(request).await });
    was_polled.await.unwrap();
    for _ in 0..20 {
        clock.advance(60 * SECOND);
        tokio::task::yield_now().await;
    }
    release.send(()).unwrap();
    work.await.unwrap().unwrap();
    assert_eq!(server.request().text(), "abcd");
}

#[tokio::test]
async fn the_total_timeout_ends_a_transfer_that_makes_progress() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhell".to_vec();
    let server = ScriptedServer::start([Reply::ResponseThenHang(head)]).await;
    let config = HttpConfig { timeout: Some(5 * SECOND), ..HttpConfig::default() };
    let (client, clock) = client_with(&config, &server.url());
    let mut stream = client.send(Request::get(server.url())).await.unwrap().stream();
    assert!(stream.try_next().await.unwrap().is_some());
    let work = tokio::spawn(async move { stream.try_next().await });
    let error = clock.run_until(work, 5 * SECOND).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn timeouts_may_be_the_longest_duration() {
    let server = ScriptedServer::start([Reply::with_status(200, &[], "ok")]).await;
    let longest = std::time::Duration::MAX;
    let timeouts = HttpConfig { idle_timeout: longest, response_timeout: longest, ..HttpConfig::default() };
    let config = HttpConfig { timeout: Some(longest), ..timeouts };
    let (client, clock) = client_with(&config, &server.url());
    clock.advance(SECOND);
    let response = client.send(Request::get(server.url())).await.unwrap();
    assert_eq!(response.stream().collect(2).await.unwrap(), "ok");
}

#[tokio::test]
async fn the_size_limit_of_json_holds_with_and_without_an_announced_length() {
    let announced = Reply::with_status(200, &[], vec![b' '; 2000]);
    let mut chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7D0\r\n".to_vec();
    chunked.extend([b' '; 2000]);
    chunked.extend(b"\r\n0\r\n\r\n");
    let server = ScriptedServer::start([announced, Reply::Response(chunked)]).await;
    let (client, _) = client(&server.url());
    for _ in 0..2 {
        let mut response = client.send(Request::get(server.url())).await.unwrap();
        let error = response.json::<Vec<u8>>(1999).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert!(error.to_string().contains("more than the 1999 bytes"), "{error}");
    }
}

#[tokio::test]
async fn a_response_to_head_has_the_length_that_its_header_states() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n".to_vec();
    let server = ScriptedServer::start([Reply::Response(head)]).await;
    let (client, _) = client(&server.url());
    let request = Request::new(reqwest::Method::HEAD, server.url(), Idempotency::Safe);
    let response = client.send(request).await.unwrap();
    assert_eq!(response.content_length(), Some(10));
    assert_eq!(response.stream().collect(1).await.unwrap(), "");
}
