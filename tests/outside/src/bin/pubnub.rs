//! PubNub Files.

use std::sync::Arc;
use std::time::Duration;

use filestore_core::{Result, Store};
use filestore_pubnub::{HttpConfig, PubNubConfig, PubNubStore};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let config = PubNubConfig::new("pub-c-emulator", "sub-c-emulator", "outside")
        .base_url(outside::first_argument())
        .channel("room-1")
        .http(HttpConfig { idle_timeout: Duration::from_secs(20), ..HttpConfig::default() });
    let store = Store::new("uploads", Arc::new(PubNubStore::new(config)?))?;
    outside::share(&store).await
}
