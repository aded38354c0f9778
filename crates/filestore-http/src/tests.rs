//! The client against servers that answer late, wrongly, partly or not at all.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use filestore_core::{Body, Effect, Error, ErrorKind};
use futures::channel::oneshot;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};

use crate::header::{AUTHORIZATION, HeaderValue};
use crate::testing::{Act, ScriptedServer, TestClock};
use crate::{Answer, Form, HttpClient, HttpConfig, Method, Payload, Repeat, Request, Url, secret_header};

const SECOND: Duration = Duration::from_secs(1);

fn client_with(config: &HttpConfig, server: &ScriptedServer) -> (HttpClient, Arc<TestClock>) {
    let clock = TestClock::new();
    let client = HttpClient::with_clock(config, &server.url(), Arc::clone(&clock) as _).unwrap();
    (client, clock)
}

fn client(server: &ScriptedServer) -> (HttpClient, Arc<TestClock>) {
    client_with(&HttpConfig::default(), server)
}

fn post(url: Url, repeat: Repeat, body: Body) -> Request {
    Request::new(Method::POST, url, repeat).payload(Payload::Body(None, Arc::new(body)))
}

fn one_shot(content: &'static str) -> Body {
    Body::reader(content.as_bytes(), Some(content.len() as u64))
}

async fn text(mut answer: Answer) -> String {
    String::from_utf8(answer.bytes(1000).await.unwrap().to_vec()).unwrap()
}

// Shapes.

#[tokio::test]
async fn a_form_of_known_length_is_announced_exactly() {
    let server = ScriptedServer::start([Act::answer(200, &[], "ok")]).await;
    let form = Form::new().field("a", "1").file("file", "x.txt", Some("text/plain"), one_shot("hello"));
    let request = Request::new(Method::POST, server.url(), Repeat::Once).payload(form);
    assert_eq!(text(client(&server).0.send(request).await.unwrap()).await, "ok");
    let seen = server.request();
    assert!(seen.whole && !seen.chunked);
    assert_eq!(seen.header("content-length").unwrap(), seen.body.len().to_string());
    assert!(seen.header("content-type").unwrap().starts_with("multipart/form-data; boundary="));
}

#[tokio::test]
async fn a_body_of_unknown_length_is_sent_in_chunks() {
    let server = ScriptedServer::start([Act::answer(200, &[], "")]).await;
    let body = Body::stream(stream::iter(["ab", "cd"]).map(|part| Ok(Bytes::from(part))), None);
    client(&server).0.send(post(server.url(), Repeat::Once, body)).await.unwrap();
    let seen = server.request();
    assert!(seen.whole && seen.chunked);
    assert_eq!(seen.text(), "abcd");
}

#[tokio::test]
async fn an_empty_body_announces_its_zero() {
    let server = ScriptedServer::start([Act::answer(200, &[], "")]).await;
    let request =
        Request::new(Method::PUT, server.url(), Repeat::Idempotent).payload(Payload::Body(None, Arc::new("".into())));
    client(&server).0.send(request).await.unwrap();
    assert_eq!(server.request().header("content-length"), Some("0"));
}

#[tokio::test]
async fn credentials_stay_at_home() {
    let home = ScriptedServer::start([Act::answer(200, &[], "")]).await;
    let other = ScriptedServer::start([Act::answer(200, &[], "")]).await;
    let (client, _) = client(&home);
    for url in [home.url(), other.url()] {
        client.send(Request::get(url).credential(AUTHORIZATION, secret_header("Bearer x").unwrap())).await.unwrap();
    }
    assert_eq!(home.request().header("authorization"), Some("Bearer x"));
    assert_eq!(other.request().header("authorization"), None);
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let server = ScriptedServer::start([Act::answer(301, &["Location: /elsewhere"], "")]).await;
    let answer = client(&server).0.send(Request::get(server.url())).await.unwrap();
    assert_eq!(answer.location().unwrap().path(), "/elsewhere");
    assert_eq!(server.requests().len(), 1);
}

