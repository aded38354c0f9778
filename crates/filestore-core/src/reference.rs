//! [`FileRef`]: the permanent reference of a stored file.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::{Arc, LazyLock, OnceLock};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Error, Result};

/// The characters that a locator writes as `%XX`: all but `A-Za-z0-9-_.~`. An unencoded `/` separates components.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The longest locator, in bytes. The longest path of a service has 5,000 characters of up to four bytes, each byte
/// written `%XX`.
const LONGEST: usize = 64 * 1024;

/// The permanent reference of a stored file: `STORE:SCHEME:LOCATOR`, such as `local:fs:photos/cat.jpg`.
///
/// It fits in a database column and on a command line, and names the store that it belongs to. It never contains a
/// credential or a presigned URL. On services where the reference alone gives access to the file (a *bearer key*), its
/// text is a secret. [`to_string`](ToString::to_string), [`expose`](Self::expose) and serialization return the text;
/// `Debug` and the errors of such a store show a shortened form.
///
/// A reference *without a store*, such as `:fs:photos/cat.jpg`, is one that a backend has created and no store has named
/// yet. Every store of its scheme accepts it; see [`Store::reference`](crate::Store::reference).
///
/// It is cheap to clone. Two references are equal if their texts are equal.
///
/// ```
/// use filestore_core::FileRef;
///
/// let reference: FileRef = "local:fs:photos/my%20cat.jpg".parse()?;
/// assert_eq!(reference.store(), "local");
/// assert_eq!(reference.scheme(), "fs");
/// assert_eq!(reference.components(), ["photos", "my cat.jpg"]);
/// assert_eq!(format!("{reference:?}"), "FileRef(local:fs:pho...)");
/// # Ok::<(), filestore_core::Error>(())
/// ```
#[derive(Clone)]
pub struct FileRef {
    store: Arc<str>,
    /// `SCHEME:LOCATOR` in one string, because listings create many references.
    named: Arc<str>,
    /// The whole text, once [`expose`](Self::expose) was called.
    text: OnceLock<Arc<str>>,
}

/// The store name of a reference to which no store has added its name.
static UNSTAMPED: LazyLock<Arc<str>> = LazyLock::new(|| "".into());

impl FileRef {
    /// Creates the reference of `components` in `scheme`, without the name of a store. For backends.
    ///
    /// [`Store`](crate::Store) adds its name to every reference that it returns.
    pub fn new<C: AsRef<str>>(scheme: &str, components: impl IntoIterator<Item = C>) -> Self {
        let mut named = format!("{scheme}:");
        for (at, component) in components.into_iter().enumerate() {
            if at > 0 {
                named.push('/');
            }
            named.extend(utf8_percent_encode(component.as_ref(), ENCODED));
        }
        Self::of(Arc::clone(&UNSTAMPED), named.into())
    }

    /// Returns the reference of `component` below this one. For backends: this is faster for the files of a folder than
    /// [`new`](Self::new).
    pub fn child(&self, component: &str) -> Self {
        let mut named = String::with_capacity(self.named.len() + 1 + component.len());
        named.push_str(&self.named);
        if !named.ends_with(':') {
            named.push('/');
        }
        named.extend(utf8_percent_encode(component, ENCODED));
        Self::of(Arc::clone(&self.store), named.into())
    }

    fn of(store: Arc<str>, named: Arc<str>) -> Self {
        Self { store, named, text: OnceLock::new() }
    }

    /// Returns the text `STORE:SCHEME:LOCATOR`, which may be a secret, without a copy for each call.
    ///
    /// ```
    /// # use filestore_core::FileRef;
    /// let reference: FileRef = "local:fs:photos/cat.jpg".parse()?;
    /// assert_eq!(reference.expose(), reference.to_string());
    /// # Ok::<(), filestore_core::Error>(())
    /// ```
    pub fn expose(&self) -> &str {
        self.text.get_or_init(|| self.to_string().into())
    }

    fn locator(&self) -> &str {
        self.named.split_once(':').map_or("", |(_, locator)| locator)
    }

