//! What an account lists, says and deletes, and the URLs of its files.

use std::time::Duration;

use filestore_core::{FileStore, FileUrl, List, Result, UrlKind, UrlRequest};
use wiremock::matchers::{bearer_token, method, path};

use super::*;
use crate::{FileIoUpdate, Search};

fn listing(keys: &[&str]) -> ResponseTemplate {
    let nodes: Vec<_> = keys.iter().map(|key| STORED.replace("KEYcanary123", key)).collect();
    json(200, &format!(r#"{{"success":true,"status":200,"nodes":[{}],"count":{}}}"#, nodes.join(","), keys.len()))
}

/// Mounts one answer to one listing with this query.
async fn lists(server: &MockServer, sent: &'static str, answer: ResponseTemplate) {
    Mock::given(method("GET"))
        .and(path("/"))
        .and(query(Some(sent)))
        .and(bearer_token(API_KEY))
        .respond_with(answer)
        .up_to_n_times(1)
        .expect(1)
        .mount(server)
        .await;
}

#[tokio::test]
async fn a_listing_goes_on_by_offset() {
    let server = MockServer::start().await;
    lists(&server, "limit=2", listing(&["K1aaa", "K2aaa"])).await;
    lists(&server, "offset=2&limit=2", listing(&["K3aaa"])).await;
    let store = with_key(&server);
    let first = store.list(List::new().limit(2)).await.unwrap();
    let second = store.list(List::new().limit(2).page(first.next.unwrap())).await.unwrap();
    assert_eq!((first.files.len(), second.files.len(), second.next), (2, 1, None));
}

#[tokio::test]
async fn a_search_escapes_its_words() {
    let server = MockServer::start().await;
    lists(&server, "search=a%26b&sort=size%3Adesc&offset=3&limit=5", listing(&[])).await;
    let search = Search::new().text("a&b").sort("size:desc").offset(3).limit(5);
    assert!(with_key(&server).search(&search).await.unwrap().files.is_empty());
}

#[tokio::test]
async fn stat_reads_the_listing_and_never_the_file() {
    let server = MockServer::start().await;
    lists(&server, "limit=1000", listing(&["Other", "KEYcanary123"])).await;
    lists(&server, "limit=1000", listing(&["Other"])).await;
    let store = with_key(&server);
    assert_eq!(store.stat(key().into()).await.unwrap().size, Some(11));
    assert_eq!(store.stat(key().into()).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn without_a_key_stat_list_delete_and_me_send_nothing() {
    let server = answering([]).await;
    let store = anonymous(&server);
    let kinds = [
        store.stat(key().into()).await.unwrap_err().kind(),
        store.list(List::new()).await.unwrap_err().kind(),
        store.delete(key().into()).await.unwrap_err().kind(),
        store.me().await.unwrap_err().kind(),
        store.update(&key(), FileIoUpdate::new().title("x")).await.unwrap_err().kind(),
    ];
    assert_eq!(kinds, [ErrorKind::Unsupported; 5]);
}

#[tokio::test]
async fn a_delete_succeeds_when_there_is_nothing_left() {
    for answer in [json(200, r#"{"success":true,"status":200}"#), json(404, NOT_FOUND), json(404, NOT_FOUND_1)] {
        let server = MockServer::start().await;
        Mock::given(method("DELETE"))
            .and(path("/KEYcanary123"))
            .and(bearer_token(API_KEY))
            .respond_with(answer)
            .expect(1)
            .mount(&server)
            .await;
        with_key(&server).delete(key().into()).await.unwrap();
    }
}

/// Answers that a captive portal, a proxy or another service may give.
fn unconfirmed() -> [ResponseTemplate; 5] {
    [
        page(200),
        ResponseTemplate::new(200),
        ResponseTemplate::new(204),
        json(200, "{}"),
        json(200, r#"{"success":true,"key":"Another1"}"#),
    ]
}

#[tokio::test]
async fn a_change_that_the_service_did_not_confirm_is_unknown() {
    for answer in unconfirmed() {
        let server = answering([answer.clone(), answer]).await;
        let store = with_key(&server);
        let errors = [
            store.delete(key().into()).await.unwrap_err(),
            store.update(&key(), FileIoUpdate::new().title("x")).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Unknown), "{error}");
        }
    }
}

#[tokio::test]
async fn a_404_that_is_not_the_services_own_is_no_delete() {
    for answer in [page(404), json(404, "{}"), ResponseTemplate::new(404)] {
        let server = answering([answer]).await;
        let error = with_key(&server).delete(key().into()).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Rejected), "{error}");
    }
}

#[tokio::test]
async fn a_rejected_delete_is_permission() {
    let server = answering([json(403, r#"{"success":false,"status":403,"code":"FORBIDDEN"}"#)]).await;
    assert_eq!(with_key(&server).delete(key().into()).await.unwrap_err().kind(), ErrorKind::Permission);
}

async fn url_of(store: &FileIoStore, request: UrlRequest) -> Result<FileUrl> {
    store.url(request).await
}

#[tokio::test]
async fn without_a_key_a_url_is_made_without_asking_anybody() {
    let server = answering([]).await;
    let store = anonymous(&server);
    let url = url_of(&store, key().into()).await.unwrap();
    assert_eq!(url.as_str(), format!("{}/KEYcanary123", server.uri()));
    assert_eq!((url.kind(), url.expires()), (UrlKind::SingleUse, None));
    let lifetime = UrlRequest::from(key()).lifetime(Duration::from_secs(60));
    assert_eq!(url_of(&store, lifetime).await.unwrap_err().kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn with_a_key_a_url_knows_its_kind_and_its_end() {
    let three = changed("\"maxDownloads\":1", "\"maxDownloads\":3");
    let three = json(200, &format!(r#"{{"success":true,"files":[{three}]}}"#));
    let one = listing(&["KEYcanary123"]);
    let server = answering([three, one.clone(), one.clone(), one, listing(&[])]).await;
    let store = with_key(&server);
    let end = "2026-03-15T10:00:00Z".parse().unwrap();
    let url = url_of(&store, key().into()).await.unwrap();
    assert_eq!((url.kind(), url.expires()), (UrlKind::Direct, Some(end)));
    let url = url_of(&store, key().into()).await.unwrap();
    assert_eq!((url.kind(), url.expires()), (UrlKind::SingleUse, Some(end)));
    let days = |days: u64| UrlRequest::from(key()).lifetime(Duration::from_secs(days * 86_400));
    assert!(url_of(&store, days(14)).await.is_ok());
    let error = url_of(&store, days(15)).await.unwrap_err();
    assert!(error.to_string().contains("works for 1209600 s more"), "{error}");
    assert_eq!(url_of(&store, key().into()).await.unwrap().kind(), UrlKind::SingleUse);
}

#[tokio::test]
async fn the_account_says_how_large_a_file_may_be() {
    let me = r#"{"success":true,"status":200,"planId":1,"maxUploadBytes":5,"usedStorageBytes":32,"rateLimit":60,"directDownload":0,"customDomain":null}"#;
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .and(path("/me"))
        .and(query(None))
        .and(bearer_token(API_KEY))
        .respond_with(json(200, me))
        .expect(1)
        .mount(&server)
        .await;
    let store = with_key(&server);
    let account = store.me().await.unwrap();
    assert_eq!((account.plan_id, account.rate_limit, account.max_storage_bytes), (Some(1), Some(60), None));
    assert_eq!(account.other["directDownload"], 0);
    let error = store.upload(hello()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::TooLarge, Effect::NotSent));
}

#[tokio::test]
async fn me_on_a_web_site_is_a_service_that_is_gone() {
    let server = answering([redirect(301, "https://www.file.io/me")]).await;
    let error = with_key(&server).me().await.unwrap_err();
    assert!(error.to_string().contains("is gone or is not file.io"), "{error}");
}
