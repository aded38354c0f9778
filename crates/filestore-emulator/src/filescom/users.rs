//! Who may use the emulated Files.com: users with a password, an API key, or both.

use std::fmt;

use serde::Deserialize;

use super::path::{RemotePath, Trailing};
use crate::credentials::{CredentialsError, FILESCOM_API_KEY, FILESCOM_PASSWORD, FILESCOM_USER};

/// The ids of users count from here.
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
    /// The second factor, which a login then needs.
    pub(super) otp: Option<String>,
    /// The only folder that this user can use; absent: all of the site.
    #[serde(default)]
    pub(super) path: String,
    /// Some of `lrwd`: list, read, write, delete.
    #[serde(default = "everything")]
    pub(super) permissions: String,
}

fn everything() -> String {
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
            permissions: everything(),
        };
        Users { users: vec![user] }
    }

    pub(crate) fn check(&self) -> Result<(), CredentialsError> {
        for user in &self.users {
            let reject =
                |problem| Err(CredentialsError::Account { service: "filescom user", name: user.name.clone(), problem });
            let others = || self.users.iter().filter(|other| !std::ptr::eq(*other, user));
            if user.name.is_empty() || others().any(|other| other.name == user.name) {
                return reject("`name` must be there, and no other user's");
            }
            if user.password.is_none() && user.api_key.is_none() {
                return reject("it needs a `password`, an `api_key` or both");
            }
            if let Some(key) = &user.api_key {
                // The official clients reject any other before they send it.
                if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                    return reject("`api_key` must be letters and digits");
                }
                if others().any(|other| other.api_key.as_ref() == Some(key)) {
                    return reject("`api_key` is another user's too");
                }
            }
            if user.otp.is_some() && user.password.is_none() {
                return reject("`otp` needs a `password`");
            }
            if user.permissions.chars().any(|letter| !"lrwd".contains(letter)) {
                return reject("`permissions` are some of the letters lrwd");
            }
            if RemotePath::of_text(&user.path, Trailing::RejectedEverywhere).is_err() {
                return reject("`path` is no path of the service");
            }
        }
        Ok(())
    }

    /// The key that a configuration written for this emulator should use.
    pub(crate) fn first_api_key(&self) -> Option<&str> {
        self.users.iter().find_map(|user| user.api_key.as_deref())
    }

    pub(super) fn of_key(&self, key: &str) -> Option<&User> {
        self.users.iter().find(|user| user.api_key.as_deref() == Some(key))
    }

    pub(super) fn named(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }

    pub(super) fn id(&self, name: &str) -> u64 {
        let place = self.users.iter().position(|user| user.name == name).unwrap_or(0);
        FIRST_ID + place as u64
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}
