//! The promises of the stores, one rule per test.

#![expect(clippy::unwrap_used, reason = "tests state what they expect")]

mod config;
mod fs;
mod memory;

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
