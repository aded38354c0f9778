//! The whole store against a server that follows a script: exact requests, every kind of answer, and
//! answers that are lost.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use filestore_core::{
    Backend, Body, Effect, Error, ErrorKind, Expiry, Feature, FileRef, FileStore, FileUrl, List, Origin, Overwrite,
    Period, Result, Setting, Settings, Store, Upload, UrlKind, UrlRequest, Value,
};
use filestore_http::testing::{Act, Received, ScriptedServer, TestClock};

use crate::{AnonymousToken, FileIo, FileIoConfig, FileIoStore, FileIoUpdate, FileIoUpload, MaxDownloads, Search};

/// A gen-2 answer as it was recorded, with some fields changed.
const STORED: &str = r#"{"success":true,"status":200,"id":"5f0c1e20-41aa-11ee-9c3b-2f7a1d6e4b90","key":"KEYcanary123","path":"/","nodeType":"file","name":"report.txt","title":null,"description":null,"size":11,"link":"https://file.io/KEYcanary123","private":false,"expires":"2026-03-15T10:00:00.000Z","downloads":0,"maxDownloads":1,"autoDelete":true,"planId":0,"screeningStatus":"pending","mimeType":"text/plain","created":"2026-03-01T10:00:00.000Z","modified":"2026-03-01T10:00:00.000Z"}"#;

const GEN1: &str = r#"{"success":true,"key":"a1B2c3","link":"https://file.io/a1B2c3","expiry":"14 days"}"#;
const NOT_FOUND: &str = r#"{"success":false,"status":404,"code":"FILE_NOT_FOUND","message":"The file KEYcanary123 could not be found","help":"https://file.io/help/api/errors/FILE_NOT_FOUND","key":null}"#;
const NOT_FOUND_1: &str = r#"{"success":false,"error":404,"message":"Not Found"}"#;
const TOO_MANY: &str = r#"{"success":false,"status":429,"code":"TOO_MANY_REQUESTS","message":"Too many requests","help":"https://file.io/help/api/errors/TOO_MANY_REQUESTS","key":null}"#;
const HTML: &str = "<!doctype html><title>Super simple file sharing</title>";

const API_KEY: &str = "AAAAAAA.APIcanary-CCCCCCC-DDDDDDD-EEEEEEE";

async fn anonymous(script: impl IntoIterator<Item = Act>) -> (FileIoStore, ScriptedServer) {
    let server = ScriptedServer::start(script).await;
    (open(FileIoConfig::new(server.url())), server)
}

async fn with_key(script: impl IntoIterator<Item = Act>) -> (FileIoStore, ScriptedServer) {
    let server = ScriptedServer::start(script).await;
    (open(FileIoConfig::new(server.url()).api_key(API_KEY)), server)
}

fn open(config: FileIoConfig) -> FileIoStore {
    FileIoStore::with_clock(config, TestClock::new()).unwrap()
}

fn key() -> FileRef {
    "drop:fileio:KEYcanary123".parse().unwrap()
}

fn hello() -> Upload {
    Upload::new("report.txt", "hello world")
}

/// The body of a request, its boundary written `B`.
fn form(request: &Received) -> String {
    let boundary = request.header("content-type").unwrap().split_once("boundary=").unwrap().1;
    request.text().replace(boundary, "B")
}

fn facts(error: &Error) -> (ErrorKind, Effect) {
    (error.kind(), error.effect())
}

fn changed(from: &str, to: &str) -> String {
    assert!(STORED.contains(from), "{from}");
    STORED.replace(from, to)
}

// Upload.

#[tokio::test]
async fn an_upload_is_one_form_with_the_file_last() {
    let (store, server) = anonymous([Act::json(200, STORED)]).await;
    let file = store.upload(hello()).await.unwrap();
    let request = server.request();
    assert_eq!(request.line(), "POST /");
    assert_eq!(request.header("accept"), Some("application/json"));
    assert_eq!(request.header("authorization"), None);
    assert_eq!(request.header("content-length").unwrap(), request.body.len().to_string());
    assert_eq!(
        form(&request),
        "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"report.txt\"\r\nContent-Type: text/plain\r\n\r\nhello world\r\n--B--\r\n"
    );
    assert_eq!(file.reference().to_string(), ":fileio:KEYcanary123");
    assert_eq!((file.name.as_str(), file.size, file.remaining_downloads), ("report.txt", Some(11), Some(1)));
    assert_eq!(file.expiry, Expiry::At("2026-03-15T10:00:00Z".parse().unwrap()));
}

