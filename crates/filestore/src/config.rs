//! [`Config`] and [`StoreConfig`]: a configuration and its stores.
//!
//! Three readers fill one tree of settings: `syntax` from TOML, `embedded` from an application's own settings, and
//! `environment` from variables.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::{env, fs};

use filestore_core::{
    Backend, Effect, Error, ErrorKind, FailedStore, FileRef, Key, KeyKind, Origin, Registry, Result, Setting, Settings,
    Store, StoreSettings, Stores, Value, suggestion,
};

use crate::environment::Variables;
use crate::{locate, resolve, syntax};

/// The keys that a store of any backend has.
const COMMON: &[Key] = &[
    Key::new("backend", KeyKind::Text, "the name of the backend").required(),
    Key::new("aliases", KeyKind::List, "former names of the store; references with them are still valid"),
    Key::new(
        "upload",
        KeyKind::Table,
        "options of the backend for every upload; those of the upload itself have priority",
    ),
];

/// A configuration: of a file, of environment variables, or inside of an application's own settings.
///
/// The secrets of a store are read only when the store is opened. A missing secret or a value of the wrong type fails
/// only the store that has it.
///
/// An application that reads its own settings with serde has the stores inside of them. Numbers and flags may be texts,
/// and texts may be numbers or flags, because environment variables have no types. Relative paths start at the working
/// directory.
///
/// ```
/// #[derive(serde::Deserialize)]
/// struct Settings {
///     port: u16,
///     files: filestore::Config, // or #[serde(flatten)], for [stores] at the top of the settings
/// }
///
/// let text = r#"{ "port": 80, "files": { "stores": { "uploads": { "backend": "memory" } } } }"#;
/// let settings: Settings = serde_json::from_str(text).unwrap();
/// let stores = settings.files.open(&filestore::registry())?;
/// assert_eq!(stores.default_store()?.name(), "uploads");
/// # Ok::<(), filestore::Error>(())
/// ```
///
/// The default has no stores.
#[derive(Debug, Clone, Default)]
pub struct Config {
    source: Option<PathBuf>,
    /// The whole configuration, of which the fields below are the content.
    tree: BTreeMap<String, Setting>,
    default: Option<Setting>,
    stores: Vec<StoreConfig>,
}

/// One store of a [`Config`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoreConfig {
    /// The name.
    pub name: String,
    /// The name of the backend.
    pub backend: Setting,
    /// Former names; none if they cannot be read.
    pub aliases: Vec<String>,
    /// The origin of the former names.
    pub aliases_origin: Option<Origin>,
    /// The keys of the backend, as written: `env:` and `file:` are not resolved.
    pub settings: Settings,
    /// Options of the backend for every upload.
    pub upload: Settings,
    /// The reason why the store cannot be used, if its table cannot be read.
    problem: Option<String>,
}

