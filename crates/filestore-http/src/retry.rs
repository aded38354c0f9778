//! [`decide`]: decides whether to retry a request, as a pure function of its [`RetryContext`] and a [`Policy`].
//!
//! | outcome | safe | idempotent | non-idempotent | consuming |
//! |---|---|---|---|---|
//! | nothing was sent, and the next connection may succeed | retry | retry | retry | retry |
//! | no connection is possible (TLS, proxy), or the response is not HTTP | no | no | no | no |
//! | 429 | retry | retry | retry | no |
//! | 408, 5xx except 501, 505, 507 and 511 | retry | retry | no | no |
//! | the response was lost | retry | retry | no | no |
//! | any other status | no | no | no | no |
//!
//! A request is never retried if its body cannot be sent a second time, if the attempts, the total wait or the client's
//! shared budget are used up, or if the service asks for a wait that exceeds the total.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use filestore_core::Effect;

use crate::{History, Idempotency, Outcome};

/// The limits of retries and their waits.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "written out with `..Policy::default()`")]
pub struct Policy {
    /// The maximum number of attempts after the first.
    pub max_retries: u32,
    /// The maximum wait before the second attempt. It doubles for each further attempt.
    pub first_delay: Duration,
    /// The maximum wait before any attempt, unless the service asks for a longer one.
    pub longest_delay: Duration,
    /// The maximum sum of all waits of one request, including those that the service asks for. The time of transfers
    /// does not count, because it depends on the size of the file.
    pub longest_wait: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_retries: 3,
            first_delay: Duration::from_millis(500),
            longest_delay: Duration::from_secs(2),
            longest_wait: Duration::from_secs(30),
        }
    }
}

/// The state of a request that [`decide`] depends on.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "callers of `decide` write it out")]
pub struct RetryContext {
    /// The effect of sending the request twice.
    pub idempotency: Idempotency,
    /// The outcome of this attempt.
    pub outcome: Outcome,
    /// `true` if the body can be sent once more.
    pub replayable: bool,
    /// The number of this attempt, from 1.
    pub attempt: u32,
    /// The sum of the waits so far.
    pub waited: Duration,
    /// The wait that the service asks for.
    pub retry_after: Option<Duration>,
    /// `true` if the client's shared budget allows a retry.
    pub budget: bool,
    /// A random number from 0 to 1 that spreads the waits of many clients.
    pub jitter: f64,
}

/// The decision whether to retry a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// Retry after this wait.
    Retry(Duration),
    /// Return the outcome to the caller, for this reason.
    GiveUp(GiveUp),
}

/// The reason not to retry a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum GiveUp {
    /// A retry would have the same outcome.
    Final,
    /// A retry could take effect twice.
    Effect,
    /// The body cannot be sent a second time.
    Body,
    /// All attempts are used up.
    Attempts,
    /// The waits would exceed [`Policy::longest_wait`].
    Time,
    /// The client's shared budget is used up.
    Budget,
}

/// Decides whether to retry a request.
///
/// ```
/// use std::time::Duration;
///
/// use filestore_http::{Decision, GiveUp, Idempotency, Outcome, Policy, RetryContext, decide};
///
/// let lost = RetryContext {
///     idempotency: Idempotency::Idempotent,
///     outcome: Outcome::Lost,
///     replayable: true,
///     attempt: 1,
///     waited: Duration::ZERO,
///     retry_after: None,
///     budget: true,
///     jitter: 1.0,
/// };
/// let policy = Policy::default();
/// assert_eq!(decide(&policy, &lost), Decision::Retry(Duration::from_millis(500)));
///
/// let non_idempotent = RetryContext { idempotency: Idempotency::NonIdempotent, ..lost };
/// assert_eq!(decide(&policy, &non_idempotent), Decision::GiveUp(GiveUp::Effect));
/// ```
pub fn decide(policy: &Policy, context: &RetryContext) -> Decision {
    let retry_after = context.retry_after.unwrap_or_default();
    let wait = delay(policy, context.attempt, context.jitter).max(retry_after);
    let reason = if !is_temporary(context.outcome) {
        GiveUp::Final
    } else if !is_harmless(context.idempotency, context.outcome) {
        GiveUp::Effect
    } else if !context.replayable {
        GiveUp::Body
    } else if context.attempt > policy.max_retries {
        GiveUp::Attempts
    } else if context.waited.checked_add(wait).is_none_or(|total| total > policy.longest_wait) {
        GiveUp::Time
    } else if !context.budget {
        GiveUp::Budget
    } else {
        return Decision::Retry(wait);
    };
    Decision::GiveUp(reason)
}

