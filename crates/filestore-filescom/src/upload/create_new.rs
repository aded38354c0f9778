//! An upload that fails if the name is taken ([`IfExists::Fail`](filestore_core::IfExists::Fail)).

use std::sync::Arc;

use filestore_core::{Body, Effect, Error, ErrorKind, Result, StoredFile};

use super::options::UploadOptions;
use crate::copy_move::Destination;
use crate::path::SitePath;
use crate::store::FilesComStore;

/// The maximum length of a file name extension; a longer one is not taken for one.
const LONGEST_EXTENSION: usize = 32;

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
            return Err(Error::invalid("with_rename finds a free name, and the upload rejects a taken one; choose"));
        }
        // 1. A name that is taken now fails the upload before the content is sent.
        if self.find_entry(path).await?.is_some() {
            let message = "there is a file or folder of that name already, which is left as it is";
            return Err(Error::new(ErrorKind::AlreadyExists, Effect::Rejected, message));
        }
        // 2. The content, in the same folder and with the same extension: rules of the site may depend on them.
        let extension = path.name().rsplit_once('.').map(|(_, extension)| extension);
        let extension = extension.filter(|extension| extension.len() <= LONGEST_EXTENSION).unwrap_or("part");
        let temporary = path.sibling(&format!(".filestore-{:016x}.{extension}", rand::random::<u64>()))?;
        let mut file = match self.send_file(&temporary, body, options, None, None).await {
            Err(error) if matches!(error.effect(), Effect::Applied | Effect::Unknown) => {
                return Err(self.discard(&temporary, error).await);
            }
            sent => sent?,
        };
        // 3. The name, if it is still free.
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

    /// Deletes the temporary file. The error is then that of an upload that stored nothing under the requested name.
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
                // Its text names the temporary file, which the caller does not know.
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
