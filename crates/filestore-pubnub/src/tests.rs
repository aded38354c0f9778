//! Tests of the store against two scripted servers: the service, and its storage on another port.

mod download;
mod list;
mod message;
mod rejections;
mod secrets;
mod settings;
mod upload;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use filestore_core::{Effect, Error, ErrorKind, FileRef, hex};
use filestore_http::testing::{Received, Reply, ScriptedServer, TestClock};
use md5::{Digest, Md5};

use crate::{PubNubConfig, PubNubStore};

const ID: &str = "6b1c6c2e-6f0a-4d0e-9a54-0f2f4a3b7c11";
const TIMETOKEN: &str = "17464660045724883";
const PUBLISHED: &str = r#"[1,"SentFile","17464660045724883"]"#;

fn config(service: &ScriptedServer) -> PubNubConfig {
    PubNubConfig::new("pub-c-canary", "sub-c-canary", "alice").base_url(service.url()).channel("room-1")
}

fn open(config: PubNubConfig) -> PubNubStore {
    PubNubStore::with_clock(config, TestClock::new()).unwrap()
}

/// Starts a service that responds with `script`, and creates a store over it.
async fn store(script: impl IntoIterator<Item = Reply>) -> (ScriptedServer, PubNubStore) {
    let service = ScriptedServer::start(script).await;
    let store = open(config(&service));
    (service, store)
}

/// A recorded response of `generate-upload-url`, with the URL of the form changed to `storage`.
fn form_of(storage: &ScriptedServer, id: &str, max_size: u64) -> Reply {
    let policy = format!(
        "{{\n\t\"expiration\": \"2026-03-01T10:01:00Z\",\n\t\"conditions\": [\n\t\t{{\"bucket\": \"b\"}},\n\t\t[\"content-length-range\", 0, {max_size}]\n\t]\n}}\n"
    );
    Reply::json(
        200,
        &format!(
            r#"{{"status":200,"data":{{"id":"{id}","name":"cat.txt"}},"file_upload_request":{{"url":"{}","method":"POST","expiration_date":"2026-03-01T10:01:00Z","form_fields":[{{"key":"tagging","value":"\u003cTagging\u003e"}},{{"key":"key","value":"sub/H/{id}/cat.txt"}},{{"key":"Content-Type","value":"text/plain; charset=utf-8"}},{{"key":"X-Amz-Security-Token","value":""}},{{"key":"Policy","value":"{}"}},{{"key":"X-Amz-Signature","value":"SIGcanary"}}]}}}}"#,
            storage.url(),
            STANDARD.encode(policy)
        ),
    )
}

fn form(storage: &ScriptedServer) -> Reply {
    form_of(storage, ID, 5_242_880)
}

fn md5(content: &[u8]) -> String {
    hex(&Md5::digest(content))
}

/// The response of the storage after it has stored `content`.
fn stored(content: &[u8]) -> Reply {
    let expiration = "x-amz-expiration: expiry-date=\"Tue, 03 Mar 2026 00:00:00 GMT\", rule-id=\"1 day\"";
    Reply::with_status(204, &[&format!("ETag: \"{}\"", md5(content)), expiration], "")
}

/// The response of the storage after it has stored the content of the request.
fn stored_as_sent() -> Reply {
    Reply::To(|request| parts(request).last().map_or_else(Reply::lost, |(_, content)| stored(content)))
}

fn published() -> Reply {
    Reply::json(200, PUBLISHED)
}

/// The redirect to a presigned URL of `storage`, which expires `seconds` after 10:00.
fn redirect(storage: &ScriptedServer, seconds: u32) -> Reply {
    let url = storage.url();
    let location = format!(
        "Location: {url}sub/H/{ID}/cat.txt?X-Amz-Date=20260301T100000Z&X-Amz-Expires={seconds}&X-Amz-Signature=SIGcanary"
    );
    Reply::with_status(307, &[&location, "Cache-Control: public, max-age=803, immutable"], "")
}

/// The response of the storage with the whole `content`.
fn whole(content: &[u8]) -> Reply {
    Reply::with_status(200, &["Content-Type: text/plain", &format!("ETag: \"{}\"", md5(content))], content)
}

fn xml(status: u16, code: &str, message: &str) -> Reply {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message><RequestId>4442587FB7D0A2F9</RequestId><HostId>h</HostId></Error>"
    );
    Reply::with_status(status, &["Content-Type: application/xml"], body)
}

fn expired() -> Reply {
    xml(403, "AccessDenied", "Invalid according to Policy: Policy expired.")
}

fn file() -> FileRef {
    format!("s:pubnub:room-1/{ID}/cat.txt").parse().unwrap()
}

/// The request lines, without the HTTP version.
fn lines(requests: &[Received]) -> Vec<String> {
    let line = |request: &Received| request.head.lines().next().unwrap_or_default().to_owned();
    requests.iter().map(|request| line(request).replace(" HTTP/1.1", "")).collect()
}

/// The method and path of each request.
fn paths(server: &ScriptedServer) -> Vec<String> {
    lines(&server.requests()).iter().map(|line| line.split('?').next().unwrap_or_default().to_owned()).collect()
}

/// The parts of a form, as name and content.
fn parts(request: &Received) -> Vec<(String, Vec<u8>)> {
    let boundary = request.header("content-type").unwrap().strip_prefix("multipart/form-data; boundary=").unwrap();
    let (delimiter, body) = (format!("\r\n--{boundary}"), [b"\r\n", &request.body[..]].concat());
    let starts: Vec<_> = (0..body.len()).filter(|at| body[*at..].starts_with(delimiter.as_bytes())).collect();
    let part = |pair: &[usize]| {
        let part = &body[pair[0] + delimiter.len() + 2..pair[1]];
        let end = part.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(part[..end].to_vec()).unwrap();
        let name = head.split('"').nth(1).unwrap().to_owned();
        (name, part[end + 4..].to_vec())
    };
    starts.windows(2).map(part).collect()
}

fn kind_and_effect(error: &Error) -> (ErrorKind, Effect) {
    (error.kind(), error.effect())
}
