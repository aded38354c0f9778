//! File names as the service keeps them.

/// The longest name, in characters.
const LONGEST: usize = 255;

/// The name that a file gets: what follows the last slash or backslash, without control
/// characters. `None` for a name that cannot be one.
pub(super) fn sanitised(name: &str) -> Option<String> {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let plain: String = last.chars().filter(|character| !character.is_control()).collect();
    let is_name = !plain.chars().all(|character| character == '.') && plain.chars().count() <= LONGEST;
    is_name.then_some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_last_component_without_control_characters() {
        for (given, kept) in [
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
            assert_eq!(sanitised(given).as_deref(), kept, "{given:?}");
        }
        assert!(sanitised(&"é".repeat(255)).is_some());
        assert_eq!(sanitised(&"é".repeat(256)), None);
    }
}
