//! Downloads, `HEAD` and the landing page. Usually a file can be downloaded once.

use std::io;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, StatusCode};

use super::error::Rejection;
use super::file::StoredFile;
use super::name::disposition;
use super::store::{Count, Files};
use super::{Call, FileIo, pages};
use crate::blobs::BlobReader;
use crate::clock::Clock;
use crate::faults::{Effects, Fault, HeadPolicy};
use crate::http::{Response, response, streamed};

impl FileIo {
    /// Responds with the content of a file.
    ///
    /// The download is counted before the first byte of the response is sent. With a data directory, the count is on
    /// disk by then.
    pub(super) async fn download(&self, key: &str, direct: bool, call: Call<'_>) -> Result<Response, Rejection> {
        let landing = call.effects.any(|fault| matches!(fault, Fault::Landing));
        if landing && !direct && call.is_browser() {
            return self.to_landing_page(key);
        }
        let caller = self.caller(&call)?;
        let may_read = move |file: &StoredFile| caller.may_read(file, call.now);
        if !call.effects.any(|fault| matches!(fault, Fault::CountAtCompletion)) {
            let (file, content) = self.files.read(key, call.now, Count::Now, may_read).await?;
            return Ok(attachment(&file, content.stream(), call.effects));
        }
        let (file, content) = self.files.read(key, call.now, Count::Never, may_read).await?;
        let content = self.counted_at_last_byte(&file, content).await;
        Ok(attachment(&file, content, call.effects))
    }

    /// Responds to `HEAD`, which was never documented. By default it sends the headers and counts no download.
    pub(super) async fn head(&self, key: &str, call: Call<'_>) -> Result<Response, Rejection> {
        let count = match call.effects.head_policy() {
            HeadPolicy::Keep => Count::Never,
            HeadPolicy::Consume => Count::Now,
            HeadPolicy::Reject => {
                return Err(Rejection::MethodNotAllowed { allow: "DELETE, GET, OPTIONS, PATCH, PUT" });
            }
        };
        let caller = self.caller(&call)?;
        let may_read = move |file: &StoredFile| caller.may_read(file, call.now);
        let (file, _) = self.files.read(key, call.now, count, may_read).await?;
        Ok(attachment(&file, stream::empty().boxed(), call.effects))
    }

    /// Responds with the landing page of a file, which counts no download.
    pub(super) async fn landing(&self, key: &str, call: Call<'_>) -> Result<Response, Rejection> {
        match self.files.read(key, call.now, Count::Never, |_| Ok(())).await {
            Ok((file, _)) => Ok(pages::landing(&file)),
            Err(Rejection::NotFound) => Ok(pages::gone()),
            Err(rejection) => Err(rejection),
        }
    }

    /// Returns the content as a stream that counts the download before it yields the last chunk. It cannot count after
    /// that: the HTTP layer stops polling once it has all bytes.
    async fn counted_at_last_byte(
        &self,
        file: &StoredFile,
        content: BlobReader,
    ) -> BoxStream<'static, io::Result<Bytes>> {
        let (key, size) = (file.key.clone(), file.size);
        let (files, clock) = (self.files.clone(), self.clock.clone());
        if size == 0 {
            count(&files, &key, &clock).await;
        }
        let mut sent = 0;
        content
            .stream()
            .then(move |chunk| {
                sent += chunk.as_ref().map_or(0, Bytes::len) as u64;
                let last = sent == size && size > 0;
                let (files, key, clock) = (files.clone(), key.clone(), clock.clone());
                async move {
                    if last {
                        count(&files, &key, &clock).await;
                    }
                    chunk
                }
            })
            .boxed()
    }

    fn to_landing_page(&self, key: &str) -> Result<Response, Rejection> {
        let location = HeaderValue::try_from(format!("{}/download/{key}", self.base));
        let mut response = response(StatusCode::FOUND, "text/plain; charset=utf-8", "");
        response.headers_mut().insert(LOCATION, location.map_err(|_| Rejection::NotFound)?);
        Ok(response)
    }
}

/// Returns the response with a file, as an attachment that browsers do not run: it may be a script of a stranger.
fn attachment(file: &StoredFile, content: BoxStream<'static, io::Result<Bytes>>, effects: &Effects) -> Response {
    let mut response = streamed(file.size, content);
    let headers = response.headers_mut();
    let media_type = HeaderValue::try_from(&file.mime_type);
    headers.insert(CONTENT_TYPE, media_type.unwrap_or(HeaderValue::from_static("application/octet-stream")));
    if !effects.any(|fault| matches!(fault, Fault::NoDisposition)) {
        headers.insert(CONTENT_DISPOSITION, disposition(&file.name));
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    headers.insert("content-security-policy", HeaderValue::from_static("default-src 'none'; sandbox"));
    response
}

/// Counts a completed download.
async fn count(files: &Files, key: &str, clock: &Clock) {
    // Another client may have completed the last allowed download in the meantime.
    if let Err(rejection) = files.count(key, clock.now()).await {
        tracing::debug!(%rejection, "cannot count a completed download");
    }
}
