//! Faults in the steps of PubNub, and the resulting errors.

use reqwest::StatusCode;
use reqwest::header::{ETAG, LOCATION, RETRY_AFTER};
use serde_json::json;

use crate::pubnub::{ALICE, channel, code_of, storage_error};
use crate::support::{RequestExt, service, service_with_faults};

#[tokio::test]
async fn each_step_fails_with_an_error_of_its_format() {
    let service = service().await;
    let form = service.stored("room-1", "a", b"x").await;
    let url = service.presigned_url("room-1", &form.id, "a").await;
    for (status, code) in [(503, "SlowDown"), (500, "InternalError"), (403, "AccessDenied")] {
        service.set_faults(&format!("[[fault]]\nservice = 'pubnub'\ndo = {{ status = {{ code = {status} }} }}"));
        assert_eq!(code_of(storage_error(service.post_form(&form, b"x").response().await, status).await), code);
        assert_eq!(code_of(storage_error(service.get(&url).response().await, status).await), code);
    }

    service.set_faults("[[fault]]\nservice = 'pubnub'\ndo = { status = { code = 500 } }");
    let internal = StatusCode::INTERNAL_SERVER_ERROR;
    let form = service.request_form("room-1", r#"{"name":"a"}"#).json_with(internal).await;
    assert_eq!((&form["status"], &form["error"]["source"]), (&json!(500), &json!("Files")));
    let publish = service.publish("room-1", "1", "").json_with(internal).await;
    assert_eq!((&publish["status"], &publish["error"]), (&json!(500), &json!(true)));

    service.set_faults("[[fault]]\nservice = 'pubnub'\ndo = { status = { code = 400 } }");
    let publish = service.publish("room-1", "1", "").json_with(StatusCode::BAD_REQUEST).await;
    assert_eq!(publish[0], 0);

    service.set_faults("[[fault]]\nservice = 'pubnub'\ndo = { status = { code = 403 } }");
    let list = service.get(&format!("{}/files?{ALICE}", channel("room-1"))).json_with(StatusCode::FORBIDDEN).await;
    assert_eq!((&list["message"], &list["payload"]["channels"][0]), (&json!("Forbidden"), &json!("room-1")));
}

#[tokio::test]
async fn a_429_can_have_retry_after() {
    let service = service_with_faults(
        "[[fault]]\noperation = 'list'\ntimes = 1\ndo = { status = { code = 429, headers = { Retry-After = '2' } } }",
    )
    .await;
    let list = || service.get(&format!("{}/files?{ALICE}", channel("room-1")));
    let response = list().response().await;
    assert_eq!(
        (response.status(), &response.headers()[RETRY_AFTER]),
        (StatusCode::TOO_MANY_REQUESTS, &"2".parse().unwrap())
    );
    let shape = json!({"message": "Too many requests.", "error": true, "status": 429});
    assert_eq!(response.json::<serde_json::Value>().await.unwrap(), shape);
    list().json_with(StatusCode::OK).await;
}

#[tokio::test]
async fn publishing_can_fail_five_times_while_the_file_is_stored() {
    let service = service_with_faults(
        "[[fault]]\noperation = 'upload'\nstep = 'publish'\ntimes = 5\ndo = { status = { code = 503 } }",
    )
    .await;
    service.stored("room-1", "a", b"x").await;
    for _ in 0..5 {
        service.publish("room-1", "1", "").json_with(StatusCode::SERVICE_UNAVAILABLE).await;
    }
    service.published("room-1", "1", "").await;
    assert_eq!(service.ids("room-1").await.len(), 1);
}

#[tokio::test]
async fn each_upload_step_can_be_reset_before_and_after_it_is_processed() {
    let service = service().await;
    for (at, done) in [("request", 0), ("request-body", 0), ("headers", 1)] {
        let reset = |step: &str| {
            let rule = format!("operation = 'upload'\nstep = '{step}'\ndo = {{ reset = {{ at = '{at}' }} }}");
            service.set_faults(&format!("[[fault]]\n{rule}"));
        };
        let room = format!("room-{at}");
        let form = service.form(&room, "a").await;
        reset("form");
        assert!(is_lost(service.post_form(&form, b"x")).await, "{at}");
        reset("publish");
        assert!(is_lost(service.publish(&room, "1", "")).await, "{at}");
        reset("generate-upload-url");
        assert!(is_lost(service.request_form(&room, r#"{"name":"a"}"#)).await, "{at}");
        service.set_faults("");
        assert_eq!(service.ids(&room).await.len(), done, "{at}");
        let history = service.history(&room, "").await;
        assert_eq!(history["channels"].as_object().unwrap().len(), done, "{at}");
    }
}

/// Returns `true` if there is no complete response.
async fn is_lost(request: reqwest::RequestBuilder) -> bool {
    match request.send().await {
        Ok(response) => response.bytes().await.is_err(),
        Err(_) => true,
    }
}

#[tokio::test]
async fn a_form_can_have_expired() {
    let service = service_with_faults("[[fault]]\noperation = 'upload'\ntimes = 1\ndo = 'expired-url'").await;
    let form = service.form("room-1", "a").await;
    let (_, text) = storage_error(service.post_form(&form, b"x").response().await, 403).await;
    assert!(text.contains("Policy expired."), "{text}");
    assert_eq!(service.post_form(&form, b"x").response().await.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_presigned_url_can_have_expired() {
    let service = service().await;
    let form = service.stored("room-1", "a", b"x").await;
    service.set_faults("[[fault]]\noperation = 'download'\ntimes = 1\ndo = 'expired-url'");
    let url = service.presigned_url("room-1", &form.id, "a").await;
    let (_, text) = storage_error(service.get(&url).response().await, 403).await;
    assert!(text.contains("Request has expired"), "{text}");
    assert_eq!(service.status_of(&url).await, StatusCode::OK);
}

#[tokio::test]
async fn the_etag_of_an_upload_and_a_download_can_be_wrong() {
    let service = service_with_faults("[[fault]]\ndo = 'wrong-etag'").await;
    let form = service.form("room-1", "a").await;
    let wrong = "\"00000000000000000000000000000000\"";
    assert_eq!(service.post_form(&form, b"x").response().await.headers()[ETAG], wrong);
    let url = service.presigned_url("room-1", &form.id, "a").await;
    assert_eq!(service.get(&url).response().await.headers()[ETAG], wrong);
    service.set_faults("");
    assert_ne!(service.get(&url).response().await.headers()[ETAG], wrong);
}

#[tokio::test]
async fn the_etag_of_content_that_is_stored_corrupted_shows_it() {
    let service =
        service_with_faults("[[fault]]\noperation = 'upload'\ndo = { corrupt = { at = 0, of = 'request' } }").await;
    let form = service.form("room-1", "a").await;
    let etag = service.post_form(&form, b"hello").response().await.headers()[ETAG].clone();
    assert_ne!(etag, "\"5d41402abc4b2a76b9719d911017c592\"");
    let url = service.presigned_url("room-1", &form.id, "a").await;
    assert_eq!(service.content_of(&url).await, b"\x97ello");
}

#[tokio::test]
async fn a_download_can_be_truncated_or_redirected() {
    let service = service().await;
    let form = service.stored("room-1", "a", b"hello").await;
    let url = service.presigned_url("room-1", &form.id, "a").await;
    service.set_faults("[[fault]]\noperation = 'download'\nstep = 'content'\ndo = { truncate = { keep = 2 } }");
    assert_eq!(service.content_of(&url).await, b"he");
    service.set_faults(
        "[[fault]]\noperation = 'download'\nstep = 'url'\ndo = { redirect = { code = 307, location = 'http://other.example/' } }",
    );
    let response = service.request_url("room-1", &form.id, "a").response().await;
    assert_eq!(response.headers()[LOCATION], "http://other.example/");
}

#[test]
fn a_rule_for_a_step_that_it_cannot_affect_is_rejected() {
    use filestore_emulator::FaultPlan;

    for (step, fault) in [
        ("generate-upload-url", "'expired-url'"),
        ("publish", "'wrong-etag'"),
        ("publish", "{ corrupt = { at = 0, of = 'request' } }"),
    ] {
        let rule = format!("[[fault]]\noperation = 'upload'\nstep = '{step}'\ndo = {fault}");
        let error = FaultPlan::from_toml(&rule).unwrap_err().to_string();
        assert!(error.contains(&format!("no effect on `step = \"{step}\"`")), "{error}");
    }
    for rule in ["step = 'form'\ndo = 'expired-url'", "step = 'content'\ndo = 'wrong-etag'"] {
        FaultPlan::from_toml(&format!("[[fault]]\n{rule}")).unwrap();
    }
}
