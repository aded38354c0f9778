//! `filestore delete`: deletes files and folders.

use std::sync::Arc;

use filestore::{Delete, FileRef, Result, Store};
use futures::stream;
use serde_json::json;

use super::note_failure;
use crate::args;
use crate::batch::{Batch, Inputs, pool, report_rest};
use crate::context::{Context, of_store};
use crate::exit::Outcomes;
use crate::output;
use crate::tally::Action;

pub(crate) async fn run(context: &Context, args: &args::Delete) -> Result<u8> {
    let mut outcomes = Outcomes::default();
    let mut stores = by_store(context, &args.references, &mut outcomes).into_iter();
    for (store, references) in stores.by_ref() {
        let recursive = args.recursive;
        let deletes = references.clone().into_iter().map(move |file| Delete::from(file).recursive(recursive));
        let deleted = pool(args.jobs.jobs).delete_all(&store, stream::iter(deletes.enumerate()));
        let inputs = Inputs {
            action: Action::Delete,
            total: references.len(),
            name: &|number| references[number].to_string(),
            summary: |()| None,
        };
        let print = |number: usize, result: Result<()>| match result {
            Ok(()) if context.json => {
                let reference = references[number].to_string();
                output::result(output::json(&json!({ "deleted": reference })), &format!("deleted: {reference}"))
                    .inspect_err(|error| note_failure(&mut outcomes, error))
            }
            Ok(()) => Ok(()),
            Err(error) => {
                note_failure(&mut outcomes, &error);
                Ok(())
            }
        };
        if !Batch::new(context, &store).run(inputs, deleted, print).await {
            break;
        }
    }
    report_rest(Action::Delete, stores.map(|(_, references)| references.len()).sum());
    Ok(outcomes.code())
}

/// Parses the references, and opens their stores. Returns the references of each store, in the order of the stores'
/// first ones.
fn by_store(context: &Context, texts: &[String], outcomes: &mut Outcomes) -> Vec<(Store, Vec<FileRef>)> {
    let mut stores: Vec<(Store, Vec<FileRef>)> = Vec::new();
    for text in texts {
        match context.open_reference(text) {
            Ok((store, reference)) => {
                of_store(&mut stores, &store).push(reference.stamped(&Arc::from(store.name())));
            }
            Err(error) => note_failure(outcomes, &error),
        }
    }
    stores
}
