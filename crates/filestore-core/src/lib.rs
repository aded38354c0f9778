//! One async interface over hosted file services.
//!
//! An application is written once against [`Store`] (or the [`FileStore`] trait below it). Its configuration chooses
//! the service. This crate contains the types that all backends share, and nothing that only some of them need: no
//! HTTP, no TLS, no configuration syntax.
//!
//! - Applications start at [`Stores`] and [`Store`]: upload, list, stat, download, delete, url.
//! - [`Capabilities`] state the features and limits of a store.
//! - [`FileRef`] is the permanent reference of a stored file, a short text.
//! - Every failure is an [`Error`]. It states its [kind](ErrorKind), and whether the request took [effect](Effect). The
//!   documentation writes both in italics: *invalid input*, *unknown*.
//! - Authors of backends implement [`FileStore`] and [`Backend`]; authors of wrappers implement [`Layer`].
//!
//! All operations run on tokio. Outside of a runtime they fail; see [`check_runtime`].
//!
//! ```
//! use filestore_core::{FileRef, Result, Store, Upload};
//!
//! async fn share(store: &Store, report: Vec<u8>) -> Result<String> {
//!     let file = store.upload(Upload::new("q3.pdf", report)).await?;
//!     let saved: String = file.reference().to_string(); // fits in a database column
//!     let again: FileRef = saved.parse()?;
//!     Ok(store.url(again).await?.as_str().to_owned())
//! }
//! ```

mod account;
mod blocking_thread;
mod body;
mod body_sender;
mod byte_range;
mod capabilities;
mod chunk_queue;
mod cleanup;
pub mod components;
mod cursor_loop_guard;
mod error;
mod exclusive;
mod expiry;
mod file;
mod file_reader;
mod file_store;
mod file_writer;
mod hex;
mod layer;
mod list;
mod name;
mod options;
mod page_builder;
mod percent;
#[cfg(planted_bugs)]
mod planted_bug;
mod progress;
mod reference;
mod registry;
mod request;
mod response;
mod runtime;
mod save;
mod settings;
mod store;
mod stored_file;
mod stores;
mod stream;
mod sync_folder;
mod time;

pub use account::Account;
pub use blocking_thread::BlockingThread;
pub use body::{Body, Fingerprint};
pub use body_sender::BodySender;
pub use byte_range::ByteRange;
pub use capabilities::{
    Addressing, Capabilities, DigestSupport, DigestWhen, Feature, ListOrder, NameEquality, NameRules, ReadEffect,
    Requirement, ScopeKind, Support,
};
pub use chunk_queue::ChunkQueue;
pub use cleanup::Cleanup;
pub use cursor_loop_guard::CursorLoopGuard;
pub use error::{Effect, Error, ErrorKind, Operation, Result};
pub use expiry::{Expiry, Period, PeriodUnit};
pub use file_reader::FileReader;
pub use file_store::FileStore;
pub use file_writer::FileWriter;
pub use hex::hex;
pub use layer::Layer;
pub use list::{List, validate_limit};
pub use name::{
    guess_content_type, is_hidden, sanitize_file_name, validate_name, validate_scope, windows_name_problem,
};
pub use options::{Options, ProviderOptions};
pub use page_builder::PageBuilder;
pub use percent::percent_decode;
#[cfg(planted_bugs)]
pub use planted_bug::planted_bug;
pub use progress::{Observer, Progress};
pub use reference::FileRef;
pub use registry::{Backend, Registry, StoreSettings};
pub use request::{AssignedCallback, Delete, Download, IfExists, Stat, Upload, UrlRequest};
pub use response::{Downloaded, FileUrl, Page, PageToken, UrlKind};
pub use runtime::check_runtime;
pub use save::{SavedFile, check_listed_size, free_space, locate_partial, numbered_path};
pub use settings::{Key, KeyKind, Leaf, Origin, Setting, Settings, Value, check_secret, suggestion};
pub use store::Store;
pub use stored_file::{Digest, DigestAlgorithm, StoredFile};
pub use stores::{FailedStore, Stores};
pub use stream::ByteStream;
pub use sync_folder::sync_folder;
pub use time::IntoTimestamp;

/// The time type of all requests and responses, of the crate `jiff`.
pub use jiff::Timestamp;

// The code of README.md compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
