//! Hexadecimal digits of digests.

use std::fmt::Write as _;

/// Returns `bytes` as lower-case hexadecimal digits.
///
/// ```
/// assert_eq!(filestore_core::hex(&[0x0f, 0xa0]), "0fa0");
/// ```
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
