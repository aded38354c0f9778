//! PubNub Files: files on channels, and the messages that announce them.
//!
//! An upload takes three requests: [`upload`] creates a signed form and receives the file that is posted with it, and
//! [`publish`] sends the message that announces the file. A download takes two: [`files`] redirects to a presigned URL,
//! which [`content`] serves. Messages arrive in [`history`] and [`subscribe`]. The "storage" is the emulated S3 bucket
//! that forms and presigned URLs lead to. It knows no earlier request: the signature alone makes a form or URL valid.

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
use crate::durable::Damage;
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

/// The maximum length of a path with its query, and of a message, in bytes.
const MAX_URI: usize = 32 * 1024;

/// The emulated service.
#[derive(Debug)]
pub(crate) struct PubNub {
    store: Store,
    /// The configured keysets, which [`PubNub::clear`] restores.
    configured_keysets: Keysets,
    /// The current keysets, which the control API changes.
    keysets: Mutex<Keysets>,
    storage_keys: StorageKeys,
    clock: Clock,
    /// The base URL of links, without a trailing slash.
    base: String,
    /// The `Host` that presigned URLs are signed for.
    host: String,
    require_signature: bool,
    strict_signature: bool,
}

/// A request, as the operations receive it.
struct Call<'a> {
    head: &'a Parts,
    query: Query,
    effects: &'a Effects,
    now: Timestamp,
}

impl PubNub {
    pub(crate) fn open(
        context: ServiceContext,
        keysets: Keysets,
        options: &Options,
        damage: &mut Damage,
    ) -> io::Result<Self> {
        let ServiceContext { folder, kept, clock, base } = context;
        let store = if kept { Store::durable(&folder, damage)? } else { Store::in_memory(&folder)? };
        let storage_keys = if kept { StorageKeys::load_or_create(&folder, damage)? } else { StorageKeys::new() };
        let host = Url::parse(&base).map_err(io::Error::other)?.authority().to_owned();
        Ok(PubNub {
            store,
            configured_keysets: keysets.clone(),
            keysets: Mutex::new(keysets),
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
        let call = Call { head, query: Query::parse(head.uri.query()), effects, now };
        let result = self.dispatch(route, &call, body).await;
        let mut response = result.unwrap_or_else(|rejection| rejection.to_response(route, timetoken(now)));
        allow_any_origin(response.headers_mut());
        response
    }

    async fn dispatch(&self, route: &Route, call: &Call<'_>, body: &mut RequestBody) -> Result<Response, Rejection> {
        if call.head.uri.path_and_query().is_some_and(|target| target.as_str().len() > MAX_URI) {
            return Err(Rejection::Access {
                status: StatusCode::URI_TOO_LONG,
                service: Some("Balancer"),
                message: "Request URI Too Long",
            });
        }
        match route {
            Route::GenerateUploadUrl { channel } => self.generate_upload_url(channel, call, body).await,
            Route::Form => self.post_form(call, body).await,
            Route::Publish { kind, publish_key, channel, payload } => {
                self.publish(*kind, publish_key, channel, payload.as_deref(), call, body).await
            }
            Route::List { channel } => self.list(channel, call).await,
            Route::Url { channel, file } => self.url(channel, file, call).await,
            Route::Content { key } => self.content(key, call).await,
            Route::Delete { channel, file } => self.delete(channel, file, call).await,
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

    /// Returns the service's error response for `status`.
    pub(crate) fn error(&self, route: &Route, status: StatusCode) -> Response {
        let mut response = error::status_response(route, status, timetoken(self.clock.now()));
        allow_any_origin(response.headers_mut());
        response
    }

    pub(crate) async fn sweep(&self) {
        if let Err(rejection) = self.store.sweep(self.clock.now()).await {
            tracing::error!(%rejection, "expired files and messages could not be removed");
        }
    }

    pub(crate) async fn clear(&self) -> io::Result<()> {
        self.with_keysets(|keysets| keysets.clone_from(&self.configured_keysets));
        self.store.clear().await.map_err(io::Error::other)
    }

    pub(crate) fn stored_files(&self) -> usize {
        self.store.file_count()
    }

    fn keyset(&self, subscribe_key: &str) -> Option<Keyset> {
        self.with_keysets(|keysets| keysets.find(subscribe_key).cloned())
    }

    fn with_keysets<T>(&self, operation: impl FnOnce(&mut Keysets) -> T) -> T {
        operation(&mut self.keysets.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Sets the CORS headers of the service's recorded responses. `Access-Control-Allow-Origin` is only in older
/// recordings, but browsers need it.
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
