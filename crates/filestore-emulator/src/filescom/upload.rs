//! Uploads: begun at the API, put in parts at the storage, finished at the API.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt;
use http::header::ETAG;
use http::{HeaderValue, StatusCode};
use jiff::{SignedDuration, Timestamp};
use md5::{Digest, Md5};
use rand::RngExt;

use super::access::{Caller, Right};
use super::content::{Content, Digests, Piece};
use super::entity::View;
use super::error::Rejection;
use super::metadata;
use super::path::{Component, RemotePath, Trailing};
use super::record::{Part, Upload};
use super::sign::PART_LIFE;
use super::storage_error::StorageRejection;
use super::store::{Change, State};
use super::tree::{Node, NodeId, ROOT};
use super::wire::UploadPart;
use super::{Call, FilesCom, StorageCall};
use crate::faults::{ContentTamper, Fault};
use crate::hex::hex;
use crate::http::{Response, empty, json};

const MOST_PARTS: u32 = 10_000;
const SMALLEST_PART: u64 = 5 * 1024 * 1024;
const LARGEST_PART: u64 = 5 * 1024 * 1024 * 1024;
/// No more URLs than that are signed at once.
const LARGEST_BATCH: u32 = 1000;
/// How long an upload can stay unfinished.
pub(super) const UPLOAD_LIFE: SignedDuration = SignedDuration::from_hours(3 * 24);

/// What a request for URLs wants.
struct Wanted {
    reference: Option<String>,
    part: i64,
    parts: u32,
    mkdir_parents: bool,
    with_rename: bool,
}

/// What a request to finish says.
struct Finish {
    path: RemotePath,
    reference: String,
    etags: Option<Vec<(i64, String)>>,
    size: Option<i64>,
    provided_mtime: Option<Timestamp>,
    custom_metadata: BTreeMap<String, String>,
    mkdir_parents: bool,
    with_rename: bool,
    user: u64,
    now: Timestamp,
}

impl FilesCom {
    /// `POST /file_actions/begin_upload/PATH`.
    pub(super) async fn begin_upload(&self, raw: &str, call: Call<'_>, caller: Caller) -> Result<Response, Rejection> {
        let parts = self.upload_parts(raw, &call, caller).await?;
        Ok(json(StatusCode::OK, &parts))
    }

    /// `POST /files/PATH`: `end` finishes, `put` is how one client begins and goes on.
    pub(super) async fn post_file(&self, raw: &str, call: Call<'_>, caller: Caller) -> Result<Response, Rejection> {
        match call.params.text("action")?.as_deref() {
            Some("end") => self.finish_upload(raw, call, caller).await,
            Some("put") => {
                let parts = self.upload_parts(raw, &call, caller).await?;
                Ok(json(StatusCode::OK, &parts[0]))
            }
            Some(_) => Err(Rejection::invalid("action")),
            None => Err(Rejection::Missing("action")),
        }
    }

    async fn upload_parts(&self, raw: &str, call: &Call<'_>, caller: Caller) -> Result<Vec<UploadPart>, Rejection> {
        let wanted = Wanted::of(call)?;
        let path = file_path(raw)?;
        caller.may(Right::Write, &path)?;
        if let Some(reference) = &wanted.reference
            && call.effects.any(|fault| matches!(fault, Fault::StaleRef))
        {
            self.forget_upload(reference).await?;
        }

        let (shown, first, count) = (path.to_string(), wanted.first_part(), wanted.parts);
        let (user, now) = (caller.id, call.now);
        let (reference, part_size) = self
            .store
            .run(move |state| {
                let reference = match &wanted.reference {
                    Some(reference) => state.open_upload(reference, &path, user)?.id.clone(),
                    None => state.begin_upload(&path, &wanted, user, now)?,
                };
                Ok::<_, Rejection>((reference, state.settings.part_size))
            })
            .await?;

        // A URL that has expired before it is used looks like any other.
        let expired = call.effects.any(|fault| matches!(fault, Fault::ExpiredUrl));
        let signed = if expired { now.saturating_sub(PART_LIFE).unwrap_or(now) } else { now };
        let numbers = first..=MOST_PARTS.min(first.saturating_add(count - 1));
        Ok(numbers.map(|number| self.upload_part(&reference, &shown, number, part_size, signed)).collect())
    }

