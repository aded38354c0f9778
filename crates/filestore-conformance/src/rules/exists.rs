//! W1 to W5: an upload under the name of an existing file.

use filestore_core::{ErrorKind, Feature, IfExists, StoredFile, Support};
use futures::future;

use super::upload::pieces;
use crate::case::Case;
use crate::content;
use crate::rule::{Rule, rule};
use crate::verdict::{
    NOTHING_CHANGED, Verdict, check, described, failed, needed, rejected, same, same_bytes, skipped, worked,
};

pub(crate) const RULES: &[Rule] = &[
    rule!("W1", "Replace stores the new file in the place of the old one.", [Replace], replace),
    rule!("W2", "IfExists::Fail does not change the old file.", [IfExistsFail], reject),
    rule!(
        "W3",
        "Exactly one of several concurrent uploads that must not replace succeeds.",
        [IfExistsFail],
        racing_rejections
    ),
    rule!("W4", "If every upload is a new file, both files stay.", [], both_stay),
    rule!("W5", "Concurrent uploads under one name leave one whole file.", [Replace], racing_replacements),
];

async fn replace(case: &Case<'_>) -> Verdict {
    let old = case.put("replaced.txt", "the old and longer content").await?;
    let new = worked("the second upload", case.send(case.upload("replaced.txt", "new")).await)?;
    same("the name in the response", &old.name, &new.name)?;
    check(old.reference == new.reference, "the reference of the old file for the new one", "another reference")?;
    if let Some(size) = new.size {
        same("the size in the response", &3, &size)?;
    }
    if case.supports(Feature::Stat) {
        let seen = needed("stat", case.store.stat(&new.reference).await)?;
        check(seen.size.is_none_or(|size| size == 3), "3 bytes from stat", seen.size)?;
    }
    if case.supports(Feature::List) {
        let listed = needed("listing", case.list().await)?;
        let name = case.name("replaced.txt");
        same("the number of listed files of the name", &1, &listed.iter().filter(|file| file.name == name).count())?;
    }
    let seen = worked("the download", case.read(&new.reference).await)?;
    same_bytes("the content", b"new", &seen)
}

async fn reject(case: &Case<'_>) -> Verdict {
    let first = case.upload("kept.txt", "the first content").if_exists(IfExists::Fail);
    let old = worked("an upload with if_exists Fail under a free name", case.send(first).await)?;
    let second = case.upload("kept.txt", "another").if_exists(IfExists::Fail);
    let result = case.send(second).await;
    rejected("the second upload", result, &[ErrorKind::AlreadyExists], NOTHING_CHANGED)?;
    let seen = worked("the download of the first file", case.read(&old.reference).await)?;
    same_bytes("the first content", b"the first content", &seen)
}

async fn racing_rejections(case: &Case<'_>) -> Verdict {
    if let Support::Emulated { cost } = case.capabilities().support(Feature::IfExistsFail) {
        return skipped("native if-exists-fail", format!("emulated: {cost}"));
    }
    let contents: Vec<_> = (0..6).map(|racer| content::bytes(30 + racer, 30_000)).collect();
    let results = race(case, &contents, IfExists::Fail).await;
    let mut winners = Vec::new();
    for (content, result) in contents.iter().zip(results) {
        match result {
            Ok(file) => winners.push((content, file)),
            Err(error) => {
                let kinds = [ErrorKind::AlreadyExists, ErrorKind::Conflict];
                rejected::<()>("a racer that lost", Err(error), &kinds, NOTHING_CHANGED)?;
            }
        }
    }
    same("the number of winners", &1, &winners.len())?;
    for (content, file) in winners {
        let seen = worked("the download", case.read(&file.reference).await)?;
        same_bytes("the winner's content", content, &seen)?;
    }
    Ok(())
}

async fn both_stay(case: &Case<'_>) -> Verdict {
    for feature in [Feature::Replace, Feature::IfExistsFail] {
        if case.supports(feature) {
            return skipped("new file for every upload", format!("the store has {feature}"));
        }
    }
    let first = case.put("twice.txt", "first").await?;
    let second = worked("the second upload", case.send(case.upload("twice.txt", "second")).await)?;
    check(first.reference != second.reference, "two references", "one")?;
    if case.supports(Feature::List) {
        let name = case.name("twice.txt");
        let listed = needed("listing", case.list().await)?;
        same("the number of listed files of the name", &2, &listed.iter().filter(|file| file.name == name).count())?;
    }
    for (file, content) in [(first, "first"), (second, "second")] {
        let seen = worked(&format!("the download of the {content} file"), case.read(&file.reference).await)?;
        same_bytes(&format!("the {content} content"), content.as_bytes(), &seen)?;
    }
    Ok(())
}

async fn racing_replacements(case: &Case<'_>) -> Verdict {
    let contents: Vec<_> = (0..6).map(|racer| content::bytes(40 + racer, 30_000 + racer as usize)).collect();
    let mut last = None;
    for result in race(case, &contents, IfExists::Replace).await {
        match result {
            Ok(file) => last = Some(file),
            // A service may reject a racer, but must not apply a part of its upload.
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            Err(error) => return failed("every racing upload succeeds, or fails as conflict", described(&error)),
        }
    }
    let Some(file) = last else { return failed("at least one racing upload succeeds", "all failed") };
    let seen = worked("the download", case.read(&file.reference).await)?;
    let whole = contents.contains(&seen);
    check(whole, "the content of one of the racers, whole", format!("{} other bytes", seen.len()))
}

/// Uploads all `contents` under one name at the same time.
async fn race(
    case: &Case<'_>,
    contents: &[bytes::Bytes],
    if_exists: IfExists,
) -> Vec<filestore_core::Result<StoredFile>> {
    let uploads = contents.iter().map(|content| {
        let body = filestore_core::Body::from_stream(pieces(content, 3000), Some(content.len() as u64));
        case.send(case.upload("race.bin", body).if_exists(if_exists))
    });
    future::join_all(uploads).await
}
