//! Uploads: the requests of each, retries, and the effect of each failure.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use filestore_core::{Body, Cleanup, Effect, Error, ErrorKind, FileRef, FileStore, IfExists, Store, Timestamp, Upload};
use futures::FutureExt;
use futures::stream;
use serde_json::json;
use wiremock::ResponseTemplate;

use super::site::{FaultAction, Site, State, expired, xml};
use super::{folder, kind_and_effect, not_found, rejection, response};
use crate::{ByteSize, FilesComUpload, Verify, metadata};

const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz";

fn alphabet() -> Upload {
    Upload::new("a.txt", ALPHABET)
}

/// Returns a stream of `content` in chunks of three bytes.
fn streamed(content: &'static [u8], length: Option<u64>) -> Body {
    Body::from_stream(stream::iter(content.chunks(3).map(Ok::<_, Error>)), length)
}

fn one_at_a_time(site: &Site) -> crate::FilesComStore {
    site.open(|mut config| {
        config.parallel = std::num::NonZeroU32::MIN;
        config
    })
    .0
}

#[tokio::test]
async fn a_small_file_is_three_requests() {
    let site = Site::with_parts_of(100).await;
    let file = site.store().upload(Upload::new("a.txt", "hello").scope("in/b")).await.unwrap();
    assert_eq!(
        site.log(),
        [
            r#"POST file_actions/begin_upload/in/b/a.txt {"size":5,"mkdir_parents":true}"#,
            "PUT /storage/up/1/1",
            r#"POST files/in/b/a.txt {"action":"end","ref":"put-1","etags":[{"etag":"5d41402abc4b2a76b9719d911017c592","part":1}],"size":5,"mkdir_parents":true}"#,
        ]
    );
    assert_eq!(file.reference.to_string(), ":filescom:in/b/a.txt");
    assert_eq!((file.size, file.name.as_str()), (Some(5), "a.txt"));
    assert_eq!(site.content("in/b/a.txt").unwrap(), b"hello");
}

#[tokio::test]
async fn an_empty_file_is_one_empty_part() {
    let site = Site::with_parts_of(100).await;
    for body in [Body::from(""), streamed(b"", None), streamed(b"", Some(0))] {
        let file = site.store().upload(Upload::new("empty", body)).await.unwrap();
        assert_eq!(file.size, Some(0));
    }
    assert_eq!((site.count("PUT "), site.count("POST file_actions")), (3, 3));
    assert!(site.log()[2].contains(r#"[{"etag":"d41d8cd98f00b204e9800998ecf8427e","part":1}],"size":0"#));
}

#[tokio::test]
async fn parts_are_sent_concurrently_and_stored_in_order_from_every_kind_of_body() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, ALPHABET).unwrap();
    let reopenable = Body::reopenable(
        || async { Ok(filestore_core::ByteStream::upload(stream::iter([Ok(ALPHABET.into())]), None)) },
        None,
    );
    for body in [
        Body::from(ALPHABET),
        Body::from_path(file.path()).unwrap(),
        streamed(ALPHABET, Some(26)),
        streamed(ALPHABET, None),
        reopenable,
    ] {
        let site = Site::with_parts_of(4).await;
        let stored = site.store().upload(Upload::new("a.txt", body)).await.unwrap();
        assert_eq!(site.content("a.txt").unwrap(), ALPHABET);
        assert_eq!((stored.size, site.count("PUT ")), (Some(26), 7));
    }
}

#[tokio::test]
async fn the_version_is_the_digest_and_the_size_once_the_service_has_computed_it() {
    let site = Site::with_parts_of(10).await;
    let store = site.store();
    // Of three parts, whose MD5 would not be that of the file.
    let stored = store.upload(alphabet()).await.unwrap();
    let version = Some(format!("{:08x}-26", crc32fast::hash(ALPHABET)));
    assert_eq!((stored.version, stored.digests.len(), site.count("PUT ")), (version.clone(), 0, 3));
    let found = store.stat(stored.reference.clone().into()).await.unwrap();
    assert_eq!(found.version, None, "the service has no digest yet");
    site.state().digests = true;
    assert_eq!(store.stat(stored.reference.clone().into()).await.unwrap().version, version);
    assert_eq!(store.download(stored.reference.into()).await.unwrap().file.version, version);
    let new = store.upload(Upload::new("new", ALPHABET).if_exists(IfExists::Fail)).await.unwrap();
    assert_eq!(new.version, version);

    let (unverified, _) = site.open(|config| config.verify(Verify::None));
    assert_eq!(unverified.upload(alphabet()).await.unwrap().version, None);
}

/// The service writes digests without leading zeros.
#[test]
fn a_version_has_the_leading_zeros_of_the_digest() {
    assert_eq!(metadata::version(9, "1A2b").as_deref(), Some("00001a2b-9"));
    assert_eq!(metadata::version(0, "0").as_deref(), Some("00000000-0"));
    assert_eq!(metadata::version(9, "not \"hex\""), None);
}

#[tokio::test]
async fn presigned_urls_are_requested_in_batches() {
    let site = Site::with_parts_of(1).await;
    site.store().upload(alphabet()).await.unwrap();
    // One part was expected; then the remaining ones, at most two for each part that may be in flight.
    let requests: Vec<_> = site.log().into_iter().filter(|line| line.contains("begin_upload")).collect();
    assert_eq!(
        requests,
        [
            r#"POST file_actions/begin_upload/a.txt {"size":26,"mkdir_parents":true}"#,
            r#"POST file_actions/begin_upload/a.txt {"ref":"put-1","part":2,"parts":25,"mkdir_parents":true}"#,
        ]
    );
}

#[tokio::test]
async fn the_parts_of_all_files_have_one_bound_and_small_files_do_not_wait_for_them() {
    let site = Site::with_parts_of(20).await;
    let store = site.store();
    let mut others = Vec::new();
    while let Some(permit) = store.part_permit().now_or_never() {
        others.push(permit);
    }
    assert_eq!(others.len(), 64);
    let large = tokio::spawn({
        let store = store.clone();
        async move { store.upload(alphabet()).await }
    });
    store.upload(Upload::new("small", "x")).await.unwrap();
    assert_eq!((site.count("PUT "), large.is_finished()), (1, false));
    others.pop();
    large.await.unwrap().unwrap();
    assert_eq!(site.count("PUT "), 3);
}

