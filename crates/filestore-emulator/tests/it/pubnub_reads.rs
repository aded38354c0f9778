//! PubNub lists, downloads through presigned URLs, and deletes.

use std::time::Duration;

use reqwest::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MATCH, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, LOCATION, RANGE,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::pubnub::{ALICE, channel, code_of, storage_error};
use crate::support::{RequestExt, Service, service};

const ETAG_OF_HELLO: &str = "\"5d41402abc4b2a76b9719d911017c592\"";

/// Starts an emulator with one file, `cat.txt` with the content `hello` in `room-1`, and returns its presigned URL.
async fn service_with_hello() -> (Service, String) {
    let service = service().await;
    let form = service.stored("room-1", "cat.txt", b"hello").await;
    let url = service.presigned_url("room-1", &form.id, "cat.txt").await;
    (service, url)
}

/// Sets the clock.
async fn set_clock(service: &Service, time: &str) {
    let set = json!({ "set": time }).to_string();
    service.post("/_emulator/clock").body(set).json_with(StatusCode::OK).await;
}

#[tokio::test]
async fn a_list_is_in_the_order_of_ids_page_by_page() {
    let service = service().await;
    for number in 0..5 {
        service.stored("room-1", &format!("{number}.txt"), b"x").await;
    }
    service.stored("room-2", "other.txt", b"x").await;
    let (mut seen, mut next) = (Vec::new(), String::new());
    for count in [2, 2, 1] {
        let page = service.list_files("room-1", &format!("&limit=2{next}")).await;
        assert_eq!(page["count"], count);
        seen.extend(page["data"].as_array().unwrap().iter().map(|file| file["id"].as_str().unwrap().to_owned()));
        match &page["next"] {
            Value::String(token) => {
                let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
                assert!(token.starts_with('1') && token.bytes().all(safe), "{token}");
                next = format!("&next={token}");
            }
            end => assert_eq!((end, count), (&Value::Null, 1)),
        }
    }
    assert_eq!(seen.len(), 5);
    assert!(seen.is_sorted());
    assert_eq!(seen, service.ids("room-1").await);
}

#[tokio::test]
async fn a_page_continues_after_a_file_that_was_deleted() {
    let service = service().await;
    for _ in 0..3 {
        service.stored("room-1", "a", b"x").await;
    }
    let page = service.list_files("room-1", "&limit=1").await;
    let first = page["data"][0]["id"].as_str().unwrap();
    service.delete(&format!("{}/files/{first}/a?{ALICE}", channel("room-1"))).json_with(StatusCode::OK).await;
    let rest = service.list_files("room-1", &format!("&next={}", page["next"].as_str().unwrap())).await;
    assert_eq!(rest["count"], 2);
}

#[tokio::test]
async fn a_page_has_one_to_a_hundred_files() {
    let service = service().await;
    for limit in ["0", "101", "-1", "ten", ""] {
        let path = format!("{}/files?{ALICE}&limit={limit}", channel("room-1"));
        let rejected = service.get(&path).json_with(StatusCode::BAD_REQUEST).await;
        let message = "Invalid limit parameter. Limit must be an integer between 1 and 100 (inclusive).";
        assert_eq!(rejected, json!({"status": 400, "error": {"message": message, "source": "Files", "code": 3001}}));
    }
    for limit in ["1", "100"] {
        service.list_files("room-1", &format!("&limit={limit}")).await;
    }
    let path = format!("{}/files?{ALICE}&next=x", channel("room-1"));
    service.get(&path).json_with(StatusCode::BAD_REQUEST).await;
}

