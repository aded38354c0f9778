//! PubNub messages: publishing, history and subscriptions.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::pubnub::ALICE;
use crate::support::{DAY, RequestExt, service};

const HI: &str =
    "%7B%22message%22%3A%7B%22text%22%3A%22hi%22%7D%2C%22file%22%3A%7B%22id%22%3A%22i%22%2C%22name%22%3A%22n%22%7D%7D";

fn hi() -> Value {
    json!({"message": {"text": "hi"}, "file": {"id": "i", "name": "n"}})
}

#[tokio::test]
async fn publishing_returns_a_timetoken_of_17_digits() {
    let service = service().await;
    let response = service.publish("room-1", HI, "").response().await;
    let headers = response.headers();
    assert_eq!(headers["content-type"], "text/javascript; charset=\"UTF-8\"");
    assert_eq!(
        (&headers["cache-control"], &headers["content-length"]),
        (&"no-cache".parse().unwrap(), &"30".parse().unwrap())
    );
    let first: u64 = response.json::<Value>().await.unwrap()[2].as_str().unwrap().parse().unwrap();
    let second: u64 = service.published("room-2", HI, "").await.parse().unwrap();
    assert!(first > 10_000_000_000_000_000 && second > first);
}

#[tokio::test]
async fn an_invalid_message_is_rejected_with_an_array() {
    let service = service().await;
    let long_channel = "a".repeat(93);
    for (channel, payload, query, text) in [
        ("room-1", "%7B", "", "Invalid JSON"),
        ("room-1", "hi", "", "Invalid JSON"),
        ("room-1", "1", "&meta=%7B", "Invalid meta parameter"),
        ("room-1", "1", "&ttl=-1", "Invalid ttl parameter"),
        ("room-1", "1", "&ttl=soon", "Invalid ttl parameter"),
        ("room-1", "1", "&store=2", "Invalid store parameter"),
        ("room-1", "1", "&custom_message_type=pn_x", "Invalid custom_message_type parameter"),
        ("a%2Cb", "1", "", "Invalid Channel"),
        (long_channel.as_str(), "1", "", "Invalid Channel"),
    ] {
        let rejected = service.publish(channel, payload, query).json_with(StatusCode::BAD_REQUEST).await;
        assert_eq!((&rejected[0], &rejected[1]), (&json!(0), &json!(text)), "{payload} {query}");
        assert_eq!(rejected[2].as_str().unwrap().len(), 17);
    }
    assert_eq!(service.history("room-1", "").await["channels"], json!({}));
}

