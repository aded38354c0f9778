//! The state of the stores, read without the code under test: by plain requests, and from the file system. Only the store
//! `memory` is read by itself.

use std::path::Path;

use filestore::{List, Stores};
use filestore_core::FileRef;
use filestore_emulator::{FILEIO_API_KEY, FILESCOM_API_KEY, PUBNUB_SUBSCRIBE_KEY};
use filestore_testbed::{Result, failed};
use futures::TryStreamExt;
use jiff::Timestamp;
use reqwest::RequestBuilder;
use serde_json::Value;

use crate::content;
use crate::environment::Environment;
use crate::history::{FileState, Owner, Snapshot, StoreName, place};

/// The folder of the store `fs` for its unfinished uploads.
const TEMPORARY_FOLDER: &str = ".filestore-tmp";

/// Reads the state of file.io, and of the other stores at the places that `is_read` selects. The other places keep their
/// state from `before`. What cannot change, such as the content of a file at PubNub, is not read again.
pub async fn observe(
    environment: &Environment,
    clients: usize,
    before: &Snapshot,
    is_read: impl Fn(&str) -> bool,
) -> Result<Snapshot> {
    let mut snapshot = before.clone();
    snapshot.retain(|place, _| !place.starts_with("fileio/") && !is_read(place));
    let owners = (0..clients).map(Owner::Client).chain([Owner::Shared]);
    for owner in owners {
        for store in StoreName::ALL {
            let place = place(store, owner);
            if !is_read(&place) {
                continue;
            }
            let known = before.get(&place).map_or(&[][..], Vec::as_slice);
            let mut files = match store {
                StoreName::Pubnub => pubnub(environment, owner, known).await?,
                StoreName::Filescom => filescom(environment, owner).await?,
                StoreName::Fileio => continue,
                StoreName::Fs => local(&environment.fs_root().join(owner.to_string()), owner)?,
                StoreName::Memory if environment.program.is_some() => continue,
                StoreName::Memory => memory(&environment.stores, owner).await?,
                StoreName::S3 => s3(environment, owner).await?,
            };
            files.iter_mut().for_each(|file| keep_origin(file, known));
            snapshot.insert(place, files);
        }
    }
    // One list has the files of all owners.
    for mut file in fileio(environment).await? {
        let owner = file.name.split_once('-').and_then(|(owner, _)| Owner::try_from(owner.to_owned()).ok());
        let place = place(StoreName::Fileio, owner.ok_or_else(|| format!("a file without an owner: {}", file.name))?);
        let known = before.get(&place).map_or(&[][..], Vec::as_slice);
        // A read would count.
        file.md5 = known.iter().find(|known| known.reference == file.reference).and_then(|known| known.md5.clone());
        keep_origin(&mut file, known);
        snapshot.entry(place).or_default().push(file);
    }
    // The temporary files of `fs` belong to no client.
    let temporary = local(&environment.fs_root().join(TEMPORARY_FOLDER), Owner::Temporary)?;
    snapshot.insert(place(StoreName::Fs, Owner::Temporary), temporary);
    Ok(snapshot)
}

/// Sets the origin to that of the same file, or else of a known file of the same content, such as the source of a copy.
fn keep_origin(file: &mut FileState, known: &[FileState]) {
    let mut same = known.iter().filter(|known| known.md5.is_some() && known.md5 == file.md5);
    let itself = same.clone().find(|known| known.reference == file.reference);
    file.origin = itself.or_else(|| same.next()).and_then(|known| known.origin);
}

/// Returns the reference of a file in a store with paths.
pub fn reference(store: StoreName, owner: Owner, name: &str) -> String {
    let locator = FileRef::new(store.as_str(), [owner.to_string().as_str(), name]);
    format!("{}{locator}", store.as_str())
}

fn state(reference: String, name: &str, size: u64, md5: Option<String>) -> FileState {
    let (downloads, origin, created, expires) = (None, None, None, None);
    FileState { reference, name: name.to_owned(), size, md5, downloads, origin, created, expires }
}

