//! Downloads from file.io: each one counts, and exactly one of many concurrent readers gets a single-use file.

use std::sync::Arc;
use std::time::Duration;

use filestore_emulator::Options;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_DISPOSITION, RANGE};
use reqwest::{Method, StatusCode};

use crate::support::{DAY, RequestExt, Service, ValueExt, service, service_with};

#[tokio::test]
async fn a_second_read_of_a_single_use_file_is_not_found() {
    let service = service().await;
    let path = service.share(b"once").await;
    assert_eq!(service.content_of(&path).await, b"once");
    let response = service.get(&path).response().await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert!(!response.headers().contains_key(CONTENT_DISPOSITION), "clients would take an error with it for a file");
    let error: serde_json::Value = response.json().await.unwrap();
    assert_eq!(error["code"], "FILE_NOT_FOUND");
    assert_eq!(error["help"], service.url("/help/api/errors/FILE_NOT_FOUND"));
    assert_eq!(error["key"], path[1..]);
}

#[tokio::test]
async fn a_download_is_an_attachment_that_browsers_do_not_run() {
    let service = service().await;
    let file = service.upload("page.html", b"<script>alert(1)</script>", &[]).await;
    let response = service.get(&file.path()).response().await;
    for (header, value) in [
        ("content-type", "text/html"),
        ("content-disposition", "attachment; filename=page.html"),
        ("content-length", "25"),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; sandbox"),
        ("access-control-allow-origin", "*"),
    ] {
        assert_eq!(response.headers()[header], value);
    }
}

