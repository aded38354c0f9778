//! The effect of every error is true. For each operation of each backend, each of its requests is lost,
//! delayed, rejected or fails, and all later requests get every kind of response. The final state of the
//! service decides.

pub(crate) mod fileio;
pub(crate) mod filescom;
pub(crate) mod opendal;
pub(crate) mod pubnub;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use filestore::{Download, Effect, Error, FileRef, FileStore, Result, Stat, UrlRequest};
use filestore_emulator::{Emulator, Options};
use filestore_http::HttpConfig;

use crate::gateway::{Action, Gateway, Response, Script, Seen};

pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// One case: an operation on a store, and a check of its effect.
pub(crate) struct Case {
    pub(crate) run: BoxFuture<Result<()>>,
    happened: Option<BoxFuture<bool>>,
}

impl Case {
    /// Creates a case that runs `run`. The operation took effect if the service accepted the request that commits.
    fn new(run: impl Future<Output = Result<()>> + Send + 'static) -> Self {
        Self { run: Box::pin(run), happened: None }
    }

    /// Sets a check of the service that returns `true` if the operation took effect.
    fn happened(mut self, happened: impl Future<Output = bool> + Send + 'static) -> Self {
        self.happened = Some(Box::pin(happened));
        self
    }
}

/// An operation, and the function that creates its cases.
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    /// Returns `true` for the request that commits the change. `None` for an operation that changes nothing.
    commits: Option<fn(&Seen) -> bool>,
    pub(crate) case: Box<dyn Fn(usize) -> BoxFuture<Case> + Send + Sync>,
    /// `true` if a 404 of the protocol need not have a body of the service.
    accepts_any_404: bool,
}

impl Operation {
    /// Creates an operation whose cases `case` prepares at `service`. The number makes each case different.
    fn new<S: Send + Sync + 'static, F: Future<Output = Case> + Send + 'static>(
        name: &'static str,
        service: &Service<S>,
        commits: Option<fn(&Seen) -> bool>,
        case: impl Fn(Service<S>, usize) -> F + Send + Sync + 'static,
    ) -> Self {
        let service = service.clone();
        let case = Box::new(move |number| -> BoxFuture<Case> { Box::pin(case(service.clone(), number)) });
        Self { name, commits, case, accepts_any_404: false }
    }

    /// Returns the operations stat, download and URL on a file that `stored` uploads, with a client that has no
    /// state of the file.
    fn reads<S: FileStore + Clone, F: Future<Output = (S, FileRef)> + Send + 'static>(
        service: &Service<S>,
        stored: fn(Service<S>, usize) -> F,
    ) -> Vec<Self> {
        vec![
            Self::new("stat", service, None, move |service, number| async move {
                let (store, file) = stored(service, number).await;
                Case::new(async move { store.stat(Stat::from(file)).await.map(drop) })
            }),
            Self::new("download", service, None, move |service, number| async move {
                let (store, file) = stored(service, number).await;
                Case::new(async move { store.download(Download::from(file)).await?.bytes(99).await.map(drop) })
            }),
            Self::new("url", service, None, move |service, number| async move {
                let (store, file) = stored(service, number).await;
                Case::new(async move { store.url(UrlRequest::from(file)).await.map(drop) })
            }),
        ]
    }

    fn accepting_any_404(self) -> Self {
        Self { accepts_any_404: true, ..self }
    }
}

/// The statuses of the responses to all later requests.
const LATER_STATUSES: [u16; 10] = [200, 400, 401, 403, 404, 409, 422, 429, 500, 503];

/// Returns all pairs of an action on the first request that does not pass, and an action on all later requests.
fn actions(at: usize) -> Vec<(Action, Action)> {
    let page = |status| Action::Respond(status, Response::Page);
    let json = |status| Action::Respond(status, Response::Json);
    // A 404 of the service for an existing file would be a false statement, so no operation could be correct.
    let possible = LATER_STATUSES.into_iter().filter(|status| *status != 404);
    let then: Vec<Action> = LATER_STATUSES
        .into_iter()
        .map(page)
        .chain(possible.map(json))
        .chain([Action::RejectConnection, Action::Pass])
        .collect();
    let mut first = vec![
        Action::LoseResponse,
        Action::LoseRequest,
        Action::Delay,
        Action::Respond(503, Response::Page),
        Action::Respond(503, Response::Json),
    ];
    // Only the first connection of an operation can be rejected as the first fault.
    first.extend((at == 0).then_some(Action::RejectConnection));
    first.iter().flat_map(|first| then.iter().map(|then| (*first, *then))).collect()
}

