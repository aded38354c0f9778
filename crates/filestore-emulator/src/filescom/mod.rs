//! Files.com: an API for a tree of folders and files, and an S3-compatible storage for their contents.
//!
//! [`route`] finds the operation of a request, [`access`] its user and [`params`] its parameters. The operation then
//! runs under the lock of the [`store`] and responds with JSON of [`wire`] or an error of [`error`]. The storage
//! receives the parts of uploads and serves downloads. Its presigned URLs, from [`sign`], need no user; its errors are
//! in [`storage_error`].

mod access;
mod bundle;
mod collation;
mod content;
mod cursor;
mod download;
mod entity;
mod entries;
mod error;
mod list;
mod metadata;
mod migration;
mod name;
mod pages;
mod params;
mod path;
mod record;
mod route;
mod session;
mod settings;
mod sign;
mod storage_error;
mod store;
mod time;
mod tree;
mod upload;
mod users;
mod wire;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{fs, io};

use http::header::{CACHE_CONTROL, CONTENT_TYPE, EXPIRES, PRAGMA, SERVER};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use rand::RngExt;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::clock::Clock;
use crate::durable::{self, Damage};
use crate::faults::Effects;
use crate::http::{RequestBody, Response, json, problem};
use crate::storage::ServiceContext;
use error::Rejection;
use params::Params;
use record::FailedLogins;
use route::{BundleAction, PathAction};
use settings::Settings;
use sign::Signer;
use storage_error::StorageRejection;
use store::Store;

pub(crate) use route::Route;
pub(crate) use users::Users;

const SETTINGS: &str = "/_emulator/filescom/settings";

/// The emulated service.
#[derive(Debug)]
pub(crate) struct FilesCom {
    store: Store,
    users: Users,
    clock: Clock,
    signer: Arc<Signer>,
    failed_logins: Mutex<FailedLogins>,
    /// Limits the digest computation to one task.
    digest_permit: Arc<Semaphore>,
    /// The base URL of links, without a trailing slash.
    base: String,
}

/// A request to the API, as the operations receive it.
struct Call<'a> {
    head: &'a Parts,
    params: Params,
    effects: &'a Effects,
    now: Timestamp,
}

/// A request to the storage, as the operations receive it.
struct StorageCall<'a> {
    head: &'a Parts,
    body: &'a mut RequestBody,
    effects: &'a Effects,
    now: Timestamp,
}

impl FilesCom {
    pub(crate) fn open(
        ServiceContext { folder, kept, clock, base }: ServiceContext,
        users: Users,
        damage: &mut Damage,
    ) -> io::Result<Self> {
        let store = Store::open(&folder, kept, clock.clone(), damage)?;
        let signer = Arc::new(Signer::new(load_or_create_secret(&folder, kept, damage)?, base.clone()));
        let digest_permit = Arc::new(Semaphore::new(1));
        let service = FilesCom { store, users, clock, signer, failed_logins: Mutex::default(), digest_permit, base };
        service.spawn_digests(service.store.undigested());
        Ok(service)
    }

    pub(crate) async fn answer(
        &self,
        route: &Route,
        head: &Parts,
        body: &mut RequestBody,
        effects: &Effects,
    ) -> Response {
        let (request_id, now) = (new_request_id(), self.clock.now());
        let response = if route.is_storage() {
            let call = StorageCall { head, body, effects, now };
            let result = self.storage(route, call).await;
            result.unwrap_or_else(|rejection| rejection.to_response(&request_id))
        } else {
            let result = self.api(route, head, body, effects, now).await;
            result.unwrap_or_else(|rejection| rejection.to_response(&request_id))
        };
        with_common_headers(response, route, &request_id)
    }

    /// Returns the service's error response for the status, and optionally the type, that a fault rule sets.
    pub(crate) fn error(&self, route: &Route, status: StatusCode, kind: Option<&str>) -> Response {
        let request_id = new_request_id();
        let response = match route.is_storage() {
            true => storage_error::status_response(status, kind, &request_id),
            false => error::status_response(status, kind, &request_id),
        };
        with_common_headers(response, route, &request_id)
    }

