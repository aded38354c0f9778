//! [`Layer`]: something put around a store.

use std::sync::Arc;

use crate::FileStore;

/// Makes a store out of a store: tracing, limits, encryption.
///
/// The new one implements every method of [`FileStore`] (none has a default, so none can be
/// forgotten) and changes the [capabilities](crate::Capabilities) to what holds with it in place. It
/// keeps scheme and locator of references, so that a store without the layer finds the same object.
pub trait Layer {
    /// Puts the layer around `inner`.
    fn layer(&self, inner: Arc<dyn FileStore>) -> Arc<dyn FileStore>;
}
