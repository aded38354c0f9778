//! The services of [OpenDAL](opendal), as a [`FileStore`](filestore_core::FileStore).
//!
//! [`OpendalStore`] takes any OpenDAL operator. S3, GCS, Azure Blob, WebDAV and SFTP are cargo features; OpenDAL's
//! memory service is always compiled in. Backend `opendal`: [`Opendal`].
//!
//! ```
//! use filestore_core::{Result, Store, Upload};
//! use filestore_opendal::OpendalStore;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//! let operator = opendal::Operator::new(opendal::services::Memory::default()).expect("a memory service");
//! let store = Store::new("s", std::sync::Arc::new(OpendalStore::new(operator)?))?;
//! let file = store.upload(Upload::new("q3.pdf", "content").scope("invoices/2026")).await?;
//! assert_eq!(file.reference().to_string(), "s:memory:invoices/2026/q3.pdf");
//! # Ok(())
//! # }
//! ```

mod attempts;
#[cfg(feature = "azblob")]
mod azure_url;
mod budget;
mod capabilities;
mod config;
#[cfg(feature = "http")]
mod digest;
mod error;
mod list_guard;
#[cfg(feature = "http")]
mod listing;
mod parts;
#[cfg(feature = "http")]
mod protocol;
mod ranges;
#[cfg(feature = "remote")]
mod remote;
mod send;
#[cfg(feature = "sftp")]
mod sftp_times;
mod step;
mod store;
#[cfg(feature = "http")]
mod transport;

pub use config::Opendal;
pub use store::OpendalStore;

// The code of README.md compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
