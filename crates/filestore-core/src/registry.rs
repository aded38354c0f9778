//! [`Registry`]: the backends that a program knows. It is a value, not a global.

use std::fmt;
use std::sync::Arc;

use serde::de::IgnoredAny;

use crate::settings::suggestion;
use crate::{Error, FailedStore, FileRef, FileStore, Key, Operation, Options, Result, Settings, Store, Stores};

/// Creates the stores of one kind of service from their settings.
///
/// Backend crates implement it. Applications add the backends that they use to their [`Registry`].
pub trait Backend: fmt::Debug + Send + Sync {
    /// Returns the name of the backend, which is the value of `backend` in the configuration.
    fn name(&self) -> &'static str;

    /// Opens a store without sending anything. Fails with *config* if the settings are wrong.
    fn open(&self, settings: &Settings) -> Result<Arc<dyn FileStore>>;

    /// Returns a noun phrase that describes the backend. Empty by default.
    fn about(&self) -> &'static str {
        ""
    }

    /// Returns the keys of a store's settings. None by default.
    fn keys(&self) -> &'static [Key] {
        &[]
    }

    /// Returns the keys of the provider options, which `-O` on the command line and `upload` in the configuration
    /// accept. None by default.
    fn option_keys(&self) -> &'static [Key] {
        &[]
    }

    /// Returns the reference, without the name of a store, of the file that `text` names in the service's own way: a
    /// link of the store with these `settings`, or a key. Sends nothing. None by default.
    fn reference_of(&self, settings: &Settings, text: &str) -> Option<FileRef> {
        let _ = (settings, text);
        None
    }

    /// Reads provider options. By default there are none, and every key fails with *config*.
    fn options(&self, settings: &Settings) -> Result<Options> {
        let IgnoredAny = settings.read(self.option_keys())?;
        Ok(Options::default())
    }
}

/// The settings of one store, as a configuration reader passes them on.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoreSettings {
    /// The store's name.
    pub name: String,
    /// The name of its backend.
    pub backend: String,
    /// Former names of the store. References with these names still find it.
    pub aliases: Vec<String>,
    /// The values of the backend's keys.
    pub settings: Settings,
    /// The default provider options of the store's uploads.
    pub upload: Settings,
}

impl StoreSettings {
    /// Creates the settings of a store called `name` of `backend`, without any values.
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
    /// Creates a registry without backends.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `backend`, which replaces a backend of the same name.
    pub fn with(mut self, backend: impl Backend + 'static) -> Self {
        self.backends.retain(|known| known.name() != backend.name());
        self.backends.push(Arc::new(backend));
        self
    }

    /// Returns all backends.
    pub fn backends(&self) -> impl Iterator<Item = &dyn Backend> {
        self.backends.iter().map(|backend| backend.as_ref())
    }

    /// Returns the backend called `name`. Fails with *config* if there is none; the error suggests a similar name.
    pub fn backend(&self, name: &str) -> Result<&dyn Backend> {
        self.backends().find(|backend| backend.name() == name).ok_or_else(|| {
            let known = self.backends.iter().map(|backend| backend.name());
            Error::config(format!("there is no backend {name:?}; {}", suggestion(name, known)))
        })
    }

    /// Opens one store. Fails with *config* if its settings are wrong.
    pub fn open(&self, settings: &StoreSettings) -> Result<Store> {
        let context = |error: Error| error.with_operation(Operation::Open).with_store(&settings.name);
        let backend = self.backend(&settings.backend).map_err(context)?;
        let inner = backend.open(&settings.settings).map_err(context)?;
        let named = Store::new(&settings.name, inner).and_then(|store| store.with_aliases(settings.aliases.clone()));
        let mut store = named.map_err(context)?.with_backend_name(backend.name());
        if settings.upload.iter().next().is_some() {
            store = store.with_options(backend.options(&settings.upload).map_err(context)?);
        }
        Ok(store)
    }

    /// Opens all stores. `default` names the one that [`Stores::default_store`] returns. A store whose settings are wrong
    /// is one of [`Stores::failed`]. Fails with *config* if two stores share a name, or if `default` is not among them.
    pub fn open_all(&self, all: &[StoreSettings], default: Option<&str>) -> Result<Stores> {
        let open = |settings: &StoreSettings| {
            self.open(settings).map_err(|error| FailedStore::new(&settings.name, settings.aliases.clone(), error))
        };
        Stores::with_failed(all.iter().map(open), default)
    }
}
