//! [`Transport`]: OpenDAL's HTTP transport over single exchanges of `filestore-http`, with its timeouts, proxy,
//! certificates and rate limit. It follows no redirects and retries nothing: it marks errors as temporary for OpenDAL's
//! retry layer.
//!
//! Only the documented response of a request is returned as a response. Any other response becomes an error here, where
//! all of it is known. OpenDAL carries the error to [`of_service`](crate::error::of_service).

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use filestore_core::{Body, ByteStream, Effect, Error, ErrorKind, percent_decode};
use filestore_http::{
    Clock, Decision, HttpClient, HttpConfig, Idempotency, JSON_LIMIT, Outcome, Policy, Request, RequestBody, Response,
    RetryContext, S3Error, SystemClock, Url, decide, redacted_url, root_element,
};
use futures::stream::{self, Stream, StreamExt};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH, LOCATION, RANGE};
use http::{HeaderValue, Method, request};
use opendal::raw::{Operation, ServiceOperation};
use opendal::{Buffer, HttpBody, HttpTransport};

use crate::attempts::{Attempts, count_retry};
use crate::digest::{self, Md5Digest};
use crate::error::{UNENCRYPTED, carried, carried_as};
use crate::listing;
use crate::protocol::{self, Proof, Service};

/// The transport of one store.
pub(crate) struct Transport {
    client: HttpClient,
    service: Service,
    /// The path that the names of all listings begin with: the root of the store.
    root: String,
    policy: Policy,
    /// `true` if the content of uploads is compared with the digests in the responses.
    verify: bool,
    /// The folders that show whether the server is a WebDAV server: the root of the store, which may not exist yet, and
    /// the endpoint.
    roots: Vec<Url>,
    /// `true` if one of them has responded as a folder.
    root_seen: AtomicBool,
}

/// The body of a PROPFIND request that checks whether a path is a folder.
const RESOURCE_TYPE_QUERY: &str = r#"<?xml version="1.0" encoding="utf-8"?><D:propfind xmlns:D="DAV:"><D:prop><D:resourcetype/></D:prop></D:propfind>"#;

/// The header of WebDAV that allows or forbids to replace a file: `T` or `F`.
const OVERWRITE: &str = "overwrite";

/// The headers that OpenDAL marks as sensitive although they have no secret. Errors may show their values.
const NO_SECRETS: [&str; 3] = [
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-customer-algorithm",
];

/// The timeout of a request to the machine's metadata service, which has the credentials of the machine. On machines
/// without this service, its IP address does not respond. The AWS tools wait one second, too.
const METADATA_TIMEOUT: Duration = Duration::from_secs(1);

/// The largest size of the listings of all folders on the way to the one that is listed, in bytes.
const MAX_LISTINGS: usize = 64 * 1024 * 1024;

/// The largest header of a response, in bytes.
const MAX_HEADER: usize = 16 * 1024;

/// The parts of a request that are needed after it is sent.
struct SentRequest {
    /// The service's name of the operation. `None`: a request for credentials.
    name: Option<&'static str>,
    url: Url,
    head: request::Parts,
    idempotency: Idempotency,
    /// The digest of the body, if the response may have it.
    digest: Option<Md5Digest>,
    /// The number of requests that are sent together in the body of this one.
    batch: usize,
}

impl Transport {
    /// Creates a transport for the folder `root` of the service at `endpoint`. *Config* if a setting is invalid.
    pub(crate) fn new(
        service: Service,
        endpoint: Option<&str>,
        root: &str,
        config: &HttpConfig,
        verify: bool,
    ) -> filestore_core::Result<Self> {
        // OpenDAL signs the requests: the client has no credentials that it could send to the wrong origin.
        let base = Url::parse("http://localhost").map_err(|_| Error::config("no base URL"))?;
        Ok(Self {
            client: HttpClient::new(config, &base)?,
            service,
            root: match service {
                Service::Webdav => match roots(endpoint.unwrap_or_default(), root).first() {
                    Some(url) => percent_decode(url.path())
                        .map_err(|error| Error::config(format!("the option \"endpoint\": {}", error.message())))?,
                    None => root.to_owned(),
                },
                _ => root.trim_start_matches('/').to_owned(),
            },
            policy: Policy {
                max_retries: config.max_retries,
                first_delay: config.initial_retry_delay,
                longest_delay: config.max_retry_delay,
                ..Policy::default()
            },
            verify,
            roots: endpoint.map(|endpoint| roots(endpoint, root)).unwrap_or_default(),
            root_seen: AtomicBool::new(false),
        })
    }
}

