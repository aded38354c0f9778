//! The content of one file on the storage. Presigned URLs are refreshed, and each response is proven to be of that
//! file.

use std::ops::Range;
use std::sync::OnceLock;
use std::time::Duration;

use filestore_core::{Effect, Error, ErrorKind, Result};
use filestore_http::header::{ACCEPT_ENCODING, HeaderValue, RANGE};
use filestore_http::{
    Attempts, Idempotency, Method, RangeReader, RangeSource, Request, Response, Url, is_fresh, presigned_url,
};
use futures::lock::Mutex;
use jiff::Timestamp;

use crate::api;
use crate::path::SitePath;
use crate::storage::{self, Recovery};
use crate::store::FilesComStore;
use crate::wire::Entry;

/// A presigned URL that expires within this time is not used any more.
const MARGIN: Duration = Duration::from_secs(2);

/// The content of a file, read with one or more requests.
pub(crate) struct RemoteContent {
    store: FilesComStore,
    path: SitePath,
    /// The file as it was when the download began.
    entry: Box<Entry>,
    /// The latest presigned URL, which is a secret, and the time on the clock of the request for it.
    url: Mutex<(Url, Duration)>,
    /// The strong ETag of the storage's first response; `None` if it had none.
    etag: OnceLock<Option<HeaderValue>>,
}

impl FilesComStore {
    /// Returns the content of a file, with its metadata. *Not found*, or *invalid input* for a folder.
    pub(crate) async fn content(&self, path: SitePath) -> Result<RemoteContent> {
        let since = self.api().clock().elapsed();
        let (entry, uri, _) = self.download_uri(&path).await?;
        let url = Mutex::new((presigned_url(&uri, self.api().base())?, since));
        Ok(RemoteContent { store: self.clone(), path, entry, url, etag: OnceLock::new() })
    }

    /// Returns the metadata of a file, a presigned URL of its content that is valid for one minute, and the service's
    /// time.
    pub(crate) async fn download_uri(&self, path: &SitePath) -> Result<(Box<Entry>, String, Timestamp)> {
        let request = self.api().request(Method::GET, "files", path, Idempotency::Safe)?;
        let mut response = self.api().send(request).await?;
        let mut entry: Box<Entry> = api::read(&mut response).await?;
        if !entry.may_be_at(path) {
            let message = format!("the service responded with another file than {path}");
            return Err(Error::new(ErrorKind::Protocol, Effect::Rejected, message));
        }
        if entry.is_folder() {
            let message = format!("{path} is a folder; download the files in it one by one");
            return Err(Error::new(ErrorKind::InvalidInput, Effect::Rejected, message));
        }
        let uri = entry.download_uri.take().filter(|uri| !uri.is_empty());
        let uri = uri.ok_or_else(|| {
            Error::new(ErrorKind::Protocol, Effect::Rejected, "the response has no presigned URL of the content")
        })?;
        Ok((entry, uri, response.date().unwrap_or_else(|| self.api().clock().now())))
    }
}

impl RemoteContent {
    pub(crate) fn path(&self) -> &SitePath {
        &self.path
    }

    pub(crate) fn entry(&self) -> &Entry {
        &self.entry
    }

    pub(crate) fn store(&self) -> &FilesComStore {
        &self.store
    }

    /// Returns a response with the bytes of `range` or of the whole file, never with other bytes.
    pub(crate) async fn get(&self, range: Option<Range<u64>>, attempts: &mut Attempts) -> Result<Response> {
        loop {
            let url = self.fresh_url().await?;
            // The presigned URL is the credential; no other one is sent.
            let mut request =
                Request::get(url.clone()).header(ACCEPT_ENCODING, HeaderValue::from_static("identity")).secret_path();
            if let Some(range) = &range {
                let value = HeaderValue::try_from(format!("bytes={}-{}", range.start, range.end - 1));
                request = request.header(RANGE, value.map_err(|_| Error::invalid("the range cannot be a header"))?);
            }
            let http = self.store.api().http();
            let response = http.send_within(request, attempts).await?;
            if response.status().is_success() {
                self.check(&response, range.as_ref())?;
                return Ok(response);
            }
            let (recovery, error) = storage::rejected(response, &url, http.clock().now()).await;
            if recovery == Recovery::None || !http.retry_step(attempts).await {
                return Err(error.with_attempts(attempts.made()));
            }
            if recovery == Recovery::RefreshUrl {
                self.refresh_url(&url).await?;
            }
        }
    }

    /// Returns the reader of `range` from the response to the request for it.
    pub(crate) fn reader(&self, response: Response, range: Range<u64>, attempts: Attempts) -> RangeReader {
        RangeReader::new(self.store.api().http(), response, range, attempts)
    }

