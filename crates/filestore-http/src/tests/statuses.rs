//! What is done about a status: how often a request goes out, and what the last answer says.

use filestore_core::{Effect, ErrorKind};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{SECOND, client, post, text};
use crate::{Idempotency, Method, Request, Url};

/// A service that gives this answer, and must be asked exactly so often.
async fn answering(answer: ResponseTemplate, times: u64) -> (MockServer, Url) {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).expect(times).mount(&server).await;
    let url = server.uri().parse().unwrap();
    (server, url)
}

#[tokio::test]
async fn the_last_answer_is_given_when_the_attempts_are_used_up() {
    let (_server, url) = answering(ResponseTemplate::new(503).set_body_string("down"), 4).await;
    let (client, clock) = client(&url);
    let answer = client.send(Request::get(url)).await.unwrap();
    assert_eq!((answer.attempts(), answer.status().as_u16(), answer.effect()), (4, 503, Effect::Rejected));
    assert_eq!(text(answer).await, "down");
    assert_eq!(clock.slept(), [SECOND / 2, SECOND, 2 * SECOND]);
}

#[tokio::test]
async fn a_wait_beyond_the_limit_is_reported_and_not_waited_for() {
    let (_server, url) = answering(ResponseTemplate::new(429).insert_header("retry-after", "60"), 1).await;
    let (client, clock) = client(&url);
    let answer = client.send(Request::get(url)).await.unwrap();
    let error = answer.error(ErrorKind::RateLimited, "slow down");
    assert_eq!((error.retry_after(), error.effect()), (Some(60 * SECOND), Effect::Rejected));
    assert_eq!(clock.slept(), []);
}

#[tokio::test]
async fn a_failure_of_something_done_once_is_unknown_and_final() {
    let (_server, url) = answering(ResponseTemplate::new(503), 1).await;
    let answer = client(&url).0.send(post(url, Idempotency::NonIdempotent, "x".into())).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.effect()), (503, Effect::Unknown));
}

#[tokio::test]
async fn a_consuming_read_is_sent_once_whatever_is_answered() {
    for (status, effect) in [(429, Effect::Rejected), (503, Effect::Unknown)] {
        let (_server, url) = answering(ResponseTemplate::new(status).insert_header("retry-after", "1"), 1).await;
        let request = Request::new(Method::GET, url.clone(), Idempotency::Consuming).fresh_connection();
        let answer = client(&url).0.send(request).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.effect()), (status, effect));
    }
}

#[tokio::test]
async fn an_outage_is_not_multiplied() {
    let (_server, url) = answering(ResponseTemplate::new(503), 30 + 20).await;
    let (client, _) = client(&url);
    for _ in 0..30 {
        client.send(Request::get(url.clone())).await.unwrap();
    }
}
