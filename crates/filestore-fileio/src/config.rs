//! [`FileIoConfig`] and [`FileIo`], the backend as a configuration file knows it.

use filestore_core::Result;
use filestore_http::{HttpConfig, base_url, check_credentials};
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

/// Where the service is, and who asks.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct FileIoConfig {
    /// Scheme, host and port. The default, `https://file.io`, no longer answers.
    pub base_url: String,
    /// The API key of an account. Without one, uploads and downloads are anonymous, and listing,
    /// stat and delete are not to be had.
    pub api_key: Option<SecretString>,
    /// How HTTP is spoken.
    #[serde(skip)]
    pub http: HttpConfig,
}

impl Default for FileIoConfig {
    fn default() -> Self {
        Self { base_url: "https://file.io".to_owned(), api_key: None, http: HttpConfig::default() }
    }
}

impl FileIoConfig {
    /// The server at `base_url`, anonymously.
    pub fn new(base_url: impl Into<String>) -> Self {
        Self { base_url: base_url.into(), ..Self::default() }
    }

    /// With the API key of an account.
    pub fn api_key(mut self, api_key: impl Into<String>) -> Self {
        self.api_key = Some(SecretString::from(api_key.into()));
        self
    }

    /// With other time limits, a proxy and so on.
    pub fn http(mut self, http: HttpConfig) -> Self {
        self.http = http;
        self
    }

    /// The base URL, with nothing but scheme, host and port. *Config* if that or the key cannot be right.
    pub(crate) fn check(&self) -> Result<Url> {
        check_credentials([("api_key", self.api_key.as_ref())])?;
        base_url(&self.base_url, "https://file.io")
    }
}
