//! [`History`]: derives the effect of a request from the outcomes of all its attempts.

use filestore_core::Effect;

use crate::Idempotency;

/// The outcome of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// There was no connection, or no byte of the body was sent. The service cannot have acted.
    NotSent,
    /// No connection is possible with these settings: an untrusted certificate, a server without TLS, or a proxy that
    /// requires a password. Nothing was sent.
    Misconfigured,
    /// The request may have arrived, but no response did.
    Lost,
    /// The request may have arrived, but the response is not HTTP. A retry does not change that.
    NotHttp,
    /// A response arrived, with this status.
    Status(u16),
    /// A response arrived with this status, which says that the request failed for now, but it is neither JSON nor XML.
    /// A gateway may have sent it, and the service behind the gateway may still apply the request.
    Gateway(u16),
}

impl Outcome {
    /// Returns the outcome of a response. `is_in_format` is `true` if its body is JSON or XML, as the errors of services
    /// are.
    pub(crate) fn of_response(status: u16, is_in_format: bool) -> Self {
        match status {
            408 | 500 | 503 if !is_in_format => Self::Gateway(status),
            _ => Self::Status(status),
        }
    }
}

/// The attempts of one request, and what they prove about its effect.
///
/// The least certain attempt counts. A rejection proves nothing about an earlier attempt whose response was lost: that
/// attempt may have been applied, or may still be in progress.
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
    /// The least certain evidence of all attempts before the last.
    earlier: Evidence,
    last: Evidence,
}

/// The evidence of one attempt, from the most to the least certain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Evidence {
    /// Nothing reached the service.
    #[default]
    NotSent,
    /// Nothing changed: the service said so, or the request cannot change anything.
    Rejected,
    /// The service responded, but may have applied the request. A read-back shows which.
    Doubtful,
    /// The service did not respond. The request may have been applied, or may still be in progress.
    Unanswered,
}

