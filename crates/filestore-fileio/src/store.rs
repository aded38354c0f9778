//! [`FileIoStore`]: the requests of each operation.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use filestore_core::{
    Addressing, Body, ByteStream, Capabilities, CursorLoopGuard, Delete, Download, Downloaded, Effect, Error,
    ErrorKind, Expiry, Feature, FileRef, FileStore, FileUrl, List, ListOrder, NameRules, Page, PageBuilder, PageToken,
    ReadEffect, Result, ScopeKind, Stat, StoredFile, Upload, UrlKind, UrlRequest, validate_limit,
};
use filestore_http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_DISPOSITION, HeaderValue};
use filestore_http::{
    Clock, HttpClient, Idempotency, JSON_LIMIT, Method, OBJECT_LIMIT, Request, Response, SystemClock, path_below,
    secret_header, url_below,
};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::de::{DeserializeOwned, IgnoredAny};
use url::Url;

use crate::account::{Account, FileIoFile, FileIoPage, Search};
use crate::config::FileIoConfig;
use crate::error;
use crate::key::{FileKey, SCHEME};
use crate::options::MaxDownloads;
use crate::terms::UploadTerms;
use crate::wire;

/// The largest file without an account: 2 GB, read as decimal bytes because these are certainly allowed.
const FREE_MAX: u64 = 2_000_000_000;

/// The page size of the listing in which one file is searched.
const LOOKUP_PAGE: u32 = 1000;

const NEEDS_KEY: &str = "it needs the API key of an account; set api_key";

/// file.io as a store. Cheap to clone; clones share connections, rate limit and retry budget.
#[derive(Clone)]
pub struct FileIoStore(Arc<Shared>);

struct Shared {
    http: HttpClient,
    base: Url,
    auth: Auth,
    capabilities: Capabilities,
    /// The largest file in bytes according to `/me`; 0 if unknown.
    largest: AtomicU64,
}

/// The credentials of requests. The header value is marked as sensitive.
#[derive(Clone)]
enum Auth {
    Anonymous,
    Account(HeaderValue),
    /// With the token of one upload that was made without an account.
    Owner(HeaderValue),
}

impl FileIoStore {
    /// Creates a store for the service at the base URL of `config`. Sends nothing.
    ///
    /// *Config* if the base URL has more than scheme, host, port and path, or if the API key is not a valid header value.
    pub fn new(config: FileIoConfig) -> Result<Self> {
        Self::with_clock(config, Arc::new(SystemClock::default()))
    }

    pub(crate) fn with_clock(config: FileIoConfig, clock: Arc<dyn Clock>) -> Result<Self> {
        let base = config.check()?;
        let auth = match &config.api_key {
            Some(key) => Auth::Account(bearer(key.expose_secret())?),
            None => Auth::Anonymous,
        };
        let http = HttpClient::with_clock(&config.http, &base, clock)?;
        Ok(Self::of(http, base, auth))
    }

    fn of(http: HttpClient, base: Url, auth: Auth) -> Self {
        let capabilities = capabilities(&auth);
        Self(Arc::new(Shared { http, base, auth, capabilities, largest: AtomicU64::new(0) }))
    }

    pub(crate) fn as_owner(&self, token: &str) -> Result<Self> {
        Ok(Self::of(self.0.http.clone(), self.0.base.clone(), Auth::Owner(bearer(token)?)))
    }

    /// Returns the reference of a file from its key, or from a link of this server. Sends nothing, so the file may not
    /// exist. *Invalid input* if the text is neither.
    ///
    /// The reference has no store name, and every store of this backend accepts it. It is a secret, as the key is.
    pub fn reference(&self, key_or_link: &str) -> Result<FileRef> {
        let key = FileKey::of_text(key_or_link, &self.0.base).ok_or_else(|| {
            Error::invalid("the text is not a key of file.io (letters and digits) or a link of this server to a file")
        })?;
        Ok(key.reference())
    }

    /// Returns the plan and the limits of the account. From then on, [`max_upload_bytes`](Account::max_upload_bytes) is
    /// the size of the largest file that this store uploads.
    ///
    /// *Unsupported* without an API key, *unauthenticated* with a wrong one.
    pub async fn me(&self) -> Result<Account> {
        self.check_account("the state of the account")?;
        let request = self.request(Method::GET, url_below(&self.0.base, "me"), Idempotency::Safe).buffered();
        let (_, me) = self.confirmed::<wire::Me>(self.send(request).await?, None).await?;
        let account = Account::from(me);
        self.0.largest.store(account.max_upload_bytes.unwrap_or_default(), Ordering::Relaxed);
        Ok(account)
    }

