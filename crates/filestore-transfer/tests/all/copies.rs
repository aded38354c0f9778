//! Copies of single files: what is carried, what is proven, and what a failure leaves.

use std::fs;
use std::sync::Arc;

use bytes::Bytes;
use filestore_core::{Effect, ErrorKind, Feature, FileRef, IfExists, Result, Store, Upload};
use filestore_local::{FsStore, MemoryStore};
use filestore_transfer::{CopiedFile, FileCopy, Proof, TransferPool, spool_path};
use futures::{StreamExt, stream};
use jiff::Timestamp;
use tempfile::TempDir;

use crate::altered_store::AlteredStore;

fn memory(name: &str) -> Store {
    Store::new(name, Arc::new(MemoryStore::new())).unwrap()
}

fn local(name: &str) -> (Store, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (Store::new(name, Arc::new(FsStore::new(folder.path()).unwrap())).unwrap(), folder)
}

async fn copy(from: &Store, to: &Store, copy: FileCopy) -> Result<CopiedFile> {
    let mut outcomes = TransferPool::new().copy_all(from, to, stream::iter([((), copy)]));
    let outcome = outcomes.next().await.unwrap();
    assert!(outcomes.next().await.is_none());
    outcome.result
}

async fn stored(store: &Store, name: &str, content: &'static str) -> FileRef {
    store.upload(Upload::new(name, content).scope("in")).await.unwrap().reference
}

fn truncated(content: Bytes) -> Bytes {
    content.slice(..content.len() - 1)
}

fn flipped(content: Bytes) -> Bytes {
    let mut bytes = content.to_vec();
    bytes[0] ^= 1;
    bytes.into()
}

#[tokio::test]
async fn content_and_metadata_are_carried_where_both_stores_have_them() {
    let (from, to, (disk, _folder)) = (memory("from"), memory("to"), local("disk"));
    let modified: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
    let upload = Upload::new("a.txt", "hello").content_type("text/x-a").modified(modified).metadata("k", "v");
    let file = from.upload(upload).await.unwrap();

    let copied = copy(&from, &to, FileCopy::new(file.reference.clone()).scope("x/y").name("b.txt")).await.unwrap();
    assert_eq!(copied.file.reference.to_string(), "to:memory:x/y/b.txt");
    assert_eq!((copied.proof, copied.bytes, copied.not_carried), (Proof::Digest, 5, vec![]));
    let stat = to.stat(&copied.file.reference).await.unwrap();
    assert_eq!((stat.content_type.as_deref(), stat.modified), (Some("text/x-a"), Some(modified)));
    assert_eq!(stat.metadata["k"], "v");
    assert_eq!(to.read(&copied.file.reference, 9).await.unwrap(), "hello");

    let copied = copy(&from, &disk, FileCopy::of(file)).await.unwrap();
    assert_eq!((copied.proof, copied.not_carried), (Proof::Size, vec![Feature::ContentType, Feature::Metadata]));
    assert_eq!(disk.stat(&copied.file.reference).await.unwrap().modified, Some(modified));
    assert_eq!(disk.read(&copied.file.reference, 9).await.unwrap(), "hello");
}

#[tokio::test]
async fn a_destination_that_changes_a_content_is_an_integrity_error_and_the_source_stays() {
    for (to, read_back) in [
        (AlteredStore::storing(truncated), false),
        (AlteredStore::storing(flipped), false),
        (AlteredStore::storing(truncated).without_digests(), false),
        (AlteredStore::storing(flipped).without_digests(), true),
    ] {
        let (from, to) = (memory("from"), to.named("to"));
        let reference = stored(&from, "a.txt", "hello").await;
        let error = copy(&from, &to, FileCopy::new(reference.clone()).read_back(read_back)).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Integrity, Effect::Applied), "{error}");
        assert_eq!(error.stored().unwrap().reference.to_string(), "to:memory:a.txt");
        assert_eq!(from.read(&reference, 9).await.unwrap(), "hello");
    }
}

