//! The content of one file at the storage: addresses that are renewed, and answers that are provably of
//! that file.

use std::ops::Range;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use filestore_core::{ByteStream, Effect, Error, ErrorKind, Result};
use filestore_http::header::{ACCEPT_ENCODING, HeaderValue, RANGE};
use filestore_http::{Attempts, Idempotency, Method, Request, Response, Url, is_fresh, presigned_url};
use futures::StreamExt;
use futures::lock::Mutex;

use crate::path::SitePath;
use crate::storage::{self, Recovery};
use crate::store::FilesComStore;
use crate::wire::Entry;

/// An address that ends within this time is not used any more.
const MARGIN: Duration = Duration::from_secs(2);

/// A file's content, for as many requests as it takes.
pub(crate) struct RemoteContent {
    store: FilesComStore,
    path: SitePath,
    /// The file as it was when the download began.
    entry: Box<Entry>,
    /// The address as the service gave it last, and when: a secret.
    url: Mutex<(Url, Duration)>,
    /// The storage's strong validator, of the first answer.
    etag: OnceLock<Option<HeaderValue>>,
}

impl FilesComStore {
    /// The facts of a file, and its content. *Not found*, or *invalid input* for a folder.
    pub(crate) async fn content(&self, path: SitePath) -> Result<RemoteContent> {
        let since = self.api().clock().elapsed();
        let (entry, uri) = self.download_uri(&path).await?;
        let url = Mutex::new((presigned_url(&uri, self.api().base())?, since));
        Ok(RemoteContent { store: self.clone(), path, entry, url, etag: OnceLock::new() })
    }

