//! The credentials of all services: the fixed ones, or those of a credentials file.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::credentials::{CredentialsError, FileioUsers};
use crate::filescom::Users;
use crate::pubnub::Keysets;

/// The users of every emulated service, one table for each service.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    /// A service without a table has no users.
    #[serde(default)]
    pub(crate) pubnub: Keysets,
    #[serde(default)]
    pub(crate) filescom: Users,
    #[serde(default)]
    pub(crate) fileio: FileioUsers,
}

impl Credentials {
    /// Returns the fixed credentials, which are public: the documentation shows them.
    pub(crate) fn fixed() -> Self {
        Credentials { pubnub: Keysets::fixed(), filescom: Users::fixed(), fileio: FileioUsers::fixed() }
    }

    /// Reads a credentials file: JSON if its name ends in `.json`, TOML otherwise.
    pub(crate) fn read(path: &Path) -> Result<Self, CredentialsError> {
        let text = fs::read_to_string(path)?;
        let credentials: Credentials = if path.extension().is_some_and(|extension| extension == "json") {
            serde_json::from_str(&text)?
        } else {
            toml::from_str(&text).map_err(|error| {
                let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
                CredentialsError::Toml { line: 1 + before.matches('\n').count(), problem: error.message().to_owned() }
            })?
        };
        credentials.pubnub.check()?;
        credentials.filescom.check()?;
        credentials.fileio.check()?;
        Ok(credentials)
    }
}
