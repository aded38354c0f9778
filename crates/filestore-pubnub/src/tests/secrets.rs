//! Secrets are never part of a trace, an error or a `Debug` text.

use std::sync::Arc;

use filestore_core::{FileStore, List, Store, Upload};
use filestore_http::testing::Traces;
use serde_json::json;

use super::*;
use crate::{Crypto, PubNubSend};

#[tokio::test]
async fn neither_traces_nor_errors_show_a_key_a_signature_or_a_message() {
    let log = Traces::of_this_process();

    let echo = r#"{"error":true,"status":403,"service":"Access Manager","message":"no: pub-c-canary sub-c-canary TOKcanary SECcanary"}"#;
    let page = "cannot GET /v1/files/sub-c-canary/channels?uuid=me&auth=TOKcanary&signature=v2.SIGcanary";
    let storage = ScriptedServer::start([
        stored_as_sent(),
        expired(),
        xml(403, "SignatureDoesNotMatch", "signature differs"),
        whole(b"not encrypted"),
        Reply::lost(),
        Reply::lost(),
    ])
    .await;
    let service = ScriptedServer::start([
        form(&storage),
        Reply::json(403, echo),
        form(&storage),
        Reply::json(403, echo),
        redirect(&storage, 3900),
        redirect(&storage, 3900),
        Reply::json(403, echo),
        Reply::json(403, echo),
        Reply::json(200, "CANARY is no JSON"),
        Reply::with_status(404, &[], page),
    ])
    .await;
    let config = config(&service).token("TOKcanary").secret_key("SECcanary").cipher_key(Crypto::Acrh, "KEYcanary");
    let pubnub = open(config.clone());
    let store = Store::new("s", Arc::new(pubnub.clone())).unwrap();
    let send = PubNubSend::new().message(json!({"text": "TEXTcanary"})).meta("METAcanary").cipher_key("OWNcanary");
    let upload = || Upload::new("cat.txt", "hello").with(send.clone());

    let mut output = format!("{config:?} {pubnub:?} {store:?} {send:?} {:?}", upload());
    for error in [
        store.upload(upload()).await.unwrap_err(),
        store.upload(upload()).await.unwrap_err(),
        store.download(file()).await.unwrap_err(),
        store.read(file(), 1000).await.unwrap_err(),
        pubnub.publish_file_message(&file(), &send).await.unwrap_err(),
        store.delete(file()).await.unwrap_err(),
        store.list(List::new()).await.unwrap_err(),
        store.list(List::new()).await.unwrap_err(),
    ] {
        output.push_str(&format!(" {error} {error:?}"));
    }
    assert!(lines(&service.requests()).iter().all(|line| line.contains("canary")));
    assert!(!output.to_lowercase().contains("canary"), "{output}");
    let traced = log.text();
    assert!(traced.contains("decision="), "{traced}");
    assert!(!traced.to_lowercase().contains("canary"), "{traced}");
}

#[tokio::test]
async fn a_secret_that_the_service_or_the_storage_repeats_in_another_case_is_not_shown() {
    let storage = ScriptedServer::start([
        xml(403, "SIGCANARY", "no sub-c-CANARY"),
        xml(403, "AccessDenied", "the signature SIGCANARY differs"),
        Reply::with_status(200, &["ETag: \"x\"", "Content-Encoding: sigcanary"], ""),
    ])
    .await;
    let service = ScriptedServer::start([
        form(&storage),
        redirect(&storage, 3900),
        Reply::with_status(307, &["Location: http://TOKCANARY.example/"], ""),
        redirect(&storage, 3900),
        Reply::with_status(403, &["X-PN-Cause: PUB-C-CANARY", "X-Request-Id: toKcanary"], "no SECCANARY"),
        Reply::with_status(404, &["Content-Type: text/SUB-C-CANARY"], "{}"),
    ])
    .await;
    let store = open(config(&service).token("TOKcanary").secret_key("SECcanary"));
    let errors = [
        store.upload(Upload::new("cat.txt", "hello")).await.unwrap_err(),
        store.download(file().into()).await.unwrap_err(),
        store.download(file().into()).await.unwrap_err(),
        store.download(file().into()).await.unwrap_err(),
        store.list(List::new()).await.unwrap_err(),
        store.delete(file().into()).await.unwrap_err(),
    ];
    assert_eq!(errors[0].provider_code(), Some("..."), "{}", errors[0]);
    assert!(errors[0].message().contains(": no ..."), "{}", errors[0]);
    assert!(errors[1].message().contains("the signature ... differs"), "{}", errors[1]);
    assert!(errors[2].message().contains("a URL at ....example"), "{}", errors[2]);
    assert!(errors[3].message().contains("encoded with ..."), "{}", errors[3]);
    assert_eq!(errors[4].provider_code(), Some("..."));
    assert!(errors[4].message().contains(": no ..."), "{}", errors[4]);
    assert!(errors[5].message().contains("text/... instead"), "{}", errors[5]);
    assert!(!format!("{errors:?}").to_lowercase().contains("canary"), "{errors:?}");
}
