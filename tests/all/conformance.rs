//! The conformance kit on every backend.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use filestore::fileio::FileIoUpload;
use filestore::filescom::FilesComUpload;
use filestore::pubnub::PubNubSend;
use filestore::{Config, Error, FileUrl, ProviderOptions, Result, Store};
use filestore_conformance::{Disturbance, Harness, Outcome, Report, Requests, run};
use filestore_emulator::{Emulator, FILEIO_API_KEY, FILESCOM_API_KEY, JournalEntry, Options};
use jiff::Timestamp;
use serde_json::json;

use crate::disturbance::{self, Service};

/// The harness of a store that configuration text declares, without the help of its service.
pub(crate) struct ConfiguredStore {
    pub(crate) store: Store,
}

impl ConfiguredStore {
    pub(crate) fn new(text: &str) -> Self {
        let config = Config::parse(text, "conformance.toml").unwrap();
        let stores = config.open(&filestore::registry()).unwrap();
        Self { store: stores.default_store().unwrap().clone() }
    }
}

#[async_trait]
impl Harness for ConfiguredStore {
    async fn open(&self) -> Result<Store> {
        Ok(self.store.clone())
    }

    async fn fetch(&self, url: &FileUrl) -> Option<Result<Bytes>> {
        if !url.as_str().starts_with("http") {
            return None;
        }
        let content = async { reqwest::get(url.as_str()).await?.error_for_status()?.bytes().await };
        Some(content.await.map_err(|error| Error::invalid(error.without_url().to_string())))
    }
}

async fn check(text: &str) {
    let report = run(&ConfiguredStore::new(text)).await;
    assert!(report.passed(), "{report}");
    tells_versions(&report);
}

/// Each of these stores has versions, so that the rule about them is not skipped.
fn tells_versions(report: &Report) {
    assert_eq!(report.outcome("V1"), Some(&Outcome::Passed), "{report}");
}

fn local(root: &Path) -> String {
    format!("[stores.tested]\nbackend = \"fs\"\nroot = {root:?}\n")
}

#[tokio::test]
async fn a_local_directory_passes_the_rules() {
    let folder = tempfile::tempdir().unwrap();
    check(&local(folder.path())).await;
}

#[tokio::test]
async fn memory_passes_the_rules() {
    check("[stores.tested]\nbackend = \"memory\"\n").await;
}

/// The harness of a service on the emulator, which counts requests, moves its clock and misbehaves.
struct Emulated {
    emulator: Emulator,
    service: Service,
    /// The number of the last request before the current disturbance; 0 without a disturbance.
    disturbed: AtomicU64,
    configured: ConfiguredStore,
    known_options: filestore::Options,
    /// Returns options that allow a number of reads; empty if the service has no such options.
    reads: fn(u64) -> filestore::Options,
}

impl Emulated {
    /// Starts an emulator, and opens a store with `settings`, to which the base URL is added.
    async fn start(service: Service, settings: &str, known_options: filestore::Options) -> Self {
        let emulator = Emulator::start(Options::default()).await.unwrap();
        let url = emulator.url();
        let delays = "initial_retry_delay = \"1ms\"\nmax_retry_delay = \"1ms\"";
        let configured = ConfiguredStore::new(&format!("[stores.tested]\nbase_url = {url:?}\n{delays}\n{settings}"));
        let reads = |_| filestore::Options::default();
        Self { emulator, service, disturbed: AtomicU64::new(0), configured, known_options, reads }
    }
}

#[async_trait]
impl Harness for Emulated {
    async fn open(&self) -> Result<Store> {
        self.configured.open().await
    }

    async fn requests(&self) -> Option<Requests> {
        let journal = self.emulator.journal();
        let reads = journal.iter().filter(|entry| entry.operation == Some("download")).count();
        Some(Requests::new(journal.len() as u64, reads as u64))
    }

    fn now(&self) -> Timestamp {
        self.emulator.clock().now()
    }

    async fn advance(&self, by: Duration) -> bool {
        self.emulator.clock().advance(by).is_ok()
    }

    async fn disturb(&self, disturbance: Disturbance) -> bool {
        let journal = self.emulator.journal();
        let before = self.disturbed.swap(0, Ordering::Relaxed);
        let is_disturbed =
            |entry: &JournalEntry| entry.number > before && entry.faults.iter().any(|name| name == disturbance::NAME);
        let had_effect = before == 0 || journal.iter().any(is_disturbed);
        assert!(had_effect, "the disturbance before {disturbance:?} affected no request");
        let Some(plan) = self.service.plan(disturbance) else { return false };
        self.emulator.set_faults(plan);
        if disturbance != Disturbance::None {
            self.disturbed.store(journal.last().map_or(0, |entry| entry.number), Ordering::Relaxed);
        }
        true
    }

    async fn fetch(&self, url: &FileUrl) -> Option<Result<Bytes>> {
        self.configured.fetch(url).await
    }

    fn known_options(&self) -> filestore::Options {
        self.known_options.clone()
    }

    fn reads(&self, count: u64) -> filestore::Options {
        (self.reads)(count)
    }
}

fn options(options: impl ProviderOptions) -> filestore::Options {
    let mut all = filestore::Options::default();
    all.required(Arc::new(options));
    all
}

async fn check_all(service: Emulated) {
    let report = run(&service).await;
    assert!(report.passed(), "{report}");
    tells_versions(&report);
    for rule in &report.rules {
        let is_skipped =
            matches!(&rule.outcome, Outcome::Skipped { capability, .. } if capability == "harness: disturb");
        assert!(!is_skipped, "the emulator cannot cause the disturbance of {}: {report}", rule.id);
    }
}

pub(crate) const PUBNUB: &str = r#"
backend = "pubnub"
publish_key = "pub-c-emulator"
subscribe_key = "sub-c-emulator"
user_id = "conformance"
channel = "conformance"
"#;

fn message() -> filestore::Options {
    options(PubNubSend::new().message(json!({ "text": "look" })))
}

#[tokio::test]
async fn pubnub_passes_the_rules() {
    check_all(Emulated::start(Service::PubNub, PUBNUB, message()).await).await;
}

#[tokio::test]
async fn signed_and_encrypted_pubnub_passes_the_rules() {
    for crypto in ["acrh", "legacy"] {
        let settings = format!("{PUBNUB}secret_key = \"sec-c-emulator\"\ncipher_key = \"key\"\ncrypto = {crypto:?}\n");
        check_all(Emulated::start(Service::PubNub, &settings, message()).await).await;
    }
}

#[tokio::test]
async fn files_com_passes_the_rules() {
    let settings = format!("backend = \"filescom\"\napi_key = {FILESCOM_API_KEY:?}\n");
    for more in ["", "root = \"below/here\"\n", "verify = \"crc32\"\n", "verify = \"none\"\n"] {
        let known = options(FilesComUpload::new());
        check_all(Emulated::start(Service::FilesCom, &format!("{settings}{more}"), known).await).await;
    }
}

#[tokio::test]
async fn file_io_with_an_account_passes_the_rules() {
    let settings = format!("backend = \"fileio\"\napi_key = {FILEIO_API_KEY:?}\n");
    let mut service =
        Emulated::start(Service::FileIo, &settings, options(FileIoUpload::new().title("conformance"))).await;
    service.reads = |count| options(FileIoUpload::new().max_downloads(u32::try_from(count).unwrap()));
    check_all(service).await;
}

#[tokio::test]
async fn anonymous_file_io_passes_the_rules() {
    check_all(
        Emulated::start(Service::FileIo, "backend = \"fileio\"\n", options(FileIoUpload::new().title("conformance")))
            .await,
    )
    .await;
}
