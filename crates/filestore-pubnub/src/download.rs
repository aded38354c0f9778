//! Downloads: fetch a presigned URL from the service, then the bytes from the storage.

use std::ops::Range;
use std::sync::Arc;

use filestore_core::{
    ByteRange, ByteStream, Digest as ContentDigest, DigestAlgorithm, Download, Downloaded, Effect, Error, ErrorKind,
    FileRef, Result, StoredFile, hex,
};
use filestore_http::header::{ACCEPT_ENCODING, HeaderValue, RANGE};
use filestore_http::{Attempts, Idempotency, Method, Request, Response, Url, presigned_url};
use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::SignedDuration;
use md5::{Digest, Md5};

use crate::blocks::{BLOCK, Prefix, cannot_decrypt};
use crate::error::{Responder, rejected};
use crate::file_key::FileKey;
use crate::presigned::PresignedUrl;
use crate::upload::{etag, expiry};
use crate::{Cipher, PubNubStore};

impl PubNubStore {
    pub(crate) async fn read(&self, request: Download) -> Result<Downloaded> {
        let key = FileKey::of(&request.reference)?;
        if let (Some(range), Some(cipher)) = (request.range, self.cipher()) {
            return self.read_encrypted_range(range, request.reference, &key, cipher).await;
        }
        // 1. Fetch the presigned URL, then open the file.
        let range = request.range.map(|range| (range.start, range.end));
        let response = self.open_stored(&key, range).await?;
        // 2. Read the metadata from the response headers.
        let mut file = key.stored_file();
        file.reference = request.reference;
        file.expiry = expiry(&response);
        file.stored_size = match response.content_range() {
            Some(range) => range.size,
            None => response.content_length(),
        };
        let md5 = etag(&response);
        if self.cipher().is_none() {
            file.size = file.stored_size;
            file.content_type = response.content_type();
            file.digests = md5.iter().map(|md5| ContentDigest::new(DigestAlgorithm::Md5, md5)).collect();
        }
        // 3. Return a range, ...
        if let Some(range) = request.range {
            return self.read_range(range, file, response, &key);
        }
        // 4. ... or the whole file: verify its digest, then decrypt it.
        let stored = match file.stored_size {
            Some(_) => self.resumable(response, &key),
            None => at_most(self.max_file_size(), self.resumable(response, &key)),
        };
        let stored = verified(stored, md5);
        let content = match self.cipher() {
            Some(cipher) => cipher.decrypt(stored),
            None => stored,
        };
        Ok(Downloaded::new(file, content))
    }

    /// Reads a range of an encrypted file. The decryption of a block needs only the block before it.
    async fn read_encrypted_range(
        &self,
        range: ByteRange,
        reference: FileRef,
        key: &FileKey,
        cipher: &Cipher,
    ) -> Result<Downloaded> {
        // 1. Read the prefix, which identifies the scheme.
        let mut response = self.open_stored(key, Some((0, Some(Prefix::MAX_SIZE as u64)))).await?;
        let stored_size = response
            .content_range()
            .filter(|sent| sent.range.start == 0)
            .and_then(|sent| sent.size)
            .ok_or_else(|| {
                response.error(ErrorKind::Unsupported, "the storage does not support ranges; download the whole file")
            })?;
        let mut file = key.stored_file();
        file.reference = reference;
        (file.stored_size, file.expiry) = (Some(stored_size), expiry(&response));
        let partial_block = || cannot_decrypt("it does not end with a whole block");
        let prefix = Prefix::read(&response.bytes(Prefix::MAX_SIZE).await?)?.ok_or_else(partial_block)?;
        let (block, prefix_size) = (BLOCK as u64, prefix.size as u64);
        let blocks = stored_size.saturating_sub(prefix_size) / block;
        if blocks == 0 || prefix_size + blocks * block != stored_size {
            return Err(partial_block());
        }
        // 2. Decrypt the last block: its padding gives the size of the content.
        let last = self.open_blocks(key, stored_size - 2 * block..stored_size).await?;
        let last = cipher.decrypt_part(last.stream(), prefix.scheme).collect(BLOCK).await?;
        let size = (blocks - 1) * block + last.len() as u64;
        let range = range.of(size)?;
        file.size = Some(size);
        // 3. Read the blocks of the range and one block on each side. The block before is the initialization
        //    vector. The block after is never decrypted: without it the decryptor would take the last block of
        //    the range for the end of the file.
        let first = range.start / block * block;
        let end = range.end.checked_next_multiple_of(block).and_then(|end| end.checked_add(prefix_size + block));
        let end = end.map_or(stored_size, |end| end.min(stored_size));
        let response = self.open_blocks(key, prefix_size + first - block..end).await?;
        let content = cipher.decrypt_part(self.resumable(response, key), prefix.scheme);
        let length = range.end.saturating_sub(range.start);
        let skip = range.start - first;
        let content = slice(content, skip..skip + length);
        let mut downloaded = Downloaded::new(file, ByteStream::download(content, Some(length)));
        downloaded.range = Some(range);
        Ok(downloaded)
    }

