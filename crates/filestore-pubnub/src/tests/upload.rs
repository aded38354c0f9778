//! Uploads: the requests and their order, and the effect of failures.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use filestore_core::{Body, ByteStream, DigestAlgorithm, Expiry, FileStore, Store, Upload};
use futures::stream;
use serde_json::{Value, json};

use super::*;
use crate::{Cipher, Crypto, PubNubSend};

fn hello() -> Upload {
    Upload::new("cat.txt", "hello world")
}

/// Starts a storage that responds with `storage`, and a service that responds with a form and then with `after_form`.
async fn servers(
    storage: impl IntoIterator<Item = Reply>,
    after_form: impl IntoIterator<Item = Reply>,
) -> (ScriptedServer, ScriptedServer, PubNubStore) {
    let storage = ScriptedServer::start(storage).await;
    let (service, store) = store([form(&storage)].into_iter().chain(after_form)).await;
    (storage, service, store)
}

/// The payload of the published message.
fn payload(request: &Received) -> Value {
    let line = lines(std::slice::from_ref(request)).remove(0);
    let path = line.split('?').next().unwrap().rsplit('/').next().unwrap().to_owned();
    let text = percent_encoding::percent_decode_str(&path).decode_utf8().unwrap().into_owned();
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn an_upload_requests_a_form_stores_the_file_and_publishes_a_message() {
    let (storage, service, store) = servers([stored(b"hello world")], [published()]).await;
    let sent = store.send_file(hello()).await.unwrap();

    let requests = service.requests();
    assert_eq!(
        paths(&service),
        [
            "POST /v1/files/sub-c-canary/channels/room-1/generate-upload-url".to_owned(),
            format!(
                "GET /v1/files/publish-file/pub-c-canary/sub-c-canary/0/room-1/0/%7B%22file%22%3A%7B%22id%22%3A%22{ID}%22%2C%22name%22%3A%22cat.txt%22%7D%7D"
            ),
        ]
    );
    assert_eq!(requests[0].text(), r#"{"name":"cat.txt"}"#);
    assert_eq!(requests[0].header("content-type"), Some("application/json"));
    assert!(lines(&requests)[1].contains("?store=1&uuid=alice&requestid="), "{:?}", lines(&requests));

    let post = storage.request();
    assert_eq!(lines(std::slice::from_ref(&post)), ["POST /"]);
    assert_eq!(post.header("content-length"), Some(&*post.body.len().to_string()));
    let parts = parts(&post);
    let names: Vec<_> = parts.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["tagging", "key", "Content-Type", "X-Amz-Security-Token", "Policy", "X-Amz-Signature", "file"]);
    assert_eq!(parts[0].1, b"<Tagging>");
    assert_eq!(parts[2].1, b"text/plain; charset=utf-8");
    assert_eq!(parts[3].1, b"");
    assert_eq!(parts[6].1, b"hello world");

    let file = sent.file;
    assert_eq!(file.reference().to_string(), format!(":pubnub:room-1/{ID}/cat.txt"));
    assert_eq!((file.name.as_str(), file.size, file.stored_size), ("cat.txt", Some(11), Some(11)));
    assert_eq!(file.content_type.as_deref(), Some("text/plain; charset=utf-8"));
    assert_eq!(file.expiry, Expiry::At("2026-03-03T00:00:00Z".parse().unwrap()));
    assert_eq!((file.digests[0].algorithm, &file.digests[0].hex), (DigestAlgorithm::Md5, &md5(b"hello world")));
    assert_eq!(sent.published.unwrap().timetoken, TIMETOKEN);
}

#[tokio::test]
async fn the_message_has_the_options_of_the_upload() {
    let (_storage, service, store) = servers([stored(b"hello world")], [published()]).await;
    let send = PubNubSend::new()
        .message(json!({"text": "häi"}))
        .meta(json!({"tag": "a b"}))
        .ttl(24)
        .should_store(false)
        .custom_message_type("my-type");
    store.upload(hello().scope("room 1/a").with(send)).await.unwrap();
    let requests = service.requests();
    assert_eq!(payload(&requests[1]), json!({"message": {"text": "häi"}, "file": {"id": ID, "name": "cat.txt"}}));
    let line = &lines(&requests)[1];
    assert!(line.contains("/0/room%201%2Fa/0/%7B"), "{line}");
    assert!(
        line.contains("?store=0&ttl=24&meta=%7B%22tag%22%3A%22a%20b%22%7D&custom_message_type=my-type&uuid="),
        "{line}"
    );
}

#[tokio::test]
async fn the_name_that_the_service_returns_replaces_the_requested_name() {
    let (storage, service, store) = servers([stored(b"hello world")], [published()]).await;
    let file = store.upload(Upload::new("c:a:t.txt", "hello world")).await.unwrap();
    assert_eq!(file.name, "cat.txt");
    assert_eq!(service.requests()[0].text(), r#"{"name":"c:a:t.txt"}"#);
    assert_eq!(payload(&service.requests()[1])["file"]["name"], "cat.txt");
    assert!(storage.request().text().contains("filename=\"cat.txt\""));
}

#[tokio::test]
async fn an_invalid_id_is_a_protocol_error_and_nothing_is_stored() {
    let storage = ScriptedServer::start([]).await;
    for id in ["..", "a/b", ""] {
        let (_service, store) = store([form_of(&storage, id, 5_242_880)]).await;
        let error = store.upload(hello()).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Rejected), "{id}");
    }
    assert!(storage.requests().is_empty());
}

