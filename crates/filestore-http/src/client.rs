//! [`HttpClient`]: sends requests, again where that is right, within their limits.

use std::error::Error as StdError;
use std::fmt;
use std::fs;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::BytesMut;
use filestore_core::{Effect, Error, ErrorKind, Result};
use futures::future::{self, Either};
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use reqwest::redirect;
use secrecy::ExposeSecret;
use url::{Origin, Url};

use crate::answer::{Context, expected, next_chunk};
use crate::budget::{Budget, RETRY};
use crate::handed::Handed;
use crate::pace::Pace;
use crate::payload::Opened;
use crate::{
    Answer, Attempts, Clock, Decision, HttpConfig, JSON_LIMIT, Outcome, Policy, Repeat, Request, Situation,
    SystemClock, decide, effect_of, retry_after,
};

/// The client of one store. Cheap to clone; clones share connections, pace and retry budget.
#[derive(Clone)]
pub struct HttpClient(Arc<Shared>);

pub(crate) struct Shared {
    /// Keeps connections open for the next request.
    keeping: reqwest::Client,
    /// Opens a connection for each request. Made when it is first needed, because reading the
    /// system's certificates takes its time.
    fresh: OnceLock<reqwest::Client>,
    config: HttpConfig,
    /// Where credentials may go.
    home: Origin,
    pub(crate) policy: Policy,
    pub(crate) idle: Duration,
    timeout: Option<Duration>,
    pub(crate) budget: Budget,
    pace: Pace,
    pub(crate) clock: Arc<dyn Clock>,
}

