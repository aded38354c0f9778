//! Downloads: presigned URLs, content, ranges and failures.

use filestore_core::{Delete, Download, FileStore, UrlKind, UrlRequest};
use filestore_http::testing::TestClock;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::{Cipher, Crypto};

const CONTENT: &[u8] = b"hello world";

async fn read(store: &PubNubStore) -> filestore_core::Result<Vec<u8>> {
    let downloaded = store.download(file().into()).await?;
    downloaded.bytes(1 << 20).await.map(|bytes| bytes.to_vec())
}

/// Starts a storage that responds with `script`, and a service that redirects to it `redirects` times.
async fn servers(
    script: impl IntoIterator<Item = Reply>,
    redirects: usize,
) -> (ScriptedServer, ScriptedServer, PubNubStore) {
    let storage = ScriptedServer::start(script).await;
    let (service, store) = store(vec![redirect(&storage, 3900); redirects]).await;
    (storage, service, store)
}

#[tokio::test]
async fn a_download_sends_no_credentials_to_the_storage() {
    let storage = ScriptedServer::start([whole(CONTENT)]).await;
    let service = ScriptedServer::start([redirect(&storage, 3900)]).await;
    let store = open(config(&service).token("TOKENcanary").secret_key("SECRETcanary"));
    let downloaded = store.download(file().into()).await.unwrap();
    assert_eq!((downloaded.file.name.as_str(), downloaded.file.size), ("cat.txt", Some(11)));
    assert_eq!(downloaded.file.content_type.as_deref(), Some("text/plain"));
    assert_eq!(downloaded.file.digests[0].hex, md5(CONTENT));
    assert_eq!(downloaded.bytes(100).await.unwrap(), CONTENT);

    assert_eq!(paths(&service), [format!("GET /v1/files/sub-c-canary/channels/room-1/files/{ID}/cat.txt")]);
    let get = storage.request();
    assert!(
        get.head.starts_with(&format!(
            "GET /sub/H/{ID}/cat.txt?X-Amz-Date=20260301T100000Z&X-Amz-Expires=3900&X-Amz-Signature=SIGcanary HTTP"
        )),
        "{}",
        get.head
    );
    assert!(!get.head.contains("TOKEN") && !get.head.contains("uuid") && !get.head.contains("SECRET"), "{}", get.head);
}

#[tokio::test]
async fn a_presigned_url_is_requested_once_while_it_is_valid() {
    let storage = ScriptedServer::start(vec![whole(CONTENT); 3]).await;
    let service = ScriptedServer::start(vec![redirect(&storage, 3900); 2]).await;
    let clock = TestClock::new();
    let store = PubNubStore::with_clock(config(&service), Arc::<TestClock>::clone(&clock)).unwrap();
    read(&store).await.unwrap();
    read(&store).await.unwrap();
    assert_eq!(service.requests().len(), 1);
    clock.advance(Duration::from_secs(3840));
    read(&store).await.unwrap();
    assert_eq!(service.requests().len(), 2);
}

#[tokio::test]
async fn an_expired_presigned_url_is_replaced_within_the_attempts() {
    let expired_url = || xml(403, "AccessDenied", "Request has expired");
    let (storage, service, store) = servers([expired_url(), whole(CONTENT)], 2).await;
    assert_eq!(read(&store).await.unwrap(), CONTENT);
    assert_eq!((storage.requests().len(), service.requests().len()), (2, 2));

    let (storage, service, store) = servers([expired_url(), expired_url(), expired_url(), expired_url()], 4).await;
    let error = read(&store).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Timeout, Effect::Rejected));
    assert_eq!((storage.requests().len(), service.requests().len()), (4, 4));

    let other = || xml(403, "SignatureDoesNotMatch", "m");
    let (storage, _service, store) = servers([other()], 1).await;
    assert_eq!(read(&store).await.unwrap_err().kind(), ErrorKind::Permission);
    assert_eq!(storage.requests().len(), 1, "a new presigned URL would be rejected as well");
}

