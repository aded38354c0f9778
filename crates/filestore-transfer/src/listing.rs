//! [`list_tree`]: the files of a scope and of all folders below it.

use std::collections::HashSet;
use std::pin::pin;

use filestore_core::{Addressing, Capabilities, Feature, List, Result, ScopeKind, Store, StoredFile};
use futures::TryStreamExt;

/// Lists `scope` and all folders below it. Returns the smallest number of entries that no reference can address; see
/// [`Page::left_out`](filestore_core::Page::left_out).
pub(crate) async fn list_tree(store: &Store, scope: Option<String>, mut each: impl FnMut(StoredFile)) -> Result<u64> {
    let recursive = store.capabilities().supports(Feature::RecursiveList);
    let (mut scopes, mut known_folders, mut left_out) = (vec![scope], HashSet::new(), 0);
    while let Some(scope) = scopes.pop() {
        let mut list = List::new().recursive(recursive);
        list.scope = scope;
        let mut pages = pin!(store.list_pages(list));
        while let Some(page) = pages.try_next().await? {
            left_out = page.left_out.max(left_out);
            let folders = page.folders.into_iter().filter(|folder| known_folders.insert(folder.clone()));
            scopes.extend(folders.map(Some));
            page.files.into_iter().for_each(&mut each);
        }
    }
    Ok(left_out)
}

/// Returns the components of a file's path below `scope`. It is the name alone where paths are not those of the caller.
pub(crate) fn path_in_scope(capabilities: &Capabilities, scope: Option<&str>, file: &StoredFile) -> Vec<String> {
    let is_path = capabilities.addressing == Addressing::CallerPath && capabilities.scope == ScopeKind::Folder;
    let mut path = if is_path { file.reference.components() } else { Vec::new() };
    let root = capabilities.root.components();
    let above = root.iter().map(String::as_str).chain(scope.iter().flat_map(|scope| scope.split('/')));
    let above = above.filter(|component| !component.is_empty()).count();
    if path.len() > above { path.split_off(above) } else { vec![file.name.clone()] }
}
