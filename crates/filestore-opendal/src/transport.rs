//! OpenDAL's HTTP transport over one exchange of `filestore-http`: its limits, proxy, certificates and rate. Redirects are
//! not followed, and nothing is retried here: OpenDAL's retry layer does it, and is told here when.
//!
//! Only the documented response of a request comes back as a response. Everything else becomes an error here, where the
//! whole of it is known: OpenDAL carries it to [`of_service`](crate::error::of_service).

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use filestore_core::{Body, ByteStream, Effect, Error, ErrorKind};
use filestore_http::{
    Decision, HttpClient, HttpConfig, Idempotency, JSON_LIMIT, Outcome, Policy, Request, RequestBody, Response,
    RetryContext, S3Error, Url, decide, presentable, redacted_url, root_element,
};
use futures::stream::{self, Stream, StreamExt};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH, LOCATION, RANGE};
use http::{HeaderValue, request};
use opendal::raw::{Operation, ServiceOperation};
use opendal::{Buffer, HttpBody, HttpTransport};

use crate::attempts::Attempts;
use crate::error::{UNENCRYPTED, carried, carried_as};
use crate::listing;
use crate::protocol::{self, Proof, Service};

/// The transport of one store.
pub(crate) struct Transport {
    client: HttpClient,
    service: Service,
    policy: Policy,
    /// Folders of a WebDAV server that are there if it is one: that of the store, unless it is yet to be made, and that
    /// of the endpoint.
    roots: Vec<Url>,
    /// One of them has answered as a folder.
    root_seen: AtomicBool,
}

/// Asks whether this is a folder.
const IS_FOLDER: &str = r#"<?xml version="1.0" encoding="utf-8"?><D:propfind xmlns:D="DAV:"><D:prop><D:resourcetype/></D:prop></D:propfind>"#;

/// The header of WebDAV that says whether a file may be replaced: `T` or `F`.
const OVERWRITE: &str = "overwrite";

/// The longest time for a request to the machine's own metadata service, which holds the credentials of its role. Where
/// there is none, the address leads nowhere. A second is what the AWS tools wait.
const METADATA_TIMEOUT: Duration = Duration::from_secs(1);

/// A request, as far as it is needed after it was sent.
struct Sent {
    /// The service's name of the operation. `None`: a request for credentials.
    name: Option<&'static str>,
    url: Url,
    head: request::Parts,
    idempotency: Idempotency,
}

impl Transport {
    /// For the folder `root` of the service at `endpoint`. *Config* when a setting cannot be used.
    pub(crate) fn new(
        service: Service,
        endpoint: Option<&str>,
        root: &str,
        config: &HttpConfig,
    ) -> filestore_core::Result<Self> {
        // OpenDAL signs the requests: the client has no credentials that it could send to the wrong origin.
        let base = Url::parse("http://localhost").map_err(|_| Error::config("no base URL"))?;
        Ok(Self {
            client: HttpClient::new(config, &base)?,
            service,
            policy: Policy {
                max_retries: config.max_retries,
                first_delay: config.initial_retry_delay,
                longest_delay: config.max_retry_delay,
                ..Policy::default()
            },
            roots: endpoint.map(|endpoint| roots(endpoint, root)).unwrap_or_default(),
            root_seen: AtomicBool::new(false),
        })
    }
}

impl HttpTransport for Transport {
    async fn fetch(&self, request: http::Request<Buffer>) -> opendal::Result<http::Response<HttpBody>> {
        let (mut head, body) = request.into_parts();
        let name = head.extensions.get::<ServiceOperation>().map(|operation| operation.0);
        let url = Url::parse(&head.uri.to_string())
            .map_err(|_| carried(Error::config("the endpoint and the path make no URL; check the endpoint"), false))?;
        // A request for credentials is about no file.
        let idempotency = name.map_or(Idempotency::Safe, |name| self.service.idempotency(name, url.path()));
        let attempts = Attempts::current();
        if name == Some("Move") && attempts.never_replaces() {
            head.headers.insert(OVERWRITE, HeaderValue::from_static("F"));
        }
        if name == Some("UploadPart") && attempts.is_unencrypted() {
            return Err(carried(Error::unsupported(format!("{UNENCRYPTED}; nothing was sent")), false));
        }
        let mut sent = Sent { name, url, head, idempotency };
        attempts.pause().await;
        let mut answer = self.exchange(&sent, &body, &attempts).await?;
        if let Some(folder) = sent.folder(&answer) {
            sent.url = folder;
            answer = self.exchange(&sent, &body, &attempts).await?;
        }
        self.judge(&sent, answer, &attempts).await
    }
}

