//! Tests of the emulated Files.com through its API, with their helpers.

mod access;
mod downloads;
mod durability;
mod entries;
mod lists;
mod transfers;
mod uploads;

use filestore_emulator::{FILESCOM_API_KEY, Options};
use reqwest::header::{CONTENT_LENGTH, ETAG};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use crate::support::{RequestExt, Service, service_with};

pub(crate) const MIB: usize = 1024 * 1024;

/// An emulated Files.com site, with requests of one user.
pub(crate) struct EmulatedSite {
    pub(crate) service: Service,
    pub(crate) key: String,
}

pub(crate) async fn emulated() -> EmulatedSite {
    site_with(Options::default()).await
}

pub(crate) async fn site_with(options: Options) -> EmulatedSite {
    EmulatedSite { service: service_with(options).await, key: FILESCOM_API_KEY.to_owned() }
}

pub(crate) async fn site_with_faults(rules: &str) -> EmulatedSite {
    let site = emulated().await;
    site.service.set_faults(rules);
    site
}

impl EmulatedSite {
    /// Returns a request to the API with the key.
    pub(crate) fn api(&self, method: Method, path: &str) -> RequestBuilder {
        self.open(method, path).header("X-FilesAPI-Key", &self.key)
    }

    /// Returns a request to the API without credentials.
    pub(crate) fn open(&self, method: Method, path: &str) -> RequestBuilder {
        self.service.request(method, &format!("/api/rest/v1{path}"))
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.api(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.api(Method::POST, path).json(body)
    }

    pub(crate) async fn set(&self, settings: Value) {
        self.service.put("/_emulator/filescom/settings").json(&settings).json_with(StatusCode::OK).await;
    }

    pub(crate) async fn begin(&self, path: &str, body: Value) -> Vec<Value> {
        let parts = self.post(&format!("/file_actions/begin_upload/{path}"), &body).json_with(StatusCode::OK).await;
        parts.as_array().unwrap().clone()
    }

    /// Puts a part, and returns its ETag.
    pub(crate) async fn put(&self, part: &Value, content: &[u8]) -> String {
        let response = self.put_raw(part, content).await;
        assert_eq!(response.status(), StatusCode::OK);
        response.headers()[ETAG].to_str().unwrap().trim_matches('"').to_owned()
    }

    pub(crate) async fn put_raw(&self, part: &Value, content: &[u8]) -> Response {
        let url = part["upload_uri"].as_str().unwrap();
        let put = self.service.put(self.service.path_of(url)).header(CONTENT_LENGTH, content.len());
        put.body(content.to_vec()).response().await
    }

    pub(crate) fn finish(&self, path: &str, body: &Value) -> RequestBuilder {
        let mut body = body.clone();
        body["action"] = json!("end");
        self.post(&format!("/files/{path}"), &body)
    }

    /// Uploads a file in one part, creates its parents, and returns the entity.
    pub(crate) async fn upload(&self, path: &str, content: &[u8]) -> Value {
        let parts = self.begin(path, json!({"mkdir_parents": true})).await;
        let etag = self.put(&parts[0], content).await;
        let body = json!({"ref": parts[0]["ref"], "etags": [{"etag": etag, "part": 1}], "size": content.len()});
        let response = self.finish(path, &body).response().await;
        assert!(response.status().is_success(), "{}", response.status());
        response.json().await.unwrap()
    }

    pub(crate) async fn mkdir(&self, path: &str) -> Value {
        self.post(&format!("/folders/{path}"), &json!({"mkdir_parents": true})).json_with(StatusCode::CREATED).await
    }

    pub(crate) async fn stat(&self, path: &str) -> Value {
        self.get(&format!("/file_actions/metadata/{path}")).json_with(StatusCode::OK).await
    }

    pub(crate) async fn is_there(&self, path: &str) -> bool {
        self.get(&format!("/file_actions/metadata/{path}")).response().await.status() == StatusCode::OK
    }

    pub(crate) async fn download_uri(&self, path: &str) -> String {
        let entity = self.get(&format!("/files/{path}")).json_with(StatusCode::OK).await;
        entity["download_uri"].as_str().unwrap().to_owned()
    }

    /// Returns a request to a storage URL, without credentials.
    pub(crate) fn storage(&self, url: &str) -> RequestBuilder {
        self.service.get(self.service.path_of(url))
    }

    pub(crate) async fn content(&self, path: &str) -> Vec<u8> {
        let response = self.storage(&self.download_uri(path).await).response().await;
        assert_eq!(response.status(), StatusCode::OK);
        response.bytes().await.unwrap().to_vec()
    }

    /// Returns the paths in a list.
    pub(crate) async fn list(&self, path: &str) -> Vec<String> {
        let entities = self.get(&format!("/folders/{path}")).json_with(StatusCode::OK).await;
        let path = |entity: &Value| entity["path"].as_str().unwrap().to_owned();
        entities.as_array().unwrap().iter().map(path).collect()
    }
}

pub(crate) trait Rejected {
    /// Checks that the response is an error of the API with this status, and returns its type.
    async fn rejected(self, status: u16) -> String;
}

impl Rejected for RequestBuilder {
    async fn rejected(self, status: u16) -> String {
        let response = self.response().await;
        let headers = response.headers().clone();
        let (got, text) = (response.status().as_u16(), response.text().await.unwrap());
        assert_eq!(got, status, "{text}");
        let error: Value = serde_json::from_str(&text).unwrap();
        let kind = error["type"].as_str().unwrap();
        assert_eq!(error["http-code"], status);
        assert_eq!(error["instance"], headers["x-request-id"].to_str().unwrap());
        assert_eq!(headers["x-files-error-class"], kind);
        assert_eq!(headers["content-type"], "application/json");
        kind.to_owned()
    }
}
