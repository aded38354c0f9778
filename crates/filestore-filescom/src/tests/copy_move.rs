use std::time::Duration;

use filestore_http::testing::{Reply, ScriptedServer};

use super::*;
use crate::Destination;

fn completed() -> ResponseTemplate {
    response(201, &json!({"status": "completed"}))
}

fn pending() -> ResponseTemplate {
    response(201, &json!({"status": "pending", "file_migration_id": 12}))
}

/// The response to the request for the metadata of the source before a move.
fn source() -> ResponseTemplate {
    response(200, &file("a"))
}

fn job(status: &str) -> ResponseTemplate {
    response(200, &json!({"id": 12, "status": status, "files_moved": 3, "failure_message": null}))
}

#[tokio::test]
async fn a_copy_that_is_done_at_once_is_one_request_after_a_look_at_the_destination() {
    let server = server_with([not_found(), completed()]).await;
    let copy = store(&server).copy(&reference("a/b.txt"), Destination::to("c/d e.txt")).await.unwrap();
    assert_eq!(copy.to_string(), ":filescom:c/d%20e.txt");
    assert_eq!(
        received(&server).await,
        [
            "GET file_actions/metadata/c/d%20e.txt",
            r#"POST file_actions/copy/a/b.txt {"destination":"c/d e.txt","overwrite":false}"#
        ]
    );
}

#[tokio::test]
async fn an_existing_destination_is_replaced_only_with_overwrite() {
    let taken = rejection(422, "processing-failure/destination-exists");
    let server = server_with([source(), taken, source(), completed()]).await;
    let store = store(&server);
    let error = store.move_to(&reference("a"), Destination::to("b")).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::AlreadyExists, Effect::Rejected));
    store.move_to(&reference("a"), Destination::to("b").overwrite(true)).await.unwrap();
    assert_eq!(received(&server).await[3], r#"POST file_actions/move/a {"destination":"b","overwrite":true}"#);
}

#[tokio::test]
async fn folders_are_created_only_if_the_service_reports_them_missing() {
    let missing = || rejection(409, "processing-failure/destination-parent-does-not-exist");
    let server = server_with([source(), missing(), response(201, &folder("x/y")), completed()]).await;
    store(&server).move_to(&reference("a"), Destination::to("x/y/a")).await.unwrap();
    assert_eq!(received(&server).await[2], r#"POST folders/x/y {"mkdir_parents":true}"#);

    let server = server_with([source(), missing()]).await;
    let error = store(&server).move_to(&reference("a"), Destination::to("x/a").parents(false)).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::NotFound, Effect::Rejected));
}

#[tokio::test]
async fn a_copy_onto_or_into_itself_or_to_an_invalid_path_is_not_sent() {
    let server = server_with([]).await;
    let store = store(&server);
    for (from, to) in [("a", "a"), ("a", "a/b"), ("A/b", "a/B/c"), ("a", ""), ("a", "b/.."), ("a", "b ")] {
        let error = store.copy(&reference(from), Destination::to(to)).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::InvalidInput, Effect::NotSent), "{from} {to}");
    }
}

#[tokio::test]
async fn a_job_is_polled_with_growing_delays() {
    let server =
        server_with([not_found(), pending(), job("pending"), job("in_progress"), job("processing"), job("completed")])
            .await;
    let (store, clock) = open(FilesComConfig::new(server.uri()).api_key(API_KEY));
    store.copy(&reference("a"), Destination::to("b")).await.unwrap();
    assert_eq!(received(&server).await[2..], ["GET file_migrations/12"; 4]);
    assert_eq!(clock.slept().iter().map(Duration::as_millis).collect::<Vec<_>>(), [250, 500, 1000, 2000]);
}

#[tokio::test]
async fn the_error_of_a_failed_job_has_its_reason() {
    let failed = json!({"id": 12, "status": "failed", "files_moved": 3, "failure_message": "disk full"});
    let server = server_with([source(), pending(), response(200, &failed), not_found(), not_found()]).await;
    let error = store(&server).move_to(&reference("a"), Destination::to("b")).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Other, Effect::Unknown));
    assert!(error.to_string().contains("job 12, failed, 3 files done): disk full"), "{error}");
}

