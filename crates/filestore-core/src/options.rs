//! Options that only some services have, typed, and never dropped in silence.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::{Error, Result};

/// A group of options that belongs to one service, such as the number of downloads after which a
/// file goes away. Backends define the types; callers hand them over with
/// [`Upload::with`](crate::Upload::with).
pub trait ProviderOptions: Any + fmt::Debug + Send + Sync {
    /// The name by which [`Capabilities::options`](crate::Capabilities::options) lists it.
    fn name(&self) -> &'static str;

    /// Fills each option that is not set with that of `defaults`.
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
    /// Options that a store must know, else it rejects the request.
    pub fn required(&mut self, value: Arc<dyn ProviderOptions>) {
        self.entries.push(Entry { value, required: true });
    }

    /// Options that a store may skip; its answer then says so.
    pub fn optional(&mut self, value: Arc<dyn ProviderOptions>) {
        self.entries.push(Entry { value, required: false });
    }

    /// The options of type `T`. If there are several, the last one that sets an option counts.
    pub fn get<T: ProviderOptions + Clone>(&self) -> Option<T> {
        let given = self.entries.iter().rev();
        let mut given = given.filter_map(|entry| (entry.value.as_ref() as &dyn Any).downcast_ref::<T>());
        let last = given.next()?.clone();
        Some(given.fold(last, T::with_defaults))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Puts `defaults` below these.
    pub(crate) fn with_defaults(&mut self, defaults: &Self) {
        self.entries.splice(0..0, defaults.entries.iter().cloned());
    }

    /// *Unsupported* if a store with `accepted` does not know some that it may not skip.
    pub(crate) fn check(&self, accepted: &[&'static str]) -> Result<()> {
        let mut names = self.entries.iter().filter(|entry| entry.required).map(|entry| entry.value.name());
        match names.find(|name| !accepted.contains(name)) {
            Some(name) => {
                Err(Error::unsupported(format!("this store does not know the options {name:?}; leave them out")))
            }
            None => Ok(()),
        }
    }

    /// Takes out what a store with `accepted` skips, and gives its names.
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
    fn each_option_that_is_not_set_is_that_of_the_defaults() {
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
