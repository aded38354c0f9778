//! [`Variables`]: the environment variables that are part of the configuration.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::PathBuf;

use filestore_core::{Error, Origin, Result, Setting, Value, suggestion};

const PREFIX: &str = "FILESTORE_STORES__";

/// The environment variables of filestore.
#[derive(Default)]
pub(crate) struct Variables {
    /// The configuration file, from `FILESTORE_CONFIG`.
    pub config: Option<PathBuf>,
    /// The name of the default store, from `FILESTORE_DEFAULT`.
    default: Option<String>,
    /// The values of `FILESTORE_STORES__NAME__KEY`. In their order, a key precedes those inside of it.
    stores: BTreeMap<String, Variable>,
}

/// A variable `FILESTORE_STORES__NAME__KEY`.
struct Variable {
    /// The name of the store, in lower case.
    store: String,
    /// The key, and the keys inside of it.
    keys: Vec<String>,
    value: String,
}

impl Variables {
    /// Selects the variables of filestore. Fails with *config* for a variable `FILESTORE_STORES__...` that names no store
    /// or no key, and for a value that is not UTF-8.
    pub(crate) fn read<N: AsRef<OsStr>, V: AsRef<OsStr>>(all: impl IntoIterator<Item = (N, V)>) -> Result<Self> {
        let mut variables = Self::default();
        for (name, value) in all {
            let (name, value) = (name.as_ref().to_string_lossy(), value.as_ref());
            let text = || value.to_str().map(str::to_owned).ok_or_else(|| error(&name, "the value is not UTF-8"));
            match name.as_ref() {
                "FILESTORE_CONFIG" if !value.is_empty() => variables.config = Some(value.into()),
                "FILESTORE_DEFAULT" if !value.is_empty() => variables.default = Some(text()?),
                _ => {
                    let Some(path) = name.strip_prefix(PREFIX) else { continue };
                    let mut path = path.split("__").map(str::to_ascii_lowercase);
                    let (store, keys) = (path.next().unwrap_or_default(), path.collect::<Vec<_>>());
                    if store.is_empty() || keys.is_empty() || keys.iter().any(String::is_empty) {
                        let problem = format!(
                            "the name is incomplete; write it as {PREFIX}NAME__KEY, such as {PREFIX}UPLOADS__BACKEND"
                        );
                        return Err(error(&name, &problem));
                    }
                    variables.stores.insert(name.to_string(), Variable { store, keys, value: text()? });
                }
            }
        }
        Ok(variables)
    }

    /// Returns `true` if there are variables of stores.
    pub(crate) fn have_stores(&self) -> bool {
        !self.stores.is_empty()
    }

    /// Sets the values in `tree`, the top-level table of a configuration. They replace those of the same keys.
    ///
    /// Fails with *config* if a variable addresses two stores, or a store that is not declared.
    pub(crate) fn merge_into(&self, tree: &mut BTreeMap<String, Setting>) -> Result<()> {
        if let Some(default) = &self.default {
            tree.insert("default".to_owned(), setting("FILESTORE_DEFAULT", Value::Text(default.clone())));
        }
        for (name, variable) in &self.stores {
            let store = store_of(tree, name, &variable.store)?;
            let keys = variable.keys.iter().map(String::as_str);
            let path: Vec<&str> = ["stores", &store].into_iter().chain(keys).collect();
            insert(tree, &path, setting(name, Value::Text(variable.value.clone())))?;
        }
        self.check_declared(tree)
    }

    /// Rejects variables of a store without a backend that no other source declares: the store has another name, and the
    /// values, such as the key of an encryption, would have no effect.
    fn check_declared(&self, tree: &BTreeMap<String, Setting>) -> Result<()> {
        let Some(Value::Table(stores)) = tree.get("stores").map(|stores| &stores.value) else { return Ok(()) };
        let is_undeclared = |store: &Setting| match &store.value {
            Value::Table(keys) => matches!(store.origin, Origin::Environment { .. }) && !keys.contains_key("backend"),
            _ => false,
        };
        let Some((undeclared, _)) = stores.iter().find(|(_, store)| is_undeclared(store)) else { return Ok(()) };
        let of_store = || self.stores.iter().filter(|(_, variable)| variable.store == *undeclared);
        let misspelled =
            of_store().find(|(_, variable)| suggestion(&variable.keys[0], ["backend"].into_iter()).starts_with("did"));
        let Some((name, _)) = misspelled.or_else(|| of_store().next()) else { return Ok(()) };
        let others = stores.iter().filter(|(_, store)| !is_undeclared(store)).map(|(name, _)| name.as_str());
        Err(error(
            name,
            &format!(
                "there is no store {undeclared:?} ({}); set {PREFIX}{}__BACKEND to declare it",
                suggestion(undeclared, others.collect::<Vec<_>>().into_iter()),
                undeclared.to_ascii_uppercase()
            ),
        ))
    }
}

