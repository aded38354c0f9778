//! M1 to M4: a store reports the truth even if its service misbehaves.

use filestore_core::{Effect, Error, ErrorKind, Feature, FileRef, Result, StoredFile};
use futures::{StreamExt, TryStreamExt};

use crate::case::{Case, list_of};
use crate::harness::Disturbance;
use crate::rule::{Rule, rule};
use crate::verdict::{Verdict, check, described, failed, needed, rejected, same_bytes, skipped, worked};

pub(crate) const RULES: &[Rule] = &[
    rule!("M1", "An upload whose response was lost has an unknown effect, whatever follows.", [], lost_upload),
    rule!("M2", "A delete whose response was lost has an unknown effect, whatever follows.", [Delete], lost_delete),
    rule!("M3", "Only the documented response confirms a delete.", [Delete], unconfirmed_delete),
    rule!("M4", "An endless listing fails.", [List], endless_listing),
];

/// The number of pages after which a listing counts as endless.
const MANY_PAGES: usize = 10_000;

async fn lost_upload(case: &Case<'_>) -> Verdict {
    case.put("before.txt", "before").await?;
    if !case.disturb(Disturbance::LostThenRejected).await {
        return cannot("lose responses");
    }
    let result = case.send(case.upload("lost.txt", "lost")).await;
    case.end_disturbance().await;
    let listed = match case.supports(Feature::List) {
        true => Some(needed("listing", case.list().await)?),
        false => None,
    };
    let name = case.name("lost.txt");
    let found: Option<Vec<StoredFile>> = listed.map(|all| all.into_iter().filter(|file| file.name == name).collect());
    for file in found.iter().flatten() {
        case.remember(&file.reference);
    }
    match &result {
        Ok(file) => {
            let seen = worked("the download of an upload that succeeded", case.read(&file.reference).await)?;
            same_bytes("its content", b"lost", &seen)
        }
        // Without a listing, the kit relies on the harness: the file is stored.
        Err(error) => true_effect("upload", error, found.is_none_or(|found| !found.is_empty())),
    }
}

async fn lost_delete(case: &Case<'_>) -> Verdict {
    let file = case.put("lost.txt", "lost").await?;
    if !case.disturb(Disturbance::LostThenRejected).await {
        return cannot("lose responses");
    }
    let result = case.store.delete(&file.reference).await;
    case.end_disturbance().await;
    let is_gone = needed("the check of the file", is_gone(case, &file.reference).await)?;
    match result {
        Ok(()) => check(is_gone, "no file after a delete that succeeded", "the file exists"),
        Err(error) => true_effect("delete", &error, is_gone),
    }
}

/// Checks the effect of a failed operation. It must be *unknown* or *applied* if `is_applied` is set, and must not be
/// *applied* otherwise.
fn true_effect(what: &str, error: &Error, is_applied: bool) -> Verdict {
    let expected = match is_applied {
        true => format!("the {what} fails as unknown or applied: the service did it, and its response was lost"),
        false => format!("the {what} does not fail as applied: the service did not do it"),
    };
    let is_true = match error.effect() {
        Effect::NotSent | Effect::Rejected => !is_applied,
        Effect::Applied => is_applied,
        _ => true,
    };
    if is_true { Ok(()) } else { failed(expected, described(error)) }
}

async fn is_gone(case: &Case<'_>, reference: &FileRef) -> Result<bool> {
    let found = if case.supports(Feature::Stat) {
        case.store.stat(reference).await.map(drop)
    } else {
        case.read(reference).await.map(drop)
    };
    match found {
        Ok(()) => Ok(false),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

async fn unconfirmed_delete(case: &Case<'_>) -> Verdict {
    let mut tried = 0;
    for (disturbance, what) in [(Disturbance::OkPage, "a web page"), (Disturbance::OkEmpty, "an empty body")] {
        let name = format!("kept-{tried}.txt");
        let file = case.put(&name, "kept").await?;
        if !case.disturb(disturbance).await {
            continue;
        }
        tried += 1;
        let result = case.store.delete(&file.reference).await;
        case.end_disturbance().await;
        let what = format!("a delete whose response has status 200 and {what}");
        rejected(&what, result, &[ErrorKind::Protocol], &[Effect::Unknown, Effect::Rejected])?;
        let seen = needed("the download of the file that is left", case.read(&file.reference).await)?;
        same_bytes("its content", b"kept", &seen)?;
    }
    if tried > 0 { Ok(()) } else { cannot("send another server's response") }
}

async fn endless_listing(case: &Case<'_>) -> Verdict {
    let file = case.put("there.txt", "there").await?;
    needed("listing", case.list().await)?;
    let mut tried = 0;
    for (disturbance, what) in [
        (Disturbance::RepeatedCursor, "a listing with a repeated cursor"),
        (Disturbance::EmptyPages, "a listing with endless empty pages"),
        (Disturbance::RepeatedPage, "a listing with a repeated page"),
    ] {
        if !case.disturb(disturbance).await {
            continue;
        }
        tried += 1;
        let pages = case.store.list_pages(list_of(case.scope.as_deref())).take(MANY_PAGES);
        let listed = pages.try_fold(0, |pages, _| async move { Ok(pages + 1) }).await;
        let found = match case.supports(Feature::Stat) {
            true => case.store.stat(&file.reference).await.map(drop),
            false => Ok(()),
        };
        case.end_disturbance().await;
        if let Ok(pages) = listed {
            let seen = match pages {
                MANY_PAGES => format!("{pages} pages and no end"),
                _ => format!("an end after {pages} pages, as if it were complete"),
            };
            return failed(format!("{what} fails as protocol"), seen);
        }
        rejected(what, listed, &[ErrorKind::Protocol], &[Effect::Rejected])?;
        // Stat fails on a store that reads listings to find a file, and succeeds on every other store.
        if let Err(error) = found {
            rejected::<()>(
                &format!("stat in {what}, if it fails,"),
                Err(error),
                &[ErrorKind::Protocol],
                &[Effect::Rejected],
            )?;
        }
    }
    if tried > 0 { Ok(()) } else { cannot("make listings endless") }
}

fn cannot(what: &str) -> Verdict {
    skipped("harness: disturb", format!("the harness cannot make the service {what}"))
}
