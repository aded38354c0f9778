//! `Retry-After`, in both of its forms.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};

/// How long the service asks to wait: a number of seconds, or the time until an HTTP date.
///
/// The date is compared with the answer's own `Date` where there is one, because the clocks of the
/// two machines may differ; else with `now`. A date that is over means no wait. Anything else that is
/// no number of seconds is as good as absent.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().map(Duration::from_secs);
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let now = date(headers, &DATE).unwrap_or_else(|| now.into());
    Some(until.duration_since(now).unwrap_or_default())
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-03-01T10:00:00Z";

    fn wait(pairs: &[(HeaderName, &'static str)]) -> Option<u64> {
        let headers = pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        retry_after(&headers, NOW.parse().unwrap()).map(|wait| wait.as_secs())
    }

    #[test]
    fn seconds() {
        assert_eq!(wait(&[(RETRY_AFTER, "5")]), Some(5));
        assert_eq!(wait(&[(RETRY_AFTER, " 0 ")]), Some(0));
    }

    #[test]
    fn a_date_against_our_clock() {
        assert_eq!(wait(&[(RETRY_AFTER, "Sun, 01 Mar 2026 10:00:08 GMT")]), Some(8));
        assert_eq!(wait(&[(RETRY_AFTER, "Sun, 01 Mar 2026 09:00:00 GMT")]), Some(0));
    }

    #[test]
    fn a_date_against_the_services_clock_when_it_says_the_time() {
        let date = (DATE, "Sun, 01 Mar 2026 12:00:00 GMT");
        assert_eq!(wait(&[(RETRY_AFTER, "Sun, 01 Mar 2026 12:00:03 GMT"), date]), Some(3));
    }

    #[test]
    fn nonsense_is_as_good_as_absent() {
        for nonsense in ["soon", "-5", "1.5", "", "99999999999999999999999"] {
            assert_eq!(wait(&[(RETRY_AFTER, nonsense)]), None, "{nonsense:?}");
        }
        assert_eq!(wait(&[]), None);
    }
}