#[tokio::test]
async fn the_callers_content_type_replaces_the_guess() {
    let (storage, _service, store) = servers([stored(b"hello world")], [published()]).await;
    let file = store.upload(hello().content_type("text/x-mine")).await.unwrap();
    assert_eq!(file.content_type.as_deref(), Some("text/x-mine"));
    assert_eq!(parts(&storage.request())[2].1, b"text/x-mine");
}

#[tokio::test]
async fn a_cipher_key_encrypts_file_and_message() {
    for crypto in [Crypto::Acrh, Crypto::Legacy] {
        let storage = ScriptedServer::start([stored_as_sent()]).await;
        let service = ScriptedServer::start([form(&storage), published()]).await;
        let store = open(config(&service).cipher_key(crypto, "KEYcanary"));
        let send = PubNubSend::new().message("hi");
        let file = store.upload(hello().with(send)).await.unwrap();

        let cipher = Cipher::new(crypto, "KEYcanary").unwrap();
        assert_eq!((file.size, file.stored_size), (Some(11), Some(cipher.stored_size(11))));
        assert!(file.digests.is_empty() && file.content_type.is_none());
        let parts = parts(&storage.request());
        assert_eq!(parts[2].1, b"application/octet-stream");
        let ciphertext = ByteStream::upload(stream::iter([Ok(Bytes::from(parts[6].1.clone()))]), None);
        assert_eq!(cipher.decrypt(ciphertext).collect(100).await.unwrap(), "hello world");
        let message = store.read_message("room-1", &payload(&service.requests()[1])).unwrap();
        assert_eq!((message.message, message.name.as_str()), (json!("hi"), "cat.txt"));
        assert_eq!(message.file, file.reference);
    }
}

#[tokio::test]
async fn an_upload_may_have_its_own_cipher_key() {
    let storage = ScriptedServer::start([stored_as_sent()]).await;
    let (service, store) = store([form(&storage), published()]).await;
    store.upload(hello().with(PubNubSend::new().message("hi").cipher_key("other"))).await.unwrap();
    let other = store.with_cipher(Some(Cipher::new(Crypto::Acrh, "other").unwrap()));
    assert_eq!(other.read_message("room-1", &payload(&service.requests()[1])).unwrap().message, json!("hi"));
    assert!(parts(&storage.request())[6].1.starts_with(b"PNED"));
    assert!(store.read_message("room-1", &payload(&service.requests()[1])).is_err());
}

