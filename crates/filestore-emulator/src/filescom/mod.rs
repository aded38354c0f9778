//! Files.com: a tree of folders and files, uploaded in parts to a storage beside it.

mod route;
mod users;

use std::io;

use http::request::Parts;
use http::{Method, StatusCode};

use crate::faults::Effects;
use crate::http::{RequestBody, Response};
use crate::scripted;
use crate::storage::Ground;

pub(crate) use route::{OPERATIONS, Route};
pub(crate) use users::Users;

/// The emulated service.
#[derive(Debug)]
pub(crate) struct FilesCom {}

impl FilesCom {
    pub(crate) fn open(_ground: Ground, _users: Users) -> io::Result<Self> {
        Ok(FilesCom {})
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
