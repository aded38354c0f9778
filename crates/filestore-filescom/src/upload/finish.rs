//! The end of an upload: the request that makes its parts a file, and the confirmation of the stored file.

use std::time::Duration;

use filestore_core::{Effect, Error, ErrorKind, Result, StoredFile};
use filestore_http::{Attempts, Idempotency, Method};
use serde_json::json;

use super::multipart::MultipartUpload;
use super::options::UploadOptions;
use super::parts::UploadedParts;
use crate::compare::PathKey;
use crate::config::Verify;
use crate::error::{self, NOT_FOUND, UPLOAD_NOT_FOUND};
use crate::path::SitePath;
use crate::store::FilesComStore;
use crate::wire::{Entry, Finish, PartTag};
use crate::{api, metadata};

/// The delays, in milliseconds, between two requests for a digest: the service usually computes it within a second.
const DIGEST_POLL_DELAYS: [u64; 8] = [0, 100, 200, 400, 800, 1600, 3200, 3200];

/// The state of the path of an upload, as a read-back shows it.
enum ReadBack {
    /// The content that was sent.
    Stored(Box<Entry>),
    /// Nothing, or something else.
    NotStored,
    /// The service does not show enough to decide.
    Unclear,
}

impl FilesComStore {
    /// Makes the parts a file. A lost response, and a rejection of the upload as unknown, are resolved by a
    /// read-back of the path.
    pub(super) async fn finish(
        &self,
        upload: &MultipartUpload<'_>,
        path: &SitePath,
        options: &UploadOptions,
        sent: &UploadedParts,
    ) -> Result<Box<Entry>> {
        let mut attempts = Attempts::new();
        let mut folder_lock = None;
        loop {
            let error = match self.request_finish(upload, path, options, sent, &mut attempts).await {
                // Without a name in the response, the requested name may belong to another file.
                Ok(entry) if options.with_rename && named_path(path, &entry).is_none() => return Err(unnamed()),
                Ok(entry) => return Ok(entry),
                Err(error) => error,
            };
            if error::is(&error, UPLOAD_NOT_FOUND) || error.effect() == Effect::Unknown {
                // The name that the service chose is unknown.
                let found = if options.with_rename {
                    ReadBack::Unclear
                } else {
                    Box::pin(self.read_back(path, sent, options)).await
                };
                let effect = match found {
                    ReadBack::Stored(entry) => return Ok(entry),
                    ReadBack::NotStored => attempts.record_nothing_found(),
                    ReadBack::Unclear => error.effect(),
                };
                let error = error.with_effect(effect);
                return Err(match effect {
                    Effect::Unknown if options.with_rename => error.with_note(
                        "the file may be stored under a name that the service chose; search for it in its folder \
                         before you retry",
                    ),
                    Effect::Unknown => error.with_possibly_stored(path.reference()),
                    _ => error,
                });
            }
            Box::pin(self.retry_begin_or_finish(error, path, options, &mut folder_lock, &mut attempts)).await?;
        }
    }

    /// Requests the finish. The service rejects a second request for the same upload as unknown.
    async fn request_finish(
        &self,
        upload: &MultipartUpload<'_>,
        path: &SitePath,
        options: &UploadOptions,
        sent: &UploadedParts,
        attempts: &mut Attempts,
    ) -> Result<Box<Entry>> {
        let tags = sent.parts.iter().map(|part| Some(PartTag { etag: part.etag.as_deref()?, part: part.number }));
        let finish = Finish {
            action: "end",
            reference: &upload.reference,
            // A storage without ETags finds its parts by number; an incomplete list would be wrong.
            etags: tags.collect(),
            size: sent.size,
            provided_mtime: options.provided_mtime.map(|time| time.to_string()),
            mkdir_parents: options.mkdir_parents,
            with_rename: options.with_rename,
            custom_metadata: &options.metadata,
        };
        let request = self.api().request(Method::POST, "files", path, Idempotency::Idempotent)?;
        let at = (!options.with_rename).then_some(path);
        self.api().send_for_entry_within(request.body(api::json(&finish)?), at, Some(false), attempts).await
    }

    /// Compares the file at `path` with the content that was sent: by size and digest, or by size and time where the
    /// service has no digest.
    async fn read_back(&self, path: &SitePath, sent: &UploadedParts, options: &UploadOptions) -> ReadBack {
        let entry = match self.digested_entry(path, sent).await {
            Ok(entry) => entry,
            Err(error) if error::is(&error, NOT_FOUND) && self.is_visible(&path.parent()).await => {
                return ReadBack::NotStored;
            }
            Err(_) => return ReadBack::Unclear,
        };
        if entry.is_folder() {
            return ReadBack::NotStored;
        }
        match entry.size {
            None => return ReadBack::Unclear,
            Some(size) if size != sent.size => return ReadBack::NotStored,
            Some(_) => {}
        }
        match sent.is_content_of(&entry) {
            Some(true) => ReadBack::Stored(entry),
            Some(false) => ReadBack::NotStored,
            None if options.provided_mtime.is_some() && entry.provided_mtime == options.provided_mtime => {
                ReadBack::Stored(entry)
            }
            None => ReadBack::Unclear,
        }
    }

