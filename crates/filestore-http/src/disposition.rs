//! The file name in `Content-Disposition`, as RFC 6266 and servers that do not follow it write it.

use percent_encoding::percent_decode;

/// Returns the file name of a `Content-Disposition` header, without quotes and escapes. `filename*` takes precedence
/// over `filename`.
///
/// The name is not sanitized: it may contain path separators.
///
/// ```
/// use filestore_http::file_name;
///
/// assert_eq!(file_name(b"attachment; filename=\"a b.txt\"").as_deref(), Some("a b.txt"));
/// assert_eq!(file_name(b"attachment; filename=x; filename*=UTF-8''%C3%BC.txt").as_deref(), Some("ü.txt"));
/// assert_eq!(file_name(b"inline"), None);
/// ```
pub fn file_name(header: &[u8]) -> Option<String> {
    let mut plain = None;
    let mut extended = None;
    for (name, value) in parameters(header) {
        if name.eq_ignore_ascii_case(b"filename*") {
            extended = extended.or_else(|| decode_extended(&value));
        } else if name.eq_ignore_ascii_case(b"filename") {
            plain = plain.or_else(|| Some(text(&value)));
        }
    }
    extended.or(plain).filter(|name| !name.is_empty())
}

/// Returns the parameters after the type, which are separated by `;` outside of quotes.
fn parameters(header: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rest = header;
    let mut found = Vec::new();
    while let Some(at) = position(rest, b';') {
        rest = &rest[at + 1..];
        let Some(equals) = rest.iter().position(|byte| matches!(byte, b'=' | b';')) else { break };
        if rest[equals] == b';' {
            continue;
        }
        let name = rest[..equals].trim_ascii().to_vec();
        rest = &rest[equals + 1..];
        let end = position(rest, b';').unwrap_or(rest.len());
        found.push((name, unquoted(rest[..end].trim_ascii())));
    }
    found
}

/// Returns the position of the first `byte` outside of quotes.
fn position(text: &[u8], byte: u8) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    text.iter().position(|found| {
        let is_match = *found == byte && !quoted;
        if *found == b'"' && !escaped {
            quoted = !quoted;
        }
        escaped = quoted && *found == b'\\' && !escaped;
        is_match
    })
}

fn unquoted(value: &[u8]) -> Vec<u8> {
    let Some(inner) = value.strip_prefix(b"\"") else { return value.to_vec() };
    let inner = inner.strip_suffix(b"\"").unwrap_or(inner);
    let mut plain = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        // Only quotes and backslashes are unescaped, because some servers write Windows paths without escapes.
        match bytes.peek() {
            Some(next @ (b'"' | b'\\')) if byte == b'\\' => {
                plain.push(*next);
                bytes.next();
            }
            _ => plain.push(byte),
        }
    }
    plain
}

/// Decodes `charset'language'percent-encoded`, for the two charsets that are in use.
fn decode_extended(value: &[u8]) -> Option<String> {
    let mut parts = value.splitn(3, |byte| *byte == b'\'');
    let (charset, _, encoded) = (parts.next()?, parts.next()?, parts.next()?);
    // Not the strict decoder of core: some servers do not encode `%`, and a name is only for the disk.
    let bytes: Vec<u8> = percent_decode(encoded).collect();
    if charset.eq_ignore_ascii_case(b"utf-8") {
        String::from_utf8(bytes).ok()
    } else if charset.eq_ignore_ascii_case(b"iso-8859-1") {
        Some(bytes.into_iter().map(char::from).collect())
    } else {
        None
    }
}

/// Decodes raw bytes of a header as UTF-8, or else as ISO 8859-1, the former encoding of headers.
fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().copied().map(char::from).collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(header: &str) -> Option<String> {
        file_name(header.as_bytes())
    }

    #[test]
    fn names_are_tokens_quoted_strings_or_extended_values() {
        let table = [
            ("attachment; filename=report.txt", "report.txt"),
            ("attachment;filename=\"my file.txt\"", "my file.txt"),
            ("ATTACHMENT; FileName = \"a.txt\" ; size=3", "a.txt"),
            ("attachment; filename=\"a;b.txt\"", "a;b.txt"),
            ("attachment; filename=\"a\\\"b\\\\c.txt\"", "a\"b\\c.txt"),
            ("attachment; filename=\"C:\\temp\\x.txt\"", "C:\\temp\\x.txt"),
            ("attachment; filename=\"no end", "no end"),
            ("attachment; filename*=UTF-8''na%C3%AFve%20file.txt; filename=naive.txt", "naïve file.txt"),
            ("attachment; filename=naive.txt; filename*=utf-8'en'%e2%82%ac.txt", "€.txt"),
            ("attachment; filename*=iso-8859-1''%A3.txt", "£.txt"),
            ("attachment; filename=plain.txt; filename*=koi8-r''%D0.txt", "plain.txt"),
            ("attachment; filename=plain.txt; filename*=UTF-8''%FF.txt", "plain.txt"),
            ("attachment; filename=ü.txt", "ü.txt"),
            ("attachment; flag; filename=x", "x"),
            ("attachment; filename=first; filename=second", "first"),
            ("attachment; filename=../../etc/passwd", "../../etc/passwd"),
            ("attachment; filename=a%22b", "a%22b"),
        ];
        for (header, expected) in table {
            assert_eq!(name(header).as_deref(), Some(expected), "{header}");
        }
    }

    #[test]
    fn a_header_without_a_name_has_none() {
        for header in
            ["", "attachment", "attachment;", "attachment; filename=", "attachment; filename=\"\"", "filename=x"]
        {
            assert_eq!(name(header), None, "{header}");
        }
    }

    #[test]
    fn a_name_that_is_not_utf_8_is_latin_1() {
        assert_eq!(file_name(b"attachment; filename=\"\xFC.txt\"").as_deref(), Some("ü.txt"));
    }

    proptest! {
        #[test]
        fn no_header_panics(header in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = file_name(&header);
        }

        #[test]
        fn a_quoted_name_is_decoded(name in "[^\\p{C}]{1,40}") {
            let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
            prop_assert_eq!(file_name(format!("attachment; filename=\"{quoted}\"; x=y").as_bytes()), Some(name));
        }

        #[test]
        fn an_extended_name_is_decoded(name in any::<String>().prop_filter("empty", |name| !name.is_empty())) {
            let encoded = percent_encoding::utf8_percent_encode(&name, percent_encoding::NON_ALPHANUMERIC);
            prop_assert_eq!(file_name(format!("attachment; filename*=UTF-8''{encoded}").as_bytes()), Some(name));
        }
    }
}