/// Returns the name of the store that the variable `name` addresses as `store`: a declared one, or else `store`.
fn store_of(tree: &BTreeMap<String, Setting>, name: &str, store: &str) -> Result<String> {
    let Some(Value::Table(stores)) = tree.get("stores").map(|stores| &stores.value) else {
        return Ok(store.to_owned());
    };
    let in_variable = |store: &str| store.replace('-', "_").to_ascii_lowercase();
    let mut same = stores.keys().filter(|declared| in_variable(declared) == in_variable(store));
    match (same.next(), same.next()) {
        (Some(first), Some(second)) => Err(error(
            name,
            &format!("the stores {first:?} and {second:?} have the same name in variables; rename one of them"),
        )),
        (Some(declared), None) => Ok(declared.clone()),
        (None, _) => Ok(store.to_owned()),
    }
}

/// Sets the value at `path` below `table`.
fn insert(table: &mut BTreeMap<String, Setting>, path: &[&str], value: Setting) -> Result<()> {
    let (key, inner) = match path {
        [] => return Ok(()),
        [key] => {
            let replaced = table.insert((*key).to_owned(), value.clone());
            return match replaced.map(|replaced| replaced.origin) {
                Some(origin @ Origin::Environment { .. }) if origin != value.origin => {
                    Err(Error::config(format!("{}: {key:?} is also set by {origin}; remove one of them", value.origin)))
                }
                _ => Ok(()),
            };
        }
        [key, inner @ ..] => (key, inner),
    };
    let outer = || Setting::new(Value::Table(BTreeMap::new()), value.origin.clone());
    let outer = table.entry((*key).to_owned()).or_insert_with(outer);
    match &mut outer.value {
        Value::Table(table) => insert(table, inner, value),
        _ => Err(Error::config(format!("{}: {key:?} is not a table in {}", value.origin, outer.origin))),
    }
}

fn setting(variable: &str, value: Value) -> Setting {
    Setting::new(value, origin(variable))
}

fn origin(variable: &str) -> Origin {
    Origin::Environment { variable: variable.to_owned() }
}

