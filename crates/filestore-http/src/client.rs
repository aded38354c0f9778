//! [`HttpClient`]: sends requests with retries, timeouts and a rate limit.

use std::fmt;
use std::net::{IpAddr, UdpSocket};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use filestore_core::{Error, Result, check_runtime};
use futures::future::poll_fn;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use secrecy::ExposeSecret;
use url::{Host, Position, Url};

use crate::connections::build;
use crate::exchange::body_progress::BodyProgress;
use crate::exchange::response_body::ResponseBody;
use crate::exchange::timeout::{Phase, Timeouts};
use crate::failure::Failed;
use crate::proxy::{Proxies, Proxy};
use crate::rate_limit::RateLimiter;
use crate::request::RequestParts;
use crate::response::{Context, incomplete_response, is_json_or_xml};
use crate::retry::Budget;
use crate::tls;
use crate::{
    Attempts, Clock, Decision, HttpConfig, Idempotency, JSON_LIMIT, Outcome, Policy, Request, RequestBody, Response,
    RetryContext, SystemClock, decide, retry_after,
};

/// The HTTP client of one store. Cheap to clone. Clones share connections, the rate limit and the retry budget.
#[derive(Clone)]
pub struct HttpClient(Arc<Shared>);

pub(crate) struct Shared {
    /// Keeps connections open for the next request.
    pooled: reqwest::Client,
    /// Opens a connection for each request. Created on first use, because reading the system's certificates takes
    /// time.
    unpooled: OnceLock<reqwest::Client>,
    config: HttpConfig,
    /// Credentials are sent only to its origin.
    base: Url,
    proxies: Arc<Proxies>,
    pub(crate) policy: Policy,
    pub(crate) budget: Budget,
    rate_limiter: RateLimiter,
    pub(crate) clock: Arc<dyn Clock>,
}

impl HttpClient {
    /// Returns a client that sends credentials only to the origin of `base`.
    ///
    /// Fails with *config* if a setting cannot be used, such as a CA file that does not exist or a proxy that is not a
    /// URL.
    pub fn new(config: &HttpConfig, base: &Url) -> Result<Self> {
        Self::with_clock(config, base, Arc::new(SystemClock::default()))
    }

    /// Returns a client that takes time and random numbers from `clock`, for tests. Fails as [`new`](Self::new) does.
    pub fn with_clock(config: &HttpConfig, base: &Url, clock: Arc<dyn Clock>) -> Result<Self> {
        tls::check(base)?;
        if let Some(address) = config.source_address {
            check_source_address(address, base)?;
        }
        let proxy = config.proxy.as_ref().map(ExposeSecret::expose_secret);
        let proxies = Arc::new(Proxies::new(proxy, |name| std::env::var(name).ok())?);
        Ok(Self(Arc::new(Shared {
            pooled: build(config, &proxies, true)?,
            unpooled: OnceLock::new(),
            config: config.clone(),
            base: base.clone(),
            proxies,
            policy: Policy {
                max_retries: config.max_retries,
                first_delay: config.initial_retry_delay,
                longest_delay: config.max_retry_delay,
                ..Policy::default()
            },
            budget: Budget::default(),
            rate_limiter: RateLimiter::new(config.rate),
            clock,
        })))
    }

    /// Returns the clock of this client.
    pub fn clock(&self) -> &dyn Clock {
        self.0.clock.as_ref()
    }

    fn unpooled(&self) -> Result<&reqwest::Client> {
        if let Some(client) = self.0.unpooled.get() {
            return Ok(client);
        }
        let client = build(&self.0.config, &self.0.proxies, false)?;
        Ok(self.0.unpooled.get_or_init(|| client))
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.0
    }

    /// Sends `request` and retries it as [`decide`] says.
    ///
    /// Returns every response, whatever its status, redirects included. The caller interprets the status.
    ///
    /// Errors:
    /// - *unavailable*: no connection was established, or it broke;
    /// - *timeout*: one of the timeouts elapsed;
    /// - *config* and *permission*: TLS or the proxy does not allow a connection;
    /// - *invalid input*: the request cannot be built;
    /// - *protocol*: the response is not HTTP, or reports success before the whole body was sent;
    /// - the error of the request's body, unchanged.
    ///
    /// The effect of an error covers all attempts; see [`History`](crate::History).
    pub async fn send(&self, request: Request) -> Result<Response> {
        self.send_within(request, &mut Attempts::new()).await
    }

