//! Tests of the whole store: requests and responses against mocks that match and count, broken connections against a
//! server that follows a script.

mod broken;
mod download;
mod folders;

mod copy_move;
mod list;
mod reader;
mod search;
mod sessions;
mod settings;
mod share;
mod site;
mod unconfirmed;
mod untrusted;
mod update;
mod upload;
mod writer;

use std::sync::{Arc, LazyLock};

use filestore_core::{Effect, Error, ErrorKind, FileRef, Timestamp};
use filestore_http::testing::{TestClock, Traces};
use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Match, Mock, MockServer, Request, ResponseTemplate};

use crate::{FilesComConfig, FilesComStore};

const API_KEY: &str = "APIcanary0123456789";

/// The traces of all tests of this process, from the first use on.
static TRACES: LazyLock<Traces> = LazyLock::new(Traces::of_this_process);

fn store(server: &MockServer) -> FilesComStore {
    open(FilesComConfig::new(server.uri()).api_key(API_KEY)).0
}

fn open(config: FilesComConfig) -> (FilesComStore, Arc<TestClock>) {
    let clock = TestClock::new();
    (FilesComStore::with_clock(config, Arc::clone(&clock) as _).unwrap(), clock)
}

/// Starts a service that sends these responses in order and expects no further request.
async fn server_with(responses: impl IntoIterator<Item = ResponseTemplate, IntoIter: Send> + Send) -> MockServer {
    let server = MockServer::start().await;
    for response in responses {
        Mock::given(any()).respond_with(response).up_to_n_times(1).expect(1).mount(&server).await;
    }
    Mock::given(any()).respond_with(ResponseTemplate::new(418)).expect(0).named("one too many").mount(&server).await;
    server
}

/// Returns the received requests: method, path and body.
async fn received(server: &MockServer) -> Vec<String> {
    let requests = server.received_requests().await.unwrap();
    requests.iter().map(describe).collect()
}

fn describe(request: &Request) -> String {
    let query = request.url.query().map(|query| format!("?{query}")).unwrap_or_default();
    let path = request.url.path().trim_start_matches("/api/rest/v1/");
    format!("{} {path}{query} {}", request.method, String::from_utf8_lossy(&request.body)).trim_end().to_owned()
}

fn response(status: u16, body: &Value) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(body)
}

fn no_content() -> ResponseTemplate {
    ResponseTemplate::new(204)
}

/// Returns a rejection in the format of the service.
fn rejection(status: u16, type_name: &str) -> ResponseTemplate {
    let body = json!({"error": "A sentence of the service.", "http-code": status, "instance": "0123456789abcdef",
        "title": "Title", "type": type_name});
    response(status, &body).insert_header("x-files-error-class", type_name)
}

fn not_found() -> ResponseTemplate {
    rejection(404, "not-found")
}

fn file(path: &str) -> Value {
    json!({"path": path, "type": "file", "size": 9, "md5": "0123456789abcdef0123456789abcdef", "crc32": "1f2e3d",
        "mtime": "2026-03-01T10:00:00Z", "created_at": "2026-03-01T10:00:00Z", "provided_mtime": null,
        "custom_metadata": {}, "mime_type": "text/plain", "permissions": "lrwd"})
}

fn folder(path: &str) -> Value {
    json!({"path": path, "type": "directory", "size": null, "mtime": "2026-03-01T10:00:00Z", "permissions": "lrwd"})
}

fn with_header(name: &'static str, value: Option<&'static str>) -> impl Match {
    move |request: &Request| request.headers.get(name).map(|value| value.to_str().unwrap()) == value
}

fn reference(path: &str) -> FileRef {
    format!("team:filescom:{path}").parse().unwrap()
}

fn kind_and_effect(error: &Error) -> (ErrorKind, Effect) {
    (error.kind(), error.effect())
}
