//! file.io as a [`FileStore`](filestore_core::FileStore): a file gets a key, and whoever has the key
//! reads it, usually once.
//!
//! **The public service no longer answers its API.** The last good answer that is known of is of
//! December 2024; from April 2026 at the latest, every request to `https://file.io` is redirected to a
//! web site. This backend is for servers that speak the same protocol: set
//! [`base_url`](FileIoConfig::base_url).
//!
//! Three things differ from most stores:
//!
//! - **A read consumes.** By default the first download takes the file away. Nothing here reads in
//!   order to learn something, and nothing repeats a read that may have arrived.
//! - **The key is the permission.** The text of a [`FileRef`](filestore_core::FileRef) is a secret;
//!   errors, traces and `Debug` never show it.
//! - **Listing needs an API key**, and so do stat and delete.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use filestore_core::{Period, Result, Store, Upload};
//! use filestore_fileio::{FileIoConfig, FileIoStore, FileIoUpload};
//!
//! # async fn example() -> Result<()> {
//! let config = FileIoConfig::new("http://127.0.0.1:7070").api_key("AAAAAAA.BBBBBBB");
//! let fileio = FileIoStore::new(config)?;
//! let store = Store::new("drop", Arc::new(fileio.clone()))?;
//!
//! let upload = Upload::from_path("q3.pdf")?.expires_in(Period::days(7)).with(FileIoUpload::new().max_downloads(3));
//! let file = store.upload(upload).await?;
//! println!("{}", store.url(file.reference()).await?.as_str());
//! println!("{} bytes stored", fileio.me().await?.used_storage_bytes.unwrap_or_default());
//! # Ok(())
//! # }
//! ```

mod account;
mod anonymous;
mod backend;
mod config;
mod error;
mod key;
mod options;
mod store;
mod terms;
#[cfg(test)]
mod tests;
mod update;
mod upload;
mod wire;

pub use account::{Account, FileIoFile, FileIoPage, Search};
pub use anonymous::{AnonymousToken, OwnedUpload};
pub use backend::FileIo;
pub use config::FileIoConfig;
pub use options::{FileIoUpload, MaxDownloads};
pub use store::FileIoStore;
pub use update::FileIoUpdate;
