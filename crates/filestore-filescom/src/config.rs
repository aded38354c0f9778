//! [`FilesComConfig`] and [`FilesCom`], the backend as a configuration file knows it.

use std::num::NonZeroU32;
use std::time::Duration;

use filestore_core::Result;
use filestore_http::{HttpConfig, base_url, check_credentials};
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use crate::ByteSize;

/// Which site, who asks, and how content is moved.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct FilesComConfig {
    /// Scheme, host and port of the site: `https://app.files.com` for any, or the site's own.
    pub base_url: String,
    /// An API key. One of this and `session_id`, not both.
    pub api_key: Option<SecretString>,
    /// The id of a session that somebody logged in.
    pub session_id: Option<SecretString>,
    /// The workspace that requests are for; none: the service's default.
    pub workspace_id: Option<u64>,
    /// The folder of the site that this store is; empty: all of it.
    pub root: String,
    /// What is checked of content on its way.
    pub verify: Verify,
    /// How many parts of one file are on their way at once.
    pub parallel: NonZeroU32,
    /// The size of parts; none: chosen by the size of the file, 16 MiB or more.
    pub part_size: Option<ByteSize>,
    /// How much content of one transfer is held in memory at most: parts of a body that is a stream,
    /// ranges of a large download.
    pub memory: ByteSize,
    /// The language of the service's error messages, such as `de`.
    pub language: Option<String>,
    /// How HTTP is spoken.
    #[serde(skip)]
    pub http: HttpConfig,
}

/// What is checked of content on its way. Lengths always are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Verify {
    /// Up: the MD5 of each part against the storage's `ETag`. Down: the digest that the service has,
    /// CRC-32 before MD5. No request more than without.
    #[default]
    Etag,
    /// The same, and the CRC-32 of the whole file both ways. The service computes it after the upload,
    /// so this asks until it is there.
    Crc32,
    /// Nothing but lengths.
    None,
}

impl Default for FilesComConfig {
    fn default() -> Self {
        Self {
            base_url: "https://app.files.com".to_owned(),
            api_key: None,
            session_id: None,
            workspace_id: None,
            root: String::new(),
            verify: Verify::Etag,
            parallel: NonZeroU32::new(8).unwrap_or(NonZeroU32::MIN),
            part_size: None,
            memory: ByteSize::mib(48),
            language: None,
            http: http(),
        }
    }
}

/// The service's own clients wait longer than others: 30 s for a connection, 80 s without progress.
pub(crate) fn http() -> HttpConfig {
    HttpConfig {
        connect_timeout: Duration::from_secs(30),
        idle_timeout: Duration::from_secs(80),
        ..HttpConfig::default()
    }
}

impl FilesComConfig {
    /// The site at `base_url`.
    pub fn new(base_url: impl Into<String>) -> Self {
        Self { base_url: base_url.into(), ..Self::default() }
    }

    /// With an API key.
    pub fn api_key(mut self, api_key: impl Into<String>) -> Self {
        self.api_key = Some(SecretString::from(api_key.into()));
        self
    }

    /// With the id of a session.
    pub fn session_id(mut self, session_id: impl Into<String>) -> Self {
        self.session_id = Some(SecretString::from(session_id.into()));
        self
    }

    /// For one workspace.
    pub fn workspace_id(mut self, workspace_id: u64) -> Self {
        self.workspace_id = Some(workspace_id);
        self
    }

    /// Only what is below this folder.
    pub fn root(mut self, root: impl Into<String>) -> Self {
        self.root = root.into();
        self
    }

    /// With other checks of content.
    pub fn verify(mut self, verify: Verify) -> Self {
        self.verify = verify;
        self
    }

    /// With other time limits, a proxy and so on.
    pub fn http(mut self, http: HttpConfig) -> Self {
        self.http = http;
        self
    }

    /// The base URL, with nothing but scheme, host and port. *Config* if that or a credential cannot be right.
    pub(crate) fn check(&self) -> Result<Url> {
        check_credentials([("api_key", self.api_key.as_ref()), ("session_id", self.session_id.as_ref())])?;
        base_url(&self.base_url, "https://app.files.com")
    }
}
