//! The end of an upload, and certainty about it.

use std::time::Duration;

use filestore_core::{Effect, Error, ErrorKind, Result, StoredFile};
use filestore_http::{Attempts, Idempotency, Method};
use serde_json::json;

use super::multipart::MultipartUpload;
use super::options::UploadOptions;
use super::part::UploadedParts;
use crate::config::Verify;
use crate::error::{self, NOT_FOUND, UPLOAD_NOT_FOUND};
use crate::path::SitePath;
use crate::store::FilesComStore;
use crate::wire::Entry;
use crate::{api, metadata};

/// The pauses between two looks for a digest: the service computes it within a second, as a rule.
const DIGEST_POLL_DELAYS: [u64; 8] = [0, 100, 200, 400, 800, 1600, 3200, 3200];

/// What a look at the path of an upload shows.
enum Look {
    /// What was sent.
    Stored(Box<Entry>),
    /// Nothing, or something else.
    NotStored,
    /// It cannot be on_part.
    Unclear,
}

impl FilesComStore {
    /// Makes the parts a file. An answer that is lost, or that says that the upload is gone, is resolved by
    /// looking at what is there.
    pub(super) async fn finish(
        &self,
        session: &MultipartUpload<'_>,
        path: &SitePath,
        options: &UploadOptions,
        sent: &UploadedParts,
    ) -> Result<Box<Entry>> {
        let mut attempts = Attempts::new();
        let mut folder_lock = None;
        loop {
            let error = match session.finish(&sent.parts, sent.size, &mut attempts).await {
                // The asked name may be that of another file.
                Ok(entry) if options.with_rename && named_path(&entry).is_none() => return Err(unnamed()),
                Ok(entry) => return Ok(entry),
                Err(error) => error,
            };
            if error::is(&error, UPLOAD_NOT_FOUND) || error.effect() == Effect::Unknown {
                // With a name that the service chose, there is no telling where to look.
                let look =
                    if options.with_rename { Look::Unclear } else { Box::pin(self.look(path, sent, options)).await };
                let effect = match look {
                    Look::Stored(entry) => return Ok(entry),
                    Look::NotStored => attempts.record_nothing_found(),
                    Look::Unclear => error.effect(),
                };
                let error = error.with_effect(effect);
                return Err(match effect {
                    Effect::Unknown => error.with_note("the file may be stored all the same"),
                    _ => error,
                });
            }
            Box::pin(self.try_again(error, path, options, &mut folder_lock, &mut attempts)).await?;
        }
    }

    /// Compares what is at `path` with what was sent: by its size, and by its digest, or by its time where the service
    /// has no digest.
    async fn look(&self, path: &SitePath, sent: &UploadedParts, options: &UploadOptions) -> Look {
        let entry = match self.digested_entry(path, sent).await {
            Ok(entry) => entry,
            Err(error) if error::is(&error, NOT_FOUND) && self.sees(&path.parent()).await => return Look::NotStored,
            Err(_) => return Look::Unclear,
        };
        if entry.is_folder() {
            return Look::NotStored;
        }
        match entry.size {
            None => return Look::Unclear,
            Some(size) if size != sent.size => return Look::NotStored,
            Some(_) => {}
        }
        match sent.is_the_content_of(&entry) {
            Some(true) => Look::Stored(entry),
            Some(false) => Look::NotStored,
            None if options.provided_mtime.is_some() && entry.provided_mtime == options.provided_mtime => {
                Look::Stored(entry)
            }
            None => Look::Unclear,
        }
    }

    /// What is at `path`, with its digest if the service computes it soon.
    async fn digested_entry(&self, path: &SitePath, sent: &UploadedParts) -> Result<Box<Entry>> {
        let mut entry = self.entry(path).await?;
        for pause in DIGEST_POLL_DELAYS {
            let known = sent.crc32.is_none() || sent.is_the_content_of(&entry).is_some();
            if entry.size != Some(sent.size) || known {
                break;
            }
            self.api().clock().sleep(Duration::from_millis(pause)).await;
            entry = self.entry(path).await?;
        }
        Ok(entry)
    }

