//! Whether a request is sent again: one pure function and the words it speaks in.
//!
//! | outcome | safe | idempotent | once | consuming |
//! |---|---|---|---|---|
//! | nothing was sent, and the connection may come about next time | again | again | again | again |
//! | the connection cannot come about (TLS, proxy), or what came is not HTTP | no | no | no | no |
//! | 429 | again | again | again | no |
//! | 408, 5xx but 501, 505, 507 and 511 | again | again | no | no |
//! | the answer was lost | again | again | no | no |
//! | any other status | no | no | no | no |
//!
//! And never when the body cannot be sent a second time, when the attempts, the time for waiting or
//! the client's shared budget are used up, or when the service asks for a longer wait than that.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use filestore_core::Effect;

use crate::{History, Idempotency, Outcome};

/// How often and how long.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "written out with `..Policy::default()`")]
pub struct Policy {
    /// Attempts after the first.
    pub max_retries: u32,
    /// The wait before the second attempt; doubled for each further one.
    pub first_delay: Duration,
    /// The longest wait that the policy itself asks for.
    pub longest_delay: Duration,
    /// All waits of one request together, those that the service asks for included. The time that
    /// transfers take does not count: it depends on the size of the file.
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

/// All that the decision depends on.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "written out by whoever asks for a decision")]
pub struct RetryContext {
    /// What the request does when it is repeated.
    pub idempotency: Idempotency,
    /// What became of this attempt.
    pub outcome: Outcome,
    /// Whether the body can be sent (again).
    pub replayable: bool,
    /// The number of this attempt, from 1.
    pub attempt: u32,
    /// The time spent in waits so far.
    pub waited: Duration,
    /// How long the service asks to wait.
    pub retry_after: Option<Duration>,
    /// Whether the client's shared budget has a retry left.
    pub budget: bool,
    /// A number from 0 to 1.
    pub jitter: f64,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// Send it again after this time.
    Retry(Duration),
    /// Let the caller have it.
    GiveUp(GiveUp),
}

/// Why a request is not sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum GiveUp {
    /// It is an answer for good.
    Final,
    /// A retry_decision could do it twice.
    Effect,
    /// The body cannot be sent a second time.
    Body,
    /// The attempts are used up.
    Attempts,
    /// The waits would become too long.
    Time,
    /// The client has spent its budget.
    Budget,
}

/// Whether to send a request again.
///
/// ```
/// use std::time::Duration;
///
/// use filestore_http::{Decision, Outcome, Policy, Idempotency, RetryContext, GiveUp, decide};
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
/// assert_eq!(decide(&policy, &RetryContext { idempotency: Idempotency::NonIdempotent, ..lost }), Decision::GiveUp(GiveUp::Effect));
/// ```
pub fn decide(policy: &Policy, situation: &RetryContext) -> Decision {
    let retry_after = situation.retry_after.unwrap_or_default();
    let wait = delay(policy, situation.attempt, situation.jitter).max(retry_after);
    let stop = if !is_temporary(situation.outcome) {
        GiveUp::Final
    } else if !is_harmless(situation.idempotency, situation.outcome) {
        GiveUp::Effect
    } else if !situation.replayable {
        GiveUp::Body
    } else if situation.attempt > policy.max_retries {
        GiveUp::Attempts
    } else if situation.waited.checked_add(wait).is_none_or(|all| all > policy.longest_wait) {
        GiveUp::Time
    } else if !situation.budget {
        GiveUp::Budget
    } else {
        return Decision::Retry(wait);
    };
    Decision::GiveUp(stop)
}

fn is_temporary(outcome: Outcome) -> bool {
    match outcome {
        Outcome::NotSent | Outcome::Lost => true,
        Outcome::Misconfigured | Outcome::NotHttp => false,
        Outcome::Status(status) => {
            matches!(status, 408 | 429) || status >= 500 && !matches!(status, 501 | 505 | 507 | 511)
        }
    }
}

/// Whether one more attempt cannot do more than one attempt was meant to do.
fn is_harmless(idempotency: Idempotency, outcome: Outcome) -> bool {
    match idempotency {
        Idempotency::Safe | Idempotency::Idempotent => true,
        Idempotency::NonIdempotent => matches!(outcome, Outcome::NotSent | Outcome::Status(429)),
        // Even a rejection shows that the request was there, and who knows how it was counted.
        Idempotency::Consuming => outcome == Outcome::NotSent,
    }
}

/// Exponential, the upper half of it random: clients that failed together do not come back together.
fn delay(policy: &Policy, attempt: u32, jitter: f64) -> Duration {
    // Not `backon`: its jitter is a random number of its own, and comes on top of the longest delay.
    let doubled = policy.first_delay.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1)));
    let longest = doubled.min(policy.longest_delay);
    // NaN stays NaN here, and is no duration below.
    let share = 0.5 + 0.5 * jitter.clamp(0.0, 1.0);
    Duration::try_from_secs_f64(longest.as_secs_f64() * share).map_or(longest, |delay| delay.min(longest))
}