#[tokio::test]
async fn a_missing_file_is_not_found() {
    let (storage, _service, store) = servers([xml(404, "NoSuchKey", "The specified key does not exist.")], 1).await;
    let error = read(&store).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::NotFound, Effect::Rejected));
    assert_eq!((error.provider_code(), storage.requests().len()), (Some("NoSuchKey"), 1));
}

#[tokio::test]
async fn a_broken_download_resumes_with_a_new_presigned_url() {
    let head = format!("ETag: \"{}\"", md5(CONTENT));
    let rest = Reply::with_status(206, &[&head, "Content-Range: bytes 6-10/11"], "world");
    let (storage, service, store) = servers([Reply::cut(200, &[&head], 11, "hello "), rest], 2).await;
    // A connection reset may discard bytes that were sent before it. The rest is then requested from an earlier byte.
    match read(&store).await {
        Ok(content) => assert_eq!(content, CONTENT),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Integrity, "{error}"),
    }
    assert_eq!((storage.requests().len(), service.requests().len()), (2, 2));
    assert_eq!(storage.requests()[1].header("if-range"), Some(&*format!("\"{}\"", md5(CONTENT))));
}

#[tokio::test]
async fn a_wrong_digest_is_an_error_at_the_end() {
    let mismatched = Reply::with_status(200, &[&format!("ETag: \"{}\"", md5(b"other"))], CONTENT);
    let (_storage, _service, store) = servers([mismatched], 1).await;
    assert_eq!(kind_and_effect(&read(&store).await.unwrap_err()), (ErrorKind::Integrity, Effect::Rejected));
}

#[tokio::test]
async fn a_truncated_download_is_an_error() {
    let short = b"HTTP/1.1 200 X\r\nConnection: close\r\nContent-Length: 11\r\n\r\nhello".to_vec();
    let (_storage, _service, store) = servers([Reply::Response(short)], 1).await;
    assert!(read(&store).await.is_err());
}

#[tokio::test]
async fn the_first_bytes_select_the_scheme_of_the_decryption() {
    for crypto in [Crypto::Acrh, Crypto::Legacy] {
        let content = filestore_core::Body::from(CONTENT).open().await.unwrap();
        let ciphertext = Cipher::new(crypto, "k").unwrap().encrypt(content).collect(1000).await.unwrap();
        let (_storage, _service, store) = servers([whole(&ciphertext)], 1).await;
        let store = store.with_cipher(Some(Cipher::new(Crypto::Acrh, "k").unwrap()));
        let downloaded = store.download(file().into()).await.unwrap();
        assert_eq!((downloaded.file.size, downloaded.file.stored_size), (None, Some(ciphertext.len() as u64)));
        assert!(downloaded.file.digests.is_empty());
        assert_eq!(downloaded.bytes(100).await.unwrap(), CONTENT);
    }
}

#[tokio::test]
async fn a_range_is_requested_and_returned() {
    let part = Reply::with_status(206, &["Content-Range: bytes 2-4/11", "ETag: \"x\""], "llo");
    let (storage, _service, store) = servers([part], 1).await;
    let downloaded = store.download(Download::from(file()).range(2..5)).await.unwrap();
    assert_eq!((downloaded.range.clone(), downloaded.file.size), (Some(2..5), Some(11)));
    assert_eq!(downloaded.bytes(100).await.unwrap(), "llo");
    assert_eq!(storage.request().header("range"), Some("bytes=2-4"));
}

/// The response of a storage with `content` to the range `bytes=FROM-TO`.
fn part_of(content: &[u8], from: usize, to: usize) -> Reply {
    let to = to.min(content.len() - 1);
    let range = format!("Content-Range: bytes {from}-{to}/{}", content.len());
    Reply::with_status(206, &[&range, "ETag: \"x\""], &content[from..=to])
}

