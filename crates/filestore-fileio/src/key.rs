//! The key of a file: the path of its URL, and the permission to read it.

use std::fmt;
use std::sync::Arc;

use filestore_core::{Error, FileRef, Result};
use filestore_http::{path_below, url_below};
use secrecy::SecretString;
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

    /// Returns the key in `text`: a link of the server at `base`, whose path below `base` it is, or the key itself.
    pub(crate) fn of_text(text: &str, base: &Url) -> Option<Self> {
        match Url::parse(text) {
            Ok(link) => {
                let key = Self::new(path_below(base, &link)?)?;
                (link == key.url(base)).then_some(key)
            }
            Err(_) => Self::new(text),
        }
    }

    pub(crate) fn reference(&self) -> FileRef {
        FileRef::new(SCHEME, [&self.0])
    }

    /// Returns the URL of the file. The `link` of a response is not used: it may lead to another host.
    pub(crate) fn url(&self, base: &Url) -> Url {
        url_below(base, &self.0)
    }

    /// Returns the key as a secret that a response may repeat. The path of its URL may have a prefix.
    pub(crate) fn secrets(&self) -> Arc<[SecretString]> {
        Arc::from([SecretString::from(self.0.as_str())])
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
    fn only_a_link_of_the_own_origin_with_one_path_segment_or_a_bare_key_has_a_key() {
        let base: Url = "http://files.example:7070".parse().unwrap();
        for good in ["Ab12Cd34", "http://files.example:7070/Ab12Cd34", "HTTP://Files.Example:7070/Ab12Cd34"] {
            assert_eq!(FileKey::of_text(good, &base), FileKey::new("Ab12Cd34"), "{good}");
        }
        for bad in [
            "http://files.example/Ab12Cd34",
            "https://files.example:7070/Ab12Cd34",
            "http://other.example:7070/Ab12Cd34",
            "http://user:password@files.example:7070/Ab12Cd34",
            "http://files.example:7070",
            "http://files.example:7070/me",
            "http://files.example:7070/Ab12Cd34/",
            "http://files.example:7070/download/Ab12Cd34",
            "http://files.example:7070/Ab12%43d34",
            "http://files.example:7070/Ab12Cd34?x=1",
            "http://files.example:7070/Ab12Cd34#x",
            "files.example:7070/Ab12Cd34",
            "ftp://files.example:7070/Ab12Cd34",
            "me",
            "",
        ] {
            assert_eq!(FileKey::of_text(bad, &base), None, "{bad}");
        }
    }

    #[test]
    fn a_wrong_reference_is_rejected_without_its_text() {
        let reference: FileRef = "drop:fileio:CANARYCANARY/x".parse().unwrap();
        let error = FileKey::of(&reference).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("CANARYCANARY"), "{error}");
    }
}
