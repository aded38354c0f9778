//! Files.com with every fault that a large upload or download can have.

use std::io::Write;
use std::path::Path;

use bytes::Bytes;
use filestore::{Config, Effect, ErrorKind, IfExists, List, Result, Store, StoredFile, Upload};
use filestore_emulator::{Emulator, FILESCOM_API_KEY, FaultPlan, Options};
use futures::TryStreamExt;
use tempfile::TempDir;

const BLOCK: usize = 1 << 20;
const BLOCKS: usize = 200;

/// Returns the content of a block, different for each `number`.
fn block(number: usize) -> Vec<u8> {
    let mut block = vec![number as u8; BLOCK];
    block[..8].copy_from_slice(&(number as u64).to_be_bytes());
    block
}

fn large_file(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("large.bin");
    let mut file = std::fs::File::create(&path).unwrap();
    for number in 0..BLOCKS {
        file.write_all(&block(number)).unwrap();
    }
    path
}

/// An emulated Files.com site, and a store that uses it.
struct Site {
    emulator: Emulator,
    store: Store,
    folder: TempDir,
}

impl Site {
    async fn start(more: &str) -> Self {
        let emulator = Emulator::start(Options::default()).await.unwrap();
        let text = format!(
            "[stores.tested]\nbackend = \"filescom\"\nbase_url = {:?}\napi_key = {FILESCOM_API_KEY:?}\n{more}",
            emulator.url()
        );
        let stores = Config::parse(&text, "faults.toml").unwrap().open(&filestore::registry()).unwrap();
        let store = stores.default_store().unwrap().clone();
        Self { emulator, store, folder: tempfile::tempdir().unwrap() }
    }

    fn set_faults(&self, rules: &str) {
        self.emulator.set_faults(FaultPlan::from_toml(rules).unwrap());
    }

    /// Uploads the large file with the fault rules `rules`, then checks that every stored file is whole.
    async fn upload(&self, rules: &str) -> Result<StoredFile> {
        let path = large_file(self.folder.path());
        self.set_faults(rules);
        let outcome = self.store.upload(Upload::from_path(path).unwrap()).await;
        self.set_faults("");
        let listed: Vec<StoredFile> = self.store.list_all(List::new()).try_collect().await.unwrap();
        match &outcome {
            Ok(_) => assert_eq!(listed.len(), 1),
            Err(error) if error.effect() == Effect::Unknown => {}
            Err(error) => assert!(listed.is_empty() || error.stored().is_some(), "{error:?}"),
        }
        for file in &listed {
            self.check(file).await;
        }
        outcome
    }

    async fn check(&self, file: &StoredFile) {
        assert_eq!(file.size, Some((BLOCK * BLOCKS) as u64));
        self.read(file).await.unwrap();
    }

    /// Downloads the file, and panics if a download that succeeds has other content.
    async fn read(&self, file: &StoredFile) -> Result<()> {
        let folder = tempfile::tempdir().unwrap();
        let saved = self.store.download_to_path(&file.reference, folder.path().join("x"), IfExists::Fail).await?;
        let read = std::fs::read(saved.path).unwrap();
        compare(&read, 0);
        assert_eq!(read.len(), BLOCK * BLOCKS);
        Ok(())
    }

    /// Returns the number of requests of one step of an upload.
    fn count(&self, step: &str) -> usize {
        let path = match step {
            "begin" => "/api/rest/v1/file_actions/begin_upload/",
            "part" => "/_storage/filescom/",
            other => panic!("{other}"),
        };
        self.emulator.journal().iter().filter(|entry| entry.path.starts_with(path)).count()
    }
}

fn compare(mut chunk: &[u8], mut at: usize) {
    while !chunk.is_empty() {
        let (number, from) = (at / BLOCK, at % BLOCK);
        let length = chunk.len().min(BLOCK - from);
        assert!(chunk[..length] == block(number)[from..from + length], "differs near byte {at}");
        chunk = &chunk[length..];
        at += length;
    }
}

fn rule(step: &str, fault: &str) -> String {
    format!("[[fault]]\noperation = \"upload\"\nstep = {step:?}\n{fault}\n")
}

#[tokio::test]
async fn a_part_whose_connection_is_reset_is_retried() {
    let site = Site::start("max_retries = 5\n").await;
    let rules: String = (1..=12)
        .map(|part| rule("part", &format!("part = {part}\nnth = 1\ndo = {{ reset = {{ at = \"request-body\" }} }}")))
        .collect();
    site.upload(&rules).await.unwrap();
}

#[tokio::test]
async fn an_expired_part_gets_a_fresh_url() {
    let site = Site::start("").await;
    site.upload(&rule("part", "part = 3\nnth = 1\ndo = \"expired-url\"")).await.unwrap();
}

#[tokio::test]
async fn a_part_that_a_busy_storage_rejects_is_retried() {
    let site = Site::start("").await;
    site.upload(&rule("part", "part = 2\nnth = 1\ndo = { status = { code = 503 } }")).await.unwrap();
}

#[tokio::test]
async fn a_part_with_a_wrong_etag_is_retried_and_the_second_wrong_etag_is_an_integrity_error() {
    let site = Site::start("").await;
    site.upload(&rule("part", "part = 2\nnth = 1\ndo = \"wrong-etag\"")).await.unwrap();
    let site = Site::start("").await;
    let error = site.upload(&rule("part", "part = 2\ndo = \"wrong-etag\"")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Integrity, "{error:?}");
}

