//! [`Settings`]: the values of one store's configuration, whatever syntax they were written in.
//!
//! A configuration reader fills it with [`Setting`]s that remember where they came from; a backend
//! reads its own serde struct out of it with [`Settings::read`], which rejects unknown keys by
//! naming the nearest known one. Values may be secrets, so nothing here prints them.

use std::collections::{BTreeMap, btree_map};
use std::fmt;
use std::path::PathBuf;

use serde::de::value::{MapAccessDeserializer, SeqDeserializer};
use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, Visitor};

use crate::{Error, Result};

/// The settings of one store: key to value.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    values: BTreeMap<String, Setting>,
}

impl Settings {
    /// No settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `key`.
    pub fn insert(&mut self, key: impl Into<String>, setting: Setting) {
        self.values.insert(key.into(), setting);
    }

    /// Takes `key` out.
    pub fn remove(&mut self, key: &str) -> Option<Setting> {
        self.values.remove(key)
    }

    /// The setting of `key`.
    pub fn get(&self, key: &str) -> Option<&Setting> {
        self.values.get(key)
    }

    /// All of them, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.values.iter().map(|(key, setting)| (key.as_str(), setting))
    }

    /// Returns the values inside of all lists and tables, in the order of their keys. Secret are those of
    /// secret keys, and those of unknown keys, because nobody knows what a misspelt key was meant to hold.
    pub fn leaves(&self, keys: &[Key]) -> Vec<Leaf<'_>> {
        let mut leaves = Vec::new();
        for (name, setting) in self.iter() {
            setting.collect(name.to_owned(), keys.iter().find(|key| key.name == name), &mut leaves);
        }
        leaves
    }

    /// Reads them into `T`, whose keys are `keys`.
    ///
    /// Fails with *config* for an unknown key (naming the nearest of `keys`), a missing required one, a
    /// secret that is empty or blank, and a value of the wrong type. Where the value came from is in the
    /// message, the value is not.
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
        for leaf in self.leaves(keys).iter().filter(|leaf| leaf.secret) {
            let Some(secret) = leaf.setting.as_str() else { continue };
            check_secret(&leaf.key, secret)
                .map_err(|error| Error::config(format!("{}: {}", leaf.setting.origin, error.message())))?;
        }
        let entries = MapAccessDeserializer::new(Entries::of(&self.values));
        T::deserialize(entries).map_err(|Wrong(message)| Error::config(message))
    }
}

/// Fails with *invalid input* if `secret`, the value of `key`, is empty or nothing but white space.
///
/// An empty password protects nothing, and an empty key is one that everybody knows. It usually comes from a
/// variable or a file that was meant to hold something. [`Settings::read`] checks what a configuration holds;
/// a backend checks what code hands to it.
pub fn check_secret(key: &str, secret: &str) -> Result<()> {
    if secret.trim().is_empty() {
        return Err(Error::invalid(format!("the secret {key:?} is empty; give it a value, or leave it out")));
    }
    Ok(())
}

/// For an unknown `name`: `did you mean "root"?`, or the list of what is `known`.
pub fn suggestion<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let nearest = known
        .clone()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .min()
        .filter(|(distance, candidate)| *distance <= 1 + name.len().max(candidate.len()) / 3);
    match nearest {
        Some((_, candidate)) => format!("did you mean {candidate:?}?"),
        None => match known.collect::<Vec<_>>().as_slice() {
            [] => "there are none here".to_owned(),
            all => format!("known are {}", all.join(", ")),
        },
    }
}

/// A value and where it came from.
#[derive(Clone)]
#[non_exhaustive]
pub struct Setting {
    /// The value.
    pub value: Value,
    /// Where it came from.
    pub origin: Origin,
}

impl Setting {
    /// `value` from `origin`.
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

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl fmt::Debug for Setting {
    /// The type and the origin; the value may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {}", self.value.type_name(), self.origin)
    }
}

/// One value of [`Settings`], see [`Settings::leaves`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Leaf<'a> {
    /// Its key, such as `root`, `aliases[0]` or `options.bucket`.
    pub key: String,
    /// The value.
    pub setting: &'a Setting,
    /// Whether nobody may see it.
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

/// Where a value came from.
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
    /// An environment variable that the configuration names.
    Environment {
        /// The variable.
        variable: String,
    },
    /// A file that the configuration names, read whole.
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
            Self::Environment { variable } => write!(f, "environment variable {variable}"),
            Self::SecretFile { path } => write!(f, "file {}", path.display()),
            Self::CommandLine => f.write_str("command line"),
            Self::BuiltIn => f.write_str("built in"),
        }
    }
}

/// What a backend says of one of its keys: the source of checks, documentation and masking.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Key {
    /// The name in the file.
    pub name: &'static str,
    /// The type of its value.
    pub kind: KeyKind,
    /// Whether it must be there.
    pub required: bool,
    /// What holds when it is not there.
    pub default: Option<&'static str>,
    /// One sentence.
    pub help: &'static str,
    /// Of a table: its entries. The value of any other entry is treated as a secret.
    pub entries: &'static [Key],
}

impl Key {
    /// An optional key.
    pub const fn new(name: &'static str, kind: KeyKind, help: &'static str) -> Self {
        Self { name, kind, required: false, default: None, help, entries: &[] }
    }