    fn upload_part(&self, reference: &str, path: &str, number: u32, part_size: u64, signed: Timestamp) -> UploadPart {
        UploadPart {
            send: BTreeMap::from([("partsize", "required-header Content-Length"), ("partdata", "body")]),
            action: "put/write",
            ask_about_overwrites: false,
            available_parts: MOST_PARTS,
            expires: signed.checked_add(PART_LIFE).unwrap_or(signed),
            headers: BTreeMap::new(),
            http_method: "PUT",
            next_partsize: part_size.saturating_add(part_size.div_ceil(5)),
            parallel_parts: true,
            retry_parts: true,
            parameters: BTreeMap::new(),
            part_number: number,
            partsize: part_size,
            path: path.to_owned(),
            reference: reference.to_owned(),
            upload_uri: self.signer.part(reference, path, number, signed),
        }
    }

    /// `PUT` to the storage. What is there under that number is replaced.
    pub(super) async fn put_part(
        &self,
        upload: &str,
        number: u32,
        call: StorageCall<'_>,
    ) -> Result<Response, StorageRejection> {
        if call.effects.any(|fault| matches!(fault, Fault::ExpiredUrl)) {
            return Err(StorageRejection::Expired);
        }
        self.signer.check(call.head, call.now)?;
        if call.effects.any(|fault| matches!(fault, Fault::StaleRef)) {
            self.forget_upload(upload).await?;
        }
        let length = call.body.length().ok_or(StorageRejection::MissingLength)?;
        if length > LARGEST_PART {
            return Err(StorageRejection::TooLarge);
        }
        let id = upload.to_owned();
        self.store.run(move |state| state.is_open(&id)).await?;

        let mut tamper = ContentTamper::new(call.effects, Some(length));
        let mut writer = self.store.blobs().writer();
        let (mut md5, mut crc32) = (Md5::new(), crc32fast::Hasher::new());
        let mut received = 0;
        while let Some(chunk) = call.body.chunk().await? {
            received += chunk.len() as u64;
            let chunk = tamper.pass(chunk);
            md5.update(&chunk);
            crc32.update(&chunk);
            writer.write(&chunk).await?;
        }
        if received != length {
            return Err(StorageRejection::IncompleteBody);
        }
        let blob = writer.finish().await?;

        let md5 = hex(&md5.finalize());
        let (id, size, digest, crc32) = (upload.to_owned(), blob.size(), md5.clone(), crc32.finalize());
        self.store
            .run(move |state| {
                // Finished, lapsed or forgotten while the body came.
                state.is_open(&id)?;
                let part = Part { blob: blob.keep(), size, md5: digest, crc32 };
                Ok::<_, StorageRejection>(state.put_part(id, number, part)?)
            })
            .await?;

        let etag = if call.effects.any(|fault| matches!(fault, Fault::WrongEtag)) { wrong(&md5) } else { md5 };
        let mut response = empty(StatusCode::OK);
        if let Ok(etag) = HeaderValue::try_from(format!("\"{etag}\"")) {
            response.headers_mut().insert(ETAG, etag);
        }
        response.headers_mut().insert("x-amz-server-side-encryption", HeaderValue::from_static("AES256"));
        Ok(response)
    }

    async fn finish_upload(&self, raw: &str, call: Call<'_>, caller: Caller) -> Result<Response, Rejection> {
        let params = &call.params;
        let reference = params.text("ref")?.ok_or(Rejection::Required("ref"))?;
        let finish = Finish {
            etags: params.etags()?,
            size: params.int("size")?,
            provided_mtime: params.time("provided_mtime")?,
            custom_metadata: metadata::custom(params)?.unwrap_or_default(),
            mkdir_parents: params.flag("mkdir_parents")?,
            with_rename: params.flag("with_rename")?,
            path: file_path(raw)?,
            user: caller.id,
            now: call.now,
            reference,
        };
        caller.may(Right::Write, &finish.path)?;
        if call.effects.any(|fault| matches!(fault, Fault::StaleRef)) {
            self.forget_upload(&finish.reference).await?;
        }

        let view = View::of(&caller, params.flag("with_priority_color")?, call.now);
        let (response, content) = self
            .store
            .run(move |state| {
                let (id, is_new) = state.finish_upload(finish)?;
                let node = state.tree.get(id).ok_or(Rejection::NotFound)?;
                let mut entity = state.entity(node, state.tree.path(id), &view);
                // Never in this answer, whatever is known already.
                (entity.md5, entity.crc32) = (None, None);
                let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
                let content = node.content.as_ref().and_then(|content| state.contents.get(content)).cloned();
                Ok::<_, Rejection>((json(status, &entity), content))
            })
            .await?;
        self.digest_later(content.into_iter().collect());
        Ok(response)
    }

