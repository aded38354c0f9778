//! The backends `fs` and `memory`: their configuration keys, and the stores that they open.

use std::path::PathBuf;
use std::sync::Arc;

use filestore_core::{Backend, FileStore, Key, KeyKind, Result, Settings};
use serde::Deserialize;

use crate::{FsStore, MemoryStore};

/// The backend `fs`, which opens a local directory as [`FsStore`].
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "a unit struct is its name")]
pub struct Fs;

/// The backend `memory`, which opens an empty [`MemoryStore`].
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "a unit struct is its name")]
pub struct Memory;

const FS_KEYS: &[Key] =
    &[Key::new("root", KeyKind::Path, "the directory; the first upload creates it if it does not exist").required()];

impl Backend for Fs {
    fn name(&self) -> &'static str {
        "fs"
    }

    fn about(&self) -> &'static str {
        "a local directory"
    }

    fn keys(&self) -> &'static [Key] {
        FS_KEYS
    }

    fn open(&self, settings: &Settings) -> Result<Arc<dyn FileStore>> {
        #[derive(Deserialize)]
        struct Config {
            root: PathBuf,
        }
        let config: Config = settings.read(FS_KEYS)?;
        Ok(Arc::new(FsStore::new(config.root)?))
    }
}

impl Backend for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn about(&self) -> &'static str {
        "the memory of this process, for tests"
    }

    fn open(&self, settings: &Settings) -> Result<Arc<dyn FileStore>> {
        #[derive(Deserialize)]
        struct Config {}
        let Config {} = settings.read(self.keys())?;
        Ok(Arc::new(MemoryStore::new()))
    }
}
