//! An upload to a name that must be free.

use std::sync::Arc;

use filestore_core::{Body, Effect, Error, ErrorKind, Result, StoredFile};

use super::options::UploadOptions;
use crate::copy_move::Destination;
use crate::path::SitePath;
use crate::store::FilesComStore;

/// What follows the last dot of a longer name says nothing of the kind of a file.
const LONGEST_EXTENSION: usize = 32;

impl FilesComStore {
    /// Stores a file where nothing is, or fails with *already exists*.
    ///
    /// The service has no such upload, but its moves do not overwrite: the file is uploaded under a name
    /// that nobody else has, and moved.
    pub(crate) async fn send_new(
        &self,
        path: &SitePath,
        body: Arc<Body>,
        options: &UploadOptions,
    ) -> Result<StoredFile> {
        if options.with_rename {
            return Err(Error::invalid("with_rename finds a free name, and the upload rejects a taken one; choose"));
        }
        // 1. What is there now need not wait for the content.
        if self.find_entry(path).await?.is_some() {
            let message = "there is a file or folder of that name already, which is left as it is";
            return Err(Error::new(ErrorKind::AlreadyExists, Effect::Rejected, message));
        }
        // 2. The content, in the same folder and with the same extension: rules of the site may go by them.
        let extension = path.name().rsplit_once('.').map(|(_, extension)| extension);
        let extension = extension.filter(|extension| extension.len() <= LONGEST_EXTENSION).unwrap_or("part");
        let temporary = path.sibling(&format!(".filestore-{:016x}.{extension}", rand::random::<u64>()))?;
        let mut file = match self.send_file(&temporary, body, options, None, None).await {
            Err(error) if matches!(error.effect(), Effect::Applied | Effect::Unknown) => {
                return Err(self.discard(&temporary, error).await);
            }
            sent => sent?,
        };
        // 3. Its name, if that is still free.
        let below = path.strip_prefix(self.root()).unwrap_or_default();
        if let Err(error) = self.move_to(&temporary.reference(), Destination::to(below).parents(false)).await {
            if error.effect() == Effect::Unknown {
                return Err(error.with_note(&format!("the content may still be at {temporary}")));
            }
            return Err(self.discard(&temporary, error).await);
        }
        (file.reference, file.name) = (path.reference(), path.name().to_owned());
        Ok(file)
    }

    /// Deletes what nobody asked for under this name. The error is then one of an upload that stored nothing: nothing has
    /// the name that was to be free.
    async fn discard(&self, temporary: &SitePath, error: Error) -> Error {
        let deleted = self.remove(temporary, false).await;
        let may_come_back = error.effect() == Effect::Unknown;
        let error = match error.effect() {
            Effect::Applied => {
                let kind = if error.kind() == ErrorKind::Incomplete { ErrorKind::Other } else { error.kind() };
                Error::new(kind, Effect::Rejected, error.message().to_owned())
                    .with_note("nothing has the name that was to be free")
                    .with_source(error)
            }
            Effect::Unknown => {
                // It speaks of the temporary name, which nobody asked for.
                let kind = if error.kind() == ErrorKind::Incomplete { ErrorKind::Other } else { error.kind() };
                let message = "the upload failed before its file got the name, which nothing has";
                Error::new(kind, Effect::Rejected, message).with_attempts(error.attempts()).with_source(error)
            }
            _ => error,
        };
        match deleted {
            Ok(()) if !may_come_back => error,
            _ => error.with_note(&format!("its content may stay behind at {temporary}; delete it")),
        }
    }
}
