//! The range of bytes that a download reads.

use std::ops::{Range, RangeFrom};

use crate::{Error, Result};

/// A range of bytes of a file, from `start` up to but excluding `end`.
///
/// An `end` beyond the end of the file counts as the end of the file. A `start` at or beyond it is *invalid input*.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ByteRange {
    /// The offset of the first byte.
    pub start: u64,
    /// The offset after the last byte. `None`: the end of the file.
    pub end: Option<u64>,
}

impl ByteRange {
    /// Returns the offsets of this range in a file of `size` bytes. Fails with *invalid input* if the range starts at
    /// or beyond the end of the file, or ends before it starts.
    pub fn of(self, size: u64) -> Result<Range<u64>> {
        if self.start >= size {
            let problem = format!("the range begins at byte {}, but the file has {size} bytes", self.start);
            return Err(Error::invalid(problem));
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
}

impl From<Range<u64>> for ByteRange {
    fn from(range: Range<u64>) -> Self {
        Self { start: range.start, end: Some(range.end) }
    }
}

impl From<RangeFrom<u64>> for ByteRange {
    fn from(range: RangeFrom<u64>) -> Self {
        Self { start: range.start, end: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn a_range_is_within_the_file_and_does_not_end_before_it_starts() {
        assert_eq!(ByteRange::from(2..9).of(5).unwrap(), 2..5);
        assert_eq!(ByteRange::from(2..).of(5).unwrap(), 2..5);
        assert_eq!(ByteRange::from(2..2).of(5).unwrap(), 2..2);
        for range in [ByteRange::from(5..), ByteRange { start: 3, end: Some(2) }, ByteRange { start: 1, end: Some(0) }]
        {
            assert_eq!(range.of(5).unwrap_err().kind(), ErrorKind::InvalidInput, "{range:?}");
        }
    }
}
