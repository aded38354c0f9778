//! The mutations of broken stores: at least one for every rule.

mod disturbed;
mod metadata;
mod read;
mod write;

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use filestore_core::{Download, Effect, Error, ErrorKind, FileRef, FileStore, Result, Upload};
use futures::TryStreamExt;

use crate::broken_store::{BrokenStore, Reference};

pub(crate) fn all() -> Vec<BrokenStore> {
    [write::mutations(), read::mutations(), metadata::mutations(), disturbed::mutations()].concat()
}

/// Returns the bytes of the body up to its end or its error, and the error.
async fn gather(request: &Upload) -> (Vec<u8>, Option<Error>) {
    let mut stream = match request.body.open().await {
        Ok(stream) => stream,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let mut content = Vec::new();
    loop {
        match stream.try_next().await {
            Ok(Some(chunk)) => content.extend_from_slice(&chunk),
            Ok(None) => return (content, None),
            Err(error) => return (content, Some(error)),
        }
    }
}

/// Returns the same upload with another body.
fn with(mut request: Upload, content: impl Into<Bytes>) -> Upload {
    request.body = content.into().into();
    request
}

async fn read(inner: &Reference, reference: &FileRef) -> Result<Vec<u8>> {
    let download = inner.store.download(Download::from(reference)).await?;
    Ok(download.bytes(usize::MAX).await?.into())
}

/// Returns the reference that a correct store of paths gives to an upload.
fn path_of(request: &Upload) -> FileRef {
    let scope = request.scope.iter().flat_map(|scope| scope.split('/'));
    FileRef::new("memory", scope.chain([request.name.as_str()]))
}

fn other(message: &str) -> Error {
    Error::new(ErrorKind::Other, Effect::Rejected, message)
}

/// Locks the state that a broken store keeps between requests.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