#[tokio::test]
async fn a_range_of_an_encrypted_file_reads_only_the_blocks_that_it_needs() {
    let content: Vec<u8> = (0..100).collect();
    for (crypto, vector) in [(Crypto::Acrh, 10), (Crypto::Legacy, 0)] {
        let cipher = Cipher::new(crypto, "k").unwrap();
        let body = filestore_core::Body::from(content.clone()).open().await.unwrap();
        let ciphertext = cipher.encrypt(body).collect(1000).await.unwrap();
        let end = ciphertext.len();
        // The range, and the bytes that are read for it, counted from the initialization vector: the block before the
        // range, the blocks of the range, and the block after it.
        let table = [
            (20..40, 16..80),
            (0..1, 0..48),
            (16..32, 16..64),
            (15..17, 0..64),
            (90..1000, 80..128),
            (99..100, 96..128),
            (96..97, 96..128),
            (0..100, 0..128),
            (48..48, 48..80),
        ];
        for (range, blocks) in table {
            let (from, to) = (vector + blocks.start, vector + blocks.end - 1);
            let replies =
                [part_of(&ciphertext, 0, 27), part_of(&ciphertext, end - 32, end - 1), part_of(&ciphertext, from, to)];
            let (storage, _service, store) = servers(replies, 1).await;
            let store = store.with_cipher(Some(cipher.clone()));
            let downloaded = store.download(Download::from(file()).range(range.clone())).await.unwrap();
            let requested: Vec<_> =
                storage.requests().iter().map(|request| request.header("range").unwrap().to_owned()).collect();
            assert_eq!(
                requested,
                ["bytes=0-27".to_owned(), format!("bytes={}-{}", end - 32, end - 1), format!("bytes={from}-{to}"),],
                "{crypto:?} {range:?}"
            );
            assert_eq!((downloaded.file.size, downloaded.file.stored_size), (Some(100), Some(end as u64)));
            let returned = range.start..range.end.min(100);
            assert_eq!(downloaded.range, Some(returned.clone()));
            let expected = &content[returned.start as usize..returned.end as usize];
            assert_eq!(downloaded.bytes(1000).await.unwrap(), expected, "{crypto:?} {range:?}");
        }
    }
}

#[tokio::test]
async fn blocks_that_were_not_requested_are_not_decrypted() {
    let cipher = Cipher::new(Crypto::Legacy, "k").unwrap();
    let body = filestore_core::Body::from(vec![7; 100]).open().await.unwrap();
    let ciphertext = cipher.encrypt(body).collect(1000).await.unwrap();
    let end = ciphertext.len();
    let whole = || Reply::with_status(200, &["ETag: \"x\""], &ciphertext);
    let (begin, last) = (part_of(&ciphertext, 0, 27), part_of(&ciphertext, end - 32, end - 1));
    for replies in [vec![begin.clone(), whole()], vec![begin.clone(), last, whole()], vec![part_of(&ciphertext, 1, 27)]]
    {
        let (_storage, _service, store) = servers(replies, 1).await;
        let store = store.with_cipher(Some(cipher.clone()));
        let read = async { store.download(Download::from(file()).range(32..48)).await?.bytes(99).await };
        let error = read.await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Protocol | ErrorKind::Unsupported), "{error}");
    }
}

