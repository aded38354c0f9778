//! Outside of a tokio runtime, operations return an error and do not panic.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use filestore::{Body, Config, Effect, Error, ErrorKind, FileRef, FileStore, IfExists, List, Result, Store, Upload};
use futures::TryStreamExt;

/// Returns the error of an operation that fails at its first poll.
fn error_of<T>(operation: impl Future<Output = Result<T>>) -> Error {
    match pin!(operation).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Err(error)) => error,
        Poll::Ready(Ok(_)) => panic!("the operation succeeded"),
        Poll::Pending => panic!("the operation is pending"),
    }
}

fn check(error: &Error, what: &str) {
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Config, Effect::NotSent), "{what}: {error}");
    assert!(error.message().contains("tokio runtime"), "{what}: {error}");
}

fn stores(root: &std::path::Path) -> Vec<Store> {
    let keys = "publish_key = \"p\"\nsubscribe_key = \"s\"\nuser_id = \"u\"\nchannel = \"c\"";
    let stores = [
        ("fs", format!("root = {root:?}")),
        ("memory", String::new()),
        ("fileio", "api_key = \"k\"\nbase_url = \"http://127.0.0.1:9\"".to_owned()),
        ("filescom", "api_key = \"k\"\nbase_url = \"http://127.0.0.1:9\"".to_owned()),
        ("pubnub", format!("{keys}\nbase_url = \"http://127.0.0.1:9\"")),
    ];
    let text: String =
        stores.iter().map(|(name, more)| format!("[stores.{name}]\nbackend = {name:?}\n{more}\n")).collect();
    Config::parse(&text, "runtime.toml").unwrap().open(&filestore::registry()).unwrap().iter().cloned().collect()
}

#[test]
fn every_operation_outside_of_a_runtime_is_an_error() {
    let (folder, targets) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let stores = stores(folder.path());
    assert_eq!(stores.len(), 5);
    for store in &stores {
        let name = store.name();
        let locator = if name == "pubnub" { "c/i/a" } else { "a" };
        let reference: FileRef = format!("{name}:{}:{locator}", store.capabilities().scheme).parse().unwrap();
        check(&error_of(store.upload(Upload::new("a", "x"))), name);
        check(&error_of(store.list(List::new())), name);
        check(&error_of(store.list_all(List::new()).try_collect::<Vec<_>>()), name);
        check(&error_of(store.stat(&reference)), name);
        check(&error_of(store.download(&reference)), name);
        check(&error_of(store.read(&reference, 10)), name);
        let saved = store.download_to_path(&reference, targets.path().join("a"), IfExists::Fail);
        check(&error_of(saved), name);
        assert_eq!(std::fs::read_dir(targets.path()).unwrap().count(), 0, "{name} leaves a file");
        check(&error_of(store.delete(&reference)), name);
        check(&error_of(store.url(&reference)), name);
        // The same for a caller that uses the backend itself.
        let inner: &Arc<dyn FileStore> = store.inner();
        check(&error_of(inner.upload(Upload::new("a", "x"))), name);
        check(&error_of(inner.list(List::new())), name);
        check(&error_of(inner.download((&reference).into())), name);
    }
}

#[test]
fn a_file_is_not_read_outside_of_a_runtime() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    std::fs::write(&path, "content").unwrap();
    check(&error_of(Body::from_path(&path).unwrap().open()), "opened");
    check(&error_of(Body::from_path(&path).unwrap().fingerprint()), "fingerprint");

    // A body that is opened in a runtime and read outside of it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stream = runtime.block_on(Body::from_path(&path).unwrap().open()).unwrap();
    check(&error_of(stream.collect(100)), "read");
    let stream = runtime.block_on(Body::from(vec![0; 1 << 20]).open()).unwrap();
    check(&error_of(stream.inspect(|_| {}).collect(1 << 20)), "inspected");
}
