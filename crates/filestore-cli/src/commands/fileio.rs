//! `filestore fileio`: the account, and changing what is stored.

use filestore::fileio::{Account, FileIo, FileIoFile, FileIoStore, FileIoUpdate, FileIoUpload};
use filestore::{Result, StoreConfig, Upload};
use serde_json::{Map, Value, json};

use crate::args;
use crate::context::Context;
use crate::output;
use crate::standard_streams;

pub(crate) async fn run(context: &Context, what: &args::Fileio) -> Result<u8> {
    match what {
        args::Fileio::Me => me(context).await,
        args::Fileio::Update(args) => update(context, args).await,
    }
}

async fn me(context: &Context) -> Result<u8> {
    let declared = context.chosen()?;
    let account = connect(context, declared)?.me().await.map_err(|error| error.with_store(&declared.name))?;
    if context.json {
        output::line(&output::json(&json_of(&account)))?;
    } else {
        let rows: Vec<Vec<String>> =
            facts(&account).into_iter().map(|(name, value)| vec![name.into(), value]).collect();
        output::write_all(output::table(&["ACCOUNT", ""], &rows).as_bytes())?;
    }
    Ok(0)
}

async fn update(context: &Context, args: &args::FileioUpdate) -> Result<u8> {
    let (store, reference) = context.of(&args.of.reference)?;
    let declared = context.config.store(store.name())?;
    let fileio = connect(context, declared)?;
    // The handle of the store knows which references are its own.
    store.check_reference(&reference)?;
    let updated = match &args.replace_with {
        None => context.reads.changing(fileio.update(&reference, changes(args))).await,
        Some(path) => context.reads.changing(fileio.replace(&reference, replacement(args, path)?)).await,
    };
    let FileIoFile { file, .. } = updated.map_err(|error| error.with_store(store.name()))?;
    context.warn_of_skipped(&file.name, &file.skipped);
    let mut object = output::json_of(&file);
    object["ref"] = json!(reference.to_string());
    object["store"] = json!(store.name());
    let reference = reference.to_string();
    let done = format!("updated {reference}");
    output::result(&if context.json { output::json(&object) } else { reference }, &done)?;
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

fn connect(context: &Context, declared: &StoreConfig) -> Result<FileIoStore> {
    let resolved = context.settings_of(declared, &FileIo)?;
    FileIo.connect(&resolved.settings).map_err(|error| error.with_store(&declared.name))
}

fn facts(account: &Account) -> Vec<(&'static str, String)> {
    let bytes = |value: Option<u64>| value.map(|bytes| format!("{bytes} bytes"));
    let facts = [
        ("plan", account.plan_id.map(|plan| if plan == 0 { "free".to_owned() } else { format!("plan {plan}") })),
        ("largest file", bytes(account.max_upload_bytes)),
        ("storage", bytes(account.max_storage_bytes)),
        ("used", bytes(account.used_storage_bytes)),
        ("requests a minute", account.rate_limit.map(|rate| rate.to_string())),
    ];
    facts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn json_of(account: &Account) -> Value {
    let mut fields: Map<String, Value> = account.other.clone().into_iter().collect();
    // What the service calls by one of these names is another value.
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
