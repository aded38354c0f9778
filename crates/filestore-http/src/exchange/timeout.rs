//! [`Timeouts`]: the total and idle timeouts of one exchange.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};

use crate::Clock;

/// The timeouts of one exchange.
///
/// They share one timer. Progress does not reset it: it is set anew only when it fires, and most exchanges end before.
pub(crate) struct Timeouts {
    clock: Arc<dyn Clock>,
    idle: Duration,
    /// The end of the total timeout, as [`Clock::elapsed`].
    deadline: Option<Duration>,
    timer: Option<BoxFuture<'static, ()>>,
}

/// The timeout that elapsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimedOut {
    /// There was no progress for this time.
    Idle(Duration),
    /// The exchange took longer than the total timeout.
    Total,
    /// A response that is held in memory arrived at less than [`MIN_RATE`].
    Rate,
}

/// The minimum average rate of a response that is held in memory, in bytes per second. It applies once the response
/// takes longer than the idle timeout.
const MIN_RATE: u64 = 1024;

impl Timeouts {
    pub(crate) fn new(clock: Arc<dyn Clock>, idle: Duration, timeout: Option<Duration>) -> Self {
        let deadline = timeout.map(|timeout| clock.elapsed().saturating_add(timeout));
        Self { clock, idle, deadline, timer: None }
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
    pub(crate) fn poll_elapsed(&mut self, cx: &mut Context<'_>, last_progress: Duration) -> Poll<TimedOut> {
        loop {
            let now = self.now();
            let idle_left = last_progress.saturating_add(self.idle).saturating_sub(now);
            let total_left = self.deadline.map_or(idle_left, |deadline| deadline.saturating_sub(now));
            if total_left.is_zero() && self.deadline.is_some() {
                return Poll::Ready(TimedOut::Total);
            }
            if idle_left.is_zero() {
                return Poll::Ready(TimedOut::Idle(self.idle));
            }
            let timer = self.timer.get_or_insert_with(|| self.clock.limit(idle_left.min(total_left)));
            ready!(timer.poll_unpin(cx));
            self.timer = None;
        }
    }
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle(idle) => write!(f, "no progress for {} s, the idle_timeout", idle.as_secs_f64()),
            Self::Rate => write!(f, "the response arrives at less than {MIN_RATE} bytes per second"),
            Self::Total => f.write_str("the request took longer than the setting timeout allows"),
        }
    }
}