    /// Returns the presigned URL, refreshed if it is about to expire.
    async fn fresh_url(&self) -> Result<Url> {
        let (url, since) = self.url.lock().await.clone();
        let age = self.store.api().clock().elapsed().saturating_sub(since);
        if is_fresh(&url, age, MARGIN) { Ok(url) } else { self.refresh_url(&url).await }
    }

    /// Returns a fresh presigned URL in place of `old`. *Integrity* if the path now holds another file.
    async fn refresh_url(&self, old: &Url) -> Result<Url> {
        let mut current = self.url.lock().await;
        // Another range has refreshed it.
        if current.0 != *old {
            return Ok(current.0.clone());
        }
        let since = self.store.api().clock().elapsed();
        let (entry, fresh, _) = self.store.download_uri(&self.path).await?;
        if !is_same(&self.entry, &entry) {
            return Err(changed());
        }
        let fresh = presigned_url(&fresh, self.store.api().base())?;
        *current = (fresh.clone(), since);
        Ok(fresh)
    }

    /// Returns the strong ETag of the responses so far.
    pub(crate) fn validator(&self) -> Option<String> {
        self.etag.get()?.as_ref()?.to_str().ok().map(str::to_owned)
    }

    /// Returns `true` if the responses have a strong ETag, which proves that they are of one file.
    pub(crate) fn has_etag(&self) -> bool {
        self.etag.get().is_some_and(Option::is_some)
    }

    /// Checks a response of the storage. *Integrity* if it is of another file than the responses before, *protocol* if
    /// it is not the requested range or file.
    fn check(&self, response: &Response, range: Option<&Range<u64>>) -> Result<()> {
        let protocol = |message: &str| response.error(ErrorKind::Protocol, message).with_effect(Effect::Rejected);
        // 1. It is not a web page about the file.
        let is_expected = match &self.entry.mime_type {
            Some(essence) => essence.contains("html"),
            // Without a media type, size or ETag show that it is the file.
            None => self.entry.size.is_some() || response.strong_etag().is_some() || self.path.name().contains(".htm"),
        };
        let page = response.content_type().is_some_and(|essence| essence == "text/html") && !is_expected;
        if page || response.headers().contains_key("x-files-frontend-app") {
            return Err(protocol("the storage responded with a web page instead of the file"));
        }
        response.check_identity().map_err(|error| error.with_effect(Effect::Rejected))?;
        // 2. It has the requested bytes, and no others.
        let size = match (response.status().as_u16(), range, response.content_range()) {
            (200, _, _) => response.content_length(),
            (206, Some(range), Some(found)) if found.range == *range => found.size,
            (status, ..) => {
                return Err(protocol(&format!(
                    "the storage responded with status {status} and not with the requested range of the file"
                )));
            }
        };
        if let (Some(size), Some(expected)) = (size, self.entry.size)
            && size != expected
        {
            return Err(changed());
        }
        // 3. It is of the same file.
        let etag = response.strong_etag().cloned();
        if *self.etag.get_or_init(|| etag.clone()) != etag {
            return Err(changed());
        }
        Ok(())
    }
}

impl RangeSource for RemoteContent {
    /// Returns `true` if the rest of the file can be requested after a break: only bytes that are proven to be of one
    /// file are joined. Without a strong ETag, a request to the service shows whether it is the same file.
    async fn can_resume(&self) -> Result<bool> {
        if self.has_etag() || digest(&self.entry).is_none() {
            return Ok(self.has_etag());
        }
        let (url, _) = self.url.lock().await.clone();
        self.refresh_url(&url).await.map(|_| true)
    }

    /// Returns a response with exactly the bytes of `range`, for bytes that are joined with others.
    async fn get_range(&self, range: Range<u64>, attempts: &mut Attempts) -> Result<Response> {
        let response = self.get(Some(range), attempts).await?;
        if response.status().as_u16() == 206 {
            return Ok(response);
        }
        let message = "the storage responded with the whole file to the request for a range";
        Err(response.error(ErrorKind::Protocol, message).with_effect(Effect::Rejected))
    }
}

/// Returns the digest that a download is compared with.
pub(crate) fn digest(entry: &Entry) -> Option<&str> {
    entry.crc32.as_deref().or(entry.md5.as_deref())
}

/// Returns `true` if two entries of a path may be of one file. Digests may come later, but those of a file do not go
/// away: another file of the same size and second has none yet.
fn is_same(before: &Entry, now: &Entry) -> bool {
    let same = |before: &Option<String>, now: &Option<String>| before.is_none() || before == now;
    (before.size, before.mtime, before.created_at) == (now.size, now.mtime, now.created_at)
        && same(&before.crc32, &now.crc32)
        && same(&before.md5, &now.md5)
}

fn changed() -> Error {
    let message = "the file changed while it was read, so its ranges are of different files; read it again";
    Error::new(ErrorKind::Integrity, Effect::Rejected, message)
}
