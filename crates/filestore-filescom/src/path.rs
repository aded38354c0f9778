//! [`SitePath`]: the path of a file or folder on the site, checked before a request is sent.
//!
//! Every path must be one that a request can address. New names have more rules: other software may have stored names
//! that break them, and such files can be listed, read and deleted.

use std::fmt;

use filestore_core::{Error, FileRef, Result};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::compare::{self, is_same};

pub(crate) const SCHEME: &str = "filescom";

/// The characters of a path component that a URL encodes as `%XX`.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The maximum length of a path in characters.
const MAX_PATH_CHARS: usize = 5000;

/// The maximum length of a path component in characters.
pub(crate) const MAX_NAME_CHARS: usize = 512;

/// The components of a path, from the root of the site; empty for the root itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SitePath(Vec<String>);

impl SitePath {
    /// Parses a path of the service or of a configuration. Slashes at its ends are ignored.
    ///
    /// *Invalid input* for a path that no request can address.
    pub(crate) fn parse(path: &str) -> Result<Self> {
        Self::default().join(path)
    }

    /// Returns the path of a reference.
    pub(crate) fn of(reference: &FileRef) -> Result<Self> {
        checked(reference.path()?)
    }

    /// Returns the path `below` this one.
    pub(crate) fn join(&self, below: &str) -> Result<Self> {
        let below = below.trim_matches('/');
        let more = below.split('/').filter(|_| !below.is_empty()).map(str::to_owned);
        checked(self.0.iter().cloned().chain(more).collect())
    }

    /// Returns the path. *Invalid input* if the service would reject it for a new file or folder.
    pub(crate) fn checked_as_new(self) -> Result<Self> {
        self.0.iter().try_for_each(|component| valid(component, problem_of_new(component)))?;
        Ok(self)
    }

    /// Returns the path of `name` in this folder.
    pub(crate) fn child(&self, name: &str) -> Result<Self> {
        check(name)?;
        let mut components = Vec::with_capacity(self.0.len() + 1);
        components.extend(self.0.iter().cloned());
        components.push(name.to_owned());
        not_too_long(components)
    }

    /// Parses the path of an entry of a listing. `None` if no reference can address it; `left_out` counts these
    /// entries.
    pub(crate) fn listed(path: &str, left_out: &mut u64) -> Option<Self> {
        let count = |error: &Error| {
            tracing::debug!(%error, "the listing leaves out an entry");
            *left_out += 1;
        };
        Self::parse(path).inspect_err(count).ok()
    }

    /// Parses the path of an entry of this folder; `None` also if it is not directly in this folder.
    pub(crate) fn entry(&self, path: &str, left_out: &mut u64) -> Option<Self> {
        Self::listed(path, left_out).filter(|path| path.is_in(self))
    }

    /// Returns the parent folder; that of the root is the root.
    pub(crate) fn parent(&self) -> Self {
        Self(self.0[..self.0.len().saturating_sub(1)].to_vec())
    }

    /// Returns the path of `name` in the same folder.
    pub(crate) fn sibling(&self, name: &str) -> Result<Self> {
        self.parent().child(name)
    }

    /// Returns the last component; empty for the root.
    pub(crate) fn name(&self) -> &str {
        self.0.last().map_or("", String::as_str)
    }

    pub(crate) fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the path below `folder`; `None` if it is not below. Components are compared as the service does.
    pub(crate) fn strip_prefix(&self, folder: &Self) -> Option<String> {
        let (above, rest) = self.0.split_at_checked(folder.0.len())?;
        above.iter().zip(&folder.0).all(|(a, b)| is_same(a, b)).then(|| rest.join("/"))
    }

    /// Returns `true` if the path is directly in `folder`.
    fn is_in(&self, folder: &Self) -> bool {
        self.0.len() == folder.0.len() + 1 && self.0.iter().zip(&folder.0).all(|(a, b)| is_same(a, b))
    }

    /// Returns `true` if the components of both paths are the same to the service.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(|(a, b)| is_same(a, b))
    }

    /// Returns the reference of the file or folder at this path.
    pub(crate) fn reference(&self) -> FileRef {
        FileRef::new(SCHEME, &self.0)
    }

    /// Appends the path to `url`: a slash before each component, which is percent-encoded.
    pub(crate) fn encode_below(&self, url: &mut String) {
        for component in &self.0 {
            url.push('/');
            url.extend(utf8_percent_encode(component, ENCODED));
        }
    }
}

impl fmt::Display for SitePath {
    /// Writes the path as the service does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("/"))
    }
}

/// Returns `true` if `name` in `folder` is an addressable path. `false` may also mean that its length must be counted in
/// characters.
pub(crate) fn is_name_in(folder: &str, name: &str) -> bool {
    folder.len() + 1 + name.len() <= MAX_PATH_CHARS && problem(name).is_none()
}

fn checked(components: Vec<String>) -> Result<SitePath> {
    components.iter().try_for_each(|component| check(component))?;
    not_too_long(components)
}

fn check(component: &str) -> Result<()> {
    valid(component, problem(component))
}

