//! Uploads without an account, and the token that manages such a file.

use std::fmt;

use filestore_core::StoredFile;
use secrecy::{ExposeSecret, SecretString};

/// A stored file, and the token that manages it.
#[derive(Debug)]
#[non_exhaustive]
pub struct OwnedUpload {
    /// The file.
    pub file: StoredFile,
    /// The token that manages this one file. The service gives it to uploads without an account, for a day.
    pub token: Option<AnonymousToken>,
}

/// A token that manages one file that was uploaded without an account.
///
/// The service never documented it. Clients are known to change the file with it; the service may reject a delete.
/// `Debug` hides the token.
#[derive(Clone)]
pub struct AnonymousToken(SecretString);

impl AnonymousToken {
    /// Creates a token from the text that [`expose`](Self::expose) returned.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// Returns the text of the token, to store it. Anyone who has the text can change the file.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for AnonymousToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnonymousToken(...)")
    }
}
