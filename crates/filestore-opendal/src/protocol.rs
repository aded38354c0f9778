//! The HTTP protocols of OpenDAL's services: the idempotency and the documented response of each request, and the
//! errors of all other responses.
//!
//! A request is identified by the name of the service's operation, which OpenDAL attaches to it.

use filestore_core::ErrorKind;
use filestore_core::components::TEMPORARY_FOLDER;
use filestore_http::{Idempotency, S3Error, local_name, root_element};

use crate::digest::{self, Md5Digest};

/// A service, or a group of services with the same rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    S3,
    Webdav,
    /// Google Cloud Storage and Azure Blob Storage.
    #[cfg_attr(
        not(any(feature = "gcs", feature = "azblob", test)),
        expect(dead_code, reason = "no such service is compiled in")
    )]
    Other,
}

/// The proof that the service itself has sent a response, and not a proxy, a gateway or a login page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// The status alone: a status that web pages do not have, or a step that a later one confirms.
    Status,
    /// The header `ETag`.
    Etag,
    /// The header `ETag`, and no content.
    EtagAlone,
    /// An XML document whose root has this name.
    Root(&'static str),
    /// A multistatus document of WebDAV with at least one file or folder.
    Multistatus,
    /// This error code, in XML.
    Code(&'static str),
    /// The error of Google Cloud Storage for a missing file, in JSON. That of a missing bucket differs in its text only.
    NoSuchObject,
    /// Anything that is not a web page.
    NoPage,
    /// A multipart document with one response to each of the requests that were sent together.
    Batch,
}

impl Service {
    /// Returns the idempotency of the request `name` to `path`. A request also counts as safe if it cannot change the
    /// file of the operation: it sends a part of an upload that is completed later, or changes a temporary file or a
    /// folder.
    pub(crate) fn idempotency(self, name: &str, path: &str) -> Idempotency {
        let temporary = path.split('/').any(|component| component == TEMPORARY_FOLDER);
        match (self, name) {
            (_, "HeadObject" | "GetObject" | "ListObjects" | "ListObjectsV2" | "Propfind" | "Get") => Idempotency::Safe,
            (_, "GetBlob" | "GetBlobProperties" | "ListBlobs" | "QueryResumableUpload") => Idempotency::Safe,
            (_, "CreateMultipartUpload" | "UploadPart" | "UploadPartCopy" | "AbortMultipartUpload") => {
                Idempotency::Safe
            }
            (_, "PutBlock" | "PutBlockFromUrl" | "InitiateResumableUpload" | "CancelResumableUpload") => {
                Idempotency::Safe
            }
            (Self::Webdav, "Mkcol") => Idempotency::Safe,
            (Self::Webdav, "Put" | "Proppatch" | "Delete") if temporary => Idempotency::Safe,
            _ => Idempotency::Idempotent,
        }
    }

    /// Returns the proof that a response with `status` to the request `name` needs. `None` if it is not the documented
    /// response.
    pub(crate) fn documented(self, name: &str, status: u16) -> Option<Proof> {
        let proof = match (self, name, status) {
            (Self::S3, "HeadObject", 200) | (Self::S3, "GetObject", 200 | 206) => Proof::Etag,
            (Self::S3, "PutObject" | "UploadPart", 200) => Proof::EtagAlone,
            (Self::S3, "DeleteObject" | "AbortMultipartUpload", 204) => Proof::Status,
            // Google's servers of this protocol respond so if the file does not exist.
            (Self::S3, "DeleteObject", 404) => Proof::Code("NoSuchKey"),
            (Self::S3, "ListObjects" | "ListObjectsV2", 200) => Proof::Root("ListBucketResult"),
            (Self::S3, "CreateMultipartUpload", 200) => Proof::Root("InitiateMultipartUploadResult"),
            (Self::S3, "CompleteMultipartUpload", 200) => Proof::Root("CompleteMultipartUploadResult"),
            (Self::S3, "DeleteObjects", 200) => Proof::Root("DeleteResult"),
            (Self::Webdav, "Propfind" | "Proppatch", 207) => Proof::Multistatus,
            (Self::Webdav, "Get", 200 | 206) | (Self::Webdav, "Put", 201 | 204) => Proof::Status,
            // 405: the folder exists.
            (Self::Webdav, "Mkcol", 201 | 405) | (Self::Webdav, "Move", 201 | 204) => Proof::Status,
            (Self::Webdav, "Delete", 204 | 404) => Proof::Status,
            (Self::Other, "GetObject" | "GetBlob", 200 | 206) => Proof::Status,
            (Self::Other, "CancelResumableUpload", _) => Proof::Status,
            // The response to HEAD has the media type of the file.
            (Self::Other, "GetBlobProperties", 200) => Proof::Etag,
            (Self::Other, "DeleteBlob", 404) => Proof::Code("BlobNotFound"),
            (Self::Other, "DeleteObject", 404) => Proof::NoSuchObject,
            (Self::Other, "BatchDeleteObjects", 200) | (Self::Other, "BatchDeleteBlobs", 202) => Proof::Batch,
            (Self::Other, _, 200..=299) => Proof::NoPage,
            (Self::Other, "UploadResumableChunk" | "QueryResumableUpload", 308) => Proof::Status,
            _ => return None,
        };
        Some(proof)
    }
}

/// Returns `true` for a multistatus document of WebDAV with at least one file or folder.
pub(crate) fn is_multistatus(body: &[u8]) -> bool {
    let mut tags = body.split(|byte| *byte == b'<').skip(1);
    root_element(body) == Some("multistatus") && tags.any(|tag| local_name(tag) == Some("response"))
}

/// Returns `true` if the headers of a response of S3 show that the ETag of the file is no digest of its content: it is
/// encrypted with a key of KMS or of a customer, or in a directory bucket.
pub(crate) fn is_etag_opaque<'a>(header: impl Fn(&str) -> Option<&'a str>) -> bool {
    header("x-amz-server-side-encryption").is_some_and(|encryption| encryption != "AES256")
        || header("x-amz-server-side-encryption-customer-algorithm").is_some()
        || header("x-amz-storage-class") == Some("EXPRESS_ONEZONE")
}