impl HttpTransport for Transport {
    async fn fetch(&self, request: http::Request<Buffer>) -> opendal::Result<http::Response<HttpBody>> {
        let (mut head, body) = request.into_parts();
        let name = head.extensions.get::<ServiceOperation>().map(|operation| operation.0);
        let url = Url::parse(&head.uri.to_string()).map_err(|_| {
            carried(Error::config("the endpoint and the path do not form a valid URL; check the endpoint"), false)
        })?;
        // A request for credentials changes no file.
        let idempotency = name.map_or(Idempotency::Safe, |name| self.service.idempotency(name, url.path()));
        let attempts = Attempts::current();
        if name == Some("Move") && attempts.never_replaces() {
            head.headers.insert(OVERWRITE, HeaderValue::from_static("F"));
        }
        if name == Some("UploadPart") && attempts.is_unencrypted() {
            return Err(carried(Error::unsupported(format!("{UNENCRYPTED}; nothing was sent")), false));
        }
        let is_batch = matches!(name, Some("BatchDeleteObjects" | "BatchDeleteBlobs"));
        let batch = if is_batch { protocol::requests_of_batch(&body.to_bytes()) } else { 0 };
        let mut sent = SentRequest { name, url, head, idempotency, digest: None, batch };
        let _under_way = attempts.begin_request();
        if self.verify && sent.is_part() {
            sent.digest = Some(digest::of_content(body.clone()).await);
        } else if sent.is_whole() {
            sent.digest = attempts.content_digest();
        }
        if sent.is_part() {
            self.send_part(sent, &body, &attempts).await
        } else {
            self.send(&mut sent, &body, &attempts).await
        }
    }
}

impl Transport {
    /// Sends the request once, and returns the documented response.
    async fn send(
        &self,
        sent: &mut SentRequest,
        body: &Buffer,
        attempts: &Attempts,
    ) -> opendal::Result<http::Response<HttpBody>> {
        attempts.pause().await;
        let mut response = self.exchange(sent, body, attempts).await?;
        if let Some(folder) = sent.folder(&response) {
            sent.url = folder;
            response = self.exchange(sent, body, attempts).await?;
        }
        self.check(sent, response, attempts).await
    }