impl Config {
    /// Reads the file at `path`, and the environment variables `FILESTORE_DEFAULT` and `FILESTORE_STORES__NAME__KEY`,
    /// which override it.
    ///
    /// Fails with *config* if the file cannot be read, is not TOML, or has an unknown key at the top level, or if a
    /// variable is malformed. A store whose table is wrong fails when it is [resolved](StoreConfig::resolve).
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Self::read(path.as_ref(), &Variables::read(env::vars_os())?)
    }

    fn read(path: &Path, variables: &Variables) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(|error| {
            let message = format!("cannot read the configuration {}: {error}", path.display());
            Error::new(ErrorKind::Config, Effect::NotSent, message).with_source(error)
        })?;
        let mut tree = syntax::parse(&text, path)?;
        variables.merge_into(&mut tree)?;
        Self::from_tree(tree, Some(path.to_owned()))
    }

    /// Parses `text` as the content of the file at `path`. Environment variables do not override it. Fails as
    /// [`load`](Self::load) does for the content of a file.
    pub fn parse(text: &str, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::from_tree(syntax::parse(text, path)?, Some(path.to_owned()))
    }

    /// Reads the first of these: the file `explicit`, the file that `FILESTORE_CONFIG` names, `./filestore.toml`, or
    /// `filestore/filestore.toml` in the platform's configuration folder. Environment variables override it, as in
    /// [`load`](Self::load), and are enough without a file. Without any of them, returns the
    /// [built-in](Self::built_in) configuration. Fails as [`load`](Self::load) does.
    pub fn find(explicit: Option<&Path>) -> Result<Self> {
        Self::find_with(explicit, &Variables::read(env::vars_os())?)
    }

    fn find_with(explicit: Option<&Path>, variables: &Variables) -> Result<Self> {
        if let Some(path) = locate::configuration(explicit.or(variables.config.as_deref())) {
            return Self::read(&path, variables);
        }
        let mut tree = if variables.have_stores() { BTreeMap::new() } else { built_in()? };
        variables.merge_into(&mut tree)?;
        Self::from_tree(tree, None)
    }

    /// Returns a configuration of one store, `local`, whose files are in the platform's data folder. Fails with *config* if
    /// the platform names no such folder.
    pub fn built_in() -> Result<Self> {
        Self::from_tree(built_in()?, None)
    }

    /// Overrides the configuration with `variables`, such as those of [`std::env::vars_os`]: `FILESTORE_DEFAULT` and
    /// `FILESTORE_STORES__NAME__KEY`, as in [`load`](Self::load). Other variables are ignored.
    ///
    /// Fails with *config* if a variable is malformed, addresses two stores, or sets a key of a store that does not
    /// exist. The error names the variable.
    ///
    /// ```
    /// let config = filestore::Config::default().with_environment([("FILESTORE_STORES__UPLOADS__BACKEND", "memory")])?;
    /// assert_eq!(config.default_name(), Some("uploads"));
    /// # Ok::<(), filestore::Error>(())
    /// ```
    pub fn with_environment<N: AsRef<OsStr>, V: AsRef<OsStr>>(
        mut self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self> {
        Variables::read(variables)?.merge_into(&mut self.tree)?;
        Self::from_tree(self.tree, self.source)
    }

    /// Reads the configuration from `tree`, its top-level table.
    pub(crate) fn from_tree(tree: BTreeMap<String, Setting>, source: Option<PathBuf>) -> Result<Self> {
        let mut top = tree.clone();
        let default = match top.remove("default") {
            Some(setting) if setting.as_str().is_none() => {
                return Err(Error::config(format!(
                    "{}: \"default\" is not a text; set it to the name of a store",
                    setting.origin
                )));
            }
            other => other,
        };
        let mut stores: Vec<(String, Setting)> = match top.remove("stores") {
            Some(Setting { value: Value::Table(stores), .. }) => stores.into_iter().collect(),
            Some(Setting { origin, .. }) => {
                return Err(Error::config(format!("{origin}: \"stores\" is not a table; write [stores.NAME]")));
            }
            None => Vec::new(),
        };
        if let Some((key, setting)) = top.iter().next() {
            let known = ["default", "stores"].into_iter();
            let origin = &setting.origin;
            return Err(Error::config(format!("{origin}: unknown key {key:?}; {}", suggestion(key, known))));
        }
        // In the order of the file.
        stores.sort_by_key(|(_, setting)| line_of(&setting.origin));
        let stores = stores.into_iter().map(|(name, setting)| StoreConfig::read(name, setting)).collect();
        let config = Self { source, tree, default, stores };
        config.check_names()?;
        if let Some(default) = &config.default {
            config
                .store(default.as_str().unwrap_or_default())
                .map_err(|error| Error::config(format!("{}: {}", default.origin, error.message())))?;
        }
        Ok(config)
    }

    /// Returns the path of the configuration file, if there is one.
    pub fn source(&self) -> Option<&Path> {
        self.source.as_deref()
    }

    /// Returns the stores, in the order of the file and then of their names.
    pub fn stores(&self) -> &[StoreConfig] {
        &self.stores
    }

    /// Returns the key `default`, if it is set.
    pub fn default_setting(&self) -> Option<&Setting> {
        self.default.as_ref()
    }

    /// Returns the name of the default store, or of the only store.
    pub fn default_name(&self) -> Option<&str> {
        match (&self.default, self.stores.as_slice()) {
            (Some(default), _) => default.as_str(),
            (None, [only]) => Some(&only.name),
            (None, _) => None,
        }
    }

    /// Returns the store with the name or former name `name`. Fails with *config* if there is none; the error suggests
    /// the nearest name.
    pub fn store(&self, name: &str) -> Result<&StoreConfig> {
        let named = |store: &&StoreConfig| store.name == name || store.aliases.iter().any(|alias| alias == name);
        self.stores.iter().find(named).ok_or_else(|| {
            if self.stores.is_empty() {
                return Error::config("the configuration declares no stores; add a table [stores.NAME]");
            }
            let known = self.stores.iter().map(|store| store.name.as_str());
            Error::config(format!("there is no store {name:?}; {}", suggestion(name, known)))
        })
    }

    /// Returns the store that `reference` belongs to. Fails with *invalid input* if there is none; the error suggests
    /// the nearest name.
    pub fn of(&self, reference: &FileRef) -> Result<&StoreConfig> {
        let problem =
            |error: Error| Error::invalid(format!("the store of the reference is unknown: {}", error.message()));
        self.store(reference.store()).map_err(problem)
    }

    /// Opens all stores. Sends nothing. A store that cannot be opened, for example because a secret is missing, is an
    /// error where it is used; see [`Stores::failed`]. Fails with *config* if two stores share a name.
    pub fn open(&self, registry: &Registry) -> Result<Stores> {
        let open = |store: &StoreConfig| {
            let failed = |error| FailedStore::new(&store.name, store.aliases.clone(), error);
            store.open(registry).map_err(failed)
        };
        Stores::with_failed(self.stores.iter().map(open), self.default.as_ref().and_then(Setting::as_str))
    }

    /// Rejects a name of two stores, which could send files to the wrong one.
    fn check_names(&self) -> Result<()> {
        let mut seen: Vec<&str> = Vec::new();
        for store in &self.stores {
            for name in std::iter::once(&store.name).chain(&store.aliases) {
                if seen.contains(&name.as_str()) {
                    let origin = store.aliases_origin.as_ref().unwrap_or(&store.backend.origin);
                    return Err(Error::config(format!(
                        "{origin}: two stores are called {name:?}; names and aliases must differ"
                    )));
                }
                seen.push(name);
            }
        }
        Ok(())
    }
}

