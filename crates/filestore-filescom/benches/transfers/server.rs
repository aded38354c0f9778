//! A service with minimal costs: no disk, no hashing, responses computed in advance.
//!
//! Every content is the beginning of one endless repetition of a block of [`BLOCK`] bytes, so that digests are known
//! before a byte arrives. Received content is counted, and the first bytes of each read are checked; it is not stored.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;

use md5::{Digest, Md5};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// The period of all contents; part sizes are multiples of it.
pub(crate) const BLOCK: usize = 1 << 20;

pub(crate) const SMALL: u64 = 4096;

/// The number of entries of a page of the listing.
const PAGE: usize = 1000;

/// Returns a block that does not compress.
pub(crate) fn block() -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..BLOCK / 8).flat_map(|_| next()).collect()
}

struct Service {
    address: SocketAddr,
    block: Vec<u8>,
    large: u64,
    crc32_of_large: String,
    crc32_of_small: String,
    /// MD5 by length.
    tags: Mutex<HashMap<u64, String>>,
    /// The pages of the listing.
    pages: Vec<String>,
}

/// Starts the service on its own threads and returns its address.
pub(crate) fn start(large: u64, entries: usize) -> SocketAddr {
    let (sender, receiver) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let block = block();
            let service = Arc::new(Service {
                address,
                large,
                crc32_of_large: crc32(&block, large),
                crc32_of_small: crc32(&block, SMALL),
                tags: Mutex::default(),
                pages: pages(entries),
                block,
            });
            // Computed before the measurements begin.
            for length in [SMALL].into_iter().chain([4, 8, 16, 32].map(|mib| mib << 20)) {
                service.tag(length);
            }
            sender.send(address).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let service = Arc::clone(&service);
                tokio::spawn(async move { drop(service.serve(stream).await) });
            }
        });
    });
    receiver.recv().unwrap()
}

fn crc32(block: &[u8], length: u64) -> String {
    let mut hasher = crc32fast::Hasher::new();
    let mut left = length as usize;
    while left > 0 {
        hasher.update(&block[..left.min(BLOCK)]);
        left -= left.min(BLOCK);
    }
    format!("{:x}", hasher.finalize())
}

fn pages(entries: usize) -> Vec<String> {
    let entry = |number: usize| {
        json!({"path": format!("many/file-{number:06}.txt"), "created_by_id": 1001, "created_by_api_key_id": null,
            "created_by_as2_incoming_message_id": null, "created_by_automation_id": null,
            "created_by_bundle_registration_id": null, "created_by_inbox_id": null, "created_by_remote_server_id": null,
            "created_by_sync_id": null, "custom_metadata": {}, "display_name": format!("file-{number:06}.txt"),
            "type": "file", "size": 4096, "created_at": "2026-03-01T10:00:00Z", "last_modified_by_id": null,
            "last_modified_by_api_key_id": null, "last_modified_by_automation_id": null,
            "last_modified_by_bundle_registration_id": null, "last_modified_by_remote_server_id": null,
            "last_modified_by_sync_id": null, "mtime": "2026-03-01T10:00:00Z",
            "provided_mtime": "2025-12-24T08:00:00Z", "crc32": "1f2e3d4c", "md5": "0123456789abcdef0123456789abcdef",
            "sha1": null, "sha256": null, "mime_type": "text/plain", "region": "us-east-1", "permissions": "lrwd"})
    };
    let numbers: Vec<usize> = (0..entries).collect();
    numbers
        .chunks(PAGE)
        .map(|page| serde_json::to_string(&page.iter().copied().map(entry).collect::<Vec<_>>()).unwrap())
        .collect()
}

struct Head {
    method: String,
    path: String,
    query: String,
    length: u64,
    range: Option<String>,
}

impl Service {
    /// Returns the MD5 of the first `length` bytes. Above 64 MiB it is zeros, since no contestant checks it.
    fn tag(&self, length: u64) -> String {
        if length > 64 << 20 {
            return "0".repeat(32);
        }
        let mut tags = self.tags.lock().unwrap();
        let compute = || {
            let mut md5 = Md5::new();
            let mut left = length as usize;
            while left > 0 {
                md5.update(&self.block[..left.min(BLOCK)]);
                left -= left.min(BLOCK);
            }
            md5.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
        };
        tags.entry(length).or_insert_with(compute).clone()
    }

    async fn serve(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut stream = BufReader::with_capacity(1 << 16, stream);
        let mut scratch = vec![0; 1 << 18];
        loop {
            let Some(head) = read_head(&mut stream).await? else { return Ok(()) };
            if head.method == "PUT" {
                let genuine = self.discard(&mut stream, &mut scratch, head.length).await?;
                let status = if genuine { "200 OK" } else { "400 Bad Request" };
                let response =
                    format!("HTTP/1.1 {status}\r\nETag: \"{}\"\r\nContent-Length: 0\r\n\r\n", self.tag(head.length));
                stream.write_all(response.as_bytes()).await?;
                continue;
            }
            let mut body = vec![0; head.length as usize];
            stream.read_exact(&mut body).await?;
            if let Some(name) = head.path.strip_prefix("/storage/") {
                self.content(&mut stream, name, head.range.as_deref()).await?;
                continue;
            }
            let (status, headers, body) = self.response(&head, &body);
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(body.as_bytes()).await?;
        }
    }

