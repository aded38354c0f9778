//! [`Config`] as a part of an application's own settings: any format of serde to settings, each with its key.

use std::collections::BTreeMap;
use std::fmt;

use filestore_core::{Origin, Setting, Value};
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::Config;

impl<'de> Deserialize<'de> for Config {
    /// Reads a map with the keys `default` and `stores`, from any self-describing format. An error names the key.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Not as any value: a flattened field would then get all keys of the application.
        let tree = match deserializer.deserialize_struct("Config", &["default", "stores"], Node { key: "" })? {
            Some(Value::Table(tree)) => tree,
            Some(_) => return Err(D::Error::custom("the configuration of stores is not a table")),
            None => BTreeMap::new(),
        };
        Self::from_tree(tree, None).map_err(|error| D::Error::custom(error.message()))
    }
}

/// The keys of maps with one entry by which TOML's times and large JSON numbers pass through serde.
const WRAPPERS: [&str; 2] = ["$__toml_private_datetime", "$serde_json::private::Number"];

/// Reads the value of `key`. An absent value (`null`) is `None`. Messages never contain the value.
#[derive(Clone, Copy)]
struct Node<'a> {
    key: &'a str,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Option<Setting>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let value = deserializer.deserialize_any(self)?;
        Ok(value.map(|value| Setting::new(value, Origin::Embedded { key: self.key.to_owned() })))
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key {
            "" => f.write_str("a table with the keys default and stores"),
            key => write!(f, "a text, number, flag, list or table as the value of {key}"),
        }
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Some(Value::Flag(flag)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Some(Value::Integer(number)))
    }

    fn visit_i128<E>(self, number: i128) -> Result<Self::Value, E> {
        Ok(Some(match i64::try_from(number) {
            Ok(number) => Value::Integer(number),
            // Both a number and a text can be read from it.
            Err(_) => Value::Text(number.to_string()),
        }))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        self.visit_i128(number.into())
    }

    fn visit_u128<E>(self, number: u128) -> Result<Self::Value, E> {
        Ok(Some(match i64::try_from(number) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Text(number.to_string()),
        }))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        if number.is_finite() {
            return Ok(Some(Value::Float(number)));
        }
        Err(E::custom(format_args!("{}: invalid number", self.key)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Value::Text(text.to_owned())))
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        loop {
            let key = format!("{}[{}]", self.key, list.len());
            match entries.next_element_seed(Node { key: &key })? {
                Some(Some(entry)) => list.push(entry),
                Some(None) => return Err(A::Error::custom(format_args!("{key}: the value is missing"))),
                None => return Ok(Some(Value::List(list))),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut table = BTreeMap::new();
        while let Some(name) = entries.next_key::<String>()? {
            let key = if self.key.is_empty() { name.clone() } else { format!("{}.{name}", self.key) };
            let Some(setting) = entries.next_value_seed(Node { key: &key })? else {
                // A key of a store without its value may be a protection, such as `cipher_key` in YAML.
                if self.key.starts_with("stores.") {
                    return Err(A::Error::custom(format_args!(
                        "{key}: the value is missing; give it one, or leave the key out"
                    )));
                }
                continue;
            };
            if WRAPPERS.contains(&name.as_str()) {
                return Ok(Some(setting.value));
            }
            if table.insert(name, setting).is_some() {
                return Err(A::Error::custom(format_args!("{key}: the key is set twice")));
            }
        }
        Ok(Some(Value::Table(table)))
    }
}
