//! [`ProviderOptions`]: typed options of one service, which a store never ignores silently.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::{Error, Result};

/// A group of options of one service, such as the number of downloads after which a file expires. Backends define the
/// types; callers pass them to [`Upload::with`](crate::Upload::with).
pub trait ProviderOptions: Any + fmt::Debug + Send + Sync {
    /// Returns the name of the group, as in [`Capabilities::options`](crate::Capabilities::options).
    fn name(&self) -> &'static str;

    /// Sets each unset option to its value in `defaults`.
    #[must_use]
    fn with_defaults(self, defaults: &Self) -> Self
    where
        Self: Sized;
}

/// The provider options of one request.
#[derive(Debug, Clone, Default)]
pub struct Options {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    value: Arc<dyn ProviderOptions>,
    required: bool,
}

impl Options {
    /// Adds options that the store must support; otherwise it rejects the request.
    pub fn required(&mut self, value: Arc<dyn ProviderOptions>) {
        self.entries.push(Entry { value, required: true });
    }

    /// Adds options that the store may skip. [`StoredFile::skipped`](crate::StoredFile::skipped) then names them.
    pub fn optional(&mut self, value: Arc<dyn ProviderOptions>) {
        self.entries.push(Entry { value, required: false });
    }

    /// Returns the options of type `T`. If several entries set the same option, the last one counts.
    pub fn get<T: ProviderOptions + Clone>(&self) -> Option<T> {
        let given = self.entries.iter().rev();
        let mut given = given.filter_map(|entry| (entry.value.as_ref() as &dyn Any).downcast_ref::<T>());
        let last = given.next()?.clone();
        Some(given.fold(last, T::with_defaults))
    }

    /// Returns `true` if there are no options.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds `defaults`, which all present options override.
    pub(crate) fn with_defaults(&mut self, defaults: &Self) {
        self.entries.splice(0..0, defaults.entries.iter().cloned());
    }

    /// Fails with *unsupported* if required options are not among the `accepted` ones of a store.
    pub(crate) fn check(&self, accepted: &[&'static str]) -> Result<()> {
        let mut names = self.entries.iter().filter(|entry| entry.required).map(|entry| entry.value.name());
        match names.find(|name| !accepted.contains(name)) {
            Some(name) => {
                Err(Error::unsupported(format!("this store does not support the options {name:?}; leave them out")))
            }
            None => Ok(()),
        }
    }

    /// Removes the options that are not `accepted` by a store, and returns their names.
    pub(crate) fn resolve(&mut self, accepted: &[&'static str]) -> Vec<&'static str> {
        let is_accepted = |entry: &Entry| accepted.contains(&entry.value.name());
        let skipped = self.entries.iter().filter(|entry| !is_accepted(entry)).map(|entry| entry.value.name()).collect();
        self.entries.retain(is_accepted);
        skipped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq)]
    struct Terms {
        days: Option<u32>,
        title: Option<&'static str>,
    }

    impl ProviderOptions for Terms {
        fn name(&self) -> &'static str {
            "terms"
        }

        fn with_defaults(self, defaults: &Self) -> Self {
            Self { days: self.days.or(defaults.days), title: self.title.or(defaults.title) }
        }
    }

    #[test]
    fn an_unset_option_takes_its_default() {
        let given = |days, title| {
            let mut options = Options::default();
            options.required(Arc::new(Terms { days, title }));
            options
        };
        let mut options = given(None, Some("own"));
        options.with_defaults(&given(Some(7), Some("default")));
        assert_eq!(options.get::<Terms>(), Some(Terms { days: Some(7), title: Some("own") }));
        options.optional(Arc::new(Terms { days: Some(1), title: None }));
        assert_eq!(options.get::<Terms>(), Some(Terms { days: Some(1), title: Some("own") }));
    }
}
