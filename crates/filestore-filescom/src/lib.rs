//! Files.com as a [`FileStore`](filestore_core::FileStore): folders and files of a site, uploaded in
//! parallel parts and verified both ways.

#![allow(dead_code, reason = "the transfers are about to use it")]

mod api;
mod compare;
mod config;
mod error;
mod facts;
mod folders;
mod list;
mod options;
mod path;
mod relocate;
mod search;
mod session;
mod share;
mod size;
mod store;
#[cfg(test)]
mod tests;
mod update;
mod wire;

pub use api::Credential;
pub use compare::{PathKey, check_names, find_collisions, is_same};
pub use config::{FilesCom, FilesComConfig, Verify};
pub use error::Refusal;
pub use options::FilesComUpload;
pub use relocate::Relocate;
pub use search::{EntryType, FilesComEntry, FilesComPage, Search, SortBy};
pub use session::{Login, SecondFactor, Session};
pub use share::{Share, ShareLink, ShareLinks, SharePermissions};
pub use size::ByteSize;
pub use store::FilesComStore;
pub use update::FilesComUpdate;
