//! [`Clock`]: time and random numbers, injected so that tests do not wait and are deterministic.

use std::fmt;
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;

/// The source of time and random numbers of a client.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Returns the current date and time.
    fn now(&self) -> Timestamp;

    /// Returns the time since a fixed moment. It is monotonic.
    fn elapsed(&self) -> Duration;

    /// Waits between attempts, or between requests with a rate limit.
    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()>;

    /// Resolves after `longest`, when a timeout has elapsed.
    ///
    /// [`sleep`](Self::sleep) is an intended wait. A test's clock returns from it at once, but resolves a limit only
    /// when the test moves the time.
    fn limit(&self, longest: Duration) -> BoxFuture<'static, ()>;

    /// Returns a random number from 0 to 1 that spreads the waits of many clients.
    fn jitter(&self) -> f64;
}

/// The system's clock and random numbers.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(wait).boxed()
    }

    fn limit(&self, longest: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(longest).boxed()
    }

    fn jitter(&self) -> f64 {
        rand::random()
    }
}
