//! [`History`]: what all attempts of a request prove together about its effect.

use filestore_core::Effect;

use crate::Idempotency;

/// What is known of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The service cannot have acted: there was no connection, or no byte of the body was sent.
    NotSent,
    /// No connection can come about with these settings: an untrusted certificate, a server without TLS, a proxy
    /// that wants a password. Nothing was sent.
    Misconfigured,
    /// It may have arrived; no answer did.
    Lost,
    /// It may have arrived; what came back is not HTTP, and will not be next time.
    NotHttp,
    /// It was answered with this status.
    Status(u16),
}

/// What the attempts of one request prove about its effect.
///
/// The attempt that leaves most open counts: a rejection says nothing about an earlier attempt whose response
/// was lost, because that request may have been applied, or may still be under way.
///
/// ```
/// use filestore_core::Effect;
/// use filestore_http::{History, Outcome, Idempotency};
///
/// let mut history = History::default();
/// history.record(Idempotency::Idempotent, Outcome::Status(429));
/// assert_eq!(history.effect(), Effect::Rejected);
/// history.record(Idempotency::Idempotent, Outcome::Lost);
/// history.record(Idempotency::Idempotent, Outcome::Status(429));
/// assert_eq!(history.effect(), Effect::Unknown);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct History {
    /// Of all attempts before the last.
    earlier: Evidence,
    last: Evidence,
}

/// What one attempt proves, in the order of what it leaves open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Evidence {
    /// Nothing reached the service.
    #[default]
    NotSent,
    /// It changed nothing: the service said so, or the request cannot change anything.
    Rejected,
    /// The service has answered, but may have applied it. A read-back settles it.
    Doubtful,
    /// No response came. The request may have been applied, and may still be under way.
    Unanswered,
}

impl Evidence {
    fn of(idempotency: Idempotency, outcome: Outcome) -> Self {
        match outcome {
            Outcome::NotSent | Outcome::Misconfigured => Self::NotSent,
            // A safe request cannot have changed anything.
            _ if idempotency == Idempotency::Safe => Self::Rejected,
            // A gateway that gives up says nothing about the service behind it, and a success that is an error all the
            // same is not the service's.
            // 303 says that the request was processed, and where its result is.
            Outcome::Lost | Outcome::NotHttp | Outcome::Status(502 | 504 | 200..=299 | 303) => Self::Unanswered,
            Outcome::Status(408) => Self::Doubtful,
            Outcome::Status(300..=499 | 501 | 505 | 507 | 511) => Self::Rejected,
            Outcome::Status(_) => Self::Doubtful,
        }
    }

    fn effect(self) -> Effect {
        match self {
            Self::NotSent => Effect::NotSent,
            Self::Rejected => Effect::Rejected,
            Self::Doubtful | Self::Unanswered => Effect::Unknown,
        }
    }
}

impl History {
    /// Adds an attempt of a request that does what `idempotency` says when it is sent twice.
    pub fn record(&mut self, idempotency: Idempotency, outcome: Outcome) {
        self.add(Evidence::of(idempotency, outcome));
    }

    /// Adds an attempt that the body itself ended, with the effect that the body's error states.
    pub(crate) fn record_own(&mut self, effect: Effect) {
        self.add(match effect {
            Effect::NotSent => Evidence::NotSent,
            Effect::Rejected => Evidence::Rejected,
            _ => Evidence::Unanswered,
        });
    }

    fn add(&mut self, evidence: Evidence) {
        self.earlier = self.earlier.max(self.last);
        self.last = evidence;
    }

    /// The same history with another outcome of its last attempt, such as a body that broke off.
    pub(crate) fn ended_by(self, idempotency: Idempotency, outcome: Outcome) -> Self {
        Self { last: Evidence::of(idempotency, outcome), ..self }
    }

    /// The effect of the request if it ends in an error now.
    pub fn effect(&self) -> Effect {
        self.earlier.max(self.last).effect()
    }

    /// The effect if the body of the last response says that it was rejected, whatever its status.
    pub fn effect_if_rejected(&self) -> Effect {
        self.earlier.max(Evidence::Rejected).effect()
    }

    /// Takes in that the body of the last response says that it was rejected, whatever its status.
    pub fn record_rejection_by_body(&mut self) {
        self.last = Evidence::Rejected;
    }

    /// Takes in that a read-back, which consumes nothing, has found no trace of the request.
    ///
    /// That proves *rejected* where every attempt was answered. After a lost response it proves nothing: the
    /// request may still be under way.
    pub fn record_nothing_found(&mut self) -> Effect {
        if self.earlier.max(self.last) == Evidence::Doubtful {
            *self = Self { earlier: Evidence::Rejected, last: Evidence::Rejected };
        }
        self.effect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Idempotency; 4] =
        [Idempotency::Safe, Idempotency::Idempotent, Idempotency::NonIdempotent, Idempotency::Consuming];

    fn effect(idempotency: Idempotency, outcomes: &[Outcome]) -> Effect {
        let mut history = History::default();
        outcomes.iter().for_each(|outcome| history.record(idempotency, *outcome));
        history.effect()
    }

