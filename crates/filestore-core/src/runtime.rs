//! The tokio runtime that everything here runs on.

use tokio::runtime::Handle;

use crate::{Error, Result};

/// Fails with *config* outside of a tokio runtime, where tokio would panic.
///
/// [`Store`](crate::Store) checks it for every operation, and so does what this crate opens and reads. A backend checks
/// it before it spawns a task or waits, for callers who use the backend itself. It costs some nanoseconds.
///
/// The runtime needs its timer and its I/O driver, as `#[tokio::main]`, `#[tokio::test]` and
/// [`Builder::enable_all`](tokio::runtime::Builder::enable_all) enable them. tokio does not let a library ask for them:
/// in a runtime that was built without, network backends panic.
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