#[tokio::test]
async fn a_range_of_a_file_that_is_not_encrypted_is_an_error_with_a_cipher_key() {
    let key = || Some(Cipher::new(Crypto::Acrh, "k").unwrap());
    let ranged = || Download::from(file()).range(0..1);
    for content in [&b"short"[..], b"sixteen bytes....", b"exactly a vector"] {
        let (_storage, _service, store) = servers([part_of(content, 0, 27)], 1).await;
        let error = store.with_cipher(key()).download(ranged()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Integrity, "{error}");
    }
    let (_storage, _service, store) = servers([part_of(b"PNED\x01XXXX\x10 and more of it", 0, 27)], 1).await;
    assert_eq!(store.with_cipher(key()).download(ranged()).await.unwrap_err().kind(), ErrorKind::Unsupported);
    let (_storage, _service, store) = servers([whole(CONTENT)], 1).await;
    assert_eq!(store.with_cipher(key()).download(ranged()).await.unwrap_err().kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn a_range_beyond_the_end_of_an_encrypted_file_is_not_satisfiable() {
    let cipher = Cipher::new(Crypto::Acrh, "k").unwrap();
    let body = filestore_core::Body::from(CONTENT).open().await.unwrap();
    let ciphertext = cipher.encrypt(body).collect(1000).await.unwrap();
    let end = ciphertext.len();
    let (_storage, _service, store) =
        servers([part_of(&ciphertext, 0, 27), part_of(&ciphertext, end - 32, end - 1)], 1).await;
    let error = store.with_cipher(Some(cipher)).download(Download::from(file()).range(11..)).await.unwrap_err();
    assert_eq!(kind_and_effect(&error).0, ErrorKind::RangeNotSatisfiable, "{error}");
}

#[tokio::test]
async fn a_range_is_taken_from_the_whole_file_if_the_storage_does_not_support_ranges() {
    for (range, expected) in [(2..5, &b"llo"[..]), (6..100, b"world"), (0..11, CONTENT), (3..3, b"")] {
        let (_storage, _service, store) = servers([whole(CONTENT)], 1).await;
        let downloaded = store.download(Download::from(file()).range(range.clone())).await.unwrap();
        assert_eq!(downloaded.range, Some(range.start..range.end.min(11)));
        assert_eq!(downloaded.bytes(100).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_range_beyond_the_end_is_not_satisfiable() {
    let (_storage, _service, store) =
        servers([xml(416, "InvalidRange", "The requested range is not satisfiable")], 1).await;
    let error = store.download(Download::from(file()).range(100..)).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::RangeNotSatisfiable, Effect::Rejected));
    let (_storage, _service, store) = servers([whole(CONTENT)], 1).await;
    let error = store.download(Download::from(file()).range(11..)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RangeNotSatisfiable);
}

#[tokio::test]
async fn bytes_that_were_not_requested_are_a_protocol_error() {
    let other = Reply::with_status(206, &["Content-Range: bytes 3-5/11", "ETag: \"x\""], "lo ");
    let (_storage, _service, store) = servers([other], 1).await;
    let error = store.download(Download::from(file()).range(2..5)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
}

#[tokio::test]
async fn an_invalid_presigned_url_is_rejected_and_not_shown() {
    for location in [
        "/relative?X-Amz-Signature=SIGcanary",
        "ftp://x/?SIGcanary",
        "",
        "https://u:SIGcanary@x/",
        "https://elsewhere/SIGcanary",
    ] {
        let (_service, store) = store([Reply::with_status(307, &[&format!("Location: {location}")], "")]).await;
        let error = read(&store).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{location}");
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    }
    let (_service, store) = store([Reply::json(200, "{}")]).await;
    assert_eq!(read(&store).await.unwrap_err().kind(), ErrorKind::Protocol);
}

#[tokio::test]
async fn a_url_has_an_expiry_and_no_credentials_of_the_keyset() {
    let storage = ScriptedServer::start([]).await;
    let service = ScriptedServer::start([redirect(&storage, 3900)]).await;
    let store = open(config(&service).token("TOKENcanary"));
    let url = store.url(file().into()).await.unwrap();
    assert_eq!((url.kind(), url.expires()), (UrlKind::Signed, Some("2026-03-01T11:05:00Z".parse().unwrap())));
    assert!(url.as_str().starts_with(storage.url().as_str()) && !url.as_str().contains("TOKEN"));
    // The cached URL is returned while its remaining time is sufficient.
    store.url(UrlRequest::from(file()).lifetime(Duration::from_secs(3900))).await.unwrap();
    assert_eq!((service.requests().len(), storage.requests().len()), (1, 0));
}

#[tokio::test]
async fn a_presigned_url_expires_by_the_clock_of_the_service() {
    // The local time is 10:00. If the service's time is 10:30, a URL that expires at 11:05 is valid for 35 minutes.
    let storage = ScriptedServer::start([]).await;
    let signed = format!("{}a?X-Amz-Date=20260301T100000Z&X-Amz-Expires=3900&X-Amz-Signature=s", storage.url());
    let redirect =
        |date: &str| Reply::with_status(307, &[&format!("Location: {signed}"), &format!("Date: {date}")], "");
    let script = ["Sun, 01 Mar 2026 10:30:00 GMT", "Sun, 01 Mar 2026 11:04:30 GMT", "Sun, 01 Mar 2026 09:00:00 GMT"];
    let (service, store) = store(script.map(redirect)).await;
    let url_for = |seconds| store.url(UrlRequest::from(file()).lifetime(Duration::from_secs(seconds)));
    url_for(2100).await.unwrap();
    let error = url_for(2101).await.unwrap_err();
    assert!(error.to_string().contains("expire in 30 s"), "{error}");
    // A URL that is valid for 30 s is not cached. If the service's time is 9:00, the URL is valid for two hours.
    url_for(7500).await.unwrap();
    assert_eq!(service.requests().len(), 3);
}

#[tokio::test]
async fn a_success_without_an_etag_is_not_a_file_of_the_storage() {
    for body in ["<html>Sign in to this network</html>", ""] {
        let page = Reply::with_status(200, &["Content-Type: text/html"], body);
        let (_service, _storage, store) = servers([page], 1).await;
        let error = read(&store).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Rejected), "{error}");
    }
}

#[tokio::test]
async fn a_response_without_a_size_ends_at_the_largest_size_of_a_file() {
    let chunked = |content: &str| {
        let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nETag: W/\"1\"\r\nTransfer-Encoding: chunked\r\n\r\n";
        Reply::Response(format!("{head}{:x}\r\n{content}\r\n0\r\n\r\n", content.len()).into_bytes())
    };
    let storage = ScriptedServer::start([chunked("hello"), chunked("hello!")]).await;
    let service = ScriptedServer::start(vec![redirect(&storage, 3900)]).await;
    let store = open(config(&service).max_file_size(5));
    assert_eq!(read(&store).await.unwrap(), b"hello");
    let error = read(&store).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Rejected), "{error}");
    assert!(error.to_string().contains("max_file_size"), "{error}");
}

