//! Who may use the emulated PubNub: keysets.

use std::fmt;

use serde::Deserialize;

use crate::credentials::{CredentialsError, PUBNUB_PUBLISH_KEY, PUBNUB_SECRET_KEY, PUBNUB_SUBSCRIBE_KEY};

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
    #[expect(dead_code, reason = "signatures come next")]
    pub(crate) secret_key: String,
}

impl Keysets {
    pub(crate) fn fixed() -> Self {
        let keyset = Keyset {
            publish_key: PUBNUB_PUBLISH_KEY.to_owned(),
            subscribe_key: PUBNUB_SUBSCRIBE_KEY.to_owned(),
            secret_key: PUBNUB_SECRET_KEY.to_owned(),
        };
        Keysets { keysets: vec![keyset] }
    }

    pub(crate) fn check(&self) -> Result<(), CredentialsError> {
        Ok(())
    }

    /// The keyset that a configuration written for this emulator should use.
    pub(crate) fn first(&self) -> Option<&Keyset> {
        self.keysets.first()
    }
}

impl fmt::Debug for Keyset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyset").field("subscribe_key", &self.subscribe_key).finish_non_exhaustive()
    }
}
