//! The backend: settings and options from files and command lines, and credentials.

use filestore_core::{
    Backend, Effect, ErrorKind, FileRef, FileStore, List, Origin, Setting, Settings, Timestamp, Upload, Value,
};
use serde_json::json;
use wiremock::ResponseTemplate;

use super::{API_KEY, kind_and_effect, open, received, rejection, response, server_with};
use crate::{
    ByteSize, Credential, FilesCom, FilesComConfig, FilesComStore, FilesComUpload, Login, Rejection, Share, Verify,
};

fn settings(pairs: &[(&str, Value)]) -> Settings {
    let mut settings = Settings::new();
    for (key, value) in pairs {
        settings.insert(*key, Setting::new(value.clone(), Origin::BuiltIn));
    }
    settings
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

#[test]
fn every_key_is_read() {
    let pairs = [
        ("base_url", text("http://127.0.0.1:7070")),
        ("api_key", text(API_KEY)),
        ("workspace_id", Value::Integer(7)),
        ("root", text("invoices")),
        ("verify", text("crc32")),
        ("parallel", Value::Integer(4)),
        ("part_size", text("64MiB")),
        ("memory", text("96MiB")),
        ("language", text("de")),
        ("max_retry_delay", text("5s")),
    ];
    let store = FilesCom.connect(&settings(&pairs)).unwrap();
    let config = store.config();
    assert_eq!((config.verify, config.parallel.get(), config.workspace_id), (Verify::Crc32, 4, Some(7)));
    assert_eq!((config.part_size, config.memory), (Some(ByteSize::mib(64)), ByteSize::mib(96)));
    assert_eq!((config.http.connect_timeout.as_secs(), config.http.idle_timeout.as_secs()), (30, 120));
    assert!(!format!("{store:?} {config:?}").contains("canary"));
    let error = FilesCom.open(&settings(&[("base_ulr", text("x"))])).unwrap_err();
    assert!(error.to_string().contains("did you mean \"base_url\"?"), "{error}");
}

#[test]
fn settings_that_cannot_be_used_are_configuration_errors() {
    for bad in [
        [("base_url", text("app.files.com"))],
        [("base_url", text("https://u:canary@app.files.com"))],
        [("base_url", text("https://app.files.com/api/rest/v1"))],
        [("base_url", text("https://gateway.example/files-com/api/rest/v1/"))],
        [("base_url", text("https://app.files.com/?canary"))],
        [("base_url", text("https://app.files.com/#canary"))],
        [("root", text("a/../b"))],
        [("verify", text("sha9"))],
        [("parallel", Value::Integer(0))],
        [("part_size", Value::Integer(0))],
        [("part_size", text("6GiB"))],
        [("api_key", text("canary\nx"))],
    ] {
        let error = FilesCom.open(&settings(&bad)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{bad:?}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
    let both = [("api_key", text(API_KEY)), ("session_id", text(API_KEY))];
    assert_eq!(FilesCom.open(&settings(&both)).unwrap_err().kind(), ErrorKind::Config);
    assert!(FilesCom.open(&settings(&[])).is_ok());
}

#[tokio::test]
async fn requests_have_the_path_prefix_of_the_base_url_and_presigned_urls_are_used_as_they_are() {
    let storage = server_with([ResponseTemplate::new(200).set_body_string("x").insert_header("etag", "\"e\"")]).await;
    let entry = json!({"path": "a/b.txt", "type": "file", "size": 1, "mime_type": "text/plain",
        "download_uri": format!("{}/a?X-Amz-Signature=s", storage.uri())});
    let gateway = server_with([response(200, &entry)]).await;
    let (store, _) = open(FilesComConfig::new(format!("{}/files-com", gateway.uri())).api_key(API_KEY));
    let downloaded = store.download(FileRef::new("filescom", ["a", "b.txt"]).into()).await.unwrap();
    assert_eq!(downloaded.bytes(9).await.unwrap(), "x");
    assert_eq!(received(&gateway).await, ["GET /files-com/api/rest/v1/files/a/b.txt"]);
    assert_eq!(received(&storage).await, ["GET /a?X-Amz-Signature=s"]);
}

#[test]
fn options_may_be_texts_or_numbers() {
    let read = |pairs: &[(&str, Value)]| {
        FilesCom.options(&settings(pairs)).map(|options| options.get::<FilesComUpload>().unwrap())
    };
    let time = "2026-03-01T10:00:00Z";
    let expected = FilesComUpload::new()
        .provided_mtime(time.parse::<Timestamp>().unwrap())
        .mkdir_parents(false)
        .with_rename(true)
        .part_size(ByteSize::mib(8));
    let flags = [("mkdir_parents", text("false")), ("with_rename", Value::Flag(true))];
    let rest = [("provided_mtime", text(time)), ("part_size", Value::Integer(8 << 20))];
    assert_eq!(read(&[flags, rest].concat()).unwrap(), expected);
    assert!(read(&[("part_size", text("large"))]).is_err());
}

#[tokio::test]
async fn a_part_size_out_of_its_range_is_rejected_before_a_request_is_sent() {
    let server = server_with([]).await;
    for size in [0, 1, (5 << 20) - 1, (5 << 30) + 1] {
        let options = FilesCom.options(&settings(&[("part_size", Value::Integer(size))])).unwrap_err();
        assert_eq!(options.kind(), ErrorKind::Config, "{options}");
        let upload = Upload::new("a.txt", "x").with(FilesComUpload::new().part_size(ByteSize::bytes(size as u64)));
        let error = super::store(&server).upload(upload).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::InvalidInput, Effect::NotSent), "{error}");
        assert!(error.to_string().contains("set a size from 5MiB to 5GiB"), "{error}");
    }
    for size in [5 << 20, 5 << 30] {
        assert!(FilesCom.open(&settings(&[("part_size", Value::Integer(size))])).is_ok(), "{size}");
    }
}

#[tokio::test]
async fn exactly_one_credential_goes_with_a_request_and_the_workspace_and_language_with_it() {
    let server = server_with([response(200, &serde_json::json!([])), response(200, &serde_json::json!([]))]).await;
    let mut config = FilesComConfig::new(server.uri()).api_key(API_KEY).workspace_id(0);
    config.language = Some("de".to_owned());
    let (store, _) = open(config);
    store.list(List::new()).await.unwrap();
    let session = store.with_credential(Credential::Session("SESSIONcanary".to_owned().into())).unwrap();
    session.list(List::new()).await.unwrap();
    let requests = server.received_requests().await.unwrap();
    assert_eq!(requests[0].headers["x-filesapi-key"], API_KEY);
    assert!(!requests[0].headers.contains_key("x-filesapi-auth"));
    assert_eq!(requests[1].headers["x-filesapi-auth"], "SESSIONcanary");
    assert!(!requests[1].headers.contains_key("x-filesapi-key"));
    assert_eq!(
        (&requests[0].headers["x-files-workspace-id"], &requests[0].headers["accept-language"]),
        (&"0".parse().unwrap(), &"de".parse().unwrap())
    );
}

#[tokio::test]
async fn a_request_without_a_credential_is_not_sent() {
    let server = server_with([]).await;
    let error = open(FilesComConfig::new(server.uri())).0.list(List::new()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Unauthenticated, Effect::NotSent));
    assert!(received(&server).await.is_empty());
}

