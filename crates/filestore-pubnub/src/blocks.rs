//! Incremental encryption and decryption of both schemes: AES-256-CBC with PKCS #7 padding after a [`Prefix`].

use std::sync::Arc;

use aes::Aes256;
use aes::cipher::{Array, BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use bytes::{BufMut, Bytes, BytesMut};
use filestore_core::{Effect, Error, ErrorKind, Result};
use secrecy::{ExposeSecret, SecretBox};

/// The size of an AES block and of an initialization vector, in bytes.
pub(crate) const BLOCK: usize = 16;

/// The header that the scheme ACRH writes before the initialization vector: magic, version 1, scheme id, and the
/// length of the vector.
pub(crate) const HEADER: [u8; 10] = *b"PNED\x01ACRH\x10";

pub(crate) struct Keys {
    pub(crate) acrh: SecretBox<[u8; 32]>,
    pub(crate) legacy: SecretBox<[u8; 32]>,
}

/// Encrypts a file chunk by chunk.
pub(crate) struct Encryptor {
    cbc: cbc::Encryptor<Aes256>,
    /// The bytes to write before the next ciphertext.
    prefix: Vec<u8>,
    /// Content that does not fill a block yet.
    pending: BytesMut,
}

impl Encryptor {
    pub(crate) fn acrh(key: &[u8; 32], iv: [u8; BLOCK]) -> Self {
        Self { prefix: [&HEADER[..], &iv].concat(), ..Self::without_prefix(key, iv) }
    }

    pub(crate) fn legacy(key: &[u8; 32], iv: [u8; BLOCK]) -> Self {
        Self { prefix: iv.to_vec(), ..Self::without_prefix(key, iv) }
    }

    pub(crate) fn without_prefix(key: &[u8; 32], iv: [u8; BLOCK]) -> Self {
        Self { cbc: cbc::Encryptor::new(key.into(), &iv.into()), prefix: Vec::new(), pending: BytesMut::new() }
    }

    pub(crate) fn update(&mut self, content: &[u8]) -> Bytes {
        let prefix = std::mem::take(&mut self.prefix);
        let whole = (self.pending.len() + content.len()) / BLOCK * BLOCK;
        let mut out = BytesMut::with_capacity(prefix.len() + self.pending.len() + content.len());
        out.extend_from_slice(&prefix);
        out.extend_from_slice(&self.pending);
        out.extend_from_slice(content);
        self.pending = BytesMut::from(&out[prefix.len() + whole..]);
        out.truncate(prefix.len() + whole);
        self.cbc.encrypt_blocks(Array::slice_as_chunks_mut(&mut out[prefix.len()..]).0);
        out.freeze()
    }

    pub(crate) fn finish(mut self) -> Bytes {
        let padding = BLOCK - self.pending.len();
        self.update(&vec![padding as u8; padding])
    }
}

/// Decrypts a file chunk by chunk. The first bytes of the file identify the scheme.
pub(crate) struct Decryptor {
    state: State,
    /// Bytes that are not decrypted yet. The latest block stays here, because it has the padding if it is the last.
    pending: BytesMut,
}

enum State {
    /// The prefix is not complete yet. If the scheme is known, the prefix is only a vector.
    Prefix(Arc<Keys>, Option<Scheme>),
    Blocks(Box<cbc::Decryptor<Aes256>>),
}

impl Decryptor {
    pub(crate) fn new(keys: Arc<Keys>) -> Self {
        Self { state: State::Prefix(keys, None), pending: BytesMut::new() }
    }

    /// Creates a decryptor for the blocks of a file from any block on. The first input is the block before it, which
    /// is their initialization vector.
    pub(crate) fn for_part(keys: Arc<Keys>, scheme: Scheme) -> Self {
        Self { state: State::Prefix(keys, Some(scheme)), pending: BytesMut::new() }
    }

    pub(crate) fn without_prefix(key: &[u8; 32], iv: [u8; BLOCK]) -> Self {
        let cbc = cbc::Decryptor::new(key.into(), &iv.into());
        Self { state: State::Blocks(Box::new(cbc)), pending: BytesMut::new() }
    }

    pub(crate) fn update(&mut self, stored: &[u8]) -> Result<Bytes> {
        let mut buffer = std::mem::take(&mut self.pending);
        buffer.reserve(stored.len());
        buffer.extend_from_slice(stored);
        if let State::Prefix(keys, scheme) = &self.state {
            let prefix = match scheme {
                Some(scheme) => Prefix::vector(*scheme, &buffer),
                None => Prefix::read(&buffer)?,
            };
            let Some(prefix) = prefix else {
                self.pending = buffer;
                return Ok(Bytes::new());
            };
            let key = match prefix.scheme {
                Scheme::Acrh => &keys.acrh,
                Scheme::Legacy => &keys.legacy,
            };
            let cbc = cbc::Decryptor::new(key.expose_secret().into(), &prefix.iv.into());
            self.state = State::Blocks(Box::new(cbc));
            let _ = buffer.split_to(prefix.size);
        }
        let State::Blocks(cbc) = &mut self.state else { return Ok(Bytes::new()) };
        let whole = buffer.len().saturating_sub(1) / BLOCK * BLOCK;
        self.pending.put_slice(&buffer[whole..]);
        buffer.truncate(whole);
        cbc.decrypt_blocks(Array::slice_as_chunks_mut(&mut buffer).0);
        Ok(buffer.freeze())
    }

    /// Returns the content of the last block, without its padding.
    pub(crate) fn finish(mut self) -> Result<Bytes> {
        let State::Blocks(cbc) = &mut self.state else {
            return Err(cannot_decrypt("it ends before its content begins"));
        };
        let last: &mut [u8; BLOCK] = match self.pending.len() {
            0 => return Err(cannot_decrypt("it ends before its content begins")),
            _ => {
                (&mut self.pending[..]).try_into().map_err(|_| cannot_decrypt("it does not end with a whole block"))?
            }
        };
        cbc.decrypt_block(last.into());
        let padding = usize::from(last[BLOCK - 1]);
        let content = BLOCK
            .checked_sub(padding)
            .filter(|content| *content < BLOCK && last[*content..].iter().all(|byte| usize::from(*byte) == padding));
        content
            .map(|content| Bytes::copy_from_slice(&last[..content]))
            .ok_or_else(|| cannot_decrypt("its padding is invalid with this key"))
    }
}

/// The encryption scheme of a file. It determines the key of the blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Acrh,
    Legacy,
}

