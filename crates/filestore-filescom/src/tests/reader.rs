use std::io::SeekFrom;

use filestore_core::{FileReader, Store};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncSeekExt};

use super::site::{FaultAction, Site, xml};
use super::*;

fn handle(store: FilesComStore) -> Store {
    Store::new("team", Arc::new(store)).unwrap()
}

/// 10,000 bytes in which no two ranges are equal.
fn content() -> Vec<u8> {
    (0..5000_u16).flat_map(u16::to_le_bytes).collect()
}

async fn site() -> Site {
    let site = Site::with_parts_of(100_000).await;
    site.put("a", content());
    site
}

/// Returns the ranges that were requested from the storage.
async fn ranges(site: &Site) -> Vec<String> {
    let requests = site.requests().await;
    let range = |request: &Request| Some(request.headers.get("range")?.to_str().ok()?.replace("bytes=", ""));
    requests.iter().filter_map(range).collect()
}

async fn read(reader: &mut FileReader, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    reader.read_exact(&mut bytes).await.unwrap();
    bytes
}

#[tokio::test]
async fn a_file_is_read_at_any_offset() {
    let site = site().await;
    let mut reader = handle(site.store()).reader(&reference("a")).await.unwrap();
    assert_eq!(reader.file().size, Some(10_000));
    assert_eq!(read(&mut reader, 3).await, content()[..3]);
    assert_eq!(reader.seek(SeekFrom::End(-4)).await.unwrap(), 9996);
    let mut end = Vec::new();
    reader.read_to_end(&mut end).await.unwrap();
    assert_eq!(end, content()[9996..]);
    assert_eq!(reader.seek(SeekFrom::Current(-5000)).await.unwrap(), 5000);
    assert_eq!(read(&mut reader, 10).await, content()[5000..5010]);
    reader.rewind().await.unwrap();
    let mut all = Vec::new();
    reader.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, content());
}

#[tokio::test]
async fn ranges_grow_while_reads_are_sequential() {
    let site = site().await;
    let mut reader = handle(site.store()).reader(&reference("a")).await.unwrap().read_ahead(1000);
    let mut all = Vec::new();
    reader.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, content());
    assert_eq!(ranges(&site).await, ["0-999", "1000-2999", "3000-6999", "7000-9999"]);
    reader.seek(SeekFrom::Start(10)).await.unwrap();
    read(&mut reader, 1).await;
    assert_eq!(ranges(&site).await[4..], ["10-1009"]);
}

#[tokio::test]
async fn no_range_is_requested_before_a_read() {
    let site = site().await;
    let mut reader = handle(site.store()).reader(&reference("a")).await.unwrap();
    reader.seek(SeekFrom::Start(500)).await.unwrap();
    reader.seek(SeekFrom::Start(20_000)).await.unwrap();
    assert_eq!(reader.read(&mut [0; 10]).await.unwrap(), 0);
    assert_eq!(site.log(), ["GET file_actions/metadata/a"]);
}

#[tokio::test]
async fn a_short_seek_forward_requests_no_new_range() {
    let site = site().await;
    let mut reader = handle(site.store()).reader(&reference("a")).await.unwrap();
    read(&mut reader, 10).await;
    for target in [20, 4000, 9000] {
        reader.seek(SeekFrom::Start(target)).await.unwrap();
        let at = usize::try_from(target).unwrap();
        assert_eq!(read(&mut reader, 10).await, content()[at..at + 10]);
    }
    assert_eq!(ranges(&site).await, ["0-9999"]);
}

#[tokio::test]
async fn text_is_read_line_by_line() {
    let site = Site::with_parts_of(100).await;
    site.put("log", "ä\nb\n");
    let reader = handle(site.store()).reader(&reference("log")).await.unwrap();
    let mut lines = reader.lines();
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("ä"));
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("b"));
    assert_eq!(lines.next_line().await.unwrap(), None);
}

#[tokio::test]
async fn a_file_that_is_replaced_after_opening_is_an_error_and_never_a_mixture() {
    let site = site().await;
    let mut reader = handle(site.store()).reader(&reference("a")).await.unwrap().read_ahead(1000);
    read(&mut reader, 1000).await;
    site.put("a", vec![7; 10_000]);
    let error = Error::from(reader.read(&mut [0; 10]).await.unwrap_err());
    assert_eq!(kind_and_effect(&error), (ErrorKind::Integrity, Effect::Rejected));
}

#[tokio::test]
async fn without_an_etag_or_digest_only_the_first_range_is_read() {
    let site = site().await;
    site.state().storage_etag = None;
    let mut reader = handle(site.store()).reader(&reference("a")).await.unwrap().read_ahead(1000);
    assert_eq!(read(&mut reader, 1000).await, content()[..1000]);
    let error = Error::from(reader.read(&mut [0; 10]).await.unwrap_err());
    assert_eq!(kind_and_effect(&error), (ErrorKind::Unsupported, Effect::Rejected));

    // With a digest, the service proves that it is the same file.
    site.state().digests = true;
    let mut reader = handle(site.store()).reader(&reference("a")).await.unwrap().read_ahead(1000);
    let mut all = Vec::new();
    reader.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, content());
}

#[tokio::test]
async fn a_failed_read_has_the_error_of_a_download_and_may_be_repeated() {
    let site = site().await;
    let mut reader = handle(site.store()).reader(&reference("a")).await.unwrap();
    site.fault("GET /storage/down/a", FaultAction::Respond(xml(403, "SignatureDoesNotMatch", "no")));
    let error = Error::from(reader.read(&mut [0; 10]).await.unwrap_err());
    assert_eq!(kind_and_effect(&error), (ErrorKind::Permission, Effect::Rejected));
    assert_eq!(read(&mut reader, 10).await, content()[..10]);
}

#[tokio::test]
async fn an_empty_file_needs_no_request_for_content() {
    let site = Site::with_parts_of(100).await;
    site.put("empty", "");
    let mut reader = handle(site.store()).reader(&reference("empty")).await.unwrap();
    let mut text = String::new();
    assert_eq!(reader.read_to_string(&mut text).await.unwrap(), 0);
    assert_eq!(site.log(), ["GET file_actions/metadata/empty"]);
}

#[tokio::test]
async fn a_seek_before_the_beginning_is_invalid_input() {
    let site = site().await;
    let mut reader = handle(site.store()).reader(&reference("a")).await.unwrap();
    for position in [SeekFrom::Current(-1), SeekFrom::End(-10_001)] {
        let error = reader.seek(position).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    }
    assert_eq!(reader.stream_position().await.unwrap(), 0);
}

#[tokio::test]
async fn a_missing_file_or_a_folder_cannot_be_opened() {
    let site = site().await;
    let error = handle(site.store()).reader(&reference("b")).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::NotFound, Effect::Rejected));
    let server = server_with([response(200, &folder("a"))]).await;
    let error = handle(store(&server)).reader(&reference("a")).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::InvalidInput, Effect::Rejected));
}
