//! Checks of names and scopes from callers, and safe local file names for names from servers.

use crate::{Error, NameRules, Result, ScopeKind};

/// Checks that a name from a caller is one path component.
///
/// Fails with *invalid input* if the name is empty, `.` or `..`, or contains `/`, `\`, NUL or another control
/// character. `rules` adds the limits of the store.
pub fn validate_name(name: &str, rules: &NameRules) -> Result<()> {
    component_problem(name).or_else(|| rules.problem(name)).map_or(Ok(()), |problem| {
        Err(Error::invalid(format!("the name {} {problem}; choose another name", quoted(name))))
    })
}

/// Checks a scope against the kind of scope that a store has.
///
/// A folder is one or more names, separated by `/`. A channel is one text without control characters. A store without
/// scopes rejects every scope as *unsupported*. An invalid scope is *invalid input*.
pub fn validate_scope(scope: &str, kind: ScopeKind, rules: &NameRules) -> Result<()> {
    let problem = match kind {
        ScopeKind::None => {
            return Err(Error::unsupported(format!(
                "this store has no folders or channels; leave out the scope {}",
                quoted(scope)
            )));
        }
        ScopeKind::Folder if scope.is_empty() => component_problem(scope),
        ScopeKind::Folder => scope.split('/').find_map(|part| match part {
            "" => Some("has an empty component; write one / between folders and none at the ends".to_owned()),
            part => component_problem(part).or_else(|| rules.problem(part)),
        }),
        ScopeKind::Channel => {
            if scope.is_empty() {
                Some("is empty".to_owned())
            } else if scope.contains(char::is_control) {
                Some("contains a control character".to_owned())
            } else {
                None
            }
        }
    };
    problem.map_or(Ok(()), |problem| {
        Err(Error::invalid(format!("the scope {} {problem}; choose another scope", quoted(scope))))
    })
}

/// The longest name that [`sanitize_file_name`] returns, in bytes.
const LONGEST: usize = 200;

/// Converts a name from a server into a local file name that is safe on every platform.
///
/// - Only the part after the last `/` or `\` is kept.
/// - [Hidden characters](is_hidden) are removed.
/// - Each of `< > : " | ? *` is replaced with `_`, and so are dots at the beginning, with one `_`.
/// - White space at both ends and dots at the end are removed.
/// - Names of Windows devices get the prefix `_`. So do names that begin with `-`, `~` or `@`, which programs take for
///   options or expand.
/// - The name is shortened to 200 bytes. Its extension is kept.
/// - The name is `download` if nothing usable is left.
///
/// The result is always one safe component.
///
/// ```
/// use filestore_core::sanitize_file_name;
///
/// assert_eq!(sanitize_file_name("../../etc/passwd"), "passwd");
/// assert_eq!(sanitize_file_name("C:\\temp\\report.pdf"), "report.pdf");
/// assert_eq!(sanitize_file_name(".bashrc"), "_bashrc");
/// assert_eq!(sanitize_file_name("-rf"), "_-rf");
/// assert_eq!(sanitize_file_name(".."), "download");
/// ```
pub fn sanitize_file_name(name: &str) -> String {
    let base = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let kept = base.chars().filter(|c| !is_hidden(*c));
    let replaced: String = kept.map(|c| if is_reserved(c) { '_' } else { c }).collect();
    let outer = |c: char| c == '.' || c.is_whitespace();
    let visible = replaced.trim_start_matches(outer);
    let dots = replaced[..replaced.len() - visible.len()].contains('.');
    let visible = visible.trim_end_matches(outer);
    if visible.is_empty() {
        return "download".to_owned();
    }
    let prefixed = dots || visible.starts_with(['-', '~', '@']);
    let cut = |name: &str, limit| shorten(name, limit).trim_end_matches(outer).to_owned();
    let name = cut(&if prefixed { format!("_{visible}") } else { visible.to_owned() }, LONGEST);
    if is_device(&name) { format!("_{}", cut(&name, LONGEST - 1)) } else { name }
}

