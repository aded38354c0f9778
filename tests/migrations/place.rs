//! The stores of the configuration, and the places in them between which files move.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;

/// The scope of the source files.
const SOURCE: &str = "source";

/// The scope of the migrated files.
const TARGET: &str = "target";

/// A store, by its name in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StoreName {
    Fs,
    /// A second local folder.
    Fs2,
    Pubnub,
    Filescom,
    Fileio,
    S3,
}

impl StoreName {
    /// One store of each kind.
    pub(crate) const ALL: [Self; 5] = [Self::Fs, Self::Pubnub, Self::Filescom, Self::Fileio, Self::S3];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Fs => "fs",
            Self::Fs2 => "fs2",
            Self::Pubnub => "pubnub",
            Self::Filescom => "filescom",
            Self::Fileio => "fileio",
            Self::S3 => "s3",
        }
    }

    /// Returns `true` if the paths of files are kept; other stores keep only their names.
    pub(crate) fn has_folders(self) -> bool {
        matches!(self, Self::Fs | Self::Fs2 | Self::Filescom | Self::S3)
    }
}

/// A source and a destination, written `fs:filescom`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) from: StoreName,
    pub(crate) to: StoreName,
}

impl Pair {
    /// Returns all ordered pairs of two stores.
    pub(crate) fn all() -> Vec<Self> {
        let pairs = StoreName::ALL.into_iter().flat_map(|from| StoreName::ALL.map(|to| Self { from, to }));
        pairs.filter(|pair| pair.from != pair.to).collect()
    }

    pub(crate) fn source(self) -> Place {
        Place::new(self.from, SOURCE)
    }

    pub(crate) fn target(self) -> Place {
        Place::new(self.to, TARGET)
    }
}

impl FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (from, to) = text.split_once(':').ok_or("a pair is two stores, such as fs:filescom")?;
        let pair = Self { from: StoreName::from_str(from, false)?, to: StoreName::from_str(to, false)? };
        match pair.from == pair.to {
            true => Err("a migration is between two stores; fs2 is a second local folder".to_owned()),
            false => Ok(pair),
        }
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.from.as_str(), self.to.as_str())
    }
}

/// A scope of a store, or all of a store without scopes.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) store: StoreName,
    pub(crate) scope: Option<String>,
}

impl Place {
    pub(crate) fn new(store: StoreName, scope: &str) -> Self {
        Self { store, scope: (store != StoreName::Fileio).then(|| scope.to_owned()) }
    }

    /// Returns the place as an argument of `filestore migrate`.
    pub(crate) fn argument(&self) -> String {
        match &self.scope {
            Some(scope) => format!("{}:{scope}/", self.store.as_str()),
            None => self.store.as_str().to_owned(),
        }
    }
}