// Retries.

#[tokio::test]
async fn a_safe_request_is_repeated_until_it_is_answered() {
    let busy = Act::answer(503, &[], "");
    let server = ScriptedServer::start([busy, Act::lost(), Act::answer(200, &[], "ok")]).await;
    let (client, clock) = client(&server);
    let answer = client.send(Request::get(server.url())).await.unwrap();
    assert_eq!((answer.attempts(), answer.status().as_u16()), (3, 200));
    assert_eq!(clock.slept(), [SECOND / 2, SECOND]);
}

#[tokio::test]
async fn the_last_answer_is_given_when_the_attempts_are_used_up() {
    let server = ScriptedServer::start(vec![Act::answer(503, &[], "down"); 4]).await;
    let answer = client(&server).0.send(Request::get(server.url())).await.unwrap();
    assert_eq!((answer.attempts(), answer.status().as_u16(), answer.effect()), (4, 503, Effect::Rejected));
    assert_eq!(text(answer).await, "down");
}

#[tokio::test]
async fn retry_after_is_honoured_in_both_forms() {
    let in_seconds = Act::answer(429, &["Retry-After: 7"], "");
    let as_date = Act::answer(429, &["Retry-After: Sun, 01 Mar 2026 10:00:16 GMT"], "");
    let server = ScriptedServer::start([in_seconds, as_date, Act::answer(200, &[], "")]).await;
    let (client, clock) = client(&server);
    // Once: a 429 did nothing, so it may be sent again.
    let answer = client.send(post(server.url(), Repeat::Once, "x".into())).await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    assert_eq!(clock.slept(), [7 * SECOND, 9 * SECOND]);
}

#[tokio::test]
async fn a_wait_beyond_the_limit_is_reported_and_not_waited_for() {
    let server = ScriptedServer::start([Act::answer(429, &["Retry-After: 60"], "")]).await;
    let (client, clock) = client(&server);
    let answer = client.send(Request::get(server.url())).await.unwrap();
    let error = answer.error(ErrorKind::RateLimited, "slow down");
    assert_eq!((error.retry_after(), error.effect()), (Some(60 * SECOND), Effect::Rejected));
    assert_eq!(clock.slept(), []);
}

#[tokio::test]
async fn a_lost_answer_of_something_done_once_is_unknown_and_final() {
    let server = ScriptedServer::start([Act::lost()]).await;
    let error = client(&server).0.send(post(server.url(), Repeat::Once, "x".into())).await.unwrap_err();
    assert_eq!((error.kind(), error.effect(), error.attempts()), (ErrorKind::Unavailable, Effect::Unknown, 1));
    assert!(server.request().whole);
}

#[tokio::test]
async fn a_consuming_read_is_sent_once_whatever_is_answered() {
    for act in [Act::lost(), Act::answer(429, &["Retry-After: 1"], ""), Act::answer(503, &[], "")] {
        let server = ScriptedServer::start([act.clone()]).await;
        let request = Request::new(Method::GET, server.url(), Repeat::Consuming).own_connection();
        let answer = client(&server).0.send(request).await;
        assert!(answer.is_ok_and(|answer| !answer.status().is_success()) || matches!(act, Act::AnswerThenReset(_)));
        assert_eq!(server.requests().len(), 1, "{act:?}");
    }
}

#[tokio::test]
async fn an_idempotent_request_after_a_lost_answer_knows_that_it_may_be_an_echo() {
    let server = ScriptedServer::start([Act::lost(), Act::answer(404, &[], "")]).await;
    let request = Request::new(Method::DELETE, server.url(), Repeat::Idempotent);
    let answer = client(&server).0.send(request).await.unwrap();
    assert!(answer.may_be_an_echo());
    assert_eq!(answer.status().as_u16(), 404);
}

