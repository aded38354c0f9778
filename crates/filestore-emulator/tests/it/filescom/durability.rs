//! Files.com's data in a data directory: it survives a restart and a kill.

use std::fs;
use std::path::Path;
use std::time::Duration;

use filestore_emulator::Options;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;

use super::{EmulatedSite, MIB, Rejected, site_with};
use crate::durability::copy_as_killed;
use crate::support::RequestExt;

async fn site_in(folder: &Path) -> EmulatedSite {
    site_with(Options { data_dir: Some(folder.to_owned()), ..Options::default() }).await
}

/// Starts an emulator on a copy of the directory, as a kill at this moment leaves it.
async fn restarted(folder: &Path) -> (EmulatedSite, TempDir) {
    let copy = copy_as_killed(folder);
    (site_in(copy.path()).await, copy)
}

fn bodies(folder: &Path) -> usize {
    fs::read_dir(folder.join("filescom/bodies")).unwrap().count()
}

#[tokio::test]
async fn every_confirmed_change_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let site = site_in(folder.path()).await;
    site.upload("Dir/file.txt", b"kept").await;
    site.upload("Dir/gone.txt", b"gone").await;
    site.api(Method::DELETE, "/files/Dir/gone.txt").response().await;
    let metadata = json!({"provided_mtime": "2020-01-01T00:00:00Z", "custom_metadata": {"a": "b"}});
    site.api(Method::PATCH, "/files/Dir/file.txt").json(&metadata).json_with(StatusCode::OK).await;
    site.post("/file_actions/copy/dir", &json!({"destination": "copy"})).json_with(StatusCode::CREATED).await;
    site.post("/file_actions/move/copy", &json!({"destination": "moved"})).json_with(StatusCode::CREATED).await;
    let login = json!({"username": "emulator", "password": "emulator-password"});
    let session = site.open(Method::POST, "/sessions").json(&login).json_with(StatusCode::CREATED).await;
    let bundle = site.post("/bundles", &json!({"paths": ["Dir/file.txt"]})).json_with(StatusCode::CREATED).await;
    let paths = ["", "Dir", "Dir/file.txt", "moved", "moved/file.txt"];
    let mut before = Vec::new();
    for path in paths {
        before.push(site.stat(path).await);
    }

    let (after, _folder) = restarted(folder.path()).await;
    for (path, before) in paths.iter().zip(before) {
        assert_eq!(after.stat(path).await, before, "{path}");
    }
    assert_eq!(after.content("moved/file.txt").await, b"kept");
    assert_eq!(after.list("Dir").await, ["Dir/file.txt"]);
    let id = session["id"].as_str().unwrap();
    let by_session = after.open(Method::GET, "/folders/").header("X-FilesAPI-Auth", id).response().await;
    assert_eq!(by_session.status(), StatusCode::OK);
    let link = after.service.get(&format!("/f/{}", bundle["code"].as_str().unwrap())).response().await;
    assert_eq!(link.bytes().await.unwrap(), "kept");
    assert_eq!(bodies(_folder.path()), 1, "a copy shares its content, and deleted content is removed");
}