    /// The same key, required.
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// The same key with what holds when it is not there.
    pub const fn default(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    /// The key of the entry `name` inside of a table that is the value of this one.
    pub fn inside(&self, name: &str) -> Option<&Self> {
        match self.kind {
            KeyKind::Table => self.entries.iter().find(|entry| entry.name == name),
            // What is inside of any other value is as secret as the whole.
            _ => Some(self),
        }
    }

    /// The same key, a table with these entries.
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
    /// A text that nobody may see.
    Secret,
    /// A path; a relative one starts at the folder of the configuration file.
    Path,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Flag,
    /// A list of texts.
    List,
    /// A table of texts. Nobody may see them, except for those of its [entries](Key::entries) that are not
    /// secrets.
    Table,
}

impl KeyKind {
    /// The name in the documentation.
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

/// The settings of a table, each read under its name: a field that reads its value in a way of its own
/// reports what is wrong with key and origin, too.
struct Entries<'a> {
    left: btree_map::Iter<'a, String, Setting>,
    value: Option<Named<'a>>,
}

impl<'a> Entries<'a> {
    fn of(table: &'a BTreeMap<String, Setting>) -> Self {
        Self { left: table.iter(), value: None }
    }
}

impl<'a> MapAccess<'a> for Entries<'a> {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, Wrong> {
        let Some((key, setting)) = self.left.next() else { return Ok(None) };
        self.value = Some(Named { key, setting });
        seed.deserialize(key.as_str().into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, Wrong> {
        let named = self.value.take().ok_or_else(|| Wrong("a value was asked for before its key".to_owned()))?;
        seed.deserialize(named).map_err(|error| named.wrong(error))
    }
}

/// A setting with its key, so that a wrong type can be reported with both.
#[derive(Clone, Copy)]
struct Named<'a> {
    key: &'a str,
    setting: &'a Setting,
}

/// What serde reports; never holds the value itself.
#[derive(Debug)]
struct Wrong(String);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}

impl de::Error for Wrong {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }

    // serde's own texts repeat the value, which may be a secret.
    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self(format!("expected {expected}"))
    }

    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self(format!("expected {expected}"))
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self(format!("expected one of {}", expected.join(", ")))
    }
}

impl<'a> IntoDeserializer<'a, Wrong> for Named<'a> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'a> Named<'a> {
    fn wrong(&self, Wrong(message): Wrong) -> Wrong {
        if message.starts_with(&self.setting.origin.to_string()) {
            return Wrong(message); // from further inside
        }
        Wrong(format!("{}: {:?} is {}: {message}", self.setting.origin, self.key, self.setting.value.type_name()))
    }

    /// A number or flag that was written as a text, as on a command line or in the environment.
    fn parsed<T: std::str::FromStr>(&self) -> Option<T> {
        self.setting.as_str()?.parse().ok()
    }
}

macro_rules! lenient {
    ($($method:ident $visit:ident $type:ty;)*) => {$(
        fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
            match self.parsed::<$type>() {
                Some(number) => visitor.$visit(number).map_err(|error| self.wrong(error)),
                None => self.deserialize_any(visitor),
            }
        }
    )*};
}

impl<'a> de::Deserializer<'a> for Named<'a> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let named = |setting| Named { key: self.key, setting };
        match &self.setting.value {
            Value::Text(text) => visitor.visit_str(text),
            Value::Integer(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Flag(flag) => visitor.visit_bool(*flag),
            Value::List(list) => visitor.visit_seq(SeqDeserializer::new(list.iter().map(named))),
            Value::Table(table) => visitor.visit_map(Entries::of(table)),
        }
        .map_err(|error| self.wrong(error))
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

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(self, _: &'static str, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        match self.setting.as_str() {
            Some(text) => {
                let text: de::value::StrDeserializer<'_, Wrong> = text.into_deserializer();
                de::Deserializer::deserialize_enum(text, name, variants, visitor).map_err(|error| self.wrong(error))
            }
            None => self.deserialize_any(visitor),
        }
    }

    serde::forward_to_deserialize_any! {
        <V: Visitor<'a>>
        i128 u128 f32 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
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
    fn a_misspelt_key_names_the_nearest() {
        let error = settings(&[("rooot", text("x"))]).read::<Config>(KEYS).unwrap_err();
        assert_eq!(error.to_string(), "f.toml:1: unknown key \"rooot\"; did you mean \"root\"?");
    }

    #[test]
    fn where_nothing_is_known_nothing_is_suggested() {
        let error = settings(&[("ttl", text("3"))]).read::<BTreeMap<String, String>>(&[]).unwrap_err();
        assert_eq!(error.to_string(), "f.toml:1: unknown key \"ttl\"; there are none here");
    }

    #[test]
    fn a_number_may_be_written_as_a_text() {
        let config: Config = settings(&[("root", text("x")), ("parts", text("7"))]).read(KEYS).unwrap();
        assert_eq!(config.parts, 7);
    }

    #[test]
    fn a_value_of_the_wrong_type_is_named_but_not_shown() {
        let error = settings(&[("root", text("x")), ("parts", text("hunter2"))]).read::<Config>(KEYS).unwrap_err();
        assert_eq!(error.to_string(), "f.toml:2: \"parts\" is a text: expected u32");
        let error = settings(&[("root", text("x")), ("mode", text("hunter2"))]).read::<Config>(KEYS).unwrap_err();
        assert!(!error.to_string().contains("hunter2") && error.to_string().contains("fast, safe"), "{error}");
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
    fn of_a_table_only_the_known_entries_may_be_seen() {
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
