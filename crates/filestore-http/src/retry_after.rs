//! The header `Retry-After`, as seconds or as a date.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};

/// Returns the wait of the header `Retry-After`: a number of seconds, or the time until an HTTP date.
///
/// The date is compared with the response's own `Date`, because the clocks of the two machines may differ. Without one,
/// it is compared with `now`. A date in the past means no wait. `None` if the header is absent or invalid.
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
    fn a_number_is_a_wait_in_seconds() {
        assert_eq!(wait(&[(RETRY_AFTER, "5")]), Some(5));
        assert_eq!(wait(&[(RETRY_AFTER, " 0 ")]), Some(0));
    }

    #[test]
    fn a_date_is_compared_with_the_clients_clock() {
        assert_eq!(wait(&[(RETRY_AFTER, "Sun, 01 Mar 2026 10:00:08 GMT")]), Some(8));
        assert_eq!(wait(&[(RETRY_AFTER, "Sun, 01 Mar 2026 09:00:00 GMT")]), Some(0));
    }

    #[test]
    fn a_date_is_compared_with_the_date_of_the_response_if_there_is_one() {
        let date = (DATE, "Sun, 01 Mar 2026 12:00:00 GMT");
        assert_eq!(wait(&[(RETRY_AFTER, "Sun, 01 Mar 2026 12:00:03 GMT"), date]), Some(3));
    }

    #[test]
    fn an_invalid_value_is_none() {
        for invalid in ["soon", "-5", "1.5", "", "99999999999999999999999"] {
            assert_eq!(wait(&[(RETRY_AFTER, invalid)]), None, "{invalid:?}");
        }
        assert_eq!(wait(&[]), None);
    }
}
