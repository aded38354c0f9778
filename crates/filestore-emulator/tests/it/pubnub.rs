//! Helpers of the PubNub tests: the three steps of an upload and the two of a download.

use filestore_emulator::{PUBNUB_PUBLISH_KEY, PUBNUB_SUBSCRIBE_KEY};
use reqwest::header::LOCATION;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::Value;

use crate::support::{RequestExt, Service};

/// The query with the user id, for requests that need one.
pub(crate) const ALICE: &str = "uuid=alice&pnsdk=Test%2F1.0";
/// The largest file, in bytes.
pub(crate) const MAX: usize = 5_242_880;

/// An upload form in a response of the service.
#[derive(Clone)]
pub(crate) struct Form {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) fields: Vec<(String, String)>,
}

impl Form {
    pub(crate) fn of(response: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let fields = response["file_upload_request"]["form_fields"].as_array().unwrap();
        Form {
            id: text(&response["data"]["id"]),
            name: text(&response["data"]["name"]),
            fields: fields.iter().map(|field| (text(&field["key"]), text(&field["value"]))).collect(),
        }
    }

    pub(crate) fn field(&self, name: &str) -> &str {
        &self.fields.iter().find(|(field, _)| field == name).unwrap().1
    }

    /// Returns the form with one field changed or added.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        match self.fields.iter_mut().find(|(field, _)| field == name) {
            Some(field) => field.1 = value.to_owned(),
            None => self.fields.push((name.to_owned(), value.to_owned())),
        }
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(field, _)| field != name);
        self
    }

    /// Returns the body of a post, fields first and the file last, with the boundary `B`.
    pub(crate) fn body(&self, content: &[u8]) -> Vec<u8> {
        [&self.field_parts()[..], &file_part(content), b"--B--\r\n"].concat()
    }

    pub(crate) fn field_parts(&self) -> Vec<u8> {
        let part = |(name, value): &(String, String)| {
            format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        self.fields.iter().map(part).collect::<String>().into_bytes()
    }
}

pub(crate) fn file_part(content: &[u8]) -> Vec<u8> {
    let head =
        "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\nContent-Type: text/plain\r\n\r\n";
    [head.as_bytes(), content, b"\r\n"].concat()
}

/// Returns the path of a channel's operations.
pub(crate) fn channel(channel: &str) -> String {
    format!("/v1/files/{PUBNUB_SUBSCRIBE_KEY}/channels/{channel}")
}

impl Service {
    pub(crate) fn request_form(&self, in_channel: &str, body: &str) -> RequestBuilder {
        let path = format!("{}/generate-upload-url?{ALICE}", channel(in_channel));
        self.post(&path).typed_body("application/json", body)
    }

    pub(crate) async fn form(&self, in_channel: &str, name: &str) -> Form {
        let body = serde_json::json!({ "name": name }).to_string();
        Form::of(&self.request_form(in_channel, &body).json_with(StatusCode::OK).await)
    }

    pub(crate) fn post_form(&self, form: &Form, content: &[u8]) -> RequestBuilder {
        self.post("/_storage/pubnub/").form_body(&form.body(content))
    }

    /// Stores a file, without publishing a message about it, and returns the form.
    pub(crate) async fn stored(&self, in_channel: &str, name: &str, content: &[u8]) -> Form {
        let form = self.form(in_channel, name).await;
        let response = self.post_form(&form, content).response().await;
        assert_eq!(response.status(), StatusCode::NO_CONTENT, "{}", response.text().await.unwrap());
        form
    }

    pub(crate) async fn list_files(&self, in_channel: &str, query: &str) -> Value {
        self.get(&format!("{}/files?{ALICE}{query}", channel(in_channel))).json_with(StatusCode::OK).await
    }

    pub(crate) async fn ids(&self, in_channel: &str) -> Vec<String> {
        let list = self.list_files(in_channel, "").await;
        list["data"].as_array().unwrap().iter().map(|file| file["id"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn request_url(&self, in_channel: &str, id: &str, name: &str) -> RequestBuilder {
        self.get(&format!("{}/files/{id}/{name}?{ALICE}", channel(in_channel)))
    }

    /// Returns the path and query of the presigned URL of a file.
    pub(crate) async fn presigned_url(&self, in_channel: &str, id: &str, name: &str) -> String {
        let response = self.request_url(in_channel, id, name).response().await;
        assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT);
        let location = response.headers()[LOCATION].to_str().unwrap();
        location.strip_prefix(self.emulator.url()).unwrap().to_owned()
    }

    pub(crate) fn publish(&self, in_channel: &str, payload: &str, query: &str) -> RequestBuilder {
        let keys = format!("{PUBNUB_PUBLISH_KEY}/{PUBNUB_SUBSCRIBE_KEY}");
        self.get(&format!("/v1/files/publish-file/{keys}/0/{in_channel}/0/{payload}?{ALICE}{query}"))
    }

    /// Publishes a message, and returns its timetoken.
    pub(crate) async fn published(&self, in_channel: &str, payload: &str, query: &str) -> String {
        let response = self.publish(in_channel, payload, query).json_with(StatusCode::OK).await;
        assert_eq!((&response[0], &response[1]), (&Value::from(1), &Value::from("Sent")));
        response[2].as_str().unwrap().to_owned()
    }

    pub(crate) async fn history(&self, in_channel: &str, query: &str) -> Value {
        let path = format!("/v3/history/sub-key/{PUBNUB_SUBSCRIBE_KEY}/channel/{in_channel}?{ALICE}{query}");
        self.get(&path).json_with(StatusCode::OK).await
    }

    pub(crate) async fn subscribe(&self, channels: &str, query: &str) -> Value {
        let path = format!("/v2/subscribe/{PUBNUB_SUBSCRIBE_KEY}/{channels}/0?{ALICE}{query}");
        self.get(&path).json_with(StatusCode::OK).await
    }
}

/// Checks the status of a response of the storage, and returns the code and the text of its XML error.
pub(crate) async fn storage_error(response: Response, status: u16) -> (String, String) {
    let (got, text) = (response.status(), response.text().await.unwrap());
    assert_eq!(got.as_u16(), status, "{text}");
    assert!(text.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>"), "{text}");
    let element = |name: &str| text.split(&format!("<{name}>")).nth(1).unwrap().split('<').next().unwrap().to_owned();
    (element("Code"), text)
}

pub(crate) fn code_of(rejected: (String, String)) -> String {
    rejected.0
}
