//! The same function runs on every backend; configuration text alone chooses the backend.

use filestore::{Config, FileRef, Result, Store, Upload};
use filestore_emulator::{Emulator, FILEIO_API_KEY, FILESCOM_API_KEY, Options};
use futures::TryStreamExt;

/// The code of an application, which is the same for every backend.
async fn application(store: &Store) -> Result<()> {
    let content = b"quarterly figures".to_vec();
    let file = store.upload(Upload::new("q3.pdf", content.clone())).await?;
    let saved = file.reference().to_string();

    let parsed: FileRef = saved.parse()?;
    let listed: Vec<_> = store.list_all(filestore::List::new()).try_collect().await?;
    assert_eq!(listed.iter().filter(|file| file.reference == parsed).count(), 1, "{listed:?}");
    assert_eq!(store.stat(&parsed).await?.size, Some(content.len() as u64));
    assert_eq!(store.find(None, "q3.pdf").await?.len(), 1);
    assert_eq!(store.read(&parsed, 1 << 20).await?, content);
    store.delete(&parsed).await?;
    assert!(store.stat(&parsed).await.is_err());
    Ok(())
}

async fn run_with(text: &str) {
    let config = Config::parse(text, "portability.toml").unwrap();
    let stores = config.open(&filestore::registry()).unwrap();
    application(stores.get("uploads").unwrap()).await.unwrap();
}

#[tokio::test]
async fn the_application_runs_on_a_local_directory() {
    let folder = tempfile::tempdir().unwrap();
    run_with(&format!("[stores.uploads]\nbackend = \"fs\"\nroot = {:?}\n", folder.path())).await;
}

#[tokio::test]
async fn the_application_runs_in_memory() {
    run_with("[stores.uploads]\nbackend = \"memory\"\n").await;
}

#[tokio::test]
async fn the_application_runs_on_pubnub() {
    let emulator = Emulator::start(Options::default()).await.unwrap();
    let keys = "publish_key = \"pub-c-emulator\"\nsubscribe_key = \"sub-c-emulator\"\n";
    run_with(&format!(
        "[stores.uploads]\nbackend = \"pubnub\"\nbase_url = {:?}\nuser_id = \"me\"\nchannel = \"room-1\"\n{keys}",
        emulator.url()
    ))
    .await;
}

#[tokio::test]
async fn the_application_runs_on_files_com() {
    let emulator = Emulator::start(Options::default()).await.unwrap();
    run_with(&format!(
        "[stores.uploads]\nbackend = \"filescom\"\nbase_url = {:?}\napi_key = {FILESCOM_API_KEY:?}\n",
        emulator.url()
    ))
    .await;
}

#[tokio::test]
async fn the_application_runs_on_file_io_where_a_read_consumes() {
    let emulator = Emulator::start(Options::default()).await.unwrap();
    run_with(&format!(
        "[stores.uploads]\nbackend = \"fileio\"\nbase_url = {:?}\napi_key = {FILEIO_API_KEY:?}\n",
        emulator.url()
    ))
    .await;
}

#[tokio::test]
async fn the_application_runs_on_a_service_of_opendal() {
    run_with("[stores.uploads]\nbackend = \"opendal\"\nservice = \"memory\"\n").await;
}
