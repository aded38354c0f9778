//! Helpers of all tests: an emulator with an HTTP client, and shorthands for requests.

use std::time::Duration;

use filestore_emulator::{Emulator, FILEIO_API_KEY, FaultPlan, JournalEntry, Options};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

/// A running emulator with an HTTP client.
pub(crate) struct Service {
    pub(crate) emulator: Emulator,
    client: Client,
}

pub(crate) async fn service() -> Service {
    service_with(Options::default()).await
}

pub(crate) async fn service_with(options: Options) -> Service {
    Service {
        emulator: Emulator::start(options).await.unwrap(),
        client: Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap(),
    }
}

/// Starts an emulator with fault rules in TOML.
pub(crate) async fn service_with_faults(rules: &str) -> Service {
    let service = service().await;
    service.set_faults(rules);
    service
}

impl Service {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.emulator.url())
    }

    /// Returns the path and query of a URL of this emulator.
    pub(crate) fn path_of<'u>(&self, url: &'u str) -> &'u str {
        url.strip_prefix(self.emulator.url()).unwrap()
    }

    pub(crate) fn set_faults(&self, rules: &str) {
        self.emulator.set_faults(FaultPlan::from_toml(rules).unwrap());
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.url(path))
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    pub(crate) fn put(&self, path: &str) -> RequestBuilder {
        self.request(Method::PUT, path)
    }

    pub(crate) fn patch(&self, path: &str) -> RequestBuilder {
        self.request(Method::PATCH, path)
    }

    pub(crate) fn delete(&self, path: &str) -> RequestBuilder {
        self.request(Method::DELETE, path)
    }

    /// Uploads to file.io as the built-in account, with form fields.
    pub(crate) async fn upload(&self, name: &str, content: &[u8], fields: &[(&str, &str)]) -> Value {
        self.post("/").paid().form_file(name, content, fields).json_with(StatusCode::OK).await
    }

    /// Uploads to file.io without an account, and returns the path of the link.
    pub(crate) async fn share(&self, content: &[u8]) -> String {
        let file = self.post("/").form_file("report.txt", content, &[]).json_with(StatusCode::OK).await;
        file.path()
    }

    pub(crate) async fn status_of(&self, path: &str) -> StatusCode {
        self.get(path).response().await.status()
    }

    pub(crate) async fn content_of(&self, path: &str) -> Vec<u8> {
        let response = self.get(path).response().await;
        assert_eq!(response.status(), StatusCode::OK);
        response.bytes().await.unwrap().to_vec()
    }

    /// Returns the journal's entries of one operation.
    pub(crate) fn journaled(&self, operation: &str) -> Vec<JournalEntry> {
        let mut entries = self.emulator.journal();
        entries.retain(|entry| entry.operation == Some(operation));
        entries
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.emulator.addr()).await.unwrap()
    }

    /// Sends a raw request on a new connection, and reads until the connection ends.
    pub(crate) async fn raw(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).await.unwrap();
        String::from_utf8_lossy(&response).into_owned()
    }
}

pub(crate) trait RequestExt {
    /// Sets the API key of the built-in account, which is on the paid plan.
    fn paid(self) -> Self;
    fn form_file(self, name: &str, content: &[u8], fields: &[(&str, &str)]) -> Self;
    fn form_fields(self, fields: &[(&str, &str)]) -> Self;
    fn form_body(self, body: &[u8]) -> Self;
    fn typed_body(self, content_type: &str, body: &str) -> Self;
    async fn response(self) -> Response;
    /// Checks the status, and returns the JSON body.
    async fn json_with(self, status: StatusCode) -> Value;
}

const DISPOSITION: &str = "Content-Disposition: form-data; name=";

impl RequestExt for RequestBuilder {
    fn paid(self) -> Self {
        self.bearer_auth(FILEIO_API_KEY)
    }

    /// Sets a form as body, as the Python library `requests` writes it: the file first, without a type.
    fn form_file(self, name: &str, content: &[u8], fields: &[(&str, &str)]) -> Self {
        let head = format!("--B\r\n{DISPOSITION}\"file\"; filename=\"{name}\"\r\n\r\n");
        let body = [head.as_bytes(), content, b"\r\n", &field_parts(fields), b"--B--\r\n"];
        self.form_body(&body.concat())
    }

    fn form_fields(self, fields: &[(&str, &str)]) -> Self {
        self.form_body(&[&field_parts(fields), &b"--B--\r\n"[..]].concat())
    }

    /// Sets a raw multipart body with the boundary `B`.
    fn form_body(self, body: &[u8]) -> Self {
        self.header(CONTENT_TYPE, "multipart/form-data; boundary=B").body(body.to_vec())
    }

    fn typed_body(self, content_type: &str, body: &str) -> Self {
        self.header(CONTENT_TYPE, content_type).body(body.to_owned())
    }

    async fn response(self) -> Response {
        self.send().await.unwrap()
    }

    async fn json_with(self, status: StatusCode) -> Value {
        let response = self.response().await;
        let (got, text) = (response.status(), response.text().await.unwrap());
        assert_eq!(got, status, "{text}");
        serde_json::from_str(&text).unwrap()
    }
}

/// Returns the parts of form fields, with the boundary `B`.
fn field_parts(fields: &[(&str, &str)]) -> Vec<u8> {
    let parts = fields.iter().map(|(field, value)| format!("--B\r\n{DISPOSITION}\"{field}\"\r\n\r\n{value}\r\n"));
    parts.collect::<String>().into_bytes()
}

pub(crate) trait ValueExt {
    fn path(&self) -> String;
    fn time(&self, field: &str) -> jiff::Timestamp;
}

impl ValueExt for Value {
    /// Returns the path of the link of an uploaded file.
    fn path(&self) -> String {
        format!("/{}", self["key"].as_str().unwrap())
    }

    fn time(&self, field: &str) -> jiff::Timestamp {
        let text = self[field].as_str().unwrap();
        assert_eq!(text.len(), "2024-09-18T08:15:30.123Z".len(), "{text}");
        text.parse().unwrap()
    }
}
