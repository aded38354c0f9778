//! The files of file.io and the one state machine they live by.
//!
//! Every change is decided, made durable and published under one lock, by a task that a client's
//! disconnect cannot interrupt. So of any number of racing readers of a single-use file exactly
//! one gets it, and with a data directory the count is on disk before the reader is told.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::{fmt, io};

use jiff::Timestamp;
use rand::distr::{Alphanumeric, SampleString};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::Refusal;
use super::terms::Terms;
use crate::blobs::{Blob, BlobId, BlobReader, Blobs};
use crate::durable::Records;

/// How long an anonymous uploader can manage its file.
const TOKEN_SECONDS: i64 = 24 * 60 * 60;

/// A stored file.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct StoredFile {
    pub(super) id: String,
    pub(super) key: String,
    /// Orders files that were created in the same millisecond.
    pub(super) sequence: u64,
    pub(super) owner: Owner,
    pub(super) name: String,
    pub(super) title: Option<String>,
    pub(super) description: Option<String>,
    pub(super) size: u64,
    pub(super) mime_type: String,
    pub(super) terms: Terms,
    pub(super) downloads: u64,
    pub(super) plan_id: u32,
    pub(super) created: Timestamp,
    pub(super) modified: Timestamp,
    pub(super) body: BlobId,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Owner {
    Account(String),
    /// Whoever has the token that the upload was answered with.
    Anonymous {
        token: String,
        until: Timestamp,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Live,
    /// Read as often as allowed, and kept: an update can allow more.
    Exhausted,
    /// Past its time, and kept.
    Expired,
    Gone,
}

impl StoredFile {
    pub(super) fn state(&self, now: Timestamp) -> State {
        let exhausted = self.terms.max_downloads.is_some_and(|max| self.downloads >= max);
        let expired = self.terms.expires.is_some_and(|end| now >= end);
        match (exhausted, expired) {
            (false, false) => State::Live,
            _ if self.terms.auto_delete => State::Gone,
            (true, _) => State::Exhausted,
            (false, true) => State::Expired,
        }
    }
}

impl Owner {
    pub(super) fn anonymous(now: Timestamp) -> Self {
        Owner::Anonymous {
            token: Alphanumeric.sample_string(&mut rand::rng(), 48),
            until: now + jiff::SignedDuration::from_secs(TOKEN_SECONDS),
        }
    }

    pub(super) fn has_token(&self, offered: &str, now: Timestamp) -> bool {
        matches!(self, Owner::Anonymous { token, until } if token == offered && now < *until)
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::Account(name) => f.debug_tuple("Account").field(name).finish(),
            Owner::Anonymous { .. } => f.write_str("Anonymous"),
        }
    }
}

impl fmt::Debug for StoredFile {
    /// The key is a permission.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredFile").field("id", &self.id).finish_non_exhaustive()
    }
}

/// When a read counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    Now,
    /// Not by the read itself; see [`Files::count`].
    Never,
}

/// A file that has everything but a key.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) owner: Owner,
    pub(super) name: Name,
    pub(super) title: Option<String>,
    pub(super) description: Option<String>,
    pub(super) mime_type: String,
    pub(super) terms: Terms,
    pub(super) plan_id: u32,
    pub(super) created: Timestamp,
    pub(super) body: Blob,
}