    /// Returns a page of the account's files, with the fields that only file.io has.
    ///
    /// *Unsupported* without an API key, *invalid input* for a limit of 0. If files are added or removed between two pages, the second page may skip or
    /// repeat some.
    pub async fn search(&self, search: &Search) -> Result<FileIoPage> {
        self.0.capabilities.check(Feature::List)?;
        validate_limit(search.limit)?;
        let request = self.request(Method::GET, self.0.base.clone(), Idempotency::Safe).buffered();
        let request = search.query().iter().fold(request, |request, (name, value)| request.query(name, value));
        let (response, body) = self.success(self.send(request).await?, JSON_LIMIT).await?;
        let mut page = FileIoPage::new(response.parse_json(&body)?, search)?;
        page.date = response.date();
        Ok(page)
    }

    /// Finds the entry of `key` in the account's listing, page by page. Does not request the file, which would consume
    /// it.
    pub(crate) async fn look_up(&self, key: &FileKey) -> Result<Option<FileIoFile>> {
        let reference = key.reference();
        let mut search = Search::new().limit(LOOKUP_PAGE);
        let mut guard = CursorLoopGuard::new();
        loop {
            let page = self.search(&search).await?;
            page.files.iter().for_each(|entry| guard.entry(&entry.file.reference));
            if let Some(entry) = page.files.into_iter().find(|entry| entry.file.reference == reference) {
                return Ok(Some(entry));
            }
            let Some(next) = page.next else { return Ok(None) };
            guard.next_page(&next)?;
            search.offset = next;
        }
    }

    /// Returns a successful JSON response and its body of at most `limit` bytes. Everything else is an error.
    async fn success(&self, mut response: Response, limit: usize) -> Result<(Response, Bytes)> {
        // 1. The response is a success, and from the service.
        if !response.status().is_success() {
            return Err(error::rejected(response, &self.0.base).await);
        }
        if let Some(error) = error::not_the_service(&response, &self.0.base) {
            return Err(error);
        }
        if !response.is_json() {
            return Err(error::not_json(&response, &self.0.base));
        }
        // 2. The body reports a success, too.
        let body = response.bytes(limit).await?;
        let envelope: wire::Envelope = response.parse_json(&body)?;
        if envelope.success == Some(false) {
            return Err(error::rejected_by(&response, &envelope));
        }
        Ok((response, body))
    }

    /// Like [`success`](Self::success), but the service has to confirm it: *protocol* unless the status is 200 and the
    /// body has `"success": true` and no other key than `key`.
    pub(crate) async fn confirmed<T: DeserializeOwned>(
        &self,
        response: Response,
        key: Option<&FileKey>,
    ) -> Result<(Response, T)> {
        let (response, body) = self.success(response, OBJECT_LIMIT).await?;
        // A name in another encoding must not lose the key.
        let body = String::from_utf8_lossy(&body);
        let body = body.as_bytes();
        let envelope: wire::Envelope = response.parse_json(body)?;
        let is_other_file = key.zip(envelope.key.as_deref()).is_some_and(|(key, found)| found != key.as_str());
        if response.status().as_u16() != 200 || envelope.success != Some(true) || is_other_file {
            return Err(response.unexpected("JSON that says \"success\": true"));
        }
        let body = response.parse_json(body)?;
        Ok((response, body))
    }

    pub(crate) async fn send(&self, request: Request) -> Result<Response> {
        self.0.http.send(request).await
    }

    /// Creates a request to the API, with the account's API key if there is one.
    pub(crate) fn request(&self, method: Method, url: Url, idempotency: Idempotency) -> Request {
        let request = Request::new(method, url, idempotency)
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .default_retry_after(error::DEFAULT_RETRY_AFTER);
        match &self.0.auth {
            Auth::Account(key) => request.credential(AUTHORIZATION, key.clone()),
            Auth::Anonymous | Auth::Owner(_) => request,
        }
    }

    /// Creates a request that changes the file of `key`, with the credentials for it.
    pub(crate) fn management(&self, method: Method, key: &FileKey, idempotency: Idempotency) -> Request {
        let request = self.request(method, key.url(&self.0.base), idempotency).buffered().secret_path();
        let request = request.secrets(key.secrets());
        match &self.0.auth {
            Auth::Owner(token) => request.credential(AUTHORIZATION, token.clone()),
            Auth::Anonymous | Auth::Account(_) => request,
        }
    }