    /// Opens the stored bytes of exactly `range`. Other bytes would be decrypted to wrong content without an error.
    async fn open_blocks(&self, key: &FileKey, range: Range<u64>) -> Result<Response> {
        let response = self.open_stored(key, Some((range.start, Some(range.end)))).await?;
        match response.content_range() {
            Some(sent) if sent.range == range => Ok(response),
            _ => Err(wrong_range(&response)),
        }
    }

    /// Reads a range of a file that is not encrypted.
    fn read_range(
        &self,
        range: ByteRange,
        mut file: StoredFile,
        response: Response,
        key: &FileKey,
    ) -> Result<Downloaded> {
        let (stream, range) = match response.content_range() {
            Some(sent)
                if sent.range.start == range.start
                    && range.end.is_none_or(|end| sent.range.end <= end.max(range.start + 1)) =>
            {
                let range = range.of(sent.size.unwrap_or(sent.range.end))?;
                (self.resumable(response, key), range)
            }
            Some(_) => return Err(wrong_range(&response)),
            // A storage without support for ranges sends the whole file.
            None => {
                let size = response.content_length().ok_or_else(|| wrong_range(&response))?;
                let range = range.of(size)?;
                (slice(self.resumable(response, key), range.clone()), range)
            }
        };
        file.stored_size = file.size;
        // The bytes are not verified: the digest is that of the whole file.
        let length = range.end.saturating_sub(range.start);
        let mut downloaded = Downloaded::new(file, ByteStream::download(slice(stream, 0..length), Some(length)));
        downloaded.range = Some(range);
        Ok(downloaded)
    }

    pub(crate) fn resumable(&self, response: Response, key: &FileKey) -> ByteStream {
        let (store, key) = (self.clone(), key.clone());
        self.http().resumable_stream(response, move || {
            let (store, key) = (store.clone(), key.clone());
            // The presigned URL of the response may have expired since.
            Box::pin(async move { Ok(store.storage_request(store.fetch_presigned_url(&key).await?.url)) })
        })
    }

    /// Opens the stored bytes: all of them, or those of `range`, which is a start and an exclusive end.
    pub(crate) async fn open_stored(&self, key: &FileKey, range: Option<(u64, Option<u64>)>) -> Result<Response> {
        let mut attempts = Attempts::new();
        loop {
            let cached = self.presigned_urls().get(key, self.now());
            let is_cached = cached.is_some();
            let presigned = match cached {
                Some(presigned) => presigned,
                None => self.fetch_presigned_url(key).await?,
            };
            let mut request = self.storage_request(presigned.url);
            if let Some((start, end)) = range {
                // The end of a Range header is inclusive. An empty range requests one byte.
                let last = end.map(|end| end.saturating_sub(1).max(start).to_string()).unwrap_or_default();
                let value = HeaderValue::try_from(format!("bytes={start}-{last}"))
                    .map_err(|_| Error::invalid("the range cannot be written as a Range header"))?;
                request = request.header(RANGE, value);
            }
            let response = self.http().send_within(request, &mut attempts).await?;
            // A 206 response is invalid if no range was requested.
            if response.status().as_u16() == 206 && range.is_none() {
                return Err(response.unexpected("the whole file"));
            }
            if matches!(response.status().as_u16(), 200 | 206) {
                if response.header("etag").is_some() {
                    response.check_identity()?;
                    return Ok(response);
                }
                let message = "the response has no ETag, which the storage sends with every file: something other \
                               than the storage responded; check the proxy and the network";
                return Err(response.error(ErrorKind::Protocol, message));
            }
            let is_forbidden = response.status().as_u16() == 403;
            let (error, body) = rejected(response, Responder::Storage).await;
            self.presigned_urls().remove(key);
            // A presigned URL that has expired, or may have, is replaced. That counts as one of the attempts.
            let may_be_expired = is_forbidden && (is_cached || body.is_expired());
            if !(may_be_expired && self.http().retry_step(&mut attempts).await) {
                return Err(error);
            }
        }
    }

