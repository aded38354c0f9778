//! [`PubNubStore`]: listing, stat, delete and URL; uploads, downloads and messages are beside it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use filestore_core::{
    Address as AddressKind, Capabilities, CursorLoopGuard, Delete, DigestAlgorithm, DigestFact, DigestWhen, Download,
    Downloaded, Error, Feature, FileRef, FileStore, FileUrl, List, ListOrder, NameRules, Page, PageToken, Result,
    ScopeKind, Stat, StoredFile, Upload, UrlKind, UrlRequest,
};
use filestore_http::{Attempts, Clock, HttpClient, Idempotency, JSON_LIMIT, Method, Response, SystemClock};
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::address::Addresses;
use crate::channel::check_channel;
use crate::config::PubNubConfig;
use crate::error::{self, Responder};
use crate::file_key::{FileKey, SCHEME};
use crate::keyset::{Call, Keyset, Signed};
use crate::source::Limit;
use crate::{Cipher, Crypto, PubNubSend, wire};

/// The longest page of a listing.
const LONGEST_PAGE: u32 = 100;

/// The service accepts signatures that are up to 60 s old. Waits between attempts may outlive one.
const SIGNATURE_LIVES: Duration = Duration::from_secs(50);

/// PubNub Files as a store: the files of a keyset, each in a channel. Cheap to clone; clones share
/// connections, pace, retry budget and signed addresses.
#[derive(Clone)]
pub struct PubNubStore(Arc<Shared>);

struct Shared {
    link: Arc<Client>,
    cipher: Option<Cipher>,
    capabilities: Capabilities,
}

/// What stores with different ciphers share.
struct Client {
    http: HttpClient,
    keyset: Keyset,
    channel: Option<String>,
    crypto: Crypto,
    /// The largest stored file: as configured, or less where a policy said so.
    largest: AtomicU64,
    configured_largest: u64,
    addresses: Addresses,
}

impl PubNubStore {
    /// A store over a keyset. Sends nothing.
    ///
    /// *Config* if the base URL is not scheme, host and port, the user id has not from 1 to 92 bytes, or
    /// the channel cannot be one.
    pub fn new(config: PubNubConfig) -> Result<Self> {
        Self::with_clock(config, Arc::new(SystemClock::default()))
    }

    pub(crate) fn with_clock(config: PubNubConfig, clock: Arc<dyn Clock>) -> Result<Self> {
        let base = config.check()?;
        let link = Client {
            http: HttpClient::with_clock(&config.http, &base, clock)?,
            keyset: Keyset::new(&config, base),
            channel: config.channel.clone(),
            crypto: config.crypto,
            largest: AtomicU64::new(config.max_file_size),
            configured_largest: config.max_file_size,
            addresses: Addresses::default(),
        };
        let cipher = config.cipher_key.map(|key| Cipher::new(config.crypto, key.expose_secret())).transpose()?;
        Ok(Self::of(Arc::new(link), cipher))
    }

    fn of(link: Arc<Client>, cipher: Option<Cipher>) -> Self {
        let limit = Limit { stored: link.configured_largest, cipher: cipher.clone() };
        let capabilities = capabilities(limit.content(), cipher.is_some());
        Self(Arc::new(Shared { link, cipher, capabilities }))
    }

    /// The same files, encrypted and decrypted with `cipher` instead; `None`: taken as they are stored.
    ///
    /// For files that were written with another key, or with none.
    pub fn with_cipher(&self, cipher: Option<Cipher>) -> Self {
        Self::of(Arc::clone(&self.0.link), cipher)
    }

    /// The cipher of files and messages.
    pub fn cipher(&self) -> Option<&Cipher> {
        self.0.cipher.as_ref()
    }

    /// The cipher of one upload.
    pub(crate) fn cipher_of(&self, send: &PubNubSend) -> Result<Option<Cipher>> {
        match &send.cipher_key {
            Some(key) => Cipher::new(self.0.link.crypto, key.expose_secret()).map(Some),
            None => Ok(self.0.cipher.clone()),
        }
    }

    /// The largest stored file, as far as it is known.
    pub(crate) fn limit(&self, cipher: Option<Cipher>) -> Limit {
        Limit { stored: self.0.link.largest.load(Ordering::Relaxed), cipher }
    }

    /// Remembers that the policy allows no more than `largest` stored bytes.
    pub(crate) fn learn_limit(&self, largest: u64) {
        let link = &self.0.link;
        link.largest.store(largest.min(link.configured_largest), Ordering::Relaxed);
    }

    pub(crate) fn http(&self) -> &HttpClient {
        &self.0.link.http
    }

    pub(crate) fn keyset(&self) -> &Keyset {
        &self.0.link.keyset
    }

    pub(crate) fn addresses(&self) -> &Addresses {
        &self.0.link.addresses
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.http().clock().now()
    }