    /// Somebody else's upload of other bytes, as many as there were.
    pub(super) async fn replace_by_another(&self, path: RemotePath, now: Timestamp) -> Result<(), Rejection> {
        let wanted = path.clone();
        let before = self
            .store
            .run(move |state| {
                let content = state.node_at(&wanted)?.content.clone();
                Ok::<_, Rejection>(content.and_then(|id| state.contents.get(&id)).cloned())
            })
            .await?;
        let Some(before) = before else { return Ok(()) };
        let (mut writer, mut md5, mut crc32) = (self.store.blobs().writer(), Md5::new(), crc32fast::Hasher::new());
        let size = before.size;
        let mut bytes = before.stream(Arc::clone(self.store.blobs()), 0, size);
        while let Some(chunk) = bytes.next().await {
            let other: Vec<u8> = chunk?.iter().map(|byte| !byte).collect();
            md5.update(&other);
            crc32.update(&other);
            writer.write(&other).await?;
        }
        let blob = writer.finish().await?;
        self.store
            .run(move |state| {
                let node = state.node_at(&path)?.clone();
                let part = Part { blob: blob.keep(), size, md5: hex(&md5.finalize()), crc32: crc32.finalize() };
                let content = content(&new_id(), &[(1, &part)], now);
                let other = Node { content: Some(content.id.clone()), created_at: now, mtime: now, ..node };
                Ok(state.commit(vec![Change::Content(content), Change::Node(Box::new(other))])?)
            })
            .await
    }

    /// As if it had lapsed.
    async fn forget_upload(&self, id: &str) -> std::io::Result<()> {
        let id = id.to_owned();
        self.store.run(move |state| state.forget_uploads(|upload| upload.id == id)).await
    }

    /// Digests what has none yet, one content after the other.
    pub(super) fn digest_later(&self, contents: Vec<Content>) {
        let contents: Vec<_> = contents.into_iter().filter(|content| content.digests.is_none()).collect();
        if contents.is_empty() {
            return;
        }
        let (store, turn) = (self.store.clone(), Arc::clone(&self.digesting));
        tokio::spawn(async move {
            let Ok(_turn) = turn.acquire().await else { return };
            for content in contents {
                let (id, blobs) = (content.id.clone(), Arc::clone(store.blobs()));
                let digested = tokio::task::spawn_blocking(move || content.digest(&blobs)).await;
                let kept = match digested.map_err(std::io::Error::other).flatten() {
                    Ok(digests) => store.run(move |state| state.commit(vec![Change::Digests(id, digests)])).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = kept {
                    tracing::warn!(%error, "a file could not be digested");
                }
            }
        });
    }
}

impl Wanted {
    fn of(call: &Call<'_>) -> Result<Self, Rejection> {
        let params = &call.params;
        let reference = params.text("ref")?;
        let part = params.int("part")?.unwrap_or(1);
        let parts = params.int("parts")?.unwrap_or(1);
        let parts = u32::try_from(parts).ok().filter(|parts| *parts > 0).ok_or(Rejection::invalid("parts"))?;
        // Without a ref nobody looks at it.
        if reference.is_some() && !(1..=i64::from(MOST_PARTS)).contains(&part) {
            return Err(Rejection::PartNumber);
        }
        Ok(Wanted {
            reference,
            part,
            parts: parts.min(LARGEST_BATCH),
            mkdir_parents: params.flag("mkdir_parents")?,
            with_rename: params.flag("with_rename")?,
        })
    }

    fn first_part(&self) -> u32 {
        let part = self.reference.as_ref().map_or(1, |_| self.part);
        u32::try_from(part).unwrap_or(1)
    }
}

impl State {
    fn begin_upload(
        &mut self,
        path: &RemotePath,
        wanted: &Wanted,
        user: u64,
        now: Timestamp,
    ) -> Result<String, Rejection> {
        let mut changes = Vec::new();
        let (folders, _) = path.split_last().ok_or(Rejection::InvalidPath("the root is no file"))?;
        self.folder_for(folders, wanted.mkdir_parents, Rejection::NotFound, user, now, &mut changes)?;
        let upload = Upload {
            id: new_id(),
            path: path.to_string(),
            user,
            with_rename: wanted.with_rename,
            begun: now,
            parts: BTreeMap::new(),
        };
        let id = upload.id.clone();
        changes.push(Change::Upload(upload));
        self.commit(changes)?;
        Ok(id)
    }

