//! The content of the files. It follows from the round and the client that upload it, so that a history needs no
//! content.

use filestore_core::hex;
use md5::{Digest, Md5};

use crate::history::Owner;

/// Returns `size` bytes that no other upload of the run has, unless they are too few to differ.
pub fn of(round: u64, owner: Owner, size: u32) -> Vec<u8> {
    let mut state = round.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ owner.number();
    let noise = std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()
    });
    noise.flatten().take(size as usize).collect()
}

/// Returns the MD5 digest, in hexadecimal.
pub fn digest(content: &[u8]) -> String {
    hex(&Md5::digest(content))
}
