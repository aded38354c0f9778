//! A site with its storage, reduced to what transfers need, with faults that a test sets.

use filestore_core::hex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use filestore_http::testing::TestClock;
use md5::{Digest as _, Md5};
use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use super::{API_KEY, describe, not_found, open, rejection, response};
use crate::{FilesComConfig, FilesComStore};

/// The queries of presigned URLs. The clock of the tests starts at 10:00.
const PART_QUERY: &str = "X-Amz-Date=20260301T100000Z&X-Amz-Expires=900&X-Amz-Signature=SIGcanary";
const CONTENT_QUERY: &str = "X-Amz-Date=20260301T100000Z&X-Amz-Expires=60&X-Amz-Signature=SIGcanary";

pub(super) struct Site {
    server: MockServer,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
pub(super) struct State {
    /// The parts of each multipart upload.
    pub(super) uploads: Vec<BTreeMap<u32, Vec<u8>>>,
    pub(super) files: BTreeMap<String, File>,
    faults: VecDeque<Fault>,
    log: Vec<String>,
    limits: Value,
    server: String,
    /// The fields to add to the target of each part.
    pub(super) target: Value,
    /// `true` if digests are known at once.
    pub(super) digests: bool,
    pub(super) finish_checks_tags: bool,
    pub(super) storage_etag: Option<&'static str>,
    /// The time of the service.
    pub(super) date: &'static str,
    versions: u32,
}

#[derive(Clone)]
pub(super) struct File {
    pub(super) content: Vec<u8>,
    provided_mtime: Value,
    metadata: Value,
    version: u32,
}

struct Fault {
    request: &'static str,
    times: usize,
    action: FaultAction,
}

pub(super) enum FaultAction {
    /// Sends this response and does not execute the request.
    Respond(ResponseTemplate),
    /// Executes the request, but sends this response.
    ServeThenRespond(ResponseTemplate),
    /// Changes the site, then executes the request.
    ChangeThenServe(Box<dyn Fn(&mut State) + Send>),
}

impl Site {
    /// Starts a site whose storage accepts parts of at most `part` bytes.
    pub(super) async fn with_parts_of(part: u64) -> Self {
        let limits = json!({"min_nonfinal_bytes": 1, "max_part_bytes": part, "max_parts": 10_000, "max_file_bytes": 1_u64 << 40});
        // A new server, not one of the pool: requests that a test leaves behind must not reach the next test.
        let server = MockServer::builder().start().await;
        let state = State {
            limits,
            server: server.uri(),
            target: json!({}),
            storage_etag: Some("v"),
            date: "Sun, 01 Mar 2026 10:00:00 GMT",
            finish_checks_tags: true,
            ..State::default()
        };
        let state = Arc::new(Mutex::new(state));
        Mock::given(any()).respond_with(Responder(Arc::clone(&state))).mount(&server).await;
        Self { server, state }
    }

    pub(super) fn store(&self) -> FilesComStore {
        self.open(|config| config).0
    }

