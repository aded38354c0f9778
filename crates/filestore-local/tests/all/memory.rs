//! Tests of `MemoryStore` beyond the conformance kit.

use filestore_core::{DigestAlgorithm, Effect, ErrorKind, Feature, FileRef, IfExists, List, Store, Support, Upload};
use filestore_local::MemoryStore;
use proptest::prelude::*;

use crate::{content, folders, names, paths};

fn memory() -> Store {
    crate::store(MemoryStore::new())
}

async fn put(store: &Store, scope: Option<&str>, name: &str, content: &'static str) -> FileRef {
    let mut upload = Upload::new(name, content);
    upload.scope = scope.map(str::to_owned);
    store.upload(upload).await.unwrap().reference().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn with_fail_exactly_one_of_many_writers_wins() {
    let store = memory();
    let writers = (0..16).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.upload(Upload::new("prize", "x").if_exists(IfExists::Fail)).await })
    });
    let results: Vec<_> = futures::future::join_all(writers).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    for error in results.into_iter().filter_map(Result::err) {
        assert_eq!((error.kind(), error.effect()), (ErrorKind::AlreadyExists, Effect::Rejected));
    }
}

#[tokio::test]
async fn pages_are_in_the_order_of_the_paths_and_lose_nothing() {
    let store = memory();
    for (scope, name) in [(None, "a"), (Some("a-b"), "x"), (Some("d"), "y"), (Some("d/e"), "z"), (None, "d.txt")] {
        put(&store, scope, name, "x").await;
    }
    let all = ["s:memory:a", "s:memory:a-b/x", "s:memory:d.txt", "s:memory:d/e/z", "s:memory:d/y"];
    for limit in 1..=6 {
        assert_eq!(paths(&store, List::new().recursive(true).limit(limit)).await, all, "{limit}");
    }
    let page = store.list(List::new()).await.unwrap();
    assert_eq!((names(&page), folders(&page)), (vec!["a", "d.txt"], vec!["a-b", "d"]));
    let page = store.list(List::new().scope("d")).await.unwrap();
    assert_eq!((names(&page), folders(&page)), (vec!["y"], vec!["d/e"]));
}

#[tokio::test]
async fn a_listing_with_a_limit_of_0_is_rejected_before_it_is_sent() {
    for list in [List::new().limit(0), List::new().recursive(true).limit(0)] {
        let error = memory().list(list).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::InvalidInput, Effect::NotSent), "{error}");
    }
}

#[tokio::test]
async fn urls_are_unsupported_with_a_reason() {
    let store = memory();
    let file = put(&store, None, "a", "x").await;
    let error = store.url(&file).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("memory of this process"), "{error}");
}

#[tokio::test]
async fn every_unsupported_feature_has_a_reason() {
    for feature in Feature::ALL {
        let Support::Unsupported { reason } = memory().capabilities().support(*feature).clone() else { continue };
        assert!(!reason.contains("does not offer"), "{feature}");
    }
}

#[tokio::test]
async fn the_metadata_of_an_upload_is_stored() {
    let store = memory();
    let modified = "2026-03-01T10:00:00Z".parse().unwrap();
    let upload = || Upload::new("a", "x").modified(modified).metadata("key", "value").content_type("text/plain");
    let stored = store.upload(upload()).await.unwrap();
    let found = store.stat(stored.reference()).await.unwrap();
    for file in [&stored, &found] {
        assert_eq!((file.modified, file.content_type.as_deref()), (Some(modified), Some("text/plain")));
        assert_eq!(file.metadata["key"], "value");
        let sha256 = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
        assert_eq!((file.digests[0].algorithm, file.digests[0].hex.as_str()), (DigestAlgorithm::Sha256, sha256));
    }
    // That of a local file.
    let source = tempfile::NamedTempFile::new().unwrap();
    source.as_file().set_modified("2001-02-03T04:05:06.789Z".parse::<jiff::Timestamp>().unwrap().into()).unwrap();
    let file = store.upload(Upload::from_path(source.path()).unwrap()).await.unwrap();
    assert_eq!(file.modified, Some("2001-02-03T04:05:06.789Z".parse().unwrap()));
    assert_eq!(file.content_type, None);
    // By default, the time of the upload, and the type of the name.
    let page = store.upload(Upload::new("INDEX.HTML", "x")).await.unwrap();
    assert_eq!(page.content_type.as_deref(), Some("text/html"));
    let before = jiff::Timestamp::now();
    let file = store.upload(Upload::new("b", "x")).await.unwrap();
    assert!(file.modified.unwrap() >= before && file.created == file.modified);
}

#[tokio::test]
async fn a_file_has_one_version_until_it_is_replaced_even_by_the_same_content() {
    let store = memory();
    let first = store.upload(Upload::new("a", "content")).await.unwrap();
    let version = first.version.clone().unwrap();
    let listed = store.list(List::new()).await.unwrap().files.remove(0);
    let read = store.download(first.reference()).await.unwrap().file;
    let found = store.stat(first.reference()).await.unwrap();
    assert_eq!([listed.version, read.version, found.version].map(Option::unwrap), [(); 3].map(|()| version.clone()));
    let second = store.upload(Upload::new("a", "content")).await.unwrap();
    assert_ne!(second.version, Some(version));
    // A file that is deleted and stored again is another one.
    store.delete(second.reference()).await.unwrap();
    assert_ne!(store.upload(Upload::new("a", "content")).await.unwrap().version, second.version);
}

#[tokio::test]
async fn another_process_gives_other_content_another_version() {
    let [one, other] = ["one", "two"].map(|content| async move { memory().upload(Upload::new("a", content)).await });
    assert_ne!(one.await.unwrap().version, other.await.unwrap().version);
}

#[tokio::test]
async fn a_download_reads_the_file_as_it_was_when_it_began() {
    let store = memory();
    let file = put(&store, None, "a", "old").await;
    let download = store.download(&file).await.unwrap();
    put(&store, None, "a", "newer").await;
    store.delete(&file).await.unwrap();
    assert_eq!(download.bytes(9).await.unwrap(), "old");
}

#[tokio::test]
async fn the_temporary_folder_cannot_be_addressed() {
    let error = memory().upload(Upload::new(".filestore-tmp", "x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// A name that `Store` accepts is the same in listings and reads.
    #[test]
    fn an_accepted_name_is_unchanged(name in ".{1,40}", scope in proptest::option::of("[^/\\\\\\p{Cc}]{1,20}")) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = memory();
            let mut upload = Upload::new(name.clone(), name.clone());
            upload.scope = scope.clone();
            match store.upload(upload).await {
                Ok(file) => {
                    let parsed: FileRef = file.reference().to_string().parse().unwrap();
                    assert_eq!(content(&store, &parsed).await, name.as_bytes());
                    let mut list = List::new();
                    list.scope = scope;
                    let page = store.list(list).await.unwrap();
                    assert_eq!(names(&page), [name.as_str()]);
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}"),
            }
        });
    }
}
