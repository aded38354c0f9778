//! S3 without an emulated service: settings, an unreachable service, and a real server.

use filestore_core::{
    Backend, Body, Delete, Download, ErrorKind, IfExists, List, Origin, Setting, Settings, Store, Upload, UrlKind,
    Value,
};
use filestore_opendal::Opendal;

use crate::{folders, names, paths};

fn open(options: &[(&str, &str)]) -> filestore_core::Result<Store> {
    let setting = |text: &str| Setting::new(Value::Text(text.to_owned()), Origin::BuiltIn);
    let mut settings = Settings::new();
    settings.insert("service", setting("s3"));
    let table = options.iter().map(|(key, value)| ((*key).to_owned(), setting(value))).collect();
    settings.insert("options", Setting::new(Value::Table(table), Origin::BuiltIn));
    Opendal.open(&settings).and_then(|inner| Store::new("s", inner))
}

#[test]
fn the_error_of_a_misspelled_option_suggests_the_nearest_and_an_invalid_value_is_not_shown() {
    let message = open(&[("buckett", "b")]).unwrap_err().to_string();
    assert!(message.contains("unknown key \"buckett\"; did you mean \"bucket\"?"), "{message}");
    let message = open(&[("bucket", "b"), ("skip_signature", "hunter2")]).unwrap_err().to_string();
    assert!(message.contains("skip_signature") && !message.contains("hunter2"), "{message}");
}

