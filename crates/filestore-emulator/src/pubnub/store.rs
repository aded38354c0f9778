//! The state of the emulated PubNub, behind one lock.
//!
//! Each change is decided, written to disk and made visible while the lock is held. A client that disconnects does not
//! interrupt it.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use super::error::Rejection;
use super::grants::Grants;
use super::messages::Messages;
use super::objects::Objects;
use crate::blobs::Blobs;
use crate::durable::Damage;

/// The state, and the blobs with the contents of files.
#[derive(Debug)]
pub(super) struct Store {
    state: Arc<Mutex<State>>,
    blobs: Arc<Blobs>,
    durable: bool,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) objects: Objects,
    pub(super) messages: Messages,
    pub(super) grants: Grants,
}

impl Store {
    /// Opens a store that ends with the process. Large file contents are in `folder`.
    pub(super) fn in_memory(folder: &Path) -> io::Result<Self> {
        let blobs = Blobs::temporary(folder.join("bodies"))?;
        let objects = Objects::in_memory(Arc::clone(&blobs));
        let state = State { objects, messages: Messages::default(), grants: Grants::default() };
        Ok(Self::new(state, blobs, false))
    }

    /// Opens the store of a data directory.
    pub(super) fn durable(folder: &Path, damage: &mut Damage) -> io::Result<Self> {
        let blobs = Blobs::durable(folder.join("bodies"))?;
        let state = State {
            objects: Objects::load(folder, Arc::clone(&blobs), damage)?,
            messages: Messages::load(folder, damage)?,
            grants: Grants::load(folder, damage)?,
        };
        Ok(Self::new(state, blobs, true))
    }

    fn new(state: State, blobs: Arc<Blobs>, durable: bool) -> Self {
        Store { state: Arc::new(Mutex::new(state)), blobs, durable }
    }

    pub(super) fn blobs(&self) -> &Arc<Blobs> {
        &self.blobs
    }

    /// Returns the number of stored files.
    pub(super) fn file_count(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).objects.len()
    }

    /// Runs `step` under the lock, to its end even if the caller is dropped.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        step: impl FnOnce(&mut State) -> Result<T, Rejection> + Send + 'static,
    ) -> Result<T, Rejection> {
        let state = Arc::clone(&self.state);
        let locked = move || step(&mut state.lock().unwrap_or_else(PoisonError::into_inner));
        if self.durable {
            // Syncing a disk takes milliseconds and would block the other requests of this thread.
            tokio::task::spawn_blocking(locked).await.map_err(io::Error::other)?
        } else {
            locked()
        }
    }

    pub(super) async fn sweep(&self, now: Timestamp) -> Result<(), Rejection> {
        self.run(move |state| {
            state.objects.sweep(now)?;
            Ok(state.messages.sweep(now)?)
        })
        .await
    }

    pub(super) async fn clear(&self) -> Result<(), Rejection> {
        self.run(|state| {
            state.objects.clear()?;
            state.messages.clear()?;
            Ok(state.grants.clear()?)
        })
        .await
    }
}
