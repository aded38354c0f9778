//! Uploads: the API begins an upload, the storage receives its parts, the API finishes it.

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
use super::sign::PART_URL_LIFETIME;
use super::storage_error::StorageRejection;
use super::store::{Change, State};
use super::tree::{Node, NodeId, ROOT};
use super::wire::UploadPart;
use super::{Call, FilesCom, StorageCall};
use crate::faults::{ContentTamper, Fault};
use crate::hex::hex;
use crate::http::{Response, empty, json};

const MAX_PARTS: u32 = 10_000;
/// The minimum size of every part but the last, in bytes.
const MIN_PART: u64 = 5 * 1024 * 1024;
/// The maximum size of a part, in bytes.
const MAX_PART: u64 = 5 * 1024 * 1024 * 1024;
/// The maximum number of URLs in a response.
const MAX_URLS: u32 = 1000;
/// The lifetime of an unfinished upload.
pub(super) const UPLOAD_LIFETIME: SignedDuration = SignedDuration::from_hours(3 * 24);

/// A request for URLs of parts.
struct PartUrlsRequest {
    reference: Option<String>,
    /// The number of the first part.
    part: i64,
    /// The number of URLs.
    parts: u32,
    mkdir_parents: bool,
    with_rename: bool,
}

/// A request to finish an upload.
struct FinishRequest {
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

    /// `POST /files/PATH`: the action `end` finishes an upload; one client uses `put` to begin and continue it.
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
        let request = PartUrlsRequest::parse(call)?;
        let path = file_path(raw)?;
        caller.check(Right::Write, &path)?;
        if let Some(reference) = &request.reference
            && call.effects.any(|fault| matches!(fault, Fault::StaleRef))
        {
            self.remove_upload(reference).await?;
        }

        let (path_text, first, count) = (path.to_string(), request.first_part(), request.parts);
        let (user, now) = (caller.id, call.now);
        let (reference, part_size) = self
            .store
            .run(move |state| {
                let reference = match &request.reference {
                    Some(reference) => state.open_upload(reference, &path, user)?.id.clone(),
                    None => state.begin_upload(&path, &request, user, now)?,
                };
                Ok::<_, Rejection>((reference, state.settings.part_size))
            })
            .await?;

