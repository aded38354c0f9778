//! The paths of the configuration file and of the built-in store.

use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use filestore_core::{Error, Result};

/// Returns the configuration file to read: `explicit`, or else one of the usual places; `None` if there is none.
/// `explicit` is not checked here: reading it reports that it does not exist.
pub(crate) fn configuration(explicit: Option<&Path>) -> Option<PathBuf> {
    if let Some(path) = explicit {
        return Some(path.to_owned());
    }
    let mut candidates = vec![PathBuf::from("filestore.toml")];
    if let Ok(folders) = folders() {
        candidates.push(folders.config_dir().join("filestore").join("filestore.toml"));
    }
    // A file that cannot be checked is not skipped: reading it reports the reason.
    candidates.into_iter().find(|path| !matches!(path.try_exists(), Ok(false)))
}

/// Returns the platform's folder for application data, such as `~/.local/share`. The built-in store keeps its files in
/// `filestore/files` of it. Fails with *config* if the home folder is unknown.
pub fn data_folder() -> Result<PathBuf> {
    Ok(folders()?.data_dir())
}

fn folders() -> Result<impl BaseStrategy> {
    etcetera::choose_base_strategy()
        .map_err(|_| Error::config("the home folder is unknown; set HOME, or name a configuration with --config"))
}
