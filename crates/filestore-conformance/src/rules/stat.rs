//! S1 and S2: the metadata of a file.

use filestore_core::{Effect, ErrorKind, Expiry, StoredFile};

use crate::case::Case;
use crate::content;
use crate::rule::{Rule, rule};
use crate::verdict::{Verdict, check, rejected, same, worked};

pub(crate) const RULES: &[Rule] = &[
    rule!("S1", "Stat agrees with the upload.", [Stat], as_uploaded),
    rule!("S2", "Stat of a missing file is not found.", [Stat], missing),
];

async fn as_uploaded(case: &Case<'_>) -> Verdict {
    let content = content::bytes(50, 12_345);
    let uploaded = case.put("metadata.txt", content.clone()).await?;
    let seen = worked("stat", case.store.stat(&uploaded.reference).await)?;
    same("the name", &uploaded.name, &seen.name)?;
    check(uploaded.reference == seen.reference, "the same reference", &seen.reference)?;
    check(seen.size.is_none_or(|size| size == content.len() as u64), "the true size", seen.size)?;
    agree(&uploaded, &seen)
}

/// Checks that the properties that both responses have are equal.
fn agree(uploaded: &StoredFile, seen: &StoredFile) -> Verdict {
    both("the stored size", uploaded.stored_size, seen.stored_size)?;
    both("the creation time", uploaded.created, seen.created)?;
    both("the modification time", uploaded.modified, seen.modified)?;
    both("the content type", uploaded.content_type.as_ref(), seen.content_type.as_ref())?;
    both("the remaining downloads", uploaded.remaining_downloads, seen.remaining_downloads)?;
    both("the expiry", stated(uploaded.expiry), stated(seen.expiry))?;
    for digest in &uploaded.digests {
        let other = seen.digests.iter().find(|other| other.algorithm == digest.algorithm);
        both(digest.algorithm.as_str(), Some(&digest.hex), other.map(|other| &other.hex))?;
    }
    Ok(())
}

fn both<T: PartialEq + std::fmt::Debug>(what: &str, uploaded: Option<T>, seen: Option<T>) -> Verdict {
    match (uploaded, seen) {
        (Some(uploaded), Some(seen)) => same(&format!("{what} from stat, as from the upload"), &uploaded, &seen),
        _ => Ok(()),
    }
}

fn stated(expiry: Expiry) -> Option<Expiry> {
    (expiry != Expiry::Default).then_some(expiry)
}

async fn missing(case: &Case<'_>) -> Verdict {
    let file = case.put("there.txt", "there").await?;
    let result = case.store.stat(case.missing(&file.reference)).await;
    rejected("stat of a file that never existed", result, &[ErrorKind::NotFound], &[Effect::Rejected])?;
    Ok(())
}
