//! The effect of every error is true: each operation of each backend, each of its requests lost, late, rejected or failed,
//! and everything after it answered in every way that there is. What the service holds afterwards decides.

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

use crate::gateway::{Fate, Gateway, Response, Script, Seen};

pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What is asked of a store in one case.
pub(crate) struct Case {
    pub(crate) run: BoxFuture<Result<()>>,
    happened: Option<BoxFuture<bool>>,
}

impl Case {
    /// Asks by `run`. Whether it has happened is told by the service's response to the request that commits.
    fn new(run: impl Future<Output = Result<()>> + Send + 'static) -> Self {
        Self { run: Box::pin(run), happened: None }
    }

    /// Whether it has happened is told by a look at the service.
    fn happened(mut self, happened: impl Future<Output = bool> + Send + 'static) -> Self {
        self.happened = Some(Box::pin(happened));
        self
    }
}

/// An operation, and how its cases are made.
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    /// Tells the request that changes what the operation is about. `None`: the operation changes nothing.
    commits: Option<fn(&Seen) -> bool>,
    pub(crate) case: Box<dyn Fn(usize) -> BoxFuture<Case> + Send + Sync>,
    /// Whether the protocol has 404 without any words of the service.
    believes_any_404: bool,
}

impl Operation {
    /// An operation whose cases `case` prepares at `site`. The number makes each case different.
    fn new<S: Send + Sync + 'static, F: Future<Output = Case> + Send + 'static>(
        name: &'static str,
        site: &Site<S>,
        commits: Option<fn(&Seen) -> bool>,
        case: impl Fn(Site<S>, usize) -> F + Send + Sync + 'static,
    ) -> Self {
        let site = site.clone();
        let case = Box::new(move |number| -> BoxFuture<Case> { Box::pin(case(site.clone(), number)) });
        Self { name, commits, case, believes_any_404: false }
    }

    /// Stat, download and URL of a file that `stored` makes, with a client that knows nothing of it.
    fn reads<S: FileStore + Clone, F: Future<Output = (S, FileRef)> + Send + 'static>(
        site: &Site<S>,
        stored: fn(Site<S>, usize) -> F,
    ) -> Vec<Self> {
        vec![
            Self::new("stat", site, None, move |site, number| async move {
                let (store, file) = stored(site, number).await;
                Case::new(async move { store.stat(Stat::from(file)).await.map(drop) })
            }),
            Self::new("download", site, None, move |site, number| async move {
                let (store, file) = stored(site, number).await;
                Case::new(async move { store.download(Download::from(file)).await?.bytes(99).await.map(drop) })
            }),
            Self::new("url", site, None, move |site, number| async move {
                let (store, file) = stored(site, number).await;
                Case::new(async move { store.url(UrlRequest::from(file)).await.map(drop) })
            }),
        ]
    }

    fn believing_any_404(self) -> Self {
        Self { believes_any_404: true, ..self }
    }
}

const THEN: [u16; 10] = [200, 400, 401, 403, 404, 409, 422, 429, 500, 503];

/// What becomes of the first request that does not pass, and of all after it.
fn fates(at: usize) -> Vec<(Fate, Fate)> {
    let page = |status| Fate::Answered(status, Response::Page);
    let json = |status| Fate::Answered(status, Response::Json);
    // A service that says 404 of a file that is there could not be believed in anything.
    let believable = THEN.into_iter().filter(|status| *status != 404);
    let then: Vec<Fate> =
        THEN.into_iter().map(page).chain(believable.map(json)).chain([Fate::Rejected, Fate::Passes]).collect();
    let mut first = vec![
        Fate::ResponseLost,
        Fate::RequestLost,
        Fate::Late,
        Fate::Answered(503, Response::Page),
        Fate::Answered(503, Response::Json),
    ];
    // A connection can only be rejected where there was none before.
    first.extend((at == 0).then_some(Fate::Rejected));
    first.iter().flat_map(|first| then.iter().map(|then| (*first, *then))).collect()
}