/// Returns `true` for invisible characters that change what a terminal or a person sees: controls, zero-width and
/// blank characters, line separators, variation selectors, tags, and characters that change the direction of text.
///
/// [`sanitize_file_name`] removes them. Print them escaped, never raw. Some emoji are composed with them (U+200D,
/// U+FE0F) and come apart without them.
pub fn is_hidden(c: char) -> bool {
    c.is_control() || HIDDEN.iter().any(|(first, last)| (*first..=*last).contains(&c))
}

/// The first and the last character of each range. Of Unicode 16.0: `Default_Ignorable_Code_Point`
/// (DerivedCoreProperties.txt); the general categories Zl, Zp and Cf (DerivedGeneralCategory.txt), without the visible
/// signs of Cf (`Prepended_Concatenation_Mark` of PropList.txt); and symbols with a blank glyph.
const HIDDEN: &[(char, char)] = &[
    ('\u{AD}', '\u{AD}'),       // soft hyphen
    ('\u{34F}', '\u{34F}'),     // combining grapheme joiner
    ('\u{61C}', '\u{61C}'),     // Arabic letter mark
    ('\u{115F}', '\u{1160}'),   // Hangul fillers
    ('\u{17B4}', '\u{17B5}'),   // Khmer inherent vowels
    ('\u{180B}', '\u{180F}'),   // Mongolian variation selectors, vowel separator
    ('\u{200B}', '\u{200F}'),   // zero-width space and joiners, direction marks
    ('\u{2028}', '\u{202E}'),   // line and paragraph separators, embeddings and overrides
    ('\u{2060}', '\u{206F}'),   // word joiner, invisible operators, isolates, deprecated controls
    ('\u{2800}', '\u{2800}'),   // blank Braille pattern
    ('\u{3164}', '\u{3164}'),   // Hangul filler
    ('\u{FE00}', '\u{FE0F}'),   // variation selectors
    ('\u{FEFF}', '\u{FEFF}'),   // byte order mark
    ('\u{FFA0}', '\u{FFA0}'),   // halfwidth Hangul filler
    ('\u{FFF0}', '\u{FFFB}'),   // reserved, interlinear annotation
    ('\u{13430}', '\u{1343F}'), // controls of Egyptian hieroglyphs
    ('\u{1BCA0}', '\u{1BCA3}'), // controls of shorthand
    ('\u{1D159}', '\u{1D159}'), // null notehead
    ('\u{1D173}', '\u{1D17A}'), // controls of musical notation
    ('\u{E0000}', '\u{E0FFF}'), // tags, variation selectors, reserved
];

/// Returns the reason why `name` is not a valid file name on Windows, or `None` if it is valid.
///
/// Such names are valid on other systems. Joined to a path on Windows, they may lead out of its folder (`C:x`), open a
/// stream of another file (`a:b`) or a device (`NUL.txt`), or lose their end (`a.`).
pub fn windows_name_problem(name: &str) -> Option<&'static str> {
    if name.contains(is_reserved) {
        Some("contains one of < > : \" | ? *, which Windows does not allow in names")
    } else if name.contains(|c: char| c < ' ') {
        Some("contains a control character, which Windows does not allow in names")
    } else if name.ends_with(['.', ' ']) {
        Some("ends with a dot or a space, which Windows drops")
    } else if is_device(name) {
        Some("is the name of a device on Windows")
    } else {
        None
    }
}

/// Returns the media type that the extension of a file name stands for, or `None` if the extension is unknown.
///
/// A backend whose service stores media types, and guesses none itself, uses it for an upload without one.
///
/// ```
/// use filestore_core::guess_content_type;
///
/// assert_eq!(guess_content_type("index.html"), Some("text/html"));
/// assert_eq!(guess_content_type("LICENSE"), None);
/// ```
pub fn guess_content_type(name: &str) -> Option<&'static str> {
    mime_guess::from_path(name).first_raw()
}

fn component_problem(name: &str) -> Option<String> {
    if name.is_empty() {
        Some("is empty".into())
    } else if matches!(name, "." | "..") {
        Some("is a relative path".into())
    } else if name.contains(['/', '\\']) {
        Some("contains a path separator".into())
    } else if name.contains(char::is_control) {
        Some("contains a control character".into())
    } else {
        None
    }
}

/// Quotes and escapes a name for a message, and shortens it to 60 bytes.
fn quoted(name: &str) -> String {
    let short = shorten(name, 60);
    let dots = if short.len() < name.len() { "..." } else { "" };
    format!("{short:?}{dots}")
}

