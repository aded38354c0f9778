//! The stored files of file.io, their download counts and their removal.
//!
//! Each change is checked, written to disk and made visible under one lock, and a disconnect of the client cannot
//! interrupt it. So exactly one of any number of concurrent readers gets a single-use file, and with a data directory
//! the count is on disk before the reader gets a response.

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
use crate::blobs::{BlobReader, Blobs, MISSING_CONTENT};
use crate::durable::{Damage, Records};

/// The time at which a read is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    Now,
    /// The read does not count; see [`Files::count`].
    Never,
}

/// The stored files. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Files {
    table: Arc<Mutex<FileTable>>,
    blobs: Arc<Blobs>,
    durable: bool,
}

/// The metadata of all files, with their records on disk.
#[derive(Debug)]
struct FileTable {
    /// By key.
    files: HashMap<String, StoredFile>,
    /// The size of each owner's files, in bytes. Expired files count until they are removed.
    stored: HashMap<Owner, u64>,
    last_sequence: u64,
    /// `None` without a data directory.
    records: Option<Records<StoredFile>>,
    blobs: Arc<Blobs>,
}

impl Files {
    /// Opens an empty store, whose large contents are in `folder`.
    pub(super) fn in_memory(folder: &Path) -> io::Result<Self> {
        let blobs = Blobs::temporary(folder.join("bodies"))?;
        Ok(Self::with(Vec::new(), None, blobs))
    }

    /// Opens the store in a folder of the data directory, and removes what a crash left unfinished there.
    pub(super) fn durable(folder: &Path, damage: &mut Damage) -> io::Result<Self> {
        let records = Records::open(folder.join("records"))?;
        let blobs = Blobs::durable(folder.join("bodies"))?;
        let before = damage.0.len();
        let mut files: Vec<StoredFile> = records.load(damage)?;
        files.retain(|file| {
            // Contents are written before their records, so only a disk failure can lose one.
            let complete = blobs.size(&file.body).is_some_and(|size| size == file.size);
            if !complete {
                damage.add(records.path(&file.id), MISSING_CONTENT);
            }
            complete
        });
        if damage.0.len() > before {
            blobs.keep_unknown();
        }
        blobs.remove_all_but(&files.iter().map(|file| &file.body).collect())?;
        Ok(Self::with(files, Some(records), blobs))
    }

    fn with(files: Vec<StoredFile>, records: Option<Records<StoredFile>>, blobs: Arc<Blobs>) -> Self {
        let mut table = FileTable {
            files: HashMap::new(),
            stored: HashMap::new(),
            last_sequence: files.iter().map(|file| file.sequence).max().unwrap_or(0),
            records,
            blobs: Arc::clone(&blobs),
        };
        for file in files {
            table.add(file);
        }
        Files { durable: table.records.is_some(), table: Arc::new(Mutex::new(table)), blobs }
    }

    pub(super) fn blobs(&self) -> &Arc<Blobs> {
        &self.blobs
    }

    /// Stores a file under a new key of `key_length` characters, if the owner's quota in bytes allows it.
    pub(super) async fn insert(&self, draft: Draft, key_length: usize, quota: u64) -> Result<StoredFile, Rejection> {
        self.run(move |table| {
            table.check_quota(&draft.owner, draft.body.size(), quota, draft.created)?;
            let file = table.with_new_key(draft, key_length);
            if let Err(error) = table.save(&file) {
                table.blobs.remove(&file.body);
                return Err(error.into());
            }
            Ok(file)
        })
        .await
    }

    /// Returns a file by key or id.
    pub(super) async fn get(&self, key_or_id: &str, now: Timestamp) -> Result<StoredFile, Rejection> {
        let key_or_id = key_or_id.to_owned();
        self.run(move |table| table.by_key_or_id(&key_or_id, now)).await
    }

    /// Opens the content of a live file if `check` accepts the file, and counts the read if `count` says so. After an
    /// error, nothing is counted.
    pub(super) async fn read(
        &self,
        key: &str,
        now: Timestamp,
        count: Count,
        check: impl FnOnce(&StoredFile) -> Result<(), Rejection> + Send + 'static,
    ) -> Result<(StoredFile, BlobReader), Rejection> {
        let key = key.to_owned();
        self.run(move |table| {
            let file = table.by_key(&key, now)?;
            check(&file)?;
            if file.state(now) != State::Live {
                return Err(Rejection::NotFound);
            }
            // Open it first, because the count may remove the content.
            let content = table.blobs.reader(&file.body)?;
            if count == Count::Now {
                table.count(&file, now)?;
            }
            Ok((file, content))
        })
        .await
    }

    /// Counts a read that is complete. The file may have been removed by now.
    pub(super) async fn count(&self, key: &str, now: Timestamp) -> Result<(), Rejection> {
        let key = key.to_owned();
        self.run(move |table| {
            let file = table.by_key(&key, now)?;
            Ok(table.count(&file, now)?)
        })
        .await
    }

    /// Finds a file by key or id, applies `change` and stores the result, if the owner's quota in bytes allows it.
    pub(super) async fn change(
        &self,
        key_or_id: &str,
        now: Timestamp,
        quota: u64,
        change: impl FnOnce(&mut StoredFile) -> Result<(), Rejection> + Send + 'static,
    ) -> Result<StoredFile, Rejection> {
        let key_or_id = key_or_id.to_owned();
        self.run(move |table| {
            let before = table.by_key_or_id(&key_or_id, now)?;
            let mut after = before.clone();
            change(&mut after)?;
            let grown = after.size.saturating_sub(before.size);
            let saved = table.check_quota(&after.owner, grown, quota, now).and_then(|()| Ok(table.save(&after)?));
            let (current, unused) =
                if saved.is_ok() { (&after.body, &before.body) } else { (&before.body, &after.body) };
            if current != unused {
                table.blobs.remove(unused);
            }
            saved.map(|()| after)
        })
        .await
    }

