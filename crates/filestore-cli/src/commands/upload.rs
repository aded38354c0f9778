//! `filestore upload`: stores files and prints their references.

use std::path::Path;

use filestore::{Addressing, Body, Error, IfExists, Options, Result, Store, StoreConfig, StoredFile};

use super::note_failure;
use crate::args;
use crate::context::{self, Context};
use crate::exit::Outcomes;
use crate::output;
use crate::progress::Bar;
use crate::standard_streams;

pub(crate) async fn run(context: &Context, args: &args::Upload) -> Result<u8> {
    if args.name.is_some() && args.files.len() > 1 {
        return Err(Error::invalid(
            "--name is valid for one file only, but several files are given; upload them one by one",
        ));
    }
    let config = context.selected_store()?;
    let options = options(context, config, &args.options)?;
    let store = context.open(config)?;
    let finds_free_name = options.finds_free_name().or(store.options().finds_free_name()).unwrap_or_default();
    if !finds_free_name {
        check_collisions(&store, args)?;
    }
    let is_repeatable =
        store.capabilities().addressing == Addressing::CallerPath && !args.no_clobber && !finds_free_name;
    let mut outcomes = Outcomes::default();
    let mut files = args.files.iter();
    while let Some(path) = files.next() {
        let uploaded = upload(context, &store, args, &options, path).await;
        if let Err(error) = &uploaded {
            note_failure(&mut outcomes, error);
        }
        // A failed upload may have stored the file: its reference must not be lost.
        let Some(file) = uploaded.as_ref().map_or_else(Error::stored, Some) else { continue };
        if !is_repeatable {
            outcomes.added();
        }
        if let Err(error) = print(context, file) {
            note_failure(&mut outcomes, &error);
            if !output::is_closed_by_reader(&error) {
                files.for_each(|path| output::report(&format!("not sent: {}", path.display())));
            }
            break;
        }
    }
    Ok(outcomes.code())
}

/// Rejects files that are one file in this store: the second would replace the first, or be rejected.
fn check_collisions(store: &Store, args: &args::Upload) -> Result<()> {
    let names: Vec<_> = args.files.iter().filter_map(|path| Some(path.file_name()?.to_string_lossy())).collect();
    let collisions = store.capabilities().collisions(names.iter().map(|name| (args.scope.as_deref(), name.as_ref())));
    let Some(group) = collisions.first() else { return Ok(()) };
    let names: Vec<_> = group.iter().map(|(_, name)| *name).collect();
    Err(Error::invalid(format!(
        "{} {} in this store; upload them one by one, with --name or --to",
        names.join(" and "),
        if args.no_clobber { "are one file" } else { "would replace each other" },
    )))
}

async fn upload(
    context: &Context,
    store: &Store,
    args: &args::Upload,
    options: &Options,
    path: &Path,
) -> Result<StoredFile> {
    let mut request = if path == Path::new("-") {
        let name = args
            .name
            .as_deref()
            .ok_or_else(|| Error::invalid("standard input has no file name; give one with --name"))?;
        standard_streams::check_input()?;
        filestore::Upload::new(name, Body::from_reader(tokio::io::stdin(), None))
    } else {
        standard_streams::check_input_at(path)?;
        match &args.name {
            Some(name) => filestore::Upload::new(name, Body::from_path(path)?),
            None => filestore::Upload::from_path(path)?,
        }
    };
    if args.no_clobber {
        request = request.if_exists(IfExists::Fail);
    }
    request.scope.clone_from(&args.scope);
    request.content_type.clone_from(&args.content_type);
    request.options = options.clone();
    let bar = Bar::new(&request.name, context.quiet);
    let request = request.expires(args.expires).on_progress(bar.clone());
    let result = context.reads.changing(store.upload(request)).await;
    bar.done();
    result
}

/// Parses the `-O KEY=VALUE` pairs as options of the store's backend.
fn options(context: &Context, store: &StoreConfig, pairs: &[String]) -> Result<Options> {
    if pairs.is_empty() {
        return Ok(Options::default());
    }
    let backend = context.registry.backend(store.backend_name())?;
    let settings = context::options(pairs, backend.option_keys())?;
    backend.options(&settings).map_err(|error| Error::invalid(format!("-O: {}", error.message())))
}

fn print(context: &Context, file: &StoredFile) -> Result<()> {
    context.warn_of_skipped(&file.name, &file.skipped);
    let reference = file.reference.to_string();
    let printed = if context.json { output::json(&output::json_of(file)) } else { reference.clone() };
    output::result(printed, &format!("stored as {reference}"))
}
