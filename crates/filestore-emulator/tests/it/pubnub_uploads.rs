//! The first two steps of an upload to PubNub: requesting a form, and posting a file with it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, ETAG, LOCATION};
use serde_json::{Value, json};

use crate::pubnub::{ALICE, MAX, channel, code_of, file_part, storage_error};
use crate::support::{DAY, RequestExt, service};

#[tokio::test]
async fn a_form_has_the_fields_of_the_service_in_its_order() {
    let service = service().await;
    let response = service.request_form("room-1", r#"{"name": "cat.txt"}"#).json_with(StatusCode::OK).await;
    let keys: Vec<_> = response.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["data", "file_upload_request", "status"]);
    let request = &response["file_upload_request"];
    assert_eq!(request["method"], "POST");
    assert_eq!(request["url"], service.url("/_storage/pubnub/"));
    let id = response["data"]["id"].as_str().unwrap();
    let fields = request["form_fields"].as_array().unwrap();
    let keys: Vec<_> = fields.iter().map(|field| field["key"].as_str().unwrap()).collect();
    assert_eq!(
        keys,
        [
            "tagging",
            "key",
            "Content-Type",
            "X-Amz-Credential",
            "X-Amz-Security-Token",
            "X-Amz-Algorithm",
            "X-Amz-Date",
            "Policy",
            "X-Amz-Signature"
        ]
    );
    let object = format!("sub-c-emulator/LLXd9BAVD9_zPg0oQKBIH4KlMwOITG9hbfSBA-Z7x0s/{id}/cat.txt");
    assert_eq!(fields[1]["value"], object);
    assert_eq!(fields[2]["value"], "text/plain; charset=utf-8");
    assert_eq!(fields[4]["value"], "");
    let end: String = request["expiration_date"].as_str().unwrap().replace(['-', ':'], "");
    assert_eq!(fields[6]["value"], end, "X-Amz-Date is the expiration date of the form");
    let policy: Value =
        serde_json::from_slice(&STANDARD.decode(fields[7]["value"].as_str().unwrap()).unwrap()).unwrap();
    assert_eq!(policy["expiration"], request["expiration_date"]);
    assert_eq!(policy["conditions"][3], json!(["content-length-range", 0, MAX]));
}

