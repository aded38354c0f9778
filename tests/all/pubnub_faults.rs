//! PubNub under every fault that an upload or a download can meet.

use std::collections::HashMap;

use filestore::pubnub::{PubNubConfig, PubNubSend, PubNubStore};
use filestore::{Effect, ErrorKind, StoredFile};
use serde_json::Value;

use crate::fault_matrix::Campaign;

async fn plain() -> Campaign {
    Campaign::start(SETTINGS).await
}

const SETTINGS: &str = r#"
backend = "pubnub"
publish_key = "pub-c-emulator"
subscribe_key = "sub-c-emulator"
secret_key = "sec-c-emulator"
user_id = "campaign"
channel = "room-1"
"#;

const STEPS: [&str; 3] = ["generate-upload-url", "form", "publish"];

fn rule(step: &str, times: u32, fault: &str) -> String {
    format!(
        "seed = 7\n[[fault]]\noperation = \"upload\"\nstep = {step:?}\ntimes = {times}\nprobability = 0.3\ndo = {fault}\n"
    )
}

#[tokio::test]
async fn a_reset_before_the_answer_loses_nothing() {
    for step in STEPS {
        for at in ["request", "request-body"] {
            let uploaded = plain().await.upload(&rule(step, 15, &format!("{{ reset = {{ at = {at:?} }} }}"))).await;
            // A message may be out although nobody heard so; everything else is sent again.
            let unannounced = uploaded.errors.iter().all(|(_, error)| error.kind() == ErrorKind::Incomplete);
            assert!(uploaded.all() || step == "publish" && unannounced, "{step} {at}: {:?}", uploaded.errors);
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_is_found_again() {
    for step in STEPS {
        for fault in ["\"lost-answer\"", "{ reset = { at = \"headers\" } }", "{ reset = { at = \"body\" } }"] {
            let uploaded = plain().await.upload(&rule(step, 15, fault)).await;
            let unannounced = uploaded.errors.iter().all(|(_, error)| error.kind() == ErrorKind::Incomplete);
            assert!(uploaded.all() || step == "publish" && unannounced, "{step} {fault}: {:?}", uploaded.errors);
        }
    }
}

#[tokio::test]
async fn a_busy_service_is_asked_again() {
    for step in STEPS {
        for code in [429, 503] {
            // A 429 makes all requests to the host wait: few of them take long enough.
            let uploaded = plain().await.upload(&rule(step, 4, &format!("{{ status = {{ code = {code} }} }}"))).await;
            let unannounced = uploaded.errors.iter().all(|(_, error)| error.kind() == ErrorKind::Incomplete);
            assert!(uploaded.all() || step == "publish" && unannounced, "{step} {code}: {:?}", uploaded.errors);
        }
    }
}

#[tokio::test]
async fn a_long_wait_that_the_service_asks_for_is_the_callers() {
    for step in STEPS {
        let fault = "{ status = { code = 429, headers = { Retry-After = \"60\" } } }";
        let uploaded = plain().await.upload(&rule(step, 15, fault)).await;
        assert_eq!(uploaded.errors.len(), 15, "{step}");
        for (_, error) in &uploaded.errors {
            let expected = if step == "publish" { Effect::Applied } else { Effect::Rejected };
            assert_eq!(error.effect(), expected, "{step}: {error:?}");
            assert_eq!(error.retry_after().map(|wait| wait.as_secs()), Some(60), "{step}: {error:?}");
        }
    }
}

#[tokio::test]
async fn an_outage_is_not_multiplied_and_says_what_it_left() {
    for step in STEPS {
        let rules =
            format!("[[fault]]\noperation = \"upload\"\nstep = {step:?}\ndo = {{ status = {{ code = 503 }} }}\n");
        let campaign = plain().await;
        let uploaded = campaign.upload(&rules).await;
        assert_eq!(uploaded.errors.len(), 100);
        // Twenty retries, and one more for every ten requests that went well: for each file the form, and where the
        // storage fails the presigned URL and the look that finds nothing.
        let rejected = campaign.faults();
        assert!(rejected <= 100 + 20 + 30, "{step}: {rejected} requests to a service that is down");
        for (_, error) in &uploaded.errors {
            assert_eq!(error.kind() == ErrorKind::Incomplete, step == "publish", "{error:?}");
        }
    }
}

/// How often each id was announced.
async fn announced(campaign: &Campaign) -> HashMap<String, usize> {
    let history = "v3/history/sub-key/sub-c-emulator/channel/room-1?uuid=subscriber&max=100";
    let url = format!("{}/{history}", campaign.emulator.url());
    let answer = reqwest::get(url).await.unwrap().bytes().await.unwrap();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    let mut times = HashMap::new();
    for entry in answer["channels"]["room-1"].as_array().unwrap() {
        *times.entry(entry["message"]["file"]["id"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    times
}

#[tokio::test]
async fn messages_that_are_rejected_are_published_later_without_a_second_upload() {
    let campaign = plain().await;
    let rejected = "step = \"publish\"\ntimes = 60\ndo = { status = { code = 503 } }";
    let uploaded = campaign.upload(&format!("[[fault]]\noperation = \"upload\"\n{rejected}\n")).await;
    assert!(uploaded.errors.len() >= 15, "four attempts are not enough for these");
    // Another process, with the references alone.
    let config = PubNubConfig::new("pub-c-emulator", "sub-c-emulator", "later").secret_key("sec-c-emulator");
    let later = PubNubStore::new(config.base_url(campaign.emulator.url())).unwrap();
    for (_, error) in &uploaded.errors {
        let file = error.stored().map(StoredFile::reference).unwrap();
        later.publish_file_message(file, &PubNubSend::new()).await.unwrap();
    }
    let times = announced(&campaign).await;
    assert_eq!((times.len(), times.values().max()), (100, Some(&1)));
    let forms = campaign.emulator.journal().iter().filter(|entry| entry.path == "/_storage/pubnub/").count();
    assert_eq!(forms, 100);
}

#[tokio::test]
async fn an_expired_form_is_asked_for_anew() {
    let uploaded = plain().await.upload(&rule("form", 15, "\"expired-url\"")).await;
    assert!(uploaded.all(), "{:?}", uploaded.errors);
}

#[tokio::test]
async fn a_form_that_ends_after_its_answer_was_lost_stores_nothing_twice() {
    for key in ["", "cipher_key = \"key\"\n"] {
        let campaign = Campaign::start(&format!("{SETTINGS}{key}")).await;
        campaign.set_faults(
            "[[fault]]\noperation = \"upload\"\nstep = \"form\"\nnth = 1\ndo = \"lost-answer\"\n\
             [[fault]]\noperation = \"upload\"\nstep = \"form\"\nnth = 2\ndo = \"expired-url\"\n",
        );
        // Large enough for a storage that rejects the form without reading the file.
        let content = vec![7_u8; 3 << 20];
        let file = campaign.store.upload(filestore::Upload::new("a", content)).await.unwrap();
        let page = campaign.store.list(filestore::List::new()).await.unwrap();
        let there: Vec<_> = page.files.iter().map(|file| &file.reference).collect();
        assert_eq!(there, [&file.reference], "{key}");
    }
}

#[tokio::test]
async fn a_page_in_the_place_of_a_file_is_an_error() {
    let campaign = plain().await;
    let file = campaign.store.upload(filestore::Upload::new("a", "content")).await.unwrap();
    for step in ["url", "content"] {
        campaign.set_faults(&format!(
            "[[fault]]\noperation = \"download\"\nstep = {step:?}\ndo = {{ html = {{ code = 200 }} }}\n"
        ));
        let error = campaign.store.read(&file.reference, 1000).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{step}");
    }
}

#[tokio::test]
async fn a_wrong_etag_is_never_taken_for_a_success() {
    let campaign = plain().await;
    let uploaded = campaign.upload(&rule("form", 10, "\"wrong-etag\"")).await;
    assert_eq!((campaign.faults(), uploaded.errors.len()), (10, 10), "{:?}", uploaded.errors);
    for (_, error) in &uploaded.errors {
        assert_eq!(error.kind(), ErrorKind::Integrity, "{error:?}");
    }
}

#[tokio::test]
async fn what_is_stored_differently_is_never_taken_for_a_success() {
    let campaign = plain().await;
    campaign.set_faults(
        "[[fault]]\noperation = \"upload\"\nstep = \"form\"\ndo = { corrupt = { at = 0, of = \"request\" } }\n",
    );
    let error = campaign.store.upload(filestore::Upload::new("a", "content")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Integrity, "{error:?}");
}

#[tokio::test]
async fn a_download_is_right_or_an_error() {
    let mut campaign = plain().await;
    let uploaded = campaign.upload("").await;
    assert!(uploaded.all());
    let both = &["url", "content"][..];
    for (fault, steps, healed) in [
        ("{ reset = { at = \"request\" } }", both, true),
        ("{ reset = { at = \"body\", after = \"40%\" } }", both, true),
        ("{ cut-download = { after = \"40%\" } }", both, true),
        ("{ truncate = { keep = \"40%\" } }", both, false),
        ("{ corrupt = { at = 0 } }", both, false),
        ("{ status = { code = 503 } }", both, true),
        // One that ends twice for the same file is the caller's. Only the storage's URLs end.
        ("\"expired-url\"", &["content"], false),
    ] {
        for step in steps {
            let rules = format!(
                "seed = 3\n[[fault]]\noperation = \"download\"\nstep = {step:?}\ntimes = 15\nprobability = 0.3\ndo = {fault}\n"
            );
            campaign.forget(SETTINGS);
            let before = campaign.faults();
            let errors = campaign.download(&uploaded, &rules).await;
            assert_eq!(campaign.faults() - before, 15, "{step} {fault} was not met");
            assert!(errors.is_empty() || !healed, "{step} {fault}: {errors:?}");
        }
    }
}

#[tokio::test]
async fn a_redirect_to_another_host_takes_no_credential_along() {
    let mut campaign = plain().await;
    let uploaded = campaign.upload("").await;
    let other = Campaign::start(SETTINGS).await;
    let location = format!("{}/_emulator/gone", other.emulator.url());
    for step in ["url", "content"] {
        let rules = format!(
            "[[fault]]\noperation = \"download\"\nstep = {step:?}\ndo = {{ redirect = {{ code = 307, location = {location:?} }} }}\n"
        );
        campaign.forget(SETTINGS);
        let errors = campaign.download(&uploaded, &rules).await;
        assert_eq!(errors.len(), 100, "{step}: a page of somebody else is no file");
    }
    for entry in other.emulator.journal() {
        let query = entry.query.unwrap_or_default();
        assert!(!query.contains("signature") && !query.contains("auth="), "{query}");
    }
}
