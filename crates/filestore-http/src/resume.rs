//! Downloads that resume with a range request after the connection breaks.

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use filestore_core::{ByteStream, Effect, Error, ErrorKind, Result};
use futures::future::BoxFuture;
use futures::stream::{self, Stream, StreamExt};
use reqwest::header::{ETAG, HeaderValue, IF_RANGE, RANGE};

use crate::{Attempts, HttpClient, Idempotency, Request, Response};

/// A file whose ranges can be requested.
pub trait RangeSource: Send + Sync {
    /// Returns `true` if further ranges are provably of the same file as those before.
    fn can_resume(&self) -> impl Future<Output = Result<bool>> + Send;

    /// Requests exactly the bytes of `range`, within `attempts`. *Integrity* if the file has changed.
    fn get_range(&self, range: Range<u64>, attempts: &mut Attempts) -> impl Future<Output = Result<Response>> + Send;
}

impl<S: RangeSource> RangeSource for Arc<S> {
    fn can_resume(&self) -> impl Future<Output = Result<bool>> + Send {
        self.as_ref().can_resume()
    }

    fn get_range(&self, range: Range<u64>, attempts: &mut Attempts) -> impl Future<Output = Result<Response>> + Send {
        self.as_ref().get_range(range, attempts)
    }
}

/// Reads a range of a file. After a broken connection, it requests the missing bytes. Retries follow the client's policy
/// and count anew after each chunk.
pub struct RangeReader {
    client: HttpClient,
    stream: ByteStream,
    /// The position of the next byte in the file.
    position: u64,
    end: u64,
    attempts: Attempts,
}

impl RangeReader {
    /// Creates the reader of `range` from the response to the request for it, which `attempts` counts.
    pub fn new(client: &HttpClient, response: Response, range: Range<u64>, attempts: Attempts) -> Self {
        let client = client.clone();
        Self { client, stream: response.stream(), position: range.start, end: range.end, attempts }
    }

    /// Returns the next chunk; `None` at the end of the range. Fails with the last error once the retries are used up, and
    /// with *integrity* if there are more bytes than were requested. A read that is free changes nothing.
    pub async fn next(&mut self, source: &impl RangeSource) -> Result<Option<Bytes>> {
        loop {
            let error = match self.stream.next().await {
                Some(Ok(chunk)) if chunk.len() as u64 > self.end - self.position => {
                    let message = "the response has more bytes than were requested";
                    let error = Error::new(ErrorKind::Integrity, Effect::Rejected, message);
                    return Err(error.with_attempts(self.attempts.made()));
                }
                Some(Ok(chunk)) => {
                    self.position += chunk.len() as u64;
                    self.attempts.progressed();
                    return Ok(Some(chunk));
                }
                Some(Err(error)) => error,
                None => Error::new(ErrorKind::Integrity, Effect::Rejected, "the content ended early"),
            };
            // The connection may break after the last byte.
            if self.position == self.end {
                return Ok(None);
            }
            // Boxed, since it happens seldom and would make every future larger.
            Box::pin(self.resume(source, error)).await?;
        }
    }

    /// Requests the missing bytes after `error`; returns `error` if that is impossible or the retries are used up.
    async fn resume(&mut self, source: &impl RangeSource, error: Error) -> Result<()> {
        if !source.can_resume().await? || !self.client.retry_step(&mut self.attempts).await {
            let made = self.attempts.made();
            // The message counts the bytes of the last response only.
            let error = match made {
                1 => error,
                _ => error.with_note(&format!("the download broke off at byte {}", self.position)),
            };
            return Err(error.with_attempts(made));
        }
        tracing::debug!(position = self.position, %error, "a download is resumed");
        self.stream = source.get_range(self.position..self.end, &mut self.attempts).await?.stream();
        Ok(())
    }

    /// Returns the chunks as a stream, which ends after an error.
    pub fn into_stream(self, source: impl RangeSource) -> impl Stream<Item = Result<Bytes>> + Send {
        stream::try_unfold((self, source), |(mut reader, source)| async move {
            let chunk = reader.next(&source).await?;
            Ok::<_, Error>(chunk.map(|chunk| (chunk, (reader, source))))
        })
    }
}

impl std::fmt::Debug for RangeReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RangeReader").field(&(self.position..self.end)).finish()
    }
}

/// Builds the request of a download anew, with a new URL if the old one may have expired.
type BuildRequest = Box<dyn Fn() -> BoxFuture<'static, Result<Request>> + Send + Sync>;

/// The file of a response with a strong validator, which every further response must have.
struct ValidatedFile {
    client: HttpClient,
    etag: HeaderValue,
    build_request: BuildRequest,
}

impl HttpClient {
    /// Returns the body of `response` as a stream that resumes after the connection breaks.
    ///
    /// It resumes only a safe request whose response has a length and a strong `ETag`, which proves that the rest
    /// belongs to the same file. Otherwise it is [`Response::stream`]. `build_request` builds the request anew, without
    /// a range. Retries follow the client's policy and count anew after each chunk. Fails with *integrity* if the file
    /// has changed.
    pub fn resumable_stream<F>(&self, response: Response, build_request: F) -> ByteStream
    where
        F: Fn() -> BoxFuture<'static, Result<Request>> + Send + Sync + 'static,
    {
        let start = response.content_range().map_or(0, |range| range.range.start);
        let (Some(length), Some(etag), Idempotency::Safe) =
            (response.content_length(), response.strong_etag().cloned(), response.context().idempotency)
        else {
            return response.stream();
        };
        let Some(end) = start.checked_add(length) else { return response.stream() };
        let attempts = Attempts::after(response.attempts());
        let reader = RangeReader::new(self, response, start..end, attempts);
        let file = ValidatedFile { client: self.clone(), etag, build_request: Box::new(build_request) };
        ByteStream::download(reader.into_stream(file), Some(length))
    }
}

impl RangeSource for ValidatedFile {
    async fn can_resume(&self) -> Result<bool> {
        Ok(true)
    }

    async fn get_range(&self, wanted: Range<u64>, attempts: &mut Attempts) -> Result<Response> {
        let range = HeaderValue::try_from(format!("bytes={}-{}", wanted.start, wanted.end - 1))
            .map_err(|_| Error::invalid("the range is not a valid header value"))?;
        let request = (self.build_request)().await?.header(RANGE, range).header(IF_RANGE, self.etag.clone());
        let response = self.client.send_within(request, attempts).await?;
        let is_same_file = response.headers().get(ETAG) == Some(&self.etag);
        match response.status().as_u16() {
            206 if is_same_file && response.content_range().is_some_and(|content| content.range == wanted) => {
                Ok(response)
            }
            200 | 206 | 412 | 416 => Err(response
                .error(
                    ErrorKind::Integrity,
                    format!("the file changed during the download, at byte {}; download it again", wanted.start),
                )
                .with_effect(Effect::Rejected)),
            status => {
                let kind = match status {
                    401 => ErrorKind::Unauthenticated,
                    403 => ErrorKind::Permission,
                    404 | 410 => ErrorKind::NotFound,
                    429 => ErrorKind::RateLimited,
                    408 | 500.. => ErrorKind::Unavailable,
                    _ => ErrorKind::Protocol,
                };
                let message =
                    format!("the download broke off at byte {} and cannot be resumed: status {status}", wanted.start);
                Err(response.error(kind, message))
            }
        }
    }
}
