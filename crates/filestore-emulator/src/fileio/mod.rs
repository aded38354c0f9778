//! The emulated file.io service: uploads with or without an account, under a key that is the permission to read.
//! Usually a key works once.
//!
//! Each operation follows the steps of the service in their order. The small operations are here; the others are in
//! [`upload`] and [`download`]. [`store`] counts downloads and removes files.

mod access;
mod download;
mod error;
mod expiry;
mod file;
mod form;
mod limits;
mod list;
mod name;
mod pages;
mod route;
mod store;
mod upload;
mod wire;

use std::io;

use http::header::{
    ACCEPT, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, AUTHORIZATION,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::Timestamp;

use crate::clock::Clock;
use crate::credentials::FileioUsers;
use crate::durable::Damage;
use crate::faults::{Effects, Fault, HeadPolicy, Plan};
use crate::http::{RequestBody, Response, empty, json};
use crate::storage::ServiceContext;
use access::Caller;
use error::Rejection;
use file::StoredFile;
use list::Selection;
use store::Files;
use wire::{Deleted, FileDetails, List, PlanInfo, Success};

pub(crate) use route::Route;

/// The generation of the API. The first has short responses, keys of 6 characters, and `m` for months.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Generation {
    First,
    Second,
}

/// The emulated service.
#[derive(Debug)]
pub(crate) struct FileIo {
    files: Files,
    users: FileioUsers,
    clock: Clock,
    /// The base URL of links, without a trailing slash.
    base: String,
}

/// A request, as operations get it.
struct Call<'a> {
    head: &'a Parts,
    body: &'a mut RequestBody,
    effects: &'a Effects,
    now: Timestamp,
}

impl FileIo {
    pub(crate) fn open(
        ServiceContext { folder, kept, clock, base }: ServiceContext,
        users: FileioUsers,
        damage: &mut Damage,
    ) -> io::Result<Self> {
        let files = if kept { Files::durable(&folder, damage)? } else { Files::in_memory(&folder)? };
        Ok(FileIo { files, users, clock, base })
    }

    /// Returns the response to a request.
    pub(crate) async fn answer(
        &self,
        route: &Route,
        head: &Parts,
        body: &mut RequestBody,
        effects: &Effects,
    ) -> Response {
        let call = Call { head, body, effects, now: self.clock.now() };
        let result = match route {
            Route::Upload => self.upload(call).await,
            Route::List => self.list(call).await,
            Route::Me => self.me(call).await,
            Route::Download { key, direct } => self.download(key, *direct, call).await,
            Route::Head { key } => self.head(key, call).await,
            Route::Replace { key } => self.replace(key, call).await,
            Route::Update { key } => self.update(key, call).await,
            Route::Delete { key } => self.delete(key, call).await,
            Route::Landing { key } => self.landing(key, call).await,
            Route::Help { topic } => Ok(pages::help(topic)),
            Route::Preflight => Ok(preflight()),
            Route::WrongMethod { allow } => Err(Rejection::MethodNotAllowed { allow }),
            Route::Unknown => Err(Rejection::NotFound),
        };
        let mut response =
            result.unwrap_or_else(|rejection| rejection.response(&self.base, route.key(), effects.generation()));
        allow_any_origin(response.headers_mut());
        response
    }

    /// Returns the service's own error response for a status.
    pub(crate) fn error(&self, status: StatusCode, head: &Parts, effects: &Effects) -> Response {
        let route = Route::of(&head.method, head.uri.path());
        let mut response = error::failure_of(status, &self.base, route.key(), effects.generation());
        allow_any_origin(response.headers_mut());
        response
    }

    /// Removes expired files.
    pub(crate) async fn sweep(&self) {
        if let Err(rejection) = self.files.sweep(self.clock.now()).await {
            tracing::error!(%rejection, "cannot remove expired files");
        }
    }

    pub(crate) async fn clear(&self) -> io::Result<()> {
        self.files.clear().await.map_err(io::Error::other)
    }

    pub(crate) fn stored_files(&self) -> usize {
        self.files.len()
    }

    async fn list(&self, call: Call<'_>) -> Result<Response, Rejection> {
        if call.is_browser() && !call.head.headers.contains_key(AUTHORIZATION) {
            return Ok(pages::home());
        }
        let caller = self.caller(&call)?;
        let selection = Selection::of(call.head.uri.query())?;
        let files = self.files.of_account(&caller.account()?.name, call.now).await?;
        let (page, count, size) = selection.page(files);
        let nodes: Vec<_> = page.into_iter().map(|file| self.details(file, "passed")).collect();
        let list = List { nodes: &nodes, count, size, screening_status: "passed", files: &nodes };
        Ok(json(StatusCode::OK, &Success::new(list)))
    }

