//! What a service behind a network gets on top: retries, and either HTTP as every backend speaks it or limits.

use std::time::Duration;

use opendal::Operator;
use opendal::layers::{RetryEvent, RetryLayer};

use crate::attempts;

/// `operator` with retries: at most `max_retries`, after `first` and at most `longest`, with jitter.
pub(crate) fn retried(operator: Operator, max_retries: u32, first: Duration, longest: Duration) -> Operator {
    let retries = RetryLayer::new()
        .with_min_delay(first)
        .with_max_delay(longest)
        .with_max_times(usize::try_from(max_retries).unwrap_or(usize::MAX))
        .with_jitter()
        .with_notify(|_: RetryEvent<'_>| attempts::count_retry());
    operator.layer(retries)
}

/// `operator` with the retries of `config`, and with its limits, proxy and so on for each request.
#[cfg(feature = "http")]
pub(crate) fn over_http(
    operator: Operator,
    service: crate::protocol::Service,
    endpoint: Option<&str>,
    config: &filestore_http::HttpConfig,
) -> filestore_core::Result<Operator> {
    let transport = crate::transport::Transport::new(service, endpoint, &operator.info().root(), config)?;
    let context = operator.base_context().with_http_transport(opendal::HttpTransporter::new(transport));
    let operator = operator.with_context(context);
    Ok(retried(operator, config.max_retries, config.initial_retry_delay, config.max_retry_delay))
}

/// `operator` of a service that does not speak HTTP, with limits that measure progress, and the retries that all
/// backends have by default.
#[cfg(feature = "sftp")]
pub(crate) fn with_limits(operator: Operator) -> Operator {
    use opendal::layers::TimeoutLayer;

    // For requests without content, and for one step of a transfer.
    let limits = TimeoutLayer::new().with_timeout(Duration::from_secs(60)).with_io_timeout(Duration::from_secs(120));
    // In this order: a limit around the retries would cut them off and lose their state.
    retried(operator.layer(limits), 3, Duration::from_millis(500), Duration::from_secs(2))
}
