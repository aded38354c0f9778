//! [`RateLimiter`]: spaces the requests to a host evenly, and pauses them after a 429.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use url::{Position, Url};

use crate::Clock;

#[derive(Debug)]
pub(crate) struct RateLimiter {
    /// The minimum time between two requests to one host. Zero sets no rate limit.
    interval: Duration,
    /// The earliest time of the next request, for each host.
    next: Mutex<HashMap<String, Duration>>,
}

impl RateLimiter {
    pub(crate) fn new(rate_per_minute: Option<NonZeroU32>) -> Self {
        let interval = rate_per_minute.map_or(Duration::ZERO, |rate| Duration::from_secs(60) / rate.get());
        Self { interval, next: Mutex::default() }
    }

    /// Waits until the next request to the host of `url` may be sent.
    pub(crate) async fn wait(&self, url: &Url, clock: &dyn Clock) {
        let wait = self.reserve(url, clock.elapsed());
        if !wait.is_zero() {
            clock.sleep(wait).await;
        }
    }

    /// Reserves the next time for a request, and returns the wait until then.
    fn reserve(&self, url: &Url, now: Duration) -> Duration {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if self.interval.is_zero() && next.is_empty() {
            return Duration::ZERO;
        }
        next.retain(|_, start| *start > now);
        let host = host(url);
        let start = next.get(host).map_or(now, |start| now.max(*start));
        if !self.interval.is_zero() {
            next.insert(host.to_owned(), start.saturating_add(self.interval));
        }
        start - now
    }

    /// Delays all requests to the host of `url` for `wait`, because a 429 applies to the client and not to one request.
    pub(crate) fn pause(&self, url: &Url, wait: Duration, now: Duration) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let start = next.entry(host(url).to_owned()).or_default();
        *start = (*start).max(now.saturating_add(wait));
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
    fn sixty_requests_per_minute_are_a_second_apart_for_each_host() {
        let rate_limiter = RateLimiter::new(NonZeroU32::new(60));
        let wait = |host: &str, now: Duration| rate_limiter.reserve(&url(host), now);
        assert_eq!(wait("http://a/x", SECOND), Duration::ZERO);
        assert_eq!(wait("http://a/y", SECOND), SECOND);
        assert_eq!(wait("http://a/z", SECOND), 2 * SECOND);
        assert_eq!(wait("http://b/", SECOND), Duration::ZERO);
        assert_eq!(wait("http://a/", 10 * SECOND), Duration::ZERO);
    }

    #[test]
    fn a_pause_delays_requests_to_its_host_only() {
        let rate_limiter = RateLimiter::new(None);
        rate_limiter.pause(&url("http://a/"), 5 * SECOND, SECOND);
        assert_eq!(rate_limiter.reserve(&url("http://a/"), 2 * SECOND), 4 * SECOND);
        assert_eq!(rate_limiter.reserve(&url("http://b/"), 2 * SECOND), Duration::ZERO);
        assert_eq!(rate_limiter.reserve(&url("http://a/"), 7 * SECOND), Duration::ZERO);
    }
}