#[tokio::test]
async fn all_options_of_an_upload_are_sent() {
    let answer = changed("\"title\":null", "\"title\":\"Q 3\"")
        .replace("2026-03-15", "2026-03-31")
        .replace("\"maxDownloads\":1", "\"maxDownloads\":3")
        .replace("\"autoDelete\":true", "\"autoDelete\":false");
    let (store, server) = with_key([Act::json(200, &answer)]).await;
    let options = FileIoUpload::new().max_downloads(3).auto_delete(false).title("Q 3");
    let upload = hello().content_type("text/x-mine").expires_in(Period::days(30)).with(options);
    assert_eq!(store.upload(upload).await.unwrap().remaining_downloads, Some(3));
    let request = server.request();
    assert_eq!(request.line(), "POST /?title=Q+3");
    assert_eq!(request.header("authorization").unwrap(), format!("Bearer {API_KEY}"));
    assert_eq!(
        form(&request),
        "--B\r\nContent-Disposition: form-data; name=\"expires\"\r\n\r\n30d\r\n\
         --B\r\nContent-Disposition: form-data; name=\"maxDownloads\"\r\n\r\n3\r\n\
         --B\r\nContent-Disposition: form-data; name=\"autoDelete\"\r\n\r\nfalse\r\n\
         --B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"report.txt\"\r\nContent-Type: text/x-mine\r\n\r\nhello world\r\n--B--\r\n"
    );
}

#[tokio::test]
async fn never_and_unlimited_are_empty_values() {
    let answer = changed("\"expires\":\"2026-03-15T10:00:00.000Z\"", "\"expires\":null")
        .replace("\"maxDownloads\":1", "\"maxDownloads\":null");
    let (store, server) = with_key([Act::json(200, &answer)]).await;
    let options = FileIoUpload::new().max_downloads(MaxDownloads::Unlimited);
    let file = store.upload(hello().expires(Expiry::Never).with(options)).await.unwrap();
    assert_eq!((file.expiry, file.remaining_downloads), (Expiry::Never, None));
    assert!(form(&server.request()).contains("name=\"expires\"\r\n\r\n\r\n"));
    assert!(form(&server.request()).contains("name=\"maxDownloads\"\r\n\r\n\r\n"));
}

