//! Transfers over connections that break or stall, against a server that follows a script.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use filestore_core::{Download, Effect, Error, ErrorKind, FileStore, List, Store, StoredFile, Upload};
use filestore_http::testing::{Reply, ScriptedServer, TestClock};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use url::Url;

use super::{API_KEY, TRACES, file, kind_and_effect, open, reference};
use crate::{FilesComConfig, FilesComStore, Verify};

fn targets(url: &Url, numbers: std::ops::RangeInclusive<u32>) -> Reply {
    let target = |number| {
        format!(
            r#"{{"ref":"put-1","part_number":{number},"upload_uri":"{url}up/{number}?X-Amz-Signature=SIGcanary","parallel_parts":true,
            "variable_part_limits":{{"min_nonfinal_bytes":1,"max_part_bytes":4,"max_parts":9,"max_file_bytes":99}}}}"#
        )
    };
    Reply::json(200, &format!("[{}]", numbers.map(target).collect::<Vec<_>>().join(",")))
}

fn part() -> Reply {
    // The ETag is not an MD5, so it is not compared.
    Reply::with_status(200, &["ETag: \"tag\""], "")
}

fn stored() -> Reply {
    Reply::json(201, r#"{"path":"a.txt","type":"file","size":12,"crc32":null}"#)
}

fn one_at_a_time(server: &ScriptedServer) -> (FilesComStore, Arc<TestClock>) {
    let mut config = FilesComConfig::new(server.url()).api_key(API_KEY);
    config.parallel = std::num::NonZeroU32::MIN;
    open(config)
}

async fn uploaded(script: impl FnOnce(&Url) -> Vec<Reply> + Send) -> (Result<StoredFile, Error>, ScriptedServer) {
    let server = ScriptedServer::start_with(script).await;
    let result = one_at_a_time(&server).0.upload(Upload::new("a.txt", "123456781234")).await;
    (result, server)
}

#[tokio::test]
async fn a_connection_that_breaks_once_for_each_part_retries_each_part_once() {
    let (file, server) = uploaded(|url| {
        let mut script = vec![targets(url, 1..=1), Reply::lost(), part(), targets(url, 2..=3)];
        script.extend([Reply::lost(), part(), Reply::lost(), part(), stored()]);
        script
    })
    .await;
    assert_eq!(file.unwrap().size, Some(12));
    let parts: Vec<_> = server
        .requests()
        .iter()
        .filter(|request| request.head.starts_with("PUT"))
        .map(|request| request.text())
        .collect();
    assert_eq!(parts, ["1234", "1234", "5678", "5678", "1234", "1234"]);
}

#[tokio::test]
async fn a_connection_that_always_breaks_fails_the_upload_and_stores_nothing() {
    let (file, server) = uploaded(|url| [vec![targets(url, 1..=3)], vec![Reply::lost(); 4]].concat()).await;
    let error = file.unwrap_err();
    assert_eq!((kind_and_effect(&error), error.attempts()), ((ErrorKind::Unavailable, Effect::Rejected), 4));
    assert_eq!(server.requests().len(), 5);
}

#[tokio::test]
async fn a_finish_that_is_lost_and_then_unknown_is_resolved_by_a_read_back() {
    let unknown = || Reply::json(404, r#"{"error":"gone","http-code":404,"type":"not-found/file-upload-not-found"}"#);
    let found =
        |crc32: &str| Reply::json(200, &format!(r#"{{"path":"a.txt","type":"file","size":12,"crc32":"{crc32}"}}"#));
    let crc32 = format!("{:x}", crc32fast::hash(b"123456781234"));
    let script = |entry: Reply| {
        move |url: &Url| vec![targets(url, 1..=3), part(), part(), part(), Reply::lost(), unknown(), entry]
    };
    let (file, _) = uploaded(script(found(&crc32))).await;
    assert_eq!(file.unwrap().size, Some(12));
    let (file, _) = uploaded(script(found("1"))).await;
    assert_eq!(kind_and_effect(&file.unwrap_err()), (ErrorKind::Conflict, Effect::Unknown));
}

#[tokio::test]
async fn a_part_without_a_response_is_retried_after_the_response_timeout() {
    let script = |url: &Url| vec![targets(url, 1..=3), part(), Reply::hang(), part(), part(), stored()];
    let server = ScriptedServer::start_with(script).await;
    let (store, clock) = one_at_a_time(&server);
    let upload = tokio::spawn(async move { store.upload(Upload::new("a.txt", "123456781234")).await });
    server.received(3).await;
    clock.advance(Duration::from_secs(301));
    assert_eq!(upload.await.unwrap().unwrap().size, Some(12));
}

#[tokio::test]
async fn a_part_that_is_acknowledged_before_all_of_it_was_sent_is_not_stored() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let target = format!(
        r#"[{{"ref":"put-1","part_number":1,"upload_uri":"{url}up","variable_part_limits":{{"min_nonfinal_bytes":99999999,
        "max_part_bytes":99999999,"max_parts":9,"max_file_bytes":99999999}}}}]"#
    );
    tokio::spawn(async move {
        let mut open = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4];
            stream.read_exact(&mut head).await.unwrap();
            let (headers, body) = match head.as_slice() {
                b"PUT " => ("ETag: \"00000000000000000000000000000000\"", ""),
                _ => ("Content-Type: application/json\r\nConnection: close", target.as_str()),
            };
            let response = format!("HTTP/1.1 200 X\r\n{headers}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            stream.write_all(response.as_bytes()).await.unwrap();
            open.push(stream);
        }
    });
    let (store, _) = open(FilesComConfig::new(url).api_key(API_KEY));
    let error = store.upload(Upload::new("a", vec![0; 64 << 20])).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Rejected), "{error}");
    assert!(error.to_string().contains("before all of the body was sent"), "{error}");
}

