//! Listings, stat, deletes, limits and URLs of an account.

use std::time::Duration;

use filestore_core::{FileStore, FileUrl, List, Result, UrlKind, UrlRequest};
use wiremock::matchers::{bearer_token, method, path};

use super::*;
use crate::{FileIoUpdate, Search};

fn listing(keys: &[&str]) -> ResponseTemplate {
    let nodes: Vec<_> = keys.iter().map(|key| STORED.replace("KEYcanary123", key)).collect();
    json(200, &format!(r#"{{"success":true,"status":200,"nodes":[{}],"count":{}}}"#, nodes.join(","), keys.len()))
}

/// Mounts one response to one listing with this query.
async fn mount_listing(server: &MockServer, expected: &'static str, response: ResponseTemplate) {
    Mock::given(method("GET"))
        .and(path("/"))
        .and(query(Some(expected)))
        .and(bearer_token(API_KEY))
        .respond_with(response)
        .up_to_n_times(1)
        .expect(1)
        .mount(server)
        .await;
}

#[tokio::test]
async fn a_listing_continues_by_offset() {
    let server = MockServer::start().await;
    mount_listing(&server, "limit=2", listing(&["K1aaa", "K2aaa"])).await;
    mount_listing(&server, "offset=2&limit=2", listing(&["K3aaa"])).await;
    let store = with_key(&server);
    let first = store.list(List::new().limit(2)).await.unwrap();
    let second = store.list(List::new().limit(2).page(first.next.unwrap())).await.unwrap();
    assert_eq!((first.files.len(), second.files.len(), second.next), (2, 1, None));
}

#[tokio::test]
async fn a_page_is_filled_up_to_its_limit() {
    let server = MockServer::start().await;
    let of_nine = |keys: &[&str]| {
        let files: Vec<_> = keys.iter().map(|key| STORED.replace("KEYcanary123", key)).collect();
        json(200, &format!(r#"{{"success":true,"status":200,"nodes":[{}],"count":9}}"#, files.join(",")))
    };
    mount_listing(&server, "limit=5", of_nine(&["K1aaa", "not/a/key"])).await;
    mount_listing(&server, "offset=2&limit=4", of_nine(&["K3aaa", "K4aaa", "K5aaa", "K6aaa"])).await;
    let page = with_key(&server).list(List::new().limit(5)).await.unwrap();
    let next = page.next.unwrap();
    assert_eq!((page.files.len(), page.left_out, next.as_str()), (5, 1, "6"));
}

#[tokio::test]
async fn a_page_has_the_date_of_the_last_response() {
    let server = MockServer::start().await;
    let first = r#"{"success":true,"status":200,"nodes":[],"count":0}"#;
    let two = format!(r#"{{"success":true,"status":200,"nodes":[{STORED}],"count":2}}"#);
    let dated = |body: &str, date: &str| json(200, body).insert_header("date", date);
    mount_listing(&server, "limit=2", dated(&two, "Sun, 01 Mar 2026 10:00:00 GMT")).await;
    mount_listing(&server, "offset=1&limit=1", dated(first, "Sun, 01 Mar 2026 10:00:07 GMT")).await;
    let page = with_key(&server).list(List::new().limit(2)).await.unwrap();
    assert_eq!(page.date, Some("2026-03-01T10:00:07Z".parse().unwrap()));
}

#[tokio::test]
async fn a_search_escapes_its_words() {
    let server = MockServer::start().await;
    mount_listing(&server, "search=a%26b&sort=size%3Adesc&offset=3&limit=5", listing(&[])).await;
    let search = Search::new().text("a&b").sort("size:desc").offset(3).limit(5);
    assert!(with_key(&server).search(&search).await.unwrap().files.is_empty());
}

#[tokio::test]
async fn a_search_with_a_limit_of_0_is_not_sent() {
    let server = responding([]).await;
    let error = with_key(&server).search(&Search::new().limit(0)).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::InvalidInput, Effect::NotSent), "{error}");
}

#[tokio::test]
async fn stat_reads_the_listing_and_never_the_file() {
    let server = MockServer::start().await;
    mount_listing(&server, "limit=1000", listing(&["Other", "KEYcanary123"])).await;
    mount_listing(&server, "limit=1000", listing(&["Other"])).await;
    let store = with_key(&server);
    assert_eq!(store.stat(key().into()).await.unwrap().size, Some(11));
    assert_eq!(store.stat(key().into()).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn the_version_is_the_time_of_the_last_change_and_the_size_if_the_response_has_both() {
    let server = MockServer::start().await;
    let replaced = changed("\"modified\":\"2026-03-01T10:00:00.000Z\"", "\"modified\":\"2026-03-01T10:00:00.001Z\"");
    Mock::given(method("POST")).respond_with(json(200, STORED)).up_to_n_times(1).mount(&server).await;
    Mock::given(method("POST")).respond_with(json(200, GEN1)).mount(&server).await;
    Mock::given(method("PUT")).respond_with(json(200, &replaced)).mount(&server).await;
    mount_listing(&server, "limit=1000", listing(&["KEYcanary123"])).await;
    let download = ResponseTemplate::new(200).insert_header("content-disposition", "attachment; filename=report.txt");
    Mock::given(method("GET")).and(path("/KEYcanary123")).respond_with(download).mount(&server).await;
    let store = with_key(&server);
    let first = Some("1772359200000-11".to_owned());
    assert_eq!(store.upload(hello()).await.unwrap().version, first);
    assert_eq!(store.stat(key().into()).await.unwrap().version, first);
    assert_eq!(store.replace(&key(), hello()).await.unwrap().file.version.as_deref(), Some("1772359200001-11"));
    // Neither generation 1 of the service nor the response to a download has the time.
    assert_eq!(store.upload(hello()).await.unwrap().version, None);
    assert_eq!(store.download(key().into()).await.unwrap().file.version, None);
}

#[tokio::test]
async fn without_a_key_stat_list_delete_and_me_send_nothing() {
    let server = responding([]).await;
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
async fn a_delete_of_a_missing_file_succeeds() {
    for response in [json(200, r#"{"success":true,"status":200}"#), json(404, NOT_FOUND), json(404, NOT_FOUND_1)] {
        let server = MockServer::start().await;
        Mock::given(method("DELETE"))
            .and(path("/KEYcanary123"))
            .and(bearer_token(API_KEY))
            .respond_with(response)
            .expect(1)
            .mount(&server)
            .await;
        with_key(&server).delete(key().into()).await.unwrap();
    }
}

/// Responses that a captive portal, a proxy or another service may send.
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
    for response in unconfirmed() {
        let server = responding([response.clone(), response]).await;
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
async fn a_404_that_is_not_from_the_service_is_no_delete() {
    for response in [page(404), json(404, "{}"), ResponseTemplate::new(404)] {
        let server = responding([response]).await;
        let error = with_key(&server).delete(key().into()).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Rejected), "{error}");
    }
}

#[tokio::test]
async fn a_rejected_delete_is_permission() {
    let server = responding([json(403, r#"{"success":false,"status":403,"code":"FORBIDDEN"}"#)]).await;
    assert_eq!(with_key(&server).delete(key().into()).await.unwrap_err().kind(), ErrorKind::Permission);
}

async fn url_of(store: &FileIoStore, request: UrlRequest) -> Result<FileUrl> {
    store.url(request).await
}

#[tokio::test]
async fn without_a_key_a_url_is_created_without_a_request() {
    let server = responding([]).await;
    let store = anonymous(&server);
    let url = url_of(&store, key().into()).await.unwrap();
    assert_eq!(url.as_str(), format!("{}/KEYcanary123", server.uri()));
    assert_eq!((url.kind(), url.expires()), (UrlKind::SingleUse, None));
    let lifetime = UrlRequest::from(key()).lifetime(Duration::from_secs(60));
    assert_eq!(url_of(&store, lifetime).await.unwrap_err().kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn with_a_key_a_url_has_a_kind_and_an_expiry() {
    let three = changed("\"maxDownloads\":1", "\"maxDownloads\":3");
    let three = json(200, &format!(r#"{{"success":true,"files":[{three}]}}"#));
    let one = listing(&["KEYcanary123"]);
    let server = responding([three, one.clone(), one.clone(), one, listing(&[])]).await;
    let store = with_key(&server);
    let end = "2026-03-15T10:00:00Z".parse().unwrap();
    let url = url_of(&store, key().into()).await.unwrap();
    assert_eq!((url.kind(), url.expires()), (UrlKind::Direct, Some(end)));
    let url = url_of(&store, key().into()).await.unwrap();
    assert_eq!((url.kind(), url.expires()), (UrlKind::SingleUse, Some(end)));
    let days = |days: u64| UrlRequest::from(key()).lifetime(Duration::from_secs(days * 86_400));
    assert!(url_of(&store, days(14)).await.is_ok());
    let error = url_of(&store, days(15)).await.unwrap_err();
    assert!(error.to_string().contains("the file expires in 1209600 s"), "{error}");
    assert_eq!(url_of(&store, key().into()).await.unwrap().kind(), UrlKind::SingleUse);
}

#[tokio::test]
async fn the_account_limits_the_size_of_an_upload() {
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
    let upload = store.upload(hello()).await.unwrap_err();
    let key: FileRef = "s:fileio:KEYcanary123".parse().unwrap();
    let update = store.update(&key, FileIoUpdate::new().content("a", "123456")).await.unwrap_err();
    let replacement = store.replace(&key, hello()).await.unwrap_err();
    for error in [upload, update, replacement] {
        assert_eq!(kind_and_effect(&error), (ErrorKind::TooLarge, Effect::NotSent), "{error}");
    }
}

#[tokio::test]
async fn me_on_a_web_site_is_a_service_that_is_gone() {
    let server = responding([redirect(301, "https://www.file.io/me")]).await;
    let error = with_key(&server).me().await.unwrap_err();
    assert!(error.to_string().contains("is gone or is not file.io"), "{error}");
}