    async fn discard(&self, stream: &mut BufReader<TcpStream>, scratch: &mut [u8], length: u64) -> io::Result<bool> {
        let mut genuine = true;
        let mut read = 0;
        while read < length {
            let most = usize::try_from(length - read).unwrap_or(usize::MAX).min(scratch.len());
            let count = stream.read(&mut scratch[..most]).await?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let at = (read as usize) % BLOCK;
            let checked = count.min(16).min(BLOCK - at);
            genuine &= scratch[..checked] == self.block[at..at + checked];
            read += count as u64;
        }
        Ok(genuine)
    }

    async fn content(&self, stream: &mut BufReader<TcpStream>, name: &str, range: Option<&str>) -> io::Result<()> {
        let size = self.size(name);
        let parsed = range.and_then(|range| {
            let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
            let last = last.parse().map_or(size, |last: u64| (last + 1).min(size));
            Some((first.parse::<u64>().ok()?, last))
        });
        let (first, end) = parsed.unwrap_or((0, size));
        let status = match parsed {
            Some(_) => format!("206 Partial Content\r\nContent-Range: bytes {first}-{}/{size}", end - 1),
            None => "200 OK".to_owned(),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nETag: \"{name}-1\"\r\nAccept-Ranges: bytes\r\n\r\n",
            end - first
        );
        stream.write_all(head.as_bytes()).await?;
        let mut at = first;
        while at < end {
            let from = (at as usize) % BLOCK;
            let most = usize::try_from(end - at).unwrap_or(usize::MAX).min(BLOCK - from);
            stream.write_all(&self.block[from..from + most]).await?;
            at += most as u64;
        }
        Ok(())
    }

    fn size(&self, name: &str) -> u64 {
        if name.ends_with("large") { self.large } else { SMALL }
    }

    fn response(&self, head: &Head, body: &[u8]) -> (&'static str, String, String) {
        let path = head.path.strip_prefix("/api/rest/v1").unwrap_or(&head.path);
        let none = String::new();
        if path.starts_with("/file_actions/begin_upload/") {
            let request: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
            let number = |name: &str| request[name].as_u64();
            let first = number("part").unwrap_or(1);
            let parts: Vec<_> = (first..first + number("parts").unwrap_or(1)).map(|part| self.part(part)).collect();
            return ("200 OK", none, serde_json::Value::from(parts).to_string());
        }
        if let Some(name) = path.strip_prefix("/files/") {
            let status = if head.method == "POST" { "201 Created" } else { "200 OK" };
            return (status, none, self.entity(name));
        }
        if path.starts_with("/folders") {
            let cursor = head.query.split('&').find_map(|pair| pair.strip_prefix("cursor=p"));
            let page: usize = cursor.and_then(|number| number.parse().ok()).unwrap_or(0);
            let next = page + 1;
            let headers = match next < self.pages.len() {
                true => format!("X-Files-Cursor: p{next}\r\nX-Files-Cursor-Next: p{next}\r\n"),
                false => none,
            };
            return ("200 OK", headers, self.pages[page].clone());
        }
        ("404 Not Found", none, r#"{"type":"not-found","error":"?","http-code":404}"#.to_owned())
    }

    fn part(&self, part: u64) -> serde_json::Value {
        let uri = format!("http://{}/storage/put/{part}?{}", self.address, signature());
        json!({"send": {"partsize": "required-header Content-Length", "partdata": "body"}, "action": "put/write",
            "ask_about_overwrites": false, "available_parts": 10000, "expires": "2100-01-01T00:00:00Z", "headers": {},
            "http_method": "PUT", "next_partsize": 6291456, "parallel_parts": true, "retry_parts": true,
            "parameters": {}, "part_number": part, "partsize": 5242880, "ref": "put-1", "upload_uri": uri})
    }

    fn entity(&self, name: &str) -> String {
        let crc32 = if name.ends_with("large") { &self.crc32_of_large } else { &self.crc32_of_small };
        let uri = format!("http://{}/storage/{name}?{}", self.address, signature());
        json!({"path": name, "type": "file", "size": self.size(name), "created_at": "2026-03-01T10:00:00Z",
            "mtime": "2026-03-01T10:00:00Z", "provided_mtime": null, "crc32": crc32, "md5": null,
            "mime_type": "application/octet-stream", "region": "us-east-1", "permissions": "lrwd",
            "custom_metadata": {}, "download_uri": uri})
        .to_string()
    }
}

/// Returns the query of a fresh presigned URL.
fn signature() -> String {
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    format!("X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date={now}&X-Amz-Expires=900&X-Amz-Signature=0")
}

async fn read_head(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Head>> {
    let mut head = Head { method: String::new(), path: String::new(), query: String::new(), length: 0, range: None };
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let mut words = line.split(' ');
    head.method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    (head.path, head.query) = (path.replace("%2F", "/"), query.to_owned());
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(':') else { return Ok(Some(head)) };
        if name.eq_ignore_ascii_case("content-length") {
            head.length = value.trim().parse().map_err(io::Error::other)?;
        } else if name.eq_ignore_ascii_case("range") {
            head.range = Some(value.trim().to_owned());
        }
    }
}
