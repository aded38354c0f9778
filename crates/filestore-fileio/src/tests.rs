//! Tests of the whole store. Requests and the meaning of responses: against mocks that match and count requests.
//! Connections that break: against a server that follows a script.

mod account;
mod broken;
mod download;
mod endless;
mod rejections;
mod secrets;
mod settings;
mod source;
mod update;
mod upload;

use filestore_core::{Effect, Error, ErrorKind, FileRef, Upload};
use filestore_http::testing::TestClock;
use wiremock::matchers::any;
use wiremock::{Match, Mock, MockServer, Request, ResponseTemplate};

use crate::{FileIoConfig, FileIoStore};

/// A recorded response of generation 2, with some fields changed.
const STORED: &str = r#"{"success":true,"status":200,"id":"5f0c1e20-41aa-11ee-9c3b-2f7a1d6e4b90","key":"KEYcanary123","path":"/","nodeType":"file","name":"report.txt","title":null,"description":null,"size":11,"link":"https://file.io/KEYcanary123","private":false,"expires":"2026-03-15T10:00:00.000Z","downloads":0,"maxDownloads":1,"autoDelete":true,"planId":0,"screeningStatus":"pending","mimeType":"text/plain","created":"2026-03-01T10:00:00.000Z","modified":"2026-03-01T10:00:00.000Z"}"#;

const GEN1: &str = r#"{"success":true,"key":"a1B2c3","link":"https://file.io/a1B2c3","expiry":"14 days"}"#;
const NOT_FOUND: &str = r#"{"success":false,"status":404,"code":"FILE_NOT_FOUND","message":"The file KEYcanary123 could not be found","help":"https://file.io/help/api/errors/FILE_NOT_FOUND","key":null}"#;
const NOT_FOUND_1: &str = r#"{"success":false,"error":404,"message":"Not Found"}"#;
const TOO_MANY: &str = r#"{"success":false,"status":429,"code":"TOO_MANY_REQUESTS","message":"Too many requests","help":"https://file.io/help/api/errors/TOO_MANY_REQUESTS","key":null}"#;
const HTML: &str = "<!doctype html><title>Super simple file sharing</title>";

const API_KEY: &str = "AAAAAAA.APIcanary-CCCCCCC-DDDDDDD-EEEEEEE";

fn anonymous(server: &MockServer) -> FileIoStore {
    open(FileIoConfig::new(server.uri()))
}

fn with_key(server: &MockServer) -> FileIoStore {
    open(FileIoConfig::new(server.uri()).api_key(API_KEY))
}

fn open(config: FileIoConfig) -> FileIoStore {
    FileIoStore::with_clock(config, TestClock::new()).unwrap()
}

/// A service that sends these responses in turn, and expects exactly as many requests.
async fn responding(responses: impl IntoIterator<Item = ResponseTemplate, IntoIter: Send> + Send) -> MockServer {
    let server = MockServer::start().await;
    for response in responses {
        Mock::given(any()).respond_with(response).up_to_n_times(1).expect(1).mount(&server).await;
    }
    Mock::given(any()).respond_with(ResponseTemplate::new(418)).expect(0).named("one too many").mount(&server).await;
    server
}

fn json(status: u16, body: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_raw(body, "application/json")
}

fn page(status: u16) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_raw(HTML, "text/html; charset=utf-8")
}

fn redirect(status: u16, to: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).insert_header("location", to).set_body_bytes(HTML)
}

/// Matches a body that is this form, with `B` as its boundary.
fn form(expected: &'static str) -> impl Match {
    move |request: &Request| {
        let content_type = request.headers.get("content-type").and_then(|value| value.to_str().ok());
        content_type
            .and_then(|value| value.strip_prefix("multipart/form-data; boundary="))
            .is_some_and(|boundary| String::from_utf8_lossy(&request.body).replace(boundary, "B") == expected)
    }
}

/// Matches the query as it was sent, escapes and order included.
fn query(expected: Option<&'static str>) -> impl Match {
    move |request: &Request| request.url.query() == expected
}

fn without_header(name: &'static str) -> impl Match {
    move |request: &Request| !request.headers.contains_key(name)
}

fn key() -> FileRef {
    "drop:fileio:KEYcanary123".parse().unwrap()
}

fn hello() -> Upload {
    Upload::new("report.txt", "hello world")
}

fn kind_and_effect(error: &Error) -> (ErrorKind, Effect) {
    (error.kind(), error.effect())
}

fn changed(from: &str, to: &str) -> String {
    assert!(STORED.contains(from), "{from}");
    STORED.replace(from, to)
}