#[tokio::test]
async fn a_failed_job_that_changed_nothing_is_rejected() {
    let job = || Reply::json(201, r#"{"status":"pending","file_migration_id":12}"#);
    let failed = || Reply::json(200, r#"{"id":12,"status":"failed","files_moved":0,"failure_message":"no"}"#);
    let run = async |is_move: bool, before: &[Reply], look: &[Reply]| {
        let script = before.iter().cloned().chain([job(), failed()]).chain(look.iter().cloned());
        let (store, _server) = scripted(script).await;
        let (source, to) = (reference("a"), Destination::to("b"));
        let ended = if is_move { store.move_to(&source, to).await } else { store.copy(&source, to).await };
        let error = ended.unwrap_err();
        assert!(error.to_string().contains("job 12, failed, 0 files done): no"), "{error}");
        kind_and_effect(&error)
    };
    let mut other = file("b");
    other["md5"] = "ffffffffffffffffffffffffffffffff".into();
    let root = || Reply::json(200, "[]");
    let (taken, failed) = ((ErrorKind::AlreadyExists, Effect::Rejected), (ErrorKind::Other, Effect::Rejected));
    let unknown = (ErrorKind::Other, Effect::Unknown);

    // A move: the source is still there.
    let before = [found(&file("a"))];
    assert_eq!(run(true, &before, &[found(&file("a")), found(&other)]).await, taken);
    assert_eq!(run(true, &before, &[found(&file("a")), missing()]).await, failed);
    // It may have ended between the copy and the removal of the source.
    assert_eq!(run(true, &before, &[found(&file("a")), found(&file("b"))]).await, unknown);
    assert_eq!(run(true, &before, &[missing(), missing()]).await, unknown);
    // A folder may have been moved in part, unless there is nothing at the destination.
    let before = [found(&folder("a"))];
    assert_eq!(run(true, &before, &[found(&folder("a")), missing(), root()]).await, failed);
    assert_eq!(run(true, &before, &[found(&folder("a")), found(&folder("b"))]).await, unknown);
    // A copy: there is nothing at the destination, or what was there before and is certainly no copy.
    assert_eq!(run(false, &[found(&other)], &[found(&file("a")), found(&other)]).await, taken);
    assert_eq!(run(false, &[missing()], &[found(&file("a")), found(&other)]).await, unknown);
    assert_eq!(run(false, &[missing()], &[found(&file("a")), missing(), root()]).await, failed);
    assert_eq!(run(false, &[missing()], &[found(&file("a")), found(&file("b"))]).await, unknown);
}

#[tokio::test]
async fn a_failed_job_after_a_lost_response_is_of_unknown_effect() {
    let look = || [found(&file("a")), missing()];
    let job = Reply::json(201, r#"{"status":"pending","file_migration_id":12}"#);
    let failed = Reply::json(200, r#"{"id":12,"status":"failed"}"#);
    let script = [found(&file("a")), Reply::lost()].into_iter().chain(look()).chain([job, failed]).chain(look());
    let (store, _server) = scripted(script).await;
    let error = store.move_to(&reference("a"), Destination::to("b")).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Other, Effect::Unknown), "{error}");
}

#[tokio::test]
async fn the_state_of_another_job_is_a_protocol_error() {
    let other = json!({"id": 13, "status": "completed"});
    let server = server_with([not_found(), pending(), response(200, &other)]).await;
    let error = store(&server).copy(&reference("a"), Destination::to("b")).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Unknown), "{error}");
}

#[tokio::test]
async fn the_error_of_a_job_that_takes_too_long_has_its_id() {
    let server = server_with([source(), pending(), job("processing"), job("processing")]).await;
    let to = Destination::to("b").longest_wait(Duration::from_millis(700));
    let error = store(&server).move_to(&reference("a"), to).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Timeout, Effect::Unknown));
    assert!(error.to_string().contains("as job 12"), "{error}");
}

#[tokio::test]
async fn a_job_whose_state_is_not_available_is_of_unknown_effect() {
    let server =
        server_with([not_found(), pending(), rejection(403, "not-authorized/insufficient-permission-for-site")]).await;
    let error = store(&server).copy(&reference("a"), Destination::to("b")).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Permission, Effect::Unknown));
    assert!(error.to_string().contains("is job 12 of the service and may continue"), "{error}");
}

/// Returns a store whose service follows a script.
pub(super) async fn scripted(script: impl IntoIterator<Item = Reply>) -> (FilesComStore, ScriptedServer) {
    let server = ScriptedServer::start(script).await;
    let config = FilesComConfig::new(server.url().as_str()).api_key(API_KEY);
    (open(config).0, server)
}

fn found(entry: &Value) -> Reply {
    Reply::json(200, &entry.to_string())
}

