//! [`Settings`]: the values of one store's configuration, independent of the syntax of the configuration.
//!
//! A configuration reader fills it with [`Setting`]s, which record their origin. A backend reads its own serde struct
//! from it with [`Settings::read`], which rejects unknown keys and suggests a similar one. Values may be secrets, so
//! nothing here prints them.

use std::collections::{BTreeMap, btree_map};
use std::fmt;
use std::path::PathBuf;

use serde::de::value::{MapAccessDeserializer, SeqDeserializer};
use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, Visitor};

use crate::{Error, Result};

/// The settings of one store, by key.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    values: BTreeMap<String, Setting>,
}

impl Settings {
    /// Creates an empty set of settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `key`.
    pub fn insert(&mut self, key: impl Into<String>, setting: Setting) {
        self.values.insert(key.into(), setting);
    }

    /// Removes `key` and returns its setting.
    pub fn remove(&mut self, key: &str) -> Option<Setting> {
        self.values.remove(key)
    }

    /// Returns the setting of `key`.
    pub fn get(&self, key: &str) -> Option<&Setting> {
        self.values.get(key)
    }

    /// Returns the value of `key` if it is a text.
    pub fn text(&self, key: &str) -> Option<&str> {
        match &self.get(key)?.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns all settings, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.values.iter().map(|(key, setting)| (key.as_str(), setting))
    }

    /// Returns all values, also those inside of lists and tables, in the order of their keys. The values of secret keys
    /// are secret. So are those of unknown keys, because a misspelled key may be that of a secret.
    pub fn leaves(&self, keys: &[Key]) -> Vec<Leaf<'_>> {
        let mut leaves = Vec::new();
        for (name, setting) in self.iter() {
            setting.collect(name.to_owned(), keys.iter().find(|key| key.name == name), &mut leaves);
        }
        leaves
    }

    /// Reads the settings into `T`, whose keys are `keys`.
    ///
    /// Fails with *config* for an unknown key (the error suggests a similar one of `keys`), a missing required key, a key
    /// without the one that it [needs](Key::needs), a secret that is empty or blank, and a value of the wrong type. The
    /// message contains the origin of the value, but not the value.
    pub fn read<T: DeserializeOwned>(&self, keys: &[Key]) -> Result<T> {
        for (name, setting) in self.iter() {
            if !keys.iter().any(|key| key.name == name) {
                let names = keys.iter().map(|key| key.name);
                return Err(Error::config(format!(
                    "{}: unknown key {name:?}; {}",
                    setting.origin,
                    suggestion(name, names)
                )));
            }
        }
        for key in keys.iter().filter(|key| key.required) {
            if !self.values.contains_key(key.name) {
                return Err(Error::config(format!("the key {:?} is missing ({})", key.name, key.help)));
            }
        }
        for (name, setting) in self.iter() {
            let needs = keys.iter().find(|key| key.name == name).and_then(|key| key.needs);
            if let Some(missing) = needs.filter(|needed| !self.values.contains_key(*needed)) {
                return Err(Error::config(format!(
                    "{}: {name:?} needs {missing:?}, which is missing; set both, or neither",
                    setting.origin
                )));
            }
        }
        for leaf in self.leaves(keys).iter().filter(|leaf| leaf.secret) {
            let Some(secret) = leaf.setting.as_str() else { continue };
            check_secret(&leaf.key, secret)
                .map_err(|error| Error::config(format!("{}: {}", leaf.setting.origin, error.message())))?;
        }
        let entries = MapAccessDeserializer::new(Entries::of(&self.values));
        T::deserialize(entries).map_err(|error| Error::config(error.message))
    }
}

/// Fails with *invalid input* if `secret`, the value of `key`, is empty or only white space.
///
/// An empty password or key protects nothing. It usually comes from a variable or a file that should have a value.
/// [`Settings::read`] checks the values of a configuration; a backend checks the values that code passes to it.
pub fn check_secret(key: &str, secret: &str) -> Result<()> {
    if secret.trim().is_empty() {
        return Err(Error::invalid(format!("the secret {key:?} is empty; give it a value, or leave it out")));
    }
    Ok(())
}

