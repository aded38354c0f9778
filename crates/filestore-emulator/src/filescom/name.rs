//! Keys of names: equal for names that the service treats as equal, and in the order of lists.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::collation::fold;

/// A name as the service compares it: without case, accents and invisible characters. White space counts, also at the
/// end. The characters are mapped so that the order of keys is the order of lists; two names that are equal must have
/// one place there.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct NameKey(Box<str>);

impl NameKey {
    pub(super) fn of(name: &str) -> Self {
        NameKey(fold(name).chars().map(list_order).collect())
    }
}

impl fmt::Debug for NameKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// The printable ASCII characters in the order of lists: space, `_`, `-`, `.`, other punctuation, digits, letters.
/// Control characters stay before them, other scripts after them.
const ORDER: &[u8; 95] =
    b" _-.!\"#$%&'()*+,/:;<=>?@[\\]^`{|}~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Maps a character to the one at its position in [`ORDER`].
fn list_order(character: char) -> char {
    let index = ORDER.iter().position(|ordered| char::from(*ordered) == character);
    match index.and_then(|index| u8::try_from(index).ok()) {
        Some(index) => char::from(b' ' + index),
        None => character,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_in_case_accents_or_form_are_one_name() {
        for (name, expected) in [
            ("FiLeNaMe.TxT", "filename.txt"),
            ("FÎŁĘÑÂMÉ.TXT", "filename.txt"),
            ("Fïłèńämê.Txt", "filename.txt"),
            (" space_at_beginning", " space_at_beginning"),
            ("space_at_end ", "space_at_end "),
            ("tab\tseparated", "tab\tseparated"),
            ("no\u{a0}break", "no break"),
            ("two_code_points_a\u{328}", "two_code_points_a"),
            ("훯", "\u{1112}\u{116f}\u{11b6}"),
            ("ÞþŊŋŦŧ", "þþŋŋŧŧ"),
            ("Ĳĳŉ", "ijijʼn"),
            ("emoji_‼\u{fe0f}", "emoji_!!"),
            ("soft\u{ad}hyphen\u{200d}", "softhyphen"),
            ("ﬁ①½…", "fi11⁄2..."),
            ("Straße ẞ", "strasse ss"),
            ("ς/Σ/ά", "σ/σ/α"),
            ("Ёлка Й", "елка й"),
            ("か/カ/ガ", "か/か/か"),
            ("Ა今日は", "Ა今日は"),
            ("ﷺ", "صلى الله"),
        ] {
            assert_eq!(fold(name), expected, "{name}");
        }
        assert_ne!(NameKey::of("a "), NameKey::of("a"));
        assert_ne!(NameKey::of("й"), NameKey::of("и"));
        assert_ne!(NameKey::of("Ა"), NameKey::of("ა"));
    }

    #[test]
    fn lists_are_in_the_order_of_the_service() {
        let names =
            ["a b", "a_b", "a-b", "a.b", "a!b", "a1", "aa", "LA", "ła", "lb", "sync_test.go", "sync.go", "z", "þ"];
        let mut sorted = names;
        sorted.sort_by_key(|name| NameKey::of(name));
        assert_eq!(sorted, names);
    }

    #[test]
    fn the_list_order_is_a_permutation_of_printable_ascii() {
        let mut all: Vec<char> = (' '..='~').map(list_order).collect();
        all.sort_unstable();
        assert!(all.into_iter().eq(' '..='~'));
    }
}
