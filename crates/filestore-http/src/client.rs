//! [`HttpClient`]: sends requests, again where that is right, within their limits.

use std::fmt;
use std::fs;
use std::net::{IpAddr, UdpSocket};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use filestore_core::{Error, Result, check_runtime};
use futures::future::poll_fn;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use reqwest::redirect;
use secrecy::ExposeSecret;
use url::{Host, Position, Url};

use crate::cause::root;
use crate::exchange::body_progress::BodyProgress;
use crate::exchange::response_body::ResponseBody;
use crate::exchange::timeout::Timeouts;
use crate::failure::Failed;
use crate::proxy::Proxies;
use crate::rate_limit::RateLimiter;
use crate::request::Parts;
use crate::response::{Context, broken_off};
use crate::retry::{Budget, RETRY};
use crate::{
    Attempts, Clock, Decision, HttpConfig, Idempotency, JSON_LIMIT, Outcome, Policy, Request, RequestBody, Response,
    RetryContext, SystemClock, decide, retry_after,
};

/// The client of one store. Cheap to clone; clones share connections, rate_limiter and retry budget.
#[derive(Clone)]
pub struct HttpClient(Arc<Shared>);

pub(crate) struct Shared {
    /// Keeps connections open for the next request.
    keeping: reqwest::Client,
    /// Opens a connection for each request. Made when it is first needed, because reading the
    /// system's certificates takes its time.
    fresh: OnceLock<reqwest::Client>,
    config: HttpConfig,
    /// Credentials may go to its origin.
    home: Url,
    proxies: Proxies,
    pub(crate) policy: Policy,
    pub(crate) idle: Duration,
    timeout: Option<Duration>,
    pub(crate) budget: Budget,
    rate_limiter: RateLimiter,
    pub(crate) clock: Arc<dyn Clock>,
}

impl HttpClient {
    /// A client whose credentials go to the origin of `base`, and to no other.
    ///
    /// Fails with *config* when a setting cannot be used (no such CA file, a proxy that is no URL).
    pub fn new(config: &HttpConfig, base: &Url) -> Result<Self> {
        Self::with_clock(config, base, Arc::new(SystemClock::default()))
    }

    /// The same, with time and chance of the caller's own: for tests.
    pub fn with_clock(config: &HttpConfig, base: &Url, clock: Arc<dyn Clock>) -> Result<Self> {
        if let Some(address) = config.source_address {
            check_source_address(address, base)?;
        }
        Ok(Self(Arc::new(Shared {
            keeping: build(config, true)?,
            fresh: OnceLock::new(),
            config: config.clone(),
            home: base.clone(),
            proxies: Proxies::new(config.proxy.as_ref().map(ExposeSecret::expose_secret), |name| {
                std::env::var(name).ok()
            })?,
            policy: Policy {
                max_retries: config.max_retries,
                first_delay: config.initial_retry_delay,
                longest_delay: config.max_retry_delay,
                ..Policy::default()
            },
            idle: config.idle_timeout,
            timeout: config.timeout,
            budget: Budget::default(),
            rate_limiter: RateLimiter::new(config.rate),
            clock,
        })))
    }

    /// Time and chance as this client knows them.
    pub fn clock(&self) -> &dyn Clock {
        self.0.clock.as_ref()
    }

    fn fresh(&self) -> Result<&reqwest::Client> {
        if let Some(client) = self.0.fresh.get() {
            return Ok(client);
        }
        let client = build(&self.0.config, false)?;
        Ok(self.0.fresh.get_or_init(|| client))
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.0
    }

    /// Sends `request`, and again as [`decide`] says.
    ///
    /// Every answer is a success here, whatever its status, redirects included: what it means is the
    /// protocol's business. Errors: *unavailable* (no connection, a broken one), *timeout*, *config* and *permission*
    /// (no connection can come about: TLS, the proxy), and the body's own, unchanged. Their effect is that of all
    /// attempts together; see [`History`](crate::History).
    pub async fn send(&self, request: Request) -> Result<Response> {
        self.send_within(request, &mut Attempts::new()).await
    }