fn missing() -> Reply {
    Reply::json(404, r#"{"type":"not-found","error":"Not Found","http-code":404}"#)
}

#[tokio::test]
async fn a_move_whose_response_is_lost_happened_if_the_destination_is_what_the_source_was() {
    for (before, after) in [(file("a"), file("b")), (folder("a"), folder("b"))] {
        let (store, server) = scripted([found(&before), Reply::lost(), missing(), found(&after)]).await;
        store.move_to(&reference("a"), Destination::to("b")).await.unwrap();
        assert_eq!(server.requests().len(), 4);
    }
}

#[tokio::test]
async fn a_move_of_a_missing_source_is_not_found_although_the_destination_exists() {
    let (store, server) = scripted([missing()]).await;
    let error = store.move_to(&reference("a"), Destination::to("b")).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::NotFound, Effect::Rejected), "{error}");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_move_whose_response_is_lost_is_retried_if_nothing_happened() {
    let done = Reply::json(201, r#"{"status":"completed"}"#);
    let (store, server) = scripted([found(&file("a")), Reply::lost(), found(&file("a")), missing(), done]).await;
    store.move_to(&reference("a"), Destination::to("b")).await.unwrap();
    assert_eq!(server.requests().len(), 5);
}

#[tokio::test]
async fn a_move_whose_response_is_lost_is_of_unknown_effect_without_proof() {
    let mut other = file("b");
    other["md5"] = "ffffffffffffffffffffffffffffffff".into();
    for (before, source, destination) in [
        (file("a"), found(&file("a")), found(&file("b"))),
        (file("a"), missing(), missing()),
        (file("a"), missing(), found(&other)),
        // The move of a folder may be a job that has not begun.
        (folder("a"), found(&folder("a")), missing()),
        (file("a"), Reply::lost(), missing()),
    ] {
        let more_lost = std::iter::repeat_n(Reply::lost(), 4);
        let script = [found(&before), Reply::lost(), source, destination].into_iter().chain(more_lost);
        let (store, _server) = scripted(script).await;
        let error = store.move_to(&reference("a"), Destination::to("b").overwrite(true)).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::Unavailable, Effect::Unknown));
    }
}

#[tokio::test]
async fn a_move_with_error_responses_that_did_nothing_is_not_applied() {
    let busy = || Reply::json(503, "{}");
    let nothing = || [busy(), found(&file("a")), missing()];
    let script = std::iter::once(found(&file("a"))).chain((0..4).flat_map(|_| nothing()));
    let (store, _server) = scripted(script).await;
    let error = store.move_to(&reference("a"), Destination::to("b")).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Unavailable, Effect::Rejected), "{error}");
    // With one lost response among them, the effect is unknown.
    let script = [found(&file("a")), Reply::lost(), found(&file("a")), missing()];
    let (store, _server) = scripted(script.into_iter().chain((0..3).flat_map(|_| nothing()))).await;
    let error = store.move_to(&reference("a"), Destination::to("b")).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Unavailable, Effect::Unknown), "{error}");
}

#[tokio::test]
async fn a_copy_whose_response_is_lost_happened_if_the_contents_are_the_same() {
    let (store, _server) = scripted([missing(), Reply::lost(), found(&file("a")), found(&file("b"))]).await;
    store.copy(&reference("a"), Destination::to("b")).await.unwrap();

    let mut other = file("b");
    other["md5"] = "ffffffffffffffffffffffffffffffff".into();
    let mut unknown = file("b");
    (unknown["md5"], unknown["crc32"]) = (Value::Null, Value::Null);
    for after in [other, unknown, folder("b")] {
        let (store, _server) = scripted([missing(), Reply::lost(), found(&file("a")), found(&after)]).await;
        let error = store.copy(&reference("a"), Destination::to("b")).await.unwrap_err();
        assert_eq!(error.effect(), Effect::Unknown);
        assert!(error.to_string().contains("check the source and the destination"), "{error}");
    }
}