#[tokio::test]
async fn an_empty_file_is_stored_unencrypted_and_encrypted() {
    let (storage, _service, store) = servers([stored(b"")], [published()]).await;
    assert_eq!(store.upload(Upload::new("cat.txt", "")).await.unwrap().size, Some(0));
    assert_eq!(parts(&storage.request())[6].1, b"");

    let storage = ScriptedServer::start([stored_as_sent()]).await;
    let service = ScriptedServer::start([form(&storage), published()]).await;
    let store = open(config(&service).cipher_key(Crypto::Legacy, "k"));
    assert_eq!(store.upload(Upload::new("cat.txt", "")).await.unwrap().stored_size, Some(32));
}

#[tokio::test]
async fn a_stream_is_measured_before_the_form_is_requested() {
    let (storage, _service, store) = servers([stored(b"hello world")], [published()]).await;
    store.upload(Upload::new("cat.txt", Body::from_reader(&b"hello world"[..], None))).await.unwrap();
    assert_eq!(parts(&storage.request())[6].1, b"hello world");

    let (service, store) = super::store([]).await;
    let broken = stream::iter([Ok(Bytes::from_static(b"abc")), Err(Error::invalid("the source is gone"))]);
    let error = store.upload(Upload::new("cat.txt", Body::from_stream(broken, None))).await.unwrap_err();
    assert_eq!(error.to_string(), "the source is gone");
    assert!(service.requests().is_empty());
}

#[tokio::test]
async fn the_largest_file_is_stored_and_one_byte_more_is_rejected_before_any_request() {
    for (crypto, largest) in [(None, 5_242_880), (Some(Crypto::Acrh), 5_242_847), (Some(Crypto::Legacy), 5_242_863)] {
        let storage = ScriptedServer::start([stored_as_sent()]).await;
        let service = ScriptedServer::start([form(&storage), published()]).await;
        let mut config = config(&service);
        if let Some(crypto) = crypto {
            config = config.cipher_key(crypto, "k");
        }
        let store = open(config);
        assert_eq!(store.capabilities().max_size, Some(largest));
        let content = |size: u64| Body::from(vec![7; size as usize]);
        assert_eq!(store.upload(Upload::new("cat.txt", content(largest))).await.unwrap().size, Some(largest));
        let length = parts(&storage.request())[6].1.len() as u64;
        assert!(length <= 5_242_880 && length + 16 >= 5_242_864, "{length}");

        let unknown = Body::from_reader(std::io::Cursor::new(vec![7; largest as usize + 1]), None);
        for body in [content(largest + 1), unknown] {
            let error = store.upload(Upload::new("cat.txt", body)).await.unwrap_err();
            assert_eq!(kind_and_effect(&error), (ErrorKind::TooLarge, Effect::NotSent), "{error}");
            assert!(error.to_string().contains(&largest.to_string()), "{error}");
        }
        assert_eq!(service.requests().len(), 2);
    }
}

#[tokio::test]
async fn a_keyset_with_a_raised_limit_accepts_larger_files() {
    let storage = ScriptedServer::start([stored_as_sent()]).await;
    let service = ScriptedServer::start([form_of(&storage, ID, 20_000_000), published()]).await;
    let store = open(config(&service).max_file_size(20_000_000));
    // A stream that exceeds the buffer limit is sent without buffering.
    let body = Body::from_reader(std::io::Cursor::new(vec![7; 6_000_000]), Some(6_000_000));
    assert_eq!(store.upload(Upload::new("cat.txt", body)).await.unwrap().size, Some(6_000_000));
    let unknown = Body::from_reader(std::io::Cursor::new(vec![7; 6_000_000]), None);
    let error = store.upload(Upload::new("cat.txt", unknown)).await.unwrap_err();
    assert!(error.to_string().contains("state its length"), "{error}");
    assert_eq!(service.requests().len(), 2);
}

