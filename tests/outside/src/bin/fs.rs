//! A local directory.

use std::sync::Arc;

use filestore_core::{Result, Store};
use filestore_local::FsStore;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let folder = outside::first_argument();
    let store = Store::new("local", Arc::new(FsStore::new(folder)?))?;
    outside::share(&store).await
}
