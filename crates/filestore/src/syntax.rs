//! [`parse`]: TOML to settings, each with its line.

use std::collections::BTreeMap;
use std::path::Path;

use filestore_core::{Error, Origin, Result, Setting, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Returns the top-level table of `text`. An error names the line but does not quote it: it may hold a secret.
pub(crate) fn parse(text: &str, path: &Path) -> Result<BTreeMap<String, Setting>> {
    let source = Source { text, path };
    let table = DeTable::parse(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        Error::config(format!("{}: the configuration is not TOML: {}", source.origin(start), error.message()))
    })?;
    source.table(table.get_ref())
}

struct Source<'a> {
    text: &'a str,
    path: &'a Path,
}

impl Source<'_> {
    fn table(&self, table: &DeTable<'_>) -> Result<BTreeMap<String, Setting>> {
        let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
            let key: &Spanned<std::borrow::Cow<'_, str>> = key;
            Ok((key.get_ref().to_string(), self.setting(value, key.span().start)?))
        };
        table.iter().map(entry).collect()
    }

    fn setting(&self, value: &Spanned<DeValue<'_>>, start: usize) -> Result<Setting> {
        let origin = self.origin(start);
        let value = match value.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Boolean(flag) => Value::Flag(*flag),
            DeValue::Integer(number) => {
                Value::Integer(i64::from_str_radix(number.as_str(), number.radix()).map_err(|_| {
                    Error::config(format!("{origin}: the number is out of range; use a 64-bit integer"))
                })?)
            }
            DeValue::Float(number) => {
                let finite = number.as_str().parse().ok().filter(|number: &f64| number.is_finite());
                Value::Float(finite.ok_or_else(|| Error::config(format!("{origin}: invalid number")))?)
            }
            DeValue::Datetime(time) => Value::Text(time.to_string()),
            DeValue::Array(list) => {
                Value::List(list.iter().map(|value| self.setting(value, value.span().start)).collect::<Result<_>>()?)
            }
            DeValue::Table(table) => Value::Table(self.table(table)?),
        };
        Ok(Setting::new(value, origin))
    }

    fn origin(&self, start: usize) -> Origin {
        let before = self.text.as_bytes().get(..start).unwrap_or_default();
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Origin::File { path: self.path.to_owned(), line }
    }
}
