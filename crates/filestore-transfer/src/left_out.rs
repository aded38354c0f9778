//! [`LeftOut`]: a file that a plan leaves out, with the reason.

use std::path::PathBuf;

use filestore_core::Error;

/// A file or folder that a filter chose, and that cannot be transferred.
#[derive(Debug)]
#[non_exhaustive]
pub struct LeftOut {
    /// Its path.
    pub path: PathBuf,
    /// The reason. The kind is
    ///
    /// - *unsupported* for what is no regular file: a link that is not followed, a pipe, a socket, a device; and for
    ///   files that the store cannot hold, such as empty ones or those in folders;
    /// - *invalid input* for names that the store does not accept, for files that would be one file in the store, for
    ///   names that are not UTF-8, and for links that lead nowhere or in a circle;
    /// - *too large*, *permission* or *io*.
    pub error: Error,
}
