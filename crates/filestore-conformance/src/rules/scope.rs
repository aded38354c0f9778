//! F1 to F3: folders and channels.

use filestore_core::{ErrorKind, Feature, ScopeKind};

use crate::case::Case;
use crate::rule::{Rule, rule};
use crate::verdict::{UNSENT, Verdict, check, needed, rejected, same, same_bytes, worked};

pub(crate) const RULES: &[Rule] = &[
    rule!("F1", "Scopes keep files apart.", [], apart),
    rule!("F2", "An invalid scope is rejected unsent.", [], invalid),
    rule!("F3", "Missing folders are created.", [], missing_folders),
];

async fn apart(case: &Case<'_>) -> Verdict {
    case.needs_scopes()?;
    let mut files = Vec::new();
    for scope in [case.scope.clone(), case.other_scope("other")] {
        let mut upload = case.upload("same-name.txt", scope.clone().unwrap_or_default());
        upload.scope.clone_from(&scope);
        let file = worked("an upload into a scope", case.send(upload).await)?;
        files.push((scope.unwrap_or_default(), file));
    }
    for (scope, file) in &files {
        if case.supports(Feature::List) {
            let listed = needed("listing", case.list_scope(Some(scope)).await)?;
            let seen: Vec<_> = listed.iter().map(|file| file.reference.to_string()).collect();
            same(&format!("the listing of {scope:?}"), &vec![file.reference.to_string()], &seen)?;
        }
        let seen = worked("a download", case.read(&file.reference).await)?;
        same_bytes(&format!("the content of the file in {scope:?}"), scope.as_bytes(), &seen)?;
    }
    Ok(())
}

async fn invalid(case: &Case<'_>) -> Verdict {
    case.put("good.txt", "good").await?;
    let (kind, scopes): (_, &[&str]) = match case.capabilities().scope {
        ScopeKind::None => (ErrorKind::Unsupported, &["a", ""]),
        ScopeKind::Channel => (ErrorKind::InvalidInput, &["", "a\nb", "a\0b"]),
        _ => (ErrorKind::InvalidInput, &["", "..", "../x", "a/../../x", "/a", "a//b", "a/", "a/.", "a\\b", "a\0b"]),
    };
    let before = case.requests().await;
    for scope in scopes {
        let what = format!("the scope {scope:?}");
        let upload = case.upload("x.txt", "bad").scope(*scope);
        rejected(&format!("an upload into {what}"), case.send(upload).await, &[kind], UNSENT)?;
        if case.supports(Feature::List) {
            let result = case.store.list(crate::case::list_of(Some(scope))).await;
            rejected(&format!("listing {what}"), result, &[kind], UNSENT)?;
        }
        case.unsent(before, &what).await?;
    }
    Ok(())
}

async fn missing_folders(case: &Case<'_>) -> Verdict {
    case.needs_folders()?;
    let deep = format!("{}/one/two/three", case.scope.clone().unwrap_or_default());
    let upload = case.upload("deep.txt", "deep").scope(&deep);
    let file = worked(&format!("an upload into {deep:?}"), case.send(upload).await)?;
    if case.supports(Feature::List) {
        let listed = needed("listing", case.list_scope(Some(&deep)).await)?;
        check(listed.iter().any(|other| other.reference == file.reference), "the file in its folder", &listed)?;
    }
    let seen = worked("its download", case.read(&file.reference).await)?;
    same_bytes("its content", b"deep", &seen)
}
