//! Presigned URLs: their expiry, and which of them are accepted.

use std::time::Duration;

use filestore_core::{Effect, Error, ErrorKind, Result};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use url::Url;

/// A URL that was received within this time is fresh without a check.
const JUST_RECEIVED: Duration = Duration::from_secs(1);

/// Returns the expiry of a presigned URL, by the signer's clock. `None` if the URL does not show it.
///
/// URLs of S3, Google and Files.com contain a date and a number of seconds; those of Azure contain the expiry itself,
/// which Files.com puts into the parameter `sp`.
pub fn expiry(url: &Url) -> Option<Timestamp> {
    for scheme in ["X-Amz", "X-Goog", "X-Files"] {
        let date = single_value(url, &format!("{scheme}-Date"));
        let seconds = single_value(url, &format!("{scheme}-Expires"));
        if let (Some(date), Some(seconds)) = (date, seconds) {
            return parse_date(&date)?.checked_add(Duration::from_secs(seconds.parse().ok()?)).ok();
        }
    }
    if let Some(expiry) = single_value(url, "se") {
        return expiry.parse().ok();
    }
    parse_date(single_value(url, "sp")?.strip_prefix("se=")?)
}

/// Returns the lifetime of a presigned URL. `None` if the URL does not show it.
pub fn lifetime(url: &Url) -> Option<Duration> {
    let seconds =
        ["X-Amz-Expires", "X-Goog-Expires", "X-Files-Expires"].iter().find_map(|name| single_value(url, name))?;
    seconds.parse().ok().map(Duration::from_secs)
}

/// Returns `true` if a presigned URL that was received `age` ago is valid for longer than `margin`, or shows no
/// lifetime.
///
/// It compares the age and not the date, because clocks differ. A URL that was received less than 1 s ago is always
/// fresh, because a new one would not be valid for longer.
pub fn is_fresh(url: &Url, age: Duration, margin: Duration) -> bool {
    age < JUST_RECEIVED || lifetime(url).is_none_or(|lifetime| age.saturating_add(margin) < lifetime)
}

/// Parses a presigned URL that the service at `base` returned. Its host may be any, but its scheme must be `https` if
/// that of `base` is.
///
/// Fails with *protocol* otherwise. The error does not repeat `text`, because it is a secret.
pub fn presigned_url(text: &str, base: &Url) -> Result<Url> {
    let invalid = |problem: &str| {
        let message = format!("the service returned a presigned URL that {problem}; check base_url");
        Error::new(ErrorKind::Protocol, Effect::Rejected, message)
    };
    let url = Url::parse(text).map_err(|_| invalid("is not an absolute URL"))?;
    match url.scheme() {
        "https" => {}
        "http" if base.scheme() == "http" => {}
        "http" => return Err(invalid("uses http, although base_url uses https")),
        _ => return Err(invalid("is neither http nor https")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("contains a user or a password"));
    }
    Ok(url)
}

/// Returns the value of a parameter that occurs exactly once. `None` if the query has an empty pair (`a=1&&b=2`).
fn single_value(url: &Url, name: &str) -> Option<String> {
    // A signed query has no empty pairs.
    if url.query()?.split('&').any(str::is_empty) {
        return None;
    }
    let mut values = url.query_pairs().filter(|(found, _)| found == name).map(|(_, value)| value.into_owned());
    values.next().filter(|_| values.next().is_none())
}

/// Parses a date such as `20260301T100000Z`.
fn parse_date(text: &str) -> Option<Timestamp> {
    let civil = DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    Some(TimeZone::UTC.to_zoned(civil).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(query: &str) -> Url {
        format!("https://storage.example/bucket/file-to-download.txt?{query}").parse().unwrap()
    }

    fn expiry_of(query: &str) -> Option<String> {
        expiry(&url(query)).map(|expiry| expiry.to_string())
    }

    #[test]
    fn urls_of_s3_google_and_files_com_contain_a_date_and_a_lifetime() {
        let expected = Some("2022-01-01T12:15:00Z".to_owned());
        for name in ["Amz", "Goog", "Files"] {
            let query = format!(
                "X-{name}-Algorithm=A&X-{name}-Date=20220101T120000Z&X-{name}-Expires=900&X-{name}-Signature=s"
            );
            assert_eq!(expiry_of(&query), expected, "{name}");
        }
        assert_eq!(expiry_of("X-Amz-Expires=900&X-Amz-Date=20220101T120000Z"), expected);
        assert_eq!(lifetime(&url("X-Amz-Expires=60")), Some(Duration::from_secs(60)));
    }

    #[test]
    fn a_url_is_fresh_until_its_margin_and_always_if_it_was_just_received() {
        let fresh = |query: &str, age| is_fresh(&url(query), Duration::from_millis(age), Duration::from_secs(30));
        let minute = "X-Amz-Expires=60";
        assert_eq!([0, 29_999, 30_000, 60_001].map(|age| fresh(minute, age)), [true, true, false, false]);
        assert_eq!([0, 999, 1000].map(|age| fresh("X-Files-Expires=10", age)), [true, true, false]);
        for no_lifetime in ["", "X-Amz-Expires=soon", "X-Goog-Expires=900&X-Goog-Expires=600"] {
            assert!(fresh(no_lifetime, u64::MAX), "{no_lifetime}");
        }
    }

    #[test]
    fn urls_of_azure_contain_the_expiry() {
        let expected = Some("2022-01-01T12:00:00Z");
        assert_eq!(expiry_of("sp=se=20220101T120000Z").as_deref(), expected);
        assert_eq!(expiry_of("sv=2020-12-06&se=2022-01-01T12%3A00%3A00Z&sr=b&sp=r&sig=x").as_deref(), expected);
    }

    #[test]
    fn an_expiry_that_the_url_does_not_show_is_none() {
        for query in [
            "X-Goog-Date=20220101T120000Z",
            "X-Goog-Date=20220101T120000Z&X-Goog-Date=20220101T120000Z&X-Goog-Expires=900",
            "X-Goog-Expires=900&X-Goog-Expires=600",
            "sp=se=20220101T120000Z&sp=se=20220202T120000Z",
            "sp=20220101T120000Z",
            "X-Goog-Date=20220101&X-Goog-Expires=900",
            "X-Goog-Date=asdf&X-Goog-Expires=900",
            "X-Amz-Date=asdf&X-Amz-Expires=900",
            "X-Goog-Date=20220101T120000Z&&X-Goog-Expires=900",
            "x-amz-date=20220101T120000Z&x-amz-expires=900",
            "",
        ] {
            assert_eq!(expiry_of(query), None, "{query}");
        }
    }

    #[test]
    fn a_presigned_url_may_have_any_host_but_keeps_https() {
        let https: Url = "https://ps.pndsn.com".parse().unwrap();
        let http: Url = "http://127.0.0.1:7070".parse().unwrap();
        assert!(presigned_url("https://files.example/a?X-Amz-Signature=s", &https).is_ok());
        assert!(presigned_url("http://127.0.0.1:7070/x", &http).is_ok());
        for invalid in ["http://files.example/a", "/a", "ftp://x/a", "https://u:p@files.example/a", ""] {
            let error = presigned_url(invalid, &https).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol, "{invalid}");
        }
    }
}
