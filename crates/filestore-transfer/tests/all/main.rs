//! Tests of the public API against a store that counts its requests, in virtual time, and against the memory store.

#![expect(clippy::unwrap_used, reason = "tests state what they expect")]

mod altered_store;
mod copies;
mod counting_store;
mod download_tree;
mod files;
mod flat_listings;
mod migrations;
mod operations;
mod overload;
mod pool;
mod progress;
mod skip;
mod stop;
mod upload_tree;

use bytes::Bytes;
use filestore_core::{Body, ByteStream, Upload};
use futures::stream;

/// Returns an upload of so many bytes, whose content is created when it is sent.
fn upload(name: &str, size: u64) -> Upload {
    let content = move || async move {
        let chunk = move |at| Ok(Bytes::from_static(&[0; 65536]).slice(..usize::min(65536, (size - at) as usize)));
        let chunks = (0..size).step_by(65536).map(chunk);
        Ok(ByteStream::upload(stream::iter(chunks), Some(size)))
    };
    Upload::new(name, Body::reopenable(content, Some(size)))
}
