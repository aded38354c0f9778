//! Connections that break, and the effect that is reported. No mock can lose a response, so the server follows a
//! script.

use std::sync::Arc;

use filestore_core::{Effect, ErrorKind, Expiry, FileStore, IfExists, Store};
use filestore_http::testing::{Reply, ScriptedServer};

use super::{API_KEY, hello, key, kind_and_effect, open};
use crate::{FileIoConfig, FileIoStore, FileIoUpdate};

fn anonymous(server: &ScriptedServer) -> FileIoStore {
    open(FileIoConfig::new(server.url()))
}

fn with_key(server: &ScriptedServer) -> FileIoStore {
    open(FileIoConfig::new(server.url()).api_key(API_KEY))
}

#[tokio::test]
async fn an_upload_without_any_connection_was_not_sent() {
    let (server, _never) = ScriptedServer::start_later([]);
    let error = anonymous(&server).upload(hello()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Unavailable, Effect::NotSent));
    assert!(error.is_safe_to_retry());
}

#[tokio::test]
async fn a_lost_response_to_an_upload_is_unknown_and_not_retried() {
    for reply in [Reply::lost(), Reply::cut(200, &["Content-Type: application/json"], 600, "{\"succ")] {
        let server = ScriptedServer::start([reply]).await;
        let error = anonymous(&server).upload(hello()).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::Unavailable, Effect::Unknown), "{error}");
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_lost_response_to_an_upload_says_that_the_file_may_be_stored() {
    for reply in [Reply::lost(), Reply::cut(200, &["Content-Type: application/json"], 600, "{\"succ")] {
        let server = ScriptedServer::start([reply.clone(), reply]).await;
        let store = anonymous(&server);
        let errors =
            [store.upload(hello()).await.unwrap_err(), store.upload_text("hello", Expiry::Default).await.unwrap_err()];
        for error in errors {
            assert_eq!(error.effect(), Effect::Unknown);
            assert!(error.to_string().contains("broke"), "{error}");
            assert_eq!(error.to_string().matches("the file may be stored").count(), 1, "{error}");
        }
    }
}

#[tokio::test]
async fn an_upload_that_was_not_sent_does_not_say_that_the_file_may_be_stored() {
    let (server, _never) = ScriptedServer::start_later([]);
    let error = anonymous(&server).upload(hello()).await.unwrap_err();
    assert!(!error.to_string().contains("stored"), "{error}");
}

#[tokio::test]
async fn a_lost_response_to_a_replacement_is_unknown_and_not_retried() {
    let server = ScriptedServer::start([Reply::lost()]).await;
    let error = with_key(&server).replace(&key(), hello()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Unavailable, Effect::Unknown), "{error}");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_broken_download_is_possibly_consumed_and_never_retried() {
    let cut = Reply::cut(200, &["Content-Disposition: attachment; filename=a"], 11, "hello");
    let headers_only = Reply::cut(200, &["Content-Disposition: attachment; filename=a"], 11, "");
    for reply in [Reply::lost(), headers_only, cut] {
        let server = ScriptedServer::start([reply.clone()]).await;
        let error = match anonymous(&server).download(key().into()).await {
            Ok(response) => response.bytes(100).await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.effect(), Effect::Unknown, "{reply:?} {error}");
        assert!(error.to_string().contains("possibly consumed"), "{error}");
        assert_eq!(server.requests().len(), 1, "{reply:?}");
    }
}

#[tokio::test]
async fn a_broken_download_to_a_path_keeps_the_received_bytes() {
    // An orderly close: a reset could overtake the bytes before it.
    let short = b"HTTP/1.1 200 X\r\nContent-Disposition: attachment; filename=a\r\nContent-Length: 11\r\n\r\nhello";
    let server = ScriptedServer::start([Reply::Response(short.to_vec())]).await;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new("drop", Arc::new(anonymous(&server))).unwrap();
    let error = store.download_to_folder(key(), folder.path(), IfExists::Fail).await.unwrap_err();
    assert!(error.to_string().contains("5 bytes of it are kept"), "{error}");
    assert_eq!(std::fs::read(error.partial().unwrap()).unwrap(), b"hello");
}

#[tokio::test]
async fn a_rejection_after_a_lost_response_leaves_the_effect_unknown() {
    let rejections = [400, 401, 403, 409, 422];
    for status in rejections {
        let rejected = Reply::json(status, &format!(r#"{{"success":false,"status":{status}}}"#));
        let server = ScriptedServer::start([Reply::lost(), rejected.clone(), Reply::lost(), rejected]).await;
        let store = with_key(&server);
        let errors = [
            store.delete(key().into()).await.unwrap_err(),
            store.update(&key(), FileIoUpdate::new().title("x")).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!((error.effect(), error.attempts()), (Effect::Unknown, 2), "{status}: {error}");
        }
    }
}

#[tokio::test]
async fn a_delete_whose_retry_finds_no_file_succeeds() {
    let server = ScriptedServer::start([Reply::lost(), Reply::json(404, r#"{"success":false,"status":404}"#)]).await;
    with_key(&server).delete(key().into()).await.unwrap();
    assert_eq!(server.requests().len(), 2);
}