    /// Handles a request to the Files.com part of the control API, or returns `None` if the route does not exist.
    pub(crate) async fn control(&self, method: &Method, path: &str, body: &str) -> Option<Response> {
        let settings = match (method, path) {
            (&Method::GET, SETTINGS) => self.settings().await,
            (&Method::PUT, SETTINGS) => match serde_json::from_str::<Settings>(body) {
                Ok(settings) => self.set_settings(settings).await,
                Err(error) => return Some(problem(StatusCode::BAD_REQUEST, error)),
            },
            _ => return None,
        };
        Some(match settings {
            Ok(settings) => json(StatusCode::OK, &settings),
            Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, error),
        })
    }

    /// Removes expired uploads and sessions, and contents that no file and no valid URL refers to.
    pub(crate) async fn sweep(&self) {
        let now = self.clock.now();
        let before = |lifetime: SignedDuration| now.saturating_sub(lifetime).unwrap_or(Timestamp::MIN);
        let (expired, unreachable) = (before(upload::UPLOAD_LIFETIME), before(sign::DOWNLOAD_URL_LIFETIME));
        let swept = self.store.run(move |state| {
            state.remove_uploads(|upload| upload.begun < expired)?;
            state.remove_expired_sessions(now)?;
            state.remove_retired(unreachable);
            Ok::<_, io::Error>(())
        });
        if let Err(error) = swept.await {
            tracing::error!(%error, "expired uploads and sessions could not be removed");
        }
    }

    pub(crate) async fn clear(&self) -> io::Result<()> {
        self.failed_logins().clear();
        self.store.run(|state| state.clear()).await
    }

    pub(crate) fn stored_files(&self) -> usize {
        self.store.file_count()
    }

    async fn storage(&self, route: &Route, call: StorageCall<'_>) -> Result<Response, StorageRejection> {
        match route {
            Route::Part { upload, number, .. } => self.put_part(upload, *number, call).await,
            Route::Content { id, path } => self.get_content(id, path, call).await,
            _ => Err(StorageRejection::AccessDenied),
        }
    }

    async fn api(
        &self,
        route: &Route,
        head: &Parts,
        body: &mut RequestBody,
        effects: &Effects,
        now: Timestamp,
    ) -> Result<Response, Rejection> {
        match route {
            Route::WrongMethod => return Err(Rejection::MethodNotAllowed),
            Route::Path { alias: true, .. } if self.settings().await?.strict_methods => {
                return Err(Rejection::MethodNotAllowed);
            }
            Route::NotEmulated => return Err(Rejection::NotEmulated),
            Route::Unknown => return Err(Rejection::NotFound),
            _ => {}
        }
        // These requests have their own authentication, or none.
        let caller = match route {
            Route::Login | Route::Logout | Route::Share(_) => None,
            _ => Some(self.caller(&head.headers, now).await?),
        };
        let params = Params::read(head, body).await?;
        let call = Call { head, params, effects, now };
        let Some(caller) = caller else {
            return match route {
                Route::Login => self.login(call).await,
                Route::Share(code) => self.open_bundle(code, call).await,
                _ => self.logout(call).await,
            };
        };
        match route {
            Route::Path { action, raw, .. } => match action {
                PathAction::BeginUpload => self.begin_upload(raw, call, caller).await,
                PathAction::PostFile => self.post_file(raw, call, caller).await,
                PathAction::GetFile => self.get_file(raw, call, caller).await,
                PathAction::Stat => self.stat(raw, call, caller).await,
                PathAction::List => self.list(raw, call, caller).await,
                PathAction::Update => self.update(raw, call, caller).await,
                PathAction::Delete => self.delete(raw, call, caller).await,
                PathAction::BeginDelete => self.begin_delete(raw, call, caller).await,
                PathAction::Mkdir => self.mkdir(raw, call, caller).await,
                PathAction::Transfer(operation) => self.transfer(*operation, raw, call, caller).await,
            },
            Route::Migration(id) => self.migration(id, now).await,
            Route::Bundles => self.list_bundles(call, caller).await,
            Route::CreateBundle => self.create_bundle(call, caller).await,
            Route::Bundle(BundleAction::Get, id) => self.get_bundle(id, caller).await,
            Route::Bundle(BundleAction::Update, id) => self.update_bundle(id, call, caller).await,
            Route::Bundle(BundleAction::Delete, id) => self.delete_bundle(id, caller).await,
            Route::Bundle(BundleAction::Share, id) => self.share_bundle(id, caller).await,
            _ => Err(Rejection::NotFound),
        }
    }

    async fn settings(&self) -> io::Result<Settings> {
        self.store.run(|state| Ok(state.settings.clone())).await
    }

    async fn set_settings(&self, settings: Settings) -> io::Result<Settings> {
        self.store
            .run(move |state| {
                state.settings = settings;
                Ok(state.settings.clone())
            })
            .await
    }

    fn failed_logins(&self) -> MutexGuard<'_, FailedLogins> {
        self.failed_logins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the key for signatures. In a data directory it is stored, so that URLs stay valid after a restart, unless the
/// file is damaged.
fn load_or_create_secret(folder: &Path, kept: bool, damage: &mut Damage) -> io::Result<Vec<u8>> {
    let new = rand::rng().random::<[u8; 32]>().to_vec();
    if !kept {
        return Ok(new);
    }
    let file = folder.join("secret");
    match fs::read(&file) {
        Ok(secret) if secret.len() == new.len() => Ok(secret),
        Ok(_) => {
            damage.add(file, format!("a key has {} bytes", new.len()));
            Ok(new)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            durable::write(&file, &new)?;
            Ok(new)
        }
        Err(error) => Err(error),
    }
}

fn new_request_id() -> String {
    Uuid::new_v4().simple().to_string()
}

/// Sets the headers that every response has.
fn with_common_headers(mut response: Response, route: &Route, request_id: &str) -> Response {
    let id = HeaderValue::try_from(request_id).unwrap_or(HeaderValue::from_static("0"));
    let headers = response.headers_mut();
    if route.is_storage() {
        headers.insert(SERVER, HeaderValue::from_static("AmazonS3"));
        headers.insert("x-amz-request-id", id.clone());
        headers.insert("x-amz-id-2", id);
        return response;
    }
    headers.insert(SERVER, HeaderValue::from_static("files.com"));
    headers.insert("x-request-id", id);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, max-age=0, must-revalidate"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(EXPIRES, HeaderValue::from_static("Fri, 01 Jan 1990 00:00:00 GMT"));
    if headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/json")) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    response
}
