//! PubNub Files as a [`FileStore`](filestore_core::FileStore).
//!
//! Each file belongs to a channel. An upload stores the file and then publishes a message that names it. If
//! only the message fails, the error carries the stored file, and [`PubNubStore::publish_file_message`]
//! completes the upload.
//!
//! Two hosts take part. The *service* is PubNub's API: it lists and deletes files, publishes messages, and
//! creates upload forms and presigned URLs. The *storage* stores the bytes; it has the API of S3.
//!
//! If a cipher key is set, files and messages are encrypted in one of PubNub's two schemes. Both schemes are
//! decrypted. See [`Cipher`] for the limits of the protection.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use filestore_core::{ErrorKind, Result, Store, Upload};
//! use filestore_pubnub::{PubNubConfig, PubNubSend, PubNubStore};
//! use serde_json::json;
//!
//! # async fn example() -> Result<()> {
//! let config = PubNubConfig::new("pub-c-...", "sub-c-...", "server-1").channel("room-1");
//! let pubnub = PubNubStore::new(config)?;
//! let store = Store::new("uploads", Arc::new(pubnub.clone()))?;
//!
//! let send = PubNubSend::new().message(json!({"text": "the figures"}));
//! match store.upload(Upload::from_path("q3.pdf")?.with(send.clone())).await {
//!     Ok(file) => println!("{}", file.reference()),
//!     Err(error) if error.kind() == ErrorKind::Incomplete => {
//!         let file = error.stored().expect("an incomplete upload has a stored file");
//!         pubnub.publish_file_message(file.reference(), &send).await?;
//!     }
//!     Err(error) => return Err(error),
//! }
//! # Ok(())
//! # }
//! ```

mod backend;
mod blocks;
mod channel;
mod cipher;
mod config;
mod download;
mod error;
mod file_key;
mod keyset;
mod message;
mod options;
mod presigned;
mod push;
mod source;
mod store;
#[cfg(test)]
mod tests;
mod upload;
mod wire;

pub use backend::PubNub;
pub use cipher::{Cipher, Crypto};
pub use config::PubNubConfig;
pub use message::{FileMessage, Published};
pub use options::PubNubSend;
pub use push::{Apns, Fcm};
pub use store::PubNubStore;
pub use upload::SentFile;

pub use filestore_http::HttpConfig;

// The code of README.md compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
