//! O1 to O5: a store keeps the options of an upload that all stores share, and never ignores one.

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use filestore_core::{Body, Effect, ErrorKind, Expiry, Feature, Period, StoredFile, Upload};
use jiff::{SignedDuration, Timestamp};

use crate::case::Case;
use crate::rule::{Rule, rule};
use crate::verdict::{NOTHING_CHANGED, Stop, Verdict, check, failed, needed, rejected, same, worked};

pub(crate) const RULES: &[Rule] = &[
    rule!("O1", "A content type is kept.", [ContentType], content_type),
    rule!("O2", "Metadata is kept.", [Metadata], metadata),
    rule!("O3", "A modification time is kept.", [Modified], modified),
    rule!("O4", "An expiry is kept.", [Expiry], expiry),
    rule!("O5", "Never is kept or rejected.", [Expiry], never),
];

/// 2021-03-04T05:06:07Z: a whole second, because services truncate times to seconds.
pub(crate) const WHOLE_SECOND: Timestamp = Timestamp::constant(1_614_834_367, 0);

async fn content_type(case: &Case<'_>) -> Verdict {
    for expected in ["text/csv", "application/x-conformance"] {
        // A name that suggests another type.
        let name = format!("{}.html", expected.replace('/', "-"));
        let upload = case.upload(&name, "a,b").content_type(expected);
        kept(case, upload, "the content type", &expected.to_owned(), |file| file.content_type.clone()).await?;
    }
    Ok(())
}

async fn metadata(case: &Case<'_>) -> Verdict {
    let simple = [("origin", "conformance"), ("color", "dark blue")];
    metadata_is_kept(case, "metadata.txt", &simple).await?;
    // Some services accept only identifiers as names.
    let hyphenated = [("origin", "conformance"), ("two-words", "one two")];
    let upload =
        hyphenated.iter().fold(case.upload("probe.txt", "x"), |upload, (key, value)| upload.metadata(*key, *value));
    match case.send(upload).await {
        Err(error) if error.kind() == ErrorKind::InvalidInput && error.effect() == Effect::NotSent => Ok(()),
        _ => metadata_is_kept(case, "hyphen.txt", &hyphenated).await,
    }
}

async fn metadata_is_kept(case: &Case<'_>, name: &str, pairs: &[(&str, &str)]) -> Verdict {
    let expected: BTreeMap<String, String> =
        pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    let mut upload = case.upload(name, "metadata");
    upload.metadata.clone_from(&expected);
    // Services add other pairs; the caller's pairs must be among them.
    let pairs = |file: &StoredFile| {
        let given = file.metadata.iter().filter(|(key, _)| expected.contains_key(*key));
        (!file.metadata.is_empty()).then(|| given.map(|(key, value)| (key.clone(), value.clone())).collect())
    };
    kept(case, upload, "the metadata", &expected, pairs).await
}

async fn modified(case: &Case<'_>) -> Verdict {
    let upload = case.upload("modified.txt", "modified").modified(WHOLE_SECOND);
    let seconds = |file: &StoredFile| file.modified.map(Timestamp::as_second);
    kept(case, upload, "the modification time in seconds", &WHOLE_SECOND.as_second(), seconds).await?;
    // An upload of a local file keeps the time of the file.
    let local = |error: io::Error| Stop::Blocked { by: format!("a temporary file: {error}") };
    let mut file = tempfile::NamedTempFile::new().map_err(local)?;
    file.write_all(b"modified").and_then(|()| file.as_file().set_modified(WHOLE_SECOND.into())).map_err(local)?;
    let body = needed("a body of a path", Body::from_path(file.path()))?;
    let upload = case.upload("local.txt", body);
    let what = "the modification time of the local file in seconds";
    kept(case, upload, what, &WHOLE_SECOND.as_second(), seconds).await
}

/// Stores `upload`, and checks a property of the file: each response that has it must have the expected value, and at
/// least one response must have it.
async fn kept<T: PartialEq + std::fmt::Debug + Sync>(
    case: &Case<'_>,
    upload: Upload,
    what: &str,
    expected: &T,
    property: impl Fn(&StoredFile) -> Option<T> + Send,
) -> Verdict {
    let responses = responses(case, upload).await?;
    let mut is_stated = false;
    for (operation, file) in &responses {
        if let Some(seen) = property(file) {
            is_stated = true;
            same(&format!("{what} in the response to {operation}"), expected, &seen)?;
        }
    }
    let operations: Vec<&str> = responses.iter().map(|(operation, _)| *operation).collect();
    let seen = format!("no such property in the responses to {}", operations.join(", "));
    check(is_stated, &format!("{what} {expected:?} in a response"), seen)
}

/// Returns the file from the response to the upload, and from stat, or from download if the store has no stat.
async fn responses(case: &Case<'_>, upload: Upload) -> Verdict<Vec<(&'static str, StoredFile)>> {
    let file = worked("the upload", case.send(upload).await)?;
    let other = if case.supports(Feature::Stat) {
        ("stat", needed("stat", case.store.stat(&file.reference).await)?)
    } else {
        ("download", needed("the download", case.store.download(&file.reference).await)?.file)
    };
    Ok(vec![("upload", file), other])
}

async fn expiry(case: &Case<'_>) -> Verdict {
    let second = |time: Timestamp| Timestamp::constant(time.as_second(), 0);
    let expiries: [fn(Timestamp) -> Expiry; 3] = [
        |_| Expiry::After(Period::hours(2)),
        |_| Expiry::After(Period::days(3)),
        |now| Expiry::At(now + SignedDuration::from_hours(30)),
    ];
    for (number, expiry) in expiries.into_iter().enumerate() {
        let now = case.harness.now();
        let expiry = expiry(second(now));
        let upload = case.upload(&format!("expires-{number}.txt"), "expires").expires(expiry);
        let responses = responses(case, upload).await?;
        let end = needed("the instant of the expiry", expiry.instant(now))?.unwrap_or(now);
        let mut is_stated = false;
        for (operation, file) in responses {
            match file.expiry {
                Expiry::Default => continue,
                // 1 min for clocks that differ, and for services that round.
                Expiry::At(seen) if seen.duration_since(end).abs() <= SignedDuration::from_mins(1) => is_stated = true,
                other => {
                    let expected = format!("the expiry {expiry}, that is {end}, from {operation}");
                    return failed(expected, other.to_string());
                }
            }
        }
        check(is_stated, &format!("the expiry {expiry} in a response"), "no response has an expiry")?;
    }
    Ok(())
}

async fn never(case: &Case<'_>) -> Verdict {
    case.put("good.txt", "good").await?;
    let before = case.snapshot().await?;
    let result = case.send(case.upload("never.txt", "never").expires(Expiry::Never)).await;
    match result {
        Ok(file) => same("the expiry in the response", &Expiry::Never, &file.expiry),
        Err(error) => {
            let kinds = [ErrorKind::Unsupported, ErrorKind::InvalidInput, ErrorKind::Permission, ErrorKind::Quota];
            rejected::<()>("an upload that never expires, if it fails,", Err(error), &kinds, NOTHING_CHANGED)?;
            case.nothing_new(&before, "a rejected upload").await
        }
    }
}
