//! Presigned URLs: how long they work, and which may be used.

use std::time::Duration;

use filestore_core::{Effect, Error, ErrorKind, Result};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use url::Url;

/// A URL that came within this time is not looked at.
const JUST_NOW: Duration = Duration::from_secs(1);

/// Returns when a presigned URL expires, by the clock of whoever signed it. `None` if that cannot be told: then nothing is
/// assumed.
///
/// S3, Google and the service itself sign a date and a number of seconds; Azure signs the end.
pub fn expiry(url: &Url) -> Option<Timestamp> {
    for scheme in ["X-Amz", "X-Goog", "X-Files"] {
        let date = only(url, &format!("{scheme}-Date"));
        let seconds = only(url, &format!("{scheme}-Expires"));
        if let (Some(date), Some(seconds)) = (date, seconds) {
            return date_of(&date)?.checked_add(Duration::from_secs(seconds.parse().ok()?)).ok();
        }
    }
    // The value of `sp` is itself `se=DATE`.
    date_of(only(url, "sp")?.strip_prefix("se=")?)
}

/// Returns how long a presigned URL was made to work. `None` if it does not say.
pub fn lifetime(url: &Url) -> Option<Duration> {
    let seconds = ["X-Amz-Expires", "X-Goog-Expires", "X-Files-Expires"].iter().find_map(|name| only(url, name))?;
    seconds.parse().ok().map(Duration::from_secs)
}

/// Returns true if a presigned URL that came `age` ago works for longer than `margin`. By its age, because clocks differ;
/// what has just come is as fresh as it gets.
pub fn is_fresh(url: &Url, age: Duration, margin: Duration) -> bool {
    age < JUST_NOW || lifetime(url).is_none_or(|lifetime| age + margin < lifetime)
}

/// Reads a presigned URL of a service at `base`: any host, but no step down from https.
///
/// *Protocol* otherwise. The text is not repeated: it is a secret.
pub fn presigned_url(text: &str, base: &Url) -> Result<Url> {
    let wrong = |what: &str| {
        let message = format!("the service gives a presigned URL that {what}; check base_url");
        Error::new(ErrorKind::Protocol, Effect::Rejected, message)
    };
    let url = Url::parse(text).map_err(|_| wrong("is no absolute URL"))?;
    match url.scheme() {
        "https" => {}
        "http" if base.scheme() == "http" => {}
        "http" => return Err(wrong("is not encrypted, although the service's own is")),
        _ => return Err(wrong("is neither http nor https")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("holds a user"));
    }
    Ok(url)
}

/// The value of a parameter that is there once, empty pairs being nobody's.
fn only(url: &Url, name: &str) -> Option<String> {
    // An empty pair makes the query one that nobody signed.
    if url.query()?.split('&').any(str::is_empty) {
        return None;
    }
    let mut values = url.query_pairs().filter(|(found, _)| found == name).map(|(_, value)| value.into_owned());
    values.next().filter(|_| values.next().is_none())
}

/// `20260301T100000Z`.
fn date_of(text: &str) -> Option<Timestamp> {
    let civil = DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    Some(TimeZone::UTC.to_zoned(civil).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(query: &str) -> Url {
        format!("https://storage.example/bucket/file-to-download.txt?{query}").parse().unwrap()
    }

    fn end_of(query: &str) -> Option<String> {
        expiry(&url(query)).map(|end| end.to_string())
    }

    #[test]
    fn s3_google_and_the_service_sign_a_date_and_a_lifetime() {
        let expected = Some("2022-01-01T12:15:00Z".to_owned());
        for name in ["Amz", "Goog", "Files"] {
            let query = format!(
                "X-{name}-Algorithm=A&X-{name}-Date=20220101T120000Z&X-{name}-Expires=900&X-{name}-Signature=s"
            );
            assert_eq!(end_of(&query), expected, "{name}");
        }
        assert_eq!(end_of("X-Amz-Expires=900&X-Amz-Date=20220101T120000Z"), expected);
        assert_eq!(lifetime(&url("X-Amz-Expires=60")), Some(Duration::from_secs(60)));
    }

    #[test]
    fn an_address_is_used_until_its_margin_and_always_when_it_has_just_come() {
        let fresh = |query: &str, age| is_fresh(&url(query), Duration::from_millis(age), Duration::from_secs(30));
        let minute = "X-Amz-Expires=60";
        assert_eq!([0, 29_999, 30_000, 60_001].map(|age| fresh(minute, age)), [true, true, false, false]);
        assert_eq!([0, 999, 1000].map(|age| fresh("X-Files-Expires=10", age)), [true, true, false]);
        for no_end in ["", "X-Amz-Expires=soon", "X-Goog-Expires=900&X-Goog-Expires=600"] {
            assert!(fresh(no_end, u64::MAX), "{no_end}");
        }
    }

    #[test]
    fn azure_signs_the_end() {
        assert_eq!(end_of("sp=se=20220101T120000Z").as_deref(), Some("2022-01-01T12:00:00Z"));
    }

    #[test]
    fn an_end_that_cannot_be_told_is_none() {
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
            assert_eq!(end_of(query), None, "{query}");
        }
    }

    #[test]
    fn the_storage_may_be_any_host_but_not_less_than_https() {
        let https: Url = "https://ps.pndsn.com".parse().unwrap();
        let http: Url = "http://127.0.0.1:7070".parse().unwrap();
        assert!(presigned_url("https://files.example/a?X-Amz-Signature=s", &https).is_ok());
        assert!(presigned_url("http://127.0.0.1:7070/x", &http).is_ok());
        for bad in ["http://files.example/a", "/a", "ftp://x/a", "https://u:p@files.example/a", ""] {
            let error = presigned_url(bad, &https).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol, "{bad}");
        }
    }
}