#[derive(Clone, Debug)]
pub(super) enum Name {
    Given(String),
    /// The key with an extension, for content that came without a name.
    OfKey(&'static str),
}

impl Name {
    pub(super) fn resolve(self, key: &str) -> String {
        match self {
            Name::Given(name) => name,
            Name::OfKey(extension) => format!("{key}.{extension}"),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Files {
    shelf: Arc<Mutex<Shelf>>,
    blobs: Arc<Blobs>,
    durable: bool,
}

#[derive(Debug)]
struct Shelf {
    files: HashMap<String, StoredFile>,
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
        let files: Vec<StoredFile> = records.load()?;
        blobs.remove_all_but(&files.iter().map(|file| &file.body).collect())?;
        Ok(Self::with(files, Some(records), blobs))
    }

    fn with(files: Vec<StoredFile>, records: Option<Records<StoredFile>>, blobs: Arc<Blobs>) -> Self {
        let shelf = Shelf {
            last_sequence: files.iter().map(|file| file.sequence).max().unwrap_or(0),
            files: files.into_iter().map(|file| (file.key.clone(), file)).collect(),
            records,
            blobs: Arc::clone(&blobs),
        };
        Files { durable: shelf.records.is_some(), shelf: Arc::new(Mutex::new(shelf)), blobs }
    }

    pub(super) fn blobs(&self) -> &Arc<Blobs> {
        &self.blobs
    }

    /// Puts a file under a new key of `key_length` characters, if its owner may store that much.
    pub(super) async fn insert(&self, draft: Draft, key_length: usize, quota: u64) -> Result<StoredFile, Refusal> {
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
    pub(super) async fn look(&self, address: &str, now: Timestamp) -> Result<StoredFile, Refusal> {
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
        may: impl FnOnce(&StoredFile) -> Result<(), Refusal> + Send + 'static,
    ) -> Result<(StoredFile, BlobReader), Refusal> {
        let key = key.to_owned();
        self.run(move |shelf| {
            let file = shelf.present(&key, now)?;
            may(&file)?;
            if file.state(now) != State::Live {
                return Err(Refusal::NotFound);
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
    pub(super) async fn count(&self, key: &str, now: Timestamp) -> Result<(), Refusal> {
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
        change: impl FnOnce(&mut StoredFile) -> Result<(), Refusal> + Send + 'static,
    ) -> Result<StoredFile, Refusal> {
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
        may: impl FnOnce(&StoredFile) -> Result<(), Refusal> + Send + 'static,
    ) -> Result<StoredFile, Refusal> {
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
    pub(super) async fn of_account(&self, account: &str, now: Timestamp) -> Result<Vec<StoredFile>, Refusal> {
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
    pub(super) async fn sweep(&self, now: Timestamp) -> Result<(), Refusal> {
        self.remove_all(move |file| file.state(now) == State::Gone).await
    }

    pub(super) async fn clear(&self) -> Result<(), Refusal> {
        self.remove_all(|_| true).await
    }

    async fn remove_all(&self, select: impl Fn(&StoredFile) -> bool + Send + 'static) -> Result<(), Refusal> {
        self.run(move |shelf| {
            let selected = shelf.files.values().filter(|file| select(file));
            for file in selected.cloned().collect::<Vec<_>>() {
                shelf.remove(&file)?;
            }
            Ok(())
        })
        .await
    }

    pub(super) fn len(&self) -> usize {
        let shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.files.len()
    }

    /// Runs a step of the state machine to its end, even if nobody waits for it any more.
    async fn run<T: Send + 'static>(
        &self,
        step: impl FnOnce(&mut Shelf) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let shelf = Arc::clone(&self.shelf);
        let locked = move || {
            let mut shelf = shelf.lock().unwrap_or_else(PoisonError::into_inner);
            step(&mut shelf)
        };
        if self.durable {
            // Syncing a disk takes milliseconds, which no request on this thread should wait for.
            tokio::task::spawn_blocking(locked).await.map_err(|error| Refusal::Internal(io::Error::other(error)))?
        } else {
            locked()
        }
    }
}

impl Shelf {
    /// The file of a key. One that is gone is removed on the way.
    fn present(&mut self, key: &str, now: Timestamp) -> Result<StoredFile, Refusal> {
        let file = self.files.get(key).cloned().ok_or(Refusal::NotFound)?;
        if file.state(now) == State::Gone {
            self.remove(&file)?;
            return Err(Refusal::NotFound);
        }
        Ok(file)
    }

    /// The file of a key or an id: some clients manage files by their ids.
    fn addressed(&mut self, address: &str, now: Timestamp) -> Result<StoredFile, Refusal> {
        let of_id = self.files.values().find(|file| file.id == address);
        let key = of_id.map(|file| file.key.clone());
        self.present(key.as_deref().unwrap_or(address), now)
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
        self.files.insert(file.key.clone(), file.clone());
        Ok(())
    }

    /// The record first: a body without record is removed at the next start.
    fn remove(&mut self, file: &StoredFile) -> io::Result<()> {
        if let Some(records) = &self.records {
            records.remove(&file.id)?;
        }
        self.files.remove(&file.key);
        self.blobs.remove(&file.body);
        Ok(())
    }

    fn check_quota(&self, owner: &Owner, more: u64, quota: u64, now: Timestamp) -> Result<(), Refusal> {
        let Owner::Account(_) = owner else {
            return Ok(());
        };
        let owned = self.files.values().filter(|file| file.owner == *owner);
        let used: u64 = owned.filter(|file| file.state(now) != State::Gone).map(|file| file.size).sum();
        if used.saturating_add(more) > quota {
            let message = format!("The account stores {used} of {quota} bytes already");
            return Err(Refusal::PaymentRequired(message.into()));
        }
        Ok(())
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