/// An attempt that brought no answer.
struct Failed {
    outcome: Outcome,
    error: Error,
    /// The body itself failed: no attempt will make it better.
    own: bool,
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
        Ok(Self(Arc::new(Shared {
            keeping: build(config, true)?,
            fresh: OnceLock::new(),
            config: config.clone(),
            home: base.origin(),
            policy: Policy {
                max_retries: config.max_retries,
                first_delay: config.initial_retry_delay,
                longest_delay: config.max_retry_delay,
                ..Policy::default()
            },
            idle: config.idle_timeout,
            timeout: config.timeout,
            budget: Budget::default(),
            pace: Pace::new(config.rate),
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
    /// protocol's business. Errors: *unavailable* (no connection, a broken one), *timeout*, and the
    /// body's own, unchanged. Their effect is *not sent* when the service cannot have acted.
    pub async fn send(&self, request: Request) -> Result<Answer> {
        self.send_within(request, &mut Attempts::new()).await
    }

    /// [`send`](Self::send), for a step that may take several requests: retries come out of what
    /// `attempts` has left.
    pub async fn send_within(&self, request: Request, attempts: &mut Attempts) -> Result<Answer> {
        let Shared { clock, policy, budget, pace, .. } = self.shared();
        let mut lost_before = false;
        loop {
            attempts.made += 1;
            let attempt = attempts.made;
            pace.wait(&request.url, clock.as_ref()).await;
            let handed = Handed::new(Arc::clone(clock));
            let tried = self.attempt(&request, &handed).await;
            let (outcome, wished) = match &tried {
                Ok((response, _)) => {
                    let status = response.status().as_u16();
                    let default = request.pause_after_429.filter(|_| status == 429);
                    (Outcome::Status(status), retry_after(response.headers(), clock.now()).or(default))
                }
                Err(failed) => (failed.outcome, None),
            };
            let own = matches!(&tried, Err(failed) if failed.own);
            let decision = decide(
                policy,
                &Situation {
                    repeat: request.repeat,
                    outcome,
                    replayable: !own && (!handed.any() || request.payload.can_replay()),
                    attempt,
                    waited: attempts.waited,
                    retry_after: wished,
                    budget: budget.allows_a_retry(),
                    jitter: clock.jitter(),
                },
            );
            tracing::debug!(method = %request.method, url = request.shown(), attempt, ?outcome, ?decision, "http");
            let Decision::Retry(wait) = decision else {
                if matches!(outcome, Outcome::Status(status) if status < 500 && status != 429) {
                    budget.refill_after_success(std::mem::take(&mut attempts.paid));
                }
                return match tried {
                    Ok((response, deadline)) => Ok(Answer::new(
                        response,
                        Context {
                            client: self.clone(),
                            shown: request.shown(),
                            repeat: request.repeat,
                            attempts: attempt,
                            lost_before,
                            retry_after: wished,
                            deadline,
                        },
                    )),
                    // An earlier attempt may have had an effect although the last one did not leave.
                    Err(Failed { error, .. }) if lost_before && error.effect() == Effect::NotSent => {
                        let effect = effect_of(request.repeat, Outcome::Lost);
                        Err(error.with_effect(effect).with_attempts(attempt))
                    }
                    Err(Failed { error, .. }) => Err(error.with_attempts(attempt)),
                };
            };
            attempts.paid += budget.pay_for_a_retry();
            lost_before |= effect_of(request.repeat, outcome) == Effect::Unknown;
            if outcome == Outcome::Status(429) {
                pace.pause(&request.url, wait, clock.elapsed());
            }
            drop(tried);
            clock.sleep(wait).await;
            attempts.waited += wait;
        }
    }

    /// Whether a step that failed may be made again with fresh means, such as a new URL for one that
    /// expired. Waits as long as the policy says, and counts like any other retry.
    pub async fn may_repeat(&self, attempts: &mut Attempts) -> bool {
        let decision = self.repetition(attempts.made, attempts.waited);
        let Decision::Retry(wait) = decision else { return false };
        self.0.clock.sleep(wait).await;
        attempts.waited += wait;
        attempts.paid += RETRY;
        true
    }

    /// The decision over something harmless that came to nothing, paid for if it is made again.
    pub(crate) fn repetition(&self, attempt: u32, waited: Duration) -> Decision {
        let Shared { clock, policy, budget, .. } = self.shared();
        let decision = decide(
            policy,
            &Situation {
                repeat: Repeat::Safe,
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

    /// One attempt: the answer's head, and the moment at which its body must be there.
    async fn attempt(
        &self,
        request: &Request,
        handed: &Arc<Handed>,
    ) -> Result<(reqwest::Response, Option<Duration>), Failed> {
        let Shared { keeping, clock, .. } = self.shared();
        let own = |error| Failed { outcome: Outcome::NotSent, error, own: true };
        // 1. The body, opened anew.
        let Opened { stream, length } = request.payload.open().await.map_err(own)?;
        let body = match length {
            Some(0) => reqwest::Body::default(),
            _ => reqwest::Body::wrap_stream(handed.watch(stream)),
        };
        // 2. The head. Credentials do not leave home.
        let client = if request.own_connection { self.fresh().map_err(own)? } else { keeping };
        let mut built = reqwest::Request::new(request.method.clone(), request.url.clone());
        let headers = built.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        if let Some(content_type) = request.payload.content_type() {
            let value = HeaderValue::try_from(content_type)
                .map_err(|_| own(Error::invalid("the content type cannot be a header; choose another")))?;
            headers.insert(CONTENT_TYPE, value);
        }
        headers.extend(request.headers.clone());
        if request.url.origin() == self.0.home {
            headers.extend(request.credentials.clone());
        }
        if let Some(length) = length
            && !matches!(request.payload, crate::Payload::Empty)
        {
            headers.insert(CONTENT_LENGTH, length.into());
        }
        *built.body_mut() = Some(body);
        // 3. The exchange, within its limits.
        let deadline = self.0.timeout.map(|timeout| clock.elapsed() + timeout);
        let mut pending = std::pin::pin!(client.execute(built));
        loop {
            let left = self.left(deadline).map_or(self.0.idle, |left| left.min(self.0.idle));
            let limit = clock.limit(left.saturating_sub(handed.idle()));
            match future::select(pending.as_mut(), limit).await {
                Either::Left((Ok(response), _)) if request.whole_answer && response.status().is_success() => {
                    return Ok((self.read_whole(request, response, deadline).await?, deadline));
                }
                Either::Left((Ok(response), _)) => return Ok((response, deadline)),
                Either::Left((Err(error), _)) => return Err(self.failed(request, handed, length, error)),
                Either::Right(_) if self.left(deadline) == Some(Duration::ZERO) => {
                    return Err(too_slow(request, handed, length, "it took longer than the limit for one request"));
                }
                Either::Right(_) if handed.idle() >= self.0.idle => {
                    let message = format!("nothing moved for {} s", self.0.idle.as_secs_f64());
                    return Err(too_slow(request, handed, length, &message));
                }
                Either::Right(_) => {}
            }
        }
    }

    /// The same answer with its body in memory.
    async fn read_whole(
        &self,
        request: &Request,
        mut response: reqwest::Response,
        deadline: Option<Duration>,
    ) -> Result<reqwest::Response, Failed> {
        let context = Context {
            client: self.clone(),
            shown: request.shown(),
            repeat: request.repeat,
            attempts: 1,
            lost_before: false,
            retry_after: None,
            deadline,
        };
        let length = response.content_length();
        let mut body = BytesMut::with_capacity(expected(length, JSON_LIMIT));
        loop {
            match next_chunk(&mut response, &context).await {
                // Longer than anybody reads: what is there is enough to be told so.
                Ok(Some(chunk)) if body.len() <= JSON_LIMIT => body.extend_from_slice(&chunk),
                Ok(_) => break,
                Err(broken) => {
                    let error = broken.after(body.len() as u64, length);
                    return Err(Failed { outcome: Outcome::Lost, error, own: false });
                }
            }
        }
        let mut whole = http::Response::new(body.freeze());
        *whole.status_mut() = response.status();
        *whole.headers_mut() = std::mem::take(response.headers_mut());
        Ok(whole.into())
    }

    /// The time until `deadline`, if there is one.
    pub(crate) fn left(&self, deadline: Option<Duration>) -> Option<Duration> {
        deadline.map(|deadline| deadline.saturating_sub(self.0.clock.elapsed()))
    }

    fn failed(&self, request: &Request, handed: &Handed, length: Option<u64>, error: reqwest::Error) -> Failed {
        if let Some(own) = handed.take_failure() {
            return Failed { outcome: Outcome::Lost, error: own, own: true };
        }
        let cause = root(&error);
        if error.is_builder() {
            let error = Error::invalid(format!("{} cannot be asked: {cause}", request.shown()));
            return Failed { outcome: Outcome::NotSent, error, own: true };
        }
        let connecting = error.is_connect();
        let outcome = if connecting { Outcome::NotSent } else { how_far(handed, length) };
        let kind = if error.is_timeout() { ErrorKind::Timeout } else { ErrorKind::Unavailable };
        let message = if connecting {
            format!("cannot connect to {}: {cause}", crate::shown(&request.url, true).trim_end_matches("/..."))
        } else {
            format!("the connection to {} broke before the answer came: {cause}", request.shown())
        };
        let error = Error::new(kind, effect_of(request.repeat, outcome), message).with_source(error.without_url());
        Failed { outcome, error, own: false }
    }
}

/// A service cannot act on a request of whose body it has nothing.
fn how_far(handed: &Handed, length: Option<u64>) -> Outcome {
    if length != Some(0) && !handed.any() { Outcome::NotSent } else { Outcome::Lost }
}

fn too_slow(request: &Request, handed: &Handed, length: Option<u64>, what: &str) -> Failed {
    let outcome = how_far(handed, length);
    let message = format!("{}: {what}", request.shown());
    Failed { outcome, error: Error::new(ErrorKind::Timeout, effect_of(request.repeat, outcome), message), own: false }
}

/// The text of the innermost cause: the outer ones say only that something failed.
pub(crate) fn root(error: &reqwest::Error) -> String {
    let mut cause: &dyn StdError = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
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
            // The URL may hold a password: neither it nor the parser's text is shown.
            url => builder.proxy(reqwest::Proxy::all(url).map_err(|_| {
                Error::config("proxy: not the URL of a proxy; write http://HOST:PORT, or none to use no proxy")
            })?),
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
        f.debug_struct("HttpClient").field("home", &self.0.home.ascii_serialization()).finish_non_exhaustive()
    }
}
