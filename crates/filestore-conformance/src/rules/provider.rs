//! P1 to P3: provider options.

use filestore_core::{ErrorKind, Feature, ProviderOptions};

use crate::case::Case;
use crate::rule::{Rule, rule};
use crate::verdict::{UNSENT, Verdict, needed, rejected, same, same_bytes, skipped, worked};

pub(crate) const RULES: &[Rule] = &[
    rule!("P1", "An unknown required option is rejected unsent.", [], required),
    rule!("P2", "An unknown optional option is skipped and named.", [], optional),
    rule!("P3", "A known option is accepted.", [], known),
];

/// Options that no store knows.
#[derive(Debug)]
struct UnknownOptions;

impl ProviderOptions for UnknownOptions {
    fn name(&self) -> &'static str {
        "conformance-unknown-options"
    }

    fn with_defaults(self, _: &Self) -> Self {
        self
    }
}

async fn required(case: &Case<'_>) -> Verdict {
    case.put("good.txt", "good").await?;
    let listed = case.snapshot().await?;
    let before = case.requests().await;
    let result = case.send(case.upload("required.txt", "required").with(UnknownOptions)).await;
    let what = "an upload with a required option that the store does not know";
    rejected(what, result, &[ErrorKind::Unsupported], UNSENT)?;
    case.unsent(before, what).await?;
    case.nothing_new(&listed, what).await
}

async fn optional(case: &Case<'_>) -> Verdict {
    let plain = needed("an upload without options", case.send(case.upload("plain.txt", "plain")).await)?;
    same("the skipped options of an upload without options", &Vec::<&str>::new(), &plain.skipped)?;
    let upload = case.upload("optional.txt", "optional").with_optional(UnknownOptions);
    let file = worked("an upload with an optional option that the store does not know", case.send(upload).await)?;
    same("the skipped options", &vec![UnknownOptions.name()], &file.skipped)?;
    let seen = worked("the download", case.read(&file.reference).await)?;
    same_bytes("the content", b"optional", &seen)
}

async fn known(case: &Case<'_>) -> Verdict {
    let options = case.harness.known_options();
    if options.is_empty() {
        return skipped("harness: known_options", "the harness gives no provider options");
    }
    let mut upload = case.upload("known.txt", "known");
    upload.options = options;
    let file = worked("an upload with known options", case.send(upload).await)?;
    same("the skipped options", &Vec::<&str>::new(), &file.skipped)?;
    if case.supports(Feature::Stat) {
        worked("stat", case.store.stat(&file.reference).await)?;
    }
    let seen = worked("the download", case.read(&file.reference).await)?;
    same_bytes("the content", b"known", &seen)
}
