//! An upload, step by step: begin, parts side by side, finish, and certainty about the end.

mod checkpoint;
mod plan;
mod put;
mod session;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use filestore_core::{Body, Effect, Error, ErrorKind, FileStore, Result, StoredFile, Upload};
use filestore_http::{Attempts, Method, Repeat};
use futures::StreamExt;
use futures::future::{self, Either};
use futures::lock::MutexGuard;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use serde_json::json;

pub use checkpoint::UploadCheckpoint;

use crate::config::Verify;
use crate::digest::crc32_hex;
use crate::error::{self, COULD_NOT_CREATE_PARENT, DESTINATION_EXISTS, NOT_FOUND, UPLOAD_NOT_FOUND};
use crate::options::FilesComUpload;
use crate::path::SitePath;
use crate::relocate::Relocate;
use crate::store::FilesComStore;
use crate::wire::Entry;
use crate::{api, facts};
use plan::HELD_PART;
use put::Stored;
use session::Session;
use source::Source;

/// The pauses between two looks for a digest: the service computes it within a second, as a rule.
const LOOKS: [u64; 8] = [0, 100, 200, 400, 800, 1600, 3200, 3200];

/// What follows the last dot of a longer name says nothing of the kind of a file.
const LONGEST_EXTENSION: usize = 32;

/// What an upload asks of the service besides keeping its content.
#[derive(Debug, Clone)]
pub(crate) struct Wishes {
    /// In whole seconds, as the service keeps it.
    pub(crate) provided_mtime: Option<Timestamp>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) mkdir_parents: bool,
    pub(crate) with_rename: bool,
    part_size: Option<u64>,
}

impl Wishes {
    /// *Invalid input* for metadata that the service would refuse after all content was sent.
    pub(crate) fn of(upload: &Upload) -> Result<Self> {
        let options = upload.options.get::<FilesComUpload>().unwrap_or_default();
        check_metadata(&upload.metadata)?;
        let time = options.provided_mtime.or(upload.modified);
        Ok(Self {
            provided_mtime: time.and_then(|time| Timestamp::from_second(time.as_second()).ok()),
            metadata: upload.metadata.clone(),
            mkdir_parents: upload.create_parents && options.mkdir_parents.unwrap_or(true),
            with_rename: options.with_rename.unwrap_or_default(),
            part_size: options.part_size.map(crate::ByteSize::as_u64),
        })
    }
}

/// *Invalid input* unless the service takes it: 32 keys of 256 characters, values of 1024.
pub(crate) fn check_metadata(metadata: &BTreeMap<String, String>) -> Result<()> {
    if metadata.len() > 32 {
        return Err(Error::invalid(format!("{} pairs of metadata are given, 32 are allowed here", metadata.len())));
    }
    for (key, value) in metadata {
        let (key_chars, value_chars) = (key.chars().count(), value.chars().count());
        if !(1..=256).contains(&key_chars) || value_chars > 1024 {
            return Err(Error::invalid(format!(
                "a key of metadata has {key_chars} characters and its value {value_chars}; 1 to 256 and up to 1024 are \
                 allowed here"
            )));
        }
    }
    Ok(())
}

/// All parts of a file, stored and not yet finished.
struct Sent {
    parts: Vec<Stored>,
    size: u64,
    /// Eight hex digits, where they are computed.
    crc32: Option<String>,
}

/// What a look at the path of an upload shows.
enum Look {
    /// What was sent.
    Stored(Box<Entry>),
    /// Nothing, or something else.
    NotStored,
    /// It cannot be told.
    Unclear,
}

/// Told of every part that is stored.
type Report<'a> = &'a (dyn Fn(&UploadCheckpoint) + Send + Sync);

