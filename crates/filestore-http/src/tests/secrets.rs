//! Secrets that must not be in a trace or an error.

use std::sync::Arc;

use filestore_core::{Effect, ErrorKind};

use super::{SECOND, client};
use crate::header::{AUTHORIZATION, HeaderValue};
use crate::testing::{Reply, ScriptedServer, Traces};
use crate::{Idempotency, Method, Request};

#[tokio::test]
async fn no_trace_and_no_error_shows_a_secret() {
    let log = Traces::of_this_process();

    let server =
        ScriptedServer::start([Reply::with_status(503, &[], ""), Reply::lost(), Reply::lost(), Reply::lost()]).await;
    let (client, _) = client(&server.url());
    let mut url = server.url().join("/PATH-CANARY?signature=QUERY-CANARY").unwrap();
    url.set_password(Some("USER-CANARY")).unwrap();
    let request =
        Request::get(url).credential(AUTHORIZATION, HeaderValue::from_static("Bearer HEADER-CANARY")).secret_path();
    let error = client.send(request).await.unwrap_err();

    assert!(server.requests()[0].head.contains("HEADER-CANARY"));
    let traces = log.text();
    assert!(traces.contains("attempt=4"), "{traces}");
    assert!(!traces.contains("CANARY"), "{traces}");
    let mut chain = format!("{error} {error:?}");
    let mut cause = std::error::Error::source(&error);
    while let Some(source) = cause {
        chain.push_str(&format!(" {source} {source:?}"));
        cause = source.source();
    }
    assert!(!chain.contains("CANARY"), "{chain}");
}

#[tokio::test]
async fn the_error_of_an_incomplete_response_shows_no_secret() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhell".to_vec();
    for reply in [Reply::ResponseThenReset(head.clone()), Reply::ResponseThenHang(head)] {
        for buffered in [false, true] {
            let server = ScriptedServer::start([reply.clone()]).await;
            let (client, clock) = client(&server.url());
            let mut url = server.url().join("/PATH-CANARY?signature=QUERY-CANARY").unwrap();
            url.set_password(Some("USER-CANARY")).unwrap();
            let request = Request::new(Method::GET, url, Idempotency::Consuming).secret_path();
            let request = if buffered { request.buffered() } else { request };
            let work = tokio::spawn(async move { client.send(request).await?.bytes(10).await });
            server.received(1).await;
            let error = clock.run_until(work, SECOND).await.unwrap_err();
            assert_eq!((error.effect(), error.attempts()), (Effect::Unknown, 1));
            assert!(!format!("{error} {error:?}").contains("CANARY"), "{error:?}");
        }
    }
}

#[tokio::test]
async fn the_error_of_a_response_that_repeats_a_secret_does_not_show_it() {
    let echo = Reply::with_status(
        400,
        &[
            "X-Request-Id: id-of-key.CANARY",
            "Content-Encoding: x-KEY.CANARY",
            "Content-Type: text/KEY.CANARY",
            "Location: http://KEY.CANARY.example/PW-CANARY",
        ],
        "",
    );
    let server = ScriptedServer::start([echo]).await;
    let request = Request::get(server.url())
        .credential(AUTHORIZATION, HeaderValue::from_static("Bearer Key.Canary"))
        .secrets(Arc::from(["pw-Canary".into()]));
    let response = client(&server.url()).0.send(request).await.unwrap();

    let target = response.location().unwrap();
    for (error, expected) in [
        (response.unexpected("JSON"), "responded with status 400, text/... instead of JSON"),
        (response.check_identity().unwrap_err(), "is encoded with x-... although"),
        (response.error(ErrorKind::Other, format!("redirects to {target}")), "redirects to http://....example/..."),
        (response.error(ErrorKind::Other, "a PW-canary"), "a ..."),
    ] {
        assert!(error.message().contains(expected), "{error}");
        assert_eq!(error.request_id(), Some("id-of-..."));
    }
    assert_eq!(response.presentable("a\nPW-CANARY of key.canary, b?sig=c"), "a ... of ..., b?...");
    assert_eq!(response.without_secrets("a\nPW-CANARY"), "a\n...");
}

#[tokio::test]
async fn a_text_of_the_service_that_is_longer_than_is_shown_hides_a_secret_at_its_end() {
    let server = ScriptedServer::start([Reply::with_status(400, &[], "")]).await;
    let request = Request::get(server.url()).secrets(Arc::from(["?CANARY=\" CANARY".into()]));
    let response = client(&server.url()).0.send(request).await.unwrap();
    let text = format!("{}?CANARY=\" CANARY", "x".repeat(295));
    assert_eq!(response.presentable(&text), format!("{}...", "x".repeat(295)));
}