    /// Returns the entry at `path`, with its digest if the service computes it soon.
    async fn digested_entry(&self, path: &SitePath, sent: &UploadedParts) -> Result<Box<Entry>> {
        let mut entry = self.entry(path).await?;
        for delay in DIGEST_POLL_DELAYS {
            let known = sent.crc32.is_none() || sent.is_content_of(&entry).is_some();
            if entry.size != Some(sent.size) || known {
                break;
            }
            self.api().clock().sleep(Duration::from_millis(delay)).await;
            entry = self.entry(path).await?;
        }
        Ok(entry)
    }

    /// Returns the stored file if it has the content that was sent. *Integrity* if not, *conflict* if another upload
    /// replaced it; the error carries the file.
    pub(super) async fn confirm(
        &self,
        path: &SitePath,
        mut entry: Box<Entry>,
        sent: &UploadedParts,
    ) -> Result<Box<Entry>> {
        let verify = self.config().verify;
        let had_size = entry.size == Some(sent.size);
        let path = stored_path(path, &entry);
        // A mounted server may leave out the size.
        if entry.size.is_none() || verify == Verify::Crc32 {
            entry = Box::pin(self.digested_entry(&path, sent)).await.map_err(|error| match error.kind() {
                ErrorKind::NotFound => vanished(error),
                _ => stored_but(error, &path, Box::default()),
            })?;
        }
        let (kind, message) = match (entry.size, sent.is_content_of(&entry)) {
            (Some(size), _) if size != sent.size && had_size => {
                (ErrorKind::Conflict, "the file was stored, and another upload replaced it right after".to_owned())
            }
            (Some(size), _) if size != sent.size => {
                (ErrorKind::Integrity, format!("{} bytes were sent but {size} are stored", sent.size))
            }
            (_, Some(false)) => {
                (ErrorKind::Integrity, "the file is stored with different content from that of the upload".to_owned())
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

    /// Returns the stored file, after setting the time and metadata that the finish ignored. Those that the service
    /// ignores again are in `skipped`.
    pub(super) async fn set_ignored_metadata(
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
                self.api().send_for_entry(request.body(api::json(&missing)?), &path).await
            };
            let updated = Box::pin(update).await.map_err(|error| stored_but(error, &path, entry.clone()))?;
            // The service may ignore what it does not reject.
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

/// Returns the path of the stored file: the service may have chosen another name.
fn stored_path(requested: &SitePath, entry: &Entry) -> SitePath {
    named_path(requested, entry).unwrap_or_else(|| requested.clone())
}

/// Returns the path in the response, if it is in the folder of the upload. A response with another path is not followed,
/// because a later request would change a file that this upload has not stored.
fn named_path(requested: &SitePath, entry: &Entry) -> Option<SitePath> {
    let folder = |path: &SitePath| PathKey::new(&path.parent().to_string());
    let path = entry.path.as_deref().and_then(|path| SitePath::parse(path).ok());
    path.filter(|path| !path.is_root() && folder(path) == folder(requested))
}

fn unnamed() -> Error {
    let message = "the file is stored, but the response lacks the name that the service chose (with_rename); search \
                   for the file in its folder before you retry";
    Error::new(ErrorKind::Incomplete, Effect::Applied, message)
}

/// Returns the error for a file that the service has confirmed and does not show.
fn vanished(error: Error) -> Error {
    let message = "the service confirmed the upload, but the file does not exist: it was moved or deleted right after, \
                   or this user may not see it; search for the file before you retry";
    Error::new(ErrorKind::Incomplete, Effect::Unknown, message).with_source(error)
}

/// Returns the error for a file that is stored, where a step after that failed.
fn stored_but(error: Error, path: &SitePath, entry: Box<Entry>) -> Error {
    let message = format!("the file is stored, but a later step failed: {}", error.message());
    let incomplete =
        Error::new(ErrorKind::Incomplete, Effect::Applied, message).with_stored(metadata::stored(path, *entry));
    match error.provider_code() {
        Some(code) => incomplete.with_provider_code(code.to_owned()).with_source(error),
        None => incomplete.with_source(error),
    }
}
