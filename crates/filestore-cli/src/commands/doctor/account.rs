//! The limits that the account or the store states.

use filestore::fileio::{Account, FileIoStore};
use filestore::{Effect, Error, ErrorKind, Result, Store};

use super::Finding;

pub(super) async fn check(store: &Store) -> Finding {
    if let Ok(fileio) = store.backend::<FileIoStore>() {
        return Finding::of(match fileio.me().await {
            Ok(account) => storage(&account),
            Err(error) => Err(error),
        });
    }
    match store.capabilities().max_size {
        Some(largest) => Finding::Fine(format!("a file has at most {largest} bytes")),
        None => Finding::Unchecked("the store states no limits".to_owned()),
    }
}

/// Fails with *quota* if the account has no storage left.
fn storage(account: &Account) -> Result<String> {
    match (account.used_storage_bytes, account.max_storage_bytes) {
        (Some(used), Some(max)) if used >= max => Err(Error::new(
            ErrorKind::Quota,
            Effect::NotSent,
            format!(
                "the account stores {used} bytes, and its plan allows {max} bytes, so uploads fail; delete files that \
                 are no longer needed, or choose a larger plan"
            ),
        )),
        (Some(used), Some(max)) => Ok(format!("{used} of {max} bytes are used")),
        _ => Ok("the account states no limit of its storage".to_owned()),
    }
}
