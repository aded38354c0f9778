//! Files.com downloads: URLs that are valid for one minute, and the storage that serves them.

use std::time::Duration;

use reqwest::header::{CONTENT_DISPOSITION, CONTENT_RANGE, ETAG, IF_MATCH, IF_RANGE, LOCATION, RANGE};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{MIB, Rejected, emulated, site_with_faults};
use crate::support::RequestExt;

#[tokio::test]
async fn a_download_url_needs_no_credentials_and_serves_an_attachment() {
    let site = emulated().await;
    site.upload("page.html", b"<script>alert(1)</script>").await;
    let url = site.download_uri("page.html").await;
    assert!(url.contains("&X-Amz-Expires=60&"), "{url}");
    let response = site.storage(&url).response().await;
    assert_eq!(response.status(), StatusCode::OK);
    for (header, value) in [
        ("content-type", "text/html"),
        ("content-length", "25"),
        ("content-disposition", "attachment; filename=\"page.html\""),
        ("accept-ranges", "bytes"),
        ("cache-control", "no-cache, no-store"),
        ("server", "AmazonS3"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; sandbox"),
    ] {
        assert_eq!(response.headers()[header], value);
    }
    let md5 = site.stat("page.html").await["md5"].as_str().unwrap().to_owned();
    let etag = response.headers()[ETAG].to_str().unwrap();
    assert!(etag.ends_with("-1\"") && !etag.contains(&md5), "{etag} is not the MD5");
    let head = site.service.request(Method::HEAD, site.service.path_of(&url)).response().await;
    assert_eq!(head.status(), StatusCode::FORBIDDEN, "signed for GET");
}

#[tokio::test]
async fn a_download_can_begin_within_a_minute() {
    let site = emulated().await;
    site.upload("a.txt", b"x").await;
    let url = site.download_uri("a.txt").await;
    site.service.emulator.clock().advance(Duration::from_secs(58)).unwrap();
    assert_eq!(site.storage(&url).response().await.status(), StatusCode::OK);
    site.service.emulator.clock().advance(Duration::from_secs(2)).unwrap();
    let late = site.storage(&url).response().await;
    assert_eq!(late.status(), StatusCode::FORBIDDEN);
    assert!(late.text().await.unwrap().contains("<Message>Request has expired</Message>"));
}

#[tokio::test]
async fn a_url_keeps_serving_the_version_that_it_was_made_for() {
    let site = emulated().await;
    site.upload("a.txt", b"old").await;
    let old = site.download_uri("a.txt").await;
    site.upload("a.txt", b"new").await;
    assert_eq!(site.storage(&old).response().await.bytes().await.unwrap(), "old");
    assert_eq!(site.content("a.txt").await, b"new");
    site.api(Method::DELETE, "/files/a.txt").response().await;
    assert_eq!(site.storage(&old).response().await.bytes().await.unwrap(), "old");
    let advance = json!({"advance": "1h"});
    site.service.post("/_emulator/clock").json(&advance).json_with(StatusCode::OK).await;
    assert_eq!(site.storage(&old).response().await.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn ranges_reach_across_parts() {
    let site = emulated().await;
    site.set(json!({"part_size": 4})).await;
    let first = site.begin("a.txt", json!({})).await;
    site.put(&first[0], b"0123").await;
    for (number, content) in [(2, "4567"), (3, "89")] {
        let part = site.begin("a.txt", json!({"ref": first[0]["ref"], "part": number})).await;
        site.put(&part[0], content.as_bytes()).await;
    }
    site.finish("a.txt", &json!({"ref": first[0]["ref"]})).json_with(StatusCode::CREATED).await;
    let url = site.download_uri("a.txt").await;
    for (range, status, content_range, content) in [
        ("bytes=0-3", 206, "bytes 0-3/10", "0123"),
        ("bytes=3-8", 206, "bytes 3-8/10", "345678"),
        ("bytes=4-4", 206, "bytes 4-4/10", "4"),
        ("bytes=8-", 206, "bytes 8-9/10", "89"),
        ("bytes=-3", 206, "bytes 7-9/10", "789"),
        ("bytes=9-100", 206, "bytes 9-9/10", "9"),
        ("bytes=0--1", 200, "", "0123456789"),
        ("bytes=0-1,3-4", 200, "", "0123456789"),
        ("lines=1-2", 200, "", "0123456789"),
    ] {
        let response = site.storage(&url).header(RANGE, range).response().await;
        assert_eq!(response.status(), status, "{range}");
        let given = response.headers().get(CONTENT_RANGE).map_or("", |value| value.to_str().unwrap());
        assert_eq!(given, content_range);
        assert_eq!(response.text().await.unwrap(), content, "{range}");
    }
    let beyond = site.storage(&url).header(RANGE, "bytes=10-").response().await;
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(beyond.headers()[CONTENT_RANGE], "bytes */10");
    assert!(beyond.text().await.unwrap().contains("InvalidRange"));
}

#[tokio::test]
async fn a_range_can_be_bound_to_one_version() {
    let site = emulated().await;
    site.upload("a.txt", b"0123456789").await;
    let url = site.download_uri("a.txt").await;
    let etag = site.storage(&url).response().await.headers()[ETAG].clone();
    let range = |header, etag: &str| site.storage(&url).header(RANGE, "bytes=5-").header(header, etag);
    let same = etag.to_str().unwrap();
    assert_eq!(range(IF_RANGE, same).response().await.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(range(IF_RANGE, "\"other\"").response().await.status(), StatusCode::OK);
    assert_eq!(range(IF_MATCH, same).response().await.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(range(IF_MATCH, "\"other\"").response().await.status(), StatusCode::PRECONDITION_FAILED);
}

#[tokio::test]
async fn a_file_can_be_requested_with_a_redirect_or_its_metadata() {
    let site = emulated().await;
    site.upload("dir/a.txt", b"x").await;
    let redirect = site.get("/files/dir/a.txt?action=redirect").response().await;
    assert_eq!(redirect.status(), StatusCode::FOUND);
    let location = redirect.headers()[LOCATION].to_str().unwrap();
    assert_eq!(site.storage(location).response().await.text().await.unwrap(), "x");
    let stat = site.get("/files/dir/a.txt?action=stat").json_with(StatusCode::OK).await;
    assert_eq!(stat.get("download_uri"), None);
    let stat = site.get("/files/dir?action=stat").json_with(StatusCode::OK).await;
    assert_eq!(stat["type"], "directory");

    assert_eq!(site.get("/files/dir").rejected(422).await, "bad-request/cannot-download-directory");
    assert_eq!(site.get("/files/").rejected(422).await, "bad-request/cannot-download-directory");
    assert_eq!(site.get("/files/none").rejected(404).await, "not-found");
    assert_eq!(site.get("/files/dir/a.txt?action=other").rejected(422).await, "bad-request");
}

#[tokio::test]
async fn names_are_quoted_or_encoded_in_the_attachment() {
    let site = emulated().await;
    site.upload("Gr%C3%B6%C3%9Fe%20%22x%22.txt", b"x").await;
    let response = site.storage(&site.download_uri("gr%C3%B6sse%20%22x%22.txt").await).response().await;
    assert_eq!(
        response.headers()[CONTENT_DISPOSITION],
        "attachment; filename=\"Gr__e _x_.txt\"; filename*=UTF-8''Gr%C3%B6%C3%9Fe%20%22x%22.txt"
    );
}

#[tokio::test]
async fn a_download_in_progress_completes_although_the_file_is_deleted() {
    let site = emulated().await;
    let content = vec![7; 8 * MIB];
    site.upload("a.bin", &content).await;
    let mut response = site.storage(&site.download_uri("a.bin").await).response().await;
    let first = response.chunk().await.unwrap().unwrap();
    site.api(Method::DELETE, "/files/a.bin").response().await;
    let advance = json!({"advance": "1h"});
    site.service.post("/_emulator/clock").json(&advance).json_with(StatusCode::OK).await;
    let mut received = first.len();
    while let Some(chunk) = response.chunk().await.unwrap() {
        received += chunk.len();
    }
    assert_eq!(received, content.len());
}

#[tokio::test]
async fn faults_can_affect_each_download_step() {
    let site = site_with_faults(
        r#"
        [[fault]]
        operation = "download"
        step = "url"
        nth = 1
        do = "expired-url"
        [[fault]]
        operation = "download"
        step = "content"
        nth = 2
        do = "expired-url"
        [[fault]]
        operation = "download"
        step = "content"
        key = "a.txt"
        nth = 3
        do = { status = { code = 403, type = "ExpiredToken" } }
        "#,
    )
    .await;
    site.upload("a.txt", b"x").await;
    let expired = site.download_uri("a.txt").await;
    assert_eq!(site.storage(&expired).response().await.status(), StatusCode::FORBIDDEN, "expired when it was created");
    let url = site.download_uri("a.txt").await;
    let second = site.storage(&url).response().await;
    assert!(second.text().await.unwrap().contains("Request has expired"));
    let third = site.storage(&url).response().await;
    assert!(third.text().await.unwrap().contains("<Code>ExpiredToken</Code>"));
    assert_eq!(site.storage(&url).response().await.text().await.unwrap(), "x");
    let journal = site.service.journaled("download");
    assert!(journal.iter().all(|entry| entry.key.as_deref() == Some("a.txt")));
    let queries: Vec<_> = journal.iter().filter_map(|entry| entry.query.clone()).collect();
    assert!(queries.iter().all(|query| query.contains("X-Amz-Signature=***")), "{queries:?}");
}

#[tokio::test]
async fn a_500_error_has_its_status_as_text_and_no_type() {
    let site = site_with_faults("[[fault]]\noperation = \"stat\"\ndo = { status = { code = 500 } }").await;
    let error = site.get("/file_actions/metadata/a").json_with(StatusCode::INTERNAL_SERVER_ERROR).await;
    assert_eq!(error["http-code"], "500");
    assert_eq!(error.get("type"), None::<&Value>);
}

#[tokio::test]
async fn a_fault_replaces_a_file_by_another_of_its_size() {
    let rule = "[[fault]]\noperation = \"download\"\nstep = \"url\"\nnth = 2\ndo = \"replaced-file\"";
    let site = site_with_faults(rule).await;
    site.upload("a.txt", b"0123").await;
    let old = site.download_uri("a.txt").await;
    let new = site.download_uri("a.txt").await;
    assert_eq!(site.storage(&old).response().await.bytes().await.unwrap(), "0123");
    assert_eq!(site.storage(&new).response().await.bytes().await.unwrap(), &[0xcf, 0xce, 0xcd, 0xcc][..]);
    let entity = site.stat("a.txt").await;
    assert_eq!((&entity["size"], &entity["md5"]), (&json!(4), &json!("8f3c37b010e44316e48f64eac5638adf")));
}
