//! [`PubNubConfig`]: the configuration of a store, and its keys.

use filestore_core::{Error, Key, KeyKind, Result};
use filestore_http::{HttpConfig, base_url, check_credentials, with_http_keys};
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use crate::Crypto;
use crate::channel::check_channel;

/// The maximum stored size of a file, unless PubNub has raised the limit of the keyset: 5 MiB.
pub(crate) const DEFAULT_MAX_FILE_SIZE: u64 = 5 * 1024 * 1024;

/// The configuration of a [`PubNubStore`](crate::PubNubStore): a keyset, a user id and settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct PubNubConfig {
    /// The scheme, host and port of the service. A path is the prefix of a gateway in front of the service, which removes it:
    /// signatures do not cover it.
    pub base_url: String,
    /// The channel of uploads and listings that have no scope.
    pub channel: Option<String>,
    /// The id of the user that the store acts as, 1 to 92 bytes. Sent with every request.
    pub user_id: String,
    /// The publish key of the keyset.
    pub publish_key: SecretString,
    /// The subscribe key of the keyset.
    pub subscribe_key: SecretString,
    /// The secret key of the keyset. If it is set, every request is signed, and every operation is permitted.
    pub secret_key: Option<SecretString>,
    /// An Access Manager token.
    pub token: Option<SecretString>,
    /// An auth key of the older Access Manager. It is ignored if `token` is set.
    pub auth_key: Option<SecretString>,
    /// The key that encrypts and decrypts files and messages. `None` stores them unencrypted.
    pub cipher_key: Option<SecretString>,
    /// The scheme that encrypts. Decryption detects the scheme of a file.
    pub crypto: Crypto,
    /// The maximum stored size of a file in bytes, after encryption. PubNub's support can raise the keyset's limit.
    pub max_file_size: u64,
    /// Timeouts, retries, proxy and other settings of HTTP.
    #[serde(skip)]
    pub http: HttpConfig,
}

/// The keys of this backend in a configuration.
pub(crate) static KEYS: [Key; 11 + filestore_http::KEYS.len()] = with_http_keys([
    Key::new("base_url", KeyKind::Text, "scheme, host, port and optional path prefix of the service")
        .default("https://ps.pndsn.com"),
    Key::new("channel", KeyKind::Text, "the channel of uploads and listings that have no scope"),
    Key::new("user_id", KeyKind::Text, "the id of the user that the store acts as, 1 to 92 bytes").required(),
    Key::new("publish_key", KeyKind::Secret, "the publish key of the keyset").required(),
    Key::new("subscribe_key", KeyKind::Secret, "the subscribe key of the keyset").required(),
    Key::new("secret_key", KeyKind::Secret, "the secret key of the keyset, which signs every request"),
    Key::new("token", KeyKind::Secret, "an Access Manager token"),
    Key::new("auth_key", KeyKind::Secret, "an auth key of the older Access Manager; ignored if token is set"),
    Key::new("cipher_key", KeyKind::Secret, "the key that encrypts and decrypts files and messages"),
    Key::new("crypto", KeyKind::Text, "the scheme that encrypts with cipher_key: acrh, legacy or legacy-static-iv")
        .default("acrh")
        .needs("cipher_key"),
    Key::new("max_file_size", KeyKind::Integer, "the maximum stored size of a file in bytes, after encryption")
        .default("5242880"),
]);

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
            max_file_size: DEFAULT_MAX_FILE_SIZE,
            http: HttpConfig::default(),
        }
    }
}

fn secret(text: impl Into<String>) -> SecretString {
    SecretString::from(text.into())
}

impl PubNubConfig {
    /// Creates a configuration with the keys of a keyset and a user id.
    pub fn new(publish_key: impl Into<String>, subscribe_key: impl Into<String>, user_id: impl Into<String>) -> Self {
        Self {
            publish_key: secret(publish_key),
            subscribe_key: secret(subscribe_key),
            user_id: user_id.into(),
            ..Self::default()
        }
    }

    /// Sets the scheme, host, port and optional path prefix of the service.
    pub fn base_url(mut self, base_url: impl Into<String>) -> Self {
        self.base_url = base_url.into();
        self
    }

    /// Sets the channel of uploads and listings that have no scope.
    pub fn channel(mut self, channel: impl Into<String>) -> Self {
        self.channel = Some(channel.into());
        self
    }

    /// Sets the secret key, which signs every request.
    pub fn secret_key(mut self, secret_key: impl Into<String>) -> Self {
        self.secret_key = Some(secret(secret_key));
        self
    }

    /// Sets an Access Manager token.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(secret(token));
        self
    }

    /// Sets the scheme that encrypts, and the key that encrypts and decrypts files and messages.
    pub fn cipher_key(mut self, crypto: Crypto, cipher_key: impl Into<String>) -> Self {
        (self.crypto, self.cipher_key) = (crypto, Some(secret(cipher_key)));
        self
    }

    /// Sets the maximum stored size of a file in bytes, after encryption.
    pub fn max_file_size(mut self, bytes: u64) -> Self {
        self.max_file_size = bytes;
        self
    }

    /// Sets timeouts, retries, proxy and other settings of HTTP.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use filestore_pubnub::{HttpConfig, PubNubConfig};
    ///
    /// let http = HttpConfig { response_timeout: Duration::from_secs(60), ..HttpConfig::default() };
    /// let config = PubNubConfig::new("pub-c-...", "sub-c-...", "server-1").http(http);
    /// ```
    pub fn http(mut self, http: HttpConfig) -> Self {
        self.http = http;
        self
    }

    /// Checks the configuration, and returns the base URL. *Config* if a value is invalid.
    pub(crate) fn check(&self) -> Result<Url> {
        let length = self.user_id.len();
        if !(1..=92).contains(&length) {
            return Err(Error::config(format!("user_id has {length} bytes; set one of 1 to 92 bytes")));
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
