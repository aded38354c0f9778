//! The custom metadata of files and folders, and its limits.

use std::collections::BTreeMap;

use serde_json::Value;

use super::error::Rejection;
use super::params::Params;

const FIELD: &str = "custom_metadata";
const MAX_KEYS: usize = 32;
/// The maximum length of a key, in characters.
const MAX_KEY: usize = 256;
/// The maximum length of a value, in characters.
const MAX_VALUE: usize = 1024;

/// Returns the custom metadata of a request, which replaces all existing entries. Null is an empty map. Returns `None`
/// if the parameter is absent.
pub(super) fn custom(params: &Params) -> Result<Option<BTreeMap<String, String>>, Rejection> {
    let fields = match params.get(FIELD) {
        None => return Ok(None),
        Some(Value::Null) => return Ok(Some(BTreeMap::new())),
        Some(Value::Object(fields)) => fields,
        Some(_) => return Err(Rejection::invalid(FIELD)),
    };
    let texts = fields.iter().map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
    let metadata: BTreeMap<_, _> = texts.collect::<Option<_>>().ok_or(Rejection::invalid(FIELD))?;
    let is_longer = |text: &str, limit: usize| text.chars().count() > limit;
    let problem = if metadata.len() > MAX_KEYS {
        "Custom metadata cannot have more than 32 keys"
    } else if metadata.keys().any(|key| is_longer(key, MAX_KEY)) {
        "Custom metadata keys cannot be longer than 256 characters"
    } else if metadata.values().any(|value| is_longer(value, MAX_VALUE)) {
        "Custom metadata values cannot be longer than 1024 characters"
    } else {
        return Ok(Some(metadata));
    };
    Err(Rejection::ModelSave { field: FIELD, text: problem })
}