    /// The channel of a request. *Invalid input* if there is none, or it cannot be one.
    pub(crate) fn channel(&self, scope: Option<String>) -> Result<String> {
        let channel = scope.or_else(|| self.0.link.channel.clone()).ok_or_else(|| {
            Error::invalid("no channel is given; name one as the scope, or set channel in the configuration")
        })?;
        check_channel(&channel)?;
        Ok(channel)
    }

    /// Sends `call`, signed anew where its signature grew old between two attempts.
    pub(crate) async fn send(&self, call: &Call) -> Result<(Response, String)> {
        let (http, keyset) = (self.http(), self.keyset());
        let mut attempts = Attempts::new();
        loop {
            let begin = http.clock().elapsed();
            let Signed { request, request_id } = keyset.request(call, self.now())?;
            let answer = http.send_within(request, &mut attempts).await?;
            let is_old = keyset.is_signed() && http.clock().elapsed() - begin > SIGNATURE_LIVES;
            if matches!(answer.status().as_u16(), 400 | 403) && is_old && http.retry_step(&mut attempts).await {
                continue;
            }
            return Ok((answer, request_id));
        }
    }

    /// The JSON response to `call`, of at most `limit` bytes, and the response. Every other status than 200 is an error.
    pub(crate) async fn json<T: DeserializeOwned>(&self, call: &Call, limit: usize) -> Result<(T, Response)> {
        let (mut answer, request_id) = self.send(call).await?;
        if answer.status().as_u16() != 200 {
            return Err(self.rejected(answer, request_id).await);
        }
        let body = answer.json(limit).await.map_err(|error| error.with_request_id(request_id))?;
        Ok((body, answer))
    }

    pub(crate) async fn rejected(&self, answer: Response, request_id: String) -> Error {
        let (error, _) = error::rejected(answer, Responder::Service, &self.secrets()).await;
        error.with_request_id(request_id)
    }

    /// What an error must not repeat although the service may.
    pub(crate) fn secrets(&self) -> Vec<&str> {
        self.keyset().secrets()
    }

    /// The readable files of a page, and where the next one begins.
    async fn page(
        &self,
        channel: &str,
        limit: u32,
        page: Option<&PageToken>,
    ) -> Result<(Vec<wire::Listed>, Option<PageToken>)> {
        let call = self.keyset().files(Method::GET, Idempotency::Safe, channel, &["files"]);
        let call = call.query("limit", limit.min(LONGEST_PAGE).to_string());
        let call = match page {
            Some(token) => call.query("next", token.as_str()),
            None => call,
        };
        let (listing, answer): (wire::Listing, _) = self.json(&call, JSON_LIMIT).await?;
        if listing.status != Some(200) {
            return Err(answer.unexpected("JSON that says \"status\": 200"));
        }
        let count = listing.data.len();
        let files: Vec<_> = listing.data.into_iter().filter_map(|entry| entry.0).collect();
        if files.len() < count {
            tracing::warn!(
                left_out = count - files.len(),
                channel,
                "files without id or name are left out of the listing"
            );
        }
        Ok((files, listing.next.map(PageToken::new)))
    }

    fn listed(&self, channel: &str, listed: wire::Listed) -> StoredFile {
        let place = FileKey { channel: channel.to_owned(), id: listed.id, name: listed.name };
        let mut file = StoredFile::new(place.reference(), place.name);
        file.stored_size = listed.size;
        // How much of it is padding is known to whoever decrypts its end.
        file.size = listed.size.filter(|_| self.0.cipher.is_none());
        file.created = listed.created;
        file
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
        let (files, next) = self.page(&channel, request.limit.unwrap_or(LONGEST_PAGE), request.page.as_ref()).await?;
        Ok(Page::new(files.into_iter().map(|listed| self.listed(&channel, listed)).collect(), next))
    }

    async fn stat(&self, request: Stat) -> Result<StoredFile> {
        let place = FileKey::of(&request.reference)?;
        let mut token: Option<PageToken> = None;
        let mut guard = CursorLoopGuard::new();
        loop {
            let (files, next) = self.page(&place.channel, LONGEST_PAGE, token.as_ref()).await?;
            // Ids come in order: beyond the wanted one, it cannot come any more.
            files.iter().for_each(|listed| guard.entry(&(&listed.id, &listed.name)));
            let is_beyond = files.last().is_some_and(|last| last.id > place.id);
            let found = files.into_iter().find(|listed| listed.id == place.id && listed.name == place.name);
            if let Some(found) = found {
                return Ok(self.listed(&place.channel, found));
            }
            let Some(next) = next.filter(|_| !is_beyond) else {
                return Err(Error::not_found("the channel has no such file: it was deleted, or its retention ended"));
            };
            guard.next_page(&next)?;
            token = Some(next);
        }
    }

    async fn download(&self, request: Download) -> Result<Downloaded> {
        self.read(request).await
    }