#[tokio::test]
async fn a_part_that_arrives_corrupted_is_retried() {
    let site = Site::start("").await;
    site.upload(&rule("part", "part = 2\nnth = 1\ndo = { corrupt = { at = 7, of = \"request\" } }")).await.unwrap();
}

#[tokio::test]
async fn a_stale_ref_restarts_the_whole_upload() {
    let site = Site::start("").await;
    site.upload(&rule("part", "part = 7\nnth = 1\ndo = \"stale-ref\"")).await.unwrap();
}

#[tokio::test]
async fn an_upload_succeeds_although_the_response_to_the_finish_is_lost() {
    for fault in ["\"lost-answer\"", "{ reset = { at = \"headers\" } }", "{ reset = { at = \"request\" } }"] {
        let site = Site::start("").await;
        site.upload(&rule("finish", &format!("nth = 1\ndo = {fault}"))).await.unwrap();
    }
}

#[tokio::test]
async fn a_rejected_finish_stores_no_file() {
    let site = Site::start("").await;
    let error = site.upload(&rule("finish", "do = { status = { code = 422 } }")).await.unwrap_err();
    assert_eq!(error.effect(), Effect::Rejected, "{error:?}");
}

#[tokio::test]
async fn a_stalled_connection_ends_at_the_idle_timeout() {
    let site = Site::start("idle_timeout = \"1s\"\nmax_retries = 0\n").await;
    let error = site.upload(&rule("part", "part = 1\ndo = { stall-upload = { after = \"10%\" } }")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
    let site = Site::start("idle_timeout = \"1s\"\n").await;
    site.upload(&rule("part", "part = 1\nnth = 1\ndo = { stall-upload = { after = \"10%\" } }")).await.unwrap();
}

#[tokio::test]
async fn a_download_is_correct_or_an_error() {
    let site = Site::start("idle_timeout = \"2s\"\n").await;
    let file = site.upload("").await.unwrap();
    let content = |fault: &str| format!("[[fault]]\noperation = \"download\"\nstep = \"content\"\n{fault}\n");
    for (fault, is_recovered) in [
        ("nth = 1\ndo = { reset = { at = \"body\", after = \"40%\" } }", true),
        ("nth = 1\ndo = { cut-download = { after = \"40%\" } }", true),
        ("nth = 1\ndo = { stall-download = { after = \"40%\" } }", true),
        ("nth = 1\ndo = \"expired-url\"", true),
        ("nth = 2\ndo = \"expired-url\"", true),
        ("nth = 1\ndo = { status = { code = 503 } }", true),
        ("do = { corrupt = { at = 70000 } }", false),
        ("do = { truncate = { keep = \"40%\" } }", false),
        ("do = { html = { code = 200 } }", false),
    ] {
        site.set_faults(&content(fault));
        let outcome = site.read(&file).await;
        site.set_faults("");
        assert_eq!(outcome.is_ok(), is_recovered, "{fault}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_download_never_mixes_a_file_and_its_replacement() {
    let site = Site::start("").await;
    let file = site.upload("").await.unwrap();
    site.set_faults("[[fault]]\noperation = \"download\"\nstep = \"content\"\nnth = 1\ndo = { reset = { at = \"body\", after = \"40%\" } }");
    let mut stream = site.store.download(&file.reference).await.unwrap().stream;
    let mut at = 0;
    let first = stream.try_next().await.unwrap().unwrap();
    compare(&first, at);
    at += first.len();
    // The same length, so that only the content differs.
    let other = Bytes::from(vec![0xee; BLOCK * BLOCKS]);
    site.store.upload(Upload::new("large.bin", other)).await.unwrap();
    loop {
        match stream.try_next().await {
            // The old content is correct, because the download began with it.
            Ok(Some(chunk)) => {
                compare(&chunk, at);
                at += chunk.len();
            }
            Ok(None) => {
                assert_eq!(at, BLOCK * BLOCKS);
                break;
            }
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::Integrity | ErrorKind::Conflict), "{error:?}");
                break;
            }
        }
    }
}

#[tokio::test]
async fn fifty_concurrent_uploads_into_missing_folders_all_succeed() {
    let site = Site::start("").await;
    let uploads = (0..50).map(|number| {
        let scope = format!("new/{}/deep", number % 5);
        let upload = Upload::new(format!("{number}.txt"), format!("content {number}")).scope(scope);
        let store = site.store.clone();
        async move { store.upload(upload).await }
    });
    for outcome in futures::future::join_all(uploads).await {
        outcome.unwrap();
    }
    let listed: Vec<StoredFile> = site.store.list_all(List::new().recursive(true)).try_collect().await.unwrap();
    assert_eq!(listed.len(), 50);
}

#[tokio::test]
async fn an_upload_without_verification_is_only_begin_part_and_finish() {
    let site = Site::start("verify = \"none\"\n").await;
    site.store.upload(Upload::new("a.txt", "small")).await.unwrap();
    assert_eq!((site.count("begin"), site.count("part"), site.emulator.journal().len()), (1, 1, 3));
}