impl StoreConfig {
    /// Reads the table of a store. A store whose table is wrong has no other effect than its name.
    fn read(name: String, Setting { value, origin, .. }: Setting) -> Self {
        let mut store = Self {
            name,
            backend: Setting::new(Value::Text(String::new()), origin.clone()),
            aliases: Vec::new(),
            aliases_origin: None,
            settings: Settings::new(),
            upload: Settings::new(),
            problem: None,
        };
        store.problem = match value {
            Value::Table(table) => store.read_table(table).err().map(|error| error.message().to_owned()),
            _ => Some(format!("{origin}: the store {:?} is not a table; write [stores.{0}]", store.name)),
        };
        store
    }

    fn read_table(&mut self, table: BTreeMap<String, Setting>) -> Result<()> {
        let (mut problem, has_backend) = (Ok(()), table.contains_key("backend"));
        for (key, setting) in table {
            let read = match key.as_str() {
                "backend" => {
                    let checked = literal_of("backend", &setting).map(drop);
                    self.backend = setting;
                    checked
                }
                "aliases" => {
                    self.aliases_origin = Some(setting.origin.clone());
                    list_of(setting).map(|aliases| self.aliases = aliases)
                }
                "upload" => table_of(setting).map(|upload| self.upload = upload),
                _ => {
                    self.settings.insert(key, setting);
                    Ok(())
                }
            };
            problem = problem.and(read);
        }
        problem?;
        if !has_backend {
            let nearest =
                self.settings.iter().find(|(key, _)| suggestion(key, ["backend"].into_iter()).starts_with("did"));
            let hint = nearest.map(|(key, _)| format!(" (is {key:?} a misspelling of it?)")).unwrap_or_default();
            return Err(Error::config(format!(
                "{}: the store {:?} has no key \"backend\"{hint}; add backend = \"NAME\"",
                self.backend.origin, self.name
            )));
        }
        Ok(())
    }

