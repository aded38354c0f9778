//! Every shape in which clients upload, and what they are answered.

use reqwest::StatusCode;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde_json::json;

use crate::support::{RequestExt, ResponseExt, ValueExt, service};

#[tokio::test]
async fn an_upload_is_answered_with_every_key_in_the_order_of_the_service() {
    let service = service().await;
    let request = service.post("/").form_file("report.txt", b"hello world", &[]);
    let text = request.send().await.unwrap().text().await.unwrap();
    let keys: Vec<_> =
        text.split(['{', ',']).filter_map(|pair| pair.split_once(':')).map(|(key, _)| key.trim_matches('"')).collect();
    assert_eq!(
        keys,
        [
            "success",
            "status",
            "id",
            "key",
            "path",
            "nodeType",
            "name",
            "title",
            "description",
            "size",
            "link",
            "private",
            "expires",
            "downloads",
            "maxDownloads",
            "autoDelete",
            "planId",
            "screeningStatus",
            "mimeType",
            "created",
            "modified",
        ]
    );
}

#[tokio::test]
async fn an_anonymous_upload_has_the_terms_of_the_free_plan() {
    let service = service().await;
    let file = service
        .post("/")
        .form_file("report.txt", b"hello world", &[])
        .send()
        .await
        .unwrap()
        .json_with(StatusCode::OK)
        .await;
    let key = file.key();
    assert!(key.len() == 12 && key.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    assert_eq!(file["link"], service.url(&format!("/{key}")));
    assert_eq!(file["size"], 11);
    assert_eq!(file["name"], "report.txt");
    assert_eq!(file["mimeType"], "text/plain");
    assert_eq!(file["downloads"], 0);
    assert_eq!(file["maxDownloads"], 1);
    assert_eq!(file["autoDelete"], true);
    assert_eq!(file["planId"], 0);
    assert_eq!(file["screeningStatus"], "pending");
    assert_eq!(file["created"], file["modified"]);
    let [created, expires] = ["created", "expires"].map(|field| {
        let text = file[field].as_str().unwrap();
        assert_eq!(text.len(), "2024-09-18T08:15:30.123Z".len());
        text.parse::<jiff::Timestamp>().unwrap()
    });
    assert_eq!(expires.duration_since(created).as_hours(), 14 * 24);
}
