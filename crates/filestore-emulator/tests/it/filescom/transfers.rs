//! Files.com copies, moves and background deletes.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{EmulatedSite, Rejected, emulated};
use crate::support::RequestExt;

async fn transfer(site: &EmulatedSite, operation: &str, from: &str, to: &str) -> Value {
    let body = json!({"destination": to});
    site.post(&format!("/file_actions/{operation}/{from}"), &body).json_with(StatusCode::CREATED).await
}

#[tokio::test]
async fn a_copy_has_new_times_and_the_same_metadata() {
    let site = emulated().await;
    site.upload("a.txt", b"x").await;
    let metadata = json!({"provided_mtime": "2020-01-01T00:00:00Z", "custom_metadata": {"a": "b"}});
    let original = site.api(Method::PATCH, "/files/a.txt").json(&metadata).json_with(StatusCode::OK).await;
    site.service.emulator.clock().advance(Duration::from_secs(60)).unwrap();
    assert_eq!(transfer(&site, "copy", "a.txt", "/b.txt").await, json!({"status": "completed"}));
    let copy = site.stat("b.txt").await;
    for field in ["provided_mtime", "custom_metadata", "size", "md5"] {
        assert_eq!(copy[field], original[field], "{field}");
    }
    assert_ne!(copy["created_at"], original["created_at"]);
    assert_ne!(copy["mtime"], original["mtime"]);
    site.upload("a.txt", b"changed").await;
    assert_eq!(site.content("b.txt").await, b"x", "the copy is independent");
}

#[tokio::test]
async fn a_move_keeps_times_and_moves_the_content_of_a_folder() {
    let site = emulated().await;
    let original = site.upload("dir/below/a.txt", b"x").await;
    site.service.emulator.clock().advance(Duration::from_secs(60)).unwrap();
    transfer(&site, "move", "dir", "moved").await;
    let moved = site.stat("moved/below/a.txt").await;
    assert_eq!((&moved["mtime"], &moved["created_at"]), (&original["mtime"], &original["created_at"]));
    assert!(!site.is_there("dir").await);
    transfer(&site, "copy", "moved", "copied").await;
    assert_eq!(site.content("copied/below/a.txt").await, b"x");
}

#[tokio::test]
async fn a_move_can_change_the_spelling_of_a_name() {
    let site = emulated().await;
    site.upload("a.txt", b"x").await;
    transfer(&site, "move", "a.txt", "A.txt").await;
    assert_eq!(site.list("").await, ["A.txt"]);
}

#[tokio::test]
async fn overwriting_replaces_files_and_merges_folders() {
    let site = emulated().await;
    for (path, content) in [("from/a", "1"), ("from/sub/b", "2"), ("to/A", "old"), ("to/sub/c", "3"), ("to/d", "4")] {
        site.upload(path, content.as_bytes()).await;
    }
    let forced = json!({"destination": "to", "overwrite": true});
    site.post("/file_actions/copy/from", &forced).json_with(StatusCode::CREATED).await;
    assert_eq!(site.list("to").await, ["to/sub", "to/a", "to/d"]);
    assert_eq!(site.content("to/a").await, b"1");
    assert_eq!(site.list("to/sub").await, ["to/sub/b", "to/sub/c"]);
    site.post("/file_actions/move/from", &forced).json_with(StatusCode::CREATED).await;
    assert_eq!(site.list("").await, ["to"]);
    assert_eq!(site.content("to/sub/b").await, b"2");
}