#[tokio::test]
async fn a_refused_connection_was_not_sent_and_costs_a_one_shot_body_nothing() {
    let (server, open) = ScriptedServer::start_later([Act::answer(200, &[], "ok")]);
    let (client, clock) = client(&server);
    let mut open = Some(open);
    clock.before_sleep(move || open.take().into_iter().for_each(|open| open()));
    let answer = client.send(post(server.url(), Repeat::Once, one_shot("hello"))).await.unwrap();
    assert_eq!((answer.attempts(), answer.may_be_an_echo()), (2, false));
    assert_eq!(server.request().text(), "hello");
}

#[tokio::test]
async fn without_any_connection_nothing_was_sent() {
    let (server, _never) = ScriptedServer::start_later([]);
    let error = client(&server).0.send(post(server.url(), Repeat::Once, "x".into())).await.unwrap_err();
    assert_eq!((error.kind(), error.effect(), error.attempts()), (ErrorKind::Unavailable, Effect::NotSent, 4));
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_one_shot_body_that_was_read_is_not_repeated() {
    let server = ScriptedServer::start([Act::lost()]).await;
    let error = client(&server).0.send(post(server.url(), Repeat::Idempotent, one_shot("x"))).await.unwrap_err();
    assert_eq!((error.effect(), error.attempts()), (Effect::Unknown, 1));
}

#[tokio::test]
async fn an_outage_is_not_multiplied() {
    let server = ScriptedServer::start(vec![Act::answer(503, &[], ""); 100]).await;
    let (client, _) = client(&server);
    for _ in 0..30 {
        client.send(Request::get(server.url())).await.unwrap();
    }
    assert_eq!(server.requests().len(), 30 + 20);
}

#[tokio::test]
async fn a_configured_rate_spaces_requests() {
    let server = ScriptedServer::start(vec![Act::answer(200, &[], ""); 3]).await;
    let config = HttpConfig { rate: std::num::NonZeroU32::new(30), ..HttpConfig::default() };
    let (client, clock) = client_with(&config, &server);
    for _ in 0..3 {
        client.send(Request::get(server.url())).await.unwrap();
    }
    assert_eq!(clock.slept(), [2 * SECOND, 2 * SECOND]);
}

// Limits.

#[tokio::test]
async fn an_answer_that_does_not_come_is_a_timeout_of_unknown_effect() {
    let server = ScriptedServer::start([Act::hang()]).await;
    let (client, clock) = client(&server);
    let work = {
        let request = post(server.url(), Repeat::Once, "x".into());
        tokio::spawn(async move { client.send(request).await.map(|_| ()) })
    };
    server.received(1).await;
    let error = clock.run_out(work, 60 * SECOND).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::Unknown));
    assert!(error.to_string().contains("nothing moved for 60 s"), "{error}");
}

#[tokio::test]
async fn a_body_that_does_not_go_on_is_a_timeout() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhell".to_vec();
    let server = ScriptedServer::start([Act::AnswerThenHang(head)]).await;
    let (client, clock) = client(&server);
    let mut stream = client.send(Request::get(server.url())).await.unwrap().stream();
    assert_eq!(stream.try_next().await.unwrap().unwrap(), "hell");
    let work = tokio::spawn(async move { stream.try_next().await });
    let error = clock.run_out(work, 60 * SECOND).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("after 4 of 10 bytes"), "{error}");
}

#[tokio::test]
async fn a_caller_who_is_slow_himself_is_waited_for() {
    let server = ScriptedServer::start([Act::answer(200, &[], "ok")]).await;
    let (client, clock) = client(&server);
    let (asked, was_asked) = oneshot::channel();
    let (go, may_go) = oneshot::channel();
    let slow = stream::once(async move {
        asked.send(()).unwrap();
        may_go.await.unwrap();
        Ok(Bytes::from("cd"))
    });
    let body = Body::stream(stream::iter([Ok(Bytes::from("ab"))]).chain(slow), Some(4));
    let request = post(server.url(), Repeat::Once, body);
    let work = tokio::spawn(async move { client.send(request).await });
    was_asked.await.unwrap();
    for _ in 0..20 {
        clock.advance(60 * SECOND);
        tokio::task::yield_now().await;
    }
    go.send(()).unwrap();
    work.await.unwrap().unwrap();
    assert_eq!(server.request().text(), "abcd");
}