    /// Sends `request` like [`send`](Self::send), as one of the requests of a step. They share the retries and the
    /// history of `attempts`, from which the effect of an error is derived.
    pub async fn send_within(&self, request: Request, attempts: &mut Attempts) -> Result<Response> {
        let Shared { clock, policy, budget, rate_limiter, .. } = self.shared();
        let request = request.0;
        check_runtime()?;
        loop {
            attempts.begin();
            let attempt = attempts.since_progress();
            rate_limiter.wait(&request.head.url, clock.as_ref()).await;
            let body_progress = BodyProgress::new(Arc::clone(clock));
            let result = self.attempt(&request, &body_progress).await;
            let (outcome, retry_after) = self.record(&request, &result, attempts);
            let decision = decide(
                policy,
                &RetryContext {
                    idempotency: request.idempotency,
                    outcome,
                    replayable: is_replayable(&request, &result, &body_progress),
                    attempt,
                    waited: attempts.waited,
                    retry_after,
                    budget: budget.allows_a_retry(),
                    jitter: clock.jitter(),
                },
            );
            tracing::debug!(
                method = %request.method,
                url = request.head.redacted_url(),
                attempt,
                ?outcome,
                ?decision,
                "http"
            );
            let Decision::Retry(wait) = decision else {
                if matches!(outcome, Outcome::Status(status) if status < 500 && status != 429) {
                    budget.refill_after_success(std::mem::take(&mut attempts.paid));
                }
                return self.finish(request, result, retry_after, attempts);
            };
            attempts.paid += budget.pay_for_a_retry();
            if outcome == Outcome::Status(429) {
                rate_limiter.pause(&request.head.url, wait, clock.elapsed());
            }
            drop(result);
            clock.sleep(wait).await;
            attempts.waited = attempts.waited.saturating_add(wait);
        }
    }

    /// Sends `request` once, for callers that retry by their own rules.
    ///
    /// Timeouts and errors are those of [`send`](Self::send).
    pub async fn exchange(&self, request: Request) -> Exchange {
        let Shared { clock, rate_limiter, .. } = self.shared();
        if let Err(error) = check_runtime() {
            return Exchange { outcome: Outcome::NotSent, replayable: false, sent: 0, response: Err(error) };
        }
        let request = request.0;
        rate_limiter.wait(&request.head.url, clock.as_ref()).await;
        let body_progress = BodyProgress::new(Arc::clone(clock));
        let result = self.attempt(&request, &body_progress).await;
        let mut attempts = Attempts::new();
        attempts.begin();
        let (outcome, retry_after) = self.record(&request, &result, &mut attempts);
        Exchange {
            outcome,
            replayable: is_replayable(&request, &result, &body_progress),
            sent: body_progress.sent(),
            response: self.finish(request, result, retry_after, &attempts),
        }
    }

    /// Adds an attempt to the history. Returns its outcome and the wait that the service asks for.
    fn record(
        &self,
        request: &RequestParts,
        result: &Result<ResponseBody, Failed>,
        attempts: &mut Attempts,
    ) -> (Outcome, Option<Duration>) {
        let (outcome, retry_after) = match result {
            Ok(ResponseBody { response, .. }) => {
                let status = response.status().as_u16();
                let default = request.default_retry_after.filter(|_| status == 429);
                let outcome = Outcome::of_response(status, is_json_or_xml(response.headers()));
                (outcome, retry_after(response.headers(), self.0.clock.now()).or(default))
            }
            Err(failed) => (failed.outcome, None),
        };
        match result {
            Err(failed) if failed.is_local => attempts.history.record_local_error(failed.error.effect()),
            _ => attempts.history.record(request.idempotency, outcome),
        }
        (outcome, retry_after)
    }

    /// Turns the last attempt into the result for the caller.
    fn finish(
        &self,
        request: Box<RequestParts>,
        result: Result<ResponseBody, Failed>,
        retry_after: Option<Duration>,
        attempts: &Attempts,
    ) -> Result<Response> {
        match result {
            Ok(response_body) => Ok(Response::new(
                response_body,
                Context {
                    request: request.head,
                    idempotency: request.idempotency,
                    attempts: attempts.made(),
                    history: attempts.history,
                    retry_after,
                },
            )),
            Err(Failed { error, .. }) => {
                Err(error.with_effect(attempts.history.effect()).with_attempts(attempts.made()))
            }
        }
    }

    /// Returns `true` if a failed step may be retried with a changed request, such as one to a new URL in place of an
    /// expired one.
    ///
    /// Waits before it returns `true`, as long as the policy says. Counts as a retry of `attempts`.
    pub async fn retry_step(&self, attempts: &mut Attempts) -> bool {
        let Shared { clock, policy, budget, .. } = self.shared();
        let decision = decide(
            policy,
            &RetryContext {
                idempotency: Idempotency::Safe,
                outcome: Outcome::Lost,
                replayable: true,
                attempt: attempts.since_progress(),
                waited: attempts.waited,
                retry_after: None,
                budget: budget.allows_a_retry(),
                jitter: clock.jitter(),
            },
        );
        let Decision::Retry(wait) = decision else { return false };
        attempts.paid += budget.pay_for_a_retry();
        clock.sleep(wait).await;
        attempts.waited = attempts.waited.saturating_add(wait);
        true
    }

