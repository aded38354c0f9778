//! [`Case`]: the surroundings of one rule: a store, a scope of its own, and the files it has stored.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use filestore_core::{
    Body, Capabilities, Error, ErrorKind, Feature, FileRef, List, Result, ScopeKind, Store, StoredFile, Upload,
};
use futures::TryStreamExt;

use crate::harness::{Disturbance, Harness, Requests};
use crate::verdict::{Verdict, failed, needed, skipped};

/// No rule stores more than this in one file.
pub(crate) const LARGEST: usize = 17 * 1024 * 1024;

pub(crate) struct Case<'a> {
    pub(crate) harness: &'a dyn Harness,
    pub(crate) store: Store,
    /// The scope of this case. `None` where there are no scopes.
    pub(crate) scope: Option<String>,
    label: String,
    stored: Mutex<Vec<FileRef>>,
    disturbed: AtomicBool,
}

impl<'a> Case<'a> {
    pub(crate) fn new(harness: &'a dyn Harness, store: Store, label: String) -> Self {
        let scope = harness.scope(&label, store.capabilities().scope);
        Self { harness, store, scope, label, stored: Mutex::default(), disturbed: AtomicBool::new(false) }
    }

    pub(crate) fn capabilities(&self) -> &Capabilities {
        self.store.capabilities()
    }

    pub(crate) fn supports(&self, feature: Feature) -> bool {
        self.capabilities().supports(feature)
    }

    /// Another handle of the same store.
    pub(crate) async fn second_handle(&self) -> Verdict<Store> {
        needed("opening a second handle", self.harness.open().await)
    }

    /// A second scope of this case.
    pub(crate) fn other_scope(&self, suffix: &str) -> Option<String> {
        self.harness.scope(&format!("{}-{suffix}", self.label), self.capabilities().scope)
    }

    /// Whether the listing of the case's scope has nothing but the case's files.
    pub(crate) fn has_scope(&self) -> bool {
        self.scope.is_some()
    }

    pub(crate) fn needs_scopes(&self) -> Verdict {
        if self.has_scope() { Ok(()) } else { skipped("scope", "the store has no scopes") }
    }

    pub(crate) fn needs_folders(&self) -> Verdict {
        match self.capabilities().scope {
            ScopeKind::Folder => self.needs_scopes(),
            other => skipped("scope", format!("the store's scopes are not folders: {other}")),
        }
    }

    /// A name that no other case uses, also where all cases share one listing.
    pub(crate) fn name(&self, name: &str) -> String {
        if self.has_scope() { name.to_owned() } else { format!("{}-{name}", self.label) }
    }

    /// An upload into the case's scope.
    pub(crate) fn upload(&self, name: &str, body: impl Into<Body>) -> Upload {
        let mut upload = Upload::new(self.name(name), body);
        upload.scope.clone_from(&self.scope);
        upload
    }

    /// Sends `upload`, and remembers what it stored.
    pub(crate) async fn send(&self, upload: Upload) -> Result<StoredFile> {
        let result = self.store.upload(upload).await;
        let stored = result.as_ref().ok().or_else(|| result.as_ref().err().and_then(Error::stored));
        if let Some(file) = stored {
            self.remember(&file.reference);
        }
        result
    }

    /// A file that the rule needs but is not about.
    pub(crate) async fn put(&self, name: &str, content: impl Into<Bytes>) -> Verdict<StoredFile> {
        needed(&format!("the upload of {name:?}"), self.send(self.upload(name, content.into())).await)
    }

    pub(crate) fn remember(&self, reference: &FileRef) {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner).push(reference.clone());
    }

    pub(crate) async fn read(&self, reference: &FileRef) -> Result<Bytes> {
        self.store.read(reference, LARGEST).await
    }

    /// All files of `scope`, with nothing for a scope that is not found.
    pub(crate) async fn list_scope(&self, scope: Option<&str>) -> Result<Vec<StoredFile>> {
        match self.store.list_all(list_of(scope)).try_collect().await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            other => other,
        }
    }

    /// All files of the case's scope.
    pub(crate) async fn list(&self) -> Result<Vec<StoredFile>> {
        self.list_scope(self.scope.as_deref()).await
    }

    /// Besides `before`, nothing is there: neither under the name that failed nor under a temporary one.
    pub(crate) async fn nothing_new(&self, before: &Snapshot, what: &str) -> Verdict {
        let Some(before) = &before.0 else { return Ok(()) };
        let now = needed("listing", self.list().await)?;
        let mut new = now.iter().filter(|file| !before.contains(&file.reference));
        match new.find(|file| self.has_scope() || file.name.contains(&self.label)) {
            Some(file) => failed(format!("{what} stores nothing"), format!("a file {:?} in the listing", file.name)),
            None => Ok(()),
        }
    }

    /// What is there now, for [`nothing_new`](Self::nothing_new). Without listings nobody can tell.
    pub(crate) async fn snapshot(&self) -> Verdict<Snapshot> {
        if !self.supports(Feature::List) {
            return Ok(Snapshot(None));
        }
        let files = needed("listing", self.list().await)?;
        Ok(Snapshot(Some(files.into_iter().map(|file| file.reference).collect())))
    }

    /// The reference of a file that never was, made from one that is.
    pub(crate) fn missing(&self, like: &FileRef) -> FileRef {
        let mut components = like.components();
        let last = components.last_mut().map(std::mem::take).unwrap_or_default();
        // As long as before, because keys of another length may not be keys at all.
        let wrong: String = last.chars().map(|c| if c.is_ascii_alphanumeric() { next(c) } else { c }).collect();
        if let Some(place) = components.last_mut() {
            *place = wrong;
        }
        FileRef::new(like.scheme(), components).stamped(&self.store.name().into())
    }

    /// What the service has received so far; `None` where nobody counts.
    pub(crate) async fn requests(&self) -> Option<Requests> {
        self.harness.requests().await
    }

    /// Makes the service misbehave, and returns whether it does; [`calm`](Self::calm) ends it.
    pub(crate) async fn disturb(&self, disturbance: Disturbance) -> bool {
        self.disturbed.store(true, Ordering::Relaxed);
        self.harness.disturb(disturbance).await
    }

    /// Lets the service work again.
    pub(crate) async fn calm(&self) {
        if self.disturbed.swap(false, Ordering::Relaxed) {
            self.harness.disturb(Disturbance::None).await;
        }
    }

    /// Nothing was sent since `before`.
    pub(crate) async fn unsent(&self, before: Option<Requests>, what: &str) -> Verdict {
        match (before, self.requests().await) {
            (Some(before), Some(after)) if after.total != before.total => {
                failed(format!("{what} sends nothing"), format!("{} requests", after.total - before.total))
            }
            _ => Ok(()),
        }
    }

    /// Deletes what the case has stored, where the store can delete.
    pub(crate) async fn delete_all(&self) {
        let stored = std::mem::take(&mut *self.stored.lock().unwrap_or_else(PoisonError::into_inner));
        if self.supports(Feature::Delete) {
            for reference in stored {
                let _ = self.store.delete(reference).await;
            }
        }
    }
}

/// The references that were in a listing; `None` where there are no listings.
pub(crate) struct Snapshot(Option<BTreeSet<FileRef>>);

pub(crate) fn list_of(scope: Option<&str>) -> List {
    let mut list = List::new();
    list.scope = scope.map(str::to_owned);
    list
}

/// Another letter or digit of the same kind.
fn next(c: char) -> char {
    match c {
        'z' => 'a',
        'Z' => 'A',
        '9' => '0',
        other => char::from_u32(u32::from(other) + 1).unwrap_or(other),
    }
}
