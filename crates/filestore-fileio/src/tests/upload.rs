//! Uploads: their requests, and the meaning of their responses.

use filestore_core::{Body, Expiry, FileStore, Period};
use wiremock::matchers::{bearer_token, body_string, body_string_contains, header, method, path};

use super::*;
use crate::{FileIoUpdate, FileIoUpload, MaxDownloads};

fn has_exact_content_length(request: &Request) -> bool {
    request.headers.get("content-length").is_some_and(|length| *length == request.body.len().to_string())
}

#[tokio::test]
async fn an_upload_is_one_form_with_the_file_last() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/"))
        .and(query(None))
        .and(header("accept", "application/json"))
        .and(without_header("authorization"))
        .and(has_exact_content_length)
        .and(form(
            "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"report.txt\"\r\nContent-Type: text/plain\r\n\r\nhello world\r\n--B--\r\n",
        ))
        .respond_with(json(200, STORED))
        .expect(1)
        .mount(&server)
        .await;
    let stored = anonymous(&server).upload(hello()).await;
    server.verify().await;
    let file = stored.unwrap();
    assert_eq!(file.reference().to_string(), ":fileio:KEYcanary123");
    assert_eq!((file.name.as_str(), file.size, file.remaining_downloads), ("report.txt", Some(11), Some(1)));
    assert_eq!(file.expiry, Expiry::At("2026-03-15T10:00:00Z".parse().unwrap()));
}

#[tokio::test]
async fn all_options_of_an_upload_are_sent() {
    let response = changed("\"title\":null", "\"title\":\"Q 3\"")
        .replace("2026-03-15", "2026-03-31")
        .replace("\"maxDownloads\":1", "\"maxDownloads\":3")
        .replace("\"autoDelete\":true", "\"autoDelete\":false");
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/"))
        .and(query(Some("title=Q+3")))
        .and(bearer_token(API_KEY))
        .and(form(
            "--B\r\nContent-Disposition: form-data; name=\"expires\"\r\n\r\n30d\r\n\
             --B\r\nContent-Disposition: form-data; name=\"maxDownloads\"\r\n\r\n3\r\n\
             --B\r\nContent-Disposition: form-data; name=\"autoDelete\"\r\n\r\nfalse\r\n\
             --B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"report.txt\"\r\nContent-Type: text/x-mine\r\n\r\nhello world\r\n--B--\r\n",
        ))
        .respond_with(json(200, &response))
        .expect(1)
        .mount(&server)
        .await;
    let options = FileIoUpload::new().max_downloads(3).auto_delete(false).title("Q 3");
    let upload = hello().content_type("text/x-mine").expires_in(Period::days(30)).with(options);
    let stored = with_key(&server).upload(upload).await;
    server.verify().await;
    assert_eq!(stored.unwrap().remaining_downloads, Some(3));
}

#[tokio::test]
async fn never_and_unlimited_are_empty_values() {
    let response = changed("\"expires\":\"2026-03-15T10:00:00.000Z\"", "\"expires\":null")
        .replace("\"maxDownloads\":1", "\"maxDownloads\":null");
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(body_string_contains("name=\"expires\"\r\n\r\n\r\n"))
        .and(body_string_contains("name=\"maxDownloads\"\r\n\r\n\r\n"))
        .respond_with(json(200, &response))
        .expect(1)
        .mount(&server)
        .await;
    let options = FileIoUpload::new().max_downloads(MaxDownloads::Unlimited);
    let stored = with_key(&server).upload(hello().expires(Expiry::Never).with(options)).await;
    server.verify().await;
    let file = stored.unwrap();
    assert_eq!((file.expiry, file.remaining_downloads), (Expiry::Never, None));
}

#[tokio::test]
async fn without_a_key_options_of_a_paid_plan_are_rejected_before_anything_is_sent() {
    let server = responding([]).await;
    let store = anonymous(&server);
    for upload in [
        hello().with(FileIoUpload::new().max_downloads(2)),
        hello().with(FileIoUpload::new().auto_delete(false)),
        hello().expires(Expiry::Never),
    ] {
        assert_eq!(
            kind_and_effect(&store.upload(upload).await.unwrap_err()),
            (ErrorKind::Unsupported, Effect::NotSent)
        );
    }
    let large = Body::from_reader(tokio::io::empty(), Some(2_000_000_001));
    let error = store.upload(Upload::new("a", large)).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::TooLarge, Effect::NotSent));
}

#[tokio::test]
async fn an_empty_file_is_stored() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(has_exact_content_length)
        .and(body_string_contains("Content-Type: text/plain\r\n\r\n\r\n--"))
        .respond_with(json(200, &changed("\"size\":11", "\"size\":0")))
        .expect(1)
        .mount(&server)
        .await;
    let stored = anonymous(&server).upload(Upload::new("report.txt", "")).await;
    server.verify().await;
    assert_eq!(stored.unwrap().size, Some(0));
}

