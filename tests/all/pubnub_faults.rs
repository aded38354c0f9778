//! PubNub with every fault that an upload or a download can have.

use std::collections::HashMap;

use filestore::pubnub::{PubNubConfig, PubNubSend, PubNubStore};
use filestore::{Effect, ErrorKind, StoredFile};
use serde_json::Value;

use crate::fault_matrix::FaultTest;

async fn start() -> FaultTest {
    FaultTest::start(SETTINGS).await
}

const SETTINGS: &str = r#"
backend = "pubnub"
publish_key = "pub-c-emulator"
subscribe_key = "sub-c-emulator"
secret_key = "sec-c-emulator"
user_id = "fault-test"
channel = "room-1"
"#;

const STEPS: [&str; 3] = ["generate-upload-url", "form", "publish"];

fn rule(step: &str, times: u32, fault: &str) -> String {
    format!(
        "seed = 7\n[[fault]]\noperation = \"upload\"\nstep = {step:?}\ntimes = {times}\nprobability = 0.3\ndo = {fault}\n"
    )
}

#[tokio::test]
async fn a_reset_before_the_response_loses_no_file() {
    for step in STEPS {
        for at in ["request", "request-body"] {
            let uploaded = start().await.upload(&rule(step, 15, &format!("{{ reset = {{ at = {at:?} }} }}"))).await;
            // A message may have been published without a response, so it is not retried; every other request is.
            let are_unpublished = uploaded.errors.iter().all(|(_, error)| error.kind() == ErrorKind::Incomplete);
            assert!(uploaded.all() || step == "publish" && are_unpublished, "{step} {at}: {:?}", uploaded.errors);
        }
    }
}

#[tokio::test]
async fn an_upload_whose_response_is_lost_is_found() {
    for step in STEPS {
        for fault in ["\"lost-answer\"", "{ reset = { at = \"headers\" } }", "{ reset = { at = \"body\" } }"] {
            let uploaded = start().await.upload(&rule(step, 15, fault)).await;
            let are_unpublished = uploaded.errors.iter().all(|(_, error)| error.kind() == ErrorKind::Incomplete);
            assert!(uploaded.all() || step == "publish" && are_unpublished, "{step} {fault}: {:?}", uploaded.errors);
        }
    }
}

#[tokio::test]
async fn a_request_to_a_busy_service_is_retried() {
    for step in STEPS {
        for code in [429, 503] {
            // Only 4 faults, because a 429 delays all requests to the host.
            let uploaded = start().await.upload(&rule(step, 4, &format!("{{ status = {{ code = {code} }} }}"))).await;
            let are_unpublished = uploaded.errors.iter().all(|(_, error)| error.kind() == ErrorKind::Incomplete);
            assert!(uploaded.all() || step == "publish" && are_unpublished, "{step} {code}: {:?}", uploaded.errors);
        }
    }
}

#[tokio::test]
async fn a_long_retry_after_is_returned_to_the_caller() {
    for step in STEPS {
        let fault = "{ status = { code = 429, headers = { Retry-After = \"60\" } } }";
        let uploaded = start().await.upload(&rule(step, 15, fault)).await;
        assert_eq!(uploaded.errors.len(), 15, "{step}");
        for (_, error) in &uploaded.errors {
            let expected = if step == "publish" { Effect::Applied } else { Effect::Rejected };
            assert_eq!(error.effect(), expected, "{step}: {error:?}");
            assert_eq!(error.retry_after().map(|wait| wait.as_secs()), Some(60), "{step}: {error:?}");
        }
    }
}

#[tokio::test]
async fn an_outage_causes_few_retries_and_each_error_names_its_stored_file() {
    for step in STEPS {
        let rules =
            format!("[[fault]]\noperation = \"upload\"\nstep = {step:?}\ndo = {{ status = {{ code = 503 }} }}\n");
        let test = start().await;
        let uploaded = test.upload(&rules).await;
        assert_eq!(uploaded.errors.len(), 100);
        // The retry budget is 20 retries, and 1 more for every 10 requests that succeed. For each file the form
        // succeeds, and, if the storage fails, the presigned URL and the check that finds no file.
        let rejected = test.faults();
        assert!(rejected <= 100 + 20 + 30, "{step}: {rejected} requests to a service that is down");
        for (_, error) in &uploaded.errors {
            assert_eq!(error.kind() == ErrorKind::Incomplete, step == "publish", "{error:?}");
        }
    }
}

