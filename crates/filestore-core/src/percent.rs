//! [`percent_decode`]: the inverse of the encoding of names in URLs.

use percent_encoding::percent_decode_str;

use crate::{Error, Result};

/// Decodes a percent-encoded text, such as the path of a link or the name of an entry of a listing, and accepts nothing
/// else.
///
/// Fails with *invalid input* if a `%` is not followed by two hexadecimal digits, or if the decoded bytes are not UTF-8. A
/// lenient decoder keeps or replaces them, and so gives two different names the same text. The error has the position,
/// and does not repeat the text, which may be a secret. If the text is from a service, give the error the kind *protocol*.
///
/// Every other character is kept. A `+` stays a `+`: it is a space only in the queries of forms. To split a path into
/// components, split it before it is decoded, because `%2F` is a slash of a name.
///
/// ```
/// use filestore_core::percent_decode;
///
/// assert_eq!(percent_decode("caf%C3%A9+1%2F2.txt")?, "café+1/2.txt");
/// assert!(percent_decode("100%").is_err());
/// assert!(percent_decode("%FF").is_err());
/// # Ok::<(), filestore_core::Error>(())
/// ```
pub fn percent_decode(text: &str) -> Result<String> {
    let is_escape =
        |rest: &[u8]| matches!(rest, [_, high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit());
    let stray = text.match_indices('%').find(|(at, _)| !is_escape(&text.as_bytes()[*at..]));
    if let Some((at, _)) = stray {
        return Err(Error::invalid(format!(
            "the text is not percent-encoded: the % at byte {at} is not followed by two hexadecimal digits; write % \
             itself as %25"
        )));
    }
    let decoded = percent_decode_str(text).decode_utf8().map_err(|error| {
        Error::invalid(format!(
            "the percent-encoded text is not UTF-8: its decoded bytes are invalid from byte {} on",
            error.valid_up_to()
        ))
    })?;
    Ok(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    use super::*;
    use crate::ErrorKind;

    #[test]
    fn every_spelling_of_a_byte_is_decoded() {
        for (text, decoded) in [
            ("", ""),
            ("plain", "plain"),
            ("a%20b", "a b"),
            ("%c3%BC+%2b", "ü++"),
            ("ü%25zz", "ü%zz"),
            ("%2525", "%25"),
            ("%2F%5C%00", "/\\\0"),
        ] {
            assert_eq!(percent_decode(text).unwrap(), decoded, "{text}");
        }
    }

    #[test]
    fn an_invalid_text_is_an_error_with_its_position_and_without_the_text() {
        for (text, position) in [
            ("100%", "at byte 3"),
            ("CANARY%2", "at byte 6"),
            ("%zz", "at byte 0"),
            ("a%%20", "at byte 1"),
            ("% 1", "at byte 0"),
            ("%+1", "at byte 0"),
            ("%é9", "at byte 0"),
            ("CANARY%FF", "from byte 6"),
            ("%C3", "from byte 0"),
            ("%ED%A0%80", "from byte 0"),
        ] {
            let error = percent_decode(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
            assert!(error.message().contains(position) && !error.message().contains("CANARY"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn an_encoded_text_is_decoded(text in any::<String>()) {
            prop_assert_eq!(percent_decode(&utf8_percent_encode(&text, NON_ALPHANUMERIC).to_string()).unwrap(), text);
        }

        #[test]
        fn what_is_decoded_is_what_a_lenient_decoder_gives(text in "[%0-9a-fA-F é]{0,12}") {
            if let Ok(decoded) = percent_decode(&text) {
                prop_assert_eq!(percent_decode_str(&text).decode_utf8().unwrap(), decoded);
            }
        }
    }
}
