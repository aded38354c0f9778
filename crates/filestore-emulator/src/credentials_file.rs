//! The credentials of all services: the fixed ones, or those of a file that replaces them.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::credentials::{CredentialsError, FileioUsers};
use crate::filescom::Users;
use crate::pubnub::Keysets;

/// The users of every emulated service. A table for each of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    /// A service whose table is absent knows nobody.
    #[serde(default)]
    pub(crate) pubnub: Keysets,
    #[serde(default)]
    pub(crate) filescom: Users,
    #[serde(default)]
    pub(crate) fileio: FileioUsers,
}

impl Credentials {
    /// The credentials that are printed in the documentation, for everybody on this machine.
    pub(crate) fn fixed() -> Self {
        Credentials { pubnub: Keysets::fixed(), filescom: Users::fixed(), fileio: FileioUsers::fixed() }
    }

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