        // The fault signs with an earlier time, so that the URL has already expired.
        let expired = call.effects.any(|fault| matches!(fault, Fault::ExpiredUrl));
        let signed_at = if expired { now.saturating_sub(PART_URL_LIFETIME).unwrap_or(now) } else { now };
        let numbers = first..=MAX_PARTS.min(first.saturating_add(count - 1));
        Ok(numbers.map(|number| self.upload_part(&reference, &path_text, number, part_size, signed_at)).collect())
    }

    fn upload_part(
        &self,
        reference: &str,
        path: &str,
        number: u32,
        part_size: u64,
        signed_at: Timestamp,
    ) -> UploadPart {
        UploadPart {
            send: BTreeMap::from([("partsize", "required-header Content-Length"), ("partdata", "body")]),
            action: "put/write",
            ask_about_overwrites: false,
            available_parts: MAX_PARTS,
            expires: signed_at.checked_add(PART_URL_LIFETIME).unwrap_or(signed_at),
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
            upload_uri: self.signer.part_url(reference, path, number, signed_at),
        }
    }

    /// `PUT` to the storage: stores a part, and replaces an earlier one with the same number.
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
            self.remove_upload(upload).await?;
        }
        let length = call.body.length().ok_or(StorageRejection::MissingLength)?;
        if length > MAX_PART {
            return Err(StorageRejection::TooLarge);
        }
        let id = upload.to_owned();
        self.store.run(move |state| state.check_open(&id)).await?;

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
                // The upload may have been finished or removed while the body arrived.
                state.check_open(&id)?;
                let part = Part { blob: blob.keep(), size, md5: digest, crc32 };
                Ok::<_, StorageRejection>(state.put_part(id, number, part)?)
            })
            .await?;

        let etag = if call.effects.any(|fault| matches!(fault, Fault::WrongEtag)) { wrong_digest(&md5) } else { md5 };
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
        let finish = FinishRequest {
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
        caller.check(Right::Write, &finish.path)?;
        if call.effects.any(|fault| matches!(fault, Fault::StaleRef)) {
            self.remove_upload(&finish.reference).await?;
        }

        let view = View::new(&caller, params.flag("with_priority_color")?, call.now);
        let (response, content) = self
            .store
            .run(move |state| {
                let (id, is_new) = state.finish_upload(finish)?;
                let node = state.tree.get(id).ok_or(Rejection::NotFound)?;
                let mut entity = state.entity(node, state.tree.path(id), &view);
                // The service never returns digests here.
                (entity.md5, entity.crc32) = (None, None);
                let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
                let content = node.content.as_ref().and_then(|content| state.contents.get(content)).cloned();
                Ok::<_, Rejection>((json(status, &entity), content))
            })
            .await?;
        self.spawn_digests(content.into_iter().collect());
        Ok(response)
    }

    /// Replaces the content of a file by another one of the same size, for the `replaced-file` fault.
    pub(super) async fn replace_content(&self, path: RemotePath, now: Timestamp) -> Result<(), Rejection> {
        let lookup_path = path.clone();
        let current = self
            .store
            .run(move |state| {
                let content = state.node_at(&lookup_path)?.content.clone();
                Ok::<_, Rejection>(content.and_then(|id| state.contents.get(&id)).cloned())
            })
            .await?;
        let Some(current) = current else { return Ok(()) };
        let (mut writer, mut md5, mut crc32) = (self.store.blobs().writer(), Md5::new(), crc32fast::Hasher::new());
        let size = current.size;
        let mut chunks = current.stream(Arc::clone(self.store.blobs()), 0, size);
        while let Some(chunk) = chunks.next().await {
            let inverted: Vec<u8> = chunk?.iter().map(|byte| !byte).collect();
            md5.update(&inverted);
            crc32.update(&inverted);
            writer.write(&inverted).await?;
        }
        let blob = writer.finish().await?;
        self.store
            .run(move |state| {
                let node = state.node_at(&path)?.clone();
                let part = Part { blob: blob.keep(), size, md5: hex(&md5.finalize()), crc32: crc32.finalize() };
                let content = content(&new_upload_id(), &[(1, &part)], now);
                let node = Node { content: Some(content.id.clone()), created_at: now, mtime: now, ..node };
                Ok(state.commit(vec![Change::Content(content), Change::Node(Box::new(node))])?)
            })
            .await
    }

    /// Removes an upload, as if it had expired.
    async fn remove_upload(&self, id: &str) -> std::io::Result<()> {
        let id = id.to_owned();
        self.store.run(move |state| state.remove_uploads(|upload| upload.id == id)).await
    }

    /// Spawns a task that computes missing digests, one content at a time.
    pub(super) fn spawn_digests(&self, contents: Vec<Content>) {
        let contents: Vec<_> = contents.into_iter().filter(|content| content.digests.is_none()).collect();
        if contents.is_empty() {
            return;
        }
        let (store, permit) = (self.store.clone(), Arc::clone(&self.digest_permit));
        tokio::spawn(async move {
            let Ok(_permit) = permit.acquire().await else { return };
            for content in contents {
                let (id, blobs) = (content.id.clone(), Arc::clone(store.blobs()));
                let digests = tokio::task::spawn_blocking(move || content.digest(&blobs)).await;
                let result = match digests.map_err(std::io::Error::other).flatten() {
                    Ok(digests) => store.run(move |state| state.commit(vec![Change::Digests(id, digests)])).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = result {
                    tracing::warn!(%error, "a file could not be digested");
                }
            }
        });
    }
}

