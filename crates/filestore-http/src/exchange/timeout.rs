//! [`Timeouts`]: how long something may take, and how long nothing may move.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};

use crate::Clock;

/// The limits of one exchange. They share one timer, which is set anew only when it runs out: most
/// exchanges are over long before.
pub(crate) struct Timeouts {
    clock: Arc<dyn Clock>,
    idle: Duration,
    /// By the clock.
    deadline: Option<Duration>,
    timer: Option<BoxFuture<'static, ()>>,
}

/// Which limit is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimedOut {
    /// Nothing moved for that long.
    Idle(Duration),
    /// All of it took too long.
    Total,
    /// What is held in memory came at less than [`SLOWEST`].
    Rate,
}

/// The lowest average rate of a response that is held in memory, in bytes a second, once it takes longer than the
/// idle limit.
const SLOWEST: u64 = 1024;

impl Timeouts {
    pub(crate) fn new(clock: Arc<dyn Clock>, idle: Duration, timeout: Option<Duration>) -> Self {
        let deadline = timeout.map(|timeout| clock.elapsed().saturating_add(timeout));
        Self { clock, idle, deadline, timer: None }
    }

    pub(crate) fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    /// Whether `read` bytes since `begun` are enough.
    pub(crate) fn check_rate(&self, begun: Duration, read: u64) -> Result<(), TimedOut> {
        let allowed = self.idle.saturating_add(Duration::from_secs(read / SLOWEST));
        if self.now().saturating_sub(begun) > allowed { Err(TimedOut::Rate) } else { Ok(()) }
    }

    /// Ready when a limit is over, where nothing has moved since `moved`.
    pub(crate) fn poll_elapsed(&mut self, cx: &mut Context<'_>, moved: Duration) -> Poll<TimedOut> {
        loop {
            let now = self.now();
            let left = moved.saturating_add(self.idle).saturating_sub(now);
            let in_all = self.deadline.map_or(left, |deadline| deadline.saturating_sub(now));
            if in_all.is_zero() && self.deadline.is_some() {
                return Poll::Ready(TimedOut::Total);
            }
            if left.is_zero() {
                return Poll::Ready(TimedOut::Idle(self.idle));
            }
            let timer = self.timer.get_or_insert_with(|| self.clock.limit(left.min(in_all)));
            ready!(timer.poll_unpin(cx));
            self.timer = None;
        }
    }
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle(idle) => write!(f, "nothing moved for {} s", idle.as_secs_f64()),
            Self::Rate => write!(f, "the response comes at less than {SLOWEST} bytes a second"),
            Self::Total => f.write_str("it took longer than the limit for one request"),
        }
    }
}