#[tokio::test]
async fn a_smaller_limit_of_the_policy_applies_to_this_and_later_uploads() {
    let storage = ScriptedServer::start([]).await;
    let (service, store) = store([form_of(&storage, ID, 10)]).await;
    let error = store.upload(hello()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::TooLarge, Effect::Rejected));
    assert!(error.to_string().contains("11 stored bytes exceed the 10 bytes"), "{error}");
    assert_eq!(store.upload(hello()).await.unwrap_err().effect(), Effect::NotSent);
    assert_eq!((service.requests().len(), storage.requests().len()), (1, 0));
}

#[tokio::test]
async fn a_digest_that_differs_from_the_sent_bytes_is_an_error_with_the_stored_file() {
    let (_storage, service, store) = servers([stored(b"other bytes")], []).await;
    let error = store.upload(hello()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Integrity, Effect::Applied));
    assert_eq!(error.stored().unwrap().reference().components()[1], ID);
    assert_eq!(service.requests().len(), 1, "nothing is published");
}

#[tokio::test]
async fn the_same_form_is_retried_when_the_storage_fails() {
    for fault in
        [Reply::lost(), xml(500, "InternalError", "m"), xml(503, "SlowDown", "m"), Reply::with_status(429, &[], "")]
    {
        let (storage, service, store) = servers([fault, stored(b"hello world")], [published()]).await;
        store.upload(hello()).await.unwrap();
        let bodies: Vec<_> = storage.requests().iter().map(parts).collect();
        assert_eq!(bodies[0], bodies[1]);
        assert_eq!(service.requests().len(), 2, "one form, one message");
    }
}

#[tokio::test]
async fn an_upload_that_a_gateway_gave_up_is_of_unknown_effect() {
    let page = |status| Reply::with_status(status, &["Content-Type: text/html"], "<html>");
    for gave_up in [page(503), page(520), page(524), page(598)] {
        let gave_up_always = vec![gave_up; 4].into_iter();
        let storage = ScriptedServer::start(gave_up_always.chain([xml(404, "NoSuchKey", "m")])).await;
        let (_service, store) = store([form(&storage), redirect(&storage, 3900)]).await;
        let error = store.upload(hello()).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::Unavailable, Effect::Unknown), "{error}");
        assert!(!error.possibly_stored().is_empty(), "{error}");
    }
}

#[tokio::test]
async fn an_expired_form_is_replaced_and_the_file_has_the_new_id() {
    let storage = ScriptedServer::start([expired(), stored(b"hello world")]).await;
    let second = form_of(&storage, "22222222-6f0a-4d0e-9a54-0f2f4a3b7c11", 5_242_880);
    let (service, store) = store([form(&storage), second, published()]).await;
    let file = store.upload(hello()).await.unwrap();
    assert_eq!(file.reference().components()[1], "22222222-6f0a-4d0e-9a54-0f2f4a3b7c11");
    assert_eq!(payload(&service.requests()[2])["file"]["id"], "22222222-6f0a-4d0e-9a54-0f2f4a3b7c11");
    assert_eq!(parts(&storage.requests()[1])[1].1, b"sub/H/22222222-6f0a-4d0e-9a54-0f2f4a3b7c11/cat.txt");
}

#[tokio::test]
async fn an_upload_gives_up_when_every_form_is_expired_and_nothing_is_stored() {
    let storage = ScriptedServer::start([expired(), expired(), expired(), expired()]).await;
    let (service, store) = store([form(&storage), form(&storage), form(&storage), form(&storage)]).await;
    let error = store.upload(hello()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Timeout, Effect::Rejected), "{error}");
    assert_eq!(error.request_id(), Some("4442587FB7D0A2F9"));
    assert_eq!((storage.requests().len(), service.requests().len()), (4, 4));
}

#[tokio::test]
async fn a_stored_file_is_not_stored_again_when_its_form_expires() {
    // The first response is lost, and the form expires before the retry. A read of one byte finds the file.
    let one_byte =
        Reply::with_status(206, &["Content-Range: bytes 0-0/11", &format!("ETag: \"{}\"", md5(b"hello world"))], "h");
    let storage = ScriptedServer::start([Reply::lost(), expired(), one_byte]).await;
    let (service, store) = store([form(&storage), redirect(&storage, 3900), published()]).await;
    let file = store.upload(hello()).await.unwrap();
    assert_eq!(file.reference().components()[1], ID);
    assert_eq!(storage.requests()[2].header("range"), Some("bytes=0-0"));
    assert_eq!(service.requests().len(), 3);
}

