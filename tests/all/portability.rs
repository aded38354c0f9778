//! One function, every backend, chosen by configuration text alone.

use filestore::{Config, FileRef, Result, Store, Upload};
use filestore_emulator::{Emulator, FILEIO_API_KEY, FILESCOM_API_KEY, Options};
use futures::TryStreamExt;

/// What an application does. It does not know which backend it has.
async fn application(store: &Store) -> Result<()> {
    let content = b"quarterly figures".to_vec();
    let file = store.upload(Upload::new("q3.pdf", content.clone())).await?;
    let saved = file.reference().to_string();

    let again: FileRef = saved.parse()?;
    let listed: Vec<_> = store.list_all(filestore::List::new()).try_collect().await?;
    assert_eq!(listed.iter().filter(|file| file.reference == again).count(), 1, "{listed:?}");
    assert_eq!(store.stat(&again).await?.size, Some(content.len() as u64));
    assert_eq!(store.find(None, "q3.pdf").await?.len(), 1);
    assert_eq!(store.read(&again, 1 << 20).await?, content);
    store.delete(&again).await?;
    assert!(store.stat(&again).await.is_err());
    Ok(())
}

async fn with(text: &str) {
    let config = Config::parse(text, "swap.toml").unwrap();
    let stores = config.open(&filestore::registry()).unwrap();
    application(stores.get("uploads").unwrap()).await.unwrap();
}

#[tokio::test]
async fn on_a_local_directory() {
    let folder = tempfile::tempdir().unwrap();
    with(&format!("[stores.uploads]\nbackend = \"fs\"\nroot = {:?}\n", folder.path())).await;
}

#[tokio::test]
async fn in_memory() {
    with("[stores.uploads]\nbackend = \"memory\"\n").await;
}

#[tokio::test]
async fn on_pubnub() {
    let emulator = Emulator::start(Options::default()).await.unwrap();
    let keys = "publish_key = \"pub-c-emulator\"\nsubscribe_key = \"sub-c-emulator\"\n";
    with(&format!(
        "[stores.uploads]\nbackend = \"pubnub\"\nbase_url = {:?}\nuser_id = \"me\"\nchannel = \"room-1\"\n{keys}",
        emulator.url()
    ))
    .await;
}

#[tokio::test]
async fn on_files_com() {
    let emulator = Emulator::start(Options::default()).await.unwrap();
    with(&format!(
        "[stores.uploads]\nbackend = \"filescom\"\nbase_url = {:?}\napi_key = {FILESCOM_API_KEY:?}\n",
        emulator.url()
    ))
    .await;
}

#[tokio::test]
async fn on_file_io_where_a_read_consumes() {
    let emulator = Emulator::start(Options::default()).await.unwrap();
    with(&format!(
        "[stores.uploads]\nbackend = \"fileio\"\nbase_url = {:?}\napi_key = {FILEIO_API_KEY:?}\n",
        emulator.url()
    ))
    .await;
}

#[tokio::test]
async fn on_a_service_of_opendal() {
    with("[stores.uploads]\nbackend = \"opendal\"\nservice = \"memory\"\n").await;
}
