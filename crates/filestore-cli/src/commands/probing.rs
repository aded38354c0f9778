//! Test files in a store that others use: names that nobody else has, and uploads that nobody hears of.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;

use filestore::pubnub::{PubNub, PubNubSend};
use filestore::{Backend, Error, Options, Result, Store, StoreConfig};

use crate::context::Context;

/// Returns a random text of 16 hexadecimal digits.
pub(super) fn random_suffix() -> String {
    // The standard library seeds each state from the system's source of randomness.
    format!("{:016x}", RandomState::new().hash_one(0_u8))
}

/// Opens a store whose uploads are announced to nobody.
pub(super) fn open_quietly(context: &Context, config: &StoreConfig) -> Result<Store> {
    let store = context.open(config)?;
    if config.backend_name() != PubNub.name() {
        return Ok(store);
    }
    let mut options: Options = store.options().clone();
    options.required(Arc::new(PubNubSend::new().publish(false)));
    Ok(store.with_options(options))
}

/// Deletes a test file, or a folder with everything in it. If that fails, the error names the reference.
pub(super) async fn remove(store: &Store, delete: filestore::Delete) -> Result<()> {
    let reference = delete.reference.to_string();
    let option = if delete.recursive { "-r " } else { "" };
    store.delete(delete).await.map_err(|error| {
        let message = format!(
            "cannot delete the test files at {reference}: {}; delete them with `filestore delete {option}{reference}`",
            error.message()
        );
        Error::new(filestore::ErrorKind::Incomplete, filestore::Effect::Applied, message).with_source(error)
    })
}
