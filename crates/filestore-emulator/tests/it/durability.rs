//! Durability of file.io's data in a data directory: complete files survive, consumed files stay gone, and partial ones
//! are removed.

use std::fs;
use std::path::Path;

use filestore_emulator::{Emulator, Options, StartError};
use reqwest::StatusCode;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;

use crate::support::{DAY, RequestExt, Service, ValueExt, service_with};

async fn service_in(folder: &Path) -> Service {
    service_with(Options { data_dir: Some(folder.to_owned()), ..Options::default() }).await
}

/// Returns a copy of the directory, as a kill at this moment would leave it.
pub(crate) fn copy_as_killed(folder: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_folder(folder, copy.path());
    copy
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn bodies(folder: &Path) -> usize {
    fs::read_dir(folder.join("fileio/bodies")).unwrap().count()
}

#[tokio::test]
async fn files_counts_tokens_and_the_clock_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let service = service_in(folder.path()).await;
    let large = vec![5; 200_000];
    let read_once = service.upload("a.bin", &large, &[("maxDownloads", "2")]).await.path();
    service.content_of(&read_once).await;
    let consumed = service.share(b"x").await;
    service.content_of(&consumed).await;
    let anonymous = service.post("/").form_file("b.txt", b"b", &[("expires", "2h")]).response().await;
    let token = anonymous.headers()["x-file-io-anonymous-access-token"].to_str().unwrap().to_owned();
    let anonymous = anonymous.json::<serde_json::Value>().await.unwrap().path();
    let expired =
        service.post("/").form_file("c.txt", b"c", &[("expires", "30m")]).json_with(StatusCode::OK).await.path();
    service.emulator.clock().advance(DAY / 24).unwrap();
    service.emulator.shutdown().await;

    let service = service_in(folder.path()).await;
    assert_eq!(service.emulator.clock().offset().as_hours(), 1);
    assert_eq!(service.status_of(&expired).await, StatusCode::NOT_FOUND);
    assert_eq!(service.status_of(&consumed).await, StatusCode::NOT_FOUND);
    service.patch(&anonymous).bearer_auth(&token).form_fields(&[("title", "T")]).json_with(StatusCode::OK).await;
    assert_eq!(service.content_of(&anonymous).await, b"b");
    assert!(service.content_of(&read_once).await == large);
    assert_eq!(service.status_of(&read_once).await, StatusCode::NOT_FOUND);
    assert_eq!(bodies(folder.path()), 0, "the contents of removed files are removed");
}

#[tokio::test]
async fn a_kill_between_the_count_and_the_body_does_not_revive_the_file() {
    for size in [5, 8_000_000] {
        let folder = tempfile::tempdir().unwrap();
        let service = service_in(folder.path()).await;
        let content = vec![1; size];
        let path = service.share(&content).await;
        let before = copy_as_killed(folder.path());
        let response = service.get(&path).response().await;
        let after = copy_as_killed(folder.path());

        assert!(service_in(before.path()).await.content_of(&path).await == content, "not read yet");
        assert_eq!(service_in(after.path()).await.status_of(&path).await, StatusCode::NOT_FOUND);
        assert_eq!(bodies(after.path()), 0);
        assert!(response.bytes().await.unwrap() == content, "the reader still gets all of it");
    }
}

#[tokio::test]
async fn a_kill_between_two_reads_does_not_forget_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let service = service_in(folder.path()).await;
    let path = service.upload("a.txt", b"a", &[("maxDownloads", "2")]).await.path();
    let response = service.get(&path).response().await;
    let restarted = copy_as_killed(folder.path());
    drop(response);
    let service = service_in(restarted.path()).await;
    assert_eq!(service.status_of(&path).await, StatusCode::OK);
    assert_eq!(service.status_of(&path).await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_kill_during_an_upload_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let service = service_in(folder.path()).await;
    let mut stream = service.connect().await;
    let head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=B\r\nContent-Length: 1000000\r\n\r\n\
                --B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&[0; 500_000]).await.unwrap();
    while bodies(folder.path()) == 0 {
        tokio::task::yield_now().await;
    }
    let restarted = copy_as_killed(folder.path());
    assert_eq!(bodies(restarted.path()), 1);
    let service = service_in(restarted.path()).await;
    assert_eq!(bodies(restarted.path()), 0, "removed at the start");
    assert_eq!(service.get("/").paid().json_with(StatusCode::OK).await["count"], 0);
}

#[tokio::test]
async fn an_incomplete_upload_leaves_nothing_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let service = service_in(folder.path()).await;
    let mut stream = service.connect().await;
    let head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=B\r\nContent-Length: 1000000\r\n\r\n\
                --B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&[0; 500_000]).await.unwrap();
    while bodies(folder.path()) == 0 {
        tokio::task::yield_now().await;
    }
    drop(stream);
    while bodies(folder.path()) == 1 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_unfinished_record_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let service = service_in(folder.path()).await;
    let path = service.share(b"a").await;
    service.emulator.shutdown().await;
    let unfinished = folder.path().join("fileio/records/.unfinished-x1y2z3");
    fs::write(&unfinished, "{\"id\":").unwrap();
    let service = service_in(folder.path()).await;
    assert!(!unfinished.exists());
    assert_eq!(service.content_of(&path).await, b"a");
}