    pub(crate) fn base(&self) -> &Url {
        &self.0.base
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.0.http.clock().now()
    }

    fn check_account(&self, what: &str) -> Result<()> {
        match self.0.auth {
            Auth::Account(_) => Ok(()),
            Auth::Anonymous | Auth::Owner(_) => Err(Error::unsupported(format!("cannot get {what}: {NEEDS_KEY}"))),
        }
    }

    pub(crate) fn check_owner(&self, what: &str) -> Result<()> {
        match self.0.auth {
            Auth::Account(_) | Auth::Owner(_) => Ok(()),
            Auth::Anonymous => Err(Error::unsupported(format!(
                "cannot send {what}: it needs the API key of an account, or the token of the upload; set api_key, or \
                 use FileIoStore::with_token"
            ))),
        }
    }

    /// Rejects terms that the service certainly rejects.
    pub(crate) fn check_terms(&self, terms: &UploadTerms) -> Result<()> {
        if terms.max_downloads == Some(MaxDownloads::Times(0)) {
            return Err(Error::invalid("max_downloads is 0; set a number from 1, or unlimited"));
        }
        match self.0.auth {
            Auth::Account(_) => Ok(()),
            Auth::Anonymous | Auth::Owner(_) => terms.check_free_plan(self.now()),
        }
    }