    /// The file as stored, if that is what was sent. *Integrity* if not, *conflict* if somebody else
    /// replaced it; the error has the file.
    pub(super) async fn confirm(
        &self,
        path: &SitePath,
        mut entry: Box<Entry>,
        sent: &UploadedParts,
    ) -> Result<Box<Entry>> {
        let verify = self.config().verify;
        let was_right = entry.size == Some(sent.size);
        let path = stored_path(path, &entry);
        // An answer without a size is one of a service that says little.
        if entry.size.is_none() || verify == Verify::Crc32 {
            entry = Box::pin(self.digested_entry(&path, sent)).await.map_err(|error| match error.kind() {
                ErrorKind::NotFound => vanished(error),
                _ => stored_but(error, &path, Box::default()),
            })?;
        }
        let (kind, message) = match (entry.size, sent.is_the_content_of(&entry)) {
            (Some(size), _) if size != sent.size && was_right => {
                (ErrorKind::Conflict, "the file was stored, and replaced by another upload right after".to_owned())
            }
            (Some(size), _) if size != sent.size => {
                (ErrorKind::Integrity, format!("{} bytes were sent but {size} are stored", sent.size))
            }
            (_, Some(false)) => {
                (ErrorKind::Integrity, "the file is stored with other content than was sent".to_owned())
            }
            (_, None) if verify == Verify::Crc32 => (
                ErrorKind::Incomplete,
                "the file is stored, but the service has computed no CRC-32 of it; a mounted folder has none, so use \
                 verify = \"etag\" there"
                    .to_owned(),
            ),
            _ => return Ok(entry),
        };
        let error = Error::new(kind, Effect::Applied, message);
        Err(error.with_stored(metadata::stored(&path, *entry)))
    }

    /// The stored file, with the time and metadata that were asked for: where the finish did not take them,
    /// they are set afterwards. What the service ignores all the same is named in the result.
    pub(super) async fn settle(
        &self,
        path: &SitePath,
        mut entry: Box<Entry>,
        options: &UploadOptions,
    ) -> Result<StoredFile> {
        let path = stored_path(path, &entry);
        let mut missing = serde_json::Map::new();
        if let Some(time) = options.provided_mtime.filter(|time| entry.provided_mtime != Some(*time)) {
            missing.insert("provided_mtime".to_owned(), json!(time.to_string()));
        }
        if !options.metadata.is_empty() && entry.custom_metadata != options.metadata {
            missing.insert("custom_metadata".to_owned(), json!(options.metadata));
        }
        if !missing.is_empty() {
            let update = async {
                let request = self.api().request(Method::PATCH, "files", &path, Idempotency::Idempotent)?;
                self.api().ask_for_entry(request.body(api::json(&missing)?), &path).await
            };
            let updated = Box::pin(update).await.map_err(|error| stored_but(error, &path, entry.clone()))?;
            // As the service says, which may ignore what it does not reject.
            if missing.contains_key("provided_mtime") {
                entry.provided_mtime = updated.provided_mtime;
            }
            if missing.contains_key("custom_metadata") {
                entry.custom_metadata = updated.custom_metadata;
            }
        }
        let ignored = [
            ("modified", options.provided_mtime.is_some() && entry.provided_mtime != options.provided_mtime),
            ("metadata", !options.metadata.is_empty() && entry.custom_metadata != options.metadata),
        ];
        let mut file = metadata::stored(&path, *entry);
        file.skipped.extend(ignored.into_iter().filter(|(_, ignored)| *ignored).map(|(name, _)| name));
        Ok(file)
    }
}

/// Where the service says that the file is: the name may be one that it chose.
fn stored_path(asked: &SitePath, entry: &Entry) -> SitePath {
    named_path(entry).unwrap_or_else(|| asked.clone())
}

fn named_path(entry: &Entry) -> Option<SitePath> {
    let said = entry.path.as_deref().and_then(|path| SitePath::parse(path).ok());
    said.filter(|path| !path.is_root())
}

fn unnamed() -> Error {
    let message = "the file is stored, but the service does not say which name it chose (with_rename); look for it in its \
                   folder before you send it again";
    Error::new(ErrorKind::Incomplete, Effect::Applied, message)
}

/// The service has confirmed the file, and does not show it.
fn vanished(error: Error) -> Error {
    let message = "the service confirmed the upload, but there is no such file: it was moved or removed right after, or \
                   this user may not see it; look for it before you send it again";
    Error::new(ErrorKind::Incomplete, Effect::Unknown, message).with_source(error)
}

/// The file is there; what was to come after it failed.
fn stored_but(error: Error, path: &SitePath, entry: Box<Entry>) -> Error {
    let message = format!("the file is stored, but not all was done: {}", error.message());
    let incomplete =
        Error::new(ErrorKind::Incomplete, Effect::Applied, message).with_stored(metadata::stored(path, *entry));
    match error.provider_code() {
        Some(code) => incomplete.with_provider_code(code.to_owned()).with_source(error),
        None => incomplete.with_source(error),
    }
}