#[tokio::test]
async fn a_file_without_its_content_is_not_found() {
    let folder = tempfile::tempdir().unwrap();
    let service = service_in(folder.path()).await;
    let path = service.share(b"a").await;
    service.emulator.shutdown().await;
    for body in fs::read_dir(folder.path().join("fileio/bodies")).unwrap() {
        fs::write(body.unwrap().path(), b"").unwrap();
    }
    assert_eq!(service_in(folder.path()).await.status_of(&path).await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_replacement_and_a_delete_remove_the_old_content() {
    let folder = tempfile::tempdir().unwrap();
    let service = service_in(folder.path()).await;
    let path = service.upload("a.txt", b"old", &[]).await.path();
    service.put(&path).paid().form_file("a.txt", b"new", &[]).json_with(StatusCode::OK).await;
    assert_eq!(bodies(folder.path()), 1);
    service
        .put(&path)
        .paid()
        .form_file("a.txt", b"newer", &[("expires", "never")])
        .json_with(StatusCode::BAD_REQUEST)
        .await;
    assert_eq!(bodies(folder.path()), 1, "rejected content is removed");
    service.delete(&path).paid().json_with(StatusCode::OK).await;
    assert_eq!(bodies(folder.path()), 0);
}

#[tokio::test]
async fn only_one_emulator_can_use_a_directory() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { data_dir: Some(folder.path().to_owned()), ..Options::default() };
    let first = Emulator::start(options.clone()).await.unwrap();
    let second = Emulator::start(options.clone()).await.unwrap_err();
    assert!(matches!(second, StartError::InUse(_)), "{second}");
    first.shutdown().await;
    Emulator::start(options).await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn other_users_cannot_read_the_directory() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("new");
    let _service = service_in(&data).await;
    assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
}

/// Replaces all files of a folder by a text that cannot be read, and returns their paths.
fn damage(folder: &Path) -> Vec<String> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        fs::write(&path, b"{\"id\":\xff").unwrap();
        paths.push(path.canonicalize().unwrap().to_string_lossy().into_owned());
    }
    assert!(!paths.is_empty());
    paths.sort();
    paths
}

#[tokio::test]
async fn a_damaged_record_is_ignored_kept_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let service = service_in(folder.path()).await;
    let lost = service.share(b"lost").await;
    service.emulator.shutdown().await;
    let mut damaged = damage(&folder.path().join("fileio/records"));
    let service = service_in(folder.path()).await;
    let kept = service.share(b"kept").await;
    let form = service.stored("room", "cat.txt", b"hello").await;
    service.post("/_emulator/pubnub/grants").json(&grant()).json_with(StatusCode::OK).await;
    service.get("/publish/pub-c-emulator/sub-c-emulator/0/room/0/1?uuid=alice").response().await;
    service.emulator.shutdown().await;
    for records in ["pubnub/files", "pubnub/messages", "pubnub/grants"] {
        damaged.extend(damage(&folder.path().join(records)));
    }

    // Also at the second start, because nothing of it is removed.
    for _ in 0..2 {
        let service = service_in(folder.path()).await;
        assert_eq!(service.status_of(&lost).await, StatusCode::NOT_FOUND);
        assert_eq!(service.request(reqwest::Method::HEAD, &kept).response().await.status(), StatusCode::OK);
        let url = service.presigned_url("room", &form.id, "cat.txt").await;
        assert_eq!(service.status_of(&url).await, StatusCode::NOT_FOUND);

        let list = service.get("/_emulator/damaged").json_with(StatusCode::OK).await;
        let files = list["files"].as_array().unwrap();
        let mut paths: Vec<_> = files.iter().map(|file| file["path"].as_str().unwrap().to_owned()).collect();
        let page = service.get("/_emulator/").response().await.text().await.unwrap();
        let warnings = service.emulator.warnings().join("\n");
        for path in &paths {
            assert!(page.contains(path.as_str()) && warnings.contains(path.as_str()), "{path}");
        }
        paths.sort();
        damaged.sort();
        assert_eq!(paths, damaged);
        assert_eq!(bodies(folder.path()), 2, "a damaged record may refer to a content");
        assert_eq!(fs::read_dir(folder.path().join("pubnub/bodies")).unwrap().count(), 1);
        service.emulator.shutdown().await;
    }

    for path in &damaged {
        fs::remove_file(path).unwrap();
    }
    let service = service_in(folder.path()).await;
    assert!(service.emulator.warnings().is_empty());
    assert_eq!(bodies(folder.path()), 1, "contents without a record are removed again");
    assert_eq!(service.content_of(&kept).await, b"kept");
}

fn grant() -> serde_json::Value {
    serde_json::json!({"subscribe_key": "sub-c-emulator", "channels": {"room": ["read"]}})
}

#[tokio::test]
async fn a_damaged_clock_or_key_does_not_prevent_the_start() {
    for (file, text) in [
        ("clock", "tomorrow"),
        ("clock", "-1000000h"),
        ("clock", "100000000h"),
        ("pubnub/storage-key", ""),
        ("pubnub/storage-key", "short"),
        ("filescom/secret", ""),
    ] {
        let folder = tempfile::tempdir().unwrap();
        service_in(folder.path()).await.emulator.shutdown().await;
        let path = folder.path().join(file);
        fs::write(&path, text).unwrap();
        let service = service_in(folder.path()).await;
        assert!(service.emulator.clock().offset().is_zero());
        let warnings = service.emulator.warnings();
        assert!(warnings.len() == 1 && warnings[0].contains(file), "{file} {text}: {warnings:?}");
        assert_eq!(fs::read_to_string(path).unwrap(), text);
        let file = service.stored("room", "cat.txt", b"hello").await;
        let url = service.presigned_url("room", &file.id, "cat.txt").await;
        assert_eq!(service.content_of(&url).await, b"hello");
    }
}
