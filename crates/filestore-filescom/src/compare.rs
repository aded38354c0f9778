//! Whether two paths name the same file, by the rule of the service.
//!
//! The service keeps the spelling that a file was stored under and ignores case, accents and more when it
//! looks for one: `Résumé.TXT` replaces `resume.txt`. It compares as MySQL 8 does under
//! `utf8mb4_0900_ai_ci`, which is the first level of the Unicode Collation Algorithm 9.0.0, so a newer
//! Unicode changes nothing: characters that came after version 9 are equal to themselves alone.

mod fold;

use std::collections::HashMap;
use std::fmt;

use filestore_core::{Error, Result};

/// A path as the service compares it: equal keys are one file.
///
/// Of the path, NUL is dropped, `\` is `/`, and empty components, `.` and `..` are dropped (`..` does not
/// go up). Then each character is replaced by the first of its equals: without case and accent, ligatures
/// and compatibility forms spelt out, invisible characters left out. White space stays, also at the end.
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
    /// The key of `path`. Whether the service accepts such a path is another question: see [`check_names`].
    pub fn new(path: &str) -> Self {
        let cleaned = cleaned(path);
        let folded = components(&cleaned).map(fold::fold).collect::<Vec<_>>();
        Self(folded.join("/"))
    }

    /// The folded text: to look things up by, not to show.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PathKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether the service takes `a` and `b` for the same path.
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

/// Rejects a path with a name that the service takes for none, for a relative one, or for two: one that
/// folds to nothing, `.` or `..` (white space at its end ignored), or to something with a `/`.
///
/// *Invalid input*, not sent.
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

/// What is wrong with one name.
pub(crate) fn problem(name: &str) -> Option<String> {
    // Letters and digits fold to themselves, so nothing else can become of it: a listing has many names.
    if name.is_ascii() && name.contains(|c: char| c.is_ascii_alphanumeric()) && !name.contains('/') {
        return None;
    }
    let folded = fold::fold(name);
    let what = match folded.trim_end() {
        "" => "of which nothing is left",
        "." | ".." => "which is a relative path",
        text if text.contains('/') => "which holds a path separator",
        _ => return None,
    };
    Some(format!("is {folded:?} to the service, {what}"))
}

/// The paths of a batch of uploads that would replace each other, in groups of two and more.
///
/// ```
/// use filestore_filescom::find_collisions;
///
/// assert_eq!(find_collisions(["a.txt", "b.txt", "A.TXT"]), [["a.txt", "A.TXT"]]);
/// ```
pub fn find_collisions<P: AsRef<str>>(paths: impl IntoIterator<Item = P>) -> Vec<Vec<P>> {
    let mut groups = Vec::<Vec<P>>::new();
    let mut group_of = HashMap::new();
    for path in paths {
        let group = *group_of.entry(PathKey::new(path.as_ref())).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[group].push(path);
    }
    groups.retain(|group| group.len() > 1);
    groups
}

fn cleaned(path: &str) -> String {
    path.replace('\0', "").replace('\\', "/")
}

fn components(cleaned: &str) -> impl Iterator<Item = &str> {
    cleaned.split('/').filter(|name| !matches!(*name, "" | "." | ".."))
}

#[cfg(test)]
mod tests;