#[tokio::test]
async fn an_upload_can_continue_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let site = site_in(folder.path()).await;
    let first = site.begin("new/a.bin", json!({"mkdir_parents": true})).await;
    site.put(&first[0], &vec![1; 5 * MIB]).await;
    let second = site.begin("new/a.bin", json!({"ref": first[0]["ref"], "part": 2})).await;

    let (after, _folder) = restarted(folder.path()).await;
    assert!(!after.is_there("new/a.bin").await);
    let url =
        second[0]["upload_uri"].as_str().unwrap().replace(site.service.emulator.url(), after.service.emulator.url());
    after.put(&json!({"upload_uri": url}), b"rest").await;
    let finish = json!({"ref": first[0]["ref"], "size": 5 * MIB + 4});
    after.finish("new/a.bin", &finish).json_with(StatusCode::CREATED).await;
    let (after, _folder) = restarted(_folder.path()).await;
    assert!(after.content("new/a.bin").await == [&vec![1; 5 * MIB][..], b"rest"].concat());
    assert_eq!(after.finish("new/a.bin", &finish).rejected(404).await, "not-found/file-upload-not-found");
    let entity = loop {
        let entity = after.stat("new/a.bin").await;
        if entity["md5"] != Value::Null {
            break entity;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(entity["size"], 5 * MIB + 4);
}

#[tokio::test]
async fn a_kill_during_a_part_leaves_no_part() {
    let folder = tempfile::tempdir().unwrap();
    let site = site_in(folder.path()).await;
    let parts = site.begin("a.bin", json!({})).await;
    let path = site.service.path_of(parts[0]["upload_uri"].as_str().unwrap());
    let mut stream = site.service.connect().await;
    let head = format!("PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&[0; 500_000]).await.unwrap();
    while bodies(folder.path()) == 0 {
        tokio::task::yield_now().await;
    }
    let (after, folder) = restarted(folder.path()).await;
    assert_eq!(bodies(folder.path()), 0);
    let finish = json!({"ref": parts[0]["ref"]});
    assert_eq!(after.finish("a.bin", &finish).rejected(422).await, "processing-failure/file-not-uploaded");
}

#[tokio::test]
async fn a_pending_migration_completes_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let site = site_in(folder.path()).await;
    site.set(json!({"migrations": {"delay": "10s"}})).await;
    site.upload("a.txt", b"x").await;
    let started = site.post("/file_actions/move/a.txt", &json!({"destination": "b.txt"})).response().await;
    let id = started.json::<Value>().await.unwrap()["file_migration_id"].clone();
    let (after, _folder) = restarted(folder.path()).await;
    assert!(after.is_there("a.txt").await);
    after.service.emulator.clock().advance(Duration::from_secs(10)).unwrap();
    let migration = after.get(&format!("/file_migrations/{id}")).json_with(StatusCode::OK).await;
    assert_eq!(migration["status"], "completed");
    let (after, _folder) = restarted(_folder.path()).await;
    assert_eq!(after.list("").await, ["b.txt"]);
}

#[tokio::test]
async fn a_partially_written_change_is_discarded() {
    let folder = tempfile::tempdir().unwrap();
    let site = site_in(folder.path()).await;
    for name in ["a", "b", "c"] {
        site.upload(&format!("dir/{name}"), b"x").await;
    }
    site.post("/file_actions/move/dir", &json!({"destination": "moved"})).json_with(StatusCode::CREATED).await;
    let copy = copy_as_killed(folder.path());
    let log = copy.path().join("filescom/log");
    let whole = fs::read(&log).unwrap();
    fs::write(&log, &whole[..whole.len() - 10]).unwrap();
    let after = site_in(copy.path()).await;
    assert_eq!(after.list("").await, ["dir"]);
    assert_eq!(after.list("dir").await.len(), 3);
}

#[tokio::test]
async fn a_reset_leaves_nothing_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let site = site_in(folder.path()).await;
    site.upload("a.txt", b"x").await;
    let parts = site.begin("b.txt", json!({})).await;
    site.put(&parts[0], b"x").await;
    site.service.emulator.reset().await.unwrap();
    assert_eq!(site.list("").await, Vec::<String>::new());
    assert_eq!(bodies(folder.path()), 0);
    let (after, _folder) = restarted(folder.path()).await;
    assert_eq!(after.list("").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_file_without_its_content_is_not_found() {
    let folder = tempfile::tempdir().unwrap();
    let site = site_in(folder.path()).await;
    site.upload("a.txt", b"x").await;
    site.upload("b.txt", b"xy").await;
    site.service.emulator.shutdown().await;
    for body in fs::read_dir(folder.path().join("filescom/bodies")).unwrap() {
        let body = body.unwrap();
        if body.metadata().unwrap().len() == 1 {
            fs::remove_file(body.path()).unwrap();
        }
    }
    let site = site_in(folder.path()).await;
    assert_eq!(site.list("").await, ["b.txt"]);
    let warnings = site.service.emulator.warnings();
    assert!(warnings.len() == 1 && warnings[0].contains("content of the file"), "{warnings:?}");
}

#[tokio::test]
async fn a_damaged_line_of_the_log_is_ignored_and_the_original_log_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let site = site_in(folder.path()).await;
    site.mkdir("lost").await;
    site.upload("lost/a.txt", b"below").await;
    site.upload("kept.txt", b"kept").await;
    site.service.emulator.shutdown().await;
    let log = folder.path().join("filescom/log");
    let text = fs::read_to_string(&log).unwrap();
    let damaged: String = text
        .lines()
        .map(|line| if line.contains(r#""name":"lost""#) { "damaged\n".to_owned() } else { format!("{line}\n") })
        .collect();
    assert_eq!(damaged.matches("damaged").count(), 1);
    fs::write(&log, &damaged).unwrap();

    for _ in 0..2 {
        let site = site_in(folder.path()).await;
        assert_eq!(site.content("kept.txt").await, b"kept");
        assert_eq!(site.list("").await, ["kept.txt"]);
        let warnings = site.service.emulator.warnings();
        assert!(warnings.len() == 1 && warnings[0].contains("log.damaged-1"), "{warnings:?}");
        let page = site.service.get("/_emulator/").response().await.text().await.unwrap();
        assert!(page.contains("1 at Files.com") && page.contains("log.damaged-1"), "{page}");
        assert_eq!(bodies(folder.path()), 2);
        site.service.emulator.shutdown().await;
    }
    // The id of the lost folder is not given to another one, which would get its entries.
    let site = site_in(folder.path()).await;
    site.mkdir("new").await;
    assert!(site.list("new").await.is_empty());
    assert_eq!(fs::read_to_string(folder.path().join("filescom/log.damaged-1")).unwrap(), damaged);
}

#[tokio::test]
async fn entries_whose_names_became_equal_are_all_kept() {
    let folder = tempfile::tempdir().unwrap();
    let site = site_in(folder.path()).await;
    site.upload("か.txt", b"first").await;
    site.upload("second.txt", b"second").await;
    site.upload("third/a.txt", b"third").await;
    site.service.emulator.shutdown().await;
    let log = folder.path().join("filescom/log");
    let text = fs::read_to_string(&log).unwrap();
    let renamed = text.replace(r#""name":"second.txt""#, r#""name":"カ.txt""#);
    fs::write(&log, renamed.replace(r#""name":"third""#, r#""name":"ガ.txt""#)).unwrap();

    for _ in 0..2 {
        let site = site_in(folder.path()).await;
        assert_eq!(site.list("").await, ["ガ.txt", "か_2.txt", "カ_3.txt"]);
        assert_eq!(site.content("か_2.txt").await, b"first");
        assert_eq!(site.content("カ_3.txt").await, b"second");
        assert_eq!(site.content("ガ.txt/a.txt").await, b"third");
        site.service.emulator.shutdown().await;
    }
}
