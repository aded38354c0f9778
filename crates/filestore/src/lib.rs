//! One async interface over hosted file services, chosen by configuration.
//!
//! This crate re-exports [`filestore_core`], adds the backends as cargo features, and reads the configuration: a file,
//! environment variables, or a part of an application's own settings. An application that uses only one backend can
//! depend on `filestore-core` and that backend instead.
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
//! let reference: FileRef = saved.parse()?;
//! let url = stores.of(&reference)?.url(reference).await?; // the reference knows its store
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
//!
//! The features `aws-lc-rs` (default) and `ring` choose the cryptography of TLS. With both it is aws-lc-rs; without one, an
//! `https` URL is a configuration error.

mod config;
mod embedded;
mod environment;
mod locate;
mod syntax;
mod value;

pub use config::{Config, StoreConfig};
pub use filestore_core::*;
pub use locate::data_folder;
pub use value::resolve;

use std::path::Path;

/// file.io, and its operations beyond [`FileStore`].
#[cfg(feature = "fileio")]
pub use filestore_fileio as fileio;
/// Files.com, and its operations beyond [`FileStore`].
#[cfg(feature = "filescom")]
pub use filestore_filescom as filescom;
/// Local directories and memory.
#[cfg(feature = "local")]
pub use filestore_local as local;
/// Any OpenDAL operator as a [`FileStore`].
#[cfg(feature = "opendal")]
pub use filestore_opendal as opendal;
/// PubNub Files, and its operations beyond [`FileStore`].
#[cfg(feature = "pubnub")]
pub use filestore_pubnub as pubnub;

/// Returns the backends that are compiled in.
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

/// Opens all stores of the configuration file at `path` with the [`registry`] of this build. The environment variables
/// `FILESTORE_DEFAULT` and `FILESTORE_STORES__NAME__KEY` override the file.
///
/// Sends nothing. Fails with *config* if the file is missing or is not TOML, if it has an unknown key at the top level, or
/// if two stores share a name. A store that cannot be opened, for example because a secret is missing, is an error only
/// where it is used; see [`Stores::failed`].
pub fn open(path: impl AsRef<Path>) -> Result<Stores> {
    Config::load(path)?.open(&registry())
}

/// Opens all stores of the configuration that the program `filestore` uses: see [`Config::find`]. Environment variables
/// alone are enough. Fails as [`open`] does.
///
/// ```no_run
/// let stores = filestore::open_found()?;
/// println!("{}", stores.default_store()?.name());
/// # Ok::<(), filestore::Error>(())
/// ```
pub fn open_found() -> Result<Stores> {
    Config::find(None)?.open(&registry())
}

// The code of README.md compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
