//! [`FileIoConfig`]: the configuration of a store, and its keys.

use filestore_core::{Key, KeyKind, Result};
use filestore_http::{HttpConfig, base_url, check_credentials, with_http_keys};
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

/// The configuration of a [`FileIoStore`](crate::FileIoStore).
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct FileIoConfig {
    /// Scheme, host and port. A path is the prefix of a gateway in front of the service, which removes it. The default, `https://file.io`, no longer serves the API.
    pub base_url: String,
    /// The API key of an account. Without one, uploads and downloads are anonymous, and listing, stat and delete are
    /// unsupported.
    pub api_key: Option<SecretString>,
    /// Timeouts, retries, proxy and other HTTP settings.
    #[serde(skip)]
    pub http: HttpConfig,
}

/// The keys of this backend in a configuration.
pub(crate) static KEYS: [Key; 2 + filestore_http::KEYS.len()] = with_http_keys([
    Key::new("base_url", KeyKind::Text, "scheme, host, port and optional path prefix of the service")
        .default("https://file.io"),
    Key::new("api_key", KeyKind::Secret, "the API key of an account; without it, all requests are anonymous"),
]);

impl Default for FileIoConfig {
    fn default() -> Self {
        Self { base_url: "https://file.io".to_owned(), api_key: None, http: HttpConfig::default() }
    }
}

impl FileIoConfig {
    /// Creates a configuration for the server at `base_url`, without an API key.
    pub fn new(base_url: impl Into<String>) -> Self {
        Self { base_url: base_url.into(), ..Self::default() }
    }

    /// Sets the API key of an account.
    pub fn api_key(mut self, api_key: impl Into<String>) -> Self {
        self.api_key = Some(SecretString::from(api_key.into()));
        self
    }

    /// Sets timeouts, retries, proxy and other HTTP settings.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use filestore_fileio::{FileIoConfig, HttpConfig};
    ///
    /// let http = HttpConfig { response_timeout: Duration::from_secs(60), ..HttpConfig::default() };
    /// let config = FileIoConfig::new("http://127.0.0.1:7070").http(http);
    /// ```
    pub fn http(mut self, http: HttpConfig) -> Self {
        self.http = http;
        self
    }

    /// Returns the base URL. *Config* if it has more than scheme, host, port and path, or if the API key is empty.
    pub(crate) fn check(&self) -> Result<Url> {
        check_credentials([("api_key", self.api_key.as_ref())])?;
        base_url(&self.base_url, "https://file.io")
    }
}
