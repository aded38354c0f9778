//! [`Failed`]: the outcome and the error of an attempt without a response.

use std::io;

use filestore_core::{Effect, Error, ErrorKind};

use crate::Outcome;
use crate::cause::{causes, is_timeout, root};
use crate::exchange::body_progress::BodyProgress;
use crate::exchange::timeout::TimedOut;
use crate::proxy::Proxy;
use crate::secrets::RequestHead;

/// An attempt without a response. The effect of its error is set later, from all attempts.
pub(crate) struct Failed {
    pub(crate) outcome: Outcome,
    pub(crate) error: Error,
    /// `true` if the attempt failed on this side, in building the request or in its body. A retry does not help.
    pub(crate) is_local: bool,
}

impl Failed {
    /// Returns the failure of a request that cannot be built, because of `error`.
    pub(crate) fn local(error: Error) -> Self {
        Self { outcome: Outcome::NotSent, error, is_local: true }
    }

    /// Returns the failure of a request that the proxy did not forward, because it requires other credentials.
    pub(crate) fn proxy_authentication(proxy: &Proxy) -> Self {
        let message = format!(
            "{proxy} rejected the request with status 407: it requires a user and a password, or other ones; write its \
             URL like http://USER:PASSWORD@HOST:PORT"
        );
        let error = Error::new(ErrorKind::Permission, Effect::NotSent, message).with_http_status(407);
        Self { outcome: Outcome::Misconfigured, error, is_local: false }
    }

    /// Returns the failure of an attempt whose response reports success before all of the body was sent. The responder
    /// cannot have the body.
    pub(crate) fn early_success(request: &RequestHead, status: reqwest::StatusCode) -> Self {
        let message = format!(
            "{} responded with status {} before all of the body was sent: something other than the service answered; \
             check base_url, the proxy and the network",
            request.redacted_url(),
            status.as_u16()
        );
        Self { outcome: Outcome::Lost, error: error_of_unknown_effect(ErrorKind::Protocol, message), is_local: false }
    }

    /// Returns the failure of an attempt that timed out before the response arrived.
    pub(crate) fn timed_out(
        request: &RequestHead,
        body_progress: &BodyProgress,
        length: Option<u64>,
        timed_out: TimedOut,
    ) -> Self {
        let message = format!("the request to {} timed out: {timed_out}", request.redacted_url());
        let error = error_of_unknown_effect(ErrorKind::Timeout, message);
        Self { outcome: outcome_by_progress(body_progress, length), error, is_local: false }
    }

    /// Returns the failure that the HTTP library or the body reported before the response arrived.
    pub(crate) fn sending(
        request: &RequestHead,
        body_progress: &BodyProgress,
        length: Option<u64>,
        error: reqwest::Error,
        proxy: Option<&Proxy>,
    ) -> Self {
        if let Some(error) = body_progress.take_failure() {
            return Self { outcome: Outcome::Lost, error, is_local: true };
        }
        if error.is_builder() {
            return Self::local(Error::invalid(format!(
                "cannot build a request to {}: {}",
                request.redacted_url(),
                request.without_secrets(&root(&error))
            )));
        }
        if error.is_connect() {
            return Self::connecting(request, error, proxy);
        }
        let cause = request.without_secrets(&root(&error));
        if is_not_http(&error) {
            let message = format!(
                "the response from {} is not HTTP ({cause}); check the scheme and the port of the URL",
                request.redacted_url()
            );
            return Self {
                outcome: Outcome::NotHttp,
                error: with_cause(error_of_unknown_effect(ErrorKind::Protocol, message), error, request),
                is_local: false,
            };
        }
        let kind = if is_timeout(&error) { ErrorKind::Timeout } else { ErrorKind::Unavailable };
        let through = proxy.map(|proxy| format!(" through {proxy}")).unwrap_or_default();
        let message =
            format!("the connection to {}{through} broke before the response arrived: {cause}", request.redacted_url());
        let error = with_cause(error_of_unknown_effect(kind, message), error, request);
        Self { outcome: outcome_by_progress(body_progress, length), error, is_local: false }
    }

