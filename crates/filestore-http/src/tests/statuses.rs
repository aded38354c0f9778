//! Retries of statuses: how often a request is sent, and what the last response is.

use filestore_core::{Effect, ErrorKind};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{SECOND, client, post, text};
use crate::{Attempts, Idempotency, Method, Request, Url};

/// Starts a service that gives this response, and expects exactly this number of requests.
async fn responding(response: ResponseTemplate, requests: u64) -> (MockServer, Url) {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(response).expect(requests).mount(&server).await;
    let url = server.uri().parse().unwrap();
    (server, url)
}

#[tokio::test]
async fn the_last_response_is_returned_when_the_attempts_are_used_up() {
    let (_server, url) = responding(ResponseTemplate::new(503).set_body_string("down"), 4).await;
    let (client, clock) = client(&url);
    let response = client.send(Request::get(url)).await.unwrap();
    assert_eq!((response.attempts(), response.status().as_u16(), response.effect()), (4, 503, Effect::Rejected));
    assert_eq!(text(response).await, "down");
    assert_eq!(clock.slept(), [SECOND / 2, SECOND, 2 * SECOND]);
}

#[tokio::test]
async fn a_wait_beyond_the_limit_is_reported_and_not_waited_for() {
    let (_server, url) = responding(ResponseTemplate::new(429).insert_header("retry-after", "60"), 1).await;
    let (client, clock) = client(&url);
    let response = client.send(Request::get(url)).await.unwrap();
    let error = response.error(ErrorKind::RateLimited, "slow down");
    assert_eq!((error.retry_after(), error.effect()), (Some(60 * SECOND), Effect::Rejected));
    assert!(clock.slept().is_empty());
}

#[tokio::test]
async fn a_503_to_a_non_idempotent_request_is_unknown_and_final() {
    let (_server, url) = responding(ResponseTemplate::new(503), 1).await;
    let response = client(&url).0.send(post(url, Idempotency::NonIdempotent, "x".into())).await.unwrap();
    assert_eq!((response.status().as_u16(), response.effect()), (503, Effect::Unknown));
}

#[tokio::test]
async fn a_failure_that_is_neither_json_nor_xml_may_come_from_a_gateway() {
    let found_nothing = async |status, content_type: Option<&'static str>| {
        let response = ResponseTemplate::new(status);
        let response = content_type.map_or(response.clone(), |content_type| response.set_body_raw("x", content_type));
        let (_server, url) = responding(response, 1).await;
        let mut attempts = Attempts::new();
        let request = post(url.clone(), Idempotency::NonIdempotent, "x".into());
        client(&url).0.send_within(request, &mut attempts).await.unwrap();
        attempts.record_nothing_found()
    };
    for own in ["application/json", "application/problem+json; charset=utf-8", "application/xml", "Text/XML"] {
        assert_eq!(found_nothing(503, Some(own)).await, Effect::Rejected, "{own}");
    }
    for status in [408, 500, 503] {
        for foreign in [None, Some("text/html"), Some("text/plain"), Some("application/jsonp")] {
            assert_eq!(found_nothing(status, foreign).await, Effect::Unknown, "{status} {foreign:?}");
        }
    }
    assert_eq!(found_nothing(524, Some("application/json")).await, Effect::Unknown);
    assert_eq!(found_nothing(403, None).await, Effect::Rejected);
}

#[tokio::test]
async fn a_consuming_read_is_sent_once_whatever_the_status() {
    for (status, effect) in [(429, Effect::Rejected), (503, Effect::Unknown)] {
        let (_server, url) = responding(ResponseTemplate::new(status).insert_header("retry-after", "1"), 1).await;
        let request = Request::new(Method::GET, url.clone(), Idempotency::Consuming).fresh_connection();
        let response = client(&url).0.send(request).await.unwrap();
        assert_eq!((response.status().as_u16(), response.effect()), (status, effect));
    }
}

#[tokio::test]
async fn the_retry_budget_limits_the_requests_during_an_outage() {
    let (_server, url) = responding(ResponseTemplate::new(503), 30 + 20).await;
    let (client, _) = client(&url);
    for _ in 0..30 {
        client.send(Request::get(url.clone())).await.unwrap();
    }
}
