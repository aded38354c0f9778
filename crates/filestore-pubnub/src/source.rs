//! [`Source`]: the content of an upload, opened and measured before the first request.

use std::sync::{Arc, Mutex, PoisonError};

use filestore_core::{Body, ByteStream, Effect, Error, ErrorKind, Result, hex};
use md5::{Digest, Md5};

use crate::Cipher;
use crate::config::DEFAULT_MAX_FILE_SIZE;

/// The largest part of a stream that is buffered in memory, in bytes. The form needs the length, is valid for 60 s,
/// and may have to be sent again; a stream supports none of this.
pub(crate) const BUFFER_LIMIT: u64 = DEFAULT_MAX_FILE_SIZE;

/// The content of an upload, opened and measured, with its encryption prepared.
pub(crate) struct Source {
    pub(crate) body: Arc<Body>,
    /// Bytes of the content.
    pub(crate) size: u64,
    /// Stored bytes, after encryption.
    pub(crate) stored_size: u64,
    md5: SharedMd5,
}

/// The MD5 of the latest attempt that sent the whole content; `None` if there is none.
type SharedMd5 = Arc<Mutex<Option<String>>>;

/// The limit on the size of a file.
pub(crate) struct SizeLimit {
    /// Stored bytes, after encryption.
    pub(crate) stored: u64,
    pub(crate) cipher: Option<Cipher>,
}

impl SizeLimit {
    fn stored_size(&self, content: u64) -> u64 {
        self.cipher.as_ref().map_or(content, |cipher| cipher.stored_size(content))
    }

    /// Returns the size of the largest content, in bytes.
    pub(crate) fn content(&self) -> u64 {
        self.cipher.as_ref().map_or(Some(self.stored), |cipher| cipher.content_size(self.stored)).unwrap_or_default()
    }

    /// Checks that `content` bytes can be stored. *Too large* if not.
    pub(crate) fn check(&self, content: u64) -> Result<()> {
        let stored = self.stored_size(content);
        if stored <= self.stored {
            return Ok(());
        }
        let (allowed, max_content) = (self.stored, self.content());
        let message = match self.cipher {
            Some(_) => format!(
                "{stored} bytes after encryption exceed the {allowed} bytes that the keyset accepts; send at most \
                 {max_content} bytes"
            ),
            None => format!("{stored} bytes exceed the {allowed} bytes that the keyset accepts"),
        };
        Err(Error::new(ErrorKind::TooLarge, Effect::NotSent, message))
    }
}

impl Source {
    pub(crate) async fn prepare(body: Body, limit: SizeLimit) -> Result<Self> {
        // 1. Reject a body that is known to be too large before it is opened.
        if let Some(length) = body.length() {
            limit.check(length)?;
        }
        // 2. Open and measure the body. A stream is read into memory.
        let mut body = Arc::new(body);
        let mut stream = body.open().await?;
        let is_known = stream.length().is_some();
        if !body.can_replay() && stream.length().is_none_or(|length| length <= BUFFER_LIMIT) || !is_known {
            body = Arc::new(Body::from(buffered(stream, &limit).await?));
            stream = body.open().await?;
        }
        let size = stream.length().unwrap_or_default();
        limit.check(size)?;
        // 3. Every attempt encrypts with the same initialization vector. So all attempts send the same bytes, and
        //    the digest identifies the stored file whichever attempt stored it.
        let stored_size = limit.stored_size(size);
        let md5 = SharedMd5::new(Mutex::new((stored_size == 0).then(|| hex(&Md5::digest(b"")))));
        let stored_stream = {
            let (cipher, iv, md5) = (limit.cipher, rand::random(), Arc::clone(&md5));
            move |content: ByteStream| {
                // The length is checked: the file may have changed since it was measured.
                let content = ByteStream::upload(content, Some(size));
                let stored = match &cipher {
                    Some(cipher) => cipher.encrypt_with_iv(content, iv),
                    None => content,
                };
                with_md5(stored, stored_size, Arc::clone(&md5))
            }
        };
        let body = if body.can_replay() {
            let first = Mutex::new(Some(stream));
            let open = move || {
                let first = first.lock().unwrap_or_else(PoisonError::into_inner).take();
                let (body, stored_stream) = (Arc::clone(&body), stored_stream.clone());
                async move {
                    let content = match first {
                        Some(stream) => stream,
                        None => body.open().await?,
                    };
                    Ok(stored_stream(content))
                }
            };
            Body::reopenable(open, Some(stored_size))
        } else {
            Body::from_stream(stored_stream(stream), Some(stored_size))
        };
        Ok(Self { body: Arc::new(body), size, stored_size, md5 })
    }

    /// Returns the MD5 of the bytes that were sent, in lowercase hexadecimal. `None` if no attempt sent all of them.
    pub(crate) fn md5(&self) -> Option<String> {
        self.md5.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Reads a stream into memory. *Too large* if it exceeds the limit.
async fn buffered(content: ByteStream, limit: &SizeLimit) -> Result<bytes::Bytes> {
    let max_size = limit.content().min(BUFFER_LIMIT);
    content.collect(usize::try_from(max_size).unwrap_or(usize::MAX)).await.map_err(|error| match error.kind() {
        ErrorKind::TooLarge if max_size == limit.content() => {
            let message = format!("the stream is longer than the {max_size} bytes that the keyset accepts");
            Error::new(ErrorKind::TooLarge, Effect::NotSent, message)
        }
        ErrorKind::TooLarge => {
            let message = format!(
                "a stream of unknown length may have at most {max_size} bytes; state its length, or send a file"
            );
            Error::new(ErrorKind::TooLarge, Effect::NotSent, message)
        }
        _ => error,
    })
}

/// Returns the same stream, which stores its digest in `md5` after all of its `size` bytes have passed.
fn with_md5(stored: ByteStream, size: u64, md5: SharedMd5) -> ByteStream {
    let (mut digest, mut remaining) = (Md5::new(), size);
    let inspector = move |chunk: &[u8]| {
        digest.update(chunk);
        remaining = remaining.saturating_sub(chunk.len() as u64);
        if remaining == 0 {
            *md5.lock().unwrap_or_else(PoisonError::into_inner) = Some(hex(&digest.clone().finalize()));
        }
    };
    ByteStream::upload(stored.inspect(inspector), Some(size))
}
