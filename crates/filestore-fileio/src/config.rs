//! [`FileIoConfig`] and [`FileIo`], the backend as a configuration file knows it.

use std::sync::Arc;

use filestore_core::{Backend, FileStore, Key, KeyKind, Options, Result, Settings};
use filestore_http::{HttpConfig, base_url, check_credentials, with_http_keys};
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use crate::{FileIoStore, FileIoUpload, options};

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

/// The backend `fileio`, for a [`Registry`](filestore_core::Registry).
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "a name for code")]
pub struct FileIo;

static KEYS: [Key; 2 + filestore_http::KEYS.len()] = with_http_keys([
    Key::new("base_url", KeyKind::Text, "scheme, host and port of the service").default("https://file.io"),
    Key::new("api_key", KeyKind::Secret, "the API key of an account; without it everything is anonymous"),
]);

impl FileIo {
    /// The store itself, with what it has beyond a [`FileStore`]. *Config* when the settings are wrong.
    pub fn connect(&self, settings: &Settings) -> Result<FileIoStore> {
        let mut config: FileIoConfig = settings.read(&KEYS)?;
        config.http = settings.read(&KEYS)?;
        FileIoStore::new(config)
    }
}

impl Backend for FileIo {
    fn name(&self) -> &'static str {
        "fileio"
    }

    fn about(&self) -> &'static str {
        "file.io and servers like it: a link to a file, usually for one download"
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
        options.require(Arc::new(settings.read::<FileIoUpload>(&options::KEYS)?));
        Ok(options)
    }
}
