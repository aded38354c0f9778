//! The files of file.io and the one state machine they live by.
//!
//! Every change is decided, made durable and published under one lock, by a task that a client's
//! disconnect cannot interrupt. So of any number of racing readers of a single-use file exactly
//! one gets it, and with a data directory the count is on disk before the reader is told.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use rand::distr::{Alphanumeric, SampleString};
use uuid::Uuid;

use super::error::Rejection;
use super::file::{Draft, Owner, State, StoredFile};
use crate::blobs::{BlobReader, Blobs};
use crate::durable::Records;

/// When a read counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    Now,
    /// Not by the read itself; see [`Files::count`].
    Never,
}

#[derive(Clone, Debug)]
pub(super) struct Files {
    shelf: Arc<Mutex<BlobFolder>>,
    blobs: Arc<Blobs>,
    durable: bool,
}

#[derive(Debug)]
struct BlobFolder {
    files: HashMap<String, StoredFile>,
    /// The bytes of each owner's files. Expired ones count until they are swept.
    stored: HashMap<Owner, u64>,
    last_sequence: u64,
    records: Option<Records<StoredFile>>,
    blobs: Arc<Blobs>,
}

impl Files {
    pub(super) fn in_memory(folder: &Path) -> io::Result<Self> {
        let blobs = Blobs::temporary(folder.join("bodies"))?;
        Ok(Self::with(Vec::new(), None, blobs))
    }

    /// The files that a folder holds. What a crash left there without being a file is removed.
    pub(super) fn kept_in(folder: &Path) -> io::Result<Self> {
        let records = Records::open(folder.join("records"))?;
        let blobs = Blobs::durable(folder.join("bodies"))?;
        let mut files: Vec<StoredFile> = records.load()?;
        files.retain(|file| {
            // Only a disk that failed between the two can have lost one of them.
            let whole = blobs.size(&file.body).is_some_and(|size| size == file.size);
            if !whole {
                tracing::warn!(id = file.id, "a stored file lacks its content and is ignored");
            }
            whole
        });
        blobs.remove_all_but(&files.iter().map(|file| &file.body).collect())?;
        Ok(Self::with(files, Some(records), blobs))
    }

    fn with(files: Vec<StoredFile>, records: Option<Records<StoredFile>>, blobs: Arc<Blobs>) -> Self {
        let mut shelf = BlobFolder {
            files: HashMap::new(),
            stored: HashMap::new(),
            last_sequence: files.iter().map(|file| file.sequence).max().unwrap_or(0),
            records,
            blobs: Arc::clone(&blobs),
        };
        for file in files {
            shelf.put(file);
        }
        Files { durable: shelf.records.is_some(), shelf: Arc::new(Mutex::new(shelf)), blobs }
    }

    pub(super) fn blobs(&self) -> &Arc<Blobs> {
        &self.blobs
    }

    /// Puts a file under a new key of `key_length` characters, if its owner may store that much.
    pub(super) async fn insert(&self, draft: Draft, key_length: usize, quota: u64) -> Result<StoredFile, Rejection> {
        self.run(move |shelf| {
            shelf.check_quota(&draft.owner, draft.body.size(), quota, draft.created)?;
            let file = shelf.file_of(draft, key_length);
            if let Err(error) = shelf.save(&file) {
                shelf.blobs.remove(&file.body);
                return Err(error.into());
            }
            Ok(file)
        })
        .await
    }

    /// A file as it is, addressed by key or id.
    pub(super) async fn look(&self, address: &str, now: Timestamp) -> Result<StoredFile, Rejection> {
        let address = address.to_owned();
        self.run(move |shelf| shelf.addressed(&address, now)).await
    }

