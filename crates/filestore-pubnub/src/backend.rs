//! [`PubNub`]: the backend `pubnub`, which creates stores from the settings of a configuration file.

use std::sync::Arc;

use filestore_core::{Backend, Error, FileStore, Key, Options, Result, Settings};
use filestore_http::{HttpConfig, read_settings};

use crate::config::KEYS;
use crate::{PubNubConfig, PubNubSend, PubNubStore, options};

/// The backend `pubnub`, for a [`Registry`](filestore_core::Registry).
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "a marker type without fields")]
pub struct PubNub;

impl PubNub {
    /// Creates a store, with the methods that PubNub has beyond [`FileStore`]. *Config* if the settings are invalid.
    pub(crate) fn connect(&self, settings: &Settings) -> Result<PubNubStore> {
        let (config, http) = read_settings::<PubNubConfig>(settings, &KEYS, &HttpConfig::default())?;
        PubNubStore::new(PubNubConfig { http, ..config })
    }
}

impl Backend for PubNub {
    fn name(&self) -> &'static str {
        "pubnub"
    }

    fn about(&self) -> &'static str {
        "PubNub Files: files of a channel, each announced by a message"
    }

    fn keys(&self) -> &'static [Key] {
        &KEYS
    }

    fn option_keys(&self) -> &'static [Key] {
        &options::KEYS
    }

    fn open(&self, settings: &Settings) -> Result<Arc<dyn FileStore>> {
        Ok(Arc::new(self.connect(settings)?))
    }

    fn options(&self, settings: &Settings) -> Result<Options> {
        let mut options = Options::default();
        let send: PubNubSend = settings.read(&options::KEYS)?;
        send.check().map_err(|error| Error::config(error.message()))?;
        options.required(Arc::new(send));
        Ok(options)
    }
}
