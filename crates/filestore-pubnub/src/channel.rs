//! Validation of channel names.

use filestore_core::{Error, Result};

/// Checks the name of a channel. *Invalid input* if it cannot be one.
///
/// Spaces and slashes pass: PubNub's documentation forbids them, but the service accepts them.
pub(crate) fn check_channel(channel: &str) -> Result<()> {
    let problem = if channel.is_empty() {
        "is empty".to_owned()
    } else if channel.chars().count() > 92 {
        format!("has {} characters, and at most 92 are allowed", channel.chars().count())
    } else if let Some(found) = channel.chars().find(|c| c.is_control() || matches!(c, ',' | ':' | '*')) {
        format!("contains {found:?}")
    } else if is_dot_segment(channel) {
        "is `.` or `..`, which cannot be a segment of a URL".to_owned()
    } else {
        return Ok(());
    };
    Err(Error::invalid(format!("the channel {problem}; choose another")))
}

/// Returns `true` if `segment` is a dot segment (RFC 3986). URL parsers resolve it, percent-encoded or not.
pub(crate) fn is_dot_segment(segment: &str) -> bool {
    matches!(segment, "." | "..")
}