    /// Returns the name of the store. It is empty until a store has added its name.
    pub fn store(&self) -> &str {
        &self.store
    }

    /// Returns the scheme, which names the kind of service that reads the locator.
    pub fn scheme(&self) -> &str {
        self.named.split_once(':').map_or("", |(scheme, _)| scheme)
    }

    /// Returns the components of the locator, decoded. A component may contain any character, including `/`.
    pub fn components(&self) -> Vec<String> {
        self.locator().split('/').map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned()).collect()
    }

    /// Returns the components as a path below a root. They are safe to join: none is empty, `.` or `..`, and none
    /// contains `/`, `\` or NUL. Fails with *invalid input* otherwise.
    pub fn path(&self) -> Result<Vec<String>> {
        let components = self.components();
        for component in &components {
            if matches!(component.as_str(), "" | "." | "..") || component.contains(['/', '\\', '\0']) {
                let problem = "the reference does not name a path below the root of its store";
                return Err(Error::invalid(problem));
            }
        }
        Ok(components)
    }

    /// Returns the same reference with `name` as the name of the store.
    pub fn stamped(&self, name: &Arc<str>) -> Self {
        Self::of(Arc::clone(name), Arc::clone(&self.named))
    }

    /// Returns the text with the first three characters of the locator only, for errors and logs.
    pub fn redacted(&self) -> String {
        let shown: String = self.locator().chars().take(3).collect();
        format!("{}:{}:{shown}...", self.store, self.scheme())
    }
}

impl fmt::Display for FileRef {
    /// Writes the whole text. On services where the reference alone gives access, it is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.store, self.named)
    }
}

impl fmt::Debug for FileRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileRef({})", self.redacted())
    }
}

impl FromStr for FileRef {
    type Err = Error;

    /// Parses `STORE:SCHEME:LOCATOR`, or `:SCHEME:LOCATOR` without a store. Fails with *invalid input* for text that
    /// [`Display`] does not write: with an unencoded character, lower-case hexadecimal digits or an empty component.
    ///
    /// [`Display`]: fmt::Display
    fn from_str(text: &str) -> Result<Self> {
        let problem = match split(text) {
            Some((store, scheme, locator)) => match check(store, scheme, locator) {
                Ok(()) => {
                    return Ok(Self::of(store.into(), format!("{scheme}:{locator}").into()));
                }
                Err(problem) => problem,
            },
            None => "it does not have two colons".to_owned(),
        };
        // The text may contain a bearer key, so the message shows only its beginning.
        let shown: String = text.chars().take(16).collect();
        let dots = if shown.len() < text.len() { "..." } else { "" };
        Err(Error::invalid(format!(
            "{shown:?}{dots} is not a reference: {problem}; write a reference as STORE:SCHEME:LOCATOR, such as \
             local:fs:photos/cat.jpg"
        )))
    }
}

impl TryFrom<&str> for FileRef {
    type Error = Error;

    /// Parses the text; see [`FromStr`].
    fn try_from(text: &str) -> Result<Self> {
        text.parse()
    }
}

impl TryFrom<String> for FileRef {
    type Error = Error;

    /// Parses the text; see [`FromStr`].
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl Serialize for FileRef {
    /// Serializes the whole text, which may be a secret.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FileRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl PartialEq for FileRef {
    fn eq(&self, other: &Self) -> bool {
        (&self.store, &self.named) == (&other.store, &other.named)
    }
}

impl Eq for FileRef {}

impl Hash for FileRef {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.store, &self.named).hash(state);
    }
}

impl PartialOrd for FileRef {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for FileRef {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (&self.store, &self.named).cmp(&(&other.store, &other.named))
    }
}

fn split(text: &str) -> Option<(&str, &str, &str)> {
    let (store, rest) = text.split_once(':')?;
    let (scheme, locator) = rest.split_once(':')?;
    Some((store, scheme, locator))
}

