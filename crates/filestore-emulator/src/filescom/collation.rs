//! The collation by which the service compares names: MySQL's `utf8mb4_0900_ai_ci`.
//!
//! Equal characters have one text that stands for them. `collation.txt` lists these texts, as code points in hexadecimal:
//! a line is the text, `<`, and the characters and ranges of characters that it stands for. A character that is in no
//! line stands for itself, or for the texts of its compatibility decomposition (NFKD).

use std::iter;
use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization;

/// The characters of one text, in the order of the characters.
static RANGES: LazyLock<Vec<Range>> = LazyLock::new(|| {
    let mut ranges: Vec<_> = include_str!("collation.txt").lines().flat_map(parse_line).collect();
    ranges.sort_unstable_by_key(|range| range.first);
    ranges
});

/// The characters from `first` to `last`, and the text that stands for each of them.
struct Range {
    first: char,
    last: char,
    text: String,
}

/// Returns the text that stands for `name` and for all names that are equal to it.
pub(super) fn fold(name: &str) -> String {
    let mut folded = String::with_capacity(name.len());
    for character in name.chars() {
        // Most names are ASCII.
        if matches!(character, ' '..='~') {
            folded.push(character.to_ascii_lowercase());
        } else if let Some(text) = text_of(character) {
            folded.push_str(text);
        } else {
            for part in iter::once(character).nfkd() {
                match text_of(part) {
                    Some(text) => folded.push_str(text),
                    None => folded.push(part),
                }
            }
        }
    }
    folded
}

fn text_of(character: char) -> Option<&'static str> {
    let index = RANGES.partition_point(|range| range.last < character);
    let range = RANGES.get(index).filter(|range| range.first <= character)?;
    Some(&range.text)
}

fn parse_line(line: &str) -> Vec<Range> {
    let (text, ranges) = line.split_once('<').unwrap_or_default();
    let text: String = text.split_whitespace().filter_map(parse_character).collect();
    let ranges = ranges.split_whitespace().filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(Range { first: parse_character(first)?, last: parse_character(last)?, text: text.clone() })
    });
    ranges.collect()
}

fn parse_character(hexadecimal: &str) -> Option<char> {
    char::from_u32(u32::from_str_radix(hexadecimal, 16).ok()?)
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::hex::hex;

    #[test]
    fn every_character_stands_for_what_the_service_compares() {
        let mut digest = Sha256::new();
        for character in '\0'..=char::MAX {
            digest.update(fold(character.encode_utf8(&mut [0; 4])));
            digest.update([0xff]);
        }
        // The digest of the service's mapping, in which characters that it does not have stand for themselves. A test of
        // the client's own folding expects the same one. A newer version of Unicode can decompose more characters: add
        // them to `collation.txt`, as standing for themselves.
        assert_eq!(hex(&digest.finalize()), "723d6aa9222ebe53ef0bfcb6c6626dddce41afc08567cb14bbbd5a37e36e7f5e");
    }
}