#[tokio::test]
async fn a_body_with_a_content_encoding_is_rejected() {
    let encoded = Reply::with_status(200, &["ETag: W/\"1\"", "Content-Encoding: gzip"], "hello");
    let (_service, _storage, store) = servers([encoded], 1).await;
    let error = read(&store).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Rejected), "{error}");
    assert!(error.to_string().contains("encoded with gzip"), "{error}");
}

#[tokio::test]
async fn a_url_with_a_too_long_lifetime_is_rejected_with_the_remaining_time() {
    let storage = ScriptedServer::start([]).await;
    let (_service, store) = store([redirect(&storage, 3900)]).await;
    let error = store.url(UrlRequest::from(file()).lifetime(Duration::from_secs(3901))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("3900 s"), "{error}");
}

#[tokio::test]
async fn a_url_of_an_encrypted_file_is_returned_by_file_url_only() {
    let storage = ScriptedServer::start([]).await;
    let (service, store) = store([redirect(&storage, 3900)]).await;
    let store = store.with_cipher(Some(Cipher::new(Crypto::Acrh, "k").unwrap()));
    assert_eq!(store.url(file().into()).await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert!(service.requests().is_empty());
    store.file_url(&file(), None).await.unwrap();
}

#[tokio::test]
async fn the_presigned_url_of_a_deleted_file_is_removed_from_the_cache() {
    let storage = ScriptedServer::start([whole(CONTENT), xml(404, "NoSuchKey", "m")]).await;
    let (service, store) =
        store([redirect(&storage, 3900), Reply::json(200, "{\"status\":200}"), redirect(&storage, 3900)]).await;
    read(&store).await.unwrap();
    store.delete(Delete::from(file())).await.unwrap();
    assert_eq!(read(&store).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(service.requests().len(), 3);
}
