//! Uploads, downloads and deletes many files over one [`Store`](filestore_core::Store).
//!
//! - [`TransferPool`] bounds the requests and the memory of everything that is transferred through it. The number of
//!   requests adapts to the link and to the service.
//! - [`upload_all`](TransferPool::upload_all), [`download_all`](TransferPool::download_all) and
//!   [`delete_all`](TransferPool::delete_all) take a stream of inputs and return [`Outcomes`], a stream with one result
//!   for each input.
//! - [`UploadTree`] and [`DownloadTree`] plan the transfer of a whole local folder and of a whole scope. A [`Filter`]
//!   chooses their files.
//! - [`TransferProgress`] is the progress of all of them together.
//!
//! ```
//! use filestore_core::{Result, Store, Upload};
//! use filestore_transfer::TransferPool;
//! use futures::{StreamExt, stream};
//!
//! async fn upload(store: &Store, names: Vec<&'static str>) -> Result<Vec<String>> {
//!     let pool = TransferPool::new(); // one for the whole program
//!     let uploads = stream::iter(names).map(|name| (name, Upload::new(name, "content")));
//!     let mut outcomes = pool.upload_all(store, uploads).on_progress(|progress| {
//!         println!("{} of {} files", progress.files_done, progress.files_total);
//!     });
//!     let mut failed = Vec::new();
//!     while let Some(outcome) = outcomes.next().await {
//!         if let Err(error) = outcome.result {
//!             failed.push(format!("{}: {error}", outcome.key));
//!         }
//!     }
//!     Ok(failed)
//! }
//! ```

mod blocking;
mod concurrency;
mod copy;
mod digester;
mod digests;
mod download_tree;
mod file_metadata;
mod filter;
mod left_out;
mod listing;
mod migration;
mod operations;
mod outcomes;
mod pool;
mod progress;
mod save;
mod schedule;
mod shard;
mod spool;
mod stopped;
mod transfer;
mod unchanged;
mod upload_tree;

pub use copy::{CopiedFile, FileCopy, Proof};
pub use download_tree::{DownloadPlan, DownloadTree};
pub use filter::Filter;
pub use left_out::LeftOut;
pub use migration::{Migration, MigrationEnd, MigrationPlan};
pub use outcomes::{Outcome, Outcomes};
pub use pool::TransferPool;
pub use progress::TransferProgress;
pub use save::{Save, SaveTarget};
pub use shard::Shard;
pub use spool::spool_path;
pub use stopped::Stopped;
pub use unchanged::{check_skip, is_unchanged};
pub use upload_tree::{UploadPlan, UploadTree};

// The code of README.md compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
