//! The range of bytes that a download reads.

use std::ops::{Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};

use crate::{Effect, Error, ErrorKind, Result};

/// A range of bytes of a file, from `start` up to but excluding `end`.
///
/// Every range type of `std` converts into it. An `end` beyond the end of the file counts as the end of the file. A
/// `start` at or beyond it is *range not satisfiable*; only the range `..` of an empty file is the empty range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ByteRange {
    /// The offset of the first byte.
    pub start: u64,
    /// The offset after the last byte. `None`: the end of the file.
    pub end: Option<u64>,
}

impl ByteRange {
    /// Parses the value of an HTTP `Range` header in a request for a file of `size` bytes, for web services.
    ///
    /// Returns `None` where RFC 9110 lets a server ignore the header and send the whole file: another unit than
    /// `bytes`, several ranges, and invalid text. A range that the file does not have is *range not satisfiable*, for
    /// which a server responds with 416.
    ///
    /// ```
    /// use filestore_core::{ByteRange, ErrorKind};
    ///
    /// assert_eq!(ByteRange::from_header("bytes=0-99", 1000)?, Some(ByteRange::from(0..100)));
    /// assert_eq!(ByteRange::from_header("bytes=-100", 1000)?, Some(ByteRange::from(900..1000)));
    /// assert_eq!(ByteRange::from_header("lines=1-2", 1000)?, None);
    /// assert_eq!(ByteRange::from_header("bytes=1000-", 1000).unwrap_err().kind(), ErrorKind::RangeNotSatisfiable);
    /// # Ok::<(), filestore_core::Error>(())
    /// ```
    pub fn from_header(header: &str, size: u64) -> Result<Option<Self>> {
        let Some(range) = HeaderRange::parse(header) else { return Ok(None) };
        let range = match range {
            HeaderRange::From { first, last } => {
                Self { start: first, end: last.map(|last| last.saturating_add(1).min(size)) }
            }
            HeaderRange::Last(0) => return Err(not_satisfiable("the range has no bytes".to_owned())),
            HeaderRange::Last(count) => Self { start: size.saturating_sub(count), end: Some(size) },
        };
        range.of(size)?;
        Ok(Some(range))
    }

    /// Returns the offsets of this range in a file of `size` bytes. Fails with *range not satisfiable* if the range
    /// starts at or beyond the end of the file, and with *invalid input* if it ends before it starts.
    pub fn of(self, size: u64) -> Result<Range<u64>> {
        if self.start >= size {
            return Err(not_satisfiable(format!(
                "the range begins at byte {}, but the file has {size} bytes",
                self.start
            )));
        }
        let end = self.end.map_or(size, |end| end.min(size));
        if end < self.start {
            return Err(Error::invalid(format!(
                "the range begins at byte {} and ends before it, at {end}",
                self.start
            )));
        }
        Ok(self.start..end)
    }

    /// Returns `true` for the range `..`, which every file has.
    pub(crate) fn is_full(self) -> bool {
        self == Self::from(..)
    }
}

/// The one range of a `Range` header.
enum HeaderRange {
    From {
        first: u64,
        last: Option<u64>,
    },
    /// The last bytes of the file, this many.
    Last(u64),
}

impl HeaderRange {
    /// Parses `bytes=FIRST-LAST`, `bytes=FIRST-` or `bytes=-COUNT` (RFC 9110, section 14.1.2).
    fn parse(header: &str) -> Option<Self> {
        let (unit, range) = header.split_once('=')?;
        let (first, last) = range.trim().split_once('-')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return None;
        }
        match (first, last) {
            ("", count) => number(count).map(Self::Last),
            (first, "") => Some(Self::From { first: number(first)?, last: None }),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::From { first, last: Some(last) })
            }
        }
    }
}

/// Parses decimal digits. A number that is too large is beyond the end of every file.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

fn not_satisfiable(message: String) -> Error {
    Error::new(ErrorKind::RangeNotSatisfiable, Effect::NotSent, message)
}

impl From<Range<u64>> for ByteRange {
    fn from(range: Range<u64>) -> Self {
        Self { start: range.start, end: Some(range.end) }
    }
}

impl From<RangeInclusive<u64>> for ByteRange {
    fn from(range: RangeInclusive<u64>) -> Self {
        Self { start: *range.start(), end: range.end().checked_add(1) }
    }
}

impl From<RangeFrom<u64>> for ByteRange {
    fn from(range: RangeFrom<u64>) -> Self {
        Self { start: range.start, end: None }
    }
}

impl From<RangeTo<u64>> for ByteRange {
    fn from(range: RangeTo<u64>) -> Self {
        Self { start: 0, end: Some(range.end) }
    }
}

impl From<RangeToInclusive<u64>> for ByteRange {
    fn from(range: RangeToInclusive<u64>) -> Self {
        Self { start: 0, end: range.end.checked_add(1) }
    }
}

impl From<RangeFull> for ByteRange {
    fn from(_: RangeFull) -> Self {
        Self { start: 0, end: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_within_the_file_and_does_not_end_before_it_starts() {
        assert_eq!(ByteRange::from(2..9).of(5).unwrap(), 2..5);
        assert_eq!(ByteRange::from(2..).of(5).unwrap(), 2..5);
        assert_eq!(ByteRange::from(2..2).of(5).unwrap(), 2..2);
        assert_eq!(ByteRange::from(5..).of(5).unwrap_err().kind(), ErrorKind::RangeNotSatisfiable);
        for range in [ByteRange { start: 3, end: Some(2) }, ByteRange { start: 1, end: Some(0) }] {
            assert_eq!(range.of(5).unwrap_err().kind(), ErrorKind::InvalidInput, "{range:?}");
        }
    }

    #[test]
    fn every_range_of_std_is_a_range_of_bytes() {
        for (range, expected) in [
            (ByteRange::from(1..3), 1..3),
            (ByteRange::from(1..=3), 1..4),
            (ByteRange::from(1..), 1..5),
            (ByteRange::from(..3), 0..3),
            (ByteRange::from(..=3), 0..4),
            (ByteRange::from(..), 0..5),
            (ByteRange::from(1..=u64::MAX), 1..5),
        ] {
            assert_eq!(range.of(5).unwrap(), expected);
        }
    }

    #[test]
    fn a_range_header_is_read_as_rfc_9110_says() {
        let range = |header| ByteRange::from_header(header, 10).unwrap().map(|range| range.of(10).unwrap());
        for (header, expected) in [
            ("bytes=0-0", Some(0..1)),
            ("bytes=2-99", Some(2..10)),
            ("Bytes = 2-4 ", Some(2..5)),
            ("bytes=9-", Some(9..10)),
            ("bytes=-3", Some(7..10)),
            ("bytes=-99", Some(0..10)),
            ("bytes=0-18446744073709551615", Some(0..10)),
            ("bytes=0-99999999999999999999", Some(0..10)),
            // Ignored.
            ("bytes=0-1,3-4", None),
            ("bytes=4-2", None),
            ("bytes=-", None),
            ("bytes=a-b", None),
            ("bytes=+1-2", None),
            ("items=0-1", None),
            ("", None),
        ] {
            assert_eq!(range(header), expected, "{header}");
        }
        for header in ["bytes=10-", "bytes=10-11", "bytes=-0", "bytes=99999999999999999999-"] {
            let error = ByteRange::from_header(header, 10).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::RangeNotSatisfiable, "{header}");
        }
        assert_eq!(ByteRange::from_header("bytes=-1", 0).unwrap_err().kind(), ErrorKind::RangeNotSatisfiable);
    }
}
