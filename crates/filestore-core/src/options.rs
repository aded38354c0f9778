//! Options that only some services have, typed, and never dropped in silence.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// A group of options that belongs to one service, such as the number of downloads after which a
/// file goes away. Backends define the types; callers hand them over with
/// [`Upload::with`](crate::Upload::with).
pub trait ProviderOptions: Any + fmt::Debug + Send + Sync {
    /// The name by which [`Capabilities::options`](crate::Capabilities::options) lists it.
    fn name(&self) -> &'static str;
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
    /// Options that a store must know, else it refuses the request.
    pub fn require(&mut self, value: Arc<dyn ProviderOptions>) {
        self.entries.push(Entry { value, required: true });
    }

    /// Options that a store may skip; its answer then says so.
    pub fn prefer(&mut self, value: Arc<dyn ProviderOptions>) {
        self.entries.push(Entry { value, required: false });
    }

    /// The options of type `T`; the last ones given count.
    pub fn get<T: ProviderOptions>(&self) -> Option<&T> {
        self.entries.iter().rev().find_map(|entry| (entry.value.as_ref() as &dyn Any).downcast_ref())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Puts `defaults` below these.
    pub(crate) fn or(&mut self, defaults: &Self) {
        self.entries.splice(0..0, defaults.entries.iter().cloned());
    }

    /// Takes out what a store with `accepted` may skip, and gives its names. `Err` names the first
    /// that it may not skip.
    pub(crate) fn settle(&mut self, accepted: &[&'static str]) -> Result<Vec<&'static str>, &'static str> {
        let mut skipped = Vec::new();
        for entry in &self.entries {
            let name = entry.value.name();
            if !accepted.contains(&name) {
                if entry.required {
                    return Err(name);
                }
                skipped.push(name);
            }
        }
        self.entries.retain(|entry| accepted.contains(&entry.value.name()));
        Ok(skipped)
    }
}
