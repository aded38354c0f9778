//! [`Cipher`]: PubNub's two encryption schemes, for files and for messages.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use filestore_core::{ByteStream, Result, check_secret};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use secrecy::{ExposeSecret, SecretBox};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::blocks::{BLOCK, Decryptor, Encryptor, HEADER, Keys, Scheme, undecryptable};

/// The initialization vector of old clients' messages. It is not transmitted.
const STATIC_IV: [u8; BLOCK] = *b"0123456789012345";

/// So much is encrypted or decrypted at once: what fits into a fast cache.
const PIECE: usize = 64 * 1024;

/// Which scheme writes. Both are read, whichever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[non_exhaustive]
pub enum Crypto {
    /// The scheme of the crypto module: AES-256-CBC under SHA-256 of the cipher key, with a header.
    #[default]
    #[serde(rename = "acrh")]
    Acrh,
    /// The scheme of a bare cipher key: AES-256-CBC under 32 hexadecimal digits, hence 128 bits of key.
    #[serde(rename = "legacy")]
    Legacy,
    /// The same, with messages as old clients wrote them: under an initialization vector that
    /// never changes, so that equal messages look equal. Files are those of [`Crypto::Legacy`].
    #[serde(rename = "legacy-static-iv")]
    LegacyStaticIv,
}

/// A cipher key, ready to encrypt and decrypt files and messages. Cheap to clone; `Debug` hides the key.
///
/// Neither scheme authenticates: whoever can change the stored bytes can change what is read, and a
/// wrong key is found by the padding alone, which misses about one of 256. [`Crypto::Legacy`] has a key
/// of 128 bits.
///
/// ```
/// use filestore_pubnub::{Cipher, Crypto};
///
/// let cipher = Cipher::new(Crypto::Acrh, "correct horse battery staple")?;
/// let sealed = cipher.encrypt_message("{\"text\":\"hi\"}");
/// assert!(sealed.starts_with("UE5FRAFBQ1JI"));
/// assert_eq!(cipher.decrypt_message(&sealed)?, "{\"text\":\"hi\"}");
/// # Ok::<(), filestore_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Cipher {
    crypto: Crypto,
    keys: Arc<Keys>,
}

