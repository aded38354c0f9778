//! Secrets that must not be in a trace or an error.

use filestore_core::Effect;

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
