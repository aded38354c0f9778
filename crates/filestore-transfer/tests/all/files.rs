//! Files on the disk, through a store with content.

use std::sync::Arc;
use std::time::Duration;

use filestore_core::{ErrorKind, IfExists, Store, Upload};
use filestore_local::MemoryStore;
use filestore_transfer::{Save, SaveTarget, TransferPool};
use futures::{StreamExt, stream};

use crate::counting_store::{CountingStore, reference};

#[tokio::test(flavor = "multi_thread")]
async fn files_are_uploaded_downloaded_and_deleted() {
    let (source, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let content = |number: usize| format!("{number} ").repeat(number * 500);
    let mut uploads = Vec::new();
    for number in 0..100 {
        let path = source.path().join(format!("{number}.txt"));
        std::fs::write(&path, content(number)).unwrap();
        uploads.push((number, Upload::from_path(path).unwrap().scope("in")));
    }
    let store = Store::new("memory", Arc::new(MemoryStore::new())).unwrap();
    let pool = TransferPool::new();
    let stored: Vec<_> = pool.upload_all(&store, stream::iter(uploads)).collect().await;
    let saves = stored.into_iter().map(|outcome| {
        let file = outcome.result.unwrap();
        let save = match outcome.key % 2 {
            0 => Save::to_folder(file.reference, target.path()),
            _ => Save::to_path(file.reference, target.path().join(file.name)),
        };
        (outcome.key, save.size(file.size))
    });
    let saved: Vec<_> = pool.download_all(&store, stream::iter(saves.collect::<Vec<_>>())).collect().await;
    assert_eq!(saved.len(), 100);
    let references = saved.into_iter().map(|outcome| {
        let saved = outcome.result.unwrap();
        assert_eq!(saved.path, target.path().join(format!("{}.txt", outcome.key)));
        assert_eq!(std::fs::read_to_string(saved.path).unwrap(), content(outcome.key));
        (outcome.key, saved.file.reference)
    });
    let references: Vec<_> = references.collect();
    let deleted = pool.delete_all(&store, stream::iter(references.clone()));
    assert!(deleted.all(|outcome| async move { outcome.result.is_ok() }).await);
    assert!(!store.exists(&references[0].1).await.unwrap());
}

#[tokio::test]
async fn a_download_replaces_a_file_only_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    std::fs::write(&path, "old").unwrap();
    let store = Store::new("memory", Arc::new(MemoryStore::new())).unwrap();
    let reference = store.upload(Upload::new("a", "new")).await.unwrap().reference;
    let pool = TransferPool::new();
    let save = Save::to_path(reference, &path);
    assert_eq!(save.target, SaveTarget::Path(path.clone()));
    let outcome = pool.download_all(&store, stream::iter([((), save.clone())])).next().await.unwrap();
    assert_eq!(outcome.result.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    let save = save.if_exists(IfExists::Replace);
    pool.download_all(&store, stream::iter([((), save)])).next().await.unwrap().result.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"new");
}

/// Waits until a file in `folder` has this content, and returns its path.
async fn wait_for_file(folder: &std::path::Path, content: &[u8]) -> std::path::PathBuf {
    loop {
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        if let Some(path) = files.into_iter().find(|path| std::fs::read(path).is_ok_and(|read| read == content)) {
            return path;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn dropped_outcomes_keep_what_a_consuming_read_received_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    for consumes in [true, false] {
        let double = CountingStore::new(Duration::ZERO).stalling();
        let double = if consumes { double.consuming() } else { double };
        let save = Save::to_path(reference("a"), folder.path().join("a"));
        let mut outcomes = TransferPool::new().download_all(&double.store(), stream::iter([((), save)]));
        tokio::select! {
            _ = outcomes.next() => panic!("the content does not end"),
            _ = wait_for_file(folder.path(), b"content") => {}
        }
        drop(outcomes);
        while !consumes && std::fs::read_dir(folder.path()).unwrap().count() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let names: Vec<_> = names.collect();
        if consumes {
            assert_eq!(names, ["a.partial"]);
            std::fs::remove_file(folder.path().join("a.partial")).unwrap();
        }
    }
}
