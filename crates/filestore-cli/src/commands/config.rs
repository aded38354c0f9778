//! `filestore config`: is it right, and where does each value come from?

use filestore::{Key, KeyKind, Origin, Result, Setting, StoreConfig, Value};
use serde_json::json;

use crate::args;
use crate::context::Context;
use crate::{exit, output};

const MASK: &str = "********";

pub(crate) fn run(context: &Context, what: args::Config) -> Result<u8> {
    match what {
        args::Config::Check => check(context),
        args::Config::Show => show(context),
    }
}

/// Opens every store; the first failure's code is the answer.
fn check(context: &Context) -> Result<u8> {
    let mut code = 0;
    let mut rows = Vec::new();
    for store in context.config.stores() {
        for key in literal_secrets(context, store) {
            let hint = "keep it out of the file with env:NAME or file:PATH";
            context.warn(&format!("{}: the secret {key:?} is written in the configuration; {hint}", store.name));
        }
        let problem = match context.open(store) {
            Ok(_) => None,
            Err(error) => {
                code = if code == 0 { exit::code(&error) } else { code };
                Some(error.message().to_owned())
            }
        };
        if context.json {
            output::line(&output::json(&json!({ "store": store.name, "ok": problem.is_none(), "problem": problem })))?;
        }
        rows.push(vec![store.name.clone(), problem.unwrap_or_else(|| "ok".to_owned())]);
    }
    if !context.json {
        output::write_all(output::table(&["STORE", "RESULT"], &rows).as_bytes())?;
    }
    Ok(code)
}

fn literal_secrets(context: &Context, store: &StoreConfig) -> Vec<String> {
    let keys = keys_of(context, store);
    let written = |setting: &Setting| {
        setting.as_str().is_some_and(|text| !text.starts_with("env:") && !text.starts_with("file:"))
    };
    // A key that nobody knows is masked, but what it holds has no name.
    let known = |leaf: &Leaf<'_>| keys.iter().any(|key| leaf.name.split(['.', '[']).next() == Some(key.name));
    let literal = leaves(store, keys).into_iter().filter(|leaf| leaf.secret && known(leaf) && written(leaf.setting));
    literal.map(|leaf| leaf.name).collect()
}

/// Every value with its origin, and the defaults of the keys that are not there.
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
        for leaf in leaves(store, keys) {
            let (value, origin) = leaf.shown();
            row(&store.name, &leaf.name, value, origin);
        }
        for key in keys {
            if let (None, Some(default)) = (store.settings.get(key.name), key.default) {
                row(&store.name, key.name, default.to_owned(), "default".to_owned());
            }
        }
    }
    if context.json {
        for row in rows {
            output::line(&output::json(&json!({ "key": row[0], "value": row[1], "origin": row[2] })))?;
        }
        return Ok(0);
    }
    match context.config.source() {
        Some(path) => output::line(&format!("# {}", path.display()))?,
        None => output::line("# built in: there is no configuration file")?,
    }
    output::write_all(output::table(&["KEY", "VALUE", "FROM"], &rows).as_bytes())?;
    Ok(0)
}

fn keys_of(context: &Context, store: &StoreConfig) -> &'static [Key] {
    context.registry.backend(store.backend_name()).map(|backend| backend.keys()).unwrap_or_default()
}

/// One value that is neither a list nor a table.
struct Leaf<'a> {
    name: String,
    setting: &'a Setting,
    secret: bool,
}

impl Leaf<'_> {
    /// The value and its origin; a secret masked, a value that is elsewhere named by its place.
    fn shown(&self) -> (String, String) {
        let place = self.setting.origin.to_string();
        let text = match &self.setting.value {
            Value::Text(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::Flag(flag) => flag.to_string(),
            Value::List(_) | Value::Table(_) => String::new(),
        };
        if let Some(variable) = text.strip_prefix("env:") {
            let value = match std::env::var(variable) {
                Err(_) => "(not set)".to_owned(),
                Ok(_) if self.secret => MASK.to_owned(),
                Ok(value) => value,
            };
            return (value, format!("{} ({place})", Origin::Environment { variable: variable.to_owned() }));
        }
        if let Some(path) = text.strip_prefix("file:") {
            return (MASK.to_owned(), format!("{} ({place})", Origin::SecretFile { path: path.into() }));
        }
        (if self.secret || holds_a_user(&text) { MASK.to_owned() } else { text }, place)
    }
}

fn leaves<'a>(store: &'a StoreConfig, keys: &[Key]) -> Vec<Leaf<'a>> {
    let mut leaves = Vec::new();
    for (name, setting) in store.settings.iter() {
        let secret = match keys.iter().find(|key| key.name == name) {
            Some(key) => key.kind == KeyKind::Secret,
            // Nobody knows what a misspelt key was meant to hold.
            None => true,
        };
        collect(name.to_owned(), setting, secret, &mut leaves);
    }
    for (name, setting) in store.upload.iter() {
        collect(format!("upload.{name}"), setting, false, &mut leaves);
    }
    leaves
}

fn collect<'a>(name: String, setting: &'a Setting, secret: bool, leaves: &mut Vec<Leaf<'a>>) {
    match &setting.value {
        Value::List(list) => {
            for (index, entry) in list.iter().enumerate() {
                collect(format!("{name}[{index}]"), entry, secret, leaves);
            }
        }
        Value::Table(table) => {
            for (key, entry) in table {
                collect(format!("{name}.{key}"), entry, secret || sounds_secret(key), leaves);
            }
        }
        _ => leaves.push(Leaf { name, setting, secret }),
    }
}

/// Whether it is a URL with a user, hence perhaps a password, in it.
fn holds_a_user(text: &str) -> bool {
    text.split_once("://").is_some_and(|(_, rest)| rest.contains('@'))
}

/// Keys inside a table are the service's own; their names are all there is to go by.
fn sounds_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["secret", "password", "token", "credential", "key", "sas", "passphrase"].iter().any(|word| key.contains(word))
}
