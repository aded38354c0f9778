//! The conformance kit, against every backend.

use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;
use filestore::{Config, Error, FileUrl, Result, Store};
use filestore_conformance::{Harness, run};

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
