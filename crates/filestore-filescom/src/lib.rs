//! Files.com as a [`FileStore`](filestore_core::FileStore).

mod compare;

pub use compare::{PathKey, check_names, find_collisions, is_same};