    pub(super) fn open(&self, with: impl FnOnce(FilesComConfig) -> FilesComConfig) -> (FilesComStore, Arc<TestClock>) {
        open(with(FilesComConfig::new(self.server.uri()).api_key(API_KEY)))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Applies `action` to the next request whose line begins with `request`.
    pub(super) fn fault(&self, request: &'static str, action: FaultAction) {
        self.faults(1, request, action);
    }

    pub(super) fn faults(&self, times: usize, request: &'static str, action: FaultAction) {
        self.state().faults.push_back(Fault { request, times, action });
    }

    /// Returns the requests so far, without queries.
    pub(super) fn log(&self) -> Vec<String> {
        self.state().log.clone()
    }

    pub(super) fn url(&self) -> String {
        self.server.uri()
    }

    pub(super) async fn requests(&self) -> Vec<Request> {
        self.server.received_requests().await.unwrap()
    }

    pub(super) fn count(&self, begin: &str) -> usize {
        self.log().iter().filter(|line| line.starts_with(begin)).count()
    }

    /// Returns the number of multipart uploads that were begun.
    pub(super) fn uploads(&self) -> usize {
        self.state().uploads.len()
    }

    pub(super) fn files(&self) -> Vec<String> {
        self.state().files.keys().cloned().collect()
    }

    pub(super) fn content(&self, path: &str) -> Option<Vec<u8>> {
        self.state().files.get(path).map(|file| file.content.clone())
    }

    pub(super) fn put(&self, path: &str, content: impl Into<Vec<u8>>) {
        self.state().replace(path, content.into());
    }
}

pub(super) fn expired() -> ResponseTemplate {
    xml(403, "AccessDenied", "Request has expired")
}

pub(super) fn xml(status: u16, code: &str, message: &str) -> ResponseTemplate {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>");
    ResponseTemplate::new(status).set_body_raw(body, "application/xml")
}

struct Responder(Arc<Mutex<State>>);

impl Respond for Responder {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let mut state = self.0.lock().unwrap();
        let line = describe(request);
        let line = line.split_once('?').map_or(line.as_str(), |(line, _)| line).to_owned();
        let line = if request.method == "PUT" { line.split(' ').take(2).collect::<Vec<_>>().join(" ") } else { line };
        state.log.push(line.clone());
        assert!(
            line.contains("storage/") != request.headers.contains_key("x-filesapi-key"),
            "the credential is sent to the API only: {line}"
        );
        let fault = state.faults.iter_mut().position(|fault| fault.times > 0 && line.starts_with(fault.request));
        if let Some(at) = fault {
            let mut fault = state.faults.remove(at).unwrap();
            fault.times -= 1;
            let response = match &fault.action {
                FaultAction::Respond(response) => Some(response.clone()),
                FaultAction::ServeThenRespond(response) => {
                    state.serve(request);
                    Some(response.clone())
                }
                FaultAction::ChangeThenServe(change) => {
                    change(&mut state);
                    None
                }
            };
            state.faults.push_front(fault);
            if let Some(response) = response {
                return response;
            }
        }
        state.serve(request)
    }
}

impl State {
    fn serve(&mut self, request: &Request) -> ResponseTemplate {
        let path = request.url.path().to_owned();
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let of = |prefix: &str| path.strip_prefix(prefix).map(str::to_owned);
        match request.method.as_str() {
            "POST" if let Some(path) = of("/api/rest/v1/file_actions/begin_upload/") => self.begin(&path, &body),
            "POST" if let Some(path) = of("/api/rest/v1/files/") => self.finish(&path, &body),
            "POST" if let Some(path) = of("/api/rest/v1/file_actions/move/") => self.rename(&path, &body),
            "PATCH" if let Some(path) = of("/api/rest/v1/files/") => self.update(&path, &body),
            "DELETE" if let Some(path) = of("/api/rest/v1/files/") => {
                self.files.remove(&path).map_or_else(not_found, |_| ResponseTemplate::new(204))
            }
            "GET" if let Some(path) = of("/api/rest/v1/file_actions/metadata/") => {
                self.entry(&path, self.digests).map_or_else(not_found, |entry| response(200, &entry))
            }
            "GET" if let Some(path) = of("/api/rest/v1/files/") => self.download_uri(&path),
            "GET" if path == "/api/rest/v1/folders" => response(200, &json!([])),
            "PUT" if let Some(part) = of("/storage/up/") => self.part(&part, request),
            "GET" if let Some(path) = of("/storage/down/") => self.content(&path, request),
            _ => ResponseTemplate::new(418),
        }
    }

    fn begin(&mut self, path: &str, body: &Value) -> ResponseTemplate {
        let (upload, first) = match body["ref"].as_str() {
            None => {
                self.uploads.push(BTreeMap::new());
                (self.uploads.len(), 1)
            }
            Some(reference) => match reference[4..].parse::<usize>().unwrap() {
                known if known <= self.uploads.len() => (known, body["part"].as_u64().unwrap()),
                _ => return rejection(404, "not-found/file-upload-not-found"),
            },
        };
        let parts = (first..).take(usize::try_from(body["parts"].as_u64().unwrap_or(1)).unwrap()).map(|part| {
            let mut target = json!({"ref": format!("put-{upload}"), "part_number": part, "partsize": 5, "path": path,
                "upload_uri": format!("{}/storage/up/{upload}/{part}?{PART_QUERY}", self.server), "http_method": "PUT",
                "headers": {}, "parameters": {}, "parallel_parts": true, "available_parts": 10_000,
                "expires": "2026-03-01T10:15:00Z", "variable_part_limits": self.limits});
            target.as_object_mut().unwrap().extend(self.target.as_object().unwrap().clone());
            target
        });
        response(200, &parts.collect())
    }

    fn part(&mut self, part: &str, request: &Request) -> ResponseTemplate {
        let (upload, number) = part.split_once('/').unwrap();
        assert_eq!(request.headers["content-length"], request.body.len().to_string().as_str());
        let etag = format!("\"{}\"", hex(&Md5::digest(&request.body)));
        let parts = &mut self.uploads[upload.parse::<usize>().unwrap() - 1];
        parts.insert(number.parse().unwrap(), request.body.clone());
        ResponseTemplate::new(200).insert_header("etag", etag)
    }

