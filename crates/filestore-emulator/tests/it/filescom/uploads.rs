//! Files.com uploads: begin, put the parts, finish.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{MIB, Rejected, emulated, site_with_faults};
use crate::support::RequestExt;

#[tokio::test]
async fn a_file_is_begun_put_and_finished() {
    let site = emulated().await;
    let parts = site.begin("dir/a.txt", json!({"size": 9, "mkdir_parents": true})).await;
    assert_eq!(parts.len(), 1);
    let part = &parts[0];
    let reference = part["ref"].as_str().unwrap();
    assert!(reference.strip_prefix("put-").unwrap().bytes().all(|byte| byte.is_ascii_digit()), "{reference}");
    for (field, expected) in [
        ("send", json!({"partsize": "required-header Content-Length", "partdata": "body"})),
        ("action", json!("put/write")),
        ("ask_about_overwrites", json!(false)),
        ("available_parts", json!(10_000)),
        ("headers", json!({})),
        ("http_method", json!("PUT")),
        ("partsize", json!(5 * MIB)),
        ("next_partsize", json!(6 * MIB)),
        ("parallel_parts", json!(true)),
        ("retry_parts", json!(true)),
        ("parameters", json!({})),
        ("part_number", json!(1)),
        ("path", json!("dir/a.txt")),
    ] {
        assert_eq!(part[field], expected, "{field}");
    }

    let etag = site.put(part, b"some text").await;
    assert_eq!(etag, "552e21cd4cd9918678e3c1a0df491bc3");
    assert!(!site.is_there("dir/a.txt").await, "the file does not exist before the upload is finished");
    let body = json!({"ref": reference, "size": 9, "etags": [{"etag": etag, "part": "1"}],
        "provided_mtime": "2025-12-24T09:00:00.5+01:00"});
    let entity = site.finish("dir/a.txt", &body).json_with(StatusCode::CREATED).await;
    assert_eq!((&entity["md5"], &entity["crc32"]), (&Value::Null, &Value::Null));
    assert_eq!(entity["provided_mtime"], "2025-12-24T08:00:00Z");

    let entity = site.stat("dir/a.txt").await;
    for (field, expected) in [
        ("path", json!("dir/a.txt")),
        ("display_name", json!("a.txt")),
        ("type", json!("file")),
        ("size", json!(9)),
        ("md5", json!("552e21cd4cd9918678e3c1a0df491bc3")),
        ("crc32", json!("4fbabdba")),
        ("mime_type", json!("text/plain")),
        ("permissions", json!("lrwd")),
        ("created_by_id", json!(1001)),
    ] {
        assert_eq!(entity[field], expected, "{field}");
    }
    assert_eq!(site.content("dir/a.txt").await, b"some text");
}