    /// The facts of a file, and an address of its content that works for a minute.
    pub(crate) async fn download_uri(&self, path: &SitePath) -> Result<(Box<Entry>, String)> {
        let request = self.api().request(Method::GET, "files", path, Idempotency::Safe)?;
        let mut entry: Box<Entry> = self.api().ask(request).await?;
        if !entry.may_be_at(path) {
            let message = format!("asked for {path}, the service gives another file");
            return Err(Error::new(ErrorKind::Protocol, Effect::Rejected, message));
        }
        if entry.is_folder() {
            let message = format!("{path} is a folder; download the files in it one by one");
            return Err(Error::new(ErrorKind::InvalidInput, Effect::Rejected, message));
        }
        let uri = entry.download_uri.take().filter(|uri| !uri.is_empty());
        let uri = uri.ok_or_else(|| {
            Error::new(ErrorKind::Protocol, Effect::Rejected, "the service gives no address of the content")
        })?;
        Ok((entry, uri))
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

    /// An answer with the bytes of `range`, or with all: never one with something else.
    pub(crate) async fn get(&self, range: Option<Range<u64>>, attempts: &mut Attempts) -> Result<Response> {
        loop {
            let url = self.address().await?;
            // No credential: the address is one.
            let mut request =
                Request::get(url.clone()).header(ACCEPT_ENCODING, HeaderValue::from_static("identity")).secret_path();
            if let Some(range) = &range {
                let value = HeaderValue::try_from(format!("bytes={}-{}", range.start, range.end - 1));
                request = request.header(RANGE, value.map_err(|_| Error::invalid("the range cannot be a header"))?);
            }
            let http = self.store.api().http();
            let answer = http.send_within(request, attempts).await?;
            if answer.status().is_success() {
                self.check(&answer, range.as_ref())?;
                return Ok(answer);
            }
            let (remedy, error) = storage::rejected(answer, &url, http.clock().now()).await;
            if remedy == Recovery::None || !http.retry_step(attempts).await {
                return Err(error.with_attempts(attempts.made()));
            }
            if remedy == Recovery::RefreshUrl {
                self.renew(&url).await?;
            }
        }
    }

    /// What is put together with other bytes: exactly those of `range`.
    pub(crate) async fn get_range(&self, range: Range<u64>, attempts: &mut Attempts) -> Result<Response> {
        let answer = self.get(Some(range), attempts).await?;
        if answer.status().as_u16() == 206 {
            return Ok(answer);
        }
        let message = "the storage gives the whole file where a range was asked for";
        Err(answer.error(ErrorKind::Protocol, message).with_effect(Effect::Rejected))
    }

    /// The address, renewed if it is about to end.
    async fn address(&self) -> Result<Url> {
        let (url, since) = self.url.lock().await.clone();
        let age = self.store.api().clock().elapsed().saturating_sub(since);
        if is_fresh(&url, age, MARGIN) { Ok(url) } else { self.renew(&url).await }
    }

    /// A fresh address of the same file. *Integrity* if it is another file by now.
    async fn renew(&self, old: &Url) -> Result<Url> {
        let mut current = self.url.lock().await;
        // Another range was here before.
        if current.0 != *old {
            return Ok(current.0.clone());
        }
        let since = self.store.api().clock().elapsed();
        let (entry, fresh) = self.store.download_uri(&self.path).await?;
        if !is_same(&self.entry, &entry) {
            return Err(changed());
        }
        let fresh = presigned_url(&fresh, self.store.api().base())?;
        *current = (fresh.clone(), since);
        Ok(fresh)
    }

    /// Whether the rest of the file can be asked for after a break: only what is provably of one file is
    /// put together. Without a validator of the storage, the service is asked whether it is the same file.
    pub(crate) async fn can_resume(&self) -> Result<bool> {
        if self.has_etag() || digest(&self.entry).is_none() {
            return Ok(self.has_etag());
        }
        let (url, _) = self.url.lock().await.clone();
        self.renew(&url).await.map(|_| true)
    }

    /// Whether some of it was read already.
    pub(crate) fn was_asked(&self) -> bool {
        self.etag.get().is_some()
    }

    /// Whether answers prove themselves to be of one file.
    pub(crate) fn has_etag(&self) -> bool {
        self.etag.get().is_some_and(Option::is_some)
    }

    /// *Integrity* if the answer is of another file than those before, *protocol* if it is not what was
    /// asked for.
    fn check(&self, answer: &Response, range: Option<&Range<u64>>) -> Result<()> {
        let protocol = |message: &str| answer.error(ErrorKind::Protocol, message).with_effect(Effect::Rejected);
        // 1. Not a page about the file.
        let is_expected = match &self.entry.mime_type {
            Some(essence) => essence.contains("html"),
            // Nothing else shows whether it is the file.
            None => self.entry.size.is_some() || answer.strong_etag().is_some() || self.path.name().contains(".htm"),
        };
        let page = answer.content_type().is_some_and(|essence| essence == "text/html") && !is_expected;
        if page || answer.headers().contains_key("x-files-frontend-app") {
            return Err(protocol("the storage answers with a web page and not with the file"));
        }
        answer.check_identity().map_err(|error| error.with_effect(Effect::Rejected))?;
        // 2. All of what was asked for, and nothing else.
        let size = match (answer.status().as_u16(), range, answer.content_range()) {
            (200, _, _) => answer.content_length(),
            (206, Some(range), Some(found)) if found.range == *range => found.size,
            (status, ..) => {
                return Err(protocol(&format!("the storage answers {status} with another part of the file")));
            }
        };
        if let (Some(size), Some(expected)) = (size, self.entry.size)
            && size != expected
        {
            return Err(changed());
        }
        // 3. Of the same file.
        let etag = answer.strong_etag().cloned();
        if *self.etag.get_or_init(|| etag.clone()) != etag {
            return Err(changed());
        }
        Ok(())
    }
}

/// The digest that a download is compared with.
pub(crate) fn digest(entry: &Entry) -> Option<&str> {
    entry.crc32.as_deref().or(entry.md5.as_deref())
}

/// Whether two entries of a path are of one file, as far as they say. Digests may come later, but those of a
/// file do not go away: another file of the same second and size has none yet.
fn is_same(before: &Entry, now: &Entry) -> bool {
    let same = |before: &Option<String>, now: &Option<String>| before.is_none() || before == now;
    (before.size, before.mtime, before.created_at) == (now.size, now.mtime, now.created_at)
        && same(&before.crc32, &now.crc32)
        && same(&before.md5, &now.md5)
}

fn changed() -> Error {
    let message = "the file changed while it was read, and its parts do not fit together; read it again";
    Error::new(ErrorKind::Integrity, Effect::Rejected, message)
}

/// A range of the content on its way; it goes on where it broke.
pub(crate) struct RangeReader {
    stream: ByteStream,
    at: u64,
    end: u64,
    attempts: Attempts,
}

impl RangeReader {
    /// Of an answer to a request for `at..end`.
    pub(crate) fn new(answer: Response, range: Range<u64>, attempts: Attempts) -> Self {
        Self { stream: answer.stream(), at: range.start, end: range.end, attempts }
    }

    /// Where the range ends.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// The next bytes; `None` at the end of the range.
    pub(crate) async fn next(&mut self, content: &RemoteContent) -> Result<Option<Bytes>> {
        loop {
            let error = match self.stream.next().await {
                Some(Ok(chunk)) if chunk.len() as u64 > self.end - self.at => {
                    let message = "the storage gives more than was asked for";
                    return Err(Error::new(ErrorKind::Integrity, Effect::Rejected, message));
                }
                Some(Ok(chunk)) => {
                    self.at += chunk.len() as u64;
                    self.attempts.progressed();
                    return Ok(Some(chunk));
                }
                Some(Err(error)) => error,
                None => Error::new(ErrorKind::Integrity, Effect::Rejected, "the content ends before its end"),
            };
            // The last byte may be there although the connection ended badly.
            if self.at == self.end {
                return Ok(None);
            }
            // It seldom happens, and should not make every future larger.
            Box::pin(self.resume(content, error)).await?;
        }
    }

    /// Asks for what is missing after `error`, or else gives it back.
    async fn resume(&mut self, content: &RemoteContent, error: Error) -> Result<()> {
        if !content.can_resume().await? || !content.store.api().http().retry_step(&mut self.attempts).await {
            return Err(error.with_attempts(self.attempts.made()));
        }
        tracing::debug!(at = self.at, %error, "a download goes on");
        let answer = content.get_range(self.at..self.end, &mut self.attempts).await?;
        self.stream = answer.stream();
        Ok(())
    }
}
