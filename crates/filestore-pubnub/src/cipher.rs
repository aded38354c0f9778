//! [`Cipher`]: PubNub's two encryption schemes, for files and messages.

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

use crate::blocks::{BLOCK, Decryptor, Encryptor, HEADER, Keys, Scheme, cannot_decrypt};

/// The fixed initialization vector of messages of old clients. It is not part of the message.
const STATIC_IV: [u8; BLOCK] = *b"0123456789012345";

/// The number of bytes that are encrypted or decrypted at once, so that they fit into the processor's cache.
const CHUNK_SIZE: usize = 64 * 1024;

/// The scheme that encrypts. Decryption detects the scheme of a file by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[non_exhaustive]
pub enum Crypto {
    /// The scheme of PubNub's crypto module: AES-256-CBC with a header. The key is the SHA-256 of the cipher key.
    #[default]
    #[serde(rename = "acrh")]
    Acrh,
    /// The older scheme of clients without a crypto module: AES-256-CBC without a header. The key is 32 hexadecimal
    /// digits, which hold 128 bits.
    #[serde(rename = "legacy")]
    Legacy,
    /// The scheme of old clients. Messages have a fixed initialization vector, so equal messages have equal
    /// ciphertexts. Files are encrypted as with [`Crypto::Legacy`].
    #[serde(rename = "legacy-static-iv")]
    LegacyStaticIv,
}

/// A cipher that encrypts and decrypts files and messages with a cipher key.
///
/// A clone is cheap. `Debug` hides the key.
///
/// Neither scheme authenticates the data. An attacker who can change the stored bytes can change the content without
/// detection. A wrong key is detected only by the padding, which misses about one in 256 cases. The key of
/// [`Crypto::Legacy`] has only 128 bits.
///
/// ```
/// use filestore_pubnub::{Cipher, Crypto};
///
/// let cipher = Cipher::new(Crypto::Acrh, "correct horse battery staple")?;
/// let ciphertext = cipher.encrypt_message("{\"text\":\"hi\"}");
/// assert!(ciphertext.starts_with("UE5FRAFBQ1JI"));
/// assert_eq!(cipher.decrypt_message(&ciphertext)?, "{\"text\":\"hi\"}");
/// # Ok::<(), filestore_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Cipher {
    crypto: Crypto,
    keys: Arc<Keys>,
}