    /// Returns the failure to establish a connection. Nothing was sent.
    fn connecting(request: &RequestHead, error: reqwest::Error, proxy: Option<&Proxy>) -> Self {
        let (cause, url) = (request.without_secrets(&root(&error)), crate::redacted_url(&request.url, true));
        let service = url.trim_end_matches("/...");
        let tunnel =
            causes(&error).find_map(|cause| Some(cause.to_string().strip_prefix("tunnel error: ")?.to_owned()));
        if let (Some(proxy), Some("proxy authorization required")) = (proxy, tunnel.as_deref()) {
            return Self::proxy_authentication(proxy);
        }
        let permanent = is_tls(&error);
        let message = match proxy {
            _ if permanent && (cause.contains("certificate expired") || cause.contains("not valid yet")) => format!(
                "cannot trust the certificate of {service}: {cause}; renew the certificate, or set the clock of this \
                 machine"
            ),
            _ if permanent && cause.contains("certificate") => format!(
                "cannot trust the certificate of {service}: {cause}; set ca_file to the certificate of its CA, or \
                 check the host in the URL"
            ),
            _ if permanent => format!(
                "cannot connect to {service}: the TLS handshake failed ({cause}); check the scheme and the port of \
                 the URL"
            ),
            // Any other failure of a tunnel is a response of the proxy.
            Some(proxy) if tunnel.as_deref().is_none_or(|error| error.contains("underlying connection")) => {
                format!(
                    "cannot connect to {proxy} to reach {service}: {cause}; check that it runs, and its host and port"
                )
            }
            // The HTTP library hides the status, which may be temporary (a 502 of a service that is down) or not.
            Some(proxy) if tunnel.as_deref() == Some("unsuccessful") => format!(
                "cannot connect to {service} through {proxy}: the proxy refused the request CONNECT; if this does not \
                 pass, check whether the rules of the proxy allow this host and port"
            ),
            Some(proxy) => format!("cannot connect to {service} through {proxy}: {cause}"),
            None => {
                format!("cannot connect to {service}: {cause}; check the host and the port of the URL, and the network")
            }
        };
        let (outcome, kind) = match permanent {
            true => (Outcome::Misconfigured, ErrorKind::Config),
            false if is_timeout(&error) => (Outcome::NotSent, ErrorKind::Timeout),
            false => (Outcome::NotSent, ErrorKind::Unavailable),
        };
        let error = with_cause(error_of_unknown_effect(kind, message), error, request);
        Self { outcome, error, is_local: false }
    }
}

/// Returns an error whose effect is unknown until it is set from the history of all attempts.
pub(crate) fn error_of_unknown_effect(kind: ErrorKind, message: String) -> Error {
    Error::new(kind, Effect::Unknown, message)
}

/// Adds the error of the HTTP library as the cause, unless it has a text of the service that repeats a secret of
/// `request`, such as the reason why an HTTP/2 connection was closed.
fn with_cause(error: Error, cause: reqwest::Error, request: &RequestHead) -> Error {
    let cause = cause.without_url();
    let repeats = causes(&cause).any(|cause| request.has_secret(&format!("{cause} {cause:?}")));
    if repeats { error } else { error.with_source(cause) }
}

/// Returns the outcome of an attempt that broke off. It is *not sent* if no byte of a body was sent, because the
/// service cannot act on such a request.
fn outcome_by_progress(body_progress: &BodyProgress, length: Option<u64>) -> Outcome {
    if length != Some(0) && !body_progress.any_sent() { Outcome::NotSent } else { Outcome::Lost }
}

/// Returns `true` if the TLS handshake failed. The TLS library reports that as an I/O error of invalid data.
fn is_tls(error: &reqwest::Error) -> bool {
    causes(error).any(|cause| cause.downcast_ref::<io::Error>().is_some_and(is_invalid_data))
}

/// Also inspects an I/O error within an I/O error, which is not among the causes.
fn is_invalid_data(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<io::Error>());
    error.kind() == io::ErrorKind::InvalidData || inner.is_some_and(is_invalid_data)
}

/// Returns `true` if the HTTP library could not parse the response.
fn is_not_http(error: &reqwest::Error) -> bool {
    causes(error).any(|cause| cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::stream;
    use reqwest::Body;

    use super::*;
    use crate::connections::build;
    use crate::proxy::Proxies;
    use crate::testing::{Reply, ScriptedServer, TestClock};
    use crate::{HttpConfig, Request};

    /// Returns the failure of a request whose connection ends with `cause`.
    async fn failure(cause: &'static str) -> Error {
        let server = ScriptedServer::start([Reply::hang()]).await;
        let body = stream::iter([Err::<&[u8], _>(io::Error::other(cause))]);
        let proxies = Arc::new(Proxies::new(Some("none"), |_| None).unwrap());
        let client = build(&HttpConfig::default(), &proxies, true).unwrap();
        let sent = client.post(server.url()).body(Body::wrap_stream(body)).send().await;
        let request = Request::get(server.url()).secrets(Arc::from(["key-Canary".into()]));
        let progress = BodyProgress::new(TestClock::new());
        Failed::sending(&request.0.head, &progress, None, sent.unwrap_err(), None).error
    }

    #[tokio::test]
    async fn the_error_of_a_lost_response_does_not_show_a_secret_in_its_cause() {
        use std::error::Error as _;

        let error = failure("closed for KEY-CANARY").await;
        assert!(error.message().ends_with("broke before the response arrived: closed for ..."), "{error}");
        assert!(error.source().is_none(), "{error:?}");
        let error = failure("closed").await;
        assert!(error.message().ends_with(": closed") && error.source().is_some(), "{error:?}");
    }
}