impl Transport {
    /// Sends the request once.
    async fn exchange(&self, sent: &Sent, body: &Buffer, attempts: &Attempts) -> opendal::Result<Response> {
        let mut request =
            Request::new(sent.head.method.clone(), sent.url.clone(), sent.idempotency).body(payload(body));
        for (name, value) in &sent.head.headers {
            // The length is that of the body.
            if name != CONTENT_LENGTH {
                request = request.header(name.clone(), value.clone());
            }
        }
        // Of use only as a whole: all but the content of files.
        if !sent.is_content() {
            request = request.buffered();
        }
        let exchange = self.client.exchange(request);
        let (outcome, answer) = if sent.name.is_none() && is_link_local(&sent.url) {
            tokio::time::timeout(METADATA_TIMEOUT, exchange).await.unwrap_or_else(|_| {
                let message = "the metadata service of this machine does not answer";
                (Outcome::Lost, Err(Error::new(ErrorKind::Timeout, Effect::Rejected, message)))
            })
        } else {
            exchange.await
        };
        if sent.name.is_some() {
            attempts.record(sent.idempotency, outcome);
        }
        answer.map_err(|error| carried(error, self.is_temporary(sent, outcome, None, attempts)))
    }

    /// The response if it is the documented one, else what it means.
    async fn judge(
        &self,
        sent: &Sent,
        mut answer: Response,
        attempts: &Attempts,
    ) -> opendal::Result<http::Response<HttpBody>> {
        let status = answer.status().as_u16();
        let Some(name) = sent.name else {
            // Whoever asks for credentials knows what they look like.
            return self.whole(sent, answer).await;
        };
        let absent = self.service == Service::Webdav && status == 404 && matches!(name, "Propfind" | "Delete");
        if absent && !self.is_webdav(sent, attempts).await? {
            return Err(carried(not_the_service(sent, &answer), false));
        }
        if absent && sent.lists() {
            // The folder is gone or was never there. OpenDAL goes on with the others.
            return self.whole(sent, answer).await;
        }
        let Some(proof) = self.service.documented(name, status) else {
            if answer.status().is_success() && is_page(&answer) {
                return Err(carried(not_the_service(sent, &answer), false));
            }
            let document = S3Error::parse(&answer.error_body().await);
            return Err(self.rejected(sent, &answer, &document, attempts));
        };
        if sent.is_content() && matches!(status, 200 | 206) {
            return self.content(sent, proof, answer);
        }
        let body = answer.bytes(JSON_LIMIT).await.map_err(|error| carried(error, false))?;
        let etag = answer.headers().contains_key(ETAG);
        let proven = match proof {
            Proof::Status => true,
            Proof::Etag => etag,
            Proof::EtagAlone => etag && body.is_empty(),
            Proof::Root(expected) => root_element(&body) == Some(expected),
            Proof::Multistatus => protocol::is_multistatus(&body),
            Proof::NoSuchKey => S3Error::parse(&body).code.as_deref() == Some("NoSuchKey"),
            Proof::NoPage => !is_page(&answer),
        };
        // S3 may find out that it fails after it has sent the status.
        let failed = match (name, root_element(&body)) {
            (_, Some("Error")) if !proven => Some(S3Error::parse(&body)),
            ("DeleteObjects", _) if proven => S3Error::first_of(&body),
            _ => None,
        };
        if proven && failed.is_none() && matches!(name, "PutObject" | "CreateMultipartUpload") {
            attempts.note_encryption(sent.is_encrypted_by(&answer));
        }
        match failed {
            Some(document) => {
                // Of several files that were to be deleted, others may be gone.
                if !proven && document.code.as_deref().is_some_and(|code| !protocol::is_temporary(code)) {
                    attempts.record_rejection_by_body();
                }
                Err(self.rejected(sent, &answer, &document, attempts))
            }
            None if proven && sent.lists() => {
                let listing = listing::checked(self.service, name, &sent.url, body)
                    .map_err(|problem| carried(answer.error(ErrorKind::Protocol, problem), false))?;
                attempts.note_left_out(listing.left_out);
                Ok(response(&answer, sent, HttpBody::new(once(listing.body), None)))
            }
            None if proven => Ok(response(&answer, sent, HttpBody::new(once(body), None))),
            None => Err(carried(not_the_service(sent, &answer), false)),
        }
    }