impl Evidence {
    fn of(idempotency: Idempotency, outcome: Outcome) -> Self {
        match outcome {
            Outcome::NotSent | Outcome::Misconfigured => Self::NotSent,
            // A safe request cannot have changed anything.
            _ if idempotency == Idempotency::Safe => Self::Rejected,
            Outcome::Lost | Outcome::NotHttp | Outcome::Gateway(_) => Self::Unanswered,
            // A success that the caller reports as an error did not come from the service. 303 says that the request
            // was processed.
            Outcome::Status(200..=299 | 303) => Self::Unanswered,
            Outcome::Status(408 | 500 | 503) => Self::Doubtful,
            Outcome::Status(300..=499 | 501 | 505 | 507 | 511) => Self::Rejected,
            // A gateway that gives up (502, 504, 520 to 527, 530, 598, 599) proves nothing about the service behind it.
            Outcome::Status(_) => Self::Unanswered,
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
    /// Adds an attempt of a request with this idempotency.
    pub fn record(&mut self, idempotency: Idempotency, outcome: Outcome) {
        self.add(Evidence::of(idempotency, outcome));
    }

    /// Adds an attempt that failed on this side, for example in the request's body. `effect` is that of the error.
    pub(crate) fn record_local_error(&mut self, effect: Effect) {
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

    /// Returns the history with another outcome of the last attempt, such as a response that broke off.
    pub(crate) fn ended_by(self, idempotency: Idempotency, outcome: Outcome) -> Self {
        Self { last: Evidence::of(idempotency, outcome), ..self }
    }

    /// Returns the effect of the request, if it ends in an error now.
    pub fn effect(&self) -> Effect {
        #[cfg(planted_bugs)]
        if filestore_core::planted_bug("effect-lowered") {
            return self.last.effect();
        }
        self.earlier.max(self.last).effect()
    }

    /// Returns the effect of the request, if the body of the last response says that it was rejected, whatever the
    /// status.
    pub fn effect_if_rejected(&self) -> Effect {
        self.earlier.max(Evidence::Rejected).effect()
    }

    /// Records that the body of the last response says that the request was rejected, whatever the status.
    pub fn record_rejection_by_body(&mut self) {
        self.last = Evidence::Rejected;
    }

    /// Records that a read-back found no trace of the request. Returns the effect.
    ///
    /// A read-back is a safe request that checks whether this one was applied.
    ///
    /// The effect is *rejected* if the service responded to every attempt. After a lost response it stays *unknown*,
    /// because the request may still be in progress.
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

        // outcome, then safe / idempotent / non-idempotent / consuming.
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
            (Outcome::Status(524), [Rejected, Unknown, Unknown, Unknown]),
            (Outcome::Gateway(503), [Rejected, Unknown, Unknown, Unknown]),
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
    fn a_read_back_that_finds_nothing_proves_a_rejection_unless_a_response_was_lost() {
        let after = |outcomes: &[Outcome]| {
            let mut history = History::default();
            outcomes.iter().for_each(|outcome| history.record(Idempotency::Idempotent, *outcome));
            history.record_nothing_found()
        };
        assert_eq!(after(&[Outcome::Status(503)]), Effect::Rejected);
        assert_eq!(after(&[Outcome::Status(503), Outcome::Status(400)]), Effect::Rejected);
        assert_eq!(after(&[Outcome::Lost, Outcome::Status(503)]), Effect::Unknown);
        assert_eq!(after(&[Outcome::NotSent]), Effect::NotSent);
    }

    #[test]
    fn a_read_back_after_a_response_of_a_gateway_proves_nothing() {
        let after = |outcome| {
            let mut history = History::default();
            history.record(Idempotency::NonIdempotent, outcome);
            history.record_nothing_found()
        };
        for status in [502, 504, 520, 521, 522, 523, 524, 525, 526, 527, 529, 530, 598, 599] {
            assert_eq!(after(Outcome::of_response(status, true)), Effect::Unknown, "{status}");
        }
        for status in [408, 500, 503] {
            assert_eq!(after(Outcome::of_response(status, false)), Effect::Unknown, "{status}");
            assert_eq!(after(Outcome::of_response(status, true)), Effect::Rejected, "{status}");
        }
    }

    #[test]
    fn a_rejection_in_the_body_of_a_response_proves_nothing_about_earlier_attempts() {
        let mut history = History::default();
        history.record(Idempotency::NonIdempotent, Outcome::Status(200));
        assert_eq!((history.effect(), history.effect_if_rejected()), (Effect::Unknown, Effect::Rejected));
        history.record(Idempotency::NonIdempotent, Outcome::Status(200));
        assert_eq!(history.effect_if_rejected(), Effect::Unknown);
    }

    /// The moment when the service applies the request of an attempt, in milliseconds after the attempt ended.
    #[derive(Debug, Clone, Copy)]
    enum Applied {
        Never,
        After(u64),
    }

    /// Generates outcomes of attempts, each with a moment at which a service may have applied the request.
    fn attempts() -> impl Strategy<Value = (Outcome, Applied)> {
        let sometimes = prop_oneof![Just(Applied::Never), Just(Applied::After(0))];
        // After a lost response the service may also apply the request half a second later.
        let late = prop_oneof![Just(Applied::Never), Just(Applied::After(0)), Just(Applied::After(500))];
        prop_oneof![
            Just((Outcome::NotSent, Applied::Never)),
            Just((Outcome::Misconfigured, Applied::Never)),
            late.clone().prop_map(|applied| (Outcome::Lost, applied)),
            (
                prop_oneof![Just(200_u16), Just(502), Just(504), Just(520), Just(524), Just(530), Just(599)],
                late.clone()
            )
                .prop_map(|(status, late)| (Outcome::Status(status), late)),
            (prop_oneof![Just(408_u16), Just(500), Just(503)], late)
                .prop_map(|(status, late)| (Outcome::Gateway(status), late)),
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
            idempotency in prop::sample::select(&ALL[1..]),
        ) {
            let mut history = History::default();
            attempts.iter().for_each(|(outcome, _)| history.record(idempotency, *outcome));
            let applied_at = |(number, (_, applied)): (usize, &(Outcome, Applied))| match applied {
                Applied::Never => None,
                Applied::After(delay) => Some(200 * number as u64 + delay),
            };
            let applied: Vec<u64> = attempts.iter().enumerate().filter_map(applied_at).collect();
            let was_sent = |outcome: &Outcome| !matches!(outcome, Outcome::NotSent | Outcome::Misconfigured);
            let reached = attempts.iter().any(|(outcome, _)| was_sent(outcome));
            if history.effect() != Effect::Unknown {
                prop_assert!(applied.is_empty(), "{:?}", history.effect());
            }
            if history.effect() == Effect::NotSent {
                prop_assert!(!reached);
            }
            let read_back = 200 * attempts.len() as u64;
            if applied.iter().all(|at| *at > read_back) && history.record_nothing_found() != Effect::Unknown {
                prop_assert!(applied.is_empty(), "still in progress at the read-back");
            }
        }
    }
}
