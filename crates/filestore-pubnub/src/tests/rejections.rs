//! Invalid input, and rejections by the service.

use std::sync::Arc;
use std::time::Duration;

use filestore_core::{FileStore, List, Upload};
use filestore_http::HttpConfig;

use super::*;
use crate::{Crypto, PubNubSend};

#[tokio::test]
async fn a_name_has_at_most_255_characters_of_any_number_of_bytes() {
    for (name, fits) in [("日本".repeat(62), true), ("本".repeat(255), true), ("n".repeat(256), false)] {
        let (service, store) = store([Reply::json(403, "{}")]).await;
        let error = store.upload(Upload::new(name, "x")).await.unwrap_err();
        let kind = if fits { ErrorKind::Permission } else { ErrorKind::InvalidInput };
        assert_eq!((error.kind(), service.requests().len()), (kind, usize::from(fits)), "{error}");
    }
}

#[tokio::test]
async fn invalid_input_is_rejected_before_any_request() {
    let (service, store) = store([]).await;
    let long = "x".repeat(93);
    let upload = || Upload::new("cat.txt", "hello");
    for channel in ["", "..", ".", "a,b", "a:b", "a*", "a\u{7}b", &long] {
        for error in [
            store.upload(upload().scope(channel)).await.unwrap_err(),
            store.list(List::new().scope(channel)).await.unwrap_err(),
        ] {
            assert_eq!(kind_and_effect(&error), (ErrorKind::InvalidInput, Effect::NotSent), "{channel:?}");
        }
    }
    for label in ["ab", "-abc", "_abc", "pn_abc", "pn-abc", "a b c", &long] {
        let error = store.upload(upload().with(PubNubSend::new().custom_message_type(label))).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::InvalidInput, Effect::NotSent), "{label:?}");
    }
    let error = store.upload(Upload::new("...", "hello")).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::InvalidInput, Effect::NotSent));
    let error = store.upload(upload().content_type("a\nb")).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::InvalidInput, Effect::NotSent));
    let secret = upload().content_type("text/plain").with(PubNubSend::new().cipher_key("k"));
    assert_eq!(store.upload(secret).await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert!(service.requests().is_empty());
}

#[tokio::test]
async fn send_file_checks_the_upload_as_upload_does() {
    let (service, store) = store([]).await;
    let upload = || Upload::new("cat.txt", "hello");
    for (bad, kind) in [
        (upload().expires_in(filestore_core::Period::days(7)), ErrorKind::Unsupported),
        (upload().metadata("key", "value"), ErrorKind::Unsupported),
        (Upload::new("a/b", "hello"), ErrorKind::InvalidInput),
        (Upload::new("x".repeat(256), "hello"), ErrorKind::InvalidInput),
    ] {
        assert_eq!(kind_and_effect(&store.send_file(bad).await.unwrap_err()), (kind, Effect::NotSent));
    }
    assert!(service.requests().is_empty());
}

#[tokio::test]
async fn an_upload_without_a_channel_is_rejected_before_any_request() {
    let service = ScriptedServer::start([]).await;
    let mut config = config(&service);
    config.channel = None;
    let error = open(config).upload(Upload::new("cat.txt", "hello")).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::InvalidInput, Effect::NotSent));
    assert!(error.to_string().contains("set channel"), "{error}");
    assert!(service.requests().is_empty());
}

#[tokio::test]
async fn a_rejection_has_the_message_the_service_and_the_request_id() {
    let disabled = r#"{"status":402,"error":{"message":"Files service not enabled for subkey sub-c-canary","source":"Files","code":3005}}"#;
    let (service, store) = store([Reply::json(402, disabled)]).await;
    let error = store.list(List::new()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Unsupported, Effect::Rejected));
    assert_eq!((error.http_status(), error.provider_code()), (Some(402), Some("3005")));
    assert!(error.to_string().contains("Files: Files service not enabled for subkey ..."), "{error}");
    let sent = lines(&service.requests()).remove(0);
    assert!(sent.contains(&format!("requestid={}", error.request_id().unwrap())), "{sent}");
}