    /// Makes one attempt.
    async fn attempt(&self, request: &RequestParts, body_progress: &Arc<BodyProgress>) -> Result<ResponseBody, Failed> {
        let Shared { pooled, clock, config, proxies, .. } = self.shared();
        // 1. Check that the program can connect, and open the body.
        tls::check(&request.head.url).map_err(Failed::local)?;
        let proxy = proxies.for_url(&request.head.url);
        proxy.map_or(Ok(()), Proxy::check_tls).map_err(Failed::local)?;
        let body = request.body.open().await.map_err(Failed::local)?;
        let length = body.length();
        // 2. Build the request.
        let mut built = reqwest::Request::new(request.method.clone(), request.head.url.clone());
        *built.headers_mut() = self.headers(request, length).map_err(Failed::local)?;
        if length != Some(0) {
            *built.body_mut() = Some(reqwest::Body::wrap(body_progress.track(body)));
        }
        // 3. Send it and wait for the response, within the timeouts.
        let client = if request.fresh_connection { self.unpooled().map_err(Failed::local)? } else { pooled };
        let mut timeouts = Timeouts::new(Arc::clone(clock), config);
        let mut pending = std::pin::pin!(client.execute(built));
        let is_sent = || length == Some(0) || body_progress.all_sent();
        let phase = || if is_sent() { Phase::Wait } else { Phase::Transfer };
        let response = poll_fn(|cx| match pending.as_mut().poll(cx) {
            Poll::Ready(response) => Poll::Ready(Ok(response)),
            Poll::Pending => timeouts.poll_elapsed(cx, phase, || body_progress.last_progress()).map(Err),
        });
        let response = match response.await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(Failed::sending(&request.head, body_progress, length, error, proxy)),
            Err(elapsed) => return Err(Failed::timed_out(&request.head, body_progress, length, elapsed)),
        };
        if let (407, Some(proxy)) = (response.status().as_u16(), proxy) {
            return Err(Failed::proxy_authentication(proxy));
        }
        if response.status().is_success() && !is_sent() {
            return Err(Failed::early_success(&request.head, response.status()));
        }
        let mut response_body = ResponseBody::new(response, timeouts);
        if request.buffered && response_body.response.status().is_success() {
            response_body.buffer(JSON_LIMIT).await.map_err(|(cause, received)| {
                let error = incomplete_response(&request.head, &cause, received, response_body.length);
                Failed { outcome: Outcome::Lost, error, is_local: false }
            })?;
        }
        Ok(response_body)
    }

    /// Returns the headers of a request whose body has `length` bytes. Adds credentials only for the base URL's origin.
    pub(crate) fn headers(&self, request: &RequestParts, length: Option<u64>) -> Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        if let Some(content_type) = request.body.content_type()? {
            headers.insert(CONTENT_TYPE, content_type);
        }
        // The HTTP library announces any other length itself.
        if length == Some(0) && !matches!(request.body, RequestBody::Empty) {
            headers.insert(CONTENT_LENGTH, 0.into());
        }
        let is_same_origin = origin(&request.head.url) == origin(&self.0.base);
        let credentials = if is_same_origin { request.head.credentials.as_slice() } else { &[] };
        for (name, value) in request.head.headers.iter().chain(credentials) {
            headers.insert(name.clone(), value.clone());
        }
        Ok(headers)
    }
}

/// A single exchange of a request and its response.
#[derive(Debug)]
#[non_exhaustive]
pub struct Exchange {
    /// The outcome, which proves the effect.
    pub outcome: Outcome,
    /// `true` if the request can be sent again: its body was not read yet or can be opened again.
    pub replayable: bool,
    /// The number of bytes of the body that were passed to the connection.
    pub sent: u64,
    /// The response, or the error of the exchange.
    pub response: Result<Response>,
}

fn is_replayable(request: &RequestParts, result: &Result<ResponseBody, Failed>, body_progress: &BodyProgress) -> bool {
    let is_local = matches!(result, Err(failed) if failed.is_local);
    !is_local && (!body_progress.any_sent() || request.body.can_replay())
}

/// Returns scheme, host and port. `Url` has normalized their spelling.
fn origin(url: &Url) -> (&str, &str) {
    (url.scheme(), &url[Position::BeforeHost..Position::AfterPort])
}

/// Fails with *config* if no connection to `base` can come from `address`.
fn check_source_address(address: IpAddr, base: &Url) -> Result<()> {
    let (host, is_other_family) = match base.host() {
        Some(Host::Ipv4(host)) => (host.to_string(), !address.is_ipv4()),
        Some(Host::Ipv6(host)) => (host.to_string(), !address.is_ipv6()),
        _ => (String::new(), false),
    };
    if is_other_family {
        return Err(Error::config(format!(
            "source_address: cannot connect from {address} to {host}, because one is IPv4 and the other is IPv6; use \
             an address of the same family"
        )));
    }
    UdpSocket::bind((address, 0)).map(drop).map_err(|error| {
        Error::config(format!("source_address: {address} is not an address of this machine ({error})"))
    })
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("base", &self.0.base.origin().ascii_serialization()).finish_non_exhaustive()
    }
}
