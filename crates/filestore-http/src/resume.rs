//! Downloads that resume with a range request after the connection breaks.

use std::time::Duration;

use bytes::Bytes;
use filestore_core::{ByteStream, Effect, Error, ErrorKind, Result};
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use reqwest::header::{ETAG, HeaderValue, IF_RANGE, RANGE};

use crate::{Decision, HttpClient, Idempotency, Request, Response};

/// Builds the request of a download anew, with a new URL if the old one may have expired.
type BuildRequest = Box<dyn Fn() -> BoxFuture<'static, Result<Request>> + Send + Sync>;

/// A download and its position.
struct Resumable {
    client: HttpClient,
    stream: ByteStream,
    /// The strong validator that every further response must have.
    etag: HeaderValue,
    build_request: BuildRequest,
    /// The position of the next byte in the file.
    position: u64,
    end: u64,
    /// The number of attempts since the last byte, and the sum of their waits.
    attempt: u32,
    waited: Duration,
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
        let state = Resumable {
            client: self.clone(),
            etag,
            build_request: Box::new(build_request),
            position: start,
            end,
            attempt: 0,
            waited: Duration::ZERO,
            stream: response.stream(),
        };
        let chunks = stream::unfold(Some(state), |state| async {
            let mut state = state?;
            match state.next().await {
                Ok(Some(chunk)) => Some((Ok(chunk), Some(state))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        });
        ByteStream::download(chunks, Some(length))
    }
}

impl Resumable {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let error = match self.stream.next().await {
                Some(Ok(chunk)) => {
                    self.position += chunk.len() as u64;
                    (self.attempt, self.waited) = (0, Duration::ZERO);
                    return Ok(Some(chunk));
                }
                None => return Ok(None),
                Some(Err(error)) => error,
            };
            // The connection may break after the last byte.
            if self.position == self.end {
                return Ok(None);
            }
            self.attempt += 1;
            let wait = match self.client.retry_decision(self.attempt, self.waited) {
                Decision::Retry(wait) => wait,
                Decision::GiveUp(_) => return Err(error.with_attempts(self.attempt)),
            };
            self.waited += wait;
            self.client.clock().sleep(wait).await;
            self.stream = self.remaining().await?;
        }
    }

    /// Requests the remaining bytes.
    async fn remaining(&mut self) -> Result<ByteStream> {
        let range = HeaderValue::try_from(format!("bytes={}-{}", self.position, self.end - 1))
            .map_err(|_| Error::invalid("the range is not a valid header value"))?;
        let request = (self.build_request)().await?.header(RANGE, range).header(IF_RANGE, self.etag.clone());
        let response = self.client.send(request).await?;
        let is_same_file = response.headers().get(ETAG) == Some(&self.etag);
        match response.status().as_u16() {
            206 if is_same_file
                && response.content_range().is_some_and(|content| content.range == (self.position..self.end)) =>
            {
                Ok(response.stream())
            }
            200 | 206 | 412 | 416 => Err(response
                .error(
                    ErrorKind::Integrity,
                    format!("the file changed during the download, at byte {}; download it again", self.position),
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
                    format!("the download broke off at byte {} and cannot be resumed: status {status}", self.position);
                Err(response.error(kind, message))
            }
        }
    }
}
