//! [`build`]: the client of the HTTP library, which opens the connections.

use std::fs;
use std::sync::Arc;

use filestore_core::{Error, Result};
use reqwest::redirect;

use crate::HttpConfig;
use crate::cause::root;
use crate::proxy::Proxies;

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
    if let Some(path) = &config.ca_file {
        let problem = |why: String| Error::config(format!("ca_file: cannot use {}: {why}", path.display()));
        let pem = fs::read(path).map_err(|error| problem(error.to_string()))?;
        let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| problem(root(&error)))?;
        if certificates.is_empty() {
            return Err(problem("it contains no certificate in PEM format".to_owned()));
        }
        builder = builder.tls_certs_merge(certificates);
    }
    builder.build().map_err(|error| Error::config(format!("cannot create the HTTP client: {}", root(&error))))
}
