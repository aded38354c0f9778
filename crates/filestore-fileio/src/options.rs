//! [`FileIoUpload`]: the upload options that only file.io has.

use std::fmt;
use std::str::FromStr;

use filestore_core::{Error, Key, KeyKind, ProviderOptions, Result};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

/// Options of an upload. The service's defaults apply to options that are not set: one download, after which the file
/// is deleted.
///
/// Any other limit of downloads, and `auto_delete = false`, need a paid plan. Without an API key, the store rejects
/// them before it sends anything.
///
/// ```
/// use filestore_core::Upload;
/// use filestore_fileio::FileIoUpload;
///
/// let upload = Upload::new("a.txt", "hello").with(FileIoUpload::new().max_downloads(3).auto_delete(true));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct FileIoUpload {
    /// The number of downloads that are allowed in all.
    pub max_downloads: Option<MaxDownloads>,
    /// `true` if the service deletes the file after its last download or its expiry.
    pub auto_delete: Option<bool>,
    /// A title, in addition to the name.
    pub title: Option<String>,
}

/// The keys of [`FileIoUpload`] in a configuration and on a command line.
pub(crate) static KEYS: [Key; 3] = [
    Key::new("max_downloads", KeyKind::Text, "the number of allowed downloads, or unlimited").default("1"),
    Key::new("auto_delete", KeyKind::Flag, "true if the file is deleted after its last download or its expiry")
        .default("true"),
    Key::new("title", KeyKind::Text, "a title, in addition to the name"),
];

impl FileIoUpload {
    /// Creates options of which none is set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the number of allowed downloads: a number, or [`MaxDownloads::Unlimited`].
    pub fn max_downloads(mut self, downloads: impl Into<MaxDownloads>) -> Self {
        self.max_downloads = Some(downloads.into());
        self
    }

    /// Sets whether the service deletes the file after its last download or its expiry.
    pub fn auto_delete(mut self, auto_delete: bool) -> Self {
        self.auto_delete = Some(auto_delete);
        self
    }

    /// Sets the title.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }
}

impl ProviderOptions for FileIoUpload {
    fn name(&self) -> &'static str {
        "fileio"
    }

    fn with_defaults(self, defaults: &Self) -> Self {
        Self {
            max_downloads: self.max_downloads.or(defaults.max_downloads),
            auto_delete: self.auto_delete.or(defaults.auto_delete),
            title: self.title.or_else(|| defaults.title.clone()),
        }
    }
}

/// The number of downloads that a file allows. As text: a number from 1, or `unlimited`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a limit or none: there is no third case")]
pub enum MaxDownloads {
    /// At most this number, from 1.
    Times(u32),
    /// Any number.
    Unlimited,
}

impl MaxDownloads {
    /// Returns the number, or `None` if it is unlimited.
    pub(crate) fn times(self) -> Option<u64> {
        match self {
            Self::Times(times) => Some(u64::from(times)),
            Self::Unlimited => None,
        }
    }

    /// Returns the value of the form field: the service reads an empty value as unlimited.
    pub(crate) fn form_value(self) -> String {
        self.times().map(|times| times.to_string()).unwrap_or_default()
    }
}

impl From<u32> for MaxDownloads {
    fn from(times: u32) -> Self {
        Self::Times(times)
    }
}

impl FromStr for MaxDownloads {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.parse() {
            _ if text == "unlimited" => Ok(Self::Unlimited),
            Ok(times) if times > 0 => Ok(Self::Times(times)),
            _ => Err(Error::invalid("invalid max_downloads: set a number from 1, or unlimited")),
        }
    }
}

impl<'de> Deserialize<'de> for MaxDownloads {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;

        impl Visitor<'_> for Number {
            type Value = MaxDownloads;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number from 1, or unlimited")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<MaxDownloads, E> {
                text.parse().map_err(|error: Error| E::custom(error.message()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<MaxDownloads, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<MaxDownloads, E> {
                self.visit_str(&number.to_string())
            }
        }

        deserializer.deserialize_any(Number)
    }
}
