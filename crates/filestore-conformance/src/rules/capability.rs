//! C1 to C4: the capabilities of a store are true.

use bytes::Bytes;
use filestore_core::{
    Addressing, Body, Capabilities, Download, ErrorKind, Expiry, Feature, FileRef, IfExists, List, Period, ReadEffect,
    Result, Support, Upload,
};

use super::option::WHOLE_SECOND;
use super::upload::pieces;
use crate::case::{Case, list_of};
use crate::rule::{Rule, rule};
use crate::verdict::{UNSENT, Verdict, check, described, failed, needed, rejected, skipped};

pub(crate) const RULES: &[Rule] = &[
    rule!("C1", "An unsupported feature is rejected unsent, with its reason.", [], unsupported),
    rule!("C2", "A supported feature works.", [], supported),
    rule!("C3", "Capabilities are the same every time.", [], constant),
    rule!("C4", "Capabilities are consistent.", [], consistent),
];

async fn unsupported(case: &Case<'_>) -> Verdict {
    let file = case.put("there.txt", "there").await?;
    let mut tried = false;
    for feature in Feature::ALL {
        let Support::Unsupported { reason } = case.capabilities().support(*feature).clone() else { continue };
        check(!reason.trim().is_empty(), &format!("a reason why {feature} is unsupported"), &reason)?;
        let before = case.requests().await;
        let Some(result) = plain_use(case, *feature, &file.reference).await else { continue };
        tried = true;
        let what = format!("the use of {feature}, which is unsupported,");
        rejected(&what, result, &[ErrorKind::Unsupported], UNSENT)?;
        case.unsent(before, &what).await?;
    }
    if tried { Ok(()) } else { skipped("an unsupported feature", "the store supports all features") }
}

async fn supported(case: &Case<'_>) -> Verdict {
    let file = case.put("there.txt", "there").await?;
    // Delete is last, because the other features need the file.
    let features = Feature::ALL.iter().filter(|feature| **feature != Feature::Delete).chain(&[Feature::Delete]);
    for feature in features.filter(|feature| case.supports(**feature)) {
        if let Some(Err(error)) = plain_use(case, *feature, &file.reference).await {
            let stated = case.capabilities().support(*feature);
            return failed(format!("{feature}, which is {stated}, works"), described(&error));
        }
    }
    Ok(())
}

/// Uses `feature` in its plainest form. Returns `None` for a feature without a request of its own.
async fn plain_use(case: &Case<'_>, feature: Feature, file: &FileRef) -> Option<Result<()>> {
    let list: List = list_of(case.scope.as_deref());
    let upload = |body: Body| case.upload(&format!("{feature}.txt"), body);
    let text = || upload("text".into());
    let upload: Upload = match feature {
        Feature::List => return Some(case.store.list(list).await.map(drop)),
        Feature::RecursiveList => return Some(case.store.list(list.recursive(true)).await.map(drop)),
        Feature::Stat => return Some(case.store.stat(file).await.map(drop)),
        Feature::Delete => return Some(case.store.delete(file).await),
        Feature::Url => return Some(case.store.url(file).await.map(drop)),
        Feature::Range => {
            let request = Download::from(file).range(0..1);
            return Some(case.store.read(request, 16).await.map(drop));
        }
        Feature::UnknownLength => upload(Body::from_stream(pieces(&Bytes::from("text"), 2), None)),
        Feature::EmptyFile => upload(Bytes::new().into()),
        Feature::IfExistsFail => text().if_exists(IfExists::Fail),
        Feature::Expiry => text().expires(Expiry::After(Period::days(1))),
        Feature::ContentType => text().content_type("text/plain"),
        Feature::Modified => text().modified(WHOLE_SECOND),
        Feature::Metadata => text().metadata("key", "value"),
        // Replace is what an upload does by default, and no request uses resume or verify.
        _ => return None,
    };
    Some(case.send(upload).await.map(drop))
}

async fn constant(case: &Case<'_>) -> Verdict {
    let first = case.capabilities().clone();
    let file = case.put("there.txt", "there").await?;
    let unchanged = |when: &str, seen: &Capabilities| {
        check(*seen == first, &format!("the capabilities {when} are unchanged"), Difference::of(&first, seen))
    };
    unchanged("after an upload", case.capabilities())?;
    needed("the download", case.read(&file.reference).await)?;
    unchanged("after a download", case.capabilities())?;
    let other = case.second_handle().await?;
    unchanged("of a second handle", other.capabilities())
}

/// The first difference of two capabilities, for the report.
#[derive(Debug)]
#[expect(dead_code, reason = "read by Debug")]
struct Difference {
    before: String,
    after: String,
}

impl Difference {
    fn of(first: &Capabilities, seen: &Capabilities) -> Self {
        let feature = Feature::ALL.iter().find(|feature| first.support(**feature) != seen.support(**feature));
        match feature {
            Some(feature) => {
                let describe = |capabilities: &Capabilities| format!("{feature}: {}", capabilities.support(*feature));
                Self { before: describe(first), after: describe(seen) }
            }
            None => Self { before: format!("{first:?}"), after: format!("{seen:?}") },
        }
    }
}

async fn consistent(case: &Case<'_>) -> Verdict {
    case.put("there.txt", "there").await?;
    let stated = case.capabilities();
    let has = |feature| stated.supports(feature);
    let implies = |condition: bool, then: bool, expected: &str| check(!condition || then, expected, "the opposite");

    let scheme = !stated.scheme.is_empty()
        && stated.scheme.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    check(scheme, "a scheme of lowercase letters and digits", &stated.scheme)?;
    check(has(Feature::Url) == stated.url_kind.is_some(), "a URL kind exactly if the store has URLs", stated.url_kind)?;
    for feature in Feature::ALL {
        if let Support::Emulated { cost } = stated.support(*feature) {
            check(!cost.trim().is_empty(), &format!("the cost of {feature}, which is emulated"), cost)?;
        }
    }
    implies(has(Feature::RecursiveList), has(Feature::List), "recursive-list only with list")?;
    implies(has(Feature::Resume), has(Feature::Range), "resume only with range")?;
    let counted = stated.read_effect != ReadEffect::None;
    implies(counted, !has(Feature::Range) && !has(Feature::Resume), "no ranges if reads count or consume")?;
    let is_unique = stated.addressing != Addressing::CallerPath;
    let neither = !has(Feature::Replace) && !has(Feature::IfExistsFail);
    implies(is_unique, neither, "neither replace nor if-exists-fail if every upload has a unique address")?;
    implies(
        stated.addressing == Addressing::CallerPath,
        !neither,
        "replace or if-exists-fail if the caller chooses the path",
    )
}