#[tokio::test]
async fn a_target_without_parallel_parts_receives_one_at_a_time() {
    let site = Site::with_parts_of(4).await;
    site.state().target = json!({"parallel_parts": false, "variable_part_limits": null, "partsize": 9});
    site.store().upload(alphabet()).await.unwrap();
    assert_eq!((site.content("a.txt").unwrap(), site.count("PUT ")), (ALPHABET.to_vec(), 3));
}

#[tokio::test]
async fn an_offset_and_headers_that_the_target_requires_are_sent_with_each_part() {
    let site = Site::with_parts_of(20).await;
    site.state().target = json!({"part_offset_query": true, "headers": {"x-mine": "yes"}});
    site.store().upload(alphabet()).await.unwrap();
    let requests = site.requests().await;
    let parts: Vec<_> = requests.iter().filter(|request| request.method == "PUT").collect();
    let mut offsets: Vec<_> = parts.iter().map(|part| part.url.query().unwrap().split("part_offset=").nth(1)).collect();
    offsets.sort_unstable();
    assert_eq!(offsets, [Some("0"), Some("20")]);
    assert!(parts.iter().all(|part| part.headers["x-mine"] == "yes"));
}

#[tokio::test]
async fn time_and_metadata_are_sent_with_the_finish() {
    let site = Site::with_parts_of(100).await;
    let upload = alphabet().metadata("colour", "red").modified("2025-12-24T08:00:00.75Z".parse::<Timestamp>().unwrap());
    let file = site.store().upload(upload).await.unwrap();
    assert!(site.log()[2].contains(r#""provided_mtime":"2025-12-24T08:00:00Z""#));
    assert!(site.log()[2].contains(r#""custom_metadata":{"colour":"red"}"#));
    assert_eq!(site.log().len(), 3);
    assert_eq!(file.modified, Some("2025-12-24T08:00:00Z".parse().unwrap()));
    assert_eq!(file.metadata["colour"], "red");
}

#[tokio::test]
async fn the_time_of_a_local_file_is_sent_unless_another_one_is_set() {
    let source = tempfile::NamedTempFile::new().unwrap();
    let time: Timestamp = "2001-02-03T04:05:06.75Z".parse().unwrap();
    source.as_file().set_modified(time.into()).unwrap();
    let upload = || Upload::new("a.txt", Body::from_path(source.path()).unwrap());
    let explicit = FilesComUpload::new().provided_mtime("2002-02-03T04:05:06Z".parse::<Timestamp>().unwrap());
    for (upload, sent) in [(upload(), "2001-02-03T04:05:06Z"), (upload().with(explicit), "2002-02-03T04:05:06Z")] {
        let site = Site::with_parts_of(100).await;
        site.store().upload(upload).await.unwrap();
        let finish = site.log().pop().unwrap();
        assert!(finish.contains(&format!(r#""provided_mtime":"{sent}""#)), "{finish}");
    }
}

#[tokio::test]
async fn metadata_that_the_finish_ignored_is_set_afterwards() {
    let site = Site::with_parts_of(100).await;
    let ignored = json!({"path": "a.txt", "type": "file", "size": 26, "custom_metadata": {}});
    site.fault("POST files/", FaultAction::ServeThenRespond(ResponseTemplate::new(201).set_body_json(ignored)));
    let file = site.store().upload(alphabet().metadata("colour", "red")).await.unwrap();
    assert_eq!(site.log()[3], r#"PATCH files/a.txt {"custom_metadata":{"colour":"red"}}"#);
    assert_eq!(file.metadata["colour"], "red");

    site.fault(
        "POST files/",
        FaultAction::ServeThenRespond(ResponseTemplate::new(201).set_body_json(json!({"size": 26}))),
    );
    site.fault("PATCH ", FaultAction::Respond(rejection(422, "processing-failure/metadata-not-supported-on-remotes")));
    let error = site.store().upload(alphabet().metadata("colour", "red")).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Incomplete, Effect::Applied));
    assert_eq!(error.stored().unwrap().reference.to_string(), ":filescom:a.txt");
}

#[tokio::test]
async fn time_and_metadata_that_the_service_ignores_are_skipped_and_not_reported_as_stored() {
    let time = "2025-12-24T08:00:00Z";
    let responses = [
        json!({"path": "a.txt", "type": "file", "size": 26}),
        json!({"path": "a.txt", "type": "file", "size": 26, "provided_mtime": "2020-01-01T00:00:00Z",
            "custom_metadata": {"colour": "blue"}}),
    ];
    for entry in responses {
        let site = Site::with_parts_of(100).await;
        site.fault("POST files/", FaultAction::ServeThenRespond(response(201, &entry)));
        site.fault("PATCH ", FaultAction::Respond(response(200, &entry)));
        let upload = alphabet().metadata("colour", "red").modified(time.parse::<Timestamp>().unwrap());
        let file = site.store().upload(upload).await.unwrap();
        assert_eq!(file.skipped, ["modified", "metadata"]);
        assert_ne!(file.modified, Some(time.parse().unwrap()));
        assert_ne!(file.metadata.get("colour").map(String::as_str), Some("red"));
    }
    // The finish sets the time, and the metadata are set afterwards.
    let site = Site::with_parts_of(100).await;
    let timed = json!({"path": "a.txt", "type": "file", "size": 26, "provided_mtime": time});
    site.fault("POST files/", FaultAction::ServeThenRespond(response(201, &timed)));
    let upload = alphabet().metadata("colour", "red").modified(time.parse::<Timestamp>().unwrap());
    let file = site.store().upload(upload).await.unwrap();
    assert_eq!((file.skipped.len(), file.modified), (0, Some(time.parse().unwrap())));
    assert_eq!(file.metadata["colour"], "red");
}

#[tokio::test]
async fn metadata_beyond_the_limits_is_rejected_before_a_request_is_sent() {
    let site = Site::with_parts_of(100).await;
    let many = (0..33).fold(alphabet(), |upload, number| upload.metadata(number.to_string(), ""));
    for upload in [
        many,
        alphabet().metadata("", "x"),
        alphabet().metadata("k".repeat(257), ""),
        alphabet().metadata("k", "v".repeat(1025)),
    ] {
        let error = site.store().upload(upload).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::InvalidInput, Effect::NotSent));
    }
    assert_eq!(site.log().len(), 0);
}

#[tokio::test]
async fn a_name_that_the_service_chose_is_taken_from_the_response() {
    let site = Site::with_parts_of(100).await;
    let renamed = json!({"path": "a_2.txt", "type": "file", "size": 26});
    site.fault("POST files/", FaultAction::ServeThenRespond(ResponseTemplate::new(201).set_body_json(renamed)));
    let file = site.store().upload(alphabet().with(FilesComUpload::new().with_rename(true))).await.unwrap();
    assert_eq!((file.name.as_str(), file.reference.to_string().as_str()), ("a_2.txt", ":filescom:a_2.txt"));
    assert!(
        site.log().iter().filter(|line| line.starts_with("POST")).all(|line| line.contains(r#""with_rename":true"#))
    );
}

#[tokio::test]
async fn a_chosen_name_that_is_not_in_the_response_is_an_error_without_a_reference() {
    // A path in another folder is not the file of this upload.
    let elsewhere = json!({"path": "other/a.txt", "type": "file", "size": 26});
    for (verify, finished) in
        [(Verify::Etag, json!({})), (Verify::Crc32, json!({})), (Verify::None, json!({})), (Verify::Etag, elsewhere)]
    {
        let site = Site::with_parts_of(100).await;
        site.fault("POST files/", FaultAction::ServeThenRespond(ResponseTemplate::new(201).set_body_json(finished)));
        let store = site.open(|config| config.verify(verify)).0;
        let upload = alphabet().metadata("colour", "red").with(FilesComUpload::new().with_rename(true));
        let error = store.upload(upload).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::Incomplete, Effect::Applied), "{error}");
        assert!(error.stored().is_none() && error.to_string().contains("with_rename"), "{error}");
        assert!(!site.log().iter().any(|line| line.starts_with("PATCH")));
    }
}

#[tokio::test]
async fn a_confirmed_file_that_does_not_exist_is_of_unknown_effect() {
    for verify in [Verify::Etag, Verify::Crc32, Verify::None] {
        let site = Site::with_parts_of(100).await;
        site.fault("POST files/", FaultAction::Respond(ResponseTemplate::new(201).set_body_json(json!({}))));
        let store = site.open(|config| config.verify(verify)).0;
        let error = store.upload(alphabet()).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::Incomplete, Effect::Unknown), "{verify:?}: {error}");
        assert!(error.stored().is_none(), "{error}");
    }
}

#[tokio::test]
async fn create_parents_false_has_precedence_over_the_default_of_the_store() {
    let site = Site::with_parts_of(100).await;
    let defaults = FilesComUpload::new().mkdir_parents(true);
    site.store().upload(alphabet().with(defaults).create_parents(false)).await.unwrap();
    assert!(site.log().iter().all(|line| !line.contains("mkdir_parents")));
}

#[tokio::test]
async fn without_create_parents_no_request_creates_folders() {
    let site = Site::with_parts_of(100).await;
    site.store().upload(alphabet().create_parents(false)).await.unwrap();
    assert!(site.log().iter().all(|line| !line.contains("mkdir_parents")));
}

#[tokio::test]
async fn without_verification_a_wrong_etag_is_ignored_and_no_request_is_added() {
    let site = Site::with_parts_of(4).await;
    site.fault(
        "PUT ",
        FaultAction::ServeThenRespond(
            ResponseTemplate::new(200).insert_header("etag", "\"00000000000000000000000000000000\""),
        ),
    );
    site.fault(
        "POST files/",
        FaultAction::ServeThenRespond(ResponseTemplate::new(201).set_body_json(json!({"size": 26}))),
    );
    let store = site.open(|config| config.verify(Verify::None)).0;
    site.state().finish_checks_tags = false;
    store.upload(alphabet()).await.unwrap();
    assert_eq!((site.count("PUT "), site.count("GET "), site.count("POST files/")), (7, 0, 1));
}

#[tokio::test]
async fn a_part_with_a_wrong_etag_is_retried() {
    let site = Site::with_parts_of(4).await;
    let wrong = ResponseTemplate::new(200).insert_header("etag", "\"00000000000000000000000000000000\"");
    site.fault("PUT /storage/up/1/3", FaultAction::ServeThenRespond(wrong.clone()));
    site.store().upload(alphabet()).await.unwrap();
    assert_eq!((site.content("a.txt").unwrap(), site.count("PUT ")), (ALPHABET.to_vec(), 8));

    site.faults(4, "PUT /storage/up/2/3", FaultAction::ServeThenRespond(wrong));
    let error = site.store().upload(alphabet()).await.unwrap_err();
    assert_eq!((kind_and_effect(&error), error.attempts()), ((ErrorKind::Integrity, Effect::Rejected), 4));
    assert!(error.to_string().contains("MD5 differs; this was part 3"), "{error}");
}

#[tokio::test]
async fn a_retry_sends_the_whole_part_whether_it_is_buffered_or_read_again() {
    // Parts up to 64 KiB are read into memory.
    for part in [64 << 10, (64 << 10) + 1] {
        let content: Vec<u8> = (0..3 * part - 5).map(|at: usize| (at / 251) as u8).collect();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, &content).unwrap();
        let pieces: Vec<_> = content.chunks(50_000).map(|chunk| Ok::<_, Error>(chunk.to_vec())).collect();
        let bodies = [
            content.clone().into(),
            Body::from_path(file.path()).unwrap(),
            Body::from_stream(stream::iter(pieces), None),
        ];
        for body in bodies {
            let site = Site::with_parts_of(part as u64).await;
            let wrong = ResponseTemplate::new(200).insert_header("etag", "\"00000000000000000000000000000000\"");
            site.fault("PUT /storage/up/1/1", FaultAction::Respond(expired()));
            site.fault("PUT /storage/up/1/2", FaultAction::Respond(xml(503, "SlowDown", "slow")));
            site.fault("PUT /storage/up/1/3", FaultAction::ServeThenRespond(wrong));
            site.store().upload(Upload::new("a", body)).await.unwrap();
            assert!(site.content("a").unwrap() == content, "parts of {part}");
            assert_eq!((site.count("PUT "), site.uploads()), (6, 1));
        }
    }
}

#[tokio::test]
async fn an_etag_that_is_not_an_md5_or_is_missing_is_accepted() {
    let site = Site::with_parts_of(100).await;
    site.state().finish_checks_tags = false;
    site.fault("PUT ", FaultAction::ServeThenRespond(ResponseTemplate::new(200).insert_header("etag", "\"abc-1\"")));
    site.store().upload(alphabet()).await.unwrap();
    assert!(site.log()[2].contains(r#""etags":[{"etag":"abc-1","part":1}]"#));
    site.fault("PUT ", FaultAction::ServeThenRespond(ResponseTemplate::new(200)));
    site.store().upload(alphabet()).await.unwrap();
    assert!(!site.log()[5].contains("etags"));
}

#[tokio::test]
async fn an_expired_presigned_url_is_refreshed_for_its_part_alone() {
    let site = Site::with_parts_of(4).await;
    site.fault("PUT /storage/up/1/5", FaultAction::Respond(expired()));
    site.store().upload(alphabet()).await.unwrap();
    assert_eq!(site.content("a.txt").unwrap(), ALPHABET);
    assert_eq!(site.count("PUT /storage/up/1/5"), 2);
    assert!(
        site.log().iter().any(|line| line.contains(r#""ref":"put-1","part":5,"mkdir_parents""#)),
        "{:?}",
        site.log()
    );
    assert_eq!(site.uploads(), 1);
}

#[tokio::test]
async fn a_temporary_rejection_of_the_storage_is_retried_after_a_delay() {
    for slow in [
        xml(503, "SlowDown", "slow"),
        xml(400, "RequestTimeout", "late"),
        xml(500, "InternalError", "oops"),
        ResponseTemplate::new(429),
    ] {
        let site = Site::with_parts_of(4).await;
        let (store, clock) = site.open(|config| config);
        site.fault("PUT /storage/up/1/2", FaultAction::Respond(slow));
        store.upload(alphabet()).await.unwrap();
        assert_eq!((site.content("a.txt").unwrap(), clock.slept().len()), (ALPHABET.to_vec(), 1));
    }
}

#[tokio::test]
async fn a_permanent_rejection_of_the_storage_fails_the_upload_with_its_reason() {
    let site = Site::with_parts_of(4).await;
    site.fault("PUT /storage/up/1/2", FaultAction::Respond(xml(403, "SignatureDoesNotMatch", "no")));
    let error = site.store().upload(alphabet()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Permission, Effect::Rejected));
    assert_eq!((error.provider_code(), error.http_status()), (Some("SignatureDoesNotMatch"), Some(403)));
    assert!(!format!("{error:?}").contains("canary"));
    assert_eq!(site.count("POST files/"), 0);
}

#[tokio::test]
async fn an_unknown_multipart_upload_begins_from_the_first_part() {
    let site = Site::with_parts_of(4).await;
    let unknown = || rejection(404, "not-found/file-upload-not-found");
    site.fault(r#"POST file_actions/begin_upload/a.txt {"ref""#, FaultAction::Respond(unknown()));
    site.store().upload(alphabet()).await.unwrap();
    assert_eq!(site.content("a.txt").unwrap(), ALPHABET);
    assert_eq!((site.uploads(), site.count("POST files/")), (2, 1));
    assert!(site.log().last().unwrap().contains("put-2"));

    // The storage may be the first to report it.
    site.fault("PUT /storage/up/3/7", FaultAction::Respond(xml(404, "NoSuchUpload", "gone")));
    site.store().upload(alphabet()).await.unwrap();
    assert!(site.log().last().unwrap().contains("put-4"));

    // A stream cannot be sent again.
    site.fault(r#"POST file_actions/begin_upload/a.txt {"ref""#, FaultAction::Respond(unknown()));
    let error = site.store().upload(Upload::new("a.txt", streamed(ALPHABET, None))).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Conflict, Effect::Rejected));
    assert!(error.to_string().contains("cannot be sent again"), "{error}");
}

#[tokio::test]
async fn multipart_uploads_that_are_always_unknown_use_up_the_retries() {
    let site = Site::with_parts_of(4).await;
    let unknown = || rejection(404, "not-found/file-upload-not-found");
    site.faults(99, r#"POST file_actions/begin_upload/a.txt {"ref""#, FaultAction::Respond(unknown()));
    let error = site.store().upload(alphabet()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Conflict, Effect::Rejected));
    assert_eq!(site.uploads(), 4);

    let never = site.open(|mut config| {
        config.http.max_retries = 0;
        config
    });
    never.0.upload(alphabet()).await.unwrap_err();
    assert_eq!(site.uploads(), 5);
}

#[tokio::test]
async fn the_url_of_a_part_of_another_upload_is_a_protocol_error() {
    let site = Site::with_parts_of(4).await;
    let other = json!([{"ref": "put-9", "part_number": 2, "upload_uri": "http://127.0.0.1:1/x"}]);
    site.fault(
        r#"POST file_actions/begin_upload/a.txt {"ref""#,
        FaultAction::Respond(ResponseTemplate::new(200).set_body_json(other)),
    );
    let error = site.store().upload(alphabet()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Rejected));
}

#[tokio::test]
async fn a_finish_whose_response_is_lost_is_resolved_by_a_read_back() {
    let site = Site::with_parts_of(4).await;
    site.state().digests = true;
    site.fault("POST files/", FaultAction::ServeThenRespond(response(503, &json!({}))));
    let file = site.store().upload(alphabet()).await.unwrap();
    assert_eq!((file.size, site.uploads(), site.count("POST files/")), (Some(26), 1, 2));
    assert!(file.digests.len() == 2);

    // All responses are lost.
    site.fault("POST files/", FaultAction::ServeThenRespond(response(500, &json!({}))));
    site.faults(3, "POST files/", FaultAction::Respond(response(500, &json!({}))));
    site.store().upload(alphabet()).await.unwrap();
}

#[tokio::test]
async fn a_finish_that_failed_without_proof_is_of_unknown_effect() {
    // A file of the same size exists, and its digest is unknown.
    let site = Site::with_parts_of(4).await;
    site.put("a.txt", vec![b'x'; 26]);
    site.faults(4, "POST files/", FaultAction::Respond(response(500, &json!({}))));
    let error = site.store().upload(alphabet()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Unavailable, Effect::Unknown));
    assert_eq!(error.possibly_stored(), [FileRef::new("filescom", ["a.txt"])], "{error}");
    assert_eq!(site.content("a.txt").unwrap(), vec![b'x'; 26]);
}

#[tokio::test]
async fn a_finish_with_error_responses_that_left_other_content_is_not_applied() {
    let site = Site::with_parts_of(4).await;
    site.state().digests = true;
    for old in [None, Some(vec![b'x'; 26]), Some(vec![b'x'; 3])] {
        if let Some(old) = old {
            site.put("a.txt", old);
        }
        site.faults(4, "POST files/", FaultAction::Respond(response(503, &json!({}))));
        let error = site.store().upload(alphabet()).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::Unavailable, Effect::Rejected), "{error}");
        assert!(error.is_safe_to_retry());
    }
}

