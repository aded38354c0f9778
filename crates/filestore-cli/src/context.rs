//! The context of every command: the configuration, the backends and the global options.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use filestore::pubnub::{PubNubSend, PubNubStore};
use filestore::{
    Backend, Config, Error, FileRef, Key, Options, Origin, Registry, Result, Setting, Settings, Store, StoreConfig,
    Value, check_secret,
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
    pub(crate) store: Option<String>,
    opened: Mutex<HashMap<String, Store>>,
}

/// A file, or a scope with all folders below it: `None` for the whole store.
pub(crate) enum Target {
    File(FileRef),
    Scope(Option<String>),
}

/// Returns the value of `store` among those of several stores, which are in the order of their first use.
pub(crate) fn of_store<'a, T: Default>(values: &'a mut Vec<(Store, T)>, store: &Store) -> &'a mut T {
    let known = values.iter().position(|(known, _)| known.name() == store.name());
    let index = known.unwrap_or_else(|| {
        values.push((store.clone(), T::default()));
        values.len() - 1
    });
    &mut values[index].1
}

/// Parses the `KEY=VALUE` pairs of `-O`, whose valid keys are `keys`, and replaces `env:NAME` and `file:PATH` by
/// the values that they name.
pub(crate) fn options(pairs: &[String], keys: &[Key]) -> Result<Settings> {
    let mut settings = Settings::new();
    for pair in pairs {
        let (key, value) =
            pair.split_once('=').ok_or_else(|| Error::invalid(format!("-O {pair}: write an option as KEY=VALUE")))?;
        if settings.get(key).is_some() {
            return Err(Error::invalid(format!("-O {key} is given twice; give each option once")));
        }
        settings.insert(key, text_setting(value));
    }
    filestore::resolve(&settings, keys)
}

/// Returns the secret in `value`, the text of the command line option `option`: `env:NAME`, `file:PATH` or the
/// secret itself.
pub(crate) fn secret(option: &str, value: &str) -> Result<String> {
    let mut settings = Settings::new();
    settings.insert(option, text_setting(value));
    let resolved = filestore::resolve(&settings, &[])?;
    let secret = resolved.get(option).and_then(Setting::as_str).unwrap_or_default();
    check_secret(option, secret)?;
    Ok(secret.to_owned())
}

