//! Uploads without an account that can be managed all the same.

use std::fmt;

use filestore_core::StoredFile;
use secrecy::{ExposeSecret, SecretString};

/// A stored file, and the means to manage it.
#[derive(Debug)]
#[non_exhaustive]
pub struct OwnedUpload {
    /// The file.
    pub file: StoredFile,
    /// What the service gave to manage this one file with: for a day, where there is no account.
    pub token: Option<AnonymousToken>,
}

/// The right to manage one file that was uploaded without an account.
///
/// The service never documented it. It was seen to let a client change the file; whether it lets it
/// delete is for the service to say. `Debug` hides it.
#[derive(Clone)]
pub struct AnonymousToken(SecretString);

impl AnonymousToken {
    /// A token that was kept.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The text, to keep it: whoever has it may change the file.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for AnonymousToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnonymousToken(...)")
    }
}
