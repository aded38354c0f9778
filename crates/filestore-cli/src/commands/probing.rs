//! Test files in a store that has other files: their names are random, and they are deleted.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use filestore::{Delete, Effect, Error, ErrorKind, Result, Store};

/// Returns a random text of 16 hexadecimal digits.
pub(super) fn random_suffix() -> String {
    // The standard library seeds each state from the system's source of randomness.
    format!("{:016x}", RandomState::new().hash_one(0_u8))
}

/// Deletes a test file, or a folder with everything in it. If that fails, the error names the reference.
pub(super) async fn remove(store: &Store, delete: Delete) -> Result<()> {
    let reference = delete.reference.to_string();
    let option = if delete.recursive { "-r " } else { "" };
    store.delete(delete).await.map_err(|error| {
        let message = format!(
            "cannot delete the test files at {reference}: {}; delete them with `filestore delete {option}{reference}`",
            error.message()
        );
        Error::new(ErrorKind::Incomplete, Effect::Applied, message).with_source(error)
    })
}
