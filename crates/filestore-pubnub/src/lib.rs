//! PubNub Files as a [`FileStore`](filestore_core::FileStore).
