//! Files.com entries: stat, update, delete, mkdir and the spelling of paths.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Rejected, emulated};
use crate::support::RequestExt;

#[tokio::test]
async fn a_path_is_the_same_however_it_is_written() {
    let site = emulated().await;
    site.upload("Dir/File.txt", b"x").await;
    for path in [
        "Dir/File.txt",
        "Dir%2FFile.txt",
        "%2FDir%2FFile.txt",
        "/Dir//File.txt/",
        "dir/FILE.TXT",
        "d%C3%ADr%5Cfile.txt",
    ] {
        assert_eq!(site.stat(path).await["path"], "Dir/File.txt", "{path}");
    }
    site.upload("a%252Fb", b"x").await;
    assert_eq!(site.stat("a%252Fb").await["path"], "a%2Fb");
    site.upload("a+b", b"x").await;
    assert_eq!(site.stat("a+b").await["path"], "a+b");
}

#[tokio::test]
async fn the_root_is_a_folder_in_all_its_spellings() {
    let site = emulated().await;
    for path in ["", "/", "/%2F"] {
        let root = site.get(&format!("/file_actions/metadata{path}")).json_with(StatusCode::OK).await;
        assert_eq!((&root["path"], &root["type"]), (&json!(""), &json!("directory")), "{path}");
        site.get(&format!("/folders{path}")).json_with(StatusCode::OK).await;
    }
    assert_eq!(site.post("/folders/", &json!({})).rejected(422).await, "processing-failure/destination-exists");
    let delete = site.api(Method::DELETE, "/files/?recursive=true");
    assert_eq!(delete.rejected(422).await, "bad-request/invalid-path");
}

#[tokio::test]
async fn a_path_in_query_or_body_is_ignored() {
    let site = emulated().await;
    site.upload("a.txt", b"x").await;
    assert_eq!(site.stat("a.txt?path=other&unknown=1").await["path"], "a.txt");
    let folder = site.post("/folders/right", &json!({"path": "/wrong", "-": 1})).json_with(StatusCode::CREATED).await;
    assert_eq!(folder["path"], "right");
}

