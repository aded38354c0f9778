//! A1 to A3: URLs of files.

use std::time::Duration;

use bytes::Bytes;
use filestore_core::{ErrorKind, FileUrl, UrlKind, UrlRequest, percent_decode};
use jiff::SignedDuration;

use crate::case::Case;
use crate::rule::{Rule, rule};
use crate::verdict::{Stop, UNSENT, Verdict, check, described, failed, rejected, same, same_bytes, skipped, worked};

pub(crate) const RULES: &[Rule] = &[
    rule!("A1", "A URL is of the stated kind.", [Url], kind),
    rule!("A2", "A URL is valid as long as requested, or is unsupported.", [Url], lifetime),
    rule!("A3", "A URL gives the bytes of the file.", [Url], content),
];

async fn kind(case: &Case<'_>) -> Verdict {
    let file = case.put("kind.txt", "kind").await?;
    let url = worked("the URL", case.store.url(&file.reference).await)?;
    same("the kind", &case.capabilities().url_kind, &Some(url.kind()))?;
    let absolute = url.as_str().split_once(':').is_some_and(|(scheme, rest)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && rest.starts_with("//") && rest.len() > 2
    });
    check(absolute, "an absolute URL", &url)?;
    if url.kind() == UrlKind::Signed {
        let ahead = url.expires().is_some_and(|end| end > case.harness.now());
        check(ahead, "a signed URL with an expiry in the future", url.expires())?;
    }
    Ok(())
}

async fn lifetime(case: &Case<'_>) -> Verdict {
    let file = case.put("lifetime.txt", "lifetime").await?;
    let ten_years = Duration::from_secs(10 * 365 * 24 * 3600);
    for lifetime in [Duration::from_secs(60), Duration::from_secs(3600), ten_years] {
        let what = format!("a URL that is valid for {} s", lifetime.as_secs());
        let begin = case.harness.now();
        match case.store.url(UrlRequest::from(&file.reference).lifetime(lifetime)).await {
            Ok(url) => {
                let end = begin + SignedDuration::try_from(lifetime).unwrap_or(SignedDuration::MAX);
                // 2 s for services that truncate times to seconds.
                let enough = url.expires().is_none_or(|expires| expires + SignedDuration::from_secs(2) >= end);
                check(enough, &format!("{what}, with the expiry {end} or later"), url.expires())?;
            }
            Err(error) if error.kind() == ErrorKind::Unsupported => {}
            Err(error) => return failed(format!("{what}, or unsupported"), described(&error)),
        }
    }
    if let Some(longest) = case.capabilities().url_lifetime {
        let before = case.requests().await;
        let request = UrlRequest::from(&file.reference).lifetime(longest + Duration::from_secs(1));
        let what = "a URL that is valid for longer than the stated longest lifetime";
        rejected(what, case.store.url(request).await, &[ErrorKind::Unsupported], UNSENT)?;
        case.unsent(before, what).await?;
        let request = UrlRequest::from(&file.reference).lifetime(longest);
        worked("a URL that is valid for the stated longest lifetime", case.store.url(request).await)?;
    }
    Ok(())
}

async fn content(case: &Case<'_>) -> Verdict {
    if case.capabilities().url_kind == Some(UrlKind::Page) {
        return skipped("url_kind", "a URL leads to a page about the file");
    }
    let name = "behind #1 + \u{fc}.txt";
    let file = case.put(name, "behind the URL").await?;
    let url = worked("the URL", case.store.url(&file.reference).await)?;
    let fetched = match url.kind() {
        UrlKind::Local => Some(read_local(&url)),
        _ => case.harness.fetch(&url).await.map(|result| worked("fetching the URL", result)),
    };
    match fetched {
        Some(content) => same_bytes("the content at the URL", b"behind the URL", &content?),
        None => skipped("harness: fetch", "the harness cannot fetch URLs"),
    }
}

fn read_local(url: &FileUrl) -> Verdict<Bytes> {
    let Some(path) = url.as_str().strip_prefix("file://") else {
        return failed("a local URL that begins with file://", format!("{url:?}"));
    };
    let path = worked("decoding the local URL", percent_decode(path))?;
    let read = std::fs::read(path).map(Bytes::from);
    read.map_err(|error| Stop::Failed { expected: "a local URL of a readable file".into(), seen: error.to_string() })
}
