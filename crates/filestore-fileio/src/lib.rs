//! file.io as a FileStore
