//! [`Stores`]: all stores of a program, by name.

use crate::settings::suggestion;
use crate::{Error, FileRef, Result, Store};

/// All stores of a program.
#[derive(Debug, Clone)]
pub struct Stores {
    stores: Vec<Store>,
    default: Option<usize>,
}

impl Stores {
    /// Creates a set of stores. Without `default`, a single store is the default.
    ///
    /// Fails with *config* if two stores share a name or alias, or if `default` is not among them.
    pub fn new(stores: Vec<Store>, default: Option<&str>) -> Result<Self> {
        let mut seen: Vec<&str> = Vec::new();
        for name in stores.iter().flat_map(Store::names) {
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

    /// Returns the store with the name or alias `name`. Fails with *config* if there is none; the error suggests a
    /// similar name.
    pub fn get(&self, name: &str) -> Result<&Store> {
        self.position(name).map(|position| &self.stores[position])
    }

    /// Returns the default store. Fails with *config* if no default is declared and there is not exactly one store.
    pub fn default_store(&self) -> Result<&Store> {
        self.default.map(|position| &self.stores[position]).ok_or_else(|| {
            let names: Vec<&str> = self.iter().map(Store::name).collect();
            if names.is_empty() {
                return Error::config("there are no stores; declare one");
            }
            Error::config(format!(
                "no default store is declared; name one of {}, or declare the default with `default = ...`",
                names.join(", ")
            ))
        })
    }

    /// Returns the store that `reference` belongs to. Fails with *invalid input* if there is none; the error suggests a
    /// similar name.
    pub fn of(&self, reference: &FileRef) -> Result<&Store> {
        let problem =
            |error: Error| Error::invalid(format!("the store of the reference is unknown: {}", error.message()));
        self.get(reference.store()).map_err(problem)
    }

    /// Returns all stores, in the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = &Store> {
        self.stores.iter()
    }

    fn position(&self, name: &str) -> Result<usize> {
        self.stores.iter().position(|store| store.names().any(|known| known == name)).ok_or_else(|| {
            let known = self.stores.iter().map(Store::name);
            Error::config(format!("there is no store {name:?}; {}", suggestion(name, known)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn a_reference_of_an_unknown_store_is_invalid_input_and_an_unknown_name_is_config() {
        let stores = Stores::new(Vec::new(), None).unwrap();
        let error = stores.of(&"uploads:fs:a".parse().unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("\"uploads\""), "{error}");
        assert_eq!(stores.get("uploads").unwrap_err().kind(), ErrorKind::Config);
    }
}
