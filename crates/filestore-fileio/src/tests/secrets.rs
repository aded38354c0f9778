//! Secrets that no trace and no error may show.

use std::sync::Arc;

use filestore_core::{Download, Downloaded, Error, FileStore, Store};
use filestore_http::testing::{Reply, ScriptedServer, Traces};
use futures::TryStreamExt;

use super::{API_KEY, NOT_FOUND, STORED, hello, key, open};
use crate::{FileIoConfig, FileIoUpdate};

#[tokio::test]
async fn neither_traces_nor_errors_show_a_key() {
    let log = Traces::of_this_process();

    let script = [
        Reply::json(200, STORED),
        Reply::json(404, NOT_FOUND),
        Reply::lost(),
        Reply::json(403, NOT_FOUND),
        Reply::json(401, "{}"),
    ];
    let server = ScriptedServer::start(script).await;
    let store = Store::new("drop", Arc::new(open(FileIoConfig::new(server.url()).api_key(API_KEY)))).unwrap();
    let mut output = format!("{store:?} {:?}", store.upload(hello()).await.unwrap());
    for error in [
        store.download(key()).await.unwrap_err(),
        store.download(key()).await.unwrap_err(),
        store.delete(key()).await.unwrap_err(),
        store.stat(key()).await.unwrap_err(),
    ] {
        output.push_str(&format!(" {error} {error:?}"));
    }
    assert_eq!(server.requests().len(), 5);
    assert!(server.requests()[1].head.contains("KEYcanary123"));
    assert!(!output.contains("canary"), "{output}");
    let traced = log.text();
    assert!(traced.contains("decision="), "{traced}");
    assert!(!traced.contains("canary"), "{traced}");
}

#[tokio::test]
async fn behind_a_path_prefix_a_key_that_the_service_repeats_is_not_shown() {
    let script = [Reply::json(404, NOT_FOUND), Reply::json(403, NOT_FOUND), Reply::json(403, NOT_FOUND)];
    let server = ScriptedServer::start(script).await;
    let store = open(FileIoConfig::new(server.url().join("drop").unwrap()).api_key(API_KEY));
    let errors = [
        store.download(Download::from(key())).await.unwrap_err(),
        store.delete(key().into()).await.unwrap_err(),
        store.update(&key(), FileIoUpdate::new().auto_delete(true)).await.unwrap_err(),
    ];
    for error in errors {
        assert!(error.to_string().contains("The file ... could not be found"), "{error}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    }
    let lines: Vec<_> =
        server.requests().iter().map(|request| request.head.split(" HTTP").next().unwrap().to_owned()).collect();
    assert_eq!(lines, ["GET /drop/KEYcanary123", "DELETE /drop/KEYcanary123", "PATCH /drop/KEYcanary123"]);
}

#[tokio::test]
async fn an_api_key_that_the_service_repeats_is_not_shown() {
    let echo = format!(r#"{{"success":false,"message":"Invalid API key {API_KEY}","code":"{API_KEY}"}}"#);
    let script = [Reply::json(401, &echo), Reply::json(200, &echo), Reply::json(401, &echo)];
    let server = ScriptedServer::start(script).await;
    let store = open(FileIoConfig::new(server.url()).api_key(API_KEY));
    for error in [
        store.me().await.unwrap_err(),
        store.upload(hello()).await.unwrap_err(),
        store.download(Download::from(key())).await.unwrap_err(),
    ] {
        assert!(error.to_string().contains("Invalid API key ..."), "{error}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    }
}

#[tokio::test]
async fn a_secret_in_a_header_of_the_response_is_not_shown() {
    let key_id = format!("X-Request-Id: {}", API_KEY.to_lowercase());
    let script = [
        Reply::with_status(200, &[&format!("Content-Type: text/{API_KEY}"), &key_id], ""),
        Reply::with_status(302, &[&format!("Location: http://{API_KEY}.example/")], ""),
        Reply::with_status(302, &["Location: http://KEYcanary123.example/download/x"], ""),
        Reply::with_status(200, &["Content-Encoding: keyCANARY123", "Content-Disposition: attachment"], ""),
        Reply::with_status(403, &["X-Request-Id: KEYCANARY123", "Content-Type: application/json"], "{}"),
    ];
    let server = ScriptedServer::start(script).await;
    let store = open(FileIoConfig::new(server.url()).api_key(API_KEY));
    let errors = [
        store.me().await.unwrap_err(),
        store.me().await.unwrap_err(),
        store.download(Download::from(key())).await.unwrap_err(),
        read(store.download(Download::from(key())).await.unwrap()).await,
        store.delete(key().into()).await.unwrap_err(),
    ];
    assert!(errors[0].message().contains("sent text/... instead of JSON"), "{}", errors[0]);
    assert_eq!(errors[0].request_id(), Some("..."));
    assert!(errors[1].message().contains("redirects to ....example"), "{}", errors[1]);
    assert!(errors[2].message().contains("at ....example"), "{}", errors[2]);
    assert!(errors[3].message().contains("encoded with ..."), "{}", errors[3]);
    assert_eq!(errors[4].request_id(), Some("..."));
    assert!(!format!("{errors:?}").to_lowercase().contains("canary"), "{errors:?}");
}

/// Returns the error at the end of the content.
async fn read(downloaded: Downloaded) -> Error {
    downloaded.stream.try_collect::<Vec<_>>().await.unwrap_err()
}