impl Cipher {
    /// The cipher of `cipher_key`, which writes with `crypto` and reads all of them.
    ///
    /// *Invalid input* if the key is empty or blank.
    pub fn new(crypto: Crypto, cipher_key: &str) -> Result<Self> {
        check_secret("cipher_key", cipher_key)?;
        let digest: [u8; 32] = Sha256::digest(cipher_key.as_bytes()).into();
        // The first half of the digest, as hexadecimal text: 32 bytes that hold 128 bits.
        let mut legacy = Box::new([0; 32]);
        for (pair, byte) in legacy.chunks_exact_mut(2).zip(digest) {
            const DIGITS: &[u8; 16] = b"0123456789abcdef";
            pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        let keys = Keys { acrh: SecretBox::new(Box::new(digest)), legacy: SecretBox::new(legacy) };
        Ok(Self { crypto, keys: Arc::new(keys) })
    }

    /// The scheme that writes.
    pub fn crypto(&self) -> Crypto {
        self.crypto
    }

    /// How many bytes are stored for a file of `content` bytes.
    pub fn stored_size(&self, content: u64) -> u64 {
        let block = BLOCK as u64;
        self.prefix_size() + block * (content / block + 1)
    }

    /// The largest content whose stored size is at most `stored`; `None` if not even an empty file fits.
    pub fn content_size(&self, stored: u64) -> Option<u64> {
        let block = BLOCK as u64;
        (stored.checked_sub(self.prefix_size())? / block * block).checked_sub(1)
    }

    fn prefix_size(&self) -> u64 {
        let header = if self.crypto == Crypto::Acrh { HEADER.len() } else { 0 };
        (header + BLOCK) as u64
    }

    /// Encrypts the text of a message: base64, as it is published inside a JSON string.
    pub fn encrypt_message(&self, text: &str) -> String {
        STANDARD.encode(self.sealed_message(text, rand::random()))
    }

    fn sealed_message(&self, text: &str, iv: [u8; BLOCK]) -> BytesMut {
        let mut encryptor = match self.crypto {
            Crypto::LegacyStaticIv => Encryptor::without_prefix(self.keys.legacy.expose_secret(), STATIC_IV),
            Crypto::Acrh | Crypto::Legacy => self.encryptor(iv),
        };
        let mut sealed = BytesMut::from(encryptor.update(text.as_bytes()));
        sealed.extend_from_slice(&encryptor.finish());
        sealed
    }

    /// Decrypts the text of a message. Without a header it is read as the legacy scheme's, whose two
    /// kinds of message cannot be told apart: [`Crypto::LegacyStaticIv`] reads its own, the others read
    /// those that begin with their initialization vector.
    ///
    /// *Integrity* if it cannot be decrypted, *unsupported* if it was written by an unknown scheme.
    pub fn decrypt_message(&self, base64: &str) -> Result<String> {
        let sealed = STANDARD.decode(base64).map_err(|_| undecryptable("the message is not base64"))?;
        let mut decryptor = if self.crypto == Crypto::LegacyStaticIv && !sealed.starts_with(b"PNED") {
            Decryptor::without_prefix(self.keys.legacy.expose_secret(), STATIC_IV)
        } else {
            Decryptor::new(Arc::clone(&self.keys))
        };
        let mut text = BytesMut::from(decryptor.update(&sealed)?);
        text.extend_from_slice(&decryptor.finish()?);
        String::from_utf8(text.into()).map_err(|_| undecryptable("the message is not text; the cipher key is wrong"))
    }

    fn encryptor(&self, iv: [u8; BLOCK]) -> Encryptor {
        match self.crypto {
            Crypto::Acrh => Encryptor::acrh(self.keys.acrh.expose_secret(), iv),
            Crypto::Legacy | Crypto::LegacyStaticIv => Encryptor::legacy(self.keys.legacy.expose_secret(), iv),
        }
    }

    /// Encrypts a file as it streams. An empty file becomes one block of padding, which every client
    /// reads as an empty file.
    pub fn encrypt(&self, content: ByteStream) -> ByteStream {
        self.encrypt_with_iv(content, rand::random())
    }

    pub(crate) fn encrypt_with_iv(&self, content: ByteStream, iv: [u8; BLOCK]) -> ByteStream {
        let length = content.length().map(|length| self.stored_size(length));
        let chunks = stream::try_unfold(Some((pieces(content), self.encryptor(iv))), |state| async {
            let Some((mut content, mut encryptor)) = state else { return Ok(None) };
            Ok(Some(match content.try_next().await? {
                Some(chunk) => (encryptor.update(&chunk), Some((content, encryptor))),
                None => (encryptor.finish(), None),
            }))
        });
        ByteStream::upload(not_empty(chunks), length)
    }

    /// Decrypts a file as it streams, by the scheme that its first bytes tell. Its length is not known
    /// before its end.
    ///
    /// The stream ends with *integrity* if it cannot be decrypted (a wrong key, missing or changed
    /// bytes) and with *unsupported* if it was written by an unknown scheme.
    pub fn decrypt(&self, stored: ByteStream) -> ByteStream {
        decrypted(stored, Decryptor::new(Arc::clone(&self.keys)))
    }

    /// Decrypts a file from one of its blocks on; the block before it comes first.
    pub(crate) fn decrypt_part(&self, stored: ByteStream, scheme: Scheme) -> ByteStream {
        decrypted(stored, Decryptor::of_part(Arc::clone(&self.keys), scheme))
    }
}

fn decrypted(stored: ByteStream, decryptor: Decryptor) -> ByteStream {
    let chunks = stream::try_unfold(Some((pieces(stored), decryptor)), |state| async {
        let Some((mut stored, mut decryptor)) = state else { return Ok(None) };
        Ok(Some(match stored.try_next().await? {
            Some(chunk) => (decryptor.update(&chunk)?, Some((stored, decryptor))),
            None => (decryptor.finish()?, None),
        }))
    });
    ByteStream::download(not_empty(chunks), None)
}

fn pieces(stream: ByteStream) -> BoxStream<'static, Result<Bytes>> {
    let cut = |mut chunk: Bytes| {
        stream::iter(std::iter::from_fn(move || {
            let piece = chunk.split_to(chunk.len().min(PIECE));
            (!piece.is_empty()).then_some(Ok(piece))
        }))
    };
    stream.map_ok(cut).try_flatten().boxed()
}

fn not_empty(
    chunks: impl stream::Stream<Item = Result<Bytes>> + Send + 'static,
) -> impl stream::Stream<Item = Result<Bytes>> + Send + 'static {
    chunks.try_filter(|chunk| std::future::ready(!chunk.is_empty()))
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cipher({:?})", self.crypto)
    }
}

#[cfg(test)]
#[path = "tests/vectors.rs"]
mod vectors;
