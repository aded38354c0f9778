//! Who may use the control API: somebody who knows the token, and never another site's page.

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

pub(crate) struct ControlAuth {
    address: SocketAddr,
    /// What clients are told to call it.
    public: Option<Url>,
    token: Option<String>,
    /// Other machines reach it and there is no token. A proxy may hide that in `Host`.
    closed: bool,
}

impl ControlAuth {
    pub(crate) fn new(address: SocketAddr, base: &str, token: Option<String>) -> Self {
        let public = Url::parse(base).ok();
        let closed = token.is_none() && public.as_ref().is_some_and(bind_policy::is_off_loopback);
        ControlAuth { address, public, token, closed }
    }

    /// The answer to somebody who may not.
    pub(super) fn reject(&self, head: &Parts) -> Option<Response> {
        if self.closed {
            return Some(rejection(
                StatusCode::FORBIDDEN,
                "The control API is closed: the public URL is open to other machines, so it needs --control-token.",
            ));
        }
        // A page of another site can make a browser send requests here, but not with our name in
        // Host (rebinding its own name to this machine) nor without its own in Origin.
        let host = match head.uri.authority() {
            Some(authority) => Some(authority.as_str()),
            None => header(head, HOST),
        };
        if !host.is_some_and(|host| self.is_here(&self.with_scheme(host))) {
            return Some(rejection(StatusCode::FORBIDDEN, "The Host is not this emulator's."));
        }
        if head.headers.contains_key(ORIGIN) && !header(head, ORIGIN).is_some_and(|origin| self.is_here(origin)) {
            return Some(rejection(StatusCode::FORBIDDEN, "The Origin is not this emulator's."));
        }
        if !self.knows_token(head) {
            let mut response = rejection(StatusCode::UNAUTHORIZED, "The control token is required.");
            // With Basic a browser asks for it: any user name, the token as password.
            response
                .headers_mut()
                .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"emulator control\""));
            return Some(response);
        }
        None
    }

    /// The scheme decides which port a Host without one means; a proxy in front may add TLS.
    fn with_scheme(&self, host: &str) -> String {
        let scheme = self.public.as_ref().map_or("http", Url::scheme);
        format!("{scheme}://{host}")
    }

    fn is_here(&self, url: &str) -> bool {
        let Ok(url) = Url::parse(url) else {
            return false;
        };
        if self.public.as_ref().is_some_and(|public| public.origin() == url.origin()) {
            return true;
        }
        let on_our_port = url.port_or_known_default() == Some(self.address.port());
        let ours = match url.host() {
            // A name can be rebound to this machine, an address cannot.
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(ip)) => self.listens_on(IpAddr::V4(ip)),
            Some(Host::Ipv6(ip)) => self.listens_on(IpAddr::V6(ip)),
            None => false,
        };
        on_our_port && ours
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

/// Compares without telling by its time how much was right.
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