#[tokio::test]
async fn a_finish_that_a_gateway_gave_up_is_of_unknown_effect() {
    let page = ResponseTemplate::new(503).set_body_raw("<html>", "text/html");
    for gave_up in [page, ResponseTemplate::new(504), response(524, &json!({})), response(599, &json!({}))] {
        let site = Site::with_parts_of(4).await;
        site.state().digests = true;
        site.fault("POST files/", FaultAction::Respond(gave_up));
        site.faults(3, "POST files/", FaultAction::Respond(response(429, &json!({}))));
        let error = site.store().upload(alphabet()).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::RateLimited, Effect::Unknown), "{error}");
        assert!(!error.is_safe_to_retry() && !error.possibly_stored().is_empty(), "{error}");
    }
}

#[tokio::test]
async fn a_finish_with_a_response_about_another_path_is_resolved_by_a_read_back() {
    for other in [json!({"path": "b.txt", "type": "file", "size": 26}), folder("a.txt")] {
        let site = Site::with_parts_of(4).await;
        site.state().digests = true;
        site.fault("POST files/", FaultAction::ServeThenRespond(response(201, &other)));
        let file = site.store().upload(alphabet()).await.unwrap();
        assert_eq!(file.reference.to_string(), ":filescom:a.txt");
        site.fault("POST files/", FaultAction::Respond(response(201, &other)));
        site.state().files.clear();
        let error = site.store().upload(alphabet()).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Unknown), "{error}");
    }
}