/// Returns the digest of the content of a request in the headers of the response of Azure or Google.
pub(crate) fn md5_of_headers<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Option<Md5Digest> {
    let of_google = || header("x-goog-hash")?.split(',').find_map(|hash| hash.trim().strip_prefix("md5="));
    header("content-md5").or_else(of_google).and_then(digest::of_base64)
}

/// Returns the digest in the description of an object of Google, in JSON.
pub(crate) fn md5_of_object(body: &[u8]) -> Option<Md5Digest> {
    #[derive(serde::Deserialize)]
    struct Object {
        #[serde(rename = "md5Hash")]
        md5: Option<String>,
    }
    serde_json::from_slice::<Object>(body).ok()?.md5.as_deref().and_then(digest::of_base64)
}

/// Returns the number of requests in the body of a batch: each has a line like `DELETE /path HTTP/1.1`.
pub(crate) fn requests_of_batch(body: &[u8]) -> usize {
    String::from_utf8_lossy(body).lines().filter(|line| line.ends_with(" HTTP/1.1")).count()
}

/// Returns `true` for a multipart document with exactly this number of parts, of which each is a response with a status.
///
/// OpenDAL takes a part without a status for a success, and panics if there are too many parts or none.
pub(crate) fn is_batch_of(responses: usize, content_type: &str, body: &[u8]) -> bool {
    let Some((_, boundary)) = content_type.split_once("boundary=") else { return false };
    let boundary = boundary.split(';').next().unwrap_or_default().trim_matches(['"', ' ']);
    let text = String::from_utf8_lossy(body);
    let delimiter = format!("--{boundary}");
    let parts = text.split(&delimiter).filter(|part| !part.is_empty() && !part.starts_with("--"));
    let has_status = |part: &str| {
        let status_line = part.split_once("\r\n\r\n").map_or("", |(_, response)| response);
        let status = status_line.strip_prefix("HTTP/").and_then(|line| line.split_whitespace().nth(1));
        status.is_some_and(|status| status.parse::<u16>().is_ok())
    };
    let mut count = 0;
    !boundary.is_empty() && parts.inspect(|_| count += 1).all(has_status) && count == responses && count > 0
}