    /// One download by who `may` read: the content is open and the read is counted, or nothing
    /// happened.
    pub(super) async fn read(
        &self,
        key: &str,
        now: Timestamp,
        count: Count,
        may: impl FnOnce(&StoredFile) -> Result<(), Rejection> + Send + 'static,
    ) -> Result<(StoredFile, BlobReader), Rejection> {
        let key = key.to_owned();
        self.run(move |shelf| {
            let file = shelf.present(&key, now)?;
            may(&file)?;
            if file.state(now) != State::Live {
                return Err(Rejection::NotFound);
            }
            // Opened first: the count may remove the body.
            let content = shelf.blobs.reader(&file.body)?;
            if count == Count::Now {
                shelf.count(&file, now)?;
            }
            Ok((file, content))
        })
        .await
    }

    /// Counts a read that was completed. The file may be gone by now.
    pub(super) async fn count(&self, key: &str, now: Timestamp) -> Result<(), Rejection> {
        let key = key.to_owned();
        self.run(move |shelf| {
            let file = shelf.present(&key, now)?;
            Ok(shelf.count(&file, now)?)
        })
        .await
    }

    /// Changes a file as `change` does, addressed by key or id.
    pub(super) async fn change(
        &self,
        address: &str,
        now: Timestamp,
        quota: u64,
        change: impl FnOnce(&mut StoredFile) -> Result<(), Rejection> + Send + 'static,
    ) -> Result<StoredFile, Rejection> {
        let address = address.to_owned();
        self.run(move |shelf| {
            let before = shelf.addressed(&address, now)?;
            let mut after = before.clone();
            change(&mut after)?;
            let grown = after.size.saturating_sub(before.size);
            let saved = shelf.check_quota(&after.owner, grown, quota, now).and_then(|()| Ok(shelf.save(&after)?));
            let (kept, dropped) = if saved.is_ok() { (&after.body, &before.body) } else { (&before.body, &after.body) };
            if kept != dropped {
                shelf.blobs.remove(dropped);
            }
            saved.map(|()| after)
        })
        .await
    }

    /// Removes a file that `may` be removed, addressed by key or id.
    pub(super) async fn delete(
        &self,
        address: &str,
        now: Timestamp,
        may: impl FnOnce(&StoredFile) -> Result<(), Rejection> + Send + 'static,
    ) -> Result<StoredFile, Rejection> {
        let address = address.to_owned();
        self.run(move |shelf| {
            let file = shelf.addressed(&address, now)?;
            may(&file)?;
            shelf.remove(&file)?;
            Ok(file)
        })
        .await
    }

    /// What an account has, newest first.
    pub(super) async fn of_account(&self, account: &str, now: Timestamp) -> Result<Vec<StoredFile>, Rejection> {
        let owner = Owner::Account(account.to_owned());
        self.run(move |shelf| {
            let owned = shelf.files.values().filter(|file| file.owner == owner);
            let mut files: Vec<_> = owned.filter(|file| file.state(now) != State::Gone).cloned().collect();
            files.sort_by_key(|file| std::cmp::Reverse((file.created, file.sequence)));
            Ok(files)
        })
        .await
    }

    /// Removes what is gone, so that nobody has to ask for it first.
    pub(super) async fn sweep(&self, now: Timestamp) -> Result<(), Rejection> {
        self.run(move |shelf| Ok(shelf.sweep(now)?)).await
    }

    pub(super) async fn clear(&self) -> Result<(), Rejection> {
        self.run(|shelf| Ok(shelf.remove_all(|_| true)?)).await
    }

    pub(super) fn len(&self) -> usize {
        let shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.files.len()
    }

    /// Runs a step of the state machine to its end, even if nobody waits for it any more.
    async fn run<T: Send + 'static>(
        &self,
        step: impl FnOnce(&mut BlobFolder) -> Result<T, Rejection> + Send + 'static,
    ) -> Result<T, Rejection> {
        let shelf = Arc::clone(&self.shelf);
        let locked = move || {
            let mut shelf = shelf.lock().unwrap_or_else(PoisonError::into_inner);
            step(&mut shelf)
        };
        if self.durable {
            // Syncing a disk takes milliseconds, which no request on this thread should wait for.
            tokio::task::spawn_blocking(locked).await.map_err(|error| Rejection::Internal(io::Error::other(error)))?
        } else {
            locked()
        }
    }
}

