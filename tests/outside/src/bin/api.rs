//! A web service's use of the library: its own settings with the stores inside, bodies and errors of its framework, ranges
//! of HTTP, references in its own types, and what only one service has.

use std::error::Error as StdError;
use std::io::{self, SeekFrom, Write as _};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use filestore::pubnub::{HttpConfig, PubNubStore};
use filestore::{
    Body, ByteRange, ByteStream, Config, Download, Error, ErrorKind, Expiry, FileReader, FileRef, FileWriter, List,
    Store, StoredFile, Stores, Timestamp, Upload,
};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

/// The settings of the application, with the stores inside.
#[derive(Deserialize)]
struct Settings {
    port: u16,
    #[serde(flatten)]
    files: Config,
}

const SETTINGS: &str = r#"
port = 8080
default = "scratch"

[stores.scratch]
backend = "memory"

[stores.chat]
backend = "pubnub"
user_id = "server-1"
publish_key = "demo"
subscribe_key = "demo"

[stores.broken]
backend = "pubnub"
user_id = "server-1"
publish_key = "env:OUTSIDE_NO_SUCH_VARIABLE"
subscribe_key = "demo"
"#;

/// A row of the application's database, which has a reference in it.
#[derive(Serialize, Deserialize)]
struct Attachment {
    file: FileRef,
}

/// The error of a web framework, which is no error of this library.
#[derive(Debug)]
struct FrameworkError;

impl std::fmt::Display for FrameworkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the client has closed the connection")
    }
}

impl StdError for FrameworkError {}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn StdError>> {
    let settings: Settings = toml::from_str(SETTINGS)?;
    assert_eq!(settings.port, 8080);
    let stores = settings.files.open(&filestore::registry())?;
    let store = stores.default_store()?;
    configuration(&stores)?;
    bodies(store).await?;
    ranges(store).await?;
    references(store).await?;
    errors(store).await?;
    let listing = begin_listing(store).await?;
    let listed = tokio::spawn(listing.try_collect::<Vec<StoredFile>>()).await??;
    println!("{} files in {}", listed.len(), store.name());
    Ok(())
}

fn configuration(stores: &Stores) -> Result<(), Box<dyn StdError>> {
    // What only PubNub has, behind the configured store.
    let chat: &PubNubStore = stores.backend("chat")?;
    let event = chat.reference("room-1", "6b1c6c2e-6f0a-4d0e-9a54-0f2f4a3b7c11", "cat.txt")?;
    assert_eq!(event.scheme(), "pubnub");
    assert!(stores.backend::<PubNubStore>("scratch").is_err());
    // A missing secret fails its own store only.
    let error = stores.get("broken").unwrap_err();
    assert!(error.to_string().contains("publish_key") && error.to_string().contains("OUTSIDE_NO_SUCH_VARIABLE"));
    // A spelling error names the key and where it is.
    let wrong: Config = toml::from_str("[stores.a]\nbackend = \"fs\"\nrooot = \"x\"\n")?;
    let error = wrong.open(&filestore::registry())?.get("a").unwrap_err().to_string();
    assert!(error.contains("stores.a.rooot") && error.contains("root"), "{error}");
    let _ = HttpConfig::default();
    Ok(())
}