    fn finish(&mut self, path: &str, body: &Value) -> ResponseTemplate {
        assert_eq!(body["action"], "end");
        let upload = body["ref"].as_str().unwrap()[4..].parse::<usize>().unwrap() - 1;
        let parts = std::mem::take(&mut self.uploads[upload]);
        if parts.is_empty() {
            return rejection(404, "not-found/file-upload-not-found");
        }
        for tag in body["etags"].as_array().into_iter().flatten() {
            let number = u32::try_from(tag["part"].as_u64().unwrap()).unwrap();
            if !self.finish_checks_tags {
                break;
            }
            assert_eq!(tag["etag"], hex(&Md5::digest(&parts[&number])).as_str());
        }
        let content: Vec<u8> = parts.into_values().flatten().collect();
        assert_eq!(body["size"], content.len());
        let replaced = self.files.contains_key(path);
        self.store(path, content, body["provided_mtime"].clone(), body["custom_metadata"].clone());
        response(if replaced { 200 } else { 201 }, &self.entry(path, false).unwrap())
    }

    fn store(&mut self, path: &str, content: Vec<u8>, provided_mtime: Value, metadata: Value) {
        self.versions += 1;
        let file = File { content, provided_mtime, metadata, version: self.versions };
        self.files.insert(path.to_owned(), file);
    }

    pub(super) fn replace(&mut self, path: &str, content: Vec<u8>) {
        self.store(path, content, Value::Null, json!({}));
    }

    fn rename(&mut self, path: &str, body: &Value) -> ResponseTemplate {
        let destination = body["destination"].as_str().unwrap();
        if self.files.contains_key(destination) {
            return rejection(422, "processing-failure/destination-exists");
        }
        let Some(file) = self.files.remove(path) else { return not_found() };
        self.files.insert(destination.to_owned(), file);
        response(201, &json!({"status": "completed"}))
    }

    fn update(&mut self, path: &str, body: &Value) -> ResponseTemplate {
        let Some(file) = self.files.get_mut(path) else { return not_found() };
        if !body["custom_metadata"].is_null() {
            file.metadata = body["custom_metadata"].clone();
        }
        if !body["provided_mtime"].is_null() {
            file.provided_mtime = body["provided_mtime"].clone();
        }
        response(200, &self.entry(path, false).unwrap())
    }

    pub(super) fn entry(&self, path: &str, digests: bool) -> Option<Value> {
        let file = self.files.get(path)?;
        let digest = |hex: String| if digests { json!(hex) } else { Value::Null };
        let time = format!("2026-03-01T10:00:{:02}Z", file.version);
        Some(json!({"path": path, "display_name": path, "type": "file", "size": file.content.len(), "created_at": time,
            "mtime": time, "provided_mtime": file.provided_mtime, "custom_metadata": file.metadata,
            "crc32": digest(format!("{:x}", crc32fast::hash(&file.content))), "md5": digest(hex(&Md5::digest(&file.content))),
            "mime_type": "application/octet-stream"}))
    }

    fn download_uri(&mut self, path: &str) -> ResponseTemplate {
        let Some(mut entry) = self.entry(path, self.digests) else { return not_found() };
        entry["download_uri"] = json!(format!("{}/storage/down/{path}?{CONTENT_QUERY}{}", self.server, self.log.len()));
        response(200, &entry).insert_header("date", self.date)
    }

    fn content(&self, path: &str, request: &Request) -> ResponseTemplate {
        let Some(file) = self.files.get(path) else { return xml(404, "NoSuchKey", "gone") };
        let size = file.content.len();
        let range = request.headers.get("range").map(|range| {
            let (first, last) = range.to_str().unwrap().trim_start_matches("bytes=").split_once('-').unwrap();
            first.parse::<usize>().unwrap()..last.parse::<usize>().unwrap() + 1
        });
        let response = match range {
            None => ResponseTemplate::new(200).set_body_bytes(file.content.clone()),
            Some(range) => ResponseTemplate::new(206)
                .insert_header("content-range", format!("bytes {}-{}/{size}", range.start, range.end - 1))
                .set_body_bytes(&file.content[range]),
        };
        match self.storage_etag {
            Some(etag) => response.insert_header("etag", format!("\"{etag}{}-1\"", file.version)),
            None => response,
        }
    }
}