#[test]
fn an_empty_secret_is_rejected() {
    for key in ["access_key_id", "secret_access_key", "session_token", "server_side_encryption_customer_key"] {
        let error = open(&[("bucket", "b"), ("region", "r"), (key, " ")]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(error.message().contains(&format!("the secret \"options.{key}\" is empty")), "{error}");
    }
}

#[test]
fn an_option_that_has_an_effect_only_with_another_is_rejected_without_it() {
    for (option, missing) in [
        ("aws_access_key_id", "secret_access_key"),
        ("session_token", "access_key_id"),
        ("external_id", "role_arn"),
        ("aws_sse_kms_key_id", "server_side_encryption"),
        ("aws_sse_customer_key_base64", "server_side_encryption_customer_algorithm"),
        ("server_side_encryption_customer_algorithm", "server_side_encryption_customer_key_md5"),
    ] {
        let error = open(&[("bucket", "b"), ("region", "r"), (option, "x")]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        let expected = format!("the option {missing:?} is missing; {option:?} needs it");
        assert!(error.message().contains(&expected), "{error}");
    }
}

#[tokio::test]
async fn an_unreachable_service_is_tried_four_times() {
    let store = open(&[
        ("bucket", "b"),
        ("region", "us-east-1"),
        ("endpoint", "http://127.0.0.1:9"),
        ("access_key_id", "a"),
        ("secret_access_key", "s"),
        ("disable_config_load", "true"),
    ])
    .unwrap();
    let error = store.stat("s:s3:a".parse::<filestore_core::FileRef>().unwrap()).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Unavailable, 4), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}

/// Against the server at `S3_ENDPOINT`, with a bucket `bucket` and any credentials:
/// `S3_ENDPOINT=http://127.0.0.1:5000 cargo test -p filestore-opendal --features s3 -- --ignored`.
#[tokio::test]
#[ignore = "needs an S3 server"]
async fn the_main_operations_on_a_real_server() {
    let endpoint = std::env::var("S3_ENDPOINT").expect("S3_ENDPOINT must be the URL of the server");
    let store = open(&[
        ("bucket", "bucket"),
        ("region", "us-east-1"),
        ("endpoint", &endpoint),
        ("access_key_id", "a"),
        ("secret_access_key", "s"),
        ("root", "/tests"),
    ])
    .unwrap();
    let all = "s:s3:main".parse::<filestore_core::FileRef>().unwrap();
    store.delete(Delete::from(&all).recursive(true)).await.unwrap();

    // In one request, and in parts.
    let large: Vec<u8> = (0..20_000_000_u32).map(|byte| (byte / 7) as u8).collect();
    let bodies =
        [Body::from("small"), Body::from(large.clone()), Body::from_reader(std::io::Cursor::new(large.clone()), None)];
    for (number, body) in bodies.into_iter().enumerate() {
        let upload = Upload::new(format!("file {number} ü+%.txt"), body)
            .scope("main/sub")
            .content_type("text/plain")
            .metadata("color", "blue")
            .modified("2026-01-02T03:04:05.678901234Z".parse::<jiff::Timestamp>().unwrap());
        let file = store.upload(upload).await.unwrap();
        let stat = store.stat(file.reference()).await.unwrap();
        assert_eq!(stat.modified, file.modified);
        assert_eq!(stat.modified.unwrap().to_string(), "2026-01-02T03:04:05.678901234Z");
        assert_eq!(stat.metadata.len(), 1);
        assert_eq!((stat.size, stat.content_type.as_deref()), (file.size, Some("text/plain")));
        assert_eq!(stat.metadata["color"], "blue");
        let expected: &[u8] = if number == 0 { b"small" } else { &large };
        assert_eq!(store.read(file.reference(), 1 << 30).await.unwrap(), expected);
        assert_eq!(store.read(Download::from(file.reference()).range(1..3), 9).await.unwrap(), &expected[1..3]);
    }

    // The service itself rejects the replacement.
    let second = Upload::new("file 0 ü+%.txt", "other").scope("main/sub").if_exists(IfExists::Fail);
    assert_eq!(store.upload(second).await.unwrap_err().kind(), ErrorKind::AlreadyExists);

    // Pages, with folders between the files.
    for name in ["a", "b", "t", "u"] {
        store.upload(Upload::new(name, "").scope("main")).await.unwrap();
    }
    for limit in [1, 2, 3, 100] {
        assert_eq!(paths(&store, List::new().scope("main").limit(limit)).await.len(), 4, "{limit}");
        assert_eq!(paths(&store, List::new().scope("main").limit(limit).recursive(true)).await.len(), 7, "{limit}");
    }
    let page = store.list(List::new().scope("main").limit(3)).await.unwrap();
    assert_eq!((names(&page), folders(&page)), (vec!["a", "b"], vec!["main/sub"]));

    // A presigned URL gives the bytes without credentials.
    let file = "s:s3:main/sub/file%200%20%C3%BC%2B%25.txt".parse::<filestore_core::FileRef>().unwrap();
    let url = store.url(&file).await.unwrap();
    assert_eq!(url.kind(), UrlKind::Signed);
    assert!(url.expires().is_some());
    let url = url.as_str().parse().unwrap();
    let client = filestore_http::HttpClient::new(&filestore_http::HttpConfig::default(), &url).unwrap();
    let mut response = client.send(filestore_http::Request::get(url)).await.unwrap();
    assert_eq!(response.bytes(99).await.unwrap(), "small");

    // A failed upload leaves neither a file nor parts.
    let body = Body::from_stream(
        futures::stream::iter([
            Ok(bytes::Bytes::from(large)),
            Err(filestore_core::Error::not_found("the source is gone")),
        ]),
        None,
    );
    let error = store.upload(Upload::new("broken", body).scope("main")).await.unwrap_err();
    assert_eq!(error.message(), "the source is gone");

    store.delete(&file).await.unwrap();
    store.delete(&file).await.unwrap();
    assert_eq!(store.stat(&file).await.unwrap_err().kind(), ErrorKind::NotFound);
    store.delete(Delete::from(&all).recursive(true)).await.unwrap();
    assert_eq!(remaining_files(&store).await, 0);
}

async fn remaining_files(store: &Store) -> usize {
    paths(store, List::new().scope("main").recursive(true)).await.len()
}
