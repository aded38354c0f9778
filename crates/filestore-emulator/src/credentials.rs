//! The fixed credentials of every service, and the accounts of file.io.

use std::{fmt, io};

use serde::Deserialize;

use crate::faults::Plan;

/// The API key of the built-in file.io account, which is on a paid plan.
pub const FILEIO_API_KEY: &str = "FILEIO0.EMULATO-RKEY000-0000000-0000000";

/// The publish key of the built-in PubNub keyset.
pub const PUBNUB_PUBLISH_KEY: &str = "pub-c-emulator";
/// The subscribe key of the built-in PubNub keyset.
pub const PUBNUB_SUBSCRIBE_KEY: &str = "sub-c-emulator";
/// The secret key of the built-in PubNub keyset.
pub const PUBNUB_SECRET_KEY: &str = "sec-c-emulator";
/// The API key of the built-in Files.com user.
pub const FILESCOM_API_KEY: &str = "filescomemulatorkey";
/// The name of the built-in Files.com user.
pub const FILESCOM_USER: &str = "emulator";
/// The password of the built-in Files.com user.
pub const FILESCOM_PASSWORD: &str = "emulator-password";

/// The error of a credentials file that is rejected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// The file cannot be read.
    #[error("cannot read the file: {0}")]
    Read(#[from] io::Error),
    /// The file is not TOML, or has an unknown key or an invalid value. The text of the line is not shown because it
    /// may contain an API key.
    #[error("line {line}: {problem}")]
    Toml {
        /// The line number, from 1.
        line: usize,
        /// The problem in that line.
        problem: String,
    },
    /// The file is not JSON, or has an unknown key or an invalid value.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// An account, user or keyset is invalid.
    #[error("{service} {name:?}: {problem}")]
    Account {
        /// The service.
        service: &'static str,
        /// The name of the account, user or keyset.
        name: String,
        /// The problem with it.
        problem: &'static str,
    },
}

/// The file.io table of a credentials file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileioUsers {
    #[serde(default)]
    pub(crate) anonymous: Anonymous,
    #[serde(default)]
    accounts: Vec<Account>,
}

/// The permissions and limits of clients without an API key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Anonymous {
    pub(crate) uploads: bool,
    pub(crate) max_upload_bytes: u64,
}

/// A file.io account.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Account {
    /// The owner of the files. So the API key can change without losing them.
    pub(crate) name: String,
    pub(crate) api_key: String,
    pub(crate) plan: Plan,
    max_upload_bytes: Option<u64>,
    max_storage_bytes: Option<u64>,
}

impl FileioUsers {
    /// Returns the built-in account, which the documentation shows.
    pub(crate) fn fixed() -> Self {
        let account = Account {
            name: "emulator".to_owned(),
            api_key: FILEIO_API_KEY.to_owned(),
            plan: Plan::Paid,
            max_upload_bytes: None,
            max_storage_bytes: None,
        };
        FileioUsers { anonymous: Anonymous::default(), accounts: vec![account] }
    }

    pub(crate) fn account(&self, api_key: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| account.api_key == api_key)
    }

    /// Returns the API key for the configuration file that the emulator writes.
    pub(crate) fn first_api_key(&self) -> Option<&str> {
        self.accounts.first().map(|account| account.api_key.as_str())
    }

    /// Checks that names and API keys are valid and unique.
    pub(crate) fn check(&self) -> Result<(), CredentialsError> {
        for account in &self.accounts {
            let reject = |problem| {
                let name = account.name.clone();
                Err(CredentialsError::Account { service: "fileio account", name, problem })
            };
            let others = || self.accounts.iter().filter(|other| !std::ptr::eq(*other, account));
            if account.name.is_empty() || others().any(|other| other.name == account.name) {
                return reject("`name` must not be empty, and no other account may have it");
            }
            if account.api_key.is_empty() || !account.api_key.bytes().all(|byte| byte.is_ascii_graphic()) {
                return reject("`api_key` must be printable ASCII without spaces");
            }
            if others().any(|other| other.api_key == account.api_key) {
                return reject("`api_key` is also another account's; each account needs its own");
            }
        }
        Ok(())
    }
}

impl Account {
    pub(crate) fn max_upload_bytes(&self) -> u64 {
        self.max_upload_bytes.unwrap_or(max_upload_bytes(self.plan))
    }

    pub(crate) fn max_storage_bytes(&self) -> u64 {
        self.max_storage_bytes.unwrap_or(match self.plan {
            Plan::Free => 100 << 30,
            Plan::Paid => 2 << 40,
        })
    }
}

/// Returns the default size limit of one file in bytes: 2 GiB on the free plan, 10 GiB on the paid one.
pub(crate) fn max_upload_bytes(plan: Plan) -> u64 {
    match plan {
        Plan::Free => 2 << 30,
        Plan::Paid => 10 << 30,
    }
}

impl Default for Anonymous {
    fn default() -> Self {
        Anonymous { uploads: true, max_upload_bytes: max_upload_bytes(Plan::Free) }
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("name", &self.name).field("plan", &self.plan).finish_non_exhaustive()
    }
}