    /// Whether a WebDAV server is there at all: any web server says 404. Asked once, when a 404 is to be believed.
    async fn is_webdav(&self, sent: &Sent, attempts: &Attempts) -> opendal::Result<bool> {
        if self.root_seen.load(Ordering::Relaxed) {
            return Ok(true);
        }
        for root in &self.roots {
            let question = sent.about_folder(root)?;
            let mut answer = self.exchange(&question, &Buffer::from(IS_FOLDER), attempts).await?;
            match answer.status().as_u16() {
                207 => {
                    let body = answer.bytes(JSON_LIMIT).await.map_err(|error| carried(error, false))?;
                    if protocol::is_multistatus(&body) {
                        self.root_seen.store(true, Ordering::Relaxed);
                        return Ok(true);
                    }
                }
                401 | 403 | 408 | 429 | 500 | 502.. => {
                    let document = S3Error::parse(&answer.error_body().await);
                    return Err(self.rejected(&question, &answer, &document, attempts));
                }
                _ => {}
            }
        }
        Ok(false)
    }

    /// A response of any status, held in memory.
    async fn whole(&self, sent: &Sent, mut answer: Response) -> opendal::Result<http::Response<HttpBody>> {
        let body = answer.bytes(JSON_LIMIT).await.map_err(|error| carried(error, false))?;
        Ok(response(&answer, sent, HttpBody::new(once(body), None)))
    }

    /// The content of a file as it comes, if it is that of the file and of the range that were asked for.
    fn content(&self, sent: &Sent, proof: Proof, answer: Response) -> opendal::Result<http::Response<HttpBody>> {
        // A service that named the version of the file names it here, too.
        let versioned = proof == Proof::Etag || sent.head.headers.contains_key(IF_MATCH);
        if versioned && !answer.headers().contains_key(ETAG) {
            return Err(carried(not_the_service(sent, &answer), false));
        }
        let asked = sent.head.headers.get(IF_MATCH);
        if asked.is_some_and(|asked| answer.headers().get(ETAG) != Some(asked)) {
            return Err(carried(answer.error(ErrorKind::Integrity, REPLACED), false));
        }
        let (first, end) = sent.range();
        let fits = match answer.status().as_u16() {
            206 => answer
                .content_range()
                .is_some_and(|content| content.range.start == first && end.is_none_or(|end| end == content.range.end)),
            _ => first == 0,
        };
        if !fits {
            let message =
                format!("{} answers with another range than the one that starts at byte {first}", sent.redacted_url());
            return Err(carried(answer.error(ErrorKind::Protocol, message), false));
        }
        let response = response(&answer, sent, HttpBody::new(stream::empty(), None));
        let content = Content(Mutex::new(answer.stream()));
        Ok(response.map(|_: HttpBody| HttpBody::new(content, None)))
    }

