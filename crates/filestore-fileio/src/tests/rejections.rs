//! The errors of rejected uploads, and of responses that are not from the service.

use std::time::Duration;

use filestore_core::FileStore;

use super::*;

#[tokio::test]
async fn every_status_has_its_kind() {
    let table = [
        (400, ErrorKind::InvalidInput, Effect::Rejected),
        (401, ErrorKind::Unauthenticated, Effect::Rejected),
        (402, ErrorKind::Quota, Effect::Rejected),
        (403, ErrorKind::Permission, Effect::Rejected),
        (404, ErrorKind::NotFound, Effect::Rejected),
        (409, ErrorKind::Conflict, Effect::Rejected),
        (413, ErrorKind::TooLarge, Effect::Rejected),
        (418, ErrorKind::Protocol, Effect::Rejected),
        (500, ErrorKind::Unavailable, Effect::Unknown),
        (501, ErrorKind::Unsupported, Effect::Rejected),
        (503, ErrorKind::Unavailable, Effect::Unknown),
    ];
    for (status, kind, effect) in table {
        let server = responding([json(status, "{}")]).await;
        let error = anonymous(&server).upload(hello()).await.unwrap_err();
        assert_eq!((kind_and_effect(&error), error.http_status()), ((kind, effect), Some(status)), "{error}");
    }
}

#[tokio::test]
async fn an_error_in_a_body_of_success_is_an_error() {
    for (body, status) in [
        (r#"{"success":false,"error":402,"message":"limit"}"#, 402),
        (r#"{"success":false,"status":402}"#, 402),
        (r#"{"success":false,"status":507}"#, 507),
    ] {
        let server = responding([json(200, body)]).await;
        let error = anonymous(&server).upload(hello()).await.unwrap_err();
        let expected = (ErrorKind::Quota, Effect::Rejected);
        assert_eq!((kind_and_effect(&error), error.http_status()), (expected, Some(status)));
    }
}

#[tokio::test]
async fn a_failure_of_the_service_in_a_body_of_success_is_unknown() {
    for body in [r#"{"success":false,"status":500,"message":"db down"}"#, r#"{"success":false,"error":503}"#] {
        let server = responding([json(200, body), json(200, body)]).await;
        let error = anonymous(&server).upload(hello()).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::Unavailable, Effect::Unknown), "{error}");
        let update = crate::FileIoUpdate::new().title("x");
        let error = with_key(&server).update(&key(), update).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::Unavailable, Effect::Unknown), "{error}");
    }
}

#[tokio::test]
async fn an_upload_that_the_service_does_not_confirm_is_unknown() {
    let others = [r#"{"key":"Ab12Cd34"}"#, r#"{"key":"Ab12Cd34","error":500}"#];
    for response in others.map(|body| json(200, body)).into_iter().chain([json(202, STORED)]) {
        let server = responding([response]).await;
        let error = anonymous(&server).upload(hello()).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Unknown), "{error}");
        assert!(error.to_string().contains("the file may be stored nevertheless"), "{error}");
    }
}

#[tokio::test]
async fn a_name_that_is_not_utf_8_does_not_lose_the_key() {
    let body = STORED.replace("report.txt", "r\u{fc}.txt").chars().map(|c| c as u8).collect::<Vec<_>>();
    let server = responding([ResponseTemplate::new(200).set_body_raw(body, "application/json")]).await;
    let file = anonymous(&server).upload(hello()).await.unwrap();
    assert!(file.reference().to_string().contains("KEYcanary123"), "{file:?}");
}

#[tokio::test]
async fn a_429_with_retry_after_is_retried() {
    let server = responding([json(429, TOO_MANY).insert_header("retry-after", "5"), json(200, STORED)]).await;
    anonymous(&server).upload(hello()).await.unwrap();
}

#[tokio::test]
async fn a_429_without_retry_after_means_a_minute_and_is_not_retried() {
    let server = responding([json(429, TOO_MANY)]).await;
    let error = anonymous(&server).upload(hello()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::RateLimited, Effect::Rejected));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(60)));
    assert_eq!(error.provider_code(), Some("TOO_MANY_REQUESTS"));
}

#[tokio::test]
async fn a_service_that_is_gone_is_reported_as_gone() {
    let table = [
        (redirect(301, "https://www.file.io/"), "redirects to www.file.io", Effect::Rejected),
        (redirect(302, "https://www.file.io/"), "redirects to www.file.io", Effect::Rejected),
        (redirect(308, "https://www.file.io/"), "redirects to www.file.io", Effect::Rejected),
        (page(200), "a web page (status 200)", Effect::Unknown),
        (page(404), "a web page (status 404)", Effect::Rejected),
        (page(405), "a web page (status 405)", Effect::Rejected),
        (page(410), "a web page (status 410)", Effect::Rejected),
        // From a firewall, which knows neither keys nor files.
        (page(401), "a web page (status 401)", Effect::Rejected),
        (page(403), "a web page (status 403)", Effect::Rejected),
        (page(413), "a web page (status 413)", Effect::Rejected),
        (ResponseTemplate::new(405), "no file.io response (status 405)", Effect::Rejected),
        (ResponseTemplate::new(200).set_body_string("ok"), "text/plain instead of JSON", Effect::Unknown),
        (ResponseTemplate::new(200), "without a content type", Effect::Unknown),
    ];
    for (response, message, effect) in table {
        let server = responding([response]).await;
        let error = anonymous(&server).upload(hello()).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, effect), "{error}");
        assert!(error.to_string().contains(message), "{error}");
        assert!(error.to_string().contains("base_url"), "{error}");
    }
}

#[tokio::test]
async fn a_failing_server_is_failing_even_if_it_sends_a_page() {
    let server = responding([page(500)]).await;
    assert_eq!(anonymous(&server).upload(hello()).await.unwrap_err().kind(), ErrorKind::Unavailable);
}