    /// Sends a part, with all of its retries.
    ///
    /// OpenDAL's retry layer would retry a part only when the next one is written. Until then the failed part would stay
    /// in memory, and the next one may wait for that memory.
    async fn send_part(
        &self,
        mut sent: SentRequest,
        body: &Buffer,
        attempts: &Attempts,
    ) -> opendal::Result<http::Response<HttpBody>> {
        let mut attempt = 1;
        let error = loop {
            let error = match self.send(&mut sent, body, attempts).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            // Only the delay is decided here: the error says whether the request may be retried.
            let context = RetryContext {
                idempotency: sent.idempotency,
                outcome: Outcome::Lost,
                replayable: true,
                attempt,
                waited: Duration::ZERO,
                retry_after: None,
                budget: true,
                jitter: SystemClock::default().jitter(),
            };
            let Decision::Retry(delay) = decide(&self.policy, &context) else { break error };
            if !error.is_temporary() {
                break error;
            }
            attempt += 1;
            count_retry();
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = attempts.are_cut_off() => break error,
            }
        };
        attempts.fail_part(error, attempt - 1);
        Err(carried(Error::new(ErrorKind::Other, Effect::Rejected, "a part could not be sent"), false))
    }

    /// Sends the request once.
    async fn exchange(&self, sent: &SentRequest, body: &Buffer, attempts: &Attempts) -> opendal::Result<Response> {
        let streamed = attempts.body().filter(|_| sent.is_put());
        let is_streamed = streamed.is_some();
        let body = match streamed {
            Some(body) => RequestBody::Body(None, body),
            None => request_body(&sent.head.method, body),
        };
        let mut request = Request::new(sent.head.method.clone(), sent.url.clone(), sent.idempotency).body(body);
        for (name, value) in &sent.head.headers {
            // The client sets the length of the body.
            if name != CONTENT_LENGTH {
                let mut value = value.clone();
                if NO_SECRETS.contains(&name.as_str()) {
                    value.set_sensitive(false);
                }
                request = request.header(name.clone(), value);
            }
        }
        // Every response but the content of a file is needed as a whole.
        if !sent.is_content() {
            request = request.buffered();
        }
        let exchange = self.client.exchange(request);
        let exchange = if sent.name.is_none() && is_link_local(&sent.url) {
            tokio::time::timeout(METADATA_TIMEOUT, exchange).await.map_err(|_| {
                let message = "the metadata service of this machine does not respond within 1 s";
                carried(Error::new(ErrorKind::Timeout, Effect::Rejected, message), true)
            })?
        } else {
            tokio::select! {
                exchange = exchange => exchange,
                () = attempts.are_cut_off() => {
                    attempts.record(sent.idempotency, Outcome::Lost);
                    let error = Error::new(ErrorKind::Other, Effect::Unknown, "the request was cut off");
                    return Err(carried(error, false));
                }
            }
        };
        let outcome = exchange.outcome;
        if sent.name.is_some() {
            attempts.record(sent.idempotency, outcome);
        }
        if is_streamed {
            attempts.record_body_sent(exchange.sent, exchange.replayable);
        }
        let response = exchange.response.map_err(|error| {
            carried(error, (exchange.replayable || !is_streamed) && self.is_temporary(sent, outcome, None, attempts))
        })?;
        // OpenDAL keeps headers in blocks of 64 KiB, and panics if one is larger.
        if response.headers().values().any(|value| value.len() > MAX_HEADER) {
            let message = format!("{} sent a header of more than {MAX_HEADER} bytes", sent.redacted_url());
            return Err(carried(response.error(ErrorKind::Protocol, message), false));
        }
        Ok(response)
    }

    /// Returns the response if it is the documented one, otherwise its error.
    async fn check(
        &self,
        sent: &SentRequest,
        mut response: Response,
        attempts: &Attempts,
    ) -> opendal::Result<http::Response<HttpBody>> {
        let status = response.status().as_u16();
        let Some(name) = sent.name else {
            // OpenDAL itself checks the response to a request for credentials.
            return self.buffered(sent, response).await;
        };
        let is_missing = self.service == Service::Webdav && status == 404 && matches!(name, "Propfind" | "Delete");
        if is_missing && !self.is_webdav(sent, attempts).await? {
            return Err(carried(not_the_service(sent, &response), false));
        }
        if is_missing && sent.lists() {
            // The folder does not exist. OpenDAL continues with the other folders.
            return self.buffered(sent, response).await;
        }
        let Some(proof) = self.service.documented(name, status) else {
            if response.status().is_success() && is_page(&response) {
                return Err(carried(not_the_service(sent, &response), false));
            }
            let document = S3Error::parse(&response.error_body().await);
            // A response to HEAD has no document. Some servers give it the media type of a page.
            let is_foreign = self.service == Service::S3 && document.code.is_none() && sent.head.method != Method::HEAD;
            if status == 404 && is_foreign && is_page(&response) {
                return Err(carried(not_the_service(sent, &response), false));
            }
            return Err(self.rejected(sent, &response, &document, attempts));
        };
        if sent.is_content() && matches!(status, 200 | 206) {
            return self.content(sent, proof, response, attempts);
        }
        let body = response.bytes(JSON_LIMIT).await.map_err(|error| carried(error, false))?;
        let etag = response.headers().contains_key(ETAG);
        let proven = match proof {
            Proof::Status => true,
            Proof::Etag => etag,
            Proof::EtagAlone => etag && body.is_empty(),
            Proof::Root(expected) => root_element(&body) == Some(expected),
            Proof::Multistatus => protocol::is_multistatus(&body),
            Proof::Code(code) => S3Error::parse(&body).code.as_deref() == Some(code),
            Proof::NoSuchObject => String::from_utf8_lossy(&body).contains("No such object"),
            Proof::NoPage => !is_page(&response),
            Proof::Batch => {
                let content_type = response.header(CONTENT_TYPE.as_str()).unwrap_or_default();
                protocol::is_batch_of(sent.batch, content_type, &body)
            }
        };
        // S3 may fail after it has sent the status.
        let failed = match (name, root_element(&body)) {
            // Google's error has no code. Without a missing object, it is about the bucket.
            _ if !proven && proof == Proof::NoSuchObject => {
                let mut document = S3Error::default();
                document.code = Some("NoSuchBucket".to_owned());
                Some(document)
            }
            (_, Some("Error")) if !proven => Some(S3Error::parse(&body)),
            ("DeleteObjects", _) if proven => S3Error::first_of(&body),
            _ => None,
        };
        if proven && failed.is_none() {
            self.compare(sent, &response, &body, attempts)?;
        }
        if let ("UploadPart", Some(number), Some(etag)) = (name, sent.part_number(), response.header(ETAG.as_str())) {
            attempts.record_part(number, etag);
        }
        if proven && failed.is_none() && matches!(name, "PutObject" | "CreateMultipartUpload") {
            attempts.record_encryption(sent.is_encrypted_by(&response));
        }
        match failed {
            Some(document) => {
                // If the delete of one of several files failed, the others may be deleted.
                if !proven && document.code.as_deref().is_some_and(|code| !protocol::is_temporary(code)) {
                    attempts.record_rejection_by_body();
                }
                Err(self.rejected(sent, &response, &document, attempts))
            }
            None if proven && sent.lists() => {
                if attempts.record_listing(sent.url.path(), body.len()) > MAX_LISTINGS {
                    let message = format!(
                        "the listings of the folders on the way to {} have more than {} MiB; list subfolders one by one",
                        sent.redacted_url(),
                        MAX_LISTINGS >> 20
                    );
                    return Err(carried(response.error(ErrorKind::Protocol, message), false));
                }
                let listing = listing::checked(self.service, name, &sent.url, &self.root, body)
                    .map_err(|problem| carried(response.error(ErrorKind::Protocol, problem), false))?;
                attempts.record_left_out(listing.left_out);
                attempts.record_date(response.date());
                Ok(to_opendal(&response, sent, HttpBody::new(once(listing.body), None)))
            }
            None if proven && name == "Propfind" => {
                let body = listing::of_path(&sent.url, body)
                    .map_err(|problem| carried(response.error(ErrorKind::Protocol, problem), false))?;
                Ok(to_opendal(&response, sent, HttpBody::new(once(body), None)))
            }
            None if proven => {
                if name == "Move" && status == 204 && sent.never_replaces() {
                    tracing::warn!(
                        url = sent.redacted_url(),
                        "the server reports with status 204 that the upload has replaced a file, although that was \
                         forbidden; another client may have stored it meanwhile"
                    );
                }
                Ok(to_opendal(&response, sent, HttpBody::new(once(body), None)))
            }
            None => Err(carried(not_the_service(sent, &response), false)),
        }
    }

    /// Compares the sent content with the digest in the response. A part that differs is sent again.
    fn compare(
        &self,
        sent: &SentRequest,
        response: &Response,
        body: &[u8],
        attempts: &Attempts,
    ) -> opendal::Result<()> {
        if self.service == Service::S3 && protocol::is_etag_opaque(|name| response.header(name)) {
            attempts.record_opaque_etag();
        }
        let received = match (self.service, sent.name) {
            (Service::S3, _) if attempts.is_etag_opaque() => None,
            (Service::S3, _) => response.header(ETAG.as_str()).and_then(digest::of_etag),
            (Service::Other, Some("InsertObject")) => protocol::md5_of_object(body),
            (Service::Other, _) => protocol::md5_of_headers(|name| response.header(name)),
            (Service::Webdav, _) => None,
        };
        let (Some(expected), Some(received)) = (sent.digest, received) else { return Ok(()) };
        let is_damaged = expected != received;
        if is_damaged && sent.is_part() {
            let message = "the service has received other content than was sent; check the network and the proxies";
            return Err(carried(response.error(ErrorKind::Integrity, message), true));
        }
        if !sent.is_part() {
            attempts.record_damage(is_damaged);
        }
        Ok(())
    }

    /// Returns `true` if the server is a WebDAV server: any web server responds with 404. The check is sent when the
    /// first 404 has to be confirmed, and not repeated after it has succeeded.
    async fn is_webdav(&self, sent: &SentRequest, attempts: &Attempts) -> opendal::Result<bool> {
        if self.root_seen.load(Ordering::Relaxed) {
            return Ok(true);
        }
        for root in &self.roots {
            let probe = sent.folder_probe(root)?;
            let mut response = self.exchange(&probe, &Buffer::from(RESOURCE_TYPE_QUERY), attempts).await?;
            match response.status().as_u16() {
                207 => {
                    let body = response.bytes(JSON_LIMIT).await.map_err(|error| carried(error, false))?;
                    if protocol::is_multistatus(&body) {
                        self.root_seen.store(true, Ordering::Relaxed);
                        return Ok(true);
                    }
                }
                401 | 403 | 408 | 429 | 500 | 502.. => {
                    let document = S3Error::parse(&response.error_body().await);
                    return Err(self.rejected(&probe, &response, &document, attempts));
                }
                _ => {}
            }
        }
        Ok(false)
    }

    /// Returns a response of any status, with its body in memory.
    async fn buffered(&self, sent: &SentRequest, mut response: Response) -> opendal::Result<http::Response<HttpBody>> {
        let body = response.bytes(JSON_LIMIT).await.map_err(|error| carried(error, false))?;
        Ok(to_opendal(&response, sent, HttpBody::new(once(body), None)))
    }

    /// Returns the content of a file as a stream, if it is of the requested file and range.
    fn content(
        &self,
        sent: &SentRequest,
        proof: Proof,
        response: Response,
        attempts: &Attempts,
    ) -> opendal::Result<http::Response<HttpBody>> {
        // A file may be stored with a `Content-Encoding`, as its encoded bytes.
        response.check_transfer_coding().map_err(|error| carried(error, false))?;
        // A service that sent an ETag for the metadata of the file sends it with the content, too.
        let versioned = proof == Proof::Etag || sent.head.headers.contains_key(IF_MATCH);
        if versioned && !response.headers().contains_key(ETAG) {
            return Err(carried(not_the_service(sent, &response), false));
        }
        let expected = sent.head.headers.get(IF_MATCH);
        if expected.is_some_and(|expected| response.headers().get(ETAG) != Some(expected)) {
            return Err(carried(response.error(ErrorKind::Integrity, REPLACED), false));
        }
        if response.header("x-goog-generation").is_some_and(|generation| !attempts.is_generation(generation)) {
            return Err(carried(response.error(ErrorKind::Integrity, REPLACED), false));
        }
        let (first, end) = sent.range();
        let is_requested_range = match response.status().as_u16() {
            206 => response
                .content_range()
                .is_some_and(|content| content.range.start == first && end.is_none_or(|end| end == content.range.end)),
            _ => first == 0,
        };
        if !is_requested_range {
            let message = format!(
                "{} sent another range than the requested one, which starts at byte {first}",
                sent.redacted_url()
            );
            return Err(carried(response.error(ErrorKind::Protocol, message), false));
        }
        let converted = to_opendal(&response, sent, HttpBody::new(stream::empty(), None));
        let content = Content(response.stream());
        Ok(converted.map(|_: HttpBody| HttpBody::new(content, None)))
    }

    /// Returns the error of a response that is not the documented one.
    fn rejected(
        &self,
        sent: &SentRequest,
        response: &Response,
        document: &S3Error,
        attempts: &Attempts,
    ) -> opendal::Error {
        let status = response.status().as_u16();
        let region = response.header("x-amz-bucket-region").or(document.region.as_deref());
        let target = response.location().map(|url| origin(&url)).or_else(|| document.endpoint.clone());
        let show = |text: &str| response.presentable(text);
        let (mut kind, mut advice) = protocol::meaning(self.service, status, document, region, target.as_deref(), show);
        if status == 412 && sent.is_content() {
            (kind, advice) = (ErrorKind::Integrity, REPLACED.to_owned());
        } else if status == 412 && !sent.never_replaces() {
            (kind, advice) =
                (ErrorKind::Conflict, "the file was replaced or removed meanwhile; check it and try again".to_owned());
        }
        if document.code.as_deref() == Some("NoSuchUpload") && attempts.effect() == Some(Effect::Unknown) {
            advice = "an earlier attempt may have completed the upload; check whether the file is stored".to_owned();
        }
        let code = document.code.as_deref().map(show);
        let text = document.message.as_deref().map(|text| format!(": {}", show(text))).unwrap_or_default();
        let name = code.as_deref().map(|code| format!(" {code}")).unwrap_or_default();
        let mut error = response.error(kind, format!("{advice} (status {status}{name}{text})"));
        if let Some(code) = &code {
            error = error.with_provider_code(code);
        }
        if let (None, Some(id)) = (error.request_id(), &document.request_id) {
            error = error.with_request_id(show(id));
        }
        let is_temporary = document.code.as_deref().is_some_and(protocol::is_temporary);
        let outcome = Outcome::Status(if is_temporary && status < 500 { 503 } else { status });
        // OpenDAL creates missing folders if it receives *not found*, but would restart a listing forever.
        let kind = match kind {
            ErrorKind::NotFound if !sent.lists() => opendal::ErrorKind::NotFound,
            _ => opendal::ErrorKind::Unexpected,
        };
        carried_as(kind, error, self.is_temporary(sent, outcome, response.retry_after(), attempts))
    }

    /// Returns `true` if the retry layer may retry the request. If the service asks to wait, delays the next request.
    fn is_temporary(
        &self,
        sent: &SentRequest,
        outcome: Outcome,
        retry_after: Option<Duration>,
        attempts: &Attempts,
    ) -> bool {
        let context = RetryContext {
            idempotency: sent.idempotency,
            outcome,
            replayable: !sent.is_put() || attempts.is_replayable(),
            // The retry layer counts the attempts.
            attempt: 1,
            waited: attempts.waited(),
            retry_after,
            budget: true,
            jitter: 0.0,
        };
        // A full disk is not freed within seconds.
        if outcome == Outcome::Status(507) {
            return false;
        }
        let Decision::Retry(_) = decide(&self.policy, &context) else { return false };
        if let Some(wait) = retry_after {
            attempts.postpone(wait);
        }
        true
    }
}

