//! Uploads, downloads and deletes many files over one [`Store`](filestore_core::Store).

#![allow(dead_code, reason = "the pool that uses it comes next")]

mod concurrency;
