//! [`PubNubStore`]: its construction, listings, stat, delete and URLs.
//!
//! Uploads, downloads and messages are in the modules `upload`, `download` and `message`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use filestore_core::{
    Addressing, Capabilities, CursorLoopGuard, Delete, DigestAlgorithm, DigestSupport, DigestWhen, Download,
    Downloaded, Error, Feature, FileRef, FileStore, FileUrl, List, ListOrder, NameRules, Page, PageBuilder, PageToken,
    Result, ScopeKind, Stat, StoredFile, Upload, UrlKind, UrlRequest,
};
use filestore_http::{Attempts, Clock, HttpClient, Idempotency, JSON_LIMIT, Method, Response, SystemClock};
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::channel::check_channel;
use crate::config::PubNubConfig;
use crate::error::{self, Responder};
use crate::file_key::{FileKey, SCHEME};
use crate::keyset::{Call, Keyset, SignedRequest};
use crate::presigned::PresignedUrlCache;
use crate::source::SizeLimit;
use crate::{Cipher, Crypto, PubNubSend, wire};

/// The maximum number of files in a page of a listing.
const MAX_PAGE_SIZE: u32 = 100;

/// A rejected request is signed again if its signature is older than this. The service accepts signatures for 60 s, and
/// the delays between attempts may be longer.
const MAX_SIGNATURE_AGE: Duration = Duration::from_secs(50);

/// PubNub Files as a store: the files of a keyset, each in a channel.
///
/// A clone is cheap. Clones share connections, rate limiter, retry budget and cached presigned URLs.
#[derive(Clone)]
pub struct PubNubStore(Arc<Shared>);

struct Shared {
    client: Arc<Client>,
    cipher: Option<Cipher>,
    capabilities: Capabilities,
}

/// The part of a store that stores with different ciphers share.
struct Client {
    http: HttpClient,
    keyset: Keyset,
    channel: Option<String>,
    crypto: Crypto,
    /// The maximum stored size of a file in bytes: as configured, or less if the policy of the latest form allows less.
    max_file_size: AtomicU64,
    configured_max_file_size: u64,
    presigned_urls: PresignedUrlCache,
}

impl PubNubStore {
    /// Creates a store over a keyset. Sends no request.
    ///
    /// *Config* if the base URL has more than scheme, host, port and path, the user id does not have 1 to 92 bytes, a secret is
    /// blank, or the channel is invalid.
    pub fn new(config: PubNubConfig) -> Result<Self> {
        Self::with_clock(config, Arc::new(SystemClock::default()))
    }

    pub(crate) fn with_clock(config: PubNubConfig, clock: Arc<dyn Clock>) -> Result<Self> {
        let base = config.check()?;
        let client = Client {
            http: HttpClient::with_clock(&config.http, &base, clock)?,
            keyset: Keyset::new(&config, base),
            channel: config.channel.clone(),
            crypto: config.crypto,
            max_file_size: AtomicU64::new(config.max_file_size),
            configured_max_file_size: config.max_file_size,
            presigned_urls: PresignedUrlCache::default(),
        };
        let cipher = config.cipher_key.map(|key| Cipher::new(config.crypto, key.expose_secret())).transpose()?;
        Ok(Self::with_client(Arc::new(client), cipher))
    }

    fn with_client(client: Arc<Client>, cipher: Option<Cipher>) -> Self {
        let limit = SizeLimit { stored: client.configured_max_file_size, cipher: cipher.clone() };
        let capabilities = capabilities(limit.content(), cipher.is_some());
        Self(Arc::new(Shared { client, cipher, capabilities }))
    }

    /// Returns a store over the same files that encrypts and decrypts with `cipher`, or not at all if it is `None`.
    ///
    /// Use it for files that were written with another key, or without one.
    pub fn with_cipher(&self, cipher: Option<Cipher>) -> Self {
        Self::with_client(Arc::clone(&self.0.client), cipher)
    }

