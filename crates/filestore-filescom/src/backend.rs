//! The backend `filescom`: its configuration keys, and the creation of a store from settings.

use std::sync::Arc;

use filestore_core::{Backend, FileStore, Key, KeyKind, Options, Result, Settings};
use filestore_http::{read_settings, with_http_keys};

use crate::config::http;
use crate::{FilesComConfig, FilesComStore, FilesComUpload, options};

/// The backend `filescom`, for a [`Registry`](filestore_core::Registry).
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "a name without fields")]
pub struct FilesCom;

/// The number of keys of this backend, before those of the HTTP client.
const FILESCOM_KEYS: usize = 10;

static KEYS: [Key; FILESCOM_KEYS + filestore_http::KEYS.len()] = with_filescom_defaults(with_http_keys([
    Key::new("base_url", KeyKind::Text, "scheme, host and port of the site").default("https://app.files.com"),
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
        .default("8"),
    Key::new("part_size", KeyKind::Text, "the size of parts, such as 64MiB; chosen by the size of the file unless set"),
    Key::new("memory", KeyKind::Text, "the maximum amount of content of one transfer in memory").default("48MiB"),
    Key::new("language", KeyKind::Text, "the language of the service's error messages, such as de"),
]));

/// Sets the defaults of [`http`] in the keys of the HTTP client.
const fn with_filescom_defaults<const N: usize>(mut keys: [Key; N]) -> [Key; N] {
    // The order of `filestore_http::KEYS`; a test checks it.
    keys[FILESCOM_KEYS] = keys[FILESCOM_KEYS].default("30s");
    keys[FILESCOM_KEYS + 1] = keys[FILESCOM_KEYS + 1].default("80s");
    keys
}

impl FilesCom {
    /// Creates the store, with its methods beyond those of a [`FileStore`]. *Config* if a setting is invalid.
    pub fn connect(&self, settings: &Settings) -> Result<FilesComStore> {
        let (config, http) = read_settings::<FilesComConfig>(settings, &KEYS, &http())?;
        FilesComStore::new(FilesComConfig { http, ..config })
    }
}

impl Backend for FilesCom {
    fn name(&self) -> &'static str {
        "filescom"
    }

    fn about(&self) -> &'static str {
        "Files.com: a site's folders and files"
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
        options.required(Arc::new(settings.read::<FilesComUpload>(&options::KEYS)?));
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_defaults_are_those_of_the_configuration() {
        let default = |name: &str| KEYS.iter().find(|key| key.name == name).and_then(|key| key.default);
        let config = FilesComConfig::default();
        assert_eq!(default("connect_timeout"), Some("30s"));
        assert_eq!(default("idle_timeout"), Some("80s"));
        assert_eq!((config.http.connect_timeout.as_secs(), config.http.idle_timeout.as_secs()), (30, 80));
        assert_eq!(default("memory"), Some(config.memory.to_string().as_str()));
        assert_eq!(default("parallel"), Some(config.parallel.to_string().as_str()));
    }
}
