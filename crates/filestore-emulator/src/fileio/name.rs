//! File names: what is stored of the name that a client sends, and how it is sent back.

use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The longest name that file systems take.
const LONGEST: usize = 255;

/// What RFC 5987 lets stand as it is.
const EXTENDED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_').remove(b'~');

/// The last component of a name, without what could escape a header or a folder.
pub(super) fn sanitised(name: &str) -> String {
    let base = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let mut clean: String = base.chars().filter(|character| !character.is_control() && *character != '"').collect();
    while clean.len() > LONGEST {
        clean.pop();
    }
    match clean.trim() {
        "" | "." | ".." => "file".to_owned(),
        _ => clean,
    }
}

/// `attachment` with the name: unquoted when it is a token, because the most used client keeps
/// the quotes in the file name, quoted otherwise.
pub(super) fn disposition(name: &str) -> HeaderValue {
    let text = if is_token(name) {
        format!("attachment; filename={name}")
    } else if name.is_ascii() {
        format!("attachment; filename=\"{name}\"")
    } else {
        let fallback: String = name.chars().map(|c| if c.is_ascii() { c } else { '_' }).collect();
        let extended = utf8_percent_encode(name, EXTENDED);
        format!("attachment; filename=\"{fallback}\"; filename*=UTF-8''{extended}")
    };
    // Stored names have neither control characters nor quotes.
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("attachment; filename=file"))
}

/// RFC 7230.
fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_name_is_one_harmless_component() {
        for (sent, stored) in [
            ("report.txt", "report.txt"),
            ("../../etc/passwd", "passwd"),
            (r"C:\temp\a.txt", "a.txt"),
            ("a\r\nSet-Cookie: x.txt", "aSet-Cookie: x.txt"),
            ("say \"hi\".txt", "say hi.txt"),
            ("..", "file"),
            ("dir/", "file"),
            ("", "file"),
            (" \u{7f} ", "file"),
            ("größe.txt", "größe.txt"),
        ] {
            assert_eq!(sanitised(sent), stored, "{sent:?}");
        }
        assert_eq!(sanitised(&"ä".repeat(200)).len(), 254);
    }

    #[test]
    fn a_name_is_quoted_only_when_it_must_be() {
        assert_eq!(disposition("report.txt"), "attachment; filename=report.txt");
        assert_eq!(disposition("my file;1.txt"), "attachment; filename=\"my file;1.txt\"");
        assert_eq!(
            disposition("größe.txt"),
            "attachment; filename=\"gr__e.txt\"; filename*=UTF-8''gr%C3%B6%C3%9Fe.txt"
        );
    }
}
