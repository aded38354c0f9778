//! Stores on the local machine, each as a [`FileStore`](filestore_core::FileStore).
//!
//! - [`FsStore`]: a local directory, with durable and atomic uploads. Backend `fs`: [`Fs`].
//! - [`MemoryStore`]: the memory of this process, for tests. Backend `memory`: [`Memory`].
//!
//! ```
//! use filestore_core::{Result, Store, Upload};
//! use filestore_local::FsStore;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//! # let folder = tempfile::tempdir().expect("a temporary folder");
//! # let root = folder.path();
//! let store = Store::new("local", std::sync::Arc::new(FsStore::new(root)?))?;
//! let file = store.upload(Upload::new("q3.pdf", "content").scope("invoices/2026")).await?;
//! assert_eq!(file.reference().to_string(), "local:fs:invoices/2026/q3.pdf");
//! # Ok(())
//! # }
//! ```

mod config;
mod error;
mod fs;
mod memory;

pub use config::{Fs, Memory};
pub use fs::FsStore;
pub use memory::MemoryStore;

// The code of README.md compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
