//! `filestore fileio`: prints the account, and changes stored files.

use filestore::fileio::{Account, FileIo, FileIoFile, FileIoStore, FileIoUpdate, FileIoUpload};
use filestore::{Operation, Result, Upload};
use serde_json::{Map, Value, json};

use crate::args;
use crate::context::Context;
use crate::output;
use crate::standard_streams;

pub(crate) async fn run(context: &Context, command: &args::Fileio) -> Result<u8> {
    match command {
        args::Fileio::Me => me(context).await,
        args::Fileio::Update(args) => update(context, args).await,
    }
}

async fn me(context: &Context) -> Result<u8> {
    let config = context.selected_store()?;
    context.check_backend(config, &FileIo)?;
    let store = context.open(config)?;
    let account = store.backend::<FileIoStore>()?.me().await.map_err(|error| error.with_store(&config.name))?;
    if context.json {
        output::line(output::json(&json_of(&account)))?;
    } else {
        let rows: Vec<Vec<String>> =
            properties(&account).into_iter().map(|(name, value)| vec![name.into(), value]).collect();
        output::write_all(output::table(&["ACCOUNT", ""], &rows).as_bytes())?;
    }
    Ok(0)
}

async fn update(context: &Context, args: &args::FileioUpdate) -> Result<u8> {
    let (store, reference) = context.open_reference(&args.target.reference)?;
    context.check_backend(context.config.store(store.name())?, &FileIo)?;
    let fileio = store.backend::<FileIoStore>()?;
    // The store's handle knows the references that belong to it.
    store.check_reference(&reference)?;
    let updated = match &args.replace_with {
        None => context.reads.changing(fileio.update(&reference, changes(args))).await,
        Some(path) => context.reads.changing(fileio.replace(&reference, replacement(args, path)?)).await,
    };
    let FileIoFile { file, .. } = updated.map_err(|error| store.context_of(error, Operation::Update, &reference))?;
    context.warn_of_skipped(&file.name, &file.skipped);
    let mut object = output::json_of(&file);
    object["ref"] = json!(reference.to_string());
    object["store"] = json!(store.name());
    let reference = reference.to_string();
    let summary = format!("updated {reference}");
    output::result(if context.json { output::json(&object) } else { reference }, &summary)?;
    Ok(0)
}

fn changes(args: &args::FileioUpdate) -> FileIoUpdate {
    let mut update = FileIoUpdate::new();
    update.expiry = args.expires;
    update.max_downloads = args.max_downloads;
    update.auto_delete = args.auto_delete;
    update.title.clone_from(&args.title);
    update.description.clone_from(&args.description);
    update
}

fn replacement(args: &args::FileioUpdate, path: &std::path::Path) -> Result<Upload> {
    standard_streams::check_input_at(path)?;
    let mut options = FileIoUpload::new();
    options.max_downloads = args.max_downloads;
    options.auto_delete = args.auto_delete;
    options.title.clone_from(&args.title);
    Ok(Upload::from_path(path)?.expires(args.expires.unwrap_or_default()).with(options))
}

fn properties(account: &Account) -> Vec<(&'static str, String)> {
    let bytes = |value: Option<u64>| value.map(|bytes| format!("{bytes} bytes"));
    let properties = [
        ("plan", account.plan_id.map(|plan| if plan == 0 { "free".to_owned() } else { format!("plan {plan}") })),
        ("largest file", bytes(account.max_upload_bytes)),
        ("storage", bytes(account.max_storage_bytes)),
        ("used", bytes(account.used_storage_bytes)),
        ("requests a minute", account.rate_limit.map(|rate| rate.to_string())),
    ];
    properties.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn json_of(account: &Account) -> Value {
    let mut fields: Map<String, Value> = account.other.clone().into_iter().collect();
    // These names replace fields of the same name from the service, whose values mean something else.
    let known = [
        ("plan", account.plan_id),
        ("max_upload_bytes", account.max_upload_bytes),
        ("max_storage_bytes", account.max_storage_bytes),
        ("used_storage_bytes", account.used_storage_bytes),
        ("rate_limit", account.rate_limit),
    ];
    fields.extend(known.map(|(name, value)| (name.to_owned(), value.into())));
    Value::Object(fields)
}
