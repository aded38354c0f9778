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

    /// Returns `Some(true)` if an upload whose name is taken is stored under a free name, `Some(false)` if it is not, and
    /// `None` if these options do not say it, as most do.
    fn finds_free_name(&self) -> Option<bool> {
        None
    }

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

    /// Returns `Some(true)` if an upload whose name is taken is stored under a free name: it replaces nothing, and a
    /// retry may store a second file. The last entry that [says it](ProviderOptions::finds_free_name) counts.
    pub fn finds_free_name(&self) -> Option<bool> {
        self.entries.iter().rev().find_map(|entry| entry.value.finds_free_name())
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

    #[derive(Debug, Clone, Default, PartialEq)]
    struct Terms {
        days: Option<u32>,
        title: Option<&'static str>,
        renames: Option<bool>,
    }

    impl ProviderOptions for Terms {
        fn name(&self) -> &'static str {
            "terms"
        }

        fn finds_free_name(&self) -> Option<bool> {
            self.renames
        }

        fn with_defaults(self, defaults: &Self) -> Self {
            Self {
                days: self.days.or(defaults.days),
                title: self.title.or(defaults.title),
                renames: self.renames.or(defaults.renames),
            }
        }
    }

    #[test]
    fn an_unset_option_takes_its_default() {
        let given = |days, title| {
            let mut options = Options::default();
            options.required(Arc::new(Terms { days, title, ..Terms::default() }));
            options
        };
        let mut options = given(None, Some("own"));
        options.with_defaults(&given(Some(7), Some("default")));
        assert_eq!(options.get::<Terms>(), Some(Terms { days: Some(7), title: Some("own"), renames: None }));
        options.optional(Arc::new(Terms { days: Some(1), ..Terms::default() }));
        assert_eq!(options.get::<Terms>(), Some(Terms { days: Some(1), title: Some("own"), renames: None }));
    }

    #[test]
    fn the_last_options_that_say_it_decide_whether_a_free_name_is_found() {
        let mut options = Options::default();
        assert_eq!(options.finds_free_name(), None);
        for renames in [Some(false), Some(true), None] {
            options.required(Arc::new(Terms { renames, ..Terms::default() }));
        }
        assert_eq!(options.finds_free_name(), Some(true));
    }
}