#[tokio::test]
async fn a_rejection_has_all_fields_of_the_response_without_the_key() {
    let body = serde_json::json!({"error": format!("The key {API_KEY} is wrong"), "http-code": 401, "instance": "abc",
        "title": "Invalid Credentials", "type": "not-authenticated/invalid-credentials", "data": {"host": "x.files.com"},
        "errors": ["one"], "model_errors": {"path": ["is bad"]}, "detail": "more"});
    let server = server_with([response(401, &body), rejection(403, "not-authorized/api-key-is-path-restricted")]).await;
    let store = super::store(&server);
    let error = store.list(List::new()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Unauthenticated, Effect::Rejected));
    assert_eq!(
        (error.request_id(), error.provider_code()),
        (Some("abc"), Some("not-authenticated/invalid-credentials"))
    );
    let rejection = Rejection::of(&error).unwrap();
    assert_eq!((rejection.title(), rejection.detail()), (Some("Invalid Credentials"), Some("more")));
    assert_eq!(
        (rejection.errors(), &rejection.model_errors()["path"]),
        (&["one".to_owned()][..], &vec!["is bad".to_owned()])
    );
    assert_eq!(rejection.data()["host"], "x.files.com");
    assert!(!format!("{error} {error:?}").contains("canary"));
    let error = store.list(List::new()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Permission, Effect::Rejected));
}

#[tokio::test]
async fn an_empty_secret_is_rejected_before_a_request_is_sent() {
    let server = server_with([]).await;
    let uri = server.uri();
    let store = open(FilesComConfig::new(uri.as_str()).api_key(API_KEY)).0;
    let reference = "team:filescom:a.txt".parse().unwrap();
    for blank in ["", " ", "\t\n"] {
        let config = || FilesComConfig::new(uri.as_str());
        for (key, error) in [
            ("api_key", FilesCom.open(&settings(&[("api_key", text(blank))])).unwrap_err()),
            ("session_id", FilesCom.open(&settings(&[("session_id", text(blank))])).unwrap_err()),
            ("api_key", FilesComStore::new(config().api_key(blank)).unwrap_err()),
            ("session_id", FilesComStore::new(config().session_id(blank)).unwrap_err()),
        ] {
            assert_eq!((error.kind(), error.effect()), (ErrorKind::Config, Effect::NotSent), "{error}");
            assert!(error.message().contains(&format!("the secret {key:?} is empty")), "{error}");
        }
        for (key, error) in [
            ("api_key", store.with_api_key(blank).unwrap_err()),
            ("session_id", store.with_credential(Credential::Session(blank.into())).unwrap_err()),
            ("password", store.login(&Login::new("ann", blank)).await.unwrap_err()),
            ("one_time_password", store.login(&Login::new("ann", "x").one_time_password(blank)).await.unwrap_err()),
            ("password", store.share([&reference], Share::new().password(blank)).await.unwrap_err()),
        ] {
            assert_eq!((error.kind(), error.effect()), (ErrorKind::InvalidInput, Effect::NotSent), "{error}");
            assert!(error.message().contains(&format!("the secret {key:?} is empty")), "{error}");
        }
    }
}
