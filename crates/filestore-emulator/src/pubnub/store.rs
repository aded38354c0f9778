//! Everything that the emulated PubNub remembers, behind one lock.
//!
//! A change is decided, made durable and published under it, by a task that a client's disconnect
//! cannot interrupt.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use super::error::Rejection;
use super::grants::Grants;
use super::messages::Messages;
use super::objects::Objects;
use crate::blobs::Blobs;

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
    pub(super) fn in_memory(folder: &Path) -> io::Result<Self> {
        let blobs = Blobs::temporary(folder.join("bodies"))?;
        let objects = Objects::in_memory(Arc::clone(&blobs));
        let state = State { objects, messages: Messages::default(), grants: Grants::default() };
        Ok(Self::with(state, blobs, false))
    }

    pub(super) fn kept_in(folder: &Path) -> io::Result<Self> {
        let blobs = Blobs::durable(folder.join("bodies"))?;
        let state = State {
            objects: Objects::kept_in(folder, Arc::clone(&blobs))?,
            messages: Messages::kept_in(folder)?,
            grants: Grants::kept_in(folder)?,
        };
        Ok(Self::with(state, blobs, true))
    }

    fn with(state: State, blobs: Arc<Blobs>, durable: bool) -> Self {
        Store { state: Arc::new(Mutex::new(state)), blobs, durable }
    }

    pub(super) fn blobs(&self) -> &Arc<Blobs> {
        &self.blobs
    }

    pub(super) fn files(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).objects.len()
    }

    /// Runs a step to its end, even if nobody waits for it any more.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        step: impl FnOnce(&mut State) -> Result<T, Rejection> + Send + 'static,
    ) -> Result<T, Rejection> {
        let state = Arc::clone(&self.state);
        let locked = move || step(&mut state.lock().unwrap_or_else(PoisonError::into_inner));
        if self.durable {
            // Syncing a disk takes milliseconds, which no request on this thread should wait for.
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