fn is_temporary(outcome: Outcome) -> bool {
    match outcome {
        Outcome::NotSent | Outcome::Lost => true,
        Outcome::Misconfigured | Outcome::NotHttp => false,
        Outcome::Status(status) | Outcome::Gateway(status) => {
            matches!(status, 408 | 429) || status >= 500 && !matches!(status, 501 | 505 | 507 | 511)
        }
    }
}

/// Returns `true` if a retry cannot make the request take effect twice.
fn is_harmless(idempotency: Idempotency, outcome: Outcome) -> bool {
    match idempotency {
        Idempotency::Safe | Idempotency::Idempotent => true,
        Idempotency::NonIdempotent => matches!(outcome, Outcome::NotSent | Outcome::Status(429)),
        // A rejection shows that the request arrived. The service may have counted it as a download.
        Idempotency::Consuming => outcome == Outcome::NotSent,
    }
}

/// Returns an exponential delay. Its upper half is random, so clients that failed together do not retry together.
fn delay(policy: &Policy, attempt: u32, jitter: f64) -> Duration {
    // Not `backon`: it draws the random number itself and adds it to the longest delay.
    let doubled = policy.first_delay.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1)));
    let longest = doubled.min(policy.longest_delay);
    // NaN stays NaN here, and the conversion below rejects it.
    let factor = 0.5 + 0.5 * jitter.clamp(0.0, 1.0);
    Duration::try_from_secs_f64(longest.as_secs_f64() * factor).map_or(longest, |delay| delay.min(longest))
}

/// The attempts and waits of one step of an operation, such as the upload of a part, over all requests that it takes.
///
/// A step may be retried with a changed request, such as one to a new URL in place of an expired one. Such a retry and
/// the retries of each request share the same limits: [`HttpClient::send_within`](crate::HttpClient::send_within) and
/// [`HttpClient::retry_step`](crate::HttpClient::retry_step) both count here.
#[derive(Debug, Clone, Default)]
pub struct Attempts {
    made: u32,
    /// The attempts before the last one after which some of a response arrived. The policy does not count them.
    earlier: u32,
    pub(crate) waited: Duration,
    /// The tokens that its retries took from the [`Budget`]. A success returns them.
    pub(crate) paid: u32,
    pub(crate) history: History,
}

impl Attempts {
    /// Returns a count of no attempts and no waits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts an attempt of a step whose requests have their own `Attempts`.
    pub fn begin(&mut self) {
        self.made += 1;
    }

    /// Returns the count of a step that has made `attempts`, with the last of which some of a response arrived.
    pub(crate) fn after(attempts: u32) -> Self {
        let mut counted = Self { made: attempts, ..Self::default() };
        counted.progressed();
        counted
    }

    /// Makes the policy count the attempts from 1 and the waits from zero again, because some of a response arrived.
    pub fn progressed(&mut self) {
        (self.earlier, self.waited) = (self.made.saturating_sub(1), Duration::ZERO);
    }

    /// Returns the number of the attempt as the policy counts it.
    pub(crate) fn since_progress(&self) -> u32 {
        self.made - self.earlier
    }

    /// Returns the outcomes of all attempts and what they prove about the effect of the step.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Records that a read-back found no trace of the step; see [`History::record_nothing_found`].
    pub fn record_nothing_found(&mut self) -> Effect {
        self.history.record_nothing_found()
    }

    /// Returns the number of all attempts.
    pub fn made(&self) -> u32 {
        self.made
    }
}

