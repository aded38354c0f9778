//! Plain reqwest: only the necessary requests, and the digests that this crate computes. It trusts the
//! server to send correct responses.

use std::io::SeekFrom;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use md5::{Digest, Md5};
use reqwest::Client;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use super::{API_KEY, AT_ONCE, Job, Task, timed};
use crate::server::{SMALL, block};

/// The default of this crate.
const PARTS_AT_ONCE: usize = 8;
const PART: u64 = 16 << 20;
const CHUNK: usize = 256 * 1024;

#[derive(Clone)]
struct Plain {
    client: Client,
    api: String,
}

/// The fields of an entry that a program keeps.
#[derive(Deserialize)]
#[allow(dead_code, reason = "it is parsed, which is the work")]
struct Entry {
    path: String,
    #[serde(rename = "type")]
    kind: String,
    size: Option<u64>,
    created_at: Option<String>,
    mtime: Option<String>,
    provided_mtime: Option<String>,
    crc32: Option<String>,
    md5: Option<String>,
    mime_type: Option<String>,
    download_uri: Option<String>,
}

pub(crate) async fn run(task: &Task) -> Duration {
    let client = Client::builder().tcp_nodelay(true).build().unwrap();
    let plain = Plain { client, api: format!("http://{}/api/rest/v1", task.address) };
    match task.job {
        Job::UpLarge => timed(plain.up_large(task)).await,
        Job::DownLarge => timed(plain.down("large")).await,
        Job::UpSmall => {
            let content = Bytes::from(block()).slice(..SMALL as usize);
            timed(
                stream::iter(0..task.count)
                    .for_each_concurrent(AT_ONCE, |number| plain.up_small(format!("small-{number}"), content.clone())),
            )
            .await
        }
        Job::DownSmall => {
            timed(stream::iter(0..task.count).for_each_concurrent(AT_ONCE, |number| {
                let plain = plain.clone();
                async move { plain.down(&format!("small-{number}")).await }
            }))
            .await
        }
        Job::List => timed(plain.list(task.count)).await,
    }
}

impl Plain {
    async fn post(&self, path: &str, body: &Value) -> Value {
        let request = self.client.post(format!("{}/{path}", self.api)).header("x-filesapi-key", API_KEY);
        let request = request.header("content-type", "application/json").body(body.to_string());
        let response = request.send().await.unwrap().error_for_status().unwrap();
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
    }

    async fn put(&self, uri: &str, body: reqwest::Body, length: u64) -> String {
        let response = self.client.put(uri).header("content-length", length).body(body).send().await.unwrap();
        let response = response.error_for_status().unwrap();
        response.headers()["etag"].to_str().unwrap().trim_matches('"').to_owned()
    }

    async fn up_large(&self, task: &Task) {
        let size = std::fs::metadata(&task.source).unwrap().len();
        let parts = size.div_ceil(PART);
        let targets = self.post("file_actions/begin_upload/large", &json!({"size": size, "parts": parts})).await;
        let etags: Vec<Value> = stream::iter(0..parts)
            .map(|part| {
                let uri = targets[part as usize]["upload_uri"].as_str().unwrap().to_owned();
                let length = PART.min(size - part * PART);
                async move {
                    let mut file = File::open(&task.source).await.unwrap();
                    file.seek(SeekFrom::Start(part * PART)).await.unwrap();
                    let md5 = Arc::new(Mutex::new(Md5::new()));
                    let hashing = Arc::clone(&md5);
                    let chunks = ReaderStream::with_capacity(file.take(length), CHUNK)
                        .inspect_ok(move |chunk| hashing.lock().unwrap().update(chunk));
                    let etag = self.put(&uri, reqwest::Body::wrap_stream(chunks), length).await;
                    assert_eq!(etag, hex(&md5.lock().unwrap().clone().finalize()));
                    json!({"etag": etag, "part": part + 1})
                }
            })
            .buffer_unordered(PARTS_AT_ONCE)
            .collect()
            .await;
        self.post("files/large", &json!({"action": "end", "ref": "put-1", "size": size, "etags": etags})).await;
    }

    async fn up_small(&self, name: String, content: Bytes) {
        let begin = json!({"size": SMALL, "mkdir_parents": true});
        let targets = self.post(&format!("file_actions/begin_upload/{name}"), &begin).await;
        let md5 = hex(&Md5::digest(&content));
        let etag = self.put(targets[0]["upload_uri"].as_str().unwrap(), content.into(), SMALL).await;
        assert_eq!(etag, md5);
        let end = json!({"action": "end", "ref": targets[0]["ref"], "size": SMALL,
            "etags": [{"etag": etag, "part": 1}]});
        self.post(&format!("files/{name}"), &end).await;
    }

    async fn down(&self, name: &str) {
        let request = self.client.get(format!("{}/files/{name}", self.api)).header("x-filesapi-key", API_KEY);
        let entry: Entry = serde_json::from_slice(&request.send().await.unwrap().bytes().await.unwrap()).unwrap();
        let response = self.client.get(entry.download_uri.unwrap()).send().await.unwrap().error_for_status().unwrap();
        let (mut hasher, mut stream) = (crc32fast::Hasher::new(), response.bytes_stream());
        while let Some(chunk) = stream.try_next().await.unwrap() {
            hasher.update(&chunk);
        }
        assert_eq!(format!("{:x}", hasher.finalize()), entry.crc32.unwrap());
    }

    async fn list(&self, count: usize) {
        let (mut found, mut cursor) = (0, None);
        loop {
            let mut url = format!("{}/folders/many?per_page=1000", self.api);
            if let Some(cursor) = &cursor {
                url.push_str(&format!("&cursor={cursor}"));
            }
            let response = self.client.get(url).header("x-filesapi-key", API_KEY).send().await.unwrap();
            cursor = response.headers().get("x-files-cursor").map(|cursor| cursor.to_str().unwrap().to_owned());
            let page: Vec<Entry> = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
            found += page.len();
            if cursor.is_none() {
                assert_eq!(found, count);
                return;
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