/// Checks in each round that one of 64 concurrent readers gets a single-use file.
async fn race(service: &Arc<Service>, rounds: usize) {
    for round in 0..rounds {
        let path = service.share(format!("round {round}").as_bytes()).await;
        let readers: Vec<_> = (0..64)
            .map(|_| {
                let (service, path) = (Arc::clone(service), path.clone());
                tokio::spawn(async move { service.status_of(&path).await })
            })
            .collect();
        let mut winners = 0;
        for reader in readers {
            match reader.await.unwrap() {
                StatusCode::OK => winners += 1,
                StatusCode::NOT_FOUND => {}
                other => panic!("{other}"),
            }
        }
        assert_eq!(winners, 1, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_64_concurrent_readers_gets_the_file_in_memory() {
    race(&Arc::new(service().await), 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_64_concurrent_readers_gets_the_file_with_a_data_directory() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { data_dir: Some(folder.path().to_owned()), ..Options::default() };
    race(&Arc::new(service_with(options).await), 20).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the long form of the races above: 200 rounds each"]
async fn one_of_64_concurrent_readers_gets_the_file_200_times() {
    race(&Arc::new(service().await), 200).await;
    let folder = tempfile::tempdir().unwrap();
    let options = Options { data_dir: Some(folder.path().to_owned()), ..Options::default() };
    race(&Arc::new(service_with(options).await), 200).await;
}

#[tokio::test]
async fn a_file_can_be_read_as_often_as_max_downloads_says() {
    let service = service().await;
    let path = service.upload("a.txt", b"a", &[("maxDownloads", "3")]).await.path();
    for _ in 0..3 {
        assert_eq!(service.status_of(&path).await, StatusCode::OK);
    }
    assert_eq!(service.status_of(&path).await, StatusCode::NOT_FOUND);
    assert_eq!(service.get("/").paid().json_with(StatusCode::OK).await["count"], 0);
}

#[tokio::test]
async fn an_exhausted_file_without_auto_delete_is_listed_and_can_get_more_downloads() {
    let service = service().await;
    let path = service.upload("a.txt", b"a", &[("autoDelete", "false")]).await.path();
    assert_eq!(service.status_of(&path).await, StatusCode::OK);
    assert_eq!(service.status_of(&path).await, StatusCode::NOT_FOUND);
    let list = service.get("/").paid().json_with(StatusCode::OK).await;
    assert_eq!(list["nodes"][0]["downloads"], 1);
    service.patch(&path).paid().form_fields(&[("maxDownloads", "2")]).json_with(StatusCode::OK).await;
    assert_eq!(service.status_of(&path).await, StatusCode::OK);
    assert_eq!(service.status_of(&path).await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_expired_file_is_gone() {
    let service = service().await;
    let path = service.share(b"a").await;
    let live = service.share(b"b").await;
    service.emulator.clock().advance(14 * DAY - Duration::from_secs(60)).unwrap();
    assert_eq!(service.content_of(&live).await, b"b");
    service.emulator.clock().advance(Duration::from_secs(60)).unwrap();
    assert_eq!(service.status_of(&path).await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_expired_file_without_auto_delete_is_listed_and_can_be_revived() {
    let service = service().await;
    let path = service.upload("a.txt", b"a", &[("autoDelete", "false"), ("expires", "1h")]).await.path();
    service.emulator.clock().advance(DAY).unwrap();
    assert_eq!(service.status_of(&path).await, StatusCode::NOT_FOUND);
    assert_eq!(service.get("/").paid().json_with(StatusCode::OK).await["count"], 1);
    let file = service.patch(&path).paid().form_fields(&[("expires", "1h")]).json_with(StatusCode::OK).await;
    assert_eq!(file["downloads"], 0, "a rejected read did not count");
    assert_eq!(service.status_of(&path).await, StatusCode::OK);
}

#[tokio::test]
async fn a_file_that_never_expires_outlives_a_century() {
    let service = service().await;
    let path = service.upload("a.txt", b"a", &[("expires", "")]).await.path();
    service.emulator.clock().advance(100 * 365 * DAY).unwrap();
    assert_eq!(service.status_of(&path).await, StatusCode::OK);
}

#[tokio::test]
async fn a_download_in_progress_completes_although_the_file_expires() {
    let service = service().await;
    let content = vec![7; 3_000_000];
    let path = service.upload("a.bin", &content, &[("expires", "1h")]).await.path();
    let response = service.get(&path).response().await;
    service.emulator.clock().advance(DAY).unwrap();
    service.get("/").paid().json_with(StatusCode::OK).await;
    assert!(response.bytes().await.unwrap() == content);
}

#[tokio::test]
async fn the_old_direct_link_downloads_the_file() {
    let service = service().await;
    let path = service.share(b"a").await;
    assert_eq!(service.content_of(&format!("{path}/dwnld")).await, b"a");
    assert_eq!(service.status_of(&path).await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_head_request_and_the_landing_page_consume_nothing() {
    let service = service().await;
    let path = service.share(b"hello").await;
    let head = service.request(Method::HEAD, &path).response().await;
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(head.headers()["content-length"], "5");
    assert_eq!(head.headers()[CONTENT_DISPOSITION], "attachment; filename=report.txt");
    let page = service.get(&format!("/download{path}")).response().await.text().await.unwrap();
    assert!(page.contains("report.txt, 5 bytes"), "{page}");
    assert_eq!(service.content_of(&path).await, b"hello");
    assert_eq!(service.request(Method::HEAD, &path).response().await.status(), StatusCode::NOT_FOUND);
    assert_eq!(service.status_of(&format!("/download{path}")).await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_range_is_ignored() {
    let service = service().await;
    let path = service.share(b"hello").await;
    let response = service.get(&path).header(RANGE, "bytes=1-2").response().await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.bytes().await.unwrap(), "hello");
}

#[tokio::test]
async fn a_browser_gets_the_file_unless_the_landing_mode_is_on() {
    let service = service().await;
    let path = service.share(b"hello").await;
    let response = service.get(&path).header(ACCEPT, "text/html,*/*").response().await;
    assert_eq!(response.text().await.unwrap(), "hello");
}

#[tokio::test]
async fn a_wrong_key_consumes_nothing() {
    let service = service().await;
    let path = service.share(b"hello").await;
    let rejected = service.get(&path).header(AUTHORIZATION, "Bearer WRONG");
    assert_eq!(rejected.json_with(StatusCode::UNAUTHORIZED).await["code"], "UNAUTHORIZED");
    let other_account = service.get(&path).paid().response().await;
    assert_eq!(other_account.text().await.unwrap(), "hello", "the link is the permission");
}

#[tokio::test]
async fn a_prefix_another_case_or_the_id_of_a_key_is_not_found() {
    let service = service().await;
    let file = service.upload("a.txt", b"a", &[]).await;
    let path = file.path();
    for other in [&path[..6], &path.to_lowercase(), &format!("/{}", file["id"].as_str().unwrap()), "/favicon.ico"] {
        if other != path {
            assert_eq!(service.status_of(other).await, StatusCode::NOT_FOUND, "{other}");
        }
    }
    assert_eq!(service.status_of(&path).await, StatusCode::OK);
}