impl SentRequest {
    fn is_content(&self) -> bool {
        matches!(self.name, Some("GetObject" | "Get" | "GetBlob"))
    }

    /// Returns `true` for the request of WebDAV that sends the content of a file.
    fn is_put(&self) -> bool {
        self.name == Some("Put")
    }

    /// Returns `true` for the request that sends a whole file to an object store.
    fn is_whole(&self) -> bool {
        matches!(self.name, Some("PutObject" | "InsertObject" | "PutBlob"))
    }

    /// Returns `true` for the request that sends a part of a file to an object store.
    fn is_part(&self) -> bool {
        matches!(self.name, Some("UploadPart" | "PutBlock"))
    }

    fn lists(&self) -> bool {
        self.head.extensions.get::<Operation>() == Some(&Operation::List)
    }

    /// Returns `true` if the request does not replace an existing file.
    fn never_replaces(&self) -> bool {
        let headers = &self.head.headers;
        headers.contains_key(IF_NONE_MATCH) || headers.get(OVERWRITE).is_some_and(|overwrite| overwrite == "F")
    }

    /// Returns `true` if the response confirms the encryption that the request asks for, or if it asks for none.
    fn is_encrypted_by(&self, response: &Response) -> bool {
        let requested = |name: &str| self.head.headers.get(name).and_then(|value| value.to_str().ok());
        let is_same = |name: &&str| requested(name).is_none_or(|value| response.header(name) == Some(value));
        let names = [
            "x-amz-server-side-encryption",
            "x-amz-server-side-encryption-customer-algorithm",
            "x-amz-server-side-encryption-customer-key-md5",
        ];
        // The response has the ARN of the key, even if the request has its id or an alias. An alias is not compared.
        let key = "x-amz-server-side-encryption-aws-kms-key-id";
        let is_same_key = requested(key).is_none_or(|value| {
            response.header(key).is_some_and(|arn| {
                value.contains("alias/")
                    || arn.strip_suffix(value).is_some_and(|rest| rest.is_empty() || rest.ends_with(['/', ':']))
            })
        });
        names.iter().all(is_same) && is_same_key
    }

