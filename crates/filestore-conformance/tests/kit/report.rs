//! The report, and stores that panic or hang.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use filestore_conformance::{Harness, Kit, Outcome, Report, run};
use filestore_core::{Capabilities, Effect, Error, ErrorKind, Feature, FileStore, Page, Result, Store, StoredFile};

use crate::broken_store::{BrokenStore, MemoryHarness};
use crate::memory::{Memory, Shape};

/// Returns a store whose uploads fail with `error`.
fn without_uploads(error: fn() -> Error) -> BrokenStore {
    BrokenStore::of("U1", "rejects all files").upload(move |_, _| async move { Err(error()) })
}

#[tokio::test]
async fn a_store_that_supports_nothing_fails_because_no_rule_was_checked() {
    let nothing = without_uploads(|| Error::unsupported("this store supports nothing"))
        .states(|stated| *stated = Capabilities::new("memory"));
    let report = run(&nothing.harness()).await;
    assert!(!report.passed());
    assert_eq!(report.executed(), 0);
    assert_eq!(report.counts().skipped, report.rules.len());
    assert!(report.to_string().contains("no rule could be checked"), "{report}");
    let reason = Outcome::Skipped { capability: "upload".into(), reason: "this store supports nothing".into() };
    assert_eq!(report.outcome("C1"), Some(&reason));
}

#[tokio::test]
async fn a_rule_that_cannot_be_checked_is_blocked_and_fails_the_report() {
    let full = without_uploads(|| Error::new(ErrorKind::Quota, Effect::Rejected, "the disk is full"));
    let report = Kit::new().only(["X1"]).run(&full.harness()).await;
    assert!(!report.passed());
    let Some(Outcome::Blocked { by }) = report.outcome("X1") else { panic!("{report}") };
    assert!(by.contains("the disk is full"), "{by}");
}

#[tokio::test]
async fn a_panic_fails_its_rule_and_the_run_continues() {
    let panicking = BrokenStore::of("S1", "panics").stat(|_, _| async { panic!("index out of bounds") });
    let report = Kit::new().only(["S1", "D1"]).run(&panicking.harness()).await;
    let Some(Outcome::Failed { seen, .. }) = report.outcome("S1") else { panic!("{report}") };
    assert!(seen.contains("index out of bounds"), "{seen}");
    assert_eq!(report.outcome("D1"), Some(&Outcome::Passed));
}

#[tokio::test]
async fn a_hang_fails_its_rule_and_the_run_continues() {
    let hanging = BrokenStore::of("S1", "hangs").stat(|_, _| std::future::pending());
    let kit = Kit::new().only(["S1", "D1"]).time_limit(Duration::from_millis(200));
    let report = kit.run(&hanging.harness()).await;
    let Some(Outcome::Failed { seen, .. }) = report.outcome("S1") else { panic!("{report}") };
    assert!(seen.contains("200ms"), "{seen}");
    assert_eq!(report.outcome("D1"), Some(&Outcome::Passed));
}

/// A harness of a service that cannot store empty files.
struct Excepted(MemoryHarness);

#[async_trait]
impl Harness for Excepted {
    async fn open(&self) -> Result<Store> {
        self.0.open().await
    }

    fn exception(&self, id: &str) -> Option<String> {
        (id == "U2").then(|| "a PUT of 0 bytes gets 500".to_owned())
    }
}

#[tokio::test]
async fn a_rule_that_the_service_cannot_keep_is_skipped_with_the_reason_of_the_harness() {
    let report = Kit::new().only(["U1", "U2"]).run(&Excepted(MemoryHarness::correct(Shape::Paths))).await;
    let capability = "harness: exception".to_owned();
    let skipped = Outcome::Skipped { capability, reason: "a PUT of 0 bytes gets 500".to_owned() };
    assert_eq!(report.outcome("U2"), Some(&skipped));
    assert_eq!(report.outcome("U1"), Some(&Outcome::Passed));
}

#[tokio::test]
async fn an_id_that_no_rule_has_fails_the_report() {
    let report = Kit::new().only(["U1", "U99"]).run(&MemoryHarness::correct(Shape::Paths)).await;
    assert!(!report.passed());
    assert!(report.to_string().contains("there is no rule \"U99\""), "{report}");
}

#[tokio::test]
async fn the_kit_deletes_its_files() {
    let harness = MemoryHarness::correct(Shape::Paths);
    run(&harness).await;
    assert_eq!(harness.files_left(), 0);
}

/// The smallest harness, without optional methods.
struct Smallest(Arc<dyn FileStore>);

