//! [`check_runtime`]: the check for the tokio runtime that all operations need.

use tokio::runtime::Handle;

use crate::{Error, Result};

/// Fails with *config* outside of a tokio runtime, where tokio would panic.
///
/// [`Store`](crate::Store) calls it for every operation, and bodies and streams call it before they read a file. A
/// backend calls it before it spawns a task or waits, because callers may use the backend without a `Store`. It takes a
/// few nanoseconds.
///
/// The runtime needs its timer and its I/O driver, as `#[tokio::main]`, `#[tokio::test]` and
/// [`Builder::enable_all`](tokio::runtime::Builder::enable_all) enable them. tokio offers no check for them: in a
/// runtime without them, network backends panic.
///
/// ```
/// let outside = filestore_core::check_runtime();
/// assert!(outside.is_err_and(|error| error.message().contains("tokio runtime")));
/// ```
pub fn check_runtime() -> Result<()> {
    match Handle::try_current() {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::config(
            "there is no tokio runtime here; call this from async code that tokio runs, such as #[tokio::main], or \
             enter one with Runtime::block_on",
        )),
    }
}
