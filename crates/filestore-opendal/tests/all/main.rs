//! The promises of the stores, one rule per test.

#![expect(clippy::unwrap_used, reason = "tests state what they expect")]

mod config;
#[cfg(all(feature = "s3", feature = "webdav"))]
mod effects;
#[cfg(feature = "s3")]
mod endless;
#[cfg(all(feature = "s3", feature = "webdav"))]
mod http;
mod memory;
#[cfg(all(feature = "s3", feature = "webdav"))]
mod parallel;
#[cfg(feature = "s3")]
mod s3;
#[cfg(all(feature = "s3", feature = "webdav"))]
mod stub;

use std::sync::Arc;

use bytes::Bytes;
use filestore_core::{FileRef, FileStore, List, Page, Store};
use futures::TryStreamExt;

/// Returns a store named `s` over `inner`.
fn store(inner: impl FileStore) -> Store {
    Store::new("s", Arc::new(inner)).unwrap()
}

fn reference(text: &str) -> FileRef {
    text.parse().unwrap()
}

fn names(page: &Page) -> Vec<&str> {
    page.files.iter().map(|file| file.name.as_str()).collect()
}

fn folders(page: &Page) -> Vec<&str> {
    page.folders.iter().map(String::as_str).collect()
}

/// Returns all references of a listing, page after page.
async fn paths(store: &Store, list: List) -> Vec<String> {
    store.list_all(list).map_ok(|file| file.reference().to_string()).try_collect().await.unwrap()
}

async fn content(store: &Store, reference: &FileRef) -> Bytes {
    store.read(reference, 1 << 20).await.unwrap()
}

/// Opens the store `s` at `endpoint`, with short retry delays. `keys` are keys of the store, or options as
/// `options.KEY`.
#[cfg(feature = "s3")]
fn open(service: &str, endpoint: &str, keys: &[(&str, &str)]) -> Store {
    try_open(service, endpoint, keys).unwrap()
}

#[cfg(feature = "s3")]
fn try_open(service: &str, endpoint: &str, keys: &[(&str, &str)]) -> filestore_core::Result<Store> {
    use filestore_core::{Backend, Origin, Setting, Settings, Value};

    let setting = |text: &str| Setting::new(Value::Text(text.to_owned()), Origin::BuiltIn);
    let options: &[(&str, &str)] = match service {
        "s3" => &[
            ("bucket", "bucket"),
            ("region", "us-east-1"),
            ("access_key_id", "a"),
            ("secret_access_key", "hunter2"),
            ("disable_config_load", "true"),
        ],
        _ => &[("username", "u"), ("password", "hunter2")],
    };
    let mut options: Vec<(&str, &str)> = options.to_vec();
    options.push(("endpoint", endpoint));
    let mut settings = Settings::new();
    for (key, value) in [("service", service), ("initial_retry_delay", "10ms"), ("max_retry_delay", "20ms")] {
        settings.insert(key, setting(value));
    }
    for (key, value) in keys {
        match key.strip_prefix("options.") {
            Some(option) => {
                options.retain(|(known, _)| *known != option);
                if !value.is_empty() {
                    options.push((option, value));
                }
            }
            None => settings.insert(*key, setting(value)),
        }
    }
    let table = options.into_iter().map(|(key, value)| (key.to_owned(), setting(value))).collect();
    settings.insert("options", Setting::new(Value::Table(table), Origin::BuiltIn));
    filestore_opendal::Opendal.open(&settings).and_then(|inner| Store::new("s", inner))
}
