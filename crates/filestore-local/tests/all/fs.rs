//! Tests of `FsStore`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use filestore_core::{
    Body, Delete, Download, Effect, Error, ErrorKind, Feature, FileRef, FileStore, IfExists, List, Store, Upload,
    UrlKind,
};
use filestore_local::FsStore;
use futures::{StreamExt, TryStreamExt, stream};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::{content, folders, names, paths, reference};

/// Returns a store of a new folder, which is removed when the first value is dropped.
fn local() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = at(folder.path());
    (folder, store)
}

fn at(root: &Path) -> Store {
    crate::store(FsStore::new(root).unwrap())
}

async fn put(store: &Store, scope: Option<&str>, name: &str, content: &'static str) -> FileRef {
    let mut upload = Upload::new(name, content);
    upload.scope = scope.map(str::to_owned);
    store.upload(upload).await.unwrap().reference().clone()
}

/// Returns the paths in the temporary folder.
fn unfinished(root: &Path) -> Vec<PathBuf> {
    fs::read_dir(root.join(".filestore-tmp")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test]
async fn a_file_comes_back_as_it_was_sent() {
    let (folder, store) = local();
    let sent = Bytes::from((0..700_000_u32).map(|byte| byte as u8).collect::<Vec<_>>());
    let file = store.upload(Upload::new("cat.jpg", sent.clone()).scope("photos/2026")).await.unwrap();
    assert_eq!(file.reference().to_string(), "s:fs:photos/2026/cat.jpg");
    assert_eq!(file.size, Some(700_000));
    assert!(file.modified.is_some());
    assert_eq!(content(&store, file.reference()).await, sent);
    assert_eq!(fs::read(folder.path().join("photos/2026/cat.jpg")).unwrap(), sent);
    assert_eq!(store.stat(file.reference()).await.unwrap().size, Some(700_000));
    assert!(unfinished(folder.path()).is_empty());
}

#[tokio::test]
async fn the_first_upload_creates_the_root_and_the_store_is_empty_before() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("not/yet");
    let store = at(&root);
    assert!(store.list(List::new()).await.unwrap().files.is_empty());
    assert_eq!(store.stat(reference("s:fs:a")).await.unwrap_err().kind(), ErrorKind::NotFound);
    store.delete(reference("s:fs:a")).await.unwrap();
    assert!(!root.exists());
    put(&store, None, "a", "1").await;
    assert!(root.join("a").is_file());
}

#[tokio::test]
async fn an_empty_file_is_a_file() {
    let (_folder, store) = local();
    let file = put(&store, None, "empty", "").await;
    assert_eq!(store.stat(&file).await.unwrap().size, Some(0));
    assert_eq!(content(&store, &file).await, "");
}

#[tokio::test]
async fn every_response_has_the_version_of_the_content() {
    let (_folder, store) = local();
    for if_exists in [IfExists::Replace, IfExists::Fail] {
        let stored = store.upload(Upload::new(format!("{if_exists:?}"), "content").if_exists(if_exists)).await.unwrap();
        let found = store.stat(stored.reference()).await.unwrap();
        let listed = store.list(List::new()).await.unwrap().files.pop().unwrap();
        let read = store.download(stored.reference()).await.unwrap().file;
        assert!(stored.version.is_some());
        assert_eq!([found.version, listed.version, read.version], [(); 3].map(|()| stored.version.clone()));
        store.delete(stored.reference()).await.unwrap();
    }
}

#[tokio::test]
async fn a_replaced_file_has_another_version_also_with_the_same_size_and_time() {
    let (_folder, store) = local();
    let modified: filestore_core::Timestamp = "2026-03-01T10:00:00Z".parse().unwrap();
    let upload = |content: &'static str| store.upload(Upload::new("a", content).modified(modified));
    let first = upload("first").await.unwrap();
    let second = upload("other").await.unwrap();
    assert_eq!((first.size, first.modified), (second.size, second.modified));
    assert_ne!(first.version, second.version);
}

/// As a program does that synchronizes folders.
#[cfg(unix)]
#[tokio::test]
async fn a_file_that_another_program_changes_has_another_version_also_if_it_sets_the_old_time() {
    let (folder, store) = local();
    let file = store.upload(Upload::new("a", "first")).await.unwrap();
    let modified = fs::metadata(folder.path().join("a")).unwrap().modified().unwrap();
    // The clock of a file system has steps of a few milliseconds.
    while store.stat(file.reference()).await.unwrap().version == file.version {
        fs::write(folder.path().join("a"), "other").unwrap();
        fs::File::options().write(true).open(folder.path().join("a")).unwrap().set_modified(modified).unwrap();
    }
    let changed = store.stat(file.reference()).await.unwrap();
    assert_eq!((changed.size, changed.modified), (file.size, file.modified));
}