/// The statuses with a kind of their own, and their messages.
const STATUSES: &[(u16, ErrorKind, &str)] = &[
    (400, ErrorKind::InvalidInput, "the service rejects the request"),
    (401, ErrorKind::Unauthenticated, "the service rejects the credentials; check them"),
    (403, ErrorKind::Permission, "the credentials do not allow this; check their permissions"),
    (404, ErrorKind::NotFound, "there is no such file"),
    (405, ErrorKind::Config, "the service does not implement this method; check the endpoint"),
    (408, ErrorKind::Timeout, "the service has waited too long for the request"),
    (409, ErrorKind::Conflict, "another file or folder is in the way, or another client changes it at the same time"),
    (412, ErrorKind::AlreadyExists, "a file of this name already exists"),
    (413, ErrorKind::TooLarge, "the file is larger than the service accepts"),
    (414, ErrorKind::InvalidInput, "the path is longer than the service accepts"),
    (416, ErrorKind::RangeNotSatisfiable, "the file does not have this range"),
    (423, ErrorKind::Conflict, "the file is locked; try again when it is unlocked"),
    (429, ErrorKind::RateLimited, "the service limits the rate of requests; try again later"),
    (501, ErrorKind::Config, "the service does not implement this request; check the endpoint and the options"),
    (505, ErrorKind::Config, "the service does not speak this version of HTTP; check the endpoint and the proxy"),
    (507, ErrorKind::Quota, "the service has no space left"),
    (511, ErrorKind::Permission, "the network requires a login; open a web page in a browser to log in"),
];

/// The codes of S3 that are more specific than their status.
const CODES: &[(&str, ErrorKind, &str)] = &[
    ("AccessDenied", ErrorKind::Permission, "the credentials do not allow this; check their permissions"),
    ("AllAccessDisabled", ErrorKind::Permission, "all access to the bucket is turned off"),
    ("AccountProblem", ErrorKind::Permission, "there is a problem with the account"),
    ("BadDigest", ErrorKind::Integrity, "the content was damaged on its way to the service; check the network"),
    ("EntityTooLarge", ErrorKind::TooLarge, "the file is larger than the service accepts"),
    ("ExpiredToken", ErrorKind::Unauthenticated, "the session token has expired; get a new one"),
    ("InvalidAccessKeyId", ErrorKind::Unauthenticated, "there is no such access key; check access_key_id"),
    ("InvalidBucketName", ErrorKind::Config, "the name of the bucket is not valid; check \"bucket\""),
    ("InvalidObjectState", ErrorKind::Permission, "the file is in an archive; restore it first"),
    ("InvalidRange", ErrorKind::RangeNotSatisfiable, "the file does not have this range"),
    ("InvalidToken", ErrorKind::Unauthenticated, "the session token is not valid; get a new one"),
    ("KeyTooLongError", ErrorKind::InvalidInput, "the path is longer than the service accepts"),
    ("NoSuchUpload", ErrorKind::Conflict, "another client has ended the upload; upload the file again"),
    (
        "NotImplemented",
        ErrorKind::Config,
        "the service does not implement this request; check the endpoint and the options",
    ),
    ("QuotaExceeded", ErrorKind::Quota, "the service has no space left"),
    ("RequestTimeTooSkewed", ErrorKind::Unauthenticated, "the clock of this machine is wrong; set it"),
    ("RequestTimeout", ErrorKind::Timeout, "the service has waited too long for the request"),
    ("SignatureDoesNotMatch", ErrorKind::Unauthenticated, "the signature is wrong; check secret_access_key"),
    ("SlowDown", ErrorKind::RateLimited, "the service limits the rate of requests; try again later"),
    ("TokenRefreshRequired", ErrorKind::Unauthenticated, "the session token has expired; get a new one"),
    ("TooManyRequests", ErrorKind::RateLimited, "the service limits the rate of requests; try again later"),
];

/// Returns `true` for a code that asks for a retry although its status does not.
pub(crate) fn is_temporary(code: &str) -> bool {
    matches!(
        code,
        "BadDigest"
            | "ConditionalRequestConflict"
            | "InternalError"
            | "OperationAborted"
            | "RequestTimeout"
            | "ServiceUnavailable"
            | "SlowDown"
            | "TooManyRequests"
    )
}