    /// Returns the reference of a file from its parts, such as those of a file event. Sends nothing, so the file may not
    /// exist. *Invalid input* if the service cannot have such a file.
    ///
    /// The reference has no store name, and every store of this backend accepts it.
    ///
    /// ```
    /// # fn example(store: &filestore_pubnub::PubNubStore) -> filestore_core::Result<()> {
    /// let reference = store.reference("room-1", "6b1c6c2e-6f0a-4d0e-9a54-0f2f4a3b7c11", "cat.txt")?;
    /// assert_eq!(reference.expose(), ":pubnub:room-1/6b1c6c2e-6f0a-4d0e-9a54-0f2f4a3b7c11/cat.txt");
    /// # Ok(())
    /// # }
    /// ```
    pub fn reference(&self, channel: &str, id: &str, name: &str) -> Result<FileRef> {
        FileKey::of(&FileRef::new(SCHEME, [channel, id, name])).map(|key| key.reference())
    }

    /// Returns the cipher of files and messages.
    pub fn cipher(&self) -> Option<&Cipher> {
        self.0.cipher.as_ref()
    }

    /// Returns the cipher of one upload: that of its own key if it has one, else the store's.
    pub(crate) fn cipher_for(&self, send: &PubNubSend) -> Result<Option<Cipher>> {
        match &send.cipher_key {
            Some(key) => Cipher::new(self.0.client.crypto, key.expose_secret()).map(Some),
            None => Ok(self.0.cipher.clone()),
        }
    }

    /// Returns the size limit that is known so far.
    pub(crate) fn limit(&self, cipher: Option<Cipher>) -> SizeLimit {
        SizeLimit { stored: self.0.client.max_file_size.load(Ordering::Relaxed), cipher }
    }

    /// Returns the largest stored size of a file, as configured.
    pub(crate) fn max_file_size(&self) -> u64 {
        self.0.client.configured_max_file_size
    }

    /// Records that the policy of a form allows at most `max_size` stored bytes.
    pub(crate) fn set_policy_limit(&self, max_size: u64) {
        let client = &self.0.client;
        client.max_file_size.store(max_size.min(client.configured_max_file_size), Ordering::Relaxed);
    }

    pub(crate) fn http(&self) -> &HttpClient {
        &self.0.client.http
    }

    pub(crate) fn keyset(&self) -> &Keyset {
        &self.0.client.keyset
    }

    pub(crate) fn presigned_urls(&self) -> &PresignedUrlCache {
        &self.0.client.presigned_urls
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.http().clock().now()
    }

    /// Returns the channel of a request. *Invalid input* if there is none, or it is invalid.
    pub(crate) fn channel(&self, scope: Option<String>) -> Result<String> {
        let channel = scope.or_else(|| self.0.client.channel.clone()).ok_or_else(|| {
            Error::invalid("the request has no channel; give one as the scope, or set channel in the configuration")
        })?;
        check_channel(&channel)?;
        Ok(channel)
    }

    /// Sends `call`, and returns the response and the request id. If the service rejects a signature that has
    /// become too old between attempts, the request is signed again.
    pub(crate) async fn send(&self, call: &Call) -> Result<(Response, String)> {
        let (http, keyset) = (self.http(), self.keyset());
        let mut attempts = Attempts::new();
        loop {
            let begin = http.clock().elapsed();
            let SignedRequest { request, request_id } = keyset.request(call, self.now())?;
            let response = http.send_within(request, &mut attempts).await?;
            let is_old = keyset.is_signed() && http.clock().elapsed() - begin > MAX_SIGNATURE_AGE;
            if matches!(response.status().as_u16(), 400 | 403) && is_old && http.retry_step(&mut attempts).await {
                continue;
            }
            return Ok((response, request_id));
        }
    }

    /// Sends `call`, and returns the JSON body, of at most `limit` bytes, and the response. A status other than 200 is
    /// an error.
    pub(crate) async fn json<T: DeserializeOwned>(&self, call: &Call, limit: usize) -> Result<(T, Response)> {
        let (mut response, request_id) = self.send(call).await?;
        if response.status().as_u16() != 200 {
            return Err(self.rejected(response, request_id).await);
        }
        let body = response.json(limit).await.map_err(|error| error.with_request_id(request_id))?;
        Ok((body, response))
    }

    pub(crate) async fn rejected(&self, response: Response, request_id: String) -> Error {
        let (error, _) = error::rejected(response, Responder::Service).await;
        error.with_request_id(request_id)
    }