#[tokio::test]
async fn a_failed_finish_is_of_unknown_effect_if_the_size_of_the_file_is_unknown() {
    let site = Site::with_parts_of(4).await;
    site.faults(4, "POST files/", FaultAction::Respond(response(500, &json!({}))));
    let sizeless = json!({"path": "a.txt", "type": "file", "crc32": null});
    site.fault("GET file_actions/metadata", FaultAction::Respond(ResponseTemplate::new(200).set_body_json(sizeless)));
    let error = site.store().upload(alphabet()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Unavailable, Effect::Unknown), "{error}");
}

#[tokio::test]
async fn a_failed_finish_in_a_hidden_folder_is_of_unknown_effect() {
    for (scope, request, found, effect) in [
        ("", "GET folders", not_found(), Effect::Unknown),
        ("in", "GET file_actions/metadata/in", not_found(), Effect::Unknown),
        ("in", "GET file_actions/metadata/in", response(200, &folder("in")), Effect::Rejected),
    ] {
        let site = Site::with_parts_of(4).await;
        site.faults(4, "POST files/", FaultAction::Respond(response(500, &json!({}))));
        site.fault("GET file_actions/metadata", FaultAction::Respond(not_found()));
        site.fault(request, FaultAction::Respond(found));
        let error = site.store().upload(alphabet().scope(scope)).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::Unavailable, effect), "{error}");
    }
}

