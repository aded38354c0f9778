//! O1 to O5: what every store may be asked to keep with a file is kept, never ignored.

use std::collections::BTreeMap;

use filestore_core::{ErrorKind, Expiry, Feature, Period, StoredFile, Upload};
use jiff::{SignedDuration, Timestamp};

use crate::case::Case;
use crate::rule::{Rule, rule};
use crate::verdict::{NOTHING_CHANGED, Verdict, check, failed, needed, rejected, same, worked};

pub(crate) const RULES: &[Rule] = &[
    rule!("O1", "A content type is kept.", [ContentType], content_type),
    rule!("O2", "Metadata is kept.", [Metadata], metadata),
    rule!("O3", "A time of change is kept.", [Modified], modified),
    rule!("O4", "An expiry is kept.", [Expiry], expiry),
    rule!("O5", "Never is kept or rejected.", [Expiry], never),
];

/// 2021-03-04T05:06:07Z, because services cut times to seconds.
pub(crate) const WHOLE_SECOND: Timestamp = Timestamp::constant(1_614_834_367, 0);

async fn content_type(case: &Case<'_>) -> Verdict {
    for wanted in ["text/csv", "application/x-conformance"] {
        // A name that suggests another type.
        let name = format!("{}.html", wanted.replace('/', "-"));
        let upload = case.upload(&name, "a,b").content_type(wanted);
        kept(case, upload, "the content type", &wanted.to_owned(), |file| file.content_type.clone()).await?;
    }
    Ok(())
}

async fn metadata(case: &Case<'_>) -> Verdict {
    let wanted: BTreeMap<String, String> =
        [("origin", "conformance"), ("two-words", "one two")].map(|(key, value)| (key.into(), value.into())).into();
    let mut upload = case.upload("metadata.txt", "metadata");
    upload.metadata.clone_from(&wanted);
    // Services add pairs of their own; the caller's must be among them.
    let pairs = |file: &StoredFile| {
        let own = file.metadata.iter().filter(|(key, _)| wanted.contains_key(*key));
        (!file.metadata.is_empty()).then(|| own.map(|(key, value)| (key.clone(), value.clone())).collect())
    };
    kept(case, upload, "the metadata", &wanted, pairs).await
}

async fn modified(case: &Case<'_>) -> Verdict {
    let upload = case.upload("modified.txt", "modified").modified(WHOLE_SECOND);
    let seconds = |file: &StoredFile| file.modified.map(Timestamp::as_second);
    kept(case, upload, "the time of change in seconds", &WHOLE_SECOND.as_second(), seconds).await
}

/// Stores `upload`; what the answer or stat says of it is as it was wanted, and one of them says it.
async fn kept<T: PartialEq + std::fmt::Debug + Sync>(
    case: &Case<'_>,
    upload: Upload,
    what: &str,
    wanted: &T,
    fact: impl Fn(&StoredFile) -> Option<T> + Send,
) -> Verdict {
    let answers = answers(case, upload).await?;
    let mut said = false;
    for (whose, file) in &answers {
        if let Some(seen) = fact(file) {
            said = true;
            same(&format!("{what} in the answer to {whose}"), wanted, &seen)?;
        }
    }
    let asked: Vec<&str> = answers.iter().map(|(whose, _)| *whose).collect();
    check(said, &format!("{what} {wanted:?} in an answer"), format!("nothing of it in those to {}", asked.join(", ")))
}

/// What upload says of a file, and what stat says, or download where there is no stat.
async fn answers(case: &Case<'_>, upload: Upload) -> Verdict<Vec<(&'static str, StoredFile)>> {
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
    let wanted: [fn(Timestamp) -> Expiry; 3] = [
        |_| Expiry::After(Period::hours(2)),
        |_| Expiry::After(Period::days(3)),
        |now| Expiry::At(now + SignedDuration::from_hours(30)),
    ];
    for (number, wanted) in wanted.into_iter().enumerate() {
        let now = case.harness.now();
        let wanted = wanted(second(now));
        let upload = case.upload(&format!("expires-{number}.txt"), "expires").expires(wanted);
        let answers = answers(case, upload).await?;
        let end = needed("the instant of the expiry", wanted.instant(now))?.unwrap_or(now);
        let mut said = false;
        for (whose, file) in answers {
            match file.expiry {
                Expiry::Default => continue,
                // A minute for clocks that differ, and for services that round.
                Expiry::At(seen) if seen.duration_since(end).abs() <= SignedDuration::from_mins(1) => said = true,
                other => return failed(format!("the expiry {wanted}, that is {end}, from {whose}"), other.to_string()),
            }
        }
        check(said, &format!("the expiry {wanted} in an answer"), "none says it")?;
    }
    Ok(())
}

async fn never(case: &Case<'_>) -> Verdict {
    case.put("good.txt", "good").await?;
    let before = case.snapshot().await?;
    let result = case.send(case.upload("never.txt", "never").expires(Expiry::Never)).await;
    match result {
        Ok(file) => same("the expiry in the answer", &Expiry::Never, &file.expiry),
        Err(error) => {
            let kinds = [ErrorKind::Unsupported, ErrorKind::InvalidInput, ErrorKind::Permission, ErrorKind::Quota];
            rejected::<()>("an upload that never expires, if it fails,", Err(error), &kinds, NOTHING_CHANGED)?;
            case.nothing_new(&before, "a rejected upload").await
        }
    }
}
