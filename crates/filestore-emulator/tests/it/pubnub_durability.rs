//! PubNub's data in a data directory: it survives a restart and a kill.

use std::fs;
use std::path::Path;
use std::time::Duration;

use filestore_emulator::Options;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::durability::copy_as_killed;
use crate::pubnub::{ALICE, channel};
use crate::support::{RequestExt, Service, service_with};

async fn service_in(folder: &Path) -> Service {
    service_with(Options { data_dir: Some(folder.to_owned()), ..Options::default() }).await
}

fn bodies(folder: &Path) -> usize {
    fs::read_dir(folder.join("pubnub/bodies")).unwrap().count()
}

#[tokio::test]
async fn files_messages_and_open_forms_survive_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let service = service_in(folder.path()).await;
    let large = vec![5; 200_000];
    let form = service.stored("room%201", "größe.txt", &large).await;
    let open = service.form("room-1", "later.txt").await;
    let cursor = service.subscribe("room-1", "").await["t"]["t"].as_str().unwrap().to_owned();
    let timetoken = service.published("room-1", "%7B%22z%22%3A1%7D", "&store=1").await;
    let after = copy_as_killed(folder.path());

    let service = service_in(after.path()).await;
    assert_eq!(service.ids("room%201").await, [form.id.as_str()]);
    let url = service.presigned_url("room%201", &form.id, "gr%C3%B6%C3%9Fe.txt").await;
    assert!(service.content_of(&url).await == large);
    assert_eq!(service.post_form(&open, b"x").response().await.status(), StatusCode::NO_CONTENT);
    let history = service.history("room-1", "").await;
    assert_eq!(history["channels"]["room-1"], json!([{"message": {"z": 1}, "timetoken": timetoken}]));
    let missed = service.subscribe("room-1", &format!("&tt={cursor}")).await;
    assert_eq!(missed["t"]["t"], timetoken.as_str(), "a subscriber continues at its cursor");
    assert!(service.published("room-1", "2", "").await > timetoken);
}

#[tokio::test]
async fn a_file_can_be_read_while_it_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let service = service_in(folder.path()).await;
    let form = service.stored("room-1", "a.txt", b"one").await;
    let url = service.presigned_url("room-1", &form.id, "a.txt").await;
    let replace = async {
        for _ in 0..40 {
            service.post_form(&form, b"two").response().await;
        }
    };
    let read = async {
        for _ in 0..200 {
            assert_eq!(service.content_of(&url).await.len(), 3);
        }
    };
    tokio::join!(replace, read);
}

#[tokio::test]
async fn grants_survive_and_stay_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let service = service_in(folder.path()).await;
    let grant = async |service: &Service| {
        let grant = json!({"subscribe_key": "sub-c-emulator", "channels": {"room-1": ["read"]}}).to_string();
        let response = service.post("/_emulator/pubnub/grants").body(grant).json_with(StatusCode::OK).await;
        response["token"].as_str().unwrap().to_owned()
    };
    let (valid, revoked) = (grant(&service).await, grant(&service).await);
    service.delete(&format!("/_emulator/pubnub/grants/{revoked}")).response().await;
    let after = copy_as_killed(folder.path());

    let service = service_in(after.path()).await;
    let on =
        service.request(Method::PATCH, "/_emulator/pubnub/keysets/sub-c-emulator").body(r#"{"access_manager":true}"#);
    on.json_with(StatusCode::OK).await;
    let list = |token: &str| service.get(&format!("{}/files?{ALICE}&auth={token}", channel("room-1")));
    list(&valid).json_with(StatusCode::OK).await;
    assert_eq!(list(&revoked).json_with(StatusCode::FORBIDDEN).await["message"], "Token is revoked");
}

#[tokio::test]
async fn data_that_expires_while_the_emulator_is_down_is_removed_with_its_content() {
    let folder = tempfile::tempdir().unwrap();
    let service = service_in(folder.path()).await;
    service.stored("room-1", "a", b"x").await;
    service.published("room-1", "1", "&ttl=1").await;
    service.emulator.shutdown().await;
    fs::write(folder.path().join("clock"), "PT960H").unwrap();

    let service = service_in(folder.path()).await;
    assert!(service.ids("room-1").await.is_empty());
    assert_eq!(service.history("room-1", "").await["channels"], json!({}));
    assert_eq!(bodies(folder.path()), 0);
    assert_eq!(fs::read_dir(folder.path().join("pubnub/messages")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_delete_a_replacement_and_a_reset_remove_the_content() {
    let folder = tempfile::tempdir().unwrap();
    let service = service_in(folder.path()).await;
    let form = service.stored("room-1", "a", b"one").await;
    service.post_form(&form, b"two").response().await;
    assert_eq!(bodies(folder.path()), 1);
    service.delete(&format!("{}/files/{}/a?{ALICE}", channel("room-1"), form.id)).json_with(StatusCode::OK).await;
    assert_eq!(bodies(folder.path()), 0);
    service.stored("room-1", "b", b"three").await;
    service.published("room-1", "1", "").await;
    service.emulator.reset().await.unwrap();
    assert_eq!(bodies(folder.path()), 0);
    assert_eq!(fs::read_dir(folder.path().join("pubnub/messages")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_rejected_post_stores_no_content() {
    let folder = tempfile::tempdir().unwrap();
    let service = service_in(folder.path()).await;
    let form = service.form("room-1", "a").await;
    let rejected = service.post_form(&form, &vec![0; 5_242_881]).response().await;
    assert_eq!(rejected.status(), StatusCode::BAD_REQUEST);
    service.emulator.clock().advance(Duration::from_secs(61)).unwrap();
    assert_eq!(service.post_form(&form, b"x").response().await.status(), StatusCode::FORBIDDEN);
    assert_eq!(bodies(folder.path()), 0);
}
