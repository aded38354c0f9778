//! Names of channels.

use filestore_core::{Error, Result};

/// *Invalid input* unless `channel` can be one. What the documentation forbids and the service takes
/// (spaces, slashes) is left to the service.
pub(crate) fn check_channel(channel: &str) -> Result<()> {
    let problem = if channel.is_empty() {
        "is empty".to_owned()
    } else if channel.chars().count() > 92 {
        format!("has {} characters where 92 are allowed", channel.chars().count())
    } else if let Some(found) = channel.chars().find(|c| c.is_control() || matches!(c, ',' | ':' | '*')) {
        format!("holds {found:?}")
    } else if is_dots(channel) {
        "cannot be a part of a URL".to_owned()
    } else {
        return Ok(());
    };
    Err(Error::invalid(format!("the channel {problem}; choose another")))
}

/// Whether every reader of URLs takes `segment` for a step within the path, escaped or not.
pub(crate) fn is_dots(segment: &str) -> bool {
    matches!(segment, "." | "..")
}