#[tokio::test]
async fn a_stream_of_unknown_length_is_stored() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(header("transfer-encoding", "chunked"))
        .and(without_header("content-length"))
        .and(body_string_contains("\r\n\r\nhello world\r\n--"))
        .respond_with(json(200, STORED))
        .expect(1)
        .mount(&server)
        .await;
    let stored =
        anonymous(&server).upload(Upload::new("report.txt", Body::from_reader(&b"hello world"[..], None))).await;
    server.verify().await;
    assert_eq!(stored.unwrap().size, Some(11));
}

#[tokio::test]
async fn a_response_of_generation_1_is_a_success_with_fewer_fields() {
    let server = responding([json(200, GEN1)]).await;
    let file = anonymous(&server).upload(hello().expires_in(Period::days(14))).await.unwrap();
    assert_eq!(file.reference().components(), ["a1B2c3"]);
    assert!(file.skipped.is_empty(), "{:?}", file.skipped);
    assert_eq!((file.name.as_str(), file.size, file.expiry), ("report.txt", Some(11), Expiry::Default));
}

#[tokio::test]
async fn an_expiry_in_words_is_compared_with_the_requested_one() {
    let in_words = |words: &str| GEN1.replace("14 days", words);
    let until = "2026-03-08T10:00:00Z".parse::<Expiry>().unwrap();
    for (expiry, words, is_missing) in [
        (Period::days(7).into(), "14 days", true),
        (Period::days(7).into(), "7 days", false),
        (Period::days(7).into(), "1 week", false),
        (Period::days(7).into(), "1 month", true),
        ("1M".parse().unwrap(), "1 month", false),
        ("2h".parse().unwrap(), "1 day", true),
        ("90m".parse().unwrap(), "2 hours", false),
        ("2y".parse().unwrap(), "1 year", false),
        (until, "7 days", false),
        (until, "14 days", true),
    ] {
        // The account's listing cannot be read.
        let deleted = [json(403, r#"{"success":false,"status":403}"#), json(200, r#"{"success":true,"status":200}"#)];
        let deleted = deleted.into_iter().filter(|_| is_missing);
        let server = responding([json(200, &in_words(words))].into_iter().chain(deleted)).await;
        let uploaded = with_key(&server).upload(hello().expires(expiry)).await;
        match uploaded {
            Ok(file) => assert!(!is_missing && file.skipped.is_empty(), "{expiry} {words}"),
            Err(error) => {
                assert!(is_missing, "{expiry} {words}: {error}");
                assert_eq!(kind_and_effect(&error), (ErrorKind::Unsupported, Effect::Rejected), "{error}");
                assert!(error.to_string().contains(words), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn a_shorter_lifetime_than_requested_is_reported() {
    let without_expiry = GEN1.replace(",\"expiry\":\"14 days\"", "");
    for (expiry, body) in [
        (Period::days(30).into(), GEN1.to_owned()),
        ("1y".parse().unwrap(), GEN1.replace("14 days", "1 day")),
        ("2027-03-01T10:00:00Z".parse().unwrap(), GEN1.to_owned()),
        (Expiry::Never, GEN1.to_owned()),
        (Expiry::Never, without_expiry),
    ] {
        let server = responding([json(200, &body)]).await;
        let file = with_key(&server).upload(hello().expires(expiry)).await.unwrap();
        assert_eq!(file.skipped, ["expiry"], "{expiry} {body}");
    }
}

/// Uploads with a requested protection that the short response of generation 1 does not confirm.
fn unconfirmed() -> Vec<(Upload, String)> {
    let without_expiry = GEN1.replace(",\"expiry\":\"14 days\"", "");
    vec![
        (hello().with(FileIoUpload::new().max_downloads(2)), GEN1.to_owned()),
        (hello().with(FileIoUpload::new().auto_delete(true)), GEN1.to_owned()),
        (hello().expires_in(Period::days(7)), GEN1.replace("14 days", "soon")),
        (hello().expires_in(Period::days(7)), without_expiry),
    ]
}

#[tokio::test]
async fn a_protection_that_neither_a_short_response_nor_the_listing_confirms_is_missing() {
    let empty = r#"{"success":true,"status":200,"nodes":[],"count":0}"#;
    let deleted = || json(200, r#"{"success":true,"status":200}"#);
    for (upload, response) in unconfirmed() {
        let server = responding([json(200, &response), json(200, empty), deleted()]).await;
        let error = with_key(&server).upload(upload).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::Unsupported, Effect::Rejected), "{error}");
        assert!(error.to_string().contains("does not confirm"), "{error}");
    }
    // Without an account, there is no listing, and the file cannot be deleted.
    let server = responding([json(200, GEN1)]).await;
    let upload = hello().with(FileIoUpload::new().max_downloads(1));
    let error = anonymous(&server).upload(upload).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Incomplete, Effect::Applied), "{error}");
}

#[tokio::test]
async fn the_listing_confirms_a_protection_that_a_short_response_does_not() {
    let node = STORED.replace("KEYcanary123", "a1B2c3").replace("\"maxDownloads\":1", "\"maxDownloads\":2");
    let node = node.replace("2026-03-15T10:00:00.000Z", "2026-03-08T10:00:00.000Z");
    let listing = format!(r#"{{"success":true,"status":200,"nodes":[{node}],"count":1}}"#);
    for (upload, response) in unconfirmed() {
        let server = responding([json(200, &response), json(200, &listing)]).await;
        let file = with_key(&server).upload(upload).await.unwrap();
        assert!(file.skipped.is_empty(), "{:?}", file.skipped);
        assert_eq!(file.remaining_downloads, Some(2));
    }
}

#[tokio::test]
async fn another_size_than_was_sent_is_an_integrity_error_with_the_file() {
    let server = responding([json(200, &changed("\"size\":11", "\"size\":10"))]).await;
    let error = with_key(&server).upload(hello()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Integrity, Effect::Applied), "{error}");
    assert_eq!(error.stored().unwrap().reference().components(), ["KEYcanary123"]);
}

/// Uploads with a requested protection, and responses without it.
fn unprotected() -> Vec<(Upload, String)> {
    let once = || hello().with(FileIoUpload::new().max_downloads(1));
    let end = "\"expires\":\"2026-03-15T10:00:00.000Z\"";
    let created = "\"created\":\"2026-03-01T10:00:00.000Z\",";
    let far = STORED.replace(end, "\"expires\":\"2099-01-01T00:00:00Z\"");
    vec![
        // Missing or unreadable.
        (hello().expires_in(Period::days(7)), STORED.replace(end, "\"expires\":\"in 99 years\"")),
        (once(), changed("\"maxDownloads\":1,", "")),
        (once(), changed("\"maxDownloads\":1", "\"maxDownloads\":-1")),
        // 0 may mean that there is no limit.
        (once(), changed("\"maxDownloads\":1", "\"maxDownloads\":0")),
        (hello().with(FileIoUpload::new().auto_delete(true)), changed("\"autoDelete\":true,", "")),
        (hello().expires_in(Period::days(7)), far.replace(created, "")),
        // Without a readable time of creation, it is generation 2 all the same.
        (once(), changed("\"maxDownloads\":1,", "").replace(created, "")),
        (
            once(),
            changed("\"maxDownloads\":1", "\"maxDownloads\":\"two\"").replace(created, "\"created\":1706695200000,"),
        ),
        (hello().expires_in(Period::days(7)), STORED.replace(created, "").replace(end, "\"expires\":\"in 99 years\"")),
        // With another size as well.
        (once(), changed("\"maxDownloads\":1", "\"maxDownloads\":null").replace("\"size\":11", "\"size\":3")),
        (hello().expires_in(Period::days(7)), STORED.to_owned()),
        (hello().expires_in(Period::days(7)), changed("\"expires\":\"2026-03-15T10:00:00.000Z\"", "\"expires\":null")),
        (hello().with(FileIoUpload::new().max_downloads(1)), changed("\"maxDownloads\":1", "\"maxDownloads\":null")),
        (hello().with(FileIoUpload::new().auto_delete(true)), changed("\"autoDelete\":true", "\"autoDelete\":false")),
    ]
}

#[tokio::test]
async fn a_file_without_the_requested_protection_is_deleted_again() {
    for (upload, response) in unprotected() {
        let server = MockServer::start().await;
        Mock::given(method("POST")).respond_with(json(200, &response)).expect(1).mount(&server).await;
        Mock::given(method("DELETE"))
            .and(path("/KEYcanary123"))
            .respond_with(json(200, r#"{"success":true,"status":200}"#))
            .expect(1)
            .mount(&server)
            .await;
        let error = with_key(&server).upload(upload).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::Unsupported, Effect::Rejected), "{error}");
        assert!(error.to_string().contains("deleted again") && error.stored().is_none(), "{error}");
    }
}

#[tokio::test]
async fn a_file_without_the_requested_protection_that_cannot_be_deleted_is_in_the_error() {
    for (upload, response) in unprotected() {
        let server = responding([json(200, &response), json(403, r#"{"success":false,"status":403}"#)]).await;
        let error = with_key(&server).upload(upload).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::Incomplete, Effect::Applied), "{error}");
        assert_eq!(error.stored().unwrap().reference().components(), ["KEYcanary123"]);
    }
}

#[tokio::test]
async fn an_anonymous_file_without_the_requested_protection_is_deleted_with_its_token() {
    let server = MockServer::start().await;
    let longer = json(200, STORED).insert_header("x-file-io-anonymous-access-token", "TOKENcanary");
    Mock::given(method("POST")).respond_with(longer).expect(1).mount(&server).await;
    Mock::given(method("DELETE"))
        .and(bearer_token("TOKENcanary"))
        .respond_with(json(200, r#"{"success":true}"#))
        .expect(1)
        .mount(&server)
        .await;
    let error = anonymous(&server).upload(hello().expires_in(Period::days(7))).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Unsupported, Effect::Rejected), "{error}");
}

#[tokio::test]
async fn other_options_that_the_service_ignores_are_reported() {
    let table = [
        (hello().expires(Expiry::Never), "expiry"),
        (hello().expires("2026-03-16T10:00:00Z".parse::<Expiry>().unwrap()), "expiry"),
        (hello().with(FileIoUpload::new().max_downloads(3)), "max_downloads"),
        (hello().with(FileIoUpload::new().auto_delete(false)), "auto_delete"),
        (hello().with(FileIoUpload::new().title("t")), "title"),
    ];
    for (upload, ignored) in table {
        let server = responding([json(200, STORED)]).await;
        assert_eq!(with_key(&server).upload(upload).await.unwrap().skipped, [ignored]);
    }
}

#[tokio::test]
async fn a_success_without_a_usable_key_is_unknown() {
    for response in [r#"{"success":true}"#, r#"{"success":true,"key":"../x"}"#, r#"{"success":true,"key":"Ab12"#, "[]"]
    {
        let server = responding([json(200, response)]).await;
        let error = anonymous(&server).upload(hello()).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Unknown), "{response}");
    }
}

#[tokio::test]
async fn one_wrongly_typed_field_does_not_lose_the_key() {
    let odd = r#"{"success":true,"key":"Abc123","size":"six"}"#;
    let odder = r#"{"success":true,"status":{},"code":1,"message":[],"key":"Abc123","name":1,"title":2,"description":[],"size":-1,"expires":14,"downloads":"no","maxDownloads":{},"autoDelete":"yes","screeningStatus":0,"mimeType":false,"created":0,"modified":"today"}"#;
    for response in [odd, odder] {
        let server = responding([json(200, response)]).await;
        let file = with_key(&server).upload(hello()).await.unwrap();
        assert_eq!(file.reference().components(), ["Abc123"]);
        assert_eq!((file.name.as_str(), file.size, file.expiry), ("report.txt", Some(11), Expiry::Default));
    }
}

#[tokio::test]
async fn names_that_change_silently_are_rejected_before_anything_is_sent() {
    let server = responding([]).await;
    let store = with_key(&server);
    for name in ["a%22b.txt", "a%0Db.txt", "a%0db.txt", "a%0Ab.txt", "%0a"] {
        let update = FileIoUpdate::new().content(name, "hello");
        let errors = [
            store.upload(Upload::new(name, "hello")).await.unwrap_err(),
            store.replace(&key(), Upload::new(name, "hello")).await.unwrap_err(),
            store.update(&key(), update).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(kind_and_effect(&error), (ErrorKind::InvalidInput, Effect::NotSent), "{name}");
            assert!(error.to_string().contains("give it a name without %22"), "{error}");
        }
    }
}

#[tokio::test]
async fn any_other_percent_sign_of_a_name_is_kept() {
    let server = MockServer::start().await;
    Mock::given(body_string_contains("filename=\"100%2 %20%2F.txt\""))
        .respond_with(json(200, STORED))
        .expect(1)
        .mount(&server)
        .await;
    let stored = anonymous(&server).upload(Upload::new("100%2 %20%2F.txt", "hello world")).await;
    server.verify().await;
    stored.unwrap();
}

#[tokio::test]
async fn a_text_is_sent_as_a_urlencoded_form() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/"))
        .and(header("content-type", "application/x-www-form-urlencoded"))
        .and(body_string("text=a%26b+%C3%BC%3Dw%C3%B6rld&expires=14d"))
        .respond_with(json(200, STORED))
        .expect(1)
        .mount(&server)
        .await;
    let owned = anonymous(&server).upload_text("a&b ü=wörld", Expiry::After(Period::days(14))).await;
    server.verify().await;
    // 13 bytes were sent, the response reports 11.
    assert_eq!(owned.unwrap_err().kind(), ErrorKind::Integrity);
}
