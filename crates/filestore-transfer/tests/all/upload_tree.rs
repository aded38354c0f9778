//! The files of a local folder as inputs of an upload.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use filestore_core::{Capabilities, ErrorKind, Feature, List, NameEquality, ScopeKind, Store};
use filestore_local::MemoryStore;
use filestore_transfer::{Filter, TransferPool, UploadPlan, UploadTree};
use futures::{StreamExt, TryStreamExt, stream};
use tempfile::TempDir;

use crate::counting_store::CountingStore;

/// Creates a folder with these files, whose content is their path.
fn folder(paths: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for path in paths {
        let full = folder.path().join(path);
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        fs::write(full, path).unwrap();
    }
    folder
}

fn memory() -> Store {
    Store::new("memory", Arc::new(MemoryStore::new())).unwrap()
}

/// Returns a store with other capabilities.
fn store(change: impl FnOnce(&mut Capabilities)) -> Store {
    let mut store = CountingStore::new(Duration::ZERO);
    change(&mut store.capabilities);
    store.store()
}

/// Returns the scopes and names of the files, and the paths and errors of what is left out.
fn shown(plan: &UploadPlan, root: &Path) -> (Vec<String>, Vec<(String, ErrorKind)>) {
    let target = |scope: &Option<String>, name: &str| {
        scope.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join("/")
    };
    let files = plan.files.iter().map(|(_, upload)| target(&upload.scope, &upload.name)).collect();
    let path = |path: &Path| path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
    let left_out = plan.left_out.iter().map(|left_out| (path(&left_out.path), left_out.error.kind()));
    (files, left_out.collect())
}

#[tokio::test]
async fn every_file_of_a_folder_is_uploaded_and_its_folders_are_scopes() {
    let folder = folder(&["b.txt", "a/x.txt", "a/b/y.txt", ".hidden", ".git/config", "target/z.o"]);
    fs::write(folder.path().join(".gitignore"), "target\n*.txt\n").unwrap();
    fs::write(folder.path().join(".ignore"), "*.txt\n").unwrap();
    fs::create_dir(folder.path().join("empty")).unwrap();
    let store = memory();
    let plan = UploadTree::new(folder.path()).scope("in/2026").plan(&store).await.unwrap();
    assert!(plan.left_out.is_empty());
    let outcomes: Vec<_> = TransferPool::new().upload_all(&store, stream::iter(plan.files)).collect().await;
    for outcome in outcomes {
        let file = outcome.result.unwrap();
        assert!(outcome.key.ends_with(&file.name));
    }
    let files: Vec<_> = store.list_all(List::new().recursive(true)).try_collect().await.unwrap();
    let references: Vec<String> = files.iter().map(|file| file.reference.to_string()).collect();
    let paths = [".git/config", ".gitignore", ".hidden", ".ignore", "a/b/y.txt", "a/x.txt", "b.txt", "target/z.o"];
    assert_eq!(references, paths.map(|path| format!("memory:memory:in/2026/{path}")));
    assert_eq!(store.read(&files[4].reference, 100).await.unwrap(), "a/b/y.txt");
}