#[tokio::test]
async fn a_presigned_url_is_the_same_for_the_whole_hour() {
    let service = service().await;
    let form = service.stored("room-1", "my cat.txt", b"hello").await;
    set_clock(&service, "2030-01-02T14:50:37Z").await;
    let early = service.request_url("room-1", &form.id, "my%20cat.txt").response().await;
    let headers = early.headers();
    let cache = headers[CACHE_CONTROL].to_str().unwrap();
    let age = cache.strip_prefix("public, max-age=").and_then(|rest| rest.strip_suffix(", immutable")).unwrap();
    // A range, because the clock runs.
    assert!((780..=803).contains(&age.parse::<u32>().unwrap()), "{age}");
    assert_eq!(headers[CONTENT_LENGTH], "0");
    assert!(!headers.contains_key(CONTENT_TYPE));
    let location = headers[LOCATION].to_str().unwrap().to_owned();
    let folder = "sub-c-emulator/LLXd9BAVD9_zPg0oQKBIH4KlMwOITG9hbfSBA-Z7x0s";
    let start = service.url(&format!("/_storage/pubnub/{folder}/{}/my%20cat.txt?X-Amz-Algorithm=AWS4", form.id));
    assert!(location.starts_with(&start), "{location}");
    assert!(
        location.contains("&X-Amz-Date=20300102T140000Z&X-Amz-Expires=3900&X-Amz-SignedHeaders=host"),
        "{location}"
    );

    set_clock(&service, "2030-01-02T14:59:58Z").await;
    let late = service.request_url("room-1", &form.id, "my%20cat.txt").response().await;
    assert_eq!(late.headers()[LOCATION], location);
    set_clock(&service, "2030-01-02T15:00:01Z").await;
    let later = service.request_url("room-1", &form.id, "my%20cat.txt").response().await;
    assert_ne!(later.headers()[LOCATION], location);
}

#[tokio::test]
async fn a_download_has_the_stored_content_and_its_headers() {
    let (service, url) = service_with_hello().await;
    let response = service.get(&url).response().await;
    assert_eq!(response.status(), StatusCode::OK);
    let headers = response.headers();
    for (name, value) in [
        (CONTENT_TYPE, "text/plain; charset=utf-8"),
        (CONTENT_LENGTH, "5"),
        (ETAG, ETAG_OF_HELLO),
        (ACCEPT_RANGES, "bytes"),
    ] {
        assert_eq!(headers[&name], value, "{name}");
    }
    assert_eq!(headers["server"], "AmazonS3");
    assert_eq!(
        (&headers["content-disposition"], &headers["x-content-type-options"]),
        (&"attachment".parse().unwrap(), &"nosniff".parse().unwrap())
    );
    assert!(headers.contains_key(LAST_MODIFIED) && headers.contains_key("x-amz-expiration"));
    assert_eq!(response.bytes().await.unwrap(), "hello");
}

#[tokio::test]
async fn a_url_is_valid_until_five_minutes_into_the_next_hour() {
    let (service, _) = service_with_hello().await;
    set_clock(&service, "2030-01-02T14:59:00Z").await;
    let form = service.stored("room-1", "cat.txt", b"hello").await;
    let url = service.presigned_url("room-1", &form.id, "cat.txt").await;
    set_clock(&service, "2030-01-02T15:04:58Z").await;
    assert_eq!(service.status_of(&url).await, StatusCode::OK);
    set_clock(&service, "2030-01-02T15:05:00Z").await;
    let (code, text) = storage_error(service.get(&url).response().await, 403).await;
    assert_eq!(code, "AccessDenied");
    assert!(text.contains("<Message>Request has expired</Message><X-Amz-Expires>3900</X-Amz-Expires>"), "{text}");
    assert!(text.contains("<Expires>2030-01-02T15:05:00Z</Expires><ServerTime>2030-01-02T15:05:0"), "{text}");
}

#[tokio::test]
async fn an_altered_url_is_rejected() {
    let (service, url) = service_with_hello().await;
    let (path, query) = url.split_once('?').unwrap();
    for (altered, code) in [
        (path.to_owned(), "AccessDenied"),
        (url.replace("Expires=3900", "Expires=9999"), "SignatureDoesNotMatch"),
        (format!("{url}&uuid=alice"), "SignatureDoesNotMatch"),
        (format!("{}?{query}", path.replace("cat.txt", "dog.txt")), "SignatureDoesNotMatch"),
        (format!("{url}0"), "SignatureDoesNotMatch"),
    ] {
        assert_eq!(code_of(storage_error(service.get(&altered).response().await, 403).await), code, "{altered}");
    }
    let head = service.request(Method::HEAD, &url).response().await;
    assert_eq!(head.status(), StatusCode::FORBIDDEN, "the method is signed");
}