    #[test]
    fn the_table_of_effects() {
        use Effect::{NotSent, Rejected, Unknown};

        // outcome, then safe / idempotent / once / consuming.
        let table: &[(Outcome, [Effect; 4])] = &[
            (Outcome::NotSent, [NotSent, NotSent, NotSent, NotSent]),
            (Outcome::Misconfigured, [NotSent, NotSent, NotSent, NotSent]),
            (Outcome::Lost, [Rejected, Unknown, Unknown, Unknown]),
            (Outcome::Status(200), [Rejected, Unknown, Unknown, Unknown]),
            (Outcome::Status(301), [Rejected, Rejected, Rejected, Rejected]),
            (Outcome::Status(303), [Rejected, Unknown, Unknown, Unknown]),
            (Outcome::Status(404), [Rejected, Rejected, Rejected, Rejected]),
            (Outcome::Status(408), [Rejected, Unknown, Unknown, Unknown]),
            (Outcome::Status(429), [Rejected, Rejected, Rejected, Rejected]),
            (Outcome::Status(500), [Rejected, Unknown, Unknown, Unknown]),
            (Outcome::Status(501), [Rejected, Rejected, Rejected, Rejected]),
            (Outcome::Status(507), [Rejected, Rejected, Rejected, Rejected]),
            (Outcome::Status(503), [Rejected, Unknown, Unknown, Unknown]),
        ];
        for (outcome, row) in table {
            for (idempotency, expected) in ALL.into_iter().zip(row) {
                assert_eq!(effect(idempotency, &[*outcome]), *expected, "{outcome:?} {idempotency:?}");
            }
        }
    }

    #[test]
    fn a_rejection_after_a_lost_response_proves_nothing() {
        let rejected = Outcome::Status(429);
        for later in [rejected, Outcome::Status(404), Outcome::NotSent, Outcome::Misconfigured] {
            assert_eq!(
                effect(Idempotency::Idempotent, &[Outcome::Lost, rejected, later]),
                Effect::Unknown,
                "{later:?}"
            );
        }
        assert_eq!(effect(Idempotency::Safe, &[Outcome::Lost, Outcome::NotSent]), Effect::Rejected);
        assert_eq!(effect(Idempotency::Idempotent, &[rejected, Outcome::NotSent]), Effect::Rejected);
    }

    #[test]
    fn a_read_back_that_finds_nothing_settles_answered_attempts_and_no_others() {
        let after = |outcomes: &[Outcome]| {
            let mut history = History::default();
            outcomes.iter().for_each(|outcome| history.record(Idempotency::Idempotent, *outcome));
            history.record_nothing_found()
        };
        assert_eq!(after(&[Outcome::Status(503)]), Effect::Rejected);
        assert_eq!(after(&[Outcome::Status(503), Outcome::Status(400)]), Effect::Rejected);
        assert_eq!(after(&[Outcome::Lost, Outcome::Status(503)]), Effect::Unknown);
        assert_eq!(after(&[Outcome::Status(504)]), Effect::Unknown);
        assert_eq!(after(&[Outcome::NotSent]), Effect::NotSent);
    }

    #[test]
    fn the_body_of_a_response_can_reject_the_attempt_that_it_answers_and_no_earlier_one() {
        let mut history = History::default();
        history.record(Idempotency::NonIdempotent, Outcome::Status(200));
        assert_eq!((history.effect(), history.effect_if_rejected()), (Effect::Unknown, Effect::Rejected));
        history.record(Idempotency::NonIdempotent, Outcome::Status(200));
        assert_eq!(history.effect_if_rejected(), Effect::Unknown);
    }

    /// When the service applies the request of an attempt, in milliseconds after the attempt ended.
    #[derive(Debug, Clone, Copy)]
    enum Applied {
        Never,
        After(u64),
    }

    /// An attempt, and what a service may do that lets it end like this.
    fn attempts() -> impl Strategy<Value = (Outcome, Applied)> {
        let sometimes = prop_oneof![Just(Applied::Never), Just(Applied::After(0))];
        // Also half a second after the connection broke.
        let late = prop_oneof![Just(Applied::Never), Just(Applied::After(0)), Just(Applied::After(500))];
        prop_oneof![
            Just((Outcome::NotSent, Applied::Never)),
            Just((Outcome::Misconfigured, Applied::Never)),
            late.clone().prop_map(|applied| (Outcome::Lost, applied)),
            (prop_oneof![Just(200_u16), Just(502), Just(504)], late)
                .prop_map(|(status, late)| (Outcome::Status(status), late)),
            (prop_oneof![Just(408_u16), Just(500), Just(503)], sometimes)
                .prop_map(|(status, applied)| (Outcome::Status(status), applied)),
            prop_oneof![Just(301_u16), Just(400), Just(403), Just(404), Just(409), Just(429), Just(501)]
                .prop_map(|status| (Outcome::Status(status), Applied::Never)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]

        /// Attempts are 200 ms apart; the read-back comes 200 ms after the last one.
        #[test]
        fn the_effect_never_claims_more_than_the_attempts_allow(
            attempts in prop::collection::vec(attempts(), 1..8),
            idempotency in prop_oneof![Just(Idempotency::Idempotent), Just(Idempotency::NonIdempotent), Just(Idempotency::Consuming)],
        ) {
            let mut history = History::default();
            attempts.iter().for_each(|(outcome, _)| history.record(idempotency, *outcome));
            let applied_at = |(number, (_, applied)): (usize, &(Outcome, Applied))| match applied {
                Applied::Never => None,
                Applied::After(delay) => Some(200 * number as u64 + delay),
            };
            let applied: Vec<u64> = attempts.iter().enumerate().filter_map(applied_at).collect();
            let reached = attempts.iter().any(|(outcome, _)| !matches!(outcome, Outcome::NotSent | Outcome::Misconfigured));
            if history.effect() != Effect::Unknown {
                prop_assert!(applied.is_empty(), "{:?}", history.effect());
            }
            if history.effect() == Effect::NotSent {
                prop_assert!(!reached);
            }
            let read_back = 200 * attempts.len() as u64;
            if applied.iter().all(|at| *at > read_back) && history.record_nothing_found() != Effect::Unknown {
                prop_assert!(applied.is_empty(), "still under way at the read-back");
            }
        }
    }
}