    /// Requests a page of the files of `channel`.
    async fn page(&self, channel: &str, limit: u32, page: Option<&PageToken>) -> Result<Page> {
        let call = self.keyset().files(Method::GET, Idempotency::Safe, channel, &["files"]);
        let call = call.query("limit", limit.min(MAX_PAGE_SIZE).to_string());
        let call = match page {
            Some(token) => call.query("next", token.as_str()),
            None => call,
        };
        let (listing, response): (wire::Listing, _) = self.json(&call, JSON_LIMIT).await?;
        if listing.status != Some(200) {
            return Err(response.unexpected("JSON with \"status\": 200"));
        }
        let count = listing.data.len();
        let files = listing.data.into_iter().filter_map(|entry| self.stored_file(channel, entry.0?)).collect();
        let mut page = Page::new(files, listing.next.map(PageToken::new));
        page.left_out = (count - page.files.len()) as u64;
        page.date = response.date();
        Ok(page)
    }

    /// Returns the file of a listing; `None` if no reference can address it.
    fn stored_file(&self, channel: &str, listed: wire::ListedFile) -> Option<StoredFile> {
        let key = FileKey::new(channel, listed.id, listed.name)?;
        let mut file = key.stored_file();
        file.stored_size = listed.size;
        // Of an encrypted file, the size of the padding is unknown until its last block is decrypted.
        file.size = listed.size.filter(|_| self.0.cipher.is_none());
        file.created = listed.created;
        Some(file)
    }
}

#[async_trait]
impl FileStore for PubNubStore {
    fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    async fn upload(&self, request: Upload) -> Result<StoredFile> {
        Ok(self.send_file(request).await?.file)
    }

    async fn list(&self, request: List) -> Result<Page> {
        let channel = self.channel(request.scope)?;
        let limit =
            request.limit.map_or(MAX_PAGE_SIZE as usize, |limit| limit as usize).min(PageBuilder::<()>::LARGEST);
        let mut guard = request.page.as_ref().map_or_else(CursorLoopGuard::new, CursorLoopGuard::starting_at);
        let mut page = Page::new(Vec::new(), request.page);
        loop {
            let missing = u32::try_from(limit - page.files.len()).unwrap_or(MAX_PAGE_SIZE);
            let more = self.page(&channel, missing, page.next.as_ref()).await?;
            more.files.iter().for_each(|file| guard.entry(&file.reference));
            page.files.extend(more.files);
            page.left_out += more.left_out;
            page.next = more.next;
            page.date = more.date;
            // Without a limit, the service decides.
            match &page.next {
                Some(next) if request.limit.is_some() && page.files.len() < limit => guard.next_page(next)?,
                _ => return Ok(page),
            }
        }
    }

    async fn stat(&self, request: Stat) -> Result<StoredFile> {
        let key = FileKey::of(&request.reference)?;
        let reference = key.reference();
        let mut token: Option<PageToken> = None;
        let mut guard = CursorLoopGuard::new();
        loop {
            let page = self.page(&key.channel, MAX_PAGE_SIZE, token.as_ref()).await?;
            page.files.iter().for_each(|file| guard.entry(&file.reference));
            // Files are listed in the order of their ids: after a greater id, the file cannot follow.
            let is_beyond = page.files.last().is_some_and(|last| last.reference.components().get(1) > Some(&key.id));
            if let Some(found) = page.files.into_iter().find(|file| file.reference == reference) {
                return Ok(found);
            }
            let Some(next) = page.next.filter(|_| !is_beyond) else {
                return Err(Error::not_found(
                    "the channel has no such file: it was deleted, its retention period ended, or it never existed",
                ));
            };
            guard.next_page(&next)?;
            token = Some(next);
        }
    }

    async fn download(&self, request: Download) -> Result<Downloaded> {
        self.read(request).await
    }

    async fn delete(&self, request: Delete) -> Result<()> {
        let key = FileKey::of(&request.reference)?;
        self.presigned_urls().remove(&key);
        let segments = ["files", &key.id, &key.name];
        let call = self.keyset().files(Method::DELETE, Idempotency::Idempotent, &key.channel, &segments);
        let (mut response, request_id) = self.send(&call).await?;
        let status = response.status().as_u16();
        if !matches!(status, 200 | 404) {
            return Err(self.rejected(response, request_id).await);
        }
        // For a file that does not exist, the service returns the same 200 response or a 404, both with its own JSON.
        // Any other 200 or 404 response comes from a proxy or another server.
        let body: Value = serde_json::from_slice(&response.error_body().await).unwrap_or_default();
        let is_confirmed = match status {
            200 => matches!(body["error"], Value::Null | Value::Bool(false)),
            // The Files service sends an object. Other services send `"error": true`, which is not about the file.
            _ => body["error"].is_object(),
        };
        if body["status"] == status && is_confirmed {
            return Ok(());
        }
        let expected = format!("JSON with \"status\": {status}");
        Err(response.unexpected(&expected).with_request_id(request_id))
    }