    /// Finds a file by key or id, and removes it if `check` accepts it.
    pub(super) async fn delete(
        &self,
        key_or_id: &str,
        now: Timestamp,
        check: impl FnOnce(&StoredFile) -> Result<(), Rejection> + Send + 'static,
    ) -> Result<StoredFile, Rejection> {
        let key_or_id = key_or_id.to_owned();
        self.run(move |table| {
            let file = table.by_key_or_id(&key_or_id, now)?;
            check(&file)?;
            table.remove(&file)?;
            Ok(file)
        })
        .await
    }

    /// Returns the files of an account, newest first.
    pub(super) async fn of_account(&self, account: &str, now: Timestamp) -> Result<Vec<StoredFile>, Rejection> {
        let owner = Owner::Account(account.to_owned());
        self.run(move |table| {
            let owned = table.files.values().filter(|file| file.owner == owner);
            let mut files: Vec<_> = owned.filter(|file| file.state(now) != State::Gone).cloned().collect();
            files.sort_by_key(|file| std::cmp::Reverse((file.created, file.sequence)));
            Ok(files)
        })
        .await
    }

    /// Removes the files whose state is [`State::Gone`].
    pub(super) async fn sweep(&self, now: Timestamp) -> Result<(), Rejection> {
        self.run(move |table| Ok(table.sweep(now)?)).await
    }

    pub(super) async fn clear(&self) -> Result<(), Rejection> {
        self.run(|table| Ok(table.remove_all(|_| true)?)).await
    }

    pub(super) fn len(&self) -> usize {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.files.len()
    }

    /// Runs `action` under the lock, to its end even if the caller is dropped.
    async fn run<T: Send + 'static>(
        &self,
        action: impl FnOnce(&mut FileTable) -> Result<T, Rejection> + Send + 'static,
    ) -> Result<T, Rejection> {
        let table = Arc::clone(&self.table);
        let locked = move || {
            let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
            action(&mut table)
        };
        if self.durable {
            // A disk sync takes milliseconds and must not block the other requests of this thread.
            tokio::task::spawn_blocking(locked).await.map_err(|error| Rejection::Internal(io::Error::other(error)))?
        } else {
            locked()
        }
    }
}

impl FileTable {
    /// Returns the file of a key. Removes it instead if its state is [`State::Gone`].
    fn by_key(&mut self, key: &str, now: Timestamp) -> Result<StoredFile, Rejection> {
        let file = self.files.get(key).cloned().ok_or(Rejection::NotFound)?;
        if file.state(now) == State::Gone {
            self.remove(&file)?;
            return Err(Rejection::NotFound);
        }
        Ok(file)
    }

    /// Returns the file of a key or an id; some clients manage files by id.
    fn by_key_or_id(&mut self, key_or_id: &str, now: Timestamp) -> Result<StoredFile, Rejection> {
        if self.files.contains_key(key_or_id) {
            return self.by_key(key_or_id, now);
        }
        let with_id = self.files.values().find(|file| file.id == key_or_id);
        let key = with_id.map(|file| file.key.clone()).ok_or(Rejection::NotFound)?;
        self.by_key(&key, now)
    }

    /// Counts a download, and removes the file after the last one.
    fn count(&mut self, file: &StoredFile, now: Timestamp) -> io::Result<()> {
        let mut counted = file.clone();
        counted.downloads += 1;
        if counted.state(now) == State::Gone { self.remove(&counted) } else { self.save(&counted) }
    }

    /// Turns a draft into a file with a new key.
    fn with_new_key(&mut self, draft: Draft, key_length: usize) -> StoredFile {
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

    /// Saves the record, and then updates the table. A crash before the record leaves the old file, one after it the
    /// new.
    fn save(&mut self, file: &StoredFile) -> io::Result<()> {
        if let Some(records) = &self.records {
            records.save(&file.id, file)?;
        }
        self.forget(&file.key);
        self.add(file.clone());
        Ok(())
    }

    /// Removes the record, and then the content. The next start removes a content without a record.
    fn remove(&mut self, file: &StoredFile) -> io::Result<()> {
        if let Some(records) = &self.records {
            records.remove(&file.id)?;
        }
        self.forget(&file.key);
        self.blobs.remove(&file.body);
        Ok(())
    }

    /// Adds a file to the table.
    fn add(&mut self, file: StoredFile) {
        *self.stored.entry(file.owner.clone()).or_default() += file.size;
        self.files.insert(file.key.clone(), file);
    }

    /// Removes a file from the table only.
    fn forget(&mut self, key: &str) {
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

    /// Checks that the owner may store `more` bytes, after removing files that are gone if necessary.
    fn check_quota(&mut self, owner: &Owner, more: u64, quota: u64, now: Timestamp) -> Result<(), Rejection> {
        let fits = |table: &FileTable| table.stored.get(owner).map_or(0, |bytes| *bytes).saturating_add(more) <= quota;
        if !fits(self) {
            self.sweep(now)?;
        }
        if fits(self) {
            return Ok(());
        }
        Err(Rejection::PaymentRequired(format!("The account may store at most {quota} bytes").into()))
    }

    fn unused_key(&self, length: usize) -> String {
        loop {
            // The key is the permission to read, so it comes from a cryptographically secure generator.
            let key = Alphanumeric.sample_string(&mut rand::rng(), length);
            if !self.files.contains_key(&key) {
                return key;
            }
        }
    }
}