/// Runs all cases of `operations`, and returns their number. Panics with a list of the cases whose effect is wrong.
async fn run_cases(gateway: &Gateway, operations: Vec<Operation>) -> usize {
    let (mut cases, mut reached, mut wrong) = (0, 0, Vec::new());
    let mut numbers = 0..;
    let mut case_of = |operation: &Operation| (operation.case)(numbers.next().unwrap_or_default());
    for operation in operations {
        // Without any fault, for the number of its requests.
        gateway.play(Script::PASS).await;
        let case = case_of(&operation).await;
        gateway.play(Script::PASS).await;
        case.run.await.unwrap_or_else(|error| panic!("{}: {error}", operation.name));
        let requests = gateway.finish().await.len();
        for at in 0..requests {
            for (first, then) in actions(at) {
                if operation.accepts_any_404 && then == Action::Respond(404, Response::Page) {
                    continue;
                }
                cases += 1;
                gateway.play(Script::PASS).await;
                let case = case_of(&operation).await;
                gateway.play(Script { at, first, then, body: Vec::new() }).await;
                let outcome = case.run.await;
                let seen = gateway.finish().await;
                reached += usize::from(seen.len() > at);
                gateway.play(Script::PASS).await;
                let commits: Vec<&Seen> = operation
                    .commits
                    .map_or_else(Vec::new, |commits| seen.iter().filter(|seen| commits(seen)).collect());
                let happened = match (operation.commits, case.happened) {
                    (None, _) => None,
                    (_, Some(happened)) => Some(happened.await),
                    _ => Some(commits.iter().any(|seen| matches!(seen.status, Some(200..=299)))),
                };
                if let Some(why) = contradiction(&outcome, !commits.is_empty(), happened) {
                    wrong.push(format!(
                        "{} at request {at} {first:?} then {then:?}: {why}: {}\n    {}",
                        operation.name,
                        outcome.as_ref().map_or_else(described, |()| "success".to_owned()),
                        seen.iter()
                            .map(|seen| format!("{} {} {:?}", seen.method, seen.target, seen.status))
                            .collect::<Vec<_>>()
                            .join("\n    ")
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {cases} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(2 * reached > cases, "only {reached} of {cases} cases reached the request that fails");
    cases
}

/// Starts an emulator behind a gateway, to which all its URLs lead.
pub(crate) async fn emulator() -> (Emulator, Gateway) {
    let address = Gateway::reserve();
    let options = Options { public_url: Some(format!("http://{address}")), ..Options::default() };
    let emulator = Emulator::start(options).await.unwrap();
    let gateway = Gateway::new(address, emulator.addr());
    (emulator, gateway)
}

/// Returns settings for fast retries. The last ones come after a gateway that rejects the first connection listens.
fn http() -> HttpConfig {
    let mut http = HttpConfig::default();
    (http.initial_retry_delay, http.max_retry_delay) = (Duration::from_millis(1), Duration::from_millis(16));
    http.max_retries = 5;
    http
}

const CONTENT: &str = "some content";

/// A service behind a gateway, and the clients of the type `S` that use it.
pub(crate) struct Service<S> {
    url: String,
    open: fn(&str) -> S,
    helper: Arc<OnceLock<S>>,
    one_client: bool,
}

impl<S: Clone> Service<S> {
    pub(crate) fn new(gateway: &Gateway, open: fn(&str) -> S) -> Self {
        Self { url: gateway.url(), open, helper: Arc::default(), one_client: false }
    }

    /// Uses the same client for all cases, for tests in which the retry budget does not matter.
    pub(crate) fn with_one_client(self) -> Self {
        Self { one_client: true, ..self }
    }

    /// Returns a new client for each case, because a client's retries have a budget.
    fn client(&self) -> S {
        if self.one_client { self.helper() } else { (self.open)(&self.url) }
    }

    /// Returns the client for preparations and checks. It is shared, because creating one takes longer than a case.
    fn helper(&self) -> S {
        self.helper.get_or_init(|| (self.open)(&self.url)).clone()
    }
}

impl<S> Clone for Service<S> {
    fn clone(&self) -> Self {
        Self { url: self.url.clone(), open: self.open, helper: Arc::clone(&self.helper), one_client: self.one_client }
    }
}

fn described(error: &Error) -> String {
    format!("{} ({}): {error}", error.kind(), error.effect())
}

/// Returns the contradiction between an outcome and the service, if there is one. `happened` is `true` if the operation
/// took effect, and `None` for an operation that changes nothing.
fn contradiction(outcome: &Result<()>, committed: bool, happened: Option<bool>) -> Option<&'static str> {
    match (outcome.as_ref().map_err(Error::effect), happened) {
        (Ok(()) | Err(Effect::Applied), Some(false)) => Some("the operation took no effect"),
        (Err(Effect::NotSent | Effect::Rejected), Some(true)) => Some("the operation took effect"),
        (Err(Effect::Unknown), _) if !committed => Some("no request that commits was sent"),
        (Err(Effect::Applied), None) => Some("the operation changes nothing"),
        _ => None,
    }
}
