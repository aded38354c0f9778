//! Files that are skipped because nothing has changed.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use filestore_core::{Addressing, ErrorKind, IfExists, Store};
use filestore_local::{FsStore, MemoryStore};
use filestore_transfer::{DownloadTree, TransferPool, UploadTree};
use futures::{StreamExt, stream};
use tempfile::TempDir;

use crate::counting_store::CountingStore;

/// Returns a store with digests, and one with modification times, both without files.
fn stores() -> [(Store, TempDir); 2] {
    let folder = tempfile::tempdir().unwrap();
    let fs = Store::new("fs", Arc::new(FsStore::new(folder.path()).unwrap())).unwrap();
    let memory = Store::new("memory", Arc::new(MemoryStore::new())).unwrap();
    [(memory, tempfile::tempdir().unwrap()), (fs, folder)]
}

/// Writes a file whose content is `content`, and that was modified so many seconds ago.
fn write(path: &Path, content: &str, age: u64) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
    let time = SystemTime::now() - Duration::from_secs(age);
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

/// Uploads the folder, and returns the names of the files that were sent and of those that were skipped.
async fn upload(folder: &Path, store: &Store) -> (Vec<String>, Vec<String>) {
    let name = |path: &Path| path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
    let plan = UploadTree::new(folder).scope("in").skip_unchanged(true).plan(store).await.unwrap();
    let unchanged = plan.unchanged.iter().map(|path| name(path)).collect();
    let outcomes = TransferPool::new().upload_all(store, stream::iter(plan.files));
    let mut sent: Vec<_> = outcomes.map(|outcome| outcome.result.map(|_| name(&outcome.key)).unwrap()).collect().await;
    sent.sort();
    (sent, unchanged)
}

/// Downloads the scope, and returns the paths of the files that were received and of those that were skipped.
async fn download(folder: &Path, store: &Store) -> (Vec<String>, Vec<String>) {
    let tree = DownloadTree::new(folder).scope("in").if_exists(IfExists::Replace).skip_unchanged(true);
    let plan = tree.plan(store).await.unwrap();
    let outcomes = TransferPool::new().download_all(store, stream::iter(plan.files));
    let mut received: Vec<_> = outcomes.map(|outcome| outcome.result.map(|_| outcome.key).unwrap()).collect().await;
    received.sort();
    (received, plan.unchanged)
}

fn names<const N: usize>(names: [&str; N]) -> Vec<String> {
    names.map(str::to_owned).into()
}

#[tokio::test]
async fn an_upload_sends_only_what_is_missing_or_has_changed() {
    for (store, _folder) in stores() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in ["a", "b/c", "b/d", "e"] {
            write(&root.join(name), name, 100);
        }
        assert_eq!(upload(root, &store).await, (names(["a", "b/c", "b/d", "e"]), vec![]));
        assert_eq!(upload(root, &store).await, (vec![], names(["a", "b/c", "b/d", "e"])));
        // The same size: only the digest or the time differs.
        write(&root.join("b/d"), "d/b", 50);
        write(&root.join("e"), "ee", 100);
        write(&root.join("f"), "f", 100);
        assert_eq!(upload(root, &store).await, (names(["b/d", "e", "f"]), names(["a", "b/c"])), "{}", store.name());
        assert_eq!(upload(root, &store).await.0, names([]));
    }
}

#[tokio::test]
async fn a_download_receives_only_what_is_missing_or_has_changed() {
    for (store, _folder) in stores() {
        let (source, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (source, target) = (source.path(), target.path());
        for name in ["a", "b/c", "e"] {
            write(&source.join(name), name, 100);
        }
        upload(source, &store).await;
        assert_eq!(download(target, &store).await, (names(["a", "b/c", "e"]), vec![]));
        assert_eq!(download(target, &store).await, (vec![], names(["a", "b/c", "e"])));
        write(&source.join("a"), "A", 50);
        upload(source, &store).await;
        fs::remove_file(target.join("e")).unwrap();
        assert_eq!(download(target, &store).await, (names(["a", "e"]), names(["b/c"])), "{}", store.name());
        assert_eq!(fs::read_to_string(target.join("a")).unwrap(), "A");
    }
}

#[tokio::test]
async fn a_digest_decides_even_if_the_times_are_equal() {
    let [(store, _), _] = stores();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    write(&path, "one", 100);
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    upload(folder.path(), &store).await;
    fs::write(&path, "two").unwrap();
    File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    assert_eq!(upload(folder.path(), &store).await.0, ["a"]);
}

#[tokio::test]
async fn a_file_whose_local_name_is_not_its_own_is_not_replaced() {
    let [_, (store, _folder)] = stores();
    let (source, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(&source.path().join("_env"), "one", 100);
    upload(source.path(), &store).await;
    assert_eq!(download(target.path(), &store).await.0, ["_env"]);
    // Another file has the same local name now, and the first one is gone.
    store.delete(store.reference(Some("in"), "_env").unwrap()).await.unwrap();
    fs::remove_file(source.path().join("_env")).unwrap();
    write(&source.path().join(".env"), "two", 50);
    upload(source.path(), &store).await;
    let tree = DownloadTree::new(target.path()).scope("in").if_exists(IfExists::Replace).skip_unchanged(true);
    let plan = tree.plan(&store).await.unwrap();
    let outcome = TransferPool::new().download_all(&store, stream::iter(plan.files)).next().await.unwrap();
    assert_eq!(outcome.result.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(fs::read_to_string(target.path().join("_env")).unwrap(), "one");
}

#[tokio::test]
async fn a_store_that_chooses_references_cannot_skip() {
    let folder = tempfile::tempdir().unwrap();
    let mut double = CountingStore::new(Duration::ZERO);
    double.capabilities.addressing = Addressing::ServerKey;
    let error = UploadTree::new(folder.path()).skip_unchanged(true).plan(&double.store()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let error = DownloadTree::new(folder.path()).skip_unchanged(true).plan(&double.store()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}
