//! [`Places`]: the scope and name at the destination of each file.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use filestore_core::{Addressing, Capabilities, StoredFile};

use super::has_folders;
use super::records::Begin;
use crate::spool::hash;

/// The place of a file at the destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) scope: Option<String>,
    pub(super) name: String,
}

impl Place {
    pub(super) fn new<'a>(folders: impl Iterator<Item = &'a str>, name: String) -> Self {
        let folders: Vec<&str> = folders.collect();
        Self { scope: (!folders.is_empty()).then(|| folders.join("/")), name }
    }

    /// Returns the place that an earlier run has chosen.
    pub(super) fn of(begin: &Begin) -> Self {
        Self { scope: begin.to_scope.clone(), name: begin.to_name.clone() }
    }
}

/// Chooses the places of the files of one source.
pub(super) struct Places<'a> {
    to: &'a Capabilities,
    scope: Option<&'a str>,
    /// The number of files that lose their folders.
    pub(super) without_folders: u64,
}

impl<'a> Places<'a> {
    pub(super) fn new(to: &'a Capabilities, scope: Option<&'a str>) -> Self {
        Self { to, scope, without_folders: 0 }
    }

    /// Returns the place of each file, given its path at the source. The places are different ones where an upload
    /// replaces a file of the same place.
    pub(super) fn choose(&mut self, files: Vec<(Vec<String>, StoredFile)>) -> Vec<(StoredFile, Place)> {
        let mut placed: Vec<_> = files.into_iter().map(|(path, file)| (file, self.place(path))).collect();
        if self.to.addressing != Addressing::CallerPath {
            return placed;
        }
        let mut counts = HashMap::<Vec<String>, u32>::new();
        for (_, place) in &placed {
            *counts.entry(folded(self.to, place)).or_default() += 1;
        }
        let taken: HashSet<_> = counts.into_iter().filter(|(_, count)| *count > 1).map(|(place, _)| place).collect();
        for (file, place) in &mut placed {
            if taken.contains(&folded(self.to, place)) {
                place.name = with_hash(&place.name, &hash(&file.reference)[..8]);
            }
        }
        placed
    }

    fn place(&mut self, mut path: Vec<String>) -> Place {
        let name = path.pop().unwrap_or_default();
        if !has_folders(self.to) {
            self.without_folders += u64::from(!path.is_empty());
            path.clear();
        }
        Place::new(self.scope.into_iter().chain(path.iter().map(String::as_str)), name)
    }
}

/// Returns the form of a place in which it equals all others that are one file.
pub(super) fn folded(to: &Capabilities, place: &Place) -> Vec<String> {
    let components = place.scope.iter().flat_map(|scope| scope.split('/')).chain([place.name.as_str()]);
    let components = components.filter(|component| !component.is_empty());
    components.map(|component| to.names.equality.folded(component).into_owned()).collect()
}

/// Returns `NAME (HASH).EXT`.
fn with_hash(name: &str, hash: &str) -> String {
    let path = Path::new(name);
    match (path.file_stem().and_then(|stem| stem.to_str()), path.extension().and_then(|end| end.to_str())) {
        (Some(stem), Some(end)) => format!("{stem} ({hash}).{end}"),
        _ => format!("{name} ({hash})"),
    }
}

#[cfg(test)]
mod tests {
    use filestore_core::{FileRef, NameEquality};

    use super::*;

    fn places(to: &Capabilities, paths: &[&str]) -> Vec<String> {
        let file = |path: &&str| {
            let components: Vec<String> = path.split('/').map(str::to_owned).collect();
            (components.clone(), StoredFile::new(FileRef::new("fs", &components), components.last().unwrap()))
        };
        let placed = Places::new(to, Some("in")).choose(paths.iter().map(file).collect());
        placed.into_iter().map(|(_, place)| format!("{}/{}", place.scope.unwrap(), place.name)).collect()
    }

    #[test]
    fn paths_are_kept_and_files_that_would_be_one_get_a_hash_into_their_names() {
        let mut to = Capabilities::new("mem");
        assert_eq!(places(&to, &["a.txt", "b/a.txt", "A.txt"]), ["in/a.txt", "in/b/a.txt", "in/A.txt"]);
        to.names.equality = NameEquality::Folded { ignores: "case", fold: str::to_lowercase };
        let chosen = places(&to, &["a.txt", "b/a.txt", "A.txt", "README", "readme"]);
        assert_eq!(chosen[1], "in/b/a.txt");
        for (at, stem, end) in [(0, "in/a (", ").txt"), (2, "in/A (", ").txt"), (3, "in/README (", ")")] {
            let hash = chosen[at].strip_prefix(stem).and_then(|rest| rest.strip_suffix(end));
            assert!(hash.is_some_and(|hash| hash.len() == 8), "{chosen:?}");
        }
        assert_ne!(chosen[0].to_lowercase(), chosen[2].to_lowercase());
    }

    #[test]
    fn a_store_without_folders_gets_the_names_alone_as_often_as_they_occur() {
        let mut to = Capabilities::new("mem");
        (to.scope, to.addressing) = (filestore_core::ScopeKind::Channel, Addressing::CallerNameServerId);
        assert_eq!(places(&to, &["x/a.txt", "y/a.txt"]), ["in/a.txt", "in/a.txt"]);
    }
}
