//! [`ByteSize`]: a number of bytes, written as `16MiB`.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use filestore_core::{Error, Result};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

/// A number of bytes. Its text is a whole number, followed by `KiB`, `MiB`, `GiB` or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

const UNITS: [(&str, u64); 3] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

impl ByteSize {
    /// Creates a size in bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Creates a size in MiB (1,048,576 bytes).
    pub const fn mib(mib: u64) -> Self {
        Self(mib << 20)
    }

    /// The sizes that the storage allows for a part that is not the last: 5 MiB to 5 GiB.
    pub(crate) const PART: RangeInclusive<Self> = Self::mib(5)..=Self::mib(5 << 10);

    /// *Invalid input* unless a part may have the size.
    pub(crate) fn check_part(self) -> Result<()> {
        let (smallest, largest) = (Self::PART.start(), Self::PART.end());
        match Self::PART.contains(&self) {
            true => Ok(()),
            false => Err(Error::invalid(format!("part_size is {self}; set a size from {smallest} to {largest}"))),
        }
    }

    /// Returns the number of bytes.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, unit): &&(&str, u64)| self.0 >= *unit && self.0.is_multiple_of(*unit);
        match UNITS.iter().rev().find(fits) {
            Some((name, unit)) => write!(f, "{}{name}", self.0 / unit),
            None => self.0.fmt(f),
        }
    }
}

impl FromStr for ByteSize {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = UNITS.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)));
        let (count, unit) = found.unwrap_or((text, 1));
        let bytes = count.trim_end().parse::<u64>().ok().and_then(|count| count.checked_mul(unit));
        bytes.map(Self).ok_or_else(|| Error::invalid(format!("{text:?} is not a size; write it like 16MiB")))
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Size;

        impl Visitor<'_> for Size {
            type Value = ByteSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as 16MiB")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
                text.parse().map_err(|error: Error| E::custom(error.message()))
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
                Ok(ByteSize(bytes))
            }

            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<ByteSize, E> {
                u64::try_from(bytes).map(ByteSize).map_err(|_| E::custom("a size is not negative"))
            }
        }

        deserializer.deserialize_any(Size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_written_as_it_is_read() {
        for text in ["0", "1023", "5MiB", "3GiB", "7KiB", "1025"] {
            assert_eq!(text.parse::<ByteSize>().unwrap().to_string(), text);
        }
        assert_eq!("16 MiB".parse::<ByteSize>().unwrap(), ByteSize::mib(16));
        for bad in ["", "MiB", "-1", "5MB", "1.5MiB", "99999999999GiB"] {
            assert!(bad.parse::<ByteSize>().is_err(), "{bad}");
        }
    }
}