/// Plays all cases of `operations`; gives how many there were. Panics with those that are wrong.
async fn play(gateway: &Gateway, operations: Vec<Operation>) -> usize {
    let (mut cases, mut reached, mut wrong) = (0, 0, Vec::new());
    let mut numbers = 0..;
    let mut case_of = |operation: &Operation| (operation.case)(numbers.next().unwrap_or_default());
    for operation in operations {
        // Without any fault, for the number of its requests.
        gateway.play(Script::PASS).await;
        let case = case_of(&operation).await;
        gateway.play(Script::PASS).await;
        case.run.await.unwrap_or_else(|error| panic!("{}: {error}", operation.name));
        let requests = gateway.settle().await.len();
        for at in 0..requests {
            for (first, then) in fates(at) {
                if operation.believes_any_404 && then == Fate::Answered(404, Response::Page) {
                    continue;
                }
                cases += 1;
                gateway.play(Script::PASS).await;
                let case = case_of(&operation).await;
                gateway.play(Script { at, first, then, body: Vec::new() }).await;
                let outcome = case.run.await;
                let seen = gateway.settle().await;
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
                        outcome.as_ref().map_or_else(said, |()| "success".to_owned()),
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

/// An emulator behind a gateway that all its URLs lead to.
pub(crate) async fn emulator() -> (Emulator, Gateway) {
    let address = Gateway::reserve();
    let options = Options { public_url: Some(format!("http://{address}")), ..Options::default() };
    let emulator = Emulator::start(options).await.unwrap();
    let gateway = Gateway::new(address, emulator.addr());
    (emulator, gateway)
}

/// The attempts come quickly, the last ones later than a gateway that does not listen at first.
fn http() -> HttpConfig {
    let mut http = HttpConfig::default();
    (http.initial_retry_delay, http.max_retry_delay) = (Duration::from_millis(1), Duration::from_millis(16));
    http.max_retries = 5;
    http
}

const CONTENT: &str = "some content";

/// A service, as stores of the type `S` reach it.
pub(crate) struct Site<S> {
    url: String,
    open: fn(&str) -> S,
    helper: Arc<OnceLock<S>>,
    one_client: bool,
}

impl<S: Clone> Site<S> {
    pub(crate) fn new(gateway: &Gateway, open: fn(&str) -> S) -> Self {
        Self { url: gateway.url(), open, helper: Arc::default(), one_client: false }
    }

    /// The same client for all cases, where it does not matter how often it retries.
    pub(crate) fn with_one_client(self) -> Self {
        Self { one_client: true, ..self }
    }

    /// A client of its own for a case: retries come out of a budget.
    fn client(&self) -> S {
        if self.one_client { self.helper() } else { (self.open)(&self.url) }
    }

    /// The one client for what is no part of a case: making one takes longer than a case.
    fn helper(&self) -> S {
        self.helper.get_or_init(|| (self.open)(&self.url)).clone()
    }
}

impl<S> Clone for Site<S> {
    fn clone(&self) -> Self {
        Self { url: self.url.clone(), open: self.open, helper: Arc::clone(&self.helper), one_client: self.one_client }
    }
}

fn said(error: &Error) -> String {
    format!("{} ({}): {error}", error.kind(), error.effect())
}

/// What an outcome claims that is not so. `happened` is `None` for what cannot change anything.
fn contradiction(outcome: &Result<()>, committed: bool, happened: Option<bool>) -> Option<&'static str> {
    match (outcome.as_ref().map_err(Error::effect), happened) {
        (Ok(()) | Err(Effect::Applied), Some(false)) => Some("it has not happened"),
        (Err(Effect::NotSent | Effect::Rejected), Some(true)) => Some("it has happened"),
        (Err(Effect::Unknown), _) if !committed => Some("nothing was sent that could have done it"),
        (Err(Effect::Applied), None) => Some("there is nothing to apply"),
        _ => None,
    }
}
