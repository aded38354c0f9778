//! [`Failed`]: an attempt that brought no response, and why.

use std::io;

use filestore_core::{Effect, Error, ErrorKind};

use crate::Outcome;
use crate::cause::{causes, root};
use crate::exchange::body_progress::BodyProgress;
use crate::exchange::timeout::TimedOut;
use crate::proxy::Proxy;
use crate::request::Parts;

/// An attempt that brought no response. The effect of its error is that of all attempts, and is set with them.
pub(crate) struct Failed {
    pub(crate) outcome: Outcome,
    pub(crate) error: Error,
    /// The request itself failed: no attempt will make it better.
    pub(crate) own: bool,
}

impl Failed {
    /// The request could not be made, because of `error`.
    pub(crate) fn own(error: Error) -> Self {
        Self { outcome: Outcome::NotSent, error, own: true }
    }

    /// The proxy wants other credentials, and body_progress nothing on.
    pub(crate) fn of_proxy(proxy: &Proxy) -> Self {
        let message = format!(
            "{proxy} wants a user and a password, or other ones (status 407); write it like http://USER:PASSWORD@HOST:PORT"
        );
        let error = Error::new(ErrorKind::Permission, Effect::NotSent, message).with_http_status(407);
        Self { outcome: Outcome::Misconfigured, error, own: false }
    }

    /// A success was answered before all of the body was sent: whoever answered does not have it.
    pub(crate) fn answered_early(request: &Parts, status: reqwest::StatusCode) -> Self {
        let message = format!(
            "{} answers with status {} before all of the body was sent: something other than the service answered; check \
             base_url, the proxy and the network",
            request.redacted_url(),
            status.as_u16()
        );
        Self { outcome: Outcome::Lost, error: unsettled(ErrorKind::Protocol, message), own: false }
    }

    pub(crate) fn too_slow(request: &Parts, body_progress: &BodyProgress, length: Option<u64>, over: TimedOut) -> Self {
        let error = unsettled(ErrorKind::Timeout, format!("{}: {over}", request.redacted_url()));
        Self { outcome: how_far(body_progress, length), error, own: false }
    }

    pub(crate) fn of(
        request: &Parts,
        body_progress: &BodyProgress,
        length: Option<u64>,
        error: reqwest::Error,
        proxy: Option<&Proxy>,
    ) -> Self {
        if let Some(error) = body_progress.take_failure() {
            return Self { outcome: Outcome::Lost, error, own: true };
        }
        if error.is_builder() {
            return Self::own(Error::invalid(format!(
                "{} cannot be requested: {}",
                request.redacted_url(),
                root(&error)
            )));
        }
        if error.is_connect() {
            return Self::connecting(request, error, proxy);
        }
        let cause = root(&error);
        if is_no_http(&error) {
            let message = format!(
                "{} answers with something that is not HTTP ({cause}); check scheme and port of the URL",
                request.redacted_url()
            );
            return Self {
                outcome: Outcome::NotHttp,
                error: unsettled(ErrorKind::Protocol, message).with_source(error.without_url()),
                own: false,
            };
        }
        let kind = if error.is_timeout() { ErrorKind::Timeout } else { ErrorKind::Unavailable };
        let through = proxy.map(|proxy| format!(" through {proxy}")).unwrap_or_default();
        let message =
            format!("the connection to {}{through} broke before the answer came: {cause}", request.redacted_url());
        let error = unsettled(kind, message).with_source(error.without_url());
        Self { outcome: how_far(body_progress, length), error, own: false }
    }

    /// There was no connection, and nothing was sent.
    fn connecting(request: &Parts, error: reqwest::Error, proxy: Option<&Proxy>) -> Self {
        let (cause, shown) = (root(&error), crate::redacted_url(&request.url, true));
        let service = shown.trim_end_matches("/...");
        let tunnel =
            causes(&error).find_map(|cause| Some(cause.to_string().strip_prefix("tunnel error: ")?.to_owned()));
        if let (Some(proxy), Some("proxy authorization required")) = (proxy, tunnel.as_deref()) {
            return Self::of_proxy(proxy);
        }
        let permanent = is_tls(&error);
        let message = match proxy {
            _ if permanent && cause.contains("certificate") => format!(
                "cannot trust the certificate of {service}: {cause}; name the file of its CA with ca_file, or check the \
                 host in the URL"
            ),
            _ if permanent => format!(
                "cannot connect to {service}: it does not speak TLS as it should ({cause}); check scheme and port of \
                 the URL"
            ),
            // Any other failure of a tunnel is the proxy's answer.
            Some(proxy) if tunnel.as_deref().is_none_or(|what| what.contains("underlying connection")) => {
                format!("cannot connect to {proxy}, on the way to {service}: {cause}")
            }
            Some(proxy) => format!("cannot connect to {service} through {proxy}: {cause}"),
            None => format!("cannot connect to {service}: {cause}"),
        };
        let (outcome, kind) = match permanent {
            true => (Outcome::Misconfigured, ErrorKind::Config),
            false if error.is_timeout() => (Outcome::NotSent, ErrorKind::Timeout),
            false => (Outcome::NotSent, ErrorKind::Unavailable),
        };
        Self { outcome, error: unsettled(kind, message).with_source(error.without_url()), own: false }
    }
}

/// An error whose effect is set with the history of all attempts; until then it claims nothing.
pub(crate) fn unsettled(kind: ErrorKind, message: String) -> Error {
    Error::new(kind, Effect::Unknown, message)
}

/// A service cannot act on a request of whose body it has nothing.
fn how_far(body_progress: &BodyProgress, length: Option<u64>) -> Outcome {
    if length != Some(0) && !body_progress.any_sent() { Outcome::NotSent } else { Outcome::Lost }
}

/// Whether the two sides could not agree on TLS: what the TLS library reports comes as data that is invalid.
fn is_tls(error: &reqwest::Error) -> bool {
    causes(error).any(|cause| cause.downcast_ref::<io::Error>().is_some_and(is_invalid_data))
}

/// One error of I/O may wrap another, which is not among its causes.
fn is_invalid_data(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<io::Error>());
    error.kind() == io::ErrorKind::InvalidData || inner.is_some_and(is_invalid_data)
}

/// Whether what came could not be read as a response.
fn is_no_http(error: &reqwest::Error) -> bool {
    causes(error).any(|cause| cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse))
}
