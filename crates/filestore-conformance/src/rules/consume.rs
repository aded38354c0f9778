//! Q1 to Q4: if reads count or consume, only a requested download reads.

use filestore_core::{Effect, ErrorKind, Feature, IfExists, ReadEffect, StoredFile};
use futures::{TryStreamExt, future};

use crate::case::{Case, list_of};
use crate::content;
use crate::rule::{Rule, rule};
use crate::verdict::{Stop, Verdict, check, failed, needed, rejected, same, same_bytes, skipped, worked};

pub(crate) const RULES: &[Rule] = &[
    rule!("Q1", "A file can be read exactly as often as allowed.", [], as_often_as_allowed),
    rule!("Q2", "Only a download reads.", [], nothing_else_reads),
    rule!("Q3", "One download is one read.", [], one_read),
    rule!("Q4", "Exactly as many concurrent readers as allowed succeed.", [], racing_readers),
];

async fn as_often_as_allowed(case: &Case<'_>) -> Verdict {
    needs_counted_reads(case)?;
    let (file, allowed) = limited(case, "limited.bin", None).await?;
    use_up_reads(case, &file, allowed).await?;
    if !case.harness.reads(3).is_empty() {
        let (file, allowed) = limited(case, "three.bin", Some(3)).await?;
        same("the remaining reads of a file that was stored with three", &3, &allowed)?;
        use_up_reads(case, &file, allowed).await?;
    }
    Ok(())
}

async fn use_up_reads(case: &Case<'_>, file: &StoredFile, allowed: u64) -> Verdict {
    for number in 1..=allowed {
        let seen = worked(&format!("read {number} of {allowed}"), case.read(&file.reference).await)?;
        same_bytes("its content", &content(), &seen)?;
        if number < allowed && case.supports(Feature::Stat) {
            let left = needed("stat", case.store.stat(&file.reference).await)?.remaining_downloads;
            check(left.is_none_or(|left| left == allowed - number), &format!("{} reads left", allowed - number), left)?;
        }
    }
    let one_more = case.read(&file.reference).await;
    rejected("a read more than allowed", one_more, &[ErrorKind::NotFound], &[Effect::Rejected])?;
    Ok(())
}

async fn nothing_else_reads(case: &Case<'_>) -> Verdict {
    needs_counted_reads(case)?;
    let (file, allowed) = limited(case, "untouched.bin", None).await?;
    let before = case.requests().await;
    // Twice, because a file that the store reads once by mistake may still be available once.
    for _ in 0..2 {
        if case.supports(Feature::Stat) {
            let seen = worked("stat", case.store.stat(&file.reference).await)?;
            let left = seen.remaining_downloads;
            check(left.is_none_or(|left| left == allowed), &format!("{allowed} reads left after stat"), left)?;
        }
        if case.supports(Feature::List) {
            worked("the listing", case.store.list(list_of(case.scope.as_deref())).await)?;
            let found = worked("find", case.store.find(case.scope.as_deref(), &file.name).await)?;
            same("the number of files found", &1, &found.len())?;
        }
        if case.supports(Feature::Url) {
            worked("the URL", case.store.url(&file.reference).await)?;
        }
    }
    if let (Some(before), Some(after)) = (before, case.requests().await) {
        same("the reads that stat, list, find and url have sent", &0, &(after.reads - before.reads))?;
    }
    use_up_reads(case, &file, allowed).await
}

async fn one_read(case: &Case<'_>) -> Verdict {
    needs_counted_reads(case)?;
    let (file, allowed) = limited(case, "one-read.bin", None).await?;
    let (dropped, _) = limited(case, "dropped.bin", None).await?;
    let before = reads(case).await?;
    worked("the download", case.read(&file.reference).await)?;
    same("the reads that one download sent", &1, &(reads(case).await? - before))?;

    // A download that is dropped after the first bytes.
    let before = reads(case).await?;
    let mut download = worked("the download", case.store.download(&dropped.reference).await)?;
    needed("its first bytes", download.stream.try_next().await)?;
    drop(download);
    same("the reads that a dropped download sent", &1, &(reads(case).await? - before))?;

    // A download to a path, with all checks that precede it.
    let (saved, _) = limited(case, "saved.bin", None).await?;
    let folder = tempfile::tempdir().map_err(|error| Stop::Blocked { by: format!("a temporary folder: {error}") })?;
    let before = reads(case).await?;
    let target = folder.path().join("saved.bin");
    worked("the download to a path", case.store.download_to_path(&saved.reference, target, IfExists::Fail).await)?;
    same("the reads that a download to a path sent", &1, &(reads(case).await? - before))?;

    if allowed == 1 {
        let before = reads(case).await?;
        let gone = case.read(&file.reference).await;
        rejected("a second download", gone, &[ErrorKind::NotFound], &[Effect::Rejected])?;
        let sent = reads(case).await? - before;
        check(sent <= 1, "at most one read for a download that is rejected", sent)?;
    }
    Ok(())
}

async fn racing_readers(case: &Case<'_>) -> Verdict {
    needs_counted_reads(case)?;
    let (file, allowed) = limited(case, "raced.bin", None).await?;
    let racers = (0..allowed + 7).map(|_| case.read(&file.reference));
    let mut winners = 0;
    for result in future::join_all(racers).await {
        match result {
            Ok(seen) => {
                winners += 1;
                same_bytes("a winner's content", &content(), &seen)?;
            }
            Err(error) => {
                rejected::<()>("a racer that lost", Err(error), &[ErrorKind::NotFound], &[Effect::Rejected])?;
            }
        }
    }
    same("the number of winners", &allowed, &winners)
}

fn needs_counted_reads(case: &Case<'_>) -> Verdict {
    match case.capabilities().read_effect {
        ReadEffect::None => skipped("counted reads", "reads neither count nor consume"),
        _ => Ok(()),
    }
}

fn content() -> bytes::Bytes {
    content::bytes(90, 100_000)
}

/// The largest number of allowed reads that a rule tests.
const MOST: u64 = 20;

/// Stores a file that can be read `count` times, or the store's default number of times. Returns that number, too.
async fn limited(case: &Case<'_>, name: &str, count: Option<u64>) -> Verdict<(StoredFile, u64)> {
    let mut upload = case.upload(name, content());
    if let Some(count) = count {
        upload.options = case.harness.reads(count);
    }
    let file = needed("the upload", case.send(upload).await)?;
    match file.remaining_downloads {
        Some(0) => failed("a new file that can be read", "no remaining downloads"),
        Some(allowed @ 1..=MOST) => Ok((file, allowed)),
        other => {
            skipped("remaining_downloads", format!("a new file allows {other:?} reads, and the kit tests 1 to {MOST}"))
        }
    }
}

async fn reads(case: &Case<'_>) -> Verdict<u64> {
    match case.requests().await {
        Some(requests) => Ok(requests.reads),
        None => skipped("harness: requests", "the harness does not count requests"),
    }
}
