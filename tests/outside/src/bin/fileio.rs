//! A server with the protocol of file.io.

use std::sync::Arc;

use filestore_core::{Result, Store};
use filestore_fileio::{FileIoConfig, FileIoStore};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let fileio = FileIoStore::new(FileIoConfig::new(outside::first_argument()))?;
    let store = Store::new("drop", Arc::new(fileio))?;
    outside::share(&store).await
}
