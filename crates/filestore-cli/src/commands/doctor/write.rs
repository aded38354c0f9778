//! A small file that is stored and deleted at once. It is never read.

use filestore::{Cleanup, Delete, Effect, Error, ErrorKind, Feature, FileRef, Result, Store, Upload};

use super::Finding;
use crate::commands::probing::{random_suffix, remove};

const CONTENT: &str = "A test of `filestore doctor`. Delete this file.\n";

pub(super) async fn check(store: &Store) -> Finding {
    if let Err(error) = store.capabilities().check(Feature::Delete) {
        return Finding::Unchecked(format!("a test file would stay: {}", error.message()));
    }
    // A signal drops this future, and not the task: the program waits until the file is deleted.
    let (store, cleanup) = (store.clone(), Cleanup::begin());
    let task = tokio::spawn(async move {
        let result = store_and_delete(&store).await;
        drop(cleanup);
        result
    });
    let result = task.await.unwrap_or_else(|panic| {
        Err(Error::new(ErrorKind::Other, Effect::Unknown, "the test file may still be stored").with_source(panic))
    });
    Finding::of(result.map(|()| "a test file was stored and deleted".to_owned()))
}

async fn store_and_delete(store: &Store) -> Result<()> {
    let name = format!("filestore-doctor-{}.txt", random_suffix());
    match store.upload(Upload::new(&name, CONTENT)).await {
        Ok(file) => remove(store, Delete::from(file.reference)).await,
        Err(error) => {
            for reference in possibly_stored(store, &name, &error) {
                remove(store, Delete::from(reference)).await?;
            }
            Err(error)
        }
    }
}

/// Returns the references of the file that an upload may have stored although it failed.
fn possibly_stored(store: &Store, name: &str, error: &Error) -> Vec<FileRef> {
    if !matches!(error.effect(), Effect::Unknown | Effect::Applied) {
        return Vec::new();
    }
    let stored = error.stored().map(|file| &file.reference);
    let known: Vec<FileRef> = stored.into_iter().chain(error.possibly_stored()).cloned().collect();
    if known.is_empty() { store.reference(None, name).into_iter().collect() } else { known }
}