#[tokio::test]
async fn a_page_whose_connection_breaks_is_retried_and_no_entry_is_listed_twice() {
    let whole = json!([file("a"), file("b"), file("c")]).to_string();
    let json = "Content-Type: application/json";
    let half = Reply::cut(200, &[json], whole.len(), &whole[..whole.len() / 2]);
    let server = ScriptedServer::start_with(|_| vec![half.clone(), half, Reply::json(200, &whole)]).await;
    let page = one_at_a_time(&server).0.list(List::new()).await.unwrap();
    assert_eq!(page.files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
}

#[tokio::test]
async fn a_download_that_stalls_is_resumed_after_the_idle_timeout() {
    let etag = "ETag: \"v1\"";
    let script = |url: &Url| {
        let entry = format!(r#"{{"path":"a","type":"file","size":10,"download_uri":"{url}content"}}"#);
        let half = b"HTTP/1.1 200 X\r\nETag: \"v1\"\r\nContent-Length: 10\r\n\r\n01234".to_vec();
        let rest = Reply::with_status(206, &[etag, "Content-Range: bytes 5-9/10"], "56789");
        vec![Reply::json(200, &entry), Reply::ResponseThenHang(half), rest]
    };
    let server = ScriptedServer::start_with(script).await;
    let (store, clock) = open(FilesComConfig::new(server.url()).api_key(API_KEY).verify(Verify::None));
    let mut stream = store.download(Download::from(reference("a"))).await.unwrap().stream;
    let first = futures::TryStreamExt::try_next(&mut stream).await.unwrap().unwrap();
    let rest = tokio::spawn(stream.collect(100));
    tokio::task::yield_now().await;
    clock.advance(Duration::from_secs(121));
    assert_eq!([first, rest.await.unwrap().unwrap()].concat(), b"0123456789");
}

#[tokio::test]
async fn neither_traces_nor_errors_show_a_key_or_a_signature() {
    LazyLock::force(&TRACES);
    let rejected =
        "<Error><Code>SignatureDoesNotMatch</Code><Message>no</Message><StringToSign>SIGcanary</StringToSign></Error>";
    let script = |url: &Url| {
        let entry =
            format!(r#"{{"path":"a","type":"file","size":3,"download_uri":"{url}c?X-Amz-Signature=SIGcanary"}}"#);
        vec![
            targets(url, 1..=3),
            Reply::lost(),
            Reply::with_status(403, &[], rejected),
            Reply::json(200, &entry),
            Reply::with_status(403, &[], rejected),
            Reply::json(200, &entry),
            Reply::json(
                401,
                &format!(r#"{{"error":"bad key {API_KEY}","type":"not-authenticated/invalid-credentials"}}"#),
            ),
        ]
    };
    let server = ScriptedServer::start_with(script).await;
    let store = Store::new("team", Arc::new(one_at_a_time(&server).0)).unwrap();
    let mut shown = String::new();
    for error in
        [store.upload(Upload::new("a", "1234")).await.unwrap_err(), store.download(reference("a")).await.unwrap_err()]
    {
        shown.push_str(&format!(" {error} {error:?}"));
    }
    shown.push_str(&format!(" {store:?} {:?}", store.url(reference("a")).await.unwrap()));
    let error = store.stat(reference("a")).await.unwrap_err();
    shown.push_str(&format!(" {error} {error:?}"));
    assert_eq!(server.requests().len(), 7);
    assert!(server.requests()[0].head.contains(API_KEY));
    assert!(!shown.contains("canary"), "{shown}");
    let traced = TRACES.text();
    assert!(traced.contains("decision="), "{traced}");
    assert!(!traced.contains("canary"), "{traced}");
}
