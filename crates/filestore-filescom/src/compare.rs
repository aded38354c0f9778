//! The comparison of paths by the rules of the service.
//!
//! The service keeps the spelling that a file was stored under, and ignores case, accents and more when it searches for
//! a file: `Résumé.TXT` replaces `resume.txt`. It compares as MySQL 8 does under `utf8mb4_0900_ai_ci`, which is the
//! first level of the Unicode Collation Algorithm 9.0.0. A newer version of Unicode changes nothing: characters that
//! came after version 9 are equal only to themselves.

mod fold;

use std::fmt;

use filestore_core::{Error, NameEquality, Result};

/// The form of a path that the service compares: paths with equal keys are the same file.
///
/// NUL is removed, `\` becomes `/`, and empty components, `.` and `..` are removed (`..` does not go up). Then each
/// character is replaced by the first of its equivalents: without case and accent, with ligatures and compatibility
/// forms expanded, without invisible characters. White space stays, also at the end.
///
/// ```
/// use filestore_filescom::PathKey;
///
/// assert_eq!(PathKey::new("/a//Résumé.TXT"), PathKey::new("A/resume.txt"));
/// assert_eq!(PathKey::new(r"Straße\x").as_str(), "strasse/x");
/// assert_ne!(PathKey::new("a "), PathKey::new("a"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathKey(String);

impl PathKey {
    /// Returns the key of `path`. It does not check that the service accepts the path: see [`check_names`].
    pub fn new(path: &str) -> Self {
        let cleaned = cleaned(path);
        let folded = components(&cleaned).map(fold::fold).collect::<Vec<_>>();
        Self(folded.join("/"))
    }

    /// Returns the folded text, for lookups and not for display.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PathKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns `true` if `a` and `b` are the same path to the service.
///
/// ```
/// use filestore_filescom::is_same;
///
/// assert!(is_same("Docs/Übersicht.pdf", "docs/UBERSICHT.PDF"));
/// assert!(!is_same("йод.txt", "иод.txt"));
/// ```
pub fn is_same(a: &str, b: &str) -> bool {
    a == b || PathKey::new(a) == PathKey::new(b)
}

/// Rejects a path with a name that is empty, relative or several names to the service: one that folds to nothing, to
/// `.` or `..` (white space at its end ignored), or to a text with a `/`.
///
/// The error is *invalid input*; no request is sent.
///
/// ```
/// use filestore_filescom::check_names;
///
/// assert!(check_names("a/b..c").is_ok());
/// assert!(check_names("a/．．").is_err()); // FULLWIDTH FULL STOP
/// ```
pub fn check_names(path: &str) -> Result<()> {
    let problem = |name: &str| Some(format!("the name {name:?} {}; choose another name", problem(name)?));
    components(&cleaned(path)).find_map(problem).map_or(Ok(()), |sentence| Err(Error::invalid(sentence)))
}

/// Returns the reason why the service would not use a name as it is; `None` for a valid name.
pub(crate) fn problem(name: &str) -> Option<String> {
    // The fast path, since a listing has many names: an ASCII letter or digit does not fold to a separator, a dot or
    // nothing.
    if name.is_ascii() && name.contains(|c: char| c.is_ascii_alphanumeric()) && !name.contains('/') {
        return None;
    }
    let folded = fold::fold(name);
    let what = match folded.trim_end() {
        "" => "which is empty",
        "." | ".." => "which is a relative path",
        text if text.contains('/') => "which has a path separator",
        _ => return None,
    };
    Some(format!("is {folded:?} to the service, {what}"))
}

/// The comparison of the service, for [`NameRules`](filestore_core::NameRules).
pub(crate) const EQUALITY: NameEquality =
    NameEquality::Folded { ignores: "case, accents and compatibility forms", fold: |name| PathKey::new(name).0 };

fn cleaned(path: &str) -> String {
    path.replace('\0', "").replace('\\', "/")
}

fn components(cleaned: &str) -> impl Iterator<Item = &str> {
    cleaned.split('/').filter(|name| !matches!(*name, "" | "." | ".."))
}

#[cfg(test)]
mod tests;
