//! File messages: publishing them, failures to publish, and reading them.

use filestore_core::{FileStore, Upload};
use serde_json::json;

use super::*;
use crate::file_key::FileKey;
use crate::{Apns, Cipher, Crypto, Fcm, PubNubSend};

fn hello() -> Upload {
    Upload::new("cat.txt", "hello world")
}

const FORBIDDEN: &str =
    r#"{"message":"Forbidden","payload":{"channels":["room-1"]},"error":true,"service":"Access Manager","status":403}"#;

/// Uploads a file; the requests that publish its message get `responses`.
async fn upload(
    responses: impl IntoIterator<Item = Reply>,
) -> (filestore_core::Result<crate::SentFile>, ScriptedServer, PubNubStore) {
    let storage = ScriptedServer::start([stored(b"hello world")]).await;
    let (service, store) = store([form(&storage)].into_iter().chain(responses)).await;
    let result = store.send_file(hello()).await;
    (result, service, store)
}

#[tokio::test]
async fn a_file_without_its_message_is_incomplete_and_can_be_completed() {
    let (result, service, store) = upload([Reply::json(403, FORBIDDEN), published()]).await;
    let error = result.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Incomplete, Effect::Applied));
    assert_eq!(error.http_status(), Some(403));
    assert!(error.to_string().contains("filestore pubnub publish REF"), "{error}");
    let file = error.stored().unwrap();
    assert_eq!((file.size, file.reference().components()[1].as_str()), (Some(11), ID));
    assert_eq!(service.requests().len(), 2, "a 403 is not retried");

    // Another process needs only the text of the reference.
    let reference: FileRef = format!("s{}", file.reference()).parse().unwrap();
    let other_store = open(config(&service));
    let published = other_store.publish_file_message(&reference, &PubNubSend::new().message("late")).await.unwrap();
    assert_eq!(published.timetoken, TIMETOKEN);
    assert!(lines(&service.requests())[2].contains(ID));
    drop(store);
}

#[tokio::test]
async fn without_publish_the_file_is_stored_and_its_message_can_follow() {
    let storage = ScriptedServer::start([stored(b"hello world")]).await;
    let (service, store) = store([form(&storage), published()]).await;
    let unpublished = PubNubSend::new().publish(false);
    let sent = store.send_file(hello().with(unpublished.clone())).await.unwrap();
    assert!(sent.published.is_none() && service.requests().len() == 1, "{:?}", lines(&service.requests()));
    assert_eq!(storage.requests().len(), 1);
    store.publish_file_message(sent.file.reference(), &unpublished).await.unwrap();
    assert!(lines(&service.requests())[1].contains("publish-file"));
}

#[tokio::test]
async fn a_message_is_retried_after_a_transient_failure() {
    for fault in
        [Reply::lost(), Reply::json(503, "{}"), Reply::json(500, "{}"), Reply::json(429, "{}"), Reply::json(504, "{}")]
    {
        let (result, service, _store) = upload([fault.clone(), fault, published()]).await;
        assert_eq!(result.unwrap().published.unwrap().timetoken, TIMETOKEN);
        let requests = lines(&service.requests());
        assert_eq!(requests[1], requests[2], "the same message with the same request id");
    }
}

#[tokio::test]
async fn a_message_is_given_up_after_four_attempts() {
    let (result, service, store) =
        upload(vec![Reply::json(503, "{}"); 4].into_iter().chain([Reply::json(503, "{}"), published()])).await;
    let error = result.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Incomplete, Effect::Applied));
    assert_eq!((error.attempts(), service.requests().len()), (4, 5));
    assert!(error.to_string().contains("may not have been published"), "{error}");
    // This request gets the fifth 503, and its retry succeeds.
    store.publish_file_message(error.stored().unwrap().reference(), &PubNubSend::new()).await.unwrap();
}

