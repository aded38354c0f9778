//! What every test needs: an emulator, a client, and uploads in one line.

use std::time::Duration;

use filestore_emulator::{Emulator, FILEIO_API_KEY, FaultPlan, JournalEntry, Options};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::Value;

pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

pub(crate) struct Service {
    pub(crate) emulator: Emulator,
    pub(crate) client: Client,
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

/// A service with the fault rules of a TOML text.
pub(crate) async fn service_with_faults(rules: &str) -> Service {
    let service = service().await;
    service.emulator.set_faults(FaultPlan::from_toml(rules).unwrap());
    service
}

impl Service {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.emulator.url())
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(self.url(path))
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(self.url(path))
    }

    pub(crate) fn patch(&self, path: &str) -> RequestBuilder {
        self.client.patch(self.url(path))
    }

    pub(crate) fn delete(&self, path: &str) -> RequestBuilder {
        self.client.delete(self.url(path))
    }

    /// Uploads as the built-in account, with the given fields.
    pub(crate) async fn upload(&self, name: &str, content: &[u8], fields: &[(&str, &str)]) -> Value {
        let request = self.post("/").paid().form_file(name, content, fields);
        request.send().await.unwrap().json_with(StatusCode::OK).await
    }

    /// Uploads without an account, and gives the key.
    pub(crate) async fn share(&self, content: &[u8]) -> String {
        let request = self.post("/").form_file("report.txt", content, &[]);
        let file = request.send().await.unwrap().json_with(StatusCode::OK).await;
        file.key()
    }

    pub(crate) async fn status_of(&self, path: &str) -> StatusCode {
        self.get(path).send().await.unwrap().status()
    }

    /// The journal's entries of one operation.
    pub(crate) fn journaled(&self, operation: &str) -> Vec<JournalEntry> {
        let mut entries = self.emulator.journal();
        entries.retain(|entry| entry.operation == Some(operation));
        entries
    }
}

pub(crate) trait RequestExt {
    fn paid(self) -> Self;
    fn form_file(self, name: &str, content: &[u8], fields: &[(&str, &str)]) -> Self;
    fn form_body(self, body: &[u8]) -> Self;
}

impl RequestExt for RequestBuilder {
    fn paid(self) -> Self {
        self.bearer_auth(FILEIO_API_KEY)
    }

    /// The form as `requests` writes it: the file first, without a type.
    fn form_file(self, name: &str, content: &[u8], fields: &[(&str, &str)]) -> Self {
        let disposition = "Content-Disposition: form-data; name=";
        let mut body = format!("--B\r\n{disposition}\"file\"; filename=\"{name}\"\r\n\r\n").into_bytes();
        body.extend_from_slice(content);
        for (field, value) in fields {
            body.extend(format!("\r\n--B\r\n{disposition}\"{field}\"\r\n\r\n{value}").bytes());
        }
        body.extend(b"\r\n--B--\r\n");
        self.form_body(&body)
    }

    /// A multipart body, written out, with the boundary `B`.
    fn form_body(self, body: &[u8]) -> Self {
        self.header(CONTENT_TYPE, "multipart/form-data; boundary=B").body(body.to_vec())
    }
}

pub(crate) trait ResponseExt {
    async fn json_with(self, status: StatusCode) -> Value;
}

impl ResponseExt for Response {
    async fn json_with(self, status: StatusCode) -> Value {
        let (got, text) = (self.status(), self.text().await.unwrap());
        assert_eq!(got, status, "{text}");
        serde_json::from_str(&text).unwrap()
    }
}

pub(crate) trait ValueExt {
    fn key(&self) -> String;
}

impl ValueExt for Value {
    fn key(&self) -> String {
        self["key"].as_str().unwrap().to_owned()
    }
}