/// Returns the kind and the message of a response that is not the documented one. `region` and `target` are the region
/// and the endpoint of the bucket according to the response. `show` makes a text of the service presentable.
pub(crate) fn meaning(
    service: Service,
    status: u16,
    document: &S3Error,
    region: Option<&str>,
    target: Option<&str>,
    show: impl Fn(&str) -> String,
) -> (ErrorKind, String) {
    let code = document.code.as_deref().unwrap_or_default();
    let is_redirect = matches!(code, "AuthorizationHeaderMalformed" | "PermanentRedirect" | "TemporaryRedirect");
    if let "NoSuchBucket" | "ContainerNotFound" = code {
        let what = if code == "NoSuchBucket" { "bucket" } else { "container" };
        let named = document.bucket.as_deref().map(|name| format!(" {:?}", show(name))).unwrap_or_default();
        return (ErrorKind::NotFound, format!("there is no {what}{named}; create it, or correct the option {what:?}"));
    }
    if is_redirect || (300..400).contains(&status) {
        let advice = match (region, target) {
            (Some(region), _) => format!(
                "the bucket is in the region {:?}; set \"region\" to it, and correct \"endpoint\" if it is set",
                show(region)
            ),
            (None, Some(target)) => {
                format!(
                    "the service redirects to {}, and redirects are not followed; correct \"endpoint\"",
                    show(target)
                )
            }
            (None, None) if service == Service::S3 => {
                "the region or the endpoint is wrong; correct \"region\" and \"endpoint\"".to_owned()
            }
            (None, None) => "the service redirects without a target; check the endpoint".to_owned(),
        };
        return (ErrorKind::Config, advice);
    }
    let known = CODES.iter().find(|(known, ..)| *known == code).map(|(_, kind, advice)| (*kind, *advice));
    let by_status = || STATUSES.iter().find(|(known, ..)| *known == status).map(|(_, kind, advice)| (*kind, *advice));
    let (kind, advice) = known.or_else(by_status).unwrap_or(match status {
        500.. => (ErrorKind::Unavailable, "the service is failing; try again later"),
        400..500 => (ErrorKind::InvalidInput, "the service rejects the request"),
        _ => (ErrorKind::Protocol, "the response is not part of the protocol of the service; check the endpoint"),
    });
    (kind, advice.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENT_TYPE: &str = "multipart/mixed; boundary=batch_1";

    fn part(response: &str) -> String {
        format!("--batch_1\r\nContent-Type: application/http\r\nContent-ID: 0\r\n\r\n{response}\r\n\r\n")
    }

    #[test]
    fn a_batch_has_one_response_with_a_status_to_each_request() {
        let is_batch = |parts: &[String], content_type| {
            is_batch_of(2, content_type, format!("{}--batch_1--\r\n", parts.concat()).as_bytes())
        };
        let (deleted, missing) = (part("HTTP/1.1 204 No Content"), part("HTTP/1.1 404 Not Found\r\na: b\r\n\r\nx"));
        assert!(is_batch(&[deleted.clone(), missing.clone()], CONTENT_TYPE));
        assert!(is_batch(&[deleted.clone(), missing.clone()], "multipart/mixed; boundary=\"batch_1\"; a=b"));
        for wrong in [vec![], vec![deleted.clone()], vec![deleted.clone(), missing.clone(), missing.clone()]] {
            assert!(!is_batch(&wrong, CONTENT_TYPE), "{wrong:?}");
        }
        for status in ["", "OK", "HTTP/1.1", "HTTP/1.1 OK"] {
            assert!(!is_batch(&[deleted.clone(), part(status)], CONTENT_TYPE), "{status}");
        }
        for content_type in ["multipart/mixed", "multipart/mixed; boundary=", "multipart/mixed; boundary=other"] {
            assert!(!is_batch(&[deleted.clone(), missing.clone()], content_type), "{content_type}");
        }
    }

    #[test]
    fn the_requests_of_a_batch_are_counted() {
        let request = |path| part(&format!("DELETE {path} HTTP/1.1"));
        assert_eq!(requests_of_batch((request("/a") + &request("/b%20HTTP")).as_bytes()), 2);
        assert_eq!(requests_of_batch(b""), 0);
    }
}
