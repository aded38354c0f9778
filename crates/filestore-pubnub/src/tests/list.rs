//! Listings, stat and delete.

use std::sync::Arc;

use filestore_core::{Delete, Download, FileStore, List, PageToken, Stat, Store, Upload};
use futures::TryStreamExt;

use super::*;
use crate::{Cipher, Crypto};

fn page(ids: &[&str], next: Option<&str>) -> Reply {
    let entry = |id: &&str| format!(r#"{{"name":"cat.txt","id":"{id}","size":19,"created":"2025-01-02T03:04:12Z"}}"#);
    let data: Vec<_> = ids.iter().map(entry).collect();
    let next = next.map_or("null".to_owned(), |next| format!("{next:?}"));
    Reply::json(200, &format!(r#"{{"status":200,"data":[{}],"next":{next},"count":{}}}"#, data.join(","), ids.len()))
}

#[tokio::test]
async fn a_page_has_files_and_the_token_of_the_next_page() {
    let (service, store) = store([page(&["1a", "2b"], Some("1ab+/=")), page(&[], None)]).await;
    let first = store.list(List::new().limit(2)).await.unwrap();
    assert_eq!(first.files[0].reference().to_string(), ":pubnub:room-1/1a/cat.txt");
    assert_eq!((first.files[0].size, first.files[0].stored_size), (Some(19), Some(19)));
    assert_eq!(first.files[0].created, Some("2025-01-02T03:04:12Z".parse().unwrap()));
    let token = PageToken::new(first.next.unwrap().as_str());
    let second = store.list(List::new().scope("room 2").page(token)).await.unwrap();
    assert!(second.files.is_empty() && second.next.is_none());
    let lines = lines(&service.requests());
    assert!(lines[0].starts_with("GET /v1/files/sub-c-canary/channels/room-1/files?limit=2&uuid=alice&"), "{lines:?}");
    assert!(lines[1].contains("/channels/room%202/files?limit=100&next=1ab%2B%2F%3D&uuid="), "{lines:?}");
}

#[tokio::test]
async fn a_page_is_filled_up_to_its_limit_with_requests_for_at_most_100_files() {
    let ids: Vec<String> = (0..250).map(|number| format!("{number:03}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let responses = || [page(&ids[..100], Some("a")), page(&ids[100..180], Some("b")), page(&ids[180..], Some("c"))];
    let (service, store) = store(responses()).await;
    let listed = store.list(List::new().limit(250)).await.unwrap();
    assert_eq!((listed.files.len(), listed.next), (250, Some(PageToken::new("c"))));
    let lines = lines(&service.requests());
    let queries = ["?limit=100&uuid", "?limit=100&next=a&uuid", "?limit=70&next=b&uuid"];
    assert!(lines.iter().zip(queries).all(|(line, query)| line.contains(query)), "{lines:?}");
}

#[tokio::test]
async fn a_page_has_the_date_of_the_last_response() {
    let dated = |second: u8, next: &str| {
        let date = format!("Date: Sun, 01 Mar 2026 10:00:{second:02} GMT");
        let body = format!(r#"{{"status":200,"data":[{{"name":"cat.txt","id":"{second}"}}],"next":{next},"count":1}}"#);
        Reply::with_status(200, &["Content-Type: application/json", &date], body)
    };
    let (_service, store) = store([dated(5, "\"x\""), dated(9, "null"), page(&[], None)]).await;
    let listed = store.list(List::new().limit(2)).await.unwrap();
    assert_eq!((listed.files.len(), listed.date), (2, Some("2026-03-01T10:00:09Z".parse().unwrap())));
    assert_eq!(store.list(List::new()).await.unwrap().date, None);
}

#[tokio::test]
async fn a_loop_of_cursors_in_one_page_is_a_protocol_error() {
    let (_service, store) = store([page(&["1a"], Some("x")), page(&["2b"], Some("x"))]).await;
    let error = store.list(List::new().limit(3)).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Rejected));
}

/// A listing has no ETag, and a download of ciphertext has one that the content does not determine.
#[tokio::test]
async fn the_version_is_the_id_of_the_file_in_every_response() {
    let storage = ScriptedServer::start([stored_as_sent(), whole(b"hello world"), whole(b"hello world")]).await;
    let (_service, store) =
        store([form(&storage), published(), page(&[ID], None), page(&[ID], None), redirect(&storage, 3900)]).await;
    let upload = Upload::new("cat.txt", "hello world");
    let versions = [
        store.upload(upload).await.unwrap().version,
        store.list(List::new()).await.unwrap().files.remove(0).version,
        store.stat(Stat::from(file())).await.unwrap().version,
        store.download(file().into()).await.unwrap().file.version,
        store.download(Download::from(file()).range(0..11)).await.unwrap().file.version,
    ];
    assert_eq!(versions, [(); 5].map(|()| Some(ID.to_owned())));
}

#[tokio::test]
async fn a_listing_has_only_the_stored_size_of_encrypted_files() {
    let (_service, store) = store([page(&["1a"], None)]).await;
    let store = store.with_cipher(Some(Cipher::new(Crypto::Acrh, "k").unwrap()));
    let file = store.list(List::new()).await.unwrap().files.remove(0);
    assert_eq!((file.size, file.stored_size), (None, Some(19)));
}

#[tokio::test]
async fn a_page_without_status_200_in_its_json_is_a_protocol_error() {
    for status in ["", r#""status":403,"#, r#""status":null,"#] {
        let body = format!(r#"{{{status}"data":[],"next":null,"count":0}}"#);
        let (_service, store) = store([Reply::json(200, &body)]).await;
        let error = store.list(List::new()).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Rejected), "{error}");
    }
}

#[tokio::test]
async fn an_invalid_field_does_not_fail_the_listing() {
    let invalid = r#"{"name":"a","id":"1a","size":-1,"created":"yesterday"}"#;
    let valid = r#"{"name":"b","id":"2b","size":19,"created":"2025-01-02T03:04:12Z"}"#;
    let body = format!(r#"{{"status":200,"data":[{invalid},{valid}],"next":null,"count":2}}"#);
    let (_service, store) = store([Reply::json(200, &body)]).await;
    let files = store.list(List::new()).await.unwrap().files;
    assert_eq!((files[0].name.as_str(), files[0].size, files[0].created), ("a", None, None));
    assert_eq!((files[1].name.as_str(), files[1].size), ("b", Some(19)));
}

#[tokio::test]
async fn an_entry_that_no_reference_can_address_is_counted_and_does_not_hide_the_others() {
    let valid = |id: &str| format!(r#"{{"name":"cat.txt","id":"{id}"}}"#);
    let invalid = r#"{"id":"2b","name":null},{"name":"no id"},7,{"id":"3/c","name":"a"},{"id":"3c","name":".."}"#;
    let body = || format!(r#"{{"status":200,"data":[{},{invalid},{}],"next":null}}"#, valid("1a"), valid(ID));
    let (_service, store) = store([Reply::json(200, &body()), Reply::json(200, &body())]).await;
    let listed = store.list(List::new()).await.unwrap();
    assert_eq!((listed.files.len(), listed.left_out), (2, 5));
    assert_eq!(store.stat(Stat::from(file())).await.unwrap().name, "cat.txt");
}

#[tokio::test]
async fn stat_reads_the_listing_up_to_the_file() {
    let (service, store) = store([page(&["1a", "2b"], Some("next")), page(&["3c", ID], Some("more"))]).await;
    let found = store.stat(Stat::from(file())).await.unwrap();
    assert_eq!((found.reference().components(), found.size), (file().components(), Some(19)));
    assert_eq!(service.requests().len(), 2);
}

#[tokio::test]
async fn stat_stops_after_an_id_that_is_greater() {
    let (service, store) = store([page(&["1a", "7a"], Some("next"))]).await;
    let error = store.stat(Stat::from(file())).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::NotFound, Effect::Rejected));
    assert_eq!(service.requests().len(), 1);
}

#[tokio::test]
async fn stat_does_not_find_a_file_with_the_same_id_and_another_name() {
    let (_service, store) = store([page(&[ID], None)]).await;
    let other: FileRef = format!("s:pubnub:room-1/{ID}/dog.txt").parse().unwrap();
    assert_eq!(store.stat(Stat::from(other)).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_listing_that_repeats_a_cursor_is_a_protocol_error() {
    let (_service, store) = store([page(&["1a"], Some("x")), page(&["1a"], Some("x"))]).await;
    assert_eq!(store.stat(Stat::from(file())).await.unwrap_err().kind(), ErrorKind::Protocol);
}

/// More consecutive empty pages than a listing may have, each with its own cursor.
fn empty_pages() -> impl Iterator<Item = Reply> {
    (0..2000).map(|number| page(&[], Some(&number.to_string())))
}

#[tokio::test]
async fn a_listing_of_endless_empty_pages_is_a_protocol_error() {
    let (service, store) = store(empty_pages()).await;
    let store = Store::new("s", Arc::new(store)).unwrap();
    let error = store.list_all(List::new()).try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Rejected));
    assert_eq!(service.requests().len(), 1001);
}

#[tokio::test]
async fn stat_in_a_channel_of_endless_empty_pages_is_a_protocol_error() {
    let (service, store) = store(empty_pages()).await;
    let error = store.stat(Stat::from(file())).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Rejected));
    assert_eq!(service.requests().len(), 1001);
}

#[tokio::test]
async fn deleting_succeeds_whether_or_not_the_file_exists() {
    let ok = || Reply::json(200, r#"{"status":200}"#);
    let missing = Reply::json(404, r#"{"status":404,"error":{"message":"m","source":"Files","code":1}}"#);
    let (service, store) = store([ok(), Reply::lost(), ok(), missing]).await;
    for _ in 0..3 {
        store.delete(Delete::from(file())).await.unwrap();
    }
    assert_eq!(paths(&service), vec![format!("DELETE /v1/files/sub-c-canary/channels/room-1/files/{ID}/cat.txt"); 4]);
}

#[tokio::test]
async fn a_delete_that_the_service_did_not_confirm_is_unknown() {
    let page = Reply::with_status(200, &["Content-Type: text/html"], "<html>Welcome</html>");
    let others = [
        page,
        Reply::with_status(200, &[], ""),
        Reply::json(200, "{}"),
        Reply::json(200, r#"{"status":"ok"}"#),
        Reply::json(200, r#"{"status":200,"error":{"message":"m"}}"#),
    ];
    for other in others {
        let (_service, store) = store([other]).await;
        let error = store.delete(Delete::from(file())).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Unknown), "{error}");
        assert!(error.to_string().contains("something other than the service answered"), "{error}");
    }
}

#[tokio::test]
async fn a_404_that_is_not_from_the_files_service_does_not_confirm_a_delete() {
    let balancer = r#"{"status":404,"service":"Balancer","error":true,"message":"Requested URI Not Found"}"#;
    for other in [
        Reply::with_status(404, &["Content-Type: text/html"], "<html>404</html>"),
        Reply::json(404, "{}"),
        Reply::json(404, balancer),
    ] {
        let (_service, store) = store([other]).await;
        let error = store.delete(Delete::from(file())).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Rejected), "{error}");
    }
}

#[tokio::test]
async fn a_rejected_delete_after_a_lost_response_is_unknown() {
    for status in [400, 401, 403, 404, 409, 422] {
        let (_service, store) = store([Reply::lost(), Reply::json(status, "{}")]).await;
        let error = store.delete(Delete::from(file())).await.unwrap_err();
        assert_eq!((error.effect(), error.attempts()), (Effect::Unknown, 2), "{status}: {error}");
    }
}
