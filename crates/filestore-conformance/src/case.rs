//! [`Case`]: the environment of one rule: a store, a separate scope, and the files that the rule has stored.

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

/// The size in bytes that no file of a rule exceeds.
pub(crate) const LARGEST: usize = 17 * 1024 * 1024;

pub(crate) struct Case<'a> {
    pub(crate) harness: &'a dyn Harness,
    pub(crate) store: Store,
    /// The scope of this case; `None` if the store has no scopes.
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

    /// Opens another handle of the same store.
    pub(crate) async fn second_handle(&self) -> Verdict<Store> {
        needed("opening a second handle", self.harness.open().await)
    }

    /// Returns a second scope of this case.
    pub(crate) fn other_scope(&self, suffix: &str) -> Option<String> {
        self.harness.scope(&format!("{}-{suffix}", self.label), self.capabilities().scope)
    }

    /// Returns `true` if the case has a separate scope, whose listing has only the case's files.
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

    /// Returns a name that no other case uses, even if all cases share one listing.
    pub(crate) fn name(&self, name: &str) -> String {
        if self.has_scope() { name.to_owned() } else { format!("{}-{name}", self.label) }
    }

    /// Returns an upload into the case's scope.
    pub(crate) fn upload(&self, name: &str, body: impl Into<Body>) -> Upload {
        let mut upload = Upload::new(self.name(name), body);
        upload.scope.clone_from(&self.scope);
        upload
    }

    /// Sends `upload`, and remembers the file that it stored.
    pub(crate) async fn send(&self, upload: Upload) -> Result<StoredFile> {
        let result = self.store.upload(upload).await;
        let stored = result.as_ref().ok().or_else(|| result.as_ref().err().and_then(Error::stored));
        if let Some(file) = stored {
            self.remember(&file.reference);
        }
        result
    }

    /// Stores a file that the rule needs but does not test. If that fails, the rule is blocked.
    pub(crate) async fn put(&self, name: &str, content: impl Into<Bytes>) -> Verdict<StoredFile> {
        needed(&format!("the upload of {name:?}"), self.send(self.upload(name, content.into())).await)
    }

    pub(crate) fn remember(&self, reference: &FileRef) {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner).push(reference.clone());
    }

    pub(crate) async fn read(&self, reference: &FileRef) -> Result<Bytes> {
        self.store.read(reference, LARGEST).await
    }

    /// Returns all files of `scope`, or no files if the scope is not found.
    pub(crate) async fn list_scope(&self, scope: Option<&str>) -> Result<Vec<StoredFile>> {
        match self.store.list_all(list_of(scope)).try_collect().await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            other => other,
        }
    }

    /// Returns all files of the case's scope.
    pub(crate) async fn list(&self) -> Result<Vec<StoredFile>> {
        self.list_scope(self.scope.as_deref()).await
    }

    /// Checks that there are no files besides `before`, neither under the name that failed nor under a temporary one.
    pub(crate) async fn nothing_new(&self, before: &Snapshot, what: &str) -> Verdict {
        let Some(before) = &before.0 else { return Ok(()) };
        let now = needed("listing", self.list().await)?;
        let mut new = now.iter().filter(|file| !before.contains(&file.reference));
        match new.find(|file| self.has_scope() || file.name.contains(&self.label)) {
            Some(file) => failed(format!("{what} stores nothing"), format!("a file {:?} in the listing", file.name)),
            None => Ok(()),
        }
    }

    /// Returns the files that exist now, for [`nothing_new`](Self::nothing_new). The snapshot of a store without
    /// listings is empty, and passes that check.
    pub(crate) async fn snapshot(&self) -> Verdict<Snapshot> {
        if !self.supports(Feature::List) {
            return Ok(Snapshot(None));
        }
        let files = needed("listing", self.list().await)?;
        Ok(Snapshot(Some(files.into_iter().map(|file| file.reference).collect())))
    }

    /// Returns the reference of a file that never existed, derived from the reference of an existing file.
    pub(crate) fn missing(&self, like: &FileRef) -> FileRef {
        let mut components = like.components();
        let last = components.last_mut().map(std::mem::take).unwrap_or_default();
        // The length stays, because a key of another length may be invalid.
        let wrong: String = last.chars().map(|c| if c.is_ascii_alphanumeric() { next(c) } else { c }).collect();
        if let Some(last) = components.last_mut() {
            *last = wrong;
        }
        FileRef::new(like.scheme(), components).stamped(&self.store.name().into())
    }

    /// Returns the numbers of requests that the service has received so far; `None` if the harness does not count them.
    pub(crate) async fn requests(&self) -> Option<Requests> {
        self.harness.requests().await
    }

    /// Makes the service misbehave until [`end_disturbance`](Self::end_disturbance). Returns `false` if the harness
    /// cannot.
    pub(crate) async fn disturb(&self, disturbance: Disturbance) -> bool {
        self.disturbed.store(true, Ordering::Relaxed);
        self.harness.disturb(disturbance).await
    }

    /// Makes the service work normally again.
    pub(crate) async fn end_disturbance(&self) {
        if self.disturbed.swap(false, Ordering::Relaxed) {
            self.harness.disturb(Disturbance::None).await;
        }
    }

    /// Checks that no request was sent since `before`.
    pub(crate) async fn unsent(&self, before: Option<Requests>, what: &str) -> Verdict {
        match (before, self.requests().await) {
            (Some(before), Some(after)) if after.total != before.total => {
                failed(format!("{what} sends nothing"), format!("{} requests", after.total - before.total))
            }
            _ => Ok(()),
        }
    }

    /// Deletes the files that the case has stored, if the store supports delete.
    pub(crate) async fn delete_all(&self) {
        let stored = std::mem::take(&mut *self.stored.lock().unwrap_or_else(PoisonError::into_inner));
        if self.supports(Feature::Delete) {
            for reference in stored {
                let _ = self.store.delete(reference).await;
            }
        }
    }
}

/// The references in a listing; `None` if the store has no listings.
pub(crate) struct Snapshot(Option<BTreeSet<FileRef>>);

pub(crate) fn list_of(scope: Option<&str>) -> List {
    let mut list = List::new();
    list.scope = scope.map(str::to_owned);
    list
}

/// Returns the next letter or digit of the same kind.
fn next(c: char) -> char {
    match c {
        'z' => 'a',
        'Z' => 'A',
        '9' => '0',
        other => char::from_u32(u32::from(other) + 1).unwrap_or(other),
    }
}
