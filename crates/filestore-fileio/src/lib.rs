//! file.io as a [`FileStore`](filestore_core::FileStore): the service gives each file a key, and anyone who has the key
//! can download the file, usually once.
//!
//! **The public service no longer serves its API.** The last known successful response is from December 2024. Since
//! April 2026 at the latest, `https://file.io` redirects every request to a web site. This backend is for servers that
//! speak the same protocol: set [`base_url`](FileIoConfig::base_url).
//!
//! Three things differ from most stores:
//!
//! - **A download consumes the file.** By default, the service deletes a file after the first download. This crate
//!   requests a file only for a download, and never retries a download that may have reached the service.
//! - **The key is the permission.** The text of a [`FileRef`](filestore_core::FileRef) is a secret; errors, traces and
//!   `Debug` never show it.
//! - **Listing and stat need an API key.** Delete needs an API key or the [token](AnonymousToken) of the upload.
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

pub use filestore_http::HttpConfig;

// The code of README.md compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
