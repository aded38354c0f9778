//! [`Layer`]: a wrapper around a store.

use std::sync::Arc;

use crate::FileStore;

/// Wraps a store in another one, for tracing, limits or encryption.
///
/// The wrapper implements every method of [`FileStore`] (none has a default, so none can be forgotten) and adjusts the
/// [capabilities](crate::Capabilities) to its own effect. It keeps scheme and locator of
/// [references](crate::FileRef), so that a store without the layer finds the same file.
pub trait Layer {
    /// Wraps `inner` in the layer.
    fn layer(&self, inner: Arc<dyn FileStore>) -> Arc<dyn FileStore>;
}
