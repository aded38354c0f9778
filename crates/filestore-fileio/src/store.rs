//! [`FileIoStore`]: the protocol, operation by operation.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use filestore_core::{
    Address, Body, ByteStream, Capabilities, CursorLoopGuard, Delete, Download, Downloaded, Effect, Error, ErrorKind,
    Expiry, Feature, FileStore, FileUrl, List, ListOrder, NameRules, Page, PageToken, ReadEffect, Result, ScopeKind,
    Stat, StoredFile, Upload, UrlKind, UrlRequest,
};
use filestore_http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_DISPOSITION, HeaderValue};
use filestore_http::{
    Clock, HttpClient, Idempotency, JSON_LIMIT, Method, OBJECT_LIMIT, Request, Response, SystemClock, secret_header,
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

/// The largest file without an account: 2 GB, in the reading that is certainly allowed.
const FREE_MAX: u64 = 2_000_000_000;

/// Entries of the listing that are asked for at once when one file is looked up.
const LOOKUP_PAGE: u32 = 1000;

const NEEDS_KEY: &str = "it needs the API key of an account; set api_key";

/// file.io as a store. Cheap to clone; clones share connections, pace and retry budget.
#[derive(Clone)]
pub struct FileIoStore(Arc<Shared>);

struct Shared {
    http: HttpClient,
    base: Url,
    who: Auth,
    capabilities: Capabilities,
    /// The largest file as `/me` said; 0: not asked yet.
    largest: AtomicU64,
}

/// Auth asks. The header is marked as sensitive.
#[derive(Clone)]
enum Auth {
    Anonymous,
    Account(HeaderValue),
    /// The uploader of one file, without an account.
    Owner(HeaderValue),
}

impl FileIoStore {
    /// A store over the service at the configuration's base URL. Sends nothing.
    ///
    /// *Config* if the base URL is not scheme, host and port, or the key cannot be a header.
    pub fn new(config: FileIoConfig) -> Result<Self> {
        Self::with_clock(config, Arc::new(SystemClock::default()))
    }

    pub(crate) fn with_clock(config: FileIoConfig, clock: Arc<dyn Clock>) -> Result<Self> {
        let base = config.check()?;
        let who = match &config.api_key {
            Some(key) => Auth::Account(bearer(key.expose_secret())?),
            None => Auth::Anonymous,
        };
        let http = HttpClient::with_clock(&config.http, &base, clock)?;
        Ok(Self::of(http, base, who))
    }

    fn of(http: HttpClient, base: Url, who: Auth) -> Self {
        let capabilities = capabilities(&who);
        Self(Arc::new(Shared { http, base, who, capabilities, largest: AtomicU64::new(0) }))
    }

    pub(crate) fn as_owner(&self, token: &str) -> Result<Self> {
        Ok(Self::of(self.0.http.clone(), self.0.base.clone(), Auth::Owner(bearer(token)?)))
    }

    /// The kind_and_effect of the account. From then on, [`max_upload_bytes`](Account::max_upload_bytes) is the
    /// largest file that this store sends.
    ///
    /// *Unsupported* without an API key, *unauthenticated* with a wrong one.
    pub async fn me(&self) -> Result<Account> {
        self.check_account("the account")?;
        let request = self.request(Method::GET, self.url("me"), Idempotency::Safe).buffered();
        let (_, me) = self.confirmed::<wire::Me>(self.send(request).await?, None).await?;
        let account = Account::from(me);
        self.0.largest.store(account.max_upload_bytes.unwrap_or_default(), Ordering::Relaxed);
        Ok(account)
    }

    /// Some of the account's files, with all that the service says of them.
    ///
    /// *Unsupported* without an API key. While files come and go, an offset may skip or repeat some.
    pub async fn search(&self, search: &Search) -> Result<FileIoPage> {
        self.0.capabilities.check(Feature::List)?;
        let request = self.request(Method::GET, self.0.base.clone(), Idempotency::Safe).buffered();
        let request = search.query().iter().fold(request, |request, (name, value)| request.query(name, value));
        let (answer, body) = self.success(self.send(request).await?, None, JSON_LIMIT).await?;
        FileIoPage::new(answer.parse_json(&body)?, search)
    }

    /// The account's entry of a key, found page by page. Reads nothing but the listing.
    async fn look_up(&self, key: &FileKey) -> Result<Option<FileIoFile>> {
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

    /// A JSON response of success, of at most `limit` bytes, and its body. Everything else is an error.
    async fn success(&self, mut answer: Response, key: Option<&FileKey>, limit: usize) -> Result<(Response, Bytes)> {
        // 1. Is it the service at all that speaks?
        if !answer.status().is_success() {
            return Err(error::rejected(answer, &self.0.base, &self.secrets(key)).await);
        }
        if let Some(elsewhere) = error::not_the_service(&answer, &self.0.base) {
            return Err(elsewhere);
        }
        if !answer.is_json() {
            return Err(error::not_json(&answer, &self.0.base));
        }
        // 2. Does it say success in the body, too?
        let body = answer.bytes(limit).await?;
        let envelope: wire::Envelope = answer.parse_json(&body)?;
        if envelope.success == Some(false) {
            return Err(error::rejected_by(&answer, &envelope, &self.secrets(key)));
        }
        Ok((answer, body))
    }

    /// [`success`](Self::success), where the service has to say that it was done. *Protocol* unless the body says
    /// `"success": true`, and speaks of no other file than `key`.
    pub(crate) async fn confirmed<T: DeserializeOwned>(
        &self,
        answer: Response,
        key: Option<&FileKey>,
    ) -> Result<(Response, T)> {
        let (answer, body) = self.success(answer, key, OBJECT_LIMIT).await?;
        let envelope: wire::Envelope = answer.parse_json(&body)?;
        let is_of_another = key.zip(envelope.key.as_deref()).is_some_and(|(key, said)| said != key.as_str());
        if answer.status().as_u16() != 200 || envelope.success != Some(true) || is_of_another {
            return Err(answer.unexpected("JSON that says \"success\": true"));
        }
        let body = answer.parse_json(&body)?;
        Ok((answer, body))
    }

    pub(crate) async fn send(&self, request: Request) -> Result<Response> {
        self.0.http.send(request).await
    }

    /// A request to the API, with the account's key.
    pub(crate) fn request(&self, method: Method, url: Url, idempotency: Idempotency) -> Request {
        let request = Request::new(method, url, idempotency)
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .default_retry_after(error::PAUSE);
        match &self.0.who {
            Auth::Account(key) => request.credential(AUTHORIZATION, key.clone()),
            Auth::Anonymous | Auth::Owner(_) => request,
        }
    }

    /// A request that changes one file.
    pub(crate) fn management(&self, method: Method, key: &FileKey, idempotency: Idempotency) -> Request {
        let request = self.request(method, key.url(&self.0.base), idempotency).buffered().secret_path();
        match &self.0.who {
            Auth::Owner(token) => request.credential(AUTHORIZATION, token.clone()),
            Auth::Anonymous | Auth::Account(_) => request,
        }
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.0.base.clone();
        url.set_path(path);
        url
    }

    /// What an error must not repeat although the service may: "invalid API key ...".
    fn secrets<'a>(&'a self, key: Option<&'a FileKey>) -> Vec<&'a str> {
        let credential = match &self.0.who {
            Auth::Account(header) | Auth::Owner(header) => header.to_str().ok(),
            Auth::Anonymous => None,
        };
        let credential = credential.map(|bearer| bearer.trim_start_matches("Bearer "));
        credential.into_iter().chain(key.map(FileKey::as_str)).collect()
    }

    pub(crate) fn base(&self) -> &Url {
        &self.0.base
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.0.http.clock().now()
    }

    fn check_account(&self, what: &str) -> Result<()> {
        match self.0.who {
            Auth::Account(_) => Ok(()),
            Auth::Anonymous | Auth::Owner(_) => {
                Err(Error::unsupported(format!("{what} is not to be had: {NEEDS_KEY}")))
            }
        }
    }

    pub(crate) fn check_owner(&self, what: &str) -> Result<()> {
        match self.0.who {
            Auth::Account(_) | Auth::Owner(_) => Ok(()),
            Auth::Anonymous => Err(Error::unsupported(format!(
                "{what} is not to be had: it needs the API key of an account, or the token of the upload"
            ))),
        }
    }

    pub(crate) fn check_plan(&self, asked: &UploadTerms) -> Result<()> {
        match self.0.who {
            Auth::Account(_) => Ok(()),
            Auth::Anonymous | Auth::Owner(_) => asked.check_free_plan(self.now()),
        }
    }

    pub(crate) fn check_size(&self, body: &Body) -> Result<()> {
        let known = Some(self.0.largest.load(Ordering::Relaxed)).filter(|largest| *largest > 0);
        match (body.length(), known.or(self.0.capabilities.max_size)) {
            (Some(length), Some(largest)) if length > largest => Err(Error::new(
                ErrorKind::TooLarge,
                Effect::NotSent,
                format!("{length} bytes exceed the {largest} that the service accepts in one file"),
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
        let mut search = Search::new();
        search.limit = request.limit;
        if let Some(token) = request.page {
            let offset = token.as_str().parse();
            search.offset = offset.map_err(|_| Error::invalid("the page token is not one of this store"))?;
        }
        let page = self.search(&search).await?;
        let next = page.next.map(|offset| PageToken::new(offset.to_string()));
        Ok(Page::new(page.files.into_iter().map(|entry| entry.file).collect(), next))
    }

    async fn stat(&self, request: Stat) -> Result<StoredFile> {
        self.0.capabilities.check(Feature::Stat)?;
        let key = FileKey::of(&request.reference)?;
        let entry = self.look_up(&key).await?.ok_or_else(|| {
            Error::not_found(
                "the account does not list such a file: it expired, was downloaded or deleted, or belongs to another",
            )
        })?;
        Ok(entry.file)
    }

    async fn download(&self, request: Download) -> Result<Downloaded> {
        let key = FileKey::of(&request.reference)?;
        if request.range.is_some() {
            self.0.capabilities.check(Feature::Range)?;
        }
        // 1. The one GET of a key in this crate. It counts, so it is sent once, on a connection of its
        //    own: a kept one that was just closed would look like a lost answer.
        let get = self
            .request(Method::GET, key.url(&self.0.base), Idempotency::Consuming)
            .header(ACCEPT, HeaderValue::from_static("*/*"))
            .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"))
            .secret_path()
            .fresh_connection();
        let answer = self.send(get).await.map_err(possibly_consumed)?;
        // 2. A redirect leads to a web page about the file, or away from the service.
        if answer.status().is_redirection()
            && let Some(page) = answer.location().filter(|page| page.path().starts_with("/download/"))
        {
            return Err(error::landing_page(&answer, page.host_str().unwrap_or_default()));
        }
        // 3. The status decides: below 200 the body is the file, even if it looks like an error.
        let disposition = answer.headers().get(CONTENT_DISPOSITION).cloned();
        if !answer.status().is_success() {
            return Err(possibly_consumed(error::rejected(answer, &self.0.base, &self.secrets(Some(&key))).await));
        }
        // What came may be all that there is of the file: it is handed on, and the error comes at its end.
        let wrong = if answer.status().as_u16() != 200 {
            Some(error::not_the_whole(&answer))
        } else if let Err(encoded) = answer.check_identity() {
            Some(encoded)
        } else if disposition.is_none() {
            error::not_the_service(&answer, &self.0.base)
        } else {
            None
        };
        if disposition.is_none() && wrong.is_none() {
            tracing::warn!("a download came without Content-Disposition; it may be a message instead of the file");
        }
        // 4. Name, type and length from the headers; core makes the name safe for a disk.
        let name = disposition.and_then(|header| filestore_http::file_name(header.as_bytes()));
        let mut file = StoredFile::new(request.reference, name.unwrap_or_else(|| "download".to_owned()));
        file.content_type = answer.content_type();
        file.size = answer.content_length();
        file.stored_size = file.size;
        // 5. The bytes, once.
        let stream = answer.stream();
        // With the error at its end it is no stream of that length.
        let length = stream.length().filter(|_| wrong.is_none());
        let chunks = stream.chain(stream::iter(wrong.map(Err))).map_err(possibly_consumed);
        if length.is_none() {
            (file.size, file.stored_size) = (None, None);
        }
        Ok(Downloaded::new(file, ByteStream::download(chunks, length)))
    }

    async fn delete(&self, request: Delete) -> Result<()> {
        self.0.capabilities.check(Feature::Delete)?;
        let key = FileKey::of(&request.reference)?;
        let mut answer = self.send(self.management(Method::DELETE, &key, Idempotency::Idempotent)).await?;
        if answer.status().as_u16() == 404 {
            // In the service's own words only: a 404 of a proxy or a web site says nothing about the file.
            let envelope: wire::Envelope = serde_json::from_slice(&answer.error_body().await).unwrap_or_default();
            let is_gone =
                envelope.success == Some(false) && envelope.code.as_deref().is_none_or(|code| code == "FILE_NOT_FOUND");
            return if is_gone { Ok(()) } else { Err(answer.unexpected("JSON that says \"success\": false")) };
        }
        // A 403 is no success, also after a lost answer: it may be our own deed, or a file of another account.
        self.confirmed::<IgnoredAny>(answer, Some(&key)).await.map(drop)
    }

    async fn url(&self, request: UrlRequest) -> Result<FileUrl> {
        let key = FileKey::of(&request.reference)?;
        // The account's listing knows how often and how long the link works; without it, once.
        let entry = match self.0.who {
            Auth::Account(_) => self.look_up(&key).await?,
            Auth::Anonymous | Auth::Owner(_) => None,
        };
        let expiry = entry.as_ref().map_or(Expiry::Default, |entry| entry.file.expiry);
        if let Some(wanted) = request.lifetime {
            check_lifetime(expiry, wanted, self.now())?;
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

/// *Unsupported* unless the file stays for `wanted`.
fn check_lifetime(expiry: Expiry, wanted: Duration, now: Timestamp) -> Result<()> {
    match expiry {
        Expiry::Never => Ok(()),
        Expiry::At(end) => {
            let left = Duration::try_from(end.duration_since(now)).unwrap_or_default();
            if wanted <= left {
                return Ok(());
            }
            Err(Error::unsupported(format!(
                "the link works for {} s more, {} s are wanted; update the expiry of the file first",
                left.as_secs(),
                wanted.as_secs()
            )))
        }
        _ => Err(Error::unsupported(format!(
            "how long the link works is known only for files of the account: {NEEDS_KEY}, or ask for no lifetime"
        ))),
    }
}

/// Says what a lost answer means here.
fn possibly_consumed(error: Error) -> Error {
    match error.effect() {
        Effect::Unknown => error.possibly_consumed(),
        _ => error,
    }
}

fn bearer(secret: &str) -> Result<HeaderValue> {
    secret_header(&format!("Bearer {secret}"))
}

fn capabilities(who: &Auth) -> Capabilities {
    let mut capabilities = Capabilities::new(SCHEME)
        .native([Feature::UnknownLength, Feature::EmptyFile, Feature::Expiry, Feature::ContentType])
        .unsupported(Feature::Range, "a read counts whether it is whole or not")
        .unsupported(Feature::Resume, "a read may take the file away; there is no second one")
        .unsupported(Feature::Replace, "every upload makes a new file with a key of its own")
        .unsupported(Feature::IfExistsFail, "every upload makes a new file with a key of its own")
        .unsupported(Feature::Modified, "the service keeps its own times only")
        .unsupported(Feature::Metadata, "the service keeps a title and a description, see FileIoUpdate");
    capabilities.address = Address::ServerKey;
    capabilities.scope = ScopeKind::None;
    // A form that holds a quote in a file name is read differently by different servers.
    capabilities.names = NameRules { max_bytes: Some(255), forbidden: "\"", ..NameRules::default() };
    capabilities.read_effect = ReadEffect::Consumes;
    capabilities.url_kind = Some(UrlKind::SingleUse);
    capabilities.list_order = ListOrder::NewestFirst;
    capabilities.bearer_references = true;
    capabilities.options = vec!["fileio"];
    match who {
        Auth::Account(_) => capabilities
            .native([Feature::List, Feature::RecursiveList, Feature::Delete])
            .emulated(
                Feature::Stat,
                "the account's listing is read until the file is found; other accounts' files are not",
            )
            .emulated(Feature::Url, "the account's listing is read for the end of the link and the downloads left"),
        Auth::Anonymous => {
            capabilities.max_size = Some(FREE_MAX);
            capabilities
                .native([Feature::Url])
                .unsupported(Feature::List, NEEDS_KEY)
                .unsupported(Feature::RecursiveList, NEEDS_KEY)
                .unsupported(
                    Feature::Stat,
                    "only a read would tell, and a read consumes; the listing that knows needs an API key",
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
                    "only a read would tell, and a read consumes; the listing that knows needs an API key",
                )
        }
    }
}

impl fmt::Debug for FileIoStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = match self.0.who {
            Auth::Anonymous => "anonymous",
            Auth::Account(_) => "with an API key",
            Auth::Owner(_) => "with the token of an upload",
        };
        f.debug_tuple("FileIoStore").field(&self.0.base.as_str()).field(&who).finish()
    }
}
