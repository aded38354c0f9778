//! [`FilesComUpdate`]: changes of the time, metadata and color of a file or folder.

use std::collections::BTreeMap;

use filestore_core::{Error, FileRef, IntoTimestamp, Result, StoredFile};
use filestore_http::{Idempotency, Method};
use jiff::Timestamp;

use crate::api;
use crate::metadata;
use crate::store::FilesComStore;
use crate::upload::options::check_metadata;
use crate::wire::Change;

/// Changes of a file or folder. Fields that are not set stay unchanged.
///
/// ```
/// use filestore_filescom::FilesComUpdate;
///
/// let update = FilesComUpdate::new().metadata([("project", "apollo")]);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FilesComUpdate {
    /// The time of the last change to show, truncated to the second.
    pub modified: Option<Timestamp>,
    /// The complete new metadata; an empty map deletes the metadata.
    pub metadata: Option<BTreeMap<String, String>>,
    /// The color by which users sort, such as `red`.
    pub priority_color: Option<String>,
}

impl FilesComUpdate {
    /// Creates an update without changes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the time of the last change to show.
    pub fn modified(mut self, time: impl IntoTimestamp) -> Self {
        self.modified = Some(time.into_timestamp());
        self
    }

    /// Replaces the metadata as a whole: at most 32 keys of up to 256 characters, with values of up to 1,024
    /// characters.
    pub fn metadata<K: Into<String>, V: Into<String>>(mut self, pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        self.metadata = Some(pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect());
        self
    }

    /// Sets the color.
    pub fn priority_color(mut self, color: impl Into<String>) -> Self {
        self.priority_color = Some(color.into());
        self
    }
}

impl FilesComStore {
    /// Changes a file or folder and returns its new state. Changes of time or metadata that the service does not
    /// confirm are in [`skipped`](StoredFile::skipped). The service does not confirm a color.
    ///
    /// *Invalid input* if the update has no changes or metadata exceeds a limit, *not found*, *permission*,
    /// *unsupported* in mounted folders. The call is idempotent.
    pub async fn update(&self, reference: &FileRef, update: FilesComUpdate) -> Result<StoredFile> {
        let path = self.path_of(reference)?;
        if update == FilesComUpdate::default() {
            return Err(Error::invalid("the update has no changes; set a time, metadata or a color"));
        }
        if let Some(metadata) = &update.metadata {
            check_metadata(metadata)?;
        }
        let change = Change {
            provided_mtime: update.modified.map(seconds),
            custom_metadata: update.metadata.as_ref(),
            priority_color: update.priority_color.as_deref(),
        };
        let request =
            self.api().request(Method::PATCH, "files", &path, Idempotency::Idempotent)?.body(api::json(&change)?);
        let entry = self.api().send_for_entry(request, &path).await?;
        let modified = entry.provided_mtime.map(seconds);
        // The service sends the color only to requests that ask for the field, which an update cannot do.
        let is_another = |color: &String| update.priority_color.as_ref().is_some_and(|requested| requested != color);
        let ignored = [
            ("modified", change.provided_mtime.is_some() && modified != change.provided_mtime),
            ("metadata", update.metadata.as_ref().is_some_and(|requested| entry.custom_metadata != *requested)),
            ("priority_color", entry.priority_color.as_ref().is_some_and(is_another)),
        ];
        let mut file = metadata::stored(&path, *entry);
        file.skipped.extend(ignored.into_iter().filter(|(_, ignored)| *ignored).map(|(name, _)| name));
        Ok(file)
    }
}

/// Returns a time in the format of the service, which truncates fractions of a second. Some of its times allow only
/// years of four digits.
pub(crate) fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