#[tokio::test]
async fn a_form_is_json_with_escaped_angle_brackets() {
    let service = service().await;
    let response = service.request_form("room-1", r#"{"name":"a<b>&c.txt"}"#).response().await;
    assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
    assert_eq!(response.headers()["access-control-allow-credentials"], "true");
    assert_eq!(response.headers()["access-control-expose-headers"], "*");
    let text = response.text().await.unwrap();
    assert!(text.contains(r"a\u003cb\u003e\u0026c.txt") && !text.contains('<'), "{text}");
}

#[tokio::test]
async fn the_service_sanitizes_the_name() {
    let service = service().await;
    assert_eq!(service.form("room-1", "../dir/cat.txt").await.name, "cat.txt");
    let rejected = service.request_form("room-1", r#"{"name":".."}"#).json_with(StatusCode::BAD_REQUEST).await;
    assert_eq!((&rejected["error"]["source"], &rejected["error"]["code"]), (&json!("Files"), &json!(3001)));
}

#[tokio::test]
async fn a_request_for_a_form_must_be_a_json_object_with_a_name() {
    let service = service().await;
    for body in ["", "{}", "cat.txt", "[]", r#"{"name":1}"#, r#"{"name":""}"#] {
        let rejected = service.request_form("room-1", body).json_with(StatusCode::BAD_REQUEST).await;
        assert_eq!(rejected["error"]["source"], "Files", "{body}");
    }
    let path = format!("{}/generate-upload-url?{ALICE}", channel("room-1"));
    let plain = service.post(&path).typed_body("text/plain", r#"{"name":"a"}"#);
    plain.json_with(StatusCode::UNSUPPORTED_MEDIA_TYPE).await;
}

#[tokio::test]
async fn a_posted_file_is_described_and_in_the_list_at_once() {
    let service = service().await;
    let form = service.form("room 1%2Fa", "my cat.txt").await;
    let response = service.post_form(&form, b"hello").response().await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    let headers = response.headers().clone();
    assert_eq!(headers[ETAG], "\"5d41402abc4b2a76b9719d911017c592\"");
    assert_eq!(headers["server"], "AmazonS3");
    assert_eq!(headers["x-amz-server-side-encryption"], "AES256");
    let key = form.field("key").replace('/', "%2F").replace(' ', "%20");
    assert_eq!(headers[LOCATION], service.url(&format!("/_storage/pubnub/{key}")));
    assert!(headers["x-amz-expiration"].to_str().unwrap().ends_with("rule-id=\"Archive file 30 days after creation\""));
    assert!(!headers.contains_key(CONTENT_TYPE));
    assert_eq!(response.bytes().await.unwrap(), "");

    let list = service.list_files("room%201%2Fa", "").await;
    let file = &list["data"][0];
    assert_eq!((&file["name"], &file["id"], &file["size"]), (&json!("my cat.txt"), &json!(form.id), &json!(5)));
    let created = file["created"].as_str().unwrap();
    assert_eq!((created.len(), &created[19..]), (20, "Z"), "{created}");
}

#[tokio::test]
async fn nothing_is_listed_before_the_post() {
    let service = service().await;
    service.form("room-1", "cat.txt").await;
    assert_eq!(service.list_files("room-1", "").await, json!({"status": 200, "data": [], "next": null, "count": 0}));
}

#[tokio::test]
async fn a_second_post_with_a_form_replaces_the_file() {
    let service = service().await;
    let form = service.stored("room-1", "cat.txt", b"one").await;
    service.post_form(&form, b"another").response().await;
    let list = service.list_files("room-1", "").await;
    assert_eq!((&list["count"], &list["data"][0]["size"]), (&json!(1), &json!(7)));
}

#[tokio::test]
async fn several_files_can_have_the_same_name() {
    let service = service().await;
    let first = service.stored("room-1", "cat.txt", b"one").await;
    let second = service.stored("room-1", "cat.txt", b"two").await;
    assert_ne!(first.id, second.id);
    assert_eq!(service.ids("room-1").await.len(), 2);
}

#[tokio::test]
async fn a_form_expires_after_a_minute() {
    let service = service().await;
    let form = service.form("room-1", "cat.txt").await;
    service.emulator.clock().advance(std::time::Duration::from_secs(60)).unwrap();
    let (code, text) = storage_error(service.post_form(&form, b"x").response().await, 403).await;
    assert_eq!(code, "AccessDenied");
    assert!(text.contains("Invalid according to Policy: Policy expired."), "{text}");
    assert!(service.ids("room-1").await.is_empty());
}

#[tokio::test]
async fn an_altered_form_is_rejected() {
    let service = service().await;
    let form = service.form("room-1", "cat.txt").await;
    let rejected = async |form| storage_error(service.post_form(&form, b"x").response().await, 403).await;

    let (code, text) = rejected(form.clone().with("key", "sub-c-emulator/x/y/z")).await;
    assert_eq!(code, "AccessDenied");
    assert!(text.contains("Policy Condition failed: [&quot;eq&quot;,&quot;$key&quot;"), "{text}");
    assert_eq!(code_of(rejected(form.clone().with("tagging", "<Tagging/>")).await), "AccessDenied");
    assert_eq!(code_of(rejected(form.clone().without("tagging")).await), "AccessDenied");
    assert_eq!(code_of(rejected(form.clone().without("X-Amz-Security-Token")).await), "AccessDenied");
    let (code, text) = rejected(form.clone().with("success_action_status", "201")).await;
    assert_eq!(code, "AccessDenied");
    assert!(text.contains("Extra input fields: success_action_status"), "{text}");

    let policy = STANDARD.encode(r#"{"expiration":"2100-01-01T00:00:00Z","conditions":[]}"#);
    assert_eq!(code_of(rejected(form.clone().with("Policy", &policy)).await), "SignatureDoesNotMatch");
    assert_eq!(code_of(rejected(form.clone().with("X-Amz-Signature", &"0".repeat(64))).await), "SignatureDoesNotMatch");
    assert_eq!(code_of(rejected(form.clone().with("X-Amz-Date", "20250102T030505Z")).await), "SignatureDoesNotMatch");
    assert!(service.ids("room-1").await.is_empty());
}

#[tokio::test]
async fn the_client_can_choose_the_content_type_of_a_form() {
    let service = service().await;
    let form = service.form("room-1", "cat.txt").await.with("Content-Type", "application/octet-stream");
    service.post_form(&form, b"x").response().await;
    let url = service.presigned_url("room-1", &form.id, "cat.txt").await;
    assert_eq!(service.get(&url).response().await.headers()[CONTENT_TYPE], "application/octet-stream");
}

#[tokio::test]
async fn fields_after_the_file_are_ignored() {
    let service = service().await;
    let form = service.form("room-1", "cat.txt").await;
    let late = [&file_part(b"x")[..], &form.field_parts(), b"--B--\r\n"].concat();
    let response = service.post("/_storage/pubnub/").form_body(&late).response().await;
    let (code, text) = storage_error(response, 400).await;
    assert_eq!(code, "InvalidArgument");
    assert!(text.contains("please check the order of the fields"), "{text}");

    let ignored = b"--B\r\nContent-Disposition: form-data; name=\"acl\"\r\n\r\nx\r\n--B--\r\n";
    let early = [&form.field_parts()[..], &file_part(b"x"), ignored].concat();
    let response = service.post("/_storage/pubnub/").form_body(&early).response().await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_post_needs_exactly_one_file() {
    let service = service().await;
    let form = service.form("room-1", "cat.txt").await;
    let none = [&form.field_parts()[..], b"--B--\r\n"].concat();
    let two = [&form.field_parts()[..], &file_part(b"x"), &file_part(b"y"), b"--B--\r\n"].concat();
    for body in [none, two] {
        let response = service.post("/_storage/pubnub/").form_body(&body).response().await;
        assert_eq!(code_of(storage_error(response, 400).await), "IncorrectNumberOfFilesInPostRequest");
    }
    assert!(service.ids("room-1").await.is_empty());
}

#[tokio::test]
async fn the_size_limit_is_inclusive_and_counts_stored_bytes() {
    let service = service().await;
    let form = service.stored("room-1", "largest", &vec![0; MAX]).await;
    let response = service.post_form(&form, &vec![0; MAX + 1]).response().await;
    let (code, text) = storage_error(response, 400).await;
    assert_eq!(code, "EntityTooLarge");
    let sizes = "<ProposedSize>5242881</ProposedSize><MaxSizeAllowed>5242880</MaxSizeAllowed><RequestId>";
    assert!(text.contains(sizes), "{text}");
    assert_eq!(service.list_files("room-1", "").await["data"][0]["size"], MAX, "the first file still exists");
}

#[tokio::test]
async fn a_file_may_be_empty() {
    let service = service().await;
    service.stored("room-1", "empty", b"").await;
    assert_eq!(service.list_files("room-1", "").await["data"][0]["size"], 0);
}

#[tokio::test]
async fn a_post_with_a_query_is_rejected() {
    let service = service().await;
    let form = service.form("room-1", "cat.txt").await;
    let response = service.post(&format!("/_storage/pubnub/?{ALICE}")).form_body(&form.body(b"x")).response().await;
    let (code, text) = storage_error(response, 400).await;
    assert_eq!(code, "InvalidArgument");
    assert!(text.contains("Query String Parameters not allowed on POST requests."), "{text}");
    let response = service.post("/_storage/pubnub/?").form_body(&form.body(b"x")).response().await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT, "an empty query counts as absent");
}

#[tokio::test]
async fn a_post_needs_a_content_length() {
    let service = service().await;
    let response = service
        .raw(
            "POST /_storage/pubnub/ HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=B\r\n\
             Transfer-Encoding: chunked\r\n\r\n2\r\n--\r\n0\r\n\r\n",
        )
        .await;
    assert!(response.starts_with("HTTP/1.1 411 "), "{response}");
    assert!(response.contains("<Code>MissingContentLength</Code>"), "{response}");
}

#[tokio::test]
async fn a_post_must_be_well_formed_multipart() {
    let service = service().await;
    let form = service.form("room-1", "cat.txt").await;
    let whole = form.body(b"x");
    let cut = service.post("/_storage/pubnub/").form_body(&whole[..whole.len() - 9]).response().await;
    assert_eq!(code_of(storage_error(cut, 400).await), "MalformedPOSTRequest");
    let json = service.post("/_storage/pubnub/").typed_body("application/json", "{}").response().await;
    assert_eq!(code_of(storage_error(json, 400).await), "MalformedPOSTRequest");
    let urlencoded = service.post("/_storage/pubnub/").typed_body("application/x-www-form-urlencoded", "key=a");
    let rejected = storage_error(urlencoded.response().await, 400).await;
    assert_eq!(code_of(rejected), "AuthorizationQueryParametersError");
    let huge = form.with("tagging", &"x".repeat(30_000));
    let rejected = storage_error(service.post_form(&huge, b"x").response().await, 400).await;
    assert_eq!(code_of(rejected), "MaxPostPreDataLengthExceededError");
}

#[tokio::test]
async fn an_error_of_the_storage_is_xml_and_ends_the_connection() {
    let service = service().await;
    let form = service.form("room-1", "cat.txt").await.without("Policy");
    let response = service.post_form(&form, b"x").response().await;
    let headers = response.headers();
    assert_eq!(headers[CONTENT_TYPE], "application/xml");
    assert_eq!((&headers["server"], &headers["connection"]), (&"AmazonS3".parse().unwrap(), &"close".parse().unwrap()));
    let (_, text) = storage_error(response, 400).await;
    assert!(text.contains("<RequestId>") && text.ends_with("</HostId></Error>"), "{text}");
}

#[tokio::test]
async fn a_file_is_removed_at_the_midnight_after_its_retention() {
    let service = service().await;
    service.stored("room-1", "cat.txt", b"x").await;
    service.emulator.clock().advance(30 * DAY).unwrap();
    assert_eq!(service.ids("room-1").await.len(), 1);
    service.emulator.clock().advance(DAY).unwrap();
    assert!(service.ids("room-1").await.is_empty());
}

#[tokio::test]
async fn the_expiration_date_of_a_form_is_in_whole_seconds() {
    let service = service().await;
    let before = jiff::Timestamp::now().as_second();
    let response = service.request_form("room-1", r#"{"name":"a"}"#).json_with(StatusCode::OK).await;
    let end: jiff::Timestamp = response["file_upload_request"]["expiration_date"].as_str().unwrap().parse().unwrap();
    assert!((before + 60..before + 63).contains(&end.as_second()));
}