    async fn delete(&self, request: Delete) -> Result<()> {
        let place = FileKey::of(&request.reference)?;
        self.addresses().forget(&place);
        let segments = ["files", &place.id, &place.name];
        let call = self.keyset().files(Method::DELETE, Idempotency::Idempotent, &place.channel, &segments);
        let (mut answer, request_id) = self.send(&call).await?;
        let status = answer.status().as_u16();
        if !matches!(status, 200 | 404) {
            return Err(self.rejected(answer, request_id).await);
        }
        // Of a file that is not there, which is deleted already, the service says the same or 404. Both in its own
        // words: any other 200 or 404 is of something between us and the service.
        let body: Value = serde_json::from_slice(&answer.error_body().await).unwrap_or_default();
        let is_confirmed = match status {
            200 => matches!(body["error"], Value::Null | Value::Bool(false)),
            // Of the Files service. Others say `"error": true`, about the request and not about the file.
            _ => body["error"].is_object(),
        };
        if body["status"] == status && is_confirmed {
            return Ok(());
        }
        let expected = format!("JSON that says \"status\": {status}");
        Err(answer.unexpected(&expected).with_request_id(request_id))
    }

    async fn url(&self, request: UrlRequest) -> Result<FileUrl> {
        self.0.capabilities.check(Feature::Url)?;
        self.file_url(&request.reference, request.lifetime).await
    }
}

impl PubNubStore {
    /// The signed address of what is stored under `reference`: ciphertext if it is encrypted. It ends from
    /// 5 to 65 minutes from now, needs no credential, and carries none. Nobody checks that the file exists.
    ///
    /// *Unsupported*, naming how long there is, if `lifetime` is longer.
    pub async fn file_url(&self, reference: &FileRef, lifetime: Option<Duration>) -> Result<FileUrl> {
        let place = FileKey::of(reference)?;
        let wanted = lifetime.unwrap_or_default();
        let is_enough = |left: jiff::SignedDuration| left.unsigned_abs() >= wanted && !left.is_negative();
        let remembered = self.addresses().get(&place, self.now());
        let address = match remembered.filter(|address| is_enough(address.left(self.now()))) {
            Some(address) => address,
            None => self.address(&place).await?,
        };
        let left = address.left(self.now());
        if lifetime.is_some() && !is_enough(left) {
            return Err(Error::unsupported(format!(
                "a URL for {} s is not to be had now: those of this hour end in {} s",
                wanted.as_secs(),
                left.as_secs()
            )));
        }
        Ok(FileUrl::new(address.url, UrlKind::Signed, address.end))
    }
}

fn capabilities(max_size: u64, encrypted: bool) -> Capabilities {
    let new_each_time = "every upload makes a new file with an id of its own";
    let mut capabilities = Capabilities::new(SCHEME)
        .native([Feature::List, Feature::Delete, Feature::EmptyFile])
        .emulated(Feature::RecursiveList, "channels have nothing below them: it is the plain listing")
        .emulated(
            Feature::Stat,
            "the listing of the channel is read, 100 files a request, up to the file; half of it on average",
        )
        .emulated(Feature::UnknownLength, "the stream is read into memory first, at most 5,242,880 bytes of it")
        .unsupported(Feature::Replace, new_each_time)
        .unsupported(Feature::IfExistsFail, new_each_time)
        .unsupported(
            Feature::Expiry,
            "the keyset decides how long files stay; ttl of PubNubSend is that of the message",
        )
        .unsupported(Feature::Modified, "the service keeps its own times only")
        .unsupported(Feature::Metadata, "the service keeps none with the file; put it into the message");
    capabilities.address = AddressKind::CallerNameServerId;
    capabilities.scope = ScopeKind::Channel;
    capabilities.names = NameRules { max_bytes: Some(255), ..NameRules::default() };
    capabilities.list_order = ListOrder::Id;
    capabilities.max_size = Some(max_size);
    capabilities.options = vec!["pubnub"];
    if encrypted {
        return capabilities
            .unsupported(Feature::Url, "it would give ciphertext; PubNubStore::file_url gives it all the same")
            .emulated(Feature::Range, "two small reads before: the beginning tells the scheme, the end the size")
            .native([Feature::Resume])
            .unsupported(Feature::ContentType, "what is stored is ciphertext");
    }
    capabilities.url_kind = Some(UrlKind::Signed);
    capabilities.digests = vec![DigestFact { algorithm: DigestAlgorithm::Md5, when: DigestWhen::Upload }];
    capabilities.native([Feature::Url, Feature::Range, Feature::Resume, Feature::ContentType])
}

impl fmt::Debug for PubNubStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let link = &self.0.link;
        f.debug_struct("PubNubStore")
            .field("base", &link.keyset.base().as_str())
            .field("channel", &link.channel)
            .field("cipher", &self.0.cipher)
            .finish_non_exhaustive()
    }
}