/// Returns a suggestion for an unknown `name`: `did you mean "root"?`, or the list of `known` names.
pub fn suggestion<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let nearest = known
        .clone()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .min()
        .filter(|(distance, candidate)| *distance <= 1 + name.len().max(candidate.len()) / 3);
    match nearest {
        Some((_, candidate)) => format!("did you mean {candidate:?}?"),
        None => match known.collect::<Vec<_>>().as_slice() {
            [] => "none are defined".to_owned(),
            all => format!("use one of {}", all.join(", ")),
        },
    }
}

/// A value and its origin.
#[derive(Clone)]
#[non_exhaustive]
pub struct Setting {
    /// The value.
    pub value: Value,
    /// The origin of the value.
    pub origin: Origin,
}

impl Setting {
    /// Creates a setting with `value` from `origin`.
    pub fn new(value: Value, origin: Origin) -> Self {
        Self { value, origin }
    }

    fn collect<'a>(&'a self, name: String, key: Option<&Key>, leaves: &mut Vec<Leaf<'a>>) {
        match &self.value {
            Value::List(list) => {
                for (index, entry) in list.iter().enumerate() {
                    entry.collect(format!("{name}[{index}]"), key, leaves);
                }
            }
            Value::Table(table) => {
                for (inner, entry) in table {
                    entry.collect(format!("{name}.{inner}"), key.and_then(|key| key.inside(inner)), leaves);
                }
            }
            _ => {
                let secret = key.is_none_or(|key| key.kind == KeyKind::Secret);
                leaves.push(Leaf { key: name, setting: self, secret });
            }
        }
    }

    /// Returns the value if it is a text.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl fmt::Debug for Setting {
    /// Writes the type and the origin, but not the value, which may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {}", self.value.type_name(), self.origin)
    }
}

/// One value of [`Settings`], not a list or a table; see [`Settings::leaves`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Leaf<'a> {
    /// The key of the value, such as `root`, `aliases[0]` or `options.bucket`.
    pub key: String,
    /// The value.
    pub setting: &'a Setting,
    /// `true` if the value is a secret.
    pub secret: bool,
}

/// The value of a setting.
#[derive(Clone, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "readers of a configuration syntax map all of its types to these")]
pub enum Value {
    /// A text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// Another number.
    Float(f64),
    /// `true` or `false`.
    Flag(bool),
    /// A list.
    List(Vec<Setting>),
    /// A table.
    Table(BTreeMap<String, Setting>),
}

impl Value {
    fn type_name(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Integer(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Flag(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

impl PartialEq for Setting {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.type_name())
    }
}

/// The origin of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// A line of a configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// A configuration inside of an application's own settings, whose files and lines are unknown.
    Embedded {
        /// The key from the top of the configuration, such as `stores.uploads.root`.
        key: String,
    },
    /// An environment variable that is part of the configuration, or that the configuration names.
    Environment {
        /// The variable.
        variable: String,
    },
    /// The content of a file that the configuration names.
    SecretFile {
        /// The file.
        path: PathBuf,
    },
    /// The command line.
    CommandLine,
    /// The program itself.
    BuiltIn,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Embedded { key } => f.write_str(key),
            Self::Environment { variable } => write!(f, "environment variable {variable}"),
            Self::SecretFile { path } => write!(f, "file {}", path.display()),
            Self::CommandLine => f.write_str("command line"),
            Self::BuiltIn => f.write_str("built in"),
        }
    }
}

/// A backend's description of one of its keys, for checks, for documentation and to mask secrets.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Key {
    /// The name in the file.
    pub name: &'static str,
    /// The type of its value.
    pub kind: KeyKind,
    /// `true` if the key must be set.
    pub required: bool,
    /// The default of a key that is not set, as text for the documentation.
    pub default: Option<&'static str>,
    /// A short description for the documentation.
    pub help: &'static str,
    /// The known entries of a table. The value of any other entry is treated as a secret.
    pub entries: &'static [Key],
    /// The other key without which this one has no effect.
    pub needs: Option<&'static str>,
}

impl Key {
    /// Creates an optional key.
    pub const fn new(name: &'static str, kind: KeyKind, help: &'static str) -> Self {
        Self { name, kind, required: false, default: None, help, entries: &[], needs: None }
    }

