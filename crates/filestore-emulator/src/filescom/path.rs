//! Paths: decoded once, cleaned as the service cleans them, and checked by its rules.

use std::fmt;

use percent_encoding::percent_decode_str;

use super::error::Rejection;
use super::name::{NameKey, folded};

/// The longest path and name, in characters.
const LONGEST_PATH: usize = 5000;
const LONGEST_NAME: usize = 512;

/// A path on the site. Without components it is the root.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct RemotePath {
    components: Vec<Component>,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) struct Component {
    pub(super) name: String,
    pub(super) key: NameKey,
}

/// Where white space at the end of a name is rejected: it depends on the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trailing {
    RejectedEverywhere,
    AllowedInLast,
}

impl RemotePath {
    /// A path out of a URL.
    pub(super) fn of_url(raw: &str, trailing: Trailing) -> Result<Self, Rejection> {
        let decoded = percent_decode_str(raw).decode_utf8().map_err(|_| Rejection::InvalidEncoding)?;
        Self::of_text(&decoded, trailing)
    }

    /// A path out of a parameter.
    pub(super) fn of_text(text: &str, trailing: Trailing) -> Result<Self, Rejection> {
        if text.contains('\u{200b}') {
            return Err(Rejection::InvalidPath("it has a zero-width space"));
        }
        let names = cleaned(text);
        let checked = match trailing {
            Trailing::RejectedEverywhere => &names[..],
            Trailing::AllowedInLast => &names[..names.len().saturating_sub(1)],
        };
        if checked.iter().any(|name| name.ends_with(char::is_whitespace)) {
            return Err(Rejection::TrailingWhitespace);
        }
        if names.iter().any(|name| name.chars().count() > LONGEST_NAME) {
            return Err(Rejection::FilenameTooLong);
        }
        if names.iter().map(|name| name.chars().count() + 1).sum::<usize>() > LONGEST_PATH + 1 {
            return Err(Rejection::PathTooLong);
        }
        let ambiguous = |folded: &str| matches!(folded, "" | "." | "..") || folded.contains('/');
        if names.iter().any(|name| ambiguous(&folded(name))) {
            return Err(Rejection::InvalidPath("a name compares as none, as a dot name or as a path"));
        }
        Ok(Self::of_names(names))
    }

    pub(super) fn of_names(names: Vec<String>) -> Self {
        let component = |name: String| Component { key: NameKey::of(&name), name };
        RemotePath { components: names.into_iter().map(component).collect() }
    }

    pub(super) fn components(&self) -> &[Component] {
        &self.components
    }

    pub(super) fn is_root(&self) -> bool {
        self.components.is_empty()
    }

    /// The folder that it is in, and its name there; `None` for the root.
    pub(super) fn split_last(&self) -> Option<(&[Component], &Component)> {
        self.components.split_last().map(|(last, before)| (before, last))
    }

    /// Whether it is that folder or below it, whatever the spelling.
    pub(super) fn is_within(&self, folder: &RemotePath) -> bool {
        let shared = self.components.iter().zip(&folder.components);
        self.components.len() >= folder.components.len() && shared.into_iter().all(|(one, other)| one.key == other.key)
    }

    pub(super) fn is_same(&self, other: &RemotePath) -> bool {
        self.components.len() == other.components.len() && self.is_within(other)
    }
}

/// The names in a path. `..` is dropped, it does not go up.
pub(super) fn cleaned(text: &str) -> Vec<String> {
    let text = text.replace('\0', "").replace('\\', "/");
    text.split('/').filter(|name| !matches!(*name, "" | "." | "..")).map(str::to_owned).collect()
}

/// A path out of a URL as the journal and rules show it, whether or not it is allowed.
pub(super) fn shown(raw: &str) -> String {
    cleaned(&percent_decode_str(raw).decode_utf8_lossy()).join("/")
}

impl fmt::Display for RemotePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.components.iter().map(|component| component.name.as_str()).collect();
        f.write_str(&names.join("/"))
    }
}

impl fmt::Debug for RemotePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &str) -> Result<String, String> {
        let path = RemotePath::of_url(raw, Trailing::AllowedInLast);
        path.map(|path| path.to_string()).map_err(|rejection| rejection.kind().to_owned())
    }

    #[test]
    fn a_path_is_decoded_once_and_cleaned() {
        for (raw, path) in [
            ("a/b", "a/b"),
            ("a%2Fb", "a/b"),
            ("%2Fa%2Fb%2F", "a/b"),
            ("a%252Fb", "a%2Fb"),
            ("a+b", "a+b"),
            ("a%5Cb/./../c", "a/b/c"),
            ("%2F", ""),
            ("", ""),
            ("nil", "nil"),
            ("a%00b", "ab"),
            ("Gr%C3%B6%C3%9Fe.txt", "Größe.txt"),
            ("a.txt%20", "a.txt "),
        ] {
            assert_eq!(read(raw).unwrap(), path, "{raw}");
        }
    }

    #[test]
    fn a_path_that_breaks_a_rule_is_rejected_by_its_type() {
        for (raw, kind) in [
            ("a%E2%80%8Bb", "bad-request/invalid-path"),
            ("a%20/b", "bad-request/path-cannot-have-trailing-whitespace"),
            ("%FF", "bad-request/invalid-input-encoding"),
            ("%EF%BC%8F", "bad-request/invalid-path"),
            ("%E2%80%A5", "bad-request/invalid-path"),
            ("a/%20", "bad-request/invalid-path"),
            (&"x".repeat(513), "processing-failure/filename-too-long"),
            (&"x/".repeat(2501), "processing-failure/path-too-long"),
        ] {
            assert_eq!(read(raw).unwrap_err(), kind, "{raw}");
        }
        assert!(read(&format!("{}x", "x/".repeat(2499))).is_ok());
        assert!(RemotePath::of_url("a%20", Trailing::RejectedEverywhere).is_err());
    }

    #[test]
    fn the_spelling_does_not_matter_for_being_within() {
        let path = |text: &str| RemotePath::of_text(text, Trailing::AllowedInLast).unwrap();
        assert!(path("Clients/Acme/x").is_within(&path("clients/ACME")));
        assert!(path("a").is_within(&path("")));
        assert!(!path("clients2").is_within(&path("clients")));
        assert!(path("É/a").is_same(&path("e/A")));
    }
}
