//! [`FileIoUpload`]: what only file.io lets an upload say.

use std::fmt;
use std::str::FromStr;

use filestore_core::{Error, Key, KeyKind, ProviderOptions, Result};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

/// Options of an upload. What is not said is left to the service: one download, then it is deleted.
///
/// Anything else needs a paid plan; without an API key it is rejected before anything is sent.
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
    /// After how many downloads the file is used up.
    pub max_downloads: Option<MaxDownloads>,
    /// Whether it is deleted when it is used up or expired.
    pub auto_delete: Option<bool>,
    /// A title, besides the name.
    pub title: Option<String>,
}

/// The keys of [`FileIoUpload`], as a configuration and a command line take them.
pub(crate) static KEYS: [Key; 3] = [
    Key::new("max_downloads", KeyKind::Text, "after how many downloads the file is used up, or unlimited").default("1"),
    Key::new("auto_delete", KeyKind::Flag, "whether it is deleted when it is used up or expired").default("true"),
    Key::new("title", KeyKind::Text, "a title, besides the name"),
];

impl FileIoUpload {
    /// Nothing said.
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows so many downloads: a number, or [`MaxDownloads::Unlimited`].
    pub fn max_downloads(mut self, downloads: impl Into<MaxDownloads>) -> Self {
        self.max_downloads = Some(downloads.into());
        self
    }

    /// Says whether it is deleted when it is used up or expired.
    pub fn auto_delete(mut self, auto_delete: bool) -> Self {
        self.auto_delete = Some(auto_delete);
        self
    }

    /// Gives it a title.
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

/// How many downloads a file allows. As text a number from 1, or `unlimited`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a number or none: there is no third")]
pub enum MaxDownloads {
    /// So many; 0 counts as 1.
    Times(u32),
    /// As many as anybody likes.
    Unlimited,
}

impl MaxDownloads {
    /// The number; `None`: unlimited.
    pub(crate) fn times(self) -> Option<u64> {
        match self {
            Self::Times(times) => Some(u64::from(times.max(1))),
            Self::Unlimited => None,
        }
    }

    /// As the form has it: the service reads an empty value as unlimited.
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
            _ => Err(Error::invalid("max_downloads is a number from 1, or unlimited")),
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
