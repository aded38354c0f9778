//! [`parse`]: TOML to settings, each with its line. [`parse_list`]: a list that is written as a text.

use std::collections::BTreeMap;
use std::path::Path;

use filestore_core::{Error, Origin, Result, Setting, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Returns the top-level table of `text`. An error names the line but does not quote it: it may hold a secret.
pub(crate) fn parse(text: &str, path: &Path) -> Result<BTreeMap<String, Setting>> {
    let origin = |start: usize| {
        let before = text.as_bytes().get(..start).unwrap_or_default();
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Origin::File { path: path.to_owned(), line }
    };
    let parsed = DeTable::parse(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        Error::config(format!("{}: the configuration is not TOML: {}", origin(start), error.message()))
    })?;
    table(parsed.get_ref(), &origin)
}

/// Returns `setting`, the value of `key`, as a list if it is a text such as `["a", "b"]`, and unchanged otherwise.
pub(crate) fn parse_list(key: &str, setting: Setting) -> Result<Setting> {
    let Some(text) = setting.as_str().filter(|text| text.trim_start().starts_with('[')) else { return Ok(setting) };
    let origin = setting.origin.clone();
    let parsed = DeValue::parse(text)
        .map_err(|_| Error::config(format!("{origin}: {key:?} is not a list; write it like [\"a\", \"b\"]")))?;
    self::setting(&parsed, 0, &|_| origin.clone())
}

fn table(table: &DeTable<'_>, origin: &impl Fn(usize) -> Origin) -> Result<BTreeMap<String, Setting>> {
    let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
        let key: &Spanned<std::borrow::Cow<'_, str>> = key;
        Ok((key.get_ref().to_string(), setting(value, key.span().start, origin)?))
    };
    table.iter().map(entry).collect()
}

fn setting(value: &Spanned<DeValue<'_>>, start: usize, origin_at: &impl Fn(usize) -> Origin) -> Result<Setting> {
    let origin = origin_at(start);
    let value = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Boolean(flag) => Value::Flag(*flag),
        DeValue::Integer(number) => Value::Integer(
            i64::from_str_radix(number.as_str(), number.radix())
                .map_err(|_| Error::config(format!("{origin}: the number is out of range; use a 64-bit integer")))?,
        ),
        DeValue::Float(number) => {
            let finite = number.as_str().parse().ok().filter(|number: &f64| number.is_finite());
            Value::Float(finite.ok_or_else(|| Error::config(format!("{origin}: invalid number")))?)
        }
        DeValue::Datetime(time) => Value::Text(time.to_string()),
        DeValue::Array(list) => {
            let entry = |entry| setting(entry, entry.span().start, origin_at);
            Value::List(list.iter().map(entry).collect::<Result<_>>()?)
        }
        DeValue::Table(entries) => Value::Table(table(entries, origin_at)?),
    };
    Ok(Setting::new(value, origin))
}
