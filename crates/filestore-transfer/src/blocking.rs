//! [`blocking`]: work on the local disk, on a blocking thread.

use filestore_core::{Effect, Error, ErrorKind, Result};
use tokio::task::spawn_blocking;

/// Calls `call` on a blocking thread. A panic is *other*.
pub(crate) async fn blocking<T: Send + 'static>(call: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    spawn_blocking(call).await.unwrap_or_else(|error| {
        let message = format!("an operation on the local disk did not end: {error}");
        Err(Error::new(ErrorKind::Other, Effect::NotSent, message))
    })
}
