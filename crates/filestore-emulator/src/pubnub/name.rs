//! File names as the service stores them.

/// The maximum length of a name, in characters.
const MAX_CHARS: usize = 255;

/// Returns the name that a file gets: the text after the last slash or backslash, without control characters. Returns
/// `None` if it would be empty, only dots, or longer than 255 characters.
pub(super) fn sanitize(name: &str) -> Option<String> {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let plain: String = last.chars().filter(|character| !character.is_control()).collect();
    let is_name = !plain.chars().all(|character| character == '.') && plain.chars().count() <= MAX_CHARS;
    is_name.then_some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_last_component_without_control_characters() {
        for (name, expected) in [
            ("cat.txt", Some("cat.txt")),
            ("../../etc/passwd", Some("passwd")),
            (r"C:\photos\cat.jpg", Some("cat.jpg")),
            ("größe #1 50%?.txt", Some("größe #1 50%?.txt")),
            ("a\r\nb.txt", Some("ab.txt")),
            ("", None),
            ("dir/", None),
            ("..", None),
            ("\u{7}", None),
        ] {
            assert_eq!(sanitize(name).as_deref(), expected, "{name:?}");
        }
        assert!(sanitize(&"é".repeat(255)).is_some());
        assert_eq!(sanitize(&"é".repeat(256)), None);
    }
}