impl PartUrlsRequest {
    fn parse(call: &Call<'_>) -> Result<Self, Rejection> {
        let params = &call.params;
        let reference = params.text("ref")?;
        let part = params.int("part")?.unwrap_or(1);
        let parts = params.int("parts")?.unwrap_or(1);
        let parts = u32::try_from(parts).ok().filter(|parts| *parts > 0).ok_or(Rejection::invalid("parts"))?;
        // Without a ref, the part number is ignored.
        if reference.is_some() && !(1..=i64::from(MAX_PARTS)).contains(&part) {
            return Err(Rejection::PartNumber);
        }
        Ok(PartUrlsRequest {
            reference,
            part,
            parts: parts.min(MAX_URLS),
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
        request: &PartUrlsRequest,
        user: u64,
        now: Timestamp,
    ) -> Result<String, Rejection> {
        let mut changes = Vec::new();
        let (folders, _) = path.split_last().ok_or(Rejection::InvalidPath("the root is not a file"))?;
        self.ensure_folder(folders, request.mkdir_parents, Rejection::NotFound, user, now, &mut changes)?;
        let upload = Upload {
            id: new_upload_id(),
            path: path.to_string(),
            user,
            with_rename: request.with_rename,
            begun: now,
            parts: BTreeMap::new(),
        };
        let id = upload.id.clone();
        changes.push(Change::Upload(upload));
        self.commit(changes)?;
        Ok(id)
    }

    /// Returns the upload of a ref. A ref is valid only for its own path and user.
    fn open_upload(&self, reference: &str, path: &RemotePath, user: u64) -> Result<&Upload, Rejection> {
        let upload = self.uploads.get(reference).filter(|upload| upload.user == user);
        let upload = upload.ok_or_else(|| Rejection::UploadNotFound(reference.to_owned()))?;
        if !RemotePath::from_text(&upload.path, Trailing::AllowedInLast)?.is_same(path) {
            return Err(Rejection::UploadNotFound(reference.to_owned()));
        }
        Ok(upload)
    }

    fn check_open(&self, id: &str) -> Result<(), StorageRejection> {
        if self.uploads.contains_key(id) { Ok(()) } else { Err(StorageRejection::NoSuchUpload) }
    }

    fn put_part(&mut self, id: String, number: u32, part: Part) -> std::io::Result<()> {
        let previous = self.uploads.get(&id).and_then(|upload| upload.parts.get(&number)).cloned();
        let blob = part.blob.clone();
        match self.commit(vec![Change::Part(id, number, part)]) {
            Ok(()) => {
                self.remove_blobs(previous.iter().map(|part| &part.blob));
                Ok(())
            }
            Err(error) => {
                self.remove_blobs([&blob]);
                Err(error)
            }
        }
    }

    /// Finishes an upload. If the request is rejected, the upload stays open. Returns the file, and `true` if it is
    /// new.
    fn finish_upload(&mut self, finish: FinishRequest) -> Result<(NodeId, bool), Rejection> {
        let upload = self.open_upload(&finish.reference, &finish.path, finish.user)?.clone();
        let parts = upload.listed_parts(finish.etags.as_deref())?;
        self.check_sizes(&parts, finish.size)?;

        let mut changes = Vec::new();
        let (folders, file) = finish.path.split_last().ok_or(Rejection::InvalidPath("the root is not a file"))?;
        let now = finish.now;
        let folder =
            self.ensure_folder(folders, finish.mkdir_parents, Rejection::NotFound, finish.user, now, &mut changes)?;
        let existing = self.tree.child(folder, &file.key);
        let (id, name) = match existing {
            Some(existing) if !existing.is_file() => return Err(Rejection::DestinationExists),
            Some(_) if upload.with_rename || finish.with_rename => (None, self.free_name(folder, &file.name)),
            Some(existing) => (Some(existing.id), existing.name.clone()),
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
        changes.extend(self.touch(folder, now));
        self.commit(changes)?;
        let unused = upload.parts.iter().filter(|(number, _)| !used.contains(number));
        self.remove_blobs(unused.map(|(_, part)| &part.blob));
        Ok((id, is_new))
    }

    fn check_sizes(&self, parts: &[(u32, &Part)], size: Option<i64>) -> Result<(), Rejection> {
        let min_size = MIN_PART.min(self.settings.part_size);
        let all_but_last = parts.split_last().map_or(&[][..], |(_, rest)| rest);
        if all_but_last.iter().any(|(_, part)| part.size < min_size) {
            return Err(Rejection::PartSize);
        }
        let stored: u64 = parts.iter().map(|(_, part)| part.size).sum();
        match size {
            Some(size) if u64::try_from(size) != Ok(stored) => {
                Err(Rejection::InvalidParams(format!("size is {size} bytes, but the parts have {stored} bytes")))
            }
            _ => Ok(()),
        }
    }

    /// Returns a name that is not in use: `name_2.ext`, or with the next free number.
    pub(super) fn free_name(&self, folder: NodeId, name: &str) -> String {
        let (stem, extension) = match name.rsplit_once('.') {
            Some((stem, extension)) if !stem.is_empty() => (stem, format!(".{extension}")),
            _ => (name, String::new()),
        };
        let names = (2_u64..).map(|number| format!("{stem}_{number}{extension}"));
        let mut free = names.filter(|name| self.tree.child(folder, &super::name::NameKey::of(name)).is_none());
        free.next().unwrap_or_else(|| name.to_owned())
    }

    /// Returns the folder at the path of `names`. If it is missing, adds the changes that create it to `changes`, or
    /// fails with `missing` if neither `create` nor the site allows that.
    pub(super) fn ensure_folder(
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
        changes.extend(self.touch(folder, now));
        for name in std::iter::once(first_missing).chain(names) {
            let id = self.tree.next_id();
            changes.push(Change::Node(Box::new(Node::folder(id, Some(folder), &name.name, user, now))));
            folder = id;
        }
        Ok(folder)
    }

    pub(super) fn remove_uploads(&mut self, select: impl Fn(&Upload) -> bool) -> std::io::Result<()> {
        let selected: Vec<_> = self.uploads.values().filter(|upload| select(upload)).cloned().collect();
        if selected.is_empty() {
            return Ok(());
        }
        self.commit(selected.iter().map(|upload| Change::UploadGone(upload.id.clone())).collect())?;
        self.remove_blobs(selected.iter().flat_map(|upload| upload.parts.values().map(|part| &part.blob)));
        Ok(())
    }
}

impl Upload {
    /// Returns the parts that a finish request lists, or all parts if it has no list. They are numbered from 1 without
    /// gaps.
    fn listed_parts(&self, etags: Option<&[(i64, String)]>) -> Result<Vec<(u32, &Part)>, Rejection> {
        let parts: Vec<(u32, &Part)> = match etags {
            None => self.parts.iter().map(|(number, part)| (*number, part)).collect(),
            Some(etags) => {
                let mut listed: Vec<_> = etags.iter().collect();
                listed.sort_by_key(|(number, _)| *number);
                if !listed.iter().zip(1..).all(|((number, _), expected)| *number == expected) {
                    return Err(Rejection::InvalidEtags);
                }
                let find = |(number, etag): &(i64, String)| {
                    let number = u32::try_from(*number).ok()?;
                    let part = self.parts.get(&number).filter(|part| part.md5 == *etag)?;
                    Some((number, part))
                };
                listed.into_iter().map(find).collect::<Option<_>>().ok_or(Rejection::FileNotUploaded)?
            }
        };
        if parts.is_empty() {
            return Err(Rejection::FileNotUploaded);
        }
        if !parts.iter().zip(1..).all(|((number, _), expected)| *number == expected) {
            return Err(Rejection::PartGap);
        }
        Ok(parts)
    }
}

/// Returns the content that consists of these parts.
fn content(id: &str, parts: &[(u32, &Part)], now: Timestamp) -> Content {
    let digests = match parts {
        [(_, part)] => Some(Digests { md5: part.md5.clone(), crc32: part.crc32 }),
        _ => None,
    };
    let combined = parts.iter().fold(Md5::new(), |md5, (_, part)| md5.chain_update(&part.md5));
    Content {
        id: id.to_owned(),
        size: parts.iter().map(|(_, part)| part.size).sum(),
        pieces: parts.iter().map(|(_, part)| Piece { blob: part.blob.clone(), size: part.size }).collect(),
        etag: format!("{}-{}", hex(&combined.finalize()), parts.len()),
        stored: now,
        digests,
        lease: Arc::new(()),
    }
}

fn new_upload_id() -> String {
    format!("put-{}", rand::rng().random_range(7_000_000_000_u64..7_000_000_000_000))
}

fn file_path(raw: &str) -> Result<RemotePath, Rejection> {
    let path = RemotePath::from_url(raw, Trailing::AllowedInLast)?;
    if path.is_root() { Err(Rejection::InvalidPath("the root is not a file")) } else { Ok(path) }
}

/// Returns a different digest of the same form, for the `wrong-etag` fault.
pub(super) fn wrong_digest(digest: &str) -> String {
    digest.chars().map(|digit| if digit == '0' { '1' } else { '0' }).collect()
}