#[tokio::test]
async fn a_rejection_after_a_finish_of_unknown_effect_is_resolved_by_a_read_back() {
    for status in [429, 403, 404] {
        let site = Site::with_parts_of(4).await;
        site.state().digests = true;
        site.fault("POST files/", FaultAction::ServeThenRespond(response(503, &json!({}))));
        site.faults(3, "POST files/", FaultAction::Respond(ResponseTemplate::new(status)));
        let file = site.store().upload(alphabet()).await.unwrap();
        assert_eq!((file.size, site.content("a.txt").unwrap()), (Some(26), ALPHABET.to_vec()), "{status}");
    }
}

#[tokio::test]
async fn a_failed_begin_stores_nothing() {
    for status in [500, 503, 504] {
        let site = Site::with_parts_of(4).await;
        site.faults(4, "POST file_actions/begin_upload", FaultAction::Respond(ResponseTemplate::new(status)));
        let error = site.store().upload(alphabet()).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::Unavailable, Effect::Rejected), "{error}");
        assert!(error.is_safe_to_retry());
    }
}

#[tokio::test]
async fn a_failed_move_to_a_free_name_leaves_no_temporary_file() {
    let site = Site::with_parts_of(100).await;
    site.faults(4, "POST file_actions/move", FaultAction::Respond(response(503, &json!({}))));
    let error = site.store().upload(alphabet().if_exists(IfExists::Fail)).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Unavailable, Effect::Rejected), "{error}");
    assert!(error.is_safe_to_retry() && site.files().is_empty(), "{:?}", site.files());
}

#[tokio::test]
async fn content_that_may_remain_under_a_temporary_name_is_named_by_its_reference() {
    let site = Site::with_parts_of(100).await;
    site.faults(4, "POST files/", FaultAction::Respond(response(500, &json!({}))));
    site.faults(8, "GET file_actions/metadata/.filestore", FaultAction::Respond(ResponseTemplate::new(500)));
    let store = Store::new("team", Arc::new(site.store())).unwrap();
    let error = store.upload(alphabet().if_exists(IfExists::Fail)).await.unwrap_err();
    assert_eq!(error.effect(), Effect::Rejected, "{error}");
    let reference = error.possibly_stored()[0].to_string();
    assert!(reference.starts_with("team:filescom:.filestore-"), "{error}");
    assert!(error.to_string().ends_with(&format!("as {reference}: check before you retry")), "{error}");
}

#[tokio::test]
async fn without_verification_a_read_back_does_not_wait_for_a_digest() {
    let site = Site::with_parts_of(100).await;
    let (store, clock) = site.open(|config| config.verify(Verify::None));
    site.fault("POST files/", FaultAction::ServeThenRespond(ResponseTemplate::new(200).set_body_string("?")));
    let error = store.upload(alphabet()).await.unwrap_err();
    assert_eq!(error.effect(), Effect::Unknown);
    assert_eq!((site.count("GET file_actions/metadata"), clock.slept().len()), (1, 0));
}

#[tokio::test]
async fn a_missing_part_at_the_finish_is_an_integrity_error() {
    let site = Site::with_parts_of(4).await;
    site.fault("POST files/", FaultAction::Respond(rejection(422, "processing-failure/file-not-uploaded")));
    let error = site.store().upload(alphabet()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Integrity, Effect::Rejected));
    assert_eq!(error.provider_code(), Some("processing-failure/file-not-uploaded"));
    assert_eq!(site.uploads(), 1);
}

