//! The block level of both schemes, piece by piece: AES-256-CBC with PKCS #7 padding, and what stands
//! before it.

use std::sync::Arc;

use aes::Aes256;
use aes::cipher::{Array, BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use bytes::{BufMut, Bytes, BytesMut};
use filestore_core::{Effect, Error, ErrorKind, Result};
use secrecy::{ExposeSecret, SecretBox};

pub(crate) const BLOCK: usize = 16;

/// What the scheme ACRH writes before the initialization vector: magic, version 1, its id, and the
/// length of the vector.
pub(crate) const HEADER: [u8; 10] = *b"PNED\x01ACRH\x10";

pub(crate) struct Keys {
    pub(crate) acrh: SecretBox<[u8; 32]>,
    pub(crate) legacy: SecretBox<[u8; 32]>,
}

/// Encrypts a file piece by piece.
pub(crate) struct Encryptor {
    cbc: cbc::Encryptor<Aes256>,
    /// What goes before the next ciphertext.
    prefix: Vec<u8>,
    /// Less than a block.
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
        let missing = BLOCK - self.pending.len();
        self.update(&vec![missing as u8; missing])
    }
}

/// Decrypts a file piece by piece, by the scheme that its first bytes tell.
pub(crate) struct Decryptor {
    state: State,
    /// What cannot be decrypted yet. The last block is kept back until the end shows that it is the last.
    pending: BytesMut,
}

enum State {
    /// The beginning is not read yet. In a part of a file it is a vector, and the scheme is known.
    Beginning(Arc<Keys>, Option<Scheme>),
    Blocks(Box<cbc::Decryptor<Aes256>>),
}

impl Decryptor {
    pub(crate) fn new(keys: Arc<Keys>) -> Self {
        Self { state: State::Beginning(keys, None), pending: BytesMut::new() }
    }

    /// Of the blocks of a file from any one on: the block before it is their vector.
    pub(crate) fn of_part(keys: Arc<Keys>, scheme: Scheme) -> Self {
        Self { state: State::Beginning(keys, Some(scheme)), pending: BytesMut::new() }
    }

    pub(crate) fn without_prefix(key: &[u8; 32], iv: [u8; BLOCK]) -> Self {
        let cbc = cbc::Decryptor::new(key.into(), &iv.into());
        Self { state: State::Blocks(Box::new(cbc)), pending: BytesMut::new() }
    }

    pub(crate) fn update(&mut self, stored: &[u8]) -> Result<Bytes> {
        let mut held = std::mem::take(&mut self.pending);
        held.reserve(stored.len());
        held.extend_from_slice(stored);
        if let State::Beginning(keys, scheme) = &self.state {
            let prefix = match scheme {
                Some(scheme) => Prefix::vector(*scheme, &held),
                None => Prefix::read(&held)?,
            };
            let Some(prefix) = prefix else {
                self.pending = held;
                return Ok(Bytes::new());
            };
            let key = match prefix.scheme {
                Scheme::Acrh => &keys.acrh,
                Scheme::Legacy => &keys.legacy,
            };
            let cbc = cbc::Decryptor::new(key.expose_secret().into(), &prefix.iv.into());
            self.state = State::Blocks(Box::new(cbc));
            let _ = held.split_to(prefix.size);
        }
        let State::Blocks(cbc) = &mut self.state else { return Ok(Bytes::new()) };
        let whole = held.len().saturating_sub(1) / BLOCK * BLOCK;
        self.pending.put_slice(&held[whole..]);
        held.truncate(whole);
        cbc.decrypt_blocks(Array::slice_as_chunks_mut(&mut held).0);
        Ok(held.freeze())
    }

    /// The content of the last block.
    pub(crate) fn finish(mut self) -> Result<Bytes> {
        let State::Blocks(cbc) = &mut self.state else {
            return Err(undecryptable("it ends before its content begins"));
        };
        let last: &mut [u8; BLOCK] = match self.pending.len() {
            0 => return Err(undecryptable("it ends before its content begins")),
            _ => (&mut self.pending[..]).try_into().map_err(|_| undecryptable("it does not end with a whole block"))?,
        };
        cbc.decrypt_block(last.into());
        let padding = usize::from(last[BLOCK - 1]);
        let content = BLOCK
            .checked_sub(padding)
            .filter(|content| *content < BLOCK && last[*content..].iter().all(|byte| usize::from(*byte) == padding));
        content
            .map(|content| Bytes::copy_from_slice(&last[..content]))
            .ok_or_else(|| undecryptable("its end makes no sense under this key"))
    }
}

/// Which key the blocks are under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Acrh,
    Legacy,
}

/// What stands before the blocks. Its end is the vector, always.
pub(crate) struct Prefix {
    pub(crate) scheme: Scheme,
    pub(crate) iv: [u8; BLOCK],
    pub(crate) size: usize,
}

impl Prefix {
    /// The longest, with the long form of the length.
    pub(crate) const LONGEST: usize = HEADER.len() + 2 + BLOCK;

    fn vector(scheme: Scheme, bytes: &[u8]) -> Option<Self> {
        bytes.first_chunk().map(|iv| Self { scheme, iv: *iv, size: BLOCK })
    }

    /// Reads it; `None` as long as there are too few bytes. *Unsupported* for an unknown scheme.
    pub(crate) fn read(bytes: &[u8]) -> Result<Option<Self>> {
        let magic = &HEADER[..4];
        if !bytes.starts_with(&magic[..bytes.len().min(4)]) {
            // No header: the legacy scheme. It begins with the vector.
            return Ok(Self::vector(Scheme::Legacy, bytes));
        }
        // As soon as it is known, the version and then the id decide.
        match bytes.get(4) {
            Some(1) | None => {}
            Some(version) => return Err(unknown(&format!("version {version}"))),
        }
        let Some(id) = bytes.get(5..9) else { return Ok(None) };
        if id != &HEADER[5..9] {
            return Err(unknown(&format!("the id {:?}", String::from_utf8_lossy(id))));
        }
        // One byte of length, or 255 and two bytes.
        let (length, start) = match bytes.get(9..) {
            Some([255, high, low, ..]) => (usize::from(u16::from_be_bytes([*high, *low])), 12),
            Some([255, ..] | []) | None => return Ok(None),
            Some([length, ..]) => (usize::from(*length), 10),
        };
        if length != BLOCK {
            return Err(undecryptable(&format!("its initialization vector has {length} bytes instead of {BLOCK}")));
        }
        let iv = bytes.get(start..).and_then(<[u8]>::first_chunk);
        Ok(iv.map(|iv| Self { scheme: Scheme::Acrh, iv: *iv, size: start + BLOCK }))
    }
}

fn unknown(what: &str) -> Error {
    let message = format!("it was encrypted by a scheme that is not known here ({what}); known are ACRH and legacy");
    Error::new(ErrorKind::Unsupported, Effect::Rejected, message)
}

pub(crate) fn undecryptable(what: &str) -> Error {
    let message =
        format!("it cannot be decrypted: {what}; check the cipher key, and whether the file is encrypted at all");
    Error::new(ErrorKind::Integrity, Effect::Rejected, message)
}
