//! The conformance kit, against every backend.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use filestore::fileio::FileIoUpload;
use filestore::{Config, Error, FileUrl, Result, Store};
use filestore_conformance::{Harness, Requests, run};
use filestore_emulator::{Emulator, FILEIO_API_KEY, Options};
use jiff::Timestamp;

/// A store that configuration text declares.
struct Declared {
    store: Store,
}

impl Declared {
    fn new(text: &str) -> Self {
        let config = Config::parse(text, "conformance.toml").unwrap();
        let stores = config.open(&filestore::registry()).unwrap();
        Self { store: stores.default_store().unwrap().clone() }
    }
}

#[async_trait]
impl Harness for Declared {
    async fn open(&self) -> Result<Store> {
        Ok(self.store.clone())
    }

    /// As somebody without the store gets them.
    async fn fetch(&self, url: &FileUrl) -> Option<Result<Bytes>> {
        if !url.as_str().starts_with("http") {
            return None;
        }
        let answer = async { reqwest::get(url.as_str()).await?.error_for_status()?.bytes().await };
        Some(answer.await.map_err(|error| Error::invalid(error.without_url().to_string())))
    }
}

async fn check(text: &str) {
    let report = run(&Declared::new(text)).await;
    assert!(report.passed(), "{report}");
}

fn local(root: &Path) -> String {
    format!("[stores.tested]\nbackend = \"fs\"\nroot = {root:?}\n")
}

#[tokio::test]
async fn a_local_directory_keeps_the_rules() {
    let folder = tempfile::tempdir().unwrap();
    check(&local(folder.path())).await;
}

#[tokio::test]
async fn memory_keeps_the_rules() {
    check("[stores.tested]\nbackend = \"memory\"\n").await;
}

/// file.io on the emulator, which counts requests and moves its clock.
struct FileIo {
    emulator: Emulator,
    declared: Declared,
    /// Whether more than one read can be had.
    paid: bool,
}

impl FileIo {
    async fn start(api_key: Option<&str>) -> Self {
        let emulator = Emulator::start(Options::default()).await.unwrap();
        let paid = api_key.is_some();
        let api_key = api_key.map(|key| format!("api_key = {key:?}\n")).unwrap_or_default();
        let text = format!("[stores.tested]\nbackend = \"fileio\"\nbase_url = {:?}\n{api_key}", emulator.url());
        Self { emulator, declared: Declared::new(&text), paid }
    }
}

#[async_trait]
impl Harness for FileIo {
    async fn open(&self) -> Result<Store> {
        self.declared.open().await
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

    async fn fetch(&self, url: &FileUrl) -> Option<Result<Bytes>> {
        self.declared.fetch(url).await
    }

    fn known_options(&self) -> filestore::Options {
        options(FileIoUpload::new().title("conformance"))
    }

    fn reads(&self, count: u64) -> filestore::Options {
        if !self.paid {
            return filestore::Options::default();
        }
        options(FileIoUpload::new().max_downloads(u32::try_from(count).unwrap()))
    }
}

fn options(upload: FileIoUpload) -> filestore::Options {
    let mut options = filestore::Options::default();
    options.require(Arc::new(upload));
    options
}

#[tokio::test]
async fn file_io_with_an_account_keeps_the_rules() {
    let report = run(&FileIo::start(Some(FILEIO_API_KEY)).await).await;
    assert!(report.passed(), "{report}");
}

#[tokio::test]
async fn anonymous_file_io_keeps_the_rules() {
    let report = run(&FileIo::start(None).await).await;
    assert!(report.passed(), "{report}");
}

/// `tests/interop/run` starts a server, makes the bucket and runs this.
#[tokio::test]
#[ignore = "needs an S3 server: S3_ENDPOINT"]
async fn s3_keeps_the_rules() {
    let endpoint = std::env::var("S3_ENDPOINT").unwrap();
    check(&format!(
        r#"
[stores.tested]
backend = "opendal"
service = "s3"
[stores.tested.options]
endpoint = "{endpoint}"
bucket = "conformance"
region = "us-east-1"
access_key_id = "key"
secret_access_key = "secret"
"#
    ))
    .await;
}
