//! Files.com as a [`FileStore`](filestore_core::FileStore): folders and files of a site, uploaded in
//! parallel parts and verified both ways.

#![allow(dead_code, reason = "the transfers are about to use it")]

mod api;
mod compare;
mod config;
mod error;
mod facts;
mod list;
mod options;
mod path;
mod size;
mod store;
mod wire;

pub use api::Credential;
pub use compare::{PathKey, check_names, find_collisions, is_same};
pub use config::{FilesCom, FilesComConfig, Verify};
pub use error::Refusal;
pub use options::FilesComUpload;
pub use size::ByteSize;
pub use store::FilesComStore;