impl BlobFolder {
    /// The file of a key. One that is gone is removed on the way.
    fn present(&mut self, key: &str, now: Timestamp) -> Result<StoredFile, Rejection> {
        let file = self.files.get(key).cloned().ok_or(Rejection::NotFound)?;
        if file.state(now) == State::Gone {
            self.remove(&file)?;
            return Err(Rejection::NotFound);
        }
        Ok(file)
    }

    /// The file of a key or an id: some clients manage files by their ids.
    fn addressed(&mut self, address: &str, now: Timestamp) -> Result<StoredFile, Rejection> {
        if self.files.contains_key(address) {
            return self.present(address, now);
        }
        let of_id = self.files.values().find(|file| file.id == address);
        let key = of_id.map(|file| file.key.clone()).ok_or(Rejection::NotFound)?;
        self.present(&key, now)
    }

    fn count(&mut self, file: &StoredFile, now: Timestamp) -> io::Result<()> {
        let mut counted = file.clone();
        counted.downloads += 1;
        if counted.state(now) == State::Gone { self.remove(&counted) } else { self.save(&counted) }
    }

    fn file_of(&mut self, draft: Draft, key_length: usize) -> StoredFile {
        let key = self.unused_key(key_length);
        self.last_sequence += 1;
        StoredFile {
            id: Uuid::new_v4().to_string(),
            sequence: self.last_sequence,
            owner: draft.owner,
            name: draft.name.resolve(&key),
            title: draft.title,
            description: draft.description,
            size: draft.body.size(),
            mime_type: draft.mime_type,
            terms: draft.terms,
            downloads: 0,
            plan_id: draft.plan_id,
            created: draft.created,
            modified: draft.created,
            body: draft.body.keep(),
            key,
        }
    }

    /// The record first: a crash before it leaves the old file, one after it the new.
    fn save(&mut self, file: &StoredFile) -> io::Result<()> {
        if let Some(records) = &self.records {
            records.save(&file.id, file)?;
        }
        self.take(&file.key);
        self.put(file.clone());
        Ok(())
    }

    /// The record first: a body without record is removed at the next start.
    fn remove(&mut self, file: &StoredFile) -> io::Result<()> {
        if let Some(records) = &self.records {
            records.remove(&file.id)?;
        }
        self.take(&file.key);
        self.blobs.remove(&file.body);
        Ok(())
    }

    fn put(&mut self, file: StoredFile) {
        *self.stored.entry(file.owner.clone()).or_default() += file.size;
        self.files.insert(file.key.clone(), file);
    }

    fn take(&mut self, key: &str) {
        let Some(file) = self.files.remove(key) else {
            return;
        };
        if let Entry::Occupied(mut stored) = self.stored.entry(file.owner) {
            *stored.get_mut() -= file.size;
            if *stored.get() == 0 {
                stored.remove();
            }
        }
    }

    fn sweep(&mut self, now: Timestamp) -> io::Result<()> {
        self.remove_all(|file| file.state(now) == State::Gone)
    }

    fn remove_all(&mut self, select: impl Fn(&StoredFile) -> bool) -> io::Result<()> {
        let selected: Vec<_> = self.files.values().filter(|file| select(file)).cloned().collect();
        selected.iter().try_for_each(|file| self.remove(file))
    }

    fn check_quota(&mut self, owner: &Owner, more: u64, quota: u64, now: Timestamp) -> Result<(), Rejection> {
        let fits = |shelf: &BlobFolder| shelf.stored.get(owner).map_or(0, |bytes| *bytes).saturating_add(more) <= quota;
        if !fits(self) {
            self.sweep(now)?;
        }
        if fits(self) {
            return Ok(());
        }
        Err(Rejection::PaymentRequired(format!("The account may store {quota} bytes").into()))
    }

    fn unused_key(&self, length: usize) -> String {
        loop {
            // The key is the permission to read: it comes from the system's secure source.
            let key = Alphanumeric.sample_string(&mut rand::rng(), length);
            if !self.files.contains_key(&key) {
                return key;
            }
        }
    }
}
