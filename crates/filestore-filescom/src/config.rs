//! [`FilesComConfig`]: the site, the credential, the limits and checks of transfers, and the configuration keys of all.

use std::num::NonZeroU32;
use std::time::Duration;

use filestore_core::{Error, Key, KeyKind, Result};
use filestore_http::{HttpConfig, base_url, check_credentials, with_http_keys};
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use crate::ByteSize;

/// The site, the credential, and the limits and checks of transfers.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct FilesComConfig {
    /// Scheme, host and port of the site: `https://app.files.com` works for every site; or the site's own host. A path is
    /// the prefix of a gateway in front of the site, which removes it.
    pub base_url: String,
    /// An API key. Set either this or `session_id`.
    pub api_key: Option<SecretString>,
    /// The id of a session, from a [`login`](crate::FilesComStore::login).
    pub session_id: Option<SecretString>,
    /// The id of the workspace for all requests; `None`: the service's default.
    pub workspace_id: Option<u64>,
    /// The folder of the site that is the root of this store; empty: the whole site.
    pub root: String,
    /// The checks of transferred content.
    pub verify: Verify,
    /// The maximum number of parts of one file that are transferred at once. Default: 16. The parts of
    /// all files together are at most 64.
    pub parallel: NonZeroU32,
    /// The part size, 5 MiB to 5 GiB; `None`: chosen by the size of the file, 16 MiB or more.
    pub part_size: Option<ByteSize>,
    /// The maximum amount of content of one transfer in memory: parts of a body that is a stream, ranges of a large
    /// download. Default: 48 MiB.
    pub memory: ByteSize,
    /// The language of the service's error messages, such as `de`.
    pub language: Option<String>,
    /// Timeouts, retries, proxy and TLS of the HTTP client.
    #[serde(skip)]
    pub http: HttpConfig,
}

/// The path of the API, which begins the path of each request.
pub(crate) const API_PATH: &str = "/api/rest/v1/";

/// The number of keys of this backend, before those of the HTTP client.
const FILESCOM_KEYS: usize = 10;

/// The keys of this backend in a configuration.
pub(crate) static KEYS: [Key; FILESCOM_KEYS + filestore_http::KEYS.len()] = with_filescom_defaults(with_http_keys([
    Key::new("base_url", KeyKind::Text, "scheme, host, port and optional path prefix of the site")
        .default("https://app.files.com"),
    Key::new("api_key", KeyKind::Secret, "an API key; either this or session_id"),
    Key::new("session_id", KeyKind::Secret, "the id of a session, from a login"),
    Key::new(
        "workspace_id",
        KeyKind::Integer,
        "the id of the workspace for all requests; the service's default unless set",
    ),
    Key::new("root", KeyKind::Text, "the folder of the site that is the root of this store; the whole site unless set"),
    Key::new(
        "verify",
        KeyKind::Text,
        "etag: MD5 of each part of an upload, the service's digest of a download; crc32: also the CRC-32 of the whole \
         file; none: lengths only",
    )
    .default("etag"),
    Key::new("parallel", KeyKind::Integer, "the maximum number of parts of one file that are transferred at once")
        .default("16"),
    Key::new("part_size", KeyKind::Text, "the size of parts, 5MiB to 5GiB; chosen by the size of the file unless set"),
    Key::new("memory", KeyKind::Text, "the maximum amount of content of one transfer in memory").default("48MiB"),
    Key::new("language", KeyKind::Text, "the language of the service's error messages, such as de"),
]));

/// Sets the defaults of [`http`] in the keys of the HTTP client.
const fn with_filescom_defaults<const N: usize>(mut keys: [Key; N]) -> [Key; N] {
    // The order of `filestore_http::KEYS`; a test checks it.
    keys[FILESCOM_KEYS] = keys[FILESCOM_KEYS].default("30s");
    keys
}

/// The checks of transferred content. Lengths are always checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Verify {
    /// Upload: the MD5 of each part against the storage's `ETag`. Download: the digest that the service has, CRC-32
    /// before MD5. This needs no additional request.
    #[default]
    Etag,
    /// The same, and the CRC-32 of the whole file of uploads and downloads. The service computes it after the upload,
    /// so this polls until it is known.
    Crc32,
    /// Only lengths.
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
            parallel: NonZeroU32::new(16).unwrap_or(NonZeroU32::MIN),
            part_size: None,
            memory: ByteSize::mib(48),
            language: None,
            http: http(),
        }
    }
}

/// Returns the default HTTP configuration, with the connect timeout of the service's own clients.
pub(crate) fn http() -> HttpConfig {
    HttpConfig { connect_timeout: Duration::from_secs(30), ..HttpConfig::default() }
}

impl FilesComConfig {
    /// Creates the configuration of the site at `base_url`.
    pub fn new(base_url: impl Into<String>) -> Self {
        Self { base_url: base_url.into(), ..Self::default() }
    }

    /// Sets the API key.
    pub fn api_key(mut self, api_key: impl Into<String>) -> Self {
        self.api_key = Some(SecretString::from(api_key.into()));
        self
    }

    /// Sets the id of the session.
    pub fn session_id(mut self, session_id: impl Into<String>) -> Self {
        self.session_id = Some(SecretString::from(session_id.into()));
        self
    }

    /// Sets the id of the workspace.
    pub fn workspace_id(mut self, workspace_id: u64) -> Self {
        self.workspace_id = Some(workspace_id);
        self
    }

    /// Sets the folder that is the root of the store.
    pub fn root(mut self, root: impl Into<String>) -> Self {
        self.root = root.into();
        self
    }

    /// Sets the checks of transferred content.
    pub fn verify(mut self, verify: Verify) -> Self {
        self.verify = verify;
        self
    }

    /// Sets the configuration of the HTTP client, such as timeouts and a proxy.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use filestore_filescom::{FilesComConfig, HttpConfig};
    ///
    /// let http = HttpConfig { response_timeout: Duration::from_secs(60), ..HttpConfig::default() };
    /// let config = FilesComConfig::new("https://app.files.com").http(http);
    /// ```
    pub fn http(mut self, http: HttpConfig) -> Self {
        self.http = http;
        self
    }

    /// Returns the base URL. *Config* if it, a credential or the part size is invalid.
    pub(crate) fn check(&self) -> Result<Url> {
        check_credentials([("api_key", self.api_key.as_ref()), ("session_id", self.session_id.as_ref())])?;
        self.part_size.map_or(Ok(()), ByteSize::check_part).map_err(|error| Error::config(error.message()))?;
        let base = base_url(&self.base_url, "https://app.files.com")?;
        // Other clients want it there.
        if base.path().ends_with(API_PATH) {
            return Err(Error::config(format!(
                "base_url ends with the path of the API, {API_PATH}, which each request adds; remove it"
            )));
        }
        Ok(base)
    }
}
