//! Names and scopes: what an upload may be called, and what a server may call it.

use crate::{Error, NameRules, Result, ScopeKind};

/// Checks a name that a caller gives: one component, portable to every store.
///
/// Refused as *invalid input*: empty, `.`, `..`, and anything that holds `/`, `\`, NUL or another
/// control character. `rules` adds the limits of the store at hand.
pub fn check_name(name: &str, rules: &NameRules) -> Result<()> {
    component_problem(name).or_else(|| rules.problem(name)).map_or(Ok(()), |problem| {
        Err(Error::invalid(format!("the name {} {problem}; choose another name", shown(name))))
    })
}

/// Checks a scope against the kind of scope that a store has.
///
/// A folder is `/`-separated components, each a name of its own; a channel is one text without
/// control characters; a store without scopes refuses every scope as *unsupported*.
pub fn check_scope(scope: &str, kind: ScopeKind, rules: &NameRules) -> Result<()> {
    let problem = match kind {
        ScopeKind::None => {
            return Err(Error::unsupported(format!(
                "this store has no folders or channels; leave out the scope {}",
                shown(scope)
            )));
        }
        ScopeKind::Folder if scope.is_empty() => component_problem(scope),
        ScopeKind::Folder => scope.split('/').find_map(|part| match part {
            "" => Some("has an empty component: no / goes at its ends, and one between folders".to_owned()),
            part => component_problem(part).or_else(|| rules.problem(part)),
        }),
        ScopeKind::Channel => {
            if scope.is_empty() {
                Some("is empty".to_owned())
            } else if scope.contains(char::is_control) {
                Some("holds a control character".to_owned())
            } else {
                None
            }
        }
    };
    problem.map_or(Ok(()), |problem| {
        Err(Error::invalid(format!("the scope {} {problem}; choose another scope", shown(scope))))
    })
}

/// A file name for the local disk out of whatever a server sent.
///
/// Keeps what follows the last `/` or `\`, drops control characters and the invisible ones that
/// reverse text, trims spaces and trailing dots, shortens to 200 bytes with the extension kept, and
/// gives `download` where nothing usable is left. The result is always one safe component.
///
/// ```
/// use filestore_core::sanitise;
///
/// assert_eq!(sanitise("../../etc/passwd"), "passwd");
/// assert_eq!(sanitise("C:\\temp\\report.pdf"), "report.pdf");
/// assert_eq!(sanitise(".."), "download");
/// ```
pub fn sanitise(name: &str) -> String {
    let base = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let visible: String = base.chars().filter(|c| !c.is_control() && !is_invisible(*c)).collect();
    let trimmed = visible.trim().trim_end_matches(['.', ' ']);
    let short = shorten(trimmed, 200);
    let stem = short.split('.').next().unwrap_or_default();
    if short.is_empty() {
        "download".to_owned()
    } else if is_device(stem) {
        format!("_{short}")
    } else {
        short
    }
}

fn component_problem(name: &str) -> Option<String> {
    if name.is_empty() {
        Some("is empty".into())
    } else if matches!(name, "." | "..") {
        Some("is a relative path".into())
    } else if name.contains(['/', '\\']) {
        Some("holds a path separator".into())
    } else if name.contains(char::is_control) {
        Some("holds a control character".into())
    } else {
        None
    }
}

/// The name for a message: quoted, escaped, and not the whole of 4,000 characters.
fn shown(name: &str) -> String {
    let short = shorten(name, 60);
    let dots = if short.len() < name.len() { "..." } else { "" };
    format!("{short:?}{dots}")
}

/// At most `limit` bytes, cut before the extension so that the file still opens.
fn shorten(name: &str, limit: usize) -> String {
    if name.len() <= limit {
        return name.to_owned();
    }
    let extension = match name.rfind('.') {
        Some(dot) if dot > 0 && name.len() - dot <= 20 => &name[dot..],
        _ => "",
    };
    let mut end = limit - extension.len();
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{extension}", &name[..end])
}

/// Zero-width and direction-changing characters: they make `exe.txt` out of `txt.exe` on a screen.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}')
}

/// Names that Windows gives to devices, with any extension.
fn is_device(stem: &str) -> bool {
    let upper = stem.to_ascii_uppercase();
    let numbered = |prefix: &str| {
        upper.strip_prefix(prefix).is_some_and(|rest| rest.len() == 1 && rest.bytes().all(|byte| byte.is_ascii_digit()))
    };
    matches!(upper.as_str(), "CON" | "PRN" | "AUX" | "NUL") || numbered("COM") || numbered("LPT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_component() {
        let rules = NameRules::default();
        for bad in ["", ".", "..", "a/b", "a\\b", "a\0b", "a\nb", "\u{7f}"] {
            assert!(check_name(bad, &rules).is_err(), "{bad:?}");
        }
        for good in ["a", "...", "a b", "ü", "a.b.c", "~", "%2F", "日本"] {
            assert!(check_name(good, &rules).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn a_name_longer_than_the_store_allows_says_both_lengths() {
        let rules = NameRules { max_bytes: Some(255), ..NameRules::default() };
        let message = check_name(&"x".repeat(300), &rules).unwrap_err().to_string();
        assert!(message.contains("300") && message.contains("255"), "{message}");
    }

    #[test]
    fn a_folder_scope_cannot_climb() {
        let rules = NameRules::default();
        assert!(check_scope("a/../b", ScopeKind::Folder, &rules).is_err());
        for slash in ["/a", "a/", "a//b"] {
            let message = check_scope(slash, ScopeKind::Folder, &rules).unwrap_err().to_string();
            assert!(message.contains("empty component"), "{message}");
        }
        assert!(check_scope("a/b", ScopeKind::Folder, &rules).is_ok());
        assert!(check_scope("../x", ScopeKind::Channel, &rules).is_ok());
    }

    #[test]
    fn a_store_without_scopes_refuses_one() {
        let error = check_scope("a", ScopeKind::None, &NameRules::default()).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Unsupported);
    }

    #[test]
    fn a_long_server_name_keeps_its_extension() {
        let name = sanitise(&format!("{}.pdf", "ü".repeat(300)));
        assert!(name.len() <= 200 && name.ends_with(".pdf"), "{name}");
    }

    #[test]
    fn a_server_name_cannot_hide_its_extension_or_name_a_device() {
        assert_eq!(sanitise("cod\u{202E}gpj.exe"), "codgpj.exe");
        assert_eq!(sanitise("NUL.txt"), "_NUL.txt");
        assert_eq!(sanitise(" . "), "download");
    }
}
