//! Files.com as a [`FileStore`](filestore_core::FileStore).
