//! [`PubNubConfig`] and [`PubNub`], the backend as a configuration file knows it.

use std::sync::Arc;

use filestore_core::{Backend, Error, FileStore, Key, KeyKind, Options, Result, Settings};
use filestore_http::{HttpConfig, base_url, check_credentials, with_http_keys};
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use crate::keyset::check_channel;
use crate::{Crypto, PubNubSend, PubNubStore, options};

/// The largest stored file of a keyset whose limit nobody raised: 5 MiB.
pub(crate) const LARGEST: u64 = 5 * 1024 * 1024;

/// A keyset, and who uses it.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct PubNubConfig {
    /// Scheme, host and port.
    pub base_url: String,
    /// The channel of files that are given none.
    pub channel: Option<String>,
    /// Who uses it: from 1 to 92 bytes.
    pub user_id: String,
    /// The publish key of the keyset.
    pub publish_key: SecretString,
    /// The subscribe key of the keyset.
    pub subscribe_key: SecretString,
    /// The secret key of the keyset. With it every request is signed, and may do everything.
    pub secret_key: Option<SecretString>,
    /// An Access Manager token.
    pub token: Option<SecretString>,
    /// An auth key of the older Access Manager; the token counts if both are there.
    pub auth_key: Option<SecretString>,
    /// Encrypts files and messages, and decrypts them.
    pub cipher_key: Option<SecretString>,
    /// The scheme that writes.
    pub crypto: Crypto,
    /// The largest stored file of the keyset in bytes, after encryption. PubNub's support raises it.
    pub max_file_size: u64,
    /// How HTTP is spoken.
    #[serde(skip)]
    pub http: HttpConfig,
}

impl Default for PubNubConfig {
    fn default() -> Self {
        Self {
            base_url: "https://ps.pndsn.com".to_owned(),
            channel: None,
            user_id: String::new(),
            publish_key: SecretString::default(),
            subscribe_key: SecretString::default(),
            secret_key: None,
            token: None,
            auth_key: None,
            cipher_key: None,
            crypto: Crypto::default(),
            max_file_size: LARGEST,
            http: HttpConfig::default(),
        }
    }
}

fn secret(text: impl Into<String>) -> SecretString {
    SecretString::from(text.into())
}

impl PubNubConfig {
    /// The keyset of these keys, as used by `user_id`.
    pub fn new(publish_key: impl Into<String>, subscribe_key: impl Into<String>, user_id: impl Into<String>) -> Self {
        Self {
            publish_key: secret(publish_key),
            subscribe_key: secret(subscribe_key),
            user_id: user_id.into(),
            ..Self::default()
        }
    }

    /// At another address.
    pub fn base_url(mut self, base_url: impl Into<String>) -> Self {
        self.base_url = base_url.into();
        self
    }

    /// With a channel for files that are given none.
    pub fn channel(mut self, channel: impl Into<String>) -> Self {
        self.channel = Some(channel.into());
        self
    }

    /// With the secret key: every request is signed.
    pub fn secret_key(mut self, secret_key: impl Into<String>) -> Self {
        self.secret_key = Some(secret(secret_key));
        self
    }

    /// With an Access Manager token.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(secret(token));
        self
    }

    /// Encrypts and decrypts; `crypto` writes.
    pub fn cipher_key(mut self, crypto: Crypto, cipher_key: impl Into<String>) -> Self {
        (self.crypto, self.cipher_key) = (crypto, Some(secret(cipher_key)));
        self
    }

    /// With another limit of stored bytes.
    pub fn max_file_size(mut self, bytes: u64) -> Self {
        self.max_file_size = bytes;
        self
    }

    /// With other time limits, a proxy and so on.
    pub fn http(mut self, http: HttpConfig) -> Self {
        self.http = http;
        self
    }

    /// The base URL, with nothing but scheme, host and port. *Config* if anything here cannot be right.
    pub(crate) fn check(&self) -> Result<Url> {
        let length = self.user_id.len();
        if !(1..=92).contains(&length) {
            return Err(Error::config(format!("user_id has {length} bytes; PubNub wants from 1 to 92")));
        }
        if let Some(channel) = &self.channel {
            check_channel(channel).map_err(|error| Error::config(error.message()))?;
        }
        check_credentials([
            ("publish_key", Some(&self.publish_key)),
            ("subscribe_key", Some(&self.subscribe_key)),
            ("secret_key", self.secret_key.as_ref()),
            ("token", self.token.as_ref()),
            ("auth_key", self.auth_key.as_ref()),
            ("cipher_key", self.cipher_key.as_ref()),
        ])?;
        base_url(&self.base_url, "https://ps.pndsn.com")
    }
}

/// The backend `pubnub`, for a [`Registry`](filestore_core::Registry).
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "a name for code")]
pub struct PubNub;

static KEYS: [Key; 11 + filestore_http::KEYS.len()] = with_http_keys([
    Key::new("base_url", KeyKind::Text, "scheme, host and port of the service").default("https://ps.pndsn.com"),
    Key::new("channel", KeyKind::Text, "the channel of files that are given none"),
    Key::new("user_id", KeyKind::Text, "who uses the keyset, from 1 to 92 bytes").required(),
    Key::new("publish_key", KeyKind::Secret, "the publish key of the keyset").required(),
    Key::new("subscribe_key", KeyKind::Secret, "the subscribe key of the keyset").required(),
    Key::new("secret_key", KeyKind::Secret, "the secret key of the keyset; with it every request is signed"),
    Key::new("token", KeyKind::Secret, "an Access Manager token"),
    Key::new("auth_key", KeyKind::Secret, "an auth key of the older Access Manager; the token counts if both are set"),
    Key::new("cipher_key", KeyKind::Secret, "encrypts files and messages, and decrypts them"),
    Key::new("crypto", KeyKind::Text, "the scheme that writes: acrh, legacy or legacy-static-iv").default("acrh"),
    Key::new("max_file_size", KeyKind::Integer, "the keyset's largest stored file in bytes, after encryption")
        .default("5242880"),
]);

impl PubNub {
    /// The store itself, with what it has beyond a [`FileStore`]. *Config* when the settings are wrong.
    pub fn connect(&self, settings: &Settings) -> Result<PubNubStore> {
        let mut config: PubNubConfig = settings.read(&KEYS)?;
        config.http = settings.read(&KEYS)?;
        PubNubStore::new(config)
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
        options.require(Arc::new(send));
        Ok(options)
    }
}