    /// Makes the key required.
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Sets the default.
    pub const fn default(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    /// Sets the other key without which this one has no effect. A configuration with only this one is rejected.
    pub const fn needs(mut self, other: &'static str) -> Self {
        self.needs = Some(other);
        self
    }

    /// Returns the key of the entry `name` if the value of this key is a table, or `None` if the entry is unknown.
    /// Returns this key for other values.
    pub fn inside(&self, name: &str) -> Option<&Self> {
        match self.kind {
            KeyKind::Table => self.entries.iter().find(|entry| entry.name == name),
            // A part of any other value is as secret as the whole.
            _ => Some(self),
        }
    }

    /// Sets the known entries of a table.
    pub const fn entries(mut self, entries: &'static [Key]) -> Self {
        self.entries = entries;
        self
    }
}

/// The type of a key's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyKind {
    /// A text.
    Text,
    /// A text that must not be shown.
    Secret,
    /// A path. A relative path starts at the folder of the configuration file.
    Path,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Flag,
    /// A list of texts.
    List,
    /// A table of texts. They must not be shown, except for [known entries](Key::entries) that are not secrets.
    Table,
}

impl KeyKind {
    /// Returns the name for the documentation.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Secret => "secret",
            Self::Path => "path",
            Self::Integer => "whole number",
            Self::Flag => "true or false",
            Self::List => "list of texts",
            Self::Table => "table",
        }
    }
}

/// The entries of a table, each read together with its key. So the error of a field with its own deserializer also
/// states key and origin.
struct Entries<'a> {
    remaining: btree_map::Iter<'a, String, Setting>,
    value: Option<Named<'a>>,
}

impl<'a> Entries<'a> {
    fn of(table: &'a BTreeMap<String, Setting>) -> Self {
        Self { remaining: table.iter(), value: None }
    }
}

impl<'a> MapAccess<'a> for Entries<'a> {
    type Error = ValueError;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, ValueError> {
        let Some((key, setting)) = self.remaining.next() else { return Ok(None) };
        self.value = Some(Named { key, setting });
        seed.deserialize(key.as_str().into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, ValueError> {
        let named = self.value.take().ok_or_else(|| ValueError::new("a value was requested before its key"))?;
        seed.deserialize(named).map_err(|error| named.with_origin(error))
    }
}

/// A setting with its key, for error messages that state both.
#[derive(Clone, Copy)]
struct Named<'a> {
    key: &'a str,
    setting: &'a Setting,
}

/// An error of serde. Its message never contains the value.
#[derive(Debug)]
struct ValueError {
    message: String,
    /// `true` if the message names the origin of the value.
    has_origin: bool,
}

impl ValueError {
    fn new(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), has_origin: false }
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ValueError {}

impl de::Error for ValueError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message)
    }

    // serde's default messages repeat the value, which may be a secret.
    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(format_args!("expected {expected}"))
    }

    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(format_args!("expected {expected}"))
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format_args!("expected one of {}", expected.join(", ")))
    }
}

impl<'a> IntoDeserializer<'a, ValueError> for Named<'a> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'a> Named<'a> {
    /// Adds key and origin to `error`, unless a nested value has added its own.
    fn with_origin(&self, error: ValueError) -> ValueError {
        if error.has_origin {
            return error;
        }
        let Setting { value, origin } = self.setting;
        let message = format!("{origin}: {:?} is {}: {error}", self.key, value.type_name());
        ValueError { message, has_origin: true }
    }

    /// Parses a number or flag that was written as a text, as on a command line or in the environment.
    fn parsed<T: std::str::FromStr>(&self) -> Option<T> {
        self.setting.as_str()?.parse().ok()
    }
}

macro_rules! lenient {
    ($($method:ident $visit:ident $type:ty;)*) => {$(
        fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, ValueError> {
            match self.parsed::<$type>() {
                Some(number) => visitor.$visit(number).map_err(|error| self.with_origin(error)),
                None => self.deserialize_any(visitor),
            }
        }
    )*};
}