impl Cipher {
    /// Creates a cipher from `cipher_key` that encrypts with `crypto`.
    ///
    /// *Invalid input* if the key is empty or blank.
    pub fn new(crypto: Crypto, cipher_key: &str) -> Result<Self> {
        check_secret("cipher_key", cipher_key)?;
        let digest: [u8; 32] = Sha256::digest(cipher_key.as_bytes()).into();
        // The legacy key is the first half of the digest as hexadecimal text: 32 bytes that hold 128 bits.
        let mut legacy = Box::new([0; 32]);
        for (pair, byte) in legacy.chunks_exact_mut(2).zip(digest) {
            const DIGITS: &[u8; 16] = b"0123456789abcdef";
            pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        let keys = Keys { acrh: SecretBox::new(Box::new(digest)), legacy: SecretBox::new(legacy) };
        Ok(Self { crypto, keys: Arc::new(keys) })
    }

    /// Returns the scheme that encrypts.
    pub fn crypto(&self) -> Crypto {
        self.crypto
    }

    /// Returns the number of bytes that are stored for a file of `content` bytes.
    pub fn stored_size(&self, content: u64) -> u64 {
        let block = BLOCK as u64;
        self.prefix_size() + block * (content / block + 1)
    }

    /// Returns the size of the largest content whose stored size is at most `stored` bytes; `None` if not even an
    /// empty file fits.
    pub fn content_size(&self, stored: u64) -> Option<u64> {
        let block = BLOCK as u64;
        (stored.checked_sub(self.prefix_size())? / block * block).checked_sub(1)
    }

    fn prefix_size(&self) -> u64 {
        let header = if self.crypto == Crypto::Acrh { HEADER.len() } else { 0 };
        (header + BLOCK) as u64
    }

    /// Encrypts the text of a message. Returns the base64 text that is published as a JSON string.
    pub fn encrypt_message(&self, text: &str) -> String {
        STANDARD.encode(self.message_ciphertext(text, rand::random()))
    }

    fn message_ciphertext(&self, text: &str, iv: [u8; BLOCK]) -> BytesMut {
        let mut encryptor = match self.crypto {
            Crypto::LegacyStaticIv => Encryptor::without_prefix(self.keys.legacy.expose_secret(), STATIC_IV),
            Crypto::Acrh | Crypto::Legacy => self.encryptor(iv),
        };
        let mut ciphertext = BytesMut::from(encryptor.update(text.as_bytes()));
        ciphertext.extend_from_slice(&encryptor.finish());
        ciphertext
    }

    /// Decrypts the text of a message.
    ///
    /// A message with a header is decrypted in its scheme. A message without one is legacy, and does not show
    /// whether its initialization vector is fixed. With [`Crypto::LegacyStaticIv`] the vector is the fixed one;
    /// with the other schemes it is the beginning of the message.
    ///
    /// *Integrity* if the message cannot be decrypted, *unsupported* if its scheme is unknown.
    pub fn decrypt_message(&self, base64: &str) -> Result<String> {
        let ciphertext = STANDARD.decode(base64).map_err(|_| cannot_decrypt("the message is not base64"))?;
        let mut decryptor = if self.crypto == Crypto::LegacyStaticIv && !ciphertext.starts_with(b"PNED") {
            Decryptor::without_prefix(self.keys.legacy.expose_secret(), STATIC_IV)
        } else {
            Decryptor::new(Arc::clone(&self.keys))
        };
        let mut text = BytesMut::from(decryptor.update(&ciphertext)?);
        text.extend_from_slice(&decryptor.finish()?);
        String::from_utf8(text.into()).map_err(|_| cannot_decrypt("the decrypted message is not UTF-8"))
    }

    fn encryptor(&self, iv: [u8; BLOCK]) -> Encryptor {
        match self.crypto {
            Crypto::Acrh => Encryptor::acrh(self.keys.acrh.expose_secret(), iv),
            Crypto::Legacy | Crypto::LegacyStaticIv => Encryptor::legacy(self.keys.legacy.expose_secret(), iv),
        }
    }

    /// Encrypts the stream of a file. An empty file becomes one block of padding, which every client decrypts to an
    /// empty file.
    pub fn encrypt(&self, content: ByteStream) -> ByteStream {
        self.encrypt_with_iv(content, rand::random())
    }

    pub(crate) fn encrypt_with_iv(&self, content: ByteStream, iv: [u8; BLOCK]) -> ByteStream {
        let length = content.length().map(|length| self.stored_size(length));
        let chunks = stream::try_unfold(Some((split_chunks(content), self.encryptor(iv))), |state| async {
            let Some((mut content, mut encryptor)) = state else { return Ok(None) };
            Ok(Some(match content.try_next().await? {
                Some(chunk) => (encryptor.update(&chunk), Some((content, encryptor))),
                None => (encryptor.finish(), None),
            }))
        });
        ByteStream::upload(without_empty_chunks(chunks), length)
    }

    /// Decrypts the stream of a file. The first bytes identify the scheme. The length is not known before the end.
    ///
    /// The stream ends with *integrity* if it cannot be decrypted (a wrong key, missing or changed bytes), and with
    /// *unsupported* if its scheme is unknown.
    pub fn decrypt(&self, stored: ByteStream) -> ByteStream {
        decrypted(stored, Decryptor::new(Arc::clone(&self.keys)))
    }

    /// Decrypts a file from one of its blocks on. The stream begins with the block before it.
    pub(crate) fn decrypt_part(&self, stored: ByteStream, scheme: Scheme) -> ByteStream {
        decrypted(stored, Decryptor::for_part(Arc::clone(&self.keys), scheme))
    }
}

fn decrypted(stored: ByteStream, decryptor: Decryptor) -> ByteStream {
    let chunks = stream::try_unfold(Some((split_chunks(stored), decryptor)), |state| async {
        let Some((mut stored, mut decryptor)) = state else { return Ok(None) };
        Ok(Some(match stored.try_next().await? {
            Some(chunk) => (decryptor.update(&chunk)?, Some((stored, decryptor))),
            None => (decryptor.finish()?, None),
        }))
    });
    ByteStream::download(without_empty_chunks(chunks), None)
}

/// Splits the chunks of a stream into chunks of at most [`CHUNK_SIZE`] bytes.
fn split_chunks(stream: ByteStream) -> BoxStream<'static, Result<Bytes>> {
    let split = |mut chunk: Bytes| {
        stream::iter(std::iter::from_fn(move || {
            let part = chunk.split_to(chunk.len().min(CHUNK_SIZE));
            (!part.is_empty()).then_some(Ok(part))
        }))
    };
    stream.map_ok(split).try_flatten().boxed()
}

fn without_empty_chunks(
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