#[tokio::test]
async fn an_encrypted_file_is_the_same_bytes_in_each_attempt() {
    // Otherwise the digest in the storage could not identify the file.
    let storage = ScriptedServer::start([Reply::lost(), xml(503, "SlowDown", "m"), stored_as_sent()]).await;
    let (_service, store) = store([form(&storage), published()]).await;
    store.upload(hello().with(PubNubSend::new().cipher_key("k"))).await.unwrap();
    let bodies: Vec<_> = storage.requests().iter().map(parts).collect();
    assert_eq!((&bodies[0], &bodies[1]), (&bodies[1], &bodies[2]));
}

/// Asserts that a failed upload names the file that may be stored, with the reference.
fn assert_possibly_stored(error: &Error) {
    assert_eq!(error.possibly_stored(), [FileRef::new("pubnub", ["room-1", ID, "cat.txt"])], "{error}");
}

#[tokio::test]
async fn the_reference_in_the_error_of_an_upload_has_the_name_of_the_store() {
    let storage = ScriptedServer::start([Reply::lost(), expired(), missing()]).await;
    let (_service, store) = store([form(&storage), redirect(&storage, 3900)]).await;
    let store = Store::new("chat", Arc::new(store)).unwrap();
    let error = store.upload(hello()).await.unwrap_err();
    let end = format!("; the file may be stored as chat:pubnub:room-1/{ID}/cat.txt: check before you retry");
    assert!(error.to_string().ends_with(&end), "{error}");
}

#[tokio::test]
async fn a_success_without_an_etag_is_checked_by_reading_the_file() {
    // An HTML page instead of the storage's response does not show whether the file is stored.
    let page = || Reply::with_status(200, &["Content-Type: text/html"], "<html>Welcome</html>");
    let one_byte =
        Reply::with_status(206, &["Content-Range: bytes 0-0/11", &format!("ETag: \"{}\"", md5(b"hello world"))], "h");
    let storage = ScriptedServer::start([page(), one_byte]).await;
    let (service, store) = store([form(&storage), redirect(&storage, 3900), published()]).await;
    store.upload(hello()).await.unwrap();
    assert_eq!(service.requests().len(), 3);

    let storage = ScriptedServer::start([page(), page()]).await;
    let (_service, store) = super::store([form(&storage), redirect(&storage, 3900)]).await;
    let error = store.upload(hello()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Unknown), "{error}");
    assert_possibly_stored(&error);
}

#[tokio::test]
async fn a_storage_whose_etag_is_no_md5_is_checked_by_reading_the_whole_file() {
    const OPAQUE: &str = "ETag: \"0x8D4BCC2E4835CD0\"";
    let read_back = |content: &str| {
        let one_byte = Reply::with_status(206, &["Content-Range: bytes 0-0/11", OPAQUE], &content[..1]);
        [Reply::with_status(204, &[OPAQUE], ""), one_byte, Reply::with_status(200, &[OPAQUE], content)]
    };
    let storage = ScriptedServer::start(read_back("hello world")).await;
    let (_service, store) = store([form(&storage), redirect(&storage, 3900), published()]).await;
    store.upload(hello()).await.unwrap();
    assert_eq!(storage.requests().len(), 3);

    for other in ["hello-world", "hello"] {
        let storage = ScriptedServer::start(read_back(other)).await;
        let (service, store) = super::store([form(&storage), redirect(&storage, 3900)]).await;
        let error = store.upload(hello()).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Unknown), "{error}");
        assert_possibly_stored(&error);
        assert_eq!(service.requests().len(), 2, "nothing is published");
    }
}

