//! A stub of S3, with one bucket in the path of the URL.

use std::collections::{BTreeMap, BTreeSet};

use md5::{Digest, Md5};

use super::{Protocol, Received, Reply};

/// The only bucket.
pub const BUCKET: &str = "bucket";

#[derive(Debug, Default)]
pub struct S3 {
    objects: BTreeMap<String, (Vec<u8>, String)>,
    uploads: BTreeMap<String, BTreeMap<u32, Vec<u8>>>,
    /// The user metadata, by upload and by key.
    metadata: BTreeMap<String, Vec<(String, String)>>,
    counter: u32,
    /// Writes ignore `If-None-Match`, as some servers do.
    pub ignores_conditions: bool,
    /// Multipart uploads do not exist when they are completed.
    pub forgets_uploads: bool,
    /// Confirms the requested encryption.
    pub encrypts: bool,
    /// Stores what it receives, whatever `Content-MD5` says.
    pub ignores_digests: bool,
    /// Encrypts with a key of KMS: no ETag is a digest.
    pub uses_kms: bool,
    /// Returns a version of every stored file.
    pub versions: bool,
    /// Lists the whole bucket, like a cache that ignores the query.
    pub ignores_prefix: bool,
    /// Lists a file of this key without its time.
    pub untimed: Option<String>,
    /// The largest number of entries of a listing, instead of 1,000.
    pub largest_listing: Option<usize>,
    /// Repeats the last folder of a listing in the next one, like a server that continues after a key in the folder.
    pub repeats_folders: bool,
}

impl S3 {
    /// Creates a bucket with empty files of these keys.
    pub fn with_keys(keys: impl IntoIterator<Item = String>) -> Self {
        let mut s3 = Self::default();
        keys.into_iter().for_each(|key| drop(s3.put(&key, Vec::new())));
        s3
    }

    /// Creates a bucket with these files.
    pub fn with(files: &[(&str, &str)]) -> Self {
        let mut s3 = Self::default();
        for (key, content) in files {
            s3.put(key, content.as_bytes().to_vec());
        }
        s3
    }

    /// Stores a file that another client has uploaded in parts of this size.
    pub fn store_parts_of(&mut self, key: &str, content: Vec<u8>, size: usize) {
        let digests: Vec<u8> = content.chunks(size).flat_map(|part| digest(part).to_be_bytes()).collect();
        let etag = format!("\"{:032x}-{}\"", digest(&digests), content.len().div_ceil(size));
        self.objects.insert(key.to_owned(), (content, etag));
    }

    /// Replaces the content of a file, without its ETag.
    pub fn damage(&mut self, key: &str) {
        if let Some((content, _)) = self.objects.get_mut(key) {
            let middle = content.len() / 2;
            content[middle] ^= 1;
        }
    }

    /// Gives the file `key` the ETag of a multipart upload of so many parts.
    pub fn store_in_parts(&mut self, key: &str, parts: usize) {
        if let Some((_, etag)) = self.objects.get_mut(key) {
            *etag = format!("\"{:032x}-{parts}\"", 1);
        }
    }

    /// Drops the part of this number from all uploads that are not complete.
    pub fn drop_part(&mut self, number: u32) {
        self.uploads.values_mut().for_each(|parts| drop(parts.remove(&number)));
    }

    fn put(&mut self, key: &str, content: Vec<u8>) -> String {
        self.counter += 1;
        let number = u128::from(self.counter);
        let etag = format!("\"{:032x}\"", if self.uses_kms { number } else { digest(&content) });
        self.metadata.remove(key);
        self.objects.insert(key.to_owned(), (content, etag.clone()));
        etag
    }

    fn encrypted(&self, request: &Received) -> Reply {
        let header = "x-amz-server-side-encryption";
        if self.uses_kms {
            return Reply::new(200).header(header, "aws:kms");
        }
        match request.header(header).filter(|_| self.encrypts) {
            Some(requested) => Reply::new(200).header(header, requested),
            None => Reply::new(200),
        }
    }