/// Returns the number of published messages for each file id.
async fn published(test: &FaultTest) -> HashMap<String, usize> {
    let history = "v3/history/sub-key/sub-c-emulator/channel/room-1?uuid=subscriber&max=100";
    let url = format!("{}/{history}", test.emulator.url());
    let response = reqwest::get(url).await.unwrap().bytes().await.unwrap();
    let response: Value = serde_json::from_slice(&response).unwrap();
    let mut times = HashMap::new();
    for entry in response["channels"]["room-1"].as_array().unwrap() {
        *times.entry(entry["message"]["file"]["id"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    times
}

#[tokio::test]
async fn rejected_messages_are_published_later_without_a_second_upload() {
    let test = start().await;
    let rejected = "step = \"publish\"\ntimes = 60\ndo = { status = { code = 503 } }";
    let uploaded = test.upload(&format!("[[fault]]\noperation = \"upload\"\n{rejected}\n")).await;
    assert!(uploaded.errors.len() >= 15, "four attempts must not be enough for these files");
    // Another process that has only the references.
    let config = PubNubConfig::new("pub-c-emulator", "sub-c-emulator", "later").secret_key("sec-c-emulator");
    let later = PubNubStore::new(config.base_url(test.emulator.url())).unwrap();
    for (_, error) in &uploaded.errors {
        let file = error.stored().map(StoredFile::reference).unwrap();
        later.publish_file_message(file, &PubNubSend::new()).await.unwrap();
    }
    let times = published(&test).await;
    assert_eq!((times.len(), times.values().max()), (100, Some(&1)));
    let forms = test.emulator.journal().iter().filter(|entry| entry.path == "/_storage/pubnub/").count();
    assert_eq!(forms, 100);
}

#[tokio::test]
async fn an_expired_form_is_requested_again() {
    let uploaded = start().await.upload(&rule("form", 15, "\"expired-url\"")).await;
    assert!(uploaded.all(), "{:?}", uploaded.errors);
}

#[tokio::test]
async fn a_form_that_expires_after_a_lost_response_does_not_store_the_file_twice() {
    for key in ["", "cipher_key = \"key\"\n"] {
        let test = FaultTest::start(&format!("{SETTINGS}{key}")).await;
        test.set_faults(
            "[[fault]]\noperation = \"upload\"\nstep = \"form\"\nnth = 1\ndo = \"lost-answer\"\n\
             [[fault]]\noperation = \"upload\"\nstep = \"form\"\nnth = 2\ndo = \"expired-url\"\n",
        );
        // Large enough that the storage rejects the form without reading the whole file.
        let content = vec![7_u8; 3 << 20];
        let file = test.store.upload(filestore::Upload::new("a", content)).await.unwrap();
        let page = test.store.list(filestore::List::new()).await.unwrap();
        let stored: Vec<_> = page.files.iter().map(|file| &file.reference).collect();
        assert_eq!(stored, [&file.reference], "{key}");
    }
}

#[tokio::test]
async fn a_web_page_instead_of_a_file_is_an_error() {
    let test = start().await;
    let file = test.store.upload(filestore::Upload::new("a", "content")).await.unwrap();
    for step in ["url", "content"] {
        test.set_faults(&format!(
            "[[fault]]\noperation = \"download\"\nstep = {step:?}\ndo = {{ html = {{ code = 200 }} }}\n"
        ));
        let error = test.store.read(&file.reference, 1000).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{step}");
    }
}

#[tokio::test]
async fn a_wrong_etag_is_an_integrity_error() {
    let test = start().await;
    let uploaded = test.upload(&rule("form", 10, "\"wrong-etag\"")).await;
    assert_eq!((test.faults(), uploaded.errors.len()), (10, 10), "{:?}", uploaded.errors);
    for (_, error) in &uploaded.errors {
        assert_eq!(error.kind(), ErrorKind::Integrity, "{error:?}");
    }
}

#[tokio::test]
async fn a_file_that_is_stored_with_other_bytes_is_an_integrity_error() {
    let test = start().await;
    test.set_faults(
        "[[fault]]\noperation = \"upload\"\nstep = \"form\"\ndo = { corrupt = { at = 0, of = \"request\" } }\n",
    );
    let error = test.store.upload(filestore::Upload::new("a", "content")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Integrity, "{error:?}");
}

#[tokio::test]
async fn a_download_is_correct_or_an_error() {
    let mut test = start().await;
    let uploaded = test.upload("").await;
    assert!(uploaded.all());
    let both = &["url", "content"][..];
    for (fault, steps, is_recovered) in [
        ("{ reset = { at = \"request\" } }", both, true),
        ("{ reset = { at = \"body\", after = \"40%\" } }", both, true),
        ("{ cut-download = { after = \"40%\" } }", both, true),
        ("{ truncate = { keep = \"40%\" } }", both, false),
        ("{ corrupt = { at = 0 } }", both, false),
        ("{ status = { code = 503 } }", both, true),
        // A URL that expires twice for the same file is an error. Only the URLs of the storage expire.
        ("\"expired-url\"", &["content"], false),
    ] {
        for step in steps {
            let rules = format!(
                "seed = 3\n[[fault]]\noperation = \"download\"\nstep = {step:?}\ntimes = 15\nprobability = 0.3\ndo = {fault}\n"
            );
            test.reopen(SETTINGS);
            let before = test.faults();
            let errors = test.download(&uploaded, &rules).await;
            assert_eq!(test.faults() - before, 15, "{step} {fault}: the number of faults");
            assert!(errors.is_empty() || !is_recovered, "{step} {fault}: {errors:?}");
        }
    }
}

#[tokio::test]
async fn a_redirect_to_another_host_gets_no_credentials() {
    let mut test = start().await;
    let uploaded = test.upload("").await;
    let other = FaultTest::start(SETTINGS).await;
    let location = format!("{}/_emulator/gone", other.emulator.url());
    for step in ["url", "content"] {
        let rules = format!(
            "[[fault]]\noperation = \"download\"\nstep = {step:?}\ndo = {{ redirect = {{ code = 307, location = {location:?} }} }}\n"
        );
        test.reopen(SETTINGS);
        let errors = test.download(&uploaded, &rules).await;
        assert_eq!(errors.len(), 100, "{step}: a response from another host is not a file");
    }
    for entry in other.emulator.journal() {
        let query = entry.query.unwrap_or_default();
        assert!(!query.contains("signature") && !query.contains("auth="), "{query}");
    }
}