    /// Returns a request that checks whether `folder` is a folder, with the credentials of this request.
    fn folder_probe(&self, folder: &Url) -> opendal::Result<Self> {
        let mut request = http::Request::builder()
            .method("PROPFIND")
            .uri(folder.as_str())
            .header("depth", "0")
            .header(CONTENT_TYPE, "application/xml");
        if let Some(credentials) = self.head.headers.get(AUTHORIZATION) {
            request = request.header(AUTHORIZATION, credentials);
        }
        let request =
            request.body(()).map_err(|_| carried(Error::config("the endpoint is not a valid URL; check it"), false))?;
        let (head, ()) = request.into_parts();
        let idempotency = Idempotency::Safe;
        Ok(Self { name: Some("Propfind"), url: folder.clone(), head, idempotency, digest: None, batch: 0 })
    }

    /// Returns the first requested byte, and the byte after the last one.
    fn range(&self) -> (u64, Option<u64>) {
        let range = self.head.headers.get(RANGE).and_then(|range| range.to_str().ok());
        let range = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
        let (first, last) = range.unwrap_or_default();
        (first.parse().unwrap_or(0), last.parse::<u64>().ok().and_then(|last| last.checked_add(1)))
    }

    /// Returns the URL of the folder if the response redirects to the same URL with a `/` at its end, as WebDAV servers
    /// do for a folder. `None` for any other response.
    fn folder(&self, response: &Response) -> Option<Url> {
        if self.name != Some("Propfind")
            || !response.status().is_redirection()
            || !response.headers().contains_key(LOCATION)
        {
            return None;
        }
        let mut folder = self.url.clone();
        folder.set_path(&format!("{}/", self.url.path()));
        (response.location()? == folder).then_some(folder)
    }

