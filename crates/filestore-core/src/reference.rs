//! [`FileRef`]: the permanent reference of a stored file.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

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
/// text is a secret. [`to_string`](ToString::to_string) returns the text; `Debug` and the errors of such a store show a
/// shortened form.
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
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileRef {
    store: Arc<str>,
    /// `SCHEME:LOCATOR` in one string, because listings create many references.
    named: Arc<str>,
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
        Self { store: Arc::clone(&UNSTAMPED), named: named.into() }
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
        Self { store: Arc::clone(&self.store), named: named.into() }
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
        Self { store: Arc::clone(name), named: Arc::clone(&self.named) }
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

    /// Parses `STORE:SCHEME:LOCATOR`. Fails with *invalid input* for text that [`Display`] does not write: with
    /// an unencoded character, lower-case hexadecimal digits or an empty component.
    ///
    /// [`Display`]: fmt::Display
    fn from_str(text: &str) -> Result<Self> {
        let problem = match split(text) {
            Some((store, scheme, locator)) => match check(store, scheme, locator) {
                Ok(()) => {
                    return Ok(Self { store: store.into(), named: format!("{scheme}:{locator}").into() });
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

fn split(text: &str) -> Option<(&str, &str, &str)> {
    let (store, rest) = text.split_once(':')?;
    let (scheme, locator) = rest.split_once(':')?;
    Some((store, scheme, locator))
}

fn check(store: &str, scheme: &str, locator: &str) -> Result<(), String> {
    if !is_store_name(store) {
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
            ["", "x", "a:b", "a:b:", ":fs:x", "a b:fs:x", "a:FS:x", "a:fs:x//y", "a:fs:/x", "a:fs:%c3", "a:fs:ü"]
        {
            assert!(message(garbage).contains("STORE:SCHEME:LOCATOR"), "{garbage}");
        }
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