#[tokio::test]
async fn a_stored_file_of_another_size_is_an_integrity_error_with_the_file() {
    let site = Site::with_parts_of(4).await;
    let short = json!({"path": "a.txt", "type": "file", "size": 25});
    site.fault("POST files/", FaultAction::ServeThenRespond(ResponseTemplate::new(201).set_body_json(short)));
    let error = site.store().upload(alphabet()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Integrity, Effect::Applied));
    assert_eq!(error.stored().unwrap().size, Some(25));
}

#[tokio::test]
async fn with_crc32_an_upload_waits_for_the_digest_of_the_file_and_compares_it() {
    let site = Site::with_parts_of(4).await;
    let (store, clock) = site.open(|config| config.verify(Verify::Crc32));
    site.faults(3, "GET file_actions/metadata", FaultAction::ChangeThenServe(Box::new(|_| ())));
    site.fault("GET file_actions/metadata", FaultAction::ChangeThenServe(Box::new(|state| state.digests = true)));
    store.upload(alphabet()).await.unwrap();
    assert_eq!(site.count("GET "), 4);
    assert!(!clock.slept().is_empty());

    site.fault(
        "POST files/",
        FaultAction::ChangeThenServe(Box::new(|state| {
            state.uploads[1].insert(1, b"XXXX".to_vec());
            state.finish_checks_tags = false;
        })),
    );
    let error = store.upload(alphabet()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Integrity, Effect::Applied));

    site.state().digests = false;
    let error = store.upload(alphabet()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Incomplete, Effect::Applied));
}

#[tokio::test]
async fn uploads_that_create_the_same_folders_all_succeed() {
    let site = Site::with_parts_of(100).await;
    site.faults(30, "POST file_actions", FaultAction::Respond(rejection(422, "processing-failure/destination-exists")));
    site.faults(
        20,
        "POST file_actions",
        FaultAction::Respond(rejection(422, "processing-failure/could-not-create-parent")),
    );
    let (store, clock) = site.open(|config| config);
    let uploads = (0..50).map(|number| store.upload(Upload::new(format!("{number}.txt"), "hello").scope("new/folder")));
    for stored in futures::future::join_all(uploads).await {
        stored.unwrap();
    }
    assert_eq!(site.files().len(), 50);
    assert_eq!(clock.slept(), []);
}

#[tokio::test]
async fn an_existing_folder_is_not_overwritten() {
    for request in ["POST file_actions", "POST files/"] {
        let site = Site::with_parts_of(100).await;
        site.fault(request, FaultAction::Respond(rejection(422, "processing-failure/destination-exists")));
        site.fault(
            "GET file_actions/metadata",
            FaultAction::Respond(ResponseTemplate::new(200).set_body_json(folder("a.txt"))),
        );
        let error = site.store().upload(alphabet()).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::AlreadyExists, Effect::Rejected));
        assert_eq!(site.count(request), 1);
    }
}

#[tokio::test]
async fn a_missing_parent_is_not_found() {
    let site = Site::with_parts_of(100).await;
    site.fault("POST file_actions", FaultAction::Respond(not_found()));
    let error = site.store().upload(alphabet().create_parents(false)).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::NotFound, Effect::Rejected));
    assert_eq!(site.log().len(), 1);
}

#[tokio::test]
async fn a_temporary_state_of_the_service_is_retried_after_a_delay() {
    let site = Site::with_parts_of(100).await;
    site.fault("POST file_actions", FaultAction::Respond(rejection(422, "service-unavailable/uploads-unavailable")));
    site.fault("POST files/", FaultAction::Respond(rejection(422, "processing-failure/file-pending-processing")));
    let (store, clock) = site.open(|config| config);
    store.upload(alphabet()).await.unwrap();
    assert_eq!(clock.slept().len(), 2);
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_sent_is_not_stored() {
    let site = Site::with_parts_of(4).await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, ALPHABET).unwrap();
    let path = file.path().to_owned();
    site.fault(
        "PUT /storage/up/1/7",
        FaultAction::ChangeThenServe(Box::new(move |_| {
            let writer = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
            std::io::Write::write_all(&mut &writer, b"more").unwrap();
        })),
    );
    let error = site.store().upload(Upload::from_path(file.path()).unwrap().name("a.txt")).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::InvalidInput, Effect::Rejected));
    assert_eq!(site.count("POST files/"), 0);
}

#[tokio::test]
async fn a_file_that_is_truncated_before_it_is_read_is_not_stored() {
    for part in [64 << 10, 1 << 20] {
        let site = Site::with_parts_of(part).await;
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(100_000).unwrap();
        let path = file.path().to_owned();
        let cut = move |_: &mut State| {
            std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(10).unwrap();
        };
        site.fault("POST file_actions", FaultAction::ChangeThenServe(Box::new(cut)));
        let error = site.store().upload(Upload::from_path(file.path()).unwrap().name("a")).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::InvalidInput, Effect::Rejected), "{error}");
        assert_eq!((site.count("POST files/"), site.files().len()), (0, 0));
    }
}

#[tokio::test]
async fn concurrent_uploads_of_one_name_all_succeed_and_one_of_them_is_stored() {
    let site = Site::with_parts_of(100).await;
    let store = site.store();
    let contents: Vec<_> = (0..64).map(|number| format!("{number:02}").repeat(125)).collect();
    let uploads = contents.iter().map(|content| store.upload(Upload::new("a", content.clone())));
    for file in futures::future::join_all(uploads).await {
        assert_eq!(file.unwrap().size, Some(250));
    }
    let stored = String::from_utf8(site.content("a").unwrap()).unwrap();
    assert!(contents.contains(&stored), "{stored}");
    assert_eq!((site.uploads(), site.count("PUT "), site.count("POST files/")), (64, 192, 64));
}

#[tokio::test]
async fn if_exists_fail_never_replaces_a_file() {
    let site = Site::with_parts_of(100).await;
    let upload = || alphabet().scope("in").if_exists(IfExists::Fail);
    let file = site.store().upload(upload()).await.unwrap();
    assert_eq!(file.reference.to_string(), ":filescom:in/a.txt");
    assert_eq!(site.files(), ["in/a.txt"]);

    let error = site.store().upload(upload()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::AlreadyExists, Effect::Rejected));
    assert_eq!(site.uploads(), 1, "nothing was sent");

    // Another client stores the file between the check and the move.
    site.state().files.clear();
    site.fault(
        "POST file_actions/move",
        FaultAction::ChangeThenServe(Box::new(|state| {
            let file = state.files.values().next().unwrap().clone();
            state.files.insert("in/a.txt".to_owned(), file);
        })),
    );
    let error = site.store().upload(upload()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::AlreadyExists, Effect::Rejected));
    assert_eq!(site.files(), ["in/a.txt"]);
}

