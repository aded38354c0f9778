//! file.io: anonymous and paid uploads under a key that is the permission to read, and that
//! usually works once.
//!
//! Each operation reads as what the service does, in its order: here the small ones, then
//! [`upload`] and [`download`]. What a read consumes is decided in [`store`].

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
use crate::faults::{Effects, Fault, HeadPolicy, Plan};
use crate::http::{RequestBody, Response, empty, json};
use crate::storage::ServiceContext;
use access::Caller;
use error::Rejection;
use file::StoredFile;
use list::Selection;
use store::Files;
use wire::{Answer, Deleted, FileDetails, List, PlanInfo};

pub(crate) use route::Route;

/// The two forms that the API has had.
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
    /// What links begin with.
    base: String,
}

/// A request on its way through an operation.
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
    ) -> io::Result<Self> {
        let files = if kept { Files::kept_in(&folder)? } else { Files::in_memory(&folder)? };
        Ok(FileIo { files, users, clock, base })
    }

    pub(crate) async fn answer(
        &self,
        route: &Route,
        head: &Parts,
        body: &mut RequestBody,
        effects: &Effects,
    ) -> Response {
        let call = Call { head, body, effects, now: self.clock.now() };
        let answered = match route {
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
            answered.unwrap_or_else(|rejection| rejection.answer(&self.base, route.key(), effects.generation()));
        allow_any_origin(response.headers_mut());
        response
    }

    /// The service's own error of a status.
    pub(crate) fn error(&self, status: StatusCode, head: &Parts, effects: &Effects) -> Response {
        let route = Route::of(&head.method, head.uri.path());
        let mut response = error::failure_of(status, &self.base, route.key(), effects.generation());
        allow_any_origin(response.headers_mut());
        response
    }

    /// Removes what has expired, so that nobody has to ask for it first.
    pub(crate) async fn sweep(&self) {
        if let Err(rejection) = self.files.sweep(self.clock.now()).await {
            tracing::error!(%rejection, "expired files could not be removed");
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
        Ok(json(StatusCode::OK, &Answer::ok(list)))
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
        Ok(json(StatusCode::OK, &Answer::ok(plan)))
    }

    async fn delete(&self, address: &str, call: Call<'_>) -> Result<Response, Rejection> {
        let (caller, now) = (self.manager(&call)?, call.now);
        let owner = caller.clone();
        let may = move |file: &StoredFile| owner.may_change(file, now);
        let deleted = self.files.delete(address, now, may).await;
        let file = deleted.map_err(|rejection| caller.hears(rejection))?;
        Ok(json(StatusCode::OK, &Answer::ok(Deleted { key: &file.key })))
    }

    fn caller(&self, call: &Call<'_>) -> Result<Caller, Rejection> {
        Caller::of(&call.head.headers, &self.users)
    }

    /// The caller of an operation on a file, which nobody can be without a key or a token.
    fn manager(&self, call: &Call<'_>) -> Result<Caller, Rejection> {
        match self.caller(call)? {
            Caller::Nobody => Err(Rejection::Unauthorized),
            caller => Ok(caller),
        }
    }

    /// What the caller's plan allows, or the plan that a fault rule gives everybody.
    fn allowance(&self, caller: &Caller, effects: &Effects) -> Allowance {
        let own = match caller {
            Caller::Account(account) => Allowance {
                plan: account.plan,
                upload: account.max_upload_bytes(),
                storage: account.max_storage_bytes(),
            },
            Caller::Nobody | Caller::Token(_) => {
                Allowance { plan: Plan::Free, upload: self.users.anonymous.max_upload_bytes, storage: u64::MAX }
            }
        };
        match effects.plan() {
            Some(plan) => Allowance { plan, ..own },
            None => own,
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

/// What a plan allows.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    plan: Plan,
    /// The largest file, in bytes.
    upload: u64,
    /// All files together, in bytes.
    storage: u64,
}

/// Free is 0; no other value was ever recorded.
fn plan_id(plan: Plan) -> u32 {
    match plan {
        Plan::Free => 0,
        Plan::Paid => 1,
    }
}

impl Call<'_> {
    fn is_browser(&self) -> bool {
        let accept = self.head.headers.get(ACCEPT);
        accept.and_then(|value| value.to_str().ok()).is_some_and(|accept| accept.contains("text/html"))
    }
}

/// The deviations that are file.io's own.
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

/// Pages of other origins used the API.
fn allow_any_origin(headers: &mut HeaderMap) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("Content-Disposition, X-File-Io-Anonymous-Access-Token"),
    );
}

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