async fn bodies(store: &Store) -> Result<(), Box<dyn StdError>> {
    // Streams of any error and any chunk.
    let of_io = stream::iter([Ok::<_, io::Error>(Bytes::from("a")), Ok(Bytes::from("b"))]);
    store.upload(Upload::new("io", Body::from_stream(of_io, None))).await?;
    let of_framework = stream::iter([Ok(vec![1, 2]), Err(FrameworkError)]);
    let error = store.upload(Upload::new("broken", Body::from_stream(of_framework, None))).await.unwrap_err();
    assert!(error.source().is_some_and(|cause| cause.is::<FrameworkError>()), "{error:?}");
    // An open file and a blocking reader.
    let path = std::env::temp_dir().join(format!("filestore-outside-{}", std::process::id()));
    let mut file = std::fs::File::options().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    file.write_all(b"from an open file")?;
    let stored = store.upload(Upload::new("file", Body::from_file(file)?)).await?;
    assert_eq!(stored.size, Some(17));
    store.upload(Upload::new("read", Body::from_blocking(io::Cursor::new("blocking"), Some(8)))).await?;
    // An explicit end.
    let (mut sender, body) = Body::channel(None);
    let sending = async {
        sender.send("row\n").await?;
        sender.finish().await
    };
    let (sent, stored) = futures::join!(sending, store.upload(Upload::new("rows", body)));
    sent?;
    // A writer and a reader.
    let mut writer: FileWriter = store.writer(|body| Upload::new("log", body));
    writer.write_all(b"first\nsecond\n").await?;
    let log = writer.finish().await?;
    let mut reader: FileReader = store.reader(log.reference()).await?;
    reader.seek(SeekFrom::End(-7)).await?;
    let mut end = String::new();
    reader.read_to_string(&mut end).await?;
    assert_eq!((end.as_str(), stored?.size), ("second\n", Some(4)));
    // Streams can be shared between threads.
    fn is_sync<T: Sync>(_: &T) {}
    let stream: ByteStream = store.download(log.reference()).await?.stream;
    is_sync(&stream);
    // Times of the standard library.
    let yesterday = SystemTime::now() - Duration::from_secs(86_400);
    let dated = store.upload(Upload::new("dated", "x").modified(yesterday)).await?;
    assert!(dated.modified.is_some_and(|time| time < Timestamp::now()));
    assert!(matches!(Expiry::from(yesterday), Expiry::At(_)));
    Ok(())
}

async fn ranges(store: &Store) -> Result<(), Box<dyn StdError>> {
    let file = store.upload(Upload::new("digits", "0123456789")).await?;
    let request = || Download::from(&file.reference);
    for (request, expected) in [
        (request().range(2..4), "23"),
        (request().range(2..=4), "234"),
        (request().range(8..), "89"),
        (request().range(..2), "01"),
        (request().range(..=2), "012"),
        (request().range(..), "0123456789"),
    ] {
        assert_eq!(store.download(request).await?.bytes(10).await?, expected);
    }
    // The range of an HTTP request, and the tag of an HTTP response.
    let stat = store.stat(&file.reference).await?;
    let range = ByteRange::from_header("bytes=-3", stat.size.unwrap_or_default())?.expect("one range of bytes");
    let part = store.download(request().range(range)).await?;
    assert_eq!((part.range.clone(), part.bytes(10).await?), (Some(7..10), Bytes::from("789")));
    assert!(stat.version.is_some() && stat.version == file.version);
    let error = store.download(request().range(10..)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RangeNotSatisfiable);
    Ok(())
}

async fn references(store: &Store) -> Result<(), Box<dyn StdError>> {
    let file = store.upload(Upload::new("q3.pdf", "figures").scope("2026")).await?;
    let row = serde_json::to_string(&Attachment { file: file.reference.clone() })?;
    assert_eq!(row, format!("{{\"file\":\"{}\"}}", file.reference.expose()));
    let row: Attachment = serde_json::from_str(&row)?;
    assert!(store.exists(&row.file).await?);
    assert_eq!(FileRef::try_from(file.reference.to_string())?, file.reference);
    assert_eq!(store.reference(Some("2026"), "q3.pdf")?, file.reference);
    // A reference without the name of a store.
    let unnamed = FileRef::new(file.reference.scheme(), file.reference.components());
    assert_eq!(store.read(&unnamed, 100).await?, "figures");
    let json = serde_json::to_value(&file)?;
    assert_eq!((&json["name"], &json["size"]), (&"q3.pdf".into(), &7.into()));
    let page = serde_json::to_value(store.list(List::new()).await?)?;
    assert!(page["files"].is_array() && page["folders"].is_array());
    Ok(())
}

async fn errors(store: &Store) -> Result<(), Box<dyn StdError>> {
    let missing = store.reference(None, "missing")?;
    assert!(!store.exists(&missing).await?);
    let error: io::Error = store.stat(&missing).await.unwrap_err().into();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    let error = Error::from(error);
    assert_eq!((error.kind(), error.store()), (ErrorKind::NotFound, Some("scratch")));
    assert_eq!(serde_json::to_string(&(error.kind(), error.effect()))?, r#"["not_found","rejected"]"#);
    Ok(())
}

/// Returns a listing that has left the handler which began it.
async fn begin_listing(store: &Store) -> Result<impl Stream<Item = Result<StoredFile, Error>> + Send + 'static, Error> {
    let store = store.clone();
    Ok(store.list_all(List::new()).boxed())
}
