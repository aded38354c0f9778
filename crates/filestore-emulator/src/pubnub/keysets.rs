//! Keysets of the emulated PubNub: their keys, add-ons and limits.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::credentials::{CredentialsError, PUBNUB_PUBLISH_KEY, PUBNUB_SECRET_KEY, PUBNUB_SUBSCRIBE_KEY};

/// The default size limit in stored bytes. The service documents it as 5 MB.
const MAX_FILE_BYTES: u64 = 5 * 1024 * 1024;
const RETENTION_DAYS: u32 = 30;

/// The keysets of the emulated service, the table `pubnub` of a credentials file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Keysets {
    #[serde(default)]
    keysets: Vec<Keyset>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Keyset {
    pub(crate) publish_key: String,
    pub(crate) subscribe_key: String,
    pub(crate) secret_key: String,
    /// `true` if the keyset has the Files add-on.
    #[serde(default = "yes")]
    pub(super) files: bool,
    /// `true` if the keyset has Access Manager: requests need a token or a signature.
    #[serde(default)]
    pub(super) access_manager: bool,
    /// The maximum size of a file, in stored bytes.
    #[serde(default = "max_file_bytes")]
    pub(super) max_file_bytes: u64,
    /// The time that files are stored; 0: without limit.
    #[serde(default = "retention_days")]
    pub(super) file_retention_days: u32,
    /// The time that messages stay in history; 0: without limit.
    #[serde(default = "retention_days")]
    pub(super) message_retention_days: u32,
}

/// The settings of a keyset that the control API shows and changes. Absent settings are not changed.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    files: Option<bool>,
    access_manager: Option<bool>,
    max_file_bytes: Option<u64>,
    file_retention_days: Option<u32>,
    message_retention_days: Option<u32>,
}

impl Keysets {
    pub(crate) fn fixed() -> Self {
        let keyset = Keyset {
            publish_key: PUBNUB_PUBLISH_KEY.to_owned(),
            subscribe_key: PUBNUB_SUBSCRIBE_KEY.to_owned(),
            secret_key: PUBNUB_SECRET_KEY.to_owned(),
            files: true,
            access_manager: false,
            max_file_bytes: MAX_FILE_BYTES,
            file_retention_days: RETENTION_DAYS,
            message_retention_days: RETENTION_DAYS,
        };
        Keysets { keysets: vec![keyset] }
    }

    pub(crate) fn check(&self) -> Result<(), CredentialsError> {
        for keyset in &self.keysets {
            let reject = |problem| {
                let name = keyset.subscribe_key.clone();
                Err(CredentialsError::Account { service: "pubnub keyset", name, problem })
            };
            let keys = [&keyset.publish_key, &keyset.subscribe_key, &keyset.secret_key];
            // Keys are parts of paths and of object keys, without escaping.
            let is_plain = |key: &&String| {
                !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            };
            if !keys.iter().all(is_plain) {
                return reject("its keys must consist of letters, digits, `-` and `_`");
            }
            let has_same_key = |other: &&Keyset| other.subscribe_key == keyset.subscribe_key;
            if self.keysets.iter().filter(has_same_key).count() > 1 {
                return reject("another keyset has the same `subscribe_key`");
            }
        }
        Ok(())
    }

    /// Returns the keyset to use in the client configuration that the emulator writes.
    pub(crate) fn first(&self) -> Option<&Keyset> {
        self.keysets.first()
    }

    pub(super) fn find(&self, subscribe_key: &str) -> Option<&Keyset> {
        self.keysets.iter().find(|keyset| keyset.subscribe_key == subscribe_key)
    }

    pub(super) fn find_mut(&mut self, subscribe_key: &str) -> Option<&mut Keyset> {
        self.keysets.iter_mut().find(|keyset| keyset.subscribe_key == subscribe_key)
    }
}

impl Keyset {
    pub(super) fn settings(&self) -> Settings {
        Settings {
            files: Some(self.files),
            access_manager: Some(self.access_manager),
            max_file_bytes: Some(self.max_file_bytes),
            file_retention_days: Some(self.file_retention_days),
            message_retention_days: Some(self.message_retention_days),
        }
    }

    /// Changes the settings that are present.
    pub(super) fn set(&mut self, settings: &Settings) {
        fn set<T: Copy>(field: &mut T, value: Option<T>) {
            *field = value.unwrap_or(*field);
        }
        set(&mut self.files, settings.files);
        set(&mut self.access_manager, settings.access_manager);
        set(&mut self.max_file_bytes, settings.max_file_bytes);
        set(&mut self.file_retention_days, settings.file_retention_days);
        set(&mut self.message_retention_days, settings.message_retention_days);
    }
}

fn yes() -> bool {
    true
}

fn max_file_bytes() -> u64 {
    MAX_FILE_BYTES
}

fn retention_days() -> u32 {
    RETENTION_DAYS
}

impl fmt::Debug for Keyset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyset").field("subscribe_key", &self.subscribe_key).finish_non_exhaustive()
    }
}
