//! Downloads that go on by range where they broke off.

use std::time::Duration;

use bytes::Bytes;
use filestore_core::{ByteStream, Effect, Error, ErrorKind, Result};
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use reqwest::header::{ETAG, HeaderValue, IF_RANGE, RANGE};

use crate::{Decision, HttpClient, Idempotency, Request, Response};

/// Makes the request of a download again, with a fresh URL where the old one may have expired.
type Again = Box<dyn Fn() -> BoxFuture<'static, Result<Request>> + Send + Sync>;

/// A download and how far it is.
struct Resumable {
    client: HttpClient,
    stream: ByteStream,
    /// The strong validator that every continuation must have.
    etag: HeaderValue,
    again: Again,
    at: u64,
    end: u64,
    /// Attempts since the last byte, and the time spent waiting between them.
    attempt: u32,
    waited: Duration,
}

impl HttpClient {
    /// The body of `answer` as it comes; after a broken connection it goes on where it stopped.
    ///
    /// Only for reads that are free. `again` makes the request once more, without a range. It is used
    /// when the length is known and the service gave a strong `ETag`, so that the rest is provably of
    /// the same file; else this is [`Response::stream`]. Retries are those of the client's policy,
    /// counted anew whenever bytes came. A file that changed meanwhile is *integrity*.
    pub fn resumable_stream<F>(&self, answer: Response, again: F) -> ByteStream
    where
        F: Fn() -> BoxFuture<'static, Result<Request>> + Send + Sync + 'static,
    {
        let start = answer.content_range().map_or(0, |range| range.range.start);
        let (Some(length), Some(etag), Idempotency::Safe) =
            (answer.content_length(), answer.strong_etag().cloned(), answer.context().idempotency)
        else {
            return answer.stream();
        };
        let Some(end) = start.checked_add(length) else { return answer.stream() };
        let state = Resumable {
            client: self.clone(),
            etag,
            again: Box::new(again),
            at: start,
            end,
            attempt: 0,
            waited: Duration::ZERO,
            stream: answer.stream(),
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
                    self.at += chunk.len() as u64;
                    (self.attempt, self.waited) = (0, Duration::ZERO);
                    return Ok(Some(chunk));
                }
                None => return Ok(None),
                Some(Err(error)) => error,
            };
            // The last byte may be there although the connection ended badly.
            if self.at == self.end {
                return Ok(None);
            }
            self.attempt += 1;
            let wait = match self.client.retry_decision(self.attempt, self.waited) {
                Decision::Retry(wait) => wait,
                Decision::GiveUp(_) => return Err(error.with_attempts(self.attempt)),
            };
            self.waited += wait;
            self.client.clock().sleep(wait).await;
            self.stream = self.rest().await?;
        }
    }

    /// What is missing, as a stream.
    async fn rest(&mut self) -> Result<ByteStream> {
        let range = HeaderValue::try_from(format!("bytes={}-{}", self.at, self.end - 1))
            .map_err(|_| Error::invalid("the range cannot be a header"))?;
        let request = (self.again)().await?.header(RANGE, range).header(IF_RANGE, self.etag.clone());
        let answer = self.client.send(request).await?;
        let same = answer.headers().get(ETAG) == Some(&self.etag);
        match answer.status().as_u16() {
            206 if same && answer.content_range().is_some_and(|found| found.range == (self.at..self.end)) => {
                Ok(answer.stream())
            }
            200 | 206 | 412 | 416 => Err(answer
                .error(
                    ErrorKind::Integrity,
                    format!("the file changed while it was read, after {} bytes; read it again", self.at),
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
                    format!("the download broke after {} bytes and could not go on: status {status}", self.at);
                Err(answer.error(kind, message))
            }
        }
    }
}
