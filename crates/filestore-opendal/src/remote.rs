//! What a service behind a network gets on top: limits, repetitions, and a connection.

use std::time::Duration;

use filestore_core::Result;
use opendal::Operator;
use opendal::layers::{RetryEvent, RetryLayer, TimeoutLayer};

use crate::facts::Traits;
use crate::retry;

/// For requests without content: stat, delete, rename.
const CONTROL_LIMIT: Duration = Duration::from_secs(60);

/// For one step of a transfer: a piece of a download, a part of an upload, a page of a listing.
const STEP_LIMIT: Duration = Duration::from_secs(120);

/// Where a service takes a file in one step only, that step's time depends on the file's size, and
/// only a transfer that certainly hangs may be ended.
const WHOLE_FILE_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

/// `operator` with limits that measure progress, and with the policy of all backends for repetitions:
/// three, after 0.5 s and at most 2 s, with jitter.
pub(crate) fn guarded(operator: Operator) -> Operator {
    let pieces = Traits::of(&operator.info().capability()).pieces;
    let limits = TimeoutLayer::new().with_timeout(CONTROL_LIMIT).with_io_timeout(if pieces {
        STEP_LIMIT
    } else {
        WHOLE_FILE_LIMIT
    });
    let repetitions = RetryLayer::new()
        .with_min_delay(Duration::from_millis(500))
        .with_max_delay(Duration::from_secs(2))
        .with_max_times(3)
        .with_jitter()
        .with_notify(|_: RetryEvent<'_>| retry::count());
    // In this order: a limit around the repetitions would cut them off and lose their state.
    operator.layer(limits).layer(repetitions)
}

/// `operator` with a connection of its own. OpenDAL's default is one for the whole process, which
/// somebody has to install.
#[cfg(feature = "http")]
pub(crate) fn over_http(operator: Operator) -> Result<Operator> {
    use filestore_core::Error;
    use opendal::HttpTransporter;
    use opendal_http_transport_reqwest::ReqwestTransport;

    let client = reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(10))
        .build()
        .map_err(|error| Error::config(format!("no HTTP client can be made: {error}")).with_source(error))?;
    let context = operator.base_context().with_http_transport(HttpTransporter::new(ReqwestTransport::new(client)));
    Ok(operator.with_context(context))
}