    /// [`send`](Self::send), for a step that may take several requests: retries come out of what
    /// `attempts` has left, and what they all prove is its history.
    pub async fn send_within(&self, request: Request, attempts: &mut Attempts) -> Result<Response> {
        let Shared { clock, policy, budget, rate_limiter, .. } = self.shared();
        let request = request.0;
        check_runtime()?;
        loop {
            attempts.made += 1;
            let attempt = attempts.made;
            rate_limiter.wait(&request.url, clock.as_ref()).await;
            let body_progress = BodyProgress::new(Arc::clone(clock));
            let tried = self.attempt(&request, &body_progress).await;
            let (outcome, wished) = self.record(&request, &tried, attempts);
            let own = matches!(&tried, Err(failed) if failed.own);
            let decision = decide(
                policy,
                &RetryContext {
                    idempotency: request.idempotency,
                    outcome,
                    replayable: !own && (!body_progress.any_sent() || request.body.can_replay()),
                    attempt,
                    waited: attempts.waited,
                    retry_after: wished,
                    budget: budget.allows_a_retry(),
                    jitter: clock.jitter(),
                },
            );
            tracing::debug!(method = %request.method, url = request.redacted_url(), attempt, ?outcome, ?decision, "http");
            let Decision::Retry(wait) = decision else {
                if matches!(outcome, Outcome::Status(status) if status < 500 && status != 429) {
                    budget.refill_after_success(std::mem::take(&mut attempts.paid));
                }
                return self.finished(request, tried, wished, attempts);
            };
            attempts.paid += budget.pay_for_a_retry();
            if outcome == Outcome::Status(429) {
                rate_limiter.pause(&request.url, wait, clock.elapsed());
            }
            drop(tried);
            clock.sleep(wait).await;
            attempts.waited = attempts.waited.saturating_add(wait);
        }
    }

    /// Sends `request` once, whatever becomes of it, and says what did: for those who idempotency by a rule of their own.
    ///
    /// Limits and errors are those of [`send`](Self::send).
    pub async fn exchange(&self, request: Request) -> (Outcome, Result<Response>) {
        let Shared { clock, rate_limiter, .. } = self.shared();
        let request = request.0;
        rate_limiter.wait(&request.url, clock.as_ref()).await;
        let tried = self.attempt(&request, &BodyProgress::new(Arc::clone(clock))).await;
        let mut attempts = Attempts::new();
        attempts.begin();
        let (outcome, wished) = self.record(&request, &tried, &mut attempts);
        (outcome, self.finished(request, tried, wished, &attempts))
    }

    /// Adds an attempt to the history; gives what became of it, and how long the service asks to wait.
    fn record(
        &self,
        request: &Parts,
        tried: &Result<ResponseBody, Failed>,
        attempts: &mut Attempts,
    ) -> (Outcome, Option<Duration>) {
        let (outcome, wished) = match tried {
            Ok(ResponseBody { response, .. }) => {
                let status = response.status().as_u16();
                let default = request.default_retry_after.filter(|_| status == 429);
                (Outcome::Status(status), retry_after(response.headers(), self.0.clock.now()).or(default))
            }
            Err(failed) => (failed.outcome, None),
        };
        match tried {
            Err(failed) if failed.own => attempts.history.record_own(failed.error.effect()),
            _ => attempts.history.record(request.idempotency, outcome),
        }
        (outcome, wished)
    }

    /// What the caller gets of the last attempt.
    fn finished(
        &self,
        request: Box<Parts>,
        tried: Result<ResponseBody, Failed>,
        retry_after: Option<Duration>,
        attempts: &Attempts,
    ) -> Result<Response> {
        match tried {
            Ok(response_body) => Ok(Response::new(
                response_body,
                Context {
                    url: request.url,
                    secret_path: request.secret_path,
                    idempotency: request.idempotency,
                    attempts: attempts.made,
                    history: attempts.history,
                    retry_after,
                },
            )),
            Err(Failed { error, .. }) => Err(error.with_effect(attempts.history.effect()).with_attempts(attempts.made)),
        }
    }

    /// Whether a step that failed may be made again with fresh means, such as a new URL for one that
    /// expired. Waits as long as the policy says, and counts like any other retry.
    pub async fn retry_step(&self, attempts: &mut Attempts) -> bool {
        let decision = self.retry_decision(attempts.made, attempts.waited);
        let Decision::Retry(wait) = decision else { return false };
        self.0.clock.sleep(wait).await;
        attempts.waited = attempts.waited.saturating_add(wait);
        attempts.paid += RETRY;
        true
    }

    /// The decision over something harmless that came to nothing, paid for if it is made again.
    pub(crate) fn retry_decision(&self, attempt: u32, waited: Duration) -> Decision {
        let Shared { clock, policy, budget, .. } = self.shared();
        let decision = decide(
            policy,
            &RetryContext {
                idempotency: Idempotency::Safe,
                outcome: Outcome::Lost,
                replayable: true,
                attempt,
                waited,
                retry_after: None,
                budget: budget.allows_a_retry(),
                jitter: clock.jitter(),
            },
        );
        if matches!(decision, Decision::Retry(_)) {
            budget.pay_for_a_retry();
        }
        decision
    }

