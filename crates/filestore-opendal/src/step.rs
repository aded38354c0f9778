//! [`call`]: runs one step of an operation.

use std::future::Future;

use filestore_core::{Result, check_runtime};

use crate::attempts::Attempts;
use crate::error::{Stage, of_service};

/// Runs one step of an operation, and converts its error.
pub(crate) async fn call<T>(stage: Stage, step: impl Future<Output = opendal::Result<T>>) -> Result<T> {
    check_runtime()?;
    let attempts = Attempts::current();
    let before = attempts.retries();
    let outcome = attempts.clone().scope(step).await;
    outcome.map_err(|error| of_service(error, stage, &attempts, attempts.retries() - before))
}
