//! Downloads: an address, then the bytes.

use std::ops::Range;

use filestore_core::{
    ByteRange, ByteStream, Digest as ContentDigest, DigestAlgorithm, Download, Downloaded, Effect, Error, ErrorKind,
    FileRef, Result, StoredFile, hex,
};
use filestore_http::header::{ACCEPT_ENCODING, HeaderValue, RANGE};
use filestore_http::{Attempts, Idempotency, Method, Request, Response, Url, presigned_url};
use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::SignedDuration;
use md5::{Digest, Md5};

use crate::address::Address;
use crate::blocks::undecryptable;
use crate::blocks::{BLOCK, Prefix};
use crate::error::{Responder, rejected};
use crate::file_key::FileKey;
use crate::upload::{etag, expiry};
use crate::{Cipher, PubNubStore};

impl PubNubStore {
    pub(crate) async fn read(&self, request: Download) -> Result<Downloaded> {
        let place = FileKey::of(&request.reference)?;
        if let (Some(range), Some(cipher)) = (request.range, self.cipher()) {
            return self.some_decrypted(range, request.reference, &place, cipher).await;
        }
        // 1. The address, then the file.
        let wanted = request.range.map(|range| (range.start, range.end));
        let answer = self.open_stored(&place, wanted).await?;
        // 2. What its head says.
        let mut file = StoredFile::new(request.reference, place.name.clone());
        file.expiry = expiry(&answer);
        file.stored_size = match answer.content_range() {
            Some(range) => range.size,
            None => answer.content_length(),
        };
        let md5 = etag(&answer);
        if self.cipher().is_none() {
            file.size = file.stored_size;
            file.content_type = answer.content_type();
            file.digests = md5.iter().map(|md5| ContentDigest::new(DigestAlgorithm::Md5, md5)).collect();
        }
        // 3. Some of it, ...
        if let Some(range) = request.range {
            return self.some(range, file, answer, &place);
        }
        // 4. ... or all: compared with its digest, and decrypted.
        let stored = verified(self.resumable(answer, &place), md5);
        let content = match self.cipher() {
            Some(cipher) => cipher.decrypt(stored),
            None => stored,
        };
        Ok(Downloaded::new(file, content))
    }

    /// Some bytes of an encrypted file. A block needs nothing but the one before it.
    async fn some_decrypted(
        &self,
        range: ByteRange,
        reference: FileRef,
        place: &FileKey,
        cipher: &Cipher,
    ) -> Result<Downloaded> {
        // 1. The beginning tells the scheme.
        let mut answer = self.open_stored(place, Some((0, Some(Prefix::LONGEST as u64)))).await?;
        let stored_size =
            answer.content_range().filter(|sent| sent.range.start == 0).and_then(|sent| sent.size).ok_or_else(
                || answer.error(ErrorKind::Unsupported, "the storage gives no ranges; read the whole file"),
            )?;
        let mut file = StoredFile::new(reference, place.name.clone());
        (file.stored_size, file.expiry) = (Some(stored_size), expiry(&answer));
        let cut_short = || undecryptable("it does not end with a whole block");
        let prefix = Prefix::read(&answer.bytes(Prefix::LONGEST).await?)?.ok_or_else(cut_short)?;
        let (block, begin) = (BLOCK as u64, prefix.size as u64);
        let blocks = stored_size.saturating_sub(begin) / block;
        if blocks == 0 || begin + blocks * block != stored_size {
            return Err(cut_short());
        }
        // 2. The last block tells the size.
        let last = self.open_blocks(place, stored_size - 2 * block..stored_size).await?;
        let last = cipher.decrypt_part(last.stream(), prefix.scheme).collect(BLOCK).await?;
        let size = (blocks - 1) * block + last.len() as u64;
        let wanted = range.of(size)?;
        file.size = Some(size);
        // 3. The blocks of the range, with the one before them. The one behind them, if there is one, is
        //    never decrypted: it keeps the last of them from being taken for the end of the file.
        let first = wanted.start / block * block;
        let end = wanted.end.checked_next_multiple_of(block).and_then(|end| end.checked_add(begin + block));
        let end = end.map_or(stored_size, |end| end.min(stored_size));
        let answer = self.open_blocks(place, begin + first - block..end).await?;
        let content = cipher.decrypt_part(self.resumable(answer, place), prefix.scheme);
        let length = wanted.end.saturating_sub(wanted.start);
        let before = wanted.start - first;
        let content = cut(content, before..before + length);
        let mut downloaded = Downloaded::new(file, ByteStream::download(content, Some(length)));
        downloaded.range = Some(wanted);
        Ok(downloaded)
    }

    /// The stored bytes of `range`: others would be decrypted to other content without an error.
    async fn open_blocks(&self, place: &FileKey, range: Range<u64>) -> Result<Response> {
        let answer = self.open_stored(place, Some((range.start, Some(range.end)))).await?;
        match answer.content_range() {
            Some(sent) if sent.range == range => Ok(answer),
            _ => Err(other_bytes(&answer)),
        }
    }

