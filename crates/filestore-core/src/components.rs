//! Checked components of paths below the root of a store.
//!
//! They are for stores whose scopes are folders and that write unfinished uploads to [`TEMPORARY_FOLDER`].

use crate::{Error, FileRef, Result};

/// The folder for unfinished uploads. It is below the root, hence on the same file system. Listings leave it out, and
/// no reference can name a file in it.
pub const TEMPORARY_FOLDER: &str = ".filestore-tmp";

/// Returns `true` if `component` is the temporary folder, also on file systems that ignore case.
fn is_temporary(component: &str) -> bool {
    component.eq_ignore_ascii_case(TEMPORARY_FOLDER)
}

/// Returns the components of a scope; none for the root. Fails with *invalid input* if one of them is not a valid name.
pub fn of_scope(scope: Option<&str>) -> Result<Vec<String>> {
    checked(scope.map_or_else(Vec::new, |scope| scope.split('/').map(str::to_owned).collect()))
}

/// Returns the components of a scope and a name in it. Fails as [`of_scope`] does.
pub fn of_upload(scope: Option<&str>, name: &str) -> Result<Vec<String>> {
    let mut components = of_scope(scope)?;
    components.push(name.to_owned());
    checked(components)
}

/// Returns the components of a reference. Fails as [`of_scope`] does.
pub fn of_reference(reference: &FileRef) -> Result<Vec<String>> {
    checked(reference.path()?)
}

/// Returns the components of a path from a listing; `None` if no reference can name it.
pub fn of_listed(path: &str) -> Option<Vec<String>> {
    checked(path.split('/').map(str::to_owned).collect()).ok()
}

/// Returns `true` if `component` may be part of a path.
pub fn is_addressable(component: &str) -> bool {
    !matches!(component, "" | "." | "..") && !component.contains(['/', '\\', '\0']) && !is_temporary(component)
}

/// Checks every component. A caller may use a backend without a [`Store`](crate::Store), so this repeats its checks.
fn checked(components: Vec<String>) -> Result<Vec<String>> {
    for component in &components {
        if is_temporary(component) {
            return Err(Error::invalid(format!(
                "{component:?} is reserved for unfinished uploads; choose another name"
            )));
        }
        if !is_addressable(component) {
            return Err(Error::invalid(format!(
                "{component:?} is not a valid name of a file or folder; choose another name"
            )));
        }
    }
    Ok(components)
}