#[tokio::test]
async fn an_invalid_copy_or_move_is_rejected_and_changes_nothing() {
    let site = emulated().await;
    for path in ["file", "other", "dir/below/a", "dir2/x"] {
        site.upload(path, b"x").await;
    }
    for (from, to, status, kind) in [
        ("file", "other", 422, "processing-failure/destination-exists"),
        ("file", "none/file", 409, "processing-failure/destination-parent-does-not-exist"),
        ("file", "/FILE/", 422, "bad-request/destination-same"),
        ("file", "other/x", 422, "bad-request/folder-must-not-be-a-file"),
        ("none", "x", 404, "not-found"),
        ("dir", "dir/below/x", 422, "processing-failure/destination-parent-conflict"),
        ("dir/below", "DIR", 422, "processing-failure/destination-parent-conflict"),
        ("", "x", 422, "bad-request/invalid-path"),
        ("file", "x /y", 422, "bad-request/path-cannot-have-trailing-whitespace"),
    ] {
        let request = site.post(&format!("/file_actions/copy/{from}"), &json!({"destination": to}));
        assert_eq!(request.rejected(status).await, kind, "{from} to {to}");
    }
    let missing = site.post("/file_actions/move/file", &json!({})).json_with(StatusCode::UNPROCESSABLE_ENTITY).await;
    assert_eq!(missing["error"], "destination is missing");
    let forced = json!({"destination": "dir2", "overwrite": true});
    assert_eq!(
        site.post("/file_actions/move/file", &forced).rejected(422).await,
        "processing-failure/destination-exists"
    );
    assert_eq!(site.list("").await, ["dir", "dir2", "file", "other"]);

    site.set(json!({"always_create_parents": true})).await;
    transfer(&site, "move", "file", "none/file").await;
    assert!(site.is_there("none/file").await);
}

#[tokio::test]
async fn a_pending_migration_completes_after_the_set_number_of_polls() {
    let site = emulated().await;
    site.set(json!({"migrations": {"polls": 2}})).await;
    site.upload("dir/a.txt", b"x").await;
    let started = transfer(&site, "move", "dir", "moved").await;
    assert_eq!(started["status"], "pending");
    let id = &started["file_migration_id"];
    for status in ["pending", "processing", "completed", "completed"] {
        let migration = site.get(&format!("/file_migrations/{id}")).json_with(StatusCode::OK).await;
        assert_eq!(migration["status"], status);
        for (field, expected) in
            [("id", id.clone()), ("path", json!("dir")), ("dest_path", json!("moved")), ("operation", json!("move"))]
        {
            assert_eq!(migration[field], expected, "{field}");
        }
    }
    assert_eq!(site.content("moved/a.txt").await, b"x");
    assert_eq!(site.get("/file_migrations/999").rejected(404).await, "not-found");
    assert_eq!(site.get("/file_migrations/x").rejected(404).await, "not-found");
}

#[tokio::test]
async fn a_pending_migration_completes_after_the_delay_without_polls() {
    let site = emulated().await;
    site.set(json!({"migrations": {"delay": "10s"}})).await;
    site.upload("a.txt", b"x").await;
    let id = transfer(&site, "copy", "a.txt", "b.txt").await["file_migration_id"].clone();
    let status = async || site.get(&format!("/file_migrations/{id}")).json_with(StatusCode::OK).await["status"].clone();
    assert_eq!(status().await, "pending");
    site.service.emulator.clock().advance(Duration::from_secs(5)).unwrap();
    assert_eq!(status().await, "processing");
    assert!(!site.is_there("b.txt").await);
    site.service.emulator.clock().advance(Duration::from_secs(5)).unwrap();
    assert!(site.is_there("b.txt").await);
    assert_eq!(status().await, "completed");
}

#[tokio::test]
async fn a_failed_migration_has_a_failure_message() {
    let site = emulated().await;
    site.set(json!({"migrations": {"polls": 0}})).await;
    site.upload("a.txt", b"x").await;
    let id = transfer(&site, "copy", "a.txt", "b.txt").await["file_migration_id"].clone();
    site.upload("b.txt", b"in the way").await;
    let migration = site.get(&format!("/file_migrations/{id}")).json_with(StatusCode::OK).await;
    assert_eq!(
        (&migration["status"], &migration["failure_message"]),
        (&json!("failed"), &json!("The destination exists."))
    );
    assert_eq!(site.content("b.txt").await, b"in the way");
}

#[tokio::test]
async fn a_delete_in_the_background_needs_recursive_as_well() {
    let site = emulated().await;
    site.upload("dir/a.txt", b"x").await;
    let rejected = site.post("/file_actions/delete/dir", &json!({})).rejected(422).await;
    assert_eq!(rejected, "processing-failure/folder-not-empty");
    site.post("/file_actions/delete/dir", &json!({"recursive": true})).json_with(StatusCode::CREATED).await;
    assert!(!site.is_there("dir").await);
}
