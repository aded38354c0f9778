//! Downloads: one request, and all its possible responses.

use std::sync::Arc;
use std::time::Duration;

use filestore_core::{Download, FileStore, IfExists, Store};
use wiremock::matchers::{bearer_token, header, method, path};

use super::*;

fn named(disposition: &str, content: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).insert_header("content-disposition", disposition).set_body_bytes(content)
}

#[tokio::test]
async fn a_download_is_one_get_of_the_unencoded_bytes() {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .and(path("/KEYcanary123"))
        .and(query(None))
        .and(header("accept", "*/*"))
        .and(header("accept-encoding", "identity"))
        .and(without_header("range"))
        .and(bearer_token(API_KEY))
        .respond_with(
            named("attachment; filename=\"../../etc/passwd\"", "hello world")
                .insert_header("content-type", "text/plain"),
        )
        .expect(1)
        .mount(&server)
        .await;
    let response = with_key(&server).download(key().into()).await;
    server.verify().await;
    let response = response.unwrap();
    assert_eq!(response.file.name, "../../etc/passwd"); // `Store` makes the name safe when it saves the file
    assert_eq!((response.file.size, response.file.content_type.as_deref()), (Some(11), Some("text/plain")));
    assert_eq!(response.bytes(100).await.unwrap(), "hello world");
}

#[tokio::test]
async fn a_hostile_name_stays_in_the_folder() {
    let server = responding([named("attachment; filename*=UTF-8''..%2F..%2Fpass%00wd", "x")]).await;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new("drop", Arc::new(anonymous(&server))).unwrap();
    let saved = store.download_to_folder(key(), folder.path(), IfExists::Fail).await.unwrap();
    assert_eq!(saved.path, folder.path().join("passwd"));
}

#[tokio::test]
async fn with_status_200_the_body_is_the_file_even_if_it_looks_like_an_error() {
    let server = responding([json(200, NOT_FOUND)]).await;
    let response = anonymous(&server).download(key().into()).await.unwrap();
    assert_eq!(response.file.name, "download");
    assert_eq!(response.bytes(1000).await.unwrap(), NOT_FOUND);
}

#[tokio::test]
async fn a_page_with_a_name_is_a_file_and_without_one_it_is_not() {
    let named = page(200).insert_header("content-disposition", "attachment; filename=index.html");
    let server = responding([named, page(200)]).await;
    let store = anonymous(&server);
    assert_eq!(store.download(key().into()).await.unwrap().bytes(1000).await.unwrap(), HTML);
    let error = failure(&store).await;
    assert!(error.to_string().contains("is gone or is not file.io"), "{error}");
}

/// Returns the error of a download, from its response or its body.
async fn failure(store: &FileIoStore) -> Error {
    match store.download(key().into()).await {
        Ok(response) => response.bytes(1000).await.unwrap_err(),
        Err(error) => error,
    }
}

#[tokio::test]
async fn the_body_of_a_success_that_is_no_file_is_kept() {
    let hello = |status| ResponseTemplate::new(status).set_body_bytes("hello");
    let partial = hello(206).insert_header("content-range", "bytes 0-4/5");
    let encoded = hello(200)
        .insert_header("content-encoding", "gzip")
        .insert_header("content-disposition", "attachment; filename=\"a.txt\"");
    for (response, body) in [(page(200), HTML), (partial, "hello"), (hello(203), "hello"), (encoded, "hello")] {
        let server = responding([response]).await;
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new("drop", Arc::new(anonymous(&server))).unwrap();
        let error = store.download_to_folder(key(), folder.path(), IfExists::Fail).await.unwrap_err();
        assert_eq!(error.effect(), Effect::Unknown, "{error}");
        assert_eq!(std::fs::read(error.partial().unwrap()).unwrap(), body.as_bytes());
    }
}

#[tokio::test]
async fn a_landing_page_is_not_the_file() {
    let server = responding([redirect(302, "https://www.file.io/download/KEYcanary123")]).await;
    let error = anonymous(&server).download(key().into()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Unsupported, Effect::Rejected));
    assert!(error.to_string().contains("web page for this file, at www.file.io"), "{error}");
}

#[tokio::test]
async fn a_file_that_is_gone_is_not_found_in_both_generations() {
    for body in [NOT_FOUND, NOT_FOUND_1] {
        let server = responding([json(404, body)]).await;
        let error = anonymous(&server).download(key().into()).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::NotFound, Effect::Rejected));
        assert!(error.to_string().contains("it expired, or it was downloaded already"), "{error}");
        assert!(!error.to_string().contains("KEYcanary123"), "{error}");
    }
}

#[tokio::test]
async fn a_failed_download_is_possibly_consumed_and_never_retried() {
    for response in [json(500, "{}"), page(503), ResponseTemplate::new(206).set_body_bytes("hello")] {
        let server = responding([response]).await;
        let error = failure(&anonymous(&server)).await;
        assert_eq!(error.effect(), Effect::Unknown, "{error}");
        assert!(error.to_string().contains("possibly consumed"), "{error}");
    }
}

#[tokio::test]
async fn a_rejected_download_is_not_retried() {
    let server = responding([json(429, TOO_MANY).insert_header("retry-after", "1")]).await;
    let error = anonymous(&server).download(key().into()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::RateLimited, Effect::Rejected));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(1)));
}

#[tokio::test]
async fn a_range_is_rejected_because_it_would_count_as_a_download() {
    let server = responding([]).await;
    let error = anonymous(&server).download(Download::from(key()).range(0..5)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn me_is_never_a_file() {
    let server = responding([]).await;
    let store = with_key(&server);
    let me: FileRef = "drop:fileio:me".parse().unwrap();
    assert_eq!(store.download(me.clone().into()).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(store.delete(me.into()).await.unwrap_err().kind(), ErrorKind::InvalidInput);
}
