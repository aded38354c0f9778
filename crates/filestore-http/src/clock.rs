//! [`Clock`]: time and chance, injected so that tests neither wait nor gamble.

use std::fmt;
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;

/// Where the client gets time and chance from.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The time of day.
    fn now(&self) -> Timestamp;

    /// The time since some fixed moment. Never runs backwards.
    fn elapsed(&self) -> Duration;

    /// Waits in order to go on afterwards: between attempts, between paced requests.
    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()>;

    /// Resolves when something has taken too long. Unlike [`sleep`](Self::sleep), nobody means to wait
    /// for it: a test's clock lets it rest until time is moved.
    fn limit(&self, longest: Duration) -> BoxFuture<'static, ()>;

    /// A number from 0 to 1 that spreads the waits of many clients.
    fn jitter(&self) -> f64;
}

/// The real time and real chance.
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
