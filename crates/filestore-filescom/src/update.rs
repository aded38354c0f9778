//! Changing the facts of what is stored.

use std::collections::BTreeMap;

use filestore_core::{Error, FileRef, Result, StoredFile};
use filestore_http::{Idempotency, Method};
use jiff::Timestamp;

use crate::api;
use crate::metadata;
use crate::store::FilesComStore;
use crate::upload::options::check_metadata;
use crate::wire::Change;

/// What to change of a file or folder; what is not said is kept.
///
/// ```
/// use filestore_filescom::FilesComUpdate;
///
/// let update = FilesComUpdate::new().metadata([("project", "apollo")]);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FilesComUpdate {
    /// The time of the last change to show, cut to the second.
    pub modified: Option<Timestamp>,
    /// All of its metadata; an empty map removes it.
    pub metadata: Option<BTreeMap<String, String>>,
    /// A colour by which people sort, such as `red`.
    pub priority_color: Option<String>,
}

impl FilesComUpdate {
    /// Changes nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says which time of the last change to show.
    pub fn modified(mut self, time: Timestamp) -> Self {
        self.modified = Some(time);
        self
    }

    /// Replaces its metadata as a whole: at most 32 keys of 256 characters, with values of 1,024.
    pub fn metadata<K: Into<String>, V: Into<String>>(mut self, pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        self.metadata = Some(pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect());
        self
    }

    /// Gives it a colour.
    pub fn priority_color(mut self, color: impl Into<String>) -> Self {
        self.priority_color = Some(color.into());
        self
    }
}

impl FilesComStore {
    /// Changes a file or folder; gives what it is now. Times and metadata that the service does not confirm are in
    /// [`skipped`](StoredFile::skipped). The service does not confirm colors.
    ///
    /// *Invalid input* if there is nothing to change or metadata exceeds a limit, *not found*,
    /// *permission*, *unsupported* in mounted folders. Safe to repeat.
    pub async fn update(&self, reference: &FileRef, update: FilesComUpdate) -> Result<StoredFile> {
        let path = self.path_of(reference)?;
        if update == FilesComUpdate::default() {
            return Err(Error::invalid("the update says nothing to change"));
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
        let entry = self.api().ask_for_entry(request, &path).await?;
        let modified = entry.provided_mtime.map(seconds);
        // The service says the color only where it is asked for, which an update cannot do.
        let is_another = |said: &String| update.priority_color.as_ref().is_some_and(|asked| asked != said);
        let ignored = [
            ("modified", change.provided_mtime.is_some() && modified != change.provided_mtime),
            ("metadata", update.metadata.as_ref().is_some_and(|asked| entry.custom_metadata != *asked)),
            ("priority_color", entry.priority_color.as_ref().is_some_and(is_another)),
        ];
        let mut file = metadata::stored(&path, *entry);
        file.skipped.extend(ignored.into_iter().filter(|(_, ignored)| *ignored).map(|(name, _)| name));
        Ok(file)
    }
}

/// A time as the service takes it. It cuts fractions off; some of its years have four digits only.
pub(crate) fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
