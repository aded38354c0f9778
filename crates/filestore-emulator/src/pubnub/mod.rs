//! PubNub Files: files on channels, and the messages that announce them.

mod keysets;
mod route;

use std::io;

use http::request::Parts;
use http::{Method, StatusCode};

use crate::faults::Effects;
use crate::http::{RequestBody, Response};
use crate::options::Options;
use crate::scripted;
use crate::storage::Ground;

pub(crate) use keysets::Keysets;
pub(crate) use route::{OPERATIONS, Route};

/// The emulated service.
#[derive(Debug)]
pub(crate) struct PubNub {}

impl PubNub {
    pub(crate) fn open(_ground: Ground, _keysets: Keysets, _options: &Options) -> io::Result<Self> {
        Ok(PubNub {})
    }

    pub(crate) async fn answer(
        &self,
        _route: &Route,
        _head: &Parts,
        _body: &mut RequestBody,
        _effects: &Effects,
    ) -> Response {
        scripted::no_such_service()
    }

    /// The service's own error of a status.
    pub(crate) fn error(&self, _route: &Route, _status: StatusCode) -> Response {
        scripted::no_such_service()
    }

    /// What the control API has for this service alone, `None` for a route that it does not have.
    pub(crate) async fn control(&self, _method: &Method, _path: &str, _body: &str) -> Option<Response> {
        None
    }

    pub(crate) async fn sweep(&self) {}

    pub(crate) async fn clear(&self) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn stored_files(&self) -> usize {
        0
    }
}
