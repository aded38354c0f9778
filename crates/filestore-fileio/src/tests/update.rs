//! Changes of a stored file: updates, replacements, and tokens of uploads without an account.

use filestore_core::{Expiry, FileStore, List, Period};
use wiremock::matchers::{bearer_token, body_string, header, method, path};

use super::*;
use crate::{AnonymousToken, FileIoUpdate, FileIoUpload, MaxDownloads, Search};

#[tokio::test]
async fn an_update_sends_only_what_changes() {
    let response = changed("2026-03-15", "2026-03-03").replace("\"maxDownloads\":1", "\"maxDownloads\":5");
    let server = MockServer::start().await;
    Mock::given(method("PATCH"))
        .and(path("/KEYcanary123"))
        .and(query(None))
        .and(bearer_token(API_KEY))
        .and(form(
            "--B\r\nContent-Disposition: form-data; name=\"expires\"\r\n\r\n2d\r\n\
             --B\r\nContent-Disposition: form-data; name=\"maxDownloads\"\r\n\r\n5\r\n--B--\r\n",
        ))
        .respond_with(json(200, &response))
        .expect(1)
        .mount(&server)
        .await;
    let update = FileIoUpdate::new().expires(Period::days(2)).max_downloads(5);
    let updated = with_key(&server).update(&key(), update).await;
    server.verify().await;
    assert_eq!(updated.unwrap().max_downloads, Some(MaxDownloads::Times(5)));
}