    /// The error of a response that is not the documented one.
    fn rejected(&self, sent: &Sent, answer: &Response, document: &S3Error, attempts: &Attempts) -> opendal::Error {
        let status = answer.status().as_u16();
        let region = answer.header("x-amz-bucket-region").or(document.region.as_deref());
        let target = answer.location().map(|url| origin(&url)).or_else(|| document.endpoint.clone());
        let (mut kind, mut advice) = protocol::meaning(self.service, status, document, region, target.as_deref());
        if status == 412 && sent.is_content() {
            (kind, advice) = (ErrorKind::Integrity, REPLACED.to_owned());
        } else if status == 412 && !sent.never_replaces() {
            (kind, advice) = (ErrorKind::Conflict, "the file was replaced or removed meanwhile".to_owned());
        }
        if document.code.as_deref() == Some("NoSuchUpload") && attempts.effect() == Some(Effect::Unknown) {
            advice = "an earlier attempt may have completed the upload; look whether the file is there".to_owned();
        }
        let code = document.code.as_deref().map(|code| presentable(code, &[]));
        let said = document.message.as_deref().map(|text| format!(": {}", presentable(text, &[]))).unwrap_or_default();
        let named = code.as_deref().map(|code| format!(" {code}")).unwrap_or_default();
        let mut error = answer.error(kind, format!("{advice} (status {status}{named}{said})"));
        if let Some(code) = &code {
            error = error.with_provider_code(code);
        }
        if let (None, Some(id)) = (error.request_id(), &document.request_id) {
            error = error.with_request_id(presentable(id, &[]));
        }
        let asks_again = code.as_deref().is_some_and(protocol::is_temporary);
        let outcome = Outcome::Status(if asks_again && status < 500 { 503 } else { status });
        // OpenDAL makes missing folders. A listing that is not found it would begin again, for ever.
        let kind = match kind {
            ErrorKind::NotFound if !sent.lists() => opendal::ErrorKind::NotFound,
            _ => opendal::ErrorKind::Unexpected,
        };
        carried_as(kind, error, self.is_temporary(sent, outcome, answer.retry_after(), attempts))
    }

    /// Whether the retry layer may send the request again. If the service asks to wait, the next request does.
    fn is_temporary(&self, sent: &Sent, outcome: Outcome, retry_after: Option<Duration>, attempts: &Attempts) -> bool {
        let situation = RetryContext {
            idempotency: sent.idempotency,
            outcome,
            replayable: true,
            // The retry layer counts.
            attempt: 1,
            waited: attempts.waited(),
            retry_after,
            budget: true,
            jitter: 0.0,
        };
        // Space does not come back within seconds.
        if outcome == Outcome::Status(507) {
            return false;
        }
        let Decision::Retry(_) = decide(&self.policy, &situation) else { return false };
        if let Some(wait) = retry_after {
            attempts.postpone(wait);
        }
        true
    }
}

impl Sent {
    fn is_content(&self) -> bool {
        matches!(self.name, Some("GetObject" | "Get" | "GetBlob"))
    }

    fn lists(&self) -> bool {
        self.head.extensions.get::<Operation>() == Some(&Operation::List)
    }

    /// Whether the request leaves a file that is there as it is.
    fn never_replaces(&self) -> bool {
        let headers = &self.head.headers;
        headers.contains_key(IF_NONE_MATCH) || headers.get(OVERWRITE).is_some_and(|overwrite| overwrite == "F")
    }

    /// Whether the response confirms the encryption that the request asks for, if it does.
    fn is_encrypted_by(&self, answer: &Response) -> bool {
        let asked = |name: &str| self.head.headers.get(name).and_then(|value| value.to_str().ok());
        let is_same = |name: &&str| asked(name).is_none_or(|asked| answer.header(name) == Some(asked));
        let names = [
            "x-amz-server-side-encryption",
            "x-amz-server-side-encryption-customer-algorithm",
            "x-amz-server-side-encryption-customer-key-md5",
        ];
        // The response has the ARN of the key, also where its id or an alias was asked for. An alias is not compared.
        let key = "x-amz-server-side-encryption-aws-kms-key-id";
        let is_same_key = asked(key).is_none_or(|asked| {
            answer.header(key).is_some_and(|arn| {
                asked.contains("alias/")
                    || arn.strip_suffix(asked).is_some_and(|rest| rest.is_empty() || rest.ends_with(['/', ':']))
            })
        });
        names.iter().all(is_same) && is_same_key
    }

