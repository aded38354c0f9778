//! The paths of the configuration file and of the built-in store.

use std::env;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use filestore_core::{Error, Result};

/// Returns the configuration file to read, or `None` if there is none. A file that `explicit` or `FILESTORE_CONFIG`
/// names is not checked here: reading it reports that it does not exist.
pub(crate) fn configuration(explicit: Option<&Path>) -> Result<Option<PathBuf>> {
    if let Some(path) = explicit {
        return Ok(Some(path.to_owned()));
    }
    if let Some(path) = env::var_os("FILESTORE_CONFIG").filter(|path| !path.is_empty()) {
        return Ok(Some(path.into()));
    }
    let mut candidates = vec![PathBuf::from("filestore.toml")];
    if let Ok(folders) = folders() {
        candidates.push(folders.config_dir().join("filestore").join("filestore.toml"));
    }
    // A file that cannot be checked is not skipped: reading it reports the reason.
    Ok(candidates.into_iter().find(|path| !matches!(path.try_exists(), Ok(false))))
}

/// Returns the platform's folder for application data.
pub(crate) fn data_folder() -> Result<PathBuf> {
    Ok(folders()?.data_dir())
}

fn folders() -> Result<impl BaseStrategy> {
    etcetera::choose_base_strategy()
        .map_err(|_| Error::config("the home folder is unknown; set HOME, or name a configuration with --config"))
}
