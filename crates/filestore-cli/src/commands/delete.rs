//! `filestore delete`: deletes files and folders.

use filestore::{Delete, Result};

use super::note_failure;
use crate::args;
use crate::context::Context;
use crate::exit::Outcomes;

pub(crate) async fn run(context: &Context, args: &args::Delete) -> Result<u8> {
    let mut outcomes = Outcomes::default();
    for text in &args.references {
        if let Err(error) = delete(context, text, args.recursive).await {
            note_failure(&mut outcomes, &error);
        }
    }
    Ok(outcomes.code())
}

async fn delete(context: &Context, text: &str, recursive: bool) -> Result<()> {
    let (store, reference) = context.open_reference(text)?;
    context.reads.changing(store.delete(Delete::from(reference).recursive(recursive))).await
}
