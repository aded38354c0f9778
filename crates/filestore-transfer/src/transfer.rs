//! [`Transfer`]: what the requests [`Upload`], [`Save`] and [`Delete`] have in common.

use filestore_core::{Delete, Effect, Observer, Operation, Result, SavedFile, Store, StoredFile, Upload};
use futures::future::BoxFuture;

use crate::blocking::blocking;
use crate::save::create_folders;
use crate::{Save, SaveTarget};

/// A transfer of one file, which returns a `T`.
pub(crate) trait Transfer<T>: Send {
    /// Returns the size of the content in bytes, if it is known.
    fn size(&self) -> Option<u64>;

    /// Returns a second transfer of the same file, unless it must not or cannot be repeated after a rejection.
    fn try_clone(&self, store: &Store) -> Option<Box<dyn Transfer<T>>>;

    /// Returns the effect of a request that was sent and whose future was dropped.
    fn effect_if_dropped(&self, store: &Store) -> Effect;

    /// Sends the request once.
    fn run(self: Box<Self>, store: Store, observer: Box<dyn Observer>) -> BoxFuture<'static, Result<T>>;
}

impl Transfer<StoredFile> for Upload {
    fn size(&self) -> Option<u64> {
        self.body.length()
    }

    fn try_clone(&self, _: &Store) -> Option<Box<dyn Transfer<StoredFile>>> {
        Some(Box::new(Self::try_clone(self)?))
    }

    fn effect_if_dropped(&self, _: &Store) -> Effect {
        Effect::Unknown
    }

    fn run(self: Box<Self>, store: Store, observer: Box<dyn Observer>) -> BoxFuture<'static, Result<StoredFile>> {
        Box::pin(async move { store.upload(self.on_progress(move |progress| observer.progress(progress))).await })
    }
}

impl Transfer<SavedFile> for Save {
    fn size(&self) -> Option<u64> {
        self.size
    }

    fn try_clone(&self, store: &Store) -> Option<Box<dyn Transfer<SavedFile>>> {
        // A read that consumes its file is sent once.
        (!store.capabilities().reads_consume()).then(|| Box::new(self.clone()) as _)
    }

    fn effect_if_dropped(&self, store: &Store) -> Effect {
        if store.capabilities().reads_consume() { Effect::Unknown } else { Effect::Rejected }
    }

    fn run(self: Box<Self>, store: Store, observer: Box<dyn Observer>) -> BoxFuture<'static, Result<SavedFile>> {
        Box::pin(async move {
            let Self { download, target, if_exists, .. } = *self;
            let download = download.on_progress(move |progress| observer.progress(progress));
            match target {
                SaveTarget::Path(path) => store.download_to_path(download, path, if_exists).await,
                SaveTarget::Folder(folder) => store.download_to_folder(download, folder, if_exists).await,
                SaveTarget::Below { folder, path } => {
                    let path = blocking(move || create_folders(&folder, &path)).await;
                    let path =
                        path.map_err(|error| store.context_of(error, Operation::Download, &download.reference))?;
                    store.download_to_path(download, path, if_exists).await
                }
            }
        })
    }
}

impl Transfer<()> for Delete {
    fn size(&self) -> Option<u64> {
        Some(0)
    }

    fn try_clone(&self, _: &Store) -> Option<Box<dyn Transfer<()>>> {
        Some(Box::new(self.clone()))
    }

    fn effect_if_dropped(&self, _: &Store) -> Effect {
        Effect::Unknown
    }

    fn run(self: Box<Self>, store: Store, _: Box<dyn Observer>) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move { store.delete(*self).await })
    }
}