#[tokio::test]
async fn what_is_not_compared_is_reported_and_reading_back_proves_it() {
    let (from, to) = (memory("from"), AlteredStore::storing(|content| content).without_digests().named("to"));
    let reference = stored(&from, "a.txt", "hello").await;
    assert_eq!(copy(&from, &to, FileCopy::new(reference.clone())).await.unwrap().proof, Proof::Size);
    let copied = copy(&from, &to, FileCopy::new(reference.clone()).read_back(true)).await.unwrap();
    assert_eq!(copied.proof, Proof::ReadBack);
    let once = AlteredStore::single_use().named("once");
    let error = copy(&from, &once, FileCopy::new(reference).read_back(true)).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unsupported, Effect::NotSent), "{error}");
    assert!(once.find(None, "a.txt").await.unwrap().is_empty());
}

#[tokio::test]
async fn an_existing_file_is_replaced_or_the_copy_fails() {
    let (from, to) = (memory("from"), memory("to"));
    let reference = stored(&from, "a.txt", "new").await;
    let old = stored(&to, "a.txt", "old").await;
    let one = || FileCopy::new(reference.clone()).scope("in");
    let error = copy(&from, &to, one().if_exists(IfExists::Fail)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(to.read(&old, 9).await.unwrap(), "old");
    copy(&from, &to, one()).await.unwrap();
    assert_eq!(to.read(&old, 9).await.unwrap(), "new");
}

#[tokio::test]
async fn a_file_that_a_read_consumes_is_copied_only_through_a_spool() {
    let (from, to, spool) = (AlteredStore::single_use().named("from"), memory("to"), tempfile::tempdir().unwrap());
    let reference = stored(&from, "a.txt", "hello").await;
    let error = copy(&from, &to, FileCopy::new(reference.clone())).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unsupported, Effect::NotSent));

    let copied = copy(&from, &to, FileCopy::new(reference.clone()).spool(spool.path())).await.unwrap();
    assert_eq!(to.read(&copied.file.reference, 9).await.unwrap(), "hello");
    assert!(!from.exists(&reference).await.unwrap());
    assert_eq!(fs::read_dir(spool.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_content_that_could_not_be_sent_stays_in_the_spool_and_is_sent_from_there() {
    let (from, spool) = (AlteredStore::single_use().named("from"), tempfile::tempdir().unwrap());
    let (to, taken) = (memory("to"), memory("taken"));
    let reference = stored(&from, "a.txt", "hello").await;
    stored(&taken, "a.txt", "other").await;
    let one = || FileCopy::new(reference.clone()).scope("in").if_exists(IfExists::Fail).spool(spool.path());
    assert_eq!(copy(&from, &taken, one()).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(fs::read(spool_path(spool.path(), &reference)).unwrap(), b"hello");
    assert!(!from.exists(&reference).await.unwrap());

    let copied = copy(&from, &to, one()).await.unwrap();
    assert_eq!((copied.file.name.as_str(), copied.bytes), ("a.txt", 5));
    assert_eq!(to.read(&copied.file.reference, 9).await.unwrap(), "hello");
    assert_eq!(fs::read_dir(spool.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn what_the_destination_rejects_for_sure_does_not_cost_the_file() {
    let (from, spool) = (AlteredStore::single_use().named("from"), tempfile::tempdir().unwrap());
    let reference = stored(&from, "a.txt", "hello").await;
    let to = memory("to");
    let error = copy(&from, &to, FileCopy::new(reference.clone()).name("a/b").spool(spool.path())).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::InvalidInput, Effect::NotSent));
    assert!(from.exists(&reference).await.unwrap());
}

#[tokio::test]
async fn a_large_file_is_copied_whole() {
    let ((from, folder), to) = (local("from"), memory("to"));
    let content: Vec<u8> = (0..17_u32 << 20).map(|at| (at / 977) as u8).collect();
    fs::write(folder.path().join("big"), &content).unwrap();
    let reference: FileRef = "from:fs:big".parse().unwrap();
    for read_back in [false, true] {
        let copied = copy(&from, &to, FileCopy::new(reference.clone()).read_back(read_back)).await.unwrap();
        assert_eq!(copied.bytes, content.len() as u64);
        assert!(to.read(&copied.file.reference, content.len()).await.unwrap() == content);
    }
}
