//! [`Digests`]: the digests of a body, computed while it is sent, and of a stored file.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use filestore_core::{Body, Digest, DigestAlgorithm, Result, Store, StoredFile};
use futures::{TryStreamExt, stream};

use crate::digester::Digester;

/// The digests of a body, computed while it is sent.
#[derive(Clone)]
pub(crate) struct Digests {
    algorithms: Arc<[DigestAlgorithm]>,
    /// The state of the last opening, which alone counts.
    current: Arc<Mutex<Arc<Mutex<Vec<Digester>>>>>,
}

impl Digests {
    pub(crate) fn new(algorithms: Vec<DigestAlgorithm>) -> Self {
        Self { algorithms: algorithms.into(), current: Arc::default() }
    }

    /// Returns a body with the content of `body`, whose openings are digested.
    pub(crate) fn over(&self, body: Body) -> Body {
        if self.algorithms.is_empty() {
            return body;
        }
        let (length, can_replay, digests) = (body.length(), body.can_replay(), self.clone());
        let body = Arc::new(body);
        let open = move || {
            let (body, digests) = (Arc::clone(&body), digests.clone());
            async move {
                let stream = body.open().await?;
                let state = digests.restart();
                Ok(stream.inspect(move |chunk| {
                    lock(&state).iter_mut().for_each(|digester| digester.update(chunk));
                }))
            }
        };
        match can_replay {
            true => Body::reopenable(open, length),
            false => Body::from_stream(stream::once(open()).try_flatten(), length),
        }
    }

    fn restart(&self) -> Arc<Mutex<Vec<Digester>>> {
        let digesters = self.algorithms.iter().map(|algorithm| Digester::new(*algorithm)).collect();
        let state = Arc::new(Mutex::new(digesters));
        *lock(&self.current) = Arc::clone(&state);
        state
    }

    pub(crate) fn finish(self) -> Vec<Digest> {
        let state = Arc::clone(&lock(&self.current));
        let digesters = std::mem::take(&mut *lock(&state));
        digesters.into_iter().map(Digester::finish).collect()
    }
}

/// Reads a stored file, and returns a digest of its content.
pub(crate) async fn content_digest(store: &Store, file: &StoredFile, algorithm: DigestAlgorithm) -> Result<Digest> {
    let digester = Arc::new(Mutex::new(Digester::new(algorithm)));
    let sink = Arc::clone(&digester);
    let mut stream = store.download(&file.reference).await?.stream.inspect(move |chunk| lock(&sink).update(chunk));
    while stream.try_next().await?.is_some() {}
    drop(stream);
    let digester = lock(&digester).clone();
    Ok(digester.finish())
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