impl FilesComStore {
    /// Stores a file like [`Store::upload`](filestore_core::Store::upload), and tells `report` how far it is,
    /// after the beginning and after each part. Given the last of these values, another process goes on
    /// where this one stopped; `None` begins.
    ///
    /// The reference in the answer is not stamped with the name of a store. Errors beyond those of an
    /// upload: *unsupported* if the body is a stream or the name must be free
    /// ([`IfExists::Refuse`](filestore_core::IfExists)), *invalid input* if the checkpoint is of another path or
    /// the source changed since. An upload that the service has forgotten begins anew.
    pub async fn upload_resumable(
        &self,
        request: Upload,
        checkpoint: Option<UploadCheckpoint>,
        report: impl Fn(&UploadCheckpoint) + Send + Sync,
    ) -> Result<StoredFile> {
        if !request.body.can_seek() {
            return Err(Error::unsupported("a stream cannot be uploaded in several runs; upload a file or bytes"));
        }
        if request.if_exists != filestore_core::IfExists::Replace {
            return Err(Error::unsupported("an upload in several runs replaces what is there; leave out the refusal"));
        }
        request.check(self.capabilities())?;
        let path = self.upload_path(&request)?;
        let wishes = Wishes::of(&request)?;
        self.send_file(&path, request.body.into(), &wishes, checkpoint, Some(&report)).await
    }