    /// The upload of a ref, which is good for its own path and user only.
    fn open_upload(&self, reference: &str, path: &RemotePath, user: u64) -> Result<&Upload, Rejection> {
        let upload = self.uploads.get(reference).filter(|upload| upload.user == user);
        let upload = upload.ok_or_else(|| Rejection::UploadNotFound(reference.to_owned()))?;
        if !RemotePath::of_text(&upload.path, Trailing::AllowedInLast)?.is_same(path) {
            return Err(Rejection::UploadNotFound(reference.to_owned()));
        }
        Ok(upload)
    }

    fn is_open(&self, id: &str) -> Result<(), StorageRejection> {
        if self.uploads.contains_key(id) { Ok(()) } else { Err(StorageRejection::NoSuchUpload) }
    }

    fn put_part(&mut self, id: String, number: u32, part: Part) -> std::io::Result<()> {
        let before = self.uploads.get(&id).and_then(|upload| upload.parts.get(&number)).cloned();
        let blob = part.blob.clone();
        match self.commit(vec![Change::Part(id, number, part)]) {
            Ok(()) => {
                self.remove_blobs(before.iter().map(|part| &part.blob));
                Ok(())
            }
            Err(error) => {
                self.remove_blobs([&blob]);
                Err(error)
            }
        }
    }

    /// All of it or nothing: a rejected finish leaves the upload open. Gives the file, and whether it is new.
    fn finish_upload(&mut self, finish: Finish) -> Result<(NodeId, bool), Rejection> {
        let upload = self.open_upload(&finish.reference, &finish.path, finish.user)?.clone();
        let parts = upload.listed(finish.etags.as_deref())?;
        self.check_sizes(&parts, finish.size)?;

        let mut changes = Vec::new();
        let (folders, file) = finish.path.split_last().ok_or(Rejection::InvalidPath("the root is no file"))?;
        let now = finish.now;
        let folder =
            self.folder_for(folders, finish.mkdir_parents, Rejection::NotFound, finish.user, now, &mut changes)?;
        let present = self.tree.child(folder, &file.key);
        let (id, name) = match present {
            Some(present) if !present.is_file() => return Err(Rejection::DestinationExists),
            Some(_) if upload.with_rename || finish.with_rename => (None, self.free_name(folder, file)),
            Some(present) => (Some(present.id), present.name.clone()),
            None => (None, file.name.clone()),
        };
        let is_new = id.is_none();
        let id = id.unwrap_or_else(|| self.tree.next_id());

        let node = Node {
            provided_mtime: finish.provided_mtime,
            custom_metadata: finish.custom_metadata,
            content: Some(upload.id.clone()),
            ..Node::folder(id, Some(folder), &name, finish.user, now)
        };
        let used: BTreeSet<_> = parts.iter().map(|(number, _)| *number).collect();
        changes.push(Change::Content(content(&upload.id, &parts, now)));
        changes.push(Change::Node(Box::new(node)));
        changes.push(Change::UploadGone(upload.id.clone()));
        changes.extend(self.touched(folder, now));
        self.commit(changes)?;
        let unused = upload.parts.iter().filter(|(number, _)| !used.contains(number));
        self.remove_blobs(unused.map(|(_, part)| &part.blob));
        Ok((id, is_new))
    }

    fn check_sizes(&self, parts: &[(u32, &Part)], size: Option<i64>) -> Result<(), Rejection> {
        let smallest = SMALLEST_PART.min(self.settings.part_size);
        let before_last = parts.split_last().map_or(&[][..], |(_, before)| before);
        if before_last.iter().any(|(_, part)| part.size < smallest) {
            return Err(Rejection::PartSize);
        }
        let stored: u64 = parts.iter().map(|(_, part)| part.size).sum();
        match size {
            Some(size) if u64::try_from(size) != Ok(stored) => {
                Err(Rejection::InvalidParams(format!("size is {size}, but the parts have {stored} bytes")))
            }
            _ => Ok(()),
        }
    }

    /// `name_2.ext`, or the next number that is free.
    fn free_name(&self, folder: NodeId, file: &Component) -> String {
        let (stem, extension) = match file.name.rsplit_once('.') {
            Some((stem, extension)) if !stem.is_empty() => (stem, format!(".{extension}")),
            _ => (file.name.as_str(), String::new()),
        };
        let names = (2_u64..).map(|number| format!("{stem}_{number}{extension}"));
        let mut free = names.filter(|name| self.tree.child(folder, &super::name::NameKey::of(name)).is_none());
        free.next().unwrap_or_else(|| file.name.clone())
    }

