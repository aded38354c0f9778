//! An S3 server that is not the limit: one bucket in memory, in this process.
//!
//! ETags are those of S3: the MD5 of the content, and for multipart uploads the MD5 of the MD5s of the parts. Signatures
//! and checksum headers are not verified, because the processor time would be taken from the clients.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use bytes::Bytes;
use futures::{StreamExt, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH, LAST_MODIFIED, RANGE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use md5::{Digest, Md5};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use quick_xml::escape::escape;
use serde::Deserialize;
use tokio::net::TcpListener;

/// The only bucket.
pub const BUCKET: &str = "bucket";

/// The largest number of entries of a page of a listing.
const PAGE: usize = 1000;

const XMLNS: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// The bytes that a listing with `encoding-type=url` encodes.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

type ResponseBody = UnsyncBoxBody<Bytes, Infallible>;

/// The objects and uploads of the bucket.
#[derive(Default)]
pub struct S3 {
    objects: Mutex<BTreeMap<String, Arc<Object>>>,
    uploads: Mutex<HashMap<String, MultipartUpload>>,
    requests: Arc<Requests>,
}

/// The requests in progress, from their head to the last byte of their response.
#[derive(Default)]
struct Requests {
    running: AtomicUsize,
    most: AtomicUsize,
    total: AtomicUsize,
}

struct Object {
    content: Vec<Bytes>,
    size: u64,
    /// Without quotation marks.
    etag: String,
    /// The media type and the user metadata.
    headers: HeaderMap,
    modified: SystemTime,
}

struct MultipartUpload {
    key: String,
    headers: HeaderMap,
    parts: BTreeMap<u32, Part>,
}

struct Part {
    content: Vec<Bytes>,
    md5: [u8; 16],
}

/// The body of `DeleteObjects`.
#[derive(Deserialize)]
struct Delete {
    #[serde(rename = "Object", default)]
    objects: Vec<ObjectIdentifier>,
    #[serde(rename = "Quiet", default)]
    quiet: bool,
}

#[derive(Deserialize)]
struct ObjectIdentifier {
    #[serde(rename = "Key")]
    key: String,
}

/// The body of `CompleteMultipartUpload`.
#[derive(Deserialize)]
struct CompleteMultipartUpload {
    #[serde(rename = "Part", default)]
    parts: Vec<CompletedPart>,
}

#[derive(Deserialize)]
struct CompletedPart {
    #[serde(rename = "PartNumber")]
    number: u32,
    #[serde(rename = "ETag")]
    etag: String,
}

/// An error response: the status and the code of S3.
struct S3Error(StatusCode, &'static str);

type Result<T> = std::result::Result<T, S3Error>;

impl S3 {
    /// Listens on loopback and serves in the background.
    pub async fn start() -> io::Result<(Arc<Self>, SocketAddr)> {
        let s3 = Arc::new(Self::default());
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = Arc::clone(&s3);
        tokio::spawn(async move {
            loop {
                let Ok((connection, _)) = listener.accept().await else { continue };
                let _ = connection.set_nodelay(true);
                let server = Arc::clone(&server);
                tokio::spawn(async move {
                    let service = service_fn(move |request| Arc::clone(&server).respond(request));
                    drop(http1::Builder::new().serve_connection(TokioIo::new(connection), service).await);
                });
            }
        });
        Ok((s3, address))
    }

    /// Stores an object without a request.
    pub fn insert(&self, key: String, content: Bytes) {
        let md5 = Md5::digest(&content);
        let object = Object::new(vec![content], hex(&md5), HeaderMap::new());
        self.objects.lock().unwrap().insert(key, Arc::new(object));
    }

    /// Returns the key below `prefix` and the content of each object.
    pub fn below(&self, prefix: &str) -> Vec<(String, Vec<Bytes>)> {
        let objects = self.objects.lock().unwrap();
        let below = objects.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix));
        below.map(|(key, object)| (key[prefix.len()..].to_owned(), object.content.clone())).collect()
    }

    /// Removes all objects and uploads.
    pub fn clear(&self) {
        self.objects.lock().unwrap().clear();
        self.uploads.lock().unwrap().clear();
    }

    /// Returns the number of requests that are being served.
    pub fn running_requests(&self) -> usize {
        self.requests.running.load(Ordering::Relaxed)
    }

    /// Returns the number of requests, and the largest number of requests at the same time, since the last call.
    pub fn take_requests(&self) -> (usize, usize) {
        let requests = &self.requests;
        (requests.total.swap(0, Ordering::Relaxed), requests.most.swap(0, Ordering::Relaxed))
    }

    async fn respond(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> std::result::Result<Response<ResponseBody>, Infallible> {
        let running = Running::start(&self.requests);
        let is_head = request.method() == Method::HEAD;
        let mut response = self.handle(request).await.unwrap_or_else(|S3Error(status, code)| {
            let text = format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>");
            xml(status, if is_head { String::new() } else { text })
        });
        response.headers_mut().insert("x-amz-request-id", "0123456789ABCDEF".parse().unwrap());
        // The request ends with the body of its response.
        Ok(response.map(|body| {
            let length = body.size_hint().exact();
            let frames = body.into_data_stream().map(move |chunk| {
                let _running = &running;
                chunk.map(Frame::data)
            });
            // Without a known length, hyper would send an empty response in chunks.
            if length == Some(0) { empty() } else { BodyExt::boxed_unsync(StreamBody::new(frames)) }
        }))
    }

    async fn handle(&self, request: Request<Incoming>) -> Result<Response<ResponseBody>> {
        let path = percent_decode_str(request.uri().path()).decode_utf8().map_err(|_| INVALID)?.into_owned();
        let (bucket, key) = path.trim_start_matches('/').split_once('/').unwrap_or((&path[1..], ""));
        let query: HashMap<String, String> =
            url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes()).into_owned().collect();
        let parameter = |name: &str| query.get(name).map(String::as_str);
        let headers = request.headers().clone();
        if bucket != BUCKET {
            return Err(S3Error(StatusCode::NOT_FOUND, "NoSuchBucket"));
        }
        match (request.method(), key) {
            (&Method::PUT | &Method::HEAD, "") => Ok(xml(StatusCode::OK, String::new())),
            (&Method::GET, "") if query.contains_key("location") => {
                Ok(xml(StatusCode::OK, format!("<LocationConstraint xmlns=\"{XMLNS}\"/>")))
            }
            (&Method::GET, "") if query.contains_key("versioning") => {
                Ok(xml(StatusCode::OK, format!("<VersioningConfiguration xmlns=\"{XMLNS}\"/>")))
            }
            (&Method::GET, "") => Ok(xml(StatusCode::OK, self.list(&query))),
            (&Method::POST, "") if query.contains_key("delete") => {
                self.delete_objects(&text(request.into_body()).await?)
            }
            (&Method::GET | &Method::HEAD, key) => self.get(key, &headers, request.method() == Method::HEAD),
            (&Method::PUT, _) if headers.contains_key("x-amz-copy-source") => Err(UNSUPPORTED),
            (&Method::PUT, key) => {
                let content = receive(request.into_body(), is_chunked(&headers)).await?;
                match parameter("uploadId") {
                    Some(id) => self.put_part(id, parameter("partNumber"), content),
                    None => self.put(key, &headers, content),
                }
            }
            (&Method::POST, key) if query.contains_key("uploads") => Ok(self.create_upload(key, &headers)),
            (&Method::POST, _) => {
                let id = parameter("uploadId").ok_or(INVALID)?;
                self.complete_upload(id, &headers, &text(request.into_body()).await?)
            }
            (&Method::DELETE, key) => {
                match parameter("uploadId") {
                    Some(id) => drop(self.uploads.lock().unwrap().remove(id)),
                    None => drop(self.objects.lock().unwrap().remove(key)),
                }
                Ok(status(StatusCode::NO_CONTENT))
            }
            _ => Err(UNSUPPORTED),
        }
    }

    fn put(&self, key: &str, headers: &HeaderMap, content: Part) -> Result<Response<ResponseBody>> {
        let object = Object::new(content.content, hex(&content.md5), kept_headers(headers));
        let etag = quoted(&object.etag);
        self.store(key, headers, object)?;
        Ok(with_etag(status(StatusCode::OK), &etag))
    }

    /// Stores an object, unless the request is for a new one (`If-None-Match: *`) and the key is taken.
    fn store(&self, key: &str, headers: &HeaderMap, object: Object) -> Result<()> {
        let mut objects = self.objects.lock().unwrap();
        if headers.contains_key(IF_NONE_MATCH) && objects.contains_key(key) {
            return Err(S3Error(StatusCode::PRECONDITION_FAILED, "PreconditionFailed"));
        }
        objects.insert(key.to_owned(), Arc::new(object));
        Ok(())
    }

    fn get(&self, key: &str, headers: &HeaderMap, is_head: bool) -> Result<Response<ResponseBody>> {
        let object = self.objects.lock().unwrap().get(key).cloned();
        let object = object.ok_or(S3Error(StatusCode::NOT_FOUND, "NoSuchKey"))?;
        if headers.get(IF_MATCH).is_some_and(|etag| etag.as_bytes() != quoted(&object.etag).as_bytes()) {
            return Err(S3Error(StatusCode::PRECONDITION_FAILED, "PreconditionFailed"));
        }
        let range = headers.get(RANGE).map(|range| parse_range(range.to_str().ok()?, object.size));
        let (start, end) = match range {
            Some(range) => range.ok_or(S3Error(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange"))?,
            None => (0, object.size),
        };
        let body = if is_head { empty() } else { chunks(object.slice(start, end)) };
        let mut response = with_etag(Response::new(body), &quoted(&object.etag));
        let head = response.headers_mut();
        head.extend(object.headers.clone());
        head.insert(CONTENT_LENGTH, (end - start).into());
        head.insert(LAST_MODIFIED, httpdate::fmt_http_date(object.modified).parse().unwrap());
        head.insert("accept-ranges", "bytes".parse().unwrap());
        if range.is_some() {
            let range = format!("bytes {start}-{}/{}", end - 1, object.size);
            head.insert(CONTENT_RANGE, range.parse().unwrap());
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        Ok(response)
    }

    fn create_upload(&self, key: &str, headers: &HeaderMap) -> Response<ResponseBody> {
        let upload = MultipartUpload { key: key.to_owned(), headers: kept_headers(headers), parts: BTreeMap::new() };
        let mut uploads = self.uploads.lock().unwrap();
        let id = format!("upload-{:016x}", rand::random::<u64>());
        uploads.insert(id.clone(), upload);
        let text = format!("<Bucket>{BUCKET}</Bucket><Key>{}</Key><UploadId>{id}</UploadId>", escape(key));
        xml(StatusCode::OK, document("InitiateMultipartUploadResult", &text))
    }

    fn put_part(&self, id: &str, number: Option<&str>, part: Part) -> Result<Response<ResponseBody>> {
        let number = number.and_then(|number| number.parse().ok()).ok_or(INVALID)?;
        let etag = quoted(&hex(&part.md5));
        let mut uploads = self.uploads.lock().unwrap();
        uploads.get_mut(id).ok_or(NO_SUCH_UPLOAD)?.parts.insert(number, part);
        Ok(with_etag(status(StatusCode::OK), &etag))
    }

    fn complete_upload(&self, id: &str, headers: &HeaderMap, body: &str) -> Result<Response<ResponseBody>> {
        let requested: CompleteMultipartUpload = quick_xml::de::from_str(body).map_err(|_| MALFORMED)?;
        let mut uploads = self.uploads.lock().unwrap();
        let upload = uploads.get(id).ok_or(NO_SUCH_UPLOAD)?;
        let (mut content, mut md5) = (Vec::new(), Md5::new());
        for CompletedPart { number, etag } in &requested.parts {
            let part = upload.parts.get(number).filter(|part| etag.trim_matches('"') == hex(&part.md5));
            let part = part.ok_or(S3Error(StatusCode::BAD_REQUEST, "InvalidPart"))?;
            md5.update(part.md5);
            content.extend_from_slice(&part.content);
        }
        let etag = format!("{}-{}", hex(&md5.finalize()), requested.parts.len());
        let object = Object::new(content, etag.clone(), upload.headers.clone());
        let key = upload.key.clone();
        uploads.remove(id);
        drop(uploads);
        self.store(&key, headers, object)?;
        let text = format!("<Bucket>{BUCKET}</Bucket><Key>{}</Key><ETag>&quot;{etag}&quot;</ETag>", escape(&key));
        Ok(xml(StatusCode::OK, document("CompleteMultipartUploadResult", &text)))
    }

    fn delete_objects(&self, body: &str) -> Result<Response<ResponseBody>> {
        let requested: Delete = quick_xml::de::from_str(body).map_err(|_| MALFORMED)?;
        if requested.objects.len() > PAGE {
            return Err(MALFORMED);
        }
        let mut deleted = String::new();
        let mut objects = self.objects.lock().unwrap();
        for ObjectIdentifier { key } in requested.objects {
            objects.remove(&key);
            if !requested.quiet {
                let _ = write!(deleted, "<Deleted><Key>{}</Key></Deleted>", escape(&key));
            }
        }
        Ok(xml(StatusCode::OK, document("DeleteResult", &deleted)))
    }

    /// Returns a page of both versions of `ListObjects`.
    fn list(&self, query: &HashMap<String, String>) -> String {
        let parameter = |name: &str| query.get(name).map_or("", String::as_str);
        let (prefix, delimiter) = (parameter("prefix"), parameter("delimiter"));
        // The token of a page is its last key or common prefix, so one rule serves both versions.
        let after = ["continuation-token", "start-after", "marker"].map(parameter);
        let after = after.into_iter().find(|after| !after.is_empty()).unwrap_or("");
        let limit = parameter("max-keys").parse().unwrap_or(PAGE).min(PAGE);
        let is_encoded = parameter("encoding-type") == "url";
        let shown = |key: &str| match is_encoded {
            true => utf8_percent_encode(key, ENCODED).to_string(),
            false => escape(key).into_owned(),
        };

        let (mut entries, mut folders, mut last, mut is_truncated) = (String::new(), BTreeSet::new(), "", false);
        let mut count = 0;
        let objects = self.objects.lock().unwrap();
        for (key, object) in objects.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix)) {
            let end = (!delimiter.is_empty()).then(|| key[prefix.len()..].find(delimiter)).flatten();
            let folder = end.map(|end| &key[..prefix.len() + end + delimiter.len()]);
            let name = folder.unwrap_or(key);
            if name <= after || folder.is_some_and(|folder| folders.contains(folder)) {
                continue;
            }
            if count == limit {
                is_truncated = true;
                break;
            }
            (count, last) = (count + 1, name);
            if let Some(folder) = folder {
                folders.insert(folder);
                continue;
            }
            let modified = jiff::Timestamp::try_from(object.modified).unwrap_or_default();
            let _ = write!(
                entries,
                "<Contents><Key>{}</Key><LastModified>{}</LastModified><ETag>&quot;{}&quot;</ETag><Size>{}</Size>\
                 <StorageClass>STANDARD</StorageClass></Contents>",
                shown(key),
                modified.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
                object.etag,
                object.size
            );
        }
        for folder in &folders {
            let _ = write!(entries, "<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", shown(folder));
        }
        let next = match (is_truncated, parameter("list-type")) {
            (false, _) => String::new(),
            (true, "2") => format!("<NextContinuationToken>{}</NextContinuationToken>", escape(last)),
            (true, _) => format!("<NextMarker>{}</NextMarker>", shown(last)),
        };
        let encoding = if is_encoded { "<EncodingType>url</EncodingType>" } else { "" };
        let text = format!(
            "<Name>{BUCKET}</Name><Prefix>{}</Prefix><Delimiter>{}</Delimiter><MaxKeys>{limit}</MaxKeys>\
             <KeyCount>{count}</KeyCount><IsTruncated>{is_truncated}</IsTruncated>{encoding}{next}{entries}",
            shown(prefix),
            shown(delimiter),
        );
        document("ListBucketResult", &text)
    }
}

impl Object {
    fn new(content: Vec<Bytes>, etag: String, headers: HeaderMap) -> Self {
        let size = content.iter().map(|chunk| chunk.len() as u64).sum();
        Self { content, size, etag, headers, modified: SystemTime::now() }
    }

    /// Returns the bytes from `start` to before `end`.
    fn slice(&self, start: u64, end: u64) -> Vec<Bytes> {
        let (mut slices, mut offset) = (Vec::new(), 0);
        for chunk in &self.content {
            let length = chunk.len() as u64;
            let (from, to) = (start.clamp(offset, offset + length), end.clamp(offset, offset + length));
            if from < to {
                slices.push(chunk.slice((from - offset) as usize..(to - offset) as usize));
            }
            offset += length;
        }
        slices
    }
}

/// One request in progress.
struct Running(Arc<Requests>);

impl Running {
    fn start(requests: &Arc<Requests>) -> Self {
        requests.total.fetch_add(1, Ordering::Relaxed);
        let running = requests.running.fetch_add(1, Ordering::Relaxed) + 1;
        requests.most.fetch_max(running, Ordering::Relaxed);
        Self(Arc::clone(requests))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

const INVALID: S3Error = S3Error(StatusCode::BAD_REQUEST, "InvalidRequest");
const MALFORMED: S3Error = S3Error(StatusCode::BAD_REQUEST, "MalformedXML");
const NO_SUCH_UPLOAD: S3Error = S3Error(StatusCode::NOT_FOUND, "NoSuchUpload");
const UNSUPPORTED: S3Error = S3Error(StatusCode::NOT_IMPLEMENTED, "NotImplemented");

/// Receives content, and computes its digest while it arrives.
async fn receive(mut body: Incoming, is_chunked: bool) -> Result<Part> {
    let (mut content, mut md5) = (Vec::new(), Md5::new());
    while let Some(frame) = body.frame().await {
        let Ok(chunk) = frame.map_err(|_| INVALID)?.into_data() else { continue };
        if !is_chunked {
            md5.update(&chunk);
        }
        content.push(chunk);
    }
    if is_chunked {
        content = vec![decode_chunks(&content.concat()).ok_or(INVALID)?];
        md5.update(&content[0]);
    }
    Ok(Part { content, md5: md5.finalize().into() })
}

/// Returns the content of a body with `Content-Encoding: aws-chunked`, without its trailers.
fn decode_chunks(mut body: &[u8]) -> Option<Bytes> {
    let mut content = Vec::with_capacity(body.len());
    loop {
        let end = body.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(&body[..end]).ok()?.split(';').next()?;
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            return Some(content.into());
        }
        let chunk = body.get(end + 2..end + 2 + size)?;
        content.extend_from_slice(chunk);
        body = body.get(end + 2 + size + 2..)?;
    }
}

fn is_chunked(headers: &HeaderMap) -> bool {
    headers.get("x-amz-content-sha256").is_some_and(|value| value.as_bytes().starts_with(b"STREAMING-"))
}

async fn text(body: Incoming) -> Result<String> {
    let bytes = body.collect().await.map_err(|_| INVALID)?.to_bytes();
    String::from_utf8(bytes.into()).map_err(|_| MALFORMED)
}

/// Returns the first byte of a range and the one after the last; `None` if the range is invalid.
fn parse_range(range: &str, size: u64) -> Option<(u64, u64)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (start, end) = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) => (first, size.min(last.checked_add(1)?)),
        (Ok(first), Err(_)) => (first, size),
        (Err(_), Ok(length)) => (size.saturating_sub(length), size),
        (Err(_), Err(_)) => return None,
    };
    (start < end).then_some((start, end))
}

