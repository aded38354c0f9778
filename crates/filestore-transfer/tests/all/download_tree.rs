//! The files of a scope as inputs of a download.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use filestore_core::{ErrorKind, IfExists, Store, Upload};
use filestore_local::MemoryStore;
use filestore_transfer::{DownloadPlan, DownloadTree, Filter, Outcome, Save, SaveTarget, TransferPool};
use futures::{StreamExt, stream};

use crate::counting_store::{CountingStore, reference};

async fn memory(paths: &[&'static str]) -> Store {
    let store = Store::new("memory", Arc::new(MemoryStore::new())).unwrap();
    for path in paths {
        let upload = match path.rsplit_once('/') {
            Some((scope, name)) => Upload::new(name, *path).scope(scope),
            None => Upload::new(*path, *path),
        };
        store.upload(upload).await.unwrap();
    }
    store
}

/// Returns the path in the scope and the local path of each file.
fn shown(plan: &DownloadPlan) -> Vec<(String, String)> {
    let local = |save: &Save| match &save.target {
        SaveTarget::Below { path, .. } => path.to_str().unwrap().to_owned(),
        other => panic!("{other:?}"),
    };
    plan.files.iter().map(|(path, save)| (path.clone(), local(save))).collect()
}

fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
    pairs.map(|(path, local)| (path.to_owned(), local.to_owned())).into()
}

#[tokio::test]
async fn a_scope_is_downloaded_with_all_folders_below_it() {
    let store = memory(&["x", "in/a.txt", "in/b/c.txt", "in/b/d/e.txt", "inner/y"]).await;
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("new/target");
    let pool = TransferPool::new();
    let plan = DownloadTree::new(&target).scope("in").plan(&store).await.unwrap();
    assert_eq!((plan.files.len(), plan.left_out), (3, 0));
    assert!(!target.exists());
    let mut outcomes: Vec<_> = pool.download_all(&store, stream::iter(plan.files)).collect().await;
    outcomes.sort_by(|one, other| one.key.cmp(&other.key));
    for (Outcome { key, result, .. }, path) in outcomes.into_iter().zip(["a.txt", "b/c.txt", "b/d/e.txt"]) {
        assert_eq!((key.as_str(), result.unwrap().path), (path, target.join(path)));
        assert_eq!(fs::read_to_string(target.join(path)).unwrap(), format!("in/{path}"));
    }
    // A second time, the files exist.
    let again = async |if_exists| {
        let plan = DownloadTree::new(&target).scope("in").if_exists(if_exists).plan(&store).await.unwrap();
        let outcomes = pool.download_all(&store, stream::iter(plan.files));
        outcomes.map(|outcome| outcome.result.map(|_| ()).map_err(|error| error.kind())).collect::<Vec<_>>().await
    };
    assert_eq!(again(IfExists::Fail).await, [Err(ErrorKind::AlreadyExists); 3]);
    assert_eq!(again(IfExists::Replace).await, [Ok(()); 3]);
}

#[tokio::test]
async fn a_filter_chooses_the_files_of_a_scope() {
    let store = memory(&["in/a.pdf", "in/b.txt", "in/docs/c.pdf", "in/old/d.pdf"]).await;
    let filter = Filter::new().include("*.pdf").exclude("/old");
    let plan = DownloadTree::new("t").scope("in").filter(filter).plan(&store).await.unwrap();
    assert_eq!(shown(&plan), pairs([("a.pdf", "a.pdf"), ("docs/c.pdf", "docs/c.pdf")]));
}

#[tokio::test]
async fn no_name_of_a_server_leads_out_of_the_folder() {
    let names: [&[&str]; 6] =
        [&["..", "..", "etc", "passwd"], &["a", "../../b"], &["/etc/c"], &[".ssh", "d"], &["e\\..\\f"], &["C:", "g"]];
    let double = CountingStore::new(Duration::ZERO).listing(names);
    let plan = DownloadTree::new("t").plan(&double.store()).await.unwrap();
    let local: Vec<String> = shown(&plan).into_iter().map(|(_, local)| local).collect();
    assert_eq!(local, ["download/download/etc/passwd", "a/b", "c", "_ssh/d", "f", "C_/g"]);
}

#[tokio::test]
async fn files_of_one_local_path_get_numbers() {
    let names: [&[&str]; 7] =
        [&["a:b.txt"], &["a?b.txt"], &["a_b.txt"], &["a_b (1).txt"], &["x"], &["x", "y"], &["noend"]];
    let double = CountingStore::new(Duration::ZERO).listing(names);
    let plan = DownloadTree::new("t").plan(&double.store()).await.unwrap();
    let expected = [
        ("a:b.txt", "a_b.txt"),
        ("a?b.txt", "a_b (1).txt"),
        ("a_b.txt", "a_b (2).txt"),
        ("a_b (1).txt", "a_b (1) (1).txt"),
        // The folder has this name.
        ("x", "x (1)"),
        ("x/y", "x/y"),
        ("noend", "noend"),
    ];
    assert_eq!(shown(&plan), pairs(expected));
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_in_the_folder_is_not_followed() {
    let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::os::unix::fs::symlink(outside.path(), folder.path().join("in")).unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let store = memory(&["in/a", "in/b/c", "file/d", "fine/e"]).await;
    let plan = DownloadTree::new(folder.path()).plan(&store).await.unwrap();
    let outcomes = TransferPool::new().download_all(&store, stream::iter(plan.files));
    let mut results: Vec<_> =
        outcomes.map(|outcome| (outcome.key, outcome.result.map_err(|error| error.kind()).is_ok())).collect().await;
    results.sort();
    let expected = [("file/d", false), ("fine/e", true), ("in/a", false), ("in/b/c", false)];
    assert_eq!(results, expected.map(|(path, is_ok)| (path.to_owned(), is_ok)));
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_path_that_leads_out_of_the_folder_is_invalid() {
    let folder = tempfile::tempdir().unwrap();
    let double = CountingStore::new(Duration::ZERO);
    for path in ["../a", "/a", "a/../../b", "", "."] {
        let save = Save::below(reference("a"), folder.path().join("t"), path);
        let outcome = TransferPool::new().download_all(&double.store(), stream::iter([((), save)])).next().await;
        let error = outcome.unwrap().result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{path:?}: {error}");
        assert!(error.to_string().starts_with("counting: download \":counting:a\": "), "{error}");
    }
    assert!(double.counts().requests.is_empty());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn the_folders_of_a_store_without_recursive_listings_are_listed_one_by_one() {
    let store = memory(&["in/a", "in/b/c", "in/b/d/e", "in/f/g"]).await;
    let store = store.layer(&crate::flat_listings::FlatListings);
    let plan = DownloadTree::new("t").scope("in").plan(&store).await.unwrap();
    let mut found = shown(&plan);
    found.sort();
    assert_eq!(found, pairs([("a", "a"), ("b/c", "b/c"), ("b/d/e", "b/d/e"), ("f/g", "f/g")]));
    let save = &plan.files[0].1;
    assert_eq!(save.target, SaveTarget::Below { folder: PathBuf::from("t"), path: Path::new("a").into() });
}
