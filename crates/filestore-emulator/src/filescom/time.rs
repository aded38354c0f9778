//! Parsing of times in the formats that clients send.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// The first year that the service accepts. The zero time of Go is before it.
const FIRST_YEAR: i16 = 1000;

/// Parses ISO 8601 with `Z`, an offset or neither, and the two formats of Ruby. Fractions of a second are dropped.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let (date, rest) = (text.get(..10)?, text.get(10..)?);
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != ':' && c != '.').unwrap_or(rest.len());
    let (time, zone) = rest.split_at(end);
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }

    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    let to_i8 = |number: i16| i8::try_from(number).ok();
    let time = DateTime::new(year, to_i8(month)?, to_i8(day)?, to_i8(hour)?, to_i8(minute)?, to_i8(second)?, 0).ok()?;
    (year >= FIRST_YEAR).then_some(())?;
    offset(zone.trim())?.to_timestamp(time).ok()
}

/// Parses three numbers with fixed numbers of digits: `2026-03-01`, `10:15:00`.
fn numbers(text: &str, separator: char, digits: [usize; 3]) -> Option<[i16; 3]> {
    let mut numbers = [0; 3];
    let mut pieces = text.split(separator);
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let piece = pieces.next()?;
        let is_number = piece.len() == digits && piece.bytes().all(|byte| byte.is_ascii_digit());
        *number = is_number.then(|| piece.parse().ok())??;
    }
    pieces.next().is_none().then_some(numbers)
}

/// Parses `Z`, `UTC`, `+02:00` and `-0700`. An empty text is UTC.
fn offset(zone: &str) -> Option<Offset> {
    if matches!(zone, "" | "Z" | "z" | "UTC") {
        return Some(Offset::UTC);
    }
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits = zone[1..].replacen(':', "", 1);
    if digits.len() != 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes): (i32, i32) = (digits[..2].parse().ok()?, digits[2..].parse().ok()?);
    (minutes < 60).then_some(())?;
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_parsed_in_every_format_that_clients_send() {
        for text in [
            "2023-02-06T17:28:32Z",
            "2023-02-06T17:28:32.760949438Z",
            "2023-02-06T09:28:32.760949438-08:00",
            "2023-02-06T17:28:32.123456",
            "2023-02-06T17:28:32",
            "2023-02-06 17:28:32Z",
            "2023-02-06 10:28:32 -0700",
            "2023-02-06 17:28:32 UTC",
        ] {
            assert_eq!(parse(text).unwrap().to_string(), "2023-02-06T17:28:32Z", "{text}");
        }
    }

    #[test]
    fn impossible_times_are_rejected() {
        for text in [
            "0001-01-01T00:00:00Z",
            "2023-02-30T00:00:00Z",
            "2023-02-06T24:00:00Z",
            "2023-02-06",
            "2023-02-06T17:28Z",
            "2023-02-06T17:28:32.Z",
            "2023-02-06T17:28:32+99:00",
            "tomorrow",
            "",
            "2023-02-0６T17:28:32Z",
        ] {
            assert!(parse(text).is_none(), "{text}");
        }
    }
}
