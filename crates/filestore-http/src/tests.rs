//! Tests of the client. Single requests and statuses are tested against mocks that match and count requests. Responses
//! that are late, incomplete or lost are tested against a [`ScriptedServer`](crate::testing::ScriptedServer).

mod broken;
mod limits;
mod resume;
mod secrets;
mod statuses;
mod tls;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use filestore_core::{Body, ErrorKind};

use crate::testing::TestClock;
use crate::{HttpClient, HttpConfig, Idempotency, Method, Request, RequestBody, Response, Url};

const SECOND: Duration = Duration::from_secs(1);

fn client(base: &Url) -> (HttpClient, Arc<TestClock>) {
    client_with(&HttpConfig::default(), base)
}

fn client_with(config: &HttpConfig, base: &Url) -> (HttpClient, Arc<TestClock>) {
    let clock = TestClock::new();
    let client = HttpClient::with_clock(config, base, Arc::clone(&clock) as _).unwrap();
    (client, clock)
}

fn post(url: Url, idempotency: Idempotency, body: Body) -> Request {
    Request::new(Method::POST, url, idempotency).body(RequestBody::Body(None, Arc::new(body)))
}

fn one_shot(content: &'static str) -> Body {
    Body::from_reader(content.as_bytes(), Some(content.len() as u64))
}

async fn text(mut response: Response) -> String {
    String::from_utf8(response.bytes(1000).await.unwrap().to_vec()).unwrap()
}

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
