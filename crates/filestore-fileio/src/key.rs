//! The key of a file: the path of its URL, and the permission to read it.

use std::fmt;

use filestore_core::{Error, FileRef, Result};
use url::Url;

pub(crate) const SCHEME: &str = "fileio";

/// A key that is safe in the path of a URL. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct FileKey(String);

impl FileKey {
    /// Returns `None` if `text` cannot be a key. Known keys have 5, 6, 8 or 12 letters and digits; other servers may
    /// have longer ones. `me` is no key but the path of the account.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let is_valid = (1..=128).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        (is_valid && text != "me").then(|| Self(text.to_owned()))
    }

    /// Returns the key of `reference`. *Invalid input* if it holds no valid key.
    pub(crate) fn of(reference: &FileRef) -> Result<Self> {
        let components = reference.components();
        match components.as_slice() {
            [only] => Self::new(only),
            _ => None,
        }
        .ok_or_else(|| {
            Error::invalid(format!(
                "the reference {} does not hold a file.io key: letters and digits, and not \"me\"",
                reference.redacted()
            ))
        })
    }

    pub(crate) fn reference(&self) -> FileRef {
        FileRef::new(SCHEME, [&self.0])
    }

    /// Returns the URL of the file. The `link` of a response is not used: it may lead to another host.
    pub(crate) fn url(&self, base: &Url) -> Url {
        let mut url = base.clone();
        url.set_path(&self.0);
        url
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileKey(...)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_key_never_becomes_a_path() {
        for bad in ["", "me", "a/b", "..", "a?b", "a#b", "a b", "ü", "%2e"] {
            assert!(FileKey::new(bad).is_none(), "{bad:?}");
        }
        for good in ["Ab12C", "a1B2c3", "Ab12Cd34Ef56", "mee", "a-b_c"] {
            assert!(FileKey::new(good).is_some(), "{good:?}");
        }
    }

    #[test]
    fn a_wrong_reference_is_rejected_without_its_text() {
        let reference: FileRef = "drop:fileio:CANARYCANARY/x".parse().unwrap();
        let error = FileKey::of(&reference).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("CANARYCANARY"), "{error}");
    }
}
