//! The backend `filescom`: the creation of a store from settings.

use std::sync::Arc;

use filestore_core::{Backend, Error, FileStore, Key, Options, Result, Settings};
use filestore_http::read_settings;

use crate::config::{KEYS, http};
use crate::{ByteSize, FilesComConfig, FilesComStore, FilesComUpload, options};

/// The backend `filescom`, for a [`Registry`](filestore_core::Registry).
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "a name without fields")]
pub struct FilesCom;

impl FilesCom {
    /// Creates the store, with its methods beyond those of a [`FileStore`]. *Config* if a setting is invalid.
    pub(crate) fn connect(&self, settings: &Settings) -> Result<FilesComStore> {
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
        let upload = settings.read::<FilesComUpload>(&options::KEYS)?;
        upload.part_size.map_or(Ok(()), ByteSize::check_part).map_err(|error| Error::config(error.message()))?;
        let mut options = Options::default();
        options.required(Arc::new(upload));
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
        assert_eq!(default("idle_timeout"), Some("120s"));
        assert_eq!((config.http.connect_timeout.as_secs(), config.http.idle_timeout.as_secs()), (30, 120));
        assert_eq!(default("memory"), Some(config.memory.to_string().as_str()));
        assert_eq!(default("parallel"), Some(config.parallel.to_string().as_str()));
    }
}
