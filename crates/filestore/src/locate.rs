//! Where the configuration and the files of the built-in store are.

use std::env;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use filestore_core::{Error, Result};

/// The configuration file to read; `None` when there is none. A file that was asked for (by
/// `explicit` or `FILESTORE_CONFIG`) need not exist here: reading it then says so.
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
    // One that cannot be looked at is not passed over: reading it then says why.
    Ok(candidates.into_iter().find(|path| !matches!(path.try_exists(), Ok(false))))
}

/// The platform's folder for data of programs.
pub(crate) fn data_folder() -> Result<PathBuf> {
    Ok(folders()?.data_dir())
}

fn folders() -> Result<impl BaseStrategy> {
    etcetera::choose_base_strategy()
        .map_err(|_| Error::config("the home folder is unknown; set HOME, or name a configuration with --config"))
}