    /// The folder that these names lead to. What is missing of it is planned into `changes` where that is wanted.
    pub(super) fn folder_for(
        &mut self,
        names: &[Component],
        create: bool,
        missing: Rejection,
        user: u64,
        now: Timestamp,
        changes: &mut Vec<Change>,
    ) -> Result<NodeId, Rejection> {
        let mut folder = ROOT;
        let mut names = names.iter();
        let first_missing = loop {
            let Some(name) = names.next() else { return Ok(folder) };
            match self.tree.child(folder, &name.key) {
                Some(child) if child.is_file() => return Err(Rejection::ParentIsFile),
                Some(child) => folder = child.id,
                None => break name,
            }
        };
        if !create && !self.settings.always_create_parents {
            return Err(missing);
        }
        changes.extend(self.touched(folder, now));
        for name in std::iter::once(first_missing).chain(names) {
            let id = self.tree.next_id();
            changes.push(Change::Node(Box::new(Node::folder(id, Some(folder), &name.name, user, now))));
            folder = id;
        }
        Ok(folder)
    }

    pub(super) fn forget_uploads(&mut self, select: impl Fn(&Upload) -> bool) -> std::io::Result<()> {
        let lapsed: Vec<_> = self.uploads.values().filter(|upload| select(upload)).cloned().collect();
        if lapsed.is_empty() {
            return Ok(());
        }
        self.commit(lapsed.iter().map(|upload| Change::UploadGone(upload.id.clone())).collect())?;
        self.remove_blobs(lapsed.iter().flat_map(|upload| upload.parts.values().map(|part| &part.blob)));
        Ok(())
    }
}

impl Upload {
    /// The parts that a finish lists, or all that were put; numbered from 1 without a gap.
    fn listed(&self, etags: Option<&[(i64, String)]>) -> Result<Vec<(u32, &Part)>, Rejection> {
        let parts: Vec<(u32, &Part)> = match etags {
            None => self.parts.iter().map(|(number, part)| (*number, part)).collect(),
            Some(etags) => {
                let mut listed: Vec<_> = etags.iter().collect();
                listed.sort_by_key(|(number, _)| *number);
                if !listed.iter().zip(1..).all(|((number, _), place)| *number == place) {
                    return Err(Rejection::InvalidEtags);
                }
                let put = |(number, etag): &(i64, String)| {
                    let number = u32::try_from(*number).ok()?;
                    let part = self.parts.get(&number).filter(|part| part.md5 == *etag)?;
                    Some((number, part))
                };
                listed.into_iter().map(put).collect::<Option<_>>().ok_or(Rejection::FileNotUploaded)?
            }
        };
        if parts.is_empty() {
            return Err(Rejection::FileNotUploaded);
        }
        if !parts.iter().zip(1..).all(|((number, _), place)| *number == place) {
            return Err(Rejection::PartGap);
        }
        Ok(parts)
    }
}

/// The content of these parts, as it stands in the storage.
fn content(id: &str, parts: &[(u32, &Part)], now: Timestamp) -> Content {
    let digests = match parts {
        [(_, only)] => Some(Digests { md5: only.md5.clone(), crc32: only.crc32 }),
        _ => None,
    };
    let together = parts.iter().fold(Md5::new(), |md5, (_, part)| md5.chain_update(&part.md5));
    Content {
        id: id.to_owned(),
        size: parts.iter().map(|(_, part)| part.size).sum(),
        pieces: parts.iter().map(|(_, part)| Piece { blob: part.blob.clone(), size: part.size }).collect(),
        etag: format!("{}-{}", hex(&together.finalize()), parts.len()),
        stored: now,
        digests,
        lease: Arc::new(()),
    }
}

fn new_id() -> String {
    format!("put-{}", rand::rng().random_range(7_000_000_000_u64..7_000_000_000_000))
}

fn file_path(raw: &str) -> Result<RemotePath, Rejection> {
    let path = RemotePath::of_url(raw, Trailing::AllowedInLast)?;
    if path.is_root() { Err(Rejection::InvalidPath("the root is no file")) } else { Ok(path) }
}

/// Another digest of the same shape.
pub(super) fn wrong(digest: &str) -> String {
    digest.chars().map(|digit| if digit == '0' { '1' } else { '0' }).collect()
}