    pub(crate) fn check_size(&self, body: &Body) -> Result<()> {
        let known = Some(self.0.largest.load(Ordering::Relaxed)).filter(|largest| *largest > 0);
        match (body.length(), known.or(self.0.capabilities.max_size)) {
            (Some(length), Some(largest)) if length > largest => Err(Error::new(
                ErrorKind::TooLarge,
                Effect::NotSent,
                format!(
                    "the file has {length} bytes, and the service accepts at most {largest} bytes in one file; send a \
                     smaller file"
                ),
            )),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl FileStore for FileIoStore {
    fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    async fn upload(&self, request: Upload) -> Result<StoredFile> {
        Ok(self.post_file(request).await?.file)
    }

    async fn list(&self, request: List) -> Result<Page> {
        let limit = request.limit.map(|limit| (limit as usize).min(PageBuilder::<()>::LARGEST));
        let mut search = Search::new();
        if let Some(token) = request.page {
            let offset = token.as_str().parse();
            search.offset = offset.map_err(|_| {
                Error::invalid("invalid page token: it is not from this store; use the token of the last page, or none")
            })?;
        }
        let mut guard = CursorLoopGuard::starting_at(&search.offset);
        let mut page = Page::default();
        loop {
            search.limit = limit.and_then(|limit| u32::try_from(limit - page.files.len()).ok());
            let found = self.search(&search).await?;
            found.files.iter().for_each(|entry| guard.entry(&entry.file.reference));
            page.files.extend(found.files.into_iter().map(|entry| entry.file));
            page.left_out += found.left_out;
            page.date = found.date;
            page.next = found.next.map(|offset| PageToken::new(offset.to_string()));
            // Without a limit, the service decides.
            match found.next {
                Some(next) if limit.is_some_and(|limit| page.files.len() < limit) => {
                    guard.next_page(&next)?;
                    search.offset = next;
                }
                _ => return Ok(page),
            }
        }
    }

    async fn stat(&self, request: Stat) -> Result<StoredFile> {
        self.0.capabilities.check(Feature::Stat)?;
        let key = FileKey::of(&request.reference)?;
        let entry = self.look_up(&key).await?.ok_or_else(|| {
            Error::not_found(
                "the account does not list this file: it expired, was downloaded or deleted, or belongs to another \
                 account",
            )
        })?;
        Ok(entry.file)
    }

    async fn download(&self, request: Download) -> Result<Downloaded> {
        let key = FileKey::of(&request.reference)?;
        if request.range.is_some() {
            self.0.capabilities.check(Feature::Range)?;
        }
        // 1. The only GET of a key in this crate. It counts as a download, so it is sent once, on a fresh connection:
        //    an idle one that the server has just closed would look like a lost response.
        let idempotency = Idempotency::Consuming;
        #[cfg(planted_bugs)]
        let idempotency = if filestore_core::planted_bug("consuming-retry") { Idempotency::Safe } else { idempotency };
        let get = self
            .request(Method::GET, key.url(&self.0.base), idempotency)
            .header(ACCEPT, HeaderValue::from_static("*/*"))
            .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"))
            .secret_path()
            .secrets(key.secrets())
            .fresh_connection();
        let response = self.send(get).await.map_err(possibly_consumed)?;
        // 2. A redirect leads to a web page about the file, or away from the service.
        if response.status().is_redirection()
            && let Some(page) = response.location().filter(|page| is_landing_page(page, &self.0.base))
        {
            return Err(error::landing_page(&response, page.host_str().unwrap_or_default()));
        }
        // 3. The status decides: with status 200 the body is the file, even if it looks like an error.
        let disposition = response.headers().get(CONTENT_DISPOSITION).cloned();
        if !response.status().is_success() {
            return Err(possibly_consumed(error::rejected(response, &self.0.base).await));
        }
        // The download may have consumed the file, so its body is passed on in any case, with the error at its end.
        let failure = if response.status().as_u16() != 200 {
            Some(error::not_the_whole_file(&response))
        } else if let Err(encoded) = response.check_identity() {
            Some(encoded)
        } else if disposition.is_none() {
            error::not_the_service(&response, &self.0.base)
        } else {
            None
        };
        if disposition.is_none() && failure.is_none() {
            tracing::warn!("a download came without Content-Disposition; it may be a message instead of the file");
        }
        // 4. Name, type and length from the headers; core makes the name safe for a disk.
        let name = disposition.and_then(|header| filestore_http::file_name(header.as_bytes()));
        let mut file = StoredFile::new(request.reference, name.unwrap_or_else(|| "download".to_owned()));
        file.content_type = response.content_type();
        file.size = response.content_length();
        file.stored_size = file.size;
        // 5. The bytes, once.
        let stream = response.stream();
        // A stream that ends with an error does not have the announced length.
        let length = stream.length().filter(|_| failure.is_none());
        let chunks = stream.chain(stream::iter(failure.map(Err))).map_err(possibly_consumed);
        if length.is_none() {
            (file.size, file.stored_size) = (None, None);
        }
        Ok(Downloaded::new(file, ByteStream::download(chunks, length)))
    }

    async fn delete(&self, request: Delete) -> Result<()> {
        self.0.capabilities.check(Feature::Delete)?;
        let key = FileKey::of(&request.reference)?;
        let mut response = self.send(self.management(Method::DELETE, &key, Idempotency::Idempotent)).await?;
        if response.status().as_u16() == 404 {
            // Only in the service's JSON: a 404 of a proxy or a web site says nothing about the file.
            let envelope: wire::Envelope = serde_json::from_slice(&response.error_body().await).unwrap_or_default();
            let is_gone =
                envelope.success == Some(false) && envelope.code.as_deref().is_none_or(|code| code == "FILE_NOT_FOUND");
            return if is_gone { Ok(()) } else { Err(response.unexpected("JSON that says \"success\": false")) };
        }
        // A 403 is no success, not even after a lost response: either an earlier attempt has deleted the file, or it
        // belongs to another account.
        self.confirmed::<IgnoredAny>(response, Some(&key)).await.map(drop)
    }

    async fn url(&self, request: UrlRequest) -> Result<FileUrl> {
        let key = FileKey::of(&request.reference)?;
        // The account's listing shows how often and how long the URL works. Without an account, it works once.
        let entry = match self.0.auth {
            Auth::Account(_) => self.look_up(&key).await?,
            Auth::Anonymous | Auth::Owner(_) => None,
        };
        let expiry = entry.as_ref().map_or(Expiry::Default, |entry| entry.file.expiry);
        if let Some(lifetime) = request.lifetime {
            check_lifetime(expiry, lifetime, self.now())?;
        }
        let works_twice = |entry: &FileIoFile| {
            entry.max_downloads == Some(MaxDownloads::Unlimited)
                || entry.file.remaining_downloads.is_some_and(|left| left > 1)
        };
        let kind = if entry.as_ref().is_some_and(works_twice) { UrlKind::Direct } else { UrlKind::SingleUse };
        let expires = match expiry {
            Expiry::At(end) => Some(end),
            _ => None,
        };
        Ok(FileUrl::new(key.url(&self.0.base), kind, expires))
    }
}

/// Returns `true` if the target of a redirect is the service's web page about a file. A gateway may have put its path
/// prefix into the target.
fn is_landing_page(page: &Url, base: &Url) -> bool {
    let path = path_below(base, page).unwrap_or_else(|| page.path().trim_start_matches('/'));
    path.starts_with("download/")
}

/// Fails with *unsupported* unless the file is stored for at least `lifetime`.
fn check_lifetime(expiry: Expiry, lifetime: Duration, now: Timestamp) -> Result<()> {
    match expiry {
        Expiry::Never => Ok(()),
        Expiry::At(end) => {
            let left = Duration::try_from(end.duration_since(now)).unwrap_or_default();
            if lifetime <= left {
                return Ok(());
            }
            Err(Error::unsupported(format!(
                "cannot create a URL that is valid for {} s: the file expires in {} s; update the expiry of the file \
                 first",
                lifetime.as_secs(),
                left.as_secs()
            )))
        }
        _ => Err(Error::unsupported(format!(
            "cannot tell how long the URL is valid, which only the listing of an account shows: {NEEDS_KEY}, or \
             request the URL without a lifetime"
        ))),
    }
}

/// Notes in an error of unknown effect that the file is possibly consumed.
fn possibly_consumed(error: Error) -> Error {
    match error.effect() {
        Effect::Unknown => error.possibly_consumed(),
        _ => error,
    }
}

fn bearer(secret: &str) -> Result<HeaderValue> {
    secret_header(&format!("Bearer {secret}"))
}

fn capabilities(auth: &Auth) -> Capabilities {
    let mut capabilities = Capabilities::new(SCHEME)
        .native([Feature::UnknownLength, Feature::EmptyFile, Feature::Expiry, Feature::ContentType])
        .unsupported(Feature::Range, "every read counts as a download, even of a range")
        .unsupported(Feature::Resume, "a read may consume the file, so there may be no second one")
        .unsupported(Feature::Replace, "every upload creates a new file with its own key")
        .unsupported(Feature::IfExistsFail, "every upload creates a new file with its own key")
        .unsupported(Feature::Modified, "the service sets it")
        .unsupported(Feature::Verify, "the service reports no digests")
        .unsupported(Feature::Metadata, "the service stores only a title and a description; see FileIoUpdate");
    capabilities.addressing = Addressing::ServerKey;
    capabilities.scope = ScopeKind::None;
    // Servers differ in how they parse a quote in the file name of a form.
    capabilities.names = NameRules { max_bytes: Some(255), forbidden: "\"", ..NameRules::default() };
    capabilities.read_effect = ReadEffect::Consumes;
    capabilities.url_kind = Some(UrlKind::SingleUse);
    capabilities.list_order = ListOrder::NewestFirst;
    capabilities.bearer_references = true;
    capabilities.options = vec!["fileio"];
    match auth {
        Auth::Account(_) => capabilities
            .native([Feature::List, Feature::RecursiveList, Feature::Delete])
            .emulated(
                Feature::Stat,
                "reads the account's listing until it finds the file; files of other accounts are not found",
            )
            .emulated(Feature::Url, "reads the account's listing for the expiry and the remaining downloads"),
        Auth::Anonymous => {
            capabilities.max_size = Some(FREE_MAX);
            capabilities
                .native([Feature::Url])
                .unsupported(Feature::List, NEEDS_KEY)
                .unsupported(Feature::RecursiveList, NEEDS_KEY)
                .unsupported(
                    Feature::Stat,
                    "only a read would show it, and a read consumes the file; to use the listing, set api_key",
                )
                .unsupported(Feature::Delete, NEEDS_KEY)
        }
        Auth::Owner(_) => {
            capabilities.max_size = Some(FREE_MAX);
            capabilities
                .native([Feature::Url, Feature::Delete])
                .unsupported(Feature::List, NEEDS_KEY)
                .unsupported(Feature::RecursiveList, NEEDS_KEY)
                .unsupported(
                    Feature::Stat,
                    "only a read would show it, and a read consumes the file; to use the listing, set api_key",
                )
        }
    }
}

impl fmt::Debug for FileIoStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let auth = match self.0.auth {
            Auth::Anonymous => "anonymous",
            Auth::Account(_) => "with an API key",
            Auth::Owner(_) => "with the token of an upload",
        };
        f.debug_tuple("FileIoStore").field(&self.0.base.as_str()).field(&auth).finish()
    }
}
