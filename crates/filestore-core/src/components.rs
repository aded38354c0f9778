//! Components of paths below the root of a store, checked before they become part of one.
//!
//! For stores whose scopes are folders, and which keep unfinished uploads in [`TEMPORARY_FOLDER`].

use crate::{Error, FileRef, Result};

/// The folder for uploads that are not whole yet: below the root, hence on the same file system, and outside of every
/// listing and address.
pub const TEMPORARY_FOLDER: &str = ".filestore-tmp";

/// Returns true if `component` is the temporary folder, also on file systems that ignore case.
fn is_temporary(component: &str) -> bool {
    component.eq_ignore_ascii_case(TEMPORARY_FOLDER)
}

/// Returns the components of a scope; none for the root. *Invalid input* if one of them cannot be a name.
pub fn of_scope(scope: Option<&str>) -> Result<Vec<String>> {
    checked(scope.map_or_else(Vec::new, |scope| scope.split('/').map(str::to_owned).collect()))
}

/// Returns the components of a scope and a name in it. Errors are those of [`of_scope`].
pub fn of_upload(scope: Option<&str>, name: &str) -> Result<Vec<String>> {
    let mut components = of_scope(scope)?;
    components.push(name.to_owned());
    checked(components)
}

/// Returns the components of a reference. Errors are those of [`of_scope`].
pub fn of_reference(reference: &FileRef) -> Result<Vec<String>> {
    checked(reference.path()?)
}

/// Returns the components of a path that a listing gave. `None` if no reference can name it.
pub fn of_listed(path: &str) -> Option<Vec<String>> {
    checked(path.split('/').map(str::to_owned).collect()).ok()
}

/// Returns true if a single component may be part of a path.
pub fn is_addressable(component: &str) -> bool {
    !matches!(component, "" | "." | "..") && !component.contains(['/', '\\', '\0']) && !is_temporary(component)
}

/// A caller may use a backend without the checks of a `Store`, so nothing here relies on them.
fn checked(components: Vec<String>) -> Result<Vec<String>> {
    for component in &components {
        if is_temporary(component) {
            return Err(Error::invalid(format!(
                "{component:?} is where this store keeps unfinished uploads; choose another name"
            )));
        }
        if !is_addressable(component) {
            return Err(Error::invalid(format!("{component:?} is not the name of a file or folder")));
        }
    }
    Ok(components)
}
