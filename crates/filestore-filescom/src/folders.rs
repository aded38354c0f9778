//! The creation of folders, and references by path.

use filestore_core::{Effect, Error, ErrorKind, FileRef, Result};
use filestore_http::{Attempts, Idempotency, Method};

use crate::api;
use crate::error::{self, DESTINATION_EXISTS, NOT_FOUND};
use crate::path::SitePath;
use crate::store::FilesComStore;
use crate::wire::{Entry, NewFolder};

impl FilesComStore {
    /// Returns the reference of the file or folder at `path` below the root of this store. It sends no request, so the
    /// file or folder may not exist.
    ///
    /// *Invalid input* for a path that no request can address.
    pub fn reference(&self, path: &str) -> Result<FileRef> {
        Ok(self.path_below(path)?.reference())
    }

    /// Returns `reference` in the spelling that the service has stored, which the service regards as the same. *Not
    /// found* if the file or folder does not exist.
    pub async fn stored_reference(&self, reference: &FileRef) -> Result<FileRef> {
        let path = self.path_of(reference)?;
        Ok(self.entry(&path).await?.spelling_of(&path).reference())
    }

    /// Returns `path` below the root. *Invalid input* for the root itself.
    pub(crate) fn path_below(&self, path: &str) -> Result<SitePath> {
        let joined = self.root().join(path)?;
        if joined == *self.root() {
            return Err(Error::invalid("the path is empty; name a file or folder below the root of the store"));
        }
        Ok(joined)
    }

    /// Creates the folder `path` below the root and, if `parents` is `true`, its missing parent folders. Returns `true`
    /// if the folder was created, `false` if it already existed.
    ///
    /// *Already exists* if the path is a file, *not found* if a parent is missing, *invalid input* if a parent is a
    /// file or the service would reject a name. The call is idempotent.
    pub async fn create_folder(&self, path: &str, parents: bool) -> Result<bool> {
        self.make_folder(&self.path_below(path)?.checked_as_new()?, parents).await
    }

    pub(crate) async fn make_folder(&self, path: &SitePath, parents: bool) -> Result<bool> {
        // 1. The request. The service rejects it in the same way for an existing file and an existing folder.
        let request = self
            .api()
            .request(Method::POST, "folders", path, Idempotency::Idempotent)?
            .body(api::json(&NewFolder { mkdir_parents: parents })?);
        let mut attempts = Attempts::new();
        let exists = match self.api().send_for_entry_within(request, Some(path), Some(true), &mut attempts).await {
            Ok(_) => return Ok(true),
            Err(error) if error::is(&error, DESTINATION_EXISTS) => error,
            // The response is lost: an existing folder may be the one that this request created.
            Err(error)
                if error.effect() == Effect::Unknown
                    && matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout) =>
            {
                let is_folder = self.entry(path).await.is_ok_and(|entry| entry.is_folder());
                return if is_folder { Ok(true) } else { Err(error) };
            }
            Err(error) => return Err(error),
        };
        // 2. File or folder. An error of this request tells nothing about the effect of the first one.
        match self.entry(path).await {
            Ok(entry) if entry.is_folder() => Ok(false),
            Ok(_) => Err(exists.with_note("it is a file")),
            Err(error) => Err(error.with_effect(exists.effect())),
        }
    }

    /// Returns the file or folder at `path`; `None` if there is none.
    pub(crate) async fn find_entry(&self, path: &SitePath) -> Result<Option<Box<Entry>>> {
        match self.entry(path).await {
            Ok(entry) => Ok(Some(entry)),
            Err(error) if error::is(&error, NOT_FOUND) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns `true` if this user may see `folder`. Only then does a *not found* for a path in it prove that the path
    /// does not exist: the service responds in the same way for paths that the user may not see.
    pub(crate) async fn is_visible(&self, folder: &SitePath) -> bool {
        if folder.is_root() {
            return self.folder_page(folder, 1, None, &[], |_| ()).await.is_ok();
        }
        self.entry(folder).await.is_ok_and(|entry| entry.is_folder())
    }
}
