//! `filestore conformance`: checks that configured stores keep the rules of every store.

mod scratch;

use filestore::{Cleanup, Effect, Error, ErrorKind, Feature, Result, StoreConfig};
use filestore_conformance::{Kit, Outcome, Report};
use serde_json::json;

use self::scratch::Scratch;
use super::note_failure;
use crate::args;
use crate::context::Context;
use crate::exit::Outcomes;
use crate::output;

pub(crate) async fn run(context: &Context, args: &args::StoreName) -> Result<u8> {
    let mut outcomes = Outcomes::default();
    for config in context.named_stores(args.name.as_deref())? {
        // The failure of one store does not hide the others.
        match check(context, config).await {
            Ok((report, left)) => {
                print(context, &report)?;
                left.iter().for_each(|error| outcomes.failed(error));
                if !report.passed() {
                    outcomes.failed(&Error::new(ErrorKind::Other, Effect::Rejected, "a rule does not hold"));
                }
            }
            Err(error) => note_failure(&mut outcomes, &error.with_store(&config.name)),
        }
    }
    Ok(outcomes.code())
}

/// Runs the kit on one store. Returns its report, and the errors of files that could not be deleted, which are reported.
async fn check(context: &Context, config: &StoreConfig) -> Result<(Report, Vec<Error>)> {
    let store = context.open_unannounced(config)?;
    store.capabilities().check(Feature::Delete).map_err(|error| error.with_note("the test files would stay"))?;
    let scratch = Scratch::new(store, context.reads.clone());
    if !context.quiet {
        output::report(&format!("{}: checking the rules with test files in {}", config.name, scratch.place()));
    }
    // A signal drops this future, and not the task: its operations then fail, and the program waits until the files are
    // deleted.
    let cleanup = Cleanup::begin();
    let task = tokio::spawn(async move {
        let report = Kit::new().run(&scratch).await;
        let left = scratch.remove_all().await;
        left.iter().for_each(output::report_error);
        drop(cleanup);
        (report, left)
    });
    task.await.map_err(|panic| {
        Error::new(ErrorKind::Other, Effect::Unknown, "the test files may still be stored").with_source(panic)
    })
}

fn print(context: &Context, report: &Report) -> Result<()> {
    if context.json {
        return report.rules.iter().try_for_each(|rule| {
            let mut object = rule.to_json();
            object["store"] = json!(report.store);
            output::line(output::json(&object))
        });
    }
    let row = |rule: &filestore_conformance::RuleReport| {
        let detail = match &rule.outcome {
            Outcome::Failed { expected, seen } => format!("expected: {expected}; seen: {seen}"),
            Outcome::Skipped { capability, reason } => format!("without {capability}: {reason}"),
            Outcome::Blocked { by } => by.clone(),
            _ => String::new(),
        };
        vec![report.store.clone(), rule.id.to_owned(), rule.outcome.as_str().to_owned(), rule.title.to_owned(), detail]
    };
    let rows: Vec<_> = report.rules.iter().map(row).collect();
    output::write_all(output::table(&["STORE", "RULE", "RESULT", "TITLE", "DETAIL"], &rows).as_bytes())
}