    /// Returns the number of the part that the request sends.
    fn part_number(&self) -> Option<u32> {
        self.url.query_pairs().find(|(name, _)| name == "partNumber").and_then(|(_, number)| number.parse().ok())
    }

    fn redacted_url(&self) -> String {
        redacted_url(&self.url, false)
    }
}

const REPLACED: &str = "the file was replaced or removed while it was read; read it again";

/// Returns the error of a response that is not from the service.
fn not_the_service(sent: &SentRequest, response: &Response) -> Error {
    let message = format!(
        "something other than the service responded to {} with status {}, such as a proxy or a login page; check the \
         endpoint and the network",
        sent.redacted_url(),
        response.status().as_u16()
    );
    response.error(ErrorKind::Protocol, message)
}

fn is_page(response: &Response) -> bool {
    response.content_type().is_some_and(|content_type| content_type == "text/html")
}

/// Returns the URLs of the folder `root` below `endpoint`, and of `endpoint` itself.
fn roots(endpoint: &str, root: &str) -> Vec<Url> {
    let folder = |path: &str| {
        let mut url = Url::parse(endpoint).ok()?;
        let components = path.split('/').filter(|component| !component.is_empty());
        url.path_segments_mut().ok()?.pop_if_empty().extend(components).push("");
        Some(url)
    };
    let mut roots: Vec<Url> = [root, ""].into_iter().filter_map(folder).collect();
    roots.dedup();
    roots
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

fn is_link_local(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_link_local(),
        Some(url::Host::Ipv6(address)) => address.is_unique_local() || address.is_unicast_link_local(),
        _ => false,
    }
}