#[tokio::test]
async fn a_range_returns_only_its_bytes() {
    let (_folder, store) = local();
    let file = put(&store, None, "digits", "0123456789").await;
    assert_eq!(store.read(Download::from(&file).range(3..7), 100).await.unwrap(), "3456");
    assert_eq!(store.read(Download::from(&file).range(7..99), 100).await.unwrap(), "789");
    assert_eq!(store.read(Download::from(&file).range(8..), 100).await.unwrap(), "89");
    let error = store.read(Download::from(&file).range(10..), 100).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RangeNotSatisfiable);
}

#[tokio::test]
async fn replace_replaces_and_fail_keeps_the_old_content() {
    let (_folder, store) = local();
    let file = put(&store, None, "a", "old").await;
    put(&store, None, "a", "new").await;
    assert_eq!(content(&store, &file).await, "new");
    let error = store.upload(Upload::new("a", "newest").if_exists(IfExists::Fail)).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::AlreadyExists, Effect::Rejected));
    assert_eq!(content(&store, &file).await, "new");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_fail_exactly_one_of_many_writers_wins() {
    let (folder, store) = local();
    // All bodies end at the same moment, so that the commits race.
    let start = Arc::new(tokio::sync::Barrier::new(16));
    let writers = (0..16).map(|writer| {
        let (store, start) = (store.clone(), Arc::clone(&start));
        tokio::spawn(async move {
            let body = Body::from_stream(
                stream::once(async move {
                    start.wait().await;
                    Ok::<_, Error>(format!("writer {writer:02}"))
                }),
                None,
            );
            store.upload(Upload::new("prize", body).if_exists(IfExists::Fail)).await
        })
    });
    let results: Vec<_> = futures::future::join_all(writers).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    for error in results.into_iter().filter_map(Result::err) {
        assert_eq!((error.kind(), error.effect()), (ErrorKind::AlreadyExists, Effect::Rejected));
    }
    assert_eq!(content(&store, &reference("s:fs:prize")).await.len(), "writer 00".len());
    assert!(unfinished(folder.path()).is_empty());
}

#[tokio::test]
async fn a_reader_keeps_the_file_that_it_opened() {
    let (_folder, store) = local();
    let file = put(&store, None, "a", "old content").await;
    let download = store.download(&file).await.unwrap();
    put(&store, None, "a", "new").await;
    assert_eq!(download.bytes(100).await.unwrap(), "old content");
}

#[tokio::test]
async fn a_file_that_is_truncated_while_it_is_read_is_an_integrity_error() {
    let (folder, store) = local();
    let file = put(&store, None, "a", "0123456789").await;
    let download = store.download(&file).await.unwrap();
    fs::OpenOptions::new().write(true).open(folder.path().join("a")).unwrap().set_len(4).unwrap();
    assert_eq!(download.bytes(100).await.unwrap_err().kind(), ErrorKind::Integrity);
}

#[tokio::test]
async fn a_dropped_upload_leaves_nothing() {
    let (folder, store) = local();
    let body = Body::from_stream(stream::iter([Ok::<_, Error>("half")]).chain(stream::pending()), Some(8));
    let upload = store.upload(Upload::new("a", body).scope("made/for/it"));
    assert!(tokio::time::timeout(Duration::from_millis(300), upload).await.is_err());
    assert!(unfinished(folder.path()).is_empty());
    let page = store.list(List::new()).await.unwrap();
    assert!(page.files.is_empty() && page.folders.is_empty(), "{page:?}");
}

#[tokio::test]
async fn the_error_of_the_body_is_returned_and_nothing_is_stored() {
    let (folder, store) = local();
    let broken = stream::iter([Ok(Bytes::from("half")), Err(Error::not_found("the source is gone"))]);
    let error = store.upload(Upload::new("a", Body::from_stream(broken, None))).await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::NotFound, "the source is gone"));
    for wrong in [3, 5] {
        let error = store.upload(Upload::new("a", Body::from_reader(&b"four"[..], Some(wrong)))).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::InvalidInput, Effect::Rejected));
    }
    assert!(!folder.path().join("a").exists());
    assert!(unfinished(folder.path()).is_empty());
}

#[tokio::test]
async fn a_source_that_is_written_to_while_it_is_read_stores_nothing() {
    let changes: [fn(&fs::File); 3] = [
        |file| (&*file).write_all(b"more").unwrap(),
        |file| file.set_len(10).unwrap(),
        // Same length, another time.
        |file| file.set_modified(SystemTime::now()).unwrap(),
    ];
    for change in changes {
        let (folder, store) = local();
        let source = tempfile::NamedTempFile::new().unwrap();
        source.as_file().set_len(3_000_000).unwrap();
        source.as_file().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let body = Body::from_path(source.path()).unwrap();
        let upload = Upload::new("a", body.on_progress(move |_| change(source.as_file())));
        let error = store.upload(upload).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::InvalidInput, Effect::Rejected), "{error}");
        assert!(!folder.path().join("a").exists());
        assert!(unfinished(folder.path()).is_empty());
    }
}