/// Returns the headers that belong to the object.
fn kept_headers(headers: &HeaderMap) -> HeaderMap {
    let is_kept = |name: &str| name == CONTENT_TYPE.as_str() || name.starts_with("x-amz-meta-");
    let kept = headers.iter().filter(|(name, _)| is_kept(name.as_str()));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn document(root: &str, content: &str) -> String {
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{root} xmlns=\"{XMLNS}\">{content}</{root}>")
}

fn xml(status: StatusCode, text: String) -> Response<ResponseBody> {
    let mut response = Response::new(if text.is_empty() { empty() } else { chunks(vec![text.into()]) });
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, "application/xml".parse().unwrap());
    response
}

fn status(status: StatusCode) -> Response<ResponseBody> {
    let mut response = Response::new(empty());
    *response.status_mut() = status;
    response
}

fn with_etag(mut response: Response<ResponseBody>, etag: &str) -> Response<ResponseBody> {
    response.headers_mut().insert(ETAG, etag.parse().unwrap());
    response
}

fn empty() -> ResponseBody {
    Full::default().boxed_unsync()
}

fn chunks(chunks: Vec<Bytes>) -> ResponseBody {
    StreamBody::new(stream::iter(chunks).map(|chunk| Ok(Frame::data(chunk)))).boxed_unsync()
}

fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