    /// One attempt.
    async fn attempt(&self, request: &Parts, body_progress: &Arc<BodyProgress>) -> Result<ResponseBody, Failed> {
        // 1. The body, opened anew.
        let opened = request.body.open().await.map_err(Failed::own)?;
        let length = opened.length();
        // 2. The head.
        let mut built = reqwest::Request::new(request.method.clone(), request.url.clone());
        *built.headers_mut() = self.head(request, length).map_err(Failed::own)?;
        if length != Some(0) {
            *built.body_mut() = Some(reqwest::Body::wrap(body_progress.watch(opened)));
        }
        // 3. The exchange, within its limits.
        let Shared { keeping, clock, idle, timeout, proxies, .. } = self.shared();
        let client = if request.fresh_connection { self.fresh().map_err(Failed::own)? } else { keeping };
        let mut timeouts = Timeouts::new(Arc::clone(clock), *idle, *timeout);
        let mut pending = std::pin::pin!(client.execute(built));
        let response = poll_fn(|cx| match pending.as_mut().poll(cx) {
            Poll::Ready(answered) => Poll::Ready(Ok(answered)),
            Poll::Pending => timeouts.poll_elapsed(cx, body_progress.last_progress()).map(Err),
        });
        let proxy = proxies.of(&request.url);
        let response = match response.await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(Failed::of(request, body_progress, length, error, proxy)),
            Err(over) => return Err(Failed::too_slow(request, body_progress, length, over)),
        };
        if let (407, Some(proxy)) = (response.status().as_u16(), proxy) {
            return Err(Failed::of_proxy(proxy));
        }
        if response.status().is_success() && length != Some(0) && !body_progress.all() {
            return Err(Failed::answered_early(request, response.status()));
        }
        let mut response_body = ResponseBody::new(response, timeouts);
        if request.buffered && response_body.response.status().is_success() {
            response_body.read_whole(JSON_LIMIT).await.map_err(|(broken, read)| {
                let error = broken_off(&request.redacted_url(), &broken, read, response_body.length);
                Failed { outcome: Outcome::Lost, error, own: false }
            })?;
        }
        Ok(response_body)
    }

    /// The headers of a request whose body has this length. Credentials do not leave home.
    pub(crate) fn head(&self, request: &Parts, length: Option<u64>) -> Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        if let Some(content_type) = request.body.content_type()? {
            headers.insert(CONTENT_TYPE, content_type);
        }
        // Any other length is that of the body.
        if length == Some(0) && !matches!(request.body, RequestBody::Empty) {
            headers.insert(CONTENT_LENGTH, 0.into());
        }
        let at_home = origin(&request.url) == origin(&self.0.home);
        let credentials = if at_home { request.credentials.as_slice() } else { &[] };
        for (name, value) in request.headers.iter().chain(credentials) {
            headers.insert(name.clone(), value.clone());
        }
        Ok(headers)
    }
}

/// Scheme, host and port: those of a URL are in one spelling.
fn origin(url: &Url) -> (&str, &str) {
    (url.scheme(), &url[Position::BeforeHost..Position::AfterPort])
}

/// *Config* if no connection to `base` can come from `address`.
fn check_source_address(address: IpAddr, base: &Url) -> Result<()> {
    let (host, is_other) = match base.host() {
        Some(Host::Ipv4(host)) => (host.to_string(), !address.is_ipv4()),
        Some(Host::Ipv6(host)) => (host.to_string(), !address.is_ipv6()),
        _ => (String::new(), false),
    };
    if is_other {
        return Err(Error::config(format!("source_address: no connection leads from {address} to {host}")));
    }
    UdpSocket::bind((address, 0)).map(drop).map_err(|error| {
        Error::config(format!("source_address: {address} is not an address of this machine ({error})"))
    })
}

fn build(config: &HttpConfig, keep: bool) -> Result<reqwest::Client> {
    let user_agent = config.user_agent.as_deref().unwrap_or(concat!("filestore/", env!("CARGO_PKG_VERSION")));
    let mut builder = reqwest::Client::builder()
        .user_agent(user_agent)
        .connect_timeout(config.connect_timeout)
        .local_address(config.source_address)
        .tcp_nodelay(true)
        .referer(false)
        // Both are decided here, with more knowledge.
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never());
    if !keep {
        builder = builder.pool_max_idle_per_host(0);
    }
    if let Some(proxy) = &config.proxy {
        builder = match proxy.expose_secret() {
            "none" => builder.no_proxy(),
            // The URL may hold a password: neither it nor the parser's text is shown. What is wrong with it is said
            // where it is checked.
            url => builder.proxy(reqwest::Proxy::all(url).map_err(|_| Error::config("proxy: not the URL of a proxy"))?),
        };
    }
    if let Some(path) = &config.ca_file {
        let problem = |why: String| Error::config(format!("ca_file: cannot use {}: {why}", path.display()));
        let pem = fs::read(path).map_err(|error| problem(error.to_string()))?;
        let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| problem(root(&error)))?;
        if certificates.is_empty() {
            return Err(problem("it holds no certificate in PEM form".to_owned()));
        }
        builder = builder.tls_certs_merge(certificates);
    }
    builder.build().map_err(|error| Error::config(format!("the HTTP client cannot be made: {}", root(&error))))
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("home", &self.0.home.origin().ascii_serialization()).finish_non_exhaustive()
    }
}