    /// Returns the name of the backend.
    pub fn backend_name(&self) -> &str {
        self.backend.as_str().unwrap_or_default()
    }

    /// Resolves `env:` and `file:`, and makes relative paths start at the folder of the configuration file.
    ///
    /// Fails with *config* for an unknown backend or key, a value of the wrong type, or a missing variable or file.
    pub fn resolve(&self, registry: &Registry) -> Result<StoreSettings> {
        let context = |error: Error| error.with_store(&self.name);
        if let Some(problem) = &self.problem {
            return Err(context(Error::config(problem)));
        }
        let backend = registry.backend(self.backend_name()).map_err(|error| {
            Error::config(format!("{}: {}", self.backend.origin, error.message())).with_store(&self.name)
        })?;
        self.check_keys(backend).map_err(context)?;
        let mut resolved = StoreSettings::new(&self.name, self.backend_name());
        resolved.aliases.clone_from(&self.aliases);
        resolved.settings = resolve(&self.settings, backend.keys()).map_err(context)?;
        resolved.upload = resolve(&self.upload, backend.option_keys()).map_err(context)?;
        Ok(resolved)
    }

    /// Returns the reference of the file that `text` names in the service's own way, such as a link of this store.
    /// Sends nothing. Fails as [`resolve`](Self::resolve) does.
    pub fn reference_of(&self, registry: &Registry, text: &str) -> Result<Option<FileRef>> {
        let settings = self.resolve(registry)?.settings;
        let found = registry.backend(self.backend_name())?.reference_of(&settings, text);
        Ok(found.map(|reference| reference.stamped(&self.name.as_str().into())))
    }

    /// Opens the store. Sends nothing. Fails as [`resolve`](Self::resolve) does, and with *config* for a value that the
    /// backend rejects.
    pub fn open(&self, registry: &Registry) -> Result<Store> {
        registry.open(&self.resolve(registry)?)
    }

    fn check_keys(&self, backend: &dyn Backend) -> Result<()> {
        let known = || backend.keys().iter().chain(COMMON).map(|key| key.name);
        match self.settings.iter().find(|(key, _)| !known().any(|name| name == *key)) {
            Some((key, setting)) => Err(Error::config(format!(
                "{}: the backend {:?} has no key {key:?}; {}",
                setting.origin,
                backend.name(),
                suggestion(key, known().collect::<Vec<_>>().into_iter())
            ))),
            None => Ok(()),
        }
    }
}

/// Returns the text of a key that is literal: it decides which names and settings the file has.
fn literal_of(key: &str, Setting { value, origin, .. }: &Setting) -> Result<String> {
    match value {
        Value::Text(text) if text.starts_with("env:") || text.starts_with("file:") => Err(Error::config(format!(
            "{origin}: {key:?} is literal and cannot be env:NAME or file:PATH; write the value itself"
        ))),
        Value::Text(text) => Ok(text.clone()),
        _ => Err(Error::config(format!("{origin}: {key:?} is not a text"))),
    }
}

