//! Access to PubNub: keysets, user ids, signatures and grants of Access Manager.

use std::fs;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use filestore_emulator::Options;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::pubnub::{ALICE, Form, channel};
use crate::support::{DAY, RequestExt, Service, service, service_with};

const FORBIDDEN: StatusCode = StatusCode::FORBIDDEN;

/// Returns a request of `uuid=alice`, signed over the path `over` at `time`. Its query is sorted and needs no encoding.
fn signed(service: &Service, method: &Method, path: &str, over: &str, body: &str, time: i64) -> RequestBuilder {
    let query = format!("timestamp={time}&uuid=alice");
    let mut mac = Hmac::<Sha256>::new_from_slice(b"sec-c-emulator").unwrap();
    mac.update(format!("{method}\npub-c-emulator\n{over}\n{query}\n{body}").as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
    service
        .request(method.clone(), &format!("{path}?{query}&signature=v2.{signature}"))
        .typed_body("application/json", body)
}

fn now() -> i64 {
    Timestamp::now().as_second()
}

async fn change_keyset(service: &Service, settings: Value) -> Value {
    let path = "/_emulator/pubnub/keysets/sub-c-emulator";
    service.request(Method::PATCH, path).body(settings.to_string()).json_with(StatusCode::OK).await
}

async fn service_with_access_manager() -> Service {
    let service = service().await;
    change_keyset(&service, json!({"access_manager": true})).await;
    service
}

async fn grant(service: &Service, grant: Value) -> String {
    let response = service.post("/_emulator/pubnub/grants").body(grant.to_string()).json_with(StatusCode::OK).await;
    response["token"].as_str().unwrap().to_owned()
}

/// Returns the status of each operation on `room-1` with a token.
async fn statuses(service: &Service, token: &str) -> [u16; 5] {
    let of = format!("{ALICE}&auth={token}");
    let base = channel("room-1");
    let form =
        service.post(&format!("{base}/generate-upload-url?{of}")).typed_body("application/json", r#"{"name":"a"}"#);
    let requests = [
        form,
        service.publish("room-1", "1", &format!("&auth={token}")),
        service.get(&format!("{base}/files?{of}")),
        service.get(&format!("{base}/files/i/n?{of}")),
        service.delete(&format!("{base}/files/i/n?{of}")),
    ];
    let mut statuses = [0; 5];
    for (status, request) in statuses.iter_mut().zip(requests) {
        *status = request.response().await.status().as_u16();
    }
    statuses
}

#[tokio::test]
async fn a_user_id_is_required_and_has_at_most_92_bytes() {
    let service = service().await;
    let base = channel("room-1");
    for query in
        ["", "?uuid=", "?pnsdk=x", &format!("?uuid={}", "a".repeat(93)), &format!("?uuid={}", "%C3%A9".repeat(47))]
    {
        let rejected = service.get(&format!("{base}/files{query}")).json_with(StatusCode::BAD_REQUEST).await;
        assert_eq!((&rejected["error"], &rejected["status"]), (&json!(true), &json!(400)), "{query}");
    }
    let longest = format!("{base}/files?uuid={}", "%C3%A9".repeat(46));
    service.get(&longest).json_with(StatusCode::OK).await;
}

#[tokio::test]
async fn an_unknown_key_is_rejected() {
    let service = service().await;
    let rejected =
        service.get(&format!("/v1/files/sub-c-unknown/channels/a/files?{ALICE}")).json_with(StatusCode::BAD_REQUEST);
    let shape = json!({"message": "Invalid Subscribe Key", "error": true, "service": "Access Manager", "status": 400});
    assert_eq!(rejected.await, shape);
    let path = format!("/v1/files/publish-file/pub-c-wrong/sub-c-emulator/0/room-1/0/1?{ALICE}");
    assert_eq!(service.get(&path).json_with(StatusCode::BAD_REQUEST).await[1], "Invalid Key");
}

#[tokio::test]
async fn an_invalid_channel_is_rejected() {
    let service = service().await;
    for name in ["", "a%2Cb", "a%3Ab", "a%2A", "a%0Ab", &"a".repeat(93)] {
        let path = format!("{}/files?{ALICE}", channel(name));
        let rejected = service.get(&path).json_with(StatusCode::BAD_REQUEST).await;
        assert_eq!(rejected["error"]["message"], "[channel] contains invalid characters", "{name}");
    }
}

#[tokio::test]
async fn a_keyset_without_files_is_rejected_with_402() {
    let service = service().await;
    change_keyset(&service, json!({"files": false})).await;
    let shape = json!({
        "status": 402,
        "error": {"message": "Files service not enabled for subkey", "source": "Files", "code": 3005}
    });
    let list = service.get(&format!("{}/files?{ALICE}", channel("room-1")));
    assert_eq!(list.json_with(StatusCode::PAYMENT_REQUIRED).await, shape);
    let form = service.request_form("room-1", r#"{"name":"a"}"#);
    assert_eq!(form.json_with(StatusCode::PAYMENT_REQUIRED).await, shape);
    service.published("room-1", "1", "").await;
}

#[tokio::test]
async fn a_keyset_can_have_another_limit_and_retention() {
    let service = service().await;
    change_keyset(&service, json!({"max_file_bytes": 3, "file_retention_days": 0})).await;
    service.stored("room-1", "fits", b"abc").await;
    let form = service.form("room-1", "a").await;
    assert_eq!(service.post_form(&form, b"abcd").response().await.status(), StatusCode::BAD_REQUEST);
    assert_eq!(form.field("tagging"), "<Tagging><TagSet></TagSet></Tagging>");
    service.emulator.clock().advance(4000 * DAY).unwrap();
    assert_eq!(service.ids("room-1").await.len(), 1, "for ever");
}

#[tokio::test]
async fn changed_settings_are_shown_and_reverted_by_a_reset() {
    let service = service().await;
    let changed = change_keyset(&service, json!({"access_manager": true})).await;
    let settings = |access_manager: bool| {
        json!({
            "files": true, "access_manager": access_manager, "max_file_bytes": 5_242_880,
            "file_retention_days": 30, "message_retention_days": 30
        })
    };
    assert_eq!(changed, settings(true));
    service.emulator.reset().await.unwrap();
    let path = "/_emulator/pubnub/keysets/sub-c-emulator";
    assert_eq!(service.get(path).json_with(StatusCode::OK).await, settings(false));
    service.get("/_emulator/pubnub/keysets/other").json_with(StatusCode::NOT_FOUND).await;
    let wrong = service.request(Method::PATCH, path).body(r#"{"fils":true}"#);
    wrong.json_with(StatusCode::BAD_REQUEST).await;
}

#[tokio::test]
async fn a_credentials_file_can_have_several_keysets() {
    let folder = tempfile::tempdir().unwrap();
    let credentials = folder.path().join("users.toml");
    fs::write(
        &credentials,
        r#"
        [[pubnub.keysets]]
        publish_key = "pub-c-one"
        subscribe_key = "sub-c-one"
        secret_key = "sec-c-one"
        access_manager = true
        max_file_bytes = 10
        [[pubnub.keysets]]
        publish_key = "pub-c-two"
        subscribe_key = "sub-c-two"
        secret_key = "sec-c-two"
        files = false
        "#,
    )
    .unwrap();
    let service = service_with(Options { credentials: Some(credentials), ..Options::default() }).await;
    let list = |key: &str| service.get(&format!("/v1/files/{key}/channels/a/files?{ALICE}")).response();
    assert_eq!(list("sub-c-one").await.status(), FORBIDDEN);
    assert_eq!(list("sub-c-two").await.status(), StatusCode::PAYMENT_REQUIRED);
    assert_eq!(list("sub-c-emulator").await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn without_a_grant_everything_is_forbidden_and_the_channel_is_named() {
    let service = service_with_access_manager().await;
    assert_eq!(statuses(&service, "wrong").await, [403; 5]);
    let response = service.get(&format!("{}/files?{ALICE}", channel("room%201"))).response().await;
    let headers = response.headers().clone();
    assert_eq!(headers["x-pn-cause"], "9999");
    assert_eq!(headers["content-type"], "text/javascript; charset=UTF-8");
    assert_eq!(headers["cache-control"], "no-cache, no-store, must-revalidate");
    let text = response.text().await.unwrap();
    let shape = r#"{"message":"Forbidden","payload":{"channels":["room 1"]},"error":true,"service":"Access Manager","status":403}"#;
    assert_eq!(text, format!("{shape}\n"));
}

#[tokio::test]
async fn a_grant_is_for_its_rights_on_its_channels() {
    let service = service_with_access_manager().await;
    for (rights, expected) in [
        (json!(["write"]), [200, 200, 403, 403, 403]),
        (json!(["read"]), [403, 403, 200, 307, 403]),
        (json!(["delete"]), [403, 403, 403, 403, 200]),
        (json!(["read", "write", "delete"]), [200, 200, 200, 307, 200]),
    ] {
        let token = grant(&service, json!({"subscribe_key": "sub-c-emulator", "channels": {"room-1": rights}})).await;
        assert_eq!(statuses(&service, &token).await, expected);
        let other = service.get(&format!("{}/files?{ALICE}&auth={token}", channel("room-2")));
        other.json_with(FORBIDDEN).await;
    }
    let every = grant(&service, json!({"subscribe_key": "sub-c-emulator", "channels": {"*": ["read"]}})).await;
    service.get(&format!("{}/files?{ALICE}&auth={every}", channel("room-2"))).json_with(StatusCode::OK).await;
}

#[tokio::test]
async fn subscribing_and_history_need_a_grant() {
    let service = service_with_access_manager().await;
    let token = grant(&service, json!({"subscribe_key": "sub-c-emulator", "channels": {"room-1": ["read"]}})).await;
    let paths = ["/v2/subscribe/sub-c-emulator/CHANNELS/0", "/v3/history/sub-key/sub-c-emulator/channel/CHANNELS"];
    for path in paths {
        let ask = |channels: &str| service.get(&format!("{}?{ALICE}&auth={token}", path.replace("CHANNELS", channels)));
        ask("room-1").json_with(StatusCode::OK).await;
        let rejected = ask("room-1,room-2,room-3").json_with(FORBIDDEN).await;
        assert_eq!(rejected["payload"], json!({"channels": ["room-2", "room-3"]}));
    }
}

#[tokio::test]
async fn a_grant_can_be_for_one_user_and_have_a_chosen_token() {
    let service = service_with_access_manager().await;
    let legacy = json!({
        "subscribe_key": "sub-c-emulator", "channels": {"room-1": ["read"]}, "user_id": "bob", "token": "my auth=key"
    });
    assert_eq!(grant(&service, legacy).await, "my auth=key");
    let list =
        |user: &str| service.get(&format!("{}/files?uuid={user}&auth=my%20auth%3Dkey", channel("room-1"))).response();
    assert_eq!(list("bob").await.status(), StatusCode::OK);
    assert_eq!(list("alice").await.status(), FORBIDDEN);
}

#[tokio::test]
async fn a_grant_ends_after_its_ttl_or_when_it_is_revoked() {
    let service = service_with_access_manager().await;
    let minutes = json!({"subscribe_key": "sub-c-emulator", "channels": {"room-1": ["read"]}, "ttl": 2});
    let token = grant(&service, minutes.clone()).await;
    let list = || service.get(&format!("{}/files?{ALICE}&auth={token}", channel("room-1")));
    list().json_with(StatusCode::OK).await;
    service.emulator.clock().advance(Duration::from_secs(120)).unwrap();
    assert_eq!(list().json_with(FORBIDDEN).await["message"], "Token is expired.");

    let token = grant(&service, minutes).await;
    let revoke = service.delete(&format!("/_emulator/pubnub/grants/{token}")).response().await;
    assert_eq!(revoke.status(), StatusCode::NO_CONTENT);
    let response = service.get(&format!("{}/files?{ALICE}&auth={token}", channel("room-1"))).response().await;
    assert_eq!(response.headers()["x-pn-cause"], "4001");
    assert_eq!(response.json::<Value>().await.unwrap()["message"], "Token is revoked");
    service.delete("/_emulator/pubnub/grants/unknown").json_with(StatusCode::NOT_FOUND).await;
}

#[tokio::test]
async fn an_invalid_grant_is_rejected() {
    let service = service().await;
    for (wrong, status) in [
        (json!({"subscribe_key": "other", "channels": {}}), 404),
        (json!({"subscribe_key": "sub-c-emulator", "channels": {}, "ttl": 0}), 400),
        (json!({"subscribe_key": "sub-c-emulator", "channels": {}, "ttl": 43_201}), 400),
        (json!({"subscribe_key": "sub-c-emulator", "channels": {"a": ["join"]}}), 400),
        (json!({"channels": {}}), 400),
    ] {
        let response = service.post("/_emulator/pubnub/grants").body(wrong.to_string()).response().await;
        assert_eq!(response.status().as_u16(), status, "{wrong}");
    }
}

#[tokio::test]
async fn a_request_signed_with_the_secret_key_needs_no_grant() {
    let service = service_with_access_manager().await;
    let path = format!("{}/files", channel("room-1"));
    signed(&service, &Method::GET, &path, &path, "", now()).json_with(StatusCode::OK).await;
}

#[tokio::test]
async fn a_signature_is_checked_if_it_is_present() {
    let service = service().await;
    let path = format!("{}/files", channel("room%201"));
    signed(&service, &Method::GET, &path, &path, "", now()).json_with(StatusCode::OK).await;
    let rejected = signed(&service, &Method::GET, &path, "/other", "", now()).json_with(FORBIDDEN).await;
    assert_eq!(
        rejected,
        json!({
            "error": {
                "message": "Invalid signature",
                "source": "grant",
                "details": [{
                    "message": "Client and server produced different signatures for the same inputs.",
                    "location": "signature",
                    "locationType": "query"
                }]
            },
            "service": "Access Manager",
            "status": 403
        })
    );
}

#[tokio::test]
async fn the_method_is_part_of_the_signature() {
    let service = service().await;
    let form = service.stored("room-1", "cat.txt", b"hello").await;
    let path = format!("{}/files/{}/cat.txt", channel("room-1"), form.id);
    let time = now();
    let get = signed(&service, &Method::GET, &path, &path, "", time);
    assert_eq!(get.response().await.status(), StatusCode::TEMPORARY_REDIRECT);
    // The JavaScript SDK signs the URL of `getFileUrl` with this method, but the URL is requested with `GET`.
    let local = Method::from_bytes(b"LOCAL").unwrap();
    let url = signed(&service, &local, &path, &path, "", time).build().unwrap().url().to_string();
    let rejected = service.get(service.path_of(&url)).json_with(FORBIDDEN).await;
    assert_eq!(rejected["error"]["message"], "Invalid signature", "{rejected}");
    let unsigned = service.get(&format!("{path}?uuid=alice")).response().await;
    assert_eq!(unsigned.status(), StatusCode::TEMPORARY_REDIRECT);
}

#[tokio::test]
async fn the_body_is_part_of_the_signature() {
    let service = service().await;
    let path = format!("{}/generate-upload-url", channel("room-1"));
    let body = r#"{"name": "a.txt"}"#;
    let form = signed(&service, &Method::POST, &path, &path, body, now()).json_with(StatusCode::OK).await;
    assert_eq!(Form::of(&form).name, "a.txt");
    let altered = signed(&service, &Method::POST, &path, &path, body, now()).body(r#"{"name": "b.txt"}"#);
    altered.json_with(FORBIDDEN).await;
}

#[tokio::test]
async fn a_plain_name_in_the_signature_is_accepted_unless_strict() {
    let (path, over) = (format!("{}/files/i/a%20b", channel("c%2Fd")), format!("{}/files/i/a b", channel("c%2Fd")));
    for (strict, plain) in [(false, StatusCode::OK), (true, FORBIDDEN)] {
        let service = service_with(Options { strict_signature: strict, ..Options::default() }).await;
        signed(&service, &Method::DELETE, &path, &path, "", now()).json_with(StatusCode::OK).await;
        signed(&service, &Method::DELETE, &path, &over, "", now()).json_with(plain).await;
    }
}

#[tokio::test]
async fn a_signature_can_be_required() {
    let service = service_with(Options { pubnub_require_signature: true, ..Options::default() }).await;
    let path = format!("{}/files", channel("room-1"));
    service.get(&format!("{path}?{ALICE}")).json_with(FORBIDDEN).await;
    signed(&service, &Method::GET, &path, &path, "", now()).json_with(StatusCode::OK).await;
    service.get("/time/0").json_with(StatusCode::OK).await;
}

#[tokio::test]
async fn a_signature_is_valid_for_a_minute_by_the_real_or_the_emulated_clock() {
    let service = service().await;
    let path = format!("{}/files", channel("room-1"));
    let at = async |time: i64, status| signed(&service, &Method::GET, &path, &path, "", time).json_with(status).await;
    at(now() - 50, StatusCode::OK).await;
    at(now() + 50, StatusCode::OK).await;
    let stale = at(now() - 70, StatusCode::BAD_REQUEST).await;
    assert_eq!(stale["message"], "Invalid Timestamp");
    service.emulator.clock().advance(DAY).unwrap();
    at(now(), StatusCode::OK).await;
    at(now() + 86_400, StatusCode::OK).await;
    at(now() + 43_200, StatusCode::BAD_REQUEST).await;
}

#[tokio::test]
async fn the_journal_shows_no_token_and_no_signature() {
    let service = service().await;
    let form = service.stored("room-1", "a", b"x").await;
    let url = service.presigned_url("room-1", &form.id, "a").await;
    service.get(&url).response().await;
    service
        .get(&format!("{}/files?{ALICE}&auth=SECRET&signature=v2.SECRET&timestamp=1", channel("room-1")))
        .response()
        .await;
    let signature = url.rsplit('=').next().unwrap();
    for entry in service.emulator.journal() {
        let query = entry.query.unwrap_or_default();
        assert!(!query.contains("SECRET") && !query.contains(signature) && !query.contains("AKIA"), "{query}");
    }
    let downloads = service.journaled("download");
    assert!(downloads.iter().all(|entry| entry.key.as_deref() == Some(form.id.as_str())) && downloads.len() == 2);
}

#[tokio::test]
async fn a_page_of_another_origin_may_use_pubnub() {
    let service = service().await;
    let path = format!("{}/generate-upload-url", channel("room-1"));
    let preflight = service.request(Method::OPTIONS, &path).header("Origin", "https://example.org").response().await;
    assert_eq!(preflight.status(), StatusCode::OK);
    assert_eq!(preflight.headers()["access-control-allow-origin"], "*");
    let list = service.get(&format!("{}/files?{ALICE}", channel("room-1"))).response().await;
    assert_eq!(list.headers()["access-control-allow-origin"], "*");
}