#[tokio::test]
async fn a_total_limit_ends_a_transfer_that_moves() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhell".to_vec();
    let server = ScriptedServer::start([Act::AnswerThenHang(head)]).await;
    let config = HttpConfig { timeout: Some(5 * SECOND), ..HttpConfig::default() };
    let (client, clock) = client_with(&config, &server);
    let mut stream = client.send(Request::get(server.url())).await.unwrap().stream();
    assert!(stream.try_next().await.unwrap().is_some());
    let work = tokio::spawn(async move { stream.try_next().await });
    let error = clock.run_out(work, 5 * SECOND).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn json_has_a_bound_whether_it_is_announced_or_not() {
    let announced = Act::answer(200, &[], vec![b' '; 2000]);
    let mut chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7D0\r\n".to_vec();
    chunked.extend([b' '; 2000]);
    chunked.extend(b"\r\n0\r\n\r\n");
    let server = ScriptedServer::start([announced, Act::Answer(chunked)]).await;
    let (client, _) = client(&server);
    for _ in 0..2 {
        let mut answer = client.send(Request::get(server.url())).await.unwrap();
        let error = answer.json::<Vec<u8>>(1999).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert!(error.to_string().contains("more than the 1999 bytes"), "{error}");
    }
}

#[tokio::test]
async fn json_that_cannot_be_read_does_not_repeat_its_values() {
    let server = ScriptedServer::start([Act::json(200, r#"{"key":"CANARY"}"#), Act::json(200, r#"["CANA"#)]).await;
    let (client, _) = client(&server);
    for expected in ["another shape", "breaks off"] {
        let mut answer = client.send(Request::get(server.url())).await.unwrap();
        let error = answer.json::<Vec<u8>>(1000).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!format!("{error:?}").contains("CANA"));
    }
}

// Bodies that fail.

#[tokio::test]
async fn the_bodys_own_error_comes_back_unchanged() {
    let server = ScriptedServer::start([Act::answer(200, &[], "")]).await;
    let (client, _) = client(&server);
    let parts = [Ok(Bytes::from("ab")), Err(Error::new(ErrorKind::Quota, Effect::NotSent, "the disk is gone"))];
    let error = client.send(post(server.url(), Repeat::Safe, Body::stream(stream::iter(parts), Some(4)))).await;
    let error = error.unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Quota, "the disk is gone"));

    let short = Body::stream(stream::iter([Ok(Bytes::from("ab"))]), Some(4));
    let error = client.send(post(server.url(), Repeat::Safe, short)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("2 of the 4 bytes"), "{error}");
    assert!(server.requests().iter().all(|request| !request.whole));
}

#[tokio::test]
async fn a_download_that_breaks_says_how_far_it_was() {
    let server = ScriptedServer::start([Act::cut(200, &[], 10, "hell")]).await;
    let request = Request::new(Method::GET, server.url(), Repeat::Consuming);
    let stream = client(&server).0.send(request).await.unwrap().stream();
    assert_eq!(stream.length(), Some(10));
    let error = stream.try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::Unknown));
}

// Resumed downloads.

async fn resumed(acts: Vec<Act>) -> (Result<String, Error>, ScriptedServer) {
    let server = ScriptedServer::start(acts).await;
    let url = server.url();
    let answer = client(&server).0.send(Request::get(url.clone())).await.unwrap();
    let stream = answer.resumable_stream(move || {
        let url = url.clone();
        async move { Ok(Request::get(url)) }.boxed()
    });
    let bytes = stream.collect(1000).await;
    (bytes.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()), server)
}

