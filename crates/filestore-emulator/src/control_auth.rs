//! Authorization of the control API: requests need the control token, and pages of other sites are rejected.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HOST, HeaderName, ORIGIN, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use url::{Host, Url};

use crate::bind_policy;
use crate::http::{self as wire, Response};

/// The rules for requests to the control API.
pub(crate) struct ControlAuth {
    address: SocketAddr,
    /// The public URL of the emulator.
    public: Option<Url>,
    token: Option<String>,
    /// `true` if the public URL can be reached from other machines and there is no token. `Host` cannot show this: a
    /// proxy may replace it.
    closed: bool,
}

impl ControlAuth {
    pub(crate) fn new(address: SocketAddr, base: &str, token: Option<String>) -> Self {
        let public = Url::parse(base).ok();
        let closed = token.is_none() && public.as_ref().is_some_and(bind_policy::is_off_loopback);
        ControlAuth { address, public, token, closed }
    }

    /// Returns the response to a request that is not allowed, or `None` if it is allowed.
    pub(super) fn reject(&self, head: &Parts) -> Option<Response> {
        if self.closed {
            return Some(rejection(
                StatusCode::FORBIDDEN,
                "The control API is closed: the public URL is open to other machines, so it needs --control-token.",
            ));
        }
        // A page of another site can make a browser send requests here. With DNS rebinding the Host is the other
        // site's name, and otherwise the Origin is.
        let host = match head.uri.authority() {
            Some(authority) => Some(authority.as_str()),
            None => header(head, HOST),
        };
        if !host.is_some_and(|host| self.is_here(&self.with_scheme(host))) {
            return Some(rejection(StatusCode::FORBIDDEN, "The Host header does not name this emulator."));
        }
        if head.headers.contains_key(ORIGIN) && !header(head, ORIGIN).is_some_and(|origin| self.is_here(origin)) {
            return Some(rejection(StatusCode::FORBIDDEN, "The Origin header does not name this emulator."));
        }
        if !self.knows_token(head) {
            let mut response = rejection(StatusCode::UNAUTHORIZED, "The control token is required.");
            // With Basic a browser prompts for the token: any user name, the token as password.
            response
                .headers_mut()
                .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"emulator control\""));
            return Some(response);
        }
        None
    }

    /// Returns `host` with the scheme of the public URL, which gives the default port. A reverse proxy may add TLS.
    fn with_scheme(&self, host: &str) -> String {
        let scheme = self.public.as_ref().map_or("http", Url::scheme);
        format!("{scheme}://{host}")
    }

    /// Returns `true` if `url` has the origin of this emulator.
    fn is_here(&self, url: &str) -> bool {
        let Ok(url) = Url::parse(url) else {
            return false;
        };
        if self.public.as_ref().is_some_and(|public| public.origin() == url.origin()) {
            return true;
        }
        let on_our_port = url.port_or_known_default() == Some(self.address.port());
        let is_our_host = match url.host() {
            // DNS can point any name at this machine, but not change an address.
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(ip)) => self.listens_on(IpAddr::V4(ip)),
            Some(Host::Ipv6(ip)) => self.listens_on(IpAddr::V6(ip)),
            None => false,
        };
        on_our_port && is_our_host
    }

    fn listens_on(&self, ip: IpAddr) -> bool {
        self.address.ip() == ip || self.address.ip().is_unspecified() || ip.is_loopback()
    }

    fn knows_token(&self, head: &Parts) -> bool {
        let Some(token) = &self.token else {
            return true;
        };
        let offered = header(head, AUTHORIZATION).and_then(|value| value.split_once(' '));
        match offered {
            Some((scheme, offered)) if scheme.eq_ignore_ascii_case("bearer") => {
                same(offered.as_bytes(), token.as_bytes())
            }
            Some((scheme, offered)) if scheme.eq_ignore_ascii_case("basic") => {
                let decoded = STANDARD.decode(offered).unwrap_or_default();
                let colon = decoded.iter().position(|byte| *byte == b':');
                colon.is_some_and(|colon| same(&decoded[colon + 1..], token.as_bytes()))
            }
            _ => false,
        }
    }
}

/// Compares in constant time, so that the duration does not show how many bytes are equal.
fn same(offered: &[u8], token: &[u8]) -> bool {
    offered.len() == token.len()
        && offered.iter().zip(token).fold(0, |different, (one, other)| different | (one ^ other)) == 0
}

fn header(head: &Parts, name: HeaderName) -> Option<&str> {
    head.headers.get(name)?.to_str().ok()
}

fn rejection(status: StatusCode, text: &'static str) -> Response {
    wire::response(status, "text/plain; charset=utf-8", text)
}

impl fmt::Debug for ControlAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlAuth")
            .field("address", &self.address)
            .field("public", &self.public.as_ref().map(Url::as_str))
            .field("token", &self.token.as_ref().map(|_| "***"))
            .field("closed", &self.closed)
            .finish()
    }
}
