//! S1 and S2: the facts of a file.

use filestore_core::{Effect, ErrorKind, Expiry, StoredFile};

use crate::case::Case;
use crate::content;
use crate::rule::{Rule, rule};
use crate::verdict::{Verdict, check, rejected, same, worked};

pub(crate) const RULES: &[Rule] = &[
    rule!("S1", "Stat tells what the upload told.", [Stat], as_uploaded),
    rule!("S2", "Stat of a missing file is not found.", [Stat], missing),
];

async fn as_uploaded(case: &Case<'_>) -> Verdict {
    let content = content::bytes(50, 12_345);
    let told = case.put("facts.txt", content.clone()).await?;
    let seen = worked("stat", case.store.stat(&told.reference).await)?;
    same("the name", &told.name, &seen.name)?;
    check(told.reference == seen.reference, "the same reference", &seen.reference)?;
    check(seen.size.is_none_or(|size| size == content.len() as u64), "the true size", seen.size)?;
    agree(&told, &seen)
}

/// What both answers say is the same.
fn agree(told: &StoredFile, seen: &StoredFile) -> Verdict {
    both("the stored size", told.stored_size, seen.stored_size)?;
    both("the time of creation", told.created, seen.created)?;
    both("the time of change", told.modified, seen.modified)?;
    both("the content type", told.content_type.as_ref(), seen.content_type.as_ref())?;
    both("the remaining downloads", told.remaining_downloads, seen.remaining_downloads)?;
    both("the expiry", stated(told.expiry), stated(seen.expiry))?;
    for digest in &told.digests {
        let other = seen.digests.iter().find(|other| other.algorithm == digest.algorithm);
        both(digest.algorithm.as_str(), Some(&digest.hex), other.map(|other| &other.hex))?;
    }
    Ok(())
}

fn both<T: PartialEq + std::fmt::Debug>(what: &str, told: Option<T>, seen: Option<T>) -> Verdict {
    match (told, seen) {
        (Some(told), Some(seen)) => same(&format!("{what} from stat, as from the upload"), &told, &seen),
        _ => Ok(()),
    }
}

fn stated(expiry: Expiry) -> Option<Expiry> {
    (expiry != Expiry::Default).then_some(expiry)
}

async fn missing(case: &Case<'_>) -> Verdict {
    let file = case.put("there.txt", "there").await?;
    let result = case.store.stat(case.missing(&file.reference)).await;
    rejected("stat of a file that never was", result, &[ErrorKind::NotFound], &[Effect::Rejected])?;
    Ok(())
}
