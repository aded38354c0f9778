//! The objects of the storage, ordered by key.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::{fmt, io};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::blobs::{BlobId, Blobs, MISSING_CONTENT};
use crate::durable::{Damage, Records};
use crate::hex::hex;

/// An object of the storage: the metadata and the content of a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StoredObject {
    pub(super) key: ObjectKey,
    pub(super) size: u64,
    pub(super) content_type: String,
    /// The MD5 of the stored bytes, in hexadecimal.
    pub(super) md5: String,
    pub(super) created: Timestamp,
    /// The time that the object is stored; 0: without limit.
    pub(super) retention_days: u32,
    pub(super) body: BlobId,
}

/// `SUBSCRIBE_KEY/FOLDER/ID/NAME`, as in forms and URLs. The folder is a digest of the channel name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct ObjectKey(String);

impl ObjectKey {
    pub(super) fn new(subscribe_key: &str, channel: &str, id: &str, name: &str) -> Self {
        ObjectKey(format!("{}{id}/{name}", folder(subscribe_key, channel)))
    }

    /// Returns the key that a client sent. It may have any form, and there may be no such object.
    pub(super) fn from_text(key: &str) -> Self {
        ObjectKey(key.to_owned())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn id(&self) -> &str {
        self.0.split('/').nth(2).unwrap_or_default()
    }

    pub(super) fn name(&self) -> &str {
        self.0.splitn(4, '/').nth(3).unwrap_or_default()
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns the prefix of the keys of a channel's files.
pub(super) fn folder(subscribe_key: &str, channel: &str) -> String {
    format!("{subscribe_key}/{}/", URL_SAFE_NO_PAD.encode(Sha256::digest(channel.as_bytes())))
}

impl StoredObject {
    /// Returns the time at which the storage removes the object. The storage removes objects at midnight (UTC), up to a
    /// day after their retention ends.
    pub(super) fn expires(&self) -> Option<Timestamp> {
        let days = i64::from(self.retention_days);
        if days == 0 {
            return None;
        }
        let last = self.created.to_zoned(TimeZone::UTC).checked_add(days.days()).ok()?;
        let midnight = if last.time() == jiff::civil::Time::midnight() { Ok(last) } else { last.tomorrow() };
        Some(midnight.ok()?.start_of_day().ok()?.timestamp())
    }

    fn is_expired(&self, now: Timestamp) -> bool {
        self.expires().is_some_and(|end| now >= end)
    }
}

#[derive(Debug)]
pub(super) struct Objects {
    by_key: BTreeMap<ObjectKey, StoredObject>,
    records: Option<Records<StoredObject>>,
    blobs: Arc<Blobs>,
}

impl Objects {
    pub(super) fn in_memory(blobs: Arc<Blobs>) -> Self {
        Objects { by_key: BTreeMap::new(), records: None, blobs }
    }

    /// Loads the objects of a data directory. Removes the blobs that a crash left without a record.
    pub(super) fn load(folder: &Path, blobs: Arc<Blobs>, damage: &mut Damage) -> io::Result<Self> {
        let records = Records::open(folder.join("files"))?;
        let before = damage.0.len();
        let mut objects: Vec<StoredObject> = records.load(damage)?;
        objects.retain(|object| {
            let is_complete = blobs.size(&object.body).is_some_and(|size| size == object.size);
            if !is_complete {
                damage.add(records.path(&record_id(&object.key)), MISSING_CONTENT);
            }
            is_complete
        });
        if damage.0.len() > before {
            blobs.keep_unknown();
        }
        blobs.remove_all_but(&objects.iter().map(|object| &object.body).collect())?;
        let by_key = objects.into_iter().map(|object| (object.key.clone(), object)).collect();
        Ok(Objects { by_key, records: Some(records), blobs })
    }

    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Stores an object, and replaces the one with the same key.
    ///
    /// The record is written first: a crash before it leaves the old object, a crash after it leaves the new one.
    pub(super) fn put(&mut self, object: StoredObject) -> io::Result<()> {
        if let Some(records) = &self.records
            && let Err(error) = records.save(&record_id(&object.key), &object)
        {
            self.blobs.remove(&object.body);
            return Err(error);
        }
        if let Some(old) = self.by_key.insert(object.key.clone(), object) {
            self.blobs.remove(&old.body);
        }
        Ok(())
    }

    pub(super) fn get(&self, key: &ObjectKey, now: Timestamp) -> Option<&StoredObject> {
        self.by_key.get(key).filter(|object| !object.is_expired(now))
    }

    /// Removes an object. Does nothing if it does not exist.
    ///
    /// The record is removed first: the next start removes a blob without a record.
    pub(super) fn remove(&mut self, key: &ObjectKey) -> io::Result<()> {
        if !self.by_key.contains_key(key) {
            return Ok(());
        }
        if let Some(records) = &self.records {
            records.remove(&record_id(key))?;
        }
        if let Some(object) = self.by_key.remove(key) {
            self.blobs.remove(&object.body);
        }
        Ok(())
    }

    /// Returns at most `limit` objects of a folder after the key `after`, and `true` if there are more.
    pub(super) fn page(
        &self,
        folder: &str,
        after: Option<ObjectKey>,
        limit: usize,
        now: Timestamp,
    ) -> (Vec<StoredObject>, bool) {
        let from = match after {
            Some(key) => Bound::Excluded(key),
            None => Bound::Included(ObjectKey::from_text(folder)),
        };
        let following = self.by_key.range((from, Bound::Unbounded));
        let in_folder = following.take_while(|(key, _)| key.0.starts_with(folder)).map(|(_, object)| object);
        let mut page: Vec<_> = in_folder.filter(|object| !object.is_expired(now)).take(limit + 1).cloned().collect();
        let more = page.len() > limit;
        page.truncate(limit);
        (page, more)
    }

    pub(super) fn sweep(&mut self, now: Timestamp) -> io::Result<()> {
        self.remove_all(|object| object.is_expired(now))
    }

    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.remove_all(|_| true)
    }

    fn remove_all(&mut self, select: impl Fn(&StoredObject) -> bool) -> io::Result<()> {
        let selected: Vec<_> = self.by_key.values().filter(|o| select(o)).map(|o| o.key.clone()).collect();
        selected.iter().try_for_each(|key| self.remove(key))
    }
}

/// Returns the name of an object's record file. Keys cannot be file names: they have slashes and any length.
fn record_id(key: &ObjectKey) -> String {
    hex(&Sha256::digest(key.0.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expires(created: &str, retention_days: u32) -> Option<String> {
        let object = StoredObject {
            key: ObjectKey::from_text("s/h/i/n"),
            size: 0,
            content_type: String::new(),
            md5: String::new(),
            created: created.parse().unwrap(),
            retention_days,
            body: serde_json::from_str("\"body\"").unwrap(),
        };
        object.expires().map(|end| end.to_string())
    }

    #[test]
    fn a_file_expires_at_the_midnight_after_its_retention() {
        assert_eq!(expires("2025-01-02T03:04:05Z", 1).as_deref(), Some("2025-01-04T00:00:00Z"));
        assert_eq!(expires("2025-01-02T00:00:00Z", 1).as_deref(), Some("2025-01-03T00:00:00Z"));
        assert_eq!(expires("2025-01-02T23:59:59Z", 30).as_deref(), Some("2025-02-02T00:00:00Z"));
        assert_eq!(expires("2025-01-02T03:04:05Z", 0), None);
    }

    #[test]
    fn the_folder_is_the_digest_of_the_channel() {
        assert_eq!(folder("sub", "room-1"), "sub/LLXd9BAVD9_zPg0oQKBIH4KlMwOITG9hbfSBA-Z7x0s/");
        let key = ObjectKey::new("sub", "room 1/a", "id", "a.txt");
        assert_eq!(key.as_str(), "sub/yn_a61uFA_W_VXQpYxVEaNuszAKIh8O7rAgiG8aIBsM/id/a.txt");
        assert_eq!((key.id(), key.name()), ("id", "a.txt"));
    }
}