    /// Some bytes of a file that is not encrypted.
    fn some(&self, range: ByteRange, mut file: StoredFile, answer: Response, place: &FileKey) -> Result<Downloaded> {
        let (stream, range) = match answer.content_range() {
            Some(sent)
                if sent.range.start == range.start
                    && range.end.is_none_or(|end| sent.range.end <= end.max(range.start + 1)) =>
            {
                let asked = range.of(sent.size.unwrap_or(sent.range.end))?;
                (self.resumable(answer, place), asked)
            }
            Some(_) => return Err(other_bytes(&answer)),
            // A storage that knows no ranges sends all of it.
            None => {
                let size = answer.content_length().ok_or_else(|| other_bytes(&answer))?;
                let asked = range.of(size)?;
                (cut(self.resumable(answer, place), asked.clone()), asked)
            }
        };
        // The digest is that of the whole, which does not come.
        file.stored_size = file.size;
        let length = range.end.saturating_sub(range.start);
        let mut downloaded = Downloaded::new(file, ByteStream::download(cut(stream, 0..length), Some(length)));
        downloaded.range = Some(range);
        Ok(downloaded)
    }

    fn resumable(&self, answer: Response, place: &FileKey) -> ByteStream {
        let (store, place) = (self.clone(), place.clone());
        self.http().resumable_stream(answer, move || {
            let (store, place) = (store.clone(), place.clone());
            // A fresh address: the old one may have ended meanwhile.
            Box::pin(async move { Ok(get(store.address(&place).await?.url)) })
        })
    }

    /// The answer with the stored bytes, or with those from the first to before the second of `range`.
    pub(crate) async fn open_stored(&self, place: &FileKey, range: Option<(u64, Option<u64>)>) -> Result<Response> {
        let mut attempts = Attempts::new();
        loop {
            let remembered = self.addresses().get(place, self.now());
            let is_remembered = remembered.is_some();
            let address = match remembered {
                Some(address) => address,
                None => self.address(place).await?,
            };
            let mut request = get(address.url);
            if let Some((start, end)) = range {
                // The last byte, not the one after it; an empty range asks for one byte.
                let last = end.map(|end| end.saturating_sub(1).max(start).to_string()).unwrap_or_default();
                let value = HeaderValue::try_from(format!("bytes={start}-{last}"))
                    .map_err(|_| Error::invalid("the range cannot be a header"))?;
                request = request.header(RANGE, value);
            }
            let answer = self.http().send_within(request, &mut attempts).await?;
            // A part is no answer to a request for the whole.
            if answer.status().as_u16() == 206 && range.is_none() {
                return Err(answer.unexpected("the whole file"));
            }
            if matches!(answer.status().as_u16(), 200 | 206) {
                if answer.header("etag").is_some() {
                    answer.check_identity()?;
                    return Ok(answer);
                }
                let message = "a success without the ETag that the storage gives with every file: somebody else \
                               answers in its place; check the proxy and the network";
                return Err(answer.error(ErrorKind::Protocol, message));
            }
            let is_rejected = answer.status().as_u16() == 403;
            let (error, said) = rejected(answer, Responder::Storage, &self.secrets()).await;
            self.addresses().forget(place);
            // An address that ended, or may have: a fresh one, out of the same attempts.
            let may_help = is_rejected && (is_remembered || said.is_expired());
            if !(may_help && self.http().retry_step(&mut attempts).await) {
                return Err(error);
            }
        }
    }

    /// The address of a file at the storage. Nobody checks that the file exists.
    pub(crate) async fn address(&self, place: &FileKey) -> Result<Address> {
        let segments = ["files", &place.id, &place.name];
        let call = self.keyset().files(Method::GET, Idempotency::Safe, &place.channel, &segments);
        let (answer, request_id) = self.send(&call).await?;
        if answer.status().as_u16() != 307 {
            return Err(self.rejected(answer, request_id).await);
        }
        // Read, not followed: the storage must not see our credentials.
        let location = answer.header("location").unwrap_or_default();
        let served = answer.header("date").and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
        let now = self.now();
        let clock = served.map_or(SignedDuration::ZERO, |served| now.duration_since(served.timestamp()));
        let address = Address::new(presigned_url(location, self.keyset().base())?, clock);
        if !address.is_signed() {
            // A proxy, or a page of somebody else: what is there is not the file.
            let host = address.url.host_str().unwrap_or_default();
            let message =
                format!("the service redirects to {host}, to an address that it has not signed; check base_url");
            return Err(answer.error(ErrorKind::Protocol, message).with_request_id(request_id));
        }
        self.addresses().remember(place, &address, now);
        Ok(address)
    }
}

fn other_bytes(answer: &Response) -> Error {
    answer.error(ErrorKind::Protocol, "the storage sends other bytes than the range that was asked for")
}

/// Nothing but the address: it is all that the storage wants.
fn get(url: Url) -> Request {
    Request::new(Method::GET, url, Idempotency::Safe)
        .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"))
        .secret_path()
}

/// The same stream, which ends with *integrity* if its digest is another one.
fn verified(stored: ByteStream, md5: Option<String>) -> ByteStream {
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
        let message = "the bytes that came are not those that are stored: their digest differs; read it again";
        Err(Error::new(ErrorKind::Integrity, Effect::Rejected, message))
    });
    ByteStream::download(chunks, length)
}

/// The bytes of `range` of a stream; it is read no further.
fn cut(stream: ByteStream, range: Range<u64>) -> ByteStream {
    let state = (stream, range.start, range.end.saturating_sub(range.start));
    let chunks = stream::try_unfold(state, |(mut stream, mut skip, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        while let Some(mut chunk) = stream.try_next().await? {
            let before = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
            let _ = chunk.split_to(before);
            skip -= before as u64;
            if !chunk.is_empty() {
                chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - chunk.len() as u64;
                return Ok(Some((chunk, (stream, skip, left))));
            }
        }
        Ok(None)
    });
    ByteStream::download(chunks.boxed(), None)
}
