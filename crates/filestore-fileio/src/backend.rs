//! The backend `fileio`: the creation of a store from settings.

use std::sync::Arc;

use filestore_core::{Backend, FileRef, FileStore, Key, Options, Result, Settings};
use filestore_http::{HttpConfig, read_settings};

use crate::config::KEYS;
use crate::key::FileKey;
use crate::{FileIoConfig, FileIoStore, FileIoUpload, options};

/// The backend `fileio`, for a [`Registry`](filestore_core::Registry).
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "a unit struct is its name")]
pub struct FileIo;

impl FileIo {
    /// Opens the store as its own type, which has more methods than a [`FileStore`]. *Config* if a setting is invalid.
    pub(crate) fn connect(&self, settings: &Settings) -> Result<FileIoStore> {
        let (config, http) = read_settings::<FileIoConfig>(settings, &KEYS, &HttpConfig::default())?;
        FileIoStore::new(FileIoConfig { http, ..config })
    }
}

impl Backend for FileIo {
    fn name(&self) -> &'static str {
        "fileio"
    }

    fn about(&self) -> &'static str {
        "file.io and compatible servers: a URL for each file, usually for one download"
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

    /// Returns the reference of a link of this server, or of a bare key.
    fn reference_of(&self, settings: &Settings, text: &str) -> Option<FileRef> {
        let (config, _) = read_settings::<FileIoConfig>(settings, &KEYS, &HttpConfig::default()).ok()?;
        let base = config.check().ok()?;
        Some(FileKey::of_text(text, &base)?.reference())
    }

    fn options(&self, settings: &Settings) -> Result<Options> {
        let mut options = Options::default();
        options.required(Arc::new(settings.read::<FileIoUpload>(&options::KEYS)?));
        Ok(options)
    }
}