async fn json(request: RequestBuilder) -> Result<Option<Value>> {
    let response = request.send().await.map_err(failed("read the state"))?;
    let (status, text) = (response.status(), response.text().await.map_err(failed("read the state"))?);
    match status.as_u16() {
        200 => serde_json::from_str(&text).map(Some).map_err(failed("read the state")),
        404 => Ok(None),
        _ => Err(format!("read the state: {status} {text}")),
    }
}

/// Reads the content at a URL, after at most one redirect.
pub async fn read(environment: &Environment, url: &str) -> Result<Vec<u8>> {
    let mut url = url.to_owned();
    for _ in 0..2 {
        let response = environment.http.get(&url).send().await.map_err(failed("read a file"))?;
        match (response.status().as_u16(), response.headers().get("location")) {
            (200, _) => return Ok(response.bytes().await.map_err(failed("read a file"))?.to_vec()),
            (307, Some(location)) => url = location.to_str().map_err(failed("read a file"))?.to_owned(),
            (status, _) => return Err(format!("read a file: status {status}")),
        }
    }
    Err("read a file: too many redirects".to_owned())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str().and_then(|time| time.parse().ok())
}

async fn pubnub(environment: &Environment, owner: Owner, known: &[FileState]) -> Result<Vec<FileState>> {
    let base = environment.url(&format!("/v1/files/{PUBNUB_SUBSCRIBE_KEY}/channels/{owner}/files"));
    let (mut files, mut next) = (Vec::new(), String::new());
    loop {
        let page =
            json(environment.http.get(format!("{base}?limit=100&uuid=snapshot{next}"))).await?.unwrap_or_default();
        for file in page["data"].as_array().into_iter().flatten() {
            let (id, name) = (text(&file["id"]), text(&file["name"]));
            let locator = FileRef::new("pubnub", [owner.to_string().as_str(), id, name]);
            let reference = format!("pubnub{locator}");
            let md5 = match known.iter().find(|known| known.reference == reference) {
                Some(known) => known.md5.clone(),
                None => {
                    let mut url = reqwest::Url::parse(&base).map_err(failed("read a file"))?;
                    url.path_segments_mut().map_err(|()| "a base URL".to_owned())?.extend([id, name]);
                    url.set_query(Some("uuid=snapshot"));
                    Some(content::digest(&read(environment, url.as_str()).await?))
                }
            };
            let file = FileState {
                created: time(&file["created"]),
                ..state(reference, name, file["size"].as_u64().unwrap_or_default(), md5)
            };
            files.push(file);
        }
        match page["next"].as_str() {
            Some(token) => next = format!("&next={token}"),
            None => return Ok(files),
        }
    }
}

async fn filescom(environment: &Environment, owner: Owner) -> Result<Vec<FileState>> {
    let get = |path: &str| environment.http.get(environment.url(path)).header("X-FilesAPI-Key", FILESCOM_API_KEY);
    let listed = json(get(&format!("/api/rest/v1/folders/{owner}?per_page=1000"))).await?.unwrap_or_default();
    let mut files = Vec::new();
    for entry in listed.as_array().into_iter().flatten() {
        let path = text(&entry["path"]);
        let name = path.rsplit('/').next().unwrap_or_default();
        let md5 = match entry["md5"].as_str() {
            Some(md5) => md5.to_owned(),
            // The service digests a file of several parts later.
            None => {
                let mut url =
                    reqwest::Url::parse(&environment.url("/api/rest/v1/files")).map_err(failed("read a file"))?;
                url.path_segments_mut().map_err(|()| "a base URL".to_owned())?.extend(path.split('/'));
                let request = environment.http.get(url).header("X-FilesAPI-Key", FILESCOM_API_KEY);
                let file = json(request).await?.unwrap_or_default();
                content::digest(&read(environment, text(&file["download_uri"])).await?)
            }
        };
        let size = entry["size"].as_u64().unwrap_or_default();
        files.push(state(reference(StoreName::Filescom, owner, name), name, size, Some(md5)));
    }
    Ok(files)
}

