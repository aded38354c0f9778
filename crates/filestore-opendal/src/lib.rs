//! Local directories, memory and every service that [OpenDAL](opendal) speaks, as a
//! [`FileStore`](filestore_core::FileStore).
//!
//! - [`FsStore`]: a local directory, durable and atomic. Backend `fs`: [`Fs`].
//! - [`OpendalStore`]: any OpenDAL operator: memory always, S3, GCS, Azure Blob, WebDAV and SFTP by
//!   cargo feature. Backends `memory`: [`Memory`], and `opendal`: [`Opendal`].
//!
//! ```
//! use filestore_core::{Result, Store, Upload};
//! use filestore_opendal::FsStore;
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

mod attempts;
mod config;
mod error;
mod facts;
mod fs;
mod list_guard;
mod page;
mod path;
#[cfg(feature = "http")]
mod protocol;
#[cfg(feature = "remote")]
mod remote;
mod send;
mod store;
#[cfg(feature = "http")]
mod transport;

pub use config::{Fs, Memory, Opendal};
pub use fs::FsStore;
pub use store::OpendalStore;