#[tokio::test]
async fn a_client_may_encode_a_presigned_url_differently() {
    let (service, url) = service_with_hello().await;
    let (path, query) = url.split_once('?').unwrap();
    let plain = query.replace("%2F", "/");
    assert_ne!(plain, query);
    let mut parameters: Vec<&str> = plain.split('&').collect();
    parameters.reverse();
    assert_eq!(service.status_of(&format!("{path}?{}", parameters.join("&"))).await, StatusCode::OK);
}

#[tokio::test]
async fn a_missing_file_is_not_found_after_the_redirect() {
    let service = service().await;
    let form = service.stored("room-1", "cat.txt", b"x").await;
    for (channel, id, name) in [
        ("room-1", "2222", "cat.txt"),
        ("room-1", form.id.as_str(), "dog.txt"),
        ("room-2", form.id.as_str(), "cat.txt"),
    ] {
        let url = service.presigned_url(channel, id, name).await;
        let (code, text) = storage_error(service.get(&url).response().await, 404).await;
        assert_eq!(code, "NoSuchKey");
        assert!(text.contains(&format!("/{id}/{name}</Key><RequestId>")), "{text}");
    }
}

#[tokio::test]
async fn a_range_can_be_read() {
    let (service, url) = service_with_hello().await;
    for (range, content_range, content) in [
        ("bytes=1-3", "bytes 1-3/5", "ell"),
        ("bytes=3-", "bytes 3-4/5", "lo"),
        ("bytes=-2", "bytes 3-4/5", "lo"),
        ("bytes=0-99", "bytes 0-4/5", "hello"),
    ] {
        let response = service.get(&url).header(RANGE, range).response().await;
        assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT, "{range}");
        assert_eq!(response.headers()[CONTENT_RANGE], content_range);
        assert_eq!(response.headers()[ETAG], ETAG_OF_HELLO);
        assert_eq!(response.text().await.unwrap(), content);
    }
    let beyond = service.get(&url).header(RANGE, "bytes=5-").response().await;
    assert_eq!(beyond.headers()[CONTENT_RANGE], "bytes */5");
    assert_eq!(code_of(storage_error(beyond, 416).await), "InvalidRange");
    let several = service.get(&url).header(RANGE, "bytes=0-1,3-4").response().await;
    assert_eq!(several.status(), StatusCode::OK, "a request for several ranges gets the whole file");
}

#[tokio::test]
async fn no_range_of_an_empty_file_can_be_read() {
    let service = service().await;
    let form = service.stored("room-1", "empty", b"").await;
    let url = service.presigned_url("room-1", &form.id, "empty").await;
    let whole = service.get(&url).response().await;
    assert_eq!((whole.status(), &whole.headers()[CONTENT_LENGTH]), (StatusCode::OK, &"0".parse().unwrap()));
    let part = service.get(&url).header(RANGE, "bytes=0-0").response().await;
    assert_eq!(code_of(storage_error(part, 416).await), "InvalidRange");
}