#[tokio::test]
async fn a_destination_that_had_the_content_before_proves_no_copy() {
    let forbidden = Reply::json(403, r#"{"type":"not-authorized/insufficient-permission-for-site"}"#);
    for before in [found(&file("b")), forbidden] {
        for lost in [Reply::lost(), Reply::json(503, "{}")] {
            let script = [before.clone(), lost, found(&file("a")), found(&file("b"))];
            let (store, server) = scripted(script).await;
            let error = store.copy(&reference("a"), Destination::to("b")).await.unwrap_err();
            assert_eq!(kind_and_effect(&error), (ErrorKind::Unavailable, Effect::Unknown), "{error}");
            assert_eq!(server.requests().len(), 4);
        }
    }
    let mut other = file("b");
    other["md5"] = "ffffffffffffffffffffffffffffffff".into();
    let (store, _server) = scripted([found(&other), Reply::lost(), found(&file("a")), found(&file("b"))]).await;
    store.copy(&reference("a"), Destination::to("b").overwrite(true)).await.unwrap();
}

#[tokio::test]
async fn a_copy_with_an_error_response_did_nothing_only_if_the_destination_proves_it() {
    let mut undigested = file("b");
    (undigested["md5"], undigested["crc32"]) = (Value::Null, Value::Null);
    let mut sizeless = undigested.clone();
    sizeless["size"] = Value::Null;
    let mut shorter = undigested.clone();
    shorter["size"] = 8.into();
    let mut other = file("b");
    other["md5"] = "ffffffffffffffffffffffffffffffff".into();
    for (after, effect) in [
        (undigested, Effect::Unknown),
        (sizeless, Effect::Unknown),
        (shorter, Effect::Rejected),
        (other, Effect::Rejected),
        (folder("b"), Effect::Rejected),
    ] {
        // With nothing there before, the file is a copy that has ended early.
        let (store, _server) = scripted([missing(), Reply::json(500, "{}"), found(&file("a")), found(&after)]).await;
        let error = store.copy(&reference("a"), Destination::to("b").overwrite(true)).await.unwrap_err();
        assert_eq!(error.effect(), Effect::Unknown, "{after}");
        let (store, _server) =
            scripted([found(&after), Reply::json(500, "{}"), found(&file("a")), found(&after)]).await;
        let error = store.copy(&reference("a"), Destination::to("b").overwrite(true)).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::Unavailable, effect), "{after}");
    }
}

#[tokio::test]
async fn missing_folders_are_created_also_after_a_lost_response() {
    let no_parent = || Reply::json(409, r#"{"type":"processing-failure/destination-parent-does-not-exist"}"#);
    let created = Reply::json(201, &folder("x").to_string());
    let done = Reply::json(201, r#"{"status":"completed"}"#);
    let read_back = || [found(&file("a")), missing()];
    let replies =
        [found(&file("a")), Reply::lost()].into_iter().chain(read_back()).chain([no_parent()]).chain(read_back());
    let (store, server) = scripted(replies.chain([created, done])).await;
    store.move_to(&reference("a"), Destination::to("x/a")).await.unwrap();
    assert_eq!(server.requests().len(), 9);
}

#[tokio::test]
async fn a_rename_that_changes_only_the_case_is_recognized_by_the_spelling() {
    let rename = async |after: Value| {
        let script = [found(&file("a")), Reply::json(500, "{}"), found(&after), found(&after)];
        let (store, _server) = scripted(script).await;
        store.move_to(&reference("a"), Destination::to("A")).await
    };
    assert_eq!(rename(file("A")).await.unwrap().to_string(), ":filescom:A");
    let error = rename(file("a")).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Unavailable, Effect::Rejected), "{error}");
    let mut nameless = file("a");
    nameless["path"] = Value::Null;
    let error = rename(nameless).await.unwrap_err();
    assert_eq!(error.effect(), Effect::Unknown, "{error}");
}

#[tokio::test]
async fn a_copy_whose_destination_is_hidden_is_of_unknown_effect_and_not_retried() {
    let (store, server) = scripted([missing(), Reply::json(503, "{}"), found(&file("a")), missing(), missing()]).await;
    let error = store.copy(&reference("a"), Destination::to("in/b")).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Unavailable, Effect::Unknown), "{error}");
    assert_eq!(server.requests().len(), 5);

    let done = Reply::json(201, r#"{"status":"completed"}"#);
    let script = [missing(), Reply::json(503, "{}"), found(&file("a")), missing(), found(&folder("in")), done];
    let (store, server) = scripted(script).await;
    store.copy(&reference("a"), Destination::to("in/b")).await.unwrap();
    assert_eq!(server.requests().len(), 6);
}

#[tokio::test]
async fn a_job_without_an_id_is_a_protocol_error() {
    let server = server_with([not_found(), response(201, &json!({"status": "pending"}))]).await;
    let error = store(&server).copy(&reference("a"), Destination::to("b")).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Unknown));
}