#[tokio::test]
async fn without_a_key_what_needs_a_plan_is_refused_before_anything_is_sent() {
    let (store, server) = anonymous([]).await;
    for upload in [
        hello().with(FileIoUpload::new().max_downloads(2)),
        hello().with(FileIoUpload::new().auto_delete(false)),
        hello().expires(Expiry::Never),
    ] {
        assert_eq!(facts(&store.upload(upload).await.unwrap_err()), (ErrorKind::Unsupported, Effect::NotSent));
    }
    let large = Body::reader(tokio::io::empty(), Some(2_000_000_001));
    let error = store.upload(Upload::new("a", large)).await.unwrap_err();
    assert_eq!(facts(&error), (ErrorKind::TooLarge, Effect::NotSent));
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn an_empty_file_and_a_stream_of_unknown_length_are_stored() {
    let (store, server) =
        anonymous([Act::json(200, &changed("\"size\":11", "\"size\":0")), Act::json(200, STORED)]).await;
    assert_eq!(store.upload(Upload::new("report.txt", "")).await.unwrap().size, Some(0));
    let stream = Body::reader(&b"hello world"[..], None);
    assert_eq!(store.upload(Upload::new("report.txt", stream)).await.unwrap().size, Some(11));
    assert!(server.requests()[1].chunked);
}

#[tokio::test]
async fn an_answer_of_the_first_generation_is_a_success_with_less_to_say() {
    let (store, _server) = anonymous([Act::json(200, GEN1)]).await;
    let file = store.upload(hello().expires_in(Period::days(7))).await.unwrap();
    assert_eq!(file.reference().components(), ["a1B2c3"]);
    assert_eq!((file.name.as_str(), file.size, file.expiry), ("report.txt", Some(11), Expiry::Default));
}

#[tokio::test]
async fn what_is_stored_otherwise_than_asked_is_an_error_with_the_file() {
    let table = [
        (changed("\"size\":11", "\"size\":10"), hello(), ErrorKind::Integrity),
        (STORED.to_owned(), hello().expires_in(Period::days(7)), ErrorKind::Incomplete),
        (STORED.to_owned(), hello().expires(Expiry::Never), ErrorKind::Incomplete),
        (STORED.to_owned(), hello().expires("2026-03-16T10:00:00Z".parse::<Expiry>().unwrap()), ErrorKind::Incomplete),
        (STORED.to_owned(), hello().with(FileIoUpload::new().max_downloads(3)), ErrorKind::Incomplete),
        (STORED.to_owned(), hello().with(FileIoUpload::new().auto_delete(false)), ErrorKind::Incomplete),
        (STORED.to_owned(), hello().with(FileIoUpload::new().title("t")), ErrorKind::Incomplete),
    ];
    for (answer, upload, kind) in table {
        let (store, _server) = with_key([Act::json(200, &answer)]).await;
        let error = store.upload(upload).await.unwrap_err();
        assert_eq!(facts(&error), (kind, Effect::Applied), "{error}");
        assert_eq!(error.stored().unwrap().reference().components(), ["KEYcanary123"]);
    }
}

#[tokio::test]
async fn a_lost_answer_to_an_upload_is_unknown_and_not_repeated() {
    for act in [Act::lost(), Act::cut(200, &["Content-Type: application/json"], 600, "{\"succ")] {
        let (store, server) = anonymous([act]).await;
        let error = store.upload(hello()).await.unwrap_err();
        assert_eq!(facts(&error), (ErrorKind::Unavailable, Effect::Unknown), "{error}");
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn an_upload_without_any_connection_was_not_sent() {
    let (server, _never) = ScriptedServer::start_later([]);
    let error = open(FileIoConfig::new(server.url())).upload(hello()).await.unwrap_err();
    assert_eq!(facts(&error), (ErrorKind::Unavailable, Effect::NotSent));
    assert!(error.is_safe_to_retry());
}

#[tokio::test]
async fn too_many_requests_are_waited_out_when_the_service_says_how_long() {
    let (store, server) = anonymous([
        Act::answer(429, &["Content-Type: application/json", "Retry-After: 5"], TOO_MANY),
        Act::json(200, STORED),
    ])
    .await;
    store.upload(hello()).await.unwrap();
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn too_many_requests_without_a_time_mean_a_minute_which_nobody_waits_here() {
    let (store, server) = anonymous([Act::json(429, TOO_MANY)]).await;
    let error = store.upload(hello()).await.unwrap_err();
    assert_eq!(facts(&error), (ErrorKind::RateLimited, Effect::Rejected));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(60)));
    assert_eq!(error.provider_code(), Some("TOO_MANY_REQUESTS"));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_success_without_a_usable_key_is_unknown() {
    for answer in [r#"{"success":true}"#, r#"{"success":true,"key":"../x"}"#, r#"{"success":true,"key":"Ab12"#, "[]"] {
        let (store, _server) = anonymous([Act::json(200, answer)]).await;
        assert_eq!(
            facts(&store.upload(hello()).await.unwrap_err()),
            (ErrorKind::Protocol, Effect::Unknown),
            "{answer}"
        );
    }
}

// Answers that are not the service's.

#[tokio::test]
async fn a_service_that_is_gone_is_called_so() {
    let page = |status| Act::answer(status, &["Content-Type: text/html; charset=utf-8"], HTML);
    let redirect = |status| Act::answer(status, &["Location: https://www.file.io/"], HTML);
    let table = [
        (redirect(301), "redirects to www.file.io", Effect::Rejected),
        (redirect(302), "redirects to www.file.io", Effect::Rejected),
        (redirect(308), "redirects to www.file.io", Effect::Rejected),
        (page(200), "a web page (status 200)", Effect::Unknown),
        (page(404), "a web page (status 404)", Effect::Rejected),
        (page(405), "a web page (status 405)", Effect::Rejected),
        (page(410), "a web page (status 410)", Effect::Rejected),
        (Act::answer(405, &[], ""), "no file.io answer (status 405)", Effect::Rejected),
        (Act::answer(200, &["Content-Type: text/plain"], "ok"), "text/plain where JSON is due", Effect::Unknown),
        (Act::answer(200, &[], ""), "without a content type", Effect::Unknown),
    ];
    for (act, message, effect) in table {
        let (store, server) = anonymous([act]).await;
        let error = store.upload(hello()).await.unwrap_err();
        assert_eq!(facts(&error), (ErrorKind::Protocol, effect), "{error}");
        assert!(error.to_string().contains(message), "{error}");
        assert!(error.to_string().contains("base_url"), "{error}");
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn every_status_has_its_kind() {
    let table = [
        (400, ErrorKind::InvalidInput, Effect::Rejected),
        (401, ErrorKind::Unauthenticated, Effect::Rejected),
        (402, ErrorKind::Quota, Effect::Rejected),
        (403, ErrorKind::Permission, Effect::Rejected),
        (404, ErrorKind::NotFound, Effect::Rejected),
        (409, ErrorKind::Conflict, Effect::Rejected),
        (413, ErrorKind::TooLarge, Effect::Rejected),
        (418, ErrorKind::Protocol, Effect::Rejected),
        (500, ErrorKind::Unavailable, Effect::Unknown),
        (503, ErrorKind::Unavailable, Effect::Unknown),
    ];
    for (status, kind, effect) in table {
        let (store, server) = anonymous([Act::json(status, "{}")]).await;
        let error = store.upload(hello()).await.unwrap_err();
        assert_eq!(facts(&error), (kind, effect), "{error}");
        assert_eq!((error.http_status(), server.requests().len()), (Some(status), 1));
    }
}

#[tokio::test]
async fn a_failing_server_is_failing_even_if_it_sends_a_page() {
    let (store, _server) = anonymous([Act::answer(500, &["Content-Type: text/html"], HTML)]).await;
    assert_eq!(store.upload(hello()).await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn an_error_in_a_body_of_success_is_an_error() {
    for body in [r#"{"success":false,"error":402,"message":"limit"}"#, r#"{"success":false,"status":402}"#] {
        let (store, _server) = anonymous([Act::json(200, body)]).await;
        let error = store.upload(hello()).await.unwrap_err();
        assert_eq!((facts(&error), error.http_status()), ((ErrorKind::Quota, Effect::Rejected), Some(402)));
    }
}

// Download.

#[tokio::test]
async fn a_download_is_one_get_on_a_connection_of_its_own() {
    let answer = Act::answer(
        200,
        &["Content-Type: text/plain", "Content-Disposition: attachment; filename=\"../../etc/passwd\""],
        "hello world",
    );
    let (store, server) = with_key([answer]).await;
    let answer = store.download(key().into()).await.unwrap();
    assert_eq!(answer.file.name, "../../etc/passwd"); // the store that saves it makes it safe
    assert_eq!((answer.file.size, answer.file.content_type.as_deref()), (Some(11), Some("text/plain")));
    assert_eq!(answer.bytes(100).await.unwrap(), "hello world");
    let request = server.request();
    assert_eq!(request.line(), "GET /KEYcanary123");
    assert_eq!(request.header("accept"), Some("*/*"));
    assert_eq!(request.header("accept-encoding"), Some("identity"));
    assert_eq!(request.header("authorization").unwrap(), format!("Bearer {API_KEY}"));
}

#[tokio::test]
async fn a_hostile_name_stays_in_the_folder() {
    let answer = Act::answer(200, &["Content-Disposition: attachment; filename*=UTF-8''..%2F..%2Fpass%00wd"], "x");
    let (store, _server) = anonymous([answer]).await;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new("drop", Arc::new(store));
    let saved = store.download_to_folder(key(), folder.path(), Overwrite::Refuse).await.unwrap();
    assert_eq!(saved.path, folder.path().join("passwd"));
}

#[tokio::test]
async fn below_200_the_body_is_the_file_even_if_it_looks_like_an_error() {
    let (store, _server) = anonymous([Act::json(200, NOT_FOUND)]).await;
    let answer = store.download(key().into()).await.unwrap();
    assert_eq!(answer.file.name, "download");
    assert_eq!(answer.bytes(1000).await.unwrap(), NOT_FOUND);
}

#[tokio::test]
async fn a_page_with_a_name_is_a_file_and_without_one_it_is_not() {
    let named = ["Content-Type: text/html", "Content-Disposition: attachment; filename=index.html"];
    let (store, _server) = anonymous([Act::answer(200, &named, HTML), Act::answer(200, &named[..1], HTML)]).await;
    assert_eq!(store.download(key().into()).await.unwrap().bytes(1000).await.unwrap(), HTML);
    let error = store.download(key().into()).await.unwrap_err();
    assert!(error.to_string().contains("is gone or is not file.io"), "{error}");
}

#[tokio::test]
async fn a_landing_page_is_not_the_file() {
    let act = Act::answer(302, &["Location: https://www.file.io/download/KEYcanary123"], "");
    let (store, server) = anonymous([act]).await;
    let error = store.download(key().into()).await.unwrap_err();
    assert_eq!(facts(&error), (ErrorKind::Unsupported, Effect::Rejected));
    assert!(error.to_string().contains("web page for this file, at www.file.io"), "{error}");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_file_that_is_gone_is_not_found_in_both_generations() {
    for body in [NOT_FOUND, NOT_FOUND_1] {
        let (store, _server) = anonymous([Act::json(404, body)]).await;
        let error = store.download(key().into()).await.unwrap_err();
        assert_eq!(facts(&error), (ErrorKind::NotFound, Effect::Rejected));
        assert!(error.to_string().contains("it expired, or it was downloaded already"), "{error}");
        assert!(!error.to_string().contains("KEYcanary123"), "{error}");
    }
}

#[tokio::test]
async fn a_broken_download_is_possibly_consumed_and_never_repeated() {
    let cut = Act::cut(200, &["Content-Disposition: attachment; filename=a"], 11, "hello");
    let headers_only = Act::cut(200, &["Content-Disposition: attachment; filename=a"], 11, "");
    for act in [Act::lost(), headers_only, cut, Act::json(500, "{}"), Act::answer(206, &[], "hello")] {
        let (store, server) = anonymous([act.clone()]).await;
        let error = match store.download(key().into()).await {
            Ok(answer) => answer.bytes(100).await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.effect(), Effect::Unknown, "{act:?} {error}");
        assert!(error.to_string().contains("possibly consumed"), "{error}");
        assert_eq!(server.requests().len(), 1, "{act:?}");
    }
}

#[tokio::test]
async fn a_refusal_of_a_download_is_not_repeated_either() {
    let (store, server) =
        anonymous([Act::answer(429, &["Content-Type: application/json", "Retry-After: 1"], TOO_MANY)]).await;
    let error = store.download(key().into()).await.unwrap_err();
    assert_eq!(facts(&error), (ErrorKind::RateLimited, Effect::Rejected));
    assert_eq!((server.requests().len(), error.retry_after()), (1, Some(Duration::from_secs(1))));
}

#[tokio::test]
async fn a_broken_download_to_a_path_keeps_what_came() {
    // Closed in order: a reset could overtake the bytes before it.
    let short = b"HTTP/1.1 200 X\r\nContent-Disposition: attachment; filename=a\r\nContent-Length: 11\r\n\r\nhello";
    let (store, _server) = anonymous([Act::Answer(short.to_vec())]).await;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new("drop", Arc::new(store));
    let error = store.download_to_folder(key(), folder.path(), Overwrite::Refuse).await.unwrap_err();
    assert!(error.to_string().contains("the 5 bytes that arrived"), "{error}");
    assert_eq!(std::fs::read(error.partial().unwrap()).unwrap(), b"hello");
}

#[tokio::test]
async fn a_range_is_refused_because_it_would_count() {
    let (store, server) = anonymous([]).await;
    let request = filestore_core::Download::from(key()).range(0..5);
    assert_eq!(store.download(request).await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert!(server.requests().is_empty());
}

// List, stat, delete, url, account.

fn listing(keys: &[&str]) -> Act {
    let nodes: Vec<_> = keys.iter().map(|key| STORED.replace("KEYcanary123", key)).collect();
    Act::json(200, &format!(r#"{{"success":true,"status":200,"nodes":[{}],"count":{}}}"#, nodes.join(","), keys.len()))
}

#[tokio::test]
async fn a_listing_goes_on_by_offset() {
    let (store, server) = with_key([listing(&["K1aaa", "K2aaa"]), listing(&["K3aaa"])]).await;
    let first = store.list(List::new().limit(2)).await.unwrap();
    let second = store.list(List::new().limit(2).page(first.next.unwrap())).await.unwrap();
    assert_eq!((first.files.len(), second.files.len(), second.next), (2, 1, None));
    let lines: Vec<_> = server.requests().iter().map(|request| request.line().to_owned()).collect();
    assert_eq!(lines, ["GET /?limit=2", "GET /?offset=2&limit=2"]);
}

#[tokio::test]
async fn a_search_escapes_its_words() {
    let (store, server) = with_key([listing(&[])]).await;
    let search = Search::new().text("a&b").sort("size:desc").offset(3).limit(5);
    assert!(store.search(&search).await.unwrap().files.is_empty());
    assert_eq!(server.request().line(), "GET /?search=a%26b&sort=size%3Adesc&offset=3&limit=5");
}

#[tokio::test]
async fn stat_reads_the_listing_and_never_the_file() {
    let (store, server) = with_key([listing(&["Other", "KEYcanary123"]), listing(&["Other"])]).await;
    assert_eq!(store.stat(key().into()).await.unwrap().size, Some(11));
    assert_eq!(store.stat(key().into()).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(server.requests().iter().all(|request| request.line() == "GET /?limit=1000"));
}

#[tokio::test]
async fn without_a_key_stat_list_delete_and_me_send_nothing() {
    let (store, server) = anonymous([]).await;
    let kinds = [
        store.stat(key().into()).await.unwrap_err().kind(),
        store.list(List::new()).await.unwrap_err().kind(),
        store.delete(key().into()).await.unwrap_err().kind(),
        store.me().await.unwrap_err().kind(),
        store.update(&key(), FileIoUpdate::new().title("x")).await.unwrap_err().kind(),
    ];
    assert_eq!(kinds, [ErrorKind::Unsupported; 5]);
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_delete_succeeds_when_there_is_nothing_left() {
    let done = Act::json(200, r#"{"success":true,"status":200}"#);
    let (store, server) = with_key([done, Act::json(404, NOT_FOUND), Act::answer(204, &[], "")]).await;
    for _ in 0..3 {
        store.delete(key().into()).await.unwrap();
    }
    assert_eq!(server.requests()[0].line(), "DELETE /KEYcanary123");
}

#[tokio::test]
async fn a_refused_delete_is_permission_unless_the_first_attempt_did_it() {
    let forbidden = Act::json(403, r#"{"success":false,"status":403,"code":"FORBIDDEN"}"#);
    let (store, _server) = with_key([forbidden.clone(), Act::lost(), forbidden]).await;
    assert_eq!(store.delete(key().into()).await.unwrap_err().kind(), ErrorKind::Permission);
    store.delete(key().into()).await.unwrap();
}

async fn url_of(store: &FileIoStore, request: UrlRequest) -> Result<FileUrl> {
    store.url(request).await
}

#[tokio::test]
async fn without_a_key_a_url_is_made_without_asking_anybody() {
    let (store, server) = anonymous([]).await;
    let url = url_of(&store, key().into()).await.unwrap();
    assert_eq!(url.as_str(), format!("{}KEYcanary123", server.url()));
    assert_eq!((url.kind(), url.expires()), (UrlKind::SingleUse, None));
    let lifetime = UrlRequest::from(key()).lifetime(Duration::from_secs(60));
    assert_eq!(url_of(&store, lifetime).await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn with_a_key_a_url_knows_its_kind_and_its_end() {
    let three = Act::json(
        200,
        &format!(r#"{{"success":true,"files":[{}]}}"#, changed("\"maxDownloads\":1", "\"maxDownloads\":3")),
    );
    let script =
        [three, listing(&["KEYcanary123"]), listing(&["KEYcanary123"]), listing(&["KEYcanary123"]), listing(&[])];
    let (store, _server) = with_key(script).await;
    let end = "2026-03-15T10:00:00Z".parse().unwrap();
    let url = url_of(&store, key().into()).await.unwrap();
    assert_eq!((url.kind(), url.expires()), (UrlKind::Direct, Some(end)));
    let url = url_of(&store, key().into()).await.unwrap();
    assert_eq!((url.kind(), url.expires()), (UrlKind::SingleUse, Some(end)));
    let days = |days: u64| UrlRequest::from(key()).lifetime(Duration::from_secs(days * 86_400));
    assert!(url_of(&store, days(14)).await.is_ok());
    let error = url_of(&store, days(15)).await.unwrap_err();
    assert!(error.to_string().contains("works for 1209600 s more"), "{error}");
    assert_eq!(url_of(&store, key().into()).await.unwrap().kind(), UrlKind::SingleUse);
}

#[tokio::test]
async fn the_account_says_how_large_a_file_may_be() {
    let me = r#"{"success":true,"status":200,"planId":1,"maxUploadBytes":5,"usedStorageBytes":32,"rateLimit":60,"directDownload":0,"customDomain":null}"#;
    let (store, server) = with_key([Act::json(200, me)]).await;
    let account = store.me().await.unwrap();
    assert_eq!((account.plan_id, account.rate_limit, account.max_storage_bytes), (Some(1), Some(60), None));
    assert_eq!(account.other["directDownload"], 0);
    let error = store.upload(hello()).await.unwrap_err();
    assert_eq!(facts(&error), (ErrorKind::TooLarge, Effect::NotSent));
    assert_eq!(server.request().line(), "GET /me");
}

#[tokio::test]
async fn me_on_a_web_site_is_a_service_that_is_gone() {
    let (store, _server) = with_key([Act::answer(301, &["Location: https://www.file.io/me"], "")]).await;
    assert!(store.me().await.unwrap_err().to_string().contains("is gone or is not file.io"));
}

#[tokio::test]
async fn me_is_never_a_file() {
    let (store, server) = with_key([]).await;
    let me: FileRef = "drop:fileio:me".parse().unwrap();
    assert_eq!(store.download(me.clone().into()).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(store.delete(me.into()).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert!(server.requests().is_empty());
}

// Update, replace, text, tokens.

#[tokio::test]
async fn an_update_sends_only_what_changes() {
    let answer = changed("2026-03-15", "2026-03-03").replace("\"maxDownloads\":1", "\"maxDownloads\":5");
    let (store, server) = with_key([Act::json(200, &answer)]).await;
    let update = FileIoUpdate::new().expires(Period::days(2)).max_downloads(5);
    assert_eq!(store.update(&key(), update).await.unwrap().max_downloads, Some(MaxDownloads::Times(5)));
    let request = server.request();
    assert_eq!(request.line(), "PATCH /KEYcanary123");
    assert_eq!(
        form(&request),
        "--B\r\nContent-Disposition: form-data; name=\"expires\"\r\n\r\n2d\r\n\
         --B\r\nContent-Disposition: form-data; name=\"maxDownloads\"\r\n\r\n5\r\n--B--\r\n"
    );
}

#[tokio::test]
async fn a_title_is_changed_in_json() {
    let (store, server) = with_key([Act::json(200, &changed("\"title\":null", "\"title\":\"t\""))]).await;
    let update = FileIoUpdate::new().title("t").description("d").auto_delete(true);
    assert_eq!(store.update(&key(), update).await.unwrap().title.as_deref(), Some("t"));
    let request = server.request();
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.text(), r#"{"autoDelete":true,"description":"d","title":"t"}"#);
}

#[tokio::test]
async fn an_update_of_nothing_or_of_two_forms_at_once_is_refused() {
    let (store, server) = with_key([]).await;
    for update in [FileIoUpdate::new(), FileIoUpdate::new().title("t").content("a", "x")] {
        assert_eq!(store.update(&key(), update).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_replacement_is_a_whole_upload_to_the_same_key() {
    let (store, server) = with_key([Act::json(200, STORED), Act::lost()]).await;
    assert_eq!(store.replace(&key(), hello()).await.unwrap().file.size, Some(11));
    assert_eq!(server.request().line(), "PUT /KEYcanary123");
    assert!(form(&server.request()).contains("filename=\"report.txt\""));
    assert_eq!(store.replace(&key(), hello()).await.unwrap_err().effect(), Effect::Unknown);
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn a_text_is_a_form_of_its_own() {
    let (store, server) = anonymous([Act::json(200, STORED)]).await;
    let owned = store.upload_text("a&b ü=wörld", Expiry::After(Period::days(14))).await;
    // 13 bytes were sent, the scripted answer says 11.
    assert_eq!(owned.unwrap_err().kind(), ErrorKind::Integrity);
    let request = server.request();
    assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(request.text(), "text=a%26b+%C3%BC%3Dw%C3%B6rld&expires=14d");
}

#[tokio::test]
async fn the_token_of_an_anonymous_upload_manages_that_file() {
    let with_token =
        Act::answer(200, &["Content-Type: application/json", "x-file-io-anonymous-access-token: TOKENcanary"], STORED);
    let (store, server) = anonymous([with_token, Act::json(200, r#"{"success":true}"#)]).await;
    let owned = store.upload_owned(hello()).await.unwrap();
    assert!(!format!("{owned:?}").contains("canary"));
    let owner = store.with_token(&owned.token.unwrap()).unwrap();
    owner.delete(owned.file.reference().into()).await.unwrap();
    assert_eq!(server.requests()[1].header("authorization"), Some("Bearer TOKENcanary"));
    assert_eq!(owner.list(List::new()).await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert!(store.with_token(&AnonymousToken::new("a\nb")).is_err());
}

// The backend.

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
fn the_backend_reads_its_own_keys_and_those_of_http() {
    let pairs = [("base_url", text("http://127.0.0.1:7070")), ("api_key", text(API_KEY)), ("idle_timeout", text("5s"))];
    let store = FileIo.open(&settings(&pairs)).unwrap();
    assert!(store.capabilities().supports(Feature::List));
    assert!(!format!("{store:?}").contains("canary"));
    let error = FileIo.open(&settings(&[("base_ulr", text("x"))])).unwrap_err();
    assert!(error.to_string().contains("did you mean \"base_url\"?"), "{error}");
}

#[test]
fn a_base_url_is_scheme_host_and_port() {
    for bad in
        ["file.io", "ftp://file.io", "https://u:CANARY@file.io", "https://file.io/api", "https://file.io/?a=CANARY"]
    {
        let error = FileIo.open(&settings(&[("base_url", text(bad))])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{bad}");
        assert!(!error.to_string().contains("CANARY"), "{error}");
    }
    assert!(FileIo.open(&settings(&[])).is_ok());
}

#[test]
fn options_come_as_texts_and_as_numbers() {
    let read = |pairs: &[(&str, Value)]| {
        FileIo.options(&settings(pairs)).map(|options| options.get::<FileIoUpload>().unwrap().clone())
    };
    let expected = FileIoUpload::new().max_downloads(3).auto_delete(false).title("t");
    assert_eq!(
        read(&[("max_downloads", text("3")), ("auto_delete", text("false")), ("title", text("t"))]).unwrap(),
        expected
    );
    assert_eq!(
        read(&[("max_downloads", Value::Integer(3)), ("auto_delete", Value::Flag(false)), ("title", text("t"))])
            .unwrap(),
        expected
    );
    assert_eq!(read(&[("max_downloads", text("unlimited"))]).unwrap().max_downloads, Some(MaxDownloads::Unlimited));
    for bad in [text("0"), Value::Integer(0), Value::Integer(-1), text("many")] {
        let error = read(&[("max_downloads", bad)]).unwrap_err();
        assert!(error.to_string().contains("a number from 1, or unlimited"), "{error}");
    }
}

// Secrets.

/// Everything that was traced.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn neither_traces_nor_errors_show_a_key() {
    let log = Log::default();
    let sink = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || sink.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();

    let script = [
        Act::json(200, STORED),
        Act::json(404, NOT_FOUND),
        Act::lost(),
        Act::json(403, NOT_FOUND),
        Act::json(401, "{}"),
    ];
    let (store, server) = with_key(script).await;
    let store = Store::new("drop", Arc::new(store));
    let mut shown = format!("{store:?} {:?}", store.upload(hello()).await.unwrap());
    for error in [
        store.download(key()).await.unwrap_err(),
        store.download(key()).await.unwrap_err(),
        store.delete(key()).await.unwrap_err(),
        store.stat(key()).await.unwrap_err(),
    ] {
        shown.push_str(&format!(" {error} {error:?}"));
    }
    assert_eq!(server.requests().len(), 5);
    assert!(server.requests()[1].head.contains("KEYcanary123"));
    assert!(!shown.contains("canary"), "{shown}");
    let traced = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(traced.contains("decision="), "{traced}");
    assert!(!traced.contains("canary"), "{traced}");
}
