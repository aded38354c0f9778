//! Files.com: a tree of folders and files, uploaded in parts to a storage beside it.
//!
//! [`route`] says what a request asks for, [`access`] who asks, [`params`] with what. Each operation then decides
//! under the lock of the [`store`] and answers with what is in [`wire`] or a line of the table in [`error`]. The
//! storage that part and download URLs lead to is another service at another door: it knows signatures, no users.

mod access;
mod bundle;
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
use crate::durable;
use crate::faults::Effects;
use crate::http::{RequestBody, Response, json, problem};
use crate::storage::ServiceContext;
use error::Rejection;
use params::Params;
use record::WrongLogins;
use route::{OnBundle, OnPath};
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
    wrong_logins: Mutex<WrongLogins>,
    /// One content is digested at a time.
    digesting: Arc<Semaphore>,
    /// What links begin with.
    base: String,
}

/// A request to the API on its way through an operation.
struct Call<'a> {
    head: &'a Parts,
    params: Params,
    effects: &'a Effects,
    now: Timestamp,
}

/// A request to the storage.
struct StorageCall<'a> {
    head: &'a Parts,
    body: &'a mut RequestBody,
    effects: &'a Effects,
    now: Timestamp,
}

impl FilesCom {
    pub(crate) fn open(ServiceContext { folder, kept, clock, base }: ServiceContext, users: Users) -> io::Result<Self> {
        let store = Store::open(&folder, kept, clock.clone())?;
        let signer = Arc::new(Signer::new(secret(&folder, kept)?, base.clone()));
        let digesting = Arc::new(Semaphore::new(1));
        let service = FilesCom { store, users, clock, signer, wrong_logins: Mutex::default(), digesting, base };
        service.digest_later(service.store.undigested());
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
            let answered = self.storage(route, call).await;
            answered.unwrap_or_else(|rejection| rejection.answer(&request_id))
        } else {
            let answered = self.api(route, head, body, effects, now).await;
            answered.unwrap_or_else(|rejection| rejection.answer(&request_id))
        };
        signed_off(response, route, &request_id)
    }

    /// The service's own error of a status, of a type that a fault rule may choose.
    pub(crate) fn error(&self, route: &Route, status: StatusCode, kind: Option<&str>) -> Response {
        let request_id = new_request_id();
        let failure = match route.is_storage() {
            true => storage_error::failure_of(status, kind, &request_id),
            false => error::failure_of(status, kind, &request_id),
        };
        signed_off(failure, route, &request_id)
    }

    /// What the control API has for this service alone, `None` for a route that it does not have.
    pub(crate) async fn control(&self, method: &Method, path: &str, body: &str) -> Option<Response> {
        let settings = match (method, path) {
            (&Method::GET, SETTINGS) => self.settings().await,
            (&Method::PUT, SETTINGS) => match serde_json::from_str::<Settings>(body) {
                Ok(settings) => self.set(settings).await,
                Err(error) => return Some(problem(StatusCode::BAD_REQUEST, error)),
            },
            _ => return None,
        };
        Some(match settings {
            Ok(settings) => json(StatusCode::OK, &settings),
            Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, error),
        })
    }

    /// Uploads lapse, contents that nothing leads to go.
    pub(crate) async fn sweep(&self) {
        let now = self.clock.now();
        let before = |life: SignedDuration| now.saturating_sub(life).unwrap_or(Timestamp::MIN);
        let (lapsed, unreachable) = (before(upload::UPLOAD_LIFE), before(sign::DOWNLOAD_LIFE));
        let swept = self.store.run(move |state| {
            state.forget_uploads(|upload| upload.begun < lapsed)?;
            state.forget_sessions(now)?;
            state.forget_retired(unreachable);
            Ok::<_, io::Error>(())
        });
        if let Err(error) = swept.await {
            tracing::error!(%error, "what has lapsed could not be removed");
        }
    }

    pub(crate) async fn clear(&self) -> io::Result<()> {
        self.wrong_logins().clear();
        self.store.run(|state| state.clear()).await
    }

    pub(crate) fn stored_files(&self) -> usize {
        self.store.files()
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
            Route::OnPath { alias: true, .. } if self.settings().await?.strict_methods => {
                return Err(Rejection::MethodNotAllowed);
            }
            Route::Unknown => return Err(Rejection::NotFound),
            _ => {}
        }
        // Who logs in, out or opens a link says who they are in another way.
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
            Route::OnPath { what, raw, .. } => match what {
                OnPath::BeginUpload => self.begin_upload(raw, call, caller).await,
                OnPath::PostFile => self.post_file(raw, call, caller).await,
                OnPath::GetFile => self.get_file(raw, call, caller).await,
                OnPath::Stat => self.stat(raw, call, caller).await,
                OnPath::List => self.list(raw, call, caller).await,
                OnPath::Update => self.update(raw, call, caller).await,
                OnPath::Delete => self.delete(raw, call, caller).await,
                OnPath::BeginDelete => self.begin_delete(raw, call, caller).await,
                OnPath::Mkdir => self.mkdir(raw, call, caller).await,
                OnPath::Transfer(operation) => self.transfer(*operation, raw, call, caller).await,
            },
            Route::Migration(id) => self.migration(id, now).await,
            Route::Bundles => self.list_bundles(call, caller).await,
            Route::CreateBundle => self.create_bundle(call, caller).await,
            Route::Bundle(OnBundle::Get, id) => self.get_bundle(id, caller).await,
            Route::Bundle(OnBundle::Update, id) => self.update_bundle(id, call, caller).await,
            Route::Bundle(OnBundle::Delete, id) => self.delete_bundle(id, caller).await,
            Route::Bundle(OnBundle::Share, id) => self.share_bundle(id, caller).await,
            _ => Err(Rejection::NotFound),
        }
    }

    async fn settings(&self) -> io::Result<Settings> {
        self.store.run(|state| Ok(state.settings.clone())).await
    }

    async fn set(&self, settings: Settings) -> io::Result<Settings> {
        self.store
            .run(move |state| {
                state.settings = settings;
                Ok(state.settings.clone())
            })
            .await
    }

    fn wrong_logins(&self) -> MutexGuard<'_, WrongLogins> {
        self.wrong_logins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What signatures are made with. Kept, so that a restart leaves URLs good.
fn secret(folder: &Path, kept: bool) -> io::Result<Vec<u8>> {
    let file = folder.join("secret");
    match fs::read(&file) {
        Ok(secret) if kept => return Ok(secret),
        _ => {}
    }
    let secret = rand::rng().random::<[u8; 32]>().to_vec();
    if kept {
        durable::write(&file, &secret)?;
    }
    Ok(secret)
}

fn new_request_id() -> String {
    Uuid::new_v4().simple().to_string()
}

/// The headers that every answer has.
fn signed_off(mut response: Response, route: &Route, request_id: &str) -> Response {
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
