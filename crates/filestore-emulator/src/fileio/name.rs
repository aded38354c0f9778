//! File names: sanitizing them for storage, and encoding them in `Content-Disposition`.

use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The longest name that file systems accept, in bytes.
const MAX_NAME: usize = 255;

/// The ASCII characters to percent-encode in an RFC 5987 value.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_').remove(b'~');

/// Returns the last component of a name, without characters that could escape from a header or a folder.
pub(super) fn sanitize_file_name(name: &str) -> String {
    let base = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let mut clean: String = base.chars().filter(|character| !character.is_control() && *character != '"').collect();
    while clean.len() > MAX_NAME {
        clean.pop();
    }
    match clean.trim() {
        "" | "." | ".." => "file".to_owned(),
        _ => clean,
    }
}

/// Returns the value of `Content-Disposition`: `attachment` with the name.
///
/// A name that is a token is not quoted, because the most used client keeps the quotes in the file name.
pub(super) fn disposition(name: &str) -> HeaderValue {
    let text = if is_token(name) {
        format!("attachment; filename={name}")
    } else if name.is_ascii() {
        format!("attachment; filename=\"{name}\"")
    } else {
        let fallback: String = name.chars().map(|c| if c.is_ascii() { c } else { '_' }).collect();
        let extended = utf8_percent_encode(name, ENCODED);
        format!("attachment; filename=\"{fallback}\"; filename*=UTF-8''{extended}")
    };
    // Stored names have neither control characters nor quotes.
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("attachment; filename=file"))
}

/// Returns `true` if `name` is a token of RFC 7230.
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
            assert_eq!(sanitize_file_name(sent), stored, "{sent:?}");
        }
        assert_eq!(sanitize_file_name(&"ä".repeat(200)).len(), 254);
    }

    #[test]
    fn a_name_is_quoted_only_if_it_is_no_token() {
        assert_eq!(disposition("report.txt"), "attachment; filename=report.txt");
        assert_eq!(disposition("my file;1.txt"), "attachment; filename=\"my file;1.txt\"");
        assert_eq!(
            disposition("größe.txt"),
            "attachment; filename=\"gr__e.txt\"; filename*=UTF-8''gr%C3%B6%C3%9Fe.txt"
        );
    }
}