    fn list(&self, request: &Received) -> Reply {
        let prefix = request.parameter("prefix").filter(|_| !self.ignores_prefix).unwrap_or_default();
        let delimiter = request.parameter("delimiter").filter(|delimiter| !delimiter.is_empty());
        let after = request.parameter("continuation-token").or(request.parameter("start-after")).unwrap_or_default();
        let largest = self.largest_listing.unwrap_or(1000);
        let limit = request.parameter("max-keys").and_then(|limit| limit.parse().ok()).unwrap_or(largest).min(largest);
        let (mut contents, mut prefixes, mut last) = (String::new(), BTreeSet::new(), None);
        let mut count = 0;
        for (key, (content, etag)) in self.objects.range(after.clone()..) {
            let Some(rest) = key.strip_prefix(&prefix).filter(|_| *key != after) else { continue };
            let folder = delimiter.as_ref().and_then(|delimiter| rest.split_once(delimiter.as_str()));
            let folder = folder.map(|(folder, _)| format!("{prefix}{folder}/"));
            let is_listed = folder.as_ref().is_some_and(|folder| prefixes.contains(folder));
            if count == limit && (!is_listed || self.repeats_folders) {
                break;
            }
            match folder {
                Some(folder) => count += usize::from(prefixes.insert(folder)),
                None => {
                    let timed = self.untimed.as_ref() != Some(key);
                    let modified = if timed { "<LastModified>2026-03-01T10:00:00.000Z</LastModified>" } else { "" };
                    contents.push_str(&format!(
                        "<Contents><Key>{key}</Key>{modified}<ETag>{}</ETag><Size>{}</Size></Contents>",
                        etag.replace('"', "&quot;"),
                        content.len()
                    ));
                    count += 1;
                }
            }
            last = Some(key);
        }
        let more = last.is_some_and(|last| {
            self.objects.range(last.clone()..).nth(1).is_some_and(|(key, _)| key.starts_with(&prefix))
        });
        let token = last.filter(|_| more).map(|last| format!("<NextContinuationToken>{last}</NextContinuationToken>"));
        let prefixes: String = prefixes
            .iter()
            .map(|prefix| format!("<CommonPrefixes><Prefix>{prefix}</Prefix></CommonPrefixes>"))
            .collect();
        Reply::new(200).xml(format!(
            "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>{BUCKET}</Name>\
             <IsTruncated>{more}</IsTruncated>{}{contents}{prefixes}</ListBucketResult>",
            token.unwrap_or_default()
        ))
    }

    fn multipart(&mut self, key: &str, request: &Received) -> Option<Reply> {
        if request.method == "POST" && request.parameter("uploads").is_some() {
            self.counter += 1;
            let id = format!("upload-{}", self.counter);
            self.uploads.insert(id.clone(), BTreeMap::new());
            self.metadata.insert(id.clone(), user_metadata(request));
            return Some(self.encrypted(request).xml(format!(
                "<InitiateMultipartUploadResult><Bucket>{BUCKET}</Bucket><Key>{key}</Key><UploadId>{id}</UploadId>\
                 </InitiateMultipartUploadResult>"
            )));
        }
        let id = request.parameter("uploadId")?;
        if self.forgets_uploads && request.method == "POST" {
            self.uploads.remove(&id);
        }
        let Some(parts) = self.uploads.get_mut(&id) else {
            return Some(failure(404, "NoSuchUpload", "The specified upload does not exist.", request));
        };
        Some(match request.method.as_str() {
            "PUT" => {
                let number = request.parameter("partNumber")?.parse().ok()?;
                parts.insert(number, request.body.clone());
                let etag = if self.uses_kms { u128::from(number) } else { digest(&request.body) };
                let reply = Reply::new(200).header("etag", format!("\"{etag:032x}\""));
                if self.uses_kms { reply.header("x-amz-server-side-encryption", "aws:kms") } else { reply }
            }
            "DELETE" => {
                self.uploads.remove(&id);
                Reply::new(204)
            }
            _ => {
                let parts = self.uploads.remove(&id)?;
                let digests: Vec<u8> = parts.values().flat_map(|part| digest(part).to_be_bytes()).collect();
                let composite = format!("\"{:032x}-{}\"", digest(&digests), parts.len());
                let composite = if self.uses_kms { format!("\"{:032x}-{}\"", 1, parts.len()) } else { composite };
                self.put(key, parts.into_values().flatten().collect());
                if let Some(metadata) = self.metadata.remove(&id) {
                    self.metadata.insert(key.to_owned(), metadata);
                }
                let (_, etag) = self.objects.get_mut(key)?;
                *etag = composite;
                let etag = etag.replace('"', "&quot;");
                Reply::new(200).xml(format!(
                    "<CompleteMultipartUploadResult><Bucket>{BUCKET}</Bucket><Key>{key}</Key><ETag>{etag}</ETag>\
                     </CompleteMultipartUploadResult>"
                ))
            }
        })
    }

    fn delete_all(&mut self, request: &Received) -> Reply {
        let text = String::from_utf8_lossy(&request.body).into_owned();
        let keys = text.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>")).map(|(key, _)| key);
        let deleted: String = keys
            .map(|key| {
                self.objects.remove(key);
                format!("<Deleted><Key>{key}</Key></Deleted>")
            })
            .collect();
        Reply::new(200).xml(format!("<DeleteResult>{deleted}</DeleteResult>"))
    }
}