/// How often a step was tried and how long it waited, over all the requests that it took.
///
/// A flow that repeats a step with fresh means (a new URL for an expired one) does so out of the same
/// attempts and the same time as the retries below it:
/// [`HttpClient::send_within`](crate::HttpClient::send_within) and
/// [`HttpClient::retry_step`](crate::HttpClient::retry_step) both count here.
#[derive(Debug, Clone, Default)]
pub struct Attempts {
    pub(crate) made: u32,
    pub(crate) waited: Duration,
    /// What its retries took from the shared budget. It comes back when one of them succeeds.
    pub(crate) paid: u32,
    pub(crate) history: History,
}

impl Attempts {
    /// None made, nothing waited.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more is made, of a step whose requests have attempts of their own.
    pub fn begin(&mut self) {
        self.made += 1;
    }

    /// Some of an answer came: the attempts for its rest count anew, after this one.
    pub fn progressed(&mut self) {
        (self.made, self.waited) = (1, Duration::ZERO);
    }

    /// What all of them prove about the effect of the step.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Takes in that a read-back has found no trace of the step; see [`History::record_nothing_found`].
    pub fn record_nothing_found(&mut self) -> Effect {
        self.history.record_nothing_found()
    }

    /// How many were made.
    pub fn made(&self) -> u32 {
        self.made
    }
}

/// A bucket of tokens. When a service is down, every request fails; without this, each of them would
/// come back several times and keep it down. A retry that succeeds gives back what it cost: connections
/// that break now and then are no outage, however many parts a file has.
#[derive(Debug)]
pub(crate) struct Budget {
    /// In tenths of a retry.
    tenths: AtomicU32,
}

/// Twenty retries without success, then one for every ten requests that went well.
const FULL: u32 = 200;
pub(crate) const RETRY: u32 = 10;

impl Default for Budget {
    fn default() -> Self {
        Self { tenths: AtomicU32::new(FULL) }
    }
}

impl Budget {
    pub(crate) fn allows_a_retry(&self) -> bool {
        self.tenths.load(Ordering::Relaxed) >= RETRY
    }

    /// Takes the price of a retry, and says it.
    pub(crate) fn pay_for_a_retry(&self) -> u32 {
        let _ = self.tenths.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(RETRY)));
        RETRY
    }

    /// Gives back what the retries before a success took, and a little more.
    pub(crate) fn refill_after_success(&self, paid: u32) {
        let more = 1 + paid;
        let _ = self.tenths.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(FULL.min(left + more)));
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

    fn again(situation: RetryContext) -> Decision {
        decide(&Policy::default(), &situation)
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_table_of_outcomes() {
        use GiveUp::{Effect, Final};
        use Outcome::{Lost, Misconfigured, NotHttp, NotSent, Status};

        // outcome, then safe / idempotent / once / consuming; None: again.
        let table: &[(Outcome, [Option<GiveUp>; 4])] = &[
            (NotSent, [None, None, None, None]),
            (Status(429), [None, None, None, Some(Effect)]),
            (Status(408), [None, None, Some(Effect), Some(Effect)]),
            (Status(500), [None, None, Some(Effect), Some(Effect)]),
            (Status(502), [None, None, Some(Effect), Some(Effect)]),
            (Status(503), [None, None, Some(Effect), Some(Effect)]),
            (Status(504), [None, None, Some(Effect), Some(Effect)]),
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
            for (idempotency, stop) in ALL.into_iter().zip(row) {
                let expected = stop.map_or(Decision::Retry(ms(500)), Decision::GiveUp);
                assert_eq!(again(first(idempotency, *outcome)), expected, "{outcome:?} {idempotency:?}");
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
        for (situation, expected) in rows {
            assert_eq!(again(*situation), *expected, "{situation:?}");
        }
    }

    #[test]
    fn waits_double_up_to_the_longest_and_spread_over_their_upper_half() {
        let wait = |attempt, jitter| delay(&Policy::default(), attempt, jitter);
        assert_eq!([1, 2, 3, 4, 40].map(|attempt| wait(attempt, 1.0)), [500, 1000, 2000, 2000, 2000].map(ms));
        assert_eq!(wait(1, 0.0), ms(250));
        assert_eq!(wait(3, 0.5), ms(1500));
    }

    #[test]
    fn an_outage_is_not_multiplied() {
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
        fn any_wish_any_clock_and_any_policy_wait_no_longer_than_the_policy(
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
            let situation = RetryContext { idempotency, outcome, replayable, attempt, waited, retry_after, budget, jitter };
            if let Decision::Retry(wait) = decide(&policy, &situation) {
                prop_assert!(waited.checked_add(wait).is_some_and(|all| all <= longest_wait), "{wait:?}");
                prop_assert!(wait >= retry_after.unwrap_or_default() && attempt <= max_retries && budget);
            }
        }
    }
}