/// Returns `value` as a setting from the command line.
pub(crate) fn text_setting(value: &str) -> Setting {
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
            opened: Mutex::default(),
        })
    }

    /// Rejects `--store`, for a command that is about all stores.
    pub(crate) fn check_no_store(&self) -> Result<()> {
        match &self.store {
            Some(_) => Err(Error::invalid("this command is about all stores; remove --store")),
            None => Ok(()),
        }
    }

    /// Returns the configuration of the store that `--store` names, or else of the default store.
    pub(crate) fn selected_store(&self) -> Result<&StoreConfig> {
        match self.store.as_deref().or(self.config.default_name()) {
            Some(name) => self.config.store(name),
            None => {
                let names: Vec<&str> = self.config.stores().iter().map(|store| store.name.as_str()).collect();
                Err(Error::config(match names.as_slice() {
                    [] => "the configuration declares no stores; add a table [stores.NAME]".to_owned(),
                    names => format!(
                        "no store is selected, and the configuration has no default; name one of {} with --store, \
                         or set `default = ...`",
                        names.join(", ")
                    ),
                }))
            }
        }
    }

    /// Returns the configuration of the store `name`, or else of the one that `--store` names, or else of all stores.
    pub(crate) fn named_stores(&self, name: Option<&str>) -> Result<&[StoreConfig]> {
        match name.or(self.store.as_deref()) {
            Some(name) => Ok(std::slice::from_ref(self.config.store(name)?)),
            None => Ok(self.config.stores()),
        }
    }

    /// Opens a store, once for all references to it.
    pub(crate) fn open(&self, store: &StoreConfig) -> Result<Store> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = opened.get(&store.name) {
            return Ok(store.clone());
        }
        let open = store.open(&self.registry)?;
        opened.insert(store.name.clone(), open.clone());
        Ok(open)
    }

    /// Opens a store on which uploads publish no message, unless their own options say so.
    pub(crate) fn open_unannounced(&self, store: &StoreConfig) -> Result<Store> {
        self.open(store).map(unannounced)
    }

    /// Parses the `-O KEY=VALUE` pairs as options of the store's backend.
    pub(crate) fn upload_options(&self, store: &StoreConfig, pairs: &[String]) -> Result<Options> {
        if pairs.is_empty() {
            return Ok(Options::default());
        }
        let backend = self.registry.backend(store.backend_name())?;
        let settings = options(pairs, backend.option_keys())?;
        backend.options(&settings).map_err(|error| Error::invalid(format!("-O: {}", error.message())))
    }

    /// Rejects a store that does not use `backend`, for an operation that only this backend has.
    pub(crate) fn check_backend(&self, store: &StoreConfig, backend: &dyn Backend) -> Result<()> {
        // A store without a known backend has another problem.
        let is_known = self.registry.backend(store.backend_name()).is_ok();
        if is_known && store.backend_name() != backend.name() {
            return Err(Error::invalid(format!(
                "the store {:?} uses the backend {:?}; name a store that uses {:?} with --store",
                store.name,
                store.backend_name(),
                backend.name()
            )));
        }
        Ok(())
    }

    /// Parses a reference, and opens its store or the one that `--store` names. Accepts a link of a store's own origin,
    /// too, and with `--store` a bare key. Never requests a link. A reference without a store belongs to the selected
    /// store.
    pub(crate) fn open_reference(&self, text: &str) -> Result<(Store, FileRef)> {
        let (store, reference) = match (text.parse::<FileRef>(), &self.store) {
            (Ok(reference), Some(name)) => (self.config.store(name)?, reference),
            (Ok(reference), None) if reference.store().is_empty() => (self.selected_store()?, reference),
            (Ok(reference), None) => (self.config.of(&reference)?, reference),
            (Err(error), Some(name)) => {
                let store = self.config.store(name)?;
                let found = store.reference_of(&self.registry, text)?;
                (
                    store,
                    found.ok_or_else(|| {
                        if is_link(text) { no_link(&format!("the store {:?}", store.name)) } else { error }
                    })?,
                )
            }
            (Err(_), None) if is_link(text) => self.store_of_link(text)?,
            (Err(error), None) => return Err(error),
        };
        Ok((self.open(store)?, reference))
    }

    /// Parses a reference or, if `recursive`, `STORE:SCOPE/`. The scope is written as for `--to`, or as the locator of a
    /// reference, `STORE:SCHEME:LOCATOR/`.
    pub(crate) fn open_target(&self, text: &str, recursive: bool) -> Result<(Store, Target)> {
        let Some(text_of_scope) = text.strip_suffix('/').filter(|_| recursive && !is_link(text)) else {
            let opened = self.open_reference(text);
            return opened.map(|(store, reference)| (store, Target::File(reference)));
        };
        let Some((name, scope)) = text_of_scope.split_once(':') else {
            return Err(Error::invalid(format!("{text} names no store; write STORE:SCOPE/, or STORE:/ for all files")));
        };
        let config = match (name, self.store.as_deref()) {
            ("", _) => self.selected_store()?,
            (_, Some(selected)) => self.config.store(selected)?,
            (name, None) => self.config.store(name)?,
        };
        let store = self.open(config)?;
        let components: Vec<String> = match scope.split_once(':') {
            Some((scheme, locator)) if scheme == store.capabilities().scheme => {
                let reference: FileRef = format!(":{scheme}:{locator}").parse()?;
                reference.components()
            }
            _ => scope.split('/').map(str::to_owned).collect(),
        };
        let components: Vec<String> = components.into_iter().filter(|component| !component.is_empty()).collect();
        Ok((store, Target::Scope((!components.is_empty()).then(|| components.join("/")))))
    }

    /// Returns the store whose link `text` is: the default store if it is a link of several stores.
    fn store_of_link(&self, text: &str) -> Result<(&StoreConfig, FileRef)> {
        let mut found = Vec::new();
        let mut unknown = None;
        for store in self.config.stores() {
            match store.reference_of(&self.registry, text) {
                Ok(reference) => found.extend(reference.map(|reference| (store, reference))),
                Err(error) => unknown = unknown.or(Some(error)),
            }
        }
        let default = found.iter().position(|(store, _)| Some(store.name.as_str()) == self.config.default_name());
        match (found.len(), default) {
            (1, _) => Ok(found.remove(0)),
            (_, Some(default)) => Ok(found.remove(default)),
            (0, None) => Err(match unknown {
                Some(error) => no_link("any store").with_note(&error.to_string()),
                None => no_link("any store"),
            }),
            _ => {
                let names: Vec<&str> = found.iter().map(|(store, _)| store.name.as_str()).collect();
                Err(Error::invalid(format!(
                    "the URL is a link of the stores {}; name one of them with --store",
                    names.join(", ")
                )))
            }
        }
    }

    /// Warns of options that had no effect on `subject`, a file or a share link.
    pub(crate) fn warn_of_skipped(&self, subject: &str, skipped: &[&str]) {
        for option in skipped {
            self.warn(&format!(
                "{subject}: {option} had no effect: the store does not know it, or the service ignored it"
            ));
        }
    }

    pub(crate) fn warn(&self, text: &str) {
        if !self.quiet {
            output::report(&format!("warning: {text}"));
        }
    }
}

/// Returns the store, on which uploads publish no message unless their own options say so.
pub(crate) fn unannounced(store: Store) -> Store {
    if store.backend::<PubNubStore>().is_err() {
        return store;
    }
    let mut options = store.options().clone();
    options.required(Arc::new(PubNubSend::new().publish(false)));
    store.with_options(options)
}

fn is_link(text: &str) -> bool {
    let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
    ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
}

/// Returns the error for a URL, which may be a secret, that is not a link of `store`.
fn no_link(store: &str) -> Error {
    Error::invalid(format!("the URL is not a link of {store}; give a reference as STORE:SCHEME:LOCATOR"))
}