#[tokio::test]
async fn rejections_of_a_message_are_not_retried() {
    let table = [
        (400, r#"[0,"Invalid Key","14820999375199241"]"#),
        (400, r#"[0,"Message Too Large","14820999375199241"]"#),
        (413, r#"{"status":413,"error":true,"service":"Balancer","message":"Request Entity Too Large."}"#),
        (414, r#"{"message":"Request URI Too Long","error":true,"service":"Balancer","status":414}"#),
        (200, r#"[0,"Account quota exceeded","14820999375199241"]"#),
        (200, r#"{"message":"strange"}"#),
    ];
    for (status, body) in table {
        let (result, service, _store) = upload([Reply::json(status, body)]).await;
        let error = result.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::Incomplete, Effect::Applied), "{body}");
        assert!(error.stored().is_some());
        assert_eq!(service.requests().len(), 2, "{body}");
    }
}

#[tokio::test]
async fn publishing_alone_returns_the_error_and_its_effect() {
    let table = [
        (Reply::json(400, r#"[0,"Invalid Key","1"]"#), ErrorKind::Unauthenticated, Effect::Rejected),
        (Reply::json(403, FORBIDDEN), ErrorKind::Permission, Effect::Rejected),
        (Reply::json(200, r#"[0,"Account quota exceeded","1"]"#), ErrorKind::InvalidInput, Effect::Rejected),
        (Reply::json(200, "[1]"), ErrorKind::Protocol, Effect::Unknown),
        (Reply::json(200, "gone"), ErrorKind::Protocol, Effect::Unknown),
    ];
    for (reply, kind, effect) in table {
        let (_service, store) = store([reply]).await;
        let error = store.publish_file_message(&file(), &PubNubSend::new()).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (kind, effect), "{error}");
    }
}

#[tokio::test]
async fn a_rejection_after_a_lost_response_has_the_effect_unknown() {
    let rejection_with_status_200 = Reply::json(200, r#"[0,"Account quota exceeded","1"]"#);
    for (rejection, kind) in
        [(Reply::json(403, FORBIDDEN), ErrorKind::Permission), (rejection_with_status_200, ErrorKind::InvalidInput)]
    {
        let (_service, store) = store([Reply::lost(), rejection]).await;
        let error = store.publish_file_message(&file(), &PubNubSend::new()).await.unwrap_err();
        assert_eq!((kind_and_effect(&error), error.attempts()), ((kind, Effect::Unknown), 2), "{error}");
    }
}

#[tokio::test]
async fn notifications_are_part_of_the_message() {
    let (service, store) = store([published()]).await;
    let send = PubNubSend::new()
        .message(json!({"text": "hi"}))
        .apns(Apns::new("cat.txt").title("Alice").badge(2).sound("default").topic("com.example").development(true))
        .fcm(Fcm::new("cat.txt").title("Alice").data("room", "1"));
    store.publish_file_message(&file(), &send).await.unwrap();
    let line = lines(&service.requests()).remove(0);
    let path = line.split('?').next().unwrap().rsplit('/').next().unwrap().to_owned();
    let text = percent_encoding::percent_decode_str(&path).decode_utf8().unwrap().into_owned();
    let payload: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        payload["message"],
        json!({
            "text": "hi",
            "pn_apns": {
                "aps": {"alert": {"title": "Alice", "body": "cat.txt"}, "badge": 2, "sound": "default"},
                "pn_push": [{"version": "v2", "push_type": "alert", "targets": [{"environment": "development", "topic": "com.example"}]}],
            },
            "pn_fcm": {"notification": {"title": "Alice", "body": "cat.txt"}, "data": {"room": "1"}},
        })
    );
}

/// Returns options with `message` and `meta` as a command line gives them.
fn with_texts(message: &str, meta: &str) -> PubNubSend {
    serde_json::from_value(json!({ "message": message, "meta": meta })).unwrap()
}

#[tokio::test]
async fn the_text_of_a_message_is_sent_as_it_is_written() {
    let texts = [
        r#"{"z":1,"a":12345678901234567890123,"b":0.12345678901234567890123}"#,
        r#"{ "b" : [1e5, 1E400, -0.0, 1.50],"a":{"y":1,"x":2} }"#,
        r#"{"a":1,"a":2}"#,
        r#""\u0061 \ud83d\ude00""#,
        "18446744073709551616",
    ];
    for text in texts {
        let (service, store) = store([published(), published()]).await;
        store.publish_file_message(&file(), &with_texts(text, text)).await.unwrap();
        let notified = text.starts_with('{').then(|| with_texts(text, "1").fcm(Fcm::new("cat.txt")));
        if let Some(send) = &notified {
            store.publish_file_message(&file(), send).await.unwrap();
        }
        let sent: Vec<String> = lines(&service.requests())
            .iter()
            .map(|line| percent_encoding::percent_decode_str(line).decode_utf8().unwrap().into_owned())
            .collect();
        assert!(sent[0].contains(&format!(r#"/0/{{"message":{text},"file":{{"#)), "{sent:?}");
        assert!(sent[0].contains(&format!("&meta={text}&")), "{sent:?}");
        if notified.is_some() {
            let members = text.strip_suffix('}').unwrap();
            let fcm = r#""pn_fcm":{"notification":{"body":"cat.txt"}}"#;
            assert!(sent[1].contains(&format!(r#"{{"message":{members},{fcm}}},"file":"#)), "{sent:?}");
        }
    }
}

#[tokio::test]
async fn notifications_that_pubnub_could_not_read_are_rejected() {
    let (service, store) = store([]).await;
    let error =
        store.publish_file_message(&file(), &PubNubSend::new().message("text").fcm(Fcm::new("x"))).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::InvalidInput, Effect::NotSent));
    let twice = with_texts(r#"{"pn_gcm":{}}"#, "1").apns(Apns::new("x"));
    let error = store.publish_file_message(&file(), &twice).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::InvalidInput, Effect::NotSent));
    let encrypted = store.with_cipher(Some(Cipher::new(Crypto::Acrh, "k").unwrap()));
    let in_message = [r#"{"pn_apns":{}}"#, r#"{"a":1e999,"pn_fcm":{}}"#, r#"{"pn\u005fgcm":null}"#];
    let sends = in_message.map(|message| with_texts(message, "1"));
    for send in sends.into_iter().chain([PubNubSend::new().apns(Apns::new("x"))]) {
        let errors = [
            encrypted.publish_file_message(&file(), &send).await.unwrap_err(),
            encrypted.upload(hello().with(send.clone())).await.unwrap_err(),
            store.upload(hello().with(send.cipher_key("k"))).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(kind_and_effect(&error), (ErrorKind::Unsupported, Effect::NotSent), "{error}");
        }
    }
    assert!(service.requests().is_empty());
    // A member with another meaning, or deeper in the message, is no notification.
    for message in [r#"{"pn_apn":1}"#, r#"{"a":{"pn_apns":{}}}"#, r#"["pn_apns"]"#, r#""pn_apns""#] {
        let key = FileKey::of(&file()).unwrap();
        assert!(encrypted.publish_call(&key, &with_texts(message, "1")).is_ok(), "{message}");
    }
}

#[tokio::test]
async fn messages_of_all_clients_are_read() {
    let (_service, store) = store([]).await;
    let read = |payload| store.read_message("room-1", &payload);
    let payloads = [
        json!({"message": {"text": "hi"}, "file": {"id": ID, "name": "cat.txt"}}),
        json!({"file": {"name": "cat.txt", "id": ID, "size": 3, "mime-type": "text/plain", "url": "x"}, "extra": 1}),
        json!({"message": null, "file": {"id": ID, "name": "cat.txt"}}),
    ];
    for payload in payloads {
        let message = read(payload.clone()).unwrap();
        assert_eq!(message.file.to_string(), format!(":pubnub:room-1/{ID}/cat.txt"));
        assert_eq!(message.message, payload["message"]);
    }
    for invalid in [json!({"text": "hi"}), json!(1), json!({"file": {"id": "../x", "name": "a"}}), json!("text")] {
        assert_eq!(read(invalid).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

#[tokio::test]
async fn a_message_that_is_encrypted_with_another_key_cannot_be_read() {
    let (_service, store) = store([]).await;
    let [wrong, other] = ["wrong", "other"].map(|key| Cipher::new(Crypto::Acrh, key).unwrap());
    let ciphertext = json!(other.encrypt_message(&format!(r#"{{"file":{{"id":"{ID}","name":"cat.txt"}}}}"#)));
    assert_eq!(
        store.with_cipher(Some(wrong)).read_message("room-1", &ciphertext).unwrap_err().kind(),
        ErrorKind::Integrity
    );
    assert_eq!(store.with_cipher(Some(other)).read_message("room-1", &ciphertext).unwrap().name, "cat.txt");
}

#[tokio::test]
async fn a_message_that_makes_the_url_too_long_is_rejected_before_any_request() {
    let (service, store) = store([]).await;
    let encrypted = store.with_cipher(Some(Cipher::new(Crypto::Acrh, "k").unwrap()));
    for store in [&store, &encrypted] {
        let send = PubNubSend::new().message("x".repeat(33_000));
        for error in [
            store.upload(hello().with(send.clone())).await.unwrap_err(),
            store.publish_file_message(&file(), &send).await.unwrap_err(),
        ] {
            assert_eq!(kind_and_effect(&error), (ErrorKind::InvalidInput, Effect::NotSent));
            assert!(error.to_string().contains("32768"), "{error}");
        }
    }
    assert!(service.requests().is_empty());
}

#[tokio::test]
async fn a_message_whose_url_has_exactly_the_maximum_length_is_sent() {
    let (service, store) = store([published()]).await;
    let max_length = (30_000..33_000).rev().find(|size| {
        let key = FileKey::of(&file()).unwrap();
        store.publish_call(&key, &PubNubSend::new().message("x".repeat(*size))).is_ok()
    });
    let send = PubNubSend::new().message("x".repeat(max_length.unwrap()));
    store.publish_file_message(&file(), &send).await.unwrap();
    let target = lines(&service.requests()).remove(0).len() - "GET ".len();
    assert_eq!(service.url().as_str().trim_end_matches('/').len() + target, 32_768);
}