impl Protocol for S3 {
    fn serve(&mut self, request: &Received) -> Reply {
        let path = request.path.trim_start_matches('/');
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        if bucket != BUCKET {
            return failure(404, "NoSuchBucket", "The specified bucket does not exist", request);
        }
        if let Some(reply) = self.multipart(key, request) {
            return reply;
        }
        match request.method.as_str() {
            "POST" if request.parameter("delete").is_some() => self.delete_all(request),
            "GET" if key.is_empty() => self.list(request),
            "PUT" => {
                let expected = request.header("content-md5").filter(|_| !self.ignores_digests);
                if expected.is_some_and(|expected| expected != base64(digest(&request.body))) {
                    return failure(400, "BadDigest", "The Content-MD5 you specified did not match", request);
                }
                let conditional = request.header("if-none-match") == Some("*") && !self.ignores_conditions;
                if conditional && self.objects.contains_key(key) {
                    return failure(412, "PreconditionFailed", "At least one of the pre-conditions failed", request);
                }
                let etag = self.put(key, request.body.clone());
                self.metadata.insert(key.to_owned(), user_metadata(request));
                let reply = self.encrypted(request).header("etag", etag);
                if self.versions { reply.header("x-amz-version-id", "v1") } else { reply }
            }
            "DELETE" => {
                self.objects.remove(key);
                Reply::new(204)
            }
            "GET" | "HEAD" => {
                let Some((content, etag)) = self.objects.get(key) else {
                    return failure(404, "NoSuchKey", "The specified key does not exist.", request);
                };
                if request.header("if-match").is_some_and(|expected| expected != etag) {
                    return failure(412, "PreconditionFailed", "At least one of the pre-conditions failed", request);
                }
                let mut reply = if self.uses_kms { self.encrypted(request) } else { Reply::new(200) };
                for (name, value) in self.metadata.get(key).into_iter().flatten() {
                    reply = reply.header(name, value);
                }
                let reply = reply
                    .header("etag", etag)
                    .header("last-modified", "Sun, 01 Mar 2026 10:00:00 GMT")
                    .header("content-type", "text/html");
                match request.range(content) {
                    Some((part, range)) => Reply { status: 206, ..reply }.header("content-range", range).body(part),
                    None => reply.body(content.clone()),
                }
            }
            _ => failure(405, "MethodNotAllowed", "The specified method is not allowed", request),
        }
    }

    fn error(&self, status: u16, request: &Received) -> Reply {
        let (code, message) = match status {
            301 => ("PermanentRedirect", "The bucket must be addressed using the specified endpoint."),
            400 => ("InvalidRequest", "Missing required header for this request: Content-MD5"),
            401 => ("Unauthorized", "Authorization required"),
            403 => ("SignatureDoesNotMatch", "The request signature we calculated does not match"),
            404 => ("NoSuchBucket", "The specified bucket does not exist"),
            409 => ("InvalidBucketState", "The request is not valid for the current state of the bucket."),
            429 => ("TooManyRequests", "Please reduce your request rate."),
            500 => ("InternalError", "We encountered an internal error. Please try again."),
            501 => ("NotImplemented", "A header you provided implies functionality that is not implemented"),
            503 => ("SlowDown", "Please reduce your request rate."),
            _ => ("Unprocessable", "The request cannot be processed"),
        };
        failure(status, code, message, request)
    }

    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        self.objects.iter().map(|(key, (content, _))| (key.clone(), content.clone())).collect()
    }
}

/// Returns the headers with user metadata.
fn user_metadata(request: &Received) -> Vec<(String, String)> {
    request.headers.iter().filter(|(name, _)| name.starts_with("x-amz-meta-")).cloned().collect()
}

/// Returns a digest as `Content-MD5` has it.
fn base64(digest: u128) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let sextet = |at: u32| match 122_u32.checked_sub(6 * at) {
        Some(shift) => digest >> shift,
        None => digest << 4,
    };
    let text: String = (0..22).map(|at| char::from(LETTERS[usize::try_from(sextet(at) & 63).unwrap_or(0)])).collect();
    format!("{text}==")
}

fn digest(content: &[u8]) -> u128 {
    u128::from_be_bytes(Md5::digest(content).into())
}

/// Returns an error response of S3.
pub fn failure(status: u16, code: &str, message: &str, request: &Received) -> Reply {
    let document = format!(
        "<Error><Code>{code}</Code><Message>{message}</Message><Resource>{}</Resource><RequestId>R1</RequestId></Error>",
        request.path
    );
    Reply::new(status).header("x-amz-request-id", "R1").xml(document)
}