#[cfg(unix)]
#[tokio::test]
async fn names_that_only_windows_rejects_are_valid() {
    let (_folder, store) = local();
    for name in ["C:x", "a?", "NUL", "a.", ".bashrc"] {
        let file = put(&store, None, name, "1").await;
        assert_eq!(store.stat(&file).await.unwrap().name, name);
    }
}

#[tokio::test]
async fn the_temporary_folder_is_never_listed() {
    let (folder, store) = local();
    put(&store, None, "a", "1").await;
    let deep = folder.path().join("sub/.filestore-tmp");
    fs::create_dir_all(&deep).unwrap();
    for folder in [&deep, &folder.path().join(".filestore-tmp")] {
        fs::write(folder.join("left.part"), "x").unwrap();
    }
    assert_eq!(paths(&store, List::new().recursive(true)).await, ["s:fs:a"]);
    let page = store.list(List::new()).await.unwrap();
    assert_eq!((names(&page), folders(&page)), (vec!["a"], vec!["sub"]));
}

#[tokio::test]
async fn the_temporary_folder_cannot_be_addressed() {
    let (folder, store) = local();
    put(&store, None, "a", "1").await;
    fs::write(folder.path().join(".filestore-tmp/left.part"), "x").unwrap();
    let invalid = |error: Error| assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    for name in [".filestore-tmp", ".Filestore-TMP"] {
        invalid(store.upload(Upload::new(name, "x")).await.unwrap_err());
        invalid(store.upload(Upload::new("x", "x").scope(format!("a/{name}"))).await.unwrap_err());
        invalid(store.list(List::new().scope(name)).await.unwrap_err());
        let inside = reference(&format!("s:fs:{name}/left.part"));
        invalid(store.stat(&inside).await.unwrap_err());
        invalid(store.download(&inside).await.unwrap_err());
        invalid(store.delete(&inside).await.unwrap_err());
        invalid(store.delete(Delete::from(reference(&format!("s:fs:{name}"))).recursive(true)).await.unwrap_err());
    }
}

#[tokio::test]
async fn a_leftover_is_removed_by_the_next_upload_and_a_file_in_use_stays() {
    let (folder, store) = local();
    let temporary = folder.path().join(".filestore-tmp");
    fs::create_dir(&temporary).unwrap();
    fs::write(temporary.join("left.part"), "x").unwrap();
    fs::write(temporary.join("notes"), "x").unwrap();
    let used = fs::File::create(temporary.join("used.part")).unwrap();
    used.lock().unwrap();
    // Another handle of the store, with an upload under way.
    let (sender, body) = futures::channel::mpsc::unbounded::<Result<&str, Error>>();
    let upload = Upload::new("a", Body::from_stream(body, None));
    let uploading = tokio::spawn({
        let store = at(folder.path());
        async move { store.upload(upload).await }
    });
    while unfinished(folder.path()).len() != 3 || temporary.join("left.part").exists() {
        tokio::task::yield_now().await;
    }
    put(&store, None, "b", "1").await;
    assert_eq!(unfinished(folder.path()).len(), 3);
    assert!(temporary.join("notes").exists() && temporary.join("used.part").exists());
    drop(sender);
    uploading.await.unwrap().unwrap();
    assert!(folder.path().join("a").exists());
    drop(used);
    put(&store, None, "b", "2").await;
    assert_eq!(unfinished(folder.path()), [temporary.join("notes")]);
}

#[tokio::test]
async fn a_page_continues_after_the_last_one_although_the_folder_changes() {
    let (_folder, store) = local();
    for name in ["b", "d", "f", "h"] {
        put(&store, None, name, "x").await;
    }
    let first = store.list(List::new().limit(2)).await.unwrap();
    assert_eq!(names(&first), ["b", "d"]);
    // The file of the token is deleted; one file is added before it and one after it.
    store.delete(first.files[1].reference()).await.unwrap();
    put(&store, None, "a", "x").await;
    put(&store, None, "e", "x").await;
    let token = first.next.unwrap();
    let second = store.list(List::new().limit(2).page(token.clone())).await.unwrap();
    assert_eq!(names(&second), ["e", "f"]);
    let third = store.list(List::new().limit(2).page(second.next.unwrap())).await.unwrap();
    assert_eq!((names(&third), third.next.is_none()), (vec!["h"], true));
}

#[tokio::test]
async fn a_recursive_listing_is_in_the_order_of_the_paths_and_pages_lose_nothing() {
    let (_folder, store) = local();
    for (scope, name) in [(None, "a"), (Some("a-b"), "x"), (Some("d"), "y"), (Some("d/e"), "z"), (None, "d.txt")] {
        put(&store, scope, name, "x").await;
    }
    let all = ["s:fs:a", "s:fs:a-b/x", "s:fs:d.txt", "s:fs:d/e/z", "s:fs:d/y"];
    for limit in 1..=6 {
        assert_eq!(paths(&store, List::new().recursive(true).limit(limit)).await, all, "{limit}");
    }
    assert_eq!(paths(&store, List::new().scope("d").recursive(true)).await, ["s:fs:d/e/z", "s:fs:d/y"]);
}