#[tokio::test]
async fn an_unchanged_file_is_not_modified() {
    let (service, url) = service_with_hello().await;
    let modified = service.get(&url).response().await.headers()[LAST_MODIFIED].clone();
    for (name, value) in [(IF_NONE_MATCH, ETAG_OF_HELLO.parse().unwrap()), (IF_MODIFIED_SINCE, modified)] {
        let response = service.get(&url).header(name, value).response().await;
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(response.bytes().await.unwrap(), "");
    }
    let other = service.get(&url).header(IF_NONE_MATCH, "\"0\"").response().await;
    assert_eq!(other.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_range_of_changed_content_is_not_sent() {
    let (service, url) = service_with_hello().await;
    let part = |name, value: &str| service.get(&url).header(RANGE, "bytes=1-").header(name, value).response();
    assert_eq!(part(IF_RANGE, ETAG_OF_HELLO).await.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part(IF_RANGE, "\"0\"").await.status(), StatusCode::OK, "the response is the whole new content");
    assert_eq!(code_of(storage_error(part(IF_MATCH, "\"0\"").await, 412).await), "PreconditionFailed");
}

#[tokio::test]
async fn deleting_succeeds_whether_or_not_there_is_a_file() {
    let (service, url) = service_with_hello().await;
    let id = service.ids("room-1").await.remove(0);
    let delete = |name: &str| service.delete(&format!("{}/files/{id}/{name}?{ALICE}", channel("room-1")));
    assert_eq!(delete("dog.txt").json_with(StatusCode::OK).await, json!({"status": 200}));
    assert_eq!(service.ids("room-1").await.len(), 1, "another name is another file");
    for _ in 0..2 {
        assert_eq!(delete("cat.txt").json_with(StatusCode::OK).await, json!({"status": 200}));
    }
    assert!(service.ids("room-1").await.is_empty());
    assert_eq!(service.status_of(&url).await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_large_file_is_downloaded_unchanged() {
    let service = service().await;
    let content: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    let form = service.stored("room-1", "large", &content).await;
    let url = service.presigned_url("room-1", &form.id, "large").await;
    assert!(service.content_of(&url).await == content);
    let part = service.get(&url).header(RANGE, "bytes=1000000-1000002").response().await;
    assert_eq!(&part.bytes().await.unwrap()[..], &content[1_000_000..1_000_003]);
}

#[tokio::test]
async fn channels_and_names_can_be_any_text() {
    let service = service().await;
    let encoded = "gr%C3%B6%C3%9Fe%201%2Fa%23%3F%25%2B~";
    let form = service.stored(encoded, "größe #1?%20+~.txt", b"x").await;
    assert_eq!(form.name, "größe #1?%20+~.txt");
    let url = service.presigned_url(encoded, &form.id, "gr%C3%B6%C3%9Fe%20%231%3F%2520+~.txt").await;
    assert_eq!(service.status_of(&url).await, StatusCode::OK);
    assert_eq!(service.ids(encoded).await, [form.id]);
}

#[tokio::test]
async fn a_url_from_the_future_is_not_valid_yet() {
    let (service, url) = service_with_hello().await;
    service.post("/_emulator/clock").body(r#"{"advance":"-2h"}"#).json_with(StatusCode::OK).await;
    assert_eq!(code_of(storage_error(service.get(&url).response().await, 403).await), "AccessDenied");
    service.emulator.clock().advance(Duration::from_secs(7200)).unwrap();
    assert_eq!(service.status_of(&url).await, StatusCode::OK);
}

#[tokio::test]
async fn paths_of_pubnub_that_are_not_emulated_have_its_errors() {
    let service = service().await;
    for path in [
        "/signal/pub-c-emulator/sub-c-emulator/0/room/0/1",
        "/subscribe/sub-c-emulator/room/0/0",
        "/history/sub-key/sub-c-emulator/channel/room",
        "/v2/presence/sub-key/sub-c-emulator",
    ] {
        let error = service.get(path).json_with(StatusCode::NOT_FOUND).await;
        assert_eq!(error["error"], true, "{path}: {error}");
        assert_eq!(service.emulator.journal().last().unwrap().service, Some("pubnub"), "{path}");
    }
    for key in ["/signal", "/subscribe", "/history"] {
        let error = service.get(key).json_with(StatusCode::NOT_FOUND).await;
        assert_eq!(error["code"], "FILE_NOT_FOUND", "{key}: {error}");
    }
}

#[tokio::test]
async fn head_is_served_where_get_only_reads() {
    let service = service().await;
    for path in ["/time/0", "/v1/files/sub-c-emulator/channels/room/files?uuid=alice"] {
        let get = service.get(path).response().await;
        let head = service.request(Method::HEAD, path).response().await;
        assert_eq!(head.status(), StatusCode::OK, "{path}");
        assert_eq!(head.headers()[CONTENT_TYPE], get.headers()[CONTENT_TYPE], "{path}");
        assert_eq!(head.bytes().await.unwrap().len(), 0, "{path}");
    }
    let published = "/publish/pub-c-emulator/sub-c-emulator/0/room/0/1?uuid=alice";
    assert_eq!(service.request(Method::HEAD, published).response().await.status(), StatusCode::NOT_FOUND);
    let history = service.get("/v3/history/sub-key/sub-c-emulator/channel/room?uuid=alice");
    assert_eq!(history.json_with(StatusCode::OK).await["channels"], serde_json::json!({}));
}