#[tokio::test]
async fn an_empty_file_is_found_only_by_the_storages_own_code() {
    let page = |status| Reply::with_status(status, &["Content-Type: text/html"], "<html>Welcome</html>");
    let empty = || Upload::new("cat.txt", "");
    let storage = ScriptedServer::start([page(200), xml(416, "InvalidRange", "not satisfiable")]).await;
    let (_service, store) = store([form(&storage), redirect(&storage, 3900), published()]).await;
    store.upload(empty()).await.unwrap();

    let storage = ScriptedServer::start([page(200), page(416)]).await;
    let (service, store) = super::store([form(&storage), redirect(&storage, 3900)]).await;
    let error = store.upload(empty()).await.unwrap_err();
    assert_eq!(error.effect(), Effect::Unknown, "{error}");
    assert_eq!(service.requests().len(), 2, "nothing is published");
}

#[tokio::test]
async fn other_bytes_with_the_same_id_make_the_effect_unknown() {
    let other = Reply::with_status(206, &["Content-Range: bytes 0-0/11", &format!("ETag: \"{}\"", md5(b"other"))], "h");
    let storage = ScriptedServer::start([Reply::lost(), expired(), other]).await;
    let (service, store) = store([form(&storage), redirect(&storage, 3900)]).await;
    let error = store.upload(hello()).await.unwrap_err();
    assert_eq!(error.effect(), Effect::Unknown, "{error}");
    assert_possibly_stored(&error);
    assert_eq!(service.requests().len(), 2, "no other form is requested");
}

/// The response of the storage to a read of a file that is not stored.
fn missing() -> Reply {
    xml(404, "NoSuchKey", "The specified key does not exist.")
}

#[tokio::test]
async fn a_form_that_expired_after_a_failure_with_a_response_is_replaced_if_nothing_is_stored() {
    let failed = xml(500, "InternalError", "We encountered an internal error.");
    let storage = ScriptedServer::start([failed, expired(), missing(), stored(b"hello world")]).await;
    let second = form_of(&storage, "22222222-6f0a-4d0e-9a54-0f2f4a3b7c11", 5_242_880);
    let (_service, store) = store([form(&storage), redirect(&storage, 3900), second, published()]).await;
    let file = store.upload(hello()).await.unwrap();
    assert_eq!(file.reference().components()[1], "22222222-6f0a-4d0e-9a54-0f2f4a3b7c11");
}

#[tokio::test]
async fn after_a_lost_response_a_missing_file_leaves_the_effect_unknown() {
    // The first request may still be in progress. A second form would store a second file.
    for rejection in [expired(), xml(403, "AccessDenied", "m"), xml(400, "MalformedPOSTRequest", "m")] {
        let storage = ScriptedServer::start([Reply::lost(), rejection, missing()]).await;
        let (service, store) = store([form(&storage), redirect(&storage, 3900)]).await;
        let error = store.upload(hello()).await.unwrap_err();
        assert_eq!(error.effect(), Effect::Unknown, "{error}");
        assert_possibly_stored(&error);
        assert_eq!(service.requests().len(), 2, "no other form is requested");
    }
}

#[tokio::test]
async fn an_outage_with_responses_and_no_stored_file_is_safe_to_retry() {
    let busy = || xml(503, "SlowDown", "m");
    let storage = ScriptedServer::start([busy(), busy(), busy(), busy(), missing()]).await;
    let (_service, store) = store([form(&storage), redirect(&storage, 3900)]).await;
    let error = store.upload(hello()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Unavailable, Effect::Rejected), "{error}");
}

#[tokio::test]
async fn a_storage_that_is_never_reached_has_stored_nothing() {
    let (storage, _never) = ScriptedServer::start_later([]);
    let (_service, store) = store([form(&storage)]).await;
    let error = store.upload(hello()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Unavailable, Effect::Rejected), "{error}");
}

#[tokio::test]
async fn a_204_without_an_etag_does_not_confirm_the_upload() {
    let portal = || Reply::with_status(204, &[], "");
    let storage = ScriptedServer::start([portal(), missing()]).await;
    let (_service, store) = store([form(&storage), redirect(&storage, 3900)]).await;
    let error = store.upload(hello()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Unknown), "{error}");
    assert!(error.to_string().contains("something other than the service answered"), "{error}");
}