    /// The question about `folder` whether it is one, with the credentials of this request.
    fn about_folder(&self, folder: &Url) -> opendal::Result<Self> {
        let mut request = http::Request::builder()
            .method("PROPFIND")
            .uri(folder.as_str())
            .header("depth", "0")
            .header(CONTENT_TYPE, "application/xml");
        if let Some(credentials) = self.head.headers.get(AUTHORIZATION) {
            request = request.header(AUTHORIZATION, credentials);
        }
        let request =
            request.body(()).map_err(|_| carried(Error::config("the endpoint is no URL; check it"), false))?;
        let (head, ()) = request.into_parts();
        Ok(Self { name: Some("Propfind"), url: folder.clone(), head, idempotency: Idempotency::Safe })
    }

    /// The first byte that is asked for, and the one after the last.
    fn range(&self) -> (u64, Option<u64>) {
        let range = self.head.headers.get(RANGE).and_then(|range| range.to_str().ok());
        let range = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
        let (first, last) = range.unwrap_or_default();
        (first.parse().unwrap_or(0), last.parse::<u64>().ok().and_then(|last| last.checked_add(1)))
    }

    /// Where a WebDAV server says that this is a folder, which has the same URL with a `/` at its end: not a redirect to
    /// anywhere else.
    fn folder(&self, answer: &Response) -> Option<Url> {
        if self.name != Some("Propfind")
            || !answer.status().is_redirection()
            || !answer.headers().contains_key(LOCATION)
        {
            return None;
        }
        let mut folder = self.url.clone();
        folder.set_path(&format!("{}/", self.url.path()));
        (answer.location()? == folder).then_some(folder)
    }

    fn redacted_url(&self) -> String {
        redacted_url(&self.url, false)
    }
}

const REPLACED: &str = "the file was replaced or removed while it was read; read it again";

/// The error of a response that something other than the service has sent.
fn not_the_service(sent: &Sent, answer: &Response) -> Error {
    let message = format!(
        "something other than the service answered {} with status {}, such as a proxy or a login page; check the endpoint \
         and the network",
        sent.redacted_url(),
        answer.status().as_u16()
    );
    answer.error(ErrorKind::Protocol, message)
}

fn is_page(answer: &Response) -> bool {
    answer.content_type().is_some_and(|content_type| content_type == "text/html")
}

/// The URLs of the folder `root` below `endpoint`, and of `endpoint` itself.
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

/// The pieces of a buffer are not copied together.
fn payload(body: &Buffer) -> RequestBody {
    match (body.len(), body.count()) {
        (0, _) => RequestBody::Empty,
        (_, 1) => RequestBody::Bytes(None, body.current()),
        (length, _) => {
            let pieces = stream::iter(Iterator::map(body.clone(), Ok));
            RequestBody::Body(None, std::sync::Arc::new(Body::stream(pieces, Some(length as u64))))
        }
    }
}

fn response(answer: &Response, sent: &Sent, body: HttpBody) -> http::Response<HttpBody> {
    let mut response = http::Response::new(body);
    *response.status_mut() = answer.status();
    *response.headers_mut() = answer.headers().clone();
    response.extensions_mut().insert(sent.head.uri.clone());
    response
}

fn once(body: Bytes) -> impl Stream<Item = opendal::Result<Buffer>> + Send + Sync + Unpin + 'static {
    stream::iter((!body.is_empty()).then(|| Ok(Buffer::from(body))))
}

/// The content of a file. Never locked: OpenDAL wants bodies that are `Sync`.
struct Content(Mutex<ByteStream>);

impl Stream for Content {
    type Item = opendal::Result<Buffer>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let stream = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        stream.poll_next_unpin(cx).map(|item| {
            Some(item?.map(Buffer::from).map_err(|error| {
                // The rest of it can be asked for.
                let broken = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout);
                carried(error, broken)
            }))
        })
    }
}
