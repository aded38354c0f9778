//! Files as streams on every backend: readers that seek, writers, bodies with an explicit end; and references that are
//! built from readable parts.

use std::io::SeekFrom;
use std::sync::Arc;

use filestore::fileio::{FileIoConfig, FileIoStore};
use filestore::filescom::{FilesComConfig, FilesComStore};
use filestore::local::{FsStore, MemoryStore};
use filestore::pubnub::{Crypto, PubNubConfig, PubNubStore};
use filestore::{Body, Download, ErrorKind, FileStore, List, Store, Upload};
use filestore_emulator::{Emulator, FILEIO_API_KEY, FILESCOM_API_KEY, Options};
use futures::{StreamExt, TryStreamExt};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

/// Stores of every backend, and what they live on.
struct Stores {
    all: Vec<Store>,
    _emulator: Emulator,
    _folder: tempfile::TempDir,
}

impl Stores {
    async fn open() -> Self {
        let emulator = Emulator::start(Options::default()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let pubnub =
            || PubNubConfig::new("pub-c-emulator", "sub-c-emulator", "me").base_url(emulator.url()).channel("room-1");
        let site = FilesComConfig::new(emulator.url()).api_key(FILESCOM_API_KEY);
        let fileio = FileIoConfig::new(emulator.url()).api_key(FILEIO_API_KEY);
        let opendal = filestore::registry();
        let mut settings = filestore::Settings::new();
        let text = |text: &str| {
            filestore::Setting::new(filestore::Value::Text(text.to_owned()), filestore::Origin::CommandLine)
        };
        settings.insert("service", text("memory"));
        let opendal = opendal.backend("opendal").unwrap().open(&settings).unwrap();
        let stores: Vec<(&str, Arc<dyn FileStore>)> = vec![
            ("fs", Arc::new(FsStore::new(folder.path()).unwrap())),
            ("memory", Arc::new(MemoryStore::new())),
            ("opendal", opendal),
            ("pubnub", Arc::new(PubNubStore::new(pubnub()).unwrap())),
            ("encrypted", Arc::new(PubNubStore::new(pubnub().cipher_key(Crypto::Acrh, "enigma")).unwrap())),
            ("filescom", Arc::new(FilesComStore::new(site.clone()).unwrap())),
            ("below", Arc::new(FilesComStore::new(site.root("below")).unwrap())),
            ("fileio", Arc::new(FileIoStore::new(fileio).unwrap())),
        ];
        let all = stores.into_iter().map(|(name, store)| Store::new(name, store).unwrap()).collect();
        Self { all, _emulator: emulator, _folder: folder }
    }
}

/// 300,001 bytes in which no two ranges are equal.
fn content() -> Vec<u8> {
    (0..75_001_u32).flat_map(u32::to_le_bytes).take(300_001).collect()
}

#[tokio::test]
async fn a_writer_stores_a_file_that_a_reader_reads_at_any_position() {
    let stores = Stores::open().await;
    for store in &stores.all {
        let mut writer = store.writer(|body| Upload::new("a.bin", body));
        for piece in content().chunks(7000) {
            writer.write_all(piece).await.unwrap();
        }
        let file = writer.finish().await.unwrap();
        let reader = store.reader(&file.reference).await;
        if store.name() == "fileio" {
            assert_eq!(reader.unwrap_err().kind(), ErrorKind::Unsupported);
            continue;
        }
        let mut reader = reader.unwrap().read_ahead(50_000);
        let name = store.name();
        assert_eq!(reader.size(), 300_001, "{name}");
        if name == "opendal" {
            // This service has no versions, so nothing proves that a second range is of the same file.
            let error = filestore::Error::from(reader.read_to_end(&mut Vec::new()).await.unwrap_err());
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            continue;
        }
        for (position, at) in
            [(SeekFrom::End(-10), 299_991), (SeekFrom::Start(100_000), 100_000), (SeekFrom::Current(-5), 100_015)]
        {
            assert_eq!(reader.seek(position).await.unwrap(), at as u64, "{name}");
            let mut bytes = [0; 10];
            let count = bytes.len().min(300_001 - at);
            reader.read_exact(&mut bytes[..count]).await.unwrap();
            assert_eq!(bytes[..count], content()[at..at + count], "{name} {position:?}");
            reader.seek(SeekFrom::Start(100_020)).await.unwrap();
        }
        reader.rewind().await.unwrap();
        let mut all = Vec::new();
        reader.read_to_end(&mut all).await.unwrap();
        assert!(all == content(), "{name}");
    }
}

#[tokio::test]
async fn an_empty_file_is_written_and_read() {
    let stores = Stores::open().await;
    for store in stores.all.iter().filter(|store| store.name() != "fileio") {
        let file = store.writer(|body| Upload::new("empty", body)).finish().await.unwrap();
        let mut reader = store.reader(&file.reference).await.unwrap();
        assert_eq!(reader.read(&mut [0; 10]).await.unwrap(), 0, "{}", store.name());
        // Of all ranges, an empty file has only the whole one.
        let whole = store.download(Download::from(&file.reference).range(..)).await.unwrap();
        assert_eq!(whole.bytes(10).await.unwrap(), "", "{}", store.name());
        let error = store.download(Download::from(&file.reference).range(..1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RangeNotSatisfiable, "{error}");
    }
}

#[tokio::test]
async fn a_range_beyond_the_end_is_told_apart_from_bad_input() {
    let stores = Stores::open().await;
    for store in stores.all.iter().filter(|store| store.name() != "fileio") {
        let file = store.upload(Upload::new("a", "abc")).await.unwrap();
        for range in [3_u64.., 100..] {
            let error = store.download(Download::from(&file.reference).range(range)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::RangeNotSatisfiable, "{error}");
        }
        for empty in [0..0, 1..1] {
            let none = store.download(Download::from(&file.reference).range(empty.clone())).await.unwrap();
            assert_eq!(
                (none.range.clone(), none.bytes(9).await.unwrap()),
                (Some(empty), "".into()),
                "{}",
                store.name()
            );
        }
        let end = store.download(Download::from(&file.reference).range(1..=1)).await.unwrap();
        assert_eq!((end.range.clone(), end.bytes(9).await.unwrap()), (Some(1..2), "b".into()), "{}", store.name());
    }
}

#[tokio::test]
async fn a_stream_of_small_chunks_is_stored_whole() {
    let stores = Stores::open().await;
    for store in &stores.all {
        let content = content()[..20_001].to_vec();
        let bytes: Vec<_> = content.iter().map(|byte| Ok::<_, filestore::Error>(vec![*byte])).collect();
        let body = Body::from_stream(futures::stream::iter(bytes), None);
        let file = store.upload(Upload::new("small.bin", body)).await.unwrap();
        assert_eq!(store.read(&file.reference, 1 << 20).await.unwrap(), content, "{}", store.name());
    }
}

#[tokio::test]
async fn a_body_whose_sender_stops_early_is_not_stored() {
    let stores = Stores::open().await;
    for store in &stores.all {
        store.upload(Upload::new("whole.txt", "abc")).await.unwrap();
        let (mut sender, body) = Body::channel(None);
        let task = tokio::spawn(async move {
            sender.send(content()).await.unwrap();
            panic!("on purpose");
        });
        let error = store.upload(Upload::new("half.bin", body)).await.unwrap_err();
        assert!(task.await.is_err());
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        let mut writer = store.writer(|body| Upload::new("half.bin", body));
        writer.write_all(&content()).await.unwrap();
        drop(writer);
        assert_eq!(store.find(None, "half.bin").await.unwrap().len(), 0, "{}", store.name());
    }
}

#[tokio::test]
async fn a_listing_leaves_the_handler_that_began_it() {
    let listing = {
        let stores = Stores::open().await;
        let store = stores.all.iter().find(|store| store.name() == "memory").unwrap();
        store.upload(Upload::new("a", "abc")).await.unwrap();
        store.list_all(List::new()).boxed()
    };
    let files: Vec<_> = tokio::spawn(listing.try_collect::<Vec<_>>()).await.unwrap().unwrap();
    assert_eq!(files.len(), 1);
}

#[tokio::test]
async fn a_reference_is_built_from_scope_and_name_where_callers_choose_paths() {
    let stores = Stores::open().await;
    for store in &stores.all {
        let built = store.reference(Some("in/b c"), "ü.txt");
        if matches!(store.name(), "pubnub" | "encrypted" | "fileio") {
            assert_eq!(built.unwrap_err().kind(), ErrorKind::Unsupported);
            continue;
        }
        let built = built.unwrap();
        assert!(!store.exists(&built).await.unwrap());
        let file = store.upload(Upload::new("ü.txt", "abc").scope("in/b c")).await.unwrap();
        assert_eq!(file.reference, built, "{}", store.name());
        assert!(store.exists(&built).await.unwrap(), "{}", store.name());
        let file = store.upload(Upload::new("top.txt", "abc")).await.unwrap();
        assert_eq!(file.reference, store.reference(None, "top.txt").unwrap());
        for (scope, name) in [(Some(".."), "a"), (Some(""), "a"), (None, ""), (None, "a/b"), (Some("a/../b"), "c")] {
            let error = store.reference(scope, name).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{scope:?} {name:?}: {error}");
        }
    }
}

#[tokio::test]
async fn a_reference_without_a_store_is_accepted_by_a_store_of_its_scheme() {
    let stores = Stores::open().await;
    for store in &stores.all {
        let file = store.upload(Upload::new("a.txt", "abc")).await.unwrap();
        let parts = file.reference.components();
        let unnamed = match (store.name(), &parts[..]) {
            ("pubnub" | "encrypted", [channel, id, name]) => {
                let keys = PubNubConfig::new("pub-c-emulator", "sub-c-emulator", "me");
                PubNubStore::new(keys).unwrap().reference(channel, id, name).unwrap()
            }
            ("fileio", [key]) => FileIoStore::new(FileIoConfig::default()).unwrap().reference(key).unwrap(),
            (_, path) => filestore::FileRef::new(file.reference.scheme(), path),
        };
        assert_eq!(unnamed.store(), "");
        assert_eq!(store.read(&unnamed, 10).await.unwrap(), "abc", "{}", store.name());
        let other = filestore::FileRef::new("other", &parts);
        assert_eq!(store.stat(&other).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
