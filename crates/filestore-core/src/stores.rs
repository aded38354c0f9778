//! [`Stores`]: all stores of a program, by name.

use std::sync::Arc;

use crate::settings::suggestion;
use crate::{Error, FileRef, FileStore, Result, Store};

/// All stores of a program. A store that cannot be opened is an error where it is used, and does not affect the others.
#[derive(Debug, Clone)]
pub struct Stores {
    stores: Vec<Result<Store, Arc<FailedStore>>>,
    default: Option<usize>,
}

/// A store that cannot be opened, for example because a secret is missing.
#[derive(Debug)]
#[non_exhaustive]
pub struct FailedStore {
    /// The name.
    pub name: String,
    /// Former names.
    pub aliases: Vec<String>,
    /// The reason.
    pub error: Error,
}

impl FailedStore {
    /// Creates the store called `name`, which `error` prevents from being opened.
    pub fn new(name: impl Into<String>, aliases: Vec<String>, error: Error) -> Self {
        let name = name.into();
        Self { error: error.with_store(&name), name, aliases }
    }

    /// Returns a copy of the error, without its cause.
    fn error(&self) -> Error {
        let copy = Error::new(self.error.kind(), self.error.effect(), self.error.message()).with_store(&self.name);
        match self.error.operation() {
            Some(operation) => copy.with_operation(operation),
            None => copy,
        }
    }
}

impl Stores {
    /// Creates a set of stores. Without `default`, a single store is the default.
    ///
    /// Fails with *config* if two stores share a name or alias, or if `default` is not among them.
    pub fn new(stores: Vec<Store>, default: Option<&str>) -> Result<Self> {
        Self::with_failed(stores.into_iter().map(Ok), default)
    }

    /// Creates a set of stores of which some cannot be opened. Otherwise, it works like [`new`](Self::new), with the same
    /// errors.
    pub fn with_failed(
        stores: impl IntoIterator<Item = Result<Store, FailedStore>>,
        default: Option<&str>,
    ) -> Result<Self> {
        let stores: Vec<_> = stores.into_iter().map(|store| store.map_err(Arc::new)).collect();
        let mut seen: Vec<&str> = Vec::new();
        for name in stores.iter().flat_map(names) {
            if seen.contains(&name) {
                return Err(Error::config(format!("two stores are called {name:?}; names and aliases must differ")));
            }
            seen.push(name);
        }
        let only = (stores.len() == 1).then_some(0);
        let mut all = Self { stores, default: only };
        if let Some(name) = default {
            all.default = Some(all.position(name)?);
        }
        Ok(all)
    }

    /// Returns the store with the name or alias `name`. Fails with *config* if there is none, and then suggests a similar
    /// name. Fails with the error of the store if it cannot be opened.
    pub fn get(&self, name: &str) -> Result<&Store> {
        self.at(self.position(name)?)
    }

    /// Returns the backend of the store `name`; see [`Store::backend`]. Fails as [`get`](Self::get) does, and with *config*
    /// if the store has a backend of another type.
    pub fn backend<T: FileStore>(&self, name: &str) -> Result<&T> {
        self.get(name)?.backend()
    }

    /// Returns the default store. Fails with *config* if no default is declared and there is not exactly one store.
    pub fn default_store(&self) -> Result<&Store> {
        if let Some(position) = self.default {
            return self.at(position);
        }
        if self.stores.is_empty() {
            return Err(Error::config("there are no stores; declare one"));
        }
        Err(Error::config(format!(
            "no default store is declared; name one of {}, or declare the default with `default = ...`",
            self.known().collect::<Vec<_>>().join(", ")
        )))
    }

    /// Returns the store that `reference` belongs to. Fails with *invalid input* if there is none, and then suggests a
    /// similar name. Fails with the error of the store if it cannot be opened.
    pub fn of(&self, reference: &FileRef) -> Result<&Store> {
        if reference.store().is_empty() {
            let message = "the reference names no store; use it with the store that has the file";
            return Err(Error::invalid(message));
        }
        let problem =
            |error: Error| Error::invalid(format!("the store of the reference is unknown: {}", error.message()));
        self.at(self.position(reference.store()).map_err(problem)?)
    }

    /// Returns all stores that can be used, in the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = &Store> {
        self.stores.iter().flatten()
    }

    /// Returns all stores that cannot be opened, in the order of the configuration.
    pub fn failed(&self) -> impl Iterator<Item = &FailedStore> {
        self.stores.iter().filter_map(|store| store.as_ref().err()).map(AsRef::as_ref)
    }

    fn at(&self, position: usize) -> Result<&Store> {
        self.stores[position].as_ref().map_err(|failed| failed.error())
    }

    fn position(&self, name: &str) -> Result<usize> {
        self.stores
            .iter()
            .position(|store| names(store).any(|known| known == name))
            .ok_or_else(|| Error::config(format!("there is no store {name:?}; {}", suggestion(name, self.known()))))
    }

    /// Returns the names of all stores, without their aliases.
    fn known(&self) -> impl Iterator<Item = &str> + Clone {
        self.stores.iter().filter_map(|store| names(store).next())
    }
}

/// Returns the name of a store, and then its aliases.
fn names(store: &Result<Store, Arc<FailedStore>>) -> impl Iterator<Item = &str> {
    let (name, aliases) = match store {
        Ok(store) => (store.name(), store.aliases()),
        Err(failed) => (failed.name.as_str(), failed.aliases.as_slice()),
    };
    std::iter::once(name).chain(aliases.iter().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn a_reference_of_an_unknown_store_is_invalid_input_and_an_unknown_name_is_config() {
        let stores = Stores::new(Vec::new(), None).unwrap();
        let error = stores.of(&":fs:a".parse().unwrap()).unwrap_err();
        assert!(error.to_string().contains("names no store"), "{error}");
        let error = stores.of(&"uploads:fs:a".parse().unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("\"uploads\""), "{error}");
        assert_eq!(stores.get("uploads").unwrap_err().kind(), ErrorKind::Config);
    }

    fn failed(name: &str, aliases: &[&str]) -> Result<Store, FailedStore> {
        let aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
        Err(FailedStore::new(name, aliases, Error::config("f.toml:3: \"root\" is wrong")))
    }

    #[test]
    fn a_store_that_cannot_be_opened_is_an_error_where_it_is_used() {
        let stores = Stores::with_failed([failed("a", &["b"])], None).unwrap();
        let expected = "a: f.toml:3: \"root\" is wrong";
        let reference: FileRef = "b:fs:x".parse().unwrap();
        for error in [stores.get("b"), stores.of(&reference), stores.default_store()].map(Result::unwrap_err) {
            assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Config, expected));
        }
        assert_eq!(stores.iter().count(), 0);
        let failed: Vec<String> = stores.failed().map(|failed| failed.error.to_string()).collect();
        assert_eq!(failed, [expected]);
    }

    #[test]
    fn the_names_of_a_store_that_cannot_be_opened_count() {
        let two = || [failed("a", &[]), failed("b", &[])];
        let stores = Stores::with_failed(two(), None).unwrap();
        assert!(stores.default_store().unwrap_err().to_string().contains("name one of a, b"));
        assert!(Stores::with_failed(two(), Some("b")).is_ok());
        assert!(Stores::with_failed([failed("a", &["b"]), failed("b", &[])], None).is_err());
    }
}
