//! X1 to X3: a delete removes the file, and no other file.

use filestore_core::{Effect, ErrorKind, Feature};

use crate::case::Case;
use crate::rule::{Rule, rule};
use crate::verdict::{Verdict, check, needed, rejected, same_bytes, worked};

pub(crate) const RULES: &[Rule] = &[
    rule!("X1", "A deleted file is gone.", [Delete], gone),
    rule!("X2", "Deleting a missing file succeeds.", [Delete], already_gone),
    rule!("X3", "Deleting one file leaves the others.", [Delete], others_stay),
];

async fn gone(case: &Case<'_>) -> Verdict {
    let file = case.put("gone.txt", "gone").await?;
    worked("the delete", case.store.delete(&file.reference).await)?;
    let not_found = |what, result| rejected(what, result, &[ErrorKind::NotFound], &[Effect::Rejected]);
    if case.supports(Feature::Stat) {
        not_found("stat of a deleted file", case.store.stat(&file.reference).await.map(drop))?;
    }
    if case.supports(Feature::List) {
        let listed = needed("listing", case.list().await)?;
        check(listed.iter().all(|other| other.reference != file.reference), "no deleted file in the listing", &listed)?;
    }
    not_found("the download of a deleted file", case.read(&file.reference).await.map(drop))?;
    Ok(())
}

async fn already_gone(case: &Case<'_>) -> Verdict {
    let file = case.put("twice.txt", "twice").await?;
    needed("the first delete", case.store.delete(&file.reference).await)?;
    worked("the second delete", case.store.delete(&file.reference).await)?;
    worked("the delete of a file that never existed", case.store.delete(case.missing(&file.reference)).await)
}

async fn others_stay(case: &Case<'_>) -> Verdict {
    let first = case.put("note", "first").await?;
    let mut others = Vec::new();
    for name in ["note.txt", "notes", "not", "note note"] {
        others.push((name, case.put(name, name).await?));
    }
    needed("the delete", case.store.delete(&first.reference).await)?;
    for (name, file) in others {
        let seen = worked(
            &format!("the download of {name:?} after the delete of \"note\""),
            case.read(&file.reference).await,
        )?;
        same_bytes(&format!("the content of {name:?}"), name.as_bytes(), &seen)?;
    }
    Ok(())
}
