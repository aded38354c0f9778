//! Folders, and references to what was not uploaded here.

use filestore_core::{Effect, Error, ErrorKind, FileRef, Result};
use filestore_http::{Attempts, Idempotency, Method};

use crate::api;
use crate::error::{self, DESTINATION_EXISTS, NOT_FOUND};
use crate::path::SitePath;
use crate::store::FilesComStore;
use crate::wire::{Entry, NewFolder};

impl FilesComStore {
    /// The reference of what is, or may be, at `path` below the root of this store: a file or a folder.
    /// Sends nothing.
    ///
    /// *Invalid input* for a path that the service rejects or changes.
    pub fn reference(&self, path: &str) -> Result<FileRef> {
        Ok(self.path_below(path)?.reference())
    }

    /// The path below the root, which it may not be itself.
    pub(crate) fn path_below(&self, path: &str) -> Result<SitePath> {
        let joined = self.root().join(path)?;
        if joined == *self.root() {
            return Err(Error::invalid("the path is empty; name a file or folder below the root of the store"));
        }
        Ok(joined)
    }

    /// Makes the folder `path` below the root, with `parents` the missing ones above it, too. Whether it
    /// was made: a folder that was there is left as it is.
    ///
    /// *Already exists* if a file is there, *not found* if a parent is missing, *invalid input* if one is
    /// a file. Safe to repeat.
    pub async fn create_folder(&self, path: &str, parents: bool) -> Result<bool> {
        self.make_folder(&self.path_below(path)?, parents).await
    }

    pub(crate) async fn make_folder(&self, path: &SitePath, parents: bool) -> Result<bool> {
        // 1. Made, or taken: the service says the same of a file and of a folder.
        let request = self
            .api()
            .request(Method::POST, "folders", path, Idempotency::Idempotent)?
            .body(api::json(&NewFolder { mkdir_parents: parents })?);
        let mut attempts = Attempts::new();
        let taken = match self.api().ask_for_entry_within(request, Some(path), Some(true), &mut attempts).await {
            Ok(_) => return Ok(true),
            Err(error) if error::is(&error, DESTINATION_EXISTS) => error,
            // A response that is lost: the folder that is there may be the one of this request.
            Err(error)
                if error.effect() == Effect::Unknown
                    && matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout) =>
            {
                let is_there = self.entry(path).await.is_ok_and(|entry| entry.is_folder());
                return if is_there { Ok(true) } else { Err(error) };
            }
            Err(error) => return Err(error),
        };
        // 2. Which of the two. A look that fails settles nothing about the request before it.
        match self.entry(path).await {
            Ok(entry) if entry.is_folder() => Ok(false),
            Ok(_) => Err(taken.with_note("it is a file")),
            Err(error) => Err(error.with_effect(taken.effect())),
        }
    }

    /// What is at `path`; `None` if there is nothing.
    pub(crate) async fn find_entry(&self, path: &SitePath) -> Result<Option<Box<Entry>>> {
        match self.entry(path).await {
            Ok(entry) => Ok(Some(entry)),
            Err(error) if error::is(&error, NOT_FOUND) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a *not found* of something in `folder` proves that it is not there: the service says the same of what
    /// this user may not see.
    pub(crate) async fn sees(&self, folder: &SitePath) -> bool {
        if folder.is_root() {
            return self.folder_page(folder, 1, None, &[], |_| ()).await.is_ok();
        }
        self.entry(folder).await.is_ok_and(|entry| entry.is_folder())
    }
}
