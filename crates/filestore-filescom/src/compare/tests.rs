use filestore_core::{Effect, ErrorKind};
use sha2::{Digest, Sha256};

use super::*;

fn key(path: &str) -> String {
    PathKey::new(path).to_string()
}

#[test]
fn the_folding_of_every_character_is_that_of_the_service() {
    let mut sha = Sha256::new();
    let mut buffer = [0; 4];
    for c in '\0'..=char::MAX {
        sha.update(fold::fold(c.encode_utf8(&mut buffer)));
        sha.update([0xFF]);
    }
    // The foldings of this hash were compared character by character with MySQL 8.4. If the hash changes, a newer
    // version of the normalizer may decompose characters that came after Unicode 9: add these to folding.txt, folding
    // to themselves.
    let hex: String = sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "723d6aa9222ebe53ef0bfcb6c6626dddce41afc08567cb14bbbd5a37e36e7f5e");
}

#[test]
fn case_and_accents_are_ignored() {
    for same in ["filename.txt", "FiLeNaMe.TxT", "FILENAME.TXT", "FÎŁĘÑÂMÉ.TXT", "Fïłèńämê.Txt"] {
        assert_eq!(key(same), "filename.txt", "{same}");
    }
    assert_eq!(key("Résumé.TXT"), "resume.txt");
    assert_eq!(key("one_code_point_ą"), "one_code_point_a");
    assert_eq!(key("two_code_points_a\u{328}"), "two_code_points_a");
    assert_eq!(
        key("ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖØÙÚÛÜÝßàáâãäåæçèéêëìíîïðñòóôõöøùúûüýÿ"),
        "aaaaaaaeceeeeiiiidnoooooouuuuyssaaaaaaaeceeeeiiiidnoooooouuuuyy"
    );
    assert_eq!(key("ŨũŪūŬŭŮůŰűŲųŴŵŶŷŸŹźŻżŽž"), "uuuuuuuuuuuuwwyyyzzzzzz");
    assert_eq!(key("ς/Σ/ά"), "σ/σ/α");
    assert_eq!(key("Ёлка"), "елка");
    assert_eq!(key("か/カ/ガ"), "か/か/か");
    assert_eq!(key("Þŉ"), "þʼn");
}

#[test]
fn some_similar_letters_are_different() {
    for (a, b) in [("й", "и"), ("Ა", "ა"), ("þ", "th"), ("ŋ", "n"), ("今日は", "今日わ")] {
        assert!(!is_same(a, b), "{a} {b}");
    }
    assert!(is_same("Ŋŧ", "ŋŦ"));
    assert!(is_same("Й", "й"));
}

#[test]
fn compatibility_forms_are_expanded() {
    assert_eq!(key("Ａ／Ｂ/℀/…"), "a/b/a/c/...");
    assert_eq!(key("ﬁ①½\u{212A}"), "fi11⁄2k");
    assert_eq!(key("emoji_‼️"), "emoji_!!");
    assert_eq!(key("longest_unicode_character_﷽"), "longest_unicode_character_﷽");
    assert_eq!(key("ﷺ"), "صلى الله");
}

#[test]
fn composed_and_decomposed_are_the_same() {
    assert_eq!(key("three_code_points_\u{1112}\u{116F}\u{11B6}"), key("three_code_points_훯"));
    assert!(is_same("안녕하세요", "\u{110B}\u{1161}\u{11AB}\u{1102}\u{1167}\u{11BC}하세요"));
    assert!(is_same("é", "e\u{301}"));
}

#[test]
fn separators_and_dot_components_are_cleaned_before_the_folding() {
    for (path, expected) in [
        (r"A\B\C.TXT", "a/b/c.txt"),
        (r"A/B\C.TXT", "a/b/c.txt"),
        ("//a/b//c.txt", "a/b/c.txt"),
        ("a/b/c/../../hello", "a/b/c/hello"),
        ("a/b/c/././hello", "a/b/c/hello"),
        (r"/../../remote\path//./to/file.txt", "remote/path/to/file.txt"),
        ("twodotfile..txt", "twodotfile..txt"),
        ("three/.../dots_path", "three/.../dots_path"),
        ("", ""),
        (".", ""),
        ("./../..", ""),
    ] {
        assert_eq!(key(path), expected, "{path}");
    }
}

#[test]
fn invisible_characters_are_ignored_but_white_space_is_not() {
    assert_eq!(key("invalid_null_byte_before\0after"), "invalid_null_byte_beforeafter");
    assert_eq!(key("a\u{1}b\u{AD}\u{200D}\u{FE0F}"), "ab");
    assert_eq!(key(" space_at_beginning"), " space_at_beginning");
    assert_eq!(key("tab\tseparated"), "tab\tseparated");
    assert_eq!(key("folder \t"), "folder \t");
    assert_eq!(key("a\u{A0}b"), "a b");
    for end in [" ", "\t", "\n", "\r"] {
        assert!(!is_same("a/b/c.txt", &format!("a/b/c.txt{end}")), "{end:?}");
    }
}

#[test]
fn markup_and_emoji_are_text() {
    for path in ["<title>hello<", "title>", "こんにちは", "今日は", "😀👍"] {
        assert_eq!(key(path), path);
    }
}

#[test]
fn names_that_fold_to_no_name_or_several_names_are_rejected() {
    for bad in ["a/\u{200D}", "\u{AD}/b", "\u{301} ", "a/．", "․․", "‥", "a/b℀", "／", "‥ "] {
        let error = check_names(bad).unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::InvalidInput, Effect::NotSent), "{bad:?}");
    }
    for good in ["", "a/../b", "...", "…", "a b/c ", "日本/ü"] {
        assert!(check_names(good).is_ok(), "{good:?}");
    }
    let message = check_names("x/a℅b").unwrap_err().to_string();
    assert!(message.contains("a℅b") && message.contains("ac/ob"), "{message}");
}

#[test]
fn a_batch_collides_where_paths_are_the_same_file() {
    let collisions = |files: &[(Option<&'static str>, &'static str)]| {
        crate::metadata::capabilities(&crate::path::SitePath::default(), crate::Verify::Etag)
            .collisions(files.iter().copied())
    };
    let files =
        [(None, "a.txt"), (Some("dir"), "b"), (None, "A.TXT"), (None, "c"), (Some("DÍR"), "B"), (None, "á.txt")];
    assert_eq!(collisions(&files), [vec![files[0], files[2], files[5]], vec![files[1], files[4]]]);
    assert!(collisions(&[(None, "a"), (None, "b"), (None, "a "), (Some("a"), "a")]).is_empty());
}

#[test]
fn newer_characters_are_equal_to_themselves_alone() {
    // U+32FF SQUARE ERA NAME REIWA came with Unicode 12.1, U+1CCD6 OUTLINED LATIN CAPITAL LETTER A with 16.
    assert!(!is_same("\u{32FF}", "令和"));
    assert!(!is_same("\u{1CCD6}", "A"));
}