/// A token bucket that limits the retries of all requests of a client.
///
/// When a service is down, every request fails. Without the budget, the retries would multiply the load and keep the
/// service down. A retry that succeeds returns its tokens, because a connection that breaks now and then is not an
/// outage, however many parts a file has.
#[derive(Debug)]
pub(crate) struct Budget {
    /// In tenths of a retry.
    tokens: AtomicU32,
}

/// The capacity of a [`Budget`]: 20 retries without a success, then one for every 10 requests that succeed.
const FULL: u32 = 200;
/// The tokens that a retry takes.
const RETRY: u32 = 10;

impl Default for Budget {
    fn default() -> Self {
        Self { tokens: AtomicU32::new(FULL) }
    }
}

impl Budget {
    pub(crate) fn allows_a_retry(&self) -> bool {
        self.tokens.load(Ordering::Relaxed) >= RETRY
    }

    /// Takes the tokens of a retry and returns their number.
    pub(crate) fn pay_for_a_retry(&self) -> u32 {
        let _ = self.tokens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(RETRY)));
        RETRY
    }

    /// Returns the tokens of the retries before a success, and adds one for the success.
    pub(crate) fn refill_after_success(&self, paid: u32) {
        let more = 1 + paid;
        let _ = self.tokens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(FULL.min(left + more)));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Idempotency; 4] =
        [Idempotency::Safe, Idempotency::Idempotent, Idempotency::NonIdempotent, Idempotency::Consuming];

    fn first(idempotency: Idempotency, outcome: Outcome) -> RetryContext {
        RetryContext {
            idempotency,
            outcome,
            replayable: true,
            attempt: 1,
            waited: Duration::ZERO,
            retry_after: None,
            budget: true,
            jitter: 1.0,
        }
    }

    fn decision(context: RetryContext) -> Decision {
        decide(&Policy::default(), &context)
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_table_of_outcomes() {
        use GiveUp::{Effect, Final};
        use Outcome::{Gateway, Lost, Misconfigured, NotHttp, NotSent, Status};

        // outcome, then safe / idempotent / non-idempotent / consuming; None: retry.
        let table: &[(Outcome, [Option<GiveUp>; 4])] = &[
            (NotSent, [None, None, None, None]),
            (Status(429), [None, None, None, Some(Effect)]),
            (Status(408), [None, None, Some(Effect), Some(Effect)]),
            (Status(500), [None, None, Some(Effect), Some(Effect)]),
            (Status(502), [None, None, Some(Effect), Some(Effect)]),
            (Status(503), [None, None, Some(Effect), Some(Effect)]),
            (Status(504), [None, None, Some(Effect), Some(Effect)]),
            (Status(524), [None, None, Some(Effect), Some(Effect)]),
            (Gateway(503), [None, None, Some(Effect), Some(Effect)]),
            (Lost, [None, None, Some(Effect), Some(Effect)]),
            (Misconfigured, [Some(Final); 4]),
            (NotHttp, [Some(Final); 4]),
            (Status(501), [Some(Final); 4]),
            (Status(505), [Some(Final); 4]),
            (Status(507), [Some(Final); 4]),
            (Status(511), [Some(Final); 4]),
            (Status(200), [Some(Final); 4]),
            (Status(301), [Some(Final); 4]),
            (Status(400), [Some(Final); 4]),
            (Status(401), [Some(Final); 4]),
            (Status(403), [Some(Final); 4]),
            (Status(404), [Some(Final); 4]),
            (Status(409), [Some(Final); 4]),
            (Status(413), [Some(Final); 4]),
        ];
        for (outcome, row) in table {
            for (idempotency, reason) in ALL.into_iter().zip(row) {
                let expected = reason.map_or(Decision::Retry(ms(500)), Decision::GiveUp);
                assert_eq!(decision(first(idempotency, *outcome)), expected, "{outcome:?} {idempotency:?}");
            }
        }
    }

    #[test]
    fn the_table_of_limits() {
        let lost = first(Idempotency::Safe, Outcome::Lost);
        let wait = |seconds| Some(Duration::from_secs(seconds));
        let rows: &[(RetryContext, Decision)] = &[
            (RetryContext { replayable: false, ..lost }, Decision::GiveUp(GiveUp::Body)),
            (RetryContext { attempt: 3, ..lost }, Decision::Retry(ms(2000))),
            (RetryContext { attempt: 4, ..lost }, Decision::GiveUp(GiveUp::Attempts)),
            (RetryContext { waited: ms(29_500), ..lost }, Decision::Retry(ms(500))),
            (RetryContext { waited: ms(29_501), ..lost }, Decision::GiveUp(GiveUp::Time)),
            (RetryContext { budget: false, ..lost }, Decision::GiveUp(GiveUp::Budget)),
            (RetryContext { retry_after: wait(0), ..lost }, Decision::Retry(ms(500))),
            (RetryContext { retry_after: wait(20), ..lost }, Decision::Retry(ms(20_000))),
            (RetryContext { retry_after: wait(20), waited: ms(20_000), ..lost }, Decision::GiveUp(GiveUp::Time)),
            (RetryContext { retry_after: wait(60), ..lost }, Decision::GiveUp(GiveUp::Time)),
            (RetryContext { retry_after: wait(u64::MAX), waited: ms(1000), ..lost }, Decision::GiveUp(GiveUp::Time)),
        ];
        for (context, expected) in rows {
            assert_eq!(decision(*context), *expected, "{context:?}");
        }
    }

    #[test]
    fn waits_double_up_to_the_longest_delay_and_jitter_spreads_their_upper_half() {
        let wait = |attempt, jitter| delay(&Policy::default(), attempt, jitter);
        assert_eq!([1, 2, 3, 4, 40].map(|attempt| wait(attempt, 1.0)), [500, 1000, 2000, 2000, 2000].map(ms));
        assert_eq!(wait(1, 0.0), ms(250));
        assert_eq!(wait(3, 0.5), ms(1500));
    }

    #[test]
    fn the_budget_allows_20_retries_and_then_one_for_10_successes() {
        let budget = Budget::default();
        let mut retries = 0;
        while budget.allows_a_retry() {
            budget.pay_for_a_retry();
            retries += 1;
        }
        assert_eq!(retries, 20);
        for _ in 0..9 {
            budget.refill_after_success(0);
        }
        assert!(!budget.allows_a_retry());
        budget.refill_after_success(0);
        assert!(budget.allows_a_retry());
    }

    #[test]
    fn a_retry_that_succeeds_costs_nothing() {
        let budget = Budget::default();
        for _ in 0..100 {
            assert!(budget.allows_a_retry());
            let paid = budget.pay_for_a_retry();
            budget.refill_after_success(paid);
        }
        assert!(budget.allows_a_retry());
    }

    fn durations() -> impl Strategy<Value = Duration> {
        prop_oneof![
            Just(Duration::ZERO),
            Just(Duration::MAX),
            (0..100_000_u64).prop_map(Duration::from_millis),
            (any::<u64>(), 0..1_000_000_000_u32).prop_map(|(seconds, nanos)| Duration::new(seconds, nanos)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]

        #[test]
        fn the_waits_never_exceed_the_policy(
            max_retries in any::<u32>(),
            (first_delay, longest_delay, longest_wait) in (durations(), durations(), durations()),
            (attempt, waited, budget) in (any::<u32>(), durations(), any::<bool>()),
            retry_after in prop::option::of(durations()),
            outcome in prop_oneof![
                Just(Outcome::NotSent), Just(Outcome::Lost), Just(Outcome::Misconfigured), Just(Outcome::NotHttp),
                any::<u16>().prop_map(Outcome::Status)
            ],
            idempotency in prop::sample::select(&ALL[..]),
            (replayable, jitter) in (any::<bool>(), any::<f64>()),
        ) {
            let policy = Policy { max_retries, first_delay, longest_delay, longest_wait };
            let context =
                RetryContext { idempotency, outcome, replayable, attempt, waited, retry_after, budget, jitter };
            if let Decision::Retry(wait) = decide(&policy, &context) {
                prop_assert!(waited.checked_add(wait).is_some_and(|total| total <= longest_wait), "{wait:?}");
                prop_assert!(wait >= retry_after.unwrap_or_default() && attempt <= max_retries && budget);
            }
        }
    }
}
