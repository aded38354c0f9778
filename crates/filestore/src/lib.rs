//! One async interface over hosted file services, chosen by configuration.
//!
//! This crate re-exports [`filestore_core`], brings the backends as features, and reads the
//! configuration file. An application that uses one backend only can depend on `filestore-core` and
//! that backend instead.
//!
//! ```no_run
//! use filestore::{FileRef, Result, Upload};
//!
//! # async fn example() -> Result<()> {
//! let stores = filestore::open("filestore.toml")?; // every store of the file, any backend
//! let store = stores.get("uploads")?; // a directory today, S3 tomorrow
//! let file = store.upload(Upload::from_path("q3.pdf")?.scope("room-1")).await?;
//! let saved = file.reference().to_string(); // fits in a database column
//!
//! let again: FileRef = saved.parse()?;
//! let url = stores.of(&again)?.url(again).await?; // the reference knows its store
//! println!("{}", url.as_str());
//! # Ok(())
//! # }
//! ```
//!
//! | feature | backends |
//! |---|---|
//! | `local` (default) | `fs`, `memory` |
//! | `opendal` | `opendal`, for the services below |
//! | `s3`, `gcs`, `azblob`, `webdav`, `sftp` | that service of `opendal` |
//! | `fileio` (default) | `fileio` |
//! | `filescom` (default) | `filescom` |
//! | `pubnub` (default) | `pubnub` |

mod config;
mod locate;
mod syntax;
mod value;

pub use config::{Config, StoreConfig};
pub use filestore_core::*;
pub use value::resolve;

use std::path::Path;

/// file.io, with what it has beyond a [`FileStore`].
#[cfg(feature = "fileio")]
pub use filestore_fileio as fileio;
/// Files.com, with what it has beyond a [`FileStore`].
#[cfg(feature = "filescom")]
pub use filestore_filescom as filescom;
/// Local directories and memory.
#[cfg(feature = "local")]
pub use filestore_local as local;
/// Any OpenDAL operator as a [`FileStore`].
#[cfg(feature = "opendal")]
pub use filestore_opendal as opendal;
/// PubNub Files, with what it has beyond a [`FileStore`].
#[cfg(feature = "pubnub")]
pub use filestore_pubnub as pubnub;

/// The backends that this build knows.
pub fn registry() -> Registry {
    let registry = Registry::new();
    #[cfg(feature = "local")]
    let registry = registry.with(filestore_local::Fs).with(filestore_local::Memory);
    #[cfg(feature = "opendal")]
    let registry = registry.with(filestore_opendal::Opendal);
    #[cfg(feature = "fileio")]
    let registry = registry.with(filestore_fileio::FileIo);
    #[cfg(feature = "filescom")]
    let registry = registry.with(filestore_filescom::FilesCom);
    #[cfg(feature = "pubnub")]
    let registry = registry.with(filestore_pubnub::PubNub);
    registry
}

/// Opens all stores of the configuration file at `path` with the [`registry`] of this build.
///
/// Fails with *config*: no such file, not TOML, an unknown backend or key, a missing secret. Sends
/// nothing.
pub fn open(path: impl AsRef<Path>) -> Result<Stores> {
    Config::load(path)?.open(&registry())
}
