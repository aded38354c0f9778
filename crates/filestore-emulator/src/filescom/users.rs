//! Users of the emulated Files.com, with a password, an API key, or both.

use std::fmt;

use serde::Deserialize;

use super::path::{RemotePath, Trailing};
use crate::credentials::{CredentialsError, FILESCOM_API_KEY, FILESCOM_PASSWORD, FILESCOM_USER};

/// The id of the first user.
const FIRST_ID: u64 = 1001;

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
    pub(super) name: String,
    pub(super) password: Option<String>,
    pub(super) api_key: Option<String>,
    /// The second factor; `None`: a login needs none.
    pub(super) otp: Option<String>,
    /// The folder that the user is restricted to; empty: the whole site.
    #[serde(default)]
    pub(super) path: String,
    /// Letters of `lrwd`: list, read, write, delete.
    #[serde(default = "all_permissions")]
    pub(super) permissions: String,
}

fn all_permissions() -> String {
    "lrwd".to_owned()
}

impl Users {
    pub(crate) fn fixed() -> Self {
        let user = User {
            name: FILESCOM_USER.to_owned(),
            password: Some(FILESCOM_PASSWORD.to_owned()),
            api_key: Some(FILESCOM_API_KEY.to_owned()),
            otp: None,
            path: String::new(),
            permissions: all_permissions(),
        };
        Users { users: vec![user] }
    }

    pub(crate) fn check(&self) -> Result<(), CredentialsError> {
        for user in &self.users {
            let reject =
                |problem| Err(CredentialsError::Account { service: "filescom user", name: user.name.clone(), problem });
            let others = || self.users.iter().filter(|other| !std::ptr::eq(*other, user));
            if user.name.is_empty() || others().any(|other| other.name == user.name) {
                return reject("its `name` is empty, or the name of another user");
            }
            if user.password.is_none() && user.api_key.is_none() {
                return reject("it needs a `password`, an `api_key` or both");
            }
            if let Some(key) = &user.api_key {
                // The official clients send no key with other characters.
                if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                    return reject("its `api_key` must consist of letters and digits");
                }
                if others().any(|other| other.api_key.as_ref() == Some(key)) {
                    return reject("another user has the same `api_key`");
                }
            }
            if user.otp.is_some() && user.password.is_none() {
                return reject("it has an `otp` but no `password`");
            }
            if user.permissions.chars().any(|letter| !"lrwd".contains(letter)) {
                return reject("its `permissions` must be letters of `lrwd`");
            }
            if RemotePath::from_text(&user.path, Trailing::RejectedEverywhere).is_err() {
                return reject("its `path` is not a valid path of the service");
            }
        }
        Ok(())
    }

    /// Returns the key to use in the client configuration that the emulator writes.
    pub(crate) fn first_api_key(&self) -> Option<&str> {
        self.users.iter().find_map(|user| user.api_key.as_deref())
    }

    pub(super) fn by_api_key(&self, key: &str) -> Option<&User> {
        self.users.iter().find(|user| user.api_key.as_deref() == Some(key))
    }

    pub(super) fn by_name(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }

    pub(super) fn id(&self, name: &str) -> u64 {
        let index = self.users.iter().position(|user| user.name == name).unwrap_or(0);
        FIRST_ID + index as u64
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}
