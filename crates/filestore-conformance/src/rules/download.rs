//! D1 to D6: downloads of whole files and of ranges.

use filestore_core::{ByteRange, Download, Downloaded, Effect, ErrorKind, FileRef, ReadEffect};
use futures::future;

use crate::case::{Case, LARGEST};
use crate::content;
use crate::rule::{Rule, rule};
use crate::verdict::{NOTHING_CHANGED, Verdict, check, needed, rejected, same, same_bytes, skipped, worked};

pub(crate) const RULES: &[Rule] = &[
    rule!("D1", "The metadata of a download is true.", [], metadata),
    rule!("D2", "Download of a missing file is not found.", [], missing),
    rule!("D3", "A range gives exactly its bytes.", [Range], ranges),
    rule!("D4", "A range beyond the end stops at the end.", [Range], far_ends),
    rule!("D5", "A range that begins beyond the end is not satisfiable.", [Range], beyond_the_end),
    rule!("D6", "Concurrent readers each get the whole file.", [], at_the_same_time),
];

async fn metadata(case: &Case<'_>) -> Verdict {
    let content = content::bytes(60, 23_456);
    let length = content.len() as u64;
    let file = case.put("metadata.bin", content.clone()).await?;
    let download = worked("the download", case.store.download(&file.reference).await)?;
    same("the name", &file.name, &download.file.name)?;
    check(download.file.size.is_none_or(|size| size == length), "the true size", download.file.size)?;
    let stated = download.stream.length();
    check(stated.is_none_or(|stated| stated == length), "the true length of the stream", stated)?;
    check(download.range.is_none(), "no range, because none was requested", &download.range)?;
    let seen = worked("the content", download.bytes(LARGEST).await)?;
    same_bytes("the content", &content, &seen)
}

async fn missing(case: &Case<'_>) -> Verdict {
    let file = case.put("there.txt", "there").await?;
    let result = case.read(&case.missing(&file.reference)).await;
    rejected("the download of a file that never existed", result, &[ErrorKind::NotFound], &[Effect::Rejected])?;
    Ok(())
}

/// The size of a file that is larger than a chunk, so that ranges cross the boundaries of chunks.
const SIZE: usize = 300_000;

async fn ranges(case: &Case<'_>) -> Verdict {
    let content = content::bytes(61, SIZE);
    let file = case.put("ranges.bin", content.clone()).await?;
    for (start, end) in [(0, 1), (0, SIZE), (1, 2), (65_535, 65_537), (262_143, 262_146), (SIZE - 1, SIZE)] {
        range_is(case, &file.reference, &content, (start as u64..end as u64).into(), start..end).await?;
    }
    Ok(())
}

async fn far_ends(case: &Case<'_>) -> Verdict {
    let content = content::bytes(62, 1000);
    let file = case.put("far-ends.bin", content.clone()).await?;
    range_is(case, &file.reference, &content, (990..).into(), 990..1000).await?;
    range_is(case, &file.reference, &content, (0..).into(), 0..1000).await?;
    range_is(case, &file.reference, &content, (990..5000).into(), 990..1000).await?;
    range_is(case, &file.reference, &content, (999..u64::MAX).into(), 999..1000).await
}

async fn range_is(
    case: &Case<'_>,
    reference: &FileRef,
    content: &[u8],
    requested: ByteRange,
    expected: std::ops::Range<usize>,
) -> Verdict {
    let what = format!("bytes {} to {:?} of {}", requested.start, requested.end, content.len());
    let download = worked(&what, case.store.download(Download::from(reference).range(requested)).await)?;
    let Downloaded { range, stream, .. } = download;
    let stated = expected.start as u64..expected.end as u64;
    same(&format!("{what}: the range in the response"), &Some(stated), &range)?;
    let seen = worked(&what, stream.collect(LARGEST).await)?;
    same_bytes(&what, &content[expected], &seen)
}

async fn beyond_the_end(case: &Case<'_>) -> Verdict {
    let file = case.put("beyond.bin", "0123456789").await?;
    let valid = case.store.download(Download::from(&file.reference).range(9..10)).await;
    needed("a range within the file", valid)?;
    for start in [10, 11, 1_000_000] {
        let result = case.store.read(Download::from(&file.reference).range(start..), LARGEST).await;
        let what = format!("a range from byte {start} of 10");
        rejected(&what, result, &[ErrorKind::RangeNotSatisfiable], NOTHING_CHANGED)?;
    }
    Ok(())
}

async fn at_the_same_time(case: &Case<'_>) -> Verdict {
    let effect = case.capabilities().read_effect;
    if effect != ReadEffect::None {
        return skipped("free reads", format!("a read {effect}"));
    }
    let content = content::bytes(63, SIZE);
    let file = case.put("readers.bin", content.clone()).await?;
    let readers = (0..8).map(|_| case.read(&file.reference));
    for result in future::join_all(readers).await {
        let seen = worked("one of eight concurrent downloads", result)?;
        same_bytes("its content", &content, &seen)?;
    }
    Ok(())
}
