//! Who may use the emulated PubNub: keysets, and what each of them allows.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::credentials::{CredentialsError, PUBNUB_PUBLISH_KEY, PUBNUB_SECRET_KEY, PUBNUB_SUBSCRIBE_KEY};

/// What the service documents as 5 MB, of stored bytes.
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
    /// Whether the keyset has the Files add-on.
    #[serde(default = "yes")]
    pub(super) files: bool,
    /// Whether requests need a token or a signature.
    #[serde(default)]
    pub(super) access_manager: bool,
    /// The largest file, in stored bytes.
    #[serde(default = "max_file_bytes")]
    pub(super) max_file_bytes: u64,
    /// 0: for ever.
    #[serde(default = "retention_days")]
    pub(super) file_retention_days: u32,
    /// 0: for ever.
    #[serde(default = "retention_days")]
    pub(super) message_retention_days: u32,
}

/// What the control API shows of a keyset, and changes.
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
            // They stand in paths and in object keys as they are.
            let plain = |key: &&String| {
                !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            };
            if !keys.iter().all(plain) {
                return reject("keys are made of letters, digits, `-` and `_`");
            }
            let same = |other: &&Keyset| other.subscribe_key == keyset.subscribe_key;
            if self.keysets.iter().filter(same).count() > 1 {
                return reject("`subscribe_key` is another keyset's too");
            }
        }
        Ok(())
    }

    /// The keyset that a configuration written for this emulator should use.
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

    /// Changes what is given.
    pub(super) fn set(&mut self, settings: &Settings) {
        fn set<T: Copy>(field: &mut T, given: Option<T>) {
            *field = given.unwrap_or(*field);
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
