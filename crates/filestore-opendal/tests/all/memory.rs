//! OpenDAL's memory service, and with it the flow that every service shares.

use std::time::Duration;

use bytes::Bytes;
use filestore_core::{
    Body, Delete, Download, Effect, Error, ErrorKind, Feature, FileRef, FileStore, IfExists, List, Store, Support,
    Upload,
};
use filestore_opendal::OpendalStore;
use futures::{StreamExt, stream};
use opendal::{Operator, services};
use proptest::prelude::*;

use crate::{content, folders, names, paths, reference};

fn memory() -> Store {
    crate::store(OpendalStore::new(Operator::new(services::Memory::default()).unwrap()).unwrap())
}

async fn put(store: &Store, scope: Option<&str>, name: &str, content: &'static str) -> FileRef {
    let mut upload = Upload::new(name, content);
    upload.scope = scope.map(str::to_owned);
    store.upload(upload).await.unwrap().reference().clone()
}

#[tokio::test]
async fn a_file_comes_back_as_it_was_sent() {
    let store = memory();
    let sent = Bytes::from((0..700_000_u32).map(|byte| byte as u8).collect::<Vec<_>>());
    let file = store.upload(Upload::new("cat.jpg", sent.clone()).scope("photos")).await.unwrap();
    assert_eq!(file.reference().to_string(), "s:memory:photos/cat.jpg");
    assert_eq!(file.size, Some(700_000));
    assert_eq!(content(&store, file.reference()).await, sent);
    assert_eq!(store.read(Download::from(file.reference()).range(255..258), 10).await.unwrap(), &sent[255..258]);
    assert_eq!(store.stat(file.reference()).await.unwrap().size, Some(700_000));
}

#[tokio::test]
async fn an_empty_file_is_a_file() {
    let store = memory();
    let file = put(&store, None, "empty", "").await;
    assert_eq!(store.stat(&file).await.unwrap().size, Some(0));
    assert_eq!(content(&store, &file).await, "");
}

#[tokio::test]
async fn a_content_type_is_stored() {
    let store = memory();
    let file = store.upload(Upload::new("a", "x").content_type("text/plain")).await.unwrap();
    assert_eq!(store.stat(file.reference()).await.unwrap().content_type.as_deref(), Some("text/plain"));
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
async fn a_dropped_upload_leaves_nothing() {
    let store = memory();
    let body = Body::from_stream(stream::iter([Ok::<_, Error>("half")]).chain(stream::pending()), None);
    let upload = store.upload(Upload::new("a", body));
    assert!(tokio::time::timeout(Duration::from_millis(100), upload).await.is_err());
    assert_eq!(store.stat(reference("s:memory:a")).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn the_error_of_the_body_is_returned_and_nothing_is_stored() {
    let store = memory();
    let broken = stream::iter([Ok(Bytes::from("half")), Err(Error::not_found("the source is gone"))]);
    let error = store.upload(Upload::new("a", Body::from_stream(broken, None))).await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::NotFound, "the source is gone"));
    let error = store.upload(Upload::new("a", Body::from_reader(&b"four"[..], Some(5)))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(store.list(List::new()).await.unwrap().files.is_empty());
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
async fn on_a_service_without_folders_a_missing_folder_is_empty() {
    assert!(memory().list(List::new().scope("nowhere")).await.unwrap().files.is_empty());
}

#[tokio::test]
async fn a_delete_of_a_missing_file_succeeds_and_a_folder_is_deleted_only_recursively() {
    let store = memory();
    store.delete(reference("s:memory:nothing")).await.unwrap();
    put(&store, Some("dir"), "a", "x").await;
    put(&store, Some("dir/sub"), "b", "x").await;
    let sibling = put(&store, None, "dir-beside", "x").await;
    store.delete(reference("s:memory:dir")).await.unwrap();
    assert_eq!(paths(&store, List::new().scope("dir").recursive(true)).await.len(), 2);
    store.delete(Delete::from(reference("s:memory:dir")).recursive(true)).await.unwrap();
    assert_eq!(paths(&store, List::new().recursive(true)).await, [sibling.to_string()]);
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
async fn a_name_that_opendal_would_trim_is_rejected() {
    let store = memory();
    for name in [" a", "a ", "\u{3000}a", "a\u{a0}"] {
        assert_eq!(store.upload(Upload::new(name, "x")).await.unwrap_err().kind(), ErrorKind::InvalidInput, "{name:?}");
    }
    // Without the checks of `Store`, too, and in references.
    let bare = OpendalStore::new(Operator::new(services::Memory::default()).unwrap()).unwrap();
    for upload in [Upload::new(" a", "x"), Upload::new("a", "x").scope("b ")] {
        assert_eq!(FileStore::upload(&bare, upload).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    put(&store, None, "a", "x").await;
    assert_eq!(store.stat(reference("s:memory:%20a")).await.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn the_temporary_folder_is_never_listed() {
    let operator = Operator::new(services::Memory::default()).unwrap();
    let store = crate::store(OpendalStore::new(operator.clone()).unwrap());
    operator.write(".filestore-tmp/x", "1").await.unwrap();
    operator.write("sub/.filestore-tmp/x", "1").await.unwrap();
    operator.write("a", "1").await.unwrap();
    assert_eq!(paths(&store, List::new().recursive(true)).await, ["s:memory:a"]);
    assert_eq!(store.list(List::new()).await.unwrap().folders, ["sub"]);
}

#[test]
fn an_operator_that_cannot_store_files_is_rejected() {
    let error = OpendalStore::new(Operator::new(()).unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
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

#[test]
fn a_store_name_that_is_invalid_in_references_is_rejected() {
    let inner = || std::sync::Arc::clone(memory().inner());
    for name in ["", "my store", "a:b", "a/b", "ä", "a\n"] {
        let error = Store::new(name, inner()).unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Config, Effect::NotSent), "{error}");
        assert!(error.message().contains("letters, digits, - and _"), "{error}");
        let error = Store::new("s", inner()).unwrap().with_aliases([name.to_owned()]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    }
    assert_eq!(Store::new("My_store-2", inner()).unwrap().name(), "My_store-2");
}