/// Converts a buffer without copying its chunks together. An empty file has a `Content-Length`, too: some servers reject
/// a PUT without one.
fn request_body(method: &Method, body: &Buffer) -> RequestBody {
    match (body.len(), body.count()) {
        (0, _) if method == Method::PUT => RequestBody::Bytes(None, Bytes::new()),
        (0, _) => RequestBody::Empty,
        (_, 1) => RequestBody::Bytes(None, body.current()),
        (length, _) => {
            let chunks = stream::iter(Iterator::map(body.clone(), Ok::<_, Error>));
            RequestBody::Body(None, std::sync::Arc::new(Body::from_stream(chunks, Some(length as u64))))
        }
    }
}

fn to_opendal(response: &Response, sent: &SentRequest, body: HttpBody) -> http::Response<HttpBody> {
    let mut converted = http::Response::new(body);
    *converted.status_mut() = response.status();
    *converted.headers_mut() = response.headers().clone();
    converted.extensions_mut().insert(sent.head.uri.clone());
    converted
}

fn once(body: Bytes) -> impl Stream<Item = opendal::Result<Buffer>> + Send + Sync + Unpin + 'static {
    stream::iter((!body.is_empty()).then(|| Ok(Buffer::from(body))))
}

/// The content of a file.
struct Content(ByteStream);

impl Stream for Content {
    type Item = opendal::Result<Buffer>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx).map(|item| {
            Some(item?.map(Buffer::from).map_err(|error| {
                // OpenDAL can request the rest of the content.
                let broken = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout);
                carried(error, broken)
            }))
        })
    }
}