fn check(store: &str, scheme: &str, locator: &str) -> Result<(), String> {
    if !store.is_empty() && !is_store_name(store) {
        return Err("the name of the store must consist of letters, digits, - and _".into());
    }
    if scheme.is_empty() || !scheme.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
        return Err("the scheme must consist of lower-case letters and digits".into());
    }
    if locator.len() > LONGEST {
        return Err(format!("the locator is longer than {LONGEST} bytes"));
    }
    for part in locator.split('/') {
        if part.is_empty() {
            return Err("the locator has an empty component".into());
        }
        let decoded = percent_decode_str(part).decode_utf8().map_err(|_| "the locator is not UTF-8".to_owned())?;
        if utf8_percent_encode(&decoded, ENCODED).to_string() != part {
            return Err(
                "every byte of the locator other than A-Za-z0-9-_.~/ must be written as %XX, in upper case".into()
            );
        }
    }
    Ok(())
}

/// Returns `true` if `name` matches `[A-Za-z0-9_-]+`, as names of stores must.
pub(crate) fn is_store_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        text.parse::<FileRef>().unwrap_err().to_string()
    }

    #[test]
    fn a_component_keeps_its_slash_apart_from_the_separator() {
        let reference = FileRef::new("x", ["room 1/a", "id", "ü.txt"]);
        assert_eq!(reference.to_string(), ":x:room%201%2Fa/id/%C3%BC.txt");
        assert_eq!(reference.components(), ["room 1/a", "id", "ü.txt"]);
    }

    #[test]
    fn a_child_is_the_reference_of_all_components() {
        for folder in [&[][..], &["a b"], &["a", "ü/:"]] {
            let child = FileRef::new("x", folder).child("c/d e");
            assert_eq!(child, FileRef::new("x", folder.iter().chain(&["c/d e"])), "{folder:?}");
        }
    }

    #[test]
    fn garbage_is_rejected_with_the_expected_form() {
        for garbage in
            ["", "x", "a:b", "a:b:", "::x", "a b:fs:x", "a:FS:x", "a:fs:x//y", "a:fs:/x", "a:fs:%c3", "a:fs:ü"]
        {
            assert!(message(garbage).contains("STORE:SCHEME:LOCATOR"), "{garbage}");
        }
    }

    #[test]
    fn a_reference_is_serialized_as_its_text() {
        let reference: FileRef = "local:fs:a%20b".parse().unwrap();
        let json = serde_json::to_string(&reference).unwrap();
        assert_eq!(json, "\"local:fs:a%20b\"");
        assert_eq!(serde_json::from_str::<FileRef>(&json).unwrap(), reference);
        assert_eq!(FileRef::try_from("local:fs:a%20b".to_owned()).unwrap().expose(), "local:fs:a%20b");
        let error = serde_json::from_str::<FileRef>("\"local:fs:a b\"").unwrap_err();
        assert!(error.to_string().contains("STORE:SCHEME:LOCATOR"), "{error}");
    }

    #[test]
    fn a_reference_without_a_store_keeps_its_text() {
        let reference = FileRef::new("fs", ["a"]);
        assert_eq!(reference.expose(), ":fs:a");
        assert_eq!(":fs:a".parse::<FileRef>().unwrap(), reference);
        // A store that names it afterwards does not change the text of the other.
        assert_eq!(reference.stamped(&"local".into()).expose(), "local:fs:a");
    }

    #[test]
    fn a_rejected_text_is_not_repeated_whole() {
        let text = format!("drop store:x:{}", "K".repeat(40));
        assert!(!message(&text).contains("KKKK"));
    }

    #[test]
    fn debug_hides_the_locator() {
        let reference: FileRef = "drop:keyed:Ab12Cd34Ef56".parse().unwrap();
        assert_eq!(format!("{reference:?}"), "FileRef(drop:keyed:Ab1...)");
        assert_eq!(reference.to_string(), "drop:keyed:Ab12Cd34Ef56");
    }

    #[test]
    fn a_path_outside_the_root_is_rejected() {
        for text in ["a:fs:..", "a:fs:x/../y", "a:fs:./x", "a:fs:x%2Fy", "a:fs:x%5Cy", "a:fs:x%00"] {
            let reference: FileRef = text.parse().unwrap();
            assert!(reference.path().is_err(), "{text}");
        }
    }
}