#[tokio::test]
async fn parts_can_come_in_any_order_and_the_last_put_of_a_part_counts() {
    let site = emulated().await;
    let first = site.begin("big.bin", json!({})).await;
    let reference = &first[0]["ref"];
    let batch = site.begin("big.bin", json!({"ref": reference, "part": "2", "parts": "3"})).await;
    let numbers: Vec<_> = batch.iter().map(|part| part["part_number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [2, 3, 4]);

    let (one, two) = (vec![1; 5 * MIB], vec![2; 5 * MIB]);
    let third = site.put(&batch[1], b"end").await;
    site.put(&batch[0], b"wrong").await;
    let second = site.put(&batch[0], &two).await;
    let first = site.put(&first[0], &one).await;
    let etags =
        json!([{"etag": third, "part": 3}, {"etag": format!("\"{first}\""), "part": 1}, {"etag": second, "part": 2}]);
    let entity =
        site.finish("big.bin", &json!({"ref": reference, "etags": etags})).json_with(StatusCode::CREATED).await;
    assert_eq!(entity["size"], 10 * MIB + 3);
    assert!(site.content("big.bin").await == [&one[..], &two, b"end"].concat());
}

#[tokio::test]
async fn without_etags_the_file_is_all_parts_that_were_put() {
    let site = emulated().await;
    let parts = site.begin("a.bin", json!({"ref": null, "part": 7})).await;
    assert_eq!(parts[0]["part_number"], 1, "without a ref there is only the first part");
    site.put(&parts[0], b"content").await;
    let form = format!("action=end&ref={}", parts[0]["ref"].as_str().unwrap());
    let finish = site.api(Method::POST, "/files/a.bin").typed_body("application/x-www-form-urlencoded", &form);
    let entity = finish.json_with(StatusCode::CREATED).await;
    assert_eq!(entity["size"], 7);
}

#[tokio::test]
async fn an_empty_file_is_one_empty_part() {
    let site = emulated().await;
    let entity = site.upload("empty", b"").await;
    assert_eq!(entity["size"], 0);
    let entity = site.stat("empty").await;
    assert_eq!((&entity["crc32"], &entity["md5"]), (&json!("0"), &json!("d41d8cd98f00b204e9800998ecf8427e")));
    assert_eq!(site.content("empty").await, b"");

    let parts = site.begin("never-put", json!({})).await;
    let kind = site.finish("never-put", &json!({"ref": parts[0]["ref"]})).rejected(422).await;
    assert_eq!(kind, "processing-failure/file-not-uploaded");
}

#[tokio::test]
async fn an_invalid_finish_is_rejected_and_leaves_the_upload_open() {
    let site = emulated().await;
    let parts = site.begin("a.bin", json!({})).await;
    let reference = &parts[0]["ref"];
    let etag = site.put(&parts[0], b"12345").await;
    let etags = json!([{"etag": etag, "part": 1}]);
    for (body, kind) in [
        (json!({"etags": []}), "processing-failure/file-not-uploaded"),
        (json!({"etags": [{"etag": "0123", "part": 1}]}), "processing-failure/file-not-uploaded"),
        (
            json!({"etags": [{"etag": etag, "part": 1}, {"etag": etag, "part": 2}]}),
            "processing-failure/file-not-uploaded",
        ),
        (json!({"etags": [{"etag": etag, "part": 2}]}), "bad-request/invalid-etags"),
        (json!({"etags": [{"etag": etag, "part": 1}, {"etag": etag, "part": 1}]}), "bad-request/invalid-etags"),
        (json!({"etags": [{"etag": etag}]}), "bad-request/invalid-etags"),
        (json!({"etags": etags, "size": 4}), "bad-request/request-params-invalid"),
        (json!({"etags": etags, "provided_mtime": "0001-01-01T00:00:00Z"}), "bad-request/datetime-parse"),
        (json!({"etags": etags, "custom_metadata": {"a": 1}}), "bad-request"),
        (json!({"etags": etags, "mkdir_parents": "yes"}), "bad-request"),
    ] {
        let mut body = body;
        body["ref"] = reference.clone();
        assert_eq!(site.finish("a.bin", &body).rejected(422).await, kind, "{body}");
    }
    for (body, status, kind) in [
        (json!({"action": "end"}), 422, "bad-request/request-params-required"),
        (json!({"ref": reference}), 422, "bad-request"),
        (json!({"ref": reference, "action": "append"}), 422, "bad-request"),
        (json!({"ref": "put-1", "action": "end"}), 404, "not-found/file-upload-not-found"),
    ] {
        assert_eq!(site.post("/files/a.bin", &body).rejected(status).await, kind, "{body}");
    }
    let body = json!({"ref": reference, "etags": etags, "size": "5"});
    assert_eq!(site.finish("other.bin", &body).rejected(404).await, "not-found/file-upload-not-found");
    assert!(!site.is_there("a.bin").await);

    site.finish("A.BIN", &body).json_with(StatusCode::CREATED).await;
    assert_eq!(site.finish("a.bin", &body).rejected(404).await, "not-found/file-upload-not-found", "only once");
}

#[tokio::test]
async fn a_part_before_the_last_is_no_smaller_than_5_mib() {
    let site = emulated().await;
    let first = site.begin("a.bin", json!({})).await;
    let second = site.begin("a.bin", json!({"ref": first[0]["ref"], "part": 2})).await;
    site.put(&first[0], &vec![0; 5 * MIB - 1]).await;
    site.put(&second[0], b"x").await;
    let body = json!({"ref": first[0]["ref"]});
    assert_eq!(site.finish("a.bin", &body).rejected(422).await, "bad-request/invalid-upload-part-size");
    site.set(json!({"part_size": 5})).await;
    site.finish("a.bin", &body).json_with(StatusCode::CREATED).await;
}

#[tokio::test]
async fn parts_with_a_gap_are_rejected() {
    let site = emulated().await;
    let first = site.begin("a.bin", json!({})).await;
    let third = site.begin("a.bin", json!({"ref": first[0]["ref"], "part": 3})).await;
    site.put(&first[0], &vec![0; 5 * MIB]).await;
    site.put(&third[0], b"x").await;
    let kind = site.finish("a.bin", &json!({"ref": first[0]["ref"]})).rejected(422).await;
    assert_eq!(kind, "bad-request/invalid-upload-part-gap");
}

#[tokio::test]
async fn begin_rejects_an_upload_that_cannot_succeed() {
    let site = emulated().await;
    site.upload("file", b"x").await;
    let reference = site.begin("a", json!({})).await[0]["ref"].clone();
    for (path, body, status, kind) in [
        ("missing/a", json!({}), 404, "not-found"),
        ("file/a", json!({"mkdir_parents": true}), 422, "bad-request/folder-must-not-be-a-file"),
        ("a", json!({"part": "x"}), 422, "bad-request"),
        ("a", json!({"parts": 0}), 422, "bad-request"),
        ("a", json!({"ref": reference, "part": 0}), 422, "bad-request/part-number-too-large"),
        ("a", json!({"ref": reference, "part": 10_001}), 422, "bad-request/part-number-too-large"),
        ("b", json!({"ref": reference}), 404, "not-found/file-upload-not-found"),
        ("a%20/b", json!({}), 422, "bad-request/path-cannot-have-trailing-whitespace"),
        ("a%E2%80%8B", json!({}), 422, "bad-request/invalid-path"),
        ("%2F", json!({}), 422, "bad-request/invalid-path"),
    ] {
        let request = site.post(&format!("/file_actions/begin_upload/{path}"), &body);
        assert_eq!(request.rejected(status).await, kind, "{path} {body}");
    }
    site.set(json!({"always_create_parents": true})).await;
    site.begin("missing/a", json!({})).await;
    assert!(site.is_there("missing").await);
}

#[tokio::test]
async fn an_upload_over_a_folder_fails_when_it_is_finished() {
    let site = emulated().await;
    site.mkdir("dir").await;
    let parts = site.begin("DIR", json!({})).await;
    site.put(&parts[0], b"x").await;
    let kind = site.finish("DIR", &json!({"ref": parts[0]["ref"]})).rejected(422).await;
    assert_eq!(kind, "processing-failure/destination-exists");
}

#[tokio::test]
async fn a_replacement_is_atomic_keeps_the_spelling_and_resets_the_metadata() {
    let site = emulated().await;
    let old = site.upload("File.txt", b"old").await;
    let metadata = json!({"provided_mtime": "2020-01-01T00:00:00Z", "custom_metadata": {"a": "b"}});
    site.api(Method::PATCH, "/files/file.txt").json(&metadata).json_with(StatusCode::OK).await;
    site.service.emulator.clock().advance(Duration::from_secs(60)).unwrap();

    let parts = site.begin("FILE.TXT", json!({})).await;
    site.put(&parts[0], b"new").await;
    assert_eq!(site.content("file.txt").await, b"old");
    let new = site.finish("file.txt", &json!({"ref": parts[0]["ref"]})).json_with(StatusCode::OK).await;
    assert_eq!(new["path"], "File.txt");
    assert_ne!(new["created_at"], old["created_at"]);
    assert_eq!((&new["provided_mtime"], &new["custom_metadata"]), (&Value::Null, &json!({})));
    assert_eq!(site.content("file.txt").await, b"new");
}

#[tokio::test]
async fn with_rename_gives_a_name_that_is_free() {
    let site = emulated().await;
    for (expected, content) in [("a.txt", "one"), ("a_2.txt", "two"), ("a_3.txt", "three")] {
        let parts = site.begin("a.txt", json!({"with_rename": true})).await;
        site.put(&parts[0], content.as_bytes()).await;
        let entity = site.finish("a.txt", &json!({"ref": parts[0]["ref"]})).json_with(StatusCode::CREATED).await;
        assert_eq!(entity["path"], expected);
    }
    assert_eq!(site.content("a.txt").await, b"one");
}

#[tokio::test]
async fn an_upload_as_the_javascript_client_sends_it_succeeds() {
    let site = emulated().await;
    let begun = site.post("/files/a.txt", &json!({"action": "put"})).json_with(StatusCode::OK).await;
    let body = json!({"action": "put", "part": 1, "ref": begun["ref"]});
    let part = site.post("/files/a.txt", &body).json_with(StatusCode::OK).await;
    assert_eq!(part["ref"], begun["ref"]);
    site.put(&part, b"text").await;
    let path = begun["path"].as_str().unwrap();
    site.finish(path, &json!({"ref": begun["ref"]})).json_with(StatusCode::CREATED).await;
    assert_eq!(site.content("a.txt").await, b"text");
}

#[tokio::test]
async fn a_part_url_is_valid_for_one_part_and_15_minutes() {
    let site = emulated().await;
    let part = &site.begin("a.txt", json!({})).await[0];
    let url = part["upload_uri"].as_str().unwrap();
    assert!(url.contains("&X-Amz-Expires=900&"), "{url}");
    for (tampered, code) in [
        (url.replace("partNumber=1", "partNumber=2"), "SignatureDoesNotMatch"),
        (url.replace("a.txt?", "b.txt?"), "SignatureDoesNotMatch"),
        (url.replace("Expires=900", "Expires=901"), "SignatureDoesNotMatch"),
        (url.split("&X-Amz-Signature").next().unwrap().to_owned(), "AccessDenied"),
        (format!("{url}0"), "SignatureDoesNotMatch"),
    ] {
        let response = site.service.put(site.service.path_of(&tampered)).body("x").response().await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert_eq!(response.headers()["content-type"], "application/xml");
        assert!(response.text().await.unwrap().contains(code), "{tampered}");
    }
    assert_eq!(site.storage(url).response().await.status(), StatusCode::FORBIDDEN, "a part URL is not valid for GET");

    site.service.emulator.clock().advance(Duration::from_secs(898)).unwrap();
    site.put(part, b"in time").await;
    site.service.emulator.clock().advance(Duration::from_secs(2)).unwrap();
    let response = site.put_raw(part, b"late").await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(response.headers()["server"], "AmazonS3");
    let text = response.text().await.unwrap();
    assert!(text.contains("<Code>AccessDenied</Code><Message>Request has expired</Message>"), "{text}");
    let renewed = site.begin("a.txt", json!({"ref": part["ref"], "part": 1})).await;
    site.put(&renewed[0], b"renewed").await;
    site.finish("a.txt", &json!({"ref": part["ref"]})).json_with(StatusCode::CREATED).await;
    assert_eq!(site.content("a.txt").await, b"renewed");
    let gone = site.put_raw(&renewed[0], b"x").await;
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
    assert!(gone.text().await.unwrap().contains("NoSuchUpload"));
}

#[tokio::test]
async fn a_part_needs_a_content_length() {
    let site = emulated().await;
    let parts = site.begin("a.txt", json!({})).await;
    let path = site.service.path_of(parts[0]["upload_uri"].as_str().unwrap());
    let head = format!("PUT {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
    let response = site.service.raw(&format!("{head}1\r\nx\r\n0\r\n\r\n")).await;
    assert!(response.starts_with("HTTP/1.1 411 "), "{response}");
    assert!(response.contains("MissingContentLength"), "{response}");
}

#[tokio::test]
async fn an_unfinished_upload_expires_after_three_days() {
    let site = emulated().await;
    let parts = site.begin("a.txt", json!({})).await;
    site.put(&parts[0], b"x").await;
    let advance = json!({"advance": "73h"});
    site.service.post("/_emulator/clock").json(&advance).json_with(StatusCode::OK).await;
    let kind = site.finish("a.txt", &json!({"ref": parts[0]["ref"]})).rejected(404).await;
    assert_eq!(kind, "not-found/file-upload-not-found");
}

#[tokio::test]
async fn digests_are_shown_after_the_digest_delay() {
    let site = emulated().await;
    site.set(json!({"digest_delay": "2s"})).await;
    site.upload("a.txt", b"text").await;
    assert_eq!(site.stat("a.txt").await["md5"], Value::Null);
    site.service.emulator.clock().advance(Duration::from_secs(2)).unwrap();
    assert_eq!(site.stat("a.txt").await["md5"], "1cb251ec0d568de6a929b520c4aed8d1");
}

#[tokio::test]
async fn the_digests_of_a_multipart_file_cover_the_whole_file() {
    let site = emulated().await;
    site.set(json!({"part_size": 5})).await;
    let first = site.begin("a.txt", json!({})).await;
    let second = site.begin("a.txt", json!({"ref": first[0]["ref"], "part": 2})).await;
    site.put(&first[0], b"some ").await;
    site.put(&second[0], b"text").await;
    site.finish("a.txt", &json!({"ref": first[0]["ref"]})).json_with(StatusCode::CREATED).await;
    let entity = loop {
        let entity = site.stat("a.txt").await;
        if entity["md5"] != Value::Null {
            break entity;
        }
    };
    assert_eq!((&entity["md5"], &entity["crc32"]), (&json!("552e21cd4cd9918678e3c1a0df491bc3"), &json!("4fbabdba")));
}

#[tokio::test]
async fn a_hundred_concurrent_uploads_into_a_missing_folder_succeed() {
    let site = std::sync::Arc::new(emulated().await);
    let uploads: Vec<_> = (0..100)
        .map(|number| {
            let site = std::sync::Arc::clone(&site);
            tokio::spawn(async move { site.upload(&format!("new/deep/{number}.txt"), b"x").await })
        })
        .collect();
    for upload in uploads {
        upload.await.unwrap();
    }
    assert_eq!(site.list("new/deep").await.len(), 100);
    assert_eq!(site.list("").await, ["new"]);
}

#[tokio::test]
async fn faults_can_affect_each_upload_step() {
    let site = site_with_faults(
        r#"
        [[fault]]
        operation = "upload"
        step = "part"
        part = 1
        nth = 1
        do = "expired-url"
        [[fault]]
        operation = "upload"
        step = "part"
        part = 1
        nth = 2
        do = { status = { code = 503 } }
        [[fault]]
        operation = "upload"
        step = "part"
        nth = 3
        do = "wrong-etag"
        [[fault]]
        operation = "upload"
        step = "finish"
        nth = 1
        do = { status = { code = 422, type = "processing-failure/file-not-uploaded" } }
        [[fault]]
        operation = "upload"
        step = "begin"
        nth = 2
        do = "stale-ref"
        "#,
    )
    .await;
    let part = &site.begin("a.txt", json!({})).await[0];
    let response = site.put_raw(part, b"x").await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert!(response.text().await.unwrap().contains("Request has expired"));
    let response = site.put_raw(part, b"x").await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.text().await.unwrap().contains("<Code>SlowDown</Code>"));
    assert_ne!(site.put(part, b"x").await, "9dd4e461268c8034f5c8564e155c67a6");
    assert_eq!(site.put(part, b"x").await, "9dd4e461268c8034f5c8564e155c67a6");
    let finish = json!({"ref": part["ref"]});
    assert_eq!(site.finish("a.txt", &finish).rejected(422).await, "processing-failure/file-not-uploaded");
    let retry = json!({"ref": part["ref"], "part": 2});
    let stale = site.post("/file_actions/begin_upload/a.txt", &retry).rejected(404).await;
    assert_eq!(stale, "not-found/file-upload-not-found");
    assert_eq!(site.finish("a.txt", &finish).rejected(404).await, "not-found/file-upload-not-found");
}

#[tokio::test]
async fn part_size_can_be_any_number() {
    let site = emulated().await;
    site.set(json!({"part_size": u64::MAX})).await;
    assert_eq!(site.begin("a.txt", json!({})).await[0]["next_partsize"], u64::MAX);
}

#[tokio::test]
async fn a_form_that_breaks_a_rule_is_rejected() {
    let site = emulated().await;
    let file = "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nx\r\n";
    let form = site.api(Method::POST, "/folders/new").form_body(format!("{file}{file}--B--\r\n").as_bytes());
    assert_eq!(form.rejected(422).await, "bad-request/request-params-invalid");

    let boundary = "B".repeat(71);
    let form = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"path\"\r\n\r\nx\r\n--{boundary}--\r\n");
    let form =
        site.api(Method::POST, "/folders/new").typed_body(&format!("multipart/form-data; boundary={boundary}"), &form);
    assert_eq!(form.rejected(422).await, "bad-request/invalid-body");

    let empty = "--B\r\nContent-Disposition: form-data; name=\"\"\r\n\r\n\r\n".repeat(140_000);
    let form = site.api(Method::POST, "/folders/new").form_body(format!("{empty}--B--\r\n").as_bytes());
    assert_eq!(form.rejected(422).await, "bad-request/request-body-too-large");
    assert!(!site.is_there("new").await);
}