/// Shortens `name` to at most `limit` bytes. An extension of at most 20 bytes, its dot included, is kept, so that
/// programs recognize the file.
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

/// Returns `true` for characters with a special meaning in Windows paths.
fn is_reserved(c: char) -> bool {
    matches!(c, '<' | '>' | ':' | '"' | '|' | '?' | '*')
}

/// Returns `true` if Windows opens a device under this name. Any extension may follow the name of the device.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    let numbered = |prefix: &str| {
        let mut rest = stem.strip_prefix(prefix).unwrap_or_default().chars();
        matches!((rest.next(), rest.next()), (Some('0'..='9' | '\u{B9}' | '\u{B2}' | '\u{B3}'), None))
    };
    matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$") || numbered("COM") || numbered("LPT")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_is_one_component() {
        let rules = NameRules::default();
        for bad in ["", ".", "..", "a/b", "a\\b", "a\0b", "a\nb", "\u{7f}"] {
            assert!(validate_name(bad, &rules).is_err(), "{bad:?}");
        }
        for good in ["a", "...", "a b", "ü", "a.b.c", "~", "%2F", "日本"] {
            assert!(validate_name(good, &rules).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn a_name_longer_than_the_store_allows_says_both_lengths() {
        let rules = NameRules { max_bytes: Some(255), ..NameRules::default() };
        let message = validate_name(&"x".repeat(300), &rules).unwrap_err().to_string();
        assert!(message.contains("300") && message.contains("255"), "{message}");
    }

    #[test]
    fn a_folder_scope_cannot_climb() {
        let rules = NameRules::default();
        assert!(validate_scope("a/../b", ScopeKind::Folder, &rules).is_err());
        for slash in ["/a", "a/", "a//b"] {
            let message = validate_scope(slash, ScopeKind::Folder, &rules).unwrap_err().to_string();
            assert!(message.contains("empty component"), "{message}");
        }
        assert!(validate_scope("a/b", ScopeKind::Folder, &rules).is_ok());
        assert!(validate_scope("../x", ScopeKind::Channel, &rules).is_ok());
    }

    #[test]
    fn a_store_without_scopes_rejects_one() {
        let error = validate_scope("a", ScopeKind::None, &NameRules::default()).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Unsupported);
    }

    #[test]
    fn a_long_server_name_keeps_its_extension() {
        let name = sanitize_file_name(&format!("{}.pdf", "ü".repeat(300)));
        assert!(name.len() <= 200 && name.ends_with(".pdf"), "{name}");
    }

    #[test]
    fn a_server_name_cannot_hide_its_extension_or_name_a_device() {
        assert_eq!(sanitize_file_name("cod\u{202E}gpj.exe"), "codgpj.exe");
        assert_eq!(sanitize_file_name("NUL.txt"), "_NUL.txt");
        assert_eq!(sanitize_file_name("com\u{B2} .txt"), "_com\u{B2} .txt");
        assert_eq!(sanitize_file_name("CONIN$"), "_CONIN$");
        assert_eq!(sanitize_file_name(" . "), "download");
    }

    #[test]
    fn an_invisible_character_is_hidden() {
        let hidden = [
            0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180E, 0x200B, 0x200D, 0x2028, 0x202E, 0x2060,
            0x2066, 0x206A, 0x206F, 0x2800, 0x3164, 0xFE00, 0xFE0F, 0xFEFF, 0xFFA0, 0xFFF9, 0xFFFB, 0x13430, 0x1BCA0,
            0x1D159, 0x1D173, 0x1D17A, 0xE0000, 0xE0001, 0xE0020, 0xE007F, 0xE0100, 0xE01EF,
        ];
        for c in hidden.map(|code| char::from_u32(code).unwrap()) {
            assert!(is_hidden(c), "{c:?}");
            assert_eq!(sanitize_file_name(&format!("{c}a{c}.pd{c}f")), "a.pdf", "{c:?}");
            assert_eq!(sanitize_file_name(&c.to_string()), "download", "{c:?}");
        }
        for c in " -aü日👍\u{301}\u{A0}\u{600}\u{FFFC}\u{FFFD}\u{E000}\u{10FFFD}".chars() {
            assert!(!is_hidden(c), "{c:?}");
        }
    }

    #[test]
    fn the_ranges_of_hidden_characters_are_in_order() {
        assert!(HIDDEN.iter().all(|(first, last)| first <= last));
        assert!(HIDDEN.windows(2).all(|pair| pair[0].1 < pair[1].0));
    }

    #[test]
    fn a_server_name_cannot_hide_its_file() {
        assert_eq!(sanitize_file_name(".ssh"), "_ssh");
        assert_eq!(sanitize_file_name(" ..a.b"), "_a.b");
        assert_eq!(sanitize_file_name("\u{200B}.netrc"), "_netrc");
    }

    #[test]
    fn a_server_name_is_never_an_option_and_never_expanded() {
        for name in ["-rf", "--help", "~", "~root", "@list", "-"] {
            for before in ["", " ", "\u{200B}", "a/"] {
                assert_eq!(sanitize_file_name(&format!("{before}{name}")), format!("_{name}"));
            }
        }
        assert_eq!(sanitize_file_name(".-x"), "_-x");
        assert_eq!(sanitize_file_name("a-b~c@d"), "a-b~c@d");
    }

    #[test]
    fn a_server_name_cannot_name_a_drive_or_a_stream() {
        assert_eq!(sanitize_file_name("C:evil.txt"), "C_evil.txt");
        assert_eq!(sanitize_file_name("a.txt:stream"), "a.txt_stream");
        assert_eq!(sanitize_file_name("a<b>\"c|d?e*f"), "a_b__c_d_e_f");
    }

    #[test]
    fn a_server_name_is_safe_after_it_is_shortened() {
        assert_eq!(sanitize_file_name(&format!("{}. .{}", "x".repeat(198), "y".repeat(50))), "x".repeat(198));
        assert_eq!(sanitize_file_name(&format!("CON{}y", " ".repeat(300))), "_CON");
        let device = sanitize_file_name(&format!("NUL.{}", "y".repeat(300)));
        assert!(device.starts_with("_NUL.y") && device.len() == LONGEST, "{device}");
    }

    #[test]
    fn a_name_that_is_invalid_on_windows_is_found() {
        for bad in ["C:x", "a:b", "a?", "a.", "a ", "nul", "NUL.txt", "COM1", "lpt\u{B9}.x", "conout$", "a\tb"] {
            assert!(windows_name_problem(bad).is_some(), "{bad:?}");
        }
        for good in ["a", ".bashrc", "COM", "COM10", "console", "a.b", "日本", "_NUL"] {
            assert_eq!(windows_name_problem(good), None, "{good:?}");
        }
    }

    proptest! {
        #[test]
        fn any_server_name_becomes_one_safe_component(name in any_name()) {
            let safe = sanitize_file_name(&name);
            prop_assert!(validate_name(&safe, &NameRules::default()).is_ok(), "{safe:?}");
            prop_assert!(safe.len() <= LONGEST, "{safe:?}");
            prop_assert!(!safe.starts_with(['.', '-', '~', '@']) && !safe.ends_with(['.', ' ']), "{safe:?}");
            prop_assert_eq!(safe.trim(), &safe);
            prop_assert_eq!(windows_name_problem(&safe), None, "{:?}", safe);
            prop_assert!(!safe.contains(is_hidden), "{safe:?}");
            prop_assert_eq!(sanitize_file_name(&safe), safe.clone());
        }
    }

    /// Any text, and text composed of dangerous parts of names.
    fn any_name() -> impl Strategy<Value = String> {
        let dangerous = prop::sample::select(vec![
            ".",
            " ",
            "/",
            "\\",
            ":",
            "-",
            "~",
            "*",
            "\u{0}",
            "\u{202E}",
            "\u{FE0F}",
            "\u{3000}",
            "ü",
            "CON",
            "nul",
            "COM",
            "1",
            "\u{B9}",
            "CONIN$",
            "x",
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        ]);
        let mixed = prop::collection::vec(dangerous, 0..40).prop_map(|parts| parts.concat());
        prop_oneof![
            any::<String>(),
            mixed.clone(),
            mixed.prop_map(|mixed| format!("{mixed}{}.{mixed}", "y".repeat(190)))
        ]
    }
}
