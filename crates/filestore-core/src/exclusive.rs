//! [`Exclusive`]: makes a value `Sync` that is only used through its one mutable reference.

use std::sync::{Mutex, PoisonError};

/// A value that is only used through a mutable reference. It is `Sync` although the value need not be: the lock is never
/// taken, because no access shares it.
pub(crate) struct Exclusive<T>(Mutex<T>);

impl<T> Exclusive<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}
