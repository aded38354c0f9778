//! Which names are the same name, and in which order they are listed.

use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

/// A name as the service compares it: without case, accents and white space at its end, and in
/// an alphabet in which comparing bytes is the order of lists.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct NameKey(Box<str>);

impl NameKey {
    pub(super) fn of(name: &str) -> Self {
        NameKey(folded(name).chars().map(ranked).collect())
    }
}

impl fmt::Debug for NameKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// Compatibility forms composed, accents dropped, lower case, no white space at the end.
pub(super) fn folded(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    for character in name.nfkc() {
        match transliterated(character) {
            Some(letters) => plain.push_str(letters),
            None => plain.push(character),
        }
    }
    plain.to_lowercase().trim_end().to_owned()
}

/// The service's own table. What it leaves out stays as it is: þ, đ's neighbours ŋ and ŧ, and every other script.
fn transliterated(character: char) -> Option<&'static str> {
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

/// ASCII in the order of lists: space, `_`, `-`, `.`, other punctuation, digits, letters. What is not here keeps its
/// place: control characters before, other scripts behind.
const ORDER: &[u8; 95] =
    b" _-.!\"#$%&'()*+,/:;<=>?@[\\]^`{|}~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

fn ranked(character: char) -> char {
    let place = ORDER.iter().position(|ordered| char::from(*ordered) == character);
    match place.and_then(|place| u8::try_from(place).ok()) {
        Some(place) => char::from(b' ' + place),
        None => character,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_in_case_accents_or_form_are_one_name() {
        for (written, compared) in [
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
            assert_eq!(folded(written), compared, "{written}");
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
    fn ranks_are_a_permutation() {
        let mut all: Vec<char> = (' '..='~').map(ranked).collect();
        all.sort_unstable();
        assert!(all.into_iter().eq(' '..='~'));
    }
}
