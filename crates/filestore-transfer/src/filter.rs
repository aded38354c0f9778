//! [`Filter`]: globs that choose files of a folder or of a listing.

use std::path::Path;

use filestore_core::{Error, Result};
use ignore::overrides::{Override, OverrideBuilder};

/// Globs that choose files, as those of `rg --glob` do. Without a glob, every file is chosen.
///
/// - A glob without `/` matches names in any folder: `*.txt`. One with `/` at its beginning or in its middle matches
///   paths below the root: `/docs/*.txt`. One with `/` at its end matches folders. `**` matches any number of folders.
/// - The last glob that matches a file decides. A file that none matches is chosen, unless a glob includes files.
/// - A folder that a glob excludes is not entered, whatever the globs say of the files in it. A glob that includes a
///   folder includes none of its files: write `docs/**`.
/// - Hidden files are files like all others, and `.gitignore` has no meaning.
///
/// ```
/// use filestore_transfer::Filter;
///
/// let filter = Filter::new().include("*.pdf").exclude("draft-*").exclude("/archive/");
/// ```
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// The globs, each with `!` in front if it excludes.
    globs: Vec<String>,
}

impl Filter {
    /// Creates a filter that chooses every file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Includes the files that `glob` matches.
    pub fn include(mut self, glob: impl Into<String>) -> Self {
        let glob = glob.into();
        // The meaning of these at the beginning of a line is that of a file with globs.
        let escape = if glob.starts_with(['!', '#']) { "\\" } else { "" };
        self.globs.push(format!("{escape}{glob}"));
        self
    }

    /// Excludes the files and folders that `glob` matches.
    pub fn exclude(mut self, glob: impl AsRef<str>) -> Self {
        self.globs.push(format!("!{}", glob.as_ref()));
        self
    }

    /// Compiles the globs. Fails with *invalid input* and names the first that is no glob.
    pub(crate) fn compile(&self) -> Result<Matcher> {
        let mut builder = OverrideBuilder::new(".");
        for line in &self.globs {
            let glob = line.strip_prefix('!').unwrap_or(line);
            if glob.trim_matches([' ', '/']).is_empty() {
                return Err(Error::invalid(format!("the glob {glob:?} matches no name; write a name or a pattern")));
            }
            builder.add(line).map_err(|error| invalid(glob, error))?;
        }
        Ok(Matcher(builder.build().map_err(|error| Error::invalid(format!("the globs are invalid: {error}")))?))
    }
}

fn invalid(glob: &str, error: ignore::Error) -> Error {
    let problem = match error {
        ignore::Error::Glob { err, .. } => err,
        other => other.to_string(),
    };
    Error::invalid(format!("the glob {glob:?} is invalid: {problem}"))
}

/// The compiled globs of a filter.
#[derive(Debug, Clone)]
pub(crate) struct Matcher(Override);

impl Matcher {
    /// Returns `true` if the folder or file at `path` below the root is chosen, given that its folder is.
    pub(crate) fn chooses(&self, path: &Path, is_folder: bool) -> bool {
        !self.0.matched(path, is_folder).is_ignore()
    }

    /// Returns `true` if the file at `path` below the root is chosen.
    pub(crate) fn chooses_file(&self, path: &Path) -> bool {
        let mut folders: Vec<_> = path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()).collect();
        folders.reverse();
        folders.into_iter().all(|folder| self.chooses(folder, true)) && self.chooses(path, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [&str; 9] =
        ["a.pdf", "b.txt", ".hidden", "docs/a.pdf", "docs/draft-b.pdf", "docs/x/c.pdf", "archive/d.pdf", "!e", "#f"];

    fn chosen(filter: &Filter) -> Vec<&'static str> {
        let matcher = filter.compile().unwrap();
        FILES.into_iter().filter(|file| matcher.chooses_file(Path::new(file))).collect()
    }

    #[test]
    fn without_a_glob_every_file_is_chosen() {
        assert_eq!(chosen(&Filter::new()), FILES);
    }

    #[test]
    fn a_glob_without_a_slash_matches_in_every_folder_and_one_with_a_slash_below_the_root() {
        assert_eq!(chosen(&Filter::new().include("a.pdf")), ["a.pdf", "docs/a.pdf"]);
        assert_eq!(chosen(&Filter::new().include("/a.pdf")), ["a.pdf"]);
        assert_eq!(chosen(&Filter::new().include("docs/*.pdf")), ["docs/a.pdf", "docs/draft-b.pdf"]);
        assert_eq!(chosen(&Filter::new().include("docs/**").exclude("draft-*")), ["docs/a.pdf", "docs/x/c.pdf"]);
    }

    #[test]
    fn the_last_glob_that_matches_decides() {
        assert_eq!(chosen(&Filter::new().exclude("*.pdf").include("a.pdf")), ["a.pdf", "docs/a.pdf"]);
        let all_but_a = ["docs/draft-b.pdf", "docs/x/c.pdf", "archive/d.pdf"];
        assert_eq!(chosen(&Filter::new().include("*.pdf").exclude("a.pdf")), all_but_a);
    }

    #[test]
    fn a_folder_that_is_excluded_is_not_entered() {
        let filter = Filter::new().exclude("docs").exclude("/archive/");
        assert_eq!(chosen(&filter), ["a.pdf", "b.txt", ".hidden", "!e", "#f"]);
        assert_eq!(chosen(&Filter::new().exclude("docs/").include("docs/a.pdf")), [""; 0]);
        assert_eq!(chosen(&Filter::new().include("docs/")), [""; 0]);
    }

    #[test]
    fn a_glob_may_begin_with_an_exclamation_mark_or_a_hash() {
        assert_eq!(chosen(&Filter::new().include("!e").include("#f")), ["!e", "#f"]);
        assert_eq!(chosen(&Filter::new().exclude("!e").exclude("#f")), FILES[..7]);
    }

    #[test]
    fn an_invalid_glob_is_named() {
        for glob in ["", "/", "a[", "{a"] {
            for filter in [Filter::new().include(glob), Filter::new().exclude(glob)] {
                let error = filter.compile().unwrap_err();
                assert!(error.message().contains(&format!("the glob {glob:?}")), "{error}");
            }
        }
    }
}
