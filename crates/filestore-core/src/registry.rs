//! [`Registry`]: which backends a program knows. A value, not a global.

use std::fmt;
use std::sync::Arc;

use serde::de::IgnoredAny;

use crate::settings::suggestion;
use crate::{Error, FileStore, Key, Operation, Options, Result, Settings, Store, Stores};

/// Makes stores of one kind out of their settings.
///
/// A backend crate has one value of this; applications put it into their [`Registry`].
pub trait Backend: fmt::Debug + Send + Sync {
    /// The value of `backend` in the configuration.
    fn name(&self) -> &'static str;

    /// Opens a store. Sends nothing. Fails with *config* when the settings are wrong.
    fn open(&self, settings: &Settings) -> Result<Arc<dyn FileStore>>;

    /// A noun phrase that says what it is. Empty by default.
    fn about(&self) -> &'static str {
        ""
    }

    /// The keys of a store of this kind. None by default.
    fn keys(&self) -> &'static [Key] {
        &[]
    }

    /// The keys of its provider options, as `-O` on the command line and `upload` in the
    /// configuration take them. None by default.
    fn option_keys(&self) -> &'static [Key] {
        &[]
    }

    /// Reads provider options. By default there are none, and every key is *config*.
    fn options(&self, settings: &Settings) -> Result<Options> {
        let IgnoredAny = settings.read(self.option_keys())?;
        Ok(Options::default())
    }
}

/// The settings of one store, as a configuration reader hands them over.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoreSettings {
    /// The store's name.
    pub name: String,
    /// The name of its backend.
    pub backend: String,
    /// Names that it had before, under which references still find it.
    pub aliases: Vec<String>,
    /// The backend's keys.
    pub settings: Settings,
    /// Provider options that hold for every upload unless it gives its own.
    pub upload: Settings,
}

impl StoreSettings {
    /// A store called `name` of `backend`, without any settings.
    pub fn new(name: impl Into<String>, backend: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            backend: backend.into(),
            aliases: Vec::new(),
            settings: Settings::new(),
            upload: Settings::new(),
        }
    }
}

/// The backends that a program knows.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    backends: Vec<Arc<dyn Backend>>,
}

impl Registry {
    /// Knows none.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `backend`; one of the same name is replaced.
    pub fn with(mut self, backend: impl Backend + 'static) -> Self {
        self.backends.retain(|known| known.name() != backend.name());
        self.backends.push(Arc::new(backend));
        self
    }

    /// All of them.
    pub fn backends(&self) -> impl Iterator<Item = &dyn Backend> {
        self.backends.iter().map(|backend| backend.as_ref())
    }

    /// The backend called `name`. Fails with *config*, naming the nearest.
    pub fn backend(&self, name: &str) -> Result<&dyn Backend> {
        self.backends().find(|backend| backend.name() == name).ok_or_else(|| {
            let known = self.backends.iter().map(|backend| backend.name());
            Error::config(format!("there is no backend {name:?}; {}", suggestion(name, known)))
        })
    }

    /// Opens one store.
    pub fn open(&self, settings: &StoreSettings) -> Result<Store> {
        let context = |error: Error| error.with_operation(Operation::Open).with_store(&settings.name);
        let backend = self.backend(&settings.backend).map_err(context)?;
        let inner = backend.open(&settings.settings).map_err(context)?;
        let named = Store::new(&settings.name, inner).and_then(|store| store.with_aliases(settings.aliases.clone()));
        let mut store = named.map_err(context)?;
        if settings.upload.iter().next().is_some() {
            store = store.with_options(backend.options(&settings.upload).map_err(context)?);
        }
        Ok(store)
    }

    /// Opens all of them; `default` is the one that [`Stores::default_store`] gives.
    pub fn open_all(&self, all: &[StoreSettings], default: Option<&str>) -> Result<Stores> {
        let stores = all.iter().map(|settings| self.open(settings)).collect::<Result<Vec<_>>>()?;
        Stores::new(stores, default)
    }
}
