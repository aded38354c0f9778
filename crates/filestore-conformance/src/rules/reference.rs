//! R1 to R5: references are permanent names of files, and are not shown if they grant access.

use filestore_core::{Effect, ErrorKind, Feature, FileRef, Result};
use std::sync::Arc;

use crate::case::{Case, LARGEST};
use crate::rule::{Rule, rule};
use crate::verdict::{UNSENT, Verdict, check, described, failed, needed, rejected, same, same_bytes, skipped, worked};

pub(crate) const RULES: &[Rule] = &[
    rule!("R1", "A reference can be stored as text and parsed.", [], as_text),
    rule!("R2", "Every response has the same reference.", [], same_everywhere),
    rule!("R3", "A reference of another store or scheme is rejected unsent.", [], foreign),
    rule!("R4", "A made-up locator is rejected or not found.", [], made_up),
    rule!("R5", "A reference that grants access is never shown.", [], bearer),
];

async fn as_text(case: &Case<'_>) -> Verdict {
    let file = case.put("as text + \u{fc}.txt", "as text").await?;
    same("the store's name in the reference", &case.store.name(), &file.reference.store())?;
    same("the scheme of the reference", &case.capabilities().scheme.as_ref(), &file.reference.scheme())?;
    let text = file.reference.to_string();
    let parsed: FileRef = worked("parsing the reference", text.parse())?;
    check(parsed == file.reference, "the same reference from its text", &parsed)?;
    let other = case.second_handle().await?;
    if case.supports(Feature::Stat) {
        let seen = worked("stat with a second handle", other.stat(&parsed).await)?;
        same("the name from a second handle", &file.name, &seen.name)?;
    }
    let seen = worked("the download with a second handle", other.read(&parsed, LARGEST).await)?;
    same_bytes("the content from a second handle", b"as text", &seen)
}

async fn same_everywhere(case: &Case<'_>) -> Verdict {
    let file = case.put("everywhere.txt", "everywhere").await?;
    let expected = format!("{} as from the upload", printable(case, &file.reference));
    let same = |operation: &str, seen: &FileRef| {
        check(*seen == file.reference, &format!("{expected} from {operation}"), printable(case, seen))
    };
    if case.supports(Feature::Stat) {
        same("stat", &needed("stat", case.store.stat(&file.reference).await)?.reference)?;
    }
    if case.supports(Feature::List) {
        let listed = needed("listing", case.list().await)?;
        let listed = listed.iter().find(|other| other.name == file.name).map(|file| &file.reference);
        let Some(listed) = listed else { return failed(format!("{expected} in the listing"), "no file of its name") };
        same("the listing", listed)?;
    }
    let download = needed("the download", case.store.download(&file.reference).await)?;
    same("the download", &download.file.reference)
}

/// Returns the reference for the report, redacted if it grants access to the file.
fn printable(case: &Case<'_>, reference: &FileRef) -> String {
    if case.capabilities().bearer_references { reference.redacted() } else { reference.to_string() }
}

async fn foreign(case: &Case<'_>) -> Verdict {
    let file = case.put("own.txt", "own").await?;
    let name = Arc::from(format!("{}-of-others", case.store.name()));
    let scheme = format!("{}x", case.capabilities().scheme);
    let references = [
        ("another store", file.reference.stamped(&name)),
        ("another scheme", FileRef::new(&scheme, file.reference.components()).stamped(&case.store.name().into())),
    ];
    let before = case.requests().await;
    for (whose, reference) in references {
        for (operation, result) in attempts(case, &reference).await {
            let what = format!("{operation} with a reference of {whose}");
            rejected(&what, result, &[ErrorKind::InvalidInput], UNSENT)?;
            case.unsent(before, &what).await?;
        }
    }
    Ok(())
}

async fn made_up(case: &Case<'_>) -> Verdict {
    case.put("real.txt", "real").await?;
    let (store, scheme) = (case.store.name(), &case.capabilities().scheme);
    let long = "n".repeat(3000);
    let deep = vec!["deep"; 300].join("/");
    let locators =
        ["..", ".", "../..", "no-such/../real.txt", "no%2Fsuch", "no%5Csuch", "no%00such", "no%0Asuch", "%20"];
    let more = ["no-such", "no/such/file/at/all", "~", "%25", "%F0%9F%98%80", long.as_str(), deep.as_str()];
    for locator in locators.into_iter().chain(more) {
        let reference: FileRef = needed("a made-up reference", format!("{store}:{scheme}:{locator}").parse())?;
        let shown: String = locator.chars().take(40).collect();
        // Delete is not tried: for `..`, a broken backend could delete files that do not belong to the test.
        let mut results = vec![("download", case.read(&reference).await.map(drop))];
        if case.supports(Feature::Stat) {
            results.push(("stat", case.store.stat(&reference).await.map(drop)));
        }
        for (operation, result) in results {
            let kinds = [ErrorKind::InvalidInput, ErrorKind::NotFound];
            let effects = [Effect::NotSent, Effect::Rejected];
            rejected(&format!("{operation} of the made-up locator {shown:?}"), result, &kinds, &effects)?;
        }
    }
    Ok(())
}

async fn bearer(case: &Case<'_>) -> Verdict {
    if !case.capabilities().bearer_references {
        return skipped("bearer_references", "a reference alone does not grant access");
    }
    let file = case.put("bearer.txt", "bearer").await?;
    let secret = secret(&file.reference);
    check(!format!("{file:?}").contains(&secret), "a Debug of the file without the locator", "the locator is in it")?;
    let missing = case.missing(&file.reference);
    let secret = self::secret(&missing);
    for (operation, result) in attempts(case, &missing).await {
        let Err(error) = result else { continue };
        for text in [described(&error), format!("{error:?}")] {
            if text.contains(&secret) {
                return failed(format!("an error of {operation} without the locator"), "the locator is in it");
            }
        }
    }
    Ok(())
}

/// Returns the secret part of a reference: the last component of the locator.
fn secret(reference: &FileRef) -> String {
    reference.components().pop().unwrap_or_default()
}

/// Tries every supported operation on `reference`.
async fn attempts(case: &Case<'_>, reference: &FileRef) -> Vec<(&'static str, Result<()>)> {
    let mut results = vec![("download", case.store.download(reference).await.map(drop))];
    if case.supports(Feature::Stat) {
        results.push(("stat", case.store.stat(reference).await.map(drop)));
    }
    if case.supports(Feature::Url) {
        results.push(("url", case.store.url(reference).await.map(drop)));
    }
    if case.supports(Feature::Delete) {
        results.push(("delete", case.store.delete(reference).await));
    }
    results
}
