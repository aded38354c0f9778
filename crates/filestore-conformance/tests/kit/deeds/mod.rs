//! What stores do wrong: at least one deed for every rule.

mod disturbed;
mod finding;
mod storing;
mod telling;

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use filestore_core::{Download, Effect, Error, ErrorKind, FileRef, FileStore, Result, Upload};
use futures::TryStreamExt;

use crate::saboteur::{Honest, Saboteur};

pub(crate) fn all() -> Vec<Saboteur> {
    [storing::deeds(), finding::deeds(), telling::deeds(), disturbed::deeds()].concat()
}

/// The body as far as it comes, and the error that ends it.
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

/// The same upload with another body.
fn with(mut request: Upload, content: impl Into<Bytes>) -> Upload {
    request.body = content.into().into();
    request
}

async fn read(honest: &Honest, reference: &FileRef) -> Result<Vec<u8>> {
    let download = honest.store.download(Download::from(reference)).await?;
    Ok(download.bytes(usize::MAX).await?.into())
}

/// Where an honest store of paths puts an upload.
fn path_of(request: &Upload) -> FileRef {
    let scope = request.scope.iter().flat_map(|scope| scope.split('/'));
    FileRef::new("memory", scope.chain([request.name.as_str()]))
}

fn other(message: &str) -> Error {
    Error::new(ErrorKind::Other, Effect::Rejected, message)
}

/// What saboteurs keep between two requests.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