#[tokio::test]
async fn a_title_is_changed_in_json() {
    let server = MockServer::start().await;
    Mock::given(method("PATCH"))
        .and(path("/KEYcanary123"))
        .and(header("content-type", "application/json"))
        .and(body_string(r#"{"autoDelete":true,"description":"d","title":"t"}"#))
        .respond_with(json(200, &changed("\"title\":null", "\"title\":\"t\"")))
        .expect(1)
        .mount(&server)
        .await;
    let update = FileIoUpdate::new().title("t").description("d").auto_delete(true);
    let updated = with_key(&server).update(&key(), update).await;
    server.verify().await;
    assert_eq!(updated.unwrap().title.as_deref(), Some("t"));
}

#[tokio::test]
async fn an_update_without_changes_or_of_title_and_content_is_rejected() {
    let server = responding([]).await;
    for update in [FileIoUpdate::new(), FileIoUpdate::new().title("t").content("a", "x")] {
        let error = with_key(&server).update(&key(), update).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}

#[tokio::test]
async fn a_replacement_is_a_whole_upload_to_the_same_key() {
    let server = MockServer::start().await;
    Mock::given(method("PUT"))
        .and(path("/KEYcanary123"))
        .and(query(None))
        .and(bearer_token(API_KEY))
        .and(form(
            "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"report.txt\"\r\nContent-Type: text/plain\r\n\r\nhello world\r\n--B--\r\n",
        ))
        .respond_with(json(200, STORED))
        .expect(1)
        .mount(&server)
        .await;
    let replaced = with_key(&server).replace(&key(), hello()).await;
    server.verify().await;
    assert_eq!(replaced.unwrap().file.size, Some(11));
}

#[tokio::test]
async fn the_token_of_an_anonymous_upload_manages_that_file() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(without_header("authorization"))
        .respond_with(json(200, STORED).insert_header("x-file-io-anonymous-access-token", "TOKENcanary"))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(method("DELETE"))
        .and(path("/KEYcanary123"))
        .and(bearer_token("TOKENcanary"))
        .respond_with(json(200, r#"{"success":true}"#))
        .expect(1)
        .mount(&server)
        .await;
    let store = anonymous(&server);
    let owned = store.upload_owned(hello()).await.unwrap();
    assert!(!format!("{owned:?}").contains("canary"));
    let owner = store.with_token(&owned.token.unwrap()).unwrap();
    owner.delete(owned.file.reference().into()).await.unwrap();
    assert_eq!(owner.list(List::new()).await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert!(store.with_token(&AnonymousToken::new("a\nb")).is_err());
}

#[tokio::test]
async fn numbers_out_of_their_range_are_rejected_before_a_request_is_sent() {
    let server = responding([]).await;
    let store = with_key(&server);
    let upload = || Upload::new("a", "x").with(FileIoUpload::new().max_downloads(0));
    let errors = [
        store.upload_owned(upload()).await.unwrap_err(),
        store.replace(&key(), upload()).await.unwrap_err(),
        store.update(&key(), FileIoUpdate::new().max_downloads(0)).await.unwrap_err(),
        store.search(&Search::new().limit(0)).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(kind_and_effect(&error), (ErrorKind::InvalidInput, Effect::NotSent), "{error}");
    }
}

#[tokio::test]
async fn a_replacement_has_the_limits_of_an_upload() {
    let server = responding([]).await;
    let store = with_key(&server);
    let named = |name: &str| Upload::new(name, "x");
    for (upload, kind) in [
        (named("a\"b"), ErrorKind::InvalidInput),
        (named("a").scope("in"), ErrorKind::Unsupported),
        (named("a").metadata("key", "value"), ErrorKind::Unsupported),
        (named("a").if_exists(filestore_core::IfExists::Fail), ErrorKind::Unsupported),
    ] {
        let copy = upload.try_clone().unwrap();
        let errors = [store.replace(&key(), upload).await.unwrap_err(), store.upload_owned(copy).await.unwrap_err()];
        for error in errors {
            assert_eq!(kind_and_effect(&error), (kind, Effect::NotSent), "{error}");
        }
    }
    let error = store.update(&key(), FileIoUpdate::new().content("a\"b", "x")).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::InvalidInput, Effect::NotSent), "{error}");
}

#[tokio::test]
async fn a_confirmation_that_is_too_long_is_a_protocol_error() {
    let odd = format!(r#"{{"success":true,"x":[{}0]}}"#, r#"{"":0},"#.repeat(50_000));
    let server = responding([json(200, &odd)]).await;
    let error = with_key(&server).delete(key().into()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Unknown), "{error}");
}

#[tokio::test]
async fn a_longer_lifetime_is_noticed_without_any_time_in_the_response() {
    let response = r#"{"success":true,"key":"KEYcanary123","expires":"2099-01-01T00:00:00Z"}"#;
    let server = responding([json(200, response)]).await;
    let update = FileIoUpdate::new().expires(Period::days(1));
    let error = with_key(&server).update(&key(), update).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Incomplete, Effect::Applied), "{error}");
}

#[tokio::test]
async fn a_limit_that_a_short_response_does_not_confirm_makes_the_update_incomplete() {
    let forbidden = json(403, r#"{"success":false,"status":403}"#);
    let server = responding([json(200, r#"{"success":true}"#), forbidden]).await;
    let error = with_key(&server).update(&key(), FileIoUpdate::new().max_downloads(2)).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Incomplete, Effect::Applied), "{error}");
    assert!(error.to_string().contains("does not confirm the limit of 2 downloads"), "{error}");
}

#[tokio::test]
async fn an_expiry_of_never_and_a_media_type_that_the_service_replaces_are_reported() {
    let stored =
        r#"{"success":true,"key":"KEYcanary123","size":11,"maxDownloads":1,"autoDelete":true,"mimeType":"a/b"}"#;
    let server = responding([json(200, stored), json(200, stored)]).await;
    let store = with_key(&server);
    let file = store.upload(hello().expires(Expiry::Never).content_type("text/x")).await.unwrap();
    assert_eq!(file.skipped, ["expiry", "content_type"]);
    assert!(store.upload(hello().content_type("a/b")).await.unwrap().skipped.is_empty());
}

#[tokio::test]
async fn options_that_the_service_does_not_confirm_are_reported() {
    let server = responding([json(200, GEN1), json(200, r#"{"success":true}"#)]).await;
    let store = with_key(&server);
    let options = FileIoUpload::new().max_downloads(MaxDownloads::Unlimited).auto_delete(false).title("T");
    let file = store.upload(hello().with(options)).await.unwrap();
    assert_eq!(file.skipped, ["max_downloads", "auto_delete", "title"]);
    let update = FileIoUpdate::new().title("T").description("D");
    assert_eq!(store.update(&key(), update).await.unwrap().file.skipped, ["title", "description"]);
}

#[tokio::test]
async fn an_empty_title_or_description_clears_it() {
    let titled = changed("\"title\":null", "\"title\":\"T\"");
    let server = responding([json(200, STORED), json(200, STORED), json(200, STORED), json(200, &titled)]).await;
    let store = with_key(&server);
    let options = || hello().with(FileIoUpload::new().title(""));
    let update = || FileIoUpdate::new().title("").description("");
    assert!(store.upload(options()).await.unwrap().skipped.is_empty());
    assert!(store.replace(&key(), options()).await.unwrap().file.skipped.is_empty());
    assert!(store.update(&key(), update()).await.unwrap().file.skipped.is_empty());
    assert_eq!(store.update(&key(), update()).await.unwrap().file.skipped, ["title"]);
}
