//! Files.com as a [`FileStore`](filestore_core::FileStore): folders and files of a site, uploaded in
//! parallel parts and verified both ways.

mod api;
mod compare;
mod config;
mod content;
mod digest;
mod download;
mod error;
mod facts;
mod folders;
mod list;
mod options;
mod path;
mod reader;
mod relocate;
mod search;
mod session;
mod share;
mod signed;
mod size;
mod storage;
mod store;
#[cfg(test)]
mod tests;
mod update;
mod upload;
mod wire;
mod writer;

pub use api::Credential;
pub use compare::{PathKey, check_names, find_collisions, is_same};
pub use config::{FilesCom, FilesComConfig, Verify};
pub use error::Refusal;
pub use options::FilesComUpload;
pub use reader::FilesComReader;
pub use relocate::Relocate;
pub use search::{EntryType, FilesComEntry, FilesComPage, Search, SortBy};
pub use session::{Login, SecondFactor, Session};
pub use share::{Share, ShareLink, ShareLinks, SharePermissions};
pub use size::ByteSize;
pub use store::FilesComStore;
pub use update::FilesComUpdate;
pub use upload::UploadCheckpoint;
pub use writer::FilesComWriter;
