//! [`build`]: the client of the HTTP library, which opens the connections.

use std::sync::Arc;

use filestore_core::{Error, Result};
use reqwest::redirect;

use crate::HttpConfig;
use crate::cause::root;
use crate::proxy::Proxies;
#[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
use crate::tls;

/// The largest number of failed keepalive probes that Linux accepts.
const MAX_KEEPALIVE_RETRIES: u32 = 127;

/// Returns a client with the settings of `config`. `pooled`: connections stay open for the next request.
pub(crate) fn build(config: &HttpConfig, proxies: &Arc<Proxies>, pooled: bool) -> Result<reqwest::Client> {
    let user_agent = config.user_agent.as_deref().unwrap_or(concat!("filestore/", env!("CARGO_PKG_VERSION")));
    let mut builder = reqwest::Client::builder()
        .user_agent(user_agent)
        .connect_timeout(config.connect_timeout)
        .local_address(config.source_address)
        .tcp_nodelay(true)
        // Probes keep the connection open in firewalls. Only the timeouts of the configuration end it: as many failed
        // probes as the operating system accepts are allowed, and unacknowledged bytes have no timeout of their own.
        .tcp_keepalive_retries(MAX_KEEPALIVE_RETRIES)
        .referer(false)
        .no_proxy()
        // This crate handles redirects and retries itself.
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never());
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    {
        builder = builder.tcp_user_timeout(None);
    }
    // The HTTP library formats and parses the URL of every request for it.
    if !proxies.is_empty() {
        let proxies = Arc::clone(proxies);
        builder = builder.proxy(reqwest::Proxy::custom(move |url| proxies.target(url)));
    }
    if !pooled {
        builder = builder.pool_max_idle_per_host(0);
    }
    #[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
    {
        builder = builder.tls_backend_preconfigured(tls::client_config(config.ca_file.as_deref())?);
    }
    #[cfg(not(any(feature = "aws-lc-rs", feature = "ring")))]
    if config.ca_file.is_some() {
        return Err(Error::config(
            "ca_file has no effect, because the program is built without TLS; remove it, or build the program with the \
             cargo feature aws-lc-rs or ring",
        ));
    }
    builder.build().map_err(|error| Error::config(format!("cannot create the HTTP client: {}", root(&error))))
}