#[async_trait]
impl Harness for Smallest {
    async fn open(&self) -> Result<Store> {
        Store::new("smallest", Arc::clone(&self.0))
    }
}

#[tokio::test]
async fn a_harness_without_optional_methods_is_enough() {
    for shape in [Shape::Paths, Shape::Channels, Shape::Keys] {
        let report = run(&Smallest(Arc::new(Memory::new(shape, Arc::default())))).await;
        assert!(report.passed(), "{report}");
        let Some(Outcome::Skipped { capability, .. }) = report.outcome("E1") else { panic!("{report}") };
        assert!(capability.starts_with("harness"), "{report}");
    }
}

/// The store is like an anonymous store of file.io, which has only the keys of its files.
#[tokio::test]
async fn a_store_that_supports_only_upload_and_download_passes() {
    let anonymous = BrokenStore::of("", "does nothing wrong").on(Shape::Keys).states(|stated| {
        for feature in [Feature::List, Feature::Stat, Feature::Delete, Feature::Url] {
            *stated = stated.clone().unsupported(feature, "the service needs an account for it");
        }
        stated.url_kind = None;
    });
    let report = run(&anonymous.harness()).await;
    assert!(report.passed(), "{report}");
    let reason = "the service needs an account for it".to_owned();
    let skipped = Outcome::Skipped { capability: "list".into(), reason };
    assert_eq!(report.outcome("L1"), Some(&skipped));
    assert_eq!(report.outcome("Q2"), Some(&Outcome::Passed));
}

#[tokio::test]
async fn the_rules_of_versions_are_skipped_with_a_reason_if_no_response_has_one() {
    let without = BrokenStore::of("", "tells no versions")
        .upload(|inner, request| async move { inner.store.upload(request).await.map(without_version) })
        .stat(|inner, request| async move { inner.store.stat(request).await.map(without_version) })
        .list(|inner, request| async move {
            let page = inner.store.list(request).await?;
            Ok(Page::new(page.files.into_iter().map(without_version).collect(), page.next))
        })
        .download(|inner, request| async move {
            let mut downloaded = inner.store.download(request).await?;
            downloaded.file = without_version(downloaded.file);
            Ok(downloaded)
        });
    let report = Kit::new().only(["V1", "V2"]).run(&without.harness()).await;
    let reason = "no response of the store has a version".to_owned();
    let skipped = Outcome::Skipped { capability: "version".into(), reason };
    assert_eq!([report.outcome("V1"), report.outcome("V2")], [Some(&skipped); 2]);
}

fn without_version(mut file: StoredFile) -> StoredFile {
    file.version = None;
    file
}

async fn three_rules() -> Report {
    let forgetful = BrokenStore::of("X1", "forgets a delete").delete(|_, _| async { Ok(()) });
    Kit::new().only(["D1", "X1", "W4"]).run(&forgetful.harness()).await
}

#[tokio::test]
async fn the_json_report_has_the_documented_fields() {
    let json = three_rules().await.to_json();
    assert_eq!(json["store"], "tested");
    assert_eq!(json["passed"], false);
    assert_eq!(json["executed"], 2);
    assert_eq!(json["counts"], serde_json::json!({ "passed": 1, "failed": 1, "skipped": 1, "blocked": 0 }));
    let rule = |id: &str| json["rules"].as_array().unwrap().iter().find(|rule| rule["id"] == id).unwrap().clone();
    assert_eq!(rule("D1")["outcome"], "passed");
    assert_eq!(rule("D1")["title"], "The metadata of a download is true.");
    assert!(rule("D1")["milliseconds"].is_u64());
    assert_eq!(rule("X1")["expected"], "stat of a deleted file fails as not_found (rejected)");
    assert!(rule("X1")["seen"].as_str().unwrap().starts_with("success"));
    assert_eq!(rule("W4")["capability"], "new file for every upload");
    assert_eq!(rule("W4")["reason"], "the store has replace");
}

#[tokio::test]
async fn the_text_report_has_the_expected_and_the_seen_behavior() {
    let text = three_rules().await.to_string();
    assert!(text.contains("passed   D1   The metadata of a download is true."), "{text}");
    assert!(text.contains("failed   X1   A deleted file is gone.\n    expected  stat of a deleted file"), "{text}");
    assert!(text.contains("    without new file for every upload: the store has replace"), "{text}");
    assert!(text.ends_with("\"tested\" does NOT keep the rules: 1 passed, 1 failed, 1 skipped, 0 blocked"), "{text}");
}
