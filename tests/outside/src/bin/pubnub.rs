//! PubNub Files.

use std::sync::Arc;

use filestore_core::{Result, Store};
use filestore_pubnub::{PubNubConfig, PubNubStore};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let config = PubNubConfig::new("pub-c-emulator", "sub-c-emulator", "outside")
        .base_url(outside::first_argument())
        .channel("room-1");
    let store = Store::new("uploads", Arc::new(PubNubStore::new(config)?))?;
    outside::share(&store).await
}