fn valid(component: &str, problem: Option<String>) -> Result<()> {
    let Some(problem) = problem else { return Ok(()) };
    let start: String = component.chars().take(60).collect();
    Err(Error::invalid(format!("the path component {start:?} {problem}")))
}

fn not_too_long(components: Vec<String>) -> Result<SitePath> {
    let bytes: usize = components.iter().map(|component| component.len() + 1).sum();
    let chars = || components.iter().map(|component| component.chars().count() + 1).sum::<usize>() - 1;
    if bytes > MAX_PATH_CHARS
        && let chars = chars()
        && chars > MAX_PATH_CHARS
    {
        return Err(Error::invalid(format!(
            "the path has {chars} characters; the service accepts at most {MAX_PATH_CHARS}"
        )));
    }
    Ok(SitePath(components))
}

/// Returns the reason why no request can address a component; `None` for an addressable one.
fn problem(component: &str) -> Option<String> {
    if matches!(component, "" | "." | "..") {
        Some("is not a name: the service would drop it".to_owned())
    } else if component.contains(['/', '\\', '\0']) {
        Some("holds /, \\ or NUL, which the service would change".to_owned())
    } else if component.len() > MAX_NAME_CHARS
        && let chars = component.chars().count()
        && chars > MAX_NAME_CHARS
    {
        Some(format!("has {chars} characters; the service accepts at most {MAX_NAME_CHARS}"))
    } else {
        None
    }
}

/// Returns the reason why the service rejects an addressable component in a new path; `None` for a valid one.
fn problem_of_new(component: &str) -> Option<String> {
    if component.contains('\u{200B}') {
        Some("holds a zero-width space, which the service rejects".to_owned())
    } else if component.trim_end() != component {
        Some("ends with white space, which the service rejects".to_owned())
    } else {
        compare::problem(component)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_encoded_component_by_component() {
        let encoded = |path: &str| {
            let mut url = String::from("/files");
            SitePath::parse(path).unwrap().encode_below(&mut url);
            url
        };
        assert_eq!(encoded("/a b/ü+%2F;(1).txt"), "/files/a%20b/%C3%BC%2B%252F%3B%281%29.txt");
        assert_eq!(encoded("nil"), "/files/nil");
        assert_eq!(encoded("/"), "/files");
        assert_eq!(SitePath::parse("/a b/ü+%2F;(1).txt").unwrap().to_string(), "a b/ü+%2F;(1).txt");
    }

    #[test]
    fn a_path_that_no_request_can_address_is_not_sent() {
        for bad in ["a//b", "a/../b", "./a", "a\\b", "a\0b"] {
            assert!(SitePath::parse(bad).is_err(), "{bad:?}");
        }
        assert!(SitePath::parse(&"x".repeat(512)).is_ok());
        assert!(SitePath::parse(&"x".repeat(513)).is_err());
        assert!(SitePath::parse(&vec!["x".repeat(499); 10].join("/")).is_ok());
        let long = SitePath::parse(&vec!["x".repeat(499); 12].join("/")).unwrap_err();
        assert!(long.to_string().contains("5999 characters; the service accepts at most 5000"), "{long}");
    }

    #[test]
    fn a_name_that_the_service_rejects_can_be_addressed_and_is_not_sent_as_a_new_one() {
        for existing in ["a ", "a\t/b", "a/b\u{a0}", "a\u{200B}b", "．．/a", "a℀"] {
            let path = SitePath::parse(existing).unwrap();
            assert_eq!(SitePath::of(&path.reference()).unwrap(), path);
            assert!(path.checked_as_new().is_err(), "{existing:?}");
        }
        assert!(SitePath::parse(" a/b c").unwrap().checked_as_new().is_ok());
    }

    #[test]
    fn an_entry_is_directly_in_its_folder_however_that_is_spelled() {
        let folder = SitePath::parse("Invoices/2026").unwrap();
        let name = |path: &str| folder.entry(path, &mut 0).map(|path| path.to_string());
        assert_eq!(name("Invoices/2026/a.txt").as_deref(), Some("Invoices/2026/a.txt"));
        assert_eq!(name("invoices/2026/a.txt").as_deref(), Some("invoices/2026/a.txt"));
        for other in ["Invoices/2026", "Invoices/a.txt", "Invoices/2026/a/b", "Invoices/2026/..", "a.txt", ""] {
            assert_eq!(name(other), None, "{other}");
        }
        let root = SitePath::default();
        let in_root = |path: &str| root.entry(path, &mut 0).map(|path| path.to_string());
        assert_eq!(in_root("a.txt").as_deref(), Some("a.txt"));
        assert!(in_root("a/b").is_none() && in_root("").is_none());
    }

    #[test]
    fn a_prefix_is_stripped_by_whole_components_as_the_service_compares_them() {
        let below =
            |path: &str, folder: &str| SitePath::parse(path).unwrap().strip_prefix(&SitePath::parse(folder).unwrap());
        assert_eq!(below("Invoices/2026/a", "invoices"), Some("2026/a".into()));
        assert_eq!(below("Übersicht/a", "UBERSICHT"), Some("a".into()));
        assert_eq!(below("invoices-old/a", "invoices"), None);
        assert_eq!(below("a", ""), Some("a".into()));
        assert_eq!(below("a", "a/b"), None);
    }
}
