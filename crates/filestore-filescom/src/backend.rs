//! The backend `filescom`: its keys, and stores made of its settings.

use std::sync::Arc;

use filestore_core::{Backend, FileStore, Key, KeyKind, Options, Result, Settings};
use filestore_http::{read_settings, with_http_keys};

use crate::config::http;
use crate::{FilesComConfig, FilesComStore, FilesComUpload, options};

/// The backend `filescom`, for a [`Registry`](filestore_core::Registry).
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "a name for code")]
pub struct FilesCom;

const OWN: usize = 10;

static KEYS: [Key; OWN + filestore_http::KEYS.len()] = with_own_defaults(with_http_keys([
    Key::new("base_url", KeyKind::Text, "scheme, host and port of the site").default("https://app.files.com"),
    Key::new("api_key", KeyKind::Secret, "an API key; either this or session_id"),
    Key::new("session_id", KeyKind::Secret, "the id of a session that somebody logged in"),
    Key::new("workspace_id", KeyKind::Integer, "the workspace that requests are for; the service's default unless set"),
    Key::new("root", KeyKind::Text, "the folder of the site that this store is; all of the site unless set"),
    Key::new(
        "verify",
        KeyKind::Text,
        "etag: MD5 of parts up, digest of the service down; crc32: of the whole, both ways; none: lengths only",
    )
    .default("etag"),
    Key::new("parallel", KeyKind::Integer, "how many parts of one file are on their way at once").default("8"),
    Key::new("part_size", KeyKind::Text, "the size of parts, such as 64MiB; chosen by the size of the file unless set"),
    Key::new("memory", KeyKind::Text, "how much content of one transfer is held in memory at most").default("48MiB"),
    Key::new("language", KeyKind::Text, "the language of the service's error messages, such as de"),
]));

/// The keys of HTTP with the defaults of [`http`].
const fn with_own_defaults<const N: usize>(mut keys: [Key; N]) -> [Key; N] {
    // The order of `filestore_http::KEYS`; a test compares.
    keys[OWN] = keys[OWN].default("30s");
    keys[OWN + 1] = keys[OWN + 1].default("80s");
    keys
}

impl FilesCom {
    /// The store itself, with what it has beyond a [`FileStore`]. *Config* when the settings are wrong.
    pub fn connect(&self, settings: &Settings) -> Result<FilesComStore> {
        let (own, http) = read_settings::<FilesComConfig>(settings, &KEYS, &http())?;
        FilesComStore::new(FilesComConfig { http, ..own })
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
    fn the_documented_defaults_are_those_that_hold() {
        let default = |name: &str| KEYS.iter().find(|key| key.name == name).and_then(|key| key.default);
        let config = FilesComConfig::default();
        assert_eq!(default("connect_timeout"), Some("30s"));
        assert_eq!(default("idle_timeout"), Some("80s"));
        assert_eq!((config.http.connect_timeout.as_secs(), config.http.idle_timeout.as_secs()), (30, 80));
        assert_eq!(default("memory"), Some(config.memory.to_string().as_str()));
        assert_eq!(default("parallel"), Some(config.parallel.to_string().as_str()));
    }
}
