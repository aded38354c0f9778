use filestore_core::{Store, Upload};
use tokio::io::AsyncWriteExt;

use super::site::{FaultAction, Site};
use super::*;
use crate::ByteSize;

const PART: u64 = 256 * 1024;

fn handle(store: FilesComStore) -> Store {
    Store::new("team", Arc::new(store)).unwrap()
}

#[tokio::test]
async fn a_written_file_exists_after_the_shutdown_and_not_before() {
    let site = Site::with_parts_of(PART).await;
    let mut writer = handle(site.store()).writer(|body| Upload::new("a.txt", body).scope("logs"));
    writer.write_all("first line\n".as_bytes()).await.unwrap();
    writer.flush().await.unwrap();
    writer.write_all("zweite Zeile, größer\n".as_bytes()).await.unwrap();
    assert!(site.files().is_empty());
    writer.shutdown().await.unwrap();
    assert_eq!(site.content("logs/a.txt").unwrap(), "first line\nzweite Zeile, größer\n".as_bytes());
    assert_eq!(site.uploads(), 1);
}

#[tokio::test]
async fn finish_returns_the_stored_file() {
    let site = Site::with_parts_of(PART).await;
    let mut writer = handle(site.store()).writer(|body| Upload::new("a.txt", body).metadata("k", "v"));
    writer.write_all(b"abc").await.unwrap();
    let file = writer.finish().await.unwrap();
    assert_eq!((file.name.as_str(), file.size), ("a.txt", Some(3)));
    assert_eq!(file.metadata["k"], "v");
}

#[tokio::test]
async fn a_part_is_sent_as_soon_as_it_is_full() {
    let site = Site::with_parts_of(PART).await;
    let (store, _) = site.open(|mut config| {
        config.memory = ByteSize::bytes(4 * PART);
        config
    });
    let mut writer = handle(store).writer(|body| Upload::new("a", body));
    let content: Vec<u8> = (0..12 * u32::try_from(PART).unwrap() / 4).flat_map(u32::to_le_bytes).collect();
    writer.write_all(&content).await.unwrap();
    // At most four parts are buffered, so most have been sent.
    assert!(site.count("PUT ") >= 4, "{:?}", site.log());
    assert_eq!(site.count("POST files/"), 0);
    writer.shutdown().await.unwrap();
    assert!(site.content("a").unwrap() == content);
}

#[tokio::test]
async fn a_writer_without_writes_stores_an_empty_file() {
    let site = Site::with_parts_of(PART).await;
    handle(site.store()).writer(|body| Upload::new("a", body)).shutdown().await.unwrap();
    assert_eq!(site.content("a").unwrap(), b"");
}

#[tokio::test]
async fn a_writer_that_is_dropped_leaves_an_existing_file_unchanged() {
    let site = Site::with_parts_of(PART).await;
    site.put("a", "before");
    let mut writer = handle(site.store()).writer(|body| Upload::new("a", body));
    writer.write_all(&vec![0; 3 * usize::try_from(PART).unwrap()]).await.unwrap();
    drop(writer);
    // Lets a request that the dropped upload might still send happen.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(site.content("a").unwrap(), b"before");
    assert_eq!(site.count("POST files/"), 0);
}

#[tokio::test]
async fn no_request_is_sent_before_the_first_write() {
    let site = Site::with_parts_of(PART).await;
    drop(handle(site.store()).writer(|body| Upload::new("a", body)));
    assert!(site.log().is_empty());
}

#[tokio::test]
async fn the_writer_returns_the_error_of_the_upload() {
    let site = Site::with_parts_of(PART).await;
    let forbidden = || FaultAction::Respond(rejection(403, "not-authorized/write-permission-required"));
    site.fault("POST file_actions/begin_upload/a", forbidden());
    let mut writer = handle(site.store()).writer(|body| Upload::new("a", body));
    let error = Error::from(writer.write_all(&vec![0; 16 << 20]).await.unwrap_err());
    assert_eq!(kind_and_effect(&error), (ErrorKind::Permission, Effect::Rejected));
    // The error is given out once; nothing more can be written.
    assert_eq!(Error::from(writer.write_all(b"x").await.unwrap_err()).kind(), ErrorKind::InvalidInput);
    assert_eq!(Error::from(writer.shutdown().await.unwrap_err()).kind(), ErrorKind::InvalidInput);

    site.fault("POST file_actions/begin_upload/b", forbidden());
    let mut writer = handle(site.store()).writer(|body| Upload::new("b", body));
    writer.write_all(b"little").await.unwrap();
    let error = Error::from(writer.shutdown().await.unwrap_err());
    assert_eq!(kind_and_effect(&error), (ErrorKind::Permission, Effect::Rejected));
}

#[tokio::test]
async fn a_write_after_the_shutdown_is_an_error() {
    let site = Site::with_parts_of(PART).await;
    let mut writer = handle(site.store()).writer(|body| Upload::new("a", body));
    writer.write_all(b"abc").await.unwrap();
    writer.shutdown().await.unwrap();
    writer.shutdown().await.unwrap();
    assert!(writer.write_all(b"d").await.is_err());
    assert_eq!(site.content("a").unwrap(), b"abc");
}
