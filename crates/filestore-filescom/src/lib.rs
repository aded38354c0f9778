//! Files.com as a [`FileStore`](filestore_core::FileStore): the folders and files of a site, uploaded in parallel
//! parts, with checks of uploads and downloads.
//!
//! Differences from most stores:
//!
//! - **Names are compared without case and accents.** `Résumé.TXT` replaces `resume.txt`; see [`is_same`].
//! - **A presigned URL of a file is valid for one minute.** A share link is valid for longer, but leads to a web page:
//!   [`FilesComStore::share`].
//! - **Digests come later.** The service computes CRC-32 and MD5 about a second after an upload. The parts of an upload
//!   are verified while they are sent, unless [`Verify::None`] is set.
//! - **An unfinished upload cannot be aborted**; it expires after about three days. Nothing is visible before an upload
//!   is finished.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use filestore_core::{Result, Store, Upload};
//! use filestore_filescom::{FilesComConfig, FilesComStore};
//!
//! # async fn example() -> Result<()> {
//! let config = FilesComConfig::new("https://app.files.com").api_key("APIKEY").root("invoices");
//! let files = FilesComStore::new(config)?;
//! let store = Store::new("team", Arc::new(files.clone()))?;
//!
//! let file = store.upload(Upload::from_path("q3.pdf")?.scope("2026")).await?;
//! assert_eq!(file.reference().to_string(), "team:filescom:invoices/2026/q3.pdf");
//!
//! // Another process can resume a large upload from the last checkpoint.
//! let upload = Upload::from_path("backup.tar")?;
//! files.upload_resumable(upload, None, |checkpoint| println!("{} bytes are stored", checkpoint.stored())).await?;
//! # Ok(())
//! # }
//! ```

mod api;
mod backend;
mod compare;
mod config;
mod content;
mod copy_move;
mod digest;
mod download;
mod error;
mod folders;
mod list;
mod metadata;
mod options;
mod path;
mod search;
mod session;
mod share;
mod size;
mod storage;
mod store;
#[cfg(test)]
mod tests;
mod update;
mod upload;
mod walk;
mod wire;

pub use api::Credential;
pub use backend::FilesCom;
pub use compare::{PathKey, check_names, is_same};
pub use config::{FilesComConfig, Verify};
pub use copy_move::Destination;
pub use error::Rejection;
pub use options::FilesComUpload;
pub use search::{EntryType, FilesComEntry, FilesComPage, Search, SortBy};
pub use session::{Login, LoginSession, SecondFactor};
pub use share::{Share, ShareLink, ShareLinks, SharePermissions};
pub use size::ByteSize;
pub use store::FilesComStore;
pub use update::FilesComUpdate;
pub use upload::UploadCheckpoint;

pub use filestore_http::HttpConfig;

// The code of README.md compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