    /// Fetches the presigned URL of a file in the storage. The service does not check that the file exists.
    pub(crate) async fn fetch_presigned_url(&self, key: &FileKey) -> Result<PresignedUrl> {
        let segments = ["files", &key.id, &key.name];
        let call = self.keyset().files(Method::GET, Idempotency::Safe, &key.channel, &segments);
        let (response, request_id) = self.send(&call).await?;
        if response.status().as_u16() != 307 {
            return Err(self.rejected(response, request_id).await);
        }
        // The redirect is not followed: the storage must not receive the credentials of the keyset.
        let location = response.header("location").unwrap_or_default();
        let now = self.now();
        let clock_offset = response.date().map_or(SignedDuration::ZERO, |date| now.duration_since(date));
        let presigned = PresignedUrl::new(presigned_url(location, self.keyset().base())?, clock_offset);
        if !presigned.is_signed() {
            // The redirect is that of a proxy or another web site: its target is not the file.
            let host = presigned.url.host_str().unwrap_or_default();
            let message = format!("the response redirects to a URL at {host} that is not presigned; check base_url");
            return Err(response.error(ErrorKind::Protocol, message).with_request_id(request_id));
        }
        self.presigned_urls().insert(key, &presigned, now);
        Ok(presigned)
    }

    /// Returns a GET request without credentials: the storage needs only the presigned URL.
    fn storage_request(&self, url: Url) -> Request {
        Request::new(Method::GET, url, Idempotency::Safe)
            .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"))
            .secret_path()
            .secrets(Arc::clone(self.keyset().secrets()))
    }
}

fn wrong_range(response: &Response) -> Error {
    response.error(
        ErrorKind::Protocol,
        "the storage sent other bytes than the requested range; try again, or download the whole file",
    )
}

/// Returns the same stream, which ends with *integrity* if its MD5 differs from `md5`.
fn verified(stored: ByteStream, md5: Option<String>) -> ByteStream {
    #[cfg(planted_bugs)]
    let md5 = md5.filter(|_| !filestore_core::planted_bug("digest-not-compared"));
    let Some(md5) = md5 else { return stored };
    let length = stored.length();
    let chunks = stream::try_unfold((stored, Md5::new(), md5), |(mut stored, mut digest, md5)| async {
        if let Some(chunk) = stored.try_next().await? {
            digest.update(&chunk);
            return Ok(Some((chunk, (stored, digest, md5))));
        }
        if hex(&digest.finalize()) == md5 {
            return Ok(None);
        }
        let message = "the MD5 of the downloaded bytes differs from that of the stored file; download it again";
        Err(Error::new(ErrorKind::Integrity, Effect::Rejected, message))
    });
    ByteStream::download(chunks, length)
}

/// Returns the same stream of a size that the storage has not stated. It ends with *protocol* after `limit` bytes, so
/// that a response without an end cannot fill the disk.
fn at_most(limit: u64, stored: ByteStream) -> ByteStream {
    let chunks = stream::try_unfold((stored, limit), move |(mut stored, left)| async move {
        let Some(chunk) = stored.try_next().await? else { return Ok(None) };
        let left = left.checked_sub(chunk.len() as u64).ok_or_else(|| {
            let message = format!(
                "the storage has not stated the size of the file and sent more than {limit} bytes, the \
                 max_file_size of the store; raise it if the keyset allows larger files"
            );
            Error::new(ErrorKind::Protocol, Effect::Rejected, message)
        })?;
        Ok(Some((chunk, (stored, left))))
    });
    ByteStream::download(chunks, None)
}

/// Returns the bytes of `range` of `stream`, which is read no further.
fn slice(stream: ByteStream, range: Range<u64>) -> ByteStream {
    let state = (stream, range.start, range.end.saturating_sub(range.start));
    let chunks = stream::try_unfold(state, |(mut stream, mut skip, remaining)| async move {
        if remaining == 0 {
            return Ok(None);
        }
        while let Some(mut chunk) = stream.try_next().await? {
            let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
            let _ = chunk.split_to(skipped);
            skip -= skipped as u64;
            if !chunk.is_empty() {
                chunk.truncate(usize::try_from(remaining).unwrap_or(usize::MAX));
                let remaining = remaining - chunk.len() as u64;
                return Ok(Some((chunk, (stream, skip, remaining))));
            }
        }
        Ok(None)
    });
    ByteStream::download(chunks.boxed(), None)
}
