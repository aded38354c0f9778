//! Paths below the root of a store: components, checked before they become part of one.

use filestore_core::{Error, FileRef, Result};

/// Where uploads are kept until they are whole: below the root, hence on the same file system, and
/// outside every listing and address.
pub(crate) const TEMPORARY: &str = ".filestore-tmp";

/// Whether `component` is the temporary folder, also on file systems that ignore case.
pub(crate) fn is_temporary(component: &str) -> bool {
    component.eq_ignore_ascii_case(TEMPORARY)
}

/// The components of a scope; none for the root.
pub(crate) fn of_scope(scope: Option<&str>) -> Result<Vec<String>> {
    checked(scope.map_or_else(Vec::new, |scope| scope.split('/').map(str::to_owned).collect()))
}

/// The components of a scope and a name in it.
pub(crate) fn of_upload(scope: Option<&str>, name: &str) -> Result<Vec<String>> {
    let mut components = of_scope(scope)?;
    components.push(name.to_owned());
    checked(components)
}

/// The components of a reference.
pub(crate) fn of_reference(reference: &FileRef) -> Result<Vec<String>> {
    checked(reference.path()?)
}

/// The components of a path that a listing gave. `None` where no reference can name it: such files
/// are left out.
pub(crate) fn of_listed(path: &str) -> Option<Vec<String>> {
    checked(path.split('/').map(str::to_owned).collect()).ok()
}

/// Whether a single component may be part of a path.
pub(crate) fn is_addressable(component: &str) -> bool {
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