#[tokio::test]
async fn a_filter_chooses_the_files() {
    let folder = folder(&["a.pdf", "b.txt", "docs/c.pdf", "docs/draft.pdf", "old/d.pdf"]);
    let filter = Filter::new().include("*.pdf").exclude("draft*").exclude("/old/");
    let plan = UploadTree::new(folder.path()).filter(filter).plan(&memory()).await.unwrap();
    assert_eq!(shown(&plan, folder.path()), (vec!["a.pdf".into(), "docs/c.pdf".into()], vec![]));
    // A relative folder.
    let plan = UploadTree::new("src").filter(Filter::new().include("concurrency/t*")).plan(&memory()).await.unwrap();
    assert_eq!(shown(&plan, Path::new("src")).0, ["concurrency/tests.rs"]);
    let error = UploadTree::new(folder.path()).filter(Filter::new().include("a[")).plan(&memory()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[cfg(unix)]
#[tokio::test]
async fn links_are_left_out_unless_they_are_followed() {
    use std::os::unix::fs::symlink;

    let folder = folder(&["a/x", "b"]);
    let path = |name: &str| folder.path().join(name);
    symlink("b", path("to_file")).unwrap();
    symlink("a", path("to_folder")).unwrap();
    symlink("nothing", path("to_nothing")).unwrap();
    symlink("..", path("a/to_parent")).unwrap();
    let unsupported = |name: &str| (name.to_owned(), ErrorKind::Unsupported);
    let plan = UploadTree::new(folder.path()).plan(&memory()).await.unwrap();
    let links = ["a/to_parent", "to_file", "to_folder", "to_nothing"].map(unsupported);
    assert_eq!(shown(&plan, folder.path()), (vec!["a/x".into(), "b".into()], links.into()));

    let plan = UploadTree::new(folder.path()).follow_links(true).plan(&memory()).await.unwrap();
    let invalid = |name: &str| (name.to_owned(), ErrorKind::InvalidInput);
    let (files, left_out) = shown(&plan, folder.path());
    assert_eq!(files, ["a/x", "b", "to_file", "to_folder/x"]);
    assert_eq!(left_out, ["a/to_parent", "to_folder/to_parent", "to_nothing"].map(invalid));
    assert!(plan.left_out[0].error.message().contains("leads back to"), "{}", plan.left_out[0].error);

    // What a filter excludes is not reported.
    let filter = Filter::new().exclude("to_*");
    let plan = UploadTree::new(folder.path()).follow_links(true).filter(filter).plan(&memory()).await.unwrap();
    assert_eq!(shown(&plan, folder.path()), (vec!["a/x".into(), "b".into()], vec![]));
}

#[cfg(unix)]
#[tokio::test]
async fn what_is_no_regular_file_is_left_out_with_the_reason() {
    let folder = folder(&["a"]);
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(folder.path().join("fifo")).status().unwrap();
    assert!(made.success());
    let plan = UploadTree::new(folder.path()).plan(&memory()).await.unwrap();
    let left_out = ["fifo", "socket"].map(|name| (name.to_owned(), ErrorKind::Unsupported));
    assert_eq!(shown(&plan, folder.path()), (vec!["a".into()], left_out.into()));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_name_that_is_not_utf_8_is_left_out_with_the_reason() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let folder = folder(&["a"]);
    let bad = folder.path().join(OsStr::from_bytes(b"bad\xff"));
    fs::create_dir(&bad).unwrap();
    fs::write(bad.join("x"), "x").unwrap();
    let plan = UploadTree::new(folder.path()).plan(&memory()).await.unwrap();
    assert_eq!(plan.files.len(), 1);
    assert_eq!(plan.left_out[0].path, bad.join("x"));
    assert!(plan.left_out[0].error.message().contains("UTF-8"), "{}", plan.left_out[0].error);
}

#[tokio::test]
async fn what_the_store_cannot_hold_is_found_before_anything_is_sent() {
    let folder = folder(&["fine", "a name that is too long", "a/large", "b/empty"]);
    fs::write(folder.path().join("a/large"), [0; 101]).unwrap();
    fs::write(folder.path().join("b/empty"), "").unwrap();
    let store = store(|capabilities| {
        capabilities.names.max_bytes = Some(20);
        capabilities.max_size = Some(100);
        *capabilities = capabilities.clone().unsupported(Feature::EmptyFile, "it has no empty files");
    });
    let plan = UploadTree::new(folder.path()).plan(&store).await.unwrap();
    let left_out = [
        ("a/large", ErrorKind::TooLarge),
        ("a name that is too long", ErrorKind::InvalidInput),
        ("b/empty", ErrorKind::Unsupported),
    ];
    let (files, mut found) = shown(&plan, folder.path());
    found.sort();
    let mut expected = left_out.map(|(path, kind)| (path.to_owned(), kind));
    expected.sort();
    assert_eq!((files, found), (vec!["fine".to_owned()], expected.into()));
}

#[tokio::test]
async fn files_that_would_be_one_file_in_the_store_are_all_left_out() {
    let folder = folder(&["A/x", "a/X", "a/y", "Z", "z"]);
    let store = store(|capabilities| {
        capabilities.names.equality = NameEquality::Folded { ignores: "case", fold: str::to_lowercase };
    });
    let plan = UploadTree::new(folder.path()).plan(&store).await.unwrap();
    let (files, left_out) = shown(&plan, folder.path());
    assert_eq!(files, ["a/y"]);
    assert_eq!(left_out.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(), ["A/x", "Z", "a/X", "z"]);
    let message = "in the store, these are one file: \"A/x\", \"a/X\"; rename all but one";
    assert_eq!(plan.left_out[0].error.message(), message);
    assert_eq!(UploadTree::new(folder.path()).plan(&memory()).await.unwrap().files.len(), 5);
}

#[tokio::test]
async fn files_in_folders_are_left_out_where_the_store_has_no_folders() {
    let folder = folder(&["a", "b/c"]);
    for (kind, scope) in [(ScopeKind::None, None), (ScopeKind::Channel, Some("room-1"))] {
        let store = store(|capabilities| capabilities.scope = kind);
        let mut tree = UploadTree::new(folder.path());
        if let Some(scope) = scope {
            tree = tree.scope(scope);
        }
        let plan = tree.plan(&store).await.unwrap();
        assert_eq!(plan.files[0].1.scope.as_deref(), scope);
        assert_eq!(shown(&plan, folder.path()).1, [("b/c".to_owned(), ErrorKind::Unsupported)]);
    }
}

#[tokio::test]
async fn a_missing_folder_and_a_file_are_invalid() {
    let folder = folder(&["a"]);
    for name in ["a", "missing"] {
        let error = UploadTree::new(folder.path().join(name)).plan(&memory()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn what_cannot_be_read_is_left_out_with_the_reason() {
    use std::os::unix::fs::PermissionsExt;

    let folder = folder(&["a", "closed/x", "secret.txt"]);
    let set_mode = |name: &str, mode| {
        fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    set_mode("closed", 0);
    set_mode("secret.txt", 0);
    let readable_by_everybody = fs::read_dir(folder.path().join("closed")).is_ok();
    let filters = [Filter::new(), Filter::new().include("*.txt")];
    for (filter, files) in filters.into_iter().zip([vec!["a".to_owned()], vec![]]) {
        let plan = UploadTree::new(folder.path()).filter(filter).plan(&memory()).await.unwrap();
        if readable_by_everybody {
            eprintln!("skipped: root may read everything");
        } else {
            let left_out = ["closed", "secret.txt"].map(|name| (name.to_owned(), ErrorKind::Permission));
            assert_eq!(shown(&plan, folder.path()), (files, left_out.into()));
        }
    }
    set_mode("closed", 0o700);
}