async fn fileio(environment: &Environment) -> Result<Vec<FileState>> {
    let mut files = Vec::new();
    loop {
        let url = environment.url(&format!("/?limit=100&offset={}", files.len()));
        let page = json(environment.http.get(url).bearer_auth(FILEIO_API_KEY)).await?.unwrap_or_default();
        let nodes = page["nodes"].as_array().cloned().unwrap_or_default();
        for node in &nodes {
            let number = |key: &str| node[key].as_u64().and_then(|number| u32::try_from(number).ok());
            files.push(FileState {
                downloads: number("downloads").zip(number("maxDownloads")),
                created: time(&node["created"]),
                expires: time(&node["expires"]),
                ..state(
                    format!("fileio:fileio:{}", text(&node["key"])),
                    text(&node["name"]),
                    node["size"].as_u64().unwrap_or_default(),
                    None,
                )
            });
        }
        if nodes.len() < 100 {
            return Ok(files);
        }
    }
}

async fn s3(environment: &Environment, owner: Owner) -> Result<Vec<FileState>> {
    let Some(bucket) = &environment.bucket else { return Ok(Vec::new()) };
    let url = format!("{bucket}?list-type=2&prefix={owner}/");
    let response = environment.http.get(url).send().await.map_err(failed("list the bucket"))?;
    let listed = response.text().await.map_err(failed("list the bucket"))?;
    let mut files = Vec::new();
    for entry in listed.split("<Key>").skip(1) {
        let key = entry.split("</Key>").next().unwrap_or_default();
        let mut url = reqwest::Url::parse(bucket).map_err(failed("read a file"))?;
        url.path_segments_mut().map_err(|()| "a base URL".to_owned())?.extend(key.split('/'));
        // The server does not check the signature.
        let credential = "Credential=key/20260101/us-east-1/s3/aws4_request";
        let signed = format!("AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=0");
        let response =
            environment.http.get(url).header("authorization", signed).send().await.map_err(failed("read a file"))?;
        let content = match response.status().as_u16() {
            200 => response.bytes().await.map_err(failed("read a file"))?,
            status => return Err(format!("read a file: status {status}")),
        };
        let name = key.rsplit('/').next().unwrap_or_default();
        let (size, md5) = (content.len() as u64, content::digest(&content));
        files.push(state(reference(StoreName::S3, owner, name), name, size, Some(md5)));
    }
    Ok(files)
}

/// Reads a local folder.
pub fn local(folder: &Path, owner: Owner) -> Result<Vec<FileState>> {
    let mut files = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(files) };
    for entry in entries {
        let entry = entry.map_err(failed("read a folder"))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let content = std::fs::read(entry.path()).map_err(failed("read a file"))?;
        let (size, md5) = (content.len() as u64, content::digest(&content));
        files.push(state(reference(StoreName::Fs, owner, &name), &name, size, Some(md5)));
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

async fn memory(stores: &Stores, owner: Owner) -> Result<Vec<FileState>> {
    let store = stores.get("memory").map_err(failed("open the store"))?;
    let listed = match store.list_all(List::new().scope(owner.to_string())).try_collect::<Vec<_>>().await {
        Err(error) if error.kind() == filestore::ErrorKind::NotFound => Vec::new(),
        listed => listed.map_err(failed("list the store"))?,
    };
    let mut files = Vec::new();
    for file in listed {
        let content = store.read(file.reference(), usize::MAX).await.map_err(failed("read the store"))?;
        let (size, md5) = (content.len() as u64, content::digest(&content));
        files.push(state(file.reference().to_string(), &file.name, size, Some(md5)));
    }
    Ok(files)
}
