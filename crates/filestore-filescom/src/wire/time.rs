//! The parser of the service's times.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// Parses a time in any form of RFC 3339. `None` if it is invalid.
///
/// The usual form, `2026-03-01T10:00:00Z`, has a fast path: an entry of a listing has three times, and the general
/// parser takes a seventh of the time of a listing.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    plain(text.as_bytes()).or_else(|| text.parse().ok())
}

/// Parses the form `2026-03-01T10:00:00Z` only.
fn plain(text: &[u8]) -> Option<Timestamp> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', n1, n2, b':', s1, s2, b'Z'] = text else {
        return None;
    };
    let two = |tens: &u8, ones: &u8| {
        let digits = tens.is_ascii_digit() && ones.is_ascii_digit();
        digits.then(|| (10 * (tens - b'0') + (ones - b'0')).cast_signed())
    };
    let year = 100 * i16::from(two(y1, y2)?) + i16::from(two(y3, y4)?);
    let civil = DateTime::new(year, two(m1, m2)?, two(d1, d2)?, two(h1, h2)?, two(n1, n2)?, two(s1, s2)?, 0).ok()?;
    Offset::UTC.to_timestamp(civil).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_path_agrees_with_the_general_parser() {
        for text in [
            "2026-03-01T10:00:00Z",
            "0000-01-01T00:00:00Z",
            "9999-12-30T21:59:59Z",
            "2024-02-29T23:59:59Z",
            "1969-12-31T23:59:59Z",
        ] {
            assert_eq!(plain(text.as_bytes()), Some(text.parse().unwrap()), "{text}");
        }
        for second in (-62_135_596_800..253_402_207_200).step_by(999_999_937) {
            let time = Timestamp::from_second(second).unwrap();
            assert_eq!(plain(time.to_string().as_bytes()), Some(time));
        }
    }

    #[test]
    fn other_forms_are_read_by_the_general_parser() {
        for (text, same) in [
            ("2026-03-01T10:00:00-08:00", Some("2026-03-01T18:00:00Z")),
            ("2026-03-01T10:00:00.5Z", Some("2026-03-01T10:00:00.5Z")),
            ("2026-06-30T23:59:60Z", Some("2026-06-30T23:59:59Z")),
            ("2026-02-30T10:00:00Z", None),
            ("2026-0a-01T10:00:00Z", None),
            ("yesterday", None),
        ] {
            assert_eq!(parse(text), same.map(|same| same.parse().unwrap()), "{text}");
            assert_eq!(plain(text.as_bytes()), None, "{text}");
        }
    }
}