    async fn url(&self, request: UrlRequest) -> Result<FileUrl> {
        self.0.capabilities.check(Feature::Url)?;
        self.file_url(&request.reference, request.lifetime).await
    }
}

impl PubNubStore {
    /// Returns the presigned URL of the stored bytes of `reference`, which are ciphertext if the file is encrypted.
    ///
    /// The URL expires 5 to 65 minutes from now. It needs no credentials, and contains none of the keyset. The
    /// service does not check that the file exists.
    ///
    /// *Unsupported*, with the remaining time, if the URL is valid for less than `lifetime`.
    pub async fn file_url(&self, reference: &FileRef, lifetime: Option<Duration>) -> Result<FileUrl> {
        let key = FileKey::of(reference)?;
        let min_lifetime = lifetime.unwrap_or_default();
        let is_enough =
            |remaining: jiff::SignedDuration| remaining.unsigned_abs() >= min_lifetime && !remaining.is_negative();
        let cached = self.presigned_urls().get(&key, self.now());
        let presigned = match cached.filter(|presigned| is_enough(presigned.remaining(self.now()))) {
            Some(presigned) => presigned,
            None => self.fetch_presigned_url(&key).await?,
        };
        let remaining = presigned.remaining(self.now());
        if lifetime.is_some() && !is_enough(remaining) {
            return Err(Error::unsupported(format!(
                "cannot create a URL that is valid for {} s: URLs that are created now expire in {} s; request a \
                 shorter lifetime",
                min_lifetime.as_secs(),
                remaining.as_secs()
            )));
        }
        Ok(FileUrl::new(presigned.url, UrlKind::Signed, presigned.expires))
    }
}

fn capabilities(max_size: u64, encrypted: bool) -> Capabilities {
    let new_file_each_time = "every upload creates a new file with its own id";
    let mut capabilities = Capabilities::new(SCHEME)
        .native([Feature::List, Feature::Delete, Feature::EmptyFile])
        .emulated(Feature::RecursiveList, "a channel has no folders, so this is the plain listing")
        .emulated(
            Feature::Stat,
            "reads the listing of the channel, 100 files a request, up to the file: half of it on average",
        )
        .emulated(Feature::UnknownLength, "the stream is first read into memory, at most 5,242,880 bytes")
        .unsupported(Feature::Replace, new_file_each_time)
        .unsupported(Feature::IfExistsFail, new_file_each_time)
        .unsupported(Feature::Expiry, "the keyset sets the retention of files; the option ttl applies to the message")
        .native([Feature::Verify])
        .unsupported(Feature::Modified, "the service keeps its own times only")
        .unsupported(Feature::Metadata, "the service stores no metadata with a file; put it into the message");
    capabilities.addressing = Addressing::CallerNameServerId;
    capabilities.scope = ScopeKind::Channel;
    capabilities.names = NameRules { max_chars: Some(255), ..NameRules::default() };
    capabilities.list_order = ListOrder::Id;
    capabilities.max_size = Some(max_size);
    capabilities.options = vec!["pubnub"];
    if encrypted {
        return capabilities
            .unsupported(Feature::Url, "the URL would return ciphertext; PubNubStore::file_url creates it nevertheless")
            .emulated(
                Feature::Range,
                "needs two small requests first: the first bytes give the scheme, the last block gives the size",
            )
            .native([Feature::Resume])
            .unsupported(Feature::ContentType, "the stored bytes are ciphertext");
    }
    capabilities.url_kind = Some(UrlKind::Signed);
    capabilities.digests = vec![DigestSupport { algorithm: DigestAlgorithm::Md5, when: DigestWhen::Upload }];
    capabilities.native([Feature::Url, Feature::Range, Feature::Resume, Feature::ContentType])
}

impl fmt::Debug for PubNubStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let client = &self.0.client;
        f.debug_struct("PubNubStore")
            .field("base", &client.keyset.base().as_str())
            .field("channel", &client.channel)
            .field("cipher", &self.0.cipher)
            .finish_non_exhaustive()
    }
}