#[tokio::test]
async fn folders_are_scopes_to_list_next() {
    let (_folder, store) = local();
    put(&store, Some("photos/2026"), "cat.jpg", "x").await;
    let page = store.list(List::new()).await.unwrap();
    assert_eq!(page.folders, ["photos"]);
    let page = store.list(List::new().scope("photos")).await.unwrap();
    assert_eq!(page.folders, ["photos/2026"]);
    let page = store.list(List::new().scope("photos/2026")).await.unwrap();
    assert_eq!(names(&page), ["cat.jpg"]);
}

#[tokio::test]
async fn a_listing_of_a_missing_folder_or_of_a_file_is_not_found() {
    let (_folder, store) = local();
    put(&store, None, "a", "x").await;
    for scope in ["nowhere", "a", "a/b"] {
        let error = store.list(List::new().scope(scope)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{scope}: {error}");
    }
}

#[tokio::test]
async fn a_token_of_another_scope_is_rejected() {
    let (_folder, store) = local();
    for name in ["x", "y"] {
        put(&store, Some("a"), name, "1").await;
        put(&store, Some("b"), name, "1").await;
    }
    let token = store.list(List::new().scope("a").limit(1)).await.unwrap().next.unwrap();
    let error = store.list(List::new().scope("b").page(token)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_folder_is_not_a_file() {
    let (_folder, store) = local();
    put(&store, Some("dir"), "a", "x").await;
    let dir = reference("s:fs:dir");
    for error in [
        store.stat(&dir).await.unwrap_err(),
        store.download(&dir).await.unwrap_err(),
        store.url(&dir).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("is a folder"), "{error}");
    }
    for if_exists in [IfExists::Replace, IfExists::Fail] {
        let error = store.upload(Upload::new("dir", "x").if_exists(if_exists)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("is a folder"), "{error}");
    }
    let error = store.upload(Upload::new("b", "x").scope("dir/a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("is a file, not a folder"), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_root_that_cannot_be_created_is_a_config_error() {
    let folder = TempDir::new().unwrap();
    let root = folder.path().join("root");
    std::os::unix::fs::symlink("nowhere", &root).unwrap();
    let error = at(&root).upload(Upload::new("a", "x")).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Config, Effect::NotSent), "{error}");
}

#[tokio::test]
async fn a_file_cannot_be_the_root() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    assert_eq!(FsStore::new(&file).unwrap_err().kind(), ErrorKind::Config);
}

#[tokio::test]
async fn without_create_parents_a_missing_folder_is_rejected() {
    let (folder, store) = local();
    let error = store.upload(Upload::new("a", "x").scope("new").create_parents(false)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(!folder.path().join("new").exists());
    fs::create_dir(folder.path().join("new")).unwrap();
    store.upload(Upload::new("a", "x").scope("new").create_parents(false)).await.unwrap();
    store.upload(Upload::new("a", "x").create_parents(false)).await.unwrap();
}

#[tokio::test]
async fn a_delete_of_a_missing_file_succeeds() {
    let (_folder, store) = local();
    let file = put(&store, Some("dir"), "a", "x").await;
    store.delete(&file).await.unwrap();
    store.delete(&file).await.unwrap();
    store.delete(reference("s:fs:no/such/folder")).await.unwrap();
    put(&store, None, "file", "x").await;
    store.delete(reference("s:fs:file/below/it")).await.unwrap();
    assert_eq!(store.stat(&file).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_folder_with_files_is_deleted_only_recursively() {
    let (folder, store) = local();
    put(&store, Some("dir/sub"), "a", "x").await;
    let dir = reference("s:fs:dir");
    let error = store.delete(&dir).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::InvalidInput, Effect::Rejected));
    assert!(error.to_string().contains("recursively"), "{error}");
    store.delete(Delete::from(&dir).recursive(true)).await.unwrap();
    assert!(!folder.path().join("dir").exists());
    fs::create_dir(folder.path().join("dir")).unwrap();
    store.delete(&dir).await.unwrap();
    assert!(!folder.path().join("dir").exists());
}

/// Creates the folders `0/sub` to `99/sub` in `folder`, each with a file, and returns the paths of the outer ones in the
/// order of the file system.
fn create_subfolders(folder: &Path) -> Vec<PathBuf> {
    for number in 0..100 {
        let sub = folder.join(format!("{number}/sub"));
        fs::create_dir_all(&sub).unwrap();
        fs::write(sub.join("a"), "x").unwrap();
    }
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recursive_delete_skips_the_subfolders_that_another_program_deletes_meanwhile() {
    for _ in 0..10 {
        let (folder, store) = local();
        let d = folder.path().join("d");
        let subfolders = create_subfolders(&d);
        let other = std::thread::spawn(move || {
            subfolders.iter().for_each(|subfolder| fs::remove_dir_all(subfolder).unwrap_or_default());
        });
        store.delete(Delete::from(reference("s:fs:d")).recursive(true)).await.unwrap();
        other.join().unwrap();
        assert!(!d.exists(), "{} subfolders are left", fs::read_dir(&d).unwrap().count());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recursive_listing_skips_the_folders_that_another_program_deletes_meanwhile() {
    let (folder, store) = local();
    put(&store, Some("z"), "kept", "x").await;
    let d = folder.path().join("d");
    fs::create_dir(&d).unwrap();
    for _ in 0..3 {
        let subfolders = create_subfolders(&d);
        let other = std::thread::spawn(move || {
            subfolders.iter().for_each(|subfolder| fs::remove_dir_all(subfolder).unwrap());
        });
        while !other.is_finished() {
            let listed = paths(&store, List::new().recursive(true)).await;
            assert_eq!(listed.last().map(String::as_str), Some("s:fs:z/kept"));
        }
        other.join().unwrap();
    }
}

#[tokio::test]
async fn the_url_is_a_percent_encoded_file_url() {
    let (folder, store) = local();
    let file = put(&store, Some("a b"), "50% ü#?.txt", "x").await;
    let url = store.url(&file).await.unwrap();
    assert_eq!((url.kind(), url.expires()), (UrlKind::Local, None));
    assert!(url.as_str().ends_with("/a%20b/50%25%20%C3%BC%23%3F.txt"), "{}", url.as_str());
    let path = url::Url::parse(url.as_str()).unwrap().to_file_path().unwrap();
    assert_eq!(path, fs::canonicalize(folder.path()).unwrap().join("a b/50% ü#?.txt"));
    let missing = store.url(reference("s:fs:nothing")).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn an_upload_may_set_the_modified_time() {
    let (_folder, store) = local();
    let then: jiff::Timestamp = "2001-02-03T04:05:06Z".parse().unwrap();
    let file = store.upload(Upload::new("a", "x").modified(then)).await.unwrap();
    assert_eq!(file.modified, Some(then));
    assert_eq!(store.stat(file.reference()).await.unwrap().modified, Some(then));
}

#[tokio::test]
async fn an_upload_of_a_local_file_keeps_its_modified_time() {
    let (_folder, store) = local();
    let source = tempfile::NamedTempFile::new().unwrap();
    let then: jiff::Timestamp = "2001-02-03T04:05:06.789Z".parse().unwrap();
    source.as_file().set_modified(then.into()).unwrap();
    let upload = || Upload::from_path(source.path()).unwrap();
    assert_eq!(store.upload(upload()).await.unwrap().modified, Some(then));
    let explicit = "2002-02-03T04:05:06Z".parse().unwrap();
    assert_eq!(store.upload(upload().modified(explicit)).await.unwrap().modified, Some(explicit));
}

#[tokio::test]
async fn a_feature_that_the_file_system_lacks_is_unsupported_with_a_reason() {
    let (_folder, store) = local();
    let error = store.upload(Upload::new("a", "x").content_type("text/plain")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("media types"), "{error}");
    for feature in Feature::ALL {
        assert!(
            !store.capabilities().support(*feature).to_string().contains("does not offer"),
            "{feature} is not stated"
        );
    }
}

#[tokio::test]
async fn references_cannot_climb_out_of_the_root() {
    let (folder, _) = local();
    let store = at(&folder.path().join("root"));
    put(&store, None, "a", "x").await;
    fs::write(folder.path().join("secret"), "x").unwrap();
    for locator in ["..", "../secret", "a/../../secret", "..%2Fsecret", ".", "%2Fetc%2Fpasswd", "..%5Csecret"] {
        let reference = reference(&format!("s:fs:{locator}"));
        assert_eq!(store.stat(&reference).await.unwrap_err().kind(), ErrorKind::InvalidInput, "{locator}");
        assert_eq!(store.delete(&reference).await.unwrap_err().kind(), ErrorKind::InvalidInput, "{locator}");
    }
    // Without the checks of `Store`, too.
    let bare = FsStore::new(folder.path().join("root")).unwrap();
    for upload in [Upload::new("../x", "1"), Upload::new("x", "1").scope("../y"), Upload::new("x", "1").scope("/tmp")] {
        assert_eq!(FileStore::upload(&bare, upload).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

#[cfg(unix)]
mod unix {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use cap_std::fs::Dir;

    use super::*;

    #[tokio::test]
    async fn a_link_that_leaves_the_root_is_not_followed() {
        let (folder, _) = local();
        let outside = folder.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("secret"), "x").unwrap();
        let root = folder.path().join("root");
        fs::create_dir(&root).unwrap();
        symlink(&outside, root.join("out")).unwrap();
        symlink(outside.join("secret"), root.join("secret")).unwrap();
        let store = at(&root);

        assert_eq!(paths(&store, List::new().recursive(true)).await, [""; 0]);
        for path in ["s:fs:secret", "s:fs:out/secret"] {
            let error = store.read(reference(path), 100).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
            assert!(error.to_string().contains("leaves the root"), "{error}");
        }
        for upload in [Upload::new("secret", "y"), Upload::new("new", "y").scope("out")] {
            assert_eq!(store.upload(upload).await.unwrap_err().kind(), ErrorKind::Permission);
        }
        // A delete removes the link, never its target.
        store.delete(reference("s:fs:secret")).await.unwrap();
        store.delete(Delete::from(reference("s:fs:out")).recursive(true)).await.unwrap();
        assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
        assert!(outside.join("secret").is_file());
    }

    /// Swaps a folder for a link to the outside, repeatedly, while files are stored, read and deleted.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_folder_that_is_swapped_for_a_link_does_not_leave_the_root() {
        let folder = tempfile::tempdir().unwrap();
        let (root, outside) = (folder.path().join("root"), folder.path().join("outside"));
        fs::create_dir_all(root.join("real")).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("secret"), "secret").unwrap();
        symlink(&outside, root.join("link")).unwrap();
        let store = at(&root);
        let ended = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let swapping = {
            let (ended, root) = (Arc::clone(&ended), root.clone());
            std::thread::spawn(move || {
                while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                    for name in ["real", "link"] {
                        fs::rename(root.join(name), root.join("d")).unwrap();
                        std::thread::yield_now();
                        fs::rename(root.join("d"), root.join(name)).unwrap();
                    }
                }
            })
        };
        let (mut done, mut rejected) = (0, 0);
        for _ in 0..2000 {
            let stored = store.upload(Upload::new("new", "x").scope("d").create_parents(false)).await;
            let read = store.read(reference("s:fs:d/secret"), 99).await;
            let deleted = store.delete(reference("s:fs:d/secret")).await;
            done += usize::from(stored.is_ok());
            rejected += usize::from(deleted.is_err());
            assert!(read.is_err(), "it was read through the link");
            if let (Ok(file), true) = (&stored, done % 2 == 0) {
                // The folder may be a link by now.
                let _ = store.delete(file.reference()).await;
            }
        }
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
        swapping.join().unwrap();
        assert_eq!(fs::read(outside.join("secret")).unwrap(), b"secret");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1, "nothing was stored outside");
        assert!(done > 0 && rejected > 0, "{done} stored, {rejected} rejected");
    }

    #[tokio::test]
    async fn a_link_that_stays_in_the_root_is_followed() {
        let (folder, store) = local();
        put(&store, Some("real"), "a", "x").await;
        symlink(folder.path().join("real"), folder.path().join("alias")).unwrap();
        symlink("real/a", folder.path().join("b")).unwrap();
        assert_eq!(content(&store, &reference("s:fs:alias/a")).await, "x");
        // A listing does not follow links to folders: they may form a cycle.
        assert_eq!(paths(&store, List::new().recursive(true)).await, ["s:fs:b", "s:fs:real/a"]);
    }

    /// Returns a store whose folder `d` has five entries that no reference can address, and the paths of these entries.
    async fn with_unaddressable_entries() -> (TempDir, Store, Vec<PathBuf>) {
        let (folder, store) = local();
        for (scope, name) in [(None, "a"), (Some("d"), "b"), (Some("d"), "z"), (Some("d/deep"), "c")] {
            put(&store, scope, name, "x").await;
        }
        let d = folder.path().join("d");
        let names = [&b"caf\xe9"[..], b"back\\slash", b"deep/\xff", b"\xfe"];
        let mut left: Vec<_> = names.iter().map(|name| d.join(OsStr::from_bytes(name))).collect();
        fs::create_dir(left.pop().unwrap()).unwrap();
        left.iter().for_each(|path| fs::write(path, "x").unwrap());
        fs::write(d.join(OsStr::from_bytes(b"\xfe/inside")), "x").unwrap();
        left.push(d.join(OsStr::from_bytes(b"\xfe/inside")));
        left.push(d.join("socket"));
        drop(std::os::unix::net::UnixListener::bind(d.join("socket")).unwrap());
        (folder, store, left)
    }

    #[tokio::test]
    async fn the_pages_of_a_listing_count_each_entry_that_no_reference_can_address_once() {
        let (_folder, store, _) = with_unaddressable_entries().await;
        for (list, files, left_out) in [
            (List::new(), 1, 0),
            (List::new().scope("d"), 2, 4),
            (List::new().scope("d/deep"), 1, 1),
            (List::new().recursive(true), 4, 5),
        ] {
            for limit in [1, 2, 3, 100] {
                let pages: Vec<_> = store.list_pages(list.clone().limit(limit)).try_collect().await.unwrap();
                let sums = pages
                    .iter()
                    .fold((0, 0), |(files, left_out), page| (files + page.files.len(), left_out + page.left_out));
                assert_eq!(sums, (files, left_out), "{list:?} {limit}");
            }
        }
    }

    #[tokio::test]
    async fn names_that_are_not_text_hide_no_file_and_are_counted_on_pages_of_any_size() {
        let (folder, store) = local();
        let names = ["\u{fffd}.txt".as_bytes(), b"\xff.txt", b"\xfe.txt", b"\xfd.txt"];
        names.iter().for_each(|name| fs::write(folder.path().join(OsStr::from_bytes(name)), "x").unwrap());
        for limit in [1, 2, 100] {
            let pages: Vec<_> = store.list_pages(List::new().limit(limit)).try_collect().await.unwrap();
            let files: Vec<_> = pages.iter().flat_map(|page| &page.files).map(|file| file.name.as_str()).collect();
            assert_eq!((files, pages.iter().map(|page| page.left_out).sum()), (vec!["\u{fffd}.txt"], 3), "{limit}");
        }
    }

    #[tokio::test]
    async fn a_recursive_delete_leaves_what_no_reference_can_address_and_is_incomplete() {
        let (folder, store, left) = with_unaddressable_entries().await;
        symlink(folder.path().join("a"), folder.path().join("d/link")).unwrap();
        symlink(folder.path(), folder.path().join("d/deep/link")).unwrap();
        let error = store.delete(Delete::from(reference("s:fs:d")).recursive(true)).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Incomplete, Effect::Applied), "{error}");
        assert!(error.to_string().contains("5 entries"), "{error}");
        assert!(left.iter().all(|path| path.exists()), "{left:?}");
        assert_eq!(paths(&store, List::new().recursive(true)).await, ["s:fs:a"]);
        assert_eq!(fs::read_dir(folder.path().join("d")).unwrap().count(), 5);
        assert_eq!(fs::read_dir(folder.path().join("d/deep")).unwrap().count(), 1);
        left.iter().for_each(|path| fs::remove_file(path).unwrap());
        fs::remove_dir(folder.path().join("d").join(OsStr::from_bytes(b"\xfe"))).unwrap();
        store.delete(Delete::from(reference("s:fs:d")).recursive(true)).await.unwrap();
        assert!(!folder.path().join("d").exists());
    }

    #[test]
    fn a_tree_that_is_deeper_than_the_limit_of_open_files_is_listed_and_deleted() {
        let test = "fs::unix::a_deep_tree_is_listed_and_deleted";
        let script = format!("ulimit -n 100; exec \"$0\" --exact {test} --ignored");
        let output = Command::new("sh").arg("-c").arg(script).arg(std::env::current_exe().unwrap()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
    }

    #[tokio::test]
    #[ignore = "is run by the test above, with few open files"]
    async fn a_deep_tree_is_listed_and_deleted() {
        let (folder, store) = local();
        let mut deepest = Dir::open_ambient_dir(folder.path(), cap_std::ambient_authority()).unwrap();
        for depth in 1..=600 {
            deepest.create_dir("a-longer-name").unwrap();
            deepest = deepest.open_dir("a-longer-name").unwrap();
            if depth == 200 {
                deepest.write("file", "x").unwrap();
            }
        }
        // Its path is longer than the system accepts.
        deepest.write("deepest", "x").unwrap();
        let page = store.list(List::new().recursive(true)).await.unwrap();
        assert_eq!((names(&page), page.left_out), (vec!["file"], 1));
        store.delete(Delete::from(reference("s:fs:a-longer-name")).recursive(true)).await.unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    /// Swaps a deep folder for a link to an equal one outside, repeatedly, while it is listed and deleted.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_recursive_delete_and_a_listing_of_a_folder_that_is_swapped_for_a_link_do_not_leave_the_root() {
        let folder = tempfile::tempdir().unwrap();
        let (root, outside) = (folder.path().join("root"), folder.path().join("outside"));
        let deep = ["x"; 50].join("/");
        fs::create_dir_all(outside.join(&deep)).unwrap();
        fs::write(outside.join(&deep).join("secret"), "x").unwrap();
        fs::create_dir(&root).unwrap();
        let store = at(&root);
        let ended = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let swapping = {
            let (ended, root, outside) = (Arc::clone(&ended), root.clone(), outside.clone());
            std::thread::spawn(move || {
                while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                    let _ = symlink(&outside, root.join("link"));
                    for name in ["real", "link"] {
                        let _ = fs::rename(root.join(name), root.join("top/d"));
                        std::thread::yield_now();
                        let _ = fs::rename(root.join("top/d"), root.join(name));
                    }
                }
            })
        };
        let mut deleted = 0;
        for _ in 0..300 {
            let _ = fs::create_dir_all(root.join("real").join(&deep));
            let _ = fs::create_dir(root.join("top"));
            // The folder may be replaced in a way that is an error.
            let listed = store.list(List::new().scope("top").recursive(true)).await;
            assert!(listed.is_err() || listed.unwrap().files.is_empty(), "it was listed through the link");
            deleted += usize::from(store.delete(Delete::from(reference("s:fs:top")).recursive(true)).await.is_ok());
        }
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
        swapping.join().unwrap();
        assert_eq!(fs::read(outside.join(&deep).join("secret")).unwrap(), b"x");
        assert!(deleted > 0);
    }

    /// Not even the superuser can delete an entry of `/proc`.
    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn a_recursive_delete_that_removed_nothing_is_rejected_with_the_kind_of_the_failure() {
        let store = at(Path::new("/proc/self"));
        for path in ["s:fs:task", "s:fs:status"] {
            let error = store.delete(Delete::from(reference(path)).recursive(true)).await.unwrap_err();
            assert_eq!((error.kind(), error.effect()), (ErrorKind::Permission, Effect::Rejected), "{error}");
        }
    }

    /// Creates files in a folder, repeatedly, so that the folder is not empty after its files are deleted.
    #[tokio::test(flavor = "multi_thread")]
    async fn the_effect_of_a_recursive_delete_that_removed_a_part_is_unknown() {
        let (folder, store) = local();
        let d = folder.path().join("d");
        let ended = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let creating = {
            let (ended, d) = (Arc::clone(&ended), d.clone());
            std::thread::spawn(move || {
                for number in 0_u64.. {
                    if ended.load(std::sync::atomic::Ordering::Relaxed) {
                        return;
                    }
                    let _ = fs::create_dir(&d);
                    let _ = fs::write(d.join(number.to_string()), "x");
                }
            })
        };
        while !d.join("9").exists() {}
        let failed = loop {
            match store.delete(Delete::from(reference("s:fs:d")).recursive(true)).await {
                Err(error) => break error,
                Ok(()) => while !d.exists() {},
            }
        };
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
        creating.join().unwrap();
        assert_eq!(failed.effect(), Effect::Unknown, "{failed}");
        assert!(failed.to_string().contains("delete all of"), "{failed}");
    }

    #[tokio::test]
    async fn the_temporary_folder_is_no_entry_of_a_listing() {
        let (folder, store) = local();
        put(&store, None, "a", "x").await;
        assert!(folder.path().join(".filestore-tmp").exists());
        for list in [List::new(), List::new().recursive(true)] {
            assert_eq!(store.list(list).await.unwrap().left_out, 0);
        }
    }

    #[tokio::test]
    async fn a_socket_is_neither_opened_nor_replaced_nor_deleted() {
        let (folder, store) = local();
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
        assert_eq!(paths(&store, List::new()).await, [""; 0]);
        let error = store.download(reference("s:fs:socket")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let errors = [
            store.upload(Upload::new("socket", "x")).await.unwrap_err(),
            store.delete(reference("s:fs:socket")).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!((error.kind(), error.effect()), (ErrorKind::InvalidInput, Effect::Rejected), "{error}");
        }
        assert!(folder.path().join("socket").exists());
    }

    #[tokio::test]
    async fn a_link_in_place_of_the_temporary_folder_is_not_followed() {
        let (folder, store) = local();
        let elsewhere = tempfile::tempdir().unwrap();
        symlink(elsewhere.path(), folder.path().join(".filestore-tmp")).unwrap();
        fs::write(elsewhere.path().join("old.part"), "x").unwrap();
        let error = store.upload(Upload::new("a", "x")).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Permission, Effect::Rejected), "{error}");
        assert!(elsewhere.path().join("old.part").exists());
    }

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn a_root_that_cannot_be_written_is_named_in_the_error() {
        // Not even the superuser can create a folder here.
        let store = at(Path::new("/sys/kernel"));
        let error = store.upload(Upload::new("a", "x")).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Permission, Effect::Rejected), "{error}");
        assert!(error.to_string().contains("root of the store"), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A name that `Store` accepts is the same in listings and reads.
    #[test]
    fn an_accepted_name_is_unchanged(name in ".{1,40}", scope in proptest::option::of("[^/\\\\\\p{Cc}]{1,20}")) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (_folder, store) = local();
            let mut upload = Upload::new(name.clone(), name.clone());
            upload.scope = scope.clone();
            match store.upload(upload).await {
                Ok(file) => {
                    let text = file.reference().to_string();
                    let parsed: FileRef = text.parse().unwrap();
                    assert_eq!(content(&store, &parsed).await, name.as_bytes());
                    let mut list = List::new();
                    list.scope = scope;
                    let page = store.list(list).await.unwrap();
                    assert_eq!(names(&page), [name.as_str()]);
                    assert_eq!(page.files[0].reference(), &parsed);
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}"),
            }
        });
    }
}
