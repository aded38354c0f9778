//! [`PubNub`]: the backend `pubnub`, which creates stores from the settings of a configuration file.

use std::sync::Arc;

use filestore_core::{Backend, Error, FileStore, Key, KeyKind, Options, Result, Settings};
use filestore_http::{HttpConfig, read_settings, with_http_keys};

use crate::{PubNubConfig, PubNubSend, PubNubStore, options};

/// The backend `pubnub`, for a [`Registry`](filestore_core::Registry).
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "a marker type without fields")]
pub struct PubNub;

static KEYS: [Key; 11 + filestore_http::KEYS.len()] = with_http_keys([
    Key::new("base_url", KeyKind::Text, "scheme, host and port of the service").default("https://ps.pndsn.com"),
    Key::new("channel", KeyKind::Text, "the channel of uploads and listings that have no scope"),
    Key::new("user_id", KeyKind::Text, "the id of the user that the store acts as, 1 to 92 bytes").required(),
    Key::new("publish_key", KeyKind::Secret, "the publish key of the keyset").required(),
    Key::new("subscribe_key", KeyKind::Secret, "the subscribe key of the keyset").required(),
    Key::new("secret_key", KeyKind::Secret, "the secret key of the keyset, which signs every request"),
    Key::new("token", KeyKind::Secret, "an Access Manager token"),
    Key::new("auth_key", KeyKind::Secret, "an auth key of the older Access Manager; ignored if token is set"),
    Key::new("cipher_key", KeyKind::Secret, "the key that encrypts and decrypts files and messages"),
    Key::new("crypto", KeyKind::Text, "the scheme that encrypts: acrh, legacy or legacy-static-iv").default("acrh"),
    Key::new("max_file_size", KeyKind::Integer, "the maximum stored size of a file in bytes, after encryption")
        .default("5242880"),
]);

impl PubNub {
    /// Creates a store, with the methods that PubNub has beyond [`FileStore`]. *Config* if the settings are invalid.
    pub fn connect(&self, settings: &Settings) -> Result<PubNubStore> {
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
