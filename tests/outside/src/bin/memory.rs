//! The memory of the process, opened through settings, as is possible for every backend.

use filestore_core::{Registry, Result, StoreSettings};
use filestore_local::Memory;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let registry = Registry::new().with(Memory);
    let store = registry.open(&StoreSettings::new("scratch", "memory"))?;
    outside::share(&store).await
}