#[tokio::test]
async fn a_rejection_of_the_access_manager_has_the_code_of_its_header() {
    let revoked = r#"{"error":true,"status":403,"service":"Access Manager","message":"Token is revoked"}"#;
    let reply = Reply::with_status(403, &["Content-Type: text/javascript", "X-Pn-Cause: 4001"], revoked);
    let (_service, store) = store([reply]).await;
    let error = store.list(List::new()).await.unwrap_err();
    assert_eq!((error.kind(), error.provider_code()), (ErrorKind::Unauthenticated, Some("4001")));
    assert!(error.to_string().contains("Access Manager: Token is revoked"), "{error}");
}

#[tokio::test]
async fn a_retry_after_that_is_too_long_is_in_the_error() {
    let (_service, store) =
        store([Reply::with_status(429, &["Retry-After: 60"], r#"{"message":"Too many requests."}"#)]).await;
    let error = store.list(List::new()).await.unwrap_err();
    assert_eq!((error.kind(), error.retry_after()), (ErrorKind::RateLimited, Some(Duration::from_secs(60))));
}

#[tokio::test]
async fn a_signature_that_became_too_old_between_attempts_is_renewed() {
    // The first attempt hangs until the response timeout of 5 minutes. Its signature is then too old for the second attempt.
    let empty = r#"{"status":200,"data":[],"next":null,"count":0}"#;
    let forbidden = r#"{"error":{"message":"Invalid signature","source":"x"},"service":"Access Manager","status":403}"#;
    let late = r#"{"message":"Invalid Timestamp","error":true,"service":"Access Manager","status":400}"#;
    for rejection in [Reply::json(403, forbidden), Reply::json(400, late)] {
        let service = ScriptedServer::start([Reply::hang(), rejection, Reply::json(200, empty)]).await;
        let clock = TestClock::new();
        let config = config(&service).secret_key("sec").http(HttpConfig::default());
        let store = PubNubStore::with_clock(config, Arc::<TestClock>::clone(&clock)).unwrap();
        let work = tokio::spawn(async move { store.list(List::new()).await });
        service.received(1).await;
        let page = clock.run_until(work, Duration::from_secs(1)).await.unwrap();
        assert!(page.files.is_empty());
        let timestamps: Vec<_> = lines(&service.requests())
            .iter()
            .map(|line| line.split("timestamp=").nth(1).unwrap()[..10].to_owned())
            .collect();
        assert_eq!(timestamps[0], timestamps[1]);
        assert_ne!(timestamps[1], timestamps[2]);
    }
}

#[tokio::test]
async fn a_rejected_signature_that_is_fresh_is_final() {
    let forbidden = r#"{"error":{"message":"Invalid signature","source":"x"},"service":"Access Manager","status":403}"#;
    let service = ScriptedServer::start([Reply::json(403, forbidden)]).await;
    let error = open(config(&service).secret_key("sec")).list(List::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert!(error.to_string().contains("clock"), "{error}");
    assert_eq!(service.requests().len(), 1);
}

#[test]
fn invalid_configurations_are_rejected() {
    let config = || PubNubConfig::new("pub", "sub", "alice");
    let mut without_user = config();
    without_user.user_id = String::new();
    let mut long = config();
    long.user_id = "x".repeat(93);
    for bad in [
        without_user,
        long,
        config().channel("a,b"),
        config().channel(""),
        config().base_url("ps.pndsn.com"),
        config().base_url("https://ps.pndsn.com/?ssl=true"),
        config().base_url("https://ps.pndsn.com/#files"),
        config().base_url("ftp://ps.pndsn.com"),
        config().base_url("https://u:p@ps.pndsn.com"),
    ] {
        assert_eq!(PubNubStore::new(bad).unwrap_err().kind(), ErrorKind::Config);
    }
    let mut longest = config();
    longest.user_id = "ü".repeat(46);
    assert!(PubNubStore::new(longest.cipher_key(Crypto::Legacy, "k")).is_ok());
}
