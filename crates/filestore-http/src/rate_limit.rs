//! [`RateLimiter`]: requests to one host at a steady rate, and none while it asked for a pause.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use url::{Position, Url};

use crate::Clock;

#[derive(Debug)]
pub(crate) struct RateLimiter {
    /// The time between two requests to one host; zero: no pacing.
    interval: Duration,
    /// When the next request to a host may begin.
    next: Mutex<HashMap<String, Duration>>,
}

impl RateLimiter {
    pub(crate) fn new(rate_per_minute: Option<NonZeroU32>) -> Self {
        let interval = rate_per_minute.map_or(Duration::ZERO, |rate| Duration::from_secs(60) / rate.get());
        Self { interval, next: Mutex::default() }
    }

    /// Waits for the host's next place in line.
    pub(crate) async fn wait(&self, url: &Url, clock: &dyn Clock) {
        let wait = self.reserve(url, clock.elapsed());
        if !wait.is_zero() {
            clock.sleep(wait).await;
        }
    }

    /// Takes a place in line, and says how far it is.
    fn reserve(&self, url: &Url, now: Duration) -> Duration {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if self.interval.is_zero() && next.is_empty() {
            return Duration::ZERO;
        }
        next.retain(|_, begin| *begin > now);
        let host = host(url);
        let begin = next.get(host).map_or(now, |begin| now.max(*begin));
        if !self.interval.is_zero() {
            next.insert(host.to_owned(), begin.saturating_add(self.interval));
        }
        begin - now
    }

    /// Keeps all requests from the host for `wait`: one that was rejected speaks for the others.
    pub(crate) fn pause(&self, url: &Url, wait: Duration, now: Duration) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = next.entry(host(url).to_owned()).or_default();
        *begin = (*begin).max(now.saturating_add(wait));
    }
}

fn host(url: &Url) -> &str {
    &url[Position::BeforeHost..Position::AfterPort]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn without_a_rate_nothing_waits() {
        let rate_limiter = RateLimiter::new(None);
        assert_eq!(
            [rate_limiter.reserve(&url("http://a/"), SECOND), rate_limiter.reserve(&url("http://a/"), SECOND)],
            [Duration::ZERO; 2]
        );
    }

    #[test]
    fn sixty_a_minute_are_a_second_apart_for_each_host() {
        let rate_limiter = RateLimiter::new(NonZeroU32::new(60));
        let at = |host: &str, now: Duration| rate_limiter.reserve(&url(host), now);
        assert_eq!(at("http://a/x", SECOND), Duration::ZERO);
        assert_eq!(at("http://a/y", SECOND), SECOND);
        assert_eq!(at("http://a/z", SECOND), 2 * SECOND);
        assert_eq!(at("http://b/", SECOND), Duration::ZERO);
        assert_eq!(at("http://a/", 10 * SECOND), Duration::ZERO);
    }

    #[test]
    fn a_pause_holds_the_host_and_no_other() {
        let rate_limiter = RateLimiter::new(None);
        rate_limiter.pause(&url("http://a/"), 5 * SECOND, SECOND);
        assert_eq!(rate_limiter.reserve(&url("http://a/"), 2 * SECOND), 4 * SECOND);
        assert_eq!(rate_limiter.reserve(&url("http://b/"), 2 * SECOND), Duration::ZERO);
        assert_eq!(rate_limiter.reserve(&url("http://a/"), 7 * SECOND), Duration::ZERO);
    }
}