impl<'a> de::Deserializer<'a> for Named<'a> {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, ValueError> {
        let named = |setting| Named { key: self.key, setting };
        match &self.setting.value {
            Value::Text(text) => visitor.visit_str(text),
            Value::Integer(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Flag(flag) => visitor.visit_bool(*flag),
            Value::List(list) => visitor.visit_seq(SeqDeserializer::new(list.iter().map(named))),
            Value::Table(table) => visitor.visit_map(Entries::of(table)),
        }
        .map_err(|error| self.with_origin(error))
    }

    lenient! {
        deserialize_bool visit_bool bool;
        deserialize_i8 visit_i8 i8;
        deserialize_i16 visit_i16 i16;
        deserialize_i32 visit_i32 i32;
        deserialize_i64 visit_i64 i64;
        deserialize_u8 visit_u8 u8;
        deserialize_u16 visit_u16 u16;
        deserialize_u32 visit_u32 u32;
        deserialize_u64 visit_u64 u64;
        deserialize_f64 visit_f64 f64;
    }

    fn deserialize_str<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, ValueError> {
        self.deserialize_string(visitor)
    }

    fn deserialize_string<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, ValueError> {
        // Readers of the environment and some formats guess types, so a key of digits arrives as a number.
        let text = match &self.setting.value {
            Value::Integer(number) => number.to_string(),
            Value::Flag(flag) => flag.to_string(),
            // Its text is lost: 1.1 may have been 1.10.
            Value::Float(_) => return Err(self.with_origin(ValueError::new("expected a text; write it in quotes"))),
            _ => return self.deserialize_any(visitor),
        };
        visitor.visit_string(text).map_err(|error| self.with_origin(error))
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(self, _: &'static str, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        match self.setting.as_str() {
            Some(text) => {
                let text: de::value::StrDeserializer<'_, ValueError> = text.into_deserializer();
                de::Deserializer::deserialize_enum(text, name, variants, visitor)
                    .map_err(|error| self.with_origin(error))
            }
            None => self.deserialize_any(visitor),
        }
    }

    serde::forward_to_deserialize_any! {
        <V: Visitor<'a>>
        i128 u128 f32 char bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use secrecy::{ExposeSecret, SecretString};
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Config {
        root: String,
        token: Option<SecretString>,
        #[serde(default)]
        parts: u32,
        #[serde(default)]
        mode: Mode,
        #[serde(default)]
        options: BTreeMap<String, String>,
    }

    #[derive(Debug, Deserialize, Default, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Mode {
        #[default]
        Fast,
        Safe,
    }

    const KEYS: &[Key] = &[
        Key::new("root", KeyKind::Text, "the folder").required(),
        Key::new("token", KeyKind::Secret, "the token"),
        Key::new("parts", KeyKind::Integer, "how many parts"),
        Key::new("mode", KeyKind::Text, "fast or safe"),
        Key::new("options", KeyKind::Table, "more").entries(&[Key::new("region", KeyKind::Text, "where")]),
    ];

    fn settings(values: &[(&str, Value)]) -> Settings {
        let mut settings = Settings::new();
        for (line, (key, value)) in values.iter().enumerate() {
            let origin = Origin::File { path: "f.toml".into(), line: line + 1 };
            settings.insert(*key, Setting::new(value.clone(), origin));
        }
        settings
    }

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    #[test]
    fn values_arrive_in_the_backends_own_struct() {
        let table = [("region".to_owned(), Setting::new(text("eu"), Origin::BuiltIn))].into();
        let config: Config = settings(&[
            ("root", text("files")),
            ("token", text("t")),
            ("parts", Value::Integer(4)),
            ("mode", text("safe")),
            ("options", Value::Table(table)),
        ])
        .read(KEYS)
        .unwrap();
        assert_eq!((config.root.as_str(), config.parts, config.mode), ("files", 4, Mode::Safe));
        assert_eq!(config.token.unwrap().expose_secret(), "t");
        assert_eq!(config.options["region"], "eu");
    }

    #[test]
    fn a_misspelled_key_names_the_most_similar_one() {
        let error = settings(&[("rooot", text("x"))]).read::<Config>(KEYS).unwrap_err();
        assert_eq!(error.to_string(), "f.toml:1: unknown key \"rooot\"; did you mean \"root\"?");
    }

    #[test]
    fn without_known_keys_nothing_is_suggested() {
        let error = settings(&[("ttl", text("3"))]).read::<BTreeMap<String, String>>(&[]).unwrap_err();
        assert_eq!(error.to_string(), "f.toml:1: unknown key \"ttl\"; none are defined");
    }

    #[test]
    fn a_number_may_be_written_as_a_text() {
        let config: Config = settings(&[("root", text("x")), ("parts", text("7"))]).read(KEYS).unwrap();
        assert_eq!(config.parts, 7);
    }

    #[test]
    fn a_text_may_be_written_as_a_number_or_a_flag() {
        let table = [("region".to_owned(), Setting::new(Value::Flag(true), Origin::BuiltIn))].into();
        let read = |root| {
            settings(&[
                ("root", root),
                ("token", Value::Integer(i64::MAX)),
                ("mode", text("fast")),
                ("options", Value::Table(table)),
            ])
            .read::<Config>(KEYS)
        };
        let config = read(Value::Integer(-7)).unwrap();
        assert_eq!((config.root.as_str(), config.options["region"].as_str()), ("-7", "true"));
        assert_eq!(config.token.unwrap().expose_secret(), "9223372036854775807");
    }

    #[test]
    fn a_number_with_a_fraction_is_no_text() {
        let error = settings(&[("root", Value::Float(1.1))]).read::<Config>(KEYS).unwrap_err();
        assert_eq!(error.to_string(), "f.toml:1: \"root\" is a number: expected a text; write it in quotes");
    }

    #[test]
    fn the_error_of_a_nested_value_names_only_its_own_origin() {
        let variable = Origin::Environment { variable: "REGION".into() };
        let table = [("region".to_owned(), Setting::new(Value::List(Vec::new()), variable))].into();
        let error = settings(&[("root", text("x")), ("options", Value::Table(table))]).read::<Config>(KEYS);
        assert_eq!(
            error.unwrap_err().to_string(),
            "environment variable REGION: \"region\" is a list: expected a string"
        );
    }

    #[test]
    fn a_value_of_the_wrong_type_is_named_but_not_shown() {
        let error = settings(&[("root", text("x")), ("parts", text("hunter2"))]).read::<Config>(KEYS).unwrap_err();
        assert_eq!(error.to_string(), "f.toml:2: \"parts\" is a text: expected u32");
        let error = settings(&[("root", text("x")), ("mode", text("hunter2"))]).read::<Config>(KEYS).unwrap_err();
        assert!(!error.to_string().contains("hunter2") && error.to_string().contains("fast, safe"), "{error}");
    }

    #[test]
    fn a_key_that_has_an_effect_only_with_another_is_rejected_without_it() {
        const KEYS: &[Key] = &[
            Key::new("mode", KeyKind::Text, "fast or safe").needs("token"),
            Key::new("token", KeyKind::Secret, "the token"),
        ];
        let read = |values: &[(&str, Value)]| settings(values).read::<BTreeMap<String, String>>(KEYS);
        let error = read(&[("mode", text("safe"))]).unwrap_err();
        assert_eq!(error.to_string(), "f.toml:1: \"mode\" needs \"token\", which is missing; set both, or neither");
        assert!(read(&[("mode", text("safe")), ("token", text("t"))]).is_ok());
        assert!(read(&[("token", text("t"))]).is_ok());
    }

    #[test]
    fn an_empty_or_blank_secret_is_rejected_with_its_origin() {
        for blank in ["", " ", "\t\n", "\u{a0}"] {
            let error = settings(&[("root", text("")), ("token", text(blank))]).read::<Config>(KEYS).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Config);
            assert_eq!(error.to_string(), "f.toml:2: the secret \"token\" is empty; give it a value, or leave it out");
        }
        let table = [("password".to_owned(), Setting::new(text(" "), Origin::CommandLine))].into();
        let error =
            settings(&[("root", text("x")), ("options", Value::Table(table))]).read::<Config>(KEYS).unwrap_err();
        assert!(error.to_string().starts_with("command line: the secret \"options.password\" is empty"), "{error}");
    }

    #[test]
    fn only_known_entries_of_a_table_may_be_shown() {
        let table = ["region", "sekret"].map(|name| (name.to_owned(), Setting::new(text("x"), Origin::BuiltIn)));
        let settings = settings(&[
            ("root", text("x")),
            ("token", text("x")),
            ("tokken", text("x")),
            ("mode", Value::List(vec![Setting::new(text("x"), Origin::BuiltIn)])),
            ("options", Value::Table(table.into())),
        ]);
        let seen: Vec<(String, bool)> = settings.leaves(KEYS).into_iter().map(|leaf| (leaf.key, leaf.secret)).collect();
        let expected = [
            ("mode[0]", false),
            ("options.region", false),
            ("options.sekret", true),
            ("root", false),
            ("token", true),
            ("tokken", true),
        ];
        assert_eq!(seen, expected.map(|(key, secret)| (key.to_owned(), secret)));
    }

    #[test]
    fn debug_shows_no_value() {
        assert!(!format!("{:?}", settings(&[("token", text("hunter2"))])).contains("hunter2"));
    }
}
