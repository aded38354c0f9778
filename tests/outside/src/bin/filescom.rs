//! Files.com.

use std::sync::Arc;

use filestore_core::{Result, Store};
use filestore_filescom::{FilesComConfig, FilesComStore};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let config = FilesComConfig::new(outside::first_argument()).api_key("filescomemulatorkey");
    let store = Store::new("team", Arc::new(FilesComStore::new(config)?))?;
    outside::share(&store).await
}
