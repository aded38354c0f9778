//! T1: an expired file is gone. This rule is the last, because it moves the clock forward for good.

use std::time::Duration;

use filestore_core::{Effect, ErrorKind, Feature, Period};

use crate::case::Case;
use crate::rule::{Rule, rule};
use crate::verdict::{Verdict, check, needed, rejected, skipped};

pub(crate) const RULES: &[Rule] = &[rule!("T1", "An expired file is gone.", [Expiry], gone)];

async fn gone(case: &Case<'_>) -> Verdict {
    let upload = |name: &str, hours| case.upload(name, "expires").expires_in(Period::hours(hours));
    let short = needed("an upload for an hour", case.send(upload("hour.txt", 1)).await)?;
    let long = needed("an upload for a day", case.send(upload("day.txt", 24)).await)?;
    if !case.harness.advance(Duration::from_secs(2 * 3600)).await {
        return skipped("harness: advance", "the harness cannot move the clock");
    }
    if case.supports(Feature::List) {
        let listed = needed("listing", case.list().await)?;
        let is_listed = |reference| listed.iter().any(|file| file.reference == reference);
        check(!is_listed(short.reference.clone()), "no expired file in the listing", &listed)?;
        check(is_listed(long.reference.clone()), "the file that has not expired in the listing", &listed)?;
    }
    let result = case.read(&short.reference).await;
    rejected("the download of an expired file", result, &[ErrorKind::NotFound], &[Effect::Rejected])?;
    needed("the download of the file that has not expired", case.read(&long.reference).await)?;
    Ok(())
}