#[tokio::test]
async fn a_dropped_upload_with_if_exists_fail_leaves_no_temporary_file() {
    let site = Site::with_parts_of(100).await;
    let never = response(200, &json!({})).set_delay(std::time::Duration::from_secs(600));
    site.fault("POST file_actions/move", FaultAction::Respond(never));
    let store = site.store();
    let mut upload = Box::pin(store.upload(alphabet().if_exists(IfExists::Fail)));
    while site.count("POST file_actions/move") == 0 {
        assert!(tokio::time::timeout(std::time::Duration::from_millis(5), &mut upload).await.is_err());
    }
    assert_eq!(site.files().len(), 1);
    drop(upload);
    Cleanup::all_ended().await;
    assert!(site.files().is_empty());
}

#[tokio::test]
async fn a_move_job_that_fails_because_the_name_was_taken_leaves_no_temporary_file() {
    let site = Site::with_parts_of(100).await;
    // Another client stores the file after the check.
    let change = |state: &mut State| {
        let mut file = state.files.values().next().unwrap().clone();
        file.content = "of another client".into();
        state.files.insert("a.txt".to_owned(), file);
    };
    site.fault("GET file_actions/metadata/.filestore", FaultAction::ChangeThenServe(Box::new(change)));
    let job = json!({"status": "pending", "file_migration_id": 12});
    site.fault("POST file_actions/move", FaultAction::Respond(response(201, &job)));
    let failed = json!({"id": 12, "status": "failed", "failure_message": "The destination exists."});
    site.fault("GET file_migrations/12", FaultAction::Respond(response(200, &failed)));
    let error = site.store().upload(alphabet().if_exists(IfExists::Fail)).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::AlreadyExists, Effect::Rejected), "{error}");
    assert_eq!((site.files(), error.possibly_stored().len()), (vec!["a.txt".to_owned()], 0), "{error}");
}

#[tokio::test]
async fn an_upload_with_if_exists_fail_that_fails_its_checks_leaves_no_file() {
    let site = Site::with_parts_of(100).await;
    let upload = || alphabet().if_exists(IfExists::Fail);
    site.fault(
        "POST files/",
        FaultAction::ServeThenRespond(ResponseTemplate::new(201).set_body_json(json!({"size": 3}))),
    );
    let error = site.store().upload(upload()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Integrity, Effect::Rejected));
    assert!(error.stored().is_none() && site.files().is_empty(), "{error:?} {:?}", site.files());

    // The same where a later step fails.
    site.fault("PATCH files/", FaultAction::Respond(rejection(403, "not-authorized")));
    site.fault(
        "POST files/",
        FaultAction::ServeThenRespond(ResponseTemplate::new(201).set_body_json(json!({"size": 26}))),
    );
    let error = site.store().upload(upload().metadata("a", "b")).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Other, Effect::Rejected));
    assert!(error.stored().is_none() && site.files().is_empty(), "{error:?} {:?}", site.files());
}

#[tokio::test]
async fn a_name_of_maximum_length_can_be_uploaded_with_if_exists_fail() {
    let site = Site::with_parts_of(100).await;
    let name = format!("a.{}", "x".repeat(510));
    site.store().upload(alphabet().name(name.clone()).if_exists(IfExists::Fail)).await.unwrap();
    assert_eq!(site.files(), [name]);
}

#[tokio::test]
async fn memory_limits_how_much_of_a_stream_is_buffered() {
    let site = Site::with_parts_of(10).await;
    let read = Arc::new(AtomicUsize::new(0));
    let (counter, log) = (Arc::clone(&read), Arc::new(std::sync::Mutex::new(Vec::new())));
    let body = Body::from_stream(
        stream::iter((0..100).map(move |_| {
            counter.fetch_add(10, Ordering::Relaxed);
            Ok::<_, Error>("0123456789")
        })),
        None,
    );
    let (buffered, read_so_far, stored) = (Arc::clone(&log), Arc::clone(&read), Arc::new(AtomicUsize::new(0)));
    site.faults(
        100,
        "PUT ",
        FaultAction::ChangeThenServe(Box::new(move |_| {
            let done = stored.fetch_add(10, Ordering::Relaxed);
            buffered.lock().unwrap().push(read_so_far.load(Ordering::Relaxed) - done);
        })),
    );
    let store = site.open(|mut config| {
        config.memory = ByteSize::bytes(40);
        config
    });
    store.0.upload(Upload::new("a.txt", body)).await.unwrap();
    // Four parts, and the chunk that shows whether there is another part.
    assert!(log.lock().unwrap().iter().all(|buffered| *buffered <= 50 + 10), "{:?}", log.lock().unwrap());
    assert_eq!(site.content("a.txt").unwrap().len(), 1000);
}

#[tokio::test]
async fn a_checkpoint_resumes_an_upload_where_it_stopped() {
    let site = Site::with_parts_of(4).await;
    let checkpoints = Arc::new(std::sync::Mutex::new(Vec::<String>::new()));
    let on_part = |checkpoint: &crate::UploadCheckpoint| {
        checkpoints.lock().unwrap().push(serde_json::to_string(checkpoint).unwrap());
    };
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, ALPHABET).unwrap();
    let upload = || Upload::from_path(file.path()).unwrap().name("a.txt");
    site.fault("PUT /storage/up/1/5", FaultAction::Respond(xml(403, "AccessDenied", "no")));
    let store = one_at_a_time(&site);
    store.upload_resumable(upload(), None, on_part).await.unwrap_err();
    let last = checkpoints.lock().unwrap().last().unwrap().clone();
    assert!(!last.contains("canary"), "{last}");
    let last: crate::UploadCheckpoint = serde_json::from_str(&last).unwrap();
    assert_eq!((last.path(), last.size(), last.stored()), ("a.txt", 26, 16));

    let before = site.count("PUT ");
    store.upload_resumable(upload(), Some(last.clone()), on_part).await.unwrap();
    assert_eq!((site.content("a.txt").unwrap(), site.count("PUT ") - before), (ALPHABET.to_vec(), 3));
    assert_eq!(site.uploads(), 1);

    // A checkpoint is invalid for another file, and for one that changed.
    let error = store.upload_resumable(upload().name("b.txt"), Some(last.clone()), on_part).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::InvalidInput, Effect::NotSent));
    std::io::Write::write_all(&mut file, b"more").unwrap();
    let upload = Upload::from_path(file.path()).unwrap().name("a.txt");
    let error = store.upload_resumable(upload, Some(last), on_part).await.unwrap_err();
    assert!(error.to_string().contains("the file changed since"), "{error}");
}

