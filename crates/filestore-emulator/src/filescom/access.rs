//! Authentication of callers by API key or session, and their permissions on paths.

use http::{HeaderMap, HeaderValue};
use jiff::Timestamp;

use super::FilesCom;
use super::error::Rejection;
use super::path::{RemotePath, Trailing};
use super::users::User;

pub(super) const API_KEY: &str = "x-filesapi-key";
pub(super) const SESSION: &str = "x-filesapi-auth";
const WORKSPACE: &str = "x-files-workspace-id";

/// The authenticated user of a request.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) user: User,
    pub(super) id: u64,
    /// `true` if the request has an API key instead of a session.
    with_api_key: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    List,
    Read,
    Write,
    Delete,
}

impl FilesCom {
    /// Authenticates a request by its API key or, if that is absent or invalid, by its session.
    pub(super) async fn caller(&self, headers: &HeaderMap, now: Timestamp) -> Result<Caller, Rejection> {
        check_workspace(headers)?;
        let (key, session) = (text(headers, API_KEY), text(headers, SESSION));
        if key.is_none() && session.is_none() {
            return Err(Rejection::AuthenticationRequired);
        }
        if let Some(user) = key.and_then(|key| self.users.by_api_key(&key)) {
            return Ok(Caller { user: user.clone(), id: self.users.id(&user.name), with_api_key: true });
        }
        let session = session.ok_or(Rejection::InvalidCredentials)?;
        let name = self.store.run(move |state| Ok::<_, Rejection>(state.user_of_session(&session, now))).await?;
        let user = name.and_then(|name| self.users.by_name(&name)).ok_or(Rejection::InvalidCredentials)?;
        Ok(Caller { user: user.clone(), id: self.users.id(&user.name), with_api_key: false })
    }
}

impl Caller {
    /// Checks that the user has `right` on `path`.
    pub(super) fn check(&self, right: Right, path: &RemotePath) -> Result<(), Rejection> {
        let root = RemotePath::from_text(&self.user.path, Trailing::RejectedEverywhere)?;
        let (permission, rejection) = match right {
            Right::List => ('l', Rejection::ReadPermission),
            Right::Read => ('r', Rejection::ReadPermission),
            Right::Write => ('w', Rejection::WritePermission),
            Right::Delete => ('d', Rejection::FullPermission),
        };
        if !path.is_within(&root) {
            return Err(if self.with_api_key { Rejection::PathRestricted } else { rejection });
        }
        if self.user.permissions.contains(permission) { Ok(()) } else { Err(rejection) }
    }
}

/// Checks that the workspace id is a number, if the request has one.
fn check_workspace(headers: &HeaderMap) -> Result<(), Rejection> {
    let Some(value) = headers.get(WORKSPACE) else {
        return Ok(());
    };
    let number = value.to_str().ok().and_then(|text| text.parse::<u64>().ok());
    number.map(|_| ()).ok_or(Rejection::InvalidWorkspace)
}

/// Returns the value of a header.
pub(super) fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(HeaderValue::as_bytes).map(|value| String::from_utf8_lossy(value).into_owned())
}
