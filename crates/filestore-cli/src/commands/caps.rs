//! `filestore caps`: the capabilities of stores, with the reason for each that is missing.

use std::fmt::Write as _;

use filestore::{Backend, Capabilities, Feature, Result, Support};
use serde_json::{Map, Value, json};

use crate::args;
use crate::context::Context;
use crate::{exit, output};

pub(crate) fn run(context: &Context, args: &args::StoreName) -> Result<u8> {
    let stores = context.named_stores(args.name.as_deref())?;
    let mut code = 0;
    for (index, config) in stores.iter().enumerate() {
        let store = match context.open(config) {
            Ok(store) => store,
            // The error of one store does not hide the others.
            Err(error) => {
                code = if code == 0 { exit::code(&error) } else { code };
                output::report_error(&error.with_store(&config.name));
                continue;
            }
        };
        let backend = context.registry.backend(config.backend_name())?;
        if context.json {
            output::line(output::json(&json_of(store.name(), backend, store.capabilities())))?;
        } else {
            let gap = if index > 0 { "\n" } else { "" };
            output::write_all(format!("{gap}{}", text_of(store.name(), backend, store.capabilities())).as_bytes())?;
        }
    }
    Ok(code)
}

fn text_of(name: &str, backend: &dyn Backend, capabilities: &Capabilities) -> String {
    let mut text = format!("{name} ({}): {}\n", backend.name(), backend.about());
    for (property, value) in properties(capabilities) {
        let _ = writeln!(text, "  {property:<16} {value}");
    }
    for feature in Feature::ALL {
        let _ = writeln!(text, "  {feature:<16} {}", capabilities.support(*feature));
    }
    for key in backend.option_keys() {
        let _ = writeln!(text, "  -O {:<13} {} ({})", key.name, key.help, key.kind.as_str());
    }
    text
}

fn properties(capabilities: &Capabilities) -> Vec<(&'static str, String)> {
    let mut properties = vec![
        ("scheme", capabilities.scheme.to_string()),
        ("addressing", capabilities.addressing.to_string()),
        ("scope", capabilities.scope.to_string()),
        ("names compare", capabilities.names.equality.to_string()),
        ("a read", capabilities.read_effect.to_string()),
        ("listed", capabilities.list_order.to_string()),
        ("largest file", capabilities.max_size.map_or("no limit known".into(), |size| format!("{size} bytes"))),
    ];
    if let Some(kind) = capabilities.url_kind {
        properties.push(("a URL gives", kind.as_str().to_owned()));
    }
    properties
}

fn json_of(name: &str, backend: &dyn Backend, capabilities: &Capabilities) -> Value {
    let mut features = Map::new();
    for feature in Feature::ALL {
        let value = match capabilities.support(*feature) {
            Support::Native => json!({ "support": "native" }),
            Support::Emulated { cost } => json!({ "support": "emulated", "cost": cost }),
            Support::Unsupported { reason } => json!({ "support": "unsupported", "reason": reason }),
            _ => json!({}),
        };
        features.insert(feature.as_str().to_owned(), value);
    }
    json!({
        "store": name,
        "backend": backend.name(),
        "scheme": capabilities.scheme,
        "addressing": capabilities.addressing.to_string(),
        "scope": capabilities.scope.to_string(),
        "names_compare": capabilities.names.equality.to_string(),
        "reads_consume": capabilities.reads_consume(),
        "max_size": capabilities.max_size,
        "list_order": capabilities.list_order.to_string(),
        "url_kind": capabilities.url_kind.map(filestore::UrlKind::as_str),
        "options": backend.option_keys().iter().map(|key| key.name).collect::<Vec<_>>(),
        "features": features,
    })
}
