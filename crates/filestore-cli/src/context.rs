//! What every command needs: the configuration, the backends, the flags that hold for all.

use filestore::{
    Backend, Config, Error, FileRef, Key, Origin, Registry, Result, Setting, Settings, Store, StoreConfig,
    StoreSettings, Value, check_secret,
};

use crate::args::Cli;
use crate::interrupt::Reads;
use crate::output;

pub(crate) struct Context {
    pub config: Config,
    pub registry: Registry,
    pub json: bool,
    pub quiet: bool,
    pub reads: Reads,
    store: Option<String>,
}

/// The `KEY=VALUE` pairs of `-O`, of which `keys` are known. `env:NAME` and `file:PATH` are replaced by what is
/// there.
pub(crate) fn options(pairs: &[String], keys: &[Key]) -> Result<Settings> {
    let mut settings = Settings::new();
    for pair in pairs {
        let (key, value) =
            pair.split_once('=').ok_or_else(|| Error::invalid(format!("-O {pair}: an option reads KEY=VALUE")))?;
        settings.insert(key, given(value));
    }
    filestore::resolve(&settings, keys)
}

/// The secret that `option` names with `env:NAME` or `file:PATH`, or is.
pub(crate) fn secret(option: &str, value: &str) -> Result<String> {
    let mut settings = Settings::new();
    settings.insert(option, given(value));
    let resolved = filestore::resolve(&settings, &[])?;
    let secret = resolved.get(option).and_then(Setting::as_str).unwrap_or_default();
    check_secret(option, secret)?;
    Ok(secret.to_owned())
}

/// A value of the command line.
pub(crate) fn given(value: &str) -> Setting {
    Setting::new(Value::Text(value.to_owned()), Origin::CommandLine)
}

impl Context {
    pub(crate) fn new(cli: &Cli, reads: Reads) -> Result<Self> {
        Ok(Self {
            config: Config::find(cli.config.as_deref())?,
            registry: filestore::registry(),
            json: cli.json,
            quiet: cli.quiet,
            reads,
            store: cli.store.clone(),
        })
    }

    /// The store that `--store` names, else the default one.
    pub(crate) fn chosen(&self) -> Result<&StoreConfig> {
        match self.store.as_deref().or(self.config.default_name()) {
            Some(name) => self.config.store(name),
            None => {
                let names: Vec<&str> = self.config.stores().iter().map(|store| store.name.as_str()).collect();
                Err(Error::config(match names.as_slice() {
                    [] => "the configuration declares no stores; add a table [stores.NAME]".to_owned(),
                    names => format!(
                        "which store? there are {}; name one with --store, or declare it with `default = ...`",
                        names.join(", ")
                    ),
                }))
            }
        }
    }

    pub(crate) fn open(&self, store: &StoreConfig) -> Result<Store> {
        store.open(&self.registry)
    }

    /// The settings of a store that must be of `backend`, for what only that one has.
    pub(crate) fn settings_of(&self, store: &StoreConfig, backend: &dyn Backend) -> Result<StoreSettings> {
        if store.backend_name() != backend.name() {
            return Err(Error::invalid(format!(
                "the store {:?} is of the backend {:?}; name one of {:?} with --store",
                store.name,
                store.backend_name(),
                backend.name()
            )));
        }
        store.resolve(&self.registry)
    }

    /// The store of a reference, and the reference.
    pub(crate) fn of(&self, text: &str) -> Result<(Store, FileRef)> {
        let reference: FileRef = text.parse()?;
        let name = self.store.as_deref().unwrap_or(reference.store());
        Ok((self.open(self.config.store(name)?)?, reference))
    }

    /// Warns of options of `what` that had no effect.
    pub(crate) fn warn_of_skipped(&self, what: &str, skipped: &[&str]) {
        for option in skipped {
            self.warn(&format!(
                "{what}: {option} had no effect: the store does not know it, or the service ignored it"
            ));
        }
    }

    pub(crate) fn warn(&self, text: &str) {
        if !self.quiet {
            output::report(&format!("warning: {text}"));
        }
    }
}