#[tokio::test]
async fn bodies_are_json_forms_or_nothing() {
    let site = emulated().await;
    let form = "--B\r\nContent-Disposition: form-data; name=\"mkdir_parents\"\r\n\r\ntrue\r\n--B--\r\n";
    for (path, content_type, body) in [
        ("a/b", "application/json", r#"{"mkdir_parents": true}"#),
        ("c/d", "application/x-www-form-urlencoded", "mkdir_parents=True"),
        ("e/f", "multipart/form-data; boundary=B", form),
        ("g", "application/json", ""),
    ] {
        let mkdir = site.api(Method::POST, &format!("/folders/{path}")).typed_body(content_type, body);
        mkdir.json_with(StatusCode::CREATED).await;
    }
    let untyped = site.api(Method::POST, "/folders/h/i").body(r#"{"mkdir_parents": "true"}"#);
    untyped.json_with(StatusCode::CREATED).await;
    let in_query = site.api(Method::POST, "/folders/j/k?mkdir_parents=true");
    in_query.json_with(StatusCode::CREATED).await;
    for (content_type, body, kind) in [
        ("application/json", "[1]", "bad-request/invalid-body"),
        ("application/json", "{", "bad-request/invalid-body"),
        ("text/xml", "<a/>", "bad-request/unsupported-media-type"),
        ("application/json", r#"{"mkdir_parents": 1}"#, "bad-request"),
    ] {
        let rejected = site.api(Method::POST, "/folders/x").typed_body(content_type, body).rejected(422).await;
        assert_eq!(rejected, kind, "{body}");
    }
}

#[tokio::test]
async fn every_response_has_the_headers_of_the_service() {
    let site = emulated().await;
    let response = site.get("/folders/").response().await;
    for (header, value) in [
        ("content-type", "application/json"),
        ("cache-control", "no-cache, no-store, max-age=0, must-revalidate"),
        ("pragma", "no-cache"),
        ("expires", "Fri, 01 Jan 1990 00:00:00 GMT"),
        ("server", "files.com"),
    ] {
        assert_eq!(response.headers()[header], value);
    }
    assert_eq!(response.headers()["x-request-id"].len(), 32);

    site.upload("a", b"x").await;
    let deleted = site.api(Method::DELETE, "/files/a").response().await;
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    assert!(!deleted.headers().contains_key("content-type"), "clients would parse the empty body");
    assert_eq!(deleted.bytes().await.unwrap(), "");
}

#[tokio::test]
async fn an_error_has_a_message_a_title_and_a_type() {
    let site = emulated().await;
    let error = site.get("/file_actions/metadata/none").json_with(StatusCode::NOT_FOUND).await;
    assert_eq!(error["error"], "Not Found.  This may be related to your permissions.");
    assert_eq!((&error["title"], &error["type"]), (&json!("Not Found"), &json!("not-found")));
    let error = site.post("/files/a", &json!({"action": "end"})).json_with(StatusCode::UNPROCESSABLE_ENTITY).await;
    assert_eq!(error["error"], "Required request parameter missing: ref");
    assert_eq!(error["title"], "Request Params Required");
    assert_eq!(site.api(Method::PUT, "/files/a").rejected(405).await, "bad-request/method-not-allowed");
}

#[tokio::test]
async fn folders_are_created_with_their_parents_only_with_mkdir_parents() {
    let site = emulated().await;
    assert_eq!(site.post("/folders/a/b", &json!({})).rejected(404).await, "not-found");
    let folder = site.mkdir("a/b").await;
    for (field, expected) in [
        ("path", json!("a/b")),
        ("type", json!("directory")),
        ("size", Value::Null),
        ("subfolders_locked?", json!(false)),
        ("md5", Value::Null),
    ] {
        assert_eq!(folder[field], expected, "{field}");
    }
    assert_eq!(folder.get("mime_type"), None);
    site.upload("file", b"x").await;
    for (path, kind) in [
        ("a/b", "processing-failure/destination-exists"),
        ("A/B", "processing-failure/destination-exists"),
        ("file", "processing-failure/destination-exists"),
        ("file/b", "bad-request/folder-must-not-be-a-file"),
        ("b%20", "bad-request/path-cannot-have-trailing-whitespace"),
        ("%E2%80%A5", "bad-request/invalid-path"),
    ] {
        let mkdir = site.post(&format!("/folders/{path}"), &json!({"mkdir_parents": true}));
        assert_eq!(mkdir.rejected(422).await, kind, "{path}");
    }
}

#[tokio::test]
async fn an_update_changes_only_the_fields_that_are_set() {
    let site = emulated().await;
    let file = site.upload("a.txt", b"x").await;
    let patch = async |body: Value| site.api(Method::PATCH, "/files/a.txt").json(&body).json_with(StatusCode::OK).await;
    let entity = patch(json!({"provided_mtime": "2020-01-01 10:00:00 -0700", "custom_metadata": {"a": "b"}})).await;
    assert_eq!(entity["provided_mtime"], "2020-01-01T17:00:00Z");
    let entity = patch(json!({"custom_metadata": {"c": "d"}, "priority_color": "red"})).await;
    assert_eq!(
        (&entity["custom_metadata"], &entity["provided_mtime"]),
        (&json!({"c": "d"}), &json!("2020-01-01T17:00:00Z"))
    );
    assert_eq!((&entity["mtime"], &entity["created_at"]), (&file["mtime"], &file["created_at"]));
    assert_eq!(patch(json!({"custom_metadata": null})).await["custom_metadata"], json!({}));
    assert_eq!(site.stat("a.txt?with_priority_color=true").await["priority_color"], "red");
    assert_eq!(site.stat("a.txt").await.get("priority_color"), None);

    let many: serde_json::Map<_, _> = (0..33).map(|n| (n.to_string(), json!("x"))).collect();
    for (metadata, kind) in [
        (json!({"a": 1}), "bad-request"),
        (json!("a"), "bad-request"),
        (json!(many), "processing-failure/model-save-error"),
        (json!({"k".repeat(257): "x"}), "processing-failure/model-save-error"),
        (json!({"k": "x".repeat(1025)}), "processing-failure/model-save-error"),
    ] {
        let patch = site.api(Method::PATCH, "/files/a.txt").json(&json!({"custom_metadata": metadata}));
        assert_eq!(patch.rejected(422).await, kind);
    }
}

#[tokio::test]
async fn a_folder_is_deleted_with_its_content_only_with_recursive() {
    let site = emulated().await;
    site.upload("dir/below/a.txt", b"x").await;
    let rejected = site.api(Method::DELETE, "/files/dir").rejected(422).await;
    assert_eq!(rejected, "processing-failure/folder-not-empty");
    let deleted = site.api(Method::DELETE, "/files/dir?recursive=True").response().await;
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    assert!(!site.is_there("dir/below/a.txt").await);
    assert_eq!(site.api(Method::DELETE, "/files/dir").rejected(404).await, "not-found");
    site.mkdir("dir").await;
    let in_body = site.api(Method::DELETE, "/files/dir").json(&json!({"recursive": false})).response().await;
    assert_eq!(in_body.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_write_updates_the_mtime_of_every_folder_above_it() {
    let site = emulated().await;
    site.mkdir("a/b/c").await;
    site.mkdir("beside").await;
    let times = async || {
        [site.stat("").await, site.stat("a").await, site.stat("a/b").await].map(|folder| folder["mtime"].clone())
    };
    let minute = || site.service.emulator.clock().advance(Duration::from_secs(60)).unwrap();
    let mut before = times().await;
    let beside = site.stat("beside").await["mtime"].clone();
    let steps: [(Method, &str, Value); 4] = [
        (Method::POST, "/folders/a/b/d", json!({})),
        (Method::POST, "/file_actions/copy/a/b/c", json!({"destination": "a/b/e"})),
        (Method::POST, "/file_actions/move/a/b/e", json!({"destination": "a/b/f"})),
        (Method::DELETE, "/files/a/b/c", json!({})),
    ];
    for (method, path, body) in steps {
        minute();
        assert!(site.api(method, path).json(&body).response().await.status().is_success());
        let after = times().await;
        assert!(after.iter().zip(&before).all(|(after, before)| after.as_str() > before.as_str()), "{path}");
        before = after;
    }
    minute();
    site.upload("a/b/x", b"x").await;
    assert!(times().await.iter().zip(&before).all(|(after, before)| after.as_str() > before.as_str()));
    assert_eq!(site.stat("beside").await["mtime"], beside);
}

#[tokio::test]
async fn strict_methods_rejects_requests_that_the_api_does_not_document() {
    let site = emulated().await;
    site.mkdir("a").await;
    site.post("/file_actions/metadata/a", &json!({})).json_with(StatusCode::OK).await;
    site.set(json!({"strict_methods": true})).await;
    assert_eq!(site.post("/file_actions/metadata/a", &json!({})).rejected(405).await, "bad-request/method-not-allowed");
    assert_eq!(site.api(Method::DELETE, "/folders/a").rejected(405).await, "bad-request/method-not-allowed");
    site.set(json!({})).await;
    assert_eq!(site.api(Method::DELETE, "/folders/a").response().await.status(), StatusCode::NO_CONTENT);
    let unknown = site.service.put("/_emulator/filescom/settings").json(&json!({"part_sise": 1})).response().await;
    assert_eq!(unknown.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn names_are_equal_by_the_collation_of_the_service() {
    let site = emulated().await;
    site.upload("Résumé.txt", b"one").await;
    for spelling in ["resume.TXT", "re\u{301}sume\u{301}.txt", "re\u{ad}sume.txt", "ｒesume.txt"] {
        assert_eq!(site.content(spelling).await, b"one", "{spelling}");
    }
    assert!(!site.is_there("resume.txt%20").await);
    site.upload("resume.txt%20", b"two").await;
    assert_eq!(site.list("").await, ["Résumé.txt", "resume.txt "]);
    assert_eq!(site.get("/file_actions/metadata/%C2%AD").rejected(422).await, "bad-request/invalid-path");
}
