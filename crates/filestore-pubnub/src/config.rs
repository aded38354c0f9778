//! [`PubNubConfig`] and [`PubNub`], the backend as a configuration file knows it.

use filestore_core::{Error, Result};
use filestore_http::{HttpConfig, base_url, check_credentials};
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use crate::Crypto;
use crate::channel::check_channel;

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
