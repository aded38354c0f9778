//! PubNub Files: files on channels, and the messages that announce them.
//!
//! An upload is three requests: [`upload`] gives a signed form and takes the file that is posted
//! with it, [`publish`] announces it. A download is two: [`files`] gives a signed URL, which
//! [`content`] answers. Around them are history and subscriptions, which is where a message
//! arrives. Nothing but the signature connects a form or a URL with what was asked before.

mod access;
mod content;
mod control;
mod error;
mod files;
mod grants;
mod history;
mod keysets;
mod messages;
mod name;
mod objects;
mod policy;
mod publish;
mod query;
mod route;
mod signature;
mod storage_error;
mod storage_keys;
mod store;
mod subscribe;
mod upload;
mod wire;

use std::io;
use std::sync::{Mutex, PoisonError};

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::Timestamp;
use url::Url;

use crate::clock::Clock;
use crate::faults::Effects;
use crate::http::{RequestBody, Response, empty};
use crate::options::Options;
use crate::storage::ServiceContext;
use error::Rejection;
use keysets::Keyset;
use messages::timetoken;
use query::Query;
use storage_keys::StorageKeys;
use store::Store;

pub(crate) use keysets::Keysets;
pub(crate) use route::Route;

/// The longest path and query, and the longest message.
const LONGEST_URI: usize = 32 * 1024;

/// The emulated service.
#[derive(Debug)]
pub(crate) struct PubNub {
    store: Store,
    /// As they were given, and as the control API has changed them.
    keysets: (Keysets, Mutex<Keysets>),
    storage_keys: StorageKeys,
    clock: Clock,
    /// What links begin with.
    base: String,
    /// Whom signed URLs are for.
    host: String,
    require_signature: bool,
    strict_signature: bool,
}

/// A request on its way through an operation.
struct Call<'a> {
    head: &'a Parts,
    query: Query,
    effects: &'a Effects,
    now: Timestamp,
}

impl PubNub {
    pub(crate) fn open(ground: ServiceContext, keysets: Keysets, options: &Options) -> io::Result<Self> {
        let ServiceContext { folder, kept, clock, base } = ground;
        let store = if kept { Store::kept_in(&folder)? } else { Store::in_memory(&folder)? };
        let storage_keys = if kept { StorageKeys::kept_in(&folder)? } else { StorageKeys::new() };
        let host = Url::parse(&base).map_err(io::Error::other)?.authority().to_owned();
        Ok(PubNub {
            store,
            keysets: (keysets.clone(), Mutex::new(keysets)),
            storage_keys,
            clock,
            base,
            host,
            require_signature: options.pubnub_require_signature,
            strict_signature: options.strict_signature,
        })
    }

    pub(crate) async fn answer(
        &self,
        route: &Route,
        head: &Parts,
        body: &mut RequestBody,
        effects: &Effects,
    ) -> Response {
        let now = self.clock.now();
        let call = Call { head, query: Query::of(head.uri.query()), effects, now };
        let answered = self.answered(route, &call, body).await;
        let mut response = answered.unwrap_or_else(|rejection| rejection.answer(route, timetoken(now)));
        allow_any_origin(response.headers_mut());
        response
    }

    async fn answered(&self, route: &Route, call: &Call<'_>, body: &mut RequestBody) -> Result<Response, Rejection> {
        if call.head.uri.path_and_query().is_some_and(|asked| asked.as_str().len() > LONGEST_URI) {
            return Err(Rejection::Access {
                status: StatusCode::URI_TOO_LONG,
                service: Some("Balancer"),
                message: "Request URI Too Long",
            });
        }
        match route {
            Route::GenerateUploadUrl { of } => self.generate_upload_url(of, call, body).await,
            Route::Form => self.post_form(call, body).await,
            Route::Publish { kind, publish_key, of, payload } => {
                self.publish(*kind, publish_key, of, payload.as_deref(), call, body).await
            }
            Route::List { of } => self.list(of, call).await,
            Route::Url { of, file } => self.url(of, file, call).await,
            Route::Content { key } => self.content(key, call).await,
            Route::Delete { of, file } => self.delete(of, file, call).await,
            Route::History { subscribe_key, channels, with_actions } => {
                self.history(subscribe_key, channels, *with_actions, call).await
            }
            Route::Subscribe { subscribe_key, channels } => self.subscribe(subscribe_key, channels, call).await,
            Route::Presence { subscribe_key, channels, leave } => {
                self.presence(subscribe_key, channels, *leave, call).await
            }
            Route::Time => Ok(wire::javascript(&[timetoken(call.now)])),
            Route::Preflight => Ok(preflight()),
            Route::Unparsable => Err(Rejection::access(StatusCode::BAD_REQUEST, "Could Not Parse Request")),
            Route::Unknown => Err(Rejection::NoSuchPath),
        }
    }

    /// The service's own error of a status.
    pub(crate) fn error(&self, route: &Route, status: StatusCode) -> Response {
        let mut response = error::of_status(route, status, timetoken(self.clock.now()));
        allow_any_origin(response.headers_mut());
        response
    }

    pub(crate) async fn sweep(&self) {
        if let Err(rejection) = self.store.sweep(self.clock.now()).await {
            tracing::error!(%rejection, "expired files and messages could not be removed");
        }
    }

    pub(crate) async fn clear(&self) -> io::Result<()> {
        self.with_keysets(|keysets| keysets.clone_from(&self.keysets.0));
        self.store.clear().await.map_err(io::Error::other)
    }

    pub(crate) fn stored_files(&self) -> usize {
        self.store.files()
    }

    fn keyset(&self, subscribe_key: &str) -> Option<Keyset> {
        self.with_keysets(|keysets| keysets.find(subscribe_key).cloned())
    }

    fn with_keysets<T>(&self, act: impl FnOnce(&mut Keysets) -> T) -> T {
        act(&mut self.keysets.1.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The service's recorded headers, and the one of older recordings that browsers need.
fn allow_any_origin(headers: &mut HeaderMap) {
    headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
}

fn preflight() -> Response {
    let mut response = empty(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("DELETE, GET, OPTIONS, POST"));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("Accept, Content-Type, Range"));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}
