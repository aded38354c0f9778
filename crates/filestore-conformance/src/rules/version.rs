//! V1 and V2: versions of the content.

use filestore_core::{Feature, StoredFile};

use crate::case::Case;
use crate::rule::{Rule, rule};
use crate::verdict::{Verdict, check, needed, same, skipped};

pub(crate) const RULES: &[Rule] = &[
    rule!("V1", "Every response has the same version of a file.", [], same_in_every_response),
    rule!("V2", "A replaced file has another version.", [Replace], another_after_a_replacement),
];

/// The longest version, in bytes.
const MAX_VERSION: usize = 1024;

async fn same_in_every_response(case: &Case<'_>) -> Verdict {
    let file = case.put("version.txt", "content").await?;
    let versions = versions(case, &file).await?;
    let Some((_, first)) = versions.first() else { return no_versions() };
    for (what, version) in &versions {
        let is_tag = version.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
        let is_usable = is_tag && (1..=MAX_VERSION).contains(&version.len());
        check(is_usable, &format!("a version from {what} that can be an ETag between quotes"), version)?;
        same(&format!("the version from {what}"), first, version)?;
    }
    Ok(())
}

async fn another_after_a_replacement(case: &Case<'_>) -> Verdict {
    let before = versions(case, &case.put("replaced.txt", "content").await?).await?;
    // Another size: where a version is a time and the size, the time has whole seconds.
    let after = versions(case, &case.put("replaced.txt", "other content").await?).await?;
    if before.is_empty() && after.is_empty() {
        return no_versions();
    }
    for (what, version) in &after {
        let is_new = before.iter().all(|(_, old)| old != version);
        check(is_new, &format!("another version from {what} than that of the old content"), version)?;
    }
    Ok(())
}

/// Returns the versions of a file that was just stored, with the operations whose responses have them. Reads the file
/// once.
async fn versions(case: &Case<'_>, uploaded: &StoredFile) -> Verdict<Vec<(&'static str, String)>> {
    let reference = &uploaded.reference;
    let mut versions = vec![("the upload", uploaded.version.clone())];
    if case.supports(Feature::Stat) {
        versions.push(("stat", needed("stat", case.store.stat(reference).await)?.version));
    }
    if case.supports(Feature::List) {
        let files = needed("listing", case.list().await)?;
        let listed = files.into_iter().find(|file| file.reference == *reference);
        versions.push(("the listing", listed.and_then(|file| file.version)));
    }
    let download = needed("the download", case.store.download(reference).await)?;
    versions.push(("the download", download.file.version));
    Ok(versions.into_iter().filter_map(|(what, version)| Some((what, version?))).collect())
}

fn no_versions() -> Verdict {
    skipped("version", "no response of the store has a version")
}
