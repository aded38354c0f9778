//! Remote paths: decoding, the service's clean-up, and its rules.

use std::fmt;

use percent_encoding::percent_decode_str;

use super::collation::fold;
use super::error::Rejection;
use super::name::NameKey;

/// The maximum length of a path, in characters.
const MAX_PATH: usize = 5000;
/// The maximum length of a name, in characters.
const MAX_NAME: usize = 512;

/// A path on the site. The root has no components.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct RemotePath {
    components: Vec<Component>,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) struct Component {
    pub(super) name: String,
    pub(super) key: NameKey,
}

/// The rule for names that end with white space, which depends on the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trailing {
    RejectedEverywhere,
    AllowedInLast,
}

impl RemotePath {
    /// Parses a percent-encoded path in a URL.
    pub(super) fn from_url(raw: &str, trailing: Trailing) -> Result<Self, Rejection> {
        let decoded = percent_decode_str(raw).decode_utf8().map_err(|_| Rejection::InvalidEncoding)?;
        Self::from_text(&decoded, trailing)
    }

    /// Parses a path in a parameter.
    pub(super) fn from_text(text: &str, trailing: Trailing) -> Result<Self, Rejection> {
        if text.contains('\u{200b}') {
            return Err(Rejection::InvalidPath("it has a zero-width space"));
        }
        let names = clean_names(text);
        let checked = match trailing {
            Trailing::RejectedEverywhere => &names[..],
            Trailing::AllowedInLast => &names[..names.len().saturating_sub(1)],
        };
        if checked.iter().any(|name| name.ends_with(char::is_whitespace)) {
            return Err(Rejection::TrailingWhitespace);
        }
        if names.iter().any(|name| name.chars().count() > MAX_NAME) {
            return Err(Rejection::FilenameTooLong);
        }
        if names.iter().map(|name| name.chars().count() + 1).sum::<usize>() > MAX_PATH + 1 {
            return Err(Rejection::PathTooLong);
        }
        let ambiguous = |folded: &str| matches!(folded.trim_end(), "" | "." | "..") || folded.contains('/');
        if names.iter().any(|name| ambiguous(&fold(name))) {
            return Err(Rejection::InvalidPath(
                "a name is equal to an empty name, `.`, `..` or a path under the service's comparison",
            ));
        }
        Ok(Self::from_names(names))
    }

    pub(super) fn from_names(names: Vec<String>) -> Self {
        let component = |name: String| Component { key: NameKey::of(&name), name };
        RemotePath { components: names.into_iter().map(component).collect() }
    }

    pub(super) fn components(&self) -> &[Component] {
        &self.components
    }

    pub(super) fn is_root(&self) -> bool {
        self.components.is_empty()
    }

    /// Returns the parent folder and the name, or `None` for the root.
    pub(super) fn split_last(&self) -> Option<(&[Component], &Component)> {
        self.components.split_last().map(|(last, before)| (before, last))
    }

    /// Returns `true` if the path is `folder` or below it, in any spelling.
    pub(super) fn is_within(&self, folder: &RemotePath) -> bool {
        let shared = self.components.iter().zip(&folder.components);
        self.components.len() >= folder.components.len() && shared.into_iter().all(|(one, other)| one.key == other.key)
    }

    /// Returns `true` if both paths are equal, in any spelling.
    pub(super) fn is_same(&self, other: &RemotePath) -> bool {
        self.components.len() == other.components.len() && self.is_within(other)
    }
}

/// Returns the names in a path. `..` is dropped and does not lead to the parent.
fn clean_names(text: &str) -> Vec<String> {
    let text = text.replace('\0', "").replace('\\', "/");
    text.split('/').filter(|name| !matches!(*name, "" | "." | "..")).map(str::to_owned).collect()
}

/// Returns the path in a URL as the journal and fault rules show it. The path may be invalid.
pub(super) fn display(raw: &str) -> String {
    clean_names(&percent_decode_str(raw).decode_utf8_lossy()).join("/")
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
        let path = RemotePath::from_url(raw, Trailing::AllowedInLast);
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
        assert!(RemotePath::from_url("a%20", Trailing::RejectedEverywhere).is_err());
    }

    #[test]
    fn the_spelling_does_not_matter_for_being_within() {
        let path = |text: &str| RemotePath::from_text(text, Trailing::AllowedInLast).unwrap();
        assert!(path("Clients/Acme/x").is_within(&path("clients/ACME")));
        assert!(path("a").is_within(&path("")));
        assert!(!path("clients2").is_within(&path("clients")));
        assert!(path("É/a").is_same(&path("e/A")));
    }
}