fn list_of(setting: Setting) -> Result<Vec<String>> {
    let Setting { value, origin, .. } = syntax::parse_list("aliases", setting)?;
    match value {
        Value::List(list) => list.iter().map(|entry| literal_of("aliases", entry)).collect(),
        _ => Err(Error::config(format!("{origin}: \"aliases\" is not a list of texts"))),
    }
}

fn table_of(Setting { value, origin, .. }: Setting) -> Result<Settings> {
    let Value::Table(table) = value else {
        return Err(Error::config(format!("{origin}: \"upload\" is not a table; write [stores.NAME.upload]")));
    };
    let mut settings = Settings::new();
    for (key, setting) in table {
        settings.insert(key, setting);
    }
    Ok(settings)
}

fn line_of(origin: &Origin) -> usize {
    if let Origin::File { line, .. } = origin { *line } else { usize::MAX }
}

/// Returns the top-level table of the built-in configuration.
fn built_in() -> Result<BTreeMap<String, Setting>> {
    let root = locate::data_folder()?.join("filestore").join("files");
    let built_in = |value| Setting::new(value, Origin::BuiltIn);
    let text = |text: &str| built_in(Value::Text(text.to_owned()));
    let table = |entries: &[(&str, Setting)]| {
        let entries = entries.iter().map(|(key, setting)| ((*key).to_owned(), setting.clone()));
        entries.collect::<BTreeMap<_, _>>()
    };
    let local = table(&[("backend", text("fs")), ("root", text(&root.to_string_lossy()))]);
    let stores = table(&[("local", built_in(Value::Table(local)))]);
    Ok(table(&[("default", text("local")), ("stores", built_in(Value::Table(stores)))]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config> {
        Config::parse(text, "f.toml")
    }

    fn message(text: &str) -> String {
        let stores = parse(text).and_then(|config| config.open(&crate::registry()));
        stores.and_then(|stores| stores.default_store().cloned()).unwrap_err().to_string()
    }

    #[test]
    fn a_store_is_declared_by_a_table() {
        let config =
            parse("[stores.b]\nbackend = \"memory\"\naliases = [\"c\"]\n\n[stores.a]\nbackend = \"memory\"\n").unwrap();
        let names: Vec<&str> = config.stores().iter().map(|store| store.name.as_str()).collect();
        assert_eq!(names, ["b", "a"]);
        assert_eq!(config.store("c").unwrap().name, "b");
        assert_eq!(config.default_name(), None);
    }

    #[test]
    fn the_error_of_an_unknown_backend_suggests_the_nearest_and_names_the_line() {
        assert_eq!(
            message("[stores.a]\nbackend = \"memry\"\n"),
            "a: f.toml:2: there is no backend \"memry\"; did you mean \"memory\"?"
        );
    }

    #[test]
    fn the_error_of_a_misspelled_key_suggests_the_nearest() {
        assert_eq!(
            message("[stores.a]\nbackend = \"fs\"\nroott = \"x\"\n"),
            "a: f.toml:3: the backend \"fs\" has no key \"roott\"; did you mean \"root\"?"
        );
        assert!(message("[stores.a]\nbakend = \"fs\"\n").contains("is \"bakend\" a misspelling"));
        assert!(message("defalt = \"a\"\n").contains("did you mean \"default\"?"));
    }

    #[test]
    fn a_store_whose_table_is_wrong_fails_alone_and_when_it_is_used() {
        for (wrong, problem) in [
            ("[stores.bad]\nbackend = 5\n", "f.toml:4: \"backend\" is not a text"),
            (
                "[stores.bad]\nroot = \"x\"\n",
                "f.toml:3: the store \"bad\" has no key \"backend\"; add backend = \"NAME\"",
            ),
            (
                "[stores.bad]\nbackend = \"fs\"\nupload = 5\n",
                "f.toml:5: \"upload\" is not a table; write [stores.NAME.upload]",
            ),
            ("[stores.bad]\nbackend = \"fs\"\naliases = 5\n", "f.toml:5: \"aliases\" is not a list of texts"),
            ("[stores.bad]\nbackend = \"fs\"\naliases = [5]\n", "f.toml:5: \"aliases\" is not a text"),
            ("stores.bad = 5\n", "f.toml:1: the store \"bad\" is not a table; write [stores.bad]"),
        ] {
            let good = "[stores.good]\nbackend = \"memory\"\n";
            let text = if wrong.starts_with('[') { [good, wrong].concat() } else { [wrong, good].concat() };
            let stores = parse(&text).unwrap().open(&crate::registry()).unwrap();
            assert!(stores.get("good").is_ok(), "{text}");
            let error = stores.get("bad").unwrap_err();
            assert_eq!((error.kind(), error.to_string()), (ErrorKind::Config, format!("bad: {problem}")));
            assert_eq!(stores.failed().map(|failed| failed.name.as_str()).collect::<Vec<_>>(), ["bad"]);
        }
    }

    #[test]
    fn backend_and_aliases_are_literal() {
        for text in [
            "[stores.a]\nbackend = \"env:FILESTORE_TEST_BACKEND\"\n",
            "[stores.a]\naliases = [\"file:old\"]\nbackend = \"memory\"\n",
        ] {
            let message = message(text);
            assert!(
                message.contains("f.toml:2: ") && message.contains("is literal and cannot be env:NAME"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_default_that_is_not_declared_is_rejected_with_its_line() {
        assert_eq!(
            message("default = \"x\"\n[stores.a]\nbackend = \"memory\"\n"),
            "f.toml:1: there is no store \"x\"; did you mean \"a\"?"
        );
    }

    #[test]
    fn the_error_of_invalid_toml_names_the_line_and_does_not_quote_it() {
        let text = message("[stores.a]\nbackend = \"memory\"\napi_key = hunter2\n");
        assert!(text.starts_with("f.toml:3: ") && !text.contains("hunter2"), "{text}");
    }

    #[test]
    fn two_stores_of_one_name_are_rejected_before_any_is_opened() {
        // A program that opens only one store would have opened the first of the two.
        let text = "[stores.a]\nbackend = \"memory\"\naliases = [\"b\"]\n[stores.b]\nbackend = \"memory\"\n";
        assert!(parse(text).unwrap_err().to_string().contains("two stores are called \"b\""));
    }

    #[cfg(all(feature = "fileio", feature = "filescom", feature = "pubnub", feature = "opendal"))]
    #[test]
    fn relative_paths_start_at_the_folder_of_the_configuration() {
        let text = "[stores.a]\nbackend = \"fileio\"\nca_file = \"ca.pem\"\n\
            [stores.b]\nbackend = \"filescom\"\nca_file = \"ca.pem\"\n\
            [stores.c]\nbackend = \"pubnub\"\nca_file = \"ca.pem\"\n\
            [stores.d]\nbackend = \"opendal\"\nservice = \"sftp\"\n\
            options = { key = \"id_ed25519\", credential_path = \"../gcs.json\", user = \"ann\", region = \"/r\" }\n";
        let config = Config::parse(text, "/etc/app/f.toml").unwrap();
        let resolved = |store: &StoreConfig| store.resolve(&crate::registry()).unwrap().settings;
        for store in &config.stores()[..3] {
            assert_eq!(resolved(store).get("ca_file").unwrap().as_str(), Some("/etc/app/ca.pem"), "{}", store.name);
        }
        let options = resolved(&config.stores()[3]);
        let Value::Table(options) = &options.get("options").unwrap().value else { panic!("not a table") };
        let option = |name: &str| options[name].as_str().unwrap();
        assert_eq!(option("key"), "/etc/app/id_ed25519");
        assert_eq!(option("credential_path"), "/etc/app/../gcs.json");
        assert_eq!((option("user"), option("region")), ("ann", "/r"));
    }

    #[test]
    fn a_reference_of_an_unknown_store_is_invalid_input_and_an_unknown_name_is_config() {
        let config = parse("[stores.uploads]\nbackend = \"memory\"\naliases = [\"old\"]\n").unwrap();
        assert_eq!(config.of(&"old:memory:a".parse().unwrap()).unwrap().name, "uploads");
        let error = config.of(&"upload:memory:a".parse().unwrap()).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (
                ErrorKind::InvalidInput,
                "the store of the reference is unknown: there is no store \"upload\"; did you mean \"uploads\"?"
            )
        );
        assert_eq!(config.store("upload").unwrap_err().kind(), ErrorKind::Config);
    }

    #[test]
    fn a_missing_secret_fails_only_its_store_and_is_named() {
        let text = "[stores.a]\nbackend = \"fs\"\nroot = \"env:FILESTORE_TEST_NO_SUCH_VARIABLE\"\naliases = [\"old\"]\n\
            [stores.b]\nbackend = \"fs\"\nroot = \"file:no-such-file\"\n\
            [stores.c]\nbackend = \"memory\"\n";
        let stores = parse(text).unwrap().open(&crate::registry()).unwrap();
        assert_eq!(stores.iter().map(Store::name).collect::<Vec<_>>(), ["c"]);
        let variable = "a: f.toml:3: \"root\" needs the environment variable FILESTORE_TEST_NO_SUCH_VARIABLE, which is \
             not set";
        assert_eq!(stores.get("a").unwrap_err().to_string(), variable);
        let error = stores.of(&"old:fs:x".parse().unwrap()).unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Config, variable));
        let file = stores.get("b").unwrap_err().to_string();
        assert!(file.starts_with("b: f.toml:7: \"root\" needs the file no-such-file: "), "{file}");
        assert_eq!(stores.failed().map(|failed| failed.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[cfg(all(feature = "local", feature = "pubnub"))]
    #[test]
    fn the_backend_of_a_store_is_reached_by_its_type() {
        use crate::local::MemoryStore;
        use crate::pubnub::PubNubStore;

        let text = "[stores.chat]\nbackend = \"pubnub\"\nuser_id = \"u\"\npublish_key = \"p\"\nsubscribe_key = \"s\"\n\
            [stores.scratch]\nbackend = \"memory\"\n[stores.broken]\nbackend = \"memory\"\nroot = \"x\"\n";
        let stores = parse(text).unwrap().open(&crate::registry()).unwrap();
        assert!(stores.backend::<PubNubStore>("chat").is_ok());
        assert!(stores.backend::<MemoryStore>("scratch").is_ok());
        let error = stores.backend::<PubNubStore>("scratch").unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (
                ErrorKind::Config,
                "scratch: the backend of the store is \"memory\", not a PubNubStore; use a store that has a PubNubStore"
            )
        );
        assert!(stores.backend::<MemoryStore>("broken").unwrap_err().to_string().contains("no key \"root\""));
    }

    #[test]
    fn the_variable_of_the_configuration_file_is_not_a_store() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.toml");
        fs::write(&path, "[stores.a]\nbackend = \"memory\"\n").unwrap();
        let variables = Variables::read([
            ("FILESTORE_CONFIG", path.to_str().unwrap()),
            ("FILESTORE_STORES__A__ALIASES", "[\"old\"]"),
            ("FILESTORE_STORE", "x"),
            ("FILESTORE_STORES_X", "x"),
        ]);
        let variables = variables.unwrap();
        let config = Config::find_with(None, &variables).unwrap();
        assert_eq!((config.source(), config.stores().len()), (Some(path.as_path()), 1));
        assert_eq!(config.store("old").unwrap().name, "a");
        let error = Config::find_with(Some(&folder.path().join("none.toml")), &variables).unwrap_err();
        assert!(error.to_string().contains("none.toml"), "{error}");
    }
}
