//! `filestore delete`.

use filestore::{Delete, Result};

use super::note_failure;
use crate::args;
use crate::context::Context;

pub(crate) async fn run(context: &Context, args: &args::Delete) -> Result<u8> {
    let mut code = 0;
    for text in &args.references {
        if let Err(error) = delete(context, text, args.recursive).await {
            note_failure(&mut code, &error);
        }
    }
    Ok(code)
}

async fn delete(context: &Context, text: &str, recursive: bool) -> Result<()> {
    let (store, reference) = context.of(text)?;
    context.reads.changing(store.delete(Delete::from(reference).recursive(recursive))).await
}
