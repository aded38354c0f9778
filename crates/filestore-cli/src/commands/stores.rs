//! `filestore stores`: lists the stores of the configuration.

use filestore::Result;
use serde_json::json;

use crate::context::Context;
use crate::output;

pub(crate) fn run(context: &Context) -> Result<u8> {
    context.check_no_store()?;
    let default = context.config.default_name();
    if context.json {
        for store in context.config.stores() {
            let object = json!({
                "name": store.name,
                "backend": store.backend_name(),
                "aliases": store.aliases,
                "default": Some(store.name.as_str()) == default,
            });
            output::line(output::json(&object))?;
        }
        return Ok(0);
    }
    let mut rows = Vec::new();
    for store in context.config.stores() {
        let default_mark = if Some(store.name.as_str()) == default { "default" } else { "" };
        rows.push(vec![
            store.name.clone(),
            store.backend_name().to_owned(),
            default_mark.to_owned(),
            store.aliases.join(", "),
        ]);
    }
    output::write_all(output::table(&["STORE", "BACKEND", "", "ALIASES"], &rows).as_bytes())?;
    Ok(0)
}