#[tokio::test]
async fn a_checkpoint_of_an_unknown_upload_begins_from_the_first_part() {
    let site = Site::with_parts_of(4).await;
    let old = json!({"path": "a.txt", "ref": "put-7", "size": 26, "part_size": 4, "modified": null,
        "parts": [{"part": 1, "etag": "x", "crc32": crc32fast::hash(b"abcd")}]});
    let old: crate::UploadCheckpoint = serde_json::from_value(old).unwrap();
    site.store().upload_resumable(alphabet(), Some(old), |_| ()).await.unwrap();
    assert_eq!((site.content("a.txt").unwrap(), site.count("PUT ")), (ALPHABET.to_vec(), 7));
}

#[tokio::test]
async fn a_checkpoint_is_rejected_for_other_content_of_the_same_size() {
    let site = Site::with_parts_of(4).await;
    let last = std::sync::Mutex::new(None);
    let on_part = |checkpoint: &crate::UploadCheckpoint| *last.lock().unwrap() = Some(checkpoint.clone());
    site.fault("PUT /storage/up/1/2", FaultAction::Respond(xml(403, "AccessDenied", "no")));
    let store = one_at_a_time(&site);
    store.upload_resumable(Upload::new("a.txt", "12345678"), None, on_part).await.unwrap_err();
    let checkpoint = last.lock().unwrap().clone();
    let other = Upload::new("a.txt", "abcdefgh");
    let error = store.upload_resumable(other, checkpoint.clone(), |_| ()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::InvalidInput, Effect::NotSent));
    store.upload_resumable(Upload::new("a.txt", "12345678"), checkpoint, |_| ()).await.unwrap();
    assert_eq!((site.content("a.txt").unwrap(), site.uploads()), (b"12345678".to_vec(), 1));
}

#[tokio::test]
async fn a_checkpoint_is_rejected_for_another_file_of_the_same_size_and_time() {
    let site = Site::with_parts_of(4).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.txt");
    let write = |content: &str| {
        std::fs::write(&path, content).unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    };
    let last = std::sync::Mutex::new(None);
    let on_part = |checkpoint: &crate::UploadCheckpoint| *last.lock().unwrap() = Some(checkpoint.clone());
    let upload = || Upload::from_path(&path).unwrap();
    site.fault("PUT /storage/up/1/2", FaultAction::Respond(xml(403, "AccessDenied", "no")));
    let store = one_at_a_time(&site);
    write("12345678");
    store.upload_resumable(upload(), None, on_part).await.unwrap_err();
    let checkpoint = last.lock().unwrap().clone();
    write("abcdefgh");
    let error = store.upload_resumable(upload(), checkpoint.clone(), |_| ()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::InvalidInput, Effect::NotSent));
    write("12345678");
    store.upload_resumable(upload(), checkpoint, |_| ()).await.unwrap();
    assert_eq!((site.content("a.txt").unwrap(), site.uploads()), (b"12345678".to_vec(), 1));
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_is_replaced_between_its_parts_by_one_of_the_same_size_and_time_is_not_stored() {
    let site = Site::with_parts_of(4).await;
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("a.txt"), folder.path().join("other"));
    for (file_path, content) in [(&path, ALPHABET.to_vec()), (&other, ALPHABET.to_ascii_uppercase())] {
        std::fs::write(file_path, content).unwrap();
        let file = std::fs::File::options().write(true).open(file_path).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    }
    let replaced = path.clone();
    site.fault(
        "PUT /storage/up/1/2",
        FaultAction::ChangeThenServe(Box::new(move |_| std::fs::rename(&other, &replaced).unwrap())),
    );
    let error = one_at_a_time(&site).upload(Upload::from_path(&path).unwrap()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::InvalidInput, Effect::Rejected), "{error}");
    assert_eq!((site.count("POST files/"), site.files().len()), (0, 0));
}

#[tokio::test]
async fn an_upload_that_is_dropped_leaves_nothing_running() {
    let site = Site::with_parts_of(1).await;
    let never = ResponseTemplate::new(200).set_delay(std::time::Duration::from_secs(3600));
    site.faults(26, "PUT ", FaultAction::Respond(never));
    let store = site.store();
    let upload = tokio::spawn(async move { store.upload(alphabet()).await });
    while site.count("PUT ") < 8 {
        tokio::task::yield_now().await;
    }
    upload.abort();
    assert!(upload.await.unwrap_err().is_cancelled());
    let at_the_end = site.log();
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!((site.log(), site.files().len()), (at_the_end, 0));
}

#[tokio::test]
async fn a_part_with_an_invalid_url_is_not_sent_and_the_url_is_not_shown() {
    for url in ["ftp://127.0.0.1/SIGcanary", "SIGcanary", "", "http://SIGcanary:x/"] {
        let entry = json!([{"ref": "put-1", "part_number": 1, "upload_uri": url}]);
        let site = Site::with_parts_of(4).await;
        site.fault("POST file_actions", FaultAction::Respond(ResponseTemplate::new(200).set_body_json(entry)));
        let error = site.store().upload(alphabet()).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Rejected));
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
        assert_eq!(site.log().len(), 1);
    }
}

#[test]
fn an_https_site_never_has_its_content_sent_over_http() {
    let usable = |base: &str, uri| {
        let (store, _) = super::open(crate::FilesComConfig::new(base).api_key(super::API_KEY));
        filestore_http::presigned_url(uri, store.api().base()).is_ok()
    };
    assert!(usable("https://app.files.com", "https://s3.example/x"));
    assert!(!usable("https://app.files.com", "http://s3.example/x"));
    assert!(
        usable("http://127.0.0.1:1", "http://127.0.0.1:2/x") && usable("http://127.0.0.1:1", "https://s3.example/x")
    );
}

#[tokio::test]
async fn a_web_page_instead_of_the_storages_response_is_retried() {
    let site = Site::with_parts_of(10).await;
    site.fault(
        "PUT ",
        FaultAction::Respond(ResponseTemplate::new(200).set_body_raw("<html>Sign in</html>", "text/html")),
    );
    site.store().upload(alphabet()).await.unwrap();
    assert_eq!(site.count("PUT "), 4, "the part is sent again");
}