    async fn me(&self, call: Call<'_>) -> Result<Response, Rejection> {
        let caller = self.caller(&call)?;
        let account = caller.account()?;
        let files = self.files.of_account(&account.name, call.now).await?;
        let allowance = self.allowance(&caller, call.effects);
        let paid = allowance.plan == Plan::Paid;
        let plan = PlanInfo {
            plan_id: plan_id(allowance.plan),
            max_upload_bytes: allowance.upload,
            max_storage_bytes: allowance.storage,
            used_storage_bytes: files.iter().map(|file| file.size).sum(),
            rate_limit: if paid { 60 } else { 1 },
            direct_download: u32::from(paid),
            custom_domain: None,
            payment_customer_id: None,
            payment_subscription_id: None,
        };
        Ok(json(StatusCode::OK, &Success::new(plan)))
    }

    async fn delete(&self, key_or_id: &str, call: Call<'_>) -> Result<Response, Rejection> {
        let (caller, now) = (self.caller_with_credential(&call)?, call.now);
        let owner = caller.clone();
        let check = move |file: &StoredFile| owner.may_change(file, now);
        let deleted = self.files.delete(key_or_id, now, check).await;
        let file = deleted.map_err(|rejection| caller.conceal_not_found(rejection))?;
        Ok(json(StatusCode::OK, &Success::new(Deleted { key: &file.key })))
    }

    fn caller(&self, call: &Call<'_>) -> Result<Caller, Rejection> {
        Caller::of(&call.head.headers, &self.users)
    }

    /// Returns the caller of an operation that needs an API key or a token.
    fn caller_with_credential(&self, call: &Call<'_>) -> Result<Caller, Rejection> {
        match self.caller(call)? {
            Caller::Anonymous => Err(Rejection::Unauthorized),
            caller => Ok(caller),
        }
    }

    /// Returns the limits of the caller's plan, or of the plan that a fault rule gives all callers.
    fn allowance(&self, caller: &Caller, effects: &Effects) -> Allowance {
        let allowance = match caller {
            Caller::Account(account) => Allowance {
                plan: account.plan,
                upload: account.max_upload_bytes(),
                storage: account.max_storage_bytes(),
            },
            Caller::Anonymous | Caller::Token(_) => {
                Allowance { plan: Plan::Free, upload: self.users.anonymous.max_upload_bytes, storage: u64::MAX }
            }
        };
        match effects.plan() {
            Some(plan) => Allowance { plan, ..allowance },
            None => allowance,
        }
    }

    fn details(&self, file: StoredFile, screening_status: &'static str) -> FileDetails {
        FileDetails {
            link: self.link(&file.key),
            id: file.id,
            key: file.key,
            path: "/",
            node_type: "file",
            name: file.name,
            title: file.title,
            description: file.description,
            size: file.size,
            private: false,
            expires: file.terms.expires,
            downloads: file.downloads,
            max_downloads: file.terms.max_downloads,
            auto_delete: file.terms.auto_delete,
            plan_id: file.plan_id,
            screening_status,
            mime_type: file.mime_type,
            created: file.created,
            modified: file.modified,
        }
    }

    fn link(&self, key: &str) -> String {
        format!("{}/{key}", self.base)
    }
}

/// The limits of a caller.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    plan: Plan,
    /// The largest file, in bytes.
    upload: u64,
    /// The size of all files together, in bytes.
    storage: u64,
}

/// Returns the `planId` of a plan. The free plan's was recorded as 0; no other value was ever recorded.
fn plan_id(plan: Plan) -> u32 {
    match plan {
        Plan::Free => 0,
        Plan::Paid => 1,
    }
}

impl Call<'_> {
    /// Returns `true` if the request accepts HTML.
    fn is_browser(&self) -> bool {
        let accept = self.head.headers.get(ACCEPT);
        accept.and_then(|value| value.to_str().ok()).is_some_and(|accept| accept.contains("text/html"))
    }
}

/// The faults that only file.io has.
impl Effects {
    fn generation(&self) -> Generation {
        if self.any(|fault| matches!(fault, Fault::Gen1)) { Generation::First } else { Generation::Second }
    }

    fn plan(&self) -> Option<Plan> {
        self.find(|fault| match fault {
            Fault::Plan(plan) => Some(*plan),
            _ => None,
        })
    }

    fn head_policy(&self) -> HeadPolicy {
        let policy = self.find(|fault| match fault {
            Fault::Head(policy) => Some(*policy),
            _ => None,
        });
        policy.unwrap_or_default()
    }
}

/// Adds the CORS headers: pages of other origins use the API.
fn allow_any_origin(headers: &mut HeaderMap) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("Content-Disposition, X-File-Io-Anonymous-Access-Token"),
    );
}

/// Returns the response to a CORS preflight request.
fn preflight() -> Response {
    let mut response = empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers
        .insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"));
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("Accept, Authorization, Content-Type, X-File-Io-Anonymous-Access-Token"),
    );
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}
