//! Layers for remote services: retries, and either the HTTP transport of all backends or timeouts.

use std::time::Duration;

#[cfg(feature = "http")]
use opendal::OperationContext;
use opendal::Operator;
use opendal::layers::{RetryEvent, RetryLayer};

use crate::attempts;

/// Returns `operator` with at most `max_retries` retries, after delays from `first` to `longest`, with jitter.
pub(crate) fn retried(operator: Operator, max_retries: u32, first: Duration, longest: Duration) -> Operator {
    let retries = RetryLayer::new()
        .with_min_delay(first)
        .with_max_delay(longest)
        .with_max_times(usize::try_from(max_retries).unwrap_or(usize::MAX))
        .with_jitter()
        .with_notify(|_: RetryEvent<'_>| attempts::count_retry());
    operator.layer(retries)
}

/// Returns the context of operators that send their requests with the timeouts, the proxy and other settings of `config`.
/// `verify`: the content of uploads is compared with the digests in the responses.
#[cfg(feature = "http")]
pub(crate) fn over_http(
    operator: &Operator,
    service: crate::protocol::Service,
    endpoint: Option<&str>,
    config: &filestore_http::HttpConfig,
    verify: bool,
) -> filestore_core::Result<OperationContext> {
    let transport = crate::transport::Transport::new(service, endpoint, &operator.info().root(), config, verify)?;
    let context = operator.base_context().with_http_transport(opendal::HttpTransporter::new(transport));
    Ok(context.with_executor(opendal::Executor::with(attempts::Tasks)))
}

/// Returns `operator`, of a service without HTTP, with timeouts that measure progress, and the default retries of all
/// backends.
#[cfg(feature = "sftp")]
pub(crate) fn with_limits(operator: Operator) -> Operator {
    use opendal::layers::TimeoutLayer;

    // 60 s for a request without content, 120 s for one step of a transfer.
    let timeouts = TimeoutLayer::new().with_timeout(Duration::from_secs(60)).with_io_timeout(Duration::from_secs(120));
    // The retries are outside: a timeout around them would cut them off and lose their state.
    retried(operator.layer(timeouts), 3, Duration::from_millis(500), Duration::from_secs(2))
}
