//! `filestore config`: checks the configuration, and shows the origin of each value.

use filestore::{Key, Leaf, Origin, Result, Setting, StoreConfig, Value};
use serde_json::json;
use url::{Host, Url};

use crate::args;
use crate::context::Context;
use crate::{exit, output};

const MASK: &str = "********";

pub(crate) fn run(context: &Context, command: args::Config) -> Result<u8> {
    context.check_no_store()?;
    match command {
        args::Config::Check => check(context),
        args::Config::Show => show(context),
    }
}

/// Opens every store. Returns the exit code of the first failure.
fn check(context: &Context) -> Result<u8> {
    let mut code = 0;
    let mut rows = Vec::new();
    for store in context.config.stores() {
        for key in literal_secrets(context, store) {
            let hint = "replace it by env:NAME or file:PATH";
            context.warn(&format!("{}: the secret {key:?} is written in the configuration; {hint}", store.name));
        }
        for key in unencrypted_urls(context, store) {
            let hint = "others on the network can read the credentials and the files; use https";
            context.warn(&format!("{}: {key:?} is an http:// URL of another machine; {hint}", store.name));
        }
        let problem = match context.open(store) {
            Ok(_) => None,
            Err(error) => {
                code = if code == 0 { exit::code(&error) } else { code };
                Some(error.message().to_owned())
            }
        };
        if context.json {
            output::line(output::json(&json!({ "store": store.name, "ok": problem.is_none(), "problem": problem })))?;
        }
        rows.push(vec![store.name.clone(), problem.unwrap_or_else(|| "ok".to_owned())]);
    }
    if !context.json {
        output::write_all(output::table(&["STORE", "RESULT"], &rows).as_bytes())?;
    }
    Ok(code)
}

/// Returns the keys of secrets that the configuration file contains in plain text.
fn literal_secrets(context: &Context, store: &StoreConfig) -> Vec<String> {
    let keys = keys_of(context, store);
    let is_literal = |Setting { value, origin, .. }: &Setting| match (value, origin) {
        (Value::Text(text), Origin::File { .. }) => !text.starts_with("env:") && !text.starts_with("file:"),
        (Value::Integer(_), Origin::File { .. }) => true,
        _ => false,
    };
    // The value of an unknown key is masked, but it need not be a secret.
    let is_known = |leaf: &Leaf<'_>| keys.iter().any(|key| leaf.key.split(['.', '[']).next() == Some(key.name));
    let settings = store.settings.leaves(keys).into_iter().filter(is_known);
    let upload = upload_leaves(context, store).into_iter();
    let literal = settings.chain(upload).filter(|leaf| leaf.secret && is_literal(leaf.setting));
    literal.map(|leaf| leaf.key).collect()
}

/// Returns the keys whose value is a URL that sends the store's credentials unencrypted to another machine.
pub(super) fn unencrypted_urls(context: &Context, store: &StoreConfig) -> Vec<String> {
    // A setting that cannot be resolved is reported as a problem of the store.
    let Ok(resolved) = store.resolve(&context.registry) else { return Vec::new() };
    let leaves = resolved.settings.leaves(keys_of(context, store));
    let (secrets, others): (Vec<_>, Vec<_>) = leaves.into_iter().partition(|leaf| leaf.secret);
    // The URL of a proxy is a secret because of its password, but it is not sent to the service.
    let is_credential = |leaf: &Leaf<'_>| match &leaf.setting.value {
        Value::Text(text) => !text.contains("://"),
        value => matches!(value, Value::Integer(_)),
    };
    if !secrets.iter().any(is_credential) {
        return Vec::new();
    }
    let is_unencrypted = |leaf: &Leaf<'_>| leaf.setting.as_str().is_some_and(is_remote_http);
    others.into_iter().filter(is_unencrypted).map(|leaf| leaf.key).collect()
}

/// Returns `true` if `text` is an `http://` URL of a host that is not this machine.
fn is_remote_http(text: &str) -> bool {
    let Ok(url) = text.parse::<Url>() else { return false };
    let is_local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => true,
    };
    url.scheme() == "http" && !is_local
}

