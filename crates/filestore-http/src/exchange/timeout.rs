//! [`Timeouts`]: the total, idle and response timeouts of one exchange.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};

use crate::{Clock, HttpConfig};

/// The timeouts of one exchange.
///
/// They share one timer. Progress does not reset it: it is set anew only when it fires, and most exchanges end before.
pub(crate) struct Timeouts {
    clock: Arc<dyn Clock>,
    idle: Duration,
    response: Duration,
    /// The end of the total timeout, as [`Clock::elapsed`].
    deadline: Option<Duration>,
    timer: Option<BoxFuture<'static, ()>>,
}

/// The part of an exchange that a timeout measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Bytes are sent or received: the idle timeout applies.
    Transfer,
    /// All of the request was passed to the connection, and nothing of the response has arrived: the response timeout
    /// applies.
    Wait,
}

/// The timeout that elapsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimedOut {
    /// There was no progress for this time.
    Idle(Duration),
    /// There was no response for this time after the request was sent.
    Response(Duration),
    /// The exchange took longer than the total timeout.
    Total,
    /// A response that is held in memory arrived at less than [`MIN_RATE`].
    Rate,
}

/// The minimum average rate of a response that is held in memory, in bytes per second. It applies once the response
/// takes longer than the idle timeout.
const MIN_RATE: u64 = 1024;

impl Timeouts {
    pub(crate) fn new(clock: Arc<dyn Clock>, config: &HttpConfig) -> Self {
        let deadline = config.timeout.map(|timeout| clock.elapsed().saturating_add(timeout));
        Self { clock, idle: config.idle_timeout, response: config.response_timeout, deadline, timer: None }
    }

    pub(crate) fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    /// Fails if `received` bytes since `start` are less than [`MIN_RATE`] requires.
    pub(crate) fn check_rate(&self, start: Duration, received: u64) -> Result<(), TimedOut> {
        let allowed = self.idle.saturating_add(Duration::from_secs(received / MIN_RATE));
        if self.now().saturating_sub(start) > allowed { Err(TimedOut::Rate) } else { Ok(()) }
    }

    /// Polls for a timeout that elapsed, given the time of the last progress.
    pub(crate) fn poll_elapsed(
        &mut self,
        cx: &mut Context<'_>,
        phase: impl Fn() -> Phase,
        last_progress: impl Fn() -> Duration,
    ) -> Poll<TimedOut> {
        loop {
            let now = self.now();
            let (limit, timed_out) = match phase() {
                Phase::Transfer => (self.idle, TimedOut::Idle(self.idle)),
                Phase::Wait => (self.response, TimedOut::Response(self.response)),
            };
            let left = last_progress().saturating_add(limit).saturating_sub(now);
            let total_left = self.deadline.map_or(left, |deadline| deadline.saturating_sub(now));
            if total_left.is_zero() && self.deadline.is_some() {
                return Poll::Ready(TimedOut::Total);
            }
            if left.is_zero() {
                return Poll::Ready(timed_out);
            }
            // The phase changes without a wake-up, so no wait is longer than either limit.
            let wait = left.min(total_left).min(self.idle).min(self.response);
            let timer = self.timer.get_or_insert_with(|| self.clock.limit(wait));
            ready!(timer.poll_unpin(cx));
            self.timer = None;
        }
    }
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle(idle) => write!(f, "no progress for {} s, the idle_timeout", idle.as_secs_f64()),
            Self::Response(response) => write!(f, "no response for {} s, the response_timeout", response.as_secs_f64()),
            Self::Rate => write!(f, "the response arrives at less than {MIN_RATE} bytes per second"),
            Self::Total => f.write_str("the request took longer than the setting timeout allows"),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::future::poll_fn;
    use futures::poll;

    use super::*;
    use crate::testing::TestClock;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn each_phase_has_its_own_limit() {
        let config = HttpConfig {
            idle_timeout: 120 * SECOND,
            response_timeout: 300 * SECOND,
            timeout: Some(1000 * SECOND),
            ..HttpConfig::default()
        };
        for (phase, limit, timed_out) in [
            (Phase::Transfer, 120 * SECOND, TimedOut::Idle(120 * SECOND)),
            (Phase::Wait, 300 * SECOND, TimedOut::Response(300 * SECOND)),
        ] {
            let clock = Arc::new(TestClock::default());
            let mut timeouts = Timeouts::new(Arc::<TestClock>::clone(&clock), &config);
            let mut elapsed = poll_fn(|cx| timeouts.poll_elapsed(cx, || phase, || Duration::ZERO));
            assert!(poll!(&mut elapsed).is_pending());
            clock.advance(limit - SECOND);
            assert!(poll!(&mut elapsed).is_pending(), "{phase:?}");
            clock.advance(SECOND);
            assert_eq!(poll!(&mut elapsed), Poll::Ready(timed_out));
        }
    }

    #[tokio::test]
    async fn a_phase_that_begins_without_a_wake_up_ends_at_its_limit() {
        let config = HttpConfig { idle_timeout: 120 * SECOND, response_timeout: 30 * SECOND, ..HttpConfig::default() };
        let clock = Arc::new(TestClock::default());
        let mut timeouts = Timeouts::new(Arc::<TestClock>::clone(&clock), &config);
        let is_sent = std::cell::Cell::new(false);
        let phase = || if is_sent.get() { Phase::Wait } else { Phase::Transfer };
        let mut elapsed = poll_fn(|cx| timeouts.poll_elapsed(cx, phase, || SECOND));
        assert!(poll!(&mut elapsed).is_pending());
        clock.advance(SECOND);
        is_sent.set(true);
        clock.advance(29 * SECOND);
        assert!(poll!(&mut elapsed).is_pending());
        clock.advance(SECOND);
        assert_eq!(poll!(&mut elapsed), Poll::Ready(TimedOut::Response(30 * SECOND)));
    }
}
