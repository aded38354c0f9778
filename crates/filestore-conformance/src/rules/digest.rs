//! G1 and G2: digests match the content.

use bytes::Bytes;
use filestore_core::{DigestWhen, Feature, StoredFile};

use crate::case::Case;
use crate::content::{self, SEVERAL_CHUNKS};
use crate::rule::{Rule, rule};
use crate::verdict::{Verdict, check, needed, same, skipped};

pub(crate) const RULES: &[Rule] = &[
    rule!("G1", "A digest matches the content.", [], of_the_content),
    rule!("G2", "The upload returns every promised digest.", [], promised),
];

async fn of_the_content(case: &Case<'_>) -> Verdict {
    let max = case.capabilities().max_size.and_then(|max| usize::try_from(max).ok()).unwrap_or(usize::MAX);
    let mut contents =
        vec![Bytes::from("abc"), content::with_leading_zero(), content::bytes(80, SEVERAL_CHUNKS.min(max))];
    if case.supports(Feature::EmptyFile) {
        contents.push(Bytes::new());
    }
    let mut given = 0;
    for content in contents {
        let file = case.put(&format!("digest-{}.bin", content.len()), content.clone()).await?;
        true_digests("the upload", &file, &content)?;
        if case.supports(Feature::Stat) {
            let seen = needed("stat", case.store.stat(&file.reference).await)?;
            true_digests("stat", &seen, &content)?;
        }
        let download = needed("the download", case.store.download(&file.reference).await)?;
        true_digests("the download", &download.file, &content)?;
        given += file.digests.len() + download.file.digests.len();
    }
    if given == 0 && case.capabilities().digests.is_empty() {
        return skipped("digests", "the store has no digests");
    }
    Ok(())
}

/// Checks that every digest of `file` that the kit can compute is the digest of `content`.
pub(crate) fn true_digests(whose: &str, file: &StoredFile, content: &[u8]) -> Verdict {
    for digest in &file.digests {
        if let Some(expected) = content::digest(digest.algorithm, content) {
            let what = format!("the {} of {} bytes from {whose}", digest.algorithm.as_str(), content.len());
            same(&what, &expected, &digest.hex)?;
        }
    }
    Ok(())
}

async fn promised(case: &Case<'_>) -> Verdict {
    let on_upload = case.capabilities().digests.iter().filter(|digest| digest.when == DigestWhen::Upload);
    let promised: Vec<_> = on_upload.map(|digest| digest.algorithm).collect();
    if promised.is_empty() {
        return skipped("digests", "the store promises no digests on upload");
    }
    let file = case.put("promised.bin", "promised").await?;
    let seen: Vec<_> = file.digests.iter().map(|digest| digest.algorithm).collect();
    for algorithm in promised {
        check(seen.contains(&algorithm), &format!("the promised {}", algorithm.as_str()), &seen)?;
    }
    Ok(())
}