#[tokio::test]
async fn a_rejected_message_has_the_reason_phrase_of_the_service() {
    let service = service().await;
    let path = format!("/v1/files/publish-file/pub-c-emulator/wrong/0/room-1/0/1?{ALICE}");
    let response = service.raw(&format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await;
    assert!(response.starts_with("HTTP/1.1 400 INVALID\r\n"), "{response}");
    assert!(response.contains("[0,\"Invalid Key\",\""), "{response}");
}

#[tokio::test]
async fn a_message_can_be_the_body_of_a_post() {
    let service = service().await;
    let path = format!("/v1/files/publish-file/pub-c-emulator/sub-c-emulator/0/room-1/0?{ALICE}");
    let response =
        service.post(&path).typed_body("application/json", &hi().to_string()).json_with(StatusCode::OK).await;
    assert_eq!(response[1], "Sent");
    assert_eq!(service.history("room-1", "").await["channels"]["room-1"][0]["message"], hi());
    let large = format!("\"{}\"", "x".repeat(40_000));
    let rejected = service.post(&path).body(large).json_with(StatusCode::PAYLOAD_TOO_LARGE).await;
    assert_eq!(rejected[1], "Message Too Large");
}

#[tokio::test]
async fn a_request_line_above_32_kib_is_too_long() {
    let service = service().await;
    let rejected = service.publish("room-1", &format!("%22{}%22", "x".repeat(33_000)), "");
    let rejected = rejected.json_with(StatusCode::URI_TOO_LONG).await;
    assert_eq!((&rejected["service"], &rejected["message"]), (&json!("Balancer"), &json!("Request URI Too Long")));
}

#[tokio::test]
async fn history_shows_the_requested_fields() {
    let service = service().await;
    let query = "&meta=%7B%22k%22%3A%22v%22%7D&custom_message_type=my-type&store=1&ttl=24";
    let timetoken = service.published("room%201", HI, query).await;
    let plain = service.history("room%201", "").await;
    assert_eq!(
        plain,
        json!({
            "status": 200,
            "channels": {"room 1": [{"message": hi(), "timetoken": timetoken}]},
            "error_message": "",
            "error": false
        })
    );
    let everything = "&include_uuid=true&include_meta=true&include_message_type=true&include_custom_message_type=true";
    assert_eq!(
        service.history("room%201", everything).await["channels"]["room 1"][0],
        json!({
            "message": hi(), "timetoken": timetoken, "uuid": "alice", "meta": {"k": "v"},
            "message_type": 4, "custom_message_type": "my-type"
        })
    );
}

#[tokio::test]
async fn history_is_read_backwards_in_pages() {
    let service = service().await;
    let mut timetokens = Vec::new();
    for number in 1..=3 {
        timetokens.push(service.published("room-1", &number.to_string(), "").await);
    }
    let messages = async |query: String| {
        let history = service.history("room-1", &query).await;
        let messages = history["channels"]["room-1"].as_array().cloned().unwrap_or_default();
        messages.iter().map(|message| message["message"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(messages(String::new()).await, [1, 2, 3]);
    assert_eq!(messages("&max=2".to_owned()).await, [2, 3]);
    assert_eq!(messages(format!("&max=2&start={}", timetokens[1])).await, [1]);
    assert_eq!(messages(format!("&end={}", timetokens[1])).await, [2, 3]);
}

#[tokio::test]
async fn a_message_with_store_0_is_not_in_the_history() {
    let service = service().await;
    service.published("room-1", "1", "&store=0").await;
    service.published("room-1", "2", "&store=1").await;
    service.published("room-1", "3", "").await;
    let history = service.history("room-1", "").await;
    let messages = history["channels"]["room-1"].as_array().unwrap();
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[0]["message"], 2);
}

#[tokio::test]
async fn messages_expire_after_their_ttl_or_the_retention_of_the_keyset() {
    let service = service().await;
    service.published("room-1", "1", "&store=1&ttl=2").await;
    service.published("room-1", "2", "").await;
    service.published("room-1", "3", "&store=1&ttl=0").await;
    let left = async || service.history("room-1", "").await["channels"]["room-1"].as_array().unwrap().len();
    assert_eq!(left().await, 3);
    service.emulator.clock().advance(DAY / 12).unwrap();
    assert_eq!(left().await, 2);
    service.emulator.clock().advance(30 * DAY).unwrap();
    assert_eq!(left().await, 1, "a ttl of 0 means no expiry");
}

#[tokio::test]
async fn one_history_request_reads_several_channels() {
    let service = service().await;
    service.published("room-1", "1", "").await;
    service.published("room-2", "2", "").await;
    let history = service.history("room-1,room-2,room-3", "").await;
    assert_eq!(history["channels"]["room-2"][0]["message"], 2);
    assert_eq!(history["channels"].as_object().unwrap().len(), 2);
    let path = format!("/v3/history-with-actions/sub-key/sub-c-emulator/channel/room-1?{ALICE}");
    let with_actions = service.get(&path).json_with(StatusCode::OK).await;
    assert_eq!(with_actions["channels"]["room-1"][0]["message"], 1);
}

#[tokio::test]
async fn a_subscriber_gets_a_cursor_at_once_and_then_every_event() {
    let service = service().await;
    service.published("room-1", "0", "").await;
    let first = service.subscribe("room-1", "&tt=0").await;
    assert_eq!((&first["m"], &first["t"]["r"]), (&json!([]), &json!(12)));
    let cursor = first["t"]["t"].as_str().unwrap().to_owned();
    let meta = "&meta=%7B%22k%22%3A%22v%22%7D&custom_message_type=my-type&store=0";
    let timetoken = service.published("room-1", HI, meta).await;
    let events = service.subscribe("room-1,room-2", &format!("&tt={cursor}&tr=12")).await;
    assert_eq!(
        events,
        json!({
            "t": {"t": timetoken, "r": 12},
            "m": [{
                "a": "0", "f": 0, "e": 4, "i": "alice", "p": {"t": timetoken, "r": 12}, "k": "sub-c-emulator",
                "c": "room-1", "d": hi(), "u": {"k": "v"}, "cmt": "my-type"
            }]
        })
    );
}

#[tokio::test]
async fn a_waiting_subscriber_gets_a_message_when_it_is_published() {
    let service = service().await;
    let first = service.subscribe("room-1", "&tt=0").await;
    let cursor = format!("&tt={}", first["t"]["t"].as_str().unwrap());
    let waiting = service.subscribe("room-1", &cursor);
    let publishing = async {
        service.published("room-2", "1", "").await;
        service.published("room-1", "2", "").await
    };
    let (events, timetoken) = tokio::join!(waiting, publishing);
    assert_eq!(events["m"].as_array().unwrap().len(), 1);
    assert_eq!((&events["m"][0]["d"], &events["t"]["t"]), (&json!(2), &json!(timetoken)));
}

#[tokio::test]
async fn a_plain_message_has_no_type() {
    let service = service().await;
    let cursor = service.subscribe("room-1", "").await["t"]["t"].as_str().unwrap().to_owned();
    let path = format!("/publish/pub-c-emulator/sub-c-emulator/0/room-1/0/%22hi%22?{ALICE}");
    service.get(&path).json_with(StatusCode::OK).await;
    let event = service.subscribe("room-1", &format!("&tt={cursor}")).await["m"][0].clone();
    assert_eq!((&event["d"], event.get("e"), event.get("u"), event.get("cmt")), (&json!("hi"), None, None, None));
    assert_eq!(
        service.history("room-1", "&include_message_type=true").await["channels"]["room-1"][0]["message_type"],
        Value::Null
    );
}

#[tokio::test]
async fn a_message_is_returned_exactly_as_it_was_published() {
    let service = service().await;
    let number = "%7B%22z%22%3A12345678901234567890.10%2C%22a%22%3A%22%5Cu00e9%22%7D";
    service.published("room-1", number, "").await;
    let path = format!("/v3/history/sub-key/sub-c-emulator/channel/room-1?{ALICE}");
    let text = service.get(&path).response().await.text().await.unwrap();
    assert!(text.contains(r#""message":{"z":12345678901234567890.10,"a":"\u00e9"}"#), "{text}");
}

#[tokio::test]
async fn a_waiting_subscriber_does_not_delay_the_shutdown() {
    let service = service().await;
    let cursor = service.subscribe("room-1", "").await["t"]["t"].as_str().unwrap().to_owned();
    let path = format!("/v2/subscribe/sub-c-emulator/room-1/0?{ALICE}&tt={cursor}");
    let waiting = tokio::spawn(service.get(&path).send());
    while service.journaled("subscribe").len() < 2 {
        tokio::task::yield_now().await;
    }
    let before = Instant::now();
    service.emulator.shutdown().await;
    assert!(before.elapsed() < Duration::from_secs(10));
    assert!(waiting.await.unwrap().is_err());
}

#[tokio::test]
async fn presence_and_time_respond() {
    let service = service().await;
    let presence = async |verb: &str| {
        let path = format!("/v2/presence/sub-key/sub-c-emulator/channel/room-1/{verb}?{ALICE}");
        service.get(&path).json_with(StatusCode::OK).await
    };
    let ok = json!({"status": 200, "message": "OK", "service": "Presence"});
    assert_eq!(presence("heartbeat").await, ok);
    let left = json!({"status": 200, "message": "OK", "action": "leave", "service": "Presence"});
    assert_eq!(presence("leave").await, left);
    let time = service.get("/time/0").json_with(StatusCode::OK).await;
    assert!(time[0].as_u64().unwrap() > 10_000_000_000_000_000);
}

#[tokio::test]
async fn an_unknown_path_of_pubnub_is_not_found_with_json() {
    let service = service().await;
    let unknown = service.get("/v1/files/sub-c-emulator/unknown").json_with(StatusCode::NOT_FOUND).await;
    assert_eq!((&unknown["status"], &unknown["error"]), (&json!(404), &json!(true)));
}
