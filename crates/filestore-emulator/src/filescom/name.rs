//! Comparison and order of names: the names that the service treats as equal, and the order in lists.

use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

/// A name as the service compares it: without case, accents and white space at the end. Its characters are mapped so
/// that the order of keys is the order of lists.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct NameKey(Box<str>);

impl NameKey {
    pub(super) fn of(name: &str) -> Self {
        NameKey(folded(name).chars().map(list_order).collect())
    }
}

impl fmt::Debug for NameKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// Returns a name in Unicode form NFKC, without accents, in lower case and without white space at the end.
pub(super) fn folded(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    for character in name.nfkc() {
        match transliterate(character) {
            Some(letters) => plain.push_str(letters),
            None => plain.push(character),
        }
    }
    plain.to_lowercase().trim_end().to_owned()
}

/// Returns the replacement of a letter, from the service's table. Letters that are not in the table stay: þ, ŋ, ŧ and
/// all other scripts.
fn transliterate(character: char) -> Option<&'static str> {
    Some(match character {
        'À' | 'Á' | 'Â' | 'Ã' | 'Ä' | 'Å' | 'Ā' | 'Ă' | 'Ą' => "a",
        'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' | 'ā' | 'ă' | 'ą' => "a",
        'Æ' | 'æ' => "ae",
        'Ç' | 'Ć' | 'Ĉ' | 'Ċ' | 'Č' | 'ç' | 'ć' | 'ĉ' | 'ċ' | 'č' => "c",
        'Ð' | 'Ď' | 'Đ' | 'ð' | 'ď' | 'đ' => "d",
        'È' | 'É' | 'Ê' | 'Ë' | 'Ē' | 'Ĕ' | 'Ė' | 'Ę' | 'Ě' => "e",
        'è' | 'é' | 'ê' | 'ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' => "e",
        'Ĝ' | 'Ğ' | 'Ġ' | 'Ģ' | 'ĝ' | 'ğ' | 'ġ' | 'ģ' => "g",
        'Ĥ' | 'Ħ' | 'ĥ' | 'ħ' => "h",
        'Ì' | 'Í' | 'Î' | 'Ï' | 'Ĩ' | 'Ī' | 'Ĭ' | 'Į' | 'İ' => "i",
        'ì' | 'í' | 'î' | 'ï' | 'ĩ' | 'ī' | 'ĭ' | 'į' => "i",
        'Ĵ' | 'ĵ' => "j",
        'Ķ' | 'ķ' => "k",
        'Ĺ' | 'Ļ' | 'Ľ' | 'Ł' | 'ĺ' | 'ļ' | 'ľ' | 'ł' => "l",
        'Ñ' | 'Ń' | 'Ņ' | 'Ň' | 'ñ' | 'ń' | 'ņ' | 'ň' => "n",
        'Ò' | 'Ó' | 'Ô' | 'Õ' | 'Ö' | 'Ø' | 'Ō' | 'Ŏ' | 'Ő' => "o",
        'ò' | 'ó' | 'ô' | 'õ' | 'ö' | 'ø' | 'ō' | 'ŏ' | 'ő' => "o",
        'Œ' | 'œ' => "oe",
        'Ŕ' | 'Ŗ' | 'Ř' | 'ŕ' | 'ŗ' | 'ř' => "r",
        'Ś' | 'Ŝ' | 'Ş' | 'Š' | 'ś' | 'ŝ' | 'ş' | 'š' => "s",
        'ß' => "ss",
        'Ţ' | 'Ť' | 'ţ' | 'ť' => "t",
        'Ù' | 'Ú' | 'Û' | 'Ü' | 'Ũ' | 'Ū' | 'Ŭ' | 'Ů' | 'Ű' | 'Ų' => "u",
        'ù' | 'ú' | 'û' | 'ü' | 'ũ' | 'ū' | 'ŭ' | 'ů' | 'ű' | 'ų' => "u",
        'Ŵ' | 'ŵ' => "w",
        'Ý' | 'Ŷ' | 'Ÿ' | 'ý' | 'ÿ' | 'ŷ' => "y",
        'Ź' | 'Ż' | 'Ž' | 'ź' | 'ż' | 'ž' => "z",
        _ => return None,
    })
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
            ("space_at_end ", "space_at_end"),
            ("tab\tseparated", "tab\tseparated"),
            ("안녕하세요", "안녕하세요"),
            ("two_code_points_a\u{328}", "two_code_points_a"),
            ("three_code_points_\u{1112}\u{116f}\u{11b6}", "three_code_points_훯"),
            ("ÞþŊŋŦŧ", "þþŋŋŧŧ"),
            ("Ĳĳŉ", "ijijʼn"),
            ("emoji_‼\u{fe0f}", "emoji_!!\u{fe0f}"),
            ("ﬁ①½…", "fi11⁄2..."),
            ("ẞ", "ß"),
            (
                "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖØÙÚÛÜÝßàáâãäåæçèéêëìíîïðñòóôõöøùúûüýÿ",
                "aaaaaaaeceeeeiiiidnoooooouuuuyssaaaaaaaeceeeeiiiidnoooooouuuuyy",
            ),
        ] {
            assert_eq!(folded(name), expected, "{name}");
        }
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
