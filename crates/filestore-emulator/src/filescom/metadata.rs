//! What callers say about a file: custom metadata, with its limits.

use std::collections::BTreeMap;

use serde_json::Value;

use super::error::Rejection;
use super::params::Params;

const FIELD: &str = "custom_metadata";
const MOST_KEYS: usize = 32;
const LONGEST_KEY: usize = 256;
const LONGEST_VALUE: usize = 1024;

/// The whole map; null clears it, absent is absent.
pub(super) fn custom(params: &Params) -> Result<Option<BTreeMap<String, String>>, Rejection> {
    let fields = match params.get(FIELD) {
        None => return Ok(None),
        Some(Value::Null) => return Ok(Some(BTreeMap::new())),
        Some(Value::Object(fields)) => fields,
        Some(_) => return Err(Rejection::invalid(FIELD)),
    };
    let texts = fields.iter().map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
    let metadata: BTreeMap<_, _> = texts.collect::<Option<_>>().ok_or(Rejection::invalid(FIELD))?;
    let longer = |text: &str, limit: usize| text.chars().count() > limit;
    let problem = if metadata.len() > MOST_KEYS {
        "Custom metadata cannot have more than 32 keys"
    } else if metadata.keys().any(|key| longer(key, LONGEST_KEY)) {
        "Custom metadata keys cannot be longer than 256 characters"
    } else if metadata.values().any(|value| longer(value, LONGEST_VALUE)) {
        "Custom metadata values cannot be longer than 1024 characters"
    } else {
        return Ok(Some(metadata));
    };
    Err(Rejection::ModelSave { field: FIELD, text: problem })
}