/// The bytes before the encrypted blocks: a header, if the scheme has one, and the initialization vector.
pub(crate) struct Prefix {
    pub(crate) scheme: Scheme,
    pub(crate) iv: [u8; BLOCK],
    pub(crate) size: usize,
}

impl Prefix {
    /// The largest prefix in bytes: that of ACRH, with the length of the vector in three bytes.
    pub(crate) const MAX_SIZE: usize = HEADER.len() + 2 + BLOCK;

    fn vector(scheme: Scheme, bytes: &[u8]) -> Option<Self> {
        bytes.first_chunk().map(|iv| Self { scheme, iv: *iv, size: BLOCK })
    }

    /// Reads the prefix; `None` if there are too few bytes. *Unsupported* for an unknown scheme.
    pub(crate) fn read(bytes: &[u8]) -> Result<Option<Self>> {
        let magic = &HEADER[..4];
        if !bytes.starts_with(&magic[..bytes.len().min(4)]) {
            // The legacy scheme has no header.
            return Ok(Self::vector(Scheme::Legacy, bytes));
        }
        // An unknown version or scheme id is reported as soon as its bytes are there.
        match bytes.get(4) {
            Some(1) | None => {}
            Some(version) => return Err(unknown_scheme(&format!("version {version}"))),
        }
        let Some(id) = bytes.get(5..9) else { return Ok(None) };
        if id != &HEADER[5..9] {
            return Err(unknown_scheme(&format!("id {:?}", String::from_utf8_lossy(id))));
        }
        // The length is one byte, or 255 followed by two bytes.
        let (length, start) = match bytes.get(9..) {
            Some([255, high, low, ..]) => (usize::from(u16::from_be_bytes([*high, *low])), 12),
            Some([255, ..] | []) | None => return Ok(None),
            Some([length, ..]) => (usize::from(*length), 10),
        };
        if length != BLOCK {
            return Err(cannot_decrypt(&format!("its initialization vector has {length} bytes instead of {BLOCK}")));
        }
        let iv = bytes.get(start..).and_then(<[u8]>::first_chunk);
        Ok(iv.map(|iv| Self { scheme: Scheme::Acrh, iv: *iv, size: start + BLOCK }))
    }
}

fn unknown_scheme(found: &str) -> Error {
    let message = format!("the data is encrypted in an unknown scheme ({found}); only ACRH and legacy are supported");
    Error::new(ErrorKind::Unsupported, Effect::Rejected, message)
}

pub(crate) fn cannot_decrypt(reason: &str) -> Error {
    let message = format!("cannot decrypt the data: {reason}; check the cipher key, and that the data is encrypted");
    Error::new(ErrorKind::Integrity, Effect::Rejected, message)
}