    /// Stores a file where nothing is, or fails with *already exists*.
    ///
    /// The service has no such upload, but its moves refuse to overwrite: the file is uploaded under a name
    /// that nobody else has, and moved.
    pub(crate) async fn send_new(&self, path: &SitePath, body: Arc<Body>, wishes: &Wishes) -> Result<StoredFile> {
        if wishes.with_rename {
            return Err(Error::invalid("with_rename finds a free name, and the upload refuses a taken one; choose"));
        }
        // 1. What is there now need not wait for the content.
        if self.find_entry(path).await?.is_some() {
            let message = "there is a file or folder of that name already, which is left as it is";
            return Err(Error::new(ErrorKind::AlreadyExists, Effect::Rejected, message));
        }
        // 2. The content, in the same folder and with the same extension: rules of the site may go by them.
        let extension = path.name().rsplit_once('.').map(|(_, extension)| extension);
        let extension = extension.filter(|extension| extension.len() <= LONGEST_EXTENSION).unwrap_or("part");
        let temporary = path.beside(&format!(".filestore-{:016x}.{extension}", rand::random::<u64>()))?;
        let mut file = match self.send_file(&temporary, body, wishes, None, None).await {
            Err(error) if matches!(error.effect(), Effect::Applied | Effect::Unknown) => {
                return Err(self.discard(&temporary, error).await);
            }
            sent => sent?,
        };
        // 3. Its name, if that is still free.
        let below = path.below(self.root()).unwrap_or_default();
        if let Err(error) = self.move_to(&temporary.reference(), Relocate::to(below).parents(false)).await {
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

    /// Where an upload goes.
    pub(crate) fn upload_path(&self, request: &Upload) -> Result<SitePath> {
        self.root().join(request.scope.as_deref().unwrap_or_default())?.child(&request.name)
    }

    /// Stores a file at `path`, in the place of what is there.
    pub(crate) async fn send_file(
        &self,
        path: &SitePath,
        body: Arc<Body>,
        wishes: &Wishes,
        mut checkpoint: Option<UploadCheckpoint>,
        report: Option<Report<'_>>,
    ) -> Result<StoredFile> {
        let mut restarts = Attempts::new();
        loop {
            restarts.begin();
            let sent = Box::pin(self.send_once(path, &body, wishes, checkpoint.take(), report)).await;
            match sent {
                Ok(entry) => return self.settle(path, entry, wishes).await,
                // The whole upload anew: part of it in another session would be a file with holes.
                Err(error) if error::is(&error, UPLOAD_NOT_FOUND) && error.effect() != Effect::Unknown => {
                    if !body.can_replay() {
                        return Err(error.with_note("the body is a stream and cannot be sent again; upload it anew"));
                    }
                    if !self.api().http().may_repeat(&mut restarts).await {
                        return Err(error);
                    }
                    tracing::warn!(%error, "the upload begins anew");
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn send_once(
        &self,
        path: &SitePath,
        body: &Arc<Body>,
        wishes: &Wishes,
        checkpoint: Option<UploadCheckpoint>,
        report: Option<Report<'_>>,
    ) -> Result<Box<Entry>> {
        // 1. The source, as it is now.
        let before = body.fingerprint().await?;
        let mut source = Source::open(body, before.map(|source| source.length)).await?;
        let held = source.is_held().then(|| self.config().memory.as_u64() / 2);
        let wanted_size = wishes.part_size.or(self.config().part_size.map(crate::ByteSize::as_u64));
        let first = wanted_size.unwrap_or(HELD_PART).min(held.unwrap_or(u64::MAX));
        let size = source.size(first).await?;
        // 2. The session: a new one, or the one that was left.
        let batch = self.config().parallel.get().saturating_mul(2);
        let resumed = match (&checkpoint, before) {
            (Some(checkpoint), Some(before)) => {
                checkpoint.check(path, before)?;
                // Another file may have the same length and time.
                checkpoint.check_content(body).await?;
                checkpoint.parts()
            }
            _ => Vec::new(),
        };
        let mut session = match &checkpoint {
            Some(checkpoint) => {
                let missing = (1..).find(|number| resumed.iter().all(|part| part.number != *number)).unwrap_or(1);
                Box::pin(Session::resume(self.api(), path, wishes, checkpoint.reference(), missing, batch)).await?
            }
            None => {
                let parts = size.map_or(batch, |size| self.likely_parts(size, wanted_size, held).min(batch));
                self.begin(path, wishes, size, parts, batch).await?
            }
        };
        // 3. Its parts.
        let part_size = match (&checkpoint, size) {
            (Some(checkpoint), _) => Some(checkpoint.part_size()),
            (None, Some(size)) => Some(session.limits.size_for(size, wanted_size, held)?),
            (None, None) => None,
        };
        if let (Some(size), Some(part_size)) = (size, part_size) {
            session.ends_with(u32::try_from(size.div_ceil(part_size).max(1)).unwrap_or(u32::MAX));
        }
        let sizes = |number| match part_size {
            Some(size) => Ok(size),
            None => session.limits.growing_size(number, wanted_size, held.unwrap_or(u64::MAX)),
        };
        let mut progress = match (report, before, part_size) {
            (Some(report), Some(before), Some(size)) => {
                let new = || UploadCheckpoint::new(path, &session.reference, before, size);
                let checkpoint = checkpoint.unwrap_or_else(new);
                report(&checkpoint);
                Some((report, checkpoint))
            }
            _ => None,
        };
        let told = |part: &Stored| {
            if let Some((report, checkpoint)) = &mut progress {
                checkpoint.add(part);
                report(checkpoint);
            }
        };
        let sent = self.send_parts(&session, &mut source, resumed, sizes, told).await.map_err(not_finished)?;
        // 4. A source that changed while it was read would be half of each.
        if before.is_some() && body.fingerprint().await? != before {
            return Err(changed());
        }
        // 5. The end, and certainty about it.
        let entry = self.finish(&session, path, wishes, &sent).await?;
        self.confirm(path, entry, &sent).await
    }

    /// How many parts `size` bytes probably are, before the target's limits are known.
    fn likely_parts(&self, size: u64, wanted: Option<u64>, held: Option<u64>) -> u32 {
        let part = wanted.unwrap_or(if held.is_some() { HELD_PART } else { 2 * HELD_PART });
        u32::try_from(size.div_ceil(part.max(1))).unwrap_or(u32::MAX).max(1)
    }

    /// Begins a session.
    async fn begin<'a>(
        &'a self,
        path: &'a SitePath,
        wishes: &'a Wishes,
        size: Option<u64>,
        first: u32,
        batch: u32,
    ) -> Result<Session<'a>> {
        let mut attempts = Attempts::new();
        let mut turn = None;
        loop {
            let error = match Session::begin(self.api(), path, wishes, size, first, batch, &mut attempts).await {
                Err(error) => error,
                begun => return begun,
            };
            Box::pin(self.try_again(error, path, wishes, &mut turn, &mut attempts)).await?;
        }
    }

    /// Returns when a step that failed with `error` may be tried again, or else the error. Folders that
    /// several uploads make at once are in each other's way: those that were, wait for their turn.
    async fn try_again<'a>(
        &'a self,
        error: Error,
        path: &SitePath,
        wishes: &Wishes,
        turn: &mut Option<MutexGuard<'a, ()>>,
        attempts: &mut Attempts,
    ) -> Result<()> {
        if self.met_another(&error, path, wishes).await {
            if turn.is_none() {
                *turn = Some(self.turn().await);
                return Ok(());
            }
        } else if !error::passes(&error) {
            return Err(error);
        }
        if self.api().http().may_repeat(attempts).await { Ok(()) } else { Err(error) }
    }

    /// Whether this is the refusal of somebody who made the same folder at the same time, and not that of
    /// a folder where the file is to be.
    async fn met_another(&self, error: &Error, path: &SitePath, wishes: &Wishes) -> bool {
        let exists = error::is(error, DESTINATION_EXISTS);
        let race = exists || error::is(error, COULD_NOT_CREATE_PARENT);
        race && wishes.mkdir_parents && !(exists && self.entry(path).await.is_ok_and(|entry| entry.is_folder()))
    }

    /// Sends all parts but those that are `done`, as many at once as the target and the memory allow.
    /// Nothing runs on when this is dropped.
    async fn send_parts(
        &self,
        session: &Session<'_>,
        source: &mut Source,
        mut done: Vec<Stored>,
        size_of: impl Fn(u32) -> Result<u64>,
        mut told: impl FnMut(&Stored),
    ) -> Result<Sent> {
        let resumed: BTreeSet<u32> = done.iter().map(|part| part.number).collect();
        let width = if session.limits.parallel { self.config().parallel.get() as usize } else { 1 };
        let memory = self.config().memory.as_u64();
        let digests = self.config().verify != Verify::None;
        let put = |part: source::Part| async move {
            let held = part.held();
            put::put(self.api(), session, part, digests).await.map(|stored| (held, stored))
        };
        let mut running = FuturesUnordered::new();
        let (mut more, mut in_memory) = (true, 0);
        while more || !running.is_empty() {
            while resumed.contains(&source.next_number()) {
                source.skip(size_of(source.next_number())?);
            }
            let length = if more { size_of(source.next_number())? } else { 0 };
            let fits = !source.is_held() || running.is_empty() || in_memory + length <= memory;
            let room = more && running.len() < width && fits;
            let step = {
                let next = async { if room { source.next(length).await } else { pending().await } };
                let stored = async {
                    match running.next().await {
                        Some(stored) => stored,
                        None => pending().await,
                    }
                };
                match future::select(pin!(next), pin!(stored)).await {
                    Either::Left((part, _)) => Either::Left(part?),
                    Either::Right((stored, _)) => Either::Right(stored?),
                }
            };
            match step {
                Either::Left(Some(part)) => {
                    in_memory += part.held();
                    running.push(put(part));
                }
                Either::Left(None) => more = false,
                Either::Right((held, stored)) => {
                    in_memory -= held;
                    told(&stored);
                    done.push(stored);
                }
            }
        }
        Ok(Sent::of(done))
    }

    /// Makes the parts a file. An answer that is lost, or that says that the upload is gone, is resolved by
    /// looking at what is there.
    async fn finish(&self, session: &Session<'_>, path: &SitePath, wishes: &Wishes, sent: &Sent) -> Result<Box<Entry>> {
        let mut attempts = Attempts::new();
        let mut turn = None;
        loop {
            let error = match session.finish(&sent.parts, sent.size, &mut attempts).await {
                // The asked name may be that of another file.
                Ok(entry) if wishes.with_rename && named_path(&entry).is_none() => return Err(unnamed()),
                Ok(entry) => return Ok(entry),
                Err(error) => error,
            };
            if error::is(&error, UPLOAD_NOT_FOUND) || error.effect() == Effect::Unknown {
                // With a name that the service chose, there is no telling where to look.
                let look =
                    if wishes.with_rename { Look::Unclear } else { Box::pin(self.look(path, sent, wishes)).await };
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
            Box::pin(self.try_again(error, path, wishes, &mut turn, &mut attempts)).await?;
        }
    }

    /// Compares what is at `path` with what was sent: by its size, and by its digest, or by its time where the service
    /// has no digest.
    async fn look(&self, path: &SitePath, sent: &Sent, wishes: &Wishes) -> Look {
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
            None if wishes.provided_mtime.is_some() && entry.provided_mtime == wishes.provided_mtime => {
                Look::Stored(entry)
            }
            None => Look::Unclear,
        }
    }

    /// What is at `path`, with its digest if the service computes it soon.
    async fn digested_entry(&self, path: &SitePath, sent: &Sent) -> Result<Box<Entry>> {
        let mut entry = self.entry(path).await?;
        for pause in LOOKS {
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
    async fn confirm(&self, path: &SitePath, mut entry: Box<Entry>, sent: &Sent) -> Result<Box<Entry>> {
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
        Err(error.with_stored(facts::stored(&path, *entry)))
    }

    /// The stored file, with the time and metadata that were asked for: where the finish did not take them,
    /// they are set afterwards. What the service ignores all the same is named in the result.
    async fn settle(&self, path: &SitePath, mut entry: Box<Entry>, wishes: &Wishes) -> Result<StoredFile> {
        let path = stored_path(path, &entry);
        let mut missing = serde_json::Map::new();
        if let Some(time) = wishes.provided_mtime.filter(|time| entry.provided_mtime != Some(*time)) {
            missing.insert("provided_mtime".to_owned(), json!(time.to_string()));
        }
        if !wishes.metadata.is_empty() && entry.custom_metadata != wishes.metadata {
            missing.insert("custom_metadata".to_owned(), json!(wishes.metadata));
        }
        if !missing.is_empty() {
            let update = async {
                let request = self.api().request(Method::PATCH, "files", &path, Repeat::Idempotent)?;
                self.api().ask_for_entry(request.payload(api::json(&missing)?), &path).await
            };
            let updated = Box::pin(update).await.map_err(|error| stored_but(error, &path, entry.clone()))?;
            // As the service says, which may ignore what it does not refuse.
            if missing.contains_key("provided_mtime") {
                entry.provided_mtime = updated.provided_mtime;
            }
            if missing.contains_key("custom_metadata") {
                entry.custom_metadata = updated.custom_metadata;
            }
        }
        let ignored = [
            ("modified", wishes.provided_mtime.is_some() && entry.provided_mtime != wishes.provided_mtime),
            ("metadata", !wishes.metadata.is_empty() && entry.custom_metadata != wishes.metadata),
        ];
        let mut file = facts::stored(&path, *entry);
        file.skipped.extend(ignored.into_iter().filter(|(_, ignored)| *ignored).map(|(name, _)| name));
        Ok(file)
    }
}

impl Sent {
    fn of(mut parts: Vec<Stored>) -> Self {
        parts.sort_by_key(|part| part.number);
        let crc32 = parts.iter().try_fold(crc32fast::Hasher::new(), |mut all, part| {
            all.combine(part.crc32.as_ref()?);
            Some(all)
        });
        Self { size: parts.iter().map(|part| part.length).sum(), crc32: crc32.map(crc32_hex), parts }
    }

    /// Whether the entry's digest is that of what was sent; `None` where one of them is not known.
    fn is_the_content_of(&self, entry: &Entry) -> Option<bool> {
        let theirs = entry.crc32.as_deref()?;
        Some(format!("{:0>8}", theirs.to_ascii_lowercase()) == *self.crc32.as_deref()?)
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

/// Before the finish, whatever becomes of a part changes nothing that anybody can see. The service was asked to begin,
/// so it is not true that nothing was sent.
fn not_finished(error: Error) -> Error {
    error.with_effect(Effect::Rejected)
}

/// The service has confirmed the file, and does not show it.
fn vanished(error: Error) -> Error {
    let message = "the service confirmed the upload, but there is no such file: it was moved or removed right after, or \
                   this user may not see it; look for it before you send it again";
    Error::new(ErrorKind::Incomplete, Effect::Unknown, message).with_source(error)
}

fn changed() -> Error {
    let message = "the file changed while it was uploaded, and nothing is stored; upload it again";
    Error::new(ErrorKind::InvalidInput, Effect::Rejected, message)
}

/// The file is there; what was to come after it failed.
fn stored_but(error: Error, path: &SitePath, entry: Box<Entry>) -> Error {
    let message = format!("the file is stored, but not all was done: {}", error.message());
    let incomplete =
        Error::new(ErrorKind::Incomplete, Effect::Applied, message).with_stored(facts::stored(path, *entry));
    match error.provider_code() {
        Some(code) => incomplete.with_provider_code(code.to_owned()).with_source(error),
        None => incomplete.with_source(error),
    }
}