/// Prints every value with its origin, and the defaults of the keys that are not set.
fn show(context: &Context) -> Result<u8> {
    let mut rows = Vec::new();
    if let Some(default) = context.config.default_setting() {
        let name = default.as_str().unwrap_or_default().to_owned();
        rows.push(vec!["default".to_owned(), name, default.origin.to_string()]);
    }
    let mut row = |store: &str, key: &str, value: String, origin: String| {
        rows.push(vec![format!("stores.{store}.{key}"), value, origin]);
    };
    for store in context.config.stores() {
        let keys = keys_of(context, store);
        row(&store.name, "backend", store.backend_name().to_owned(), store.backend.origin.to_string());
        if let Some(origin) = &store.aliases_origin {
            row(&store.name, "aliases", store.aliases.join(", "), origin.to_string());
        }
        for leaf in store.settings.leaves(keys).into_iter().chain(upload_leaves(context, store)) {
            let (value, origin) = masked(&leaf);
            row(&store.name, &leaf.key, value, origin);
        }
        for key in keys {
            if let (None, Some(default)) = (store.settings.get(key.name), key.default) {
                row(&store.name, key.name, default.to_owned(), "default".to_owned());
            }
        }
    }
    if context.json {
        for row in rows {
            output::line(output::json(&json!({ "key": row[0], "value": row[1], "origin": row[2] })))?;
        }
        return Ok(0);
    }
    let is_built_in = context.config.stores().iter().all(|store| store.backend.origin == Origin::BuiltIn);
    match context.config.source() {
        Some(path) => output::line(format!("# {}", path.display()))?,
        None if is_built_in => output::line("# built in: there is no configuration file")?,
        None => output::line("# environment variables: there is no configuration file")?,
    }
    output::write_all(output::table(&["KEY", "VALUE", "FROM"], &rows).as_bytes())?;
    Ok(0)
}

fn keys_of(context: &Context, store: &StoreConfig) -> &'static [Key] {
    context.registry.backend(store.backend_name()).map(|backend| backend.keys()).unwrap_or_default()
}

/// Returns the upload options of `store`, under their keys in the configuration file.
fn upload_leaves<'a>(context: &Context, store: &'a StoreConfig) -> Vec<Leaf<'a>> {
    let backend = context.registry.backend(store.backend_name());
    let mut leaves = store.upload.leaves(backend.map(|backend| backend.option_keys()).unwrap_or_default());
    for leaf in &mut leaves {
        leaf.key.insert_str(0, "upload.");
    }
    leaves
}

/// Returns the value, masked if it is a secret, and its origin. The origin of `env:NAME` and `file:PATH` is the
/// variable or the file.
fn masked(leaf: &Leaf<'_>) -> (String, String) {
    let origin = leaf.setting.origin.to_string();
    let text = match &leaf.setting.value {
        Value::Text(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Flag(flag) => flag.to_string(),
        Value::List(_) | Value::Table(_) => String::new(),
    };
    if let Some(variable) = text.strip_prefix("env:") {
        let value = match std::env::var(variable) {
            Err(_) => "(not set)".to_owned(),
            Ok(value) if leaf.secret || may_have_secret(&value) => MASK.to_owned(),
            Ok(value) => value,
        };
        return (value, format!("{} ({origin})", Origin::Environment { variable: variable.to_owned() }));
    }
    if let Some(path) = text.strip_prefix("file:") {
        return (MASK.to_owned(), format!("{} ({origin})", Origin::SecretFile { path: path.into() }));
    }
    (if leaf.secret || may_have_secret(&text) { MASK.to_owned() } else { text }, origin)
}

/// Returns `true` if `text` may be a URL with a user name, and so perhaps a password, or with a query, which may be a
/// signature. The scheme may be missing.
fn may_have_secret(text: &str) -> bool {
    let is_url = text.contains("://");
    (is_url && text.contains(['@', '?'])) || text.split_once('@').is_some_and(|(before, _)| before.contains(':'))
}