#[tokio::test]
async fn a_broken_download_goes_on_where_it_stopped() {
    let (text, server) = resumed(vec![
        Act::Answer(b"HTTP/1.1 200 X\r\nETag: \"v1\"\r\nContent-Length: 10\r\n\r\n0123".to_vec()),
        Act::Answer(
            b"HTTP/1.1 206 X\r\nETag: \"v1\"\r\nContent-Range: bytes 4-9/10\r\nContent-Length: 6\r\n\r\n45".to_vec(),
        ),
        Act::answer(206, &["ETag: \"v1\"", "Content-Range: bytes 6-9/10"], "6789"),
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
async fn a_file_that_changed_is_not_glued_together() {
    let first = Act::Answer(b"HTTP/1.1 200 X\r\nETag: \"v1\"\r\nContent-Length: 10\r\n\r\n0123".to_vec());
    for second in [
        Act::answer(200, &["ETag: \"v2\""], "abcdefghij"),
        Act::answer(206, &["ETag: \"v2\"", "Content-Range: bytes 4-9/10"], "efghij"),
        Act::answer(206, &["ETag: \"v1\"", "Content-Range: bytes 5-9/10"], "fghij"),
    ] {
        let (text, _) = resumed(vec![first.clone(), second]).await;
        assert_eq!(text.unwrap_err().kind(), ErrorKind::Integrity);
    }
}

#[tokio::test]
async fn without_a_strong_etag_nothing_is_resumed() {
    let weak = Act::Answer(b"HTTP/1.1 200 X\r\nETag: W/\"v1\"\r\nContent-Length: 10\r\n\r\n0123".to_vec());
    let (text, server) = resumed(vec![weak]).await;
    assert_eq!(text.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(server.requests().len(), 1);
}

// Configuration and secrets.

#[test]
fn settings_that_cannot_be_used_are_configuration_errors() {
    let base: Url = "http://127.0.0.1:1/".parse().unwrap();
    let empty = tempfile::NamedTempFile::new().unwrap();
    let wrong = [
        HttpConfig { ca_file: Some("/nowhere/ca.pem".into()), ..HttpConfig::default() },
        HttpConfig { ca_file: Some(empty.path().into()), ..HttpConfig::default() },
        HttpConfig { proxy: Some("http://u:CANARY@[".to_owned().into()), ..HttpConfig::default() },
        HttpConfig { user_agent: Some("a\nb".into()), ..HttpConfig::default() },
    ];
    for config in wrong {
        let error = HttpClient::new(&config, &base).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(!format!("{error:?}").contains("CANARY"), "{error:?}");
    }
}

/// Everything that was traced.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_trace_and_no_error_shows_a_secret() {
    let log = Log::default();
    let sink = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || sink.clone())
        .finish();
    // Global, because a scoped one is not heard by call sites that another test's thread meets first.
    tracing::subscriber::set_global_default(subscriber).unwrap();

    let server = ScriptedServer::start([Act::answer(503, &[], ""), Act::lost(), Act::lost(), Act::lost()]).await;
    let (client, _) = client(&server);
    let url = server.url().join("/PATH-CANARY?signature=QUERY-CANARY").unwrap();
    let request =
        Request::get(url).credential(AUTHORIZATION, HeaderValue::from_static("Bearer HEADER-CANARY")).secret_path();
    let error = client.send(request).await.unwrap_err();

    assert!(server.requests()[0].head.contains("HEADER-CANARY"));
    let traced = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(traced.contains("attempt=4"), "{traced}");
    assert!(!traced.contains("CANARY"), "{traced}");
    let mut chain = format!("{error} {error:?}");
    let mut cause = std::error::Error::source(&error);
    while let Some(source) = cause {
        chain.push_str(&format!(" {source} {source:?}"));
        cause = source.source();
    }
    assert!(!chain.contains("CANARY"), "{chain}");
}