#[tokio::test]
async fn an_upload_that_cannot_be_checked_is_unknown_and_names_the_file() {
    let forbidden = r#"{"message":"Forbidden","payload":{"channels":["room-1"]},"error":true,"service":"Access Manager","status":403}"#;
    for last in [expired(), Reply::lost()] {
        let storage = ScriptedServer::start([Reply::lost(), Reply::lost(), Reply::lost(), last]).await;
        let (_service, store) = store([form(&storage), Reply::json(403, forbidden)]).await;
        let error = store.upload(hello()).await.unwrap_err();
        assert_eq!(error.effect(), Effect::Unknown, "{error}");
        assert_possibly_stored(&error);
    }
}

#[tokio::test]
async fn a_file_whose_responses_were_all_lost_is_found_by_a_read() {
    let one_byte =
        Reply::with_status(206, &["Content-Range: bytes 0-0/11", &format!("ETag: \"{}\"", md5(b"hello world"))], "h");
    let storage = ScriptedServer::start([Reply::lost(), Reply::lost(), Reply::lost(), Reply::lost(), one_byte]).await;
    let (service, store) = store([form(&storage), redirect(&storage, 3900), published()]).await;
    store.upload(hello()).await.unwrap();
    assert_eq!(paths(&service).len(), 3);
}

#[tokio::test]
async fn the_error_of_a_rejected_form_has_the_reason() {
    let (_storage, service, store) =
        servers([xml(403, "AccessDenied", "Invalid according to Policy: Extra input fields: x")], []).await;
    let error = store.upload(hello()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Permission, Effect::Rejected));
    assert_eq!((error.provider_code(), error.http_status()), (Some("AccessDenied"), Some(403)));
    assert!(error.to_string().contains("Extra input fields"), "{error}");
    assert_eq!(service.requests().len(), 1);
}

#[tokio::test]
async fn a_file_is_opened_for_each_attempt_and_before_the_form_is_requested() {
    let opened = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&opened);
    let body = Body::reopenable(
        move || {
            count.fetch_add(1, Ordering::Relaxed);
            let chunk = Ok(Bytes::from_static(b"hello world"));
            std::future::ready(Ok(ByteStream::upload(stream::iter([chunk]), Some(11))))
        },
        Some(11),
    );
    let (_storage, _service, store) = servers([xml(503, "SlowDown", "m"), stored(b"hello world")], [published()]).await;
    store.upload(Upload::new("cat.txt", body)).await.unwrap();
    assert_eq!(opened.load(Ordering::Relaxed), 2);

    let gone = Body::reopenable(|| std::future::ready(Err(Error::invalid("the file is gone"))), Some(11));
    let (service, store) = super::store([]).await;
    assert_eq!(store.upload(Upload::new("cat.txt", gone)).await.unwrap_err().to_string(), "the file is gone");
    assert!(service.requests().is_empty());
}

#[tokio::test]
async fn the_reference_is_known_before_the_first_byte_and_a_callback_that_fails_ends_the_upload() {
    let (storage, service, store) = servers([stored(b"hello world")], [published()]).await;
    let store = Store::new("uploads", Arc::new(store)).unwrap();
    let assigned = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&assigned);
    let upload = hello().on_assigned(move |reference| {
        seen.lock().unwrap().push(reference);
        async { Ok(()) }
    });
    let file = store.upload(upload).await.unwrap();
    assert_eq!(*assigned.lock().unwrap(), [file.reference]);
    assert_eq!((service.requests().len(), storage.requests().len()), (2, 1));

    let (storage, service, store) = servers([], []).await;
    let full = || Error::new(ErrorKind::Quota, Effect::NotSent, "the disk is full");
    let error = store.upload(hello().on_assigned(move |_| async move { Err(full()) })).await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Quota, "the disk is full"));
    assert_eq!((service.requests().len(), storage.requests().len()), (1, 0));
}
