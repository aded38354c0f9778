//! The state that all connections of one emulator share, and the routing of requests by their path.

use std::io;
use std::time::Duration;

use http::header::HOST;
use http::request::Parts;
use http::uri::Authority;
use http::{StatusCode, Version};

use crate::clock::Clock;
use crate::control_auth::ControlAuth;
use crate::durable::DamagedFile;
use crate::faults::{Effects, FaultPlan, Faults};
use crate::fileio::{self, FileIo};
use crate::filescom::{self, FilesCom};
use crate::http::{RequestBody, Response};
use crate::journal::Journal;
use crate::pubnub::{self, PubNub};
use crate::service::{ServiceName, Target};

/// The path that the `redirect` fault redirects to by default.
pub(crate) const GONE_PAGE: &str = "/_emulator/gone";

/// The shared state of one emulator.
#[derive(Debug)]
pub(crate) struct AppState {
    /// The base URL of links and of the written configuration, without a trailing slash.
    pub(crate) base: String,
    pub(crate) clock: Clock,
    pub(crate) journal: Journal,
    pub(crate) faults: Faults,
    pub(crate) control_auth: ControlAuth,
    /// The files of the data directory that the emulator could not use when it started.
    pub(crate) damaged: Vec<DamagedFile>,
    /// The longest pause of a request's body.
    pub(crate) body_timeout: Duration,
    /// The longest time in which a client reads nothing of a response.
    pub(crate) response_timeout: Duration,
    pub(crate) pubnub: PubNub,
    pub(crate) filescom: FilesCom,
    pub(crate) fileio: FileIo,
}

impl AppState {
    /// Removes all data of the services, fault rules and journal entries, and sets the clock to real time.
    pub(crate) async fn reset(&self) -> io::Result<()> {
        self.pubnub.clear().await?;
        self.filescom.clear().await?;
        self.fileio.clear().await?;
        self.faults.load(FaultPlan::default());
        self.journal.clear();
        self.clock.reset()
    }

    /// Applies the changes that are due by the clock, such as the removal of expired files.
    pub(crate) async fn sweep(&self) {
        self.pubnub.sweep().await;
        self.filescom.sweep().await;
        self.fileio.sweep().await;
    }

    /// Returns the response of the service that `route` belongs to.
    pub(crate) async fn answer(
        &self,
        route: &ServiceRoute,
        head: &Parts,
        body: &mut RequestBody,
        effects: &Effects,
    ) -> Response {
        match route {
            ServiceRoute::Pubnub(route) => self.pubnub.answer(route, head, body, effects).await,
            ServiceRoute::Filescom(route) => self.filescom.answer(route, head, body, effects).await,
            ServiceRoute::Fileio(route) => self.fileio.answer(route, head, body, effects).await,
        }
    }

    /// Returns the service's own error response for a status. `kind` selects one of several error types (Files.com).
    pub(crate) fn error(
        &self,
        route: &ServiceRoute,
        status: StatusCode,
        kind: Option<&str>,
        head: &Parts,
        effects: &Effects,
    ) -> Response {
        match route {
            ServiceRoute::Pubnub(route) => self.pubnub.error(route, status),
            ServiceRoute::Filescom(route) => self.filescom.error(route, status, kind),
            ServiceRoute::Fileio(_) => self.fileio.error(status, head, effects),
        }
    }
}

/// The part of the emulator that responds to a request.
#[derive(Debug)]
pub(crate) enum Destination {
    /// The control API.
    Control,
    /// The default target of the `redirect` fault.
    Gone,
    /// A path of no service.
    Nowhere,
    /// No part: the request does not name its host as HTTP requires.
    InvalidHost,
    Service(ServiceRoute),
}

/// The route of a request within its service.
#[derive(Debug)]
pub(crate) enum ServiceRoute {
    Pubnub(pubnub::Route),
    Filescom(filescom::Route),
    Fileio(fileio::Route),
}

impl Destination {
    pub(crate) fn of(head: &Parts) -> Self {
        if !has_valid_host(head) {
            return Destination::InvalidHost;
        }
        let path = head.uri.path();
        if path == GONE_PAGE || path.starts_with(&format!("{GONE_PAGE}/")) {
            return Destination::Gone;
        }
        let mut components = path.split('/').skip(1);
        let route = match (components.next().unwrap_or_default(), components.next().unwrap_or_default()) {
            ("_emulator", _) => return Destination::Control,
            ("v1" | "v2" | "v3" | "publish" | "time", _) | ("_storage", "pubnub") => {
                ServiceRoute::Pubnub(pubnub::Route::of(head))
            }
            // With one component alone, the path could be a key of file.io.
            ("signal" | "subscribe" | "history", more) if !more.is_empty() => {
                ServiceRoute::Pubnub(pubnub::Route::of(head))
            }
            ("api" | "f", _) | ("_storage", "filescom") => ServiceRoute::Filescom(filescom::Route::of(head)),
            ("_storage", _) => return Destination::Nowhere,
            _ => ServiceRoute::Fileio(fileio::Route::of(&head.method, path)),
        };
        Destination::Service(route)
    }
}

/// Returns `true` if the request has exactly one `Host` with a host and an optional port. HTTP/1.0 does not require one.
///
/// With two, a proxy and the emulator could choose different ones.
fn has_valid_host(head: &Parts) -> bool {
    let mut hosts = head.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => head.version == Version::HTTP_10,
        (Some(host), None) => host.to_str().is_ok_and(is_host_and_port),
        (Some(_), Some(_)) => false,
    }
}

fn is_host_and_port(text: &str) -> bool {
    let Ok(authority) = text.parse::<Authority>() else {
        return false;
    };
    match text.strip_prefix(authority.host()) {
        Some("" | ":") => !authority.host().is_empty(),
        Some(port) => port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok()),
        // A user precedes the host.
        None => false,
    }
}

impl ServiceRoute {
    pub(crate) fn service(&self) -> ServiceName {
        match self {
            ServiceRoute::Pubnub(_) => ServiceName::Pubnub,
            ServiceRoute::Filescom(_) => ServiceName::Filescom,
            ServiceRoute::Fileio(_) => ServiceName::Fileio,
        }
    }

    pub(crate) fn target(&self) -> Target {
        match self {
            ServiceRoute::Pubnub(route) => route.target(),
            ServiceRoute::Filescom(route) => route.target(),
            ServiceRoute::Fileio(route) => route.target(),
        }
    }
}
