//! An upload that fails if the file already exists ([`IfExists::Fail`](filestore_core::IfExists::Fail)).

use std::sync::Arc;

use filestore_core::{Body, Cleanup, Effect, Error, ErrorKind, Result, StoredFile};

use super::options::UploadOptions;
use crate::copy_move::Destination;
use crate::path::SitePath;
use crate::store::FilesComStore;

/// The maximum length of a file name extension in bytes. The text after the last dot is no extension if it is longer.
const MAX_EXTENSION_BYTES: usize = 32;

impl FilesComStore {
    /// Stores a file, or fails with *already exists*.
    ///
    /// The service has no such upload, but its moves do not overwrite: the file is uploaded under a random name and
    /// moved.
    pub(crate) async fn send_new(
        &self,
        path: &SitePath,
        body: Arc<Body>,
        options: &UploadOptions,
    ) -> Result<StoredFile> {
        if options.with_rename {
            return Err(Error::invalid(
                "with_rename stores the file under a free name, and IfExists::Fail rejects a taken one; use only one",
            ));
        }
        // 1. An existing file or folder fails the upload before the content is sent.
        if self.find_entry(path).await?.is_some() {
            let message = "a file or folder of that name already exists and is unchanged; choose another name";
            return Err(Error::new(ErrorKind::AlreadyExists, Effect::Rejected, message));
        }
        // 2. The content, in the same folder and with the same extension: rules of the site may depend on them.
        let extension = path.name().rsplit_once('.').map(|(_, extension)| extension);
        let extension = extension.filter(|extension| extension.len() <= MAX_EXTENSION_BYTES).unwrap_or("part");
        let temporary = path.sibling(&format!(".filestore-{:016x}.{extension}", rand::random::<u64>()))?;
        let mut leftover = Leftover { store: self.clone(), temporary: Some(temporary.clone()) };
        let stored = self.send_and_move(path, &temporary, body, options).await;
        leftover.temporary = None;
        stored
    }

    /// Uploads a file as `temporary` and moves it to `path`.
    async fn send_and_move(
        &self,
        path: &SitePath,
        temporary: &SitePath,
        body: Arc<Body>,
        options: &UploadOptions,
    ) -> Result<StoredFile> {
        let mut file = match self.send_file(temporary, body, options, None, None).await {
            Err(error) if matches!(error.effect(), Effect::Applied | Effect::Unknown) => {
                return Err(self.discard(temporary, error).await);
            }
            sent => sent?,
        };
        // 3. The name, if it is still free.
        let destination = path.strip_prefix(self.root()).unwrap_or_default();
        if let Err(error) = self.move_to(&temporary.reference(), Destination::to(destination).parents(false)).await {
            if error.effect() == Effect::Unknown {
                return Err(error.with_possibly_stored(path.reference()).with_possibly_stored(temporary.reference()));
            }
            return Err(self.discard(temporary, error).await);
        }
        // The folders of the temporary file are in the spelling of the service; the name is new.
        let stored = SitePath::of(&file.reference).and_then(|temporary| temporary.sibling(path.name()));
        (file.reference, file.name) = (stored.as_ref().unwrap_or(path).reference(), path.name().to_owned());
        Ok(file)
    }

    /// Deletes the temporary file. The error is then that of an upload that stored nothing under the requested name.
    async fn discard(&self, temporary: &SitePath, error: Error) -> Error {
        #[cfg(planted_bugs)]
        if filestore_core::planted_bug("leftover-not-named") {
            return error.with_effect(Effect::Rejected);
        }
        let deleted = self.remove(temporary, false).await;
        let may_be_stored_later = error.effect() == Effect::Unknown;
        let error = match error.effect() {
            Effect::Applied => {
                let kind = if error.kind() == ErrorKind::Incomplete { ErrorKind::Other } else { error.kind() };
                Error::new(kind, Effect::Rejected, error.message().to_owned())
                    .with_note("no file was stored under the requested name")
                    .with_source(error)
            }
            Effect::Unknown => {
                // The text of the error names the temporary file, which the caller does not know.
                let kind = if error.kind() == ErrorKind::Incomplete { ErrorKind::Other } else { error.kind() };
                let message =
                    "the upload failed before the file got its name, so no file was stored under the requested name";
                Error::new(kind, Effect::Rejected, message).with_attempts(error.attempts()).with_source(error)
            }
            _ => error,
        };
        match deleted {
            Ok(()) if !may_be_stored_later => error,
            _ => error.with_note("its content may remain, so delete it").with_possibly_stored(temporary.reference()),
        }
    }
}

/// The temporary file of an upload. It is removed if the future of the upload is dropped.
struct Leftover {
    store: FilesComStore,
    temporary: Option<SitePath>,
}

impl Drop for Leftover {
    fn drop(&mut self) {
        let Some(temporary) = self.temporary.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (store, cleanup) = (self.store.clone(), Cleanup::begin());
        runtime.spawn(async move {
            // Best effort: the caller is gone.
            let _ = store.remove(&temporary, false).await;
            drop(cleanup);
        });
    }
}
