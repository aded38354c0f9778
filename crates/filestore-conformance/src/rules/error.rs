//! E1 and E2: errors are true.

use filestore_core::{Effect, Error, Expiry, Feature, Operation, Period, Result};

use crate::case::{Case, list_of};
use crate::rule::{Rule, rule};
use crate::verdict::{Verdict, check, described, failed, same, skipped};

pub(crate) const RULES: &[Rule] = &[
    rule!("E1", "Not sent means not sent.", [], not_sent),
    rule!("E2", "An error names its store and its operation.", [], store_and_operation),
];

async fn not_sent(case: &Case<'_>) -> Verdict {
    let file = case.put("there.txt", "there").await?;
    if case.requests().await.is_none() {
        return skipped("harness: requests", "the harness does not count requests");
    }
    let expired = Expiry::After(Period::days(u32::MAX));
    let uploads = [
        ("an upload without a name", case.upload("x", "x").name("")),
        ("an upload with metadata", case.upload("metadata.txt", "x").metadata("", "")),
        ("an upload with an invalid content type", case.upload("type.txt", "x").content_type("a\nb")),
        ("an upload with an expiry beyond the calendar", case.upload("expiry.txt", "x").expires(expired)),
        ("an upload into an empty scope", case.upload("x.txt", "x").scope("")),
    ];
    let before = case.requests().await;
    let mut rejections = 0;
    for (what, upload) in uploads {
        let before = case.requests().await;
        rejections += usize::from(sent_nothing(case, before, what, case.send(upload).await.err()).await?);
    }
    check(rejections > 0, "an error with the effect not_sent", before)?;
    let foreign = file.reference.stamped(&"another-store".into());
    let before = case.requests().await;
    sent_nothing(case, before, "a download of another store", case.store.download(&foreign).await.err()).await?;
    Ok(())
}

/// Returns `true` if the effect of `error` is *not sent*, after a check that no request was sent.
async fn sent_nothing(
    case: &Case<'_>,
    before: Option<crate::Requests>,
    what: &str,
    error: Option<Error>,
) -> Verdict<bool> {
    let unsent = error.is_some_and(|error| error.effect() == Effect::NotSent);
    if unsent {
        case.unsent(before, what).await?;
    }
    Ok(unsent)
}

async fn store_and_operation(case: &Case<'_>) -> Verdict {
    let file = case.put("there.txt", "there").await?;
    let missing = case.missing(&file.reference);
    is_named(case, Operation::Download, case.read(&missing).await.map(drop))?;
    is_named(case, Operation::Upload, case.send(case.upload("x", "x").name("")).await.map(drop))?;
    if case.supports(Feature::Stat) {
        is_named(case, Operation::Stat, case.store.stat(&missing).await.map(drop))?;
    }
    if case.supports(Feature::List) {
        is_named(case, Operation::List, case.store.list(list_of(Some(""))).await.map(drop))?;
    }
    Ok(())
}

fn is_named(case: &Case<'_>, operation: Operation, result: Result<()>) -> Verdict {
    let Err(error) = result else {
        return failed(format!("the {operation} of something missing or invalid fails"), "success");
    };
    same(&format!("the store in an error of {operation}"), &Some(case.store.name()), &error.store())?;
    same("the operation in an error", &Some(operation), &error.operation())?;
    check(!error.message().trim().is_empty(), "a message", described(&error))
}