fn error(variable: &str, problem: &str) -> Error {
    Error::config(format!("{}: {problem}", origin(variable)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    const FILE: &str = "[stores.my-store]\nbackend = \"fs\"\nroot = \"files\"\n\n[stores.keys]\nbackend = \"pubnub\"\n\
        user_id = \"a\"\npublish_key = \"p\"\nsubscribe_key = \"s\"\n";

    fn merged(file: &str, variables: &[(&str, &str)]) -> Result<Config> {
        Config::parse(file, "/etc/app/f.toml")?.with_environment(variables.iter().copied())
    }

    fn message(file: &str, variables: &[(&str, &str)]) -> String {
        merged(file, variables).unwrap_err().to_string()
    }

    /// Returns the resolved text of `key` of the store `name`.
    fn text(config: &Config, name: &str, key: &str) -> String {
        let resolved = config.store(name).unwrap().resolve(&crate::registry()).unwrap();
        resolved.settings.text(key).unwrap().to_owned()
    }

    #[test]
    fn variables_are_enough_without_a_file() {
        let config = merged(
            "",
            &[
                ("FILESTORE_DEFAULT", "uploads"),
                ("FILESTORE_STORES__SCRATCH__BACKEND", "memory"),
                ("FILESTORE_STORES__UPLOADS__BACKEND", "pubnub"),
                ("FILESTORE_STORES__UPLOADS__PUBLISH_KEY", "pub-c-1"),
                ("FILESTORE_STORES__UPLOADS__SUBSCRIBE_KEY", "sub-c-1"),
                ("FILESTORE_STORES__UPLOADS__USER_ID", "17"),
                ("FILESTORE_STORES__UPLOADS__MAX_RETRIES", "5"),
                ("FILESTORE_STORES__UPLOADS__UPLOAD__SHOULD_STORE", "false"),
                ("PATH", "/bin"),
            ],
        );
        let stores = config.unwrap().open(&crate::registry()).unwrap();
        assert_eq!(stores.failed().count(), 0);
        assert_eq!(stores.iter().map(|store| store.name()).collect::<Vec<_>>(), ["scratch", "uploads"]);
        assert_eq!(stores.default_store().unwrap().name(), "uploads");
    }

    #[test]
    fn a_variable_overrides_one_key_of_the_file() {
        let config = merged(FILE, &[("FILESTORE_STORES__KEYS__USER_ID", "b")]).unwrap();
        assert_eq!(
            (text(&config, "keys", "user_id").as_str(), text(&config, "keys", "publish_key").as_str()),
            ("b", "p")
        );
        let origin = config.store("keys").unwrap().settings.get("user_id").unwrap().origin.to_string();
        assert_eq!(origin, "environment variable FILESTORE_STORES__KEYS__USER_ID");
        let names: Vec<&str> = config.stores().iter().map(|store| store.name.as_str()).collect();
        assert_eq!(names, ["my-store", "keys"]);
    }

    #[test]
    fn the_name_of_a_store_is_compared_without_case_and_a_hyphen_is_an_underscore() {
        for variable in ["FILESTORE_STORES__MY_STORE__ROOT", "FILESTORE_STORES__My_Store__root"] {
            let config = merged(FILE, &[(variable, "/srv")]).unwrap();
            assert_eq!((text(&config, "my-store", "root").as_str(), config.stores().len()), ("/srv", 2));
        }
    }

    #[test]
    fn a_relative_path_in_a_variable_starts_at_the_working_directory() {
        assert_eq!(text(&merged(FILE, &[]).unwrap(), "my-store", "root"), "/etc/app/files");
        let config = merged(FILE, &[("FILESTORE_STORES__MY_STORE__ROOT", "files")]).unwrap();
        assert_eq!(text(&config, "my-store", "root"), "files");
        let config = merged(FILE, &[("FILESTORE_STORES__KEYS__USER_ID", "env:CARGO_PKG_NAME")]).unwrap();
        assert_eq!(text(&config, "keys", "user_id"), "filestore");
    }

    #[test]
    fn tables_are_reached_by_their_keys_and_lists_are_written_as_in_toml() {
        let file = "[stores.archive]\nbackend = \"x\"\noptions = { bucket = \"a\", region = \"r\" }\n";
        let variables = [
            ("FILESTORE_STORES__ARCHIVE__OPTIONS__BUCKET", "b"),
            ("FILESTORE_STORES__ARCHIVE__ALIASES", r#"["c", "d"]"#),
        ];
        let config = merged(file, &variables).unwrap();
        let store = config.store("d").unwrap();
        assert_eq!((store.name.as_str(), store.aliases.as_slice()), ("archive", &["c".to_owned(), "d".to_owned()][..]));
        let Value::Table(options) = &store.settings.get("options").unwrap().value else { panic!("not a table") };
        assert_eq!((options["bucket"].as_str(), options["region"].as_str()), (Some("b"), Some("r")));
        let error = message(file, &[("FILESTORE_STORES__ARCHIVE__BACKEND__NAME", "b")]);
        assert_eq!(
            error,
            "environment variable FILESTORE_STORES__ARCHIVE__BACKEND__NAME: \"backend\" is not a table in /etc/app/f.toml:2"
        );
    }

    #[test]
    fn two_stores_that_a_variable_cannot_tell_apart_are_named() {
        for names in [["my-store", "my_store"], ["A", "a"]] {
            let file = names.map(|name| format!("[stores.{name}]\nbackend = \"memory\"\n")).concat();
            assert!(merged(&file, &[]).is_ok());
            let variable = format!("FILESTORE_STORES__{}__BACKEND", names[1].to_uppercase());
            let error = message(&file, &[(variable.as_str(), "fs")]);
            let expected = format!(
                "environment variable {variable}: the stores {:?} and {:?} have the same name in variables; rename one of \
                 them",
                names[0], names[1]
            );
            assert_eq!(error, expected);
        }
    }

    #[test]
    fn two_variables_of_the_same_key_are_named() {
        let error = message(FILE, &[("FILESTORE_STORES__KEYS__TOKEN", "a"), ("FILESTORE_STORES__keys__TOKEN", "b")]);
        assert_eq!(
            error,
            "environment variable FILESTORE_STORES__keys__TOKEN: \"token\" is also set by environment variable \
             FILESTORE_STORES__KEYS__TOKEN; remove one of them"
        );
    }

    #[test]
    fn an_incomplete_variable_is_an_error_that_shows_a_complete_one() {
        for name in ["", "UPLOADS", "UPLOADS__", "__BACKEND", "UPLOADS__OPTIONS____REGION"] {
            let error = message("", &[(format!("FILESTORE_STORES__{name}").as_str(), "hunter2")]);
            let expected = "the name is incomplete; write it as FILESTORE_STORES__NAME__KEY, such as \
                 FILESTORE_STORES__UPLOADS__BACKEND";
            assert_eq!(error, format!("environment variable FILESTORE_STORES__{name}: {expected}"));
        }
    }

    #[test]
    fn the_error_of_a_misspelled_key_names_the_variable() {
        let config = merged(FILE, &[("FILESTORE_STORES__MY_STORE__ROOOT", "x")]).unwrap();
        let error = config.open(&crate::registry()).unwrap().get("my-store").unwrap_err();
        assert_eq!(
            error.to_string(),
            "my-store: environment variable FILESTORE_STORES__MY_STORE__ROOOT: the backend \"fs\" has no key \"rooot\"; \
             did you mean \"root\"?"
        );
    }

    #[test]
    fn a_value_of_the_wrong_type_names_the_variable_and_does_not_show_the_value() {
        let config = merged(FILE, &[("FILESTORE_STORES__KEYS__MAX_RETRIES", "hunter2")]).unwrap();
        let error = config.open(&crate::registry()).unwrap().get("keys").unwrap_err();
        let expected =
            "environment variable FILESTORE_STORES__KEYS__MAX_RETRIES: \"max_retries\" is a text: expected u32";
        assert_eq!(error.message(), expected);
    }

    #[test]
    fn a_key_of_a_store_that_does_not_exist_is_an_error() {
        // A misspelled name would otherwise drop the key of an encryption.
        assert_eq!(
            message(FILE, &[("FILESTORE_STORES__KEYSS__CIPHER_KEY", "hunter2")]),
            "environment variable FILESTORE_STORES__KEYSS__CIPHER_KEY: there is no store \"keyss\" (did you mean \
             \"keys\"?); set FILESTORE_STORES__KEYSS__BACKEND to declare it"
        );
        assert_eq!(
            message("", &[("FILESTORE_STORES__A__API_KEY", "k"), ("FILESTORE_STORES__A__BAKEND", "fileio")]),
            "environment variable FILESTORE_STORES__A__BAKEND: there is no store \"a\" (none are defined); set \
             FILESTORE_STORES__A__BACKEND to declare it"
        );
    }

    #[test]
    fn an_unknown_default_names_its_variable() {
        let error = message(FILE, &[("FILESTORE_DEFAULT", "my-stor")]);
        assert_eq!(
            error,
            "environment variable FILESTORE_DEFAULT: there is no store \"my-stor\"; did you mean \"my-store\"?"
        );
        assert_eq!(merged(FILE, &[("FILESTORE_DEFAULT", "")]).unwrap().default_name(), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_value_that_is_not_utf_8_is_named() {
        use std::os::unix::ffi::OsStrExt;
        let value = OsStr::from_bytes(b"\xff");
        let read = |name: &str| Variables::read([(OsStr::new(name), value)]).map(drop);
        let error = read("FILESTORE_STORES__A__ROOT").unwrap_err().to_string();
        assert_eq!(error, "environment variable FILESTORE_STORES__A__ROOT: the value is not UTF-8");
        assert!(read("HOME").is_ok());
    }
}
