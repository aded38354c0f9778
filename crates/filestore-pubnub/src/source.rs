//! [`Source`]: the content of an upload, ready before anything is asked for.

use std::sync::{Arc, Mutex, PoisonError};

use filestore_core::{Body, ByteStream, Effect, Error, ErrorKind, Result, hex};
use md5::{Digest, Md5};

use crate::Cipher;
use crate::config::LARGEST;

/// As much of a stream as is held in memory. The form wants the length, lives for 60 s, and may have to
/// be sent again: a stream can do none of that.
pub(crate) const HELD: u64 = LARGEST;

/// What is to be stored: opened, measured, its encryption ready.
pub(crate) struct Source {
    pub(crate) body: Arc<Body>,
    /// Bytes of content.
    pub(crate) size: u64,
    /// Bytes as they are stored.
    pub(crate) stored_size: u64,
    md5: Whole,
}

/// The MD5 of the latest attempt that sent all of it; `None` until there is one.
type Whole = Arc<Mutex<Option<String>>>;

/// What there is to know about size.
pub(crate) struct Limit {
    /// Bytes as they are stored.
    pub(crate) stored: u64,
    pub(crate) cipher: Option<Cipher>,
}

impl Limit {
    fn stored_size(&self, content: u64) -> u64 {
        self.cipher.as_ref().map_or(content, |cipher| cipher.stored_size(content))
    }

    /// The largest content.
    pub(crate) fn content(&self) -> u64 {
        self.cipher.as_ref().map_or(Some(self.stored), |cipher| cipher.content_size(self.stored)).unwrap_or_default()
    }

    /// *Too large* unless `content` bytes can be stored.
    pub(crate) fn check(&self, content: u64) -> Result<()> {
        let stored = self.stored_size(content);
        if stored <= self.stored {
            return Ok(());
        }
        let (allowed, largest) = (self.stored, self.content());
        let message = match self.cipher {
            Some(_) => format!(
                "{stored} bytes after encryption exceed the {allowed} that the keyset accepts; send at most {largest}"
            ),
            None => format!("{stored} bytes exceed the {allowed} that the keyset accepts"),
        };
        Err(Error::new(ErrorKind::TooLarge, Effect::NotSent, message))
    }
}

impl Source {
    pub(crate) async fn prepare(body: Body, limit: Limit) -> Result<Self> {
        // 1. What is known to be too large is not opened.
        if let Some(length) = body.length() {
            limit.check(length)?;
        }
        // 2. Opened and measured; a stream is read now.
        let mut body = Arc::new(body);
        let mut opened = body.open().await?;
        let is_known = opened.length().is_some();
        if !body.can_replay() && opened.length().is_none_or(|length| length <= HELD) || !is_known {
            body = Arc::new(Body::from(held(opened, &limit).await?));
            opened = body.open().await?;
        }
        let size = opened.length().unwrap_or_default();
        limit.check(size)?;
        // 3. Each opening is encrypted under the same vector: what is sent again is the same bytes, so
        //    that a file can be known by them whichever attempt has stored it.
        let stored_size = limit.stored_size(size);
        let md5 = Whole::new(Mutex::new((stored_size == 0).then(|| hex(&Md5::digest(b"")))));
        let finish = {
            let (cipher, iv, md5) = (limit.cipher, rand::random(), Arc::clone(&md5));
            move |content: ByteStream| {
                // A file that changed since it was measured is not what was asked to be stored.
                let content = ByteStream::upload(content, Some(size));
                let stored = match &cipher {
                    Some(cipher) => cipher.encrypt_with_iv(content, iv),
                    None => content,
                };
                digested(stored, stored_size, Arc::clone(&md5))
            }
        };
        let body = if body.can_replay() {
            let first = Mutex::new(Some(opened));
            let open = move || {
                let first = first.lock().unwrap_or_else(PoisonError::into_inner).take();
                let (body, finish) = (Arc::clone(&body), finish.clone());
                async move {
                    let content = match first {
                        Some(opened) => opened,
                        None => body.open().await?,
                    };
                    Ok(finish(content))
                }
            };
            Body::reopenable(open, Some(stored_size))
        } else {
            Body::stream(finish(opened), Some(stored_size))
        };
        Ok(Self { body: Arc::new(body), size, stored_size, md5 })
    }

    /// The MD5 of what was sent, as the storage writes it. `None` if no attempt has sent all of it.
    pub(crate) fn md5(&self) -> Option<String> {
        self.md5.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A stream in memory, if it is short enough.
async fn held(content: ByteStream, limit: &Limit) -> Result<bytes::Bytes> {
    let most = limit.content().min(HELD);
    content.collect(usize::try_from(most).unwrap_or(usize::MAX)).await.map_err(|error| match error.kind() {
        ErrorKind::TooLarge if most == limit.content() => {
            let message = format!("the stream is longer than the {most} bytes that the keyset accepts");
            Error::new(ErrorKind::TooLarge, Effect::NotSent, message)
        }
        ErrorKind::TooLarge => {
            let message =
                format!("a stream of unknown length may have at most {most} bytes; state its length, or send a file");
            Error::new(ErrorKind::TooLarge, Effect::NotSent, message)
        }
        _ => error,
    })
}

/// The same stream, whose digest is in `md5` when all of its `size` bytes have passed.
fn digested(stored: ByteStream, size: u64, md5: Whole) -> ByteStream {
    let (mut digest, mut left) = (Md5::new(), size);
    let count = move |chunk: &[u8]| {
        digest.update(chunk);
        left = left.saturating_sub(chunk.len() as u64);
        if left == 0 {
            *md5.lock().unwrap_or_else(PoisonError::into_inner) = Some(hex(&digest.clone().finalize()));
        }
    };
    ByteStream::upload(stored.inspect(count), Some(size))
}
