//! The HTTP settings of a store: the proxy and the source address.

use filestore::{Config, Result, Store, Upload};
use filestore_emulator::{Emulator, FILEIO_API_KEY, Options};
use tokio::net::TcpListener;

fn store(base_url: &str, more: &str) -> Result<Store> {
    let text =
        format!("[stores.a]\nbackend = \"fileio\"\nbase_url = {base_url:?}\napi_key = {FILEIO_API_KEY:?}\n{more}\n");
    Ok(Config::parse(&text, "network.toml")?.open(&filestore::registry())?.default_store()?.clone())
}

#[tokio::test]
async fn all_requests_go_through_the_proxy() {
    // The emulator accepts requests in the form that a proxy gets; the host name of the service does not exist.
    let emulator = Emulator::start(Options::default()).await.unwrap();
    let store = store("http://files.invalid", &format!("proxy = {:?}", emulator.url())).unwrap();
    let file = store.upload(Upload::new("a.txt", "by proxy")).await.unwrap();
    assert_eq!(store.stat(&file.reference).await.unwrap().size, Some(8));
    assert_eq!(store.read(&file.reference, 100).await.unwrap(), "by proxy");
    // The read checks the size in the listing first, so that a file above the limit is not consumed.
    assert_eq!(emulator.journal().len(), 4);
}

/// Only Linux accepts all addresses of 127.0.0.0/8 without configuration.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn requests_come_from_the_source_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    let store = store(&base_url, "source_address = \"127.0.0.2\"\nmax_retries = 0").unwrap();
    let listing = tokio::spawn(async move { store.list(filestore::List::new()).await });
    let (_, peer) = listener.accept().await.unwrap();
    assert_eq!(peer.ip().to_string(), "127.0.0.2");
    listing.abort();
}
