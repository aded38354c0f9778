//! Who may use the emulated Files.com: users with a password, an API key, or both.

use std::fmt;

use serde::Deserialize;

use crate::credentials::{CredentialsError, FILESCOM_API_KEY, FILESCOM_PASSWORD, FILESCOM_USER};

/// The users of the emulated site, the table `filescom` of a credentials file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Users {
    #[serde(default)]
    users: Vec<User>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct User {
    pub(crate) name: String,
    #[expect(dead_code, reason = "sessions come next")]
    pub(crate) password: Option<String>,
    pub(crate) api_key: Option<String>,
}

impl Users {
    pub(crate) fn fixed() -> Self {
        let user = User {
            name: FILESCOM_USER.to_owned(),
            password: Some(FILESCOM_PASSWORD.to_owned()),
            api_key: Some(FILESCOM_API_KEY.to_owned()),
        };
        Users { users: vec![user] }
    }

    pub(crate) fn check(&self) -> Result<(), CredentialsError> {
        Ok(())
    }

    /// The key that a configuration written for this emulator should use.
    pub(crate) fn first_api_key(&self) -> Option<&str> {
        self.users.iter().find_map(|user| user.api_key.as_deref())
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}
